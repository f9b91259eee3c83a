/* How much of the machine others used while a lab ran. A lab shares its processors with everything else that
 * runs here; who reads its figures wants to know whether they tell of the lab or of its neighbours. */
#ifndef CLI_MACHINE_USE_H
#define CLI_MACHINE_USE_H

#include <stdint.h>

struct machine_use {
    int64_t began_ns;     /* CLOCK_MONOTONIC; 0: this machine does not tell */
    double busy_s, own_s; /* seconds of processors, up to then */
    unsigned processors;  /* that this process may use */
};

void machine_use_begin(struct machine_use *use);

/* Processors that others kept busy since then, 0 to `processors`, on average; what a hypervisor took away is
 * among it. NaN where that cannot be known. Our own is what this process and its descendants used that have
 * ended and were waited for, so it is to be asked after the last of them. Right to about a tenth of a
 * processor: the kernel counts the one by ticks and the other by the clock. */
double machine_use_by_others(const struct machine_use *use);

#endif
