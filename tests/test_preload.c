/* Stories of the preload library, with real programs that know nothing of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "base/check.h"
#include "base/clock.h"
#include "inject/page.h"
#include "inject/preload_image.h"
#include "inject/vitals.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOREVER (monotonic_ns() + HOUR)

/* --- the world ------------------------------------------------------------------------------------------ */

static struct {
    char folder[64], library[128], data[128], other[128];
    struct page *page;
    struct vitals *vitals;
    int page_fd, vitals_fd;
} world;

static int set_up(void **state)
{
    (void)state;
    strcpy(world.folder, "/tmp/preload-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    snprintf(world.library, sizeof(world.library), "%s/library.so", world.folder);
    snprintf(world.data, sizeof(world.data), "%s/data", world.folder);
    snprintf(world.other, sizeof(world.other), "%s/data-not", world.folder);
    assert_int_equal(mkdir(world.data, 0700), 0);
    assert_int_equal(mkdir(world.other, 0700), 0);
    assert_int_equal(preload_write(world.library), 0);
    world.page_fd = page_create(&world.page);
    assert_true(world.page_fd >= 0);
    world.vitals_fd = memfd_create("vitals", 0);
    assert_int_equal(ftruncate(world.vitals_fd, sizeof(struct vitals)), 0);
    world.vitals = mmap(NULL, sizeof(struct vitals), PROT_READ | PROT_WRITE, MAP_SHARED, world.vitals_fd, 0);
    assert_true(world.vitals != MAP_FAILED);
    return 0;
}

static int drop(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    page_close(world.page);
    munmap(world.vitals, sizeof(struct vitals));
    close(world.page_fd);
    close(world.vitals_fd);
    return nftw(world.folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- a program ------------------------------------------------------------------------------------------ */

struct program {
    pid_t pid;
    FILE *in, *out;
};

struct variables {
    char text[4][256];
    char *list[5];
};

static struct variables usual(void)
{
    struct variables variables = {0};

    snprintf(variables.text[0], 256, "LD_PRELOAD=%s", world.library);
    snprintf(variables.text[1], 256, PRELOAD_DATA "=/nowhere:%s", world.data);
    snprintf(variables.text[2], 256, PRELOAD_PAGE "=%d", world.page_fd);
    snprintf(variables.text[3], 256, PRELOAD_VITALS "=%d", world.vitals_fd);
    return variables;
}

static void run(struct variables variables, const char *const *argv)
{
    for (int i = 0; i < 4; i++)
        variables.list[i] = variables.text[i];
    execve(argv[0], (char *const *)(uintptr_t)argv, variables.list);
    _exit(127);
}

static struct program program_with(struct variables variables)
{
    struct program program;
    int to[2], from[2];

    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    program.pid = start();
    if (program.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        run(variables, (const char *const[]){VICTIM, NULL});
    }
    close(to[0]);
    close(from[1]);
    program.in = fdopen(to[1], "w");
    program.out = fdopen(from[0], "r");
    return program;
}

static struct program program_new(void)
{
    return program_with(usual());
}

static void program_end(struct program *program)
{
    int status;

    fclose(program->in);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    assert_int_equal(status, 0);
    fclose(program->out);
}

static void tell(struct program *program, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct program *program, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vfprintf(program->in, format, values);
    va_end(values);
    fputc('\n', program->in);
    fflush(program->in);
}

static int number(struct program *program)
{
    int value;

    assert_int_equal(fscanf(program->out, "%d", &value), 1);
    return value;
}

static int open_file(struct program *program, const char *folder, const char *name)
{
    tell(program, "open %s/%s", folder, name);
    int fd = number(program);
    assert_true(fd >= 0);
    return fd;
}

static void close_file(struct program *program, int fd)
{
    tell(program, "close %d", fd);
    assert_int_equal(number(program), 0);
}

struct result {
    int good, bad, error;
    long long ns;
};

static struct result hear_result(struct program *program)
{
    struct result result;

    assert_int_equal(
        fscanf(program->out, "%d %d %d %lld", &result.good, &result.bad, &result.error, &result.ns), 4);
    return result;
}

static struct result make(struct program *program, const char *call, int fd, int bytes, int times)
{
    tell(program, "do %s %d %d %d", call, fd, bytes, times);
    return hear_result(program);
}

static bool succeeds(struct program *program, const char *call, int fd, int bytes)
{
    struct result result = make(program, call, fd, bytes, 1);

    return result.good == 1 && result.bad == 0;
}

static bool fails_with(struct program *program, const char *call, int fd, int bytes, int error)
{
    struct result result = make(program, call, fd, bytes, 1);

    return result.bad == 1 && result.error == error;
}

static long long size_of(const char *folder, const char *name)
{
    char path[256];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return stat(path, &status) == 0 ? (long long)status.st_size : -1;
}

static const char *const reads[] = {"pread",   "pread64",    "preadv",      "preadv64",
                                    "preadv2", "preadv64v2", "__pread_chk", "__pread64_chk",
                                    "read",    "readv",      "__read_chk"};
static const char *const writes[] = {"write",   "pwrite",    "pwrite64", "writev",
                                     "pwritev", "pwritev64", "pwritev2", "pwritev64v2"};
static const char *const syncs[] = {"fsync", "fdatasync", "sync_file_range"};

/* --- waits ---------------------------------------------------------------------------------------------- */

static void every_call_below_the_folder_waits(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file");

    (void)state;
    assert_true(succeeds(&program, "write", fd, 4096));
    int again = open_file(&program, world.data, "file"); /* to be read from its beginning */
    page_set(world.page, FAULT_STORAGE_LATENCY, 0.03, FOREVER);
    for (size_t i = 0; i < COUNT_OF(reads) + COUNT_OF(writes) + COUNT_OF(syncs); i++) {
        const char *call = i < COUNT_OF(reads) ? reads[i]
                           : i < COUNT_OF(reads) + COUNT_OF(writes)
                               ? writes[i - COUNT_OF(reads)]
                               : syncs[i - COUNT_OF(reads) - COUNT_OF(writes)];
        struct result result = make(&program, call, i < COUNT_OF(reads) ? again : fd, 64, 1);
        if (result.good != 1 || result.ns < 30 * MILLISECOND)
            fail_msg("%s: %d well, %d ill, %lld ns", call, result.good, result.bad, result.ns);
    }
    program_end(&program);
}

static void another_folder_waits_for_nothing(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.other, "file");

    (void)state;
    page_set(world.page, FAULT_STORAGE_LATENCY, 10, FOREVER);
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    page_set_room(world.page, 0);
    page_set(world.page, FAULT_DISK_FULL, 1, FOREVER);
    int64_t began_at = monotonic_ns();
    for (size_t i = 0; i < COUNT_OF(writes); i++)
        assert_true(succeeds(&program, writes[i], fd, 4096));
    for (size_t i = 0; i < COUNT_OF(syncs); i++)
        assert_true(succeeds(&program, syncs[i], fd, 0));
    assert_true(succeeds(&program, "pread", fd, 64));
    assert_true(seconds_since(began_at) < 10);
    program_end(&program);
}

static void a_wait_ends_with_its_fault(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file");

    (void)state;
    int64_t began_at = monotonic_ns();
    page_set(world.page, FAULT_STORAGE_LATENCY, 10, began_at + 200 * MILLISECOND);
    assert_true(succeeds(&program, "write", fd, 1)); /* the lease */
    assert_true(seconds_since(began_at) >= 0.2 && seconds_since(began_at) < 8);

    began_at = monotonic_ns();
    page_set(world.page, FAULT_STORAGE_LATENCY, 10, FOREVER);
    tell(&program, "do fdatasync %d 0 1", fd);
    assert_soon(world.vitals->storage_since != 0);
    page_clear(world.page, FAULT_STORAGE_LATENCY);
    assert_int_equal(hear_result(&program).good, 1);
    assert_true(seconds_since(began_at) < 8);
    assert_int_equal(world.vitals->storage_since, 0);
    program_end(&program);
}

static void a_fault_strikes_the_incarnation_it_struck(void **state)
{
    struct program old = program_new();
    int fd = open_file(&old, world.data, "old"); /* it is there, and has read its incarnation */

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    page_renew(world.page, FAULT_IO_ERROR);
    struct program young = program_new();
    assert_true(fails_with(&old, "write", fd, 1, EIO));
    assert_true(succeeds(&young, "write", open_file(&young, world.data, "young"), 1));
    program_end(&old);
    program_end(&young);
}

/* --- failures ------------------------------------------------------------------------------------------- */

static void writes_fail_and_move_nothing(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file");

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    for (size_t i = 0; i < COUNT_OF(writes); i++)
        if (!fails_with(&program, writes[i], fd, 64, EIO))
            fail_msg("%s did not fail", writes[i]);
    for (size_t i = 0; i < COUNT_OF(syncs); i++)
        assert_true(succeeds(&program, syncs[i], fd, 0));
    assert_true(succeeds(&program, "read", fd, 0));
    assert_int_equal(size_of(world.data, "file"), 0);
    page_clear(world.page, FAULT_IO_ERROR);
    assert_true(succeeds(&program, "write", fd, 64));
    assert_int_equal(size_of(world.data, "file"), 64);
    program_end(&program);
}

static void a_share_of_the_writes_fails(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file");

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 0.3, FOREVER);
    struct result result = make(&program, "pwrite", fd, 1, 4000);
    assert_int_equal(result.good + result.bad, 4000);
    assert_in_range(result.bad, 1200 - 145, 1200 + 145); /* five deviations */
    assert_int_equal(world.vitals->storage_errors, result.bad);
    program_end(&program);
}

static void a_full_disk_takes_what_fits(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file");

    (void)state;
    page_set_room(world.page, 1000);
    page_set(world.page, FAULT_DISK_FULL, 1, FOREVER);
    assert_true(succeeds(&program, "write", fd, 600));
    for (size_t i = 0; i < COUNT_OF(writes); i++)
        assert_true(fails_with(&program, writes[i], fd, 600, ENOSPC));
    assert_true(succeeds(&program, "writev", fd, 400));
    assert_true(fails_with(&program, "write", fd, 1, ENOSPC));
    assert_true(succeeds(&program, "write", fd, 0));
    assert_true(succeeds(&program, "fsync", fd, 0));
    page_set_room(world.page, 10); /* told anew: counted anew */
    assert_true(succeeds(&program, "write", fd, 10));
    assert_true(fails_with(&program, "write", fd, 1, ENOSPC));
    page_clear(world.page, FAULT_DISK_FULL);
    assert_true(succeeds(&program, "write", fd, 4000));
    program_end(&program);
}

/* --- which files ---------------------------------------------------------------------------------------- */

static void a_descriptor_that_is_used_again_is_another_file(void **state)
{
    struct program program = program_new();
    char path[256];

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    for (int i = 0; i < 30; i++) { /* inodes are used again, too */
        int ours = open_file(&program, world.data, "file");
        assert_true(fails_with(&program, "write", ours, 1, EIO));
        close_file(&program, ours);
        snprintf(path, sizeof(path), "%s/file", world.data);
        assert_int_equal(unlink(path), 0);
        int theirs = open_file(&program, world.other, "file");
        assert_int_equal(theirs, ours);
        assert_true(succeeds(&program, "write", theirs, 1));
        close_file(&program, theirs);
        snprintf(path, sizeof(path), "%s/file", world.other);
        assert_int_equal(unlink(path), 0);
    }
    int ours = open_file(&program, world.data, "file"), theirs = open_file(&program, world.other, "file");
    tell(&program, "dup2 %d %d", ours, theirs);
    assert_int_equal(number(&program), 0);
    assert_true(fails_with(&program, "write", theirs, 1, EIO));
    program_end(&program);
}

/* As above, but with a file that is old enough to be remembered. */
static void a_file_that_is_remembered_is_no_other(void **state)
{
    struct program program = program_new();
    int ours = open_file(&program, world.data, "file"), theirs = open_file(&program, world.other, "file");

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    pause_ms(100);
    for (int i = 0; i < 3; i++) {
        assert_true(fails_with(&program, "write", ours, 1, EIO));
        assert_true(succeeds(&program, "write", theirs, 1));
        tell(&program, "dup2 %d 200", i % 2 ? ours : theirs);
        assert_int_equal(number(&program), 0);
        assert_true(i % 2 ? fails_with(&program, "write", 200, 1, EIO) : succeeds(&program, "write", 200, 1));
    }
    program_end(&program);
}

static void files_without_a_name_belong_to_their_folder(void **state)
{
    struct program program = program_new();
    char path[256];

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    int fd = open_file(&program, world.data, "gone");
    snprintf(path, sizeof(path), "%s/gone", world.data);
    assert_int_equal(unlink(path), 0);
    assert_true(fails_with(&program, "write", fd, 1, EIO));
    tell(&program, "tmpfile %s", world.data);
    assert_true(fails_with(&program, "write", number(&program), 1, EIO));
    program_end(&program);
}

static void children_are_struck_like_their_parent(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file");

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    tell(&program, "fork write %d 1 10", fd);
    assert_int_equal(hear_result(&program).bad, 10);
    assert_true(fails_with(&program, "write", fd, 1, EIO));
    program_end(&program);
}

static void a_folder_may_be_named_through_a_link(void **state)
{
    struct variables variables = usual();
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/link", world.folder);
    assert_int_equal(symlink(world.data, path), 0);
    snprintf(variables.text[1], 256, PRELOAD_DATA "=%s/", path);
    struct program program = program_with(variables);
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    assert_true(fails_with(&program, "write", open_file(&program, path, "file"), 1, EIO));
    program_end(&program);
}

/* --- what else it may find ------------------------------------------------------------------------------ */

static void variables_that_make_no_sense_do_nothing(void **state)
{
    static const char *const ill[] = {"", "-1", "x", "999", "99999999999999999999", "7x", "0"};
    struct variables variables = usual();

    (void)state;
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    for (size_t i = 0; i < COUNT_OF(ill); i++) {
        snprintf(variables.text[2], 256, PRELOAD_PAGE "=%s", ill[i]);
        snprintf(variables.text[3], 256, PRELOAD_VITALS "=%s", ill[i]);
        struct program program = program_with(variables);
        assert_true(succeeds(&program, "write", open_file(&program, world.data, "file"), 1));
        program_end(&program);
    }
    static const char *const folders[] = {"", "/", "relative", ":::", "data:"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        variables = usual();
        snprintf(variables.text[1], 256, PRELOAD_DATA "=%s", folders[i]);
        struct program program = program_with(variables);
        assert_true(succeeds(&program, "write", open_file(&program, world.data, "file"), 1));
        program_end(&program);
    }
    assert_int_equal(world.vitals->storage_writes, 0);
}

/* A program that closed what it inherited may have a file of its own under that number. */
static void numbers_that_mean_another_file_are_left_alone(void **state)
{
    struct variables variables = usual();
    char path[256], kept[4096] = {0}, found[4096];

    (void)state;
    snprintf(path, sizeof(path), "%s/innocent", world.folder);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, kept, sizeof(kept)), sizeof(kept));
    snprintf(variables.text[2], 256, PRELOAD_PAGE "=%d", fd);
    snprintf(variables.text[3], 256, PRELOAD_VITALS "=%d", fd);
    struct program program = program_with(variables);
    int file = open_file(&program, world.data, "file");
    assert_int_equal(make(&program, "write", file, 1, 100).good, 100);
    assert_int_equal(make(&program, "fsync", file, 0, 3).good, 3);
    program_end(&program);
    assert_int_equal(pread(fd, found, sizeof(found), 0), sizeof(found));
    assert_memory_equal(kept, found, sizeof(kept));
    close(fd);
}

