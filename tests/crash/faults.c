/* Kill -9 in the middle of faults: in each round every node is given a random fault with a short lease, and
 * at a random moment of it somebody dies: a node agent, the control plane, or any process below a node agent:
 * the service, the relay, a helper, a leash or its guard, the warden. Whoever must come back is started again
 * at once, or, to see what the warden does alone, only after the look. A second after the leases nothing of
 * any fault may be left:
 *
 *     processes   exactly those that the living node agents keep, and none of them stopped
 *     files       no ballast, no release and no configuration that a fault rolled out
 *     sockets     users are answered, without errors, as quickly as ever
 *
 * `crash_faults HOMEOSTAT SERVICE [--kills N] [--full] [--seed N] [--keep] [-v]`. Exit status: 0 clean, 4
 * something was left, 7 a node did not come back; 3: the environment. */
#include "crowd.h"
#include "dice.h"
#include "lab.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "core/fault.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has died is started again, and no more: leases, not remedies, are to end the faults. A dead relay is
 * replaced only after the look; and a service does not start on a full disk, so there are restarts for longer
 * than a lease. */
static const char policy[] =
    "version: 1\n"
    "detectors:\n"
    "  - {name: service-down, when: service_up < 1, for: 0s, clear: service_up >= "
    "1, healthy_for: 200ms, confirm: no}\n"
    "  - {name: link-down, when: network_loss > 90%, for: 3s, clear: network_loss < 10%, "
    "healthy_for: 200ms, confirm: no}\n"
    "playbooks:\n"
    "  - on: link-down\n"
    "    steps: [{do: reset_network, settle: 100ms, within: 3s}, {do: reset_network, settle: "
    "100ms, within: 3s}, page_human]\n"
    "  - on: service-down\n"
    "    steps:\n"
    "      - {do: restart_service, settle: 100ms, within: 3s}\n"
    "      - {do: restart_service, settle: 100ms, within: 3s}\n"
    "      - {do: restart_service, settle: 100ms, within: 3s}\n"
    "      - {do: restart_service, settle: 100ms, within: 3s}\n"
    "      - {do: restart_service, settle: 100ms, within: 3s}\n"
    "      - page_human\n"
    "guards:\n"
    "  max_disrupted: 100%\n"
    "  breaker: {unhealthy: 100%, at_least: 1000}\n"
    "  per_target: {cooldown: 600ms, backoff: no, attempts: {max: 16, within: 5s}}\n"
    "  recurrence: 0s\n"
    "  rate: {fleet: no, target: no, rule: no, kind: no}\n"
    "  flapping: no\n"
    "  hold: 0s\n";

enum { NODES = 3, BUILT_IN = 2, PLANE = NODES }; /* the last node has a program of its own */

static const duration after_lease_ns = SECOND;
static const duration ready_limit_ns = 20 * SECOND;
static const duration quick_ns = 60 * MILLISECOND; /* an answer, on a busy machine; faults add 200 ms */

static struct {
    const char *homeostat, *service;
    unsigned kills;
    uint64_t seed;
    bool verbose, keep;
} options = {.kills = 20};

struct blow {
    size_t node; /* PLANE: the control plane */
    int64_t at_ns;
    bool late; /* who died is started again only after the look */
    bool done;
};

struct story {
    struct lab lab;
    struct dice dice;
    struct blow blows[NODES];
    int64_t leases_end_ns;
    unsigned killed[CROWD_ROLES], kinds[FAULT_COUNT];
    unsigned kills, rounds, left, stuck, asked_users;
    duration longest_ns; /* after the leases, until nothing was left */
};

/* --- talking to the control plane ----------------------------------------------------------------------- */

static json_t *get(const struct story *story, const char *path)
{
    char *body = NULL;
    int status = lab_call(&story->lab, "GET", path, &body);
    json_t *json = status == 200 ? json_loads(body, 0, NULL) : NULL;
    free(body);
    return json;
}

/* A report of the last second, by a node whose service is up. */
static bool is_well(json_t *node)
{
    return json_number_value(json_object_get(node, "last_report_age_s")) < 1 &&
           json_number_value(json_object_get(json_object_get(node, "samples"), "service_up")) == 1 &&
           strcmp(json_string_value(json_object_get(node, "health")), "healthy") == 0;
}

