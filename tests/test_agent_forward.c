/* Stories about store and forward: what a node agent tells when the control plane was away, or when it was
 * itself killed meanwhile, and that this delays nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "spool_world.h"

#include "agent/backlog.h"
#include "wire/json.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void let_pass(struct world *world, int ms)
{
    int64_t until_ns = monotonic_ns() + ms * MILLISECOND;
    WAIT(world, 30, monotonic_ns() > until_ns);
}

static void let_come(struct world *world, size_t reports)
{
    size_t seen = world->count;
    WAIT(world, 20, world->count >= seen + reports);
}

static uint64_t highest(const struct world *world, const char *boot)
{
    uint64_t sequence = 0;
    for (size_t i = 0; i < world->count; i++)
        if (strcmp(world->heard[i].boot, boot) == 0 && world->heard[i].sequence > sequence)
            sequence = world->heard[i].sequence;
    return sequence;
}

static size_t missing(const struct world *world, const char *boot, uint64_t through)
{
    size_t count = 0;
    for (uint64_t sequence = 1; sequence <= through; sequence++)
        count += world_came(world, boot, sequence) == 0;
    return count;
}

/* Batches tell each boot's story from the beginning on, and are no bigger than they may be. */
static void check_batches(const struct world *world, size_t from)
{
    uint64_t last = 0;
    const char *boot = "";
    for (size_t i = from; i < world->count; i++) {
        const struct heard *heard = &world->heard[i];
        assert_true(heard->batch <= BATCH_REPORTS_MAX);
        if (heard->batch == 1)
            continue;
        assert_true(strcmp(boot, heard->boot) != 0 || heard->sequence > last);
        boot = heard->boot;
        last = heard->sequence;
    }
    assert_true(world->biggest <= 200 * 1024);
}

static void an_outage_is_told_afterwards_and_once(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_plane_stop(world);
    let_pass(world, 1200);
    size_t before = world->count;
    world_plane_start(world);
    WAIT(world, 10, world->count > before);
    uint64_t first_again = world->heard[before].sequence;
    assert_int_equal(world->heard[before].batch, 1); /* the newest alone and first */
    assert_true(world->heard[before].age_s < 0.5);
    WAIT(world, 10, missing(world, world->boot, first_again) == 0);
    let_come(world, 5);
    check_batches(world, before);
    size_t twice = 0;
    uint64_t cut = world->heard[before - 1].sequence; /* its answer may have gone with the control plane */
    for (uint64_t sequence = 1; sequence <= first_again; sequence++)
        twice += sequence != cut && world_came(world, world->boot, sequence) > 1;
    assert_int_equal(twice, 0);
    assert_int_equal(json_array_size(world->gaps), 0);
}

static void a_killed_node_agent_loses_nothing(void **state)
{
    struct world *world = *state;
    char first[17];
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_plane_stop(world);
    uint64_t seen = highest(world, world->boot);
    let_pass(world, 1500);
    snprintf(first, sizeof first, "%s", world->boot);
    world_agent_end(world, SIGKILL);
    size_t before = world->count;
    let_pass(world, 1000);
    world_plane_start(world);
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, highest(world, first) > seen + 10);
    assert_string_not_equal(world->heard[before].boot, first); /* the newest first */
    uint64_t last = highest(world, first);
    assert_int_equal(missing(world, first, last), 0);
    for (size_t i = before; i < world->count; i++) /* the heir's clock knows when it was */
        if (strcmp(world->heard[i].boot, first) == 0)
            assert_true(world->heard[i].age_s > 0.9 && world->heard[i].age_s < 20);
    check_batches(world, before);
    let_come(world, 10);        /* and hears that it is durable */
    size_t told = world->count; /* that was all, and it is not told again, not even to the next heir */
    world_agent_end(world, SIGKILL);
    world_agent_start(world, "", 50, "tcp");
    let_come(world, 10);
    assert_int_equal(highest(world, first), last);
    size_t again = 0;
    for (size_t i = told; i < world->count; i++)
        again += strcmp(world->heard[i].boot, first) == 0;
    assert_int_equal(again, 0);
}

static void a_long_backlog_delays_nobody(void **state)
{
    struct world *world = *state;
    enum { KEPT = 6000 };
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, KEPT, 0);
    char boot[17];
    json_boot_text(boot, FIRST_BOOT);
    world->slow_ns = 30 * MILLISECOND;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_order(world, 1, "restart_service"); /* obeyed while it drains */
    WAIT(world, 30, missing(world, boot, KEPT) == 0);
    double worst_s = 0, oldest_s = 0, took_s = duration_seconds(monotonic_ns() - world->heard[0].at_ns);
    int64_t last_ns = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct heard *heard = &world->heard[i];
        if (heard->batch != 1 || strcmp(heard->boot, boot) == 0)
            continue;
        double pause_s = last_ns ? duration_seconds(heard->at_ns - last_ns) : 0;
        worst_s = pause_s > worst_s ? pause_s : worst_s;
        oldest_s = heard->age_s > oldest_s ? heard->age_s : oldest_s;
        last_ns = heard->at_ns;
    }
    print_message(
        "[          ] %d reports in %.1f s, %zu bodies, the biggest %zu bytes; live reports at most "
        "%.0f ms apart and %.0f ms old\n",
        KEPT, took_s, world->bodies, world->biggest, worst_s * 1000, oldest_s * 1000);
    assert_true(worst_s < 1 * SLOWER);
    assert_true(oldest_s < 0.5 * SLOWER);
    assert_int_equal(world->heard[0].batch, 1);
    assert_string_equal(world->heard[0].boot, world->boot);
    check_batches(world, 0);
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
}

