/* An upstream: another service that this one asks before it answers. Connections are kept and used again, up
 * to UPSTREAM_USES times each, so that callers come to spread over the instances of whom they call. */
#ifndef SERVICE_UPSTREAM_H
#define SERVICE_UPSTREAM_H

#include "base/units.h"

#include <event2/http.h>
#include <stdint.h>

#define UPSTREAM_DEADLINE_NS     (400 * MILLISECOND) /* the usual one, of a call, connecting included */
#define UPSTREAM_CONCURRENCY     64                  /* calls, as usual; one more fails at once */
#define UPSTREAM_CONCURRENCY_MAX 512
#define UPSTREAM_USES            64

struct event_base;
struct evbuffer;
struct upstream;

struct upstream_options {
    const char *host; /* a numeric address */
    uint16_t port;
    duration deadline_ns; /* 0: the usual one */
    unsigned concurrency; /* 0: as usual; at most UPSTREAM_CONCURRENCY_MAX */
};

/* NULL if there is no memory. */
struct upstream *upstream_new(struct event_base *base, const struct upstream_options *options);
void upstream_free(struct upstream **upstream); /* no call may be under way */

/* What came: code 0 if nothing did, or not in time. All of it is lent until the call returns. */
struct upstream_answer {
    int code;
    const char *type;      /* of the body, or NULL */
    struct evbuffer *body; /* NULL with code 0 */
};

typedef void upstream_done(void *arg, const struct upstream_answer *answer);

/* One call; the memory is the caller's, untouched by it while `connection` is not NULL. */
struct upstream_call {
    struct upstream *upstream;
    struct kept *connection;
    struct evhttp_request *request;
    struct event *deadline;
    upstream_done *done;
    void *arg;
};

/* What is asked; all of it may go once upstream_send() has returned. */
struct upstream_request {
    enum evhttp_cmd_type method;
    const char *path;
    const char *header;    /* one header that is set to "1"; NULL: none */
    struct evbuffer *body; /* emptied; NULL: none */
};

/* `done` is told exactly once, maybe before this returns. */
void upstream_send(struct upstream *upstream, const struct upstream_request *asked,
                   struct upstream_call *call, upstream_done *done, void *arg);

/* Ends a call that is under way without telling; fine if it is not. */
void upstream_cancel(struct upstream_call *call);

#endif
