#include "canon.h"

#include "base/check.h"
#include "base/clock.h"
#include "calls.h"
#include "wire/client.h"

#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char canon_policy[] = "version: 1\n"
                            "detectors:\n"
                            "  - {name: service-down, when: service_up < 1, for: 0s, clear: service_up >= 1, "
                            "healthy_for: 100ms, confirm: no}\n"
                            "playbooks:\n"
                            "  - on: service-down\n"
                            "    steps: [{do: restart_service, settle: 50ms, within: 5s}, page_human]\n"
                            "guards:\n"
                            "  max_disrupted: 100%\n"
                            "  breaker: {unhealthy: 100%, at_least: 100}\n"
                            "  per_target: {cooldown: 100ms, backoff: no, attempts: {max: 5, within: 1m}}\n"
                            "  recurrence: 1s\n"
                            "  rate: {fleet: no, target: no, rule: no, kind: no}\n"
                            "  flapping: no\n"
                            "  hold: 50ms\n";

enum { ACCEPTED_MAX = 64, OBEYED_MAX = 16 };

static const char boot[] = "00000000000000a1";
static const duration run_limit_ns = 2 * MINUTE, answer_limit_ns = 2 * SECOND;
static const duration harmless_ns = 400 * MILLISECOND; /* trouble that does not degrade the store by then */
static const duration tick_ns = 5 * MILLISECOND;

struct canon {
    const struct canon_options *options;
    struct canon_result *result;
    struct event_base *base;
    struct client *client, *onlooker;
    struct event *tick;
    int64_t by_ns;
    bool stuck;
    /* The newest answer. */
    bool answered;
    int status;
    json_t *body;
    /* The node. */
    uint64_t sequence, epoch, floor, accepted[ACCEPTED_MAX], obeyed[OBEYED_MAX];
    const char *outcomes[OBEYED_MAX];
    bool told[OBEYED_MAX], ill;
    size_t accepted_count, obeyed_count;
    /* Trouble. */
    int64_t troubled_ns; /* 0: not yet */
    bool asks_health, degraded;
};

/* --- trouble and death ---------------------------------------------------------------------------------- */

static void on_write_refused(void *context, const struct answer *answer)
{
    struct canon *canon = context;
    /* It may have been mended by others, or ended, meanwhile. */
    if (answer->status != 503 && answer->status != 0 && atomic_load(&canon->options->page->at) != 0)
        audit_find(canon->options->audit, AUDIT_ILLEGAL, "a write was answered with %d while the store fails",
                   answer->status);
    calls_heal(canon->options->page);
}

static void on_read_answered(void *context, const struct answer *answer)
{
    struct canon *canon = context;
    if (answer->status != 200 && answer->status != 0)
        audit_find(canon->options->audit, AUDIT_ILLEGAL, "a look at the nodes was answered with %d",
                   answer->status);
    if (client_send(canon->onlooker, "POST", "/v1/pause", NULL, "", 0, answer_limit_ns, on_write_refused,
                    canon) < 0)
        calls_heal(canon->options->page);
}

static void on_health(void *context, const struct answer *answer)
{
    struct canon *canon = context;
    canon->asks_health = false;
    if (canon->degraded || answer->status != 503 || !strstr(answer->body, "\"degraded\""))
        return;
    canon->degraded = true;
    canon->result->degraded++;
    if (client_send(canon->onlooker, "GET", "/v1/nodes", NULL, NULL, 0, answer_limit_ns, on_read_answered,
                    canon) < 0)
        calls_heal(canon->options->page);
}

static void look_at_trouble(struct canon *canon)
{
    struct calls *page = canon->options->page;
    if (atomic_load(&page->met) == 0 || atomic_load(&page->at) == 0)
        return;
    if (canon->troubled_ns == 0)
        canon->troubled_ns = monotonic_ns();
    if (!canon->degraded && monotonic_ns() - canon->troubled_ns > harmless_ns)
        calls_heal(page);
    else if (!canon->degraded && !canon->asks_health)
        canon->asks_health = client_send(canon->onlooker, "GET", "/healthz", NULL, NULL, 0, answer_limit_ns,
                                         on_health, canon) == 0;
}

