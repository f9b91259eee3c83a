/* A fault is put on the board, or taken off it: the same whether a person asked or a scenario that is played.
 */
#include "plane/state.h"

uint64_t strike_ask(struct plane *plane, const struct fault_asked *asked)
{
    struct fault_row *row = faults_ask(&plane->faults, asked, plane->now);
    if (asked->node == NO_INDEX)
        plane->struck_at = plane->now;
    else
        roster_node(&plane->roster, asked->node)->struck_at = plane->now;
    uint64_t id = row->id; /* who is woken may change the board */
    record_fault(plane, row, "is asked for");
    wait_command(plane, asked->node);
    return id;
}

bool strike_clear(struct plane *plane, struct fault_row *row)
{
    if (fault_is_over(row) || fault_is_clearing(row))
        return false;
    fault_clear(row, plane->now);
    record_fault(plane, row, "is being cleared");
    wait_command(plane, row->node);
    return true;
}
