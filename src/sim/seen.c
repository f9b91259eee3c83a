/* How often each thing occurred, for the table at the end of a swarm. */
#include "sim/swarm.h"

#include "base/check.h"
#include "base/text.h"

#include <stdio.h>

#define X(symbol, name, rows) _Static_assert((int)(rows) <= SEEN_ROWS_MAX, "a group with too many rows");
SEEN_TABLE(X)
#undef X

static const char *const group_names[SEEN_GROUP_COUNT] = {
#define X(symbol, name, rows) name,
    SEEN_TABLE(X)
#undef X
};

static const uint32_t group_rows[SEEN_GROUP_COUNT] = {
#define X(symbol, name, rows) rows,
    SEEN_TABLE(X)
#undef X
};

static const char *const fate_names[SIM_FATE_COUNT] = {
#define X(symbol, name) name,
    SIM_FATE_TABLE(X)
#undef X
};

static const char *const run_names[SEEN_RUN_COUNT] = {
#define X(symbol, name) name,
    SEEN_RUN_TABLE(X)
#undef X
};

static const struct {
    enum incident_state from, to;
} edges[SEEN_EDGE_COUNT] = {
#define X(from, to) {INCIDENT_##from, INCIDENT_##to},
    INCIDENT_EDGE_TABLE(X)
#undef X
};

static const char *const reject_names[REJECT_COUNT] = {
#define X(symbol, name, sentence) name,
    X_REJECTS(X)
#undef X
};

void seen_add(struct seen *seen, const struct seen *run)
{
    for (uint32_t g = 0; g < SEEN_GROUP_COUNT; g++) {
        for (uint32_t r = 0; r < group_rows[g]; r++) {
            seen->times[g][r] += run->times[g][r];
            seen->seeds[g][r] += run->seeds[g][r];
        }
    }
}

const char *seen_group_name(enum seen_group group)
{
    CHECK(group < SEEN_GROUP_COUNT);
    return group_names[group];
}

uint32_t seen_rows(enum seen_group group)
{
    CHECK(group < SEEN_GROUP_COUNT);
    return group_rows[group];
}

enum seen_edge seen_edge_of(uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < SEEN_EDGE_COUNT; i++)
        if (edges[i].from == from && edges[i].to == to)
            return (enum seen_edge)i;
    return SEEN_EDGE_COUNT;
}

static const char *name_of(enum seen_group group, uint32_t row)
{
    switch (group) {
    case SEEN_BLOCK:
        return row == BLOCK_NONE ? NULL : block_reason_name((enum block_reason)row);
    case SEEN_REMEDY:
        return remedy_name((enum remedy)row);
    case SEEN_VERDICT:
        return row == VERDICT_NONE ? NULL : verdict_name((enum verdict)row);
    case SEEN_OUTCOME:
        return row == OUTCOME_NONE ? NULL : outcome_name((enum outcome)row);
    case SEEN_WHY:
        return row == WHY_NONE ? NULL : why_name((enum why)row);
    case SEEN_REJECT:
        return row == REJECT_NONE ? NULL : reject_names[row];
    case SEEN_FAULT:
        return fault_is_synthetic((enum fault_kind)row) ? fault_kind_name((enum fault_kind)row) : NULL;
    case SEEN_SHAPE:
        return shape_name((enum shape)row);
    case SEEN_ACCIDENT:
        return accident_name((enum accident)row);
    case SEEN_MODE:
        return mode_name((enum mode)row);
    case SEEN_FATE:
        return fate_names[row];
    case SEEN_RUN:
        return run_names[row];
    case SEEN_EDGE:
    case SEEN_GROUP_COUNT:
    default:
        return NULL;
    }
}

bool seen_row_name(enum seen_group group, uint32_t row, char out[64])
{
    CHECK(group < SEEN_GROUP_COUNT && row < group_rows[group]);
    if (group == SEEN_EDGE) {
        snprintf(out, 64, "%s -> %s", incident_state_name(edges[row].from),
                 incident_state_name(edges[row].to));
        return true;
    }
    const char *name = name_of(group, row);
    return name && text_copy(out, 64, name);
}
