#include "cli/tale.h"

#include "base/check.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { NO_STATE = INCIDENT_STATE_COUNT };

struct step {
    instant at;
    uint8_t state;   /* NO_STATE: it is about something else */
    uint8_t remedy;  /* of an order */
    uint8_t verdict; /* VERDICT_NONE: it is about something else */
    uint8_t block;   /* likewise */
    uint32_t attempt;
};

struct chapter { /* one incident */
    uint64_t id;
    instant opened_at, resolved_at; /* INSTANT_NONE: not (any more) */
    char node[NODE_NAME_SIZE], finding[DETECTOR_NAME_SIZE];
    struct step *steps;
    uint32_t number, count, room, orders, blocks;
    uint8_t state, remedy, verdict; /* as of now */
};

struct tale {
    struct chapter *chapters;
    uint32_t count, room;
};

static void *grow(void *list, uint32_t *room, size_t item)
{
    *room = *room ? 2 * *room : 16;
    void *grown = reallocarray(list, *room, item);
    CHECK(grown);
    return grown;
}

struct tale *tale_new(void)
{
    struct tale *tale = calloc(1, sizeof *tale);
    CHECK(tale);
    return tale;
}

void tale_free(struct tale **owner)
{
    struct tale *tale = *owner;
    if (!tale)
        return;
    for (uint32_t i = 0; i < tale->count; i++)
        free(tale->chapters[i].steps);
    free(tale->chapters);
    free(tale);
    *owner = NULL;
}

/* --- steps ---------------------------------------------------------------------------------------------- */

static void add(struct chapter *chapter, struct step step)
{
    if (chapter->count == TALE_STEPS_MAX)
        return;
    if (chapter->count == chapter->room)
        chapter->steps = grow(chapter->steps, &chapter->room, sizeof *chapter->steps);
    /* Block reasons of a database come after everything else: each goes to its place in time. */
    uint32_t place = chapter->count++;
    for (; place > 0 && chapter->steps[place - 1].at > step.at; place--)
        chapter->steps[place] = chapter->steps[place - 1];
    chapter->steps[place] = step;
}

static struct chapter *chapter_of(struct tale *tale, const struct told_step *step)
{
    for (uint32_t i = tale->count; i-- > 0;)
        if (tale->chapters[i].id == step->incident)
            return &tale->chapters[i];
    if (tale->count == TALE_INCIDENTS_MAX)
        return NULL;
    if (tale->count == tale->room)
        tale->chapters = grow(tale->chapters, &tale->room, sizeof *tale->chapters);
    struct chapter *chapter = &tale->chapters[tale->count++];
    *chapter = (struct chapter){.id = step->incident,
                                .opened_at = step->at,
                                .resolved_at = INSTANT_NONE,
                                .number = step->number,
                                .state = NO_STATE,
                                .remedy = REMEDY_NONE,
                                .verdict = VERDICT_NONE};
    text_copy(chapter->node, sizeof chapter->node, step->node);
    text_copy(chapter->finding, sizeof chapter->finding, step->finding);
    return chapter;
}

void tale_step(struct tale *tale, const struct told_step *step)
{
    struct chapter *chapter = chapter_of(tale, step);
    if (!chapter)
        return;
    bool verdict = step->verdict != VERDICT_NONE && step->verdict != chapter->verdict;
    bool moved = step->state != chapter->state;
    chapter->verdict = step->verdict;
    chapter->state = step->state;
    if (verdict)
        add(chapter, (struct step){.at = step->at, .state = NO_STATE, .verdict = step->verdict});
    if (!moved)
        return;
    bool ordered = step->state == INCIDENT_ACTING;
    chapter->orders += ordered;
    chapter->remedy = ordered                             ? step->remedy
                      : step->state == INCIDENT_ESCALATED ? (uint8_t)REMEDY_PAGE_HUMAN
                                                          : chapter->remedy;
    chapter->resolved_at = step->state == INCIDENT_RESOLVED ? step->at : INSTANT_NONE;
    add(chapter, (struct step){.at = step->at,
                               .state = step->state,
                               .remedy = ordered ? step->remedy : (uint8_t)REMEDY_NONE,
                               .attempt = ordered ? chapter->orders : 0});
}

void tale_blocked(struct tale *tale, const struct told_step *step, enum block_reason reason)
{
    struct chapter *chapter = chapter_of(tale, step);
    if (!chapter || chapter->blocks & 1u << reason)
        return;
    chapter->blocks |= 1u << reason;
    add(chapter, (struct step){.at = step->at, .state = NO_STATE, .block = (uint8_t)reason});
}

/* --- as JSON -------------------------------------------------------------------------------------------- */

static json_t *json_of_step(const struct step *step)
{
    json_t *object = json_pack("{s:f}", "at_s", duration_seconds(step->at));
    if (step->block != BLOCK_NONE)
        json_object_set_new(object, "blocked",
                            json_string(block_reason_name((enum block_reason)step->block)));
    if (step->verdict != VERDICT_NONE)
        json_object_set_new(object, "verdict", json_string(verdict_name((enum verdict)step->verdict)));
    if (step->state != NO_STATE)
        json_object_set_new(object, "state",
                            json_string(incident_state_name((enum incident_state)step->state)));
    if (step->attempt > 0) {
        json_object_set_new(object, "remedy", json_string(remedy_name((enum remedy)step->remedy)));
        json_object_set_new(object, "attempt", json_integer(step->attempt));
    }
    return object;
}

static json_t *seconds_since(instant from_at, instant at)
{
    return from_at == INSTANT_NONE || at == INSTANT_NONE ? json_null()
                                                         : json_real(duration_seconds(at - from_at));
}

static json_t *word_or_null(bool is, const char *word)
{
    return is ? json_string(word) : json_null();
}

static json_t *json_of_chapter(const struct chapter *chapter, const struct expect_facts *facts)
{
    instant cause_at = expect_cause(facts, chapter->number, chapter->opened_at);
    json_t *steps = json_array();
    for (uint32_t i = 0; i < chapter->count; i++)
        json_array_append_new(steps, json_of_step(&chapter->steps[i]));
    json_t *object = json_pack(
        "{s:s,s:s,s:s,s:o,s:o,s:f,s:o,s:o,s:o}", "node", chapter->node, "finding", chapter->finding, "state",
        chapter->state == NO_STATE ? "open" : incident_state_name((enum incident_state)chapter->state),
        "remedy", word_or_null(chapter->remedy != REMEDY_NONE, remedy_name((enum remedy)chapter->remedy)),
        "verdict",
        word_or_null(chapter->verdict != VERDICT_NONE, verdict_name((enum verdict)chapter->verdict)),
        "opened_s", duration_seconds(chapter->opened_at), "detect_s",
        seconds_since(cause_at, chapter->opened_at), "recover_s",
        seconds_since(cause_at, chapter->resolved_at), "steps", steps);
    CHECK(object);
    return object;
}

json_t *tale_json(const struct tale *tale, const struct expect_facts *facts)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < tale->count; i++)
        json_array_append_new(list, json_of_chapter(&tale->chapters[i], facts));
    return list;
}
