/* The enums of tables.h, and the way from enumerator to word and back. */
#ifndef CORE_VOCABULARY_H
#define CORE_VOCABULARY_H

#include "core/tables.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_unit { UNIT_NONE, UNIT_RATIO, UNIT_SECONDS, UNIT_BYTES, UNIT_PER_SECOND, UNIT_COUNT, UNIT_FLAG };

#define X(symbol, ...) METRIC_##symbol,
enum metric { METRIC_TABLE(X) METRIC_COUNT };
#undef X
#define METRIC_NONE     METRIC_COUNT
#define METRIC_CAPACITY 16 /* what the core's flat rows have room for */

#define X(symbol, ...) REMEDY_##symbol,
enum remedy { REMEDY_TABLE(X) REMEDY_COUNT };
#undef X
#define REMEDY_NONE        REMEDY_COUNT
#define REMEDY_BIT(symbol) (1u << REMEDY_##symbol)

#define X(symbol, ...) INCIDENT_##symbol,
enum incident_state { INCIDENT_STATE_TABLE(X) INCIDENT_STATE_COUNT };
#undef X

#define X(symbol, ...) OUTCOME_##symbol,
enum outcome { OUTCOME_TABLE(X) OUTCOME_COUNT };
#undef X

#define X(symbol, ...) VERDICT_##symbol,
enum verdict { VERDICT_TABLE(X) VERDICT_COUNT };
#undef X

#define X(symbol, ...) BLOCK_##symbol,
enum block_reason { BLOCK_REASON_TABLE(X) BLOCK_REASON_COUNT };
#undef X

#define X(symbol, ...) SEVERITY_##symbol,
enum severity { SEVERITY_TABLE(X) SEVERITY_COUNT };
#undef X

#define X(symbol, ...) MODE_##symbol,
enum mode { MODE_TABLE(X) MODE_COUNT };
#undef X

#define X(symbol, ...) OPERATOR_##symbol,
enum operator_word { OPERATOR_WORD_TABLE(X) OPERATOR_WORD_COUNT };
#undef X

#define X(symbol, ...) WHY_##symbol,
enum why { WHY_TABLE(X) WHY_COUNT };
#undef X

#define X(symbol, ...) FAULT_##symbol,
enum fault_kind { FAULT_TABLE(X) FAULT_COUNT };
#undef X

/* Where a fault can be injected. */
enum fault_place {
    FAULT_AT_SERVICE = 1 << 0,   /* a node with the built-in service */
    FAULT_AT_PROGRAM = 1 << 1,   /* a node with a program of one's own */
    FAULT_AT_SYNTHETIC = 1 << 2, /* a node of the world model */
    FAULT_AT_PLANE = 1 << 3,     /* the control plane itself */
    FAULT_AT_ANYWHERE = FAULT_AT_SERVICE | FAULT_AT_PROGRAM | FAULT_AT_SYNTHETIC
};

#define X(symbol, ...) COMPOSED_##symbol,
enum composed_fault { COMPOSED_FAULT_TABLE(X) COMPOSED_FAULT_COUNT };
#undef X

#define X(symbol, ...) SHAPE_##symbol,
enum shape { SHAPE_TABLE(X) SHAPE_COUNT };
#undef X

struct metric_info {
    const char *name;
    const char *short_name; /* as it stands in a detector's made-up name: cpu-high */
    enum metric_unit unit;
    bool worse_up;
    int witness; /* equal for metrics that one witness sees */
    bool local;
};

struct remedy_info {
    const char *name;
    bool disruptive;
    const char *sentence;
};

struct fault_info {
    const char *name;
    enum metric
        metric;       /* the one that should move when the fault is really there; METRIC_NONE: no metric does
                       */
    double intensity; /* default */
    double least, most;
    enum metric_unit unit;
    uint32_t cures;  /* mask of REMEDY_BIT()s */
    uint32_t masks;  /* likewise: hides it for a while, and it comes back */
    uint32_t places; /* mask of enum fault_place */
    const char *sentence;
};

extern const struct metric_info metric_infos[METRIC_COUNT];
extern const struct remedy_info remedy_infos[REMEDY_COUNT];
extern const struct fault_info fault_infos[FAULT_COUNT];

struct composed_info {
    const char *name;
    const char *sentence;
};
extern const struct composed_info composed_infos[COMPOSED_FAULT_COUNT];

/* Can be done to a node with the built-in service. */
static inline bool fault_is_live(enum fault_kind kind)
{
    return (fault_infos[kind].places & FAULT_AT_SERVICE) != 0;
}

/* Can be done to a node of the world model. */
static inline bool fault_is_synthetic(enum fault_kind kind)
{
    return (fault_infos[kind].places & FAULT_AT_SYNTHETIC) != 0;
}

/* The word of an enumerator. An enumerator out of range is a broken invariant. */
const char *metric_name(enum metric metric); /* "none" for METRIC_NONE */
const char *remedy_name(enum remedy remedy); /* "none" for REMEDY_NONE */
const char *incident_state_name(enum incident_state state);
const char *outcome_name(enum outcome outcome);
const char *verdict_name(enum verdict verdict);
const char *block_reason_name(enum block_reason reason);
const char *block_reason_sentence(enum block_reason reason);
const char *severity_name(enum severity severity);
const char *mode_name(enum mode mode);
const char *why_name(enum why why);
const char *fault_kind_name(enum fault_kind kind);
const char *shape_name(enum shape shape);            /* how a fault goes over its time */
const char *metric_unit_name(enum metric_unit unit); /* "ratio", "seconds", ... ; "" for UNIT_NONE */

/* Such an outcome says by itself that nothing was done; a failed command tells with its outcome whether it
 * began. */
bool outcome_never_began(enum outcome outcome);

/* The enumerator of a word, or -1. */
int metric_of(const char *name);
int remedy_of(const char *name);
int incident_state_of(const char *name);
int outcome_of(const char *name);
int verdict_of(const char *name);
int block_reason_of(const char *name);
int severity_of(const char *name);
int why_of(const char *name);
int fault_kind_of(const char *name);
int shape_of(const char *name);

/* All words of one kind, for "did you mean" and for listings; `*count` gets their number. */
const char *const *metric_names(size_t *count);
const char *const *remedy_names(size_t *count);
const char *const *severity_names(size_t *count);
const char *const *mode_names(size_t *count);
const char *const *fault_kind_names(size_t *count);
const char *const *shape_names(size_t *count);

/* Those that can be injected in one of `places`, a mask of enum fault_place. */
const char *const *fault_kind_names_at(uint32_t places, const char *names[FAULT_COUNT], size_t *count);

#endif
