/* How fast the whole loop is: a real control plane with its database on this disk, the default policy in
 * force, every sample stored.
 *
 *     ./run bench loop [--json] [--quick]
 *
 * The control plane has one CPU to itself, the generator of load the other. Rates are medians of three rounds
 * (--quick: of one), each with a fresh database, and of the rounds that other programs disturbed least;
 * afterwards the database must hold every sample that was accepted, and every report must have been decided
 * on, or the bench fails. On a machine where others work too, trust the CPU times and the ratios: they do not
 * move with the neighbours as wall time does. */
#include "heal.h"
#include "load.h"
#include "plant.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 1000, CONNECTIONS = 64, BATCH = 100, ROUNDS = 3, AGENTS = 1000, AGENT_REPORTS = 70 };

static const double quiet_ratio = 0.1; /* of the CPU may be taken by others in a round that counts as quiet */

/* One round of reports, or the middle of several. */
struct speed {
    double per_s, per_cpu_s, cpu_us, p50_ms, p99_ms, most_ms, foreign_ratio;
};

static void check_all_is_there(struct plant *plant, uint64_t sent)
{
    double not_evaluated = plant_metric(plant, "homeostat_reports_not_evaluated_total");
    plant_stop(plant);
    int64_t stored = plant_count(plant, "SELECT count(*) FROM samples");
    int64_t apart =
        plant_count(plant, "SELECT count(*) FROM (SELECT DISTINCT node, boot, sequence FROM samples)");
    int64_t incidents = plant_count(plant, "SELECT count(*) FROM incidents");
    if ((uint64_t)stored != sent || apart != stored)
        give_up("%llu reports were accepted, the database has %lld (%lld different)",
                (unsigned long long)sent, (long long)stored, (long long)apart);
    if (not_evaluated > 0 || incidents > 0)
        give_up("%.0f reports were not decided on, and %lld incidents came of healthy ones", not_evaluated,
                (long long)incidents);
}

static struct speed measure_reports(int batch, double run_s)
{
    static struct load_result told; /* large */
    struct plant plant;
    plant_start(&plant, NULL);
    struct load load = {.port = plant.port, .nodes = NODES, .batch = batch};
    load.connections = batch ? NODES / batch : CONNECTIONS;
    load.rounds = 3;
    load_run(&load, &told); /* all nodes are known, memory is warm */
    load_close(&told);
    uint64_t before = told.reports;
    double cpu_s = plant_cpu_s(&plant), busy_s = plant_cpu_busy_s();
    load.rounds = 0;
    load.run_s = run_s;
    load_run(&load, &told);
    cpu_s = plant_cpu_s(&plant) - cpu_s;
    double foreign_s = plant_cpu_busy_s() - busy_s - cpu_s;
    load_close(&told);
    sleep_s(0.3); /* the newest samples wait a quarter of a second for company */
    check_all_is_there(&plant, before + told.reports);
    plant_remove(&plant);
    return (struct speed){.per_s = (double)told.reports / told.took_s,
                          .per_cpu_s = (double)told.reports / cpu_s,
                          .cpu_us = cpu_s * 1e6 / (double)told.reports,
                          .p50_ms = told.p50_ms,
                          .p99_ms = told.p99_ms,
                          .most_ms = told.most_ms,
                          .foreign_ratio = foreign_s > 0 ? foreign_s / told.took_s : 0};
}

static double middle(const struct speed *rates, int rounds, size_t member)
{
    double values[ROUNDS] = {0};
    for (int i = 0; i < rounds && i < ROUNDS; i++)
        memcpy(&values[i], (const char *)&rates[i] + member, sizeof(double));
    return median(values, rounds);
}

static int by_noise(const void *a, const void *b)
{
    double x = ((const struct speed *)a)->foreign_ratio, y = ((const struct speed *)b)->foreign_ratio;
    return (x > y) - (x < y);
}

/* Of the rounds the quietest count, whatever they showed; more are run while others disturb them. */
static struct speed measure_rounds(int batch, int rounds, double run_s)
{
    struct speed rates[2 * ROUNDS];
    int count = 0, quiet = 0;
    while (count < rounds || (quiet < rounds && count < 2 * rounds)) {
        rates[count] = measure_reports(batch, run_s);
        quiet += rates[count++].foreign_ratio < quiet_ratio;
    }
    qsort(rates, (size_t)count, sizeof(rates[0]), by_noise);
    return (struct speed){.per_s = middle(rates, rounds, offsetof(struct speed, per_s)),
                          .per_cpu_s = middle(rates, rounds, offsetof(struct speed, per_cpu_s)),
                          .cpu_us = middle(rates, rounds, offsetof(struct speed, cpu_us)),
                          .p50_ms = middle(rates, rounds, offsetof(struct speed, p50_ms)),
                          .p99_ms = middle(rates, rounds, offsetof(struct speed, p99_ms)),
                          .most_ms = middle(rates, rounds, offsetof(struct speed, most_ms)),
                          .foreign_ratio = middle(rates, rounds, offsetof(struct speed, foreign_ratio))};
}

/* A thousand node agents, each on a connection of its own, as they are after a minute. */
static void measure_memory(double *rss, double *pss)
{
    static struct load_result told;
    struct plant plant;
    plant_start(&plant, NULL);
    struct load load = {.port = plant.port, .connections = AGENTS, .nodes = AGENTS, .rounds = AGENT_REPORTS};
    load_run(&load, &told);
    sleep_s(0.5);
    plant_memory_mib(&plant, rss, pss);
    double connected = plant_metric(&plant, "homeostat_http_connections");
    if (connected < AGENTS)
        give_up("only %.0f of %d node agents were connected", connected, AGENTS);
    load_close(&told);
    plant_stop(&plant);
    plant_remove(&plant);
}

