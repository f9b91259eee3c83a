#include "service/kv.h"

#include "base/check.h"
#include "base/clock.h"
#include "inject/files.h"
#include "service/kvlog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COMPACT_FACTOR     8
#define COMPACT_FROM_BYTES (1024 * 1024) /* a smaller log is replayed within milliseconds anyway */
#define SNAPSHOT_BYTES     (256 * 1024)  /* written at a time */

static const duration look_ns = 20 * MILLISECOND; /* while a slow disk is waited for */

/* A node of the tree that tsearch(3) keeps. */
struct pair {
    uint32_t key_length, value_length;
    char bytes[]; /* the key, then the value */
};

struct kv {
    void *tree;
    size_t keys, live_bytes; /* live: as records of the log */
    char *staged;            /* encoded records */
    size_t staged_bytes, staged_capacity, staged_changes;

    char *folders[KV_FOLDERS];
    enum kv_folder active;
    struct kvlog log;
    int lock_fd;
    struct files files;    /* the faults of this folder */
    bool broken;           /* the log is given up; only another folder helps */
    uint64_t compact_from; /* log bytes */

    const struct page *page;
    struct vitals *vitals;
    int hurry_fd;
};

/* --- the map --- */

static int compare(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;

    if (a->key_length != b->key_length)
        return a->key_length < b->key_length ? -1 : 1;
    return memcmp(a->bytes, b->bytes, a->key_length);
}

static struct pair *find(const struct kv *kv, const char *key, size_t key_length)
{
    union {
        struct pair pair;
        char room[sizeof(struct pair) + KV_KEY_MAX_BYTES];
    } probe;

    CHECK(key_length <= KV_KEY_MAX_BYTES);
    probe.pair.key_length = (uint32_t)key_length;
    memcpy(probe.room + sizeof(struct pair), key, key_length);
    struct pair *const *found = tfind(&probe.pair, &kv->tree, compare);
    return found ? *found : NULL;
}

static size_t entry_bytes(const struct pair *entry)
{
    return entry ? kvlog_record_bytes(entry->key_length, entry->value_length) : 0;
}

static void map_remove(struct kv *kv, struct pair *entry)
{
    if (!entry)
        return;
    tdelete(entry, &kv->tree, compare);
    kv->keys--;
    kv->live_bytes -= entry_bytes(entry);
    free(entry);
}

static void map_apply(void *arg, const struct kvlog_record *record)
{
    struct kv *kv = arg;

    map_remove(kv, find(kv, record->key, record->key_length));
    if (record->change == KVLOG_REMOVE)
        return;
    struct pair *entry = malloc(sizeof(*entry) + record->key_length + record->value_length);
    CHECK(entry);
    entry->key_length = (uint32_t)record->key_length;
    entry->value_length = (uint32_t)record->value_length;
    memcpy(entry->bytes, record->key, record->key_length);
    memcpy(entry->bytes + record->key_length, record->value, record->value_length);
    CHECK(tsearch(entry, &kv->tree, compare));
    kv->keys++;
    kv->live_bytes += entry_bytes(entry);
}

const char *kv_value(const struct kv *kv, const char *key, size_t key_length, size_t *value_length)
{
    const struct pair *entry = find(kv, key, key_length);

    if (!entry)
        return NULL;
    *value_length = entry->value_length;
    return entry->bytes + entry->key_length;
}

size_t kv_keys(const struct kv *kv)
{
    return kv->keys;
}

enum kv_folder kv_active(const struct kv *kv)
{
    return kv->active;
}

/* --- storage, with its fault --- */

/* Until the wait is over, somebody is in a hurry, or the fault is over. */
static void wait_for(const struct kv *kv, duration wait)
{
    struct pollfd hurry = {.fd = kv->hurry_fd, .events = POLLIN};
    int64_t until = monotonic_ns() + wait, left;
    while ((left = until - monotonic_ns()) > 0 && files_are_slow(&kv->files)) {
        struct timespec slice = {.tv_nsec = left < look_ns ? left : look_ns};
        if (ppoll(&hurry, 1, &slice, NULL) != 0)
            return;
    }
}

/* What the faults make of a write of `bytes` (0: there is none) and its fsync, after the wait, which is one
 * for both: 0, or a negative errno and nothing is to be written. */
