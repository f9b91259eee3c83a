/* Stories about the node agent: what it reports, what it obeys, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent_world.h"

#include "agent/journal.h"
#include "agent/port.h"
#include "agent/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- reports -------------------------------------------------------------------------------------------- */

static void a_busy_service_reads_one(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "busy", 500, "tcp");
    WAIT(world, 10, world_is_up(world));
    size_t seen = world->count;
    WAIT(world, 10, world->count >= seen + 3);
    assert_true(world_sample(world, "cpu_utilization", -1) > 0.9);
    assert_true(world_sample(world, "memory_bytes", 0) > 100 * 1024);
    assert_true(world_sample(world, "neighbour_cpu_utilization", -1) == 0);
    assert_true(world_sample(world, "node_memory_utilization", -1) > 0);
    assert_true(world_sample(world, "filesystem_utilization", -1) >= 0);
    assert_true(world_sample(world, "network_latency", -1) > 0);
    assert_true(world_sample(world, "error_ratio", -1) == 0);
    assert_true(world_sample(world, "storage_latency", -1) == -1); /* nobody knows, so nobody says */
}

static void an_idle_service_beside_busy_neighbours_reads_nought(void **state)
{
    struct world *world = *state;
    pid_t neighbours[3];
    for (int i = 0; i < 3; i++)
        neighbours[i] = world_neighbour();
    world_agent_start(world, "", 500, "tcp");
    WAIT(world, 20, world_is_up(world));
    size_t seen = world->count;
    WAIT(world, 20, world->count >= seen + 3);
    double idle = world_sample(world, "cpu_utilization", -1);
    for (int i = 0; i < 3; i++) {
        kill(neighbours[i], SIGKILL);
        waitpid(neighbours[i], NULL, 0);
    }
    assert_true(idle >= 0);
    assert_true(idle < 0.15);
}

static void a_death_is_reported_at_once(void **state)
{
    struct world *world = *state;
    pid_t service;
    world_agent_start(world, "", 1500, "tcp");
    WAIT(world, 10, world_is_up(world));
    size_t seen = world->count;
    assert_int_equal(world_witnesses(world, &service, 1), 1);
    int64_t killed_ns = monotonic_ns();
    kill(service, SIGKILL);
    WAIT(world, 2, world->count > seen && world_sample(world, "service_up", 1) == 0);
    double after_s = duration_seconds(world->heard[seen].at_ns - killed_ns);
    print_message("[          ] told after %.1f ms\n", after_s * 1000);
    assert_true(after_s < 0.3); /* and not at the end of the interval */
    assert_true(world_sample(world, "cpu_utilization", -1) == -1);
    WAIT(world, 10, world_sample(world, "error_ratio", 0) == 1);
    assert_int_equal(world_starts(world), 1); /* it restarts nothing by itself */
}

static void reports_wait_for_a_control_plane_that_is_away(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    int hellos = world->hellos;
    world_plane_stop(world);
    int64_t until_ns = monotonic_ns() + 1500 * MILLISECOND;
    WAIT(world, 5, monotonic_ns() > until_ns);
    size_t before = world->count;
    world_plane_start(world);
    WAIT(world, 10, world->count > before + 10 && world->heard[world->count - 1].batch == 1);
    assert_true(world->hellos > hellos);             /* it may be another one */
    assert_int_equal(world->heard[before].batch, 1); /* the newest alone and first */
    double oldest_s = 0;
    bool came[1000] = {false};
    for (size_t i = 0; i < world->count; i++) {
        came[world->heard[i].sequence % 1000] = true;
        if (world->heard[i].batch > 1 && world->heard[i].age_s > oldest_s)
            oldest_s = world->heard[i].age_s;
    }
    assert_true(oldest_s > 1.0 && oldest_s < 4.0);
    for (uint64_t sequence = 1; sequence <= world->heard[before].sequence; sequence++)
        assert_true(came[sequence]);
}

/* --- commands ------------------------------------------------------------------------------------------- */

static void one_command_has_one_effect(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    for (int i = 0; i < 10; i++)
        world_order(world, 1, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 10); /* offered ten times with each answer */
    assert_int_equal(world_starts(world), 2);
    assert_true(world_sample(world, "service_starts", 0) == 2);
    assert_non_null(strstr(world_outcome(world, 1, "detail"), "process "));
    json_array_clear(world->commands);
    world_order(world, 2, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 2, "done"));
    assert_int_equal(world_starts(world), 3);
}