/* --- the vitals ----------------------------------------------------------------------------------------- */

static void the_vitals_are_kept(void **state)
{
    struct program program = program_new();
    int fd = open_file(&program, world.data, "file"), other = open_file(&program, world.other, "file");

    (void)state;
    for (uint64_t i = 1; i <= 5; i++) { /* each sync, if they do not come too fast */
        pause_ms(2);
        assert_true(succeeds(&program, "fsync", fd, 0));
        assert_int_equal(world.vitals->storage_writes, i);
    }
    assert_true(world.vitals->storage_ns > 0);
    assert_int_equal(make(&program, "fsync", other, 0, 50).good, 50);
    assert_int_equal(world.vitals->storage_writes, 5); /* but not of others */
    assert_int_equal(make(&program, "write", fd, 1, 20000).good, 20000);
    assert_in_range(world.vitals->storage_writes, 6, 5 + 10000); /* some of those that come fast */

    uint64_t writes_before = world.vitals->storage_writes, ns_before = world.vitals->storage_ns;
    page_set(world.page, FAULT_STORAGE_LATENCY, 0.02, FOREVER);
    assert_int_equal(make(&program, "pwrite", fd, 1, 3).good, 3);
    assert_int_equal(world.vitals->storage_writes, writes_before + 3); /* all while a fault is on */
    assert_true(world.vitals->storage_ns - ns_before >= 60 * MILLISECOND);
    assert_int_equal(make(&program, "pread", fd, 1, 1).good, 1);
    assert_int_equal(world.vitals->storage_writes, writes_before + 3); /* reads are not counted */
    assert_int_equal(world.vitals->storage_errors, 0);
    assert_int_equal(world.vitals->storage_since, 0);
    program_end(&program);
}

