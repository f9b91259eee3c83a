#include "cli/replay.h"

#include "base/text.h"
#include "cli/show.h"
#include "core/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LINE_SIZE = 1024 };

const char *replay_time(instant at, char out[32])
{
    struct text text = text_over(out, 32);
    if (at > 20 * 365 * 24 * HOUR)
        text_instant(out, at);
    else
        text_addf(&text, "%.1f s", duration_seconds(at));
    return out;
}

static void tell(const struct replay_trace *trace, instant at, const char *node, const char *step,
                 const char *sentence)
{
    char time[32], line[LINE_SIZE];
    struct text text = text_over(line, sizeof line);
    if (at < trace->from_at)
        return;
    replay_time(at, time);
    if (trace->list) {
        json_array_append_new(trace->list, json_pack("{s:s,s:s,s:s,s:s}", "at", time, "step", step, "node",
                                                     node, "text", sentence));
        return;
    }
    enum ink ink = ink_of_word(step);
    printf("  %10s  %s%-9s%s ", time, ink_on(stdout, ink), step, ink_off(stdout, ink));
    if (*node)
        text_addf(&text, "%s: ", node);
    text_add(&text, sentence);
    print_folded(stdout, 14 + 10, line);
}

/* As in sim: orders are told by ACT, and what people are told by PEOPLE; the rest is bookkeeping. */
static bool is_news(const struct effect *effect)
{
    return effect->kind == EFFECT_RECORD || effect->kind == EFFECT_ENDED ||
           (effect->kind == EFFECT_BLOCKED && effect->of.incident.blocked_count == 1);
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    (void)ticket;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->list[i];
        char bytes[LINE_SIZE];
        struct text text = text_over(bytes, sizeof bytes);
        if (!is_news(effect))
            continue;
        trace_sentence(&text, core, effect);
        if (strcmp(trace_step(effect), "DETECT") == 0)
            text_addf(&text, "   incident %" PRIu64, effect->of.incident.id);
        tell(context, at, core_node_name(core, effect->node), trace_step(effect), bytes);
    }
}

static void on_event(void *context, const struct core *core, const struct event *event)
{
    struct replay_trace *trace = context;
    (void)core;
    if (trace->begins && event->at >= trace->crash_at) {
        trace->begins = false;
        tell(context, event->at, "", "LIFE", "a control plane begins");
    }
    if (event->kind == EVENT_POLICY)
        tell(context, event->at, "", "POLICY", "a policy comes into force");
    else if (event->kind == EVENT_GAP)
        tell(context, event->at, "", "GAP", "the control plane was away");
}

static void on_life(void *context, instant at, const struct core *core, bool from_image)
{
    struct replay_trace *trace = context;
    (void)core;
    trace->begins = at != INSTANT_NONE && !from_image;
    if (at != INSTANT_NONE && from_image)
        tell(context, at, "", "LIFE", "goes on with an image of the core");
}

static void on_crash(void *context, instant at)
{
    struct replay_trace *trace = context;
    trace->crash_at = at;
    tell(context, at, "", "CRASH", "the control plane is gone, with what was not durable");
}

static void on_restored(void *context, instant at, const struct core *core)
{
    (void)core;
    tell(context, at, "", "RESTORED", "all that was kept is back");
}

static void on_note(void *context, const char *sentence)
{
    const struct replay_trace *trace = context;
    if (!trace->list)
        printf("  %10s  %s\n", "", sentence);
}

struct replay_watch replay_trace_watch(struct replay_trace *trace)
{
    return (struct replay_watch){.effects = on_effects,
                                 .event = on_event,
                                 .life = on_life,
                                 .crash = on_crash,
                                 .restored = on_restored,
                                 .note = on_note,
                                 .context = trace};
}