static void note_met(struct canon *canon)
{
    const struct calls *page = canon->options->page;
    if (canon->result->met_kind < 0 && atomic_load(&page->met) > 0)
        canon->result->met_kind = (int)atomic_load(&page->met_kind);
}

static void judge_end(struct canon *canon, int status)
{
    const struct canon_options *options = canon->options;
    bool met = atomic_load(&options->page->met) > 0;
    bool synced = met && atomic_load(&options->page->met_kind) == CALLS_SYNC;
    if (WIFSIGNALED(status) &&
        ((WTERMSIG(status) == SIGKILL && options->kills && met) || (WTERMSIG(status) == SIGABRT && synced)))
        canon->result->deaths++;
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 3 && met && !options->kills)
        canon->result->refusals++;
    else
        audit_find(options->audit, AUDIT_ILLEGAL,
                   "the control plane ended with status %x, after call %u of %s", status,
                   (unsigned)atomic_load(&options->page->count),
                   met ? calls_kind_name(atomic_load(&options->page->met_kind)) : "none");
}

/* Starts the control plane again as soon as it is dead. */
static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct canon *canon = context;
    const struct canon_options *options = canon->options;
    int status;
    note_met(canon);
    if (waitpid(options->lab->plane, &status, WNOHANG) == options->lab->plane) {
        judge_end(canon, status);
        if (options->again_at && canon->result->deaths == 1)
            calls_begin(options->page, CALLS_KILL, 0, false, options->again_at);
        else
            calls_heal(options->page);
        lab_start_plane(options->lab, NULL);
    } else if (!options->kills) {
        look_at_trouble(canon);
    }
}

/* --- asking --------------------------------------------------------------------------------------------- */

static void on_answer(void *context, const struct answer *answer)
{
    struct canon *canon = context;
    canon->answered = true;
    canon->status = answer->status;
    json_decref(canon->body);
    canon->body = answer->length ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
}

static void wait_a_little(struct canon *canon, duration wait_ns)
{
    struct timeval limit = timeval_of(wait_ns);
    event_base_loopexit(canon->base, &limit);
    event_base_dispatch(canon->base);
    if (!canon->stuck && monotonic_ns() > canon->by_ns) {
        canon->stuck = true;
        audit_find(canon->options->audit, AUDIT_STUCK, "the run does not come to its end, see %s",
                   canon->options->lab->folder);
    }
}

/* Asks once; the status, or 0. */
static int ask(struct canon *canon, const char *method, const char *path, const char *type, const char *body)
{
    canon->answered = false;
    if (client_send(canon->client, method, path, type, body, body ? strlen(body) : 0, answer_limit_ns,
                    on_answer, canon) < 0)
        canon->answered = true, canon->status = 0;
    while (!canon->answered)
        event_base_loop(canon->base, EVLOOP_ONCE);
    if (canon->status == 0 || canon->status >= 500)
        wait_a_little(canon, tick_ns);
    return canon->status;
}

/* Until somebody answers, and not with 503. */
static int insist(struct canon *canon, const char *method, const char *path, const char *type,
                  const char *body)
{
    int status = 0;
    while (!canon->stuck && (status == 0 || status >= 500))
        status = ask(canon, method, path, type, body);
    return canon->stuck ? 0 : status;
}

/* --- the node ------------------------------------------------------------------------------------------- */

static void meet_epoch(struct canon *canon, json_t *epoch)
{
    uint64_t number = (uint64_t)json_integer_value(epoch);
    if (!epoch || number == canon->epoch)
        return;
    canon->accepted_count = 0; /* may have been lost with the one who accepted it */
    canon->epoch = number;
    canon->floor = number > canon->floor ? number : canon->floor;
}

static void hello(struct canon *canon)
{
    char body[128];
    do {
        snprintf(body, sizeof body, "{\"boot\":\"%s\",\"interval_s\":0.1,\"epoch_seen\":%" PRIu64 "}", boot,
                 canon->floor);
    } while (insist(canon, "PUT", "/v1/nodes/real-1", NULL, body) != 200 && !canon->stuck);
    meet_epoch(canon, json_object_get(canon->body, "epoch"));
}

