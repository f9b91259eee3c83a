/* Stories of the fault page and of the relay, with real processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "base/clock.h"
#include "inject/page.h"
#include "inject/relay.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void delay(struct link *link, double seconds, duration lease)
{
    page_set(link->page, FAULT_NETWORK_DELAY, seconds, monotonic_ns() + lease);
}

/* --- the page --- */

static void a_fault_strikes_the_victim_of_now_and_spares_its_successor(void **state)
{
    struct page *page, *victims;
    int fd = page_create(&page);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(page_open(&victims, fd), 0);
    uint64_t mine = page_incarnation(victims, FAULT_CPU_SPIKE);
    assert_true(page_intensity(victims, FAULT_CPU_SPIKE, mine) == 0);

    page_set(page, FAULT_CPU_SPIKE, 0.95, monotonic_ns() + MINUTE);
    assert_true(page_intensity(victims, FAULT_CPU_SPIKE, mine) == 0.95);
    assert_true(
        page_intensity(victims, FAULT_NETWORK_DELAY, page_incarnation(victims, FAULT_NETWORK_DELAY)) == 0);

    page_renew(page, FAULT_CPU_SPIKE);
    page_keep(page, FAULT_CPU_SPIKE); /* it came to nothing: the next victim is struck, too */
    assert_true(page_intensity(page, FAULT_CPU_SPIKE, page_incarnation(page, FAULT_CPU_SPIKE)) > 0);
    page_renew(page, FAULT_CPU_SPIKE);
    uint64_t successor = page_incarnation(victims, FAULT_CPU_SPIKE);
    assert_true(page_intensity(victims, FAULT_CPU_SPIKE, successor) == 0);
    assert_true(page_intensity(victims, FAULT_CPU_SPIKE, mine) == 0.95);

    page_set(page, FAULT_CPU_SPIKE, 0.5, monotonic_ns() + MINUTE);
    assert_true(page_intensity(victims, FAULT_CPU_SPIKE, successor) == 0.5);
    page_clear(page, FAULT_CPU_SPIKE);
    assert_true(page_intensity(victims, FAULT_CPU_SPIKE, successor) == 0);
    page_close(victims);
    page_close(page);
    close(fd);
}

static void a_lease_ends_by_the_reader_s_own_clock(void **state)
{
    struct page *page;
    int fd = page_create(&page);

    (void)state;
    uint64_t mine = page_incarnation(page, FAULT_STORAGE_LATENCY);
    int64_t until = monotonic_ns() + 200 * MILLISECOND;
    page_set(page, FAULT_STORAGE_LATENCY, 0.25, until);
    bool was_on = page_intensity(page, FAULT_STORAGE_LATENCY, mine) > 0;
    assert_true(was_on || monotonic_ns() >= until);
    assert_soon(page_intensity(page, FAULT_STORAGE_LATENCY, mine) == 0);
    assert_true(monotonic_ns() >= until);
    page_close(page);
    close(fd);
}

static void what_is_no_page_is_refused(void **state)
{
    struct page *page;
    int small = memfd_create("small", 0), foreign = memfd_create("foreign", 0);

    (void)state;
    assert_int_equal(ftruncate(foreign, 65536), 0);
    assert_int_equal(page_open(&page, small), -EINVAL);
    assert_int_equal(page_open(&page, foreign), -EINVAL);
    assert_int_equal(page_open(&page, -1), -EBADF);
    close(small);
    close(foreign);
}

static void asking_costs_next_to_nothing_when_nothing_is_on(void **state)
{
    enum { CALLS = 1000000 };
    struct page *page;
    int fd = page_create(&page);
    double sum = 0;

    (void)state;
    int64_t began_at = monotonic_ns();
    for (int i = 0; i < CALLS; i++)
        sum += page_intensity(page, FAULT_CPU_SPIKE, 1);
    double each_ns = seconds_since(began_at) * 1e9 / CALLS;
    assert_true(sum == 0);
    print_message("# %.1f ns per call\n", each_ns);
    assert_true(each_ns < 500); /* a clock alone takes about 25 */
    page_close(page);
    close(fd);
}

/* --- the relay --- */

