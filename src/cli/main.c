/* The front of the program: the table of verbs, and help made from it. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/crash.h"
#include "base/text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int verb_help(const struct verb *verb, int argc, char **argv);

static const char *const group_names[GROUP_COUNT] = {"Learn", "Operate", "Measure", "Develop"};

static const struct verb verbs[] = {
    {"demo", GROUP_LEARN, "one fault, one loop, one incident: the whole story in half a minute", "",
     "--fault storage_latency", verb_demo},
    {"up", GROUP_LEARN, "a live lab: control plane, three services, and faults of your choosing", "",
     "--interval 1s", verb_up},
    {"inject", GROUP_LEARN, "make a fault on a node, or on some; `inject --list` explains the kinds",
     "KIND [NODE|role:ROLE|zone:ZONE|N of ...|below NODE]", "cpu_spike web-1 --lease 60s", verb_inject},
    {"faults", GROUP_LEARN, "the faults that are on, and those that were", "", "--all", verb_faults},
    {"clear", GROUP_LEARN, "end a fault, or all of them", "[FAULT]", "4", verb_clear},
    {"nodes", GROUP_LEARN, "every node with its health and its main figures", "", "--json", verb_nodes},
    {"incidents", GROUP_LEARN, "what went wrong and how it ended, newest first", "", "--node web-1",
     verb_incidents},
    {"metrics", GROUP_LEARN, "one metric of a node over time: a line of blocks, CSV or JSON", "NODE METRIC",
     "web-1 cpu_utilization --from 1h", verb_metrics},
    {"incident", GROUP_LEARN, "one incident: its timeline, evidence, commands and what was not done", "ID",
     "1", verb_incident},
    {"blocked", GROUP_OPERATE, "what was not done, and why", "", "--limit 20", verb_blocked},
    {"approve", GROUP_OPERATE, "let a waiting plan go ahead", "INCIDENT", "7 --remedy restart_service",
     verb_approve},
    {"decline", GROUP_OPERATE,
     "say no to a waiting plan: the next remedy is planned, or people are left with it", "INCIDENT", "7",
     verb_approve},
    {"maintain", GROUP_OPERATE, "leave a node alone while people work on it", "NODE", "web-1 --for 30m",
     verb_maintain},
    {"undo", GROUP_OPERATE, "have a node take back the remedies that are in force", "NODE", "web-1",
     verb_undo},
    {"acknowledge", GROUP_OPERATE, "say that a person has seen an incident", "INCIDENT", "7",
     verb_acknowledge},
    {"pause", GROUP_OPERATE, "stop acting; detecting goes on", "", "", verb_control},
    {"resume", GROUP_OPERATE, "act again", "", "", verb_control},
    {"reset", GROUP_OPERATE, "close the breaker after it has tripped", "", "", verb_control},
    {"policy", GROUP_OPERATE, "check, show, apply or test a policy file", "check|show|apply|test [FILE...]",
     "check policies/first.yaml", verb_policy},
    {"sim", GROUP_MEASURE,
     "a scenario in virtual time: what was seen, done and reached, and whether it was safe", "SCENARIO.yaml",
     "scenarios/sick-database.yaml --trace", verb_sim},
    {"oats", GROUP_MEASURE,
     "many scenarios laid out by an orthogonal array, so that every pair of levels is met",
     "run|show|check SUITE.yaml", "run oats/first.yaml", verb_oats},
    {"replay", GROUP_MEASURE, "a recorded run once more, or the first decision that another policy changes",
     "JOURNAL|FOLDER", "lab/homeostat.flight --trace", verb_replay},
    {"serve", GROUP_OPERATE, "the control plane alone", "",
     "--db lab/homeostat.db --policy policies/default.yaml", verb_serve},
    {"agent", GROUP_OPERATE, "one node agent with the service it keeps alive, or many synthetic ones", "NAME",
     "web-9 --plane http://127.0.0.1:7070", verb_agent},
    {"store", GROUP_OPERATE, "look after the database: its schema, soundness, size, copies and age",
     "migrate|check|stats|backup FILE|export [FILE]|import FILE|prune",
     "check --store sqlite:lab/homeostat.db", verb_store},
    {"doctor", GROUP_OPERATE, "versions, limits, port, rights, database: is all well, and what to do if not",
     "", "--db lab/homeostat.db", verb_doctor},
    {"service", GROUP_DEVELOP, "the built-in service alone, as a node agent starts it", "", "--help",
     verb_service},
    {"relay", GROUP_DEVELOP, "the relay in front of a service, as a node agent starts it", "", "--help",
     verb_relay},
    {"helper", GROUP_DEVELOP, "one fault beside a service, as a node agent starts it", "burn|leak|neighbour",
     "--help", verb_helper},
    {"version", GROUP_DEVELOP, "the version of this program and of what it is built with", "", "--json",
     verb_version},
    {"help", GROUP_DEVELOP, "the first five verbs; `help all` names the rest, `help VERB` explains one",
     "[all|VERB]", "all", verb_help},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[COUNT_OF(verbs)];
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        names[i] = verbs[i].name;
    const char *near = text_nearest(name, names, COUNT_OF(verbs));
    if (near)
        return fail(EXIT_USAGE, "no verb is called '%s'; did you mean '%s'?", name, near);
    return fail(EXIT_USAGE, "no verb is called '%s'; '%s help all' names them", name, program_name());
}

static void print_first_help(void)
{
    const char *me = program_name();
    printf("homeostat: a self-healing operations lab on your laptop\n\n"
           "  %s demo                      break one service and watch it being healed\n"
           "  %s up                        a live lab of three services; leave it running, then:\n"
           "  %s inject cpu_spike web-1    make a fault\n"
           "  %s incidents                 what went wrong, what was done, did it help\n"
           "  %s incident 1                one incident with its evidence\n\n"
           "  %s help all                  everything else;  %s VERB --help explains one verb\n",
           me, me, me, me, me, me, me);
}

static void print_all_help(void)
{
    for (int group = 0; group < GROUP_COUNT; group++) {
        bool named = false;
        for (size_t i = 0; i < COUNT_OF(verbs); i++) {
            if ((int)verbs[i].group != group)
                continue;
            if (!named)
                printf("%s%s\n", group ? "\n" : "", group_names[group]);
            named = true;
            printf("  %-12s %s\n", verbs[i].name, verbs[i].line);
        }
    }
    printf("\nOf the checkout itself\n"
           "  ./run test   all tests; ./run test core agent, some; ./run test --full, the slow ones too\n"
           "  ./run bench  the benchmarks; ./run bench core --json, one, for programs\n"
           "  ./run build  build only        ./run fmt  lay out the C files\n");
    printf("\nEach takes --help. Exit codes: 0 done, 1 not so, 2 usage, 3 the environment failed.\n");
}

static int verb_help(const struct verb *verb, int argc, char **argv)
{
    const struct flag none[] = {{0}};
    int count;
    int code = flags_read(verb, none, argc, argv, 0, 1, &count);
    if (code >= 0)
        return code;
    if (count == 0) {
        print_first_help();
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "all") == 0) {
        print_all_help();
        return EXIT_DONE;
    }
    const struct verb *asked = find_verb(argv[1]);
    if (!asked)
        return unknown_verb(argv[1]);
    char help[] = "--help";
    char *arguments[] = {argv[1], help, NULL};
    return asked->run(asked, 2, arguments);
}

static int unknown_crash_point(void)
{
    char list[256];
    struct text text = text_over(list, sizeof list);
    for (int i = 0; i < CRASH_COUNT; i++)
        text_addf(&text, "%s%s", i == 0 ? "" : i + 1 < CRASH_COUNT ? ", " : " or ", crash_infos[i].name);
    return fail(EXIT_USAGE, "HOMEOSTAT_CRASH_AT wants NAME, or NAME:3 for the third time: %s", list);
}

int main(int argc, char **argv)
{
    /* A reader that has seen enough (`| head`) or a peer that left is no reason to die in the middle of a
     * lab. */
    signal(SIGPIPE, SIG_IGN);
    if (!crash_arm(getenv("HOMEOSTAT_CRASH_AT")))
        return unknown_crash_point();
    if (argc < 2) {
        print_first_help();
        return EXIT_DONE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    const struct verb *verb = find_verb(name);
    if (!verb)
        return unknown_verb(name);
    int code = verb->run(verb, argc - 1, argv + 1);
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        return EXIT_ENVIRONMENT;
    return code;
}
