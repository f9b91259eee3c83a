/* What a run came to, from the truth of the world that nobody in the loop is told. */
#include "sim/state.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Well again means: for so long without a relapse. The instant is where that began. */
static const duration well_for_ns = 5 * SECOND;
/* What is seen so long after a fault has ended is not counted as having been seen because of it. */
static const duration seen_within_ns = MINUTE;

bool score_begin(struct sim *sim)
{
    struct score *score = &sim->score;
    score->first_injection = malloc(sim->nodes * sizeof score->first_injection[0]);
    score->looked_at = calloc(sim->nodes, sizeof score->looked_at[0]);
    score->touched = calloc(sim->nodes, sizeof score->touched[0]);
    if (!score->first_injection || !score->looked_at || !score->touched)
        return false;
    for (uint32_t i = 0; i < sim->nodes; i++)
        score->first_injection[i] = NO_INDEX;
    score->stride = 1;
    while (score->stride < 32 && sim->nodes / 512 >= score->stride)
        score->stride *= 2;
    return true;
}

void score_fini(struct sim *sim)
{
    free(sim->score.first_injection);
    free(sim->score.looked_at);
    free(sim->score.touched);
    free(sim->score.injections);
    free(sim->score.deeds);
}

/* --- injections ----------------------------------------------------------------------------------------- */

void score_strike(struct sim *sim, const struct world_fault *fault)
{
    struct score *score = &sim->score;
    uint32_t node = fault->node;
    score->result.faults++;
    if (score->injection_count == INJECTIONS_MAX)
        return;
    if (score->injection_count == score->injection_room)
        score->injections = sim_grow(score->injections, &score->injection_room, sizeof score->injections[0]);
    score->injections[score->injection_count] = (struct injection){.fault = *fault,
                                                                   .node = node,
                                                                   .kind = fault->kind,
                                                                   .at = sim->now,
                                                                   .detected_at = INSTANT_NONE,
                                                                   .recovered_at = INSTANT_NONE,
                                                                   .well_since = INSTANT_NONE,
                                                                   .next = score->first_injection[node]};
    score->first_injection[node] = score->injection_count++;
}

/* True once it has recovered. */
static bool follow(const struct sim *sim, struct injection *injection, bool ill)
{
    if (ill) {
        injection->seen_ill = true;
        injection->well_since = INSTANT_NONE;
        return false;
    }
    if (!injection->seen_ill)
        return false;
    if (injection->well_since == INSTANT_NONE)
        injection->well_since = sim->now;
    if (sim->now - injection->well_since < well_for_ns)
        return false;
    injection->recovered_at = injection->well_since;
    return true;
}

void score_sample(struct sim *sim, uint32_t node)
{
    struct score *score = &sim->score;
    uint32_t *link = &score->first_injection[node];
    if (*link == NO_INDEX && (sim->agents[node].sequence & (score->stride - 1)) != 0)
        return;
    struct world_truth truth;
    world_truth(sim->world, node, sim->now, &truth);
    double lived_ns = (double)(sim->now - score->looked_at[node]);
    score->looked_at[node] = sim->now;
    score->lived_ns += lived_ns;
    score->well_ns += truth.ill ? 0 : lived_ns;
    while (*link != NO_INDEX) {
        struct injection *injection = &score->injections[*link];
        if (follow(sim, injection, truth.ill))
            *link = injection->next;
        else
            link = &injection->next;
    }
}

enum { REACH_MAX = 64 }; /* nodes that a walk along the calls looks at, as far as the core's own */

/* The node itself, and what it calls, directly or through others. */
static uint32_t reach(const struct sim *sim, uint32_t from, uint32_t found[REACH_MAX])
{
    uint32_t count = 1;
    found[0] = from;
    for (uint32_t i = 0; i < count; i++) {
        const struct world_node *node = &sim->fleet[found[i]];
        for (uint32_t c = 0; c < node->calls_count; c++) {
            uint32_t k = 0;
            while (k < count && found[k] != node->calls[c])
                k++;
            if (k == count && count < REACH_MAX)
                found[count++] = node->calls[c];
        }
    }
    return count;
}

