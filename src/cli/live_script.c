/* The script of a live run: what is done when, and how. */
#include "cli/live.h"

#include "cli/show.h"
#include "cli/source.h"
#include "wire/client.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_SIZE = 512, PATH_SIZE = 256 };

static const duration patience_ns = 15 * SECOND; /* with a control plane that refuses */
static const duration again_ns = 100 * MILLISECOND;
static const double lease_least_s = 1, lease_most_s = 3600; /* as the API has them */

instant live_now(const struct live *live)
{
    return monotonic_ns() - live->begun_ns;
}

static void say(struct live *live, uint32_t node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct live *live, uint32_t node, const char *format, ...)
{
    char sentence[LIVE_SENTENCE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    lab_log_say(live->log, "SCRIPT", node, sentence);
}

/* Asks the control plane; the answer is not needed. */
static bool tell_plane(struct live *live, const char *method, const char *path, const char *body)
{
    json_t *answer =
        plane_ask(fleet_port(live->fleet), method, path, body, live->trouble, sizeof live->trouble);
    bool good = answer != NULL;
    json_decref(answer);
    return good;
}

/* --- making the list ------------------------------------------------------------------------------------ */

static void *grow(void *list, uint32_t *room, size_t item)
{
    *room = *room ? 2 * *room : 64;
    void *grown = reallocarray(list, *room, item);
    CHECK(grown);
    return grown;
}

static void add_act(struct live *live, struct act act)
{
    if (live->act_count == live->act_room)
        live->acts = grow(live->acts, &live->act_room, sizeof *live->acts);
    act.order = live->act_count;
    live->acts[live->act_count++] = act;
}

static void add_strike(struct live *live, uint32_t line, uint32_t node, duration later_ns)
{
    const struct world_fault *fault = &live->scenario->faults[line].fault;
    instant from_at = fault->from_at + later_ns;
    instant until_at = fault->until_at == INSTANT_NEVER ? INSTANT_NEVER : fault->until_at + later_ns;
    uint32_t strike = live->strike_count;
    if (live->strike_count == live->strike_room)
        live->strikes = grow(live->strikes, &live->strike_room, sizeof *live->strikes);
    live->strikes[live->strike_count++] = (struct strike){.line = line, .node = node, .over_at = until_at};
    struct act act = {.at = from_at, .line = line, .node = node, .strike = strike, .kind = ACT_STRIKE};
    add_act(live, act);
    if (until_at != INSTANT_NEVER) {
        act.at = until_at;
        act.kind = ACT_END_STRIKE;
        add_act(live, act);
    }
}

static bool has_end(const struct scenario_accident *accident)
{
    return accident->length_ns > 0 && accident->kind != ACCIDENT_MAINTAIN; /* that ends by itself */
}

static void add_accident(struct live *live, uint32_t line, uint32_t node)
{
    const struct scenario_accident *accident = &live->scenario->accidents[line];
    struct act act = {.at = accident->at, .line = line, .node = node, .kind = ACT_BEGIN};
    add_act(live, act);
    if (has_end(accident)) {
        act.at += accident->length_ns;
        act.kind = ACT_END;
        add_act(live, act);
    }
}

static bool is_of_nodes(const struct scenario_accident *accident)
{
    return accident->kind == ACCIDENT_CRASH_AGENT || accident->kind == ACCIDENT_SUSPEND_AGENT ||
           accident->kind == ACCIDENT_LEAVE || accident->kind == ACCIDENT_MAINTAIN;
}

static int by_time(const void *a, const void *b)
{
    const struct act *x = a, *y = b;
    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->order > y->order) - (x->order < y->order);
}

