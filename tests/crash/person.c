#include "person.h"

#include "base/check.h"
#include "base/clock.h"
#include "wire/client.h"

#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const duration answer_limit_ns = 4 * SECOND;

/* Whether automation is paused, as far as can be known: a word that got no answer may have been heard. */
enum pause_belief { PAUSE_UNKNOWN, PAUSE_ON, PAUSE_OFF };

struct person {
    struct person_options options;
    struct client *client;
    struct event *timer;
    json_t *incidents; /* as last seen, or NULL */
    enum pause_belief pause, wanted_pause;
    uint64_t incident; /* that the word under way is about */
    char said[128];    /* what will be promised if it is answered */
    unsigned policies;
    bool sees_active, resting;
    unsigned rest_step;
};

static void next(struct person *person)
{
    struct timeval pause = timeval_of(
        dice_duration(person->options.dice, 20 * MILLISECOND, (person->resting ? 100 : 180) * MILLISECOND));
    event_add(person->timer, &pause);
}

static void say(struct person *person, const char *method, const char *path, const char *type,
                const char *body, client_done *done)
{
    if (client_send(person->client, method, path, type, body, body ? strlen(body) : 0, answer_limit_ns, done,
                    person) < 0)
        next(person);
}

/* --- looking -------------------------------------------------------------------------------------------- */

static const char *word_of(json_t *incident, const char *name)
{
    const char *word = json_string_value(json_object_get(incident, name));
    return word ? word : "";
}

static uint64_t id_of(json_t *incident)
{
    return (uint64_t)json_integer_value(json_object_get(incident, "id"));
}

static bool is_closed(json_t *incident)
{
    const char *state = word_of(incident, "state");
    return strcmp(state, "resolved") == 0 || strcmp(state, "escalated") == 0;
}

static void on_incidents(void *context, const struct answer *answer)
{
    struct person *person = context;
    json_t *body = answer->status == 200 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL,
           *incident;
    size_t i;
    if (body) {
        json_decref(person->incidents);
        person->incidents = json_incref(json_object_get(body, "incidents"));
        person->sees_active = false;
    }
    json_array_foreach(body ? person->incidents : NULL, i, incident)
    {
        char said[128];
        snprintf(said, sizeof said, "%s %s", word_of(incident, "node"), word_of(incident, "finding"));
        promise(person->options.promises, PROMISE_INCIDENT, id_of(incident), said);
        person->sees_active = person->sees_active || !is_closed(incident);
    }
    json_decref(body);
    next(person);
}

static void look(struct person *person)
{
    say(person, "GET", "/v1/incidents?limit=1000", NULL, NULL, on_incidents);
}

/* --- words about an incident ---------------------------------------------------------------------------- */

static void on_approved(void *context, const struct answer *answer)
{
    struct person *person = context;
    if (answer->status == 200)
        promise(person->options.promises, PROMISE_APPROVAL, person->incident, "");
    next(person);
}

static void on_acknowledged(void *context, const struct answer *answer)
{
    struct person *person = context;
    if (answer->status == 200)
        promise(person->options.promises, PROMISE_ACKNOWLEDGE, person->incident, "");
    next(person);
}

static void say_of_incident(struct person *person, uint64_t id, const char *word, client_done *done)
{
    char path[64];
    person->incident = id;
    snprintf(path, sizeof path, "/v1/incidents/%" PRIu64 "/%s", id, word);
    say(person, "POST", path, NULL, "{}", done);
}

/* A random one of those that wait for it; if there is none, a look. */
static void choose_incident(struct person *person, bool approve)
{
    json_t *incident;
    uint64_t chosen = 0;
    size_t i;
    uint32_t fitting = 0;
    json_array_foreach(person->incidents, i, incident)
    {
        bool fits = approve ? strcmp(word_of(incident, "block"), "approval") == 0
                            : strcmp(word_of(incident, "state"), "escalated") == 0 &&
                                  !json_is_true(json_object_get(incident, "acknowledged"));
        if (fits && dice_below(person->options.dice, ++fitting) == 0)
            chosen = id_of(incident);
    }
    if (chosen)
        say_of_incident(person, chosen, approve ? "approve" : "acknowledge",
                        approve ? on_approved : on_acknowledged);
    else
        look(person);
}

/* --- words to the fleet --------------------------------------------------------------------------------- */

/* What is said to be so must be so, also after the control plane that was told has died. */
static void check_pause(struct person *person, bool paused)
{
    if (person->pause != PAUSE_UNKNOWN && paused != (person->pause == PAUSE_ON))
        audit_find(person->options.audit, AUDIT_LOST, "automation was %s, and it is not",
                   person->pause == PAUSE_ON ? "paused" : "resumed");
    person->pause = paused ? PAUSE_ON : PAUSE_OFF;
}

static void on_pause(void *context, const struct answer *answer)
{
    struct person *person = context;
    if (answer->status == 200)
        person->pause = person->wanted_pause;
    next(person);
}

