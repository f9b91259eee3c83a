/* Reload: a new policy while everything runs. Detectors keep their place by name, so counters and findings go
 * on. */
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

static bool same_meaning(const struct detector *a, const struct detector *b)
{
    return memcmp(a->when, b->when, sizeof a->when) == 0 &&
           memcmp(a->clear, b->clear, sizeof a->clear) == 0 && a->when_count == b->when_count &&
           a->clear_count == b->clear_count && a->for_ns == b->for_ns &&
           a->healthy_for_ns == b->healthy_for_ns && a->absent_ns == b->absent_ns;
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

/* Detectors keep their place by name, so a reload touches no node; a place whose meaning changed gets a new
 * generation, and nodes forget its bits when they are next looked at. */
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
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        const struct detector *now = &core->policy.detectors[i];
        if (strcmp(now->name, old.detectors[i].name) != 0 || !same_meaning(now, &old.detectors[i])) {
            core->slot_generation[i] = core->policy_generation;
        }
    }
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
            uint32_t place = reload_find_detector(&core->policy, slot->incident.detector_name);
            bool same = place != NO_INDEX && core->slot_generation[place] != core->policy_generation;
            slot->incident.detector = same ? place : NO_INDEX;
            node_walk_later(core, slot->incident.node);
        }
    }
}
