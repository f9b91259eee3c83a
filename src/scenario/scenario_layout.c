#include "scenario/scenario.h"

#include "base/check.h"

#include <string.h>

#define DAY (24 * HOUR)

#define X(symbol, map_name, ...) [SCENARIO_MAP_##symbol] = KEYS_OF(map_name, __VA_ARGS__),
const struct keys scenario_keys[SCENARIO_MAP_COUNT] = {SCENARIO_MAP_TABLE(X)};
#undef X

#define X(symbol, name) [ACCIDENT_##symbol] = (name),
static const char *const accident_words[ACCIDENT_COUNT] = {ACCIDENT_TABLE(X)};
#undef X

const char *accident_name(enum accident accident)
{
    CHECK((unsigned)accident < ACCIDENT_COUNT);
    return accident_words[accident];
}

int accident_of(const char *name)
{
    for (int i = 0; i < ACCIDENT_COUNT; i++) {
        if (strcmp(accident_words[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

/* A quiet laptop: a run of two minutes, a third of a wave up and down, and messages that take a few
 * milliseconds. */
void scenario_init(struct scenario *scenario)
{
    memset(scenario, 0, sizeof *scenario);
    scenario->seed = 1;
    scenario->length_ns = 2 * MINUTE;
    scenario->heal_ns = MINUTE;
    scenario->world = (struct world_config){.retries = 1,
                                            .seed = scenario->seed,
                                            .wave_ratio = 0.3,
                                            .wave_ns = scenario->length_ns,
                                            .noise_ratio = 1,
                                            .timeout_ns = SECOND,
                                            .warm_ns = 20 * SECOND};
    scenario->network = (struct scenario_network){.least_ns = MILLISECOND, .tail_ns = MILLISECOND};
}

/* --- groups and their nodes ----------------------------------------------------------------------------- */

static const struct scenario_group *group_and_number(const struct scenario *scenario, uint32_t node,
                                                     uint32_t *number)
{
    CHECK(node < scenario->node_count);
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        if (node < scenario->groups[i].count) {
            *number = node;
            return &scenario->groups[i];
        }
        node -= scenario->groups[i].count;
    }
    CHECK(false); /* node_count is the sum over the groups */
    return NULL;
}

static const char *zone_of(const struct scenario_group *group, uint32_t number)
{
    return group->zones_count > 0 ? group->zones[number % group->zones_count] : "";
}

const struct scenario_group *scenario_group_of(const struct scenario *scenario, uint32_t node)
{
    uint32_t number;
    return group_and_number(scenario, node, &number);
}

const char *scenario_zone_of(const struct scenario *scenario, uint32_t node)
{
    uint32_t number;
    const struct scenario_group *group = group_and_number(scenario, node, &number);
    return zone_of(group, number);
}

/* ROLE-NUMBER, counted from 1. */
static void write_name(char name[NODE_NAME_SIZE], const struct scenario_group *group, uint32_t number)
{
    char digits[16];
    size_t count = 0, length = strlen(group->role);
    for (uint32_t rest = number + 1; rest > 0; rest /= 10) {
        digits[count++] = (char)('0' + rest % 10);
    }
    CHECK(length + 1 + count < NODE_NAME_SIZE);
    memset(name, 0, NODE_NAME_SIZE);
    memcpy(name, group->role, length);
    name[length++] = '-';
    while (count > 0) {
        name[length++] = digits[--count];
    }
}

/* --- targets -------------------------------------------------------------------------------------------- */

static bool pattern_means(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);
    if (length > 0 && pattern[length - 1] == '*') {
        return strncmp(pattern, name, length - 1) == 0;
    }
    return strcmp(pattern, name) == 0;
}

bool scenario_target_means(const struct scenario_target *target, const char *name, const char *role,
                           const char *zone)
{
    if (target->role[0] != '\0') {
        return strcmp(target->role, role) == 0;
    }
    if (target->zone[0] != '\0') {
        return strcmp(target->zone, zone) == 0;
    }
    return pattern_means(target->pattern, name);
}

/* False for a group none of whose names can fit the pattern, so that it need not be walked through. */
static bool may_mean_group(const struct scenario_target *target, const struct scenario_group *group)
{
    size_t pattern_length = strcspn(target->pattern, "*"), role_length = strlen(group->role);
    return strncmp(target->pattern, group->role,
                   pattern_length < role_length ? pattern_length : role_length) == 0;
}

/* splitmix64 (Steele, Lea and Flood; public domain). */
static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

uint32_t scenario_targets(const struct scenario *scenario, const struct scenario_target *target,
                          uint64_t seed, uint32_t *nodes)
{
    uint32_t count = 0, node = 0;
    char name[NODE_NAME_SIZE];
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        const struct scenario_group *group = &scenario->groups[i];
        if (!may_mean_group(target, group)) {
            node += group->count;
            continue;
        }
        for (uint32_t number = 0; number < group->count; number++, node++) {
            write_name(name, group, number);
            if (scenario_target_means(target, name, group->role, zone_of(group, number))) {
                nodes[count++] = node;
            }
        }
    }
    if (target->some == 0) {
        return count;
    }
    /* The first steps of a shuffle; `1 of` what `2 of` draws from is the first of the two. */
    uint32_t some = target->some < count ? target->some : count;
    for (uint32_t i = 0; i < some; i++) {
        uint32_t other = i + (uint32_t)(draw(&seed) % (count - i)), node_there = nodes[other];
        nodes[other] = nodes[i];
        nodes[i] = node_there;
    }
    return some;
}

duration scenario_spread(duration spread_ns, uint32_t number, uint32_t count)
{
    CHECK(number < count);
    duration whole = spread_ns / count, rest = spread_ns % count;
    return whole * number + rest * number / count;
}

/* --- the layout ----------------------------------------------------------------------------------------- */

/* What the layout knows of one role: where its nodes begin, and whose turn it is to be called. */
struct callee {
    uint32_t first, count;
    uint64_t next;
};

static uint32_t group_of_role(const struct scenario *scenario, const char *role)
{
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        if (strcmp(scenario->groups[i].role, role) == 0) {
            return i;
        }
    }
    CHECK(false); /* the reader lets no call go nowhere */
    return 0;
}

/* Callers take their callees in turn from a ring, each as many as fit, so that no callee has two callers more
 * than another; a caller never takes one twice, since it takes at most all of them. */
static void lay_out_calls(const struct scenario *scenario, const struct scenario_group *group,
                          struct callee *callees, struct world_node *node)
{
    for (uint32_t i = 0; i < group->calls_count; i++) {
        struct callee *callee = &callees[group_of_role(scenario, group->calls[i])];
        uint32_t share = CALLS_MAX / group->calls_count;
        share = share < callee->count ? share : callee->count;
        for (uint32_t k = 0; k < share; k++) {
            node->calls[node->calls_count++] = callee->first + (uint32_t)(callee->next++ % callee->count);
        }
    }
}

/* Zones by the order in which the file names them, from 1; 0: none. */
static uint16_t zone_number(const struct scenario *scenario, const char *zone)
{
    uint16_t number = 1;
    if (zone[0] == '\0') {
        return 0;
    }
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        for (uint32_t k = 0; k < scenario->groups[i].zones_count; k++, number++) {
            if (strcmp(scenario->groups[i].zones[k], zone) == 0) {
                return number;
            }
        }
    }
    CHECK(false); /* it is a zone of some group */
    return 0;
}

void scenario_lay_out(const struct scenario *scenario, struct world_node *nodes,
                      char (*names)[NODE_NAME_SIZE])
{
    struct callee callees[SCENARIO_GROUPS_MAX] = {0};
    for (uint32_t i = 0, first = 0; i < scenario->group_count; i++) {
        callees[i] = (struct callee){.first = first, .count = scenario->groups[i].count};
        first += scenario->groups[i].count;
    }
    uint32_t node = 0;
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        const struct scenario_group *group = &scenario->groups[i];
        for (uint32_t number = 0; number < group->count; number++, node++) {
            nodes[node] = group->node;
            nodes[node].calls_count = 0;
            memset(nodes[node].calls, 0, sizeof nodes[node].calls);
            nodes[node].role = (uint16_t)i;
            nodes[node].zone = zone_number(scenario, zone_of(group, number));
            write_name(names[node], group, number);
            lay_out_calls(scenario, group, callees, &nodes[node]);
        }
    }
    CHECK(node == scenario->node_count);
}