static bool all_are_well(const struct story *story)
{
    json_t *answer = get(story, "/v1/nodes"), *node;
    size_t i, well = 0;
    json_array_foreach(json_object_get(answer, "nodes"), i, node)
    {
        well += is_well(node);
    }
    json_decref(answer);
    return well == NODES;
}

static bool wait_until_well(struct story *story)
{
    for (int64_t by_ns = monotonic_ns() + ready_limit_ns; !all_are_well(story); lab_nap(50 * MILLISECOND))
        if (monotonic_ns() > by_ns) {
            char *nodes = NULL;
            lab_call(&story->lab, "GET", "/v1/nodes", &nodes);
            fprintf(stderr, "round %u: a node is not well again after %.0f s: %s\n", story->rounds,
                    duration_seconds(ready_limit_ns), nodes);
            free(nodes);
            story->stuck++;
            return false;
        }
    return true;
}

/* False: not yet. The last one there was too short a time ago (429), or the control plane has not heard of
 * the end of one of that kind, since its node agent was killed (409, until five seconds after its lease). */
static bool inject(struct story *story, enum fault_kind kind, const char *node, unsigned lease_s)
{
    char body[256], *answer = NULL;
    const struct fault_info *info = &fault_infos[kind];
    snprintf(body, sizeof body, "{\"kind\":\"%s\",\"node\":\"%s\",\"intensity\":%g,\"lease_s\":%u}",
             info->name, node, info->intensity, lease_s);
    int status = lab_post(&story->lab, "/v1/faults", body, &answer);
    if (status != 201 && status != 409 && status != 429)
        fprintf(stderr, "round %u: %s on %s: %d %s\n", story->rounds, info->name, node, status,
                answer ? answer : "");
    free(answer);
    return status == 201;
}

/* --- the faults of a round ------------------------------------------------------------------------------ */

static enum fault_kind draw_kind(struct story *story, uint32_t place)
{
    for (;;) {
        uint32_t kind = dice_below(&story->dice, FAULT_COUNT);
        if (fault_infos[kind].places & place)
            return (enum fault_kind)kind;
    }
}

static void inject_all(struct story *story)
{
    unsigned lease_s = 1 + dice_below(&story->dice, 2);
    for (size_t i = 0; i < NODES; i++) {
        enum fault_kind kind =
            draw_kind(story, i < BUILT_IN ? (uint32_t)FAULT_AT_SERVICE : (uint32_t)FAULT_AT_PROGRAM);
        int64_t by_ns = monotonic_ns() + 8 * SECOND;
        bool injected = inject(story, kind, story->lab.nodes[i].name, lease_s);
        while (!injected && monotonic_ns() < by_ns) {
            lab_nap(100 * MILLISECOND);
            injected = inject(story, kind, story->lab.nodes[i].name, lease_s);
        }
        story->kinds[kind] += injected;
        story->stuck += !injected;
        if (options.verbose)
            printf("round %u: %s on %s for %u s\n", story->rounds, fault_infos[kind].name,
                   story->lab.nodes[i].name, lease_s);
    }
    story->leases_end_ns = monotonic_ns() + lease_s * SECOND;
}

/* Half of the blows fall while the fault is young: that is when most is begun. */
static void draw_blows(struct story *story)
{
    int64_t now_ns = monotonic_ns(), left_ns = story->leases_end_ns - now_ns;
    for (size_t i = 0; i < NODES; i++) {
        duration most = dice_below(&story->dice, 2) ? 400 * MILLISECOND : left_ns;
        story->blows[i] = (struct blow){.node = dice_below(&story->dice, 8) ? i : PLANE,
                                        .at_ns = now_ns + dice_duration(&story->dice, 0, most),
                                        .late = dice_below(&story->dice, 2)};
    }
}

/* --- blows ---------------------------------------------------------------------------------------------- */

static void count_kill(struct story *story, enum crowd_role role, const char *of)
{
    story->kills++;
    story->killed[role]++;
    if (options.verbose)
        printf("round %u: killed a %s of %s, %.2f s before the end of the lease\n", story->rounds,
               crowd_role_names[role], of, duration_seconds(story->leases_end_ns - monotonic_ns()));
}

