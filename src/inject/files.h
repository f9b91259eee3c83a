/* File faults: what storage_latency, io_error and disk_full make of one call on a file of the service's data
 * folder. The built-in service and the preload library both ask here, so that a fault means the same to both.
 *
 *                     reads    writes            syncs
 *     storage_latency wait     wait              wait
 *     io_error        -        a share: EIO      -
 *     disk_full       -        no room: ENOSPC   -
 *
 * A sync does not fail: after an EIO of fsync nobody can know what is on the disk, so databases give up at
 * the first one (PostgreSQL panics), and every intensity would be a crash. A failed write is a share of
 * failures that they can tell their users about. */
#ifndef INJECT_FILES_H
#define INJECT_FILES_H

#include "base/units.h"
#include "inject/page.h"

#include <stdatomic.h>
#include <stddef.h>

enum file_call { FILE_READS, FILE_WRITES, FILE_SYNCS };

#define FILE_WAIT_MAX (60 * SECOND) /* of one call */

/* One per process. */
struct files {
    const struct page *page;           /* NULL: no faults */
    const _Atomic uint32_t *on;        /* of the page, for a quick look; NULL, too */
    _Atomic uint64_t latency, errors;  /* incarnations of STORAGE_LATENCY and IO_ERROR */
    _Atomic uint64_t telling, written; /* of the room: bytes written since it was told */
    _Atomic uint64_t dice;
};

/* Reads the incarnations: the faults that are on strike this process if they struck this data folder. Called
 * again when it goes on in another folder. `page`, which may be NULL, must stay mapped. */
void files_open(struct files *files, const struct page *page);

#define FILE_FAULTS (PAGE_BIT(FAULT_STORAGE_LATENCY) | PAGE_BIT(FAULT_IO_ERROR) | PAGE_BIT(FAULT_DISK_FULL))

/* True if no file fault is on for anybody: one load and one branch. */
static inline bool files_are_calm(const struct files *files)
{
    return !files->on || (atomic_load_explicit(files->on, memory_order_relaxed) & FILE_FAULTS) == 0;
}

/* To be asked before a call that moves `bytes`. 0: go on after waiting `*wait` (0: at once; at most
 * FILE_WAIT_MAX); EIO or ENOSPC: the call fails so, after the wait, and nothing is to be moved. Bytes that
 * may be written count as written, though the call itself may still fail. Thread-safe, async-signal-safe,
 * touches no errno. With nothing on: files_are_calm(), and no more. */
int files_ask(struct files *files, enum file_call call, size_t bytes, duration *wait);

/* Sleeps so long, or until storage_latency is over, which is noticed within 20 ms. Signals are handled, and
 * the wait goes on, as with a slow disk. Touches no errno. */
void files_wait(const struct files *files, duration wait);

/* True while storage_latency makes this process wait: for those who wait in a way of their own. */
bool files_are_slow(const struct files *files);

#endif
