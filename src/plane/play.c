#include "plane/play.h"

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "plane/state.h"

#include <stdlib.h>
#include <string.h>

static const duration lease_least_ns = SECOND, lease_most_ns = HOUR;

/* --- whom it means -------------------------------------------------------------------------------------- */

const char *play_target_text(const struct scenario_target *target, char out[2 * NODE_PATTERN_SIZE])
{
    struct text text = text_over(out, 2 * NODE_PATTERN_SIZE);
    if (target->some > 0)
        text_addf(&text, "%u of ", target->some);
    if (target->role[0])
        text_addf(&text, "role:%s", target->role);
    else if (target->zone[0])
        text_addf(&text, "zone:%s", target->zone);
    else
        text_add(&text, target->pattern);
    return out;
}

struct drawn {
    uint32_t node;
    uint64_t lot;
};

static int by_lot(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    return x->lot != y->lot ? (x->lot > y->lot) - (x->lot < y->lot)
                            : (x->node > y->node) - (x->node < y->node);
}

/* Into `drawn`, which has room for PLANE_NODE_CAPACITY; returns how many. Who is one of `2 of role:web` hangs
 * on the seed and the node's number alone, so every line that says the same means the same nodes. */
static uint32_t find_meant(const struct plane *plane, const struct scenario_target *target, uint64_t seed,
                           struct drawn *drawn)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        const struct node *node = plane->roster.nodes[i];
        if (node->gone || node->name[0] == '#' ||
            !scenario_target_means(target, node->name, node->role, node->zone))
            continue;
        uint64_t lot = target->some > 0 ? random_draw(random_key(seed, 0x73637269), i) : i;
        drawn[count++] = (struct drawn){.node = i, .lot = lot};
    }
    if (target->some > 0)
        qsort(drawn, count, sizeof *drawn, by_lot);
    return target->some > 0 && target->some < count ? target->some : count;
}

static struct drawn *drawing_room(void)
{
    static struct drawn drawn[PLANE_NODE_CAPACITY];
    return drawn;
}

/* --- can it be played ----------------------------------------------------------------------------------- */

/* Why that fault cannot be on that node, as a sentence; "" if it can. */
static void find_objection(const struct plane *plane, const struct world_fault *fault, uint32_t number,
                           struct text *why)
{
    const struct node *node = plane->roster.nodes[number];
    const char *kind = fault_kind_name((enum fault_kind)fault->kind);
    if (node->gone)
        text_addf(why, "%s has left the fleet", node->name);
    else if (!(fault_infos[fault->kind].places & node_place(node)))
        text_addf(why, "%s cannot be on %s, which %s", kind, node->name,
                  node->synthetic ? "is synthetic" : "does not run the built-in service");
}

bool play_is_unfit(const struct plane *plane, const struct listed *item, char why[PLAY_WHY_SIZE])
{
    struct text text = text_over(why, PLAY_WHY_SIZE);
    struct drawn *drawn = drawing_room();
    uint32_t strikes = 0;
    if (item->trouble[0])
        text_add(&text, item->trouble);
    else if (item->accident_count > 0)
        text_addf(&text, "it needs more than faults; ./run up --scenario scenarios/%s.yaml plays all of it",
                  item->name);
    else if (item->fault_count == 0)
        text_add(&text, "it has no faults: nothing would be seen");
    for (uint32_t i = 0; i < item->fault_count && text.length == 0; i++) {
        const struct scenario_fault *fault = &item->faults[i];
        char target[2 * NODE_PATTERN_SIZE];
        uint32_t count = find_meant(plane, &fault->on, item->seed, drawn);
        if (count == 0 || count < fault->on.some)
            text_addf(&text, "this fleet has no %s", play_target_text(&fault->on, target));
        for (uint32_t k = 0; k < count && text.length == 0; k++)
            find_objection(plane, &fault->fault, drawn[k].node, &text);
        strikes += count;
    }
    if (text.length == 0 && strikes > FAULTS_MAX)
        text_addf(&text, "it strikes %u times, and %d faults have room", strikes, FAULTS_MAX);
    return text.length > 0;
}

/* --- playing -------------------------------------------------------------------------------------------- */

static void say(struct plane *plane, const char *what, const char *more)
{
    char line[TROUBLE_SIZE];
    struct text text = text_over(line, sizeof line);
    text_addf(&text, "%s %s%s%s", plane->play->name, what, *more ? ": " : "", more);
    record_notice(plane, "SCENARIO", line);
}

