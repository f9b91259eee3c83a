#include "journal/replay.h"

#include "base/check.h"
#include "core/image.h"
#include "journal/picture.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct replay {
    struct replay_options options;
    struct replay_result result;
    void *memory; /* of the core */
    struct core *core;
    void *draft; /* a core that is made of images */
    size_t draft_size;
    struct journal_life life; /* the newest */
    bool told_build, goes_on; /* a life that continues waits for its image */
    bool done;                /* beyond until_at */
    const char *name;
    struct journal_record record;
    struct effects effects;
};

#define TELL(replay, call, ...)                                                                              \
    do {                                                                                                     \
        for (uint32_t watch_ = 0; watch_ < (replay)->options.watch_count; watch_++)                          \
            if ((replay)->options.watch[watch_].call)                                                        \
                (replay)->options.watch[watch_].call((replay)->options.watch[watch_].context, __VA_ARGS__);  \
    } while (0)

static void note(struct replay *replay, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct replay *replay, const char *format, ...)
{
    char sentence[512];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    TELL(replay, note, sentence);
}

static bool refuse(struct replay *replay, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct replay *replay, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(replay->result.why, sizeof replay->result.why, format, list);
    va_end(list);
    replay->result.end = REPLAY_REFUSED;
    return false;
}

/* --- cores ---------------------------------------------------------------------------------------------- */

/* Watchers may look at the core before until they have heard of this one. */
static void begin_core(struct replay *replay, instant at, void *memory, struct core *core, bool from_image)
{
    void *before = replay->memory;
    replay->memory = memory;
    replay->core = core;
    TELL(replay, life, at, core, from_image);
    free(before);
}

static void drop_draft(struct replay *replay)
{
    free(replay->draft);
    replay->draft = NULL;
}

static void *take_memory(struct replay *replay, const struct core_config *config)
{
    size_t size = core_size(config);
    uint64_t most = replay->options.core_bytes_max ? replay->options.core_bytes_max : UINT64_C(8) << 30;
    void *memory = size <= most ? calloc(1, size) : NULL;
    if (!memory)
        refuse(replay, "%s: a core for %u nodes and %u incidents is more than there is memory for",
               replay->name, config->node_capacity, config->incident_capacity);
    return memory;
}

static bool begin_life(struct replay *replay, const struct journal_life *life)
{
    replay->life = *life;
    drop_draft(replay);
    if (life->build != journal_build && !replay->told_build) {
        replay->told_build = true;
        note(replay, "%s was recorded by version %s with another build of the core: it may decide otherwise",
             replay->name, life->product);
    }
    replay->goes_on = life->continues;
    if (life->continues) {
        if (life->layout == journal_layout)
            return true;
        return refuse(replay,
                      "%s begins with an image of the core's memory that only its own build can read; "
                      "mend: replay it with the homeostat that recorded it (version %s)",
                      replay->name, life->product);
    }
    replay->result.lives++;
    void *memory = take_memory(replay, &life->config);
    if (!memory)
        return false;
    begin_core(replay, replay->result.last_at, memory, core_init(memory, &life->config), false);
    return true;
}

/* The image is whole. Where nothing is missing it is what we have already. */
static bool use_draft(struct replay *replay, uint64_t digest)
{
    replay->goes_on = false;
    if (replay->core && core_digest(replay->core) == digest) {
        drop_draft(replay);
        return true;
    }
    struct core *core = core_adopt(replay->draft, &replay->life.config);
    if (!core || core_digest(core) != digest)
        return refuse(replay, "%s: the image of the core in it is damaged", replay->name);
    if (replay->core || replay->result.events > 0) {
        replay->result.holes++;
        note(replay, "%s: events before it are missing; it goes on with its image of the core", replay->name);
    }
    replay->result.images_used++;
    begin_core(replay, core_now(core), replay->draft, core, true);
    replay->draft = NULL;
    return true;
}

static bool take_image(struct replay *replay, const struct journal_image *image)
{
    if (!replay->goes_on)
        return refuse(replay, "%s: an image where none belongs", replay->name);
    if (!replay->draft) {
        replay->draft_size = core_size(&replay->life.config);
        replay->draft = take_memory(replay, &replay->life.config);
        if (!replay->draft)
            return false;
    }
    if (image->total != replay->draft_size || !picture_read(image, replay->draft, replay->draft_size))
        return refuse(replay, "%s: the image of the core in it is damaged", replay->name);
    return !image->last || use_draft(replay, image->digest);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

static void count_effects(struct replay_result *result, const struct effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->list[i];
        const struct incident *incident = &effect->of.incident;
        result->commands += effect->kind == EFFECT_ACT;
        if (effect->kind != EFFECT_RECORD)
            continue;
        bool closes = incident->closed_at == effect->at && incident->why != WHY_ACKNOWLEDGED;
        result->opened += incident->state == INCIDENT_OPEN && incident->opened_at == effect->at;
        result->resolved += incident->state == INCIDENT_RESOLVED && closes;
        result->escalated += incident->state == INCIDENT_ESCALATED && closes;
    }
}

