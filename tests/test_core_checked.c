/* The real core and gate in a closed loop of random trouble, with the checkers watching: no invariant is
 * broken, and everything that can happen does happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "checked_lab.h"

enum { SEEDS = 200 };

static void add(uint64_t *to, const uint64_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] += from[i];
    }
}

static bool met(const char *kind, const char *word, uint64_t count)
{
    print_message("# %-8s %-18s %8llu\n", kind, word, (unsigned long long)count);
    return count > 0;
}

/* Everything that a policy here can ask for occurred at least once. */
static bool print_seen(const struct checker_seen *seen)
{
    bool all = true;
    for (unsigned i = BLOCK_NONE + 1; i < BLOCK_REASON_COUNT; i++) {
        all &= met("block", block_reason_name((enum block_reason)i), seen->blocks[i]);
    }
    for (unsigned i = 0; i < REMEDY_COUNT; i++) {
        if (checked_lab_remedies() & 1u << i) {
            all &= met("remedy", remedy_name((enum remedy)i), seen->remedies[i]);
        }
    }
    for (unsigned i = VERDICT_NONE + 1; i < VERDICT_COUNT; i++) {
        all &= met("verdict", verdict_name((enum verdict)i), seen->verdicts[i]);
    }
    for (unsigned i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++) {
        all &= met("outcome", outcome_name((enum outcome)i), seen->outcomes[i]);
    }
    for (unsigned a = 0; a < INCIDENT_STATE_COUNT; a++) {
        for (unsigned b = 0; b < INCIDENT_STATE_COUNT; b++) {
            if (incident_edge_is_legal((enum incident_state)a, (enum incident_state)b)) {
                char edge[32];
                snprintf(edge, sizeof edge, "%.9s>%.9s", incident_state_name((enum incident_state)a),
                         incident_state_name((enum incident_state)b));
                all &= met("edge", edge, seen->edges[a][b]);
            }
        }
    }
    all &= met("accident", "crash", seen->crashes);
    all &= met("accident", "gap", seen->gaps);
    all &= met("refusal", "any", seen->refusals);
    return all;
}

static void test_random_trouble_breaks_no_invariant(void **state)
{
    (void)state;
    static struct checker_seen all;
    uint32_t violations = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct checker *checker = checked_lab_run(seed, NULL);
        struct checker_seen seen;
        checker_seen(checker, &seen);
        add((uint64_t *)&all, (const uint64_t *)&seen, sizeof all / sizeof(uint64_t));
        if (checker_count(checker) > 0 && violations < 30) {
            checked_lab_print(checker, seed, stdout);
        }
        violations += checker_count(checker);
        checker_free(&checker);
    }
    assert_int_equal(violations, 0);
    assert_true(print_seen(&all));
}

static void test_the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    uint64_t first, second, other;
    struct checker *checker = checked_lab_run(3, &first);
    checker_free(&checker);
    checker = checked_lab_run(3, &second);
    checker_free(&checker);
    checker = checked_lab_run(4, &other);
    checker_free(&checker);
    assert_true(first == second && first != other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_trouble_breaks_no_invariant),
        cmocka_unit_test(test_the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
