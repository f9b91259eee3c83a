/* The gate: nothing may be seen before it is durable, and nothing overtakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/gate.h"

static struct effects step_of(const enum effect_kind *kinds, uint32_t count, uint64_t mark)
{
    struct effects effects;
    memset(&effects, 0, sizeof effects);
    effects.count = count;
    for (uint32_t i = 0; i < count; i++) {
        effects.list[i].kind = (uint8_t)kinds[i];
        effects.list[i].of.command.id = mark;
    }
    return effects;
}

static struct gate *new_gate(uint32_t capacity)
{
    return gate_init(calloc(1, gate_size(capacity)), capacity);
}

static void test_a_command_waits_for_its_commit(void **state)
{
    (void)state;
    struct gate *gate = new_gate(64);
    struct effects act = step_of((enum effect_kind[]){EFFECT_RECORD, EFFECT_ACT}, 2, 7);
    struct effect out;
    uint64_t ticket = gate_put(gate, &act);
    assert_int_equal(ticket, 1);
    assert_false(gate_take(gate, &out));
    gate_durable(gate, ticket);
    assert_true(gate_take(gate, &out));
    assert_int_equal(out.kind, EFFECT_ACT);
    assert_int_equal(out.of.command.id, 7);
    assert_false(gate_take(gate, &out));
    free(gate);
}

static void test_what_needs_no_storing_gets_no_ticket(void **state)
{
    (void)state;
    struct gate *gate = new_gate(64);
    struct effects nothing = step_of(NULL, 0, 0);
    struct effects rejected = step_of((enum effect_kind[]){EFFECT_REJECT}, 1, 0);
    assert_int_equal(gate_put(gate, &nothing), 0);
    assert_int_equal(gate_put(gate, &rejected), 0);
    free(gate);
}

static void test_a_later_step_does_not_overtake(void **state)
{
    (void)state;
    struct gate *gate = new_gate(64);
    struct effects first = step_of((enum effect_kind[]){EFFECT_ACT}, 1, 1);
    struct effects second = step_of((enum effect_kind[]){EFFECT_NOTIFY}, 1, 2);
    struct effect out;
    gate_put(gate, &first);
    gate_put(gate, &second);
    gate_durable(gate, 1);
    assert_true(gate_take(gate, &out));
    assert_int_equal(out.kind, EFFECT_ACT);
    assert_false(gate_take(gate, &out));
    gate_durable(gate, 2);
    gate_durable(gate, 1); /* an old word changes nothing */
    assert_true(gate_take(gate, &out));
    assert_int_equal(out.kind, EFFECT_NOTIFY);
    free(gate);
}

static void test_a_failed_commit_is_forgotten(void **state)
{
    (void)state;
    struct gate *gate = new_gate(64);
    struct effects first = step_of((enum effect_kind[]){EFFECT_ACT}, 1, 1);
    struct effects second = step_of((enum effect_kind[]){EFFECT_ACT}, 1, 2);
    struct effects third = step_of((enum effect_kind[]){EFFECT_ACT}, 1, 3);
    struct effect out;
    gate_put(gate, &first);
    gate_put(gate, &second);
    gate_durable(gate, 1);
    gate_discard(gate);
    assert_true(gate_take(gate, &out)); /* the durable one may still be seen */
    assert_int_equal(out.of.command.id, 1);
    assert_false(gate_take(gate, &out));
    assert_int_equal(gate_put(gate, &third), 3);
    assert_false(gate_take(gate, &out));
    gate_durable(gate, 3);
    assert_true(gate_take(gate, &out));
    assert_int_equal(out.of.command.id, 3);
    free(gate);
}

static void test_a_full_gate_says_so_before_it_drops_anything(void **state)
{
    (void)state;
    struct gate *gate = new_gate(2 * EFFECTS_MAX);
    struct effects act = step_of((enum effect_kind[]){EFFECT_ACT}, 1, 1);
    struct effect out;
    uint32_t put = 0;
    while (gate_has_room(gate)) {
        gate_put(gate, &act);
        put++;
    }
    assert_int_equal(put, EFFECTS_MAX + 1);
    gate_durable(gate, put);
    for (uint32_t i = 0; i < put; i++) {
        assert_true(gate_take(gate, &out));
    }
    assert_true(gate_has_room(gate));
    free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_waits_for_its_commit),
        cmocka_unit_test(test_what_needs_no_storing_gets_no_ticket),
        cmocka_unit_test(test_a_later_step_does_not_overtake),
        cmocka_unit_test(test_a_failed_commit_is_forgotten),
        cmocka_unit_test(test_a_full_gate_says_so_before_it_drops_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