bool live_begin_script(struct live *live)
{
    const struct scenario *scenario = live->scenario;
    uint32_t *list = calloc(scenario->node_count, sizeof *list);
    CHECK(list);
    for (uint32_t line = 0; line < scenario->fault_count; line++) {
        const struct scenario_fault *fault = &scenario->faults[line];
        uint32_t count = scenario_targets(scenario, &fault->on, scenario->seed, list);
        for (uint32_t i = 0; i < count && live->act_count < LIVE_ACTS_MAX; i++)
            add_strike(live, line, list[i], scenario_spread(fault->spread_ns, i, count));
    }
    for (uint32_t line = 0; line < scenario->accident_count; line++) {
        const struct scenario_accident *accident = &scenario->accidents[line];
        uint32_t count = 1;
        list[0] = NO_INDEX;
        if (is_of_nodes(accident))
            count = scenario_targets(scenario, &accident->on, scenario->seed, list);
        for (uint32_t i = 0; i < count && live->act_count < LIVE_ACTS_MAX; i++)
            add_accident(live, line, list[i]);
    }
    free(list);
    if (live->act_count >= LIVE_ACTS_MAX) {
        snprintf(live->trouble, sizeof live->trouble, "this script does more than %d things", LIVE_ACTS_MAX);
        return false;
    }
    if (live->act_count > 0)
        qsort(live->acts, live->act_count, sizeof *live->acts, by_time);
    return true;
}

/* --- faults --------------------------------------------------------------------------------------------- */

/* What is left of the fault, or of the whole script and its healing; a step that ends earlier is cleared. */
static double lease_s(const struct live *live, const struct strike *strike)
{
    const struct scenario *scenario = live->scenario;
    instant end_at =
        strike->over_at != INSTANT_NEVER ? strike->over_at : scenario->length_ns + scenario->heal_ns;
    double left_s = duration_seconds(end_at - live_now(live));
    return left_s < lease_least_s ? lease_least_s : left_s > lease_most_s ? lease_most_s : left_s;
}

static bool strike_node(struct live *live, const struct act *act)
{
    const struct world_fault *fault = &live->scenario->faults[act->line].fault;
    struct strike *strike = &live->strikes[act->strike];
    const struct fault_info *info = &fault_infos[fault->kind];
    json_t *body = json_pack("{s:s,s:s,s:f}", "kind", info->name, "node", live->names[act->node], "lease_s",
                             lease_s(live, strike));
    if (info->unit != UNIT_NONE)
        json_object_set_new(body, "intensity", json_real(fault->intensity));
    json_object_set_new(body, "alongside", json_true()); /* the script knows what it does */
    if (fault->shape != SHAPE_STEP) {
        json_object_set_new(body, "shape", json_string(shape_name((enum shape)fault->shape)));
        if (fault->period_ns > 0)
            json_object_set_new(body, "period_s", json_real(duration_seconds(fault->period_ns)));
    }
    char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(body);
    CHECK(text);
    json_t *answer =
        plane_ask(fleet_port(live->fleet), "POST", "/v1/faults", text, live->trouble, sizeof live->trouble);
    free(text);
    if (!answer)
        return false;
    strike->id = (uint64_t)member_whole(answer, "id");
    json_decref(answer);
    say(live, act->node, "%s begins%s%s", info->name, fault->shape == SHAPE_STEP ? "" : ", ",
        fault->shape == SHAPE_STEP ? "" : shape_name((enum shape)fault->shape));
    return true;
}

static bool end_strike(struct live *live, const struct act *act)
{
    const struct strike *strike = &live->strikes[act->strike];
    char path[PATH_SIZE];
    if (strike->id == 0)
        return true;
    snprintf(path, sizeof path, "/v1/faults/%llu", (unsigned long long)strike->id);
    if (!tell_plane(live, "DELETE", path, NULL))
        return false;
    say(live, act->node, "%s ends", fault_infos[live->scenario->faults[act->line].fault.kind].name);
    return true;
}

/* --- people --------------------------------------------------------------------------------------------- */

