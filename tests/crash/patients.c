#include "patients.h"

#include "base/check.h"
#include "base/clock.h"
#include "wire/client.h"

#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACCEPTED_MAX = 64, ENDINGS_MAX = 16, INTERVAL_MS = 200 };

static const duration answer_limit_ns = 3 * SECOND;

/* How a command ended, until the control plane has taken it. */
struct ending {
    uint64_t id; /* 0: this place is free */
    const char *outcome;
    bool began, told;
};

struct patient {
    struct patients *all;
    struct event *timer;
    char name[16], boot[17];
    uint64_t sequence;
    uint64_t epoch;                  /* of the control plane that it knows */
    uint64_t floor;                  /* the highest epoch ever seen: older ones are not obeyed */
    uint64_t accepted[ACCEPTED_MAX]; /* answered with 200, not known to be stored */
    size_t accepted_count;
    struct ending endings[ENDINGS_MAX]; /* a ring: also those that were told, so that nothing is done twice */
    size_t ending_next, telling;
    bool greeted, busy, busy_telling, ill;
};

struct patients {
    struct patients_options options;
    struct client *client;
    struct patient list[PATIENTS_MAX];
    uint64_t obeyed;
    bool resting;
};

static void ask(struct patient *patient, const char *method, const char *path, json_t *body,
                client_done *done)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (client_send(patient->all->client, method, path, NULL, text, strlen(text), answer_limit_ns, done,
                    patient) < 0)
        done(patient, &(struct answer){.error = "it could not be sent"});
    free(text);
}

/* --- commands ------------------------------------------------------------------------------------------- */

/* The intent must be durable before anybody sees the command. The connection lives for this question only:
 * one that stays open would keep the next control plane from finding the database as a crash leaves it. */
static bool is_ordered(const struct patients *all, uint64_t id)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    bool found = false;
    if (sqlite3_open_v2(all->options.lab->database, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(db, 2000) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT 1 FROM commands WHERE id = ?1", -1, &select, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(select, 1, (sqlite3_int64)id);
        found = sqlite3_step(select) == SQLITE_ROW;
    }
    sqlite3_finalize(select);
    sqlite3_close(db);
    return found;
}

static struct ending *find_ending(struct patient *patient, uint64_t id)
{
    for (size_t i = 0; i < ENDINGS_MAX; i++)
        if (patient->endings[i].id == id)
            return &patient->endings[i];
    return NULL;
}

static void carry_out(struct patient *patient, struct ending *ending)
{
    uint32_t luck = dice_below(patient->all->options.dice, 10);
    ending->began = true;
    ending->outcome = luck == 0 ? "failed" : "done";
    patient->all->obeyed++;
    if (luck > 1) /* else it did not help */
        patient->ill = false;
}

static void obey(struct patient *patient, json_t *command)
{
    uint64_t id = (uint64_t)json_integer_value(json_object_get(command, "id"));
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(command, "epoch"));
    struct ending *ending = find_ending(patient, id);
    if (ending) {
        ending->told = false;
        return;
    }
    if (!is_ordered(patient->all, id))
        audit_find(patient->all->options.audit, AUDIT_ILLEGAL,
                   "%s was given command %" PRIu64 ", which is not stored", patient->name, id);
    ending = &patient->endings[patient->ending_next++ % ENDINGS_MAX];
    *ending = (struct ending){.id = id, .outcome = "refused"};
    if (epoch < patient->floor)
        return;
    patient->floor = epoch;
    if (epoch > patient->epoch) /* another one, unnoticed */
        patient->greeted = false;
    if (json_number_value(json_object_get(command, "expires_in_s")) <= 0)
        ending->outcome = "expired";
    else
        carry_out(patient, ending);
}

static void on_told(void *context, const struct answer *answer)
{
    struct patient *patient = context;
    struct ending *ending = &patient->endings[patient->telling];
    patient->busy_telling = false;
    if (answer->status == 0 || answer->status >= 500)
        return; /* the next tick tries again */
    ending->told = true;
    json_t *body = answer->status == 200 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    const char *outcome = json_string_value(json_object_get(body, "outcome"));
    if (outcome)
        promise(patient->all->options.promises, PROMISE_OUTCOME, ending->id, outcome);
    json_decref(body);
}

static void tell(struct patient *patient)
{
    for (size_t i = 0; i < ENDINGS_MAX && !patient->busy_telling; i++) {
        struct ending *ending = &patient->endings[i];
        char path[64];
        if (ending->id == 0 || ending->told)
            continue;
        patient->busy_telling = true;
        patient->telling = i;
        snprintf(path, sizeof path, "/v1/commands/%" PRIu64 "/outcome", ending->id);
        ask(patient, "POST", path,
            json_pack("{s:s, s:s, s:b, s:f}", "node", patient->name, "outcome", ending->outcome, "began",
                      ending->began, "took_s", 0.01),
            on_told);
    }
}

/* --- reports -------------------------------------------------------------------------------------------- */

/* What an earlier control plane accepted may have been lost with it. */
static void meet_epoch(struct patient *patient, uint64_t epoch)
{
    if (epoch == patient->epoch)
        return;
    patient->accepted_count = 0;
    patient->epoch = epoch;
    patient->floor = epoch > patient->floor ? epoch : patient->floor;
}

