#include "base/check.h"
#include "policy/fields.h"
#include "policy/target.h"
#include "scenario/scenario_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what is there -------------------------------------------------------------------------------------- */

/* How many nodes a target means, `some` left out of account. */
static uint32_t count_meant(const struct scenario *scenario, const struct scenario_target *target)
{
    struct scenario_target all = *target;
    all.some = 0;
    uint32_t *nodes = calloc(scenario->node_count, sizeof *nodes);
    CHECK(nodes != NULL);
    uint32_t count = scenario_targets(scenario, &all, 0, nodes);
    free(nodes);
    return count;
}

static void complain_no_role(struct scenario_reader *reader, const struct yaml_node *node, const char *role)
{
    const char *roles[SCENARIO_GROUPS_MAX];
    for (uint32_t i = 0; i < reader->scenario->group_count; i++) {
        roles[i] = reader->scenario->groups[i].role;
    }
    complain_unknown(reader->complaints, node->at, "role", role, roles, reader->scenario->group_count);
}

static void complain_no_zone(struct scenario_reader *reader, const struct yaml_node *node, const char *zone)
{
    const char *zones[SCENARIO_GROUPS_MAX * SCENARIO_ZONES_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < reader->scenario->group_count; i++) {
        const struct scenario_group *group = &reader->scenario->groups[i];
        for (uint32_t k = 0; k < group->zones_count; k++) {
            bool known = false;
            for (size_t n = 0; n < count; n++) {
                known = known || strcmp(zones[n], group->zones[k]) == 0;
            }
            if (!known) {
                zones[count++] = group->zones[k];
            }
        }
    }
    for (size_t n = 0; n < count; n++) {
        if (strcmp(zones[n], zone) == 0) {
            complain(reader->complaints, node->at,
                     "no node is in zone \"%s\": its groups have fewer nodes than zones", zone);
            return;
        }
    }
    complain_unknown(reader->complaints, node->at, "zone", zone, zones, count);
}

/* A name that nobody bears: the role's name alone, a number too high, or a word misspelt. */
static void complain_no_node(struct scenario_reader *reader, const struct yaml_node *node,
                             const char *pattern)
{
    const struct scenario *scenario = reader->scenario;
    char names[SCENARIO_GROUPS_MAX][NODE_NAME_SIZE], shown[SHOWN_SIZE];
    const char *words[SCENARIO_GROUPS_MAX];
    complaint_shown(shown, pattern);
    const char *number = strrchr(pattern, '-');
    size_t role_length = number != NULL ? (size_t)(number - pattern) : 0;
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        const struct scenario_group *group = &scenario->groups[i];
        if (strcmp(pattern, group->role) == 0) {
            complain(reader->complaints, node->at, "\"%s\" is a role, not a node; did you mean role:%s?",
                     shown, group->role);
            return;
        }
        if (role_length > 0 && strlen(group->role) == role_length &&
            strncmp(pattern, group->role, role_length) == 0) {
            complain(reader->complaints, node->at, "no node \"%s\": the nodes of role %s are %s-1 to %s-%u",
                     shown, group->role, group->role, group->role, group->count);
            return;
        }
        struct text text = text_over(names[i], sizeof names[i]);
        text_addf(&text, "%s-%.*s", group->role, number != NULL ? (int)strcspn(number + 1, "*") : 1,
                  number != NULL ? number + 1 : "1"); /* what would have been right with this role */
        words[i] = names[i];
    }
    if (pattern[strlen(pattern) - 1] == '*') {
        complain(reader->complaints, node->at, "no node's name begins like \"%s\"", shown);
        return;
    }
    char role[NODE_PATTERN_SIZE];
    bool numbered =
        role_length > 0 && number[1] != '\0' && number[1 + strspn(number + 1, "0123456789")] == '\0';
    if (numbered && text_nearest(pattern, words, scenario->group_count) == NULL) {
        snprintf(role, sizeof role, "%.*s", (int)role_length, pattern);
        complain_no_role(reader, node, role);
        return;
    }
    complain_unknown(reader->complaints, node->at, "node", pattern, words, scenario->group_count);
}

/* --- the words ------------------------------------------------------------------------------------------ */

static bool parse_target(const char *text, struct scenario_target *out)
{
    struct node_target read;
    if (!node_target_parse(text, &read)) {
        return false;
    }
    out->some = read.some;
    return text_copy(out->pattern, sizeof out->pattern, read.pattern) &&
           text_copy(out->role, sizeof out->role, read.role) &&
           text_copy(out->zone, sizeof out->zone, read.zone);
}

/* Complains if the fleet has not what the target names. */
static bool check_target(struct scenario_reader *reader, const struct yaml_node *node,
                         const struct scenario_target *target)
{
    uint32_t count = count_meant(reader->scenario, target);
    if (count == 0 && target->role[0] != '\0') {
        complain_no_role(reader, node, target->role);
    } else if (count == 0 && target->zone[0] != '\0') {
        complain_no_zone(reader, node, target->zone);
    } else if (count == 0) {
        complain_no_node(reader, node, target->pattern);
    } else if (target->some > count) {
        char shown[SHOWN_SIZE];
        complain(reader->complaints, node->at, "%s: there %s only %u", complaint_shown(shown, node->text),
                 count == 1 ? "is" : "are", count);
        return false;
    }
    return count > 0;
}

bool scenario_read_target(struct scenario_reader *reader, const struct yaml_node *node,
                          struct scenario_target *out)
{
    const char *text = "";
    if (node == NULL) {
        return true;
    }
    if (!field_text(node, &text, reader->complaints)) {
        return false;
    }
    struct scenario_target read;
    memset(&read, 0, sizeof read);
    if (!parse_target(text, &read)) {
        char shown[SHOWN_SIZE];
        complain(reader->complaints, node->at,
                 "%s: \"%s\" means no nodes; write web-1, web-*, role:web, zone:a or \"2 of role:web\"",
                 node->key, complaint_shown(shown, text));
        return false;
    }
    if (reader->fleet_reads && !check_target(reader, node, &read)) {
        return false;
    }
    *out = read;
    return true;
}
