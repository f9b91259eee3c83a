/* Commands told again and again to a real node agent: ten times, much later, in any order, of an older epoch,
 * for another boot, after their time, while the node agent is killed and started anew now and then. The
 * control plane is played by this program, and a bad one: it remembers every command it ever gave and gives
 * them all again. No command may have a second effect, and none that must be refused may have any.
 *
 * `crash_replays HOMEOSTAT SERVICE [--full] [--seed N]`: 1,000 deliveries, or 100,000. Exit status as audit.h
 * has it; 3: the environment. */
#include "audit.h"

#include "base/check.h"
#include "base/clock.h"
#include "dice.h"
#include "wire/server.h"

#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OFFERS_MAX = 12, OFFERED_AGAIN = 15, OUTCOME_SIZE = 16 };

enum manner { GOOD, ANY_BOOT, OLD_EPOCH, OTHER_BOOT, TOO_LATE, MANNERS };

static const char *const manners[MANNERS] = {"good", "for any boot", "of an older epoch", "for another boot",
                                             "after its time"};

struct given {
    uint64_t id, epoch;
    enum manner manner;
    char boot[17];      /* "": any */
    instant expires_at; /* of CLOCK_REALTIME, as the witness writes it */
    instant boot_ended_at;
    unsigned offered;
    char outcome[OUTCOME_SIZE];
};

struct replay {
    struct event_base *base;
    struct server *server;
    struct lab lab;
    struct dice dice;
    struct audit audit;
    struct given *given;
    size_t count;
    char boot[17];
    uint64_t epoch, sequence, next_id;
    unsigned deliveries, wanted, kills, hellos;
};

static instant wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* --- the bad control plane ------------------------------------------------------------------------------ */

static struct given *invent(struct replay *replay)
{
    replay->given = reallocarray(replay->given, replay->count + 1, sizeof *replay->given);
    CHECK(replay->given);
    struct given *given = &replay->given[replay->count++];
    uint32_t luck = dice_below(&replay->dice, 10);
    *given = (struct given){.manner = luck < 5 ? GOOD : (enum manner)(luck - 5 + ANY_BOOT),
                            .epoch = replay->epoch,
                            .expires_at = wall_ns() + dice_duration(&replay->dice, SECOND, 10 * SECOND),
                            .boot_ended_at = INSTANT_NEVER};
    if (given->manner >= MANNERS)
        given->manner = GOOD;
    if (given->manner == OLD_EPOCH)
        given->epoch = replay->epoch - 1;
    given->id = given->epoch << 32 | replay->next_id++;
    if (given->manner == TOO_LATE)
        given->expires_at = wall_ns() - SECOND;
    if (given->manner != ANY_BOOT)
        snprintf(given->boot, sizeof given->boot, "%s",
                 given->manner == OTHER_BOOT ? "00000000000000ff" : replay->boot);
    return given;
}

static json_t *shape(struct replay *replay, struct given *given)
{
    replay->deliveries++;
    given->offered++;
    return json_pack("{s:I, s:s, s:I, s:i, s:I, s:o, s:f, s:s}", "id", (json_int_t)given->id, "remedy",
                     "restart_service", "incident", (json_int_t)1, "attempt", 1, "epoch",
                     (json_int_t)given->epoch, "boot",
                     given->boot[0] ? json_string(given->boot) : json_null(), "expires_in_s",
                     duration_seconds(given->expires_at - wall_ns()), "reason", "");
}

static json_t *orders(struct replay *replay)
{
    json_t *list = json_array();
    if (dice_below(&replay->dice, 60) == 0)
        replay->epoch++;
    if (dice_below(&replay->dice, 3) == 0)
        json_array_append_new(list, shape(replay, invent(replay)));
    for (uint32_t i = dice_below(&replay->dice, OFFERED_AGAIN); replay->count > 0 && i > 0; i--) {
        /* Mostly of the newest ones, and now and then one of long ago. */
        uint32_t back = (uint32_t)replay->count < OFFERS_MAX || dice_below(&replay->dice, 4) == 0
                            ? (uint32_t)replay->count
                            : OFFERS_MAX;
        struct given *given = &replay->given[replay->count - 1 - dice_below(&replay->dice, back)];
        json_array_append_new(list, shape(replay, given));
    }
    return list;
}

static void answer(struct request *request, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    server_answer(request, 200, NULL, text, strlen(text));
    json_decref(body);
    free(text);
}

static void take_hello(struct replay *replay, struct request *request, json_t *body)
{
    const char *boot = json_string_value(json_object_get(body, "boot"));
    snprintf(replay->boot, sizeof replay->boot, "%s", boot ? boot : "");
    replay->hellos++;
    answer(request, json_pack("{s:s, s:I, s:f}", "node", "real-1", "epoch", (json_int_t)replay->epoch,
                              "interval_s", 0.05));
}