void score_opened(struct sim *sim, const struct incident *incident)
{
    uint32_t found[REACH_MAX];
    if (incident->state != INCIDENT_OPEN || incident->opened_at != sim->now)
        return;
    for (uint32_t k = reach(sim, incident->node, found); k-- > 0;) {
        for (uint32_t i = sim->score.first_injection[found[k]]; i != NO_INDEX;
             i = sim->score.injections[i].next) {
            struct injection *injection = &sim->score.injections[i];
            bool in_time = !injection->over || sim->now - injection->at < seen_within_ns;
            if (injection->detected_at == INSTANT_NONE && in_time)
                injection->detected_at = sim->now;
        }
    }
}

/* --- incidents and commands ----------------------------------------------------------------------------- */

static struct deed *find_deed(struct score *score, uint64_t incident, uint64_t command)
{
    for (uint32_t i = score->deed_count; i-- > 0;)
        if (score->deeds[i].incident == incident && score->deeds[i].command == command)
            return &score->deeds[i];
    return NULL;
}

static struct deed *add_deed(struct score *score, const struct incident *incident)
{
    if (score->deed_count == DEEDS_MAX) {
        score->result.deeds_dropped++;
        return NULL;
    }
    if (score->deed_count == score->deed_room)
        score->deeds = sim_grow(score->deeds, &score->deed_room, sizeof score->deeds[0]);
    struct deed *deed = &score->deeds[score->deed_count++];
    *deed = (struct deed){.incident = incident->id,
                          .opened_at = incident->opened_at,
                          .acted_at = INSTANT_NONE,
                          .judged_at = INSTANT_NONE,
                          .node = incident->node,
                          .remedy = REMEDY_NONE,
                          .verdict = VERDICT_NONE};
    memcpy(deed->finding, incident->detector_name, sizeof deed->finding);
    return deed;
}

static void note_deed(struct sim *sim, const struct incident *now)
{
    struct score *score = &sim->score;
    struct deed *deed = find_deed(score, now->id, now->command);
    if (!deed && now->command != 0) {
        deed = find_deed(score, now->id, 0);
        deed = deed ? deed : add_deed(score, now);
        if (deed)
            deed->command = now->command;
    }
    if (!deed)
        deed = add_deed(score, now);
    if (!deed || now->command == 0)
        return;
    if (deed->remedy == REMEDY_NONE) {
        deed->acted_at = now->acted_at;
        deed->remedy = now->remedy;
    }
    if (now->verdict == VERDICT_NONE || now->verdict == deed->verdict)
        return;
    score->result.verdicts[deed->verdict] -= deed->verdict != VERDICT_NONE;
    score->result.verdicts[now->verdict]++;
    deed->verdict = now->verdict;
    deed->judged_at = now->closed_at != INSTANT_NONE ? now->closed_at : sim->now;
}

/* Telling people is a remedy too, though no command: whatever the reason, they have it now. */
static void note_people(struct sim *sim, const struct incident *now)
{
    struct deed *deed = add_deed(&sim->score, now);
    if (!deed)
        return;
    deed->command = UINT64_MAX;
    deed->remedy = REMEDY_PAGE_HUMAN;
    deed->verdict = now->verdict;
    deed->acted_at = deed->judged_at = now->closed_at != INSTANT_NONE ? now->closed_at : sim->now;
}

/* What an incident waits for belongs to what is being tried for it. */
static void note_block(struct sim *sim, const struct incident *now)
{
    struct deed *deed = find_deed(&sim->score, now->id, now->command);
    deed = deed ? deed : find_deed(&sim->score, now->id, 0);
    if (deed && now->block != BLOCK_NONE)
        deed->blocks |= 1u << now->block;
}

