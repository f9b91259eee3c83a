#include "sim/record.h"

static void on_event(void *context, const struct event *event)
{
    ((struct sim_record *)context)->event = *event;
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct sim_record *record = context;
    (void)effects, (void)at;
    if (!record->lives)
        recorder_life(record->recorder, core);
    record->lives = true;
    recorder_event(record->recorder, core, &record->event, ticket);
}

static void on_committed(void *context, instant at, uint64_t ticket)
{
    recorder_committed(((struct sim_record *)context)->recorder, at, ticket);
}

static void on_delivered(void *context, instant at, const struct command *command)
{
    recorder_delivered(((struct sim_record *)context)->recorder, at, command);
}

static void on_effect(void *context, instant at, const struct command *command, const struct world_done *done)
{
    (void)done;
    recorder_effect(((struct sim_record *)context)->recorder, at, command);
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    struct sim_record *record = context;
    if (accident->kind != ACCIDENT_CRASH_PLANE && accident->kind != ACCIDENT_SECOND_PLANE)
        return;
    if (begins)
        recorder_crash(record->recorder, at);
    else
        recorder_restored(record->recorder, at);
    record->lives = !begins;
}

struct sim_watch sim_record_watch(struct sim_record *record)
{
    return (struct sim_watch){.event = on_event,
                              .effects = on_effects,
                              .committed = on_committed,
                              .delivered = on_delivered,
                              .effect = on_effect,
                              .accident = on_accident,
                              .context = record};
}