static void take_report(struct replay *replay, struct request *request, json_t *body)
{
    json_t *reports = json_object_get(body, "reports");
    json_t *newest = reports ? json_array_get(reports, json_array_size(reports) - 1) : body;
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(newest, "sequence"));
    const char *boot = json_string_value(json_object_get(newest, "boot"));
    bool live = replay->boot[0] && replay->deliveries < replay->wanted;
    answer(request,
           json_pack("{s:i, s:I, s:{s:s, s:I}, s:o, s:[]}", "accepted", 1, "epoch", (json_int_t)replay->epoch,
                     "stored_through", "boot", boot ? boot : "", "sequence", (json_int_t)sequence, "commands",
                     live ? orders(replay) : json_array(), "faults"));
}

static void take_outcome(struct replay *replay, struct request *request, const char *path, json_t *body)
{
    uint64_t id = strtoull(path + strlen("/v1/commands/"), NULL, 10);
    const char *outcome = json_string_value(json_object_get(body, "outcome"));
    const char *detail = json_string_value(json_object_get(body, "detail"));
    for (size_t i = 0; i < replay->count; i++) {
        struct given *given = &replay->given[i];
        if (given->id != id)
            continue;
        /* What is on record stands, except that a forgotten one may be refused later on. */
        if (given->outcome[0] && strcmp(given->outcome, outcome) != 0 && strcmp(outcome, "refused") != 0)
            audit_find(&replay->audit, AUDIT_ILLEGAL, "command %" PRIu64 " was %s and is %s", id,
                       given->outcome, outcome);
        if (!given->outcome[0])
            snprintf(given->outcome, sizeof given->outcome, "%s", outcome);
        if (!detail || !*detail)
            audit_find(&replay->audit, AUDIT_ILLEGAL, "command %" PRIu64 " is %s without a reason", id,
                       outcome);
    }
    answer(request, json_pack("{s:I, s:s}", "command", (json_int_t)id, "outcome", outcome));
}

static void on_request(void *context, struct request *request)
{
    struct replay *replay = context;
    size_t length;
    const char *method = request_method(request), *path = request_path(request);
    const char *text = request_body(request, &length);
    json_t *body = length ? json_loadb(text, length, 0, NULL) : NULL;
    if (strcmp(method, "PUT") == 0)
        take_hello(replay, request, body);
    else if (strstr(path, "/outcome"))
        take_outcome(replay, request, path, body);
    else if (strcmp(method, "POST") == 0)
        take_report(replay, request, body);
    else
        server_answer(request, 204, NULL, "", 0);
    json_decref(body);
}

/* --- the story ------------------------------------------------------------------------------------------ */

static void begin(struct replay *replay, const char *homeostat, const char *service)
{
    char error[256];
    lab_open(&replay->lab, homeostat, service, 1, "version: 1\n");
    replay->lab.interval = "50ms";
    replay->base = event_base_new();
    replay->epoch = 2;
    replay->next_id = 1;
    int fd = fcntl(replay->lab.listen_fd, F_DUPFD_CLOEXEC, 3);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    struct server_options server = {.listen_fd = fd};
    replay->server = server_start(replay->base, &server, on_request, NULL, replay, error, sizeof error);
    if (!replay->server)
        lab_give_up("%s", error);
    lab_start_agent(&replay->lab, 0, NULL);
}

static void turn(struct replay *replay, duration limit_ns)
{
    struct timeval limit = timeval_of(limit_ns);
    event_base_loopexit(replay->base, &limit);
    event_base_dispatch(replay->base);
}

/* A new boot: nothing that was meant for the one before may happen from here on. */
static void kill_agent(struct replay *replay)
{
    lab_kill(&replay->lab.nodes[0].pid);
    replay->kills++;
    for (size_t i = 0; i < replay->count; i++)
        if (replay->given[i].boot[0] && replay->given[i].boot_ended_at == INSTANT_NEVER)
            replay->given[i].boot_ended_at = wall_ns();
    replay->boot[0] = '\0';
    lab_start_agent(&replay->lab, 0, NULL);
}

static void play(struct replay *replay)
{
    int64_t by_ns = monotonic_ns() + (30 + replay->wanted / 20) * SECOND;
    unsigned next_kill = replay->wanted / 8;
    while (replay->deliveries < replay->wanted) {
        turn(replay, 20 * MILLISECOND);
        if (monotonic_ns() > by_ns) {
            audit_find(&replay->audit, AUDIT_STUCK, "%u deliveries and no more", replay->deliveries);
            return;
        }
        if (replay->deliveries >= next_kill) {
            kill_agent(replay);
            next_kill +=
                dice_below(&replay->dice, 2 * (replay->wanted < 8000 ? replay->wanted / 8 : 1000)) + 1;
        }
    }
    turn(replay, 3 * SECOND / 2); /* the last of them */
}

