/* Restore: how the plane begins, and how it begins anew after a commit that failed. The same code both times.
 *
 *     probe:    control row with epoch + 1 (and a first policy) --(commit)--> rebuild
 *     rebuild:  an empty core <- policy, control, nodes, incidents, past actions, all read from the store
 *
 * The epoch is durable before a command can carry it, and a store that cannot commit the probe is not acted
 * on. */
#include "plane/state.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct core_config core_config = {.node_capacity = PLANE_NODE_CAPACITY,
                                               .incident_capacity = PLANE_INCIDENT_CAPACITY};

bool restore_empty_core(struct plane *plane)
{
    void *memory = calloc(1, core_size(&core_config));
    if (!memory)
        return false;
    free(plane->core_memory);
    plane->core_memory = memory;
    plane->core = core_init(memory, &core_config);
    return true;
}

static bool no_reading(struct plane *plane, char *error, size_t error_size)
{
    char shown[512];
    store_show(plane->database, shown, sizeof shown);
    snprintf(error, error_size, "cannot read %s: %s", shown, store_problem(plane->reader));
    errno = EIO;
    return false;
}

/* --- once, at the start -------------------------------------------------------------------------------- */

static bool add_node(void *context, const struct node_row *row)
{
    struct plane *plane = context;
    /* A number whose row was lost with a failed commit keeps its place under a name that no node can have. */
    while (plane->roster.count < row->number) {
        char name[NODE_NAME_SIZE];
        snprintf(name, sizeof(name), "#%u", plane->roster.count);
        struct node *lost = roster_enrol(&plane->roster, name);
        if (!lost)
            return false;
        lost->gone = true;
        lost->changed = false;
    }
    return roster_restore(&plane->roster, row) != NULL;
}

/* Callees by number, once all names are known. */
static bool add_calls(void *context, const struct node_row *row)
{
    struct plane *plane = context;
    struct node *node = roster_find(&plane->roster, row->name);
    for (uint32_t i = 0; node && i < row->calls_count; i++) {
        const struct node *callee = roster_find(&plane->roster, row->calls[i]);
        if (callee)
            node->calls[node->calls_count++] = callee->number;
    }
    return true;
}

/* The text of a file, NUL-terminated; NULL and errno if it cannot be read or is too long. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    char *text = calloc(1, POLICY_BYTES_MAX + 2);
    CHECK(text);
    size_t length = fread(text, 1, POLICY_BYTES_MAX + 1, file);
    int code = ferror(file) ? EIO : length > POLICY_BYTES_MAX ? EFBIG : strlen(text) != length ? EINVAL : 0;
    fclose(file);
    if (code == 0)
        return text;
    free(text);
    errno = code;
    return NULL;
}

static bool policy_is_good(const char *text, const char *name, char *error, size_t error_size)
{
    static struct complaints complaints; /* large */
    struct policy policy;
    if (policy_read(text, strlen(text), &policy, &complaints) == 0)
        return true;
    struct text out = text_over(error, error_size);
    text_add(&out, "the policy has errors");
    for (uint32_t i = 0; i < complaints.count; i++) {
        if (complaints.list[i].note)
            continue;
        text_add(&out, "\n  ");
        complaint_print(&out, &complaints.list[i], name);
    }
    errno = EINVAL;
    return false;
}

/* --policy, else what the database has, else the default. What is not in the database yet goes along with the
 * probe. */
static bool choose_policy(struct plane *plane, const struct plane_options *options, char *error,
                          size_t error_size)
{
    struct policy_row row = {0};
    char *stored = NULL;
    int rows = store_policy(plane->reader, &row, &stored);
    if (rows < 0)
        return no_reading(plane, error, error_size);
    plane->policy_version = rows ? row.version : 0;
    if (options->policy_path) {
        plane->first_policy = read_file(options->policy_path);
        if (!plane->first_policy) {
            snprintf(error, error_size, "cannot read the policy %s: %s", options->policy_path,
                     strerror(errno));
            free(stored);
            return false;
        }
    } else if (!stored) {
        plane->first_policy = strdup(options->policy_text ? options->policy_text : policy_default_text());
        CHECK(plane->first_policy);
    }
    const char *name = options->policy_path ? options->policy_path : "policy";
    bool good = !plane->first_policy || policy_is_good(plane->first_policy, name, error, error_size);
    if (plane->first_policy && stored && strcmp(plane->first_policy, stored) == 0) {
        free(plane->first_policy);
        plane->first_policy = NULL;
    }
    free(stored);
    return good;
}

bool restore_open(struct plane *plane, const struct plane_options *options, char *error, size_t error_size)
{
    struct control_row control = {.at = INSTANT_NONE};
    int rows = store_control(plane->reader, &control);
    if (rows < 0 || store_nodes(plane->reader, add_node, plane) < 0 ||
        store_nodes(plane->reader, add_calls, plane) < 0)
        return no_reading(plane, error, error_size);
    clock_start(&plane->clock, rows ? control.at : INSTANT_NONE);
    plane->now = clock_now(&plane->clock);
    events_init(&plane->events, (rows ? control.control.epoch + 1 : 1) << 32);
    return choose_policy(plane, options, error, error_size);
}

