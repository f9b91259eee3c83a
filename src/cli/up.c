/* up: a live lab, and one log of it with a column per node. */
#include "cli/cli.h"
#include "cli/fleet.h"
#include "cli/hint.h"
#include "cli/show.h"
#include "cli/watch.h"

#include "base/check.h"
#include "base/text.h"
#include "scenario/lab.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    COLUMNS_MAX = 8,  /* with more nodes a line names its node instead */
    COLUMN_LEAST = 7, /* "healthy" */
    LOOK_S = 2        /* between looks at who is left alone: windows come and go without an event */
};

struct up {
    struct lab lab;
    struct fleet *fleet;
    char health[LAB_NODES_MAX][16];
    bool alone[LAB_NODES_MAX]; /* in maintenance */
    time_t looked_at;
    bool changed; /* some health, since the last line of it */
    bool verbose;
    bool paused, breaker_open; /* as they were told last */
};

/* --- the log -------------------------------------------------------------------------------------------- */

static int column_width(const struct up *up)
{
    size_t width = COLUMN_LEAST;
    for (uint32_t i = 0; i < up->lab.node_count; i++) {
        if (strlen(up->lab.nodes[i].name) > width)
            width = strlen(up->lab.nodes[i].name);
    }
    return (int)width;
}

static bool has_columns(const struct up *up)
{
    return up->lab.node_count <= COLUMNS_MAX;
}

static void print_time(instant at)
{
    char whole[32];
    text_instant(whole, at);
    printf("  %.10s  ", whole + 11);
}

static void print_head(const struct up *up)
{
    printf("  %-10s  ", "UTC");
    for (uint32_t i = 0; has_columns(up) && i < up->lab.node_count; i++)
        printf("%s%-*s%s  ", ink_on(stdout, INK_BOLD), column_width(up), up->lab.nodes[i].name,
               ink_off(stdout, INK_BOLD));
    printf("\n");
}

static void print_event(const struct up *up, const json_t *data)
{
    instant at = 0;
    const char *step = member_text(data, "step"), *node = member_text(data, "node");
    int column = *node ? lab_find(&up->lab, node) : -1;
    enum ink ink = ink_of_word(step);
    text_parse_instant(member_text(data, "at"), &at);
    print_time(at);
    for (int i = 0; has_columns(up) && i < (int)up->lab.node_count; i++) {
        /* The mark is one character of three bytes, so printf's own padding would be short by two. */
        if (i == column)
            printf("%s●%s%*s  ", ink_on(stdout, ink), ink_off(stdout, ink), column_width(up) - 1, "");
        else
            printf("%s%-*s%s  ", ink_on(stdout, INK_DIM), column_width(up), ".", ink_off(stdout, INK_DIM));
    }
    printf("%s%-8s%s  ", ink_on(stdout, ink), step, ink_off(stdout, ink));
    char text[1024];
    struct text line = text_over(text, sizeof text);
    if (*node && (!has_columns(up) || column < 0))
        text_addf(&line, "%s: ", node);
    text_add(&line, member_text(data, "text"));
    if (strcmp(step, "DETECT") == 0)
        text_addf(&line, "   incident %lld", member_whole(data, "incident"));
    if (strcmp(step, "BLOCKED") == 0) {
        char hint[HINT_SIZE];
        block_hint(member_text(data, "state"), member_whole(data, "incident"), node, hint);
        text_addf(&line, "%s%s", *hint ? "; " : "", hint);
    }
    size_t columns = has_columns(up) ? up->lab.node_count * (size_t)(column_width(up) + 2) : 0;
    print_folded(stdout, 14 + columns + 10, text);
}

static void print_health(struct up *up)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_t *health = plane_ask(fleet_port(up->fleet), "GET", "/healthz", NULL, NULL, 0);
    print_time((instant)now.tv_sec * SECOND + now.tv_nsec);
    for (uint32_t i = 0; has_columns(up) && i < up->lab.node_count; i++) {
        const char *word = up->alone[i] ? "alone" : up->health[i];
        printf("%s%-*s%s  ", ink_on(stdout, ink_of_word(word)), column_width(up), word,
               ink_off(stdout, ink_of_word(word)));
    }
    if (health)
        printf("%lld node%s, ill by itself: %lld, in work: %lld of %lld%s%s", member_whole(health, "fleet"),
               member_whole(health, "fleet") == 1 ? "" : "s", member_whole(health, "unhealthy"),
               member_whole(health, "disrupted"), member_whole(health, "budget"),
               member_true(health, "breaker_open") ? ", BREAKER OPEN" : "",
               member_true(health, "paused") ? ", PAUSED" : "");
    printf("\n");
    json_decref(health);
    up->changed = false;
}

