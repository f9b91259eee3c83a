/* Stories of what befalls a node's link: each fault, its end, and two instances behind one relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "base/clock.h"
#include "inject/page.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void strike(struct link *link, enum fault_kind kind, double intensity, duration lease)
{
    page_set(link->page, kind, intensity, monotonic_ns() + lease);
}

static bool has_word(int fd, int ms)
{
    return !is_silent(fd, ms);
}

/* A user whose connection was reset hears exactly that. */
static bool is_reset(int fd)
{
    char byte;

    return recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
}

static bool is_reset_at_the_door(uint16_t port)
{
    int fd = user_of(port);
    bool reset = has_word(fd, 100) && is_reset(fd);

    close(fd);
    return reset;
}

static void replace_relay(struct link *link)
{
    assert_int_equal(end(link->relay, SIGTERM), 0);
    link->relay = start_relay(link);
}

/* --- loss --- */

enum { CROWD = 300 };

/* Once one has come, on a busy machine late, until no more has for half a second: who has heard something. */
static int count_answered(const int *crowd, bool *answered)
{
    int count = 0;
    int64_t began_at = monotonic_ns();

    memset(answered, 0, CROWD * sizeof(*answered));
    for (int quiet = 0; quiet<10; quiet += count> 0 || seconds_since(began_at) > 10) {
        for (int i = 0; i < CROWD; i++) {
            if (answered[i] || !has_word(crowd[i], 0))
                continue;
            answered[i] = true;
            quiet = 0;
            count++;
        }
        pause_ms(50);
    }
    return count;
}

static void that_share_of_the_replies_is_lost(void **state)
{
    struct link *link = link_up(answer_user);
    int crowd[CROWD];
    bool answered[CROWD];

    (void)state;
    strike(link, FAULT_NETWORK_LOSS, 0.3, MINUTE);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = user_of(link->users);
        say(crowd[i], "x");
    }
    int lost = CROWD - count_answered(crowd, answered);
    print_message("# %d of %d lost\n", lost, CROWD);
    assert_in_range(lost, 50, 130); /* 90 +- 5 deviations */

    page_clear(link->page, FAULT_NETWORK_LOSS);
    for (int i = 0; i < CROWD; i++) { /* nobody waits for the fault after its end */
        if (answered[i])
            hear(crowd[i], "x");
        else
            assert_true(is_reset(crowd[i]));
    }
    for (int i = 0; i < CROWD; i++) {
        if (answered[i]) {
            say(crowd[i], "y");
            hear(crowd[i], "y");
        }
        close(crowd[i]);
    }
    link_down(link);
}

static void after_a_lost_reply_nothing_arrives_on_that_connection(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users);

    (void)state;
    say(user, "one");
    hear(user, "one");
    strike(link, FAULT_NETWORK_LOSS, 1, MINUTE);
    say(user, "two");
    assert_true(is_silent(user, 200));
    page_level(link->page, FAULT_NETWORK_LOSS, 1e-9); /* still on, and strikes hardly anybody */
    assert_true(round_trip(link->users) < 10);
    say(user, "three");
    assert_true(is_silent(user, 200));
    shutdown(user, SHUT_WR); /* he gives up, and the relay with him */
    assert_true(is_over(user));
    close(user);
    link_down(link);
}

static void hang_up_on_user(int fd)
{
    char text[16];

    if (recv(fd, text, sizeof(text), 0) > 0)
        send(fd, "bye", 3, MSG_NOSIGNAL);
    _exit(0);
}

static void the_end_after_a_lost_reply_is_not_heard_either(void **state)
{
    struct link *link = link_up(hang_up_on_user);
    int user = user_of(link->users), other = user_of(link->users);

    (void)state;
    strike(link, FAULT_NETWORK_LOSS, 1, MINUTE);
    say(user, "one");
    assert_true(is_silent(user, 300));
    page_clear(link->page, FAULT_NETWORK_LOSS);
    assert_true(is_over(user));
    say(other, "one");
    hear(other, "bye");
    assert_true(is_over(other));
    close(user);
    close(other);
    link_down(link);
}

/* Numbered bytes over one echo connection, until one of those sent afterwards is back; says how many of
 * `count` are. Those that are back must be in order. */