static int suffer(struct kv *kv, size_t bytes)
{
    duration write = 0, sync = 0;
    int error = bytes > 0 ? files_ask(&kv->files, FILE_WRITES, bytes, &write) : 0;

    if (error == 0)
        error = files_ask(&kv->files, FILE_SYNCS, 0, &sync);
    wait_for(kv, write > sync ? write : sync);
    return -error;
}

static int64_t storage_begins(struct kv *kv)
{
    int64_t now = monotonic_ns();

    atomic_store(&kv->vitals->storage_since, (uint64_t)now);
    return now;
}

static int storage_ended(struct kv *kv, int64_t began_at, int result)
{
    atomic_fetch_add(&kv->vitals->storage_ns, (uint64_t)(monotonic_ns() - began_at));
    atomic_fetch_add(&kv->vitals->storage_writes, 1);
    if (result < 0)
        atomic_fetch_add(&kv->vitals->storage_errors, 1);
    atomic_store(&kv->vitals->storage_since, 0);
    return result;
}

/* Appends (if there is anything) and fsyncs, as users and the node agent see it. */
static int store(struct kv *kv, struct kvlog *log, const char *bytes, size_t length)
{
    int64_t began_at = storage_begins(kv);
    bool unknown = false;
    int result = suffer(kv, length);

    if (result == 0 && length > 0) {
        result = kvlog_append(log, bytes, length);
        unknown = result == -ENOTRECOVERABLE;
    }
    if (result == 0) {
        result = kvlog_sync(log);
        unknown =
            result < 0; /* the kernel may have dropped the pages: trying again would only seem to work */
    }
    if (unknown && log == &kv->log)
        kv->broken = true;
    return storage_ended(kv, began_at, result);
}

static int write_started(int folder_fd)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "by process %ld\n", (long)getpid());
    int fd = openat(folder_fd, "started", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t wrote = write(fd, text, (size_t)length);
    int result = wrote == length ? 0 : wrote < 0 ? -errno : -ENOSPC;
    if (result == 0 && fsync(fd) < 0)
        result = -errno;
    close(fd);
    return result;
}

/* Whether the active folder takes a write at all, before anybody relies on it. */
static int try_storage(struct kv *kv)
{
    int64_t began_at = storage_begins(kv);
    int result = suffer(kv, 1);

    if (result == 0)
        result = write_started(kv->log.folder_fd);
    return storage_ended(kv, began_at, result);
}

struct snapshot {
    struct kv *kv;
    struct kvlog *log;
    char *buffer;
    size_t filled;
    int result;
};

static void snapshot_flush(struct snapshot *snapshot)
{
    duration wait; /* is left to the fsync: hundreds of pieces would wait for minutes */

    if (snapshot->result == 0 && snapshot->filled > 0)
        snapshot->result = -files_ask(&snapshot->kv->files, FILE_WRITES, snapshot->filled, &wait);
    if (snapshot->result == 0 && snapshot->filled > 0)
        snapshot->result = kvlog_append(snapshot->log, snapshot->buffer, snapshot->filled);
    snapshot->filled = 0;
}

static void snapshot_entry(const void *node, VISIT order, void *arg)
{
    struct snapshot *snapshot = arg;
    const struct pair *entry = *(struct pair *const *)node;

    if (order != postorder && order != leaf) /* each node once: this is twalk's word for "in order" */
        return;
    if (snapshot->filled + entry_bytes(entry) > SNAPSHOT_BYTES)
        snapshot_flush(snapshot);
    struct kvlog_record record = {.change = KVLOG_PUT,
                                  .key = entry->bytes,
                                  .key_length = entry->key_length,
                                  .value = entry->bytes + entry->key_length,
                                  .value_length = entry->value_length};
    kvlog_encode(snapshot->buffer + snapshot->filled, &record);
    snapshot->filled += entry_bytes(entry);
}