static bool maintain(struct live *live, uint32_t node, duration length_ns)
{
    char path[PATH_SIZE], body[BODY_SIZE];
    double seconds = duration_seconds(length_ns > SECOND ? length_ns : SECOND); /* the API's least */
    snprintf(path, sizeof path, "/v1/nodes/%s/maintenance", live->names[node]);
    snprintf(body, sizeof body, "{\"for_s\":%.3f}", seconds);
    if (!tell_plane(live, "PUT", path, body))
        return false;
    say(live, node, "a person keeps it to himself for %g s", seconds);
    return true;
}

static void approve(struct live *live, long long id)
{
    char path[PATH_SIZE], body[BODY_SIZE];
    snprintf(path, sizeof path, "/v1/incidents/%lld", id);
    json_t *incident = plane_ask(fleet_port(live->fleet), "GET", path, NULL, NULL, 0);
    const char *remedy = member_text(incident, "approvable");
    if (*remedy) {
        snprintf(path, sizeof path, "/v1/incidents/%lld/approve", id);
        snprintf(body, sizeof body, "{\"plan\":%lld}", member_whole(incident, "plan"));
        bool taken = tell_plane(live, "POST", path, body); /* it may have moved on meanwhile */
        int64_t node = lab_log_find(live->log, member_text(incident, "node"));
        say(live, node < 0 ? NO_INDEX : (uint32_t)node, "a person approves %s%s%s", remedy,
            taken ? "" : ", in vain: ", taken ? "" : live->trouble);
    }
    json_decref(incident);
}

/* Whatever waits for a yes gets it. */
static bool approve_all(struct live *live)
{
    json_t *answer = plane_ask(fleet_port(live->fleet), "GET", "/v1/incidents?limit=1000", NULL,
                               live->trouble, sizeof live->trouble);
    size_t i;
    json_t *incident;
    json_array_foreach(json_object_get(answer, "incidents"), i, incident)
    {
        if (incident_state_of(member_text(incident, "state")) != INCIDENT_RESOLVED)
            approve(live, member_whole(incident, "id"));
    }
    bool good = answer != NULL;
    json_decref(answer);
    return good;
}

