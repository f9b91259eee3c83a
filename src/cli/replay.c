/* replay: a journal, or a flight recorder's folder, once more through the real core. */
#include "cli/replay.h"

#include "base/check.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "core/trace.h"
#include "journal/segments.h"
#include "policy/policy_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct again {
    const char *path, *policy_path, *from, *until;
    bool trace, json, check, rest;
    char **files;
    int file_count;
    struct policy policy;
    struct replay *replay;
    struct replay_trace tracer;
    struct replay_check checker;
    struct differ *differ;
    json_t *notes;
    struct effects last; /* of the newest step, for what is told of a divergence */
};

/* --- files ---------------------------------------------------------------------------------------------- */

static int list_files(struct again *again)
{
    struct stat stat_of;
    if (stat(again->path, &stat_of) != 0)
        return fail(EXIT_ENVIRONMENT, "cannot read %s: %s", again->path, strerror(errno));
    if (!S_ISDIR(stat_of.st_mode)) {
        again->files = calloc(2, sizeof *again->files);
        CHECK(again->files);
        again->files[0] = strdup(again->path);
        again->file_count = 1;
        return EXIT_DONE;
    }
    again->file_count = segments_list(again->path, &again->files);
    if (again->file_count < 0)
        return fail(EXIT_ENVIRONMENT, "cannot read %s: %s", again->path, strerror(-again->file_count));
    if (again->file_count == 0)
        return fail(EXIT_ENVIRONMENT, "%s has no segments of a flight recorder", again->path);
    return EXIT_DONE;
}

/* --- instants ------------------------------------------------------------------------------------------- */

/* Of the first event in a journal, for times that count from it. */
static instant first_event_at(const char *path)
{
    struct journal_record *record = malloc(sizeof *record);
    instant at = INSTANT_NONE;
    struct loaded loaded;
    CHECK(record);
    if (segments_load(path, &loaded) < 0)
        loaded = (struct loaded){.length = 0};
    struct journal_reader reader = journal_reader_over(loaded.bytes, loaded.length);
    while (at == INSTANT_NONE && journal_next(&reader, record) == JOURNAL_RECORD)
        if (record->kind == JOURNAL_EVENT)
            at = record->at;
    segments_unload(&loaded);
    free(record);
    return at;
}

/* An instant as RFC 3339 has it, or a time from the first event on. */
static bool parse_time(const struct again *again, const char *word, instant *at)
{
    duration after_ns;
    if (!word || text_parse_instant(word, at))
        return true;
    if (!text_parse_duration(word, &after_ns))
        return false;
    instant first_at = first_event_at(again->files[0]);
    *at = first_at == INSTANT_NONE ? after_ns : first_at + after_ns;
    return true;
}

/* --- what it came to ------------------------------------------------------------------------------------ */

static const char *const event_names[EVENT_COUNT] = {[EVENT_HELLO] = "hello",
                                                     [EVENT_GOODBYE] = "goodbye",
                                                     [EVENT_REPORT] = "report",
                                                     [EVENT_DEADLINE] = "deadline",
                                                     [EVENT_COMMAND_END] = "command end",
                                                     [EVENT_OPERATOR] = "word of a person",
                                                     [EVENT_PROPOSAL] = "proposal",
                                                     [EVENT_POLICY] = "policy",
                                                     [EVENT_RESTORE] = "restore",
                                                     [EVENT_GAP] = "gap"};

static void print_summary(const struct again *again)
{
    const struct replay_result *r = replay_result(again->replay);
    char from[32] = "-", until[32] = "-";
    if (r->events > 0) {
        replay_time(r->first_at, from);
        replay_time(r->last_at, until);
    }
    printf("\n  %s: %d %s\n\n", again->path, again->file_count, again->file_count == 1 ? "file" : "files");
    printf("  %-12s %s to %s\n", "time", from, until);
    printf("  %-12s %" PRIu64 " control plane%s begun with an empty core, %" PRIu64 " image%s gone on with\n",
           "lives", r->lives, r->lives == 1 ? "" : "s", r->images_used, r->images_used == 1 ? "" : "s");
    printf("  %-12s %" PRIu64 ", %" PRIu64 " of them reports, %" PRIu64 " deadlines\n", "events", r->events,
           r->kinds[EVENT_REPORT], r->kinds[EVENT_DEADLINE]);
    printf("  %-12s %u opened, %u resolved, %u with people\n", "incidents", r->opened, r->resolved,
           r->escalated);
    printf("  %-12s %u\n", "commands", r->commands);
    printf("  %-12s %016" PRIx64 "%s\n", "decisions", r->digest,
           r->end == REPLAY_FINE ? "   as recorded, after every event" : "");
}

