/* Kill -9 of the control plane at every call: for each k a lab of its own, in which it dies at the k-th open,
 * write, fsync, unlink or send of a canonical run, before the call or in its midst, is started again and
 * finishes the run; every third time the second one dies as well. Then the k-th write fails or stops short,
 * and all after it, for a full disk or an I/O error, until that was seen from outside; the k-th open, for
 * want of descriptors; the k-th fsync. What must hold:
 *
 *     what was answered is there; no history is illegal; the illness had one effect, and no command two
 *     a store that fails is told on /healthz, reads are answered, writes with 503; it goes on by itself
 *     after a failed fsync nobody goes on; a start without a store is refused, with status 3
 *
 * `crash_calls HOMEOSTAT SERVICE LIBRARY [--full] [--cells N] [--jobs N] [--seed N] [--only WORD] [--call K]
 * [-v]`. Without --full so many of the cells, spread evenly from one that the seed draws. Exit status as
 * audit.h has it; 3: the environment. */
#include "canon.h"

#include "base/check.h"
#include "base/clock.h"
#include "calls.h"
#include "dice.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL_CALLS ((1u << CALLS_KINDS) - 1)

static const struct way {
    const char *word;
    uint32_t kinds;
    enum calls_fate fate;
    int error;
    bool lasts;
} ways[] = {
    {"killed", ALL_CALLS, CALLS_KILL, 0, false},
    {"torn", ALL_CALLS & ~(1u << CALLS_OPEN), CALLS_TEAR, 0, false},
    {"full", 1u << CALLS_WRITE, CALLS_FAIL, ENOSPC, true},
    {"short", 1u << CALLS_WRITE, CALLS_SHORT, ENOSPC, true},
    {"broken", 1u << CALLS_WRITE, CALLS_FAIL, EIO, true},
    {"unsynced", 1u << CALLS_SYNC, CALLS_FAIL, EIO, false},
    {"descriptors", 1u << CALLS_OPEN, CALLS_FAIL, EMFILE, true},
};

enum { WAYS = sizeof ways / sizeof ways[0] };

struct result {
    struct canon_result canon;
    struct audit audit;
    uint32_t seen[CALLS_KINDS];
    unsigned incidents;
    uint64_t promises;
    double took_s;
};

struct cell {
    size_t way;
    uint32_t k; /* 0: nothing happens, the calls are counted */
    uint64_t seed;
    pid_t pid;
    int result_fd;
    bool played;
    struct result result;
};

static struct {
    const char *homeostat, *service, *library, *only;
    uint64_t seed;
    unsigned cells, jobs, call;
    bool full, verbose;
} options = {.cells = 24, .jobs = 4};

/* --- one cell, in a process of its own ------------------------------------------------------------------ */

static struct calls *make_page(struct lab *lab, const struct cell *cell)
{
    static char path[LAB_PATH_SIZE + 16];
    const struct way *way = &ways[cell->way];
    snprintf(path, sizeof path, "%s/calls", lab->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, sizeof(struct calls)) == 0);
    struct calls *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED);
    close(fd);
    page->skips_sync =
        true; /* who is killed loses nothing that the kernel has; power cuts are test_store_power.c's */
    page->kinds = cell->k ? way->kinds : ALL_CALLS;
    snprintf(page->folder, sizeof page->folder, "%.200s/", lab->folder);
    calls_begin(page, way->fate, way->error, way->lasts, cell->k);
    lab->preload = options.library;
    lab->calls = path;
    return page;
}