static void what_a_full_spool_dropped_is_told_once(void **state)
{
    struct world *world = *state;
    char boot[17];
    json_boot_text(boot, FIRST_BOOT);
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_MIN, 2000, 0);
    world->spool_bytes = SPOOL_BYTES_MIN;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, json_array_size(world->gaps) > 0 && world_came(world, boot, 2000) > 0);
    json_t *gap = json_array_get(world->gaps, 0);
    assert_string_equal(json_string_value(json_object_get(gap, "boot")), boot);
    assert_string_equal(json_string_value(json_object_get(gap, "reason")), "spool_full");
    assert_int_equal(json_integer_value(json_object_get(gap, "from")), 1);
    uint64_t to = (uint64_t)json_integer_value(json_object_get(gap, "to"));
    assert_int_equal(missing(world, boot, 2000), to); /* what did not come is what it says */
    assert_int_equal(world_came(world, boot, to), 0);
    let_come(world, 10);
    world_agent_end(world, SIGKILL);
    world_agent_start(world, "", 50, "tcp");
    let_come(world, 10);
    assert_int_equal(json_array_size(world->gaps), 1);
}

/* How many of the reports up to `through` have come since `from`. */
static size_t come_since(const struct world *world, size_t from, uint64_t through)
{
    size_t count = 0;
    for (uint64_t sequence = 1; sequence <= through; sequence++)
        for (size_t i = from; i < world->count; i++)
            if (world->heard[i].sequence == sequence) {
                count++;
                break;
            }
    return count;
}

static void another_epoch_hears_it_all_again(void **state)
{
    struct world *world = *state;
    world->forgetful = true;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world->count > 25);
    world_plane_stop(world); /* and with it all that it had not made durable */
    world->epoch = EPOCH + 1;
    world->forgetful = false;
    size_t before = world->count;
    world_plane_start(world);
    WAIT(world, 10, world->count > before);
    uint64_t through = world->heard[before].sequence;
    WAIT(world, 10, come_since(world, before, through) == through);
    let_come(world, 10);
    size_t seen = world->count; /* and now that they are durable, never more */
    let_come(world, 10);
    for (size_t i = seen; i < world->count; i++)
        assert_true(world->heard[i].sequence > through);
}

static void a_lost_answer_makes_it_come_twice(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world_is_up(world));
    world->mute = true;
    size_t before = world->count;
    WAIT(world, 10, world->count > before);
    uint64_t sequence = world->heard[before].sequence;
    world->mute = false;
    world_plane_stop(world);
    world_plane_start(world);
    WAIT(world, 10, world_came(world, world->boot, sequence) == 2);
    WAIT(world, 10, missing(world, world->boot, highest(world, world->boot) - 2) == 0);
}

static void a_report_that_is_refused_holds_nobody_up(void **state)
{
    struct world *world = *state;
    char boot[17];
    json_boot_text(boot, FIRST_BOOT);
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, 300, 0);
    world->picky = true;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 30, missing(world, boot, 300) == 3 && json_array_size(world->gaps) >= 3);
    for (uint64_t sequence = 77; sequence < 300; sequence += 100)
        assert_int_equal(world_came(world, boot, sequence), 0);
    for (size_t i = 0; i < 3; i++) {
        json_t *gap = json_array_get(world->gaps, i);
        assert_string_equal(json_string_value(json_object_get(gap, "reason")), "damaged");
        assert_int_equal(json_integer_value(json_object_get(gap, "from")) % 100, 77);
    }
}

static void an_older_control_plane_is_served_as_before(void **state)
{
    struct world *world = *state;
    char boot[17];
    json_boot_text(boot, FIRST_BOOT);
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_MIN, 2000, 0);
    world->old = true;
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world_came(world, boot, 2000) > 0 && world_is_up(world));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 10);
    assert_int_equal(world_came(world, boot, 2000), 1);
    assert_int_equal(json_array_size(world->gaps), 0); /* it would refuse the word */
    world->old = false;
    WAIT(world, 10, json_array_size(world->gaps) == 1);
}

static void without_a_folder_the_newest_are_told(void **state)
{
    struct world *world = *state;
    file_write(spool_folder(world), (const uint8_t *)"!", 1);
    world_agent_start(world, "", 50, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_plane_stop(world);
    uint64_t seen = highest(world, world->boot);
    let_pass(world, 4200); /* 84 reports */
    size_t before = world->count;
    world_plane_start(world);
    WAIT(world, 10, json_array_size(world->gaps) > 0);
    assert_int_equal(world->heard[before].batch, 1);
    json_t *gap = json_array_get(world->gaps, 0);
    uint64_t from = (uint64_t)json_integer_value(json_object_get(gap, "from"));
    uint64_t to = (uint64_t)json_integer_value(json_object_get(gap, "to"));
    assert_in_range(from, seen, seen + 3);
    assert_true(to > from + 3);
    WAIT(world, 10, world_came(world, world->boot, to + 1) > 0);
    let_come(world, 3);
    assert_int_equal(missing(world, world->boot, highest(world, world->boot)), to - from + 1);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(int argc, char **argv)
{
    int exit_code;
    if (world_role(argc, argv, &exit_code))
        return exit_code;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest stories[] = {
        STORY(an_outage_is_told_afterwards_and_once),
        STORY(a_killed_node_agent_loses_nothing),
        STORY(a_long_backlog_delays_nobody),
        STORY(what_a_full_spool_dropped_is_told_once),
        STORY(another_epoch_hears_it_all_again),
        STORY(a_lost_answer_makes_it_come_twice),
        STORY(a_report_that_is_refused_holds_nobody_up),
        STORY(an_older_control_plane_is_served_as_before),
        STORY(without_a_folder_the_newest_are_told),
    };
    return cmocka_run_group_tests_name("store and forward", stories, NULL, NULL);
}
