/* The node agent is suspended while the control plane's answer is on its way: what the answer allowed for a
 * moment is over when it wakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent_world.h"

static void listen_for(struct world *world, duration time_ns)
{
    int64_t until_ns = monotonic_ns() + time_ns;
    while (monotonic_ns() < until_ns)
        world_turn(world);
}

/* A report waits for its answer, and its sender is stopped before the answer comes. */
static void suspend_with_a_report_on_its_way(struct world *world)
{
    int status;
    usleep(300000); /* three intervals in which nobody reads what it sends */
    kill(world->agent, SIGSTOP);
    assert_int_equal(waitpid(world->agent, &status, WUNTRACED), world->agent);
    assert_true(WIFSTOPPED(status));
}

/* The answer says what it has to say, once, and waits in the socket for longer than that holds. */
static void answer_and_wait(struct world *world)
{
    size_t seen = world->count;
    WAIT(world, 5, world->count > seen);
    listen_for(world, 200 * MILLISECOND);
    json_array_clear(world->commands);
    json_array_clear(world->faults);
    listen_for(world, 1500 * MILLISECOND);
    kill(world->agent, SIGCONT);
}

static void a_command_that_waited_too_long_is_not_begun(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    suspend_with_a_report_on_its_way(world);
    json_t *command = world_command(world, 1, "restart_service");
    json_object_set_new(command, "expires_in_s", json_real(1.0));
    json_array_append_new(world->commands, command);
    answer_and_wait(world);
    WAIT(world, 10, world_outcome_is(world, 1, "expired"));
    assert_int_equal(world_starts(world), 1);
}

static void a_command_in_time_is_carried_out(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    suspend_with_a_report_on_its_way(world);
    json_t *command = world_command(world, 1, "restart_service");
    json_object_set_new(command, "expires_in_s", json_real(30.0));
    json_array_append_new(world->commands, command);
    answer_and_wait(world);
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    assert_int_equal(world_starts(world), 2);
}

static void a_fault_whose_lease_was_over_does_not_strike(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    pid_t service;
    assert_int_equal(world_witnesses(world, &service, 1), 1);
    suspend_with_a_report_on_its_way(world);
    world_strike(world, 1, "service_crash", 1);
    json_object_set_new(json_array_get(world->faults, 0), "lease_s", json_real(1.0));
    answer_and_wait(world);
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 10);
    assert_false(world_is_gone(service));
}

int main(int argc, char **argv)
{
    int exit_code;
    if (world_role(argc, argv, &exit_code))
        return exit_code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_command_that_waited_too_long_is_not_begun, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_command_in_time_is_carried_out, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_fault_whose_lease_was_over_does_not_strike, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
