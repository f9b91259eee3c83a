/* Stories of the leash, with real processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "base/clock.h"
#include "inject/leash.h"
#include "inject/victims.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char state_of(pid_t pid)
{
    char path[64], state = 'X';
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");

    if (file) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = '?';
        fclose(file);
    }
    return state;
}

static bool is_stopped(pid_t pid)
{
    return state_of(pid) == 'T';
}

/* A service with two helpers: a child, and one that was let go of but is still in its process group. */
struct family {
    pid_t service;
    _Atomic pid_t child, stray;
};

static void breathe(void)
{
    prctl(PR_SET_PDEATHSIG, 0);
    alarm(60); /* nobody stays behind, even if the story fails */
    for (;;)
        pause_ms(10);
}

static struct family *family_new(void)
{
    struct family *family =
        mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(family != MAP_FAILED);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that orphans, the leash too, are ours to see end */
    pid_t service = start();
    if (service == 0) {
        setpgid(0, 0);
        if (fork() == 0) {
            pid_t stray = fork();
            if (stray == 0)
                breathe();
            family->stray = stray;
            _exit(0);
        }
        pid_t child = fork();
        if (child == 0)
            breathe();
        family->child = child;
        breathe();
    }
    family->service = service;
    assert_soon(family->child != 0 && family->stray != 0 && getpgid(family->service) == family->service);
    return family;
}

static bool all_stopped(struct family *family)
{
    return is_stopped(family->service) && is_stopped(family->child) && is_stopped(family->stray);
}

static bool none_stopped(struct family *family)
{
    return !is_stopped(family->service) && !is_stopped(family->child) && !is_stopped(family->stray);
}

/* Ends the family and waits for the leash, which init would reap if we were no subreaper. Fails if it stays.
 */
