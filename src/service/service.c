#include "service/service.h"

#include "base/check.h"
#include "base/text.h"
#include "inject/page.h"
#include "service/burn.h"
#include "service/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDLE_S            30 /* an idle user's connection */
#define HEADERS_MAX_BYTES 8192
#define BODY_MAX_BYTES    (2 * KV_VALUE_MAX_BYTES) /* up to here the refusal is our own sentence */
#define BACKLOG           511
#define PAUSE_MS          50
#define LAST_ROUNDS       4 /* of the loop, for answers to leave */

/* Users of a second instance wait for the first one's storage, and give up themselves after a second. */
#define PRIMARY_DEADLINE_NS (900 * MILLISECOND)

struct service {
    struct event_base *base;
    struct evhttp *http;
    struct event *stop, *reload;
    struct burn *burn;
    struct page *page;
    struct vitals *vitals, own_vitals; /* the second if nobody shares the first */
    struct desk desk;
    int stop_fd;   /* signalfd: readable once we are told to end */
    int reload_fd; /* signalfd: readable once we are told to read the configuration again */
    const char *config_path;
};

static int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int complain(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "homeostat service: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    return code;
}

/* --- shared memory --- */

static int open_vitals(struct service *service, int fd, bool is_second)
{
    struct stat status;

    service->vitals = &service->own_vitals;
    if (fd < 0)
        return 0;
    if (fstat(fd, &status) < 0 || status.st_size < (off_t)sizeof(struct vitals))
        return complain(3, "the vitals page is too small");
    void *memory = mmap(NULL, sizeof(struct vitals), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return complain(3, "the vitals page: %s", strerror(errno));
    service->vitals = memory;
    if (!is_second) /* a predecessor may have died in the middle of a write; the primary may be in one */
        atomic_store(&service->vitals->storage_since, 0);
    return 0;
}

/* --- listening --- */

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    evconnlistener_enable(arg);
}

/* Out of descriptors, that is of connections: users wait in the kernel's queue. The argument is evhttp's. */
static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    struct timeval pause = {.tv_usec = PAUSE_MS * 1000};

    (void)arg;
    evconnlistener_disable(listener);
    event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_pause_over, listener, &pause);
}

static int listen_on(struct service *service, const struct service_options *options)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    socklen_t length = sizeof(address.v4);

    if (inet_pton(AF_INET, options->address, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(options->port);
    } else if (inet_pton(AF_INET6, options->address, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(options->port);
        length = sizeof(address.v6);
    } else {
        return complain(2, "'%s' is not a numeric address", options->address);
    }
    struct evconnlistener *listener = evconnlistener_new_bind(
        service->base, NULL, NULL, LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
        &address.any, (int)length);
    if (!listener)
        return complain(3, "%s:%u: %s", options->address, (unsigned)options->port, strerror(errno));
    CHECK(evhttp_bind_listener(service->http, listener)); /* which owns it from here */
    evconnlistener_set_error_cb(listener, on_accept_failed);

    getsockname(evconnlistener_get_fd(listener), &address.any, &length);
    printf("service %s listening on %s:%u\n", options->name, options->address,
           (unsigned)ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port));
    fflush(stdout);
    return 0;
}

/* --- the life of the service --- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopexit(arg, NULL); /* after what is already due */
}

static void read_configuration(struct service *service)
{
    if (!service->config_path) {
        fprintf(stderr, "homeostat service: SIGHUP, but there is no configuration to read (--config)\n");
        return;
    }
    if (config_read(&service->desk.config, service->config_path, service->page))
        fprintf(stderr, "homeostat service: configuration %lld is in use\n",
                (long long)service->desk.config.version);
}

static void on_reload(evutil_socket_t fd, short what, void *arg)
{
    struct signalfd_siginfo info;

    (void)what;
    while (read(fd, &info, sizeof(info)) == sizeof(info)) {
    }
    read_configuration(arg);
}

/* Signals come through descriptors, so that work and an injected wait can look for the end, too. */
static int open_signal(struct service *service, const sigset_t *signals, event_callback_fn callback,
                       void *arg, struct event **event)
{
    int fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);

    if (fd < 0)
        return -1;
    *event = event_new(service->base, fd, EV_READ | EV_PERSIST, callback, arg);
    CHECK(*event && event_add(*event, NULL) == 0);
    return fd;
}

/* A terminal that hangs up ends a service that somebody runs by hand; one that is configured is told to read
 * that again. */
