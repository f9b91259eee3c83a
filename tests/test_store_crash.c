/* What the store promises when things go wrong: what was called durable is there, the rest is not there by
 * halves, and whoever failed says so. Full disks and failed fsyncs come from a VFS that stands between SQLite
 * and the kernel. */
#include "sanitized.h"
#include "store_steps.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* --- a disk that fails on demand ---------------------------------------------------------------------- */

static struct {
    atomic_int writes;   /* writes and fsyncs so far */
    atomic_int fail_at;  /* this write and all later ones fail; 0: none */
    atomic_int code;     /* with this */
    atomic_int kill_at;  /* the process dies at this write or fsync; 0: never */
    atomic_bool no_sync; /* every fsync fails */
} disk;

static sqlite3_vfs *real_vfs;
static sqlite3_vfs faulty_vfs;

/* SQLite has a set of methods per kind of file; ours stands before each. */
static struct methods {
    sqlite3_io_methods faulty; /* first: a file's pMethods points at it */
    const sqlite3_io_methods *real;
} all_methods[4];

static const sqlite3_io_methods *real_methods(const sqlite3_file *file)
{
    return ((const struct methods *)(const void *)file->pMethods)->real;
}

static int next_write(void)
{
    int write = atomic_fetch_add(&disk.writes, 1) + 1;
    if (write == disk.kill_at)
        raise(SIGKILL);
    return write;
}

static int faulty_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 at)
{
    int write = next_write();
    if (disk.fail_at && write >= disk.fail_at)
        return disk.code;
    return real_methods(file)->xWrite(file, bytes, count, at);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    next_write();
    return disk.no_sync ? SQLITE_IOERR_FSYNC : real_methods(file)->xSync(file, flags);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    int code = real_vfs->xOpen(real_vfs, name, file, flags, out);
    if (code != SQLITE_OK)
        return code;
    struct methods *methods = all_methods;
    while (methods->real && methods->real != file->pMethods)
        if (++methods == all_methods + 4)
            abort();
    if (!methods->real) {
        methods->faulty = *file->pMethods;
        methods->faulty.xWrite = faulty_write;
        methods->faulty.xSync = faulty_sync;
        methods->real = file->pMethods;
    }
    file->pMethods = &methods->faulty;
    return SQLITE_OK;
}

static int install_faulty_disk(void **state)
{
    (void)state;
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.xOpen = faulty_open;
    return sqlite3_vfs_register(&faulty_vfs, 1);
}

static void heal_disk(void)
{
    disk.fail_at = disk.kill_at = 0;
    disk.no_sync = false;
}

static void after_failure(struct bench *bench)
{
    pthread_mutex_lock(&bench->mutex);
    bench->failures = 0;
    pthread_mutex_unlock(&bench->mutex);
    store_discard(bench->writer);
}

/* --- stories ------------------------------------------------------------------------------------------ */

/* The k-th write of a commit fails, for each k until a commit has no k-th write. */
static void fail_every_write(struct bench *bench, int code, const char *word)
{
    bench_open(bench);
    put_step(bench->writer, 1);
    assert_true(bench_wait(bench, 1));
    uint64_t ticket = 1;
    bool failed = true;
    for (int k = 1; failed; k++) {
        disk.code = code;
        disk.fail_at = disk.writes + k;
        put_step(bench->writer, ticket + 1);
        failed = !bench_wait(bench, ticket + 1);
        if (failed) {
            assert_non_null(strstr(bench->failure, word));
            put_step(bench->writer, ticket + 2); /* the loop has not heard of it yet */
            heal_disk();
            assert_int_equal(whole_steps(bench), ticket);
            after_failure(bench);
            put_step(bench->writer, ticket + 1);
            assert_true(bench_wait(bench, ticket + 1));
        }
        heal_disk();
        ticket++;
        assert_int_equal(whole_steps(bench), ticket);
    }
    assert_true(ticket > 5); /* several writes did fail */
    store_writer_close(&bench->writer);
    assert_whole(bench);
}

static void a_full_disk_is_reported_and_leaves_nothing_by_halves(void **state)
{
    fail_every_write(*state, SQLITE_FULL, "the disk is full");
}