static void kill_plane(struct story *story)
{
    lab_kill(&story->lab.plane);
    count_kill(story, CROWD_PLANE, "the lab");
    lab_start_plane(&story->lab, NULL);
}

static void kill_agent(struct story *story, const struct blow *blow)
{
    struct lab_node *node = &story->lab.nodes[blow->node];
    lab_kill(&node->pid);
    count_kill(story, CROWD_AGENT, node->name);
    if (!blow->late)
        lab_start_agent(&story->lab, blow->node, NULL);
}

/* Whom to kill: those that are there only for a fault more often than those that are always there. */
static const struct crowd_member *choose(const struct crowd *crowd, int node, struct dice *dice)
{
    static const uint32_t weights[CROWD_ROLES] = {
        [CROWD_AGENT] = 4,  [CROWD_WARDEN] = 1, [CROWD_RELAY] = 2, [CROWD_SERVICE] = 2,
        [CROWD_HELPER] = 6, [CROWD_LEASH] = 6,  [CROWD_GUARD] = 6,
    };
    const struct crowd_member *member = NULL;
    uint32_t sum = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        uint32_t weight = crowd->member[i].node == node ? weights[crowd->member[i].role] : 0;
        sum += weight;
        if (weight && dice_below(dice, sum) < weight)
            member = &crowd->member[i];
    }
    return member;
}

/* A node agent that has lost its warden is replaced after the look, or its next death would be another story.
 */
static void strike(struct story *story, struct blow *blow)
{
    blow->done = true;
    if (blow->node == PLANE) {
        kill_plane(story);
        return;
    }
    struct crowd crowd;
    crowd_look(&crowd, &story->lab);
    const struct crowd_member *member = choose(&crowd, (int)blow->node, &story->dice);
    if (!member || member->role == CROWD_AGENT) {
        kill_agent(story, blow);
    } else {
        kill(member->pid, SIGKILL);
        count_kill(story, member->role, story->lab.nodes[blow->node].name);
        blow->late = member->role == CROWD_WARDEN;
    }
}

static void strike_until_leases_end(struct story *story)
{
    for (; monotonic_ns() < story->leases_end_ns; lab_nap(2 * MILLISECOND))
        for (size_t i = 0; i < NODES; i++)
            if (!story->blows[i].done && monotonic_ns() >= story->blows[i].at_ns &&
                story->kills < options.kills)
                strike(story, &story->blows[i]);
}

/* Everybody who was left dead, or without a warden. */
static void start_the_late(struct story *story)
{
    for (size_t i = 0; i < NODES; i++) {
        const struct blow *blow = &story->blows[i];
        if (!blow->done || blow->node == PLANE || !blow->late)
            continue;
        lab_kill(&story->lab.nodes[blow->node].pid);
        lab_start_agent(&story->lab, blow->node, NULL);
    }
}

/* --- what is left --------------------------------------------------------------------------------------- */

/* Writes what is left into `out`, empty if nothing is. */
static void find_left(const struct story *story, char *out, size_t size)
{
    struct text text = text_over(out, size);
    struct crowd crowd;
    out[0] = '\0';
    crowd_look(&crowd, &story->lab);
    crowd_judge(&crowd, &story->lab, &text);
    for (size_t i = 0; i < NODES; i++)
        crowd_judge_files(story->lab.nodes[i].folder, &text);
}

/* Its users are answered well and at once, if they are answered at all: a service or a relay that was killed
 * may be on its way back, and then the node is waited for before the next round. */
static void judge_sockets(struct story *story, struct text *text)
{
    json_t *answer = get(story, "/v1/nodes"), *node;
    size_t i;
    json_array_foreach(json_object_get(answer, "nodes"), i, node)
    {
        const char *name = json_string_value(json_object_get(node, "node"));
        const char *address = json_string_value(json_object_get(node, "address"));
        bool speaks_http = !json_is_true(json_object_get(node, "program"));
        struct crowd_users users = crowd_ask_users(address ? address : "", speaks_http);
        story->asked_users += users.answered;
        if (users.failed > 0)
            text_addf(text, "%s: %u of %u answers are errors; ", name, users.failed, users.answered);
        if (users.answered > 0 && users.median_ns > quick_ns)
            text_addf(text, "%s: users wait %.0f ms; ", name, (double)users.median_ns / MILLISECOND);
    }
    json_decref(answer);
}

