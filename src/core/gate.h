/* The gate: what may be let out when. Durable before visible.
 *
 * Every step of the core whose effects must be stored takes a ticket; its commands, notices and questions
 * wait in the gate until the store says that the ticket is durable. Tickets become durable in order, so the
 * gate is a bounded queue. It is pure, and the same code serves the control plane and the simulator, so that
 * "acted before commit" can be caught there.
 *
 *     ticket = gate_put(gate, &effects)   -> hand the records to the store with this ticket
 *     gate_durable(gate, ticket)          -> the store has committed up to this ticket
 *     while (gate_take(gate, &effect))    -> visible now
 */
#ifndef CORE_GATE_H
#define CORE_GATE_H

#include "core/core.h"

struct gate; /* lives in the caller's memory, without pointers inside */

size_t gate_size(uint32_t capacity); /* room for so many waiting effects */
struct gate *gate_init(void *memory, uint32_t capacity);

/* True if a step with EFFECTS_MAX effects still fits. When it does not, the driver must let the store catch
 * up before it steps the core again: nothing is dropped. */
bool gate_has_room(const struct gate *gate);

/* Takes the effects of one step. Returns its ticket (1, 2, 3 ...), or 0 if nothing of it needs storing or
 * letting out. */
uint64_t gate_put(struct gate *gate, const struct effects *effects);

/* The store has committed everything up to and with `ticket`. Never goes back. */
void gate_durable(struct gate *gate, uint64_t ticket);

/* The next effect that may be seen (ACT, NOTIFY or ASK), in order; false if there is none yet. */
bool gate_take(struct gate *gate, struct effect *out);

/* A commit failed: forget everything that is not durable. The core must be rebuilt from the store. */
void gate_discard(struct gate *gate);

#endif
