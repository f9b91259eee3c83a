/* The spool: the reports that the control plane has not made durable yet, on the node's own disk.
 *
 *     put --append--> segment ... segment, the newest is appended to
 *                     |oldest: batches are read back from here
 *                     +-- unlinked when nothing in it is owed any more, or given up at the bound
 *
 * Each report is one write() before it is sent, so a node agent that is killed loses nothing: the next one
 * finds the segments and forwards them under their own boot and sequence. A segment is flushed to the disk
 * (fdatasync) when it is full and on a clean end, not per report: a power cut may take what came since then,
 * half an hour of one report a second at most, and what it leaves torn is recognised and cut off.
 *
 * Bounded in bytes. At the bound the oldest segment gives way, and what was owed of it becomes a gap
 * (gaps.h), which is written down too until the control plane has made it durable. When nothing can be
 * written, the newest SPOOL_MEMORY reports are kept in memory, and what gives way there becomes a gap too;
 * every report tries the disk again.
 *
 * Files: FOLDER/NUMBER.reports, the numbers rising. One node agent at a time: the lock of its journal sees to
 * that. */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include "agent/gaps.h"
#include "agent/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_BYTES_DEFAULT (16u << 20)
#define SPOOL_BYTES_MIN     (64u << 10)
#define SPOOL_BYTES_MAX     (64u << 20)

enum {
    SPOOL_MEMORY = 60,
    SPOOL_PIECES_MAX = 256, /* segments; each start of a node agent begins one */
    BATCH_REPORTS_MAX = 500,
    BATCH_GAPS_MAX = 16
};

struct spool;

struct spool_options {
    const char *folder; /* of the spool alone; made if it is missing. It must outlive the spool */
    const char *name;   /* of the node, for stderr; likewise */
    uint64_t boot;      /* of this node agent */
    size_t bytes;       /* SPOOL_BYTES_MIN..SPOOL_BYTES_MAX */
};

struct spool_counts {  /* since this node agent's start */
    uint64_t spooled;  /* written to disk */
    uint64_t lost;     /* reports given up, of all boots; each is part of a gap */
    uint64_t damaged;  /* records and segments that could not be read */
    uint64_t troubles; /* reports that could not be written at first and were kept in memory */
};

struct spool_batch {
    uint64_t boot; /* of all reports and gaps in it */
    size_t count, gaps_count;
    struct {
        struct agent_report report;
        duration age_ns;
    } * reports; /* the oldest first */
    struct gap gaps[BATCH_GAPS_MAX];
};

/* Finds what earlier node agents left. A disk that cannot be used is no failure: that is said once on stderr.
 * Files of another version are renamed to NUMBER.reports.foreign, with a word on stderr; damaged ones to
 * NUMBER.reports.damaged. -ENOMEM. */
int spool_open(struct spool **spool, const struct spool_options *options);
void spool_close(struct spool **spool); /* what is owed stays on disk; files of which nothing is owed go */

/* Keeps a report of this boot, with a higher sequence than the last. Before it is sent. */
void spool_put(struct spool *spool, const struct agent_report *report);

/* What may take a while: flushes a full segment. After the report was sent. */
void spool_tidy(struct spool *spool);

/* Reports that are pending: kept, and not accepted. Those of this boot from `below` on do not count. */
size_t spool_pending(const struct spool *spool, uint64_t below);

/* The oldest pending reports, of one boot, at most `most` (1..BATCH_REPORTS_MAX) with at most `bytes_most` of
 * JSON (always one), and the gaps of that boot that wait, if `with_gaps`; without pending reports the gaps
 * alone. 0, then `batch` is to be given back; -ENOENT: there is nothing; another negative errno: not now. */
int spool_batch(struct spool *spool, uint64_t below, size_t most, size_t bytes_most, bool with_gaps,
                struct spool_batch *batch);
void spool_batch_free(struct spool_batch *batch);

/* The reports of a boot between two sequences, both included, were accepted; ... of which those accepted are
 * durable: they are forgotten. */
void spool_accept(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to);
void spool_stored(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to);

/* What was accepted is pending again. */
void spool_unaccept(struct spool *spool);

/* Those of them that are pending are not worth keeping: they become a gap. */
void spool_give_up(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to, enum gap_reason reason);

/* The gaps' states are the caller's to move; what was stored goes by this. */
struct gaps *spool_gaps(struct spool *spool);
void spool_gap_stored(struct spool *spool, uint64_t boot, uint64_t to);

const struct spool_counts *spool_counts(const struct spool *spool);

#endif
