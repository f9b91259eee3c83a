/* The map of the built-in service and the log that makes it last.
 *
 * Values live in memory; each change is appended to `kv.log` in the active data folder and fsynced. Changes
 * are staged first and committed together, in one append and one fsync (group commit); only then do they show
 * in the map. A log eight times larger than its live data is written anew.
 *
 * Each new log has a generation one higher than the last, in whichever folder. A start finds the newest
 * generation of both folders and, if that lies in the other one, brings it over: so no choice of folder can
 * lose a write. */
#ifndef SERVICE_KV_H
#define SERVICE_KV_H

#include "inject/page.h"
#include "inject/vitals.h"

#include <stddef.h>

#define KV_KEY_MAX_BYTES   128
#define KV_VALUE_MAX_BYTES (64 * 1024)
#define KV_KEYS_MAX        100000
#define KV_LIVE_MAX_BYTES  (64 * 1024 * 1024) /* keys, values and 12 bytes each; what is staged included */

enum kv_folder { KV_PRIMARY, KV_STANDBY, KV_FOLDERS };

struct kv_options {
    const char *folders[KV_FOLDERS]; /* the standby may be NULL */
    enum kv_folder folder;           /* the active one */
    const struct page *page;         /* NULL: no faults */
    struct vitals *vitals;           /* storage_* are kept up to date */
    int hurry_fd;                    /* an injected wait ends early when this becomes readable; -1: never */
};

struct kv;

/* Opens the folders (made if missing, not their parents), locks the primary against a second service, replays
 * the log; a torn tail is cut off and said on stderr. At last the file `started` is written and fsynced in
 * the active folder: who could not store anything does not begin to serve. Negative errno: -EWOULDBLOCK
 * another service has it, -EBADMSG a kv.log that is none of ours, -ENOSPC, -EIO, ... The strings of `options`
 * need not outlive the call, the page and vitals must. */
int kv_open(struct kv **kv, const struct kv_options *options);
void kv_close(struct kv **kv); /* what is staged and not committed is forgotten */

/* The committed value, or NULL. Valid until the next commit. */
const char *kv_value(const struct kv *kv, const char *key, size_t key_length, size_t *value_length);
size_t kv_keys(const struct kv *kv);
enum kv_folder kv_active(const struct kv *kv);

/* Adds a change to the next commit. -ENOSPC: one of the bounds above; -EIO: storage failed earlier, and only
 * kv_switch() helps. A removal of a key that is not there is fine. */
int kv_stage_put(struct kv *kv, const char *key, size_t key_length, const char *value, size_t value_length);
int kv_stage_remove(struct kv *kv, const char *key, size_t key_length);
size_t kv_staged_bytes(const struct kv *kv);

/* Appends and fsyncs what is staged, then shows it in the map. On failure (negative errno) none of it counts
 * and nothing is staged any more; after a failed append the next may well succeed.
 *
 * Faults (inject/files.h): STORAGE_LATENCY that strikes this folder makes it wait here, whole seconds maybe,
 * once for the append and its fsync together; with IO_ERROR the append fails with -EIO, with DISK_FULL with
 * -ENOSPC. */
int kv_commit(struct kv *kv);

/* Goes on in another folder: writes a snapshot of the map there and fsyncs it. The incarnations of
 * STORAGE_LATENCY and IO_ERROR are read here, so page_renew() must come before; DISK_FULL strikes any folder.
 * Nothing may be staged. -EINVAL: there is no such folder; on any failure it stays where it is, and so do the
 * faults. */
int kv_switch(struct kv *kv, enum kv_folder folder);

const char *kv_folder_name(enum kv_folder folder); /* "primary", "standby" */

#endif