/* The map as a draft in a folder; closed and gone on failure. */
static int write_draft(struct kv *kv, enum kv_folder folder, struct kvlog *log)
{
    duration wait;
    int result = -files_ask(&kv->files, FILE_WRITES, KVLOG_HEADER_BYTES, &wait);

    if (result == 0)
        result = kvlog_draft(log, kv->folders[folder], kv->log.generation + 1);
    if (result < 0)
        return result;
    struct snapshot snapshot = {.kv = kv, .log = log, .buffer = malloc(SNAPSHOT_BYTES)};
    CHECK(snapshot.buffer);
    twalk_r(kv->tree, snapshot_entry, &snapshot);
    snapshot_flush(&snapshot);
    free(snapshot.buffer);

    result = snapshot.result == 0 ? kvlog_publish(log) : snapshot.result;
    if (result < 0) {
        kvlog_discard(log); /* a full disk needs the room */
        kvlog_close(log);
    }
    return result;
}

/* The map as a new, published and durable log in a folder. */
static int write_snapshot(struct kv *kv, enum kv_folder folder, struct kvlog *log)
{
    int result = write_draft(kv, folder, log);
    if (result < 0)
        return result;
    result = store(kv, log, NULL, 0);
    if (result < 0) {
        if (folder != kv->active)
            kvlog_withdraw(log); /* or the next start would take it for the newest */
        kvlog_close(log);
    }
    return result;
}

static void adopt(struct kv *kv, enum kv_folder folder, const struct kvlog *log)
{
    kvlog_close(&kv->log);
    kv->log = *log;
    kv->active = folder;
    kv->broken = false;
    kv->compact_from = COMPACT_FROM_BYTES;
}

static void compact(struct kv *kv)
{
    struct kvlog log;

    if (kv->broken || kv->log.bytes < kv->compact_from || kv->log.bytes < COMPACT_FACTOR * kv->live_bytes)
        return;
    int result = write_snapshot(kv, kv->active, &log);
    if (result == 0) {
        adopt(kv, kv->active, &log);
        return;
    }
    fprintf(stderr, "homeostat service: the log could not be written anew: %s\n", strerror(-result));
    kv->compact_from = kv->log.bytes * 2;
    /* If the new log had got its name, what we would go on writing to has none. */
    struct stat status;
    if (fstat(kv->log.fd, &status) < 0 || status.st_nlink == 0)
        kv->broken = true;
}

/* --- changes --- */

static int stage(struct kv *kv, const struct kvlog_record *record)
{
    size_t bytes = kvlog_record_bytes(record->key_length, record->value_length);

    CHECK(record->key_length >= 1 && record->key_length <= KV_KEY_MAX_BYTES);
    CHECK(record->value_length <= KV_VALUE_MAX_BYTES);
    if (kv->broken)
        return -EIO;
    if (kv->staged_bytes + bytes > kv->staged_capacity) {
        size_t capacity = 2 * (kv->staged_bytes + bytes);
        char *staged = realloc(kv->staged, capacity);
        if (!staged)
            return -ENOSPC;
        kv->staged = staged;
        kv->staged_capacity = capacity;
    }
    kvlog_encode(kv->staged + kv->staged_bytes, record);
    kv->staged_bytes += bytes;
    kv->staged_changes++;
    return 0;
}

int kv_stage_put(struct kv *kv, const char *key, size_t key_length, const char *value, size_t value_length)
{
    const struct pair *old = find(kv, key, key_length);
    size_t bytes = kvlog_record_bytes(key_length, value_length);

    /* What is staged counts in full, though some of it may replace or remove. */
    if (kv->live_bytes - entry_bytes(old) + kv->staged_bytes + bytes > KV_LIVE_MAX_BYTES)
        return -ENOSPC;
    if (!old && kv->keys + kv->staged_changes >= KV_KEYS_MAX)
        return -ENOSPC;
    return stage(kv, &(struct kvlog_record){.change = KVLOG_PUT,
                                            .key = key,
                                            .key_length = key_length,
                                            .value = value,
                                            .value_length = value_length});
}

int kv_stage_remove(struct kv *kv, const char *key, size_t key_length)
{
    return stage(kv, &(struct kvlog_record){.change = KVLOG_REMOVE, .key = key, .key_length = key_length});
}

size_t kv_staged_bytes(const struct kv *kv)
{
    return kv->staged_bytes;
}