/* --- what the witness says ------------------------------------------------------------------------------ */

struct sum {
    unsigned given, offered, effects;
};

static void check_effects(struct replay *replay, const struct given *given, const struct testimony *starts,
                          size_t count, struct sum *sum)
{
    static const duration slack_ns = SECOND; /* between the decision and the service's first word */
    unsigned effects = 0;
    for (size_t i = 0; i < count; i++) {
        if (starts[i].command != given->id)
            continue;
        effects++;
        if (starts[i].at > given->expires_at + slack_ns)
            audit_find(&replay->audit, AUDIT_ILLEGAL, "command %" PRIu64 " was obeyed after its time",
                       given->id);
        if (starts[i].at > given->boot_ended_at)
            audit_find(&replay->audit, AUDIT_ILLEGAL, "command %" PRIu64 " was obeyed by another boot",
                       given->id);
    }
    if (effects > 1)
        audit_find(&replay->audit, AUDIT_DOUBLED, "command %" PRIu64 " had %u effects", given->id, effects);
    if (effects > 0 && given->manner > ANY_BOOT)
        audit_find(&replay->audit, AUDIT_ILLEGAL, "command %" PRIu64 " %s was obeyed", given->id,
                   manners[given->manner]);
    if (effects == 0 && strcmp(given->outcome, "done") == 0)
        audit_find(&replay->audit, AUDIT_LOST, "command %" PRIu64 " is done, and nothing of it was seen",
                   given->id);
    sum->given++;
    sum->offered += given->offered;
    sum->effects += effects;
}

static void check_epochs(struct replay *replay, const struct testimony *starts, size_t count)
{
    uint64_t epoch = 0;
    for (size_t i = 0; i < count; i++) {
        if (starts[i].command == 0)
            continue;
        if (starts[i].command >> 32 < epoch)
            audit_find(&replay->audit, AUDIT_ILLEGAL, "command %" PRIu64 " was obeyed after epoch %" PRIu64,
                       starts[i].command, epoch);
        epoch = starts[i].command >> 32;
    }
}

static void sum_up(struct replay *replay)
{
    struct sum sums[MANNERS] = {0};
    size_t count;
    struct testimony *starts = lab_witness(&replay->lab, 0, &count);
    for (size_t i = 0; i < replay->count; i++)
        check_effects(replay, &replay->given[i], starts, count, &sums[replay->given[i].manner]);
    check_epochs(replay, starts, count);
    free(starts);
    printf("%-18s %9s %11s %8s\n", "commands", "distinct", "deliveries", "effects");
    for (int manner = 0; manner < MANNERS; manner++)
        printf("%-18s %9u %11u %8u\n", manners[manner], sums[manner].given, sums[manner].offered,
               sums[manner].effects);
    if (sums[GOOD].effects == 0)
        audit_find(&replay->audit, AUDIT_STUCK, "no command was obeyed at all");
    printf("%u deliveries, %u kills of the node agent, epoch %" PRIu64
           ": %u lost, %u doubled, %u illegal, %u stuck\n",
           replay->deliveries, replay->kills, replay->epoch, replay->audit.found[AUDIT_LOST],
           replay->audit.found[AUDIT_DOUBLED], replay->audit.found[AUDIT_ILLEGAL],
           replay->audit.found[AUDIT_STUCK]);
}

int main(int argc, char **argv)
{
    static struct replay replay = {.wanted = 1000};
    uint64_t seed = (uint64_t)wall_ns() / 1000 % 1000000000;
    bool good = argc >= 3;
    for (int i = 3; i < argc && good; i++) {
        good = strcmp(argv[i], "--full") == 0 || (strcmp(argv[i], "--seed") == 0 && i + 1 < argc);
        replay.wanted = strcmp(argv[i], "--full") == 0 ? 100000 : replay.wanted;
        if (good && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
    }
    if (!good) {
        fprintf(stderr, "usage: crash_replays HOMEOSTAT SERVICE [--full] [--seed N]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %" PRIu64 "\n", seed);
    replay.dice = (struct dice){seed};
    begin(&replay, argv[1], argv[2]);
    play(&replay);
    sum_up(&replay);
    int status = audit_status(&replay.audit);
    server_stop(&replay.server);
    event_base_free(replay.base);
    free(replay.given);
    lab_close(&replay.lab, status != 0);
    return status;
}
