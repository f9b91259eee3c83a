/* up: a live lab, and one log of it with a column per node. */
#include "cli/address.h"
#include "cli/cli.h"
#include "cli/fleet.h"
#include "cli/lab_log.h"
#include "cli/live.h"
#include "cli/own_postgres.h"
#include "cli/show.h"
#include "cli/store_choice.h"
#include "cli/watch.h"

#include "base/check.h"
#include "base/text.h"
#include "scenario/lab.h"
#include "store/store.h"
#include "synthetic/synthetic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct up {
    struct lab lab;
    struct fleet *fleet;
    char (*names)[NODE_NAME_SIZE];
    uint32_t count;
    bool synthetic, verbose;
};

/* --- start and end -------------------------------------------------------------------------------------- */

static void print_places(const struct up *up, const struct fleet_options *options)
{
    char log[4200], shown[4096];
    const char *policy_path = options->policy_path;
    fleet_path(log, sizeof log, options->database, "*.log");
    store_show(options->store ? options->store : options->database, shown, sizeof shown);
    printf("\n  homeostat up    dashboard      http://127.0.0.1:%d/   (open it in a browser)\n",
           fleet_port(up->fleet));
    printf("                  control plane  http://127.0.0.1:%d\n", fleet_port(up->fleet));
    printf("                  database       %s\n", shown);
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
    if (up->synthetic)
        printf("                  nodes          %u synthetic ones in one process, %s to %s\n", up->count,
               up->names[0], up->names[up->count - 1]);
    char url[64] = "";
    if (!address_write(fleet_port(up->fleet)) && fleet_port(up->fleet) != 7070)
        snprintf(url, sizeof url, " --url http://127.0.0.1:%d", fleet_port(up->fleet));
    printf("\n  In another terminal:  %s inject cpu_spike %s%s\n  Here Ctrl-C ends it.\n\n", program_name(),
           up->names[0], url);
}

