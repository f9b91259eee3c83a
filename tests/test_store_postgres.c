/* What only a server can do to a store: vanish, come back, cut the line between COMMIT and its answer, be
 * somebody else's. Wants HOMEOSTAT_TEST_STORE and HOMEOSTAT_TEST_PIDFILE of with_postgres.sh, which starts a
 * server again whenever it ends. */
#include "store_bench.h"

#include "base/check.h"
#include "base/units.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* --- a line that can be cut ----------------------------------------------------------------------------- */

enum line_mode {
    LINE_WHOLE,
    LINE_CUT_BEFORE_COMMIT, /* the server never hears of it */
    LINE_CUT_AFTER_COMMIT,  /* the server has done it, and its answer is lost */
    LINE_DOWN               /* nobody is let through */
};

enum { LINE_PAIRS = 16 };

struct line {          /* shared with the process that passes the bytes on */
    volatile int mode; /* a cut is made once, then the line is whole again */
    volatile unsigned cuts;
    int port;
    pid_t process;
};

static int connect_to(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool holds_commit(const char *bytes, ssize_t size)
{
    return memmem(bytes, (size_t)size, "COMMIT", 6) != NULL;
}

/* One direction's bytes. False: the pair is to be closed. */
static bool pass(struct line *line, int from, int to, bool to_server)
{
    char bytes[16384];
    ssize_t size = read(from, bytes, sizeof bytes);
    if (size <= 0)
        return false;
    bool commits = to_server && holds_commit(bytes, size);
    if (commits && line->mode == LINE_CUT_BEFORE_COMMIT) {
        line->mode = LINE_WHOLE;
        line->cuts++;
        return false;
    }
    if (write(to, bytes, (size_t)size) != size)
        return false;
    if (commits && line->mode == LINE_CUT_AFTER_COMMIT) {
        (void)!read(to, bytes, sizeof bytes); /* it has answered, so it has done it */
        line->mode = LINE_WHOLE;
        line->cuts++;
        return false;
    }
    return true;
}

static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
    pair[0] = pair[1] = -1;
}

static void accept_pair(struct line *line, int listener, int server_port, int pairs[][2])
{
    int client = accept(listener, NULL, NULL), i = 0;
    while (i < LINE_PAIRS && pairs[i][0] >= 0)
        i++;
    int server = i < LINE_PAIRS && line->mode != LINE_DOWN ? connect_to(server_port) : -1;
    if (server < 0) {
        close(client);
        return;
    }
    pairs[i][0] = client;
    pairs[i][1] = server;
}

static _Noreturn void run_line(struct line *line, int listener, int server_port)
{
    int pairs[LINE_PAIRS][2];
    memset(pairs, -1, sizeof pairs);
    for (;;) {
        struct pollfd fds[1 + 2 * LINE_PAIRS];
        for (int i = 0; i < 2 * LINE_PAIRS; i++)
            fds[1 + i] = (struct pollfd){.fd = pairs[i / 2][i % 2], .events = POLLIN};
        fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        poll(fds, 1 + 2 * LINE_PAIRS, 100);
        for (int i = 0; i < LINE_PAIRS; i++) {
            bool good = line->mode != LINE_DOWN;
            for (int side = 0; side < 2 && good && pairs[i][0] >= 0; side++)
                if (fds[1 + 2 * i + side].revents)
                    good = pass(line, pairs[i][side], pairs[i][!side], side == 0);
            if (!good && pairs[i][0] >= 0)
                close_pair(pairs[i]);
        }
        if (fds[0].revents)
            accept_pair(line, listener, server_port, pairs);
    }
}

static int port_of_server(void)
{
    const char *address = getenv("HOMEOSTAT_TEST_STORE");
    return atoi(strrchr(address, ':') + 1);
}

/* From now on the bench's store lies at the other end of a line. */
static struct line *line_open(struct bench *bench)
{
    struct line *line = mmap(NULL, sizeof *line, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(line, MAP_FAILED);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    line->port = ntohs(address.sin_port);
    pid_t tester = getpid(), process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        if (getppid() == tester)
            run_line(line, listener, port_of_server());
        _exit(3);
    }
    line->process = process; /* this memory is shared with it */
    close(listener);
    snprintf(bench->store, sizeof bench->store,
             "postgresql://homeostat:secret@127.0.0.1:%d/postgres?options=-csearch_path%%3D%%22%s%%22",
             line->port, strrchr(bench->folder, '/') + 1);
    return line;
}