/* --- the probe ----------------------------------------------------------------------------------------- */

static bool newest_id(void *context, const struct incident *incident)
{
    *(uint64_t *)context = incident->id;
    return true;
}

void restore_probe(struct plane *plane)
{
    struct control_row row;
    struct incident_filter newest = {.node = -1, .state = -1, .limit = 1};
    uint64_t newest_incident = 0;
    plane->probe_at = plane->now + SECOND;
    int rows = store_control(plane->reader, &row);
    if (rows == 0)
        row.control = (struct control){.epoch = 0, .next_incident = 1, .next_command = 1};
    if (rows < 0 || store_incidents(plane->reader, &newest, newest_id, &newest_incident) < 0)
        return;
    commits_forget(&plane->commits);
    row.control.epoch = (plane->epoch > row.control.epoch ? plane->epoch : row.control.epoch) + 1;
    if (row.control.next_incident <= newest_incident)
        row.control.next_incident = newest_incident + 1;
    row.at = plane->now;
    int code = store_put_control(plane->commits.writer, &row);
    struct policy_row policy = {
        .version = plane->policy_version + 1, .at = plane->now, .text = plane->first_policy};
    if (code == 0 && plane->first_policy)
        code = store_put_policy(plane->commits.writer, &policy);
    if (code < 0)
        return;
    plane->epoch = row.control.epoch;
    if (plane->epoch_at_start == 0)
        plane->epoch_at_start = plane->epoch;
    plane->probe_ticket = plane->commits.batch;
    plane->probe_at = INSTANT_NEVER;
    plane_rows_put(plane, true);
}

/* --- the rebuild --------------------------------------------------------------------------------------- */

static bool restore_policy(struct plane *plane)
{
    static struct complaints complaints;
    struct policy policy;
    struct policy_row row;
    char *text = NULL;
    if (store_policy(plane->reader, &row, &text) != 1)
        return false;
    /* One that an older version took and this one refuses: better to watch nothing than to guess. */
    if (policy_read(text, strlen(text), &policy, &complaints) != 0) {
        policy_init(&policy);
        record_log(plane, "CONTROL   the stored policy is not understood any more; nothing is watched until "
                          "a new one is put");
    }
    free(plane->policy_text);
    plane->policy_text = text;
    plane->policy_version = row.version;
    free(plane->first_policy);
    plane->first_policy = NULL;
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = &policy};
    plane_step(plane, &event);
    return true;
}

static bool restore_control(struct plane *plane)
{
    struct control_row row;
    if (store_control(plane->reader, &row) != 1)
        return false;
    struct event event = {.kind = EVENT_RESTORE, .node = NO_INDEX};
    event.of.restore = (struct restore){.kind = RESTORE_CONTROL, .what.control = row.control};
    plane_step(plane, &event);
    return true;
}

/* The nodes that were here until we went are part of the fleet from the start: if they do not come back they
 * are missed like any other. Older ones are known by name only, until they are heard of. */
static void restore_nodes(struct plane *plane)
{
    instant went_at = INSTANT_NONE;
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        instant seen_at = plane->roster.nodes[i]->seen_at;
        went_at = seen_at > went_at ? seen_at : went_at;
    }
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        struct node *node = plane->roster.nodes[i];
        bool was_here = !node->gone && node->seen_at != INSTANT_NONE && went_at - node->seen_at < MINUTE;
        struct event event = {.kind = was_here ? EVENT_HELLO : EVENT_RESTORE, .node = i};
        if (!was_here)
            event.of.restore.kind = RESTORE_NODE;
        roster_hello(node, was_here ? &event.of.hello : &event.of.restore.what.node);
        plane_step(plane, &event);
        node->told = true;
        node->last_health = HEALTH_UNKNOWN;
    }
}

struct found {
    struct incident *incident;
    size_t count, room;
};

static bool keep_incident(void *context, const struct incident *incident)
{
    struct found *found = context;
    if (found->count == found->room) {
        size_t room = found->room ? 2 * found->room : 64;
        struct incident *grown = realloc(found->incident, room * sizeof(*grown));
        if (!grown)
            return false;
        found->incident = grown;
        found->room = room;
    }
    found->incident[found->count++] = *incident;
    return true;
}

static bool keep_block(void *context, const struct block_row *row)
{
    tally_restore(context, row);
    return true;
}

