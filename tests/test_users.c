/* Stories of a node's users: the load, a real relay, and a service that is as slow, ill or rude as a story
 * wants it to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "agent/load.h"
#include "base/clock.h"
#include "inject/page.h"

#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the service does, told while it runs, and what it heard. */
struct stage {
    _Atomic int status;  /* of its answers; 0: none */
    _Atomic int cost_us; /* of an answer of 200; one after the other */
    _Atomic unsigned heard, written;
};

struct town {
    struct link *link;
    struct stage *stage;
    struct event_base *base;
    struct load *load;
};

/* --- the service ---------------------------------------------------------------------------------------- */

static void on_request(struct evhttp_request *request, void *context)
{
    struct stage *stage = context;
    stage->heard++;
    stage->written += evhttp_request_get_command(request) == EVHTTP_REQ_PUT;
    if (stage->status == 0)
        return; /* held for ever */
    if (stage->status == 200 && stage->cost_us > 0)
        usleep((unsigned)stage->cost_us);
    evhttp_send_reply(request, stage->status, "So", NULL);
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 16384 ? limit.rlim_max : 16384;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static pid_t start_http(int listen_fd, struct stage *stage)
{
    pid_t pid = start();
    if (pid != 0)
        return pid;
    allow_descriptors();
    signal(SIGPIPE, SIG_IGN);
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    evutil_make_socket_nonblocking(listen_fd);
    if (evhttp_accept_socket(http, listen_fd) != 0)
        _exit(1);
    evhttp_set_gencb(http, on_request, stage);
    event_base_dispatch(base);
    _exit(0);
}

/* --- the town ------------------------------------------------------------------------------------------- */

/* With users at that rate. */
static struct town *town_begin(double rate)
{
    struct town *town = calloc(1, sizeof *town);
    assert_non_null(town);
    town->stage = shared_new(sizeof *town->stage);
    town->stage->status = 200;
    town->link = link_up(answer_user);
    end(town->link->service, SIGKILL);
    town->link->service = start_http(town->link->service_fd, town->stage);
    town->base = event_base_new();
    assert_non_null(town->base);
    struct load_options options = {.port = town->link->users, .rate = rate};
    town->load = load_new(town->base, &options);
    assert_non_null(town->load);
    return town;
}

static void town_end(struct town *town)
{
    load_free(&town->load);
    event_base_free(town->base);
    link_down(town->link);
    munmap(town->stage, sizeof *town->stage);
    free(town);
}

static void live(struct town *town, int ms)
{
    struct timeval span = timeval_of(ms * MILLISECOND);
    event_base_loopexit(town->base, &span);
    event_base_dispatch(town->base);
}

static struct load_sample sample_after(struct town *town, int ms)
{
    struct load_sample sample;
    live(town, ms);
    load_take(town->load, &sample);
    return sample;
}

static void tell(const char *when, struct load_sample sample)
{
    print_message("# %s: %.0f/s sent, %.0f/s answered, p99 %.3f s, errors %.2f\n", when, sample.sent_per_s,
                  sample.rate_per_s, sample.latency_s, sample.error_ratio);
}

static void strike(struct town *town, enum fault_kind kind, double intensity)
{
    page_set(town->link->page, kind, intensity, monotonic_ns() + MINUTE);
}

/* --- users ---------------------------------------------------------------------------------------------- */

static void users_come_at_their_rate_and_a_surge_is_really_sent(void **state)
{
    struct town *town = town_begin(20);
    struct load_sample sample;

    (void)state;
    UNTIL(sample, sample_after(town, 1000), sample.sent_per_s > 18 && sample.error_ratio == 0);
    assert_true(sample.sent_per_s < 22 && sample.rate_per_s > 15 && sample.has_latency);
    load_surge(town->load, 9);
    unsigned before = town->stage->heard;
    int64_t began_at = monotonic_ns();
    UNTIL(sample, sample_after(town, 1000), sample.sent_per_s > 170);
    tell("surge", sample);
    assert_true(sample.sent_per_s < 190);
    double heard_per_s = (town->stage->heard - before) / seconds_since(began_at);
    assert_true(heard_per_s > 140 && heard_per_s < 190);
    assert_true(town->stage->written > 0);
    load_surge(town->load, 1);
    UNTIL(sample, sample_after(town, 1000), sample.sent_per_s < 22);
    assert_true(sample.error_ratio == 0);
    town_end(town);
}

static void three_hundred_a_second_are_asked_of_a_service_that_never_answers(void **state)
{
    struct town *town = town_begin(300);
    struct load_sample sample;

    (void)state;
    town->stage->status = 0;
    sample_after(town, 1500); /* the first of them give up after a second */
    unsigned before = town->stage->heard;
    int64_t began_at = monotonic_ns();
    sample = sample_after(town, 3000);
    double heard_per_s = (town->stage->heard - before) / seconds_since(began_at);
    tell("silence", sample);
    print_message("# %.0f/s heard\n", heard_per_s);
    assert_true(sample.sent_per_s > 270 && sample.sent_per_s < 315);
    assert_true(heard_per_s > 0.85 * sample.sent_per_s);
    assert_true(sample.error_ratio == 1 && sample.rate_per_s == 0);
    assert_true(sample.latency_s >= 0.99 && sample.latency_s < 1.5);

    town->stage->status = 200; /* what was given up is in nobody's way */
    UNTIL(sample, sample_after(town, 500), sample.error_ratio == 0 && sample.rate_per_s > 250);
    town_end(town);
}

static void what_fails_is_tried_again_so_often(void **state)
{
    struct town *town = town_begin(20);
    struct load_sample sample;

    (void)state;
    town->stage->status = 503;
    UNTIL(sample, sample_after(town, 1000), sample.error_ratio == 1);
    assert_true(sample.sent_per_s < 23);
    load_retry(town->load, 4);
    UNTIL(sample, sample_after(town, 1000), sample.sent_per_s > 90); /* 20 x (1 + 4) */
    tell("retries", sample);
    assert_true(sample.sent_per_s < 115 && sample.error_ratio == 1 && sample.rate_per_s == 0);

    town->stage->status = 429; /* they are told to stay away, and do */
    UNTIL(sample, sample_after(town, 1000), sample.error_ratio == 0);
    tell("turned away", sample);
    assert_true(sample.sent_per_s < 23 && sample.has_rate && sample.rate_per_s == 0 && !sample.has_latency);
    town->stage->status = 200;
    UNTIL(sample, sample_after(town, 1000), sample.rate_per_s > 17 && sample.has_latency);
    assert_true(sample.error_ratio == 0);
    town_end(town);
}

static void refused_users_try_again_within_bounds(void **state)
{
    struct town *town = town_begin(2000);
    struct load_sample sample;

    (void)state;
    town->stage->status = 0;
    load_surge(town->load, 100); /* to 5000 a second, and no more */
    load_retry(town->load, 50);
    int64_t began_at = monotonic_ns();
    sample = sample_after(town, 2000);
    tell("far too many", sample);
    assert_true(seconds_since(began_at) < 10); /* the loop is not kept for itself */
    assert_true(sample.error_ratio == 1);
    load_pause(town->load, true);
    UNTIL(sample, sample_after(town, 200), !sample.has_rate); /* the last have given up, and nobody comes */
    town_end(town);
}

/* The cause goes, the load stays: all who wait give up and come back, and the service works for those who
 * have given up. What ends it is that most are turned away at once. */
static void a_storm_of_retries_stays_until_users_are_turned_away(void **state)
{
    struct town *town = town_begin(20);
    struct load_sample sample;

    (void)state;
    town->stage->cost_us = 20000; /* a capacity of 50 a second, at best */
    UNTIL(sample, sample_after(town, 1000), sample.rate_per_s > 17 && sample.error_ratio == 0);
    load_retry(town->load, 20);
    live(town, 1000);
    sample = sample_after(town, 1000);
    assert_true(sample.sent_per_s < 40); /* retries alone make no storm */
    load_surge(town->load, 9);
    live(town, 3000);
    load_surge(town->load, 1);
    live(town, 2000);
    for (int i = 0; i < 3; i++) {
        sample = sample_after(town, 1000);
        tell("storm", sample);
        assert_true(sample.sent_per_s > 100 && sample.error_ratio > 0.5);
    }
    town->stage->status = 429;
    UNTIL(sample, sample_after(town, 500), sample.sent_per_s < 40 && sample.error_ratio == 0);
    town->stage->status = 200;
    UNTIL(sample, sample_after(town, 1000), sample.rate_per_s > 17 && sample.error_ratio == 0);
    tell("after it", sample);
    town_end(town);
}

static void a_spread_load_reaches_the_second_instance(void **state)
{
    struct town *town = town_begin(160);
    struct stage *second = shared_new(sizeof *second);
    struct load_sample sample;
    uint16_t port;
    int fd = listen_somewhere(&port);

    (void)state;
    second->status = 200;
    town->stage->cost_us = second->cost_us = 8000; /* one alone cannot do it */
    pid_t pid = start_http(fd, second);
    UNTIL(sample, sample_after(town, 500), sample.error_ratio > 0.05);
    page_set_second_port(town->link->page, port);
    load_spread(town->load);
    UNTIL(sample, sample_after(town, 500), sample.error_ratio == 0 && sample.rate_per_s > 130);
    unsigned first_before = town->stage->heard, second_before = second->heard;
    tell("spread", sample_after(town, 1000));
    unsigned at_first = town->stage->heard - first_before, at_second = second->heard - second_before;
    print_message("# %u + %u heard\n", at_first, at_second);
    assert_true(at_first > 30 && at_second > 30);
    end(pid, SIGKILL);
    munmap(second, sizeof *second);
    close(fd);
    town_end(town);
}

static void a_load_spreads_even_if_nothing_forces_new_connections(void **state)
{
    struct town *town = town_begin(50);
    struct stage *second = shared_new(sizeof *second);
    uint16_t port;
    int fd = listen_somewhere(&port);
    pid_t pid = start_http(fd, second);

    (void)state;
    second->status = 200;
    page_set_second_port(town->link->page, port);
    int64_t until_ns = monotonic_ns() + PATIENCE;
    while (second->heard == 0 ||
           town->stage->heard == 0) { /* each spread has its next connection elsewhere */
        assert_true(monotonic_ns() < until_ns);
        live(town, 100);
        load_spread(town->load);
    }
    end(pid, SIGKILL);
    munmap(second, sizeof *second);
    close(fd);
    town_end(town);
}

static void lost_replies_are_errors_of_that_share(void **state)
{
    struct town *town = town_begin(100);
    struct load_sample sample;

    (void)state;
    UNTIL(sample, sample_after(town, 500), sample.rate_per_s > 80);
    strike(town, FAULT_NETWORK_LOSS, 0.3);
    live(town, 1200);
    load_take(town->load, &sample);
    sample = sample_after(town, 3000);
    tell("loss", sample);
    assert_true(sample.error_ratio > 0.17 && sample.error_ratio < 0.43); /* 300: 0.3 +- 5 deviations */
    assert_true(sample.latency_s >= 0.99);
    page_clear(town->link->page, FAULT_NETWORK_LOSS);
    UNTIL(sample, sample_after(town, 500), sample.error_ratio == 0 && sample.rate_per_s > 80);
    town_end(town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_come_at_their_rate_and_a_surge_is_really_sent),
        cmocka_unit_test(three_hundred_a_second_are_asked_of_a_service_that_never_answers),
        cmocka_unit_test(what_fails_is_tried_again_so_often),
        cmocka_unit_test(refused_users_try_again_within_bounds),
        cmocka_unit_test(a_storm_of_retries_stays_until_users_are_turned_away),
        cmocka_unit_test(a_spread_load_reaches_the_second_instance),
        cmocka_unit_test(a_load_spreads_even_if_nothing_forces_new_connections),
        cmocka_unit_test(lost_replies_are_errors_of_that_share),
    };

    signal(SIGPIPE, SIG_IGN);
    allow_descriptors();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
