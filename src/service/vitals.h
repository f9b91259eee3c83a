/* Vitals: what the built-in service tells its node agent through a shared page, so that it can be read even
 * while the service's request loop is busy. Counters only rise; the reader takes differences. */
#ifndef SERVICE_VITALS_H
#define SERVICE_VITALS_H

#include <stdatomic.h>
#include <stdint.h>

struct vitals {
    _Atomic uint64_t requests;       /* answered */
    _Atomic uint64_t storage_writes; /* append and fsync, finished */
    _Atomic uint64_t storage_ns;     /* time they took together */
    _Atomic uint64_t storage_since;  /* CLOCK_MONOTONIC ns at which the one under way began, 0 if none */
};

#endif
