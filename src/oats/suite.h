/* A suite: many scenarios laid out by OATS, the Orthogonal Array Testing Strategy. People name the factors
 * that they want to vary and their levels; the array (oats/array.h) says which combinations to run so that
 * every pair of levels of every two factors is met.
 *
 *     version: 1
 *     title: First row of seeds
 *     scenario:                                  # or base: ../scenarios/NAME.yaml
 *       fleet: [{role: web, calls: [api]}, {role: api, calls: [db]}, {role: db}]
 *     factors:
 *       - {name: fault, levels: [cpu_spike, network_delay, storage_latency]}
 *       - {name: node, levels: [web-1, api-1, db-1]}
 *       - {name: intensity, levels: [low, medium, high]}
 *
 * Each row becomes a scenario file that stands by itself: the fleet, load, network, accidents and policy of
 * the base, one fault, and what is expected: that the fault is found where it is, that the policy ends it
 * with a remedy that truly cures it, and that nobody else is touched. What no remedy cures, or what is made
 * to stay just under the line (shape gray), must be left alone.
 *
 * Nothing here reads a clock, an address or an order of hashing: the same suite gives the same bytes. */
#ifndef OATS_SUITE_H
#define OATS_SUITE_H

#include "oats/array.h"
#include "policy/yaml_tree.h"
#include "scenario/scenario.h"

enum {
    SUITE_FACTORS_MAX = 6,
    SUITE_LEVEL_SIZE = 80,      /* of a level as it is written, the NUL included */
    SUITE_TITLE_SIZE = 60,      /* the rows' titles add their number */
    SUITE_NODES_MAX = 1000,     /* of the base: each row is a run of all of them */
    SUITE_ROW_BYTES = 256 << 10 /* of a row's file */
};

/* X(symbol, map, keys ...): the maps of a suite file. */
#define SUITE_MAP_TABLE(X)                                                                                   \
    X(SUITE, "suite", "version", "title", "seed", "base", "scenario", "at", "for", "period", "within",       \
      "factors")                                                                                             \
    X(FACTOR, "factor", "name", "levels")

#define X(symbol, map, ...) SUITE_MAP_##symbol,
enum suite_map { SUITE_MAP_TABLE(X) SUITE_MAP_COUNT };
#undef X

extern const struct keys suite_keys[SUITE_MAP_COUNT];

/* X(symbol, name): what can be varied. */
#define FACTOR_TABLE(X)                                                                                      \
    X(FAULT, "fault")         /* its kind. Must be there */                                                  \
    X(NODE, "node")           /* whom it strikes: db-1, web-*, role:web, zone:a. Must be there */            \
    X(INTENSITY, "intensity") /* low, medium, high, or as scenarios write it */                              \
    X(SHAPE, "shape")                                                                                        \
    X(LOAD, "load") /* share of the base's users, whose capacity stays: 50%, 200% */                         \
    X(LOSS, "loss") /* of the messages between node agents and control plane */

#define X(symbol, name) FACTOR_##symbol,
enum factor_kind { FACTOR_TABLE(X) FACTOR_COUNT };
#undef X
const char *factor_name(enum factor_kind kind);

/* X(symbol, name). Low is what the fault is unless told otherwise (fault_infos[].intensity): all that claims
 * to watch for it has to see it. High is ten times as strong, but no more than fault_infos[].most
 * (crash_loop, where sooner is worse: a tenth, but no less than .least). Medium lies as many times above low
 * as it lies below high: their geometric mean, rounded to two digits. */
#define STRENGTH_TABLE(X)                                                                                    \
    X(LOW, "low")                                                                                            \
    X(MEDIUM, "medium")                                                                                      \
    X(HIGH, "high")
#define X(symbol, name) STRENGTH_##symbol,
enum strength { STRENGTH_TABLE(X) STRENGTH_COUNT };
#undef X
double strength_of(enum fault_kind kind, enum strength strength);

