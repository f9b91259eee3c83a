/* Stories of synthetic nodes: a control plane in a process of its own, a fleet in another, and people who
 * ask.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "plane/plane.h"
#include "synthetic/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS (20 * SECOND)

struct lab {
    char folder[64], database[96], log[96];
    struct scenario *scenario;
    int port;
    pid_t plane, fleet;
    int status; /* of the newest answer */
    json_t *json;
};

static json_t *newest_answer; /* these two for who waits in vain */
static char newest_log[96];

/* --- a lab ---------------------------------------------------------------------------------------------- */

static void start_plane(struct lab *lab)
{
    int ready[2];
    char text[16] = "";
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t tester = getpid();
    lab->plane = fork();
    if (lab->plane == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct plane_options options = {.port = lab->port,
                                        .listen_fd = -1,
                                        .database = lab->database,
                                        .ready_fd = ready[1],
                                        .log_path = ""};
        close(ready[0]);
        int log = open(lab->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(log, STDERR_FILENO);
        _exit(getppid() == tester ? plane_main(&options) : 3);
    }
    close(ready[1]);
    assert_true(read(ready[0], text, sizeof text - 1) > 0);
    close(ready[0]);
    lab->port = atoi(text);
}

static void start_fleet(struct lab *lab)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", lab->port);
    pid_t tester = getpid();
    lab->fleet = fork();
    if (lab->fleet == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int log = open(lab->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(log, STDERR_FILENO);
        struct synthetic_options options = {.plane_url = url, .scenario = lab->scenario};
        _exit(getppid() == tester && synthetic_main(&options) == 0 ? 0 : 3);
    }
}

/* CPU seconds that the process has used in all. */
static double end(pid_t *process, int number)
{
    struct rusage used;
    kill(*process, number);
    assert_int_equal(wait4(*process, NULL, 0, &used), *process);
    *process = 0;
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void lab_open(struct lab *lab, uint32_t nodes, duration interval_ns)
{
    *lab = (struct lab){.folder = "/tmp/homeostat-synthetic-XXXXXX"};
    assert_non_null(mkdtemp(lab->folder));
    snprintf(lab->database, sizeof lab->database, "%s/lab.db", lab->folder);
    snprintf(lab->log, sizeof lab->log, "%s/fleet.log", lab->folder);
    text_copy(newest_log, sizeof newest_log, lab->log);
    lab->scenario = calloc(1, sizeof *lab->scenario);
    assert_non_null(lab->scenario);
    synthetic_fleet(lab->scenario, nodes);
    for (uint32_t i = 0; i < lab->scenario->group_count; i++)
        lab->scenario->groups[i].node.interval_ns = interval_ns;
    start_plane(lab);
}

static void lab_close(struct lab *lab)
{
    if (lab->fleet)
        end(&lab->fleet, SIGTERM);
    if (lab->plane)
        end(&lab->plane, SIGTERM);
    json_decref(lab->json);
    free(lab->scenario);
    DIR *folder = opendir(lab->folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", lab->folder, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(folder);
    assert_int_equal(rmdir(lab->folder), 0);
}

/* --- asking --------------------------------------------------------------------------------------------- */

static int ask(struct lab *lab, const char *method, const char *path, const char *body)
{
    char *text = NULL;
    json_decref(lab->json);
    lab->status = client_call("127.0.0.1", lab->port, method, path, NULL, body, body ? strlen(body) : 0,
                              5 * SECOND, &text);
    newest_answer = lab->json = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return lab->status;
}

static const char *word(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* The member `list` of the answer, and in it the element whose `key` is that. */
static const json_t *element(const struct lab *lab, const char *list, const char *key, const char *value)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(lab->json, list), i,
                       item) if (strcmp(word(item, key), value) == 0) return item;
    return NULL;
}

/* What the newest answer was, and what the processes complained of: one of them may have ended. */
static void say_more(void)
{
    char line[512];
    FILE *log = fopen(newest_log, "re");
    json_dumpf(newest_answer, stderr, JSON_COMPACT);
    while (log && fgets(line, sizeof line, log))
        fprintf(stderr, "\nlog: %s", line);
    if (log)
        fclose(log);
}

static void breathe(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20 * MILLISECOND}, NULL);
}

