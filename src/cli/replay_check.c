/* A checker as a watcher of a replay. Books go on over a crash that is told (only a simulator knows what was
 * durable then); a control plane that just ended leaves nobody who could say, so the next life is checked by
 * itself, with what it restores taken as it is. */
#include "cli/replay.h"

#include "base/check.h"
#include "core/image.h"

#include <stdio.h>

static void close_books(struct replay_check *check)
{
    uint32_t count = check->checker ? checker_count(check->checker) : 0;
    char time[32];
    for (uint32_t i = 0; i < count && i < VIOLATIONS_MAX; i++) {
        const struct violation *v = checker_violation(check->checker, i);
        const char *name = invariant_name((enum invariant)v->invariant);
        check->safety |= invariant_is_safety((enum invariant)v->invariant);
        if (check->list)
            json_array_append_new(check->list,
                                  json_pack("{s:s,s:s,s:i,s:s}", "at", replay_time(v->at, time), "invariant",
                                            name, "node", (int)v->node, "text", v->sentence));
        else
            fprintf(stderr, "  %s  %s  node %d: %s\n", replay_time(v->at, time), name, (int)v->node,
                    v->sentence);
    }
    check->violations += count;
    checker_free(&check->checker);
}

static void on_life(void *context, instant at, const struct core *core, bool from_image)
{
    struct replay_check *check = context;
    (void)at;
    check->restoring = check->crashed && !from_image;
    check->crashed = false;
    if (check->restoring && check->checker) {
        check->checked++;
        return;
    }
    close_books(check);
    check->unchecked += from_image;
    if (from_image)
        return;
    check->checked++;
    check->checker = checker_new(core_made_with(core).node_capacity);
    CHECK(check->checker);
}

static void on_event(void *context, const struct core *core, const struct event *event)
{
    struct replay_check *check = context;
    (void)core;
    if (check->checker)
        checker_event(check->checker, event);
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct replay_check *check = context;
    (void)core;
    if (check->checker)
        checker_effects(check->checker, at, ticket, effects);
}

static void on_committed(void *context, instant at, uint64_t ticket)
{
    struct replay_check *check = context;
    if (check->checker)
        checker_committed(check->checker, at, ticket);
}

static void on_delivered(void *context, instant at, const struct command *command)
{
    struct replay_check *check = context;
    if (check->checker)
        checker_delivered(check->checker, at, command);
}

static void on_effect(void *context, instant at, const struct command *command)
{
    struct replay_check *check = context;
    if (check->checker)
        checker_world_effect(check->checker, at, command);
}

static void on_crash(void *context, instant at)
{
    struct replay_check *check = context;
    check->crashed = true;
    if (check->checker)
        checker_crash(check->checker, at);
}

static void on_restored(void *context, instant at, const struct core *core)
{
    struct replay_check *check = context;
    if (check->checker && check->restoring)
        checker_restored(check->checker, at, core);
    check->restoring = false;
}

struct replay_watch replay_check_watch(struct replay_check *check)
{
    return (struct replay_watch){.life = on_life,
                                 .event = on_event,
                                 .effects = on_effects,
                                 .committed = on_committed,
                                 .delivered = on_delivered,
                                 .effect = on_effect,
                                 .crash = on_crash,
                                 .restored = on_restored,
                                 .context = check};
}

void replay_check_end(struct replay_check *check, instant at, const struct core *core, bool rest)
{
    if (check->checker && rest)
        checker_rest(check->checker, at, core);
    close_books(check);
}
