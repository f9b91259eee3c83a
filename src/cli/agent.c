/* agent: one node agent with the service that it keeps alive, or a fleet of synthetic nodes in one process.
 */
#include "agent/agent.h"

#include "base/check.h"
#include "base/text.h"
#include "cli/cli.h"
#include "core/core.h"
#include "plane/access.h"
#include "synthetic/synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)FLAG_LIST_MAX <= (int)AGENT_CALLS_MAX, "a node agent has room for all of the list");

/* `api-1=http://127.0.0.1:9002`. The names are copied to `names`. */
static bool read_calls(const struct flag_list *list, char names[][NODE_NAME_SIZE],
                       struct agent_options *options)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (!equals || equals - list->items[i] >= NODE_NAME_SIZE)
            return false;
        snprintf(names[i], NODE_NAME_SIZE, "%.*s", (int)(equals - list->items[i]), list->items[i]);
        if (!text_is_name(names[i], NODE_NAME_SIZE - 1))
            return false;
        options->calls[i] = (struct agent_call){names[i], equals + 1};
    }
    options->calls_count = list->count;
    return true;
}

#define BYTES_MOST 1099511627776.0

/* What is asked for on the command line. */
struct asked {
    struct agent_options options;
    struct flag_list calls;
    const char *token_file, *scenario;
    int synthetic, seed, spool_bytes; /* below 0: not said */
};

/* No node is called so: only a token for all nodes is good for it. */
static const char all_nodes[] = "*";

/* Of the file, what a node agent of that name may use; EXIT_DONE, or the complaint's code. */
static int find_token(const char *path, const char *name, char token[TOKEN_MAX + 1])
{
    char error[512] = "";
    struct access *access = access_load(path, error, sizeof error);
    const char *found = access ? access_token(access, name) : NULL;
    if (found)
        text_copy(token, TOKEN_MAX + 1, found);
    else if (access && name == all_nodes)
        snprintf(error, sizeof error, "%s has no line 'node TOKEN', which is good for all nodes", path);
    else if (access)
        snprintf(error, sizeof error, "%s has no line 'node TOKEN' and none 'node TOKEN %s'", path, name);
    access_free(&access);
    return found ? EXIT_DONE : fail(EXIT_USAGE, "agent: %s", error);
}

/* --- a fleet of synthetic nodes ------------------------------------------------------------------------- */

static int read_scenario(const char *path, struct scenario *scenario)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int code = scenario_read_file(path, scenario, complaints);
    for (uint32_t i = 0; i < complaints->count; i++) {
        char line[4096 + COMPLAINT_TEXT_SIZE];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints->list[i], path);
        fprintf(stderr, "%s\n", line);
    }
    free(complaints);
    if (code < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(-code));
    return code == 0 ? EXIT_DONE : EXIT_USAGE;
}

/* EXIT_DONE and a scenario with as many nodes as are wanted. */
static int lay_out(const struct asked *asked, struct scenario *scenario)
{
    uint32_t nodes = (uint32_t)asked->synthetic;
    int code = asked->scenario ? read_scenario(asked->scenario, scenario) : EXIT_DONE;
    if (code != EXIT_DONE)
        return code;
    nodes = nodes ? nodes : scenario->node_count;
    if (nodes == 0)
        return fail(EXIT_USAGE,
                    "agent: how many synthetic nodes? --synthetic 1000, or --scenario FILE that says it");
    if (nodes > SYNTHETIC_NODES_MAX)
        return fail(EXIT_USAGE, "agent: %u synthetic nodes are more than the %d of one process", nodes,
                    (int)SYNTHETIC_NODES_MAX);
    if (!asked->scenario)
        synthetic_fleet(scenario, nodes);
    else if (!synthetic_resize(scenario, nodes))
        return fail(EXIT_USAGE, "agent: %s has %u groups of nodes; --synthetic %u or more", asked->scenario,
                    scenario->group_count, scenario->group_count);
    return EXIT_DONE;
}

static int run_synthetic(const struct asked *asked)
{
    char token[TOKEN_MAX + 1];
    struct synthetic_options options = {.plane_url = asked->options.plane_url,
                                        .seed = asked->seed > 0 ? (uint64_t)asked->seed : 0};
    struct scenario *scenario = calloc(1, sizeof *scenario);
    CHECK(scenario);
    int code = lay_out(asked, scenario);
    if (code == EXIT_DONE && asked->token_file && *asked->token_file) {
        code = find_token(asked->token_file, all_nodes, token);
        options.token = token;
    }
    options.scenario = scenario;
    if (code == EXIT_DONE)
        code = synthetic_main(&options) == 0 ? EXIT_DONE : EXIT_ENVIRONMENT;
    free(scenario);
    return code;
}

/* --- a real one ----------------------------------------------------------------------------------------- */

