#include "core/incident.h"

#include "base/check.h"

bool incident_edge_is_legal(enum incident_state from, enum incident_state to)
{
#define X(a, b) [INCIDENT_##a][INCIDENT_##b] = true,
    static const bool legal[INCIDENT_STATE_COUNT][INCIDENT_STATE_COUNT] = {INCIDENT_EDGE_TABLE(X)};
#undef X
    CHECK((unsigned)from < INCIDENT_STATE_COUNT && (unsigned)to < INCIDENT_STATE_COUNT);
    return legal[from][to];
}

void incident_move(struct incident *incident, enum incident_state state, enum why why)
{
    CHECK(incident_edge_is_legal((enum incident_state)incident->state, state));
    incident->state = (uint8_t)state;
    incident->why = (uint8_t)why;
}

bool incident_is_active(const struct incident *incident)
{
    return incident->state != INCIDENT_RESOLVED && incident->state != INCIDENT_ESCALATED;
}