static void nothing_is_left_of(struct family *family)
{
    kill(-family->service, SIGKILL);
    kill(family->service, SIGKILL);
    munmap(family, sizeof(*family));
    assert_soon(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static bool has_ended(int control)
{
    struct pollfd watched = {.fd = control, .events = POLLIN};

    return poll(&watched, 1, 0) == 1;
}

static void a_leash_stops_the_whole_service_until_its_lease_is_over(void **state)
{
    struct family *family = family_new();
    int control;

    (void)state;
    int64_t began_at = monotonic_ns();
    assert_int_equal(leash_hang(family->service, SECOND, &control), 0);
    bool stopped = all_stopped(family);
    assert_true(stopped || seconds_since(began_at) > 1);
    print_message("# stopped after %.1f ms\n", seconds_since(began_at) * 1e3);
    assert_soon(none_stopped(family));
    assert_true(seconds_since(began_at) >= 1);
    assert_soon(has_ended(control));
    leash_release(&control);
    nothing_is_left_of(family);
}

static void letting_go_of_the_leash_ends_it_early(void **state)
{
    struct family *family = family_new();
    int control, pipes[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(dup2(pipes[1], 200), 200);
    assert_int_equal(leash_hang(family->service, 10 * MINUTE, &control), 0);
    assert_true(all_stopped(family));

    close(200);
    close(pipes[1]); /* the leash has kept nothing that we had open */
    assert_true(!is_silent(pipes[0], 10000) && read(pipes[0], &byte, 1) == 0);
    close(pipes[0]);

    close(control);
    assert_soon(none_stopped(family));
    nothing_is_left_of(family);
}

static void releasing_works_though_a_child_inherited_the_descriptor(void **state)
{
    struct family *family = family_new();
    int control;

    (void)state;
    assert_int_equal(leash_hang(family->service, 10 * MINUTE, &control), 0);
    pid_t heir = start();
    if (heir == 0)
        breathe();
    leash_release(&control);
    assert_int_equal(control, -1);
    leash_release(&control); /* once is enough, twice is fine */
    assert_soon(none_stopped(family));
    end(heir, SIGKILL);
    nothing_is_left_of(family);
}

static void a_node_agent_that_is_killed_lets_go(void **state)
{
    struct family *family = family_new();
    _Atomic int *told = shared_new(sizeof(*told));

    (void)state;
    pid_t node_agent = start();
    if (node_agent == 0) {
        int control;
        if (leash_hang(family->service, 10 * MINUTE, &control) == 0)
            *told = 1;
        breathe();
    }
    assert_soon(*told == 1);
    assert_true(all_stopped(family));
    end(node_agent, SIGKILL);
    assert_soon(none_stopped(family));
    munmap(told, sizeof(*told));
    nothing_is_left_of(family);
}

static void a_leash_does_not_outlive_its_victim(void **state)
{
    struct family *family = family_new();
    int control;

    (void)state;
    assert_int_equal(leash_hang(family->service, 10 * MINUTE, &control), 0);
    kill(family->service, SIGKILL);
    assert_soon(has_ended(control));
    assert_soon(!is_stopped(family->child) && !is_stopped(family->stray));
    close(control);
    nothing_is_left_of(family);
}

/* One of our descendants that is called so: we are the subreaper of the leash. 0: there is none. */
static pid_t process_named(const char *wanted)
{
    pid_t ids[VICTIMS_MAX];
    size_t count = victims_list(getpid(), ids);

    for (size_t i = 1; i < count; i++) {
        char path[64], name[32] = "";
        snprintf(path, sizeof(path), "/proc/%d/comm", (int)ids[i]);
        FILE *file = fopen(path, "r");
        if (file && fgets(name, sizeof(name), file))
            name[strcspn(name, "\n")] = '\0';
        if (file)
            fclose(file);
        if (strcmp(name, wanted) == 0)
            return ids[i];
    }
    return 0;
}

static void whoever_of_the_pair_is_killed_the_service_goes_on(void **state)
{
    static const char *const pair[] = {"leash", "leash-guard"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct family *family = family_new();
        int control;
        assert_int_equal(leash_hang(family->service, 10 * MINUTE, &control), 0);
        assert_true(all_stopped(family));
        pid_t struck = process_named(pair[i]);
        assert_true(struck > 0);
        kill(struck, SIGKILL);
        assert_soon(none_stopped(family));
        assert_soon(has_ended(control));
        leash_release(&control);
        nothing_is_left_of(family);
    }
}

static void a_leash_that_is_stopped_itself_does_not_outlast_its_lease(void **state)
{
    struct family *family = family_new();
    int control;

    (void)state;
    assert_int_equal(leash_hang(family->service, 500 * MILLISECOND, &control), 0);
    pid_t leash = process_named("leash");
    assert_true(leash > 0);
    kill(leash, SIGSTOP);
    assert_soon(none_stopped(family));
    assert_soon(has_ended(control));
    leash_release(&control);
    nothing_is_left_of(family);
}

static void whom_another_lets_go_on_is_stopped_again(void **state)
{
    struct family *family = family_new();
    int control;

    (void)state;
    assert_int_equal(leash_hang(family->service, 10 * MINUTE, &control), 0);
    for (int i = 0; i < 5; i++) {
        kill(-family->service, SIGCONT);
        assert_soon(all_stopped(family));
    }
    leash_release(&control);
    assert_soon(none_stopped(family));
    pause_ms(60); /* longer than it takes to insist */
    assert_true(none_stopped(family));
    nothing_is_left_of(family);
}

static void one_alone_can_be_stopped_though_it_is_nobodys_child_here(void **state)
{
    struct family *family = family_new();
    int control;

    (void)state;
    assert_int_equal(leash_hang_alone(family->child, 10 * MINUTE, &control), 0); /* a grandchild */
    assert_true(is_stopped(family->child) && !is_stopped(family->service) && !is_stopped(family->stray));
    leash_release(&control);
    assert_soon(none_stopped(family));
    assert_int_equal(leash_hang_alone(family->service, 10 * MINUTE, &control), 0); /* a group leader */
    assert_true(is_stopped(family->service) && !is_stopped(family->child) && !is_stopped(family->stray));
    leash_release(&control);
    assert_soon(none_stopped(family));
    nothing_is_left_of(family);
}

/* What a program with two threads tells of how it stopped itself. */
struct diary {
    _Atomic int result, readable;
    _Atomic int64_t began_at, ended_at, longest_ns;
    _Atomic int done;
};

static void *look_at_the_clock(void *context)
{
    struct diary *diary = context;

    for (int64_t last = monotonic_ns(), now; !diary->done; last = now) {
        pause_ms(1);
        now = monotonic_ns();
        if (now - last > diary->longest_ns)
            diary->longest_ns = now - last;
    }
    return NULL;
}

static void stop_myself(struct diary *diary, duration lease)
{
    pthread_t thread;
    int control = -1;

    pthread_create(&thread, NULL, look_at_the_clock, diary);
    diary->began_at = monotonic_ns();
    diary->result = leash_hang_alone(getpid(), lease, &control);
    diary->ended_at = monotonic_ns();
    struct pollfd watched = {.fd = control, .events = POLLIN};
    diary->readable = poll(&watched, 1, PATIENCE / MILLISECOND) == 1;
    leash_release(&control);
    diary->done = 1;
    pthread_join(thread, NULL);
    _exit(0);
}

static void a_program_can_stop_itself_for_as_long_as_the_lease(void **state)
{
    struct diary *diary = shared_new(sizeof(*diary));

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t program = start();
    if (program == 0)
        stop_myself(diary, 600 * MILLISECOND);
    assert_soon(is_stopped(program));
    assert_soon(diary->done);
    assert_int_equal(diary->result, 0);
    assert_true(diary->readable);
    assert_true(diary->ended_at - diary->began_at >= 600 * MILLISECOND);
    assert_true(diary->longest_ns >= 400 * MILLISECOND); /* the other thread, too */
    assert_soon(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    munmap(diary, sizeof(*diary));
}

static void a_program_that_stopped_itself_can_be_let_go_and_killed_from_outside(void **state)
{
    struct diary *diary = shared_new(sizeof(*diary));

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t program = start();
    if (program == 0)
        stop_myself(diary, 10 * MINUTE);
    assert_soon(is_stopped(program));
    kill(process_named("leash"), SIGTERM);
    assert_soon(diary->done);
    assert_int_equal(diary->result, 0);
    assert_soon(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);

    program = start();
    if (program == 0)
        stop_myself(diary, 10 * MINUTE);
    assert_soon(is_stopped(program));
    kill(program, SIGKILL);
    assert_soon(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* the leash is gone, too */
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    munmap(diary, sizeof(*diary));
}

static void there_is_no_leash_for_nobody(void **state)
{
    int control = -7;
    pid_t gone = start();

    (void)state;
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    assert_int_equal(leash_hang(gone, SECOND, &control), -ESRCH);
    assert_int_equal(leash_hang_alone(gone, SECOND, &control), -ESRCH);
    assert_int_equal(control, -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leash_stops_the_whole_service_until_its_lease_is_over),
        cmocka_unit_test(letting_go_of_the_leash_ends_it_early),
        cmocka_unit_test(releasing_works_though_a_child_inherited_the_descriptor),
        cmocka_unit_test(a_node_agent_that_is_killed_lets_go),
        cmocka_unit_test(a_leash_does_not_outlive_its_victim),
        cmocka_unit_test(whoever_of_the_pair_is_killed_the_service_goes_on),
        cmocka_unit_test(a_leash_that_is_stopped_itself_does_not_outlast_its_lease),
        cmocka_unit_test(whom_another_lets_go_on_is_stopped_again),
        cmocka_unit_test(one_alone_can_be_stopped_though_it_is_nobodys_child_here),
        cmocka_unit_test(a_program_can_stop_itself_for_as_long_as_the_lease),
        cmocka_unit_test(a_program_that_stopped_itself_can_be_let_go_and_killed_from_outside),
        cmocka_unit_test(there_is_no_leash_for_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