static void the_dead_are_started_again_quickly(void **state)
{
    struct world *world = *state;
    pid_t service;
    world_agent_start(world, "", 1000, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_witnesses(world, &service, 1);
    world_order(world, 1, "restart_service");
    size_t seen = world->count;
    kill(service, SIGKILL);
    WAIT(world, 2, world->count > seen); /* its answer carries the command */
    int64_t answered_ns = world->heard[seen].at_ns;
    WAIT(world, 5, world_starts(world) == 2);
    double after_s = duration_seconds(monotonic_ns() - answered_ns);
    print_message("[          ] started again %.0f ms after the answer\n", after_s * 1000);
    assert_true(after_s < 1);
    WAIT(world, 5, world_outcome_is(world, 1, "done"));
    WAIT(world, 5, world_is_up(world));
}

static void what_must_not_be_done_is_refused(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    json_t *old = world_command(world, 1, "restart_service");
    json_object_set_new(old, "epoch", json_integer(EPOCH - 1));
    json_t *other = world_command(world, 2, "restart_service");
    json_object_set_new(other, "boot", json_string("00000000000000ff"));
    json_t *late = world_command(world, 3, "restart_service");
    json_object_set_new(late, "expires_in_s", json_real(-0.1));
    json_array_append_new(world->commands, old);
    json_array_append_new(world->commands, other);
    json_array_append_new(world->commands, late);
    world_order(world, 4, "shed_load"); /* a program of one's own cannot be told to */
    world_order(world, 5, "make_coffee");
    for (uint32_t sequence = 1; sequence <= 5; sequence++) /* one may come twice before another */
        WAIT(world, 10, *world_outcome(world, sequence, "outcome"));
    assert_string_equal(world_outcome(world, 1, "outcome"), "refused");
    assert_non_null(strstr(world_outcome(world, 1, "detail"), "epoch"));
    assert_string_equal(world_outcome(world, 2, "outcome"), "refused");
    assert_non_null(strstr(world_outcome(world, 2, "detail"), "boot"));
    assert_string_equal(world_outcome(world, 3, "outcome"), "expired");
    assert_string_equal(world_outcome(world, 4, "outcome"), "unsupported");
    assert_string_equal(world_outcome(world, 5, "outcome"), "unsupported");
    assert_int_equal(world_starts(world), 1);
}

static void an_old_control_plane_is_not_obeyed_even_after_a_restart(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    json_t *newer = world_command(world, 1, "restart_service");
    json_object_set_new(newer, "epoch", json_integer(EPOCH + 1));
    json_array_append_new(world->commands, newer);
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    json_array_clear(world->commands);
    assert_int_equal(world_agent_end(world, SIGTERM), 0);
    size_t seen = world->count;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world->count > seen && world_is_up(world));
    world_order(world, 2, "restart_service"); /* of EPOCH */
    WAIT(world, 10, world_outcome_is(world, 2, "refused"));
    assert_int_equal(world_starts(world), 3);
}

static void a_command_cut_by_a_kill_is_told_as_cut(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "stubborn", 100, "tcp"); /* stopping it takes 300 ms */
    WAIT(world, 10, world_is_up(world));
    world_order(world, 1, "restart_service");
    char path[128], journal[4096] = "";
    snprintf(path, sizeof path, "%s/commands.journal", world->folder);
    for (int64_t by_ns = monotonic_ns() + 10 * SECOND;
         !strstr(journal, " begin ") && monotonic_ns() < by_ns;) {
        world_turn(world);
        int fd = open(path, O_RDONLY);
        ssize_t got = read(fd, journal, sizeof journal - 1);
        journal[got > 0 ? got : 0] = '\0';
        close(fd);
    }
    world_agent_end(world, SIGKILL);
    assert_int_equal(world_starts(world), 1);
    assert_int_equal(json_array_size(world->outcomes), 0);
    world_agent_start(world, "stubborn", 100, "tcp");
    WAIT(world, 10, world_outcome_is(world, 1, "cut") && world_starts(world) == 2);
    size_t seen = world->count; /* and the command is still offered */
    WAIT(world, 10, world->count > seen + 5);
    assert_int_equal(world_starts(world), 2); /* the new node agent's own first start, no more */
    for (size_t i = 0; i < json_array_size(world->outcomes); i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(world->outcomes, i), "outcome")),
                            "cut");
}

static void a_folder_has_one_node_agent(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    pid_t first = world->agent;
    int status = 0;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, waitpid(world->agent, &status, WNOHANG) == world->agent);
    world->agent = first;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_int_equal(world_starts(world), 1);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void a_clean_end_says_goodbye(void **state)
{
    struct world *world = *state;
    pid_t service;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_witnesses(world, &service, 1);
    int status = world_agent_end(world, SIGTERM);
    assert_int_equal(status, 0);
    assert_int_equal(world->goodbyes, 1);
    assert_true(world_is_gone(service));
}