static duration lease_of(const struct play *play, const struct world_fault *fault, instant at)
{
    duration lease_ns =
        fault->until_at == INSTANT_NEVER ? play->length_ns - at : fault->until_at - fault->from_at;
    return lease_ns < lease_least_ns ? lease_least_ns : lease_ns > lease_most_ns ? lease_most_ns : lease_ns;
}

static void lay_out(struct plane *plane, struct play *play, uint64_t seed)
{
    struct drawn *drawn = drawing_room();
    for (uint32_t line = 0; line < play->line_count; line++) {
        const struct scenario_fault *fault = &play->lines[line].fault;
        uint32_t count = find_meant(plane, &fault->on, seed, drawn);
        for (uint32_t k = 0; k < count && play->strike_count < FAULTS_MAX; k++) {
            instant at = fault->fault.from_at + scenario_spread(fault->spread_ns, k, count);
            play->strikes[play->strike_count++] = (struct play_strike){
                .at = at, .lease_ns = lease_of(play, &fault->fault, at), .line = line, .node = drawn[k].node};
            play->lines[line].strikes++;
        }
    }
}

void play_begin(struct plane *plane, const struct listed *item)
{
    if (!plane->play)
        plane->play = malloc(sizeof *plane->play);
    CHECK(plane->play && item->fault_count <= SCENARIO_FAULTS_MAX);
    struct play *play = plane->play;
    memset(play, 0, sizeof *play);
    text_copy(play->name, sizeof play->name, item->name);
    text_copy(play->title, sizeof play->title, item->title);
    play->began_at = plane->now;
    play->ended_at = INSTANT_NEVER;
    play->length_ns = item->length_ns;
    play->line_count = item->fault_count;
    for (uint32_t i = 0; i < item->fault_count; i++)
        play->lines[i].fault = item->faults[i];
    lay_out(plane, play, item->seed);
    say(plane, "begins", item->title);
    play_turn(plane);
}

bool play_is_on(const struct plane *plane)
{
    return plane->play && plane->play->ended_at == INSTANT_NEVER;
}

static void strike(struct plane *plane, struct play_strike *strike)
{
    struct play_line *line = &plane->play->lines[strike->line];
    const struct world_fault *fault = &line->fault.fault;
    struct text why = text_over(line->trouble, sizeof line->trouble);
    const struct node *node = plane->roster.nodes[strike->node];
    strike->done = true;
    find_objection(plane, fault, strike->node, &why);
    if (why.length == 0 && faults_same(&plane->faults, (enum fault_kind)fault->kind, strike->node))
        text_addf(&why, "%s is on at %s already", fault_kind_name((enum fault_kind)fault->kind), node->name);
    if (why.length == 0 && faults_room(&plane->faults) == 0)
        text_addf(&why, "%d faults are on, which is all there is room for", FAULTS_MAX);
    if (why.length > 0) {
        say(plane, "leaves something out", line->trouble);
        return;
    }
    struct fault_asked asked = {.kind = (enum fault_kind)fault->kind,
                                .shape = (enum shape)fault->shape,
                                .node = strike->node,
                                .intensity = fault->intensity,
                                .lease_ns = strike->lease_ns,
                                .period_ns = fault->period_ns};
    strike->fault = strike_ask(plane, &asked);
    line->struck++;
}

static void end(struct plane *plane, const char *how)
{
    plane->play->ended_at = plane->now;
    say(plane, how, "");
    plane_rows_put(plane, true);
}

/* At most that many in one turn of the loop; the rest follows with the next pulse. */
enum { STRIKES_PER_TURN = 64 };

void play_turn(struct plane *plane)
{
    struct play *play = plane->play;
    if (!play_is_on(plane))
        return;
    duration age_ns = plane->now - play->began_at;
    uint32_t struck = 0;
    for (uint32_t i = 0; i < play->strike_count && struck < STRIKES_PER_TURN; i++)
        if (!play->strikes[i].done && play->strikes[i].at <= age_ns) {
            strike(plane, &play->strikes[i]);
            struck++;
        }
    if (struck > 0)
        plane_rows_put(plane, true);
    if (age_ns >= play->length_ns)
        end(plane, "is over");
}

void play_stop(struct plane *plane)
{
    struct play *play = plane->play;
    for (uint32_t i = 0; i < play->strike_count; i++) {
        struct fault_row *row =
            play->strikes[i].fault ? faults_find(&plane->faults, play->strikes[i].fault) : NULL;
        if (row)
            strike_clear(plane, row);
    }
    faults_sweep(&plane->faults, plane->now);
    end(plane, "was stopped");
}