static void print_divergence(const struct again *again)
{
    const struct replay_result *r = replay_result(again->replay);
    const struct core *core = replay_core(again->replay);
    char time[32];
    fflush(stdout);
    fprintf(stderr,
            "\nanother decision than what is recorded, at event %" PRIu64 ", %s: a %s%s%s\n"
            "  digest       %016" PRIx64 " is written, %016" PRIx64 " was found\n",
            r->events, replay_time(r->step.at, time), event_names[r->step.kind],
            r->step.node == NO_INDEX ? "" : " of ", core_node_name(core, r->step.node), r->step_written,
            r->step_found);
    for (uint32_t i = 0; i < again->last.count; i++) {
        char bytes[1024];
        struct text text = text_over(bytes, sizeof bytes);
        trace_line(&text, core, &again->last.list[i]);
        fprintf(stderr, "  found here   %s\n", bytes);
    }
    if (again->last.count == 0)
        fprintf(stderr, "  found here   no effects\n");
}

static void print_check(const struct again *again)
{
    const struct replay_check *c = &again->checker;
    if (c->checked == 0)
        printf("  %-12s nothing: it begins in the middle, with an image, and the checkers count from the "
               "start\n",
               "checked");
    else
        printf("  %-12s %u li%s from the start%s: %" PRIu64 " violation%s%s\n", "checked", c->checked,
               c->checked == 1 ? "fe" : "ves", again->rest ? ", and the rest at the end" : "", c->violations,
               c->violations == 1 ? "" : "s",
               c->unchecked > 0 ? "; what begins with an image could not be" : "");
}

static json_t *json_of_result(const struct again *again)
{
    const struct replay_result *r = replay_result(again->replay);
    static const char *const ends[] = {"as_recorded", "diverged", "refused"};
    char digest[17], from[32] = "", until[32] = "";
    snprintf(digest, sizeof digest, "%016" PRIx64, r->digest);
    if (r->events > 0) {
        replay_time(r->first_at, from);
        replay_time(r->last_at, until);
    }
    json_t *all = json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I}", "journal", again->path,
                            "files", again->file_count, "end", ends[r->end], "why", r->why, "from", from,
                            "until", until, "digest", digest, "lives", (json_int_t)r->lives, "images",
                            (json_int_t)r->images_used, "holes", (json_int_t)r->holes, "crashes",
                            (json_int_t)r->crashes, "bytes_skipped", (json_int_t)r->bytes_skipped);
    json_t *more = json_pack("{s:I,s:I,s:i,s:i,s:i,s:i,s:O}", "events", (json_int_t)r->events, "reports",
                             (json_int_t)r->kinds[EVENT_REPORT], "incidents", (int)r->opened, "resolved",
                             (int)r->resolved, "escalated", (int)r->escalated, "commands", (int)r->commands,
                             "notes", again->notes);
    json_object_update(all, more);
    json_decref(more);
    return all;
}

static void print_as_json(struct again *again, const struct difference *difference)
{
    json_t *all = json_of_result(again);
    const struct replay_result *r = replay_result(again->replay);
    if (r->end == REPLAY_DIVERGED) {
        char time[32];
        json_object_set_new(all, "diverged",
                            json_pack("{s:I,s:s,s:s,s:s}", "event", (json_int_t)r->events, "at",
                                      replay_time(r->step.at, time), "kind", event_names[r->step.kind],
                                      "node", core_node_name(replay_core(again->replay), r->step.node)));
    }
    if (again->check) {
        json_object_set_new(all, "lives_checked", json_integer(again->checker.checked));
        json_object_set(all, "violations", again->checker.list);
    }
    if (again->trace)
        json_object_set(all, "trace", again->tracer.list);
    if (again->differ)
        json_object_set_new(all, "differs", difference ? replay_difference_json(difference) : json_null());
    print_json(all);
    json_decref(all);
}

/* --- running -------------------------------------------------------------------------------------------- */

static void on_note(void *context, const char *sentence)
{
    struct again *again = context;
    json_array_append_new(again->notes, json_string(sentence));
    if (!again->json && !again->trace)
        printf("  %s\n", sentence);
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct again *again = context;
    (void)core, (void)ticket, (void)at;
    again->last.count = effects->count;
    memcpy(again->last.list, effects->list, effects->count * sizeof effects->list[0]);
}

static int read_policy(struct again *again)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int code = policy_read_file(again->policy_path, &again->policy, complaints);
    for (uint32_t i = 0; i < complaints->count; i++) {
        char line[4096 + COMPLAINT_TEXT_SIZE];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints->list[i], again->policy_path);
        fprintf(stderr, "%s\n", line);
    }
    free(complaints);
    if (code < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", again->policy_path, strerror(-code));
    return code == 0 ? EXIT_DONE : EXIT_USAGE;
}

static int feed_all(struct again *again)
{
    bool goes_on = true;
    for (int i = 0; goes_on && i < again->file_count; i++) {
        struct loaded loaded;
        int code = segments_load(again->files[i], &loaded);
        if (code < 0)
            return fail(EXIT_ENVIRONMENT, "cannot read %s: %s", again->files[i], strerror(-code));
        goes_on = replay_feed(again->replay, loaded.bytes, loaded.length, again->files[i]);
        segments_unload(&loaded);
    }
    return EXIT_DONE;
}

