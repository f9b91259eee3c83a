#include "service/kvlog.h"

#include "base/crc.h"
#include "service/kv.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC      "HSKVLOG1"
#define NAME       "kv.log"
#define DRAFT_NAME "kv.log.new"

/* --- records --- */

static void put_u32(char *out, uint32_t value)
{
    value = htole32(value);
    memcpy(out, &value, sizeof(value));
}

static uint32_t u32_at(const char *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof(value));
    return le32toh(value);
}

size_t kvlog_record_bytes(size_t key_length, size_t value_length)
{
    return KVLOG_RECORD_BYTES + key_length + value_length;
}

void kvlog_encode(char *out, const struct kvlog_record *record)
{
    put_u32(out + 4, (uint32_t)record->value_length);
    put_u32(out + 8, (uint32_t)record->key_length | (uint32_t)record->change << 16);
    memcpy(out + KVLOG_RECORD_BYTES, record->key, record->key_length);
    if (record->value_length > 0)
        memcpy(out + KVLOG_RECORD_BYTES + record->key_length, record->value, record->value_length);
    put_u32(out, crc32_add(0, out + 4, kvlog_record_bytes(record->key_length, record->value_length) - 4));
}

static bool decode_one(const char *bytes, size_t length, struct kvlog_record *record)
{
    if (length < KVLOG_RECORD_BYTES)
        return false;
    uint32_t key_and_change = u32_at(bytes + 8);
    record->value_length = u32_at(bytes + 4);
    record->key_length = key_and_change & 0xffff;
    record->change = (enum kvlog_change)(key_and_change >> 16);
    if (record->value_length > KV_VALUE_MAX_BYTES || record->key_length == 0 ||
        record->key_length > KV_KEY_MAX_BYTES ||
        (record->change != KVLOG_PUT && record->change != KVLOG_REMOVE))
        return false;
    size_t whole = kvlog_record_bytes(record->key_length, record->value_length);
    if (whole > length || crc32_add(0, bytes + 4, whole - 4) != u32_at(bytes))
        return false;
    record->key = bytes + KVLOG_RECORD_BYTES;
    record->value = record->key + record->key_length;
    return true;
}

size_t kvlog_decode(const char *bytes, size_t length, void (*visit)(void *, const struct kvlog_record *),
                    void *arg)
{
    struct kvlog_record record;
    size_t done = 0;

    while (decode_one(bytes + done, length - done, &record)) {
        visit(arg, &record);
        done += kvlog_record_bytes(record.key_length, record.value_length);
    }
    return done;
}

/* --- the file --- */

static int write_all(struct kvlog *log, const char *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t wrote = pwrite(log->fd, bytes + done, length - done, (off_t)(log->bytes + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? -errno : -EIO;
        done += (size_t)wrote;
    }
    log->bytes += length;
    return 0;
}

static int write_header(struct kvlog *log)
{
    char header[KVLOG_HEADER_BYTES];
    uint64_t generation = htole64(log->generation);

    memcpy(header, MAGIC, 8);
    memcpy(header + 8, &generation, 8);
    log->bytes = 0;
    if (ftruncate(log->fd, 0) < 0)
        return -errno;
    return write_all(log, header, sizeof(header));
}

/* 1 and the generation, 0 if the file is too short for a header (cut off while it was made), -EBADMSG. */
static int read_header(int fd, uint64_t *generation)
{
    char header[KVLOG_HEADER_BYTES];
    ssize_t length = pread(fd, header, sizeof(header), 0);

    if (length < 0)
        return -errno;
    if (length < KVLOG_HEADER_BYTES)
        return 0;
    if (memcmp(header, MAGIC, 8) != 0)
        return -EBADMSG;
    memcpy(generation, header + 8, 8);
    *generation = le64toh(*generation);
    return 1;
}

int kvlog_generation(const char *folder, uint64_t *generation)
{
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = folder_fd < 0 ? -1 : openat(folder_fd, NAME, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -errno : read_header(fd, generation);

    if (fd >= 0)
        close(fd);
    if (folder_fd >= 0)
        close(folder_fd);
    if (result > 0)
        return 0;
    *generation = 0;
    return result == -ENOENT || result == -ENOTDIR ? 0 : result;
}

static int open_in(struct kvlog *log, const char *folder, const char *name)
{
    *log = (struct kvlog){.folder_fd = -1, .fd = -1};
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return -errno;
    log->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->folder_fd < 0)
        return -errno;
    log->fd = openat(log->folder_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return log->fd < 0 ? -errno : 0;
}

static int replay(struct kvlog *log, void (*visit)(void *, const struct kvlog_record *), void *arg,
                  uint64_t *torn)
{
    struct stat status;
    if (fstat(log->fd, &status) < 0)
        return -errno;
    size_t length = (size_t)status.st_size;
    char *bytes = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, log->fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    log->bytes = KVLOG_HEADER_BYTES +
                 kvlog_decode(bytes + KVLOG_HEADER_BYTES, length - KVLOG_HEADER_BYTES, visit, arg);
    munmap(bytes, length);

    *torn = length - log->bytes;
    return *torn > 0 && ftruncate(log->fd, (off_t)log->bytes) < 0 ? -errno : 0;
}

int kvlog_open(struct kvlog *log, const char *folder, void (*visit)(void *, const struct kvlog_record *),
               void *arg, uint64_t *torn_bytes)
{
    *torn_bytes = 0;
    int result = open_in(log, folder, NAME);
    if (result == 0)
        result = read_header(log->fd, &log->generation);
    if (result == 0) {
        log->generation = 1;
        log->fresh = true;
        result = write_header(log);
    } else if (result > 0) {
        result = replay(log, visit, arg, torn_bytes);
    }
    if (result < 0)
        kvlog_close(log);
    return result;
}

int kvlog_draft(struct kvlog *log, const char *folder, uint64_t generation)
{
    int result = open_in(log, folder, DRAFT_NAME);

    log->generation = generation;
    if (result == 0) {
        result = write_header(log);
        if (result < 0)
            kvlog_discard(log);
    }
    if (result < 0)
        kvlog_close(log);
    return result;
}

int kvlog_publish(struct kvlog *log)
{
    if (fdatasync(log->fd) < 0 || renameat(log->folder_fd, DRAFT_NAME, log->folder_fd, NAME) < 0)
        return -errno;
    log->fresh = true;
    return 0;
}

void kvlog_discard(struct kvlog *log)
{
    unlinkat(log->folder_fd, DRAFT_NAME, 0);
}

void kvlog_withdraw(struct kvlog *log)
{
    unlinkat(log->folder_fd, NAME, 0);
}

int kvlog_append(struct kvlog *log, const char *bytes, size_t length)
{
    int result = write_all(log, bytes, length);

    if (result < 0 && ftruncate(log->fd, (off_t)log->bytes) < 0)
        return -ENOTRECOVERABLE;
    return result;
}

int kvlog_sync(struct kvlog *log)
{
    if (fdatasync(log->fd) < 0 || (log->fresh && fsync(log->folder_fd) < 0))
        return -errno;
    log->fresh = false;
    return 0;
}

void kvlog_close(struct kvlog *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->folder_fd >= 0)
        close(log->folder_fd);
    log->fd = log->folder_fd = -1;
}
