/* What a live run came to, from its database: the same figures as the simulator's (sim/score.c). */
#include "cli/live.h"

#include "cli/live_users.h"

#include "base/check.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const duration seen_within_ns = MINUTE; /* as in the simulator */

struct span { /* a fault's time on a node */
    instant from_at, until_at;
    uint32_t node;
    uint8_t kind;
};

struct list {
    void *items;
    uint32_t count, room;
};

struct score {
    struct live *live;
    struct live_result *result;
    struct store *store;
    struct look *looks; /* by node */
    uint32_t *node_of;  /* the scenario's number by the database's, NO_INDEX: none */
    uint32_t numbers;
    bool *touched;
    struct list incidents, commands, spans, deeds, struck;
    struct incident *told_of; /* whose timeline or blocks are being read */
    uint8_t state;            /* of it, at the line before */
    uint32_t first_deed;      /* of it */
};

static void *add(struct list *list, size_t item)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        list->items = reallocarray(list->items, list->room, item);
        CHECK(list->items);
    }
    return (char *)list->items + item * list->count++;
}

/* From the control plane's clock to the script's. */
static instant from_start(const struct score *score, instant at)
{
    return at == INSTANT_NONE ? INSTANT_NONE : at - score->live->begun_at;
}

static uint32_t node_of(const struct score *score, uint32_t number)
{
    return number < score->numbers ? score->node_of[number] : NO_INDEX;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static bool take_node(void *context, const struct node_row *row)
{
    struct score *score = context;
    while (score->numbers <= row->number) {
        score->node_of = reallocarray(score->node_of, score->numbers + 1, sizeof *score->node_of);
        CHECK(score->node_of);
        score->node_of[score->numbers++] = NO_INDEX;
    }
    int64_t found = lab_log_find(score->live->log, row->name);
    score->node_of[row->number] = found < 0 ? NO_INDEX : (uint32_t)found;
    return true;
}

static bool take_incident(void *context, const struct incident *row)
{
    struct score *score = context;
    struct incident *incident = add(&score->incidents, sizeof *incident);
    *incident = *row;
    incident->node = node_of(score, row->node);
    incident->opened_at = from_start(score, row->opened_at);
    if (incident->node == NO_INDEX || incident->opened_at < 0)
        score->incidents.count--; /* it belongs to the start of the fleet, not to the script */
    return true;
}

static bool take_command(void *context, const struct command_row *row)
{
    struct score *score = context;
    struct command *command = add(&score->commands, sizeof *command);
    *command = row->command;
    command->node = node_of(score, row->command.node);
    command->ordered_at = from_start(score, row->command.ordered_at);
    if (command->node == NO_INDEX)
        score->commands.count--;
    else
        score->touched[command->node] = true;
    return true;
}

static bool take_fault(void *context, const struct fault_row *row)
{
    struct score *score = context;
    uint32_t node = node_of(score, row->node);
    if (node == NO_INDEX || row->injected_at == INSTANT_NONE)
        return true;
    struct span *span = add(&score->spans, sizeof *span);
    *span = (struct span){.node = node,
                          .kind = row->kind,
                          .from_at = from_start(score, row->injected_at),
                          .until_at = row->ended_at == INSTANT_NONE ? INSTANT_NEVER
                                                                    : from_start(score, row->ended_at)};
    for (uint32_t i = 0; i < score->live->strike_count; i++) {
        if (score->live->strikes[i].id != row->id)
            continue;
        struct struck *struck = add(&score->struck, sizeof *struck);
        *struck = (struct struck){.at = span->from_at, .node = node};
    }
    return true;
}

static int by_opening(const void *a, const void *b)
{
    const struct incident *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_strike(const void *a, const void *b)
{
    const struct struck *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static void sort(struct list *list, size_t item, int (*order)(const void *, const void *))
{
    if (list->count > 0)
        qsort(list->items, list->count, item, order);
}

/* --- what was done -------------------------------------------------------------------------------------- */

static struct deed *add_deed(struct score *score)
{
    const struct incident *incident = score->told_of;
    struct deed *deed = add(&score->deeds, sizeof *deed);
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

/* The newest command's deed; the one without a command until there is one. */
static struct deed *present_deed(struct score *score)
{
    struct deed *deeds = score->deeds.items;
    for (uint32_t i = score->deeds.count; i-- > score->first_deed;)
        if (deeds[i].command != UINT64_MAX)
            return &deeds[i];
    return add_deed(score);
}

static void begin_deed(struct score *score, const struct timeline_row *row)
{
    struct deed *deed = present_deed(score);
    if (deed->command != 0)
        deed = add_deed(score);
    deed->command = 1; /* which one does not matter */
    deed->remedy = row->remedy;
    deed->acted_at = from_start(score, row->at);
}

/* One line of an incident's timeline: into its story, and into what was done for it. */
static bool take_line(void *context, const struct timeline_row *row)
{
    struct score *score = context;
    const struct incident *incident = score->told_of;
    int state = incident_state_of(row->state);
    if (state < 0)
        return true; /* of a command's end */
    instant at = from_start(score, row->at);
    tale_step(score->result->tale, &(struct told_step){.incident = incident->id,
                                                       .at = at,
                                                       .node = score->live->names[incident->node],
                                                       .finding = incident->detector_name,
                                                       .number = incident->node,
                                                       .state = (uint8_t)state,
                                                       .remedy = row->remedy,
                                                       .verdict = row->verdict});
    bool moved = state != score->state;
    score->state = (uint8_t)state;
    if (moved && state == INCIDENT_ACTING)
        begin_deed(score, row);
    struct deed *deed = present_deed(score);
    if (deed->command != 0 && row->verdict != VERDICT_NONE && row->verdict != deed->verdict) {
        deed->verdict = row->verdict;
        deed->judged_at = at;
    }
    if (moved && state == INCIDENT_ESCALATED) {
        struct deed *people = add_deed(score);
        people->command = UINT64_MAX;
        people->remedy = REMEDY_PAGE_HUMAN;
        people->verdict = row->verdict;
        people->acted_at = people->judged_at = at;
    }
    return true;
}

static bool take_block(void *context, const struct block_row *row)
{
    struct score *score = context;
    const struct incident *incident = score->told_of;
    instant first_at = from_start(score, row->first_at), last_at = from_start(score, row->last_at);
    score->result->sums.blocks[row->reason] += row->count;
    tale_blocked(score->result->tale,
                 &(struct told_step){.incident = incident->id,
                                     .at = first_at,
                                     .node = score->live->names[incident->node],
                                     .finding = incident->detector_name,
                                     .number = incident->node},
                 (enum block_reason)row->reason);
    /* What it waits for belongs to what is being tried: from one command to the next. */
    struct deed *deeds = score->deeds.items;
    for (uint32_t i = score->first_deed; i < score->deeds.count; i++) {
        instant from_at = i == score->first_deed ? deeds[i].opened_at : deeds[i].acted_at;
        instant until_at = i + 1 < score->deeds.count ? deeds[i + 1].acted_at : INSTANT_NEVER;
        if (deeds[i].command != UINT64_MAX && first_at < until_at && last_at >= from_at)
            deeds[i].blocks |= 1u << row->reason;
    }
    return true;
}

static bool read_stories(struct score *score)
{
    struct sim_result *sums = &score->result->sums;
    struct incident *incidents = score->incidents.items;
    for (uint32_t i = 0; i < score->incidents.count; i++) {
        score->told_of = &incidents[i];
        score->state = INCIDENT_STATE_COUNT;
        score->first_deed = score->deeds.count;
        if (store_timeline(score->store, incidents[i].id, take_line, score) < 0 ||
            store_blocks(score->store, incidents[i].id, 0, take_block, score) < 0)
            return false;
        sums->resolved += incidents[i].state == INCIDENT_RESOLVED;
        sums->escalated += incidents[i].state == INCIDENT_ESCALATED;
    }
    sums->incidents = score->incidents.count;
    sums->open = sums->incidents - sums->resolved - sums->escalated;
    const struct deed *deeds = score->deeds.items;
    for (uint32_t i = 0; i < score->deeds.count; i++)
        if (deeds[i].command != 0 && deeds[i].command != UINT64_MAX && deeds[i].verdict != VERDICT_NONE)
            sums->verdicts[deeds[i].verdict]++;
    return true;
}

/* --- how users fared ------------------------------------------------------------------------------------ */

static bool read_users(struct score *score)
{
    const struct struck *struck = score->struck.items;
    instant first_fault_at = score->struck.count > 0 ? struck[0].at : INSTANT_NEVER;
    for (uint32_t i = 0; i < score->numbers; i++) {
        uint32_t node = score->node_of[i];
        if (node == NO_INDEX)
            continue;
        if (!live_users_read(score->store, i, score->live->begun_at, first_fault_at, &score->looks[node]))
            return false;
        score->result->sums.reports += score->looks[node].reports;
    }
    return true;
}

static void sum_availability(struct score *score)
{
    struct availability sum = {0};
    for (uint32_t node = 0; node < score->live->scenario->node_count; node++)
        live_users_sum(&score->looks[node], score->live->load[node], &sum);
    score->result->sums.availability_requests = sum.asked > 0 ? sum.served / sum.asked : 1;
    score->result->sums.availability_time = sum.lived_ns > 0 ? sum.well_ns / sum.lived_ns : 1;
}

/* --- injections ----------------------------------------------------------------------------------------- */

static int by_length(const void *x, const void *y)
{
    duration a = *(const duration *)x, b = *(const duration *)y;
    return (a > b) - (a < b);
}

/* The smallest that so many of a hundred do not exceed; -1 of none. Sorts. */
static duration percentile(duration *list, uint32_t count, uint32_t percent)
{
    if (count == 0)
        return -1;
    qsort(list, count, sizeof *list, by_length);
    return list[(count * (uint64_t)percent + 99) / 100 - 1];
}

static bool is_reached(const struct score *score, uint32_t from, uint32_t node)
{
    uint32_t found[EXPECT_REACH_MAX], count = expect_reach(score->live->nodes, from, found);
    for (uint32_t i = 0; i < count; i++)
        if (found[i] == node)
            return true;
    return false;
}

/* The first incident that the injection can have caused. */
static duration detected_after(const struct score *score, const struct struck *struck, instant over_at)
{
    const struct incident *incidents = score->incidents.items;
    for (uint32_t i = 0; i < score->incidents.count; i++) {
        instant at = incidents[i].opened_at;
        bool in_time = at >= struck->at && (at < over_at || at - struck->at < seen_within_ns);
        if (in_time && is_reached(score, incidents[i].node, struck->node))
            return at - struck->at;
    }
    return -1;
}

/* When the script ended it; the struck of a strike is found by its node and first fault, in order. */
static instant over_at_of(const struct score *score, const struct struck *struck)
{
    instant over_at = score->live->healed_at;
    for (uint32_t i = 0; i < score->live->strike_count; i++) {
        const struct strike *strike = &score->live->strikes[i];
        if (strike->node == struck->node && strike->over_at >= struck->at && strike->over_at < over_at)
            over_at = strike->over_at;
    }
    return over_at;
}

static void sum_injections(struct score *score)
{
    struct sim_result *sums = &score->result->sums;
    const struct struck *struck = score->struck.items;
    duration *detect = calloc(2 * (size_t)score->struck.count + 1, sizeof *detect);
    CHECK(detect);
    duration *recover = detect + score->struck.count;
    sums->faults = score->struck.count;
    for (uint32_t i = 0; i < score->struck.count; i++) {
        duration seen_ns = detected_after(score, &struck[i], over_at_of(score, &struck[i]));
        duration well_ns = live_users_recovered(&score->looks[struck[i].node], struck[i].at);
        if (seen_ns >= 0)
            detect[sums->detected++] = seen_ns;
        if (well_ns >= 0)
            recover[sums->recovered++] = well_ns;
    }
    sums->detect_p50_ns = percentile(detect, sums->detected, 50);
    sums->detect_p95_ns = percentile(detect, sums->detected, 95);
    sums->recover_p50_ns = percentile(recover, sums->recovered, 50);
    sums->recover_p95_ns = percentile(recover, sums->recovered, 95);
    free(detect);
}

static void sum_commands(struct score *score)
{
    struct sim_result *sums = &score->result->sums;
    const struct command *commands = score->commands.items;
    const struct span *spans = score->spans.items;
    uint32_t lies = 1u << FAULT_SENSOR_FAULT | 1u << FAULT_CLOCK_SKEW | 1u << FAULT_NODE_PARTITION;
    sums->commands = score->commands.count;
    for (uint32_t i = 0; i < score->commands.count; i++) {
        bool has_fault = false;
        for (uint32_t k = 0; k < score->spans.count && !has_fault; k++)
            has_fault = spans[k].node == commands[i].node && !(lies & 1u << spans[k].kind) &&
                        spans[k].from_at <= commands[i].ordered_at &&
                        commands[i].ordered_at <= spans[k].until_at;
        sums->wrong += !has_fault;
        sums->needless +=
            !has_fault && !live_users_were_ill(&score->looks[commands[i].node], commands[i].ordered_at);
    }
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static bool read_all(struct score *score)
{
    const struct incident_filter all = {.node = -1, .state = -1};
    if (store_nodes(score->store, take_node, score) < 0 ||
        store_incidents(score->store, &all, take_incident, score) < 0 ||
        store_commands(score->store, 0, -1, INSTANT_NONE, take_command, score) < 0 ||
        store_faults(score->store, 0, false, 0, take_fault, score) < 0)
        return false;
    sort(&score->incidents, sizeof(struct incident), by_opening);
    sort(&score->struck, sizeof(struct struck), by_strike);
    return read_users(score) && read_stories(score);
}

static void judge(struct score *score)
{
    struct live_result *result = score->result;
    char *bytes = NULL, *rest;
    size_t size = 0;
    const struct scenario *scenario = score->live->scenario;
    const struct expect_facts facts = {.scenario = scenario,
                                       .fleet = score->live->nodes,
                                       .names = score->live->names,
                                       .touched = score->touched,
                                       .deeds = score->deeds.items,
                                       .struck = score->struck.items,
                                       .deed_count = score->deeds.count,
                                       .struck_count = score->struck.count};
    FILE *out = open_memstream(&bytes, &size);
    CHECK(out);
    expect_print(&facts, out);
    fclose(out);
    result->sums.expectations = scenario->expect_count;
    result->expected = calloc((size_t)scenario->expect_count + 1, sizeof *result->expected);
    CHECK(result->expected);
    uint32_t count = 0;
    for (char *line = strtok_r(bytes, "\n", &rest); line && count < scenario->expect_count;
         line = strtok_r(NULL, "\n", &rest)) {
        result->expected[count] = strdup(line);
        CHECK(result->expected[count++]);
    }
    for (uint32_t i = 0; i < scenario->expect_count; i++)
        result->sums.met += expect_is_met(&facts, i);
    result->story = tale_json(result->tale, &facts);
    free(bytes);
}

bool live_result(struct live *live, struct live_result *result)
{
    struct score score = {.live = live, .result = result};
    char error[512] = "";
    uint32_t nodes = live->scenario->node_count;
    *result = (struct live_result){.tale = tale_new(), .took_s = duration_seconds(live->ended_at)};
    score.looks = calloc(nodes, sizeof *score.looks);
    score.touched = calloc(nodes, sizeof *score.touched);
    CHECK(score.looks && score.touched);
    bool good = store_open(&score.store, live->options.database, error, sizeof error) == 0;
    if (good && !read_all(&score)) {
        snprintf(error, sizeof error, "%s", store_problem(score.store));
        good = false;
    }
    if (good) {
        sum_injections(&score);
        sum_commands(&score);
        sum_availability(&score);
        judge(&score);
    } else {
        snprintf(live->trouble, sizeof live->trouble, "%s cannot be read: %s", live->options.database, error);
        live_result_free(result);
    }
    store_close(&score.store);
    for (uint32_t i = 0; i < nodes; i++)
        live_users_fini(&score.looks[i]);
    struct list *lists[] = {&score.incidents, &score.commands, &score.spans, &score.deeds, &score.struck};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        free(lists[i]->items);
    free(score.looks);
    free(score.touched);
    free(score.node_of);
    return good;
}

void live_result_free(struct live_result *result)
{
    for (uint32_t i = 0; result->expected && result->expected[i]; i++)
        free(result->expected[i]);
    free(result->expected);
    json_decref(result->story);
    tale_free(&result->tale);
    *result = (struct live_result){0};
}
