#include "scenario/lab.h"

#include "base/check.h"
#include "policy/fields.h"
#include "scenario/scenario_reader.h"

#include <stdlib.h>
#include <string.h>

static const duration interval_default_ns = SECOND;
/* What the node agent can do. */
static const duration interval_least_ns = 50 * MILLISECOND;
static const duration interval_most_ns = MINUTE;

#define X(symbol, map_name, ...) [LAB_MAP_##symbol] = KEYS_OF(map_name, __VA_ARGS__),
const struct keys lab_keys[LAB_MAP_COUNT] = {LAB_MAP_TABLE(X)};
#undef X

/* The lab under construction, with where its parts stand in the file. */
struct reader {
    struct lab *lab;
    struct complaints *complaints;
    const struct yaml_node *nodes[LAB_NODES_MAX];
    const struct yaml_node *calls[LAB_NODES_MAX][CALLS_MAX]; /* as lab_node.calls */
};

void lab_default(struct lab *lab)
{
    static const char *const roles[] = {"web", "api", "db"}; /* each calls the next */
    /* The door is the narrow place, so that too many users are felt there first. */
    static const double capacities_per_s[COUNT_OF(roles)] = {150, 1000, 1000};
    memset(lab, 0, sizeof *lab);
    for (uint32_t i = 0; i < COUNT_OF(roles); i++) {
        struct lab_node *node = &lab->nodes[lab->node_count++];
        struct text name = text_over(node->name, sizeof node->name);
        text_addf(&name, "%s-1", roles[i]);
        text_copy(node->role, sizeof node->role, roles[i]);
        node->interval_ns = interval_default_ns;
        node->capacity_per_s = capacities_per_s[i];
        if (i + 1 < COUNT_OF(roles)) {
            node->calls[node->calls_count++] = i + 1;
        }
    }
}