static void line_close(struct line *line)
{
    kill(line->process, SIGKILL);
    waitpid(line->process, NULL, 0);
    munmap(line, sizeof *line);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

enum { LINES_A_STEP = 3 };

/* Three lines of a timeline, with samples if wanted: all of it or nothing. */
static void put_step(struct bench *bench, uint64_t ticket, bool with_samples)
{
    struct timeline_row line = {.incident = 1, .at = (instant)ticket, .step = "PLAN"};
    struct samples_row samples = {
        .node = 1, .at = (instant)ticket, .boot = 1, .sequence = ticket, .present = 1};
    for (int i = 0; i < LINES_A_STEP; i++)
        assert_int_equal(store_put_timeline(bench->writer, &line), 0);
    if (with_samples)
        assert_int_equal(store_put_samples(bench->writer, &samples), 0);
    store_submit(bench->writer, ticket, true);
}

/* Each step is there exactly once. */
static void assert_once(struct bench *bench, int steps, int with_samples)
{
    static struct timeline_row lines[10000];
    static struct samples_row samples[10000];
    struct basket basket = BASKET(lines);
    struct store *store = bench_reader(bench);
    assert_int_equal(store_timeline(store, 1, take_timeline, &basket), LINES_A_STEP * steps);
    for (int i = 0; i < LINES_A_STEP * steps; i++)
        assert_int_equal(lines[i].at, i / LINES_A_STEP + 1);
    basket = (struct basket)BASKET(samples);
    assert_int_equal(store_samples(store, 1, INSTANT_NONE, INSTANT_NEVER, take_samples, &basket),
                     with_samples);
    store_close(&store);
}

/* --- the stories ---------------------------------------------------------------------------------------- */

static void a_cut_around_the_commit_loses_and_doubles_nothing(void **state)
{
    struct bench *bench = *state;
    struct line *line = line_open(bench);
    bench_open(bench);
    enum { STEPS = 60 };
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        line->mode = (int)(ticket % 3);
        put_step(bench, ticket, ticket % 2);
        assert_true(bench_wait(bench, ticket));
        assert_int_equal(line->mode, LINE_WHOLE); /* the cut was made */
    }
    assert_int_equal(line->cuts, STEPS * 2 / 3);
    assert_once(bench, STEPS, STEPS / 2);
    line_close(line);
}

static void killed_backends_are_replaced(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    enum { STEPS = 100 };
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        put_step(bench, ticket, ticket % 2);
        if (ticket % 5 == 0)
            bench_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                      "'homeostat'");
        assert_true(bench_wait(bench, ticket));
    }
    assert_once(bench, STEPS, STEPS / 2);
}

/* As after a crash of the server's machine: no goodbye, and a recovery when it starts again. */
static void kill_server(void)
{
    const char *path = getenv("HOMEOSTAT_TEST_PIDFILE");
    char line[32] = "";
    for (int tried = 0; tried < 400 && !line[0]; tried++) {
        FILE *file = fopen(path, "re");
        if (file && !fgets(line, sizeof line, file))
            line[0] = '\0';
        if (file)
            fclose(file);
        if (!line[0])
            nanosleep(&(struct timespec){.tv_nsec = 10 * MILLISECOND}, NULL);
    }
    pid_t server = atoi(line);
    assert_true(server > 0);
    kill(server, SIGQUIT);
    while (kill(server, 0) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 10 * MILLISECOND}, NULL);
}

static void the_server_crashes_and_comes_back(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct store *store = bench_reader(bench);
    enum { STEPS = 30 };
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        put_step(bench, ticket, ticket % 2);
        if (ticket % 10 == 0)
            kill_server();
        assert_true(bench_wait(bench, ticket));
    }
    bench_sql("SELECT 'it is back'");
    assert_once(bench, STEPS, STEPS / 2);
    struct control_row control; /* a reader that was there before goes on, too */
    assert_int_equal(store_control(store, &control), 0);
    store_close(&store);
}

/* What the control plane needs to stop acting, and to go on by itself. */
static void a_server_that_stays_away_fails_the_commit(void **state)
{
    struct bench *bench = *state;
    struct line *line = line_open(bench);
    bench_open(bench);
    put_step(bench, 1, false);
    assert_true(bench_wait(bench, 1));
    line->mode = LINE_DOWN;
    put_step(bench, 2, true);
    assert_false(bench_wait(bench, 2));
    assert_non_null(strstr(bench->failure, "127.0.0.1"));
    assert_null(strstr(bench->failure, "secret"));
    char error[1024];
    struct store *store;
    assert_int_equal(store_open(&store, bench->store, error, sizeof error), -ECONNREFUSED);
    assert_null(strstr(error, "secret"));
    line->mode = LINE_WHOLE;
    store_discard(bench->writer);
    bench->failures = 0;
    put_step(bench, 2, true);
    assert_true(bench_wait(bench, 2));
    assert_once(bench, 2, 1);
    line_close(line);
}

