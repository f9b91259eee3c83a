/* The log of the built-in service: one file of changes to a map, in the order they were made.
 *
 *     file    magic "HSKVLOG1", u64 generation, then records
 *     record  u32 crc, u32 value length, u16 key length, u8 change, u8 0, key, value
 *
 * Little-endian; the crc is CRC-32 (IEEE 802.3, reflected) of what follows it in its record. A record that
 * does not fit the rest of the file or its crc is a torn tail: it and what follows was never acknowledged. */
#ifndef SERVICE_KVLOG_H
#define SERVICE_KVLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVLOG_HEADER_BYTES 16
#define KVLOG_RECORD_BYTES 12 /* of a record without its key and value */

enum kvlog_change { KVLOG_PUT = 1, KVLOG_REMOVE = 2 };

struct kvlog_record {
    enum kvlog_change change;
    const char *key, *value; /* lent */
    size_t key_length, value_length;
};

struct kvlog {
    int folder_fd, fd; /* -1: none */
    uint64_t bytes;    /* of the file */
    uint64_t generation;
    bool fresh; /* its name in the folder is not durable yet */
};

size_t kvlog_record_bytes(size_t key_length, size_t value_length);
void kvlog_encode(char *out, const struct kvlog_record *record); /* kvlog_record_bytes() are written */

/* Shows each whole record to `visit`; returns how many of the `length` bytes these were. */
size_t kvlog_decode(const char *bytes, size_t length, void (*visit)(void *, const struct kvlog_record *),
                    void *arg);

/* The generation of the log in `folder`, 0 if there is none. -EBADMSG: it is not one of ours. */
int kvlog_generation(const char *folder, uint64_t *generation);

/* Opens the folder's log, replays it and cuts its torn tail, `*torn_bytes` long; one that is missing is made,
 * with generation 1. The folder is made if missing. Nothing is fsynced: that is the first kvlog_sync()'s. */
int kvlog_open(struct kvlog *log, const char *folder, void (*visit)(void *, const struct kvlog_record *),
               void *arg, uint64_t *torn_bytes);

/* A new log for the folder under another name, until kvlog_publish() fsyncs it and puts it in the old one's
 * place; that this outlives a power cut is kvlog_sync()'s. kvlog_discard() deletes a draft, kvlog_withdraw()
 * what was published. */
int kvlog_draft(struct kvlog *log, const char *folder, uint64_t generation);
int kvlog_publish(struct kvlog *log);
void kvlog_discard(struct kvlog *log);
void kvlog_withdraw(struct kvlog *log);

/* Adds whole records at the end. After a failure (negative errno: -ENOSPC, -EIO, ...) the file is cut back to
 * what it was and stays usable; if even that fails, which is -ENOTRECOVERABLE, or if a sync does, its state
 * is unknown and the log must be given up. */
int kvlog_append(struct kvlog *log, const char *bytes, size_t length);
int kvlog_sync(struct kvlog *log);

void kvlog_close(struct kvlog *log);

#endif