static void a_failing_disk_is_reported_and_leaves_nothing_by_halves(void **state)
{
    fail_every_write(*state, SQLITE_IOERR_WRITE, "the disk reported an error");
}

static void after_a_failed_fsync_the_process_ends_with_a_sentence(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    store_writer_close(&bench->writer);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL); /* cmocka's would go on with the next story */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        if (store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error, 1024) != 0)
            _exit(1);
        disk.no_sync = true;
        put_step(bench->writer, 1);
        alarm(20);
        pause();
    }
    close(ends[1]);
    char said[2048] = "";
    size_t length = 0;
    for (ssize_t more; (more = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)more;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(said, "fsync"));
    assert_non_null(strstr(said, bench->path));
    bench_open(bench);
    assert_true(whole_steps(bench) <= 1);
}

/* What a child has been told is durable, where its parent can see it after its death. */
struct acknowledged {
    _Atomic uint64_t ticket;
};

static void note_acknowledged(void *context, uint64_t ticket, const char *error)
{
    struct acknowledged *acknowledged = context;
    if (error)
        abort();
    atomic_store(&acknowledged->ticket, ticket);
}

/* A control plane that writes steps `from` .. `to` as fast as it can, at most 16 ahead of the disk. */
static _Noreturn void live(struct bench *bench, struct acknowledged *acknowledged, uint64_t from, uint64_t to)
{
    struct store_writer *writer;
    if (store_writer_open(&writer, bench->path, note_acknowledged, acknowledged, bench->error,
                          sizeof bench->error) != 0)
        _exit(1);
    for (uint64_t ticket = from; ticket <= to; ticket++) {
        while (ticket > atomic_load(&acknowledged->ticket) + 16)
            sched_yield();
        put_step(writer, ticket);
    }
    store_writer_close(&writer);
    _exit(0);
}