static int count_echoed(uint16_t port, int count)
{
    enum { LAST = 255 };
    int fd = user_of(port), back = 0, last = -1;
    unsigned char byte;

    for (int i = 0; i < count; i++) {
        byte = (unsigned char)(i % 250);
        assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
    }
    int64_t began_at = monotonic_ns();
    for (byte = 0; byte != LAST;) {
        unsigned char end_mark = LAST;
        assert_true(seconds_since(began_at) < 20);
        assert_int_equal(send(fd, &end_mark, 1, MSG_NOSIGNAL), 1);
        while (byte != LAST && has_word(fd, 20)) {
            assert_int_equal(recv(fd, &byte, 1, 0), 1);
            if (byte == LAST)
                break;
            last += 1 + (byte + 250 - (last + 1) % 250) % 250;
            back++;
        }
    }
    assert_true(last < count);
    close(fd);
    return back;
}

static void an_echo_loses_that_share_of_its_bytes_and_goes_on(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    strike(link, FAULT_NETWORK_LOSS, 0.2, MINUTE);
    int back = count_echoed(link->echo, 1000);
    print_message("# %d of 1000 are back\n", back);
    assert_in_range(back, 737, 863); /* 800 +- 5 deviations */
    page_clear(link->page, FAULT_NETWORK_LOSS);
    assert_int_equal(count_echoed(link->echo, 1000), 1000);
    link_down(link);
}

static void what_is_not_lost_is_late_when_both_are_on(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    strike(link, FAULT_NETWORK_DELAY, 0.3, MINUTE);
    strike(link, FAULT_NETWORK_LOSS, 0.5, MINUTE);
    int64_t began_at = monotonic_ns();
    int back = count_echoed(link->echo, 400);
    double took = seconds_since(began_at);
    print_message("# %d of 400 are back after %.2f s\n", back, took);
    assert_true(took >= 0.3);
    assert_in_range(back, 150, 250); /* 200 +- 5 deviations */
    link_down(link);
}

/* --- bandwidth --- */

/* Bytes a second that arrive at all of them together while `bytes` do, from the first on. */
static double rate_at(const int *users, int count, size_t bytes, size_t *each)
{
    static char text[65536];
    struct pollfd watched[8];
    size_t total = 0, first = 0;
    int64_t began_at = 0;

    for (int i = 0; i < count; i++) {
        watched[i] = (struct pollfd){.fd = users[i], .events = POLLIN};
        each[i] = 0;
    }
    while (total < bytes) {
        assert_true(poll(watched, (nfds_t)count, (int)(PATIENCE / MILLISECOND)) > 0);
        for (int i = 0; i < count; i++) {
            ssize_t length = watched[i].revents ? recv(users[i], text, sizeof(text), MSG_DONTWAIT) : 0;
            assert_true(length >= 0);
            total += (size_t)length;
            each[i] += (size_t)length;
        }
        if (!began_at) {
            began_at = monotonic_ns();
            first = total;
        }
    }
    return (double)(total - first) / seconds_since(began_at);
}

static void the_bandwidth_is_that_of_all_together(void **state)
{
    enum { RATE = 40000, USERS = 3 };
    struct link *link = link_up(flood_user);
    int users[USERS];
    size_t each[USERS], total = 0;
    bool kept = false;
    int64_t began_at = monotonic_ns();

    (void)state;
    strike(link, FAULT_NETWORK_BANDWIDTH, RATE, MINUTE);
    for (int i = 0; i < USERS; i++)
        users[i] = user_of(link->users);
    for (int try = 0; try < 5 && !kept; try++) {
        double rate = rate_at(users, USERS, RATE, each);
        print_message("# %.0f bytes/s, %zu + %zu + %zu\n", rate, each[0], each[1], each[2]);
        kept = rate > RATE * 0.8 && rate < RATE * 1.2; /* a busy machine may starve the relay for a while */
        for (int i = 0; i < USERS; i++) {
            assert_true(each[i] > RATE / USERS / 2);
            total += each[i];
        }
        assert_true((double)total < seconds_since(began_at) * RATE * 1.2);
    }
    assert_true(kept);
    assert_true(round_trip(link->echo) > 0.05); /* it waits for the others */

    page_clear(link->page, FAULT_NETWORK_BANDWIDTH);
    assert_soon(rate_at(users, USERS, 4000000, each) > 1e6);
    assert_soon(round_trip(link->echo) < 0.05);
    for (int i = 0; i < USERS; i++)
        close(users[i]);
    link_down(link);
}

static void a_narrow_link_still_carries_every_byte_in_order(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users);
    char said[3001];

    (void)state;
    for (int i = 0; i < 3000; i++)
        said[i] = (char)('a' + i * 7 % 26);
    said[3000] = '\0';
    strike(link, FAULT_NETWORK_BANDWIDTH, 3000, MINUTE);
    strike(link, FAULT_NETWORK_DELAY, 0.1, MINUTE);
    int64_t began_at = monotonic_ns();
    say(user, said);
    shutdown(user, SHUT_WR); /* the end waits for its turn, too */
    hear(user, said);
    assert_true(seconds_since(began_at) > 0.9);
    assert_true(is_over(user));
    close(user);
    link_down(link);
}