/* A fault that is left stays; a busy machine or a restart makes users wait for a moment. */
static void judge_sockets_patiently(struct story *story, char *left, size_t size)
{
    int64_t by_ns = monotonic_ns() + 3 * SECOND;
    do {
        struct text text = text_over(left, size);
        left[0] = '\0';
        judge_sockets(story, &text);
    } while (left[0] && monotonic_ns() < by_ns);
}

static void look_after_leases(struct story *story)
{
    char left[2048] = "";
    int64_t dirty_ns = 0, by_ns = story->leases_end_ns + after_lease_ns;
    do {
        find_left(story, left, sizeof left);
        int64_t now_ns = monotonic_ns();
        if (left[0])
            dirty_ns = now_ns - story->leases_end_ns;
        lab_nap(20 * MILLISECOND);
    } while (monotonic_ns() < by_ns);
    if (left[0]) /* a restart may have been under way just then */
        find_left(story, left, sizeof left);
    if (!left[0])
        judge_sockets_patiently(story, left, sizeof left);
    if (dirty_ns > story->longest_ns)
        story->longest_ns = dirty_ns;
    if (left[0]) {
        fprintf(stderr, "round %u: a second after the lease: %s\n", story->rounds, left);
        story->left++;
    }
}

/* --- the story ------------------------------------------------------------------------------------------ */

static void begin(struct story *story)
{
    story->dice = (struct dice){options.seed};
    lab_open(&story->lab, options.homeostat, options.service, NODES, policy);
    story->lab.built_in = BUILT_IN;
    lab_start_plane(&story->lab, NULL);
    for (size_t i = 0; i < NODES; i++)
        lab_start_agent(&story->lab, i, NULL);
}

static void one_round(struct story *story)
{
    story->rounds++;
    inject_all(story);
    draw_blows(story);
    strike_until_leases_end(story);
    look_after_leases(story);
    start_the_late(story);
}

static void sum_up(const struct story *story, int64_t began_ns)
{
    printf("kills      %u in %u rounds:", story->kills, story->rounds);
    for (int role = 0; role < CROWD_ROLES; role++)
        if (story->killed[role])
            printf(" %u %s", story->killed[role], crowd_role_names[role]);
    printf("\nfaults    ");
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (story->kinds[kind])
            printf(" %u %s", story->kinds[kind], fault_infos[kind].name);
    printf("\nleft       %u\nstuck      %u\nusers      asked %u times after a lease\n", story->left,
           story->stuck, story->asked_users);
    printf("clean      at most %.2f s after the lease\n", duration_seconds(story->longest_ns));
    printf("took       %.0f s, seed %" PRIu64 "\n", duration_seconds(monotonic_ns() - began_ns),
           options.seed);
}

static bool read_options(int argc, char **argv)
{
    bool good = argc >= 3;
    options.seed = (uint64_t)clock_ns(CLOCK_REALTIME) / 1000 % 1000000000;
    for (int i = 3; i < argc && good; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--kills") == 0) {
            options.kills = (unsigned)strtoul(value, NULL, 10);
            good = options.kills > 0 && options.kills <= 100000;
            i++;
        } else if (strcmp(argv[i], "--seed") == 0) {
            options.seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--full") == 0) {
            options.kills = 100;
        } else if (strcmp(argv[i], "--keep") == 0) {
            options.keep = true;
        } else if (strcmp(argv[i], "-v") == 0) {
            options.verbose = true;
        } else {
            good = false;
        }
    }
    if (good) {
        options.homeostat = argv[1];
        options.service = argv[2];
    }
    return good;
}

int main(int argc, char **argv)
{
    static struct story story;
    int64_t began_ns = monotonic_ns();
    if (!read_options(argc, argv)) {
        fprintf(stderr, "crash_faults HOMEOSTAT SERVICE [--kills N] [--full] [--seed N] [--keep] [-v]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    begin(&story);
    while (story.kills < options.kills && wait_until_well(&story))
        one_round(&story);
    if (story.stuck == 0)
        wait_until_well(&story); /* the last ones come back, too */
    sum_up(&story, began_ns);
    lab_close(&story.lab, options.keep || story.left > 0 || story.stuck > 0);
    return story.left ? 4 : story.stuck ? 7 : 0;
}