static void on_hello(void *context, const struct answer *answer)
{
    struct patient *patient = context;
    patient->busy = false;
    json_t *body = answer->status == 200 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    if (body) {
        meet_epoch(patient, (uint64_t)json_integer_value(json_object_get(body, "epoch")));
        patient->greeted = true;
    }
    json_decref(body);
}

static void note_stored(struct patient *patient, json_t *stored)
{
    const char *boot = json_string_value(json_object_get(stored, "boot"));
    uint64_t through = (uint64_t)json_integer_value(json_object_get(stored, "sequence"));
    size_t left = 0;
    for (size_t i = 0; boot && strcmp(boot, patient->boot) == 0 && i < patient->accepted_count; i++) {
        if (patient->accepted[i] <= through)
            promise_sample(patient->all->options.promises, patient->name, patient->boot,
                           patient->accepted[i]);
        else
            patient->accepted[left++] = patient->accepted[i];
    }
    patient->accepted_count = boot ? left : patient->accepted_count;
}

static void on_report(void *context, const struct answer *answer)
{
    struct patient *patient = context;
    patient->busy = false;
    if (answer->status != 200) {
        patient->greeted = false;
        return;
    }
    json_t *body = json_loadb(answer->body, answer->length, 0, NULL), *command;
    size_t i;
    json_t *epoch = json_object_get(body, "epoch");
    if (epoch)
        meet_epoch(patient, (uint64_t)json_integer_value(epoch));
    if (patient->accepted_count < ACCEPTED_MAX)
        patient->accepted[patient->accepted_count++] = patient->sequence;
    note_stored(patient, json_object_get(body, "stored_through"));
    json_array_foreach(json_object_get(body, "commands"), i, command) obey(patient, command);
    json_decref(body);
    tell(patient);
}

static void report(struct patient *patient)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/nodes/%s/reports", patient->name);
    ask(patient, "POST", path,
        json_pack("{s:s, s:I, s:{s:f, s:f, s:i}}", "boot", patient->boot, "sequence",
                  (json_int_t)++patient->sequence, "samples", "cpu_utilization", patient->ill ? 0.97 : 0.03,
                  "request_latency", patient->ill ? 0.2 : 0.005, "service_up", 1),
        on_report);
}

static void hello(struct patient *patient)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/nodes/%s", patient->name);
    ask(patient, "PUT", path,
        json_pack("{s:s, s:f, s:I}", "boot", patient->boot, "interval_s", INTERVAL_MS / 1000.0, "epoch_seen",
                  (json_int_t)patient->floor),
        on_hello);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct patient *patient = context;
    struct patients *all = patient->all;
    struct timeval next = timeval_of(dice_duration(all->options.dice, INTERVAL_MS * 9 / 10 * MILLISECOND,
                                                   INTERVAL_MS * 11 / 10 * MILLISECOND));
    event_add(patient->timer, &next);
    patient->ill = !all->resting && (patient->ill || dice_below(all->options.dice, 60) == 0);
    tell(patient);
    if (patient->busy)
        return;
    patient->busy = true;
    if (patient->greeted)
        report(patient);
    else
        hello(patient);
}

/* --- all of them ---------------------------------------------------------------------------------------- */

struct patients *patients_new(struct event_base *base, const struct patients_options *options)
{
    struct patients *patients = calloc(1, sizeof *patients);
    struct client_options client = {.host = "127.0.0.1",
                                    .port = options->lab->port,
                                    .connections = PATIENTS_MAX,
                                    .queue = 4 * PATIENTS_MAX};
    CHECK(patients && options->count <= PATIENTS_MAX);
    patients->options = *options;
    patients->client = client_new(base, &client);
    CHECK(patients->client);
    for (size_t i = 0; i < options->count; i++) {
        struct patient *patient = &patients->list[i];
        struct timeval first = timeval_of(dice_duration(options->dice, 0, INTERVAL_MS * MILLISECOND));
        *patient = (struct patient){.all = patients};
        snprintf(patient->name, sizeof patient->name, "patient-%zu", i + 1);
        snprintf(patient->boot, sizeof patient->boot, "%016" PRIx64, dice_next(options->dice) | 1);
        patient->timer = evtimer_new(base, on_tick, patient);
        CHECK(patient->timer && event_add(patient->timer, &first) == 0);
    }
    return patients;
}

void patients_free(struct patients **owner)
{
    struct patients *patients = *owner;
    *owner = NULL;
    for (size_t i = 0; i < patients->options.count; i++)
        event_free(patients->list[i].timer);
    client_free(&patients->client);
    free(patients);
}

void patients_rest(struct patients *patients)
{
    patients->resting = true;
}

uint64_t patients_obeyed(const struct patients *patients)
{
    return patients->obeyed;
}

size_t patients_untold(const struct patients *patients)
{
    size_t untold = 0;
    for (size_t i = 0; i < patients->options.count; i++)
        for (size_t k = 0; k < ENDINGS_MAX; k++)
            untold += patients->list[i].endings[k].id != 0 && !patients->list[i].endings[k].told;
    return untold;
}