/* --- the library itself --------------------------------------------------------------------------------- */

static void the_library_is_written_whole_or_not_at_all(void **state)
{
    char path[256];
    struct stat before, after;

    (void)state;
    assert_int_equal(stat(world.library, &before), 0);
    assert_int_equal(before.st_size, preload_image_size);
    assert_int_equal(before.st_mode & 07777, 0700);
    struct program program = program_new();
    assert_int_equal(preload_write(world.library), 0); /* while it is in use */
    assert_int_equal(stat(world.library, &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    page_set(world.page, FAULT_IO_ERROR, 1, FOREVER);
    assert_true(fails_with(&program, "write", open_file(&program, world.data, "file"), 1, EIO));
    program_end(&program);

    snprintf(path, sizeof(path), "%s/missing/library.so", world.folder);
    assert_int_equal(preload_write(path), -ENOENT);
    assert_int_equal(preload_write(world.data), -EISDIR);
    assert_int_equal(size_of(world.folder, "data.new"), -1);
}

/* --- a program that we truly did not write -------------------------------------------------------------- */

static int redis_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE / SECOND};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) <
                sizeof(address.sun_path));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The first line of its answer begins so. */
static bool redis_says(int fd, const char *command, const char *expected)
{
    char answer[512] = "";

    say(fd, command);
    ssize_t length = recv(fd, answer, sizeof(answer) - 1, 0);
    return length > 0 && strncmp(answer, expected, strlen(expected)) == 0;
}