static struct acknowledged *share_acknowledged(void)
{
    void *memory =
        mmap(NULL, sizeof(struct acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

/* Dies at its k-th write or fsync, migrations and the last checkpoint included, until it lives through all of
 * it. */
static void death_at_any_write_loses_nothing_durable(void **state)
{
    struct bench *bench = *state;
    struct acknowledged *acknowledged = share_acknowledged();
    int deaths = 0;
    for (int k = 1;; k += SANITIZED ? 23 : 7) {
        acknowledged->ticket = 0;
        pid_t child = fork();
        if (child == 0) {
            disk.writes = 0;
            disk.kill_at = k;
            live(bench, acknowledged, 1, 8);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        bench_open(bench); /* the next control plane; it also migrates what was left half done */
        uint64_t steps = whole_steps(bench);
        assert_in_range(steps, acknowledged->ticket, 8);
        store_writer_close(&bench->writer);
        assert_whole(bench);
        unlink(bench->path);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            assert_int_equal(steps, 8);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        deaths++;
    }
    assert_true(deaths > 5);
    munmap(acknowledged, sizeof *acknowledged);
}

static void kill_at_random_times_loses_nothing_durable(void **state)
{
    struct bench *bench = *state;
    struct acknowledged *acknowledged = share_acknowledged();
    unsigned random = 20261123;
    uint64_t steps = 0;
    for (int round = 0; round < 10; round++) {
        acknowledged->ticket = steps;
        pid_t child = fork();
        if (child == 0)
            live(bench, acknowledged, steps + 1, 100000);
        struct timespec nap = {.tv_nsec = 1000000};
        for (int i = 0; i < 10000 && acknowledged->ticket == steps; i++) /* it is under way */
            nanosleep(&nap, NULL);
        assert_true(acknowledged->ticket > steps);
        random = random * 1103515245u + 12345u;
        nap.tv_nsec = (long)(random >> 16 & 0x7fff) * 3000; /* up to 98 ms */
        nanosleep(&nap, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        if (round % 2) { /* a lost index of the log is built anew */
            char index[128];
            snprintf(index, sizeof index, "%s-shm", bench->path);
            assert_int_equal(unlink(index), 0);
        }
        uint64_t before = steps;
        steps = whole_steps(bench);
        assert_true(steps >= acknowledged->ticket);
        assert_true(steps > before);
        assert_whole(bench);
    }
    munmap(acknowledged, sizeof *acknowledged);
}

static void a_lock_held_too_long_is_reported(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    sqlite3 *shell;
    assert_int_equal(sqlite3_open(bench->path, &shell), SQLITE_OK);
    assert_int_equal(sqlite3_exec(shell, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put_step(bench->writer, 1);
    nanosleep(&(struct timespec){.tv_nsec = 50000000},
              NULL);            /* most likely the thread has it in hand by now */
    put_step(bench->writer, 2); /* so that this waits behind it, and is lost with it */
    assert_false(bench_wait(bench, 1));
    assert_non_null(strstr(bench->failure, "locked by another program"));
    sqlite3_exec(shell, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(shell);
    after_failure(bench);
    struct samples_row samples = {.node = 5};
    assert_int_equal(store_put_samples(bench->writer, &samples), 0);
    store_submit(bench->writer, 0, true); /* its commit must not pass the lost tickets off as durable */
    struct timespec until = in_seconds(20);
    pthread_mutex_lock(&bench->mutex);
    while (bench->commits == 0)
        assert_int_equal(pthread_cond_timedwait(&bench->told, &bench->mutex, &until), 0);
    assert_int_equal(bench->durable, 0);
    pthread_mutex_unlock(&bench->mutex);
    put_step(bench->writer, 1);
    assert_true(bench_wait(bench, 1));
    assert_int_equal(whole_steps(bench), 1);
}

/* Somebody removed the lock file while we were suspended, and a newer control plane has begun. */
static void a_newer_epoch_fences_the_older(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    put_step(bench->writer, 1);
    assert_true(bench_wait(bench, 1));
    sqlite3 *newer;
    assert_int_equal(sqlite3_open(bench->path, &newer), SQLITE_OK);
    sqlite3_busy_timeout(newer, 5000);
    assert_int_equal(sqlite3_exec(newer, "UPDATE control SET epoch = 2", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(newer);
    put_step(bench->writer, 2);
    assert_false(bench_wait(bench, 2));
    assert_non_null(strstr(bench->failure, "epoch 2, ours is 1"));
    assert_int_equal(whole_steps(bench), 1);
}

static void overwrite(const char *path, off_t at, size_t size)
{
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    unsigned char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    assert_true(size <= sizeof junk);
    assert_int_equal(pwrite(file, junk, size, at), size);
    close(file);
}

static void damage_is_noticed_before_anybody_acts_on_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    put_step(bench->writer, 1);
    assert_true(bench_wait(bench, 1));
    store_writer_close(&bench->writer);

    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'incidents'", -1,
                                        &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    off_t page = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);

    overwrite(bench->path, (page - 1) * 4096, 4096);
    assert_int_equal(store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error, 1024),
                     -EBADMSG);
    assert_non_null(strstr(bench->error, "damaged"));
    assert_int_equal(truncate(bench->path, 8192), 0);
    assert_int_equal(store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error, 1024),
                     -EBADMSG);
    assert_non_null(strstr(bench->error, ".recover"));
}

static int set_up(void **state)
{
    heal_disk();
    return bench_set_up(state);
}

static int tear_down(void **state)
{
    heal_disk();
    return bench_tear_down(state);
}

#define FAULTY_STORY(story) cmocka_unit_test_setup_teardown(story, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest stories[] = {
        FAULTY_STORY(a_full_disk_is_reported_and_leaves_nothing_by_halves),
        FAULTY_STORY(a_failing_disk_is_reported_and_leaves_nothing_by_halves),
        FAULTY_STORY(after_a_failed_fsync_the_process_ends_with_a_sentence),
        FAULTY_STORY(death_at_any_write_loses_nothing_durable),
        FAULTY_STORY(kill_at_random_times_loses_nothing_durable),
        FAULTY_STORY(a_lock_held_too_long_is_reported),
        FAULTY_STORY(a_newer_epoch_fences_the_older),
        FAULTY_STORY(damage_is_noticed_before_anybody_acts_on_it),
    };
    return cmocka_run_group_tests_name("store_crash", stories, install_faulty_disk, NULL);
}