static int verdict(const struct again *again, const struct difference *difference)
{
    enum replay_end end = replay_result(again->replay)->end;
    if (end == REPLAY_REFUSED)
        return EXIT_ENVIRONMENT;
    if (again->checker.violations > 0)
        return again->checker.safety ? EXIT_SAFETY : EXIT_LIVENESS;
    return end == REPLAY_DIVERGED || difference ? EXIT_NOT_SO : EXIT_DONE;
}

static int tell_all(struct again *again)
{
    const struct replay_result *r = replay_result(again->replay);
    const struct difference *difference = again->differ ? differ_end(again->differ) : NULL;
    if (again->check)
        replay_check_end(&again->checker, r->last_at, replay_core(again->replay), again->rest);
    if (again->json) {
        print_as_json(again, difference);
    } else {
        if (r->events > 0)
            print_summary(again);
        if (again->check)
            print_check(again);
        if (r->end == REPLAY_DIVERGED)
            print_divergence(again);
        if (difference)
            replay_print_difference(difference, again->policy_path);
        else if (again->differ && r->end == REPLAY_FINE && !differ_gave_up(again->differ))
            printf("\n  No decision differs with %s.\n", again->policy_path);
    }
    if (r->end == REPLAY_REFUSED)
        return fail(EXIT_ENVIRONMENT, "%s", r->why);
    if (r->events == 0)
        return fail(EXIT_ENVIRONMENT,
                    again->until ? "%s: nothing in it can be replayed until then"
                                 : "%s: nothing in it can be replayed, for no event in it is whole",
                    again->path);
    if (again->differ && differ_gave_up(again->differ))
        return fail(EXIT_ENVIRONMENT, "with %s the core does not come to rest; nothing more was compared",
                    again->policy_path);
    return verdict(again, difference);
}

static int play(struct again *again)
{
    struct replay_options options = {.until_at = INSTANT_NEVER};
    if (again->from && !again->trace)
        return fail(EXIT_USAGE, "replay: --from goes with --trace, which it cuts; add --trace");
    int code = list_files(again);
    if (code == EXIT_DONE && again->policy_path)
        code = read_policy(again);
    if (code != EXIT_DONE)
        return code;
    again->tracer.from_at = INSTANT_NONE;
    if (!parse_time(again, again->from, &again->tracer.from_at) ||
        !parse_time(again, again->until, &options.until_at))
        return fail(EXIT_USAGE, "replay: --from and --until want an instant such as 2026-11-24T09:30:00Z, or "
                                "a time after the first event such as 90s");
    if (again->from && again->tracer.from_at > options.until_at)
        return fail(EXIT_USAGE, "replay: --until %s is before --from %s; nothing would be told", again->until,
                    again->from);
    options.watch[options.watch_count++] =
        (struct replay_watch){.note = on_note, .effects = on_effects, .context = again};
    if (again->trace)
        options.watch[options.watch_count++] = replay_trace_watch(&again->tracer);
    if (again->check)
        options.watch[options.watch_count++] = replay_check_watch(&again->checker);
    if (again->policy_path) {
        again->differ = differ_new(&again->policy);
        CHECK(again->differ);
        options.watch[options.watch_count++] = differ_watch(again->differ);
    }
    again->replay = replay_new(&options);
    CHECK(again->replay);
    code = feed_all(again);
    return code == EXIT_DONE ? tell_all(again) : code;
}

int verb_replay(const struct verb *verb, int argc, char **argv)
{
    struct again *again = calloc(1, sizeof *again);
    CHECK(again);
    const struct flag flags[] = {
        {"policy", 0, FLAG_TEXT, &again->policy_path, "FILE",
         "which decision would be the first to differ with this policy?"},
        {"trace", 't', FLAG_YES, &again->trace, NULL, "tell every step"},
        {"check", 'c', FLAG_YES, &again->check, NULL,
         "with the checkers of safety (exit code 4) and liveness (5)"},
        {"rest", 0, FLAG_YES, &again->rest, NULL,
         "with --check: at its end nothing may be under way any more"},
        {"from", 0, FLAG_TEXT, &again->from, "TIME", "with --trace: tell from then on"},
        {"until", 0, FLAG_TEXT, &again->until, "TIME", "stop there"},
        {"json", 0, FLAG_YES, &again->json, NULL, "the summary as one JSON object"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code < 0) {
        again->path = argv[1];
        again->notes = json_array();
        again->tracer.list = again->json ? json_array() : NULL;
        again->checker.list = again->json ? json_array() : NULL;
        code = play(again);
        replay_free(&again->replay);
        differ_free(&again->differ);
        segments_free(&again->files, again->file_count > 0 ? again->file_count : 0);
        json_decref(again->notes);
        json_decref(again->tracer.list);
        json_decref(again->checker.list);
    }
    free(again);
    return code;
}
