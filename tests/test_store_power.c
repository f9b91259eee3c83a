/* Power cuts. A VFS between SQLite and the kernel writes down every write, truncation and fsync. From that,
 * disks are made as a power cut may leave them: what was synced is there; of what was not, each write is
 * there, is not, or is torn at sectors of 512 bytes, in any order. On each of them the store must open, be
 * whole, and have every step that it had called durable. Some are cut once more while they recover.
 *
 * HOMEOSTAT_POWER_IMAGES says how many (200). */
#include "store_steps.h"

#include <fcntl.h>

enum {
    FILES = 3 /* the database, its log, the journal of its first step */,
    SECTOR = 512,
    STEPS = 320,
    OPS_MAX = 1 << 18
};

/* --- what was done to the disk -------------------------------------------------------------------------- */

enum op_kind { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_ACKNOWLEDGED };

struct op {
    enum op_kind kind;
    int file;
    int64_t at; /* offset; size of a truncation; ticket */
    size_t size;
    unsigned char *bytes;
};

static struct journal {
    pthread_mutex_t mutex;
    struct op *ops;
    size_t count;
    bool on;
} journal = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void journal_add(enum op_kind kind, int file, int64_t at, const void *bytes, size_t size)
{
    pthread_mutex_lock(&journal.mutex);
    if (journal.on && file >= 0) {
        if (journal.count == OPS_MAX)
            abort();
        struct op *op = &journal.ops[journal.count++];
        *op = (struct op){
            .kind = kind, .file = file, .at = at, .size = size, .bytes = size ? malloc(size) : NULL};
        if (size)
            memcpy(op->bytes, bytes, size);
    }
    pthread_mutex_unlock(&journal.mutex);
}

static void journal_begin(void)
{
    if (!journal.ops)
        journal.ops = calloc(OPS_MAX, sizeof *journal.ops);
    journal.count = 0;
    journal.on = true;
}

/* The caller's from now on. */
static struct op *journal_end(size_t *count)
{
    struct op *ops = journal.ops;
    *count = journal.count;
    journal.on = false;
    journal.ops = NULL;
    return ops;
}

static void free_ops(struct op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(ops[i].bytes);
    free(ops);
}

/* --- the VFS -------------------------------------------------------------------------------------------- */

static sqlite3_vfs *real_vfs;
static sqlite3_vfs power_vfs;

static struct methods {        /* one for each file that is open */
    sqlite3_io_methods noting; /* first: the file's pMethods points at it */
    const sqlite3_io_methods *real;
    int file; /* see file_of() */
} all_methods[64];

static struct methods *methods_of(const sqlite3_file *file)
{
    return (struct methods *)(uintptr_t)file->pMethods;
}

static int noting_write(sqlite3_file *file, const void *bytes, int count, sqlite3_int64 at)
{
    struct methods *methods = methods_of(file);
    journal_add(OP_WRITE, methods->file, at, bytes, (size_t)count);
    return methods->real->xWrite(file, bytes, count, at);
}

static int noting_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct methods *methods = methods_of(file);
    journal_add(OP_TRUNCATE, methods->file, size, NULL, 0);
    return methods->real->xTruncate(file, size);
}

/* The real fsync would only cost time: the disks are made of the journal. */
static int noting_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    journal_add(OP_SYNC, methods_of(file)->file, 0, NULL, 0);
    return SQLITE_OK;
}

static int noting_close(sqlite3_file *file)
{
    struct methods *methods = methods_of(file);
    int code = methods->real->xClose(file);
    pthread_mutex_lock(&journal.mutex);
    methods->real = NULL;
    pthread_mutex_unlock(&journal.mutex);
    return code;
}

static const char *const endings[FILES] = {".db", ".db-wal", ".db-journal"};

/* Which of the three, or -1. */
static int file_of(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    for (int file = 0; file < FILES; file++)
        if (length > strlen(endings[file]) &&
            strcmp(name + length - strlen(endings[file]), endings[file]) == 0)
            return file;
    return -1;
}

/* A file that is not there is an empty one. */
static int noting_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    journal_add(OP_TRUNCATE, file_of(name), 0, NULL, 0);
    if (sync_folder)
        journal_add(OP_SYNC, file_of(name), 0, NULL, 0);
    return real_vfs->xDelete(real_vfs, name, sync_folder);
}

