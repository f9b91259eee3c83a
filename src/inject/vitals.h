/* Vitals: what the service, or the library preloaded into it, tells the node agent through a shared page, so
 * that it can be read even while the service's request loop is busy. Counters only rise; the reader takes
 * differences. A second instance adds to the same page; what it passes on to the first is counted once. */
#ifndef INJECT_VITALS_H
#define INJECT_VITALS_H

#include <stdatomic.h>
#include <stdint.h>

struct vitals {
    _Atomic uint64_t arrivals;       /* requests to /kv that came, whatever became of them */
    _Atomic uint64_t requests;       /* answered, of any path */
    _Atomic uint64_t storage_writes; /* append and fsync, finished or failed */
    _Atomic uint64_t storage_errors; /* of them: failed */
    _Atomic uint64_t storage_ns;     /* time they took together */
    _Atomic uint64_t storage_since;  /* CLOCK_MONOTONIC ns at which the one under way began, 0 if none */
};

#endif
