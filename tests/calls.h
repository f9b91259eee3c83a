/* Calls of the operating system that meet a fate: the k-th open, write, fsync or send of a process fails,
 * stops short, or is its last. The same source is linked into a test, which then stands between the libraries
 * it is linked with and libc, and preloaded into a whole process (HOMEOSTAT_TEST_CALLS names the file that
 * both map).
 *
 * Why not ptrace: it would stop the process twice at each call, and with it the timing of its threads; and
 * containers forbid it. What escapes is what libc writes by itself (stdio: only logs here) and memory that is
 * mapped (an index and a buffer, both of which anybody may find in any state). */
#ifndef TESTS_CALLS_H
#define TESTS_CALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum calls_kind {
    CALLS_OPEN,
    CALLS_WRITE, /* to files: write, pwrite, writev, ftruncate */
    CALLS_SYNC,  /* fsync, fdatasync */
    CALLS_NAME,  /* unlink, rename */
    CALLS_SEND,  /* to sockets: send, sendto, sendmsg, write, writev */
    CALLS_KINDS
};

enum calls_fate {
    CALLS_KILL,  /* the process dies before the call ... */
    CALLS_TEAR,  /* ... in its midst: half of the bytes; after it, where there are none */
    CALLS_FAIL,  /* with `error` */
    CALLS_SHORT, /* half of the bytes; the later ones, if `lasts` and there is an `error`, fail with that */
    CALLS_FATES
};

struct calls {
    uint32_t kinds; /* a set: these are counted */
    uint32_t fate;
    int32_t error;
    uint32_t lasts;                 /* the calls after the k-th meet the fate as well */
    uint32_t skips_sync;            /* what is asked to be synced is not: that would only cost time */
    _Atomic uint32_t at;            /* k; 0: none */
    _Atomic uint32_t count;         /* so far */
    _Atomic uint32_t met, met_kind; /* how many have met their fate; what the first of them was */
    _Atomic uint32_t seen[CALLS_KINDS];
    char folder[256]; /* of files only those below it; "": all */
};

extern struct calls *calls; /* NULL in a process that nobody preloaded it into with a file */

static inline const char *calls_kind_name(uint32_t kind)
{
    static const char *const names[CALLS_KINDS] = {"open", "write", "fsync", "name", "send"};
    return kind < CALLS_KINDS ? names[kind] : "-";
}

/* Counts anew, with the fate at the k-th call from here on. */
static inline void calls_begin(struct calls *page, enum calls_fate fate, int error, bool lasts, uint32_t at)
{
    atomic_store(&page->at, 0);
    page->fate = fate;
    page->error = error;
    page->lasts = lasts;
    atomic_store(&page->count, 0);
    atomic_store(&page->met, 0);
    atomic_store(&page->at, at);
}

/* From now on all goes well. */
static inline void calls_heal(struct calls *page)
{
    atomic_store(&page->at, 0);
}

#endif