static double measure_steps(int rounds)
{
    struct policy policy;
    double rates[ROUNDS];
    steps_policy(&policy);
    for (int i = 0; i < rounds; i++)
        rates[i] = steps_healthy(&policy);
    return median(rates, rounds);
}

static void measure_commits(int rounds, struct heal_commits *result)
{
    double per_s[ROUNDS], bare_per_s[ROUNDS], p99_ms[ROUNDS];
    for (int i = 0; i < rounds; i++) {
        heal_commits(2000, result);
        per_s[i] = result->per_s;
        bare_per_s[i] = result->bare_per_s;
        p99_ms[i] = result->p99_ms;
    }
    *result = (struct heal_commits){.per_s = median(per_s, rounds),
                                    .bare_per_s = median(bare_per_s, rounds),
                                    .p99_ms = median(p99_ms, rounds)};
}

/* --- telling --- */

struct figure {
    const char *key; /* in JSON */
    int digits;      /* after the point */
    const char *unit, *what;
    double value;
};

static void print_json(const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s\"%s\":%.*f", i ? "," : "{", figures[i].key, figures[i].digits, figures[i].value);
    printf("}\n");
}

/* The last column, broken at blanks so that no line is longer than 100. */
static void print_what(const char *what)
{
    enum { AT = 49, ROOM = 100 - AT };
    while (strlen(what) > ROOM) {
        int length = ROOM;
        while (length > 1 && what[length] != ' ')
            length--;
        printf("%.*s\n%*s", length, what, AT, "");
        what += length + (what[length] == ' ');
    }
    printf("%s\n", what);
}

static void print_table(const struct figure *figures, size_t count, int rounds)
{
    printf("the whole loop, every sample stored, default policy, control plane on one CPU, median of %d\n\n",
           rounds);
    for (size_t i = 0; i < count; i++) {
        printf("  %-26s %12.*f %-4s  ", figures[i].key, figures[i].digits, figures[i].value, figures[i].unit);
        print_what(figures[i].what);
    }
}

/* The same load against another server, for versus.sh; it must answer with "accepted":1. */
static int print_against(int port, double run_s)
{
    static struct load_result told;
    struct load load = {.port = port, .nodes = NODES, .connections = CONNECTIONS, .rounds = 1};
    load_run(&load, &told);
    load_close(&told);
    load.rounds = 0;
    load.run_s = run_s;
    load_run(&load, &told);
    load_close(&told);
    printf("%llu %.0f %.2f %.2f\n", (unsigned long long)told.reports, (double)told.reports / told.took_s,
           told.p50_ms, told.p99_ms);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--against") == 0)
        return print_against(atoi(argv[2]), 3);
    int json = 0, rounds = ROUNDS;
    for (int i = 1; i < argc; i++) {
        json |= strcmp(argv[i], "--json") == 0;
        rounds = strcmp(argv[i], "--quick") == 0 ? 1 : rounds;
    }
    pin(OWN_CPU);
    go_first();
    double rss, pss, flip, flip_most;
    struct heal_commits commits;
    struct speed single = measure_rounds(0, rounds, 2);
    struct speed batch = measure_rounds(BATCH, rounds, 1);
    measure_memory(&rss, &pss);
    double steps = measure_steps(rounds), death = heal_death_ms(rounds > 1 ? 11 : 3);
    heal_flip_s(rounds > 1 ? 31 : 9, &flip, &flip_most);
    measure_commits(rounds, &commits);
    const struct figure figures[] = {
        {"reports_per_s_single", 0, "/s", "one report a request, 64 connections, 1000 nodes", single.per_s},
        {"reports_per_cpu_s_single", 0, "/s", "the same, a second of the control plane's CPU",
         single.per_cpu_s},
        {"cpu_us_per_report", 2, "us", "all threads, HTTP, rules and storing together", single.cpu_us},
        {"p50_ms", 2, "ms", "of their answers", single.p50_ms},
        {"p99_ms", 2, "ms", "", single.p99_ms},
        {"most_ms", 2, "ms", "the slowest one", single.most_ms},
        {"foreign_cpu_ratio", 2, "", "of that CPU, taken by other programs meanwhile: noise",
         single.foreign_ratio},
        {"reports_per_s_batch", 0, "/s", "in bodies of 100", batch.per_s},
        {"reports_per_cpu_s_batch", 0, "/s", "the same, a second of the control plane's CPU",
         batch.per_cpu_s},
        {"cpu_us_per_report_batch", 2, "us", "", batch.cpu_us},
        {"rss_mib_1000", 1, "MiB", "1000 connected node agents after 70 reports each", rss},
        {"pss_mib_1000", 1, "MiB", "the same, shared pages by share", pss},
        {"core_steps_per_s", 0, "/s", "the decision core alone, healthy reports", steps},
        {"death_to_restart_ms", 1, "ms", "a service is killed -> the next one runs", death},
        {"flip_to_command_s", 3, "s", "CPU jumps -> command; samples once a second: mean wait 0.5 s", flip},
        {"flip_to_command_most_s", 3, "s", "the slowest one", flip_most},
        {"incident_commits_per_s", 0, "/s", "incidents with their commands, durable before answered",
         commits.per_s},
        {"bare_commits_per_s", 0, "/s", "SQLite alone, one row a commit, the same disk", commits.bare_per_s},
        {"incident_commits_ratio", 2, "", "of the two", commits.per_s / commits.bare_per_s},
        {"incident_p99_ms", 1, "ms", "until an answer carries its command", commits.p99_ms},
    };
    if (json)
        print_json(figures, sizeof(figures) / sizeof(figures[0]));
    else
        print_table(figures, sizeof(figures) / sizeof(figures[0]), rounds);
    return 0;
}
