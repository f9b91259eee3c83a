/* Stories of a node's ping, and of what befalls the link that it measures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "agent/ping.h"
#include "base/clock.h"
#include "inject/page.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

struct watch {
    struct link *link;
    struct event_base *base;
    struct ping *ping;
};

static struct watch *watch_begin(void)
{
    struct watch *watch = calloc(1, sizeof *watch);
    assert_non_null(watch);
    watch->link = link_up(answer_user);
    watch->base = event_base_new();
    assert_non_null(watch->base);
    watch->ping = ping_new(watch->base, watch->link->echo);
    assert_non_null(watch->ping);
    return watch;
}

static void watch_end(struct watch *watch)
{
    ping_free(&watch->ping);
    event_base_free(watch->base);
    link_down(watch->link);
    free(watch);
}

static void live(struct watch *watch, int ms)
{
    struct timeval span = timeval_of(ms * MILLISECOND);
    event_base_loopexit(watch->base, &span);
    event_base_dispatch(watch->base);
}

static struct ping_sample ping_after(struct watch *watch, int ms)
{
    struct ping_sample sample;
    live(watch, ms);
    ping_take(watch->ping, &sample);
    return sample;
}

static void strike(struct watch *watch, enum fault_kind kind, double intensity)
{
    page_set(watch->link->page, kind, intensity, monotonic_ns() + MINUTE);
}

static void tell(const char *when, struct ping_sample sample)
{
    print_message("# %s: %d %.4f s, %d loss %.3f\n", when, sample.has_latency, sample.latency_s,
                  sample.has_loss, sample.loss_ratio);
}

static void a_slow_link_is_slow_and_loses_nothing(void **state)
{
    struct watch *watch = watch_begin();
    struct ping_sample sample;

    (void)state;
    UNTIL(sample, ping_after(watch, 1000), sample.has_latency && sample.has_loss && sample.latency_s < 0.05);
    tell("well", sample);
    assert_true(sample.loss_ratio == 0);
    strike(watch, FAULT_NETWORK_DELAY, 1.2);
    for (int i = 0; i < 15; i++) {
        sample = ping_after(watch, 200);
        assert_true(!sample.has_loss || sample.loss_ratio == 0);
    }
    tell("slow", sample);
    assert_true(sample.has_latency && sample.latency_s >= 1.2 && sample.latency_s < 3);
    page_clear(watch->link->page, FAULT_NETWORK_DELAY);
    UNTIL(sample, ping_after(watch, 500), sample.has_latency && sample.latency_s < 0.05);
    assert_true(sample.has_loss && sample.loss_ratio == 0);
    watch_end(watch);
}

static void a_lossy_link_shows_its_share(void **state)
{
    struct watch *watch = watch_begin();
    struct ping_sample sample;

    (void)state;
    strike(watch, FAULT_NETWORK_LOSS, 0.3);
    live(watch, 3200);
    sample = ping_after(watch, 1000);
    tell("lossy", sample);
    assert_true(sample.has_latency && sample.latency_s < 0.1);
    assert_true(sample.has_loss && sample.loss_ratio > 0.01 &&
                sample.loss_ratio < 0.6); /* of 60: 5 deviations */

    page_level(watch->link->page, FAULT_NETWORK_LOSS, 1); /* nothing at all comes back */
    UNTIL(sample, ping_after(watch, 200), sample.has_loss && sample.loss_ratio == 1);
    page_clear(watch->link->page, FAULT_NETWORK_LOSS);
    ping_forget(watch->ping);
    sample = ping_after(watch, 100);
    assert_false(sample.has_loss);
    UNTIL(sample, ping_after(watch, 200), sample.has_loss);
    assert_true(sample.loss_ratio == 0);
    watch_end(watch);
}

static void a_link_that_is_slow_and_lossy_shows_both(void **state)
{
    struct watch *watch = watch_begin();
    struct ping_sample sample;

    (void)state;
    strike(watch, FAULT_NETWORK_DELAY, 0.5);
    strike(watch, FAULT_NETWORK_LOSS, 0.5);
    live(watch, 3600);
    sample = ping_after(watch, 400);
    tell("both", sample);
    assert_true(sample.has_latency && sample.latency_s >= 0.5 && sample.latency_s < 1.5);
    assert_true(sample.has_loss && sample.loss_ratio > 0.17 && sample.loss_ratio < 0.83);
    watch_end(watch);
}

static void a_cut_link_loses_everything_and_recovers(void **state)
{
    struct watch *watch = watch_begin();
    struct ping_sample sample;

    (void)state;
    UNTIL(sample, ping_after(watch, 1000), sample.has_loss && sample.loss_ratio == 0);
    strike(watch, FAULT_NETWORK_CUT, 1);
    sample = ping_after(watch, 1500);
    tell("cut", sample);
    assert_true(sample.has_loss && sample.loss_ratio > 0.25);
    UNTIL(sample, ping_after(watch, 200), sample.loss_ratio == 1);
    page_clear(watch->link->page, FAULT_NETWORK_CUT);
    UNTIL(sample, ping_after(watch, 200), sample.loss_ratio == 0 && sample.has_latency);
    watch_end(watch);
}

static void a_stopped_relay_is_late_and_then_lost(void **state)
{
    struct watch *watch = watch_begin();
    struct ping_sample sample;

    (void)state;
    UNTIL(sample, ping_after(watch, 1000), sample.has_loss && sample.loss_ratio == 0);
    kill(watch->link->relay, SIGSTOP);
    sample = ping_after(watch, 1000);
    assert_true(sample.has_latency && sample.has_loss && sample.loss_ratio == 0);
    UNTIL(sample, ping_after(watch, 100), sample.latency_s > 0.6);
    UNTIL(sample, ping_after(watch, 100), sample.loss_ratio > 0.4);
    kill(watch->link->relay, SIGCONT);
    UNTIL(sample, ping_after(watch, 100), sample.loss_ratio == 0 && sample.latency_s < 0.05);
    watch_end(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_link_is_slow_and_loses_nothing),
        cmocka_unit_test(a_lossy_link_shows_its_share),
        cmocka_unit_test(a_link_that_is_slow_and_lossy_shows_both),
        cmocka_unit_test(a_cut_link_loses_everything_and_recovers),
        cmocka_unit_test(a_stopped_relay_is_late_and_then_lost),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
