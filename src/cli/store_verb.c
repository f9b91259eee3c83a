/* store: look after the database. */
#include "cli/cli.h"
#include "cli/show.h"
#include "cli/store_choice.h"
#include "cli/store_lines.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "store/value.h"
#include "wire/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_SIZE = 4096, ERROR_SIZE = 2048 };

struct task {
    const char *store; /* its name */
    char shown[SHOWN_SIZE];
    const char *path; /* operand: of export, import, backup */
    duration older;   /* of prune */
    bool json;
};

static int complain(const char *error, int code)
{
    fail(EXIT_ENVIRONMENT, "%s", error[0] ? error : strerror(-code));
    return EXIT_ENVIRONMENT;
}

static int open_reader(const struct task *task, struct store **store)
{
    char error[ERROR_SIZE] = "";
    int code = store_open(store, task->store, error, sizeof error);
    if (code == -ENOENT && store_path(task->store))
        return fail(EXIT_ENVIRONMENT, "there is no database %s yet; '%s up' makes one",
                    store_path(task->store), program_name());
    return code < 0 ? complain(error, code) : EXIT_DONE;
}

/* --- migrate -------------------------------------------------------------------------------------------- */

static void no_news(void *context, uint64_t ticket, const char *error)
{
    (void)context, (void)ticket, (void)error;
}

static int migrate(const struct task *task)
{
    char error[ERROR_SIZE] = "";
    struct store_writer *writer;
    int code = store_writer_open(&writer, task->store, no_news, NULL, error, sizeof error);
    if (code < 0)
        return complain(error, code);
    store_writer_close(&writer);
    printf("%s has the schema of this homeostat\n", task->shown);
    return EXIT_DONE;
}

/* --- check ---------------------------------------------------------------------------------------------- */

struct checkup_of_store {
    struct store *store;
    json_t *problems;
    uint64_t *incidents;
    size_t count, room;
};

static void note(struct checkup_of_store *check, const char *problem)
{
    json_array_append_new(check->problems, json_of_text(problem));
}

static bool note_incident(void *context, const struct incident *incident)
{
    struct checkup_of_store *check = context;
    if (check->count == check->room) {
        check->room = check->room ? 2 * check->room : 256;
        check->incidents = realloc(check->incidents, check->room * sizeof *check->incidents);
        CHECK(check->incidents);
    }
    check->incidents[check->count++] = incident->id;
    return true;
}

static bool note_integrity(void *context, const struct value *values)
{
    if (values[0].type == VALUE_TEXT && strcmp(values[0].text, "ok") != 0)
        note(context, values[0].text);
    return true;
}

static bool note_sentence(void *context, const struct value *values)
{
    if (values[0].type == VALUE_TEXT)
        note(context, values[0].text);
    return true;
}

#define PASS_OVER(noun, type)                                                                                \
    static bool pass_over_##noun(void *context, const type *row)                                             \
    {                                                                                                        \
        (void)context, (void)row;                                                                            \
        return true;                                                                                         \
    }
PASS_OVER(node, struct node_row)
PASS_OVER(timeline, struct timeline_row)
PASS_OVER(command, struct command_row)
PASS_OVER(block, struct block_row)
PASS_OVER(target, struct target_row)
PASS_OVER(fault, struct fault_row)
PASS_OVER(gap, struct gap_row)
#undef PASS_OVER

static void check_result(struct checkup_of_store *check, int code)
{
    if (code < 0)
        note(check, store_problem(check->store));
}

/* What one table says of another. */
static void check_ties(struct checkup_of_store *check)
{
    static const char *const questions[] = {
        "SELECT 'command ' || id || ' is of incident ' || incident || ', which is not there' FROM commands "
        "WHERE "
        "incident <> 0 AND NOT EXISTS (SELECT 1 FROM incidents WHERE incidents.id = commands.incident)",
        "SELECT 'incident ' || id || ' is on node number ' || node || ', which is not there' FROM incidents "
        "WHERE "
        "NOT EXISTS (SELECT 1 FROM nodes WHERE number = node)",
        "SELECT 'incident ' || id || ' is resolved and was never closed' FROM incidents WHERE state = "
        "'resolved' "
        "AND closed_at IS NULL",
        "SELECT 'incident ' || id || ' has no line in the timeline' FROM incidents WHERE NOT EXISTS (SELECT "
        "1 "
        "FROM timeline WHERE incident = incidents.id)",
        "SELECT 'incident ' || id || ' is newer than the control row knows' FROM incidents WHERE id >= "
        "(SELECT "
        "next_incident FROM control)",
    };
    for (size_t i = 0; i < COUNT_OF(questions); i++)
        check_result(check, store_ask(check->store, questions[i], 1, note_sentence, check));
}

