/* serve: the control plane alone. */
#include "cli/cli.h"

#include "cli/store_choice.h"

#include "plane/plane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int verb_serve(const struct verb *verb, int argc, char **argv)
{
    struct plane_options options = {
        .port = 7070, .listen_fd = -1, .ready_fd = -1, .inject_gap_ns = PLANE_INJECT_GAP_S * SECOND};
    struct store_choice choice = {0};
    char flight[4096 + 16], scenarios[4096];
    bool no_flight_recorder = false;
    const struct flag flags[] = {
        {"port", 'p', FLAG_WHOLE, &options.port, "PORT", "where it listens (7070; 0: the kernel chooses)"},
        {"address", 0, FLAG_TEXT, &options.address, "ADDRESS",
         "numeric (127.0.0.1); beyond the loopback --token-file is needed"},
        {"token-file", 0, FLAG_TEXT, &options.token_file, "FILE",
         "who may do what: lines 'operator TOKEN', 'node TOKEN [NAME]'"},
        {"connections-per-address", 0, FLAG_WHOLE, &options.connections_per_address, "N",
         "of one client (64; no limit for the loopback)"},
        STORE_FLAGS(&choice, "its database, a file (lab/homeostat.db)"),
        {"policy", 0, FLAG_TEXT, &options.policy_path, "FILE",
         "(the newest of the database, else the built-in default)"},
        {"record", 0, FLAG_TEXT, &options.record_path, "FILE",
         "write a journal there, for replay; one that is there goes on"},
        {"flight", 0, FLAG_TEXT, &options.flight_folder, "FOLDER",
         "a ring of journals is kept there (beside the database)"},
        {"no-flight-recorder", 0, FLAG_YES, &no_flight_recorder, NULL, "without that ring"},
        {"scenarios", 0, FLAG_TEXT, &options.scenario_folder, "FOLDER",
         "what can be played on this fleet (scenarios/)"},
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
    code = store_choose(&choice, "serve", "lab/homeostat.db");
    if (code == EXIT_DONE && choice.file == choice.usual)
        code = make_folders_above(choice.file);
    if (code != EXIT_DONE)
        return code;
    options.database = choice.address ? choice.address : choice.file;
    if (!options.scenario_folder && home_path(scenarios, sizeof scenarios, "scenarios"))
        options.scenario_folder = scenarios;
    if (no_flight_recorder)
        options.flight_folder = NULL;
    else if (!options.flight_folder && name_flight_folder(flight, sizeof flight, choice.file))
        options.flight_folder = flight;
    return plane_main(&options);
}
