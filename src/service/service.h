/* The built-in service: a small key-value store over HTTP, the workload of a node that runs no program of
 * yours.
 *
 *     GET|PUT|DELETE /kv/KEY    value in the body; KEY 1 to 128 printable characters, percent-encoded, no '/'
 *     GET /healthz              {"status":"ok","name":"web-1","folder":"primary","keys":12,"config":2,
 *                                "shedding":false}; a second instance has no folder and no keys
 *     POST /admin/storage?folder=primary|standby    go on in the other folder (failover)
 *     POST /admin/shed?on=yes|no                    begin and end shedding load:
 * {"shedding":true,"capacity":80}
 *
 * A write is in the log of its data folder, and fsynced, before it is answered; writes of one loop round
 * share one fsync. This happens on the request loop, so slow storage is felt by all users, as in a Redis with
 * `appendfsync always`. If upstreams are configured, each /kv request first asks all of them for the same key
 * and fails with 502 if one of them fails, so trouble spreads to callers as it does in real fleets.
 *
 * With a capacity, each /kv request costs its part of a second of processor time on the request loop, so that
 * more than the capacity is truly too much. What is too much waits, up to SERVICE_WAITING_MAX requests, and
 * then gets 503; while load is being shed (shed.h) it gets 429 at once instead.
 *
 * A second instance (`primary` set) shares the load of a first one: it does the work of each request, asks
 * the upstreams, and passes it on to the first one, which has the map, with a header that spares that the
 * work.
 *
 * SIGHUP makes it read its configuration again (config.h), or ends it if it has none.
 *
 * It is a workload on loopback, not the control plane: it speaks HTTP through libevent's evhttp, whose
 * lenience towards odd requests and slow senders is accepted here. Errors it finds itself are {"error":"a
 * sentence"}.
 *
 * Faults it reads on its page: CPU_SPIKE (burn.h), STORAGE_LATENCY, IO_ERROR and DISK_FULL (kv.h), BAD_CONFIG
 * (config.h). */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "service/kv.h"

#include <stddef.h>
#include <stdint.h>

#define SERVICE_UPSTREAMS_MAX   8
#define SERVICE_CONNECTIONS_MAX 2048 /* its descriptor limit; more users wait in the kernel's queue */
#define SERVICE_WAITING_MAX     1024 /* requests, for their turn: others must still get in to be told so */
#define SERVICE_CAPACITY_MAX    100000
#define SERVICE_HOPS_MAX        4 /* a request is handed on this often, so that a ring of callers ends */

struct service_upstream {
    const char *host; /* a numeric address */
    uint16_t port;
};

struct service_options {
    const char *name;        /* of the node, text_is_name() */
    const char *address;     /* numeric, "127.0.0.1" */
    uint16_t port;           /* 0: the kernel chooses */
    const char *data_dir;    /* made if missing; NULL for a second instance */
    const char *standby_dir; /* made if missing; NULL: no failover */
    enum kv_folder folder;   /* the active one */
    struct service_upstream upstreams[SERVICE_UPSTREAMS_MAX];
    size_t upstream_count;
    struct service_upstream primary; /* this is its second instance; host NULL: it is none */
    double capacity;         /* requests per second, 1 .. SERVICE_CAPACITY_MAX; 0: they cost no work */
    const char *config_path; /* NULL: no configuration */
    int page_fd;             /* the fault page, -1: no faults */
    int vitals_fd; /* at least sizeof(struct vitals) of shared memory, maybe shared with a second instance;
                      -1: none */
};

/* Serves until SIGTERM or SIGINT, answers within 300 ms what is open then, and returns the exit code: 0 ended
 * so, 2 the options are wrong, 3 the environment failed (said on stderr). Says `service NAME listening on
 * ADDRESS:PORT` on stdout once it does.
 */
int service_main(struct service_options options);

#endif
