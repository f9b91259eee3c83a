/* Stories about the node agent and faults: struck, seen in its own samples, and truly cured or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void built_in(struct world *world)
{
    world_agent_start(world, NULL, 200, NULL);
    WAIT(world, 10, world_is_up(world));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 2);
}

static void a_spike_is_seen_and_cured_by_a_restart(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_strike(world, 4, "cpu_spike", 0.95);
    WAIT(world, 10, world_fault_is(world, 4, "effect", "seen"));
    assert_true(world_fault_is(world, 4, "state", "active"));
    assert_true(world_fault_is(world, 4, "metric", "cpu_utilization"));
    WAIT(world, 10, world_sample(world, "cpu_utilization", 0) > 0.85);
    world_order(world, 1, "restart_service");
    WAIT(world, 10, world_fault_is(world, 4, "reason", "cured"));
    assert_true(world_outcome_is(world, 1, "done"));
    WAIT(world, 10, world_sample(world, "cpu_utilization", 1) < 0.3);
    size_t seen = world->count; /* still listed by the control plane, and yet not struck again */
    WAIT(world, 10, world->count > seen + 3);
    assert_true(world_sample(world, "cpu_utilization", 1) < 0.3);
    json_array_clear(world->faults);
    WAIT(world, 10, json_object_get(world->heard[world->count - 1].body, "faults") == NULL);
}

static void slow_storage_outlives_a_restart_and_not_a_failover(void **state)
{
    struct world *world = *state;
    built_in(world);
    WAIT(world, 10, world_sample(world, "storage_latency", -1) >= 0);
    world_strike(world, 5, "storage_latency", 0.2);
    WAIT(world, 10, world_fault_is(world, 5, "effect", "seen"));
    world_order(world, 1, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 3 && world_sample(world, "storage_latency", 0) > 0.1);
    assert_true(world_fault_is(world, 5, "state", "active"));
    world_order(world, 2, "failover_storage");
    WAIT(world, 10, world_outcome_is(world, 2, "done"));
    assert_string_equal(world_outcome(world, 2, "detail"), "storage primary -> standby");
    WAIT(world, 10, world_fault_is(world, 5, "reason", "cured"));
    WAIT(world, 10, world_sample(world, "storage_latency", 1) < 0.1);
}

static void a_slow_link_is_cured_by_a_new_one(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_strike(world, 6, "network_delay", 0.15);
    WAIT(world, 10, world_fault_is(world, 6, "effect", "seen"));
    WAIT(world, 10, world_sample(world, "request_latency", 0) > 0.14);
    world_order(world, 1, "restart_service"); /* beside the point */
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 3 && world_sample(world, "network_latency", 0) > 0.14);
    world_order(world, 2, "reset_network");
    WAIT(world, 10, world_outcome_is(world, 2, "done"));
    WAIT(world, 10, world_fault_is(world, 6, "reason", "cured"));
    WAIT(world, 10,
         world_sample(world, "network_latency", 1) < 0.1 && world_sample(world, "error_ratio", 1) == 0);
}

/* A user whose request waits in the queue of the node's socket, since nobody accepts it. */
static int queued_user(const struct world *world)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned port;
    assert_int_equal(sscanf(world->address, "127.0.0.1:%u", &port), 1);
    to.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, "PING\r\n", 6, 0), 6);
    return fd;
}

static void a_dead_relay_shows_as_a_dead_link(void **state)
{
    struct world *world = *state;
    int relay = 0;
    world_agent_start(world, "", 100, "tcp:PING");
    WAIT(world, 10, world_is_up(world));
    world_order(world, 1, "reset_network");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    assert_int_equal(sscanf(world_outcome(world, 1, "detail"), "relay %*d -> %d", &relay), 1);
    kill(relay, SIGKILL);
    WAIT(world, 10,
         world_sample(world, "network_latency", 0) > 0.5 && world_sample(world, "error_ratio", 0) == 1);
    int late = queued_user(world);
    world_order(world, 2, "reset_network");
    WAIT(world, 10, world_outcome_is(world, 2, "done"));
    WAIT(world, 10,
         world_sample(world, "network_latency", 1) < 0.1 && world_sample(world, "error_ratio", 1) == 0);
    assert_int_equal(world_starts(world), 1);
    char answer[16]; /* it is turned away: a surge that queued at a dead link would outlive its fault */
    assert_int_equal(recv(late, answer, sizeof answer, MSG_DONTWAIT), -1);
    assert_int_equal(errno, ECONNRESET);
    close(late);
}