static long pages_of(pid_t pid)
{
    char path[64];
    long pages = 0;

    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages;
}

static void what_waits_for_a_narrow_link_is_bounded(void **state)
{
    struct link *link = link_up(flood_user);
    long before = pages_of(link->relay);

    (void)state;
    strike(link, FAULT_NETWORK_BANDWIDTH, 10, MINUTE);
    int user = user_of(link->users);
    for (int i = 0; i < 20; i++) {
        pause_ms(25);
        long grown = (pages_of(link->relay) - before) * sysconf(_SC_PAGESIZE);
        assert_true(grown < 16 * 1024 * 1024);
    }
    close(user);
    link_down(link);
}

/* --- cut --- */

static void a_cut_resets_everybody_at_once_and_all_who_come(void **state)
{
    struct link *link = link_up(answer_user);
    double quickest = 10;

    (void)state;
    for (int try = 0; try < 5; try++) {
        int user = user_of(link->users), pinger = user_of(link->echo);
        say(user, "one");
        hear(user, "one");
        say(pinger, "p");
        hear(pinger, "p");
        strike(link, FAULT_NETWORK_CUT, 1, MINUTE);
        int64_t began_at = monotonic_ns();
        assert_true(is_reset(user));
        assert_true(is_reset(pinger));
        quickest = seconds_since(began_at) < quickest ? seconds_since(began_at) : quickest;
        assert_soon(is_reset_at_the_door(link->users));
        assert_soon(is_reset_at_the_door(link->echo));
        page_clear(link->page, FAULT_NETWORK_CUT);
        assert_true(round_trip(link->users) < 10); /* whoever comes next is let in */
        assert_true(round_trip(link->echo) < 10);
        close(user);
        close(pinger);
    }
    print_message("# cut within %.0f ms\n", quickest * 1e3);
    assert_true(quickest < 0.05);
    link_down(link);
}

static void every_lease_on_the_link_ends_by_itself(void **state)
{
    struct link *link = link_up(answer_user);
    int user = user_of(link->users), patient = user_of(link->users);

    (void)state;
    say(user, "one");
    hear(user, "one");
    int64_t until = monotonic_ns() + SECOND;
    page_set(link->page, FAULT_NETWORK_LOSS, 1, until);
    say(user, "two");
    assert_true(is_reset(user));
    assert_true(monotonic_ns() >= until);
    assert_true(round_trip(link->users) < 10);

    page_set(link->page, FAULT_NETWORK_BANDWIDTH, 10, monotonic_ns() + SECOND);
    until = monotonic_ns() + SECOND;
    say(patient, "this takes longer than three seconds");
    hear(patient, "this takes longer than three seconds");
    assert_true(monotonic_ns() >= until - 100 * MILLISECOND);
    assert_soon(round_trip(link->users) < 0.1);

    until = monotonic_ns() + SECOND;
    page_set(link->page, FAULT_NETWORK_CUT, 1, until);
    assert_true(is_reset(patient));
    assert_soon(!is_reset_at_the_door(link->users));
    assert_true(monotonic_ns() >= until);
    assert_true(round_trip(link->users) < 10);
    close(user);
    close(patient);
    link_down(link);
}

static void a_fresh_relay_is_free_of_what_was_renewed_and_of_nothing_else(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    strike(link, FAULT_NETWORK_LOSS, 1, MINUTE);
    strike(link, FAULT_NETWORK_CUT, 1, MINUTE);
    strike(link, FAULT_NETWORK_BANDWIDTH, 10, MINUTE);
    page_renew(link->page, FAULT_NETWORK_CUT);
    replace_relay(link);
    int user = user_of(link->users);
    say(user, "one");
    assert_true(is_silent(user, 200)); /* lost, but not cut */
    close(user);

    page_renew(link->page, FAULT_NETWORK_LOSS);
    replace_relay(link);
    user = user_of(link->users);
    say(user, "thirteen more");
    hear(user, "thirteen more"); /* slow, but not lost */
    int64_t began_at = monotonic_ns();
    say(user, "thirteen more");
    hear(user, "thirteen more");
    assert_true(seconds_since(began_at) > 0.9);
    close(user);

    page_renew(link->page, FAULT_NETWORK_BANDWIDTH);
    replace_relay(link);
    user = user_of(link->users);
    say(user, "thirteen more, and then a hundred, without any fault that is left to slow them down");
    hear(user, "thirteen more, and then a hundred, without any fault that is left to slow them down");
    assert_soon(round_trip(link->users) < 0.1);
    close(user);
    link_down(link);
}

