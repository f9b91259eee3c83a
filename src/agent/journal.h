/* The command journal: what this node has begun and how it ended, on disk, so that no command ever has two
 * effects, not even across a kill -9 of the node agent between the effect and its recording.
 *
 * A text file of one line per fact, each behind a checksum; appended, written anew when it has grown. A torn
 * or damaged line is passed over. The file is locked: one node agent per folder. */
#ifndef AGENT_JOURNAL_H
#define AGENT_JOURNAL_H

#include "base/units.h"
#include "core/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

enum { JOURNAL_ENTRIES = 256, JOURNAL_DETAIL_SIZE = 160 };

struct journal_entry {
    uint64_t id;
    enum outcome outcome; /* NONE: it has begun and not ended */
    bool began;
    bool acknowledged; /* the control plane has taken the outcome */
    double took_s;
    char detail[JOURNAL_DETAIL_SIZE];
};

/* Opens or makes the file. Commands that had begun and not ended are `cut` from now on. 0 or a negative
 * errno, -EBUSY if another node agent still holds it after FLOCK_PATIENCE, -ENOTSUP if something that is no
 * regular file stands there. */
int journal_open(struct journal **journal, const char *path);
void journal_close(struct journal **journal);

/* Among the last 256, or NULL. Valid until the next change. */
const struct journal_entry *journal_find(const struct journal *journal, uint64_t id);

/* The oldest ended command that the control plane has not acknowledged, or NULL. */
const struct journal_entry *journal_unacknowledged(const struct journal *journal);

uint64_t journal_epoch_floor(const struct journal *journal); /* the highest epoch seen */
uint64_t
journal_id_floor(const struct journal *journal); /* ids up to this one are forgotten, hence refused */
/* Whether that fault, of the kind that strikes once, has struck already. What a lease ago was struck is
 * forgotten, since a fresh database numbers its faults anew. */
bool journal_has_struck(const struct journal *journal, uint64_t fault);

/* Each is on disk when it returns 0; negative errno: it may not be, and nothing may follow from it. */
int journal_meet_epoch(struct journal *journal, uint64_t epoch);
int journal_begin(struct journal *journal, uint64_t id);
int journal_end(struct journal *journal, const struct journal_entry *entry); /* with or without a begin */
int journal_strike(struct journal *journal, uint64_t fault, duration lease_ns);

/* Not forced to disk: at worst an outcome is told twice. */
void journal_acknowledge(struct journal *journal, uint64_t id);

/* The control plane asks for an outcome that it had acknowledged: it is unacknowledged again. Not written to
 * disk. */
void journal_tell_again(struct journal *journal, uint64_t id);

#endif