/* "epoch 1, automation paused, breaker closed": what people or the breaker changed, in the words of people.
 * The epoch alone is no news. */
static void print_control(struct up *up, const json_t *data)
{
    char paused_line[HINT_SIZE], open_line[HINT_SIZE];
    const char *text = member_text(data, "text"), *lines[2] = {NULL, NULL};
    bool paused = strstr(text, "automation paused") != NULL, open = strstr(text, "breaker open") != NULL;
    if (paused != up->paused)
        lines[0] = paused ? paused_sentence(paused_line) : "automation is on again";
    if (open != up->breaker_open)
        lines[1] = open ? breaker_sentence(open_line) : "the breaker is closed again";
    up->paused = paused;
    up->breaker_open = open;
    for (size_t i = 0; i < 2; i++) {
        if (!lines[i])
            continue;
        json_t *line = json_pack("{s:s, s:s, s:s}", "at", member_text(data, "at"), "step",
                                 member_text(data, "step"), "text", lines[i]);
        print_event(up, line);
        json_decref(line);
    }
}

/* Who is in maintenance, asked now and then. */
static void look_who_is_alone(struct up *up)
{
    time_t now = time(NULL);
    if (now - up->looked_at < LOOK_S)
        return;
    up->looked_at = now;
    json_t *answer = plane_ask(fleet_port(up->fleet), "GET", "/v1/nodes", NULL, NULL, 0);
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(answer, "nodes"), index, row)
    {
        int node = lab_find(&up->lab, member_text(row, "node"));
        bool alone = *member_text(row, "maintained_until") != '\0';
        if (node < 0 || up->alone[node] == alone)
            continue;
        up->alone[node] = alone;
        up->changed = true;
    }
    json_decref(answer);
}

static void on_event(void *context, const char *kind, const json_t *data)
{
    struct up *up = context;
    const char *step = member_text(data, "step");
    if (strcmp(kind, "node") == 0) {
        int node = lab_find(&up->lab, member_text(data, "node"));
        const char *health = member_text(data, "state");
        if (node >= 0 && strcmp(up->health[node], health) != 0) {
            text_copy(up->health[node], sizeof up->health[node], health);
            up->changed = true;
        }
        if (node >= 0)
            return;
    }
    /* The order is told by ACT already, and what people are told by PEOPLE; their ids are for those who ask.
     * Of the control row only what people change is news. */
    if (!up->verbose && strcmp(kind, "control") == 0) {
        print_control(up, data);
        return;
    }
    if (!up->verbose && (strcmp(step, "COMMAND") == 0 || strcmp(step, "NOTIFY") == 0))
        return;
    print_event(up, data);
}

/* --- start and end -------------------------------------------------------------------------------------- */

static void print_places(const struct up *up, const char *database, const char *policy_path)
{
    char log[4200];
    fleet_path(log, sizeof log, database, "*.log");
    printf("\n  homeostat up    control plane  http://127.0.0.1:%d\n", fleet_port(up->fleet));
    printf("                  database       %s\n", database);
    printf("                  logs           %s\n", log);
    printf("                  policy         %s\n",
           policy_path ? policy_path
                       : "the newest that this database knows; back to the default:\n"
                         "                                 --policy policies/default.yaml");
    for (uint32_t i = 0; i < up->lab.node_count; i++) {
        const struct lab_node *node = &up->lab.nodes[i];
        printf("                  %-14s http://127.0.0.1:%d", node->name, fleet_users_port(up->fleet, i));
        for (uint32_t k = 0; k < node->calls_count; k++)
            printf("%s%s", k ? ", " : "  calls ", up->lab.nodes[node->calls[k]].name);
        printf("\n");
    }
    bool usual = fleet_port(up->fleet) == 7070;
    char url[64] = "";
    if (!usual)
        snprintf(url, sizeof url, " --url http://127.0.0.1:%d", fleet_port(up->fleet));
    printf("\n  In another terminal:  %s inject cpu_spike %s%s\n  Here Ctrl-C ends it.\n\n", program_name(),
           up->lab.nodes[0].name, url);
}

