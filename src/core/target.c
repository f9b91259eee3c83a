/* Target: what is remembered of a node beyond its incidents, so that no new incident, restart, reload or
 * other name of a rule makes a guard forget. Flapping, back-off, attempts and maintenance are counted here.
 */
#include "core/state.h"
#include "core/mutant.h"

void target_init(struct node_cold *cold)
{
    struct target *target = &cold->target;
    target->ended_at = target->trouble_at = target->maintained_until = INSTANT_NONE;
    for (uint32_t i = 0; i < CHANGES_MAX; i++) {
        target->changed_at[i] = INSTANT_NONE;
    }
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++) {
        cold->acted_at[i] = INSTANT_NONE;
    }
}

/* What was learned of it already in this life (its incidents, restored before) is not put back. */
void target_restore(struct core *core, uint32_t number, const struct target *target)
{
    struct target *own = &cold_of(core, number)->target;
    instant ended_at = own->ended_at, trouble_at = own->trouble_at;
    *own = *target;
    own->maintained_until = MUTANT(restart_forgets_maintenance, INSTANT_NONE, target->maintained_until);
    own->change_next = target->change_next % CHANGES_MAX;
    node_of(core, number)->flags |= target->flapping ? (uint32_t)NODE_FLAPPING : 0;
    own->ended_at = ended_at > target->ended_at ? ended_at : target->ended_at;
    own->trouble_at = trouble_at > target->trouble_at ? trouble_at : target->trouble_at;
}

/* --- maintenance ---------------------------------------------------------------------------------------- */

/* By a person's word, or by a window of the policy. `*until_at`, if not NULL, gets the latest end among those
 * that are on. */
bool target_is_maintained(const struct core *core, uint32_t number, instant *until_at)
{
    const struct node_cold *cold = cold_of(core, number);
    instant latest = cold->target.maintained_until > core->now ? cold->target.maintained_until : INSTANT_NONE;
    for (uint32_t i = 0; i < core->policy.guards.window_count; i++) {
        const struct window *window = &core->policy.guards.windows[i];
        instant end_at;
        if (MUTANT(windows_ignored, false, window_covers(window, cold->name)) &&
            window_is_on(window, core->now, &end_at) && end_at > latest) {
            latest = end_at;
        }
    }
    if (until_at != NULL) {
        *until_at = latest;
    }
    return latest != INSTANT_NONE;
}

/* --- flapping ------------------------------------------------------------------------------------------- */

static uint32_t changes_within(const struct target *target, instant now, duration within_ns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CHANGES_MAX; i++) {
        count += target->changed_at[i] != INSTANT_NONE && now - target->changed_at[i] < within_ns;
    }
    return count;
}

/* It flaps from `changes` within the time on, and until fewer than half of them are left. */
static bool flaps(const struct core *core, const struct target *target)
{
    const struct guards *guards = &core->policy.guards;
    uint32_t count = changes_within(target, core->now, guards->flapping_within_ns);
    if (guards->flapping_changes == 0) {
        return false;
    }
    if (target->flapping) {
        return MUTANT(flapping_never_clears, true, 2 * count >= guards->flapping_changes);
    }
    return MUTANT(flapping_after_one_command, target->streak > 0, count >= guards->flapping_changes);
}

/* Its health is the question whether it is ill by itself: what a sick callee explains is not its own turning
 * ill and well. Called whenever that may have changed. */