static void words_pass_both_ways_and_ends_do_too(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users);

    (void)state;
    say(user, "to the service and back");
    shutdown(user, SHUT_WR); /* a user may have said all and still listen */
    hear(user, "to the service and back");
    assert_true(is_over(user));
    close(user);
    link_down(link);
}

static void a_delay_is_really_held(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    delay(link, 0.3, MINUTE);
    for (int i = 0; i < 3; i++) {
        double service = round_trip(link->users), echo = round_trip(link->echo);
        print_message("# service %.1f ms, echo %.1f ms\n", service * 1e3, echo * 1e3);
        assert_true(service >= 0.3 && service < 10);
        assert_true(echo >= 0.3 && echo < 10);
    }
    page_clear(link->page, FAULT_NETWORK_DELAY);
    assert_soon(round_trip(link->users) < 0.3);
    link_down(link);
}

static void a_delay_keeps_the_order_even_when_it_shrinks(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users);
    char said[4096] = "";

    (void)state;
    for (int i = 0; i < 200; i++) {
        char word[16];
        if (i % 20 == 0)
            delay(link, i % 40 == 0 ? 0.4 : 0.02, MINUTE);
        if (i == 190)
            page_clear(link->page, FAULT_NETWORK_DELAY);
        snprintf(word, sizeof(word), "%d,", i);
        say(user, word);
        strcat(said, word);
        pause_ms(2);
    }
    hear(user, said);
    close(user);
    link_down(link);
}

static void a_lease_on_the_link_ends_by_itself(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    delay(link, 0.3, SECOND);
    assert_true(round_trip(link->echo) >= 0.3);
    assert_soon(round_trip(link->echo) < 0.3);
    assert_soon(round_trip(link->users) < 0.3);
    link_down(link);
}

/* A user who comes anew for every word. Ends when told; says how many of its words were lost. */
struct visits {
    _Atomic int refused, lost, answered;
    _Atomic bool enough;
};

static void visit(struct visits *visits, uint16_t port)
{
    char answer[4];
    int fd = try_connect(port);

    if (fd < 0) {
        visits->refused++;
        return;
    }
    if (send(fd, "ping", 4, MSG_NOSIGNAL) == 4 && recv(fd, answer, 4, MSG_WAITALL) == 4)
        visits->answered++;
    else
        visits->lost++;
    close(fd);
}

static void replacing_the_relay_refuses_nobody_and_ends_the_fault(void **state)
{
    struct link *link = link_up(answer_user);
    struct visits *visits = shared_new(sizeof(*visits));

    (void)state;
    delay(link, 0.4, MINUTE);
    pid_t user = start();
    if (user == 0) {
        while (!visits->enough)
            visit(visits, link->users);
        _exit(0);
    }
    assert_soon(visits->answered >= 2);

    for (int i = 0; i < 5; i++) {
        page_renew(link->page, FAULT_NETWORK_DELAY);
        int ended = end(link->relay, SIGTERM);
        assert_int_equal(ended, 0);
        pause_ms(20); /* for a while there is no relay at all */
        link->relay = start_relay(link);
        int before = visits->answered;
        assert_soon(visits->answered > before + 5);
    }
    visits->enough = true;
    waitpid(user, NULL, 0);
    assert_int_equal(visits->refused, 0);
    assert_int_equal(visits->lost, 0); /* what was under way was let go at once, and answered */
    assert_soon(round_trip(link->users) < 0.4);
    munmap(visits, sizeof(*visits));
    link_down(link);
}

static void a_relay_that_was_killed_refuses_nobody_either(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    end(link->relay, SIGKILL);
    int user = user_of(link->users);
    say(user, "early");
    link->relay = start_relay(link);
    hear(user, "early");
    close(user);
    link_down(link);
}

static void a_new_relay_of_the_old_incarnation_is_still_struck(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    delay(link, 0.2, MINUTE);
    assert_int_equal(end(link->relay, SIGTERM), 0);
    link->relay = start_relay(link);
    assert_true(round_trip(link->echo) >= 0.2);
    link_down(link);
}

static void the_echo_measures_the_link_and_not_the_service(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users);

    (void)state;
    say(user, "one");
    hear(user, "one");
    kill(link->service, SIGSTOP);
    int other = user_of(link->users);
    say(other, "two");
    assert_true(round_trip(link->echo) < 10);
    assert_true(is_silent(other, 200));
    kill(link->service, SIGCONT);
    hear(other, "two");
    close(user);
    close(other);
    link_down(link);
}