static void another_session_fences_ours(void **state)
{
    struct bench *bench = *state;
    char sql[256];
    bench_open(bench);
    put_step(bench, 1, false);
    assert_true(bench_wait(bench, 1));
    snprintf(sql, sizeof sql, "UPDATE \"%s\".homeostat_session SET session = 'another'",
             strrchr(bench->folder, '/') + 1);
    bench_sql(sql);
    put_step(bench, 2, true);
    assert_false(bench_wait(bench, 2));
    assert_non_null(strstr(bench->failure, "another control plane has taken over"));
    assert_once(bench, 1, 0);
}

/* They begin at once on nothing: one gets the store, the others are told who has it. */
static void two_starters_make_one_schema(void **state)
{
    struct bench *bench = *state;
    enum { STARTERS = 4 };
    int ready[2], go[2], results[STARTERS], won = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < STARTERS; i++) {
        if (fork() != 0)
            continue;
        char error[1024], byte;
        struct store_writer *writer;
        close(go[1]);
        (void)!read(go[0], &byte, 1); /* until the other end is closed */
        int code = store_writer_open(&writer, bench->store, note_durable, bench, error, sizeof error);
        (void)!write(ready[1], &code, sizeof code);
        if (code == 0)
            nanosleep(&(struct timespec){.tv_sec = 5}, NULL); /* longer than the others' patience */
        _exit(0);
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < STARTERS; i++) {
        assert_int_equal(read(ready[0], &results[i], sizeof results[i]), sizeof results[i]);
        won += results[i] == 0;
        assert_true(results[i] == 0 || results[i] == -EWOULDBLOCK);
    }
    while (wait(NULL) > 0)
        ;
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(won, 1);
    bench_open(bench);
}

static void assert_refused(struct bench *bench, const char *sql, const char *word)
{
    char whole[512];
    snprintf(whole, sizeof whole, "SET search_path = \"%s\"; %s", strrchr(bench->folder, '/') + 1, sql);
    bench_sql(whole);
    bench->error[0] = '\0';
    assert_int_equal(store_writer_open(&bench->writer, bench->store, note_durable, bench, bench->error,
                                       sizeof bench->error),
                     -EINVAL);
    assert_non_null(strstr(bench->error, word));
    struct store *store;
    assert_int_equal(store_open(&store, bench->store, bench->error, sizeof bench->error), -EINVAL);
    assert_non_null(strstr(bench->error, word));
}

static void what_is_not_ours_is_refused(void **state)
{
    assert_refused(*state, "CREATE TABLE recipes (cake text)", "another program");
}

static void a_newer_or_another_schema_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    store_writer_close(&bench->writer);
    assert_refused(bench, "INSERT INTO homeostat_migrations VALUES (99, 'future', 1, 1)", "newer homeostat");
    assert_refused(
        bench,
        "DELETE FROM homeostat_migrations WHERE version = 99; UPDATE homeostat_migrations SET checksum = 1",
        "another build");
}

static void people_can_read_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct node_row node = {.name = "web-1", .seen_at = SECOND};
    struct incident incident = {.id = 1,
                                .detector_name = "cpu-high",
                                .state = INCIDENT_RESOLVED,
                                .verdict = VERDICT_EFFECTIVE,
                                .opened_at = 100 * SECOND,
                                .ended_at = 103 * SECOND,
                                .closed_at = 108 * SECOND};
    struct fault_row fault = {
        .id = 4, .injected_at = 99 * SECOND, .lease_ns = 60 * SECOND, .ended_at = INSTANT_NONE};
    store_put_node(bench->writer, &node);
    store_put_incident(bench->writer, &incident);
    store_put_fault(bench->writer, &fault);
    bench_commit(bench, 1);
    PGconn *connection = PQconnectdb(bench->store);
    PGresult *result = PQexec(connection, "SELECT node, detected_after_s, fixed_after_s, proved_after_s, "
                                          "to_char(opened AT TIME ZONE 'UTC', 'HH24:MI:SS'), fault_kind "
                                          "FROM incidents_for_people");
    assert_int_equal(PQntuples(result), 1);
    static const char *const wanted[] = {"web-1", "1.000", "4.000", "9.000", "00:01:40", "cpu_spike"};
    for (int i = 0; i < (int)(sizeof wanted / sizeof wanted[0]); i++)
        assert_string_equal(PQgetvalue(result, 0, i), wanted[i]);
    PQclear(result);
    PQfinish(connection);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(a_cut_around_the_commit_loses_and_doubles_nothing),
        STORY(killed_backends_are_replaced),
        STORY(the_server_crashes_and_comes_back),
        STORY(a_server_that_stays_away_fails_the_commit),
        STORY(another_session_fences_ours),
        STORY(two_starters_make_one_schema),
        STORY(what_is_not_ours_is_refused),
        STORY(a_newer_or_another_schema_is_refused),
        STORY(people_can_read_it),
    };
    return cmocka_run_group_tests_name("store_postgres", stories, NULL, NULL);
}