static void a_killed_node_agent_leaves_nothing_behind(void **state)
{
    struct world *world = *state;
    pid_t family[3];
    world_agent_start(world, "parent", 100, "tcp");
    WAIT(world, 10, world_is_up(world) && world_starts(world) == 3);
    world_witnesses(world, family, 3);
    for (int i = 0; i < 3; i++)
        assert_false(world_is_gone(family[i]));
    pid_t agent = world->agent;
    world_agent_end(world, SIGKILL);
    for (int i = 0; i < 3; i++)
        WAIT(world, 5, world_is_gone(family[i]));
    struct tree left; /* relay and warden would have come to us */
    WAIT(world, 5, (tree_collect(&left, 0, world->boot), left.count == 0));
    assert_true(world_is_gone(agent));
}

static void a_stop_takes_the_whole_family(void **state)
{
    struct world *world = *state;
    pid_t family[3];
    world_agent_start(world, "parent", 100, "tcp");
    WAIT(world, 10, world_is_up(world) && world_starts(world) == 3);
    world_witnesses(world, family, 3);
    world_order(world, 1, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    for (int i = 0; i < 3; i++)
        assert_true(world_is_gone(family[i]));
}

/* --- what it says --------------------------------------------------------------------------------------- */

static void trouble_is_said_with_its_mend(void **state)
{
    struct world *world = *state;
    world->strict = true;
    world_agent_start(world, NULL, 100, "");
    WAIT(world, 10, world_said(world, "(status 401); mend: --token-file FILE with a line 'node TOKEN'"));
    assert_false(world_said(world, "{"));
    pid_t first = world->agent;
    world_agent_start(world, NULL, 100, ""); /* on the same folder */
    int status = world_agent_end(world, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_true(world_said(world, "another node agent has this folder"));
    world->agent = first;
    world_agent_end(world, SIGTERM);
}

static void a_control_plane_that_is_not_there_has_no_status(void **state)
{
    struct world *world = *state;
    world_plane_stop(world);
    world_agent_start(world, NULL, 100, "");
    int64_t by_ns = monotonic_ns() + 10 * SECOND;
    while (!world_said(world, "does not take the hello") && monotonic_ns() < by_ns)
        usleep(10000);
    assert_true(world_said(world, "does not take the hello"));
    assert_false(world_said(world, "(status"));
    world_plane_start(world);
    world_agent_end(world, SIGTERM);
}

static void a_fifo_in_the_journals_place_is_refused(void **state)
{
    struct world *world = *state;
    static const char *const tails[] = {"", ".lock"};
    struct journal *journal;
    char path[128], strange[160];
    snprintf(path, sizeof path, "%s/commands.journal", world->folder);
    for (int i = 0; i < 2; i++) {
        snprintf(strange, sizeof strange, "%s%s", path, tails[i]);
        unlink(strange); /* the first opening has made a lock */
        assert_int_equal(mkfifo(strange, 0600), 0);
        alarm(10); /* nobody is at its other end */
        assert_int_equal(journal_open(&journal, path), -ENOTSUP);
        unlink(strange);
        assert_int_equal(mkdir(strange, 0700), 0);
        assert_int_equal(journal_open(&journal, path), -ENOTSUP);
        assert_int_equal(rmdir(strange), 0);
        alarm(0);
    }
    snprintf(strange, sizeof strange, "%s.new", path); /* it gives way to ours */
    assert_int_equal(mkfifo(strange, 0600), 0);
    assert_int_equal(journal_open(&journal, path), 0);
    journal_close(&journal);
}

/* --- the journal ---------------------------------------------------------------------------------------- */

static struct journal *opened_journal(const struct world *world, char path[128])
{
    struct journal *journal;
    snprintf(path, 128, "%s/commands.journal", world->folder);
    assert_int_equal(journal_open(&journal, path), 0);
    return journal;
}

/* Has all descriptors that we have, for a moment longer than we do. */
static pid_t lingering_child(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        poll(NULL, 0, 200);
        _exit(0);
    }
    return child;
}

/* What a killed node agent forked and what has not begun its own program yet has its lock for a moment. */
static void a_child_of_a_killed_node_agent_keeps_nobody_out(void **state)
{
    struct world *world = *state;
    char path[128];
    struct journal *journal = opened_journal(world, path);
    pid_t child = lingering_child();
    journal_close(&journal);
    assert_int_equal(journal_open(&journal, path), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    journal_close(&journal);
}

/* Its relay has the port a moment longer than the killed node agent. */
static void a_relay_of_a_killed_node_agent_keeps_nobody_out(void **state)
{
    (void)state;
    char address[32];
    int fd = port_listen("127.0.0.1:0");
    assert_true(fd >= 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", port_of(fd));
    pid_t relay = lingering_child();
    close(fd);
    fd = port_listen(address);
    assert_true(fd >= 0);
    assert_int_equal(port_listen(address), -EADDRINUSE);
    assert_int_equal(waitpid(relay, NULL, 0), relay);
    close(fd);
}

static void a_torn_journal_keeps_what_was_whole(void **state)
{
    struct world *world = *state;
    char path[128];
    struct journal *journal = opened_journal(world, path), *second;
    assert_int_equal(journal_open(&second, path), -EBUSY);
    assert_int_equal(journal_meet_epoch(journal, 7), 0);
    assert_int_equal(journal_begin(journal, 100), 0);
    struct journal_entry end = {
        .id = 100, .outcome = OUTCOME_DONE, .began = true, .took_s = 0.064, .detail = "process 1 -> 2"};
    assert_int_equal(journal_end(journal, &end), 0);
    assert_int_equal(journal_begin(journal, 101), 0);
    journal_close(&journal);

    int fd = open(path, O_WRONLY | O_APPEND);
    const char torn[] = "0badc0de begin 55\n1234";
    assert_int_equal(write(fd, torn, sizeof torn - 1), sizeof torn - 1);
    close(fd);

    for (int opening = 0; opening < 2; opening++) { /* the second one reads what the first has mended */
        assert_int_equal(journal_open(&journal, path), 0);
        assert_int_equal(journal_epoch_floor(journal), 7);
        const struct journal_entry *done = journal_find(journal, 100), *cut = journal_find(journal, 101);
        assert_non_null(done);
        assert_int_equal(done->outcome, OUTCOME_DONE);
        assert_string_equal(done->detail, "process 1 -> 2");
        assert_true(done->took_s > 0.063 && done->took_s < 0.065);
        assert_non_null(cut);
        assert_int_equal(cut->outcome, OUTCOME_CUT);
        assert_null(journal_find(journal, 55));
        journal_close(&journal);
    }
}

static void a_journal_forgets_the_oldest_and_refuses_them(void **state)
{
    struct world *world = *state;
    char path[128];
    struct journal *journal = opened_journal(world, path);
    for (uint64_t id = 1; id <= JOURNAL_ENTRIES + 44; id++) {
        struct journal_entry end = {.id = id, .outcome = OUTCOME_REFUSED};
        assert_int_equal(journal_end(journal, &end), 0);
        journal_acknowledge(journal, id);
    }
    assert_int_equal(journal_id_floor(journal), 44);
    assert_null(journal_find(journal, 44));
    assert_non_null(journal_find(journal, 45));
    assert_null(journal_unacknowledged(journal));
    journal_close(&journal);
    assert_int_equal(journal_open(&journal, path), 0);
    assert_int_equal(journal_id_floor(journal), 44);
    assert_null(journal_unacknowledged(journal));
    journal_close(&journal);
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
        STORY(trouble_is_said_with_its_mend),
        STORY(a_control_plane_that_is_not_there_has_no_status),
        STORY(a_fifo_in_the_journals_place_is_refused),
        STORY(a_child_of_a_killed_node_agent_keeps_nobody_out),
        STORY(a_relay_of_a_killed_node_agent_keeps_nobody_out),
        STORY(a_torn_journal_keeps_what_was_whole),
        STORY(a_journal_forgets_the_oldest_and_refuses_them),
        STORY(a_busy_service_reads_one),
        STORY(an_idle_service_beside_busy_neighbours_reads_nought),
        STORY(a_death_is_reported_at_once),
        STORY(reports_wait_for_a_control_plane_that_is_away),
        STORY(one_command_has_one_effect),
        STORY(the_dead_are_started_again_quickly),
        STORY(what_must_not_be_done_is_refused),
        STORY(an_old_control_plane_is_not_obeyed_even_after_a_restart),
        STORY(a_command_cut_by_a_kill_is_told_as_cut),
        STORY(a_folder_has_one_node_agent),
        STORY(a_clean_end_says_goodbye),
        STORY(a_killed_node_agent_leaves_nothing_behind),
        STORY(a_stop_takes_the_whole_family),
    };
    return cmocka_run_group_tests_name("the node agent", stories, NULL, NULL);
}
