/* A trial: what one row of a suite came to, run in virtual time here or live by somebody else; and what all
 * trials of a suite say about each level. */
#ifndef OATS_TRIAL_H
#define OATS_TRIAL_H

#include "oats/suite.h"

enum { TRIAL_WHY_SIZE = 400 };

/* Durations count from the instant of injection; -1: it did not come about. */
struct trial {
    duration found_ns;  /* the first incident that the fault explains */
    duration healed_ns; /* its users were well again, and stayed well, while the fault could still act */
    uint8_t remedy;     /* of the newest command to the struck nodes; REMEDY_NONE: there was none */
    uint8_t verdict;    /* ... and what verification found */
    uint8_t people;     /* 1: people were told */
    uint8_t ok;         /* 1: all expectations are met, and no checker complains */
    uint8_t ran;        /* 0: it could not be run; `why` says so */
    uint8_t reserved[3];
    uint32_t commands, wrong, needless, harmful, expectations, met;
    uint32_t safety, liveness; /* violations */
    uint64_t digest;           /* of virtual time; live: 0 */
    char why[TRIAL_WHY_SIZE];  /* why it is not ok: the first reason; else "" */
};

/* Runs a scenario that was read from a row's file, with the checkers watching. Never fails: what goes wrong
 * is in the trial. */
void trial_run(struct trial *trial, const struct suite *suite, uint32_t row, const struct scenario *scenario);

/* The main effect of one level: how the rows that have it did. All other factors are spread evenly over these
 * rows, so that levels of one factor can be compared. */
struct trial_effect {
    uint32_t rows, ok, healed;
    duration healed_p50_ns; /* the median over all these rows, mean of the two in the middle; those that were
                               not healed count as slower than any. -1: that is what the middle is */
};
struct trial_effect trial_effect(const struct suite *suite, const struct trial *trials, uint32_t factor,
                                 uint32_t level);

/* The median of `count` times by the same rule; sorts them. -1 of none. */
duration trial_median(duration *times, uint32_t count);

#endif