int lab_find(const struct lab *lab, const char *name)
{
    for (uint32_t i = 0; i < lab->node_count; i++) {
        if (strcmp(lab->nodes[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* --- programs ------------------------------------------------------------------------------------------- */

static const char *const placeholders[] = {"port", "data", "scratch", "name"};

/* The place of the byte `at` of a scalar's text, or of the scalar if that cannot be said. */
static struct place place_within(const struct yaml_node *node, const char *at)
{
    struct place place = node->text_at;
    if (place.line == 0) {
        return node->at;
    }
    place.column += (int)(at - node->text);
    return place;
}

/* Complains about `{word}`s that nobody fills in. Other braces belong to the program. Sets *has_port. */
static void check_placeholders(const struct yaml_node *node, bool *has_port, struct complaints *complaints)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    for (const char *at = strchr(node->text, '{'); at != NULL; at = strchr(at + 1, '{')) {
        char word[32];
        size_t length = strspn(at + 1, letters);
        if (length == 0 || length >= sizeof word || at[1 + length] != '}') {
            continue;
        }
        memcpy(word, at + 1, length);
        word[length] = '\0';
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(placeholders); i++) {
            known = known || strcmp(word, placeholders[i]) == 0;
        }
        bool is_shell = at > node->text && at[-1] == '$'; /* ${home} is the shell's */
        if (!known && !is_shell) {
            complain_unknown(complaints, place_within(node, at), "placeholder", word, placeholders,
                             COUNT_OF(placeholders));
        }
        *has_port = *has_port || strcmp(word, "port") == 0;
    }
}

static void read_exec(const struct yaml_node *node, char out[LAB_EXEC_SIZE], struct complaints *complaints)
{
    const char *exec = "";
    if (!field_text(node, &exec, complaints)) {
        return;
    }
    if (!text_copy(out, LAB_EXEC_SIZE, exec)) {
        complain(complaints, node->at, "exec is longer than %d bytes; put the command into a script",
                 LAB_EXEC_SIZE - 1);
        return;
    }
    bool has_port = false;
    check_placeholders(node, &has_port, complaints);
    if (!has_port) {
        complain(complaints, node->at, "exec must tell the program its port: use {port} where it belongs");
    }
}

/* `http:/PATH`; the path becomes part of a request line. */
static bool is_http_probe(const char *probe)
{
    bool is_http = strncmp(probe, "http:/", 6) == 0 && strncmp(probe, "http://", 7) != 0;
    for (const char *at = probe; *at != '\0'; at++) {
        is_http = is_http && (unsigned char)*at > ' ' && (unsigned char)*at < 0x7F;
    }
    return is_http;
}

static void read_probe(const struct yaml_node *node, char out[LAB_PROBE_SIZE], struct complaints *complaints)
{
    const char *probe = "";
    if (!field_text(node, &probe, complaints)) {
        return;
    }
    bool is_tcp =
        strcmp(probe, "tcp") == 0 || (strncmp(probe, "tcp:", 4) == 0 && strchr(probe, '\n') == NULL);
    if (!is_tcp && !is_http_probe(probe)) {
        char shown[SHOWN_SIZE];
        complain(complaints, node->at, "probe: \"%s\" is none of http:/PATH, tcp, tcp:TEXT",
                 complaint_shown(shown, probe));
    } else if (!text_copy(out, LAB_PROBE_SIZE, probe)) {
        complain(complaints, node->at, "probe is longer than %d bytes", LAB_PROBE_SIZE - 1);
    }
}

static void read_program(const struct yaml_node *map, struct lab_node *node, struct complaints *complaints)
{
    const struct yaml_node *exec = yaml_tree_entry(map, "exec"), *probe = yaml_tree_entry(map, "probe");
    if (exec != NULL) {
        read_exec(exec, node->exec, complaints);
    }
    if (probe != NULL) {
        read_probe(probe, node->probe, complaints);
    }
    if (exec != NULL && probe == NULL) {
        complain(complaints, exec->key_at,
                 "exec needs a probe: \"probe: http:/PATH\", \"probe: tcp\" or \"probe: tcp:TEXT\"");
    } else if (exec == NULL && probe != NULL) {
        complain(complaints, probe->key_at, "probe without exec: the built-in service is probed anyway");
    }
}

/* --- nodes ---------------------------------------------------------------------------------------------- */

static void read_interval(const struct yaml_node *node, duration *out, struct complaints *complaints)
{
    if (field_duration(node, interval_least_ns, out, complaints) && *out > interval_most_ns) {
        complain(complaints, node->at, "interval: %s is too long; at most 1m", node->text);
    }
}

/* What a byte count of the file may be: a lab fits a laptop. */
static const double bytes_least = 16.0 * 1024 * 1024, bytes_most = 1024.0 * 1024 * 1024 * 1024;

static void read_bytes(const struct yaml_node *node, const char *of, uint64_t *out,
                       struct complaints *complaints)
{
    double bytes = (double)*out;
    scenario_read_amount(node, (struct scale_of){UNIT_BYTES, bytes_least, bytes_most, of}, &bytes,
                         complaints);
    *out = (uint64_t)bytes;
}

static void read_size(const struct yaml_node *map, struct lab_node *node, struct complaints *complaints)
{
    scenario_read_amount(yaml_tree_entry(map, "capacity"),
                         (struct scale_of){UNIT_PER_SECOND, 1, 1e6, "one node's capacity"},
                         &node->capacity_per_s, complaints);
    read_bytes(yaml_tree_entry(map, "quota"), "one node's disk", &node->quota_bytes, complaints);
    read_bytes(yaml_tree_entry(map, "memory"), "one node's memory", &node->memory_bytes, complaints);
}

static void read_node(struct reader *reader, const struct yaml_node *map)
{
    struct complaints *complaints = reader->complaints;
    if (reader->lab->node_count == LAB_NODES_MAX) {
        complain(complaints, map->at, "more than %d nodes", LAB_NODES_MAX);
        return;
    }
    uint32_t number = reader->lab->node_count;
    struct lab_node *node = &reader->lab->nodes[number];
    if (!field_map(map, &lab_keys[LAB_MAP_NODE], complaints)) {
        return;
    }
    char name[NODE_NAME_SIZE] = "";
    const struct yaml_node *name_entry = yaml_tree_entry(map, "name");
    if (name_entry == NULL) {
        complain(complaints, map->at, "a node needs a name, as in \"name: web-1\"");
    } else if (field_name(name_entry, name, sizeof name, complaints) && lab_find(reader->lab, name) >= 0) {
        complain(complaints, name_entry->at, "a second node \"%s\"; the first is in line %d", name,
                 reader->nodes[lab_find(reader->lab, name)]->at.line);
    }
    text_copy(node->name, sizeof node->name, name);
    reader->nodes[number] = map;
    reader->lab->node_count++;
    node->interval_ns = interval_default_ns;
    field_name(yaml_tree_entry(map, "role"), node->role, sizeof node->role, complaints);
    field_name(yaml_tree_entry(map, "zone"), node->zone, sizeof node->zone, complaints);
    read_interval(yaml_tree_entry(map, "interval"), &node->interval_ns, complaints);
    read_program(map, node, complaints);
    read_size(map, node, complaints);
}

/* --- who calls whom ------------------------------------------------------------------------------------- */

static void complain_no_node(struct reader *reader, const struct yaml_node *call)
{
    const char *names[LAB_NODES_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < reader->lab->node_count; i++) {
        if (reader->lab->nodes[i].name[0] != '\0') {
            names[count++] = reader->lab->nodes[i].name;
        }
    }
    complain_unknown(reader->complaints, call->at, "node", call->text, names, count);
}

static void read_call(struct reader *reader, uint32_t number, const struct yaml_node *call)
{
    struct lab_node *node = &reader->lab->nodes[number];
    const char *name = NULL;
    if (!field_text(call, &name, reader->complaints)) {
        return;
    }
    int callee = lab_find(reader->lab, name);
    if (callee < 0) {
        complain_no_node(reader, call);
        return;
    }
    if ((uint32_t)callee == number) {
        complain(reader->complaints, call->at, "%s calls itself", node->name);
        return;
    }
    for (uint32_t i = 0; i < node->calls_count; i++) {
        if (node->calls[i] == (uint32_t)callee) {
            complain(reader->complaints, call->at, "%s is called twice; once is enough", name);
            return;
        }
    }
    if (node->calls_count == CALLS_MAX) {
        complain(reader->complaints, call->at, "more than %d calls of one node", CALLS_MAX);
        return;
    }
    reader->calls[number][node->calls_count] = call;
    node->calls[node->calls_count++] = (uint32_t)callee;
}

static void read_calls(struct reader *reader)
{
    for (uint32_t i = 0; i < reader->lab->node_count; i++) {
        const struct yaml_node *calls = yaml_tree_entry(reader->nodes[i], "calls");
        if (calls == NULL || !field_list(calls, reader->complaints)) {
            continue;
        }
        for (const struct yaml_node *call = calls->first; call != NULL; call = call->next) {
            read_call(reader, i, call);
        }
    }
}

enum colour { WHITE, ON_PATH, DONE };

/* Follows the calls from `number`, at most LAB_NODES_MAX deep; a call that leads back to the path closes a
 * circle. */
static void note_circles_from(struct reader *reader, uint32_t number, enum colour colours[LAB_NODES_MAX])
{
    const struct lab_node *node = &reader->lab->nodes[number];
    colours[number] = ON_PATH;
    for (uint32_t i = 0; i < node->calls_count; i++) {
        uint32_t callee = node->calls[i];
        if (colours[callee] == ON_PATH) {
            complain_note(
                reader->complaints, reader->calls[number][i]->at,
                "a circle of calls: %s is called by what it calls; who made whom ill cannot be told there",
                reader->lab->nodes[callee].name);
        } else if (colours[callee] == WHITE) {
            note_circles_from(reader, callee, colours);
        }
    }
    colours[number] = DONE;
}

static void note_circles(struct reader *reader)
{
    enum colour colours[LAB_NODES_MAX] = {WHITE};
    for (uint32_t i = 0; i < reader->lab->node_count; i++) {
        if (colours[i] == WHITE) {
            note_circles_from(reader, i, colours);
        }
    }
}

/* --- the file ------------------------------------------------------------------------------------------- */

static void read_root(struct reader *reader, const struct yaml_node *root)
{
    struct complaints *complaints = reader->complaints;
    if (!field_map(root, &lab_keys[LAB_MAP_LAB], complaints)) {
        return;
    }
    const struct yaml_node *nodes = yaml_tree_entry(root, "nodes");
    field_version(root, complaints);
    if (nodes == NULL) {
        complain(complaints, root->at, "a lab needs nodes: \"nodes: [{name: web-1}]\"");
        return;
    }
    if (!field_list(nodes, complaints)) {
        return;
    }
    if (nodes->count == 0) {
        complain(complaints, nodes->at, "a lab needs at least one node");
    }
    for (const struct yaml_node *node = nodes->first; node != NULL; node = node->next) {
        read_node(reader, node);
    }
    read_calls(reader);
    note_circles(reader);
}

int lab_read(const char *bytes, size_t length, struct lab *lab, struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    struct yaml_tree *tree;
    int result = yaml_tree_read(&tree, bytes, length, complaints);
    if (result < 0) {
        return result;
    }
    struct lab read;
    memset(&read, 0, sizeof read);
    struct reader reader = {.lab = &read, .complaints = complaints};
    if (result == 0 && yaml_tree_root(tree) == NULL) {
        complain(complaints, (struct place){1, 1}, "the file is empty; begin with \"version: 1\"");
    } else if (result == 0) {
        read_root(&reader, yaml_tree_root(tree));
    }
    yaml_tree_free(&tree);
    complaints_sort(complaints);
    if (complaints->errors > 0) {
        return LAB_REFUSED;
    }
    *lab = read;
    return 0;
}

int lab_read_file(const char *path, struct lab *lab, struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    char *bytes;
    size_t length;
    int result = yaml_tree_load(path, &bytes, &length);
    if (result == 0) {
        result = lab_read(bytes, length, lab, complaints);
    }
    free(bytes);
    return result;
}