static pid_t redis_start(const char *sync, int *fd)
{
    char path[256];
    pid_t pid = start();

    snprintf(path, sizeof(path), "%s/redis", world.folder);
    if (pid == 0) {
        int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, 1);
        run(usual(), (const char *const[]){REDIS, "--port", "0", "--unixsocket", path, "--dir", world.data,
                                           "--save", "", "--appendonly", "yes", "--appendfsync", sync, NULL});
    }
    assert_soon((*fd = redis_connect(path)) >= 0);
    assert_soon(redis_says(*fd, "PING\r\n", "+PONG"));
    return pid;
}

#define skip_without_redis()                                                                                 \
    do {                                                                                                     \
        if (access(REDIS, X_OK) < 0)                                                                         \
            skip();                                                                                          \
    } while (0)

static void redis_waits_for_a_slow_disk(void **state)
{
    int fd;

    (void)state;
    skip_without_redis();
    pid_t pid = redis_start("always", &fd);
    assert_true(redis_says(fd, "SET a 1\r\n", "+OK"));
    uint64_t done = world.vitals->storage_writes, ns = world.vitals->storage_ns;
    assert_true(done > 0);
    page_set(world.page, FAULT_STORAGE_LATENCY, 0.25, FOREVER);
    int64_t began_at = monotonic_ns();
    assert_true(redis_says(fd, "SET a 2\r\n", "+OK"));
    assert_true(seconds_since(began_at) >= 0.25);
    assert_true(world.vitals->storage_writes > done);
    assert_true((double)(world.vitals->storage_ns - ns) >=
                0.25e9 * (double)(world.vitals->storage_writes - done));
    began_at = monotonic_ns();
    page_set(world.page, FAULT_STORAGE_LATENCY, 10, FOREVER);
    assert_true(redis_says(fd, "GET a\r\n", "$1")); /* reads no disk */
    assert_true(seconds_since(began_at) < 10);
    close(fd);
    end(pid, SIGKILL);
}