void target_note_health(struct core *core, uint32_t number, struct effects *out)
{
    struct node *node = node_of(core, number);
    if (!(node->flags & (NODE_ILL | NODE_WAS_ILL | NODE_FLAPPING))) {
        return; /* the usual case touches no cold row */
    }
    bool ill = (node->flags & NODE_ILL) != 0, was_ill = (node->flags & NODE_WAS_ILL) != 0;
    struct target *target = &cold_of(core, number)->target;
    if (ill != was_ill) {
        node->flags ^= NODE_WAS_ILL;
        target->trouble_at = was_ill ? core->now : target->trouble_at;
        target->changed_at[target->change_next] = core->now;
        target->change_next = (target->change_next + 1) % CHANGES_MAX;
    }
    bool now_flaps = flaps(core, target);
    if (ill != was_ill || now_flaps != (target->flapping != 0)) {
        target->flapping = now_flaps;
        node->flags = now_flaps ? node->flags | NODE_FLAPPING : node->flags & ~(uint32_t)NODE_FLAPPING;
        effects_add_target(core, out, number);
    }
}

/* --- back-off ------------------------------------------------------------------------------------------- */

void target_note_trouble(struct core *core, uint32_t number)
{
    cold_of(core, number)->target.trouble_at = core->now;
}

static bool has_trouble(const struct core *core, uint32_t number)
{
    const struct node *node = node_of(core, number);
    for (uint32_t s = node->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        if (slot_of(core, s)->incident.state != INCIDENT_RESOLVED) {
            return true;
        }
    }
    return false;
}

/* Called before a new incident is on the node's list. After a long time of health a failure is a new problem.
 */
void target_note_opening(struct core *core, uint32_t number)
{
    struct target *target = &cold_of(core, number)->target;
    bool well_for_long = target->trouble_at != INSTANT_NONE &&
                         core->now - target->trouble_at >= core->policy.guards.backoff_reset_ns;
    if (well_for_long && !has_trouble(core, number)) {
        target->streak = 0;
    }
    target->trouble_at = core->now;
}

/* SplitMix64's finalizer (Steele, Lea, Flood 2014). */
static uint64_t scramble(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* base * 2^(streak - 1), at most cap, less a jitter of up to a fifth, so that targets that fell ill together
 * do not come back together. It depends on seed, node and streak alone: a restart draws the same. */
instant target_backs_off_until(const struct core *core, uint32_t number)
{
    const struct guards *guards = &core->policy.guards;
    const struct target *target = &cold_of(core, number)->target;
    if (target->streak == 0 || guards->backoff_base_ns == 0 || target->ended_at == INSTANT_NONE) {
        return INSTANT_NONE;
    }
    duration wait = guards->backoff_base_ns;
    for (uint32_t i = 1; i < target->streak && wait < guards->backoff_cap_ns; i++) {
        wait *= 2;
    }
    wait = wait < guards->backoff_cap_ns ? wait : guards->backoff_cap_ns;
    uint64_t drawn = scramble(core->config.seed ^ scramble((uint64_t)number << 32 | target->streak));
    return target->ended_at + wait - wait / 5120 * (duration)(drawn >> 54); /* 0 .. 1023 parts of 5120 */
}

/* --- actions -------------------------------------------------------------------------------------------- */

/* A person's own action is recorded with its command and counts for no limit of the machine. */
void target_note_action(struct core *core, uint32_t number, const struct restored_action *action)
{
    struct node_cold *cold = cold_of(core, number);
    if (MUTANT(actions_not_counted, true, action->by_person)) {
        return;
    }
    memmove(&cold->acted_at[1], &cold->acted_at[0], sizeof cold->acted_at - sizeof cold->acted_at[0]);
    cold->acted_at[0] = action->acted_at;
    core->actions[core->action_next] = (struct past_action){.acted_at = action->acted_at,
                                                            .rule = action->rule,
                                                            .meaning = action->meaning,
                                                            .node = number,
                                                            .remedy = action->remedy};
    core->action_next = (core->action_next + 1) % ACTIONS_KEPT;
}

uint32_t target_attempts(const struct core *core, uint32_t number, duration within_ns)
{
    const struct node_cold *cold = cold_of(core, number);
    uint32_t count = 0;
    while (count < ATTEMPTS_MAX && cold->acted_at[count] != INSTANT_NONE &&
           core->now - cold->acted_at[count] < within_ns) {
        count++;
    }
    return count;
}