static void count_blocks(struct score *score, const struct incident *before, const struct incident *now)
{
    if (now->block == BLOCK_NONE || now->blocked_count == 0)
        return;
    bool same = before && before->block == now->block && before->blocked_at == now->blocked_at &&
                before->blocked_count <= now->blocked_count;
    score->result.blocks[now->block] += now->blocked_count - (same ? before->blocked_count : 0);
}

void score_incident(struct sim *sim, const struct incident *before, const struct incident *now)
{
    struct score *score = &sim->score;
    if (before)
        score->states[before->state]--;
    else
        score->result.incidents++;
    score->states[now->state]++;
    count_blocks(score, before, now);
    bool news = !before || before->command != now->command || before->verdict != now->verdict;
    if (news)
        note_deed(sim, now);
    note_block(sim, now);
    if (now->state == INCIDENT_ESCALATED && (!before || before->state != INCIDENT_ESCALATED))
        note_people(sim, now);
}

/* A lie about a node, or a cut way to it, is no fault that an action on the node could mend. */
void score_ordered(struct sim *sim, const struct command *command)
{
    struct world_truth truth;
    world_truth(sim->world, command->node, sim->now, &truth);
    uint32_t lies = 1u << FAULT_SENSOR_FAULT | 1u << FAULT_CLOCK_SKEW | 1u << FAULT_NODE_PARTITION;
    bool wrong = (truth.faults & ~lies) == 0;
    sim->score.touched[command->node] = true;
    sim->score.result.wrong += wrong;
    sim->score.result.needless += wrong && !truth.ill;
}

void score_done(struct sim *sim, const struct world_done *done)
{
    sim->score.result.harmful += done->harmed;
}

/* --- expectations --------------------------------------------------------------------------------------- */

struct answer { /* to one expectation */
    bool met;
    uint32_t node;           /* of the first that says otherwise, NO_INDEX: none in particular */
    const struct deed *best; /* the nearest to what was expected */
    duration took_ns;
};

static instant injected_before(const struct sim *sim, uint32_t node, instant opened_at)
{
    instant own_at = INSTANT_NONE, any_at = INSTANT_NONE;
    uint32_t found[REACH_MAX], count = reach(sim, node, found);
    for (uint32_t i = 0; i < sim->score.injection_count; i++) {
        const struct injection *injection = &sim->score.injections[i];
        if (injection->at > opened_at)
            continue;
        any_at = injection->at > any_at ? injection->at : any_at;
        for (uint32_t k = 0; k < count && injection->at > own_at; k++)
            own_at = found[k] == injection->node ? injection->at : own_at;
    }
    return own_at != INSTANT_NONE ? own_at : any_at;
}

/* How many of the things that were asked for it has; the most is 4. */
static int weigh(const struct sim *sim, const struct scenario_expect *expect, const struct deed *deed,
                 duration *took_ns)
{
    int points = 1;
    bool blocked = expect->block == BLOCK_NONE || (deed->blocks & 1u << expect->block) != 0;
    bool remedy = blocked && (expect->remedy == REMEDY_NONE || deed->remedy == expect->remedy);
    bool verdict = expect->verdict == VERDICT_NONE || deed->verdict == expect->verdict;
    instant injected_at = injected_before(sim, deed->node, deed->opened_at);
    instant done_at = expect->verdict != VERDICT_NONE ? deed->judged_at
                      : expect->remedy != REMEDY_NONE ? deed->acted_at
                                                      : deed->opened_at;
    *took_ns = done_at == INSTANT_NONE || injected_at == INSTANT_NONE ? -1 : done_at - injected_at;
    points += remedy;
    points += remedy && verdict;
    points +=
        remedy && verdict && (expect->within_ns == 0 || (*took_ns >= 0 && *took_ns <= expect->within_ns));
    return points;
}

