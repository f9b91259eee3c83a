/* What the ways of the helpers share. */
#ifndef INJECT_HELPER_WAYS_H
#define INJECT_HELPER_WAYS_H

#include "base/units.h"
#include "inject/page.h"

#include <sys/types.h>

#define HELPER_PERIOD_NS (60 * MILLISECOND) /* of a slice: that of the built-in service's burn, too */

struct way {
    const struct page *page;
    enum fault_kind kind;
    uint64_t incarnation;
    pid_t victim;  /* 0: none */
    int victim_fd; /* its pidfd, -1 */
    uint64_t most_bytes;
};

bool way_goes_on(const struct way *way);     /* not told to end, fault not over, victim alive */
double way_intensity(const struct way *way); /* now, at most `most` of the kind; 0 for a moment is no end */
void way_rest(duration rest);                /* or until a signal */
int way_fail(const char *format, ...) __attribute__((format(printf, 1, 2))); /* says it; returns 3 */

int neighbour_run(const struct way *way); /* the exit code */
void neighbour_unpin_all(pid_t victim);   /* to wherever the caller may run */

#endif