static char *text_of_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    ssize_t length = getdelim(&text, &size, '\0', file); /* the whole: the reader let no NUL pass */
    fclose(file);
    if (length < 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool take_policy(struct live *live, const char *path)
{
    char *text = text_of_file(path), *answer = NULL;
    int status = !text ? 0
                       : client_call("127.0.0.1", fleet_port(live->fleet), "PUT", "/v1/policy",
                                     "application/yaml", text, strlen(text), 5 * SECOND, &answer);
    free(text);
    free(answer);
    if (status < 200 || status > 299) {
        snprintf(live->trouble, sizeof live->trouble, "the control plane does not take the policy %s", path);
        return false;
    }
    say(live, NO_INDEX, "the policy %s takes effect", path);
    return true;
}

static bool say_word(struct live *live, const char *path, const char *sentence)
{
    if (!tell_plane(live, "POST", path, "{}"))
        return false;
    say(live, NO_INDEX, "%s", sentence);
    return true;
}

/* --- processes ------------------------------------------------------------------------------------------ */

static bool plane_back(struct live *live)
{
    if (!fleet_start_plane_again(live->fleet, live->trouble, sizeof live->trouble))
        return false;
    live->plane_is_away = false;
    say(live, NO_INDEX, "the control plane is back");
    return true;
}

/* Two of one store are kept apart by a lock, which no second one gets while the first lives. So the first is
 * killed, and another takes over at once: what a second one would find. */
static bool second_plane(struct live *live)
{
    fleet_kill_plane(live->fleet);
    say(live, NO_INDEX, "second_control_plane: the first is killed, since it holds the store's lock");
    return plane_back(live);
}

static bool crash_plane(struct live *live)
{
    fleet_kill_plane(live->fleet);
    live->plane_is_away = true;
    say(live, NO_INDEX, "crash_control_plane: kill -9");
    return true;
}

static bool suspend_plane(struct live *live, bool suspend)
{
    fleet_suspend_plane(live->fleet, suspend);
    live->plane_is_away = suspend;
    say(live, NO_INDEX, suspend ? "suspend_control_plane: SIGSTOP" : "the control plane goes on");
    return true;
}

static bool agent_away(struct live *live, uint32_t node, enum accident kind)
{
    if (kind == ACCIDENT_SUSPEND_AGENT)
        fleet_suspend_agent(live->fleet, node, true);
    else if (kind == ACCIDENT_LEAVE)
        fleet_end_agent(live->fleet, node);
    else
        fleet_kill_agent(live->fleet, node);
    say(live, node, "%s%s", accident_name(kind),
        kind == ACCIDENT_SUSPEND_AGENT ? ": SIGSTOP"
        : kind == ACCIDENT_LEAVE       ? ": it says goodbye"
                                       : ": kill -9, its service ends with it");
    return true;
}

static bool agent_back(struct live *live, uint32_t node)
{
    fleet_suspend_agent(live->fleet, node, false);
    if (!fleet_start_agent_again(live->fleet, node, live->trouble, sizeof live->trouble))
        return false;
    say(live, node, "its node agent is back");
    return true;
}

/* --- doing ---------------------------------------------------------------------------------------------- */

static bool begin_accident(struct live *live, const struct act *act)
{
    const struct scenario_accident *accident = &live->scenario->accidents[act->line];
    switch ((enum accident)accident->kind) {
    case ACCIDENT_CRASH_PLANE:
        return crash_plane(live);
    case ACCIDENT_SUSPEND_PLANE:
        return suspend_plane(live, true);
    case ACCIDENT_SECOND_PLANE:
        return second_plane(live);
    case ACCIDENT_CRASH_AGENT:
    case ACCIDENT_SUSPEND_AGENT:
    case ACCIDENT_LEAVE:
        return agent_away(live, act->node, (enum accident)accident->kind);
    case ACCIDENT_PAUSE:
        return say_word(live, "/v1/pause", "a person pauses automation");
    case ACCIDENT_MAINTAIN:
        return maintain(live, act->node, accident->length_ns);
    case ACCIDENT_RESET:
        return say_word(live, "/v1/reset", "a person resets the breaker");
    case ACCIDENT_APPROVE:
        return approve_all(live);
    case ACCIDENT_POLICY:
        return take_policy(live, accident->path);
    case ACCIDENT_COUNT:
    default:
        return true;
    }
}

static bool end_accident(struct live *live, const struct act *act)
{
    switch ((enum accident)live->scenario->accidents[act->line].kind) {
    case ACCIDENT_CRASH_PLANE:
        return plane_back(live);
    case ACCIDENT_SUSPEND_PLANE:
        return suspend_plane(live, false);
    case ACCIDENT_CRASH_AGENT:
    case ACCIDENT_SUSPEND_AGENT:
    case ACCIDENT_LEAVE:
        return agent_back(live, act->node);
    case ACCIDENT_PAUSE:
        return say_word(live, "/v1/resume", "a person resumes automation");
    default:
        return true;
    }
}

/* Processes are killed and started whatever the control plane does; all else it must be told. */
static bool needs_plane(const struct live *live, const struct act *act)
{
    if (act->kind == ACT_STRIKE || act->kind == ACT_END_STRIKE)
        return true;
    switch ((enum accident)live->scenario->accidents[act->line].kind) {
    case ACCIDENT_PAUSE:
    case ACCIDENT_MAINTAIN:
    case ACCIDENT_RESET:
    case ACCIDENT_APPROVE:
    case ACCIDENT_POLICY:
        return true;
    default:
        return false;
    }
}

static bool do_act(struct live *live, const struct act *act)
{
    switch ((enum act_kind)act->kind) {
    case ACT_STRIKE:
        return strike_node(live, act);
    case ACT_END_STRIKE:
        return end_strike(live, act);
    case ACT_BEGIN:
        return begin_accident(live, act);
    case ACT_END:
    default:
        return end_accident(live, act);
    }
}

/* A refusal may be of this moment only: a fault that is still being cleared, a control plane that has just
 * come back. */
static bool try_act(struct live *live, struct act *act)
{
    if (needs_plane(live, act) && live->plane_is_away)
        return false;
    act->done = do_act(live, act);
    if (act->done)
        live->trouble[0] = '\0';
    return act->done;
}

instant live_turn(struct live *live)
{
    instant now = live_now(live), next_at = INSTANT_NEVER;
    for (uint32_t i = live->first_act; i < live->act_count; i++) {
        struct act *act = &live->acts[i];
        if (act->at > now) {
            next_at = act->at < next_at ? act->at : next_at;
            break;
        }
        if (!act->done && !try_act(live, act)) {
            next_at = now + again_ns;
            if (*live->trouble && !live->plane_is_away && now - act->at > patience_ns)
                return next_at; /* live->trouble says why */
            live->trouble[0] = '\0';
        }
    }
    while (live->first_act < live->act_count && live->acts[live->first_act].done)
        live->first_act++;
    return next_at;
}

/* --- healing -------------------------------------------------------------------------------------------- */

static void end_maintenance(struct live *live)
{
    json_t *answer = plane_ask(fleet_port(live->fleet), "GET", "/v1/nodes", NULL, NULL, 0), *node;
    size_t i;
    json_array_foreach(json_object_get(answer, "nodes"), i, node)
    {
        char path[PATH_SIZE];
        if (!*member_text(node, "maintained_until"))
            continue;
        snprintf(path, sizeof path, "/v1/nodes/%s/maintenance", member_text(node, "node"));
        tell_plane(live, "DELETE", path, NULL);
    }
    json_decref(answer);
}

bool live_heal(struct live *live)
{
    live->healed_at = live_now(live);
    live->first_act = live->act_count;
    lab_log_say(live->log, "SCRIPT", NO_INDEX,
                "the script is over: faults end, everybody is back, and all comes to rest");
    fleet_suspend_plane(live->fleet, false);
    bool good = fleet_start_plane_again(live->fleet, live->trouble, sizeof live->trouble);
    live->plane_is_away = false;
    for (uint32_t i = 0; i < fleet_size(live->fleet) && !live->options.synthetic; i++) {
        fleet_suspend_agent(live->fleet, i, false);
        good = good && fleet_start_agent_again(live->fleet, i, live->trouble, sizeof live->trouble);
    }
    good = good && tell_plane(live, "DELETE", "/v1/faults", NULL) &&
           tell_plane(live, "POST", "/v1/resume", "{}") && tell_plane(live, "POST", "/v1/reset", "{}");
    if (good)
        end_maintenance(live);
    return good;
}

/* Neither resolved nor with people, and not waiting for their word. */
static bool is_under_way(const json_t *incident)
{
    int state = incident_state_of(member_text(incident, "state"));
    bool waits = strcmp(member_text(incident, "block"), block_reason_name(BLOCK_APPROVAL)) == 0;
    return state != INCIDENT_RESOLVED && state != INCIDENT_ESCALATED && !(state == INCIDENT_PLANNED && waits);
}

bool live_is_at_rest(const struct live *live)
{
    int port = fleet_port(live->fleet);
    json_t *incidents = plane_ask(port, "GET", "/v1/incidents?limit=1000", NULL, NULL, 0), *incident;
    json_t *faults = plane_ask(port, "GET", "/v1/faults?active=true", NULL, NULL, 0);
    bool rests = incidents && faults && json_array_size(json_object_get(faults, "faults")) == 0;
    size_t i;
    json_array_foreach(json_object_get(incidents, "incidents"), i, incident)
    {
        rests = rests && !is_under_way(incident);
    }
    json_decref(incidents);
    json_decref(faults);
    return rests;
}