/* A flight recorder that could not begin tries again after a minute; until then there is none. */
static bool is_recorded(const struct lab *lab)
{
    char pattern[LAB_PATH_SIZE + 64];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/homeostat.flight/*.journal", lab->folder);
    bool some = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return some;
}

static void judge(const struct lab *lab, struct promises *promises, bool kills, struct result *result)
{
    char error[256];
    struct store *store;
    audit_integrity(&result->audit, lab->database);
    promises_check(promises, &result->audit, lab->database);
    result->promises = promises_count(promises);
    if (store_open(&store, lab->database, error, sizeof error) < 0)
        lab_give_up("%s", error);
    result->incidents = audit_histories(&result->audit, store);
    audit_effects(&result->audit, store, lab);
    store_close(&store);
    if (kills || is_recorded(lab))
        audit_decisions(&result->audit, lab);
}

static struct result play(const struct cell *cell)
{
    struct result result = {0};
    struct lab lab;
    struct dice dice = {cell->seed};
    struct promises *promises = promises_open();
    int64_t began_ns = monotonic_ns();
    lab_open(&lab, options.homeostat, options.service, 1, canon_policy);
    struct calls *page = make_page(&lab, cell);
    bool kills = ways[cell->way].fate == CALLS_KILL || ways[cell->way].fate == CALLS_TEAR;
    struct canon_options canon = {.lab = &lab,
                                  .audit = &result.audit,
                                  .promises = promises,
                                  .page = page,
                                  .kills = kills,
                                  .again_at = kills && cell->k % 3 == 0 ? 1 + dice_below(&dice, 150) : 0};
    canon_run(&canon, &result.canon);
    for (int kind = 0; kind < CALLS_KINDS; kind++)
        result.seen[kind] = atomic_load(&page->seen[kind]);
    judge(&lab, promises, kills, &result);
    promises_close(&promises);
    result.took_s = duration_seconds(monotonic_ns() - began_ns);
    munmap(page, sizeof *page);
    lab_close(&lab, audit_status(&result.audit) != 0);
    return result;
}

static void begin(struct cell *cell)
{
    int ends[2];
    pid_t parent = getpid();
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    fflush(stdout);
    cell->pid = fork();
    if (cell->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(3);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (!options.verbose)
            dup2(null, 1);
        struct result result = play(cell);
        fflush(stdout);
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 3);
    }
    CHECK(cell->pid > 0);
    close(ends[1]);
    cell->result_fd = ends[0];
}

/* --- all of them ---------------------------------------------------------------------------------------- */

static void end_one(struct cell *cells, size_t count)
{
    int status;
    pid_t pid = wait(&status);
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = &cells[i];
        if (cell->pid != pid)
            continue;
        cell->pid = 0;
        cell->played = read(cell->result_fd, &cell->result, sizeof cell->result) == sizeof cell->result;
        close(cell->result_fd);
        bool wrong = !cell->played || audit_status(&cell->result.audit) != 0;
        if (wrong || options.verbose)
            printf("%s at call %u: %s, %u effects, %u deaths, %u refusals, %u degraded, %.1f s\n",
                   ways[cell->way].word, cell->k,
                   !cell->played ? "not played"
                   : wrong       ? "WRONG"
                                 : "ok",
                   cell->result.canon.effects, cell->result.canon.deaths, cell->result.canon.refusals,
                   cell->result.canon.degraded, cell->result.took_s);
    }
}

static void run_all(struct cell *cells, size_t count)
{
    size_t running = 0;
    for (size_t i = 0; i < count; i++, running++) {
        if (running == options.jobs) {
            end_one(cells, i);
            running--;
        }
        begin(&cells[i]);
    }
    for (; running > 0; running--)
        end_one(cells, count);
}

static int sum_up_way(const struct cell *cells, size_t count, size_t way, struct audit *sum)
{
    unsigned played = 0, unmet = 0, deaths = 0, refusals = 0, degraded = 0, effects = 0,
             kinds[CALLS_KINDS] = {0};
    int missing = 0;
    uint64_t promises = 0;
    for (size_t i = 0; i < count; i++) {
        const struct result *result = &cells[i].result;
        if (cells[i].way != way)
            continue;
        missing += !cells[i].played;
        played += cells[i].played;
        unmet += cells[i].played && result->canon.met_kind < 0;
        deaths += result->canon.deaths;
        refusals += result->canon.refusals;
        degraded += result->canon.degraded;
        effects += result->canon.effects;
        promises += result->promises;
        if (cells[i].played && result->canon.met_kind >= 0)
            kinds[result->canon.met_kind]++;
        for (int kind = 0; kind < AUDIT_KINDS; kind++)
            sum->found[kind] += result->audit.found[kind];
    }
    printf("%-12s %5u runs (%u met nothing):", ways[way].word, played, unmet);
    for (int kind = 0; kind < CALLS_KINDS; kind++)
        if (kinds[kind] > 0)
            printf(" %u %s", kinds[kind], calls_kind_name((uint32_t)kind));
    printf("; %u deaths, %u starts refused, %u times degraded, %u effects, %" PRIu64 " promises\n", deaths,
           refusals, degraded, effects, promises);
    return missing;
}