/* Every row is read as the control plane would read it, so what it would stumble over is found. */
static void check_rows(struct checkup_of_store *check)
{
    struct store *store = check->store;
    const struct incident_filter every = {.node = -1, .state = -1};
    struct control_row control;
    check_result(check, store_control(store, &control));
    check_result(check, store_nodes(store, pass_over_node, NULL));
    check_result(check, store_targets(store, pass_over_target, NULL));
    check_result(check, store_incidents(store, &every, note_incident, check));
    check_result(check, store_commands(store, 0, -1, INSTANT_NONE, pass_over_command, NULL));
    check_result(check, store_blocks(store, 0, 0, pass_over_block, NULL));
    check_result(check, store_faults(store, 0, false, 0, pass_over_fault, NULL));
    check_result(check, store_gaps(store, -1, pass_over_gap, NULL));
    for (size_t i = 0; i < check->count; i++)
        check_result(check, store_timeline(store, check->incidents[i], pass_over_timeline, NULL));
}

static int check(const struct task *task)
{
    struct checkup_of_store checkup = {.problems = json_array()};
    int code = open_reader(task, &checkup.store);
    if (code != EXIT_DONE)
        return code;
    if (store_path(task->store))
        check_result(&checkup,
                     store_ask(checkup.store, "PRAGMA integrity_check", 1, note_integrity, &checkup));
    check_rows(&checkup);
    check_ties(&checkup);
    size_t count = json_array_size(checkup.problems);
    if (task->json) {
        json_t *all =
            json_pack("{s:s, s:b, s:I, s:o}", "store", task->shown, "sound", count == 0, "incidents",
                      (json_int_t)checkup.count, "problems", json_incref(checkup.problems));
        print_json(all);
        json_decref(all);
    } else {
        for (size_t i = 0; i < count; i++)
            printf("  %s\n", json_string_value(json_array_get(checkup.problems, i)));
        printf("%s: %s\n", task->shown,
               count == 0 ? "sound; every row can be read, and what belongs together is there"
                          : "not sound: keep a copy, and look at the lines above");
    }
    json_decref(checkup.problems);
    free(checkup.incidents);
    store_close(&checkup.store);
    return count == 0 ? EXIT_DONE : EXIT_NOT_SO;
}

/* --- stats ---------------------------------------------------------------------------------------------- */

static const char *const tables[] = {"nodes",  "incidents", "timeline", "commands", "blocked",
                                     "faults", "gaps",      "samples",  "policies"};

static bool take_whole(void *context, const struct value *values)
{
    *(int64_t *)context = values[0].type == VALUE_INTEGER ? values[0].integer : 0;
    return false;
}

/* Once a question has failed, no other is asked: `failed` says so. */
static bool failed;

static int64_t ask_whole(struct store *store, const char *sql)
{
    int64_t whole = 0;
    failed = failed || store_ask(store, sql, 1, take_whole, &whole) < 0;
    return whole;
}

static void add_instant(json_t *object, const char *name, int64_t at)
{
    char text[32];
    text_instant(text, at);
    json_object_set_new(object, name, at ? json_string(text) : json_null());
}

static json_t *read_stats(const struct task *task, struct store *store)
{
    json_t *rows = json_object(), *all = json_pack("{s:s}", "store", task->shown);
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
        json_object_set_new(rows, tables[i], json_integer(ask_whole(store, sql)));
    }
    json_object_set_new(all, "rows", rows);
    json_object_set_new(
        all, "schema",
        json_integer(ask_whole(store, store_path(task->store)
                                          ? "SELECT max(version) FROM migrations"
                                          : "SELECT max(version) FROM homeostat_migrations")));
    json_object_set_new(
        all, "bytes",
        json_integer(
            ask_whole(store, store_path(task->store)
                                 ? "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
                                 : "SELECT sum(pg_total_relation_size(pg_class.oid))::bigint FROM pg_class "
                                   "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = "
                                   "current_schema() AND relkind = 'r'")));
    add_instant(all, "oldest_sample",
                ask_whole(store, store_path(task->store) ? "SELECT min(first_at) FROM samples_blocks"
                                                         : "SELECT min(at) FROM samples"));
    add_instant(all, "newest_sample",
                ask_whole(store, store_path(task->store) ? "SELECT max(last_at) FROM samples_blocks"
                                                         : "SELECT max(at) FROM samples"));
    return all;
}

static int stats(const struct task *task)
{
    struct store *store;
    int code = open_reader(task, &store);
    if (code != EXIT_DONE)
        return code;
    json_t *all = read_stats(task, store), *rows = json_object_get(all, "rows"), *value;
    if (failed) {
        code = fail(EXIT_ENVIRONMENT, "%s: %s", task->shown, store_problem(store));
    } else if (task->json) {
        print_json(all);
    } else {
        const char *name;
        printf("%s\n\n  %-14s %12s\n", task->shown, "table", "rows");
        json_object_foreach(rows, name, value)
            printf("  %-14s %12lld\n", name, (long long)json_integer_value(value));
        printf("\n  schema %lld, %.1f MiB; samples from %s to %s\n", member_whole(all, "schema"),
               (double)member_whole(all, "bytes") / 1048576, member_text(all, "oldest_sample"),
               member_text(all, "newest_sample"));
    }
    json_decref(all);
    store_close(&store);
    return code;
}