static void a_hung_service_is_alive_and_silent_until_restarted(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_strike(world, 7, "service_hang", 1);
    WAIT(world, 10, world_fault_is(world, 7, "effect", "seen"));
    assert_true(world_sample(world, "service_up", 0) == 1);
    assert_true(world_sample(world, "request_latency", 0) > 0.9); /* time-outs count in full */
    world_order(world, 1, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    WAIT(world, 10, world_fault_is(world, 7, "reason", "cured"));
    WAIT(world, 10, world_sample(world, "error_ratio", 1) == 0);
}

static void a_cleared_hang_goes_on(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_strike(world, 7, "service_hang", 1);
    WAIT(world, 10, world_fault_is(world, 7, "effect", "seen"));
    json_array_clear(world->faults);
    WAIT(world, 10, world_fault_is(world, 7, "reason", "cleared"));
    WAIT(world, 10, world_sample(world, "error_ratio", 1) == 0);
    assert_true(world_sample(world, "service_starts", 0) == 1);
}

static void a_crash_strikes_once(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_strike(world, 8, "service_crash", 1);
    WAIT(world, 10, world_sample(world, "service_up", 1) == 0);
    assert_true(world_fault_is(world, 8, "effect", "seen"));
    world_order(world, 1, "restart_service");
    WAIT(world, 10, world_fault_is(world, 8, "reason", "cured") && world_is_up(world));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 5);
    assert_true(world_is_up(world));
    assert_true(world_sample(world, "service_starts", 0) == 2);
    world_agent_end(world, SIGKILL); /* the next node agent knows that it has struck */
    seen = world->count;
    world_agent_start(world, NULL, 200, NULL);
    /* What the one before could not send any more comes along; the newest report is the new one's own. */
    WAIT(world, 10,
         world->count > seen + 5 && world_is_up(world) && world_sample(world, "service_starts", 0) == 1);
    seen = world->count;
    WAIT(world, 10, world->count > seen + 3);
    assert_true(world_sample(world, "service_starts", 0) == 1);
}

static void a_drained_node_has_no_users_until_its_restart(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_order(world, 1, "drain_node");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    WAIT(world, 10, world_sample(world, "request_rate", -1) == -1);
    assert_true(world_sample(world, "service_up", 0) == 1);
    world_order(world, 2, "reset_network"); /* does not bring them back */
    WAIT(world, 10, world_outcome_is(world, 2, "done"));
    size_t seen = world->count;
    WAIT(world, 10, world->count > seen + 2);
    assert_true(world_sample(world, "request_rate", -1) == -1);
    world_order(world, 3, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 3, "done"));
    WAIT(world, 10, world_is_up(world) && world_sample(world, "error_ratio", 1) == 0);
}

static void faults_that_cannot_be_struck_say_why(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_strike(world, 1, "bad_config", 0.5);
    world_strike(world, 2, "bad_weather", 1);
    WAIT(world, 10,
         world_fault_is(world, 1, "state", "failed") && world_fault_is(world, 2, "state", "failed"));
    assert_non_null(strstr(world_fault(world, 1, "reason"), "built-in service"));
}

static void a_probe_that_says_something_sees_a_hang(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 200, "tcp:PING");
    WAIT(world, 10, world_is_up(world) && world_sample(world, "error_ratio", 1) == 0);
    world_strike(world, 3, "service_hang", 1);
    WAIT(world, 10, world_fault_is(world, 3, "effect", "seen"));
    world_order(world, 1, "restart_service");
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    WAIT(world, 10, world_sample(world, "error_ratio", 1) == 0);
}

/* It rises for fifteen seconds, and is judged by what it has come to. */
static void a_ramp_is_not_called_invalid_before_it_has_risen(void **state)
{
    struct world *world = *state;
    built_in(world);
    world_strike(world, 9, "network_delay", 0.2);
    json_object_set_new(json_array_get(world->faults, 0), "shape", json_string("ramp"));
    WAIT(world, 10, world_fault_is(world, 9, "state", "active"));
    int64_t until_ns = monotonic_ns() + 6500 * MILLISECOND;
    WAIT(world, 10, monotonic_ns() > until_ns);
    assert_true(world_fault_is(world, 9, "effect", "waiting"));
    WAIT(world, 10, world_fault_is(world, 9, "effect", "seen"));
}

/* It dies by our SIGTERM, which it does not catch; what is told is what the release would have done. */
static void a_release_that_exits_is_told_as_exited(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp");
    WAIT(world, 10, world_is_up(world));
    world_strike(world, 10, "crash_loop", 0.5);
    WAIT(world, 10, world_sample(world, "service_up", 1) == 0);
    assert_true(world_sample(world, "service_exit", -1) == 1);
    world_order(world, 1, "restart_service"); /* hides it, and cures nothing */
    WAIT(world, 10, world_outcome_is(world, 1, "done"));
    WAIT(world, 10, world_sample(world, "service_up", 1) == 0);
    assert_true(world_fault_is(world, 10, "state", "active"));
    world_order(world, 2, "rollback_release");
    WAIT(world, 10, world_outcome_is(world, 2, "done"));
    WAIT(world, 10, world_fault_is(world, 10, "reason", "cured"));
}

static void a_probe_may_want_a_certain_answer(void **state)
{
    struct world *world = *state;
    world_agent_start(world, "", 100, "tcp:PING => PONG");
    WAIT(world, 10, world_sample(world, "service_up", 0) == 1 && world_sample(world, "error_ratio", 0) == 1);
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
        STORY(a_spike_is_seen_and_cured_by_a_restart),
        STORY(slow_storage_outlives_a_restart_and_not_a_failover),
        STORY(a_slow_link_is_cured_by_a_new_one),
        STORY(a_dead_relay_shows_as_a_dead_link),
        STORY(a_hung_service_is_alive_and_silent_until_restarted),
        STORY(a_cleared_hang_goes_on),
        STORY(a_crash_strikes_once),
        STORY(a_drained_node_has_no_users_until_its_restart),
        STORY(faults_that_cannot_be_struck_say_why),
        STORY(a_probe_that_says_something_sees_a_hang),
        STORY(a_ramp_is_not_called_invalid_before_it_has_risen),
        STORY(a_release_that_exits_is_told_as_exited),
        STORY(a_probe_may_want_a_certain_answer),
    };
    return cmocka_run_group_tests_name("the node agent and faults", stories, NULL, NULL);
}
