/* A series: what a node reports of one metric, report after report, as a policy test writes it.
 *
 *     0.05x5 0.97x8 0.05x20      a value, and how often
 *     90% 4ms 64MiB 20/s         in the metric's units
 *     0.1..0.9x5                 five values in even steps: 0.1 0.3 0.5 0.7 0.9
 *     _x3                        not reported
 *
 * The last value goes on until the end of the test. */
#ifndef POLICY_SERIES_H
#define POLICY_SERIES_H

#include "core/vocabulary.h"
#include "policy/yaml_tree.h"

enum {
    STRETCHES_MAX = 64,         /* of one series */
    SERIES_REPORTS_MAX = 100000 /* that one series may spell out */
};

struct stretch {
    double from, to; /* equal unless it is a ramp; NaN: not reported */
    uint32_t count;  /* reports, from 1 */
};

struct series {
    struct stretch list[STRETCHES_MAX];
    uint32_t count;
    uint32_t reports; /* of all stretches */
};

/* Reads a scalar. False, with a complaint at the very word, if it does not read. */
bool series_read(const struct yaml_node *node, enum metric metric, struct series *series,
                 struct complaints *complaints);

/* The value of report `number`, from 0; NaN if it is not reported. */
double series_value(const struct series *series, uint32_t number);

#endif