/* --- export, import, backup, prune ---------------------------------------------------------------------- */

static int export_lines(const struct task *task)
{
    char error[ERROR_SIZE] = "";
    struct store *store;
    int code = open_reader(task, &store);
    if (code != EXIT_DONE)
        return code;
    FILE *out = task->path ? fopen(task->path, "wxe") : stdout;
    if (!out) {
        store_close(&store);
        return fail(EXIT_ENVIRONMENT, "%s: %s", task->path, strerror(errno));
    }
    long long lines = store_export(store, out, error, sizeof error);
    if (task->path && fclose(out) != 0 && lines >= 0)
        lines = -errno;
    store_close(&store);
    if (lines < 0)
        return complain(error, (int)lines);
    fprintf(stderr, "%lld lines of %s\n", lines, task->shown);
    return EXIT_DONE;
}

static int import_lines(const struct task *task)
{
    char error[ERROR_SIZE] = "";
    bool is_standard = strcmp(task->path, "-") == 0;
    FILE *in = is_standard ? stdin : fopen(task->path, "re");
    if (!in)
        return fail(EXIT_ENVIRONMENT, "%s: %s", task->path, strerror(errno));
    long long lines = store_import(task->store, in, error, sizeof error);
    if (!is_standard)
        fclose(in);
    if (lines < 0)
        return complain(error, (int)lines);
    printf("%lld lines are in %s\n", lines, task->shown);
    return EXIT_DONE;
}

static int backup(const struct task *task)
{
    char error[ERROR_SIZE] = "";
    int code = store_backup(task->store, task->path, error, sizeof error);
    if (code < 0)
        return complain(error, code);
    printf("%s is a copy of %s; to go back to it, end the control plane and name it with --db\n", task->path,
           task->shown);
    return EXIT_DONE;
}

static int prune(const struct task *task)
{
    char error[ERROR_SIZE] = "", when[32];
    if (task->older < SPAN_MAX_NS)
        return fail(EXIT_USAGE,
                    "store: prune keeps the last 24 h at least, since guards count over them; say --older "
                    "48h or more");
    instant before = clock_ns(CLOCK_REALTIME) - task->older;
    int code = store_prune(task->store, before, error, sizeof error);
    if (code == -EWOULDBLOCK)
        return fail(EXIT_ENVIRONMENT, "%s", error);
    if (code < 0)
        return complain(error, code);
    text_instant(when, before);
    printf("what was over before %s is gone from %s\n", when, task->shown);
    return EXIT_DONE;
}

/* --- the verb ------------------------------------------------------------------------------------------- */

static const struct word {
    const char *name;
    int (*run)(const struct task *task);
    int least, most; /* operands */
} words[] = {{"migrate", migrate, 0, 0}, {"check", check, 0, 0},         {"stats", stats, 0, 0},
             {"backup", backup, 1, 1},   {"export", export_lines, 0, 1}, {"import", import_lines, 1, 1},
             {"prune", prune, 0, 0}};

static const struct word *find_word(const char *name)
{
    const char *names[COUNT_OF(words)];
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        names[i] = words[i].name;
        if (strcmp(names[i], name) == 0)
            return &words[i];
    }
    const char *near = text_nearest(name, names, COUNT_OF(words));
    fail(EXIT_USAGE, "store: '%s' is none of migrate, check, stats, backup, export, import, prune%s%s%s",
         name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return NULL;
}

int verb_store(const struct verb *verb, int argc, char **argv)
{
    struct store_choice choice = {0};
    struct task task = {.older = 0};
    const struct flag flags[] = {
        STORE_FLAGS(&choice, "a SQLite file (lab/homeostat.db)"),
        {"older", 0, FLAG_DURATION, &task.older, "TIME", "prune: what was over so long ago (48h or more)"},
        {"json", 0, FLAG_YES, &task.json, NULL, "check, stats: one object on stdout"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 2, &count);
    if (code >= 0)
        return code;
    const struct word *word = find_word(argv[1]);
    if (!word)
        return EXIT_USAGE;
    if (count - 1 < word->least || count - 1 > word->most)
        return fail(EXIT_USAGE, "store: %s takes %s", word->name,
                    word->most == 0 ? "no operand"
                    : word->least   ? "one file"
                                    : "one file, or none");
    code = store_choose(&choice, "store", "lab/homeostat.db");
    if (code != EXIT_DONE)
        return code;
    task.store = choice.address ? choice.address : choice.file;
    task.path = count == 2 ? argv[2] : NULL;
    store_show(task.store, task.shown, sizeof task.shown);
    return word->run(&task);
}