/* Until Ctrl-C, or the end of the control plane. The end of a node agent is part of the game. */
static int follow(struct up *up)
{
    char news[2048];
    struct watch *watch = watch_open(fleet_port(up->fleet), on_event, up);
    int code = EXIT_DONE;
    print_head(up);
    while (!stop_is_wanted() && code == EXIT_DONE) {
        watch_pump(watch, 200 * MILLISECOND);
        look_who_is_alone(up);
        if (up->changed)
            print_health(up);
        enum fleet_news found = fleet_look(up->fleet, news, sizeof news);
        if (found == FLEET_PLANE_ENDED && !stop_is_wanted())
            code = fail(EXIT_ENVIRONMENT, "%s", news);
        else if (found == FLEET_NODE_ENDED)
            fail(
                EXIT_DONE,
                "the node agent of %s\n  It stays away until this lab is started anew: Ctrl-C here, then '%s "
                "up'.\n  docs/runbook.md, 'Kill something yourself', says how to play that by hand.",
                news, program_name());
        fflush(stdout);
    }
    watch_close(&watch);
    return code;
}

static int read_lab(const char *path, struct lab *lab)
{
    if (!path) {
        lab_default(lab);
        return EXIT_DONE;
    }
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int result = lab_read_file(path, lab, complaints);
    for (uint32_t i = 0; i < complaints->count; i++) {
        char line[4096 + COMPLAINT_TEXT_SIZE];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints->list[i], path);
        fprintf(stderr, "%s\n", line);
    }
    free(complaints);
    if (result < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(-result));
    return result == 0 ? EXIT_DONE : EXIT_NOT_SO;
}

static int run_up(struct up *up, const struct fleet_options *options)
{
    char error[2048];
    stop_on_signals();
    up->fleet = fleet_start(options, error, sizeof error);
    if (!up->fleet)
        return fail(EXIT_ENVIRONMENT, "%s", error);
    print_places(up, options->database, options->policy_path);
    int code = follow(up);
    printf("\n  ending ...\n");
    fflush(stdout);
    fleet_stop(&up->fleet);
    if (code == EXIT_DONE)
        printf("  ended; '%s incidents --db %s' reads what happened\n", program_name(), options->database);
    return code;
}

int verb_up(const struct verb *verb, int argc, char **argv)
{
    struct up *up = calloc(1, sizeof *up);
    CHECK(up);
    struct fleet_options options = {.lab = &up->lab, .port = 7070};
    const char *lab = NULL;
    char database[4096], policy[4096];
    const struct flag flags[] = {
        {"lab", 0, FLAG_TEXT, &lab, "FILE", "who is in it and who calls whom (web-1, api-1, db-1)"},
        {"policy", 0, FLAG_TEXT, &options.policy_path, "FILE",
         "(newest of the database, else policies/default.yaml)"},
        {"port", 'p', FLAG_WHOLE, &options.port, "PORT", "of the control plane (7070; 0: a free one)"},
        {"interval", 0, FLAG_DURATION, &options.interval_ns, "TIME",
         "between the reports of a node (as the lab says, 1s)"},
        {"db", 0, FLAG_TEXT, &options.database, "FILE", "its database (lab/homeostat.db)"},
        {"verbose", 'v', FLAG_YES, &up->verbose, NULL, "commands with their ids, and every notice"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code < 0 && options.port > 65535)
        code = fail(EXIT_USAGE, "up: no port is above 65535");
    if (code < 0 && !options.database && !home_path(database, sizeof database, "lab/homeostat.db"))
        code = fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
    if (code < 0 && !options.database)
        options.database = database;
    /* Once there is a database, its newest policy counts: one that was applied must survive a restart. */
    if (code < 0 && !options.policy_path && access(options.database, F_OK) != 0 &&
        home_path(policy, sizeof policy, "policies/default.yaml") && access(policy, R_OK) == 0)
        options.policy_path = policy;
    if (code < 0) {
        code = make_folders_above(options.database);
        if (code == EXIT_DONE)
            code = read_lab(lab, &up->lab);
        if (code == EXIT_DONE)
            code = run_up(up, &options);
    }
    free(up);
    return code;
}