static void a_service_that_is_gone_closes_its_users(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users);

    (void)state;
    say(user, "one");
    hear(user, "one");
    end(link->service, SIGKILL);
    assert_true(is_over(user));
    close(user);

    close(link->service_fd); /* nobody listens there any more */
    user = user_of(link->users);
    assert_true(is_over(user));
    close(user);
    link->service_fd = -1;
    link->service = start();
    if (link->service == 0)
        _exit(0);
    link_down(link);
}

/* Not yet, if the relay has not heard its signal: then it is an ordinary connection, and silent. */
static bool is_turned_away(uint16_t port)
{
    int newcomer = user_of(port);
    bool turned_away = !is_silent(newcomer, 50) && is_over(newcomer);

    close(newcomer);
    return turned_away;
}

static void draining_lets_the_present_finish_and_turns_the_new_away(void **state)
{
    struct link *link = link_up(answer_user);
    int present = user_of(link->users);

    (void)state;
    delay(link, 0.5, MINUTE);
    say(present, "a request");
    kill(link->relay, SIGUSR1);
    assert_soon(is_turned_away(link->users));
    hear(present, "a request");
    assert_true(is_over(present));
    close(present);
    assert_true(round_trip(link->echo) >= 0.5);
    link_down(link);
}

static void what_is_held_is_bounded(void **state)
{
    struct link *link = link_up(flood_user);
    long before = 0, pages = 0;
    int user = -1;
    char path[64];

    (void)state;
    delay(link, 10, MINUTE);
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)link->relay);
    for (int i = 0; i < 20; i++) {
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
        fclose(file);
        if (i == 0) {
            before = pages;
            user = user_of(link->users);
        }
        pause_ms(25);
    }
    long grown = (pages - before) * sysconf(_SC_PAGESIZE);
    print_message("# grown by %ld KiB\n", grown / 1024);
    assert_true(grown < 16 * 1024 * 1024); /* unbounded, a flood fills this in milliseconds */
    close(user);
    link_down(link);
}

static void more_users_than_it_has_room_for_wait_for_their_turn(void **state)
{
    enum { CROWD = RELAY_CONNECTIONS_MAX + 20 };
    static int crowd[CROWD];
    struct rlimit limit;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * RELAY_CONNECTIONS_MAX + 100)
        skip();
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = CROWD + 100;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct link *link = link_up(answer_user);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = user_of(link->echo);
        say(crowd[i], "x");
    }
    for (int i = 0; i < RELAY_CONNECTIONS_MAX; i++)
        hear(crowd[i], "x");
    assert_true(is_silent(crowd[CROWD - 1], 50));
    for (int i = 0; i < RELAY_CONNECTIONS_MAX; i++)
        close(crowd[i]);
    for (int i = RELAY_CONNECTIONS_MAX; i < CROWD; i++) {
        hear(crowd[i], "x");
        close(crowd[i]);
    }
    link_down(link);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_strikes_the_victim_of_now_and_spares_its_successor),
        cmocka_unit_test(a_lease_ends_by_the_reader_s_own_clock),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(asking_costs_next_to_nothing_when_nothing_is_on),
        cmocka_unit_test(words_pass_both_ways_and_ends_do_too),
        cmocka_unit_test(a_delay_is_really_held),
        cmocka_unit_test(a_delay_keeps_the_order_even_when_it_shrinks),
        cmocka_unit_test(a_lease_on_the_link_ends_by_itself),
        cmocka_unit_test(replacing_the_relay_refuses_nobody_and_ends_the_fault),
        cmocka_unit_test(a_relay_that_was_killed_refuses_nobody_either),
        cmocka_unit_test(a_new_relay_of_the_old_incarnation_is_still_struck),
        cmocka_unit_test(the_echo_measures_the_link_and_not_the_service),
        cmocka_unit_test(a_service_that_is_gone_closes_its_users),
        cmocka_unit_test(draining_lets_the_present_finish_and_turns_the_new_away),
        cmocka_unit_test(what_is_held_is_bounded),
        cmocka_unit_test(more_users_than_it_has_room_for_wait_for_their_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