static void redis_refuses_writes_while_its_disk_fails(void **state)
{
    static const enum fault_kind faults[] = {FAULT_IO_ERROR, FAULT_DISK_FULL};
    int fd;

    (void)state;
    skip_without_redis();
    pid_t pid = redis_start("everysec", &fd);
    page_set_room(world.page, 0);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        uint64_t errors = world.vitals->storage_errors;
        assert_soon(redis_says(fd, "SET a 1\r\n", "+OK"));
        page_set(world.page, faults[i], 1, FOREVER);
        assert_soon(redis_says(fd, "SET a 2\r\n", "-MISCONF"));
        assert_true(world.vitals->storage_errors > errors);
        page_clear(world.page, faults[i]);
        assert_soon(redis_says(fd, "SET a 3\r\n", "+OK"));
    }
    close(fd);
    end(pid, SIGKILL);
}

#define story(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(every_call_below_the_folder_waits),
        story(another_folder_waits_for_nothing),
        story(a_wait_ends_with_its_fault),
        story(a_fault_strikes_the_incarnation_it_struck),
        story(writes_fail_and_move_nothing),
        story(a_share_of_the_writes_fails),
        story(a_full_disk_takes_what_fits),
        story(a_descriptor_that_is_used_again_is_another_file),
        story(a_file_that_is_remembered_is_no_other),
        story(files_without_a_name_belong_to_their_folder),
        story(children_are_struck_like_their_parent),
        story(a_folder_may_be_named_through_a_link),
        story(variables_that_make_no_sense_do_nothing),
        story(numbers_that_mean_another_file_are_left_alone),
        story(the_vitals_are_kept),
        story(the_library_is_written_whole_or_not_at_all),
        story(redis_waits_for_a_slow_disk),
        story(redis_refuses_writes_while_its_disk_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