/* Its intent must be durable before anybody sees a command. */
static bool is_ordered(const struct lab *lab, uint64_t id)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    bool found =
        sqlite3_open_v2(lab->database, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(db, 2000) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT 1 FROM commands WHERE id = ?1", -1, &select, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(select, 1, (sqlite3_int64)id) == SQLITE_OK && sqlite3_step(select) == SQLITE_ROW;
    sqlite3_finalize(select);
    sqlite3_close(db);
    return found;
}

static void testify(const struct lab *lab, uint64_t id)
{
    FILE *witness = fopen(lab->nodes[0].witness, "ae");
    CHECK(witness &&
          fprintf(witness, "%d %" PRId64 " %" PRIu64 "\n", (int)getpid(), clock_ns(CLOCK_REALTIME), id) > 0);
    fclose(witness);
}

static void obey(struct canon *canon, json_t *command)
{
    uint64_t id = (uint64_t)json_integer_value(json_object_get(command, "id"));
    uint64_t epoch = (uint64_t)json_integer_value(json_object_get(command, "epoch"));
    for (size_t i = 0; i < canon->obeyed_count; i++)
        if (canon->obeyed[i] == id) { /* it is told again */
            canon->told[i] = false;
            return;
        }
    if (!is_ordered(canon->options->lab, id))
        audit_find(canon->options->audit, AUDIT_ILLEGAL, "command %" PRIu64 " was given and is not stored",
                   id);
    CHECK(canon->obeyed_count < OBEYED_MAX);
    size_t place = canon->obeyed_count++;
    canon->obeyed[place] = id;
    canon->told[place] = false;
    canon->outcomes[place] = epoch < canon->floor ? "refused" : "done";
    if (epoch < canon->floor)
        return;
    testify(canon->options->lab, id);
    canon->result->effects++;
    canon->ill = false;
}

static void tell_outcomes(struct canon *canon)
{
    for (size_t i = 0; i < canon->obeyed_count; i++) {
        char path[64], body[128];
        if (canon->told[i])
            continue;
        snprintf(path, sizeof path, "/v1/commands/%" PRIu64 "/outcome", canon->obeyed[i]);
        snprintf(body, sizeof body, "{\"node\":\"real-1\",\"outcome\":\"%s\",\"began\":%s,\"took_s\":0.01}",
                 canon->outcomes[i], strcmp(canon->outcomes[i], "done") == 0 ? "true" : "false");
        int status = insist(canon, "POST", path, NULL, body);
        canon->told[i] = status != 0;
        const char *outcome = json_string_value(json_object_get(canon->body, "outcome"));
        if (status == 200 && outcome)
            promise(canon->options->promises, PROMISE_OUTCOME, canon->obeyed[i], outcome);
    }
}

static void note_stored(struct canon *canon, json_t *stored)
{
    uint64_t through = (uint64_t)json_integer_value(json_object_get(stored, "sequence"));
    size_t left = 0;
    for (size_t i = 0; i < canon->accepted_count; i++) {
        if (canon->accepted[i] <= through)
            promise_sample(canon->options->promises, "real-1", boot, canon->accepted[i]);
        else
            canon->accepted[left++] = canon->accepted[i];
    }
    canon->accepted_count = left;
}

static void report(struct canon *canon)
{
    char body[256];
    json_t *command;
    size_t i;
    snprintf(body, sizeof body,
             "{\"boot\":\"%s\",\"sequence\":%" PRIu64
             ",\"samples\":{\"service_up\":%d,\"cpu_utilization\":0.1}}",
             boot, ++canon->sequence, !canon->ill);
    if (ask(canon, "POST", "/v1/nodes/real-1/reports", NULL, body) != 200) {
        hello(canon);
        return;
    }
    json_t *answer = json_incref(canon->body);
    meet_epoch(canon, json_object_get(answer, "epoch"));
    if (canon->accepted_count < ACCEPTED_MAX)
        canon->accepted[canon->accepted_count++] = canon->sequence;
    note_stored(canon, json_object_get(answer, "stored_through"));
    json_array_foreach(json_object_get(answer, "commands"), i, command) obey(canon, command);
    json_decref(answer);
    tell_outcomes(canon);
    wait_a_little(canon, 20 * MILLISECOND);
}

