#include "audit.h"

#include "base/check.h"
#include "core/incident.h"
#include "core/vocabulary.h"
#include "store/store.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { SAID_MAX = 20 }; /* of each kind; the rest is counted only */

void audit_find(struct audit *audit, enum audit_kind kind, const char *format, ...)
{
    static const char *const words[AUDIT_KINDS] = {"LOST", "DOUBLED", "ILLEGAL", "STUCK"};
    va_list arguments;
    if (++audit->found[kind] > SAID_MAX)
        return;
    va_start(arguments, format);
    fprintf(stderr, "%-8s", words[kind]);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void audit_decisions(struct audit *audit, const struct lab *lab)
{
    char command[3 * LAB_PATH_SIZE], line[256];
    int stem = (int)(strlen(lab->database) - strlen(".db"));
    snprintf(command, sizeof command, "'%s' replay '%.*s.flight' --check 2>&1", lab->homeostat, stem,
             lab->database);
    FILE *out = popen(command, "r");
    if (!out)
        lab_give_up("cannot run %s", command);
    while (fgets(line, sizeof line, out))
        printf("replay     %s", line);
    int status = pclose(out);
    if (status != 0)
        audit_find(audit, AUDIT_ILLEGAL, "%s ends with status %d", command,
                   WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

int audit_status(const struct audit *audit)
{
    for (int kind = 0; kind < AUDIT_KINDS; kind++)
        if (audit->found[kind] > 0)
            return 4 + kind;
    return 0;
}

/* --- the file ------------------------------------------------------------------------------------------- */

void audit_integrity(struct audit *audit, const char *database)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *check = NULL;
    const char *said = "it cannot be opened";
    if (sqlite3_open_v2(database, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW)
        said = (const char *)sqlite3_column_text(check, 0);
    if (!said || strcmp(said, "ok") != 0)
        audit_find(audit, AUDIT_ILLEGAL, "integrity_check of %s: %s", database,
                   said ? said : "out of memory");
    sqlite3_finalize(check);
    sqlite3_close(db);
}

/* --- histories ------------------------------------------------------------------------------------------ */

struct walk {
    struct audit *audit;
    struct store *store;
    uint64_t incident;
    int state; /* where the timeline is; -1: it has not begun */
    instant at;
    unsigned count;
};

static bool walk_line(void *context, const struct timeline_row *row)
{
    struct walk *walk = context;
    int state = incident_state_of(row->state);
    if (row->at < walk->at)
        audit_find(walk->audit, AUDIT_ILLEGAL, "incident %" PRIu64 ": its timeline goes back in time at %s",
                   row->incident, row->text);
    walk->at = row->at;
    if (state < 0)
        return true; /* the end of a command: its word is an outcome */
    bool legal = walk->state < 0
                     ? state == INCIDENT_OPEN
                     : walk->state == state || incident_edge_is_legal((enum incident_state)walk->state,
                                                                      (enum incident_state)state);
    if (!legal)
        audit_find(walk->audit, AUDIT_ILLEGAL, "incident %" PRIu64 ": %s -> %s (%s)", row->incident,
                   walk->state < 0 ? "nothing" : incident_state_name((enum incident_state)walk->state),
                   row->state, row->text);
    walk->state = state;
    return true;
}

struct incidents {
    struct incident *list;
    size_t count;
};

static bool keep_incident(void *context, const struct incident *incident)
{
    struct incidents *incidents = context;
    incidents->list = reallocarray(incidents->list, incidents->count + 1, sizeof *incident);
    CHECK(incidents->list);
    incidents->list[incidents->count++] = *incident;
    return true;
}

static bool check_command(void *context, const struct command_row *row)
{
    struct walk *walk = context;
    if (row->command.outcome == OUTCOME_NONE)
        audit_find(walk->audit, AUDIT_STUCK, "command %" PRIu64 " of incident %" PRIu64 " has not ended",
                   row->command.id, row->command.incident);
    return true;
}

unsigned audit_histories(struct audit *audit, struct store *store)
{
    struct incidents incidents = {0};
    struct incident_filter all = {.node = -1, .state = -1};
    if (store_incidents(store, &all, keep_incident, &incidents) < 0)
        audit_find(audit, AUDIT_ILLEGAL, "the incidents cannot be read: %s", store_problem(store));
    struct walk walk = {.audit = audit, .store = store};
    for (size_t i = 0; i < incidents.count; i++) {
        const struct incident *incident = &incidents.list[i];
        const char *state = incident_state_name(incident->state);
        walk.state = -1;
        walk.at = INSTANT_NONE;
        store_timeline(store, incident->id, walk_line, &walk);
        if (walk.state != incident->state)
            audit_find(audit, AUDIT_ILLEGAL, "incident %" PRIu64 " is %s, its timeline ends elsewhere",
                       incident->id, state);
        if (incident_is_active(incident))
            audit_find(audit, AUDIT_STUCK, "incident %" PRIu64 " (%s on node %u) is still %s: %s",
                       incident->id, incident->detector_name, incident->node, state,
                       block_reason_name(incident->block));
    }
    store_commands(store, 0, -1, INSTANT_NONE, check_command, &walk);
    free(incidents.list);
    return (unsigned)incidents.count;
}

/* --- effects -------------------------------------------------------------------------------------------- */

struct ledger {
    struct command *commands;
    size_t count;
    uint32_t number[LAB_NODES_MAX]; /* of the real nodes, in the database */
    const struct lab *lab;
};

static bool keep_command(void *context, const struct command_row *row)
{
    struct ledger *ledger = context;
    ledger->commands = reallocarray(ledger->commands, ledger->count + 1, sizeof *ledger->commands);
    CHECK(ledger->commands);
    ledger->commands[ledger->count++] = row->command;
    return true;
}

static bool keep_number(void *context, const struct node_row *row)
{
    struct ledger *ledger = context;
    for (size_t i = 0; i < ledger->lab->node_count; i++)
        if (strcmp(ledger->lab->nodes[i].name, row->name) == 0)
            ledger->number[i] = row->number;
    return true;
}

static const struct command *find_command(const struct ledger *ledger, uint64_t id)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (ledger->commands[i].id == id)
            return &ledger->commands[i];
    return NULL;
}

static unsigned times_of(const struct testimony *starts, size_t count, uint64_t command)
{
    unsigned times = 0;
    for (size_t i = 0; i < count; i++)
        times += starts[i].command == command;
    return times;
}

/* What one node's witness saw was ordered before, for this node, and the epochs only rise. The clocks are one
 * machine's: the control plane's follows the wall clock from its start on. */
static unsigned check_starts(struct audit *audit, const struct ledger *ledger, size_t node)
{
    unsigned effects = 0;
    uint64_t epoch = 0;
    size_t count;
    const char *name = ledger->lab->nodes[node].name;
    struct testimony *starts = lab_witness(ledger->lab, node, &count);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = starts[i].command;
        const struct command *command = find_command(ledger, id);
        if (id == 0)
            continue;
        effects++;
        if (!command || command->node != ledger->number[node])
            audit_find(audit, AUDIT_ILLEGAL, "%s obeyed command %" PRIu64 ", which nobody ordered", name, id);
        else if (command->ordered_at > starts[i].at)
            audit_find(audit, AUDIT_ILLEGAL, "%s obeyed command %" PRIu64 " before it was ordered", name, id);
        if (id >> 32 < epoch)
            audit_find(audit, AUDIT_ILLEGAL, "%s obeyed epoch %" PRIu64 " after epoch %" PRIu64, name,
                       id >> 32, epoch);
        epoch = id >> 32 > epoch ? id >> 32 : epoch;
        if (times_of(starts, i, id) == 1)
            audit_find(audit, AUDIT_DOUBLED, "%s obeyed command %" PRIu64 " twice", name, id);
    }
    for (size_t i = 0; i < ledger->count; i++) {
        const struct command *command = &ledger->commands[i];
        if (command->node == ledger->number[node] && command->remedy == REMEDY_RESTART_SERVICE &&
            command->outcome == OUTCOME_DONE && times_of(starts, count, command->id) == 0)
            audit_find(audit, AUDIT_LOST,
                       "command %" PRIu64 " of %s is done, and the witness saw nothing of it", command->id,
                       name);
    }
    free(starts);
    return effects;
}

unsigned audit_effects(struct audit *audit, struct store *store, const struct lab *lab)
{
    struct ledger ledger = {.lab = lab};
    unsigned effects = 0;
    for (size_t i = 0; i < LAB_NODES_MAX; i++)
        ledger.number[i] = UINT32_MAX;
    store_nodes(store, keep_number, &ledger);
    store_commands(store, 0, -1, INSTANT_NONE, keep_command, &ledger);
    for (size_t node = 0; node < lab->node_count; node++)
        effects += check_starts(audit, &ledger, node);
    free(ledger.commands);
    return effects;
}