struct suite_level {
    char word[SUITE_LEVEL_SIZE]; /* as people wrote it */
    struct place at;
    struct scenario_target on; /* of a node */
    double share;              /* of a load or loss */
    uint8_t
        which; /* enum fault_kind or shape; of an intensity enum strength, STRENGTH_COUNT: the word itself */
    uint8_t reserved[7];
};

struct suite_factor {
    uint8_t kind; /* enum factor_kind */
    uint8_t level_count;
    uint8_t reserved[6];
    struct suite_level levels[ARRAY_LEVELS_MAX];
};

struct suite {
    char title[SUITE_TITLE_SIZE];
    uint64_t seed;      /* of each row: what they differ in is their levels, not their luck */
    duration at_ns;     /* the fault begins, from the start of the run */
    duration length_ns; /* ... and ends by itself so much later; 0: only by its cure */
    duration period_ns; /* of spike, sawtooth and flapping; 0: the scenario reader's own */
    duration within_ns; /* it must be healed within; 0: not said */
    uint32_t factor_count;
    struct suite_factor factors[SUITE_FACTORS_MAX];
    struct array array;                   /* a column for each factor */
    struct policy policy;                 /* that the rows are judged by */
    char policy_path[SCENARIO_PATH_SIZE]; /* ... from the working folder; "": the default one */
    struct scenario *base;                /* as it was read */
    char base_path[SCENARIO_PATH_SIZE];   /* from the working folder; "": it stands in the suite */
    char folder[SCENARIO_PATH_SIZE];      /* where the base's relative paths start; "": the working folder */
    const struct yaml_node *map;          /* of the base, in one of the trees */
    struct yaml_tree *tree, *base_tree;
    struct place base_at, factors_at, at_at, length_at, period_at; /* line 0: left out */
};

enum { SUITE_REFUSED = 1 };

/* Reads a suite and its base. The rows are judged by `policy`, which stands in the file `policy_path`; both
 * NULL: by the base's own, else the default. Every row has been written and read once, so what is taken can
 * be run. 0: *suite is the caller's until suite_free(). SUITE_REFUSED: `complaints` says why
 * (file:line:column and the mend). Else negative errno. Paths are relative to `folder`. */
int suite_read(const char *bytes, size_t length, const char *folder, const struct policy *policy,
               const char *policy_path, struct suite **suite, struct complaints *complaints);
int suite_read_file(const char *path, const struct policy *policy, const char *policy_path,
                    struct suite **suite, struct complaints *complaints);
void suite_free(struct suite **suite);

/* The level of one factor in one row; NULL: the suite does not vary that. */
const struct suite_level *suite_level(const struct suite *suite, uint32_t row, enum factor_kind kind);

/* --- rows as scenario files ----------------------------------------------------------------------------- */

struct row_options {
    const char *name;        /* of the suite, for the comment on top */
    const char *policy_path; /* as it is to stand in the file; "": none */
    const char *to_base;     /* leads from the row's folder to suite->folder; "": it is the same */
    uint64_t seed;
};

/* Where in a row's text the keys stand that the suite's words are behind. */
struct row_places {
    int line;                 /* of the fault */
    int column[FACTOR_COUNT]; /* 0: not there */
    int at, length, period;   /* columns likewise */
};

/* Appends the scenario file of a row; text->cut: it has no room. `places` may be NULL. */
void row_write(struct text *text, const struct suite *suite, uint32_t row, const struct row_options *options,
               struct row_places *places);

/* "cpu_spike on web-1, intensity low" */
void row_write_levels(struct text *text, const struct suite *suite, uint32_t row);

/* What a row expects. */
struct row_cure {
    bool heals;     /* false: it must be left alone */
    bool possible;  /* the policy has such a finding whose ladder has such a remedy */
    uint8_t remedy; /* REMEDY_NONE if it must be left alone */
    char finding[DETECTOR_NAME_SIZE];
};

/* The finding of the policy that looks at the metric which this fault moves, and the first remedy on its
 * ladder that truly cures it; else any finding with such a remedy; else, as something that cannot come about,
 * the finding that looks there and the cure that it should have. */
struct row_cure row_cure(const struct suite *suite, uint32_t row);

#endif
