/* The built-in service: a small key-value store over HTTP, the workload of a node that runs no program of
 * yours.
 *
 *     GET|PUT|DELETE /kv/KEY    value in the body; KEY 1 to 128 printable characters, percent-encoded, no '/'
 *     GET /healthz              {"status":"ok","name":"web-1","folder":"primary","keys":12}
 *     POST /admin/storage?folder=primary|standby    go on in the other folder (failover)
 *
 * A write is in the log of its data folder, and fsynced, before it is answered; writes of one loop round
 * share one fsync. This happens on the request loop, so slow storage is felt by all users, as in a Redis with
 * `appendfsync always`. If upstreams are configured, each /kv request first asks all of them for the same key
 * and fails with 502 if one of them fails, so trouble spreads to callers as it does in real fleets.
 *
 * It is a workload on loopback, not the control plane: it speaks HTTP through libevent's evhttp, whose
 * lenience towards odd requests and slow senders is accepted here. Errors it finds itself are {"error":"a
 * sentence"}.
 *
 * Faults it reads on its page: CPU_SPIKE (burn.h), STORAGE_LATENCY (kv.h). */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "service/kv.h"

#include <stddef.h>
#include <stdint.h>

#define SERVICE_UPSTREAMS_MAX   8
#define SERVICE_CONNECTIONS_MAX 1024 /* its descriptor limit; more users wait in the kernel's queue */
#define SERVICE_HOPS_MAX        4    /* a request is handed on this often, so that a ring of callers ends */

struct service_upstream {
    const char *host; /* a numeric address */
    uint16_t port;
};

struct service_options {
    const char *name;        /* of the node, text_is_name() */
    const char *address;     /* numeric, "127.0.0.1" */
    uint16_t port;           /* 0: the kernel chooses */
    const char *data_dir;    /* made if missing */
    const char *standby_dir; /* made if missing; NULL: no failover */
    enum kv_folder folder;   /* the active one */
    struct service_upstream upstreams[SERVICE_UPSTREAMS_MAX];
    size_t upstream_count;
    int page_fd;   /* the fault page, -1: no faults */
    int vitals_fd; /* at least sizeof(struct vitals) of shared memory, -1: none */
};

/* Serves until SIGTERM or SIGINT and returns the exit code: 0 ended so, 2 the options are wrong, 3 the
 * environment failed (said on stderr). Says `service NAME listening on ADDRESS:PORT` on stdout once it does.
 */
int service_main(struct service_options options);

#endif