static bool node_meets(const struct sim *sim, const struct scenario_expect *expect, uint32_t node,
                       struct answer *answer)
{
    int most = 0;
    for (uint32_t i = 0; i < sim->score.deed_count && most < 4; i++) {
        const struct deed *deed = &sim->score.deeds[i];
        duration took_ns;
        if (deed->node != node || strcmp(deed->finding, expect->finding) != 0)
            continue;
        int points = weigh(sim, expect, deed, &took_ns);
        if (points <= most)
            continue;
        most = points;
        answer->best = deed;
        answer->took_ns = took_ns;
    }
    return most == 4;
}

/* All nodes that it means; with `some`, at least so many; if it names nobody, at least one. */
static struct answer judge(const struct sim *sim, const struct scenario_expect *expect)
{
    struct answer answer = {.node = NO_INDEX}, best = answer;
    bool anybody = !expect->on.pattern[0] && !expect->on.role[0] && !expect->on.zone[0];
    uint32_t meant = 0, met = 0, wanted = expect->on.some;
    for (uint32_t i = 0; i < sim->nodes; i++) {
        struct answer one = {.node = i};
        if (!anybody && !script_means(sim, &expect->on, i))
            continue;
        meant++;
        bool good = expect->untouched ? !sim->score.touched[i] : node_meets(sim, expect, i, &one);
        met += good;
        if (!good && (best.node == NO_INDEX || (!best.best && one.best)))
            best = one;
        if (good && !answer.best)
            answer = one;
    }
    wanted = expect->untouched || wanted == 0 ? meant : wanted;
    wanted = !expect->untouched && anybody && expect->on.some == 0 ? 1 : wanted;
    if (met >= wanted && meant > 0) {
        answer.met = true;
        return answer;
    }
    return best;
}

static void print_on(const struct scenario_target *on, FILE *out)
{
    if (on->some > 0)
        fprintf(out, "%u of ", on->some);
    if (on->role[0])
        fprintf(out, "role:%s", on->role);
    else if (on->zone[0])
        fprintf(out, "zone:%s", on->zone);
    else
        fputs(on->pattern[0] ? on->pattern : "any node", out);
}

static void print_time(duration d, FILE *out)
{
    char bytes[32];
    struct text text = text_over(bytes, sizeof bytes);
    text_duration(&text, d);
    fputs(bytes, out);
}

static void print_expected(const struct scenario_expect *expect, FILE *out)
{
    if (expect->untouched) {
        fputs("untouched: ", out);
        print_on(&expect->on, out);
        return;
    }
    fprintf(out, "%s on ", expect->finding);
    print_on(&expect->on, out);
    if (expect->remedy != REMEDY_NONE)
        fprintf(out, ", %s", remedy_name((enum remedy)expect->remedy));
    if (expect->verdict != VERDICT_NONE)
        fprintf(out, ", %s", verdict_name((enum verdict)expect->verdict));
    if (expect->within_ns > 0) {
        fputs(", within ", out);
        print_time(expect->within_ns, out);
    }
}

static void print_seen(const struct sim *sim, const struct scenario_expect *expect,
                       const struct answer *answer, FILE *out)
{
    const struct deed *deed = answer->best;
    const char *name = sim_node_name(sim, answer->node);
    if (expect->untouched) {
        fprintf(out, ", but a command went to %s", *name ? name : "one of them");
        return;
    }
    if (!deed) {
        fprintf(out, ", but %s%sthere was no such finding", *name ? name : "", *name ? ": " : "");
        return;
    }
    fprintf(out, ", but %s: ", sim_node_name(sim, deed->node));
    if (deed->remedy == REMEDY_NONE)
        fputs("nothing was done about it", out);
    else
        fprintf(out, "%s, %s", remedy_name((enum remedy)deed->remedy),
                deed->verdict == VERDICT_NONE ? "no verdict" : verdict_name((enum verdict)deed->verdict));
    if (answer->took_ns >= 0) {
        fputs(", after ", out);
        print_time(answer->took_ns, out);
    }
}