/* The oldest first, as they came: open ones, and closed ones that may still come back. */
static bool restore_incidents(struct plane *plane)
{
    struct found found = {0};
    struct incident_filter filter = {.node = -1,
                                     .state = -1,
                                     .open_or_since = true,
                                     .since = plane->now - core_policy(plane->core)->guards.recurrence_ns,
                                     .limit = PLANE_INCIDENT_CAPACITY};
    bool read = store_incidents(plane->reader, &filter, keep_incident, &found) >= 0;
    tally_init(&plane->tally);
    for (size_t i = found.count; read && i-- > 0;) {
        struct event event = {.kind = EVENT_RESTORE, .node = found.incident[i].node};
        event.of.restore = (struct restore){.kind = RESTORE_INCIDENT, .what.incident = found.incident[i]};
        plane_step(plane, &event);
        read = store_blocks(plane->reader, found.incident[i].id, 0, keep_block, &plane->tally) >= 0;
    }
    free(found.incident);
    return read;
}

static bool restore_target(void *context, const struct target_row *row)
{
    struct plane *plane = context;
    struct event event = {.kind = EVENT_RESTORE, .node = row->node};
    event.of.restore = (struct restore){.kind = RESTORE_TARGET, .what.target = row->target};
    if (row->node < plane->roster.count)
        plane_step(plane, &event);
    return true;
}

/* A command of the past counts for attempts, cooldown and rates; one that is still waited for is offered
 * again. */
static bool restore_command(void *context, const struct command_row *row)
{
    struct plane *plane = context;
    const struct command *command = &row->command;
    if (command->node >= plane->roster.count)
        return true;
    struct event event = {.kind = EVENT_RESTORE, .node = command->node};
    event.of.restore = (struct restore){.kind = RESTORE_ACTION, .what.action = core_restored_action(command)};
    plane_step(plane, &event);
    const struct incident *incident = core_incident(plane->core, command->incident);
    struct order *order = node_order(roster_node(&plane->roster, command->node), command);
    order->took_s = row->took_s;
    text_copy(order->detail, sizeof(order->detail), row->detail);
    order->visible = incident && incident->state == INCIDENT_ACTING && incident->command == command->id;
    record_order_reason(plane, order);
    return true;
}

static bool restore_commands(struct plane *plane)
{
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        free(plane->roster.nodes[i]->orders);
        plane->roster.nodes[i]->orders = NULL;
    }
    /* As far back as any policy may count: a later one may count further than the present one. */
    return store_commands(plane->reader, 0, -1, plane->now - SPAN_MAX_NS, restore_command, plane) >= 0;
}

static bool keep_fault(void *context, const struct fault_row *row)
{
    struct faults *faults = context;
    if (faults->count < FAULTS_MAX)
        faults->row[faults->count++] = *row;
    return true;
}

/* When each node was struck last, and those that are over and of whose removal a node may still tell. */
static bool keep_ended(void *context, const struct fault_row *row)
{
    struct plane *plane = context;
    instant *struck_at = row->node < plane->roster.count ? &roster_node(&plane->roster, row->node)->struck_at
                                                         : &plane->struck_at;
    if (row->asked_at > *struck_at)
        *struck_at = row->asked_at;
    return !fault_awaits_removal(row, plane->now) || keep_fault(&plane->faults, row);
}

static bool newest_fault(void *context, const struct fault_row *row)
{
    *(uint64_t *)context = row->id + 1;
    return true;
}

static bool restore_faults(struct plane *plane)
{
    uint64_t next_id = 1;
    if (store_faults(plane->reader, 0, false, 1, newest_fault, &next_id) < 0)
        return false;
    /* One that was not kept does not keep the next one away. */
    plane->struck_at = INSTANT_NONE;
    for (uint32_t i = 0; i < plane->roster.count; i++)
        roster_node(&plane->roster, i)->struck_at = INSTANT_NONE;
    faults_init(&plane->faults, next_id > plane->faults.next_id ? next_id : plane->faults.next_id);
    return store_faults(plane->reader, 0, true, FAULTS_MAX, keep_fault, &plane->faults) >= 0 &&
           store_faults(plane->reader, 0, false, FAULTS_MAX, keep_ended, plane) >= 0;
}

bool restore_rebuild(struct plane *plane, char *error, size_t error_size)
{
    if (!restore_empty_core(plane)) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    recorder_life(plane->recorder, plane->core);
    gate_discard(plane->gate);
    book_close(&plane->book);
    plane->condition = CONDITION_READY;
    plane->probe_ticket = 0;
    bool read = restore_policy(plane) && restore_control(plane);
    if (read)
        restore_nodes(plane);
    read = read && store_targets(plane->reader, restore_target, plane) >= 0;
    read = read && restore_incidents(plane) && restore_commands(plane) && restore_faults(plane);
    if (!read)
        return no_reading(plane, error, error_size);
    if (plane->condition != CONDITION_READY) {
        snprintf(error, error_size, "%.*s", (int)error_size - 1, plane->trouble);
        return false;
    }
    recorder_restored(plane->recorder, plane->now);
    plane_recorded(plane);
    plane_run_deadlines(plane);
    return true;
}
