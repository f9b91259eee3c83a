/* agent: one node agent with the service that it keeps alive. */
#include "agent/agent.h"

#include "base/text.h"
#include "cli/cli.h"
#include "core/core.h"
#include "plane/access.h"

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

/* Of the file, what a node agent of that name may use; EXIT_DONE, or the complaint's code. */
static int find_token(const char *path, const char *name, char token[TOKEN_MAX + 1])
{
    char error[512] = "";
    struct access *access = access_load(path, error, sizeof error);
    const char *found = access ? access_token(access, name) : NULL;
    if (found)
        text_copy(token, TOKEN_MAX + 1, found);
    else if (access)
        snprintf(error, sizeof error, "%s has no line 'node TOKEN' and none 'node TOKEN %s'", path, name);
    access_free(&access);
    return found ? EXIT_DONE : fail(EXIT_USAGE, "agent: %s", error);
}

int verb_agent(const struct verb *verb, int argc, char **argv)
{
    struct agent_options options = {0};
    struct flag_list calls = {0};
    int spool_bytes = 0;
    char folder[4096], relative[256], names[FLAG_LIST_MAX][NODE_NAME_SIZE];
    char token[TOKEN_MAX + 1];
    const char *url = getenv("HOMEOSTAT_URL"), *token_file = getenv("HOMEOSTAT_TOKEN_FILE");
    options.plane_url = url && *url ? url : "http://127.0.0.1:7070";
    const struct flag flags[] = {
        {"plane", 0, FLAG_TEXT, &options.plane_url, "URL",
         "the control plane (HOMEOSTAT_URL, http://127.0.0.1:7070)"},
        {"token-file", 0, FLAG_TEXT, &token_file, "FILE",
         "its first token for this node is used (HOMEOSTAT_TOKEN_FILE)"},
        {"role", 0, FLAG_TEXT, &options.role, "ROLE", "what kind of node it is"},
        {"zone", 0, FLAG_TEXT, &options.zone, "ZONE", "what it shares its fate with"},
        {"call", 0, FLAG_LIST, &calls, "NODE=URL", "a service that its service calls; at most 8 times"},
        {"interval", 0, FLAG_DURATION, &options.interval_ns, "TIME", "between reports (1s)"},
        {"listen", 0, FLAG_TEXT, &options.listen, "ADDRESS:PORT",
         "where users find the service (127.0.0.1:0)"},
        {"listen-fd", 0, FLAG_WHOLE, &options.listen_fd, "FD", "a descriptor that listens already"},
        {"folder", 0, FLAG_TEXT, &options.folder, "FOLDER", "of this node (lab/nodes/NAME)"},
        {"spool-bytes", 0, FLAG_WHOLE, &spool_bytes, "BYTES",
         "of disk for reports that wait for the control plane (16777216)"},
        {"exec", 0, FLAG_TEXT, &options.exec, "COMMAND",
         "your program as the service; {port}, {data}, {name} are filled in"},
        {"probe", 0, FLAG_TEXT, &options.probe, "HOW", "how users see it: http:PATH, tcp or tcp:TEXT (tcp)"},
        {"load", 0, FLAG_NUMBER, &options.load_rate, "RATE",
         "requests per second of its users (20; below 0: none)"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    if (spool_bytes < 0)
        return fail(EXIT_USAGE, "agent: --spool-bytes wants a number of bytes");
    options.spool_bytes = (size_t)spool_bytes;
    options.name = argv[1];
    if (!text_is_name(options.name, NODE_NAME_SIZE - 1))
        return fail(EXIT_USAGE, "agent: '%s' cannot be the name of a node", options.name);
    if (token_file && *token_file) {
        code = find_token(token_file, options.name, token);
        if (code != EXIT_DONE)
            return code;
        options.token = token;
    }
    if (!read_calls(&calls, names, &options))
        return fail(EXIT_USAGE, "agent: --call wants NODE=URL, such as api-1=http://127.0.0.1:9002");
    snprintf(relative, sizeof relative, "lab/nodes/%s", options.name);
    if (!options.folder) {
        if (!home_path(folder, sizeof folder, relative))
            return fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
        options.folder = folder;
    }
    code = make_folders_above(options.folder);
    if (code != EXIT_DONE)
        return code;
    return agent_main(&options) == 0 ? EXIT_DONE : EXIT_ENVIRONMENT;
}