/* --- the person ----------------------------------------------------------------------------------------- */

static void put_policy(struct canon *canon)
{
    char text[2048];
    snprintf(text, sizeof text, "%s# edition 2\n", canon_policy);
    insist(canon, "PUT", "/v1/policy", "application/yaml", text);
    uint64_t version = (uint64_t)json_integer_value(json_object_get(canon->body, "version"));
    if (canon->status == 200 && version > 0)
        promise(canon->options->promises, PROMISE_POLICY, version, "# edition 2");
}

/* One that was asked for by a question without an answer is in the way of the next: then it is there. */
static void ask_fault(struct canon *canon)
{
    int status = insist(canon, "POST", "/v1/faults", NULL,
                        "{\"kind\":\"service_hang\",\"node\":\"real-1\",\"lease_s\":60}");
    if (status == 201)
        promise(canon->options->promises, PROMISE_FAULT,
                (uint64_t)json_integer_value(json_object_get(canon->body, "id")), "real-1 service_hang");
    else if (status != 409 && !canon->stuck)
        audit_find(canon->options->audit, AUDIT_ILLEGAL, "a fault was answered with %d", status);
    insist(canon, "DELETE", "/v1/faults", NULL, NULL);
}

/* At least one incident was shown, and all are closed. */
static bool all_is_well(struct canon *canon)
{
    json_t *incident;
    size_t i;
    bool closed = true;
    insist(canon, "GET", "/v1/incidents?limit=1000", NULL, NULL);
    json_t *incidents = json_object_get(canon->body, "incidents");
    json_array_foreach(incidents, i, incident)
    {
        const char *state = json_string_value(json_object_get(incident, "state"));
        char said[128];
        snprintf(said, sizeof said, "%s %s", json_string_value(json_object_get(incident, "node")),
                 json_string_value(json_object_get(incident, "finding")));
        promise(canon->options->promises, PROMISE_INCIDENT,
                (uint64_t)json_integer_value(json_object_get(incident, "id")), said);
        closed = closed && state && strcmp(state, "resolved") == 0;
    }
    return closed && json_array_size(incidents) > 0;
}

/* --- the run -------------------------------------------------------------------------------------------- */

static void play(struct canon *canon)
{
    hello(canon);
    report(canon);
    put_policy(canon);
    report(canon);
    ask_fault(canon);
    report(canon);
    canon->ill = true;
    while (!canon->stuck && (canon->ill || !all_is_well(canon)))
        report(canon);
    report(canon); /* of which the answer tells that the last ones are durable */
}

static void open_clients(struct canon *canon)
{
    struct client_options client = {.host = "127.0.0.1", .port = canon->options->lab->port, .connections = 1};
    struct timeval tick = timeval_of(tick_ns);
    canon->base = event_base_new();
    CHECK(canon->base);
    client.queue = 4;
    canon->client = client_new(canon->base, &client);
    canon->onlooker = client_new(canon->base, &client);
    canon->tick = event_new(canon->base, -1, EV_PERSIST, on_tick, canon);
    CHECK(canon->client && canon->onlooker && canon->tick && event_add(canon->tick, &tick) == 0);
}

void canon_run(const struct canon_options *options, struct canon_result *result)
{
    struct canon canon = {.options = options, .result = result, .by_ns = monotonic_ns() + run_limit_ns};
    *result = (struct canon_result){.met_kind = -1};
    lab_start_plane(options->lab, NULL);
    open_clients(&canon);
    play(&canon);
    event_free(canon.tick);
    client_free(&canon.client);
    client_free(&canon.onlooker);
    event_base_free(canon.base);
    json_decref(canon.body);
    note_met(&canon);
    lab_kill(&options->lab->plane);
    if (result->effects != 1)
        audit_find(options->audit, result->effects == 0 ? AUDIT_LOST : AUDIT_DOUBLED,
                   "one illness had %u effects", result->effects);
}
