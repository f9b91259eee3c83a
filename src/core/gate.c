#include "core/gate.h"

#include "base/check.h"
#include "core/mutant.h"

#include <string.h>

struct waiting {
    uint64_t ticket;
    struct effect effect;
};

struct gate {
    uint64_t last;    /* ticket given last */
    uint64_t durable; /* the store has everything up to here */
    uint32_t capacity;
    uint32_t first; /* ring of waiting effects */
    uint32_t count;
    uint32_t reserved;
    struct waiting ring[];
};

size_t gate_size(uint32_t capacity)
{
    return sizeof(struct gate) + capacity * sizeof(struct waiting);
}

struct gate *gate_init(void *memory, uint32_t capacity)
{
    CHECK(capacity >= EFFECTS_MAX);
    struct gate *gate = memory;
    memset(gate, 0, gate_size(capacity));
    gate->capacity = capacity;
    return gate;
}

bool gate_has_room(const struct gate *gate)
{
    return gate->count + EFFECTS_MAX <= gate->capacity;
}

static bool must_be_stored(const struct effect *effect)
{
    return effect->kind != EFFECT_REJECT;
}

static bool is_for_others(const struct effect *effect)
{
    return effect->kind == EFFECT_ACT || effect->kind == EFFECT_NOTIFY || effect->kind == EFFECT_ASK;
}

uint64_t gate_put(struct gate *gate, const struct effects *effects)
{
    bool stored = false;
    CHECK(gate_has_room(gate));
    for (uint32_t i = 0; i < effects->count; i++) {
        stored = stored || must_be_stored(&effects->list[i]);
    }
    if (!stored) {
        return 0;
    }
    gate->last++;
    for (uint32_t i = 0; i < effects->count; i++) {
        if (is_for_others(&effects->list[i])) {
            struct waiting *w = &gate->ring[(gate->first + gate->count) % gate->capacity];
            w->ticket = gate->last;
            w->effect = effects->list[i];
            gate->count++;
        }
    }
    return gate->last;
}

void gate_durable(struct gate *gate, uint64_t ticket)
{
    CHECK(ticket <= gate->last);
    if (ticket > gate->durable) {
        gate->durable = ticket;
    }
}

bool gate_take(struct gate *gate, struct effect *out)
{
    if (gate->count == 0 ||
        MUTANT(acts_before_commit, false, gate->ring[gate->first].ticket > gate->durable)) {
        return false;
    }
    *out = gate->ring[gate->first].effect;
    gate->first = (gate->first + 1) % gate->capacity;
    gate->count--;
    return true;
}

/* Everything not durable is forgotten, but tickets go on rising, so that a late word of the old ones means
 * nothing. */
void gate_discard(struct gate *gate)
{
    while (gate->count > 0 &&
           gate->ring[(gate->first + gate->count - 1) % gate->capacity].ticket > gate->durable) {
        gate->count--;
    }
    gate->durable = gate->last;
}
