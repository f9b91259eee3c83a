/* serve: the control plane alone. */
#include "cli/cli.h"

#include "plane/plane.h"

#include <stdlib.h>

int verb_serve(const struct verb *verb, int argc, char **argv)
{
    struct plane_options options = {.port = 7070, .listen_fd = -1, .ready_fd = -1};
    char database[4096];
    const struct flag flags[] = {
        {"port", 'p', FLAG_WHOLE, &options.port, "PORT", "where it listens (7070; 0: the kernel chooses)"},
        {"address", 0, FLAG_TEXT, &options.address, "ADDRESS",
         "numeric (127.0.0.1); beyond the loopback --token-file is needed"},
        {"token-file", 0, FLAG_TEXT, &options.token_file, "FILE",
         "who may do what: lines 'operator TOKEN', 'node TOKEN [NAME]'"},
        {"connections-per-address", 0, FLAG_WHOLE, &options.connections_per_address, "N",
         "of one client (64; no limit for the loopback)"},
        {"db", 0, FLAG_TEXT, &options.database, "FILE", "its database (lab/homeostat.db)"},
        {"policy", 0, FLAG_TEXT, &options.policy_path, "FILE",
         "(the newest of the database, else the built-in default)"},
        {"log", 0, FLAG_TEXT, &options.log_path, "FILE", "notices to people go there (stderr)"},
        {"listen-fd", 0, FLAG_WHOLE, &options.listen_fd, "FD", "a descriptor that listens already"},
        {"ready-fd", 0, FLAG_WHOLE, &options.ready_fd, "FD", "its port is written there once it answers"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    if (options.port > 65535)
        return fail(EXIT_USAGE, "serve: no port is above 65535");
    if (!options.database) {
        if (!home_path(database, sizeof database, "lab/homeostat.db"))
            return fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
        options.database = database;
        code = make_folders_above(database);
        if (code != EXIT_DONE)
            return code;
    }
    return plane_main(&options);
}
