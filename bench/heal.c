#include "heal.h"

#include "load.h"
#include "plant.h"

#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char heal_policy[] =
    "version: 1\n"
    "detectors:\n"
    "  - {name: down, when: service_up < 1, for: 0s, clear: service_up >= 1, healthy_for: 1s, confirm: no}\n"
    "  - {name: hot, when: cpu_utilization > 0.90, for: 0s, clear: cpu_utilization < 0.70, healthy_for: 1s, "
    "confirm: no}\n"
    "playbooks:\n"
    "  - on: down\n"
    "    steps: [restart_service, page_human]\n"
    "  - on: hot\n"
    "    steps: [restart_service, page_human]\n"
    "guards:\n"
    "  max_disrupted: 100%\n"
    "  breaker: {unhealthy: 100%, at_least: 100000}\n"
    "  per_target: {cooldown: 0s, attempts: {max: 16, within: 10m}, backoff: no}\n"
    "  rate: {fleet: no, target: no, rule: no, kind: no}\n"
    "  flapping: no\n"
    "  hold: 0s\n";

enum { PEOPLE_MAX = 64 };

/* --- death to restart --- */

static int wait_service(pid_t agent, pid_t but, double patience_s)
{
    double until = now_s() + patience_s;
    int pid = 0;
    while (!(pid = agent_service(agent, but)) && now_s() < until)
        sleep_s(0.0002);
    if (!pid)
        give_up("no service came within %g s", patience_s);
    return pid;
}

double heal_death_ms(int count)
{
    struct plant plant;
    pid_t agents[PEOPLE_MAX];
    double took_ms[PEOPLE_MAX];
    plant_start(&plant, heal_policy);
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "node-%d", i);
        agents[i] = plant_agent(&plant, name);
    }
    double until = now_s() + 15;
    while (plant_metric(&plant, "homeostat_fleet_nodes") < count) {
        if (now_s() > until)
            give_up("%d node agents did not all come", count);
        sleep_s(0.05);
    }
    sleep_s(1.2); /* each has reported its healthy service */
    for (int i = 0; i < count; i++) {
        pid_t service = wait_service(agents[i], 0, 5);
        double begun = now_s();
        kill(service, SIGKILL);
        wait_service(agents[i], service, 10);
        took_ms[i] = (now_s() - begun) * 1000;
    }
    for (int i = 0; i < count; i++)
        kill(agents[i], SIGTERM);
    for (int i = 0; i < count; i++)
        waitpid(agents[i], NULL, 0);
    plant_stop(&plant);
    plant_remove(&plant);
    return median(took_ms, count);
}

/* --- flip to command --- */

struct patient {
    int fd;
    double next_at, flips_at, took_s; /* took_s: 0 until the command is there */
    unsigned sequence;
};

static void report_once(struct patient *patient, int number, double now)
{
    char path[64], body[256], answer[2048];
    bool hot = now >= patient->flips_at;
    snprintf(path, sizeof(path), "/v1/nodes/node-%d/reports", number);
    snprintf(body, sizeof(body),
             "{\"boot\":\"%016x\",\"sequence\":%u,\"samples\":{\"cpu_utilization\":%s,\"service_up\":1}}",
             0xf11b000 + number, ++patient->sequence, hot ? "0.97" : "0.05");
    if (ask_over(patient->fd, "POST", path, body, answer, sizeof(answer)) != 200)
        give_up("a report was refused: %s", answer);
    if (strstr(answer, "\"remedy\":"))
        patient->took_s = now_s() - patient->flips_at;
    patient->next_at += 1;
}

/* Its reports and its flip both fall anywhere within a second, evenly over all of them: chance would only add
 * its own error to the median. */
static struct patient patient(int fd, double begun, int index, int count)
{
    double phase = (double)(index * 7 % count) / count, wait = (index + 0.5) / count;
    return (struct patient){.fd = fd, .next_at = begun + phase, .flips_at = begun + 2 + phase - wait};
}

void heal_flip_s(int count, double *middle, double *most)
{
    struct plant plant;
    struct patient patients[PEOPLE_MAX];
    double took_s[PEOPLE_MAX];
    int left = count;
    plant_start(&plant, heal_policy);
    double begun = now_s();
    for (int i = 0; i < count; i++)
        patients[i] = patient(connect_to(plant.port), begun, i, count);
    while (left > 0) {
        double now = now_s();
        if (now > begun + 10)
            give_up("no command came for %d nodes", left);
        for (int i = 0; i < count; i++) {
            if (patients[i].took_s > 0 || now < patients[i].next_at)
                continue;
            report_once(&patients[i], i, now);
            left -= patients[i].took_s > 0;
        }
        sleep_s(0.0005);
    }
    for (int i = 0; i < count; i++) {
        close(patients[i].fd);
        took_s[i] = patients[i].took_s;
    }
    plant_stop(&plant);
    plant_remove(&plant);
    *middle = median(took_s, count);
    *most = took_s[count - 1];
}

/* --- incidents made durable --- */

/* What SQLite can do by itself: one row, one commit, one fsync, again and again for half a second. */
static double bare_commits(const struct plant *plant)
{
    char path[320];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/bare.db", plant->folder);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                     "CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)",
                     NULL, NULL, NULL) != SQLITE_OK)
        give_up("SQLite: %s", sqlite3_errmsg(db));
    int count = 0;
    double begun = now_s(), took = 0;
    for (; took < 0.5; count++, took = now_s() - begun)
        if (sqlite3_exec(db, "INSERT INTO rows (text) VALUES ('an incident, say')", NULL, NULL, NULL) !=
            SQLITE_OK)
            give_up("SQLite: %s", sqlite3_errmsg(db));
    sqlite3_close(db);
    return count / took;
}

void heal_commits(int nodes, struct heal_commits *result)
{
    struct plant plant;
    static struct load_result told; /* large */
    plant_start(&plant, heal_policy);
    struct load load = {.port = plant.port, .connections = 64, .nodes = nodes, .rounds = 2};
    load_run(&load, &told); /* all are there, and well */
    load_close(&told);
    result->bare_per_s = bare_commits(&plant);
    load.sick = 1;
    load.rounds = 1;
    load_run(&load, &told);
    load_close(&told);
    result->per_s = (double)told.answers / told.took_s;
    result->p99_ms = told.p99_ms;
    plant_stop(&plant);
    int64_t stored = plant_count(&plant, "SELECT count(*) FROM commands JOIN incidents "
                                         "ON incidents.id = commands.incident");
    if (stored != nodes)
        give_up("%d incidents were answered, %lld are in the database", nodes, (long long)stored);
    plant_remove(&plant);
}