/* Until Ctrl-C, or the end of the control plane. The end of a node agent is part of the game. */
static int follow(struct up *up)
{
    char news[2048];
    int port = fleet_port(up->fleet), code = EXIT_DONE;
    struct lab_log *log = lab_log_new(
        &(struct lab_log_options){.names = up->names, .count = up->count, .verbose = up->verbose});
    struct watch *watch = watch_open(port, lab_log_event, log);
    lab_log_head(log);
    while (!stop_is_wanted() && code == EXIT_DONE) {
        watch_pump(watch, 200 * MILLISECOND);
        lab_log_tick(log, port);
        enum fleet_news found = fleet_look(up->fleet, news, sizeof news);
        if (found == FLEET_PLANE_ENDED && !stop_is_wanted())
            code = fail(EXIT_ENVIRONMENT, "%s", news);
        else if (found == FLEET_NODE_ENDED && up->synthetic && !stop_is_wanted())
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
    lab_log_free(&log);
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

/* web, api and db nodes, a third each, by the names that they will have. */
static void name_synthetic(struct up *up, uint32_t count)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    struct world_node *nodes = calloc(count, sizeof *nodes);
    up->names = calloc(count, sizeof *up->names);
    CHECK(scenario && nodes && up->names);
    synthetic_fleet(scenario, count);
    scenario_lay_out(scenario, nodes, up->names);
    up->count = count;
    free(nodes);
    free(scenario);
}

static void name_nodes(struct up *up)
{
    up->count = up->lab.node_count;
    up->names = calloc((size_t)up->count + 1, sizeof *up->names);
    CHECK(up->names);
    for (uint32_t i = 0; i < up->count; i++)
        text_copy(up->names[i], sizeof up->names[i], up->lab.nodes[i].name);
}

/* Ctrl-C ends them at once. One that nobody has begun yet would begin with the next start, while its lease
 * lasts. */
static void end_faults(const struct up *up)
{
    json_decref(plane_ask(fleet_port(up->fleet), "DELETE", "/v1/faults", NULL, NULL, 0));
}

static int run_up(struct up *up, const struct fleet_options *options)
{
    char error[2048];
    stop_on_signals();
    up->fleet = fleet_start(options, error, sizeof error);
    if (!up->fleet)
        return fail(EXIT_ENVIRONMENT, "%s", error);
    print_places(up, options);
    int code = follow(up);
    printf("\n  ending ...\n");
    fflush(stdout);
    address_forget(fleet_port(up->fleet));
    end_faults(up);
    fleet_stop(&up->fleet);
    if (code == EXIT_DONE && !options->store)
        printf("  ended; '%s incidents --db %s' reads what happened\n", program_name(), options->database);
    return code;
}

/* What the flags say, before it is known which kind of lab they mean. */
struct asked {
    struct fleet_options fleet;
    struct store_choice choice;
    struct own_postgres *server; /* of --postgres */
    const char *lab, *scenario;
    int port, seed, synthetic;
    bool json, verbose, postgres;
};

static int check_asked(const struct asked *asked)
{
    bool script = asked->scenario != NULL;
    if (asked->port > 65535)
        return fail(EXIT_USAGE, "up: no port is above 65535");
    if (script && (asked->lab || asked->fleet.interval_ns))
        return fail(EXIT_USAGE, "up: a scenario has its own fleet and interval; leave %s out",
                    asked->lab ? "--lab" : "--interval");
    if (!script && (asked->json || asked->seed))
        return fail(EXIT_USAGE, "up: %s goes with --scenario FILE", asked->json ? "--json" : "--seed");
    if (!script && asked->synthetic == 0)
        return fail(EXIT_USAGE,
                    "up: how many synthetic nodes? --synthetic 1000, or --scenario FILE that says it");
    if (asked->lab && asked->synthetic >= 0)
        return fail(EXIT_USAGE, "up: the nodes of a lab file are real; leave --lab or --synthetic out");
    if (asked->synthetic > 0 && asked->fleet.interval_ns)
        return fail(EXIT_USAGE, "up: synthetic nodes report every second; leave --interval out");
    if (asked->postgres && (asked->choice.db || asked->choice.store))
        return fail(EXIT_USAGE, "up: --postgres is a store; leave %s out",
                    asked->choice.db ? "--db" : "--store");
    if (asked->synthetic > SYNTHETIC_NODES_MAX)
        return fail(EXIT_USAGE, "up: at most %d synthetic nodes fit one process", (int)SYNTHETIC_NODES_MAX);
    return EXIT_DONE;
}

/* A run of a script wants a database of its own. One that somebody named may hold something. */
static int run_scenario(const struct asked *asked)
{
    struct live_options options = {
        .path = asked->scenario,
        .database = asked->choice.file,
        .policy_path = asked->fleet.policy_path,
        .record_path = asked->fleet.record_path,
        .port = asked->port < 0 ? 0 : asked->port, /* what is measured wants no visitors, who knock at 7070 */
        .synthetic = asked->synthetic >= 0,
        .synthetic_nodes = asked->synthetic > 0 ? (uint32_t)asked->synthetic : 0,
        .seed = (uint64_t)asked->seed,
        .json = asked->json,
        .verbose = asked->verbose};
    if (asked->choice.address || asked->postgres)
        return fail(EXIT_USAGE,
                    "up: a scenario keeps its run in a file; leave %s out, or name a file with --db",
                    asked->postgres ? "--postgres" : "--store");
    if (options.database != asked->choice.usual && access(options.database, F_OK) == 0)
        return fail(EXIT_USAGE,
                    "up: %s is there already, and a scenario begins with a fresh database; name another",
                    options.database);
    return live_run(&options);
}

/* Its address takes the place of the one that nobody named. */
static int start_postgres(struct asked *asked)
{
    char folder[4096], error[1024];
    if (!home_path(folder, sizeof folder, "lab/postgres"))
        return fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
    asked->server = own_postgres_start(folder, error, sizeof error);
    if (!asked->server)
        return fail(EXIT_ENVIRONMENT, "%s", error);
    asked->choice.address = own_postgres_address(asked->server);
    return EXIT_DONE;
}

static void tell_where_it_is(const struct asked *asked)
{
    char shown[4096];
    store_show(asked->choice.address, shown, sizeof shown);
    if (asked->server)
        printf("  ended; what happened stays in lab/postgres, for the next '%s up --postgres'\n",
               program_name());
    else
        printf("  ended; '%s incidents --store %s' reads what happened\n", program_name(), shown);
}

static int run_lab(struct asked *asked)
{
    char policy[4096];
    struct fleet_options *options = &asked->fleet;
    struct up *up = calloc(1, sizeof *up);
    CHECK(up);
    int code = EXIT_DONE;
    up->verbose = asked->verbose;
    options->lab = &up->lab;
    options->port = asked->port < 0 ? 7070 : asked->port;
    options->database = asked->choice.file;
    options->store = asked->choice.address;
    /* Once there is a database, its newest policy counts: one that was applied must survive a restart. */
    if (!options->policy_path && !options->store && !asked->postgres &&
        access(options->database, F_OK) != 0 && home_path(policy, sizeof policy, "policies/default.yaml") &&
        access(policy, R_OK) == 0)
        options->policy_path = policy;
    if (code == EXIT_DONE)
        code = make_folders_above(options->database);
    if (code == EXIT_DONE && asked->postgres)
        code = start_postgres(asked);
    options->store = asked->choice.address;
    struct fleet_synthetic synthetic = {.nodes = asked->synthetic > 0 ? (uint32_t)asked->synthetic : 0};
    up->synthetic = synthetic.nodes > 0;
    if (up->synthetic)
        options->synthetic = &synthetic;
    else if (code == EXIT_DONE)
        code = read_lab(asked->lab, &up->lab);
    if (code == EXIT_DONE && up->synthetic)
        name_synthetic(up, synthetic.nodes);
    else if (code == EXIT_DONE)
        name_nodes(up);
    if (code == EXIT_DONE)
        code = run_up(up, options);
    if (code == EXIT_DONE && options->store)
        tell_where_it_is(asked);
    own_postgres_stop(&asked->server);
    free(up->names);
    free(up);
    return code;
}

int verb_up(const struct verb *verb, int argc, char **argv)
{
    struct asked asked = {.port = -1, .synthetic = -1};
    const struct flag flags[] = {
        {"lab", 0, FLAG_TEXT, &asked.lab, "FILE", "who is in it and who calls whom (web-1, api-1, db-1)"},
        {"scenario", 0, FLAG_TEXT, &asked.scenario, "FILE",
         "live: the fleet of a scenario, its script, and a verdict"},
        {"synthetic", 0, FLAG_WHOLE, &asked.synthetic, "N",
         "simulated nodes instead of real ones (0: as many as the scenario says)"},
        {"policy", 0, FLAG_TEXT, &asked.fleet.policy_path, "FILE",
         "(newest of the database, else policies/default.yaml; the scenario's)"},
        {"port", 'p', FLAG_WHOLE, &asked.port, "PORT",
         "of the control plane (7070; 0, and with --scenario: a free one)"},
        {"interval", 0, FLAG_DURATION, &asked.fleet.interval_ns, "TIME",
         "between the reports of a node (as the lab says, 1s)"},
        STORE_FLAGS(&asked.choice, "a file (lab/homeostat.db; of a scenario lab/scenario.db, anew)"),
        {"postgres", 0, FLAG_YES, &asked.postgres, NULL,
         "keep it in a PostgreSQL server of the lab's own, in lab/postgres"},
        {"record", 0, FLAG_TEXT, &asked.fleet.record_path, "FILE", "write a journal there, for replay"},
        {"seed", 's', FLAG_WHOLE, &asked.seed, "N",
         "of a scenario: whom `2 of role:web` means (the scenario's)"},
        {"verbose", 'v', FLAG_YES, &asked.verbose, NULL, "commands with their ids, and every notice"},
        {"json", 0, FLAG_YES, &asked.json, NULL, "of a scenario: one object on stdout instead of the log"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    code = check_asked(&asked);
    if (asked.postgres)
        unsetenv(STORE_VARIABLE); /* the flag is nearer */
    if (code == EXIT_DONE)
        code = store_choose(&asked.choice, "up", asked.scenario ? "lab/scenario.db" : "lab/homeostat.db");
    if (code != EXIT_DONE)
        return code;
    return asked.scenario ? run_scenario(&asked) : run_lab(&asked);
}