static int noting_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    int code = real_vfs->xOpen(real_vfs, name, file, flags, out);
    if (code != SQLITE_OK || !file->pMethods)
        return code;
    pthread_mutex_lock(&journal.mutex);
    struct methods *methods = all_methods;
    while (methods->real)
        if (++methods == all_methods + 64)
            abort();
    methods->real = file->pMethods;
    pthread_mutex_unlock(&journal.mutex);
    methods->noting = *methods->real;
    methods->noting.xWrite = noting_write;
    methods->noting.xTruncate = noting_truncate;
    methods->noting.xSync = noting_sync;
    methods->noting.xClose = noting_close;
    methods->file = file_of(name);
    file->pMethods = &methods->noting;
    return SQLITE_OK;
}

static int install(void **state)
{
    (void)state;
    real_vfs = sqlite3_vfs_find(NULL);
    power_vfs = *real_vfs;
    power_vfs.zName = "power";
    power_vfs.xOpen = noting_open;
    power_vfs.xDelete = noting_delete;
    return sqlite3_vfs_register(&power_vfs, 1);
}

/* --- disks ---------------------------------------------------------------------------------------------- */

struct content {
    unsigned char *bytes;
    size_t size, capacity;
};

struct disk {
    struct content file[FILES];
};

static void resize(struct content *content, size_t size)
{
    if (size > content->capacity) {
        content->capacity = size * 2;
        content->bytes = realloc(content->bytes, content->capacity);
        assert_non_null(content->bytes);
    }
    if (size > content->size)
        memset(content->bytes + content->size, 0, size - content->size);
    content->size = size;
}

static void write_piece(struct content *content, int64_t at, const unsigned char *bytes, size_t size)
{
    if ((size_t)at + size > content->size)
        resize(content, (size_t)at + size);
    memcpy(content->bytes + at, bytes, size);
}

static void apply(struct disk *disk, const struct op *op)
{
    struct content *content = &disk->file[op->file];
    if (op->kind == OP_TRUNCATE)
        resize(content, (size_t)op->at);
    else if (op->kind == OP_WRITE)
        write_piece(content, op->at, op->bytes, op->size);
}

static void copy_disk(struct disk *to, const struct disk *from)
{
    for (int i = 0; i < FILES; i++) {
        to->file[i].size = 0;
        resize(&to->file[i], from->file[i].size);
        if (from->file[i].size)
            memcpy(to->file[i].bytes, from->file[i].bytes, from->file[i].size);
    }
}

static void free_disk(struct disk *disk)
{
    for (int i = 0; i < FILES; i++)
        free(disk->file[i].bytes);
}

/* splitmix64 */
static uint64_t random_state = 20261129;

static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Some of its sectors. */
static void apply_torn(struct disk *disk, const struct op *op)
{
    for (size_t from = 0; from < op->size; from += SECTOR) {
        size_t size = op->size - from < SECTOR ? op->size - from : SECTOR;
        if (draw() % 2)
            write_piece(&disk->file[op->file], op->at + (int64_t)from, op->bytes + from, size);
    }
}

/* What the power cut leaves of those that were not synced. */
static void apply_some(struct disk *disk, const struct op **unsynced, size_t count)
{
    bool in_order = draw() % 4 == 0;
    for (size_t i = count; i > 1 && !in_order; i--) {
        size_t k = draw() % i;
        const struct op *swapped = unsynced[i - 1];
        unsynced[i - 1] = unsynced[k];
        unsynced[k] = swapped;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t fate = draw() % 3;
        if (fate == 1)
            apply(disk, unsynced[i]);
        else if (fate == 2 && unsynced[i]->kind == OP_WRITE)
            apply_torn(disk, unsynced[i]);
    }
}

/* The disk after the first `point` ops on `from`. Returns the newest ticket that was acknowledged by then. */
static uint64_t cut(struct disk *disk, const struct disk *from, const struct op *ops, size_t point)
{
    static const struct op *unsynced[FILES][OPS_MAX];
    size_t waiting[FILES] = {0};
    uint64_t acknowledged = 0;
    copy_disk(disk, from);
    for (size_t i = 0; i < point; i++) {
        const struct op *op = &ops[i];
        if (op->kind == OP_ACKNOWLEDGED) {
            acknowledged = (uint64_t)op->at;
        } else if (op->kind == OP_SYNC) {
            for (size_t k = 0; k < waiting[op->file]; k++)
                apply(disk, unsynced[op->file][k]);
            waiting[op->file] = 0;
        } else {
            unsynced[op->file][waiting[op->file]++] = op;
        }
    }
    for (int file = 0; file < FILES; file++)
        apply_some(disk, unsynced[file], waiting[file]);
    return acknowledged;
}

