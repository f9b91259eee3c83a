/* Stories of the helpers, with real processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "base/check.h"
#include "base/clock.h"
#include "inject/helper.h"
#include "inject/page.h"
#include "inject/victims.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOREVER (monotonic_ns() + HOUR)

static struct page *page;
static int page_fd;

static int set_up(void **state)
{
    (void)state;
    page_fd = page_create(&page);
    return page_fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    page_close(page);
    close(page_fd);
    return 0;
}

static pid_t helper(enum helper_kind kind, pid_t victim, uint64_t most_bytes)
{
    pid_t pid = start();

    if (pid == 0)
        _exit(helper_main((struct helper_options){
            .kind = kind, .page_fd = page_fd, .victim = victim, .most_bytes = most_bytes}));
    return pid;
}

/* Waits for it to end by itself; its exit code. */
static int code_of(pid_t pid)
{
    int status = -1;

    assert_soon(waitpid(pid, &status, WNOHANG) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool is_running(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

/* --- a service ------------------------------------------------------------------------------------------ */

static int64_t thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Answers each byte with a byte, after so much work; its child does the same with nobody. */
struct service {
    pid_t pid;
    int fd;
    _Atomic pid_t *child;
};

static void serve(int fd, duration work)
{
    char byte;

    while (read(fd, &byte, 1) == 1) {
        for (int64_t end = thread_cpu_ns() + work; thread_cpu_ns() < end;)
            ;
        (void)!write(fd, &byte, 1);
    }
    _exit(0);
}

static struct service service_new(duration work)
{
    struct service service = {.child = shared_new(sizeof(*service.child))};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    service.pid = start();
    if (service.pid == 0) {
        close(ends[0]);
        pid_t child = start();
        if (child == 0)
            for (;;)
                pause_ms(1000);
        *service.child = child;
        serve(ends[1], work);
    }
    close(ends[1]);
    service.fd = ends[0];
    assert_soon(*service.child != 0);
    return service;
}

static void service_end(struct service *service)
{
    close(service->fd);
    end(service->pid, SIGKILL);
    munmap(service->child, sizeof(*service->child));
}

static double ask(const struct service *service)
{
    int64_t began_at = monotonic_ns();
    char byte = 'x';

    assert_int_equal(write(service->fd, &byte, 1), 1);
    assert_int_equal(read(service->fd, &byte, 1), 1);
    return seconds_since(began_at);
}

/* The mean of so many round trips, with pauses between them that fit no period. */
static double mean_trip(const struct service *service, int count)
{
    double sum = 0;

    for (int i = 0; i < count; i++) {
        pause_ms(7 + i % 5);
        sum += ask(service);
    }
    return sum / count;
}

static bool is_stopped(pid_t pid)
{
    return victims_state(pid) == 'T';
}

/* --- burn ----------------------------------------------------------------------------------------------- */

static void a_burn_makes_a_program_slow_and_then_ends(void **state)
{
    struct service service = service_new(0);

    (void)state;
    page_set(page, FAULT_CPU_SPIKE, 0.95, FOREVER);
    pid_t burn = helper(HELPER_BURN, service.pid, 0);
    double trip = mean_trip(&service, 40);
    print_message("# %.1f ms a round trip\n", trip * 1e3);
    assert_true(trip > 0.015); /* half of a slice of 57 ms, but for those that come in the gap */
    assert_soon(is_stopped(service.pid) && is_stopped(*service.child)); /* all of its processes */
    page_clear(page, FAULT_CPU_SPIKE);
    assert_int_equal(code_of(burn), 0);
    assert_false(is_stopped(service.pid) || is_stopped(*service.child));
    ask(&service);
    service_end(&service);
}

static void a_burn_lasts_through_a_shape_and_ends_with_its_lease(void **state)
{
    struct service service = service_new(0);

    (void)state;
    page_set(page, FAULT_CPU_SPIKE, 0, monotonic_ns() + SECOND);
    pid_t burn = helper(HELPER_BURN, service.pid, 0);
    for (int i = 0; i < 20; i++) {
        pause_ms(5);
        assert_false(is_stopped(service.pid)); /* nothing for a moment is not the end */
    }
    page_level(page, FAULT_CPU_SPIKE, 0.9);
    assert_soon(is_stopped(service.pid));
    page_level(page, FAULT_CPU_SPIKE, 0);
    assert_true(is_running(burn));
    assert_int_equal(code_of(burn), 0); /* the lease */
    assert_false(is_stopped(service.pid));
    service_end(&service);
}

static void a_burn_ends_with_its_incarnation_its_victim_and_a_word(void **state)
{
    struct service service = service_new(0);

    (void)state;
    page_set(page, FAULT_CPU_SPIKE, 0.9, FOREVER);
    page_renew(page, FAULT_CPU_SPIKE);
    assert_int_equal(code_of(helper(HELPER_BURN, service.pid, 0)), 0); /* it did not strike this one */

    page_set(page, FAULT_CPU_SPIKE, 0.9, FOREVER);
    pid_t burn = helper(HELPER_BURN, service.pid, 0);
    assert_soon(is_stopped(service.pid));
    kill(burn, SIGTERM);
    assert_int_equal(code_of(burn), 0);
    assert_false(is_stopped(service.pid) || is_stopped(*service.child));

    burn = helper(HELPER_BURN, service.pid, 0);
    assert_soon(is_stopped(service.pid));
    service_end(&service);
    assert_int_equal(code_of(burn), 0);
}

/* What its parent owes: to let them go on. */
static void what_a_killed_burn_left_stopped_can_be_let_go(void **state)
{
    struct service service = service_new(0);

    (void)state;
    page_set(page, FAULT_CPU_SPIKE, 0.95, FOREVER);
    pid_t burn = helper(HELPER_BURN, service.pid, 0);
    assert_soon(is_stopped(service.pid) && is_stopped(*service.child));
    kill(burn, SIGSTOP); /* so that it surely is in the middle of a slice */
    assert_soon(is_stopped(burn));
    if (!is_stopped(service.pid)) { /* the slice was just over */
        kill(burn, SIGCONT);
        assert_soon(is_stopped(service.pid) && is_stopped(*service.child));
    }
    end(burn, SIGKILL);
    helper_clean_up(HELPER_BURN, service.pid);
    assert_soon(!is_stopped(service.pid) && !is_stopped(*service.child));
    ask(&service);
    helper_clean_up(HELPER_BURN, service.pid); /* harmless */
    service_end(&service);
}

/* Its parent dies, and the kernel tells it so: it lets go first. */
static void a_burn_whose_parent_dies_lets_go(void **state)
{
    struct service service = service_new(0);

    (void)state;
    page_set(page, FAULT_CPU_SPIKE, 0.95, FOREVER);
    pid_t parent = start();
    if (parent == 0) {
        helper(HELPER_BURN, service.pid, 0);
        for (;;)
            pause_ms(1000);
    }
    assert_soon(is_stopped(service.pid));
    end(parent, SIGKILL);
    for (int i = 0; i < 3; i++) /* each of which it would not outlast if it were stopped for good */
        ask(&service);
    assert_soon(!is_stopped(service.pid));
    pause_ms(130); /* two periods, in which a burn would stop it again */
    assert_false(is_stopped(service.pid));
    service_end(&service);
}

/* --- leak ----------------------------------------------------------------------------------------------- */

static long long resident_bytes(pid_t pid)
{
    char path[64];
    long long pages = 0;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d %lld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* For half a second, in which it would gain 8 MiB. */
static bool stands_still(pid_t pid)
{
    long long before = resident_bytes(pid);

    pause_ms(500);
    return resident_bytes(pid) - before < 1 << 20;
}

static void a_leak_grows_at_its_rate_and_no_further_than_its_limit(void **state)
{
    const long long most = 96 << 20;

    (void)state;
    page_set(page, FAULT_MEMORY_LEAK, 10, FOREVER); /* 16 MiB a second: it takes 6 s */
    int64_t began_at = monotonic_ns();
    pid_t leak = helper(HELPER_LEAK, 0, (uint64_t)most);
    assert_soon(resident_bytes(leak) > most / 3);
    double took = seconds_since(began_at);
    print_message("# %.1f MiB a second, of 16\n", (double)(most / 3) / took / (1 << 20));
    assert_true(took > 1.0); /* 2 s less what it has at its start; the machine may be busy, and then it takes
                                longer */
    assert_soon(resident_bytes(leak) >= most);
    assert_soon(stands_still(leak));
    assert_true(resident_bytes(leak) < most + (40 << 20)); /* and what it had at its start */
    assert_true(is_running(leak)); /* what is lost stays lost until the release is gone */
    page_renew(page, FAULT_MEMORY_LEAK);
    assert_true(is_running(leak)); /* it belongs to the release that was struck */
    page_clear(page, FAULT_MEMORY_LEAK);
    assert_int_equal(code_of(leak), 0);
}

/* --- neighbour ------------------------------------------------------------------------------------------ */

static cpu_set_t cores_of(pid_t thread)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    sched_getaffinity(thread, sizeof(cores), &cores);
    return cores;
}

static bool has_cores(pid_t thread, const cpu_set_t *wanted)
{
    cpu_set_t cores = cores_of(thread);

    return CPU_EQUAL(&cores, wanted);
}

static bool is_pinned(pid_t thread)
{
    cpu_set_t cores = cores_of(thread);

    return CPU_COUNT(&cores) == 1;
}

static void a_neighbour_makes_a_working_service_slow(void **state)
{
    struct service service = service_new(2 * MILLISECOND);

    (void)state;
    double alone = mean_trip(&service, 20);
    page_set(page, FAULT_NOISY_NEIGHBOUR, 0.9, FOREVER);
    pid_t neighbour = helper(HELPER_NEIGHBOUR, service.pid, 0);
    assert_soon(is_pinned(service.pid));
    pause_ms(200);
    double trip = mean_trip(&service, 60);
    print_message("# %.1f ms a round trip of 2 ms of work, %.1f ms before\n", trip * 1e3, alone * 1e3);
    assert_true(trip > 0.015);
    kill(neighbour, SIGSTOP); /* isolated */
    assert_soon(is_stopped(neighbour));
    print_message("# %.1f ms while it is isolated\n", mean_trip(&service, 20) * 1e3);
    end(neighbour, SIGTERM);
    service_end(&service);
}

static int64_t cpu_ns_of(pid_t pid)
{
    clockid_t clock;

    return clock_getcpuclockid(pid, &clock) == 0 ? clock_ns(clock) : 0;
}

static void a_neighbour_takes_no_more_than_its_share_of_an_idle_core(void **state)
{
    struct service service = service_new(0);

    (void)state;
    page_set(page, FAULT_NOISY_NEIGHBOUR, 0.3, FOREVER);
    pid_t neighbour = helper(HELPER_NEIGHBOUR, service.pid, 0);
    assert_soon(cpu_ns_of(neighbour) > 50 * MILLISECOND);
    int64_t began_at = monotonic_ns(), used = cpu_ns_of(neighbour);
    pause_ms(2000);
    double share = duration_seconds(cpu_ns_of(neighbour) - used) / seconds_since(began_at);
    print_message("# %.3f of a core, of 0.3\n", share);
    assert_true(share > 0.1 && share < 0.36); /* less only if the machine is busy */
    page_level(page, FAULT_NOISY_NEIGHBOUR, 0);
    pause_ms(200);
    used = cpu_ns_of(neighbour);
    pause_ms(500);
    assert_true(cpu_ns_of(neighbour) - used < 50 * MILLISECOND); /* nothing for a moment */
    assert_true(is_running(neighbour));
    end(neighbour, SIGTERM);
    service_end(&service);
}

static void a_neighbour_gives_back_the_cores(void **state)
{
    struct service service = service_new(0);
    cpu_set_t before = cores_of(service.pid), last;

    (void)state;
    CPU_ZERO(&last); /* the child has cores of its own */
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_ZERO(&last);
            CPU_SET(i, &last);
        }
    page_set(page, FAULT_NOISY_NEIGHBOUR, 0.1, FOREVER);
    pid_t neighbour = helper(HELPER_NEIGHBOUR, service.pid, 0);
    assert_soon(is_pinned(service.pid) && is_pinned(*service.child));
    kill(neighbour, SIGTERM);
    assert_int_equal(code_of(neighbour), 0);
    assert_true(has_cores(service.pid, &before) && has_cores(*service.child, &before));

    assert_int_equal(sched_setaffinity(service.pid, sizeof(last), &last), 0);
    neighbour = helper(HELPER_NEIGHBOUR, service.pid, 0);
    assert_soon(is_pinned(*service.child) && cpu_ns_of(neighbour) > 0);
    page_clear(page, FAULT_NOISY_NEIGHBOUR);
    assert_int_equal(code_of(neighbour), 0);
    assert_true(has_cores(service.pid, &last)); /* what it had, and not what the others have */

    page_set(page, FAULT_NOISY_NEIGHBOUR, 0.1, FOREVER);
    neighbour = helper(HELPER_NEIGHBOUR, service.pid, 0);
    assert_soon(is_pinned(*service.child) && cpu_ns_of(neighbour) > 0);
    end(neighbour, SIGKILL);
    helper_clean_up(HELPER_NEIGHBOUR, service.pid); /* what its parent owes */
    cpu_set_t mine = cores_of(0);
    assert_true(has_cores(service.pid, &mine) && has_cores(*service.child, &mine));
    service_end(&service);
}

/* --- ill beginnings ------------------------------------------------------------------------------------- */

static void helpers_that_cannot_begin_say_so(void **state)
{
    pid_t gone = start();

    (void)state;
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    int kept = dup(2), nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 2);
    page_set(page, FAULT_CPU_SPIKE, 0.5, FOREVER);
    assert_int_equal(code_of(helper(HELPER_BURN, gone, 0)), 3);
    assert_int_equal(code_of(helper(HELPER_BURN, 0, 0)), 3);
    assert_int_equal(code_of(helper(HELPER_NEIGHBOUR, 1, 0)), 3);
    assert_int_equal(code_of(helper(HELPER_LEAK, 0, 0)), 3);
    int right = page_fd;
    page_fd = nowhere;
    assert_int_equal(code_of(helper(HELPER_LEAK, 0, 4096)), 3);
    page_fd = right;
    dup2(kept, 2);
    close(kept);
    close(nowhere);
}

#define story(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(a_burn_makes_a_program_slow_and_then_ends),
        story(a_burn_lasts_through_a_shape_and_ends_with_its_lease),
        story(a_burn_ends_with_its_incarnation_its_victim_and_a_word),
        story(what_a_killed_burn_left_stopped_can_be_let_go),
        story(a_burn_whose_parent_dies_lets_go),
        story(a_leak_grows_at_its_rate_and_no_further_than_its_limit),
        story(a_neighbour_makes_a_working_service_slow),
        story(a_neighbour_takes_no_more_than_its_share_of_an_idle_core),
        story(a_neighbour_gives_back_the_cores),
        story(helpers_that_cannot_begin_say_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