static int by_way(const void *a, const void *b)
{
    const struct cell *one = a, *other = b;
    return one->way != other->way ? (one->way > other->way) - (one->way < other->way)
                                  : (one->k > other->k) - (one->k < other->k);
}

/* One way after the other, each with its line. */
static int run_ways(struct cell *cells, size_t count)
{
    struct audit sum = {0};
    int missing = 0;
    qsort(cells, count, sizeof *cells, by_way);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && cells[to].way == cells[from].way;)
            to++;
        run_all(cells + from, to - from);
        missing += sum_up_way(cells + from, to - from, cells[from].way, &sum);
    }
    printf("%zu runs: %u lost, %u doubled, %u illegal, %u stuck\n", count, sum.found[AUDIT_LOST],
           sum.found[AUDIT_DOUBLED], sum.found[AUDIT_ILLEGAL], sum.found[AUDIT_STUCK]);
    return missing > 0 ? 3 : audit_status(&sum);
}

/* One cell for each call that the counted run has made, and a few more, since no two runs are quite alike. */
static struct cell *lay_out(const struct result *counted, size_t *count)
{
    struct cell *cells = NULL;
    *count = 0;
    for (size_t way = 0; way < WAYS; way++) {
        uint32_t number = 4;
        for (int kind = 0; kind < CALLS_KINDS; kind++)
            number += ways[way].kinds >> kind & 1 ? counted->seen[kind] : 0;
        cells = reallocarray(cells, *count + number, sizeof *cells);
        CHECK(cells);
        for (uint32_t k = 1; k <= number; k++, ++*count)
            cells[*count] = (struct cell){.way = way, .k = k, .seed = options.seed + *count};
    }
    return cells;
}

static size_t choose(struct cell *cells, size_t count)
{
    size_t chosen = 0, step;
    for (size_t i = 0; i < count; i++)
        if ((!options.only || strcmp(ways[cells[i].way].word, options.only) == 0) &&
            (!options.call || cells[i].k == options.call))
            cells[chosen++] = cells[i];
    if (options.full || chosen <= options.cells)
        return chosen;
    /* Evenly spread; the seed draws where they begin. */
    step = chosen / options.cells;
    for (size_t i = 0; i < options.cells; i++)
        cells[i] = cells[i * step + options.seed % step];
    return options.cells;
}

static bool read_options(int argc, char **argv)
{
    options.seed = (uint64_t)clock_ns(CLOCK_REALTIME) / 1000 % 1000000000;
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            options.full = true;
        else if (strcmp(argv[i], "-v") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            options.seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--cells") == 0 && i + 1 < argc)
            options.cells = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc)
            options.jobs = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            options.only = argv[++i];
        else if (strcmp(argv[i], "--call") == 0 && i + 1 < argc)
            options.call = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            return false;
    }
    return argc >= 4 && options.jobs > 0 && options.cells > 0;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fprintf(stderr,
                "usage: crash_calls HOMEOSTAT SERVICE LIBRARY [--full] [--cells N] [--jobs N] [--seed N] "
                "[--only WORD] [--call K] [-v]\n");
        return 2;
    }
    options.homeostat = argv[1];
    options.service = argv[2];
    options.library = argv[3];
    size_t count;
    struct cell counted = {.way = 0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %" PRIu64 "\n", options.seed);
    run_all(&counted, 1);
    if (!counted.played || audit_status(&counted.result.audit) != 0)
        return counted.played ? audit_status(&counted.result.audit) : 3;
    printf("an undisturbed run:");
    for (int kind = 0; kind < CALLS_KINDS; kind++)
        printf(" %u %s", counted.result.seen[kind], calls_kind_name((uint32_t)kind));
    printf(", %.1f s\n", counted.result.took_s);
    struct cell *cells = lay_out(&counted.result, &count);
    count = choose(cells, count);
    int status = run_ways(cells, count);
    free(cells);
    return status;
}