static void put_file(const char *path, const struct content *content)
{
    unlink(path);
    if (content->size == 0)
        return;
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(content->bytes, 1, content->size, file), content->size);
    assert_int_equal(fclose(file), 0);
}

static void put_disk(const struct bench *bench, const struct disk *disk)
{
    char path[128];
    for (int file = 0; file < FILES; file++) {
        snprintf(path, sizeof path, "%s%s", bench->path, endings[file] + strlen(".db"));
        put_file(path, &disk->file[file]);
    }
    snprintf(path, sizeof path, "%s-shm", bench->path); /* shared memory: gone with the power */
    unlink(path);
}

/* --- the story ------------------------------------------------------------------------------------------ */

static void on_durable(void *context, uint64_t ticket, const char *error)
{
    if (!error)
        journal_add(OP_ACKNOWLEDGED, 0, (int64_t)ticket, NULL, 0);
    note_durable(context, ticket, error);
}

static void open_noting(struct bench *bench)
{
    int result =
        store_writer_open(&bench->writer, bench->store, on_durable, bench, bench->error, sizeof bench->error);
    if (result != 0)
        print_error("%s\n", bench->error);
    assert_int_equal(result, 0);
}

/* A step, and enough text beside it that the log is moved into the database several times. */
static void record_run(struct bench *bench)
{
    static char text[16384];
    memset(text, 'x', sizeof text - 1);
    journal_begin();
    open_noting(bench);
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        struct policy_row policy = {.version = ticket, .at = (instant)ticket, .text = text};
        assert_int_equal(store_put_policy(bench->writer, &policy), 0);
        put_step(bench->writer, ticket);
        if (ticket % 3)
            assert_true(bench_wait(bench, ticket)); /* else two share a commit */
    }
    store_writer_close(&bench->writer);
}

/* It opens, is whole, and has all that was acknowledged. */
static void assert_survives(struct bench *bench, uint64_t acknowledged)
{
    bench->durable = 0;
    open_noting(bench);
    uint64_t steps = whole_steps(bench);
    if (steps < acknowledged)
        print_error("%llu of %llu acknowledged steps are there\n", (unsigned long long)steps,
                    (unsigned long long)acknowledged);
    assert_true(steps >= acknowledged && steps <= STEPS);
    store_writer_close(&bench->writer);
    assert_whole(bench);
}

static void power_cuts_lose_nothing_that_was_acknowledged(void **state)
{
    struct bench *bench = *state;
    const char *wanted = getenv("HOMEOSTAT_POWER_IMAGES");
    int images = wanted ? atoi(wanted) : 200, twice = 0, full = 0;
    size_t count, recovering;
    static const struct disk empty;
    record_run(bench);
    struct op *ops = journal_end(&count);
    struct disk disk = {0}, again = {0};
    for (int image = 0; image < images; image++) {
        size_t point = draw() % (count + 1);
        uint64_t acknowledged = cut(&disk, &empty, ops, point);
        put_disk(bench, &disk);
        full += disk.file[0].size > 65536 && disk.file[1].size > 65536;
        if (image % 2) { /* the power goes once more while it opens, recovers and closes */
            journal_begin();
            assert_survives(bench, acknowledged);
            struct op *more = journal_end(&recovering);
            cut(&again, &disk, more, draw() % (recovering + 1));
            free_ops(more, recovering);
            put_disk(bench, &again);
            twice++;
        }
        assert_survives(bench, acknowledged);
    }
    print_message("# %d disks of %zu operations, %d cut twice, %d with much in both files\n", images, count,
                  twice, full);
    assert_true(full > images / 4);
    free_ops(ops, count);
    free_disk(&disk);
    free_disk(&again);
}

int main(void)
{
    const struct CMUnitTest stories[] = {STORY(power_cuts_lose_nothing_that_was_acknowledged)};
    return cmocka_run_group_tests_name("store_power", stories, install, NULL);
}