/* --- two instances --- */

static void answer_as_the_second(int fd)
{
    char text[4096];
    ssize_t length;

    while ((length = recv(fd, text, sizeof(text), 0)) > 0) {
        memset(text, '2', (size_t)length);
        send(fd, text, (size_t)length, MSG_NOSIGNAL);
    }
    _exit(0);
}

/* Of twenty who come one after the other, how many meet the second instance. */
static int count_at_the_second(struct link *link)
{
    int count = 0;

    for (int i = 0; i < 20; i++) {
        int user = user_of(link->users);
        char answer;
        say(user, "1");
        assert_int_equal(recv(user, &answer, 1, 0), 1);
        count += answer == '2';
        close(user);
    }
    return count;
}

static bool is_refused(uint16_t port)
{
    int fd = try_connect(port);

    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void new_users_are_spread_over_two_instances(void **state)
{
    struct link *link = link_up(answer_user);
    uint16_t port;
    int second_fd = listen_somewhere(&port);
    pid_t second = start_service(second_fd, answer_as_the_second);
    int early = user_of(link->users);

    (void)state;
    say(early, "1");
    hear(early, "1");
    assert_int_equal(count_at_the_second(link), 0);
    page_set_second_port(link->page, port);
    assert_int_equal(count_at_the_second(link), 10);
    say(early, "1");
    hear(early, "1"); /* stays where it is */

    close(second_fd);
    end(second, SIGKILL);
    assert_soon(is_refused(port)); /* its answering children hold the socket until they are gone, too */
    assert_int_equal(count_at_the_second(link), 0); /* nobody notices */
    page_set_second_port(link->page, 0);
    assert_int_equal(count_at_the_second(link), 0);
    close(early);
    link_down(link);
}

static int connect_without_waiting(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_true(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS);
    return fd;
}

static void a_second_instance_that_accepts_nobody_delays_nobody_for_long(void **state)
{
    enum { FULL = 4 };
    struct link *link = link_up(answer_user);
    uint16_t port;
    int second_fd = listen_somewhere(&port), waiting[FULL];

    (void)state;
    assert_int_equal(listen(second_fd, 0), 0); /* room for one in the kernel's queue */
    for (int i = 0; i < FULL; i++)
        waiting[i] = connect_without_waiting(port);
    page_set_second_port(link->page, port);
    assert_int_equal(count_at_the_second(link), 0);
    for (int i = 0; i < FULL; i++)
        close(waiting[i]);
    close(second_fd);
    link_down(link);
}

/* --- rest --- */

static long wakes_of(pid_t pid)
{
    char path[64], line[128];
    long wakes = -1;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &wakes) == 1)
            break;
    fclose(file);
    assert_true(wakes >= 0);
    return wakes;
}

static void an_idle_relay_hardly_wakes(void **state)
{
    struct link *link = link_up(answer_user);

    (void)state;
    pause_ms(100); /* the connection of link_up() is over */
    long before = wakes_of(link->relay);
    pause_ms(1000);
    long alone = wakes_of(link->relay) - before;
    int user = user_of(link->users);
    before = wakes_of(link->relay);
    pause_ms(1000);
    long with_a_user = wakes_of(link->relay) - before;
    print_message("# %ld wakes a second, %ld with a silent user\n", alone, with_a_user);
    assert_true(alone <= 10);
    assert_true(with_a_user <= 60);
    close(user);
    link_down(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(that_share_of_the_replies_is_lost),
        cmocka_unit_test(after_a_lost_reply_nothing_arrives_on_that_connection),
        cmocka_unit_test(the_end_after_a_lost_reply_is_not_heard_either),
        cmocka_unit_test(an_echo_loses_that_share_of_its_bytes_and_goes_on),
        cmocka_unit_test(what_is_not_lost_is_late_when_both_are_on),
        cmocka_unit_test(the_bandwidth_is_that_of_all_together),
        cmocka_unit_test(a_narrow_link_still_carries_every_byte_in_order),
        cmocka_unit_test(what_waits_for_a_narrow_link_is_bounded),
        cmocka_unit_test(a_cut_resets_everybody_at_once_and_all_who_come),
        cmocka_unit_test(every_lease_on_the_link_ends_by_itself),
        cmocka_unit_test(a_fresh_relay_is_free_of_what_was_renewed_and_of_nothing_else),
        cmocka_unit_test(new_users_are_spread_over_two_instances),
        cmocka_unit_test(a_second_instance_that_accepts_nobody_delays_nobody_for_long),
        cmocka_unit_test(an_idle_relay_hardly_wakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
