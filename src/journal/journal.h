/* A journal: the ordered events that went into a core, with what came of each. Fed back into an empty core
 * they give the same decisions, byte for byte.
 *
 * It is a sequence of records and nothing else, so journals may be joined with `cat`. All numbers are
 * little-endian, doubles are their raw bits:
 *
 *     record:       length:4 kind:1 nought:3 crc:4 body[length]
 *         life      magic[8] version:4 flags:4 build:8 layout:8 nodes:4 incidents:4 seed:8 product[16]
 *         image     total:8 offset:8 digest:8 flags:4 words ...          see picture.h
 *         event     at:8 node:4 kind:1 nought:3 fields ... ticket:8 digest:8
 *         committed at:8 ticket:8
 *         delivered at:8 command                        effect     at:8 command
 *         crash     at:8                                restored   at:8
 *
 * `crc` is the CRC-32 of base/crc.h over length, kind and nought, then the body. A life begins with a control
 * plane and its empty core; one that `continues` begins with the core's image instead. `ticket` is what
 * gate_put() gave (0: none), `digest` is core_digest() after the step. Every field of an event is there, in
 * the order of its struct in core/core.h, reserved ones too, since they are digested; of a report only the
 * values that are present.
 *
 * A journal is not made durable with fsync: a tail that was being written when the machine went down is
 * normal, and the reader says so. docs/replay.md has the same in a table. */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "core/core.h"

enum {
    JOURNAL_VERSION = 1,
    JOURNAL_HEAD_BYTES = 12,
    JOURNAL_BODY_MAX = 60 * 1024, /* of one record */
    JOURNAL_PUT_MAX = 16 * 1024,  /* of a record that is no image; a policy is the longest */
    JOURNAL_RECORD_MAX = JOURNAL_HEAD_BYTES + JOURNAL_BODY_MAX
};

#define X_JOURNAL_KINDS(X)                                                                                   \
    X(LIFE, "life")   /* a control plane begins: an empty core, or one that goes on with its image */        \
    X(IMAGE, "image") /* a piece of the core's bytes */                                                      \
    X(EVENT, "event") /* one step */                                                                         \
    X(COMMITTED, "committed") /* the store has everything up to this ticket */                               \
    X(DELIVERED, "delivered") /* a command left for its node agent for the first time */                     \
    X(EFFECT, "effect")       /* a node agent begins to carry it out; only a simulator knows */              \
    X(CRASH, "crash")         /* the core is gone, with what was not durable */                              \
    X(RESTORED, "restored")   /* all that was kept is back in a new core */
#define X(symbol, ...) JOURNAL_##symbol,
enum journal_kind { JOURNAL_NONE, X_JOURNAL_KINDS(X) JOURNAL_KIND_COUNT };
#undef X
const char *journal_kind_name(enum journal_kind kind);

struct journal_life {
    uint32_t version;
    bool continues;  /* images follow: the core was not empty */
    uint64_t build;  /* of the core's sources: another one may decide otherwise */
    uint64_t layout; /* of the core's memory: images of another one cannot be read */
    struct core_config config;
    char product[16]; /* HOMEOSTAT_VERSION */
};

struct journal_image {
    uint64_t total;  /* core_size() */
    uint64_t offset; /* of its first word in the core */
    uint64_t digest; /* of the core */
    bool last;       /* the core is whole with this piece */
    const uint8_t *words;
    size_t length;
};

struct journal_record {
    enum journal_kind kind;
    instant at; /* of all but life and image */
    union {
        struct journal_life life;
        struct journal_image image;
        struct {
            struct event event; /* of.policy points to `policy` of this record */
            uint64_t ticket, digest;
        } step;
        uint64_t ticket;
        struct command command;
    } of;
    struct policy policy;
};

/* This program's: hashes of the sources that decide, and of those that lay out the core's memory. */
extern const uint64_t journal_build, journal_layout;

/* --- writing: a record's bytes into `out`, JOURNAL_PUT_MAX of them; returns their number ---------------- */

size_t journal_put_life(uint8_t *out, const struct core_config *config, bool continues);
size_t journal_put_event(uint8_t *out, const struct event *event, uint64_t ticket, uint64_t digest);
size_t journal_put_committed(uint8_t *out, instant at, uint64_t ticket);
size_t journal_put_command(uint8_t *out, enum journal_kind kind, instant at, const struct command *command);
size_t journal_put_mark(uint8_t *out, enum journal_kind kind, instant at); /* crash, restored */

/* Fills in the head of a record whose body stands behind it already. */
size_t journal_seal(uint8_t *out, enum journal_kind kind, size_t body_bytes);

/* --- reading -------------------------------------------------------------------------------------------- */

enum journal_verdict {
    JOURNAL_RECORD,  /* one is in *record */
    JOURNAL_END,     /* there are no more */
    JOURNAL_TORN,    /* the end was never finished: normal after a kill */
    JOURNAL_DAMAGED, /* bytes that no journal has */
    JOURNAL_NEWER,   /* written by a later version of homeostat */
    JOURNAL_FOREIGN  /* no journal at all */
};

struct journal_reader {
    const uint8_t *bytes;
    uint64_t length, at;
    uint64_t skipped; /* bytes that TORN and DAMAGED have left out */
};

/* Over bytes that outlive it. */
struct journal_reader journal_reader_over(const uint8_t *bytes, uint64_t length);

/* The next record. After TORN and DAMAGED it goes on with the next life, if there is one; NEWER and FOREIGN
 * are the end. What comes is sound as core/image.h has it, and lives until the next call. */
enum journal_verdict journal_next(struct journal_reader *reader, struct journal_record *record);

#endif
