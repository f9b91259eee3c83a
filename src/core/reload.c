/* Reload: a new policy while everything runs. Detectors keep their place, by name or by meaning, so counters
 * and findings go on. */
#include "core/state.h"

uint32_t reload_find_detector(const struct policy *policy, const char *name)
{
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        if (policy->detectors[i].name[0] != '\0' && strcmp(policy->detectors[i].name, name) == 0) {
            return i;
        }
    }
    return NO_INDEX;
}

static uint32_t free_place(const struct policy *policy, const bool *taken)
{
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        if (!taken[i] && policy->detectors[i].name[0] == '\0') {
            return i;
        }
    }
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        if (!taken[i]) {
            return i;
        }
    }
    CHECK(false); /* the policy was checked: no more detectors than places */
    return NO_INDEX;
}

/* Where the old policy had the same thing under a name that the new one does not know. */
static uint32_t find_renamed(const struct policy *old, const struct policy *fresh,
                             const struct detector *detector, const bool *taken)
{
    for (uint32_t i = 0; i < old->detector_count; i++) {
        const struct detector *before = &old->detectors[i];
        if (!taken[i] && before->name[0] != '\0' && detector_same_meaning(before, detector) &&
            reload_find_detector(fresh, before->name) == NO_INDEX) {
            return i;
        }
    }
    return NO_INDEX;
}

/* What was done under a rule's old name or meaning counts under the new ones, so that no chain of renamings
 * and other thresholds makes a limit forget. */
static void rename_actions(struct core *core, const struct policy *old)
{
    const uint32_t count = core->policy.detector_count;
    bool done[ACTIONS_KEPT] = {false};
    for (uint32_t d = 0; d < count; d++) {
        const struct detector *before = &old->detectors[d], *now = &core->policy.detectors[d];
        bool kept = d < old->detector_count && before->name[0] != '\0' && now->name[0] != '\0' &&
                    (strcmp(before->name, now->name) == 0 || detector_same_meaning(before, now));
        uint64_t rule = kept ? detector_name_key(before->name) : 0;
        uint64_t meaning = kept ? detector_meaning_key(before) : 0;
        for (uint32_t i = 0; kept && i < ACTIONS_KEPT; i++) {
            struct past_action *action = &core->actions[i];
            if (!done[i] && action->acted_at != INSTANT_NONE &&
                (action->rule == rule || action->meaning == meaning)) {
                done[i] = true;
                action->rule = detector_name_key(now->name);
                action->meaning = detector_meaning_key(now);
            }
        }
    }
}

/* Detectors keep their place by name, or by meaning when they have got another name, so a reload touches no
 * node; a place whose meaning changed gets a new generation, and nodes forget its bits when they are next
 * looked at. */
static void adopt_policy(struct core *core, const struct policy *fresh)
{
    const struct policy old = core->policy;
    bool taken[DETECTOR_MAX] = {false};
    uint32_t place[DETECTOR_MAX];
    core->policy = *fresh;
    memset(core->policy.detectors, 0, sizeof core->policy.detectors);
    core->policy_generation++;
    for (uint32_t i = 0; i < fresh->detector_count; i++) {
        place[i] = reload_find_detector(&old, fresh->detectors[i].name);
        if (place[i] != NO_INDEX) {
            taken[place[i]] = true;
        }
    }
    for (uint32_t i = 0; i < fresh->detector_count; i++) {
        if (place[i] == NO_INDEX) {
            place[i] = find_renamed(&old, fresh, &fresh->detectors[i], taken);
            if (place[i] != NO_INDEX) {
                taken[place[i]] = true;
            }
        }
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < fresh->detector_count; i++) {
        if (place[i] == NO_INDEX) {
            place[i] = free_place(&old, taken);
            taken[place[i]] = true;
        }
        core->policy.detectors[place[i]] = fresh->detectors[i];
        used = place[i] + 1 > used ? place[i] + 1 : used;
    }
    core->policy.detector_count = used;
    rename_actions(core, &old);
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        const struct detector *now = &core->policy.detectors[i];
        if (!detector_same_meaning(now, &old.detectors[i])) {
            core->slot_generation[i] = core->policy_generation;
        }
    }
}

/* The place of an incident's detector after the reload, or NO_INDEX if it is gone or means something else
 * now. */
static uint32_t new_place(const struct core *core, const struct incident *incident)
{
    uint32_t place = incident->detector;
    bool kept = place != NO_INDEX && place < core->policy.detector_count &&
                core->policy.detectors[place].name[0] != '\0' &&
                core->slot_generation[place] != core->policy_generation;
    return kept ? place : NO_INDEX;
}

/* Incidents of detectors that are gone, or that mean something else now, lose their place, and a walk closes
 * them: no verdict may rest on two meanings. */
void reload_policy(struct core *core, const struct event *event)
{
    CHECK(event->of.policy->detector_count <= DETECTOR_MAX);
    adopt_policy(core, event->of.policy);
    for (uint32_t s = 0; s < core->slot_count; s++) {
        struct slot *slot = slot_of(core, s);
        if (slot->used) {
            slot->incident.detector = new_place(core, &slot->incident);
            if (slot->incident.detector != NO_INDEX) {
                memcpy(slot->incident.detector_name, detector_of(core, &slot->incident)->name,
                       DETECTOR_NAME_SIZE);
            }
            node_walk_later(core, slot->incident.node);
        }
    }
    for (uint32_t n = 0; n < core->node_count; n++) {
        if (node_of(core, n)->flags & NODE_MAINTAINED) {
            node_walk_later(core, n);
        }
        node_schedule(core, n); /* windows of maintenance and limits of silence may be others now */
    }
}