static bool take_step(struct replay *replay, const struct event *event, uint64_t ticket, uint64_t digest)
{
    struct replay_result *result = &replay->result;
    if (!replay->core)
        return refuse(replay, "%s: an event, and no core that it could go into", replay->name);
    if (event->at < core_now(replay->core))
        return refuse(replay, "%s: its time goes back", replay->name);
    if (event->at > replay->options.until_at) {
        replay->done = true;
        return false;
    }
    TELL(replay, event, replay->core, event);
    core_step(replay->core, event, &replay->effects);
    result->events++;
    result->kinds[event->kind]++;
    result->first_at = result->first_at == INSTANT_NONE ? event->at : result->first_at;
    result->last_at = event->at;
    result->digest = core_digest(replay->core);
    count_effects(result, &replay->effects);
    TELL(replay, effects, replay->core, ticket, &replay->effects, event->at);
    if (result->digest == digest || result->end == REPLAY_DIVERGED)
        return true;
    result->end = REPLAY_DIVERGED;
    result->step = *event;
    if (event->kind == EVENT_POLICY)
        result->step.of.policy = NULL;
    result->step_written = digest;
    result->step_found = result->digest;
    return replay->options.goes_on;
}

static bool take_record(struct replay *replay)
{
    const struct journal_record *record = &replay->record;
    switch (record->kind) {
    case JOURNAL_LIFE:
        return begin_life(replay, &record->of.life);
    case JOURNAL_IMAGE:
        return take_image(replay, &record->of.image);
    case JOURNAL_EVENT:
        return take_step(replay, &record->of.step.event, record->of.step.ticket, record->of.step.digest);
    case JOURNAL_COMMITTED:
        TELL(replay, committed, record->at, record->of.ticket);
        return true;
    case JOURNAL_DELIVERED:
        TELL(replay, delivered, record->at, &record->of.command);
        return true;
    case JOURNAL_EFFECT:
        TELL(replay, effect, record->at, &record->of.command);
        return true;
    case JOURNAL_CRASH:
        replay->result.crashes++;
        TELL(replay, crash, record->at);
        return true;
    case JOURNAL_RESTORED:
        if (replay->core)
            TELL(replay, restored, record->at, replay->core);
        return true;
    case JOURNAL_NONE:
    case JOURNAL_KIND_COUNT:
    default:
        return refuse(replay, "%s: a record of an unknown kind", replay->name);
    }
}

/* What follows cannot be joined to what was there. */
static void skip(struct replay *replay, enum journal_verdict verdict, uint64_t bytes, bool ends)
{
    replay->result.bytes_skipped += bytes;
    replay->result.torn += verdict == JOURNAL_TORN;
    replay->result.damaged += verdict == JOURNAL_DAMAGED;
    note(replay, "%s: %" PRIu64 " bytes %s; %s", replay->name, bytes,
         verdict == JOURNAL_TORN ? "were not finished when their writer ended" : "are damaged and left out",
         ends ? "all before them was used" : "it goes on behind them");
    if (verdict == JOURNAL_DAMAGED || !ends)
        replay->core = NULL;
}

bool replay_feed(struct replay *replay, const uint8_t *bytes, uint64_t length, const char *name)
{
    struct journal_reader reader = journal_reader_over(bytes, length);
    replay->name = name;
    while (!replay->done && (replay->result.end == REPLAY_FINE ||
                             (replay->result.end == REPLAY_DIVERGED && replay->options.goes_on))) {
        uint64_t skipped = reader.skipped;
        enum journal_verdict verdict = journal_next(&reader, &replay->record);
        switch (verdict) {
        case JOURNAL_RECORD:
            if (!take_record(replay))
                return false;
            break;
        case JOURNAL_END:
            return true;
        case JOURNAL_TORN:
        case JOURNAL_DAMAGED:
            skip(replay, verdict, reader.skipped - skipped, reader.at == reader.length);
            break;
        case JOURNAL_NEWER:
            return refuse(
                replay,
                "%s was written by a later version of homeostat than this one (%s); mend: replay it "
                "with that one",
                name, HOMEOSTAT_VERSION);
        case JOURNAL_FOREIGN:
        default:
            return refuse(replay, "%s is no journal", name);
        }
    }
    return false;
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct replay *replay_new(const struct replay_options *options)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay)
        return NULL;
    CHECK(options->watch_count <= REPLAY_WATCHES_MAX);
    replay->options = *options;
    replay->result.first_at = replay->result.last_at = INSTANT_NONE;
    return replay;
}

void replay_free(struct replay **replay)
{
    if (!*replay)
        return;
    free((*replay)->memory);
    drop_draft(*replay);
    free(*replay);
    *replay = NULL;
}

const struct replay_result *replay_result(const struct replay *replay)
{
    return &replay->result;
}

const struct core *replay_core(const struct replay *replay)
{
    return replay->core;
}
