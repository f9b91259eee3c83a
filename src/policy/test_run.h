/* Runs a policy test on the real core in virtual time, and says what was expected and what was seen.
 *
 * The driver does what the control plane does: deadlines that fall due before an event come first; while the
 * control plane is away (a gap) nothing is taken in and nothing falls due. Node agents are as obedient as the
 * case says. */
#ifndef POLICY_TEST_RUN_H
#define POLICY_TEST_RUN_H

#include "policy/test_file.h"

enum {
    TEST_TRACE_MAX = 4000,    /* lines kept of one run; what comes after is only counted */
    TEST_FAILURES_MAX = 64,   /* kept of one run */
    TEST_ORDERS_MAX = 1000,   /* commands kept of one run */
    TEST_LINE_SIZE = 320,     /* bytes of a line of the trace */
    TEST_SENTENCE_SIZE = 640, /* of what was expected or seen */
    TEST_INCIDENTS_MAX = 1024 /* different incidents of one run */
};

struct test_line {
    duration at; /* from the start of the case */
    char text[TEST_LINE_SIZE];
};

struct test_failure {
    struct place place; /* of the expectation */
    duration at;
    char expected[TEST_SENTENCE_SIZE]; /* "cpu-high on web-1 is acting" */
    char seen[TEST_SENTENCE_SIZE];     /* "it is planned, stopped by cooldown" */
};

/* A command that the core ordered. */
struct test_order {
    duration at;
    uint32_t node;
    uint8_t remedy;
};

struct test_result {
    struct test_line *trace; /* what people would have read, in order */
    uint32_t trace_count;
    uint32_t trace_dropped;
    struct test_failure failures[TEST_FAILURES_MAX];
    uint32_t failure_count; /* 0: all is as expected */
    uint32_t failures_dropped;
    struct test_order orders[TEST_ORDERS_MAX];
    uint32_t order_count;
};

/* Runs a case. The same case gives the same result. The caller owns what comes back. */
struct test_result *test_run(const struct test_case *test);

void test_result_free(struct test_result **result);

#endif
