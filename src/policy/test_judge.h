/* The judge of a policy test: compares what a case expects with what its core shows. Private to src/policy.
 */
#ifndef POLICY_TEST_JUDGE_H
#define POLICY_TEST_JUDGE_H

#include "policy/test_run.h"

/* What can be seen of a run at one instant. */
struct test_view {
    const struct test_case *test;
    const struct core *core;
    const struct incident *incidents; /* the newest record of each, in the order of their opening */
    uint32_t incident_count;
};

/* The newest incident of that finding on that node, as it is now; NULL if there was none. */
const struct incident *test_view_incident(const struct test_view *view, uint32_t node, const char *detector);

/* Adds a failure for each thing that is not as `expectation` says. */
void test_judge(const struct test_view *view, const struct test_expectation *expectation,
                struct test_result *result);

/* After the run: the commands, all of them and in this order. */
void test_judge_commands(const struct test_case *test, struct test_result *result);

#endif
