#include "sim/swarm_tell.h"

#include "base/check.h"
#include "base/text.h"
#include "core/trace.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 1024 };

/* --- the trace ------------------------------------------------------------------------------------------ */

static void print_line(const struct swarm_tell *tell, instant at, uint32_t node, const char *step,
                       const char *sentence)
{
    const char *name = tell->sim && node != NO_INDEX ? sim_node_name(tell->sim, node) : "";
    fprintf(tell->out, "  %9.3f s  %-9s %-9s %s\n", duration_seconds(at), step, name, sentence);
}

static bool is_news(const struct effect *effect)
{
    return effect->kind == EFFECT_RECORD || effect->kind == EFFECT_ENDED || effect->kind == EFFECT_CONTROL ||
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
        if (effect->kind != EFFECT_ENDED && effect->kind != EFFECT_CONTROL)
            text_addf(&text, "   incident %llu", (unsigned long long)effect->of.incident.id);
        print_line(context, at, effect->node, trace_step(effect), bytes);
    }
}

static void on_fault(void *context, instant at, const struct world_fault *fault, bool begins)
{
    char bytes[LINE_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    text_addf(&text, "%s %s, %s", fault_kind_name((enum fault_kind)fault->kind),
              begins ? "begins" : "is over", shape_name((enum shape)fault->shape));
    print_line(context, at, fault->node, "FAULT", bytes);
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    char bytes[LINE_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    text_addf(&text, "%s%s", accident_name((enum accident)accident->kind), begins ? "" : ": over");
    if (begins && accident->length_ns > 0) {
        text_add(&text, " for ");
        text_duration(&text, accident->length_ns);
    }
    print_line(context, at, NO_INDEX, "ACCIDENT", bytes);
}

struct sim_watch swarm_tell_watch(struct swarm_tell *tell, FILE *out)
{
    tell->out = out;
    return (struct sim_watch){
        .effects = on_effects, .fault = on_fault, .accident = on_accident, .context = tell};
}

void swarm_tail(const struct swarm *swarm, char tail[SWARM_TAIL_SIZE])
{
    char *bytes = NULL;
    size_t size = 0;
    struct swarm_outcome *outcome = malloc(sizeof *outcome);
    FILE *trace = open_memstream(&bytes, &size);
    CHECK(outcome && trace);
    swarm_run(swarm, trace, true, outcome);
    fclose(trace);
    const char *from = bytes;
    if (size >= SWARM_TAIL_SIZE) { /* from the beginning of a line on */
        from = strchr(bytes + size - SWARM_TAIL_SIZE + 1, '\n');
        from = from ? from + 1 : bytes + size;
    }
    text_copy(tail, SWARM_TAIL_SIZE, from);
    free(bytes);
    free(outcome);
}
