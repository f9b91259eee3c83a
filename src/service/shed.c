#include "service/shed.h"

#include "base/check.h"

static double bucket(const struct shed *shed)
{
    double holds = SHED_SHARE * shed->capacity * duration_seconds(SHED_BURST_NS);

    return holds > 1 ? holds : 1;
}

void shed_begin(struct shed *shed, int64_t now)
{
    CHECK(shed->capacity > 0);
    if (shed_is_on(shed, now))
        return;
    shed->on = true;
    shed->tokens = bucket(shed);
    shed->filled_at = shed->window_at = now;
    shed->arrived = 0;
    shed->calm_windows = 0;
}

void shed_end(struct shed *shed)
{
    shed->on = false;
}

bool shed_is_on(struct shed *shed, int64_t now)
{
    double troubling = SHED_CALM_SHARE * shed->capacity * duration_seconds(SHED_WINDOW_NS);

    while (shed->on && now - shed->window_at >= SHED_WINDOW_NS) {
        shed->calm_windows = (double)shed->arrived < troubling ? shed->calm_windows + 1 : 0;
        shed->arrived = 0;
        shed->window_at += SHED_WINDOW_NS;
        if (shed->calm_windows >= SHED_CALM_WINDOWS)
            shed->on = false;
    }
    return shed->on;
}

bool shed_lets_in(struct shed *shed, int64_t now)
{
    if (!shed_is_on(shed, now))
        return true;
    shed->arrived++;
    shed->tokens += SHED_SHARE * shed->capacity * duration_seconds(now - shed->filled_at);
    if (shed->tokens > bucket(shed))
        shed->tokens = bucket(shed);
    shed->filled_at = now;
    if (shed->tokens < 1)
        return false;
    shed->tokens--;
    return true;
}