#define WAIT_FOR(expression)                                                                                 \
    do {                                                                                                     \
        int64_t until_ns = monotonic_ns() + PATIENCE_NS;                                                     \
        while (!(expression)) {                                                                              \
            if (monotonic_ns() > until_ns) {                                                                 \
                say_more();                                                                                  \
                fail_msg("waited in vain for: %s", #expression);                                             \
            }                                                                                                \
            breathe();                                                                                       \
        }                                                                                                    \
    } while (0)

static bool log_says(const struct lab *lab, const char *what)
{
    char text[4096] = "";
    FILE *file = fopen(lab->log, "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    return strstr(text, what) != NULL;
}

static const json_t *node(struct lab *lab, const char *name)
{
    ask(lab, "GET", "/v1/nodes", NULL);
    return element(lab, "nodes", "node", name);
}

static double sample(struct lab *lab, const char *name, const char *metric)
{
    json_t *value = json_object_get(json_object_get(node(lab, name), "samples"), metric);
    return value ? json_number_value(value) : (double)NAN;
}

static uint32_t healthy(struct lab *lab)
{
    uint32_t count = 0;
    size_t i;
    json_t *item;
    ask(lab, "GET", "/v1/nodes", NULL);
    json_array_foreach(json_object_get(lab->json, "nodes"), i, item) count +=
        strcmp(word(item, "health"), "healthy") == 0;
    return count;
}

static const char *fault_member(struct lab *lab, const char *kind, const char *name)
{
    ask(lab, "GET", "/v1/faults", NULL);
    return word(element(lab, "faults", "kind", kind), name);
}

static bool fault_is(struct lab *lab, const char *kind, const char *name, const char *value)
{
    return strcmp(fault_member(lab, kind, name), value) == 0;
}

static long long count_rows(const struct lab *lab, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(lab->database, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    long long count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

/* --- the stories ---------------------------------------------------------------------------------------- */

enum { NODES = 12 };

static void they_enrol(struct lab *lab)
{
    start_fleet(lab);
    WAIT_FOR(log_says(lab, "12 synthetic nodes report to http://127.0.0.1:"));
    WAIT_FOR(healthy(lab) == NODES);
    const json_t *web = node(lab, "web-1");
    assert_true(json_is_true(json_object_get(web, "synthetic")));
    assert_string_equal(word(web, "role"), "web");
    assert_int_equal(json_array_size(json_object_get(web, "calls")), 4);
}

/* A node agent that says nothing of being synthetic is a real one. */
static void a_real_node_is_given_what_its_service_can_take(struct lab *lab)
{
    assert_int_equal(ask(lab, "PUT", "/v1/nodes/real-1", "{\"program\":true}"), 200);
    assert_int_equal(ask(lab, "POST", "/v1/faults", "{\"kind\":\"bad_config\",\"node\":\"real-1\"}"), 422);
    assert_non_null(strstr(word(lab->json, "detail"), "real-1 runs a program of one's own"));
    assert_int_equal(ask(lab, "POST", "/v1/faults", "{\"kind\":\"retry_storm\",\"node\":\"web-1\"}"), 422);
    assert_non_null(strstr(word(lab->json, "detail"), "web-1 is synthetic"));
    assert_int_equal(
        ask(lab, "POST", "/v1/faults", "{\"kind\":\"service_crash\",\"node\":\"web-1\",\"shape\":\"gray\"}"),
        422);
    assert_int_equal(
        ask(lab, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-1\",\"shape\":\"round\"}"),
        400);
    assert_string_equal(word(lab->json, "pointer"), "/shape");
    assert_int_equal(
        ask(lab, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-1\",\"period_s\":3}"), 422);
    assert_int_equal(ask(lab, "DELETE", "/v1/nodes/real-1", NULL), 204);
}

static void faults_of_the_world_come_through_the_api(struct lab *lab)
{
    assert_int_equal(ask(lab, "POST", "/v1/faults",
                         "{\"kind\":\"overload\",\"node\":\"web-2\",\"intensity\":1.3,\"shape\":\"flapping\","
                         "\"period_s\":2}"),
                     201);
    assert_string_equal(word(lab->json, "shape"), "flapping");
    assert_int_equal(
        ask(lab, "POST", "/v1/faults", "{\"kind\":\"memory_leak\",\"node\":\"db-1\",\"intensity\":10}"), 201);
    assert_int_equal(
        ask(lab, "POST", "/v1/faults", "{\"kind\":\"node_partition\",\"node\":\"db-2\",\"lease_s\":8}"), 201);
    /* Told before it bites; if that message is lost, afterwards. */
    WAIT_FOR(fault_is(lab, "node_partition", "state", "active") ||
             fault_is(lab, "node_partition", "state", "ended"));
    WAIT_FOR(fault_is(lab, "memory_leak", "effect", "seen"));
    WAIT_FOR(fault_is(lab, "overload", "effect", "seen"));
    ask(lab, "GET", "/v1/faults", NULL);
    char path[64];
    snprintf(
        path, sizeof path, "/v1/faults/%lld",
        (long long)json_integer_value(json_object_get(element(lab, "faults", "kind", "memory_leak"), "id")));
    assert_int_equal(ask(lab, "DELETE", path, NULL), 200);
    WAIT_FOR(fault_is(lab, "memory_leak", "reason", "cleared"));
    WAIT_FOR(fault_is(lab, "node_partition", "reason", "expired"));
    assert_true(fault_is(lab, "node_partition", "effect", "seen"));
}

/* The network doubles every message, so the answer with the command comes twice: it is carried out once. */
static void a_spike_is_healed_by_one_restart(struct lab *lab)
{
    double starts = sample(lab, "web-1", "service_starts");
    assert_int_equal(ask(lab, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-1\"}"), 201);
    faults_of_the_world_come_through_the_api(lab); /* meanwhile */
    WAIT_FOR(fault_is(lab, "cpu_spike", "reason", "cured"));
    assert_true(fault_is(lab, "cpu_spike", "effect", "seen"));
    WAIT_FOR(fault_is(lab, "cpu_spike", "removal", "seen"));
    WAIT_FOR(sample(lab, "web-1", "service_starts") > starts);
    assert_true(sample(lab, "web-1", "service_starts") == starts + 1);
    ask(lab, "GET", "/v1/incidents", NULL);
    const json_t *incident = element(lab, "incidents", "node", "web-1");
    assert_string_equal(word(incident, "finding"), "cpu-high");
    assert_string_equal(word(incident, "remedy"), "restart_service");
}

/* What the old one had accepted and not made durable is sent again, and nothing is lost. */
static void the_control_plane_is_killed(struct lab *lab)
{
    WAIT_FOR(count_rows(lab, "SELECT count(*) FROM samples") > 10 * NODES);
    end(&lab->plane, SIGKILL);
    WAIT_FOR(log_says(lab, "the control plane does not answer"));
    start_plane(lab);
    WAIT_FOR(log_says(lab, "the control plane answers again"));
    long long before = count_rows(lab, "SELECT max(sequence) FROM samples");
    WAIT_FOR(count_rows(lab, "SELECT min(newest) FROM (SELECT max(sequence) AS newest FROM samples GROUP BY "
                             "node)") > before + 3);
    WAIT_FOR(count_rows(lab, "SELECT count(*) FROM (SELECT node FROM samples GROUP BY node HAVING "
                             "count(DISTINCT sequence) < max(sequence) - 2)") == 0);
    assert_int_equal(count_rows(lab, "SELECT count(*) FROM gaps"), 0);
    assert_int_equal(count_rows(lab, "SELECT count(DISTINCT boot) FROM samples"), NODES);
}

static void they_say_goodbye(struct lab *lab)
{
    size_t i;
    json_t *item;
    end(&lab->fleet, SIGTERM);
    ask(lab, "GET", "/v1/nodes", NULL);
    json_array_foreach(json_object_get(lab->json, "nodes"), i,
                       item) if (strcmp(word(item, "node"), "real-1") != 0)
        assert_string_equal(word(item, "health"), "gone");
}

static void a_fleet_lives_and_is_healed(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab, NODES, 200 * MILLISECOND);
    lab.scenario->network = (struct scenario_network){
        .least_ns = MILLISECOND, .tail_ns = 2 * MILLISECOND, .double_ratio = 1, .drift_ratio = 0.01};
    lab.scenario->world.noise_ratio = 0; /* one incident, and only the one that we ask for */
    they_enrol(&lab);
    a_real_node_is_given_what_its_service_can_take(&lab);
    a_spike_is_healed_by_one_restart(&lab);
    the_control_plane_is_killed(&lab);
    they_say_goodbye(&lab);
    lab_close(&lab);
}

/* Ten thousand nodes would want less than a core, with some room for sanitizers. */
static void a_thousand_nodes_cost_little(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab, 1000, SECOND);
    start_fleet(&lab);
    WAIT_FOR(log_says(&lab, "1000 synthetic nodes report to"));
    WAIT_FOR(count_rows(&lab, "SELECT count(*) FROM samples") > 3000);
    double cpu_s = end(&lab.fleet, SIGTERM);
    long long reports = count_rows(&lab, "SELECT count(*) FROM samples");
    double us = cpu_s * 1e6 / (double)reports;
    print_message("# %lld reports of 1000 nodes: %.0f us of CPU each, hello and goodbye included\n", reports,
                  us);
    assert_true(us < 1000);
    lab_close(&lab);
}

/* --- the ring ------------------------------------------------------------------------------------------- */

static void put(struct ring *ring, uint64_t sequence)
{
    struct record *record = ring_put(ring);
    record->boot = 7;
    record->sequence = sequence;
}

/* Reports that nobody takes push out the oldest, and the control plane is told which. */
static void what_has_no_room_is_told(void **state)
{
    (void)state;
    struct ring ring = {0};
    struct freight freight;
    for (uint64_t sequence = 1; sequence <= RING_MAX + 10; sequence++)
        put(&ring, sequence);
    assert_int_equal(ring.count, RING_MAX);
    assert_int_equal(ring.losses->count, 1);
    ring_load(&ring, ring_at(&ring, ring.count - 1), &freight);
    assert_true(freight.losses);
    assert_int_equal(freight.from, 11);
    assert_int_equal(freight.count, BATCH_MAX);
    ring.losses->list[0].state = LOSS_SENDING;
    ring_fail(&ring, &freight);
    assert_int_equal(ring.losses->list[0].state, LOSS_WAITING);
    assert_int_equal(ring.losses->list[0].from, 1);
    assert_int_equal(ring.losses->list[0].to, 10);
    ring_load(&ring, NULL, &freight);
    ring.losses->list[0].state = LOSS_SENDING;
    ring_accept(&ring, &freight);
    ring_stored(&ring, freight.departure, 7, freight.to);
    assert_int_equal(ring.count, RING_MAX - BATCH_MAX);
    ring_load(&ring, NULL, &freight); /* left after the loss was known to be accepted */
    ring_accept(&ring, &freight);
    ring_stored(&ring, freight.departure, 7, freight.to);
    assert_int_equal(ring.count, 0);
    assert_int_equal(ring.losses->count, 0);
    assert_false(ring_has_backlog(&ring, NULL));
    ring_free(&ring);
}

/* A report that was accepted and has no room any more is most probably kept by the control plane. If that one
 * is gone before it said so, its successor is told; if it does say so, nobody is. */
static void what_was_accepted_is_told_to_a_successor(void **state)
{
    (void)state;
    struct ring ring = {0};
    struct freight freight;
    for (uint64_t sequence = 1; sequence <= RING_MAX; sequence++)
        put(&ring, sequence);
    ring_load(&ring, NULL, &freight);
    ring_accept(&ring, &freight);
    put(&ring, RING_MAX + 1);
    put(&ring, RING_MAX + 2);
    assert_int_equal(ring.losses->count, 1);
    assert_int_equal(ring.losses->list[0].state, LOSS_ACCEPTED);
    ring_unaccept(&ring);
    assert_int_equal(ring.losses->list[0].state, LOSS_WAITING);
    assert_int_equal(ring.losses->list[0].from, 1);
    assert_int_equal(ring.losses->list[0].to, 2);
    ring_free(&ring);

    for (uint64_t sequence = 1; sequence <= RING_MAX; sequence++)
        put(&ring, sequence);
    ring_load(&ring, NULL, &freight);
    ring_accept(&ring, &freight);
    put(&ring, RING_MAX + 1);
    assert_int_equal(ring.losses->count, 1);
    ring_load(&ring, NULL, &freight); /* left after it was known to be accepted */
    ring_accept(&ring, &freight);
    ring_stored(&ring, freight.departure, 7, freight.to);
    assert_int_equal(ring.losses->count, 0);
    ring_free(&ring);
}

/* One message without an answer says little of a fleet: only several in a row make everybody say hello. */
static void one_lost_message_is_no_absence(void **state)
{
    (void)state;
    struct fleet fleet = {.count = 1};
    for (int i = 0; i < 10; i++) {
        for (int lost = 1; lost < UNANSWERED_MAX; lost++)
            fleet_heard(&fleet, 0, "it was lost");
        fleet_heard(&fleet, 200, NULL);
    }
    assert_int_equal(fleet.absences, 0);
    for (int lost = 0; lost < UNANSWERED_MAX + 5; lost++)
        fleet_heard(&fleet, 0, "it was lost");
    assert_int_equal(fleet.absences, 1);
    assert_true(fleet.away_ns != 0);
    fleet_heard(&fleet, 503, NULL);
    assert_true(fleet.away_ns == 0);
}

/* An answer speaks of what was accepted when it was written: of a report that was under way then it knows
 * nothing, even if its number is lower. */
static void an_overtaking_answer_forgets_nothing(void **state)
{
    (void)state;
    struct ring ring = {0};
    struct freight first, second;
    put(&ring, 1);
    put(&ring, 2);
    ring_load_one(&ring, ring_at(&ring, 0), &first);
    ring_load_one(&ring, ring_at(&ring, 1), &second);
    ring_accept(&ring, &second);
    ring_accept(&ring, &first);
    ring_stored(&ring, second.departure, 7, 2); /* it may have left before the first was there */
    assert_int_equal(ring.count, 1);
    assert_int_equal(ring_at(&ring, 0)->sequence, 1);
    ring_unaccept(&ring); /* another epoch */
    assert_true(ring_has_backlog(&ring, NULL));
    ring_free(&ring);
}

/* --- the layout ----------------------------------------------------------------------------------------- */

static void a_fleet_grows_and_shrinks_in_proportion(void **state)
{
    (void)state;
    struct scenario *scenario = calloc(1, sizeof *scenario);
    for (uint32_t nodes = 1; nodes <= 1000; nodes++) {
        uint32_t sum = 0;
        synthetic_fleet(scenario, nodes);
        for (uint32_t i = 0; i < scenario->group_count; i++)
            sum += scenario->groups[i].count;
        assert_int_equal(sum, nodes);
        assert_int_equal(scenario->node_count, nodes);
    }
    synthetic_fleet(scenario, 30);
    assert_false(synthetic_resize(scenario, 2));
    for (uint32_t nodes = 3; nodes <= SYNTHETIC_NODES_MAX; nodes += 97) {
        uint32_t least = UINT32_MAX, most = 0, sum = 0;
        assert_true(synthetic_resize(scenario, nodes));
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t count = scenario->groups[i].count;
            least = count < least ? count : least;
            most = count > most ? count : most;
            sum += count;
        }
        assert_int_equal(sum, nodes);
        assert_int_equal(scenario->node_count, nodes);
        assert_true(least >= 1 && most - least <= nodes / 50 + 2);
    }
    free(scenario);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fleet_grows_and_shrinks_in_proportion),
        cmocka_unit_test(what_has_no_room_is_told),
        cmocka_unit_test(what_was_accepted_is_told_to_a_successor),
        cmocka_unit_test(an_overtaking_answer_forgets_nothing),
        cmocka_unit_test(one_lost_message_is_no_absence),
        cmocka_unit_test(a_fleet_lives_and_is_healed),
        cmocka_unit_test(a_thousand_nodes_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
