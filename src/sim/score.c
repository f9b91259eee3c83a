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

void score_opened(struct sim *sim, const struct incident *incident)
{
    uint32_t found[EXPECT_REACH_MAX];
    if (incident->state != INCIDENT_OPEN || incident->opened_at != sim->now)
        return;
    for (uint32_t k = expect_reach(sim->fleet, incident->node, found); k-- > 0;) {
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

/* The caller frees `struck`. */
static struct expect_facts facts_of(const struct sim *sim)
{
    const struct score *score = &sim->score;
    struct struck *struck = calloc((size_t)score->injection_count + 1, sizeof *struck);
    CHECK(struck);
    for (uint32_t i = 0; i < score->injection_count; i++)
        struck[i] = (struct struck){.at = score->injections[i].at, .node = score->injections[i].node};
    return (struct expect_facts){.scenario = sim->scenario,
                                 .fleet = sim->fleet,
                                 .names = sim->names,
                                 .touched = score->touched,
                                 .deeds = score->deeds,
                                 .deed_count = score->deed_count,
                                 .struck = struck,
                                 .struck_count = score->injection_count};
}

static uint32_t count_met(const struct sim *sim)
{
    uint32_t met = 0;
    struct expect_facts facts = facts_of(sim);
    for (uint32_t i = 0; i < sim->scenario->expect_count; i++)
        met += expect_is_met(&facts, i);
    free((void *)facts.struck);
    return met;
}

void sim_print_expectations(const struct sim *sim, FILE *out)
{
    struct expect_facts facts = facts_of(sim);
    expect_print(&facts, out);
    free((void *)facts.struck);
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
    result->met = count_met(sim);
    result->digest = fold(sim->digest, world_digest(sim->world));
    result->digest = fold(result->digest, sim->plane->core ? core_digest(sim->plane->core) : 0);
    for (uint32_t i = 0; i < sim->nodes; i++)
        result->digest = fold(result->digest, sim->agents[i].messages);
    result->digest = fold(result->digest, sim->commits);
}