static int open_signals(struct service *service, const struct service_options *options)
{
    sigset_t stop, reload;

    sigemptyset(&stop);
    sigemptyset(&reload);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigaddset(options->config_path || options->primary.host ? &reload : &stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    sigprocmask(SIG_BLOCK, &reload, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    service->stop_fd = open_signal(service, &stop, on_stop, service->base, &service->stop);
    service->reload_fd = open_signal(service, &reload, on_reload, service, &service->reload);
    if (service->stop_fd < 0 || service->reload_fd < 0)
        return complain(3, "signalfd: %s", strerror(errno));
    return 0;
}

static int open_loop(struct service *service)
{
    struct event_config *config = event_config_new();

    CHECK(config);
    /* Slices and slow storage hold the loop for long: a timer that counted from the start of its round, as
     * cached time has it, would be over before it began. */
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
    service->base = event_base_new_with_config(config);
    event_config_free(config);
    service->http = service->base ? evhttp_new(service->base) : NULL;
    if (!service->http)
        return complain(3, "the event loop cannot be made");
    evhttp_set_timeout(service->http, IDLE_S);
    evhttp_set_max_headers_size(service->http, HEADERS_MAX_BYTES);
    evhttp_set_max_body_size(service->http, BODY_MAX_BYTES);
    return 0;
}

static int open_kv(struct service *service, const struct service_options *options)
{
    struct kv_options kv = {.folders = {options->data_dir, options->standby_dir},
                            .folder = options->folder,
                            .page = service->page,
                            .vitals = service->vitals,
                            .hurry_fd = service->stop_fd};
    const char *folder = kv.folders[kv.folder];
    int error = kv_open(&service->desk.kv, &kv);

    if (error == -EWOULDBLOCK)
        return complain(3, "%s: another service has this folder", options->data_dir);
    if (error == -EBADMSG)
        return complain(3, "%s: there is a kv.log that this service has not written", options->data_dir);
    if (error == -ENOSPC || error == -EDQUOT)
        return complain(3, "%s: the disk is full, and the service cannot start without writing there",
                        folder);
    if (error < 0)
        return complain(3, "%s: %s, and the service cannot start without its data folder", folder,
                        strerror(-error));
    return 0;
}

static struct upstream *open_upstream(struct service *service, const struct service_upstream *address,
                                      duration deadline_ns, unsigned concurrency)
{
    struct upstream_options options = {
        .host = address->host, .port = address->port, .deadline_ns = deadline_ns, .concurrency = concurrency};
    struct upstream *upstream = upstream_new(service->base, &options);

    CHECK(upstream);
    return upstream;
}

static void open_desk(struct service *service, const struct service_options *options)
{
    struct desk *desk = &service->desk;

    desk->name = options->name;
    desk->vitals = service->vitals;
    desk->page = service->page;
    desk->shed.capacity = options->capacity;
    desk->hurry_fd = service->stop_fd;
    for (size_t i = 0; i < options->upstream_count; i++)
        desk->upstreams[desk->upstream_count++] = open_upstream(service, &options->upstreams[i], 0, 0);
    if (options->primary.host)
        desk->primary =
            open_upstream(service, &options->primary, PRIMARY_DEADLINE_NS, UPSTREAM_CONCURRENCY_MAX);
    desk_open(desk, service->base, service->http);
}

static int service_open(struct service *service, const struct service_options *options)
{
    struct rlimit limit;
    int code = open_loop(service);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < SERVICE_CONNECTIONS_MAX ? limit.rlim_max : SERVICE_CONNECTIONS_MAX;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (code == 0)
        code = open_signals(service, options);
    if (code == 0)
        code = open_vitals(service, options->vitals_fd, options->primary.host != NULL);
    if (code == 0 && options->page_fd >= 0 && page_open(&service->page, options->page_fd) < 0)
        code = complain(3, "the fault page cannot be opened");
    service->config_path = options->config_path;
    if (code == 0 && options->config_path)
        read_configuration(service); /* one that cannot be read keeps nobody from serving */
    if (code == 0 && !options->primary.host)
        code = open_kv(service, options);
    if (code == 0)
        open_desk(service, options);
    if (code == 0 && service->page) {
        service->burn = burn_new(service->base, service->page, service->stop_fd);
        CHECK(service->burn);
    }
    return code == 0 ? listen_on(service, options) : code;
}

static void service_close(struct service *service)
{
    burn_free(&service->burn);
    if (service->stop)
        event_free(service->stop);
    if (service->reload)
        event_free(service->reload);
    if (service->desk.commit) {
        desk_close(&service->desk);
        for (int round = 0; round < LAST_ROUNDS; round++)
            event_base_loop(service->base, EVLOOP_NONBLOCK);
    }
    for (size_t i = 0; i < service->desk.upstream_count; i++)
        upstream_free(&service->desk.upstreams[i]);
    upstream_free(&service->desk.primary);
    kv_close(&service->desk.kv);
    if (service->http)
        evhttp_free(service->http);
    if (service->base)
        event_base_free(service->base);
    if (service->stop_fd >= 0)
        close(service->stop_fd);
    if (service->reload_fd >= 0)
        close(service->reload_fd);
    if (service->vitals && service->vitals != &service->own_vitals)
        munmap(service->vitals, sizeof(struct vitals));
    page_close(service->page);
}

static bool is_numeric(const char *address)
{
    struct in6_addr any;

    return inet_pton(AF_INET, address, &any) == 1 || inet_pton(AF_INET6, address, &any) == 1;
}

/* 0, or 2 and what is wrong with them is said. */
static int judge(const struct service_options *options)
{
    if (!text_is_name(options->name, 63))
        return complain(2, "the name has 1 to 63 of a-z A-Z 0-9 - _ .");
    if (options->upstream_count > SERVICE_UPSTREAMS_MAX)
        return complain(2, "at most %d upstreams", SERVICE_UPSTREAMS_MAX);
    if (options->capacity != 0 && !(options->capacity >= 1 && options->capacity <= SERVICE_CAPACITY_MAX))
        return complain(2, "the capacity is 1 to %d requests per second, or 0 for no work",
                        SERVICE_CAPACITY_MAX);
    if (options->primary.host && (options->data_dir || options->standby_dir))
        return complain(2, "a second instance has no data folder of its own");
    if (options->primary.host && !is_numeric(options->primary.host))
        return complain(2, "the primary is at '%s', which is not a numeric address", options->primary.host);
    if (!options->primary.host && !options->data_dir)
        return complain(2, "there must be a data folder");
    if (options->folder >= KV_FOLDERS || (options->folder == KV_STANDBY && !options->standby_dir))
        return complain(2, "the active folder is primary, or standby if there is one");
    return 0;
}

int service_main(struct service_options options)
{
    struct service service = {.stop_fd = -1, .reload_fd = -1};
    int code = judge(&options);

    if (code != 0)
        return code;
    code = service_open(&service, &options);
    if (code == 0)
        event_base_dispatch(service.base);
    service_close(&service);
    return code;
}
