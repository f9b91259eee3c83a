/* Ledgers: what stored_through may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plane/ledger.h"

#include <stdbool.h>
#include <string.h>

static void the_newest_first_then_the_backlog(void **state)
{
    (void)state;
    struct ledger ledger;
    ledger_begin(&ledger, 0xb1, 1);
    ledger_take(&ledger, 50, 50, 1, 0);
    assert_int_equal(ledger_through(&ledger, 0), 0);
    assert_int_equal(ledger_through(&ledger, 1),
                     50); /* all that was accepted of 1..50 is durable: 50 alone */
    ledger_take(&ledger, 10, 20, 2, 1);
    assert_int_equal(ledger_through(&ledger, 1), 9);
    ledger_take(&ledger, 51, 51, 3, 1);
    assert_int_equal(ledger_through(&ledger, 2), 50);
    assert_int_equal(ledger_through(&ledger, 3), 51);
}

static void what_never_settles_holds_it_back(void **state)
{
    (void)state;
    struct ledger ledger;
    ledger_begin(&ledger, 0xb1, 1);
    for (uint64_t n = 1; n <= 1000; n++)
        ledger_take(&ledger, n, n, n, 4);
    assert_int_equal(ledger_through(&ledger, 4), 4);
    assert_int_equal(ledger_through(&ledger, 999), 5); /* two ways only: late, but never early */
    assert_int_equal(ledger_through(&ledger, 1000), 1000);
}

static void one_that_was_forgotten_begins_behind_what_is_under_way(void **state)
{
    (void)state;
    struct ledger ledger;
    ledger_begin(&ledger, 0xb1, 7); /* the one before it had 3 under way with batch 7 */
    ledger_take(&ledger, 9, 9, 7, 6);
    assert_int_equal(ledger_through(&ledger, 6), 0);
    assert_int_equal(ledger_through(&ledger, 7), 9);
}

static uint64_t random_below(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % below;
}

enum { NUMBERS = 64 };

/* Against a book of every single report: what is called durable always is. */
static void it_never_says_too_much(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        uint64_t dice = seed, batch[NUMBERS + 1] = {0}, ticket = 1, durable = 0, highest = 0;
        struct ledger ledger;
        ledger_begin(&ledger, 0xb1, ticket);
        for (int step = 0; step < 100; step++) {
            uint64_t what = random_below(&dice, 4);
            if (what == 0)
                ticket++;
            else if (what == 1 && durable < ticket - 1)
                durable += 1 + random_below(&dice, ticket - 1 - durable);
            else {
                uint64_t first = 1 + random_below(&dice, NUMBERS), last = first + random_below(&dice, 3);
                last = last > NUMBERS ? NUMBERS : last;
                for (uint64_t n = first; n <= last; n++)
                    batch[n] = ticket;
                highest = last > highest ? last : highest;
                ledger_take(&ledger, first, last, ticket, durable);
            }
            uint64_t through = ledger_through(&ledger, durable);
            assert_true(through <= highest);
            for (uint64_t n = 1; n <= through; n++)
                assert_true(batch[n] <= durable);
        }
        assert_int_equal(ledger_through(&ledger, ticket), highest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_first_then_the_backlog),
        cmocka_unit_test(what_never_settles_holds_it_back),
        cmocka_unit_test(one_that_was_forgotten_begins_behind_what_is_under_way),
        cmocka_unit_test(it_never_says_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