static int run_real(struct asked *asked, const char *name)
{
    struct agent_options *options = &asked->options;
    char folder[4096], relative[256], names[FLAG_LIST_MAX][NODE_NAME_SIZE], token[TOKEN_MAX + 1];
    int code;
    if (asked->spool_bytes < 0)
        return fail(EXIT_USAGE, "agent: --spool-bytes wants a number of bytes");
    options->spool_bytes = (size_t)asked->spool_bytes;
    options->name = name;
    if (!text_is_name(name, NODE_NAME_SIZE - 1))
        return fail(EXIT_USAGE, "agent: '%s' cannot be the name of a node", name);
    if (asked->token_file && *asked->token_file) {
        code = find_token(asked->token_file, name, token);
        if (code != EXIT_DONE)
            return code;
        options->token = token;
    }
    if (!read_calls(&asked->calls, names, options))
        return fail(EXIT_USAGE, "agent: --call wants NODE=URL, such as api-1=http://127.0.0.1:9002");
    snprintf(relative, sizeof relative, "lab/nodes/%s", name);
    if (!options->folder) {
        if (!home_path(folder, sizeof folder, relative))
            return fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
        options->folder = folder;
    }
    code = make_folders_above(options->folder);
    if (code != EXIT_DONE)
        return code;
    return agent_main(options) == 0 ? EXIT_DONE : EXIT_ENVIRONMENT;
}

int verb_agent(const struct verb *verb, int argc, char **argv)
{
    struct asked asked = {.synthetic = -1, .seed = -1, .token_file = getenv("HOMEOSTAT_TOKEN_FILE")};
    struct agent_options *options = &asked.options;
    const char *url = getenv("HOMEOSTAT_URL");
    double quota = 0, memory = 0;
    options->plane_url = url && *url ? url : "http://127.0.0.1:7070";
    const struct flag flags[] = {
        {"plane", 0, FLAG_TEXT, &options->plane_url, "URL",
         "the control plane (HOMEOSTAT_URL, http://127.0.0.1:7070)"},
        {"url", 0, FLAG_TEXT, &options->plane_url, "URL", "the same"},
        {"token-file", 0, FLAG_TEXT, &asked.token_file, "FILE",
         "its first token for this node is used (HOMEOSTAT_TOKEN_FILE)"},
        {"role", 0, FLAG_TEXT, &options->role, "ROLE", "what kind of node it is"},
        {"zone", 0, FLAG_TEXT, &options->zone, "ZONE", "what it shares its fate with"},
        {"call", 0, FLAG_LIST, &asked.calls, "NODE=URL", "a service that its service calls; at most 8 times"},
        {"interval", 0, FLAG_DURATION, &options->interval_ns, "TIME", "between reports (1s)"},
        {"listen", 0, FLAG_TEXT, &options->listen, "ADDRESS:PORT",
         "where users find the service (127.0.0.1:0)"},
        {"listen-fd", 0, FLAG_WHOLE, &options->listen_fd, "FD", "a descriptor that listens already"},
        {"folder", 0, FLAG_TEXT, &options->folder, "FOLDER", "of this node (lab/nodes/NAME)"},
        {"spool-bytes", 0, FLAG_WHOLE, &asked.spool_bytes, "BYTES",
         "of disk for reports that wait for the control plane (16777216)"},
        {"exec", 0, FLAG_TEXT, &options->exec, "COMMAND",
         "your program; {port}, {data}, {scratch} and {name} are filled in"},
        {"probe", 0, FLAG_TEXT, &options->probe, "HOW", "how users see it: http:PATH, tcp or tcp:TEXT (tcp)"},
        {"capacity", 0, FLAG_NUMBER, &options->capacity_per_s, "RATE",
         "requests per second that it is provisioned for (500; below 0: not said)"},
        {"quota", 0, FLAG_NUMBER, &quota, "BYTES", "of disk that the node has (268435456)"},
        {"memory", 0, FLAG_NUMBER, &memory, "BYTES", "that the node has (268435456)"},
        {"load", 0, FLAG_NUMBER, &options->load_rate, "RATE",
         "requests per second of its users (20; below 0: none)"},
        {"synthetic", 0, FLAG_WHOLE, &asked.synthetic, "N",
         "instead of NAME: so many nodes of the world model (0: the scenario's)"},
        {"scenario", 0, FLAG_TEXT, &asked.scenario, "FILE",
         "of the synthetic nodes: their fleet, load and network"},
        {"seed", 0, FLAG_WHOLE, &asked.seed, "S", "of their randomness (the scenario's)"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 1, &count);
    if (code >= 0)
        return code;
    if (!(quota >= 0 && quota <= BYTES_MOST) || !(memory >= 0 && memory <= BYTES_MOST))
        return fail(EXIT_USAGE, "agent: --quota and --memory want a number of bytes, at most 1 TiB");
    options->quota_bytes = (uint64_t)quota;
    options->memory_bytes = (uint64_t)memory;
    if (asked.synthetic >= 0 && count == 0)
        return run_synthetic(&asked);
    if (asked.synthetic >= 0)
        return fail(EXIT_USAGE, "agent: synthetic nodes have their names from their roles; leave '%s' out",
                    argv[1]);
    if (asked.scenario || asked.seed >= 0)
        return fail(EXIT_USAGE, "agent: --scenario and --seed belong to --synthetic N");
    if (count != 1)
        return fail(EXIT_USAGE, "agent: it is '%s agent NAME' or '%s agent --synthetic N'", program_name(),
                    program_name());
    return run_real(&asked, argv[1]);
}