static void pause_or_resume(struct person *person, bool paused)
{
    person->wanted_pause = paused ? PAUSE_ON : PAUSE_OFF;
    person->pause = PAUSE_UNKNOWN;
    say(person, "POST", paused ? "/v1/pause" : "/v1/resume", NULL, "", on_pause);
}

static void on_health(void *context, const struct answer *answer)
{
    struct person *person = context;
    json_t *body = answer->status == 200 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    json_t *paused = json_object_get(body, "paused");
    if (paused)
        check_pause(person, json_is_true(paused));
    json_decref(body);
    next(person);
}

static void on_policy(void *context, const struct answer *answer)
{
    struct person *person = context;
    json_t *body = answer->status == 200 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    uint64_t version = (uint64_t)json_integer_value(json_object_get(body, "version"));
    if (version > 0)
        promise(person->options.promises, PROMISE_POLICY, version, person->said);
    json_decref(body);
    next(person);
}

static void put_policy(struct person *person, const char *mode)
{
    char text[4096];
    snprintf(person->said, sizeof person->said, "# edition %u\nmode: %s\n", ++person->policies, mode);
    int length = snprintf(text, sizeof text, "%s%s", person->options.policy, person->said);
    CHECK(length < (int)sizeof text);
    say(person, "PUT", "/v1/policy", "application/yaml", text, on_policy);
}

static void on_fault(void *context, const struct answer *answer)
{
    struct person *person = context;
    json_t *body = answer->status == 201 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    if (body)
        promise(person->options.promises, PROMISE_FAULT, id_of(body), person->said);
    json_decref(body);
    next(person);
}

static void ask_fault(struct person *person)
{
    char body[128];
    const struct lab *lab = person->options.lab;
    const char *node = lab->nodes[dice_below(person->options.dice, (uint32_t)lab->node_count)].name;
    const char *kind = dice_below(person->options.dice, 3) == 0 ? "service_hang" : "service_crash";
    snprintf(person->said, sizeof person->said, "%s %s", node, kind);
    snprintf(body, sizeof body, "{\"kind\":\"%s\",\"node\":\"%s\",\"lease_s\":3,\"alongside\":true}", kind,
             node);
    say(person, "POST", "/v1/faults", NULL, body, on_fault);
}

/* --- one thing after another ---------------------------------------------------------------------------- */

static void be_busy(struct person *person)
{
    const struct lab *lab = person->options.lab;
    switch (dice_below(person->options.dice, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        choose_incident(person, true);
        break;
    case 4:
    case 5:
        choose_incident(person, false);
        break;
    case 6:
    case 7:
        pause_or_resume(person, person->pause != PAUSE_ON && dice_below(person->options.dice, 3) == 0);
        break;
    case 8:
    case 9:
        say(person, "GET", "/healthz", NULL, NULL, on_health);
        break;
    case 10:
        put_policy(person, dice_below(person->options.dice, 3) == 0 ? "approve" : "auto");
        break;
    case 11:
        ask_fault(person);
        break;
    case 12:
    case 13:
        lab_kill_service(lab, dice_below(person->options.dice, (uint32_t)lab->node_count));
        next(person);
        break;
    default:
        look(person);
    }
}

static void on_rest_word(void *context, const struct answer *answer)
{
    struct person *person = context;
    person->rest_step += answer->status == 200;
    next(person);
}

static void come_to_rest(struct person *person)
{
    switch (person->rest_step) {
    case 0:
        say(person, "PUT", "/v1/policy", "application/yaml", person->options.policy, on_rest_word);
        break;
    case 1:
        say(person, "POST", "/v1/resume", NULL, "", on_rest_word);
        break;
    case 2:
        say(person, "POST", "/v1/reset", NULL, "", on_rest_word);
        break;
    default:
        person->sees_active = true; /* until the look says otherwise */
        person->rest_step++;
        look(person);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct person *person = context;
    if (person->resting)
        come_to_rest(person);
    else
        be_busy(person);
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct person *person_new(struct event_base *base, const struct person_options *options)
{
    struct person *person = calloc(1, sizeof *person);
    struct client_options client = {
        .host = "127.0.0.1", .port = options->lab->port, .connections = 1, .queue = 1};
    CHECK(person);
    person->options = *options;
    person->pause = PAUSE_OFF;
    person->client = client_new(base, &client);
    person->timer = evtimer_new(base, on_timer, person);
    CHECK(person->client && person->timer);
    next(person);
    return person;
}

void person_free(struct person **owner)
{
    struct person *person = *owner;
    *owner = NULL;
    client_free(&person->client);
    event_free(person->timer);
    json_decref(person->incidents);
    free(person);
}

void person_rest(struct person *person)
{
    person->resting = true;
}

bool person_sees_peace(const struct person *person)
{
    return person->rest_step > 3 && !person->sees_active;
}
