/* serve: the control plane alone. */
#include "cli/cli.h"

#include "plane/plane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* lab/homeostat.flight for lab/homeostat.db. */
static bool name_flight_folder(char *out, size_t size, const char *database)
{
    size_t stem = strlen(database);
    if (stem > 3 && strcmp(database + stem - 3, ".db") == 0)
        stem -= 3;
    int length = snprintf(out, size, "%.*s.flight", (int)stem, database);
    return length >= 0 && (size_t)length < size;
}

int verb_serve(const struct verb *verb, int argc, char **argv)
{
    struct plane_options options = {
        .port = 7070, .listen_fd = -1, .ready_fd = -1, .inject_gap_ns = PLANE_INJECT_GAP_S * SECOND};
    char database[4096], flight[4096 + 16];
    bool no_flight_recorder = false;
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
        {"record", 0, FLAG_TEXT, &options.record_path, "FILE",
         "write a journal there, for replay; one that is there goes on"},
        {"no-flight-recorder", 0, FLAG_YES, &no_flight_recorder, NULL,
         "without the ring of journals beside the database"},
        {"inject-gap", 0, FLAG_DURATION, &options.inject_gap_ns, "TIME",
         "the least time between two faults on one node (3s; 0s: none)"},
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
    if (!no_flight_recorder && name_flight_folder(flight, sizeof flight, options.database))
        options.flight_folder = flight;
    return plane_main(&options);
}
