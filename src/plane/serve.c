/* The `serve` subcommand: one plane on a loop of its own, until somebody says stop. */
#include "base/check.h"
#include "plane/loop.h"
#include "plane/plane.h"
#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static void stop(void *context)
{
    event_base_loopbreak(context);
}

static void reload(void *context)
{
    plane_reload_tokens(context);
}

/* One descriptor per node agent that keeps its connection open: 1024, the usual soft limit, is soon used up.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer it still works, for fewer */
}

static int complain(const char *error, int code)
{
    const char *mend =
        code == EADDRINUSE ? "\n  mend: stop what listens there, or choose another one: --port 0" : "";
    if (code == EWOULDBLOCK)
        mend = "\n  mend: stop that one, or choose another database: --db FILE, --store STORE";
    fprintf(stderr, "serve: %s%s\n", error[0] ? error : strerror(code), mend);
    return code == EINVAL ? 1 : code == EPERM ? 2 : 3;
}

int plane_main(const struct plane_options *options)
{
    char error[4096], shown[512];
    struct event_base *base = event_base_new();
    CHECK(base);
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    struct watch *term = watch_signal(base, SIGTERM, stop, base);
    struct watch *interrupt = watch_signal(base, SIGINT, stop, base);
    struct plane *plane = plane_new(base, options, error, sizeof(error));
    int code = plane ? 0 : complain(error, errno);
    if (plane) {
        struct watch *hangup = options->token_file ? watch_signal(base, SIGHUP, reload, plane) : NULL;
        store_show(options->database, shown, sizeof(shown));
        fprintf(stderr, "homeostat control plane: http://%s:%d, database %s\n",
                options->address ? options->address : "127.0.0.1", plane_port(plane), shown);
        CHECK(event_base_dispatch(base) == 0);
        if (hangup)
            watch_free(&hangup);
        plane_free(&plane);
    }
    watch_free(&term);
    watch_free(&interrupt);
    event_base_free(base);
    return code;
}