int kv_commit(struct kv *kv)
{
    if (kv->staged_bytes == 0)
        return 0;
    int result = kv->broken ? -EIO : store(kv, &kv->log, kv->staged, kv->staged_bytes);
    if (result == 0)
        CHECK(kvlog_decode(kv->staged, kv->staged_bytes, map_apply, kv) == kv->staged_bytes);
    kv->staged_bytes = 0;
    kv->staged_changes = 0;
    if (result == 0)
        compact(kv);
    return result;
}

int kv_switch(struct kv *kv, enum kv_folder folder)
{
    struct kvlog log;
    uint64_t latency = kv->files.latency, errors = kv->files.errors;

    CHECK(folder < KV_FOLDERS && kv->staged_bytes == 0);
    if (!kv->folders[folder])
        return -EINVAL;
    if (folder == kv->active)
        return 0;
    files_open(&kv->files, kv->page);
    int result = write_snapshot(kv, folder, &log);
    if (result == 0) {
        adopt(kv, folder, &log);
    } else {
        kv->files.latency = latency;
        kv->files.errors = errors;
    }
    return result;
}

/* --- opening --- */

static int lock(struct kv *kv)
{
    char path[4096];

    if (mkdir(kv->folders[KV_PRIMARY], 0700) < 0 && errno != EEXIST)
        return -errno;
    if (snprintf(path, sizeof(path), "%s/lock", kv->folders[KV_PRIMARY]) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    kv->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (kv->lock_fd < 0 || flock(kv->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    return 0;
}

/* Which folder holds the newest log; the active one if both do, or neither. */
static int newest_folder(const struct kv *kv, enum kv_folder wanted, enum kv_folder *newest)
{
    uint64_t best = 0;
    int result = kvlog_generation(kv->folders[wanted], &best);

    *newest = wanted;
    for (enum kv_folder folder = 0; result == 0 && folder < KV_FOLDERS; folder++) {
        uint64_t generation = 0;
        if (kv->folders[folder])
            result = kvlog_generation(kv->folders[folder], &generation);
        if (result == 0 && generation > best) {
            best = generation;
            *newest = folder;
        }
    }
    return result;
}

static int open_folders(struct kv *kv, enum kv_folder wanted)
{
    uint64_t torn = 0;
    enum kv_folder newest;

    int result = newest_folder(kv, wanted, &newest);
    if (result < 0)
        return result;
    files_open(&kv->files, kv->page);
    result = kvlog_open(&kv->log, kv->folders[newest], map_apply, kv, &torn);
    if (result < 0)
        return result;
    kv->active = newest;
    if (torn > 0)
        fprintf(stderr, "homeostat service: %s: cut a torn tail of %llu bytes\n", kv->folders[newest],
                (unsigned long long)torn);
    return kv_switch(kv, wanted);
}

int kv_open(struct kv **kv, const struct kv_options *options)
{
    struct kv *made = calloc(1, sizeof(*made));

    CHECK(made && options->folders[KV_PRIMARY] && options->folder < KV_FOLDERS);
    *made = (struct kv){.log = {.folder_fd = -1, .fd = -1},
                        .lock_fd = -1,
                        .compact_from = COMPACT_FROM_BYTES,
                        .page = options->page,
                        .vitals = options->vitals,
                        .hurry_fd = options->hurry_fd};
    for (int folder = 0; folder < KV_FOLDERS; folder++)
        if (options->folders[folder])
            CHECK(made->folders[folder] = strdup(options->folders[folder]));
    int result = made->folders[options->folder] ? lock(made) : -EINVAL;
    if (result == 0)
        result = open_folders(made, options->folder);
    if (result == 0)
        result = try_storage(made);
    if (result < 0)
        kv_close(&made);
    *kv = made;
    return result;
}

void kv_close(struct kv **kv)
{
    struct kv *gone = *kv;

    if (!gone)
        return;
    tdestroy(gone->tree, free);
    kvlog_close(&gone->log);
    if (gone->lock_fd >= 0)
        close(gone->lock_fd);
    for (int folder = 0; folder < KV_FOLDERS; folder++)
        free(gone->folders[folder]);
    free(gone->staged);
    free(gone);
    *kv = NULL;
}

const char *kv_folder_name(enum kv_folder folder)
{
    CHECK(folder < KV_FOLDERS);
    return folder == KV_PRIMARY ? "primary" : "standby";
}