void sim_print_expectations(const struct sim *sim, FILE *out)
{
    for (uint32_t i = 0; i < sim->scenario->expect_count; i++) {
        const struct scenario_expect *expect = &sim->scenario->expects[i];
        struct answer answer = judge(sim, expect);
        fputs(answer.met ? "ok      " : "not ok  ", out);
        print_expected(expect, out);
        if (!answer.met)
            print_seen(sim, expect, &answer, out);
        if (answer.met && expect->within_ns > 0 && answer.took_ns >= 0) {
            fputs(": took ", out);
            print_time(answer.took_ns, out);
        }
        fputs("\n", out);
    }
}

/* --- the result ----------------------------------------------------------------------------------------- */

static int by_length(const void *x, const void *y)
{
    duration a = *(const duration *)x, b = *(const duration *)y;
    return (a > b) - (a < b);
}

/* The smallest that so many of a hundred do not exceed; -1 of none. */
static duration percentile(const duration *sorted, uint32_t count, uint32_t percent)
{
    return count > 0 ? sorted[(count * (uint64_t)percent + 99) / 100 - 1] : -1;
}

static void fill_times(const struct sim *sim, struct sim_result *result)
{
    uint32_t count = sim->score.injection_count;
    duration *detect = calloc(2 * (size_t)count + 1, sizeof *detect), *recover = detect + count;
    CHECK(detect);
    result->detected = result->recovered = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct injection *injection = &sim->score.injections[i];
        if (injection->detected_at != INSTANT_NONE)
            detect[result->detected++] = injection->detected_at - injection->at;
        if (injection->recovered_at != INSTANT_NONE)
            recover[result->recovered++] = injection->recovered_at - injection->at;
    }
    qsort(detect, result->detected, sizeof *detect, by_length);
    qsort(recover, result->recovered, sizeof *recover, by_length);
    result->detect_p50_ns = percentile(detect, result->detected, 50);
    result->detect_p95_ns = percentile(detect, result->detected, 95);
    result->recover_p50_ns = percentile(recover, result->recovered, 50);
    result->recover_p95_ns = percentile(recover, result->recovered, 95);
    free(detect);
}

static double served_of_asked(const struct sim *sim)
{
    double served = 0, asked = 0;
    for (uint32_t i = 0; i < sim->nodes; i++) {
        struct world_truth truth;
        world_truth(sim->world, i, sim->now, &truth);
        served += truth.served;
        asked += truth.served + truth.failed;
    }
    return asked > 0 ? served / asked : 1;
}

static uint64_t fold(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * 0xbf58476d1ce4e5b9u;
    return digest ^ digest >> 29;
}

void sim_result(const struct sim *sim, struct sim_result *result)
{
    const struct score *score = &sim->score;
    *result = score->result;
    result->turns = sim->turns;
    result->resolved = score->states[INCIDENT_RESOLVED];
    result->escalated = score->states[INCIDENT_ESCALATED];
    result->open = result->incidents - result->resolved - result->escalated;
    fill_times(sim, result);
    result->availability_requests = served_of_asked(sim);
    result->availability_time = score->lived_ns > 0 ? score->well_ns / score->lived_ns : 1;
    result->expectations = sim->scenario->expect_count;
    result->met = 0;
    for (uint32_t i = 0; i < sim->scenario->expect_count; i++)
        result->met += judge(sim, &sim->scenario->expects[i]).met;
    result->digest = fold(sim->digest, world_digest(sim->world));
    result->digest = fold(result->digest, sim->plane->core ? core_digest(sim->plane->core) : 0);
    for (uint32_t i = 0; i < sim->nodes; i++)
        result->digest = fold(result->digest, sim->agents[i].messages);
    result->digest = fold(result->digest, sim->commits);
}
