#include "scenario/expect.h"

#include "base/check.h"
#include "base/text.h"

#include <string.h>

/* --- who can have made whom ill ---------------------------------------------------------------------------
 */

uint32_t expect_reach(const struct world_node *fleet, uint32_t from, uint32_t found[EXPECT_REACH_MAX])
{
    uint32_t count = 1;
    found[0] = from;
    for (uint32_t i = 0; i < count; i++) {
        const struct world_node *node = &fleet[found[i]];
        for (uint32_t c = 0; c < node->calls_count; c++) {
            uint32_t k = 0;
            while (k < count && found[k] != node->calls[c])
                k++;
            if (k == count && count < EXPECT_REACH_MAX)
                found[count++] = node->calls[c];
        }
    }
    return count;
}

static instant later(instant a, instant b)
{
    return a > b ? a : b;
}

instant expect_cause(const struct expect_facts *facts, uint32_t node, instant opened_at)
{
    instant own_at = INSTANT_NONE, called_at = INSTANT_NONE, any_at = INSTANT_NONE;
    uint32_t found[EXPECT_REACH_MAX], count = expect_reach(facts->fleet, node, found);
    for (uint32_t i = 0; i < facts->struck_count; i++) {
        const struct struck *struck = &facts->struck[i];
        if (struck->at > opened_at)
            continue;
        any_at = later(any_at, struck->at);
        if (struck->node == node)
            own_at = later(own_at, struck->at);
        for (uint32_t k = 1; k < count; k++)
            if (found[k] == struck->node)
                called_at = later(called_at, struck->at);
    }
    return own_at != INSTANT_NONE ? own_at : called_at != INSTANT_NONE ? called_at : any_at;
}

/* --- one line of the scenario --------------------------------------------------------------------------- */

struct answer { /* to one expectation */
    bool met;
    uint32_t node;           /* of the first that says otherwise, NO_INDEX: none in particular */
    const struct deed *best; /* the nearest to what was expected */
    duration took_ns;
};

/* How many of the things that were asked for it has; the most is 4. */
static int weigh(const struct expect_facts *facts, const struct scenario_expect *expect,
                 const struct deed *deed, duration *took_ns)
{
    int points = 1;
    bool blocked = expect->block == BLOCK_NONE || (deed->blocks & 1u << expect->block) != 0;
    bool remedy = blocked && (expect->remedy == REMEDY_NONE || deed->remedy == expect->remedy);
    bool verdict = expect->verdict == VERDICT_NONE || deed->verdict == expect->verdict;
    instant injected_at = expect_cause(facts, deed->node, deed->opened_at);
    instant done_at = expect->verdict != VERDICT_NONE ? deed->judged_at
                      : expect->remedy != REMEDY_NONE ? deed->acted_at
                                                      : deed->opened_at;
    *took_ns = done_at == INSTANT_NONE || injected_at == INSTANT_NONE ? -1 : done_at - injected_at;
    points += remedy;
    points += remedy && verdict;
    points +=
        remedy && verdict && (expect->within_ns == 0 || (*took_ns >= 0 && *took_ns <= expect->within_ns));
    return points;
}

static bool node_meets(const struct expect_facts *facts, const struct scenario_expect *expect, uint32_t node,
                       struct answer *answer)
{
    int most = 0;
    for (uint32_t i = 0; i < facts->deed_count && most < 4; i++) {
        const struct deed *deed = &facts->deeds[i];
        duration took_ns;
        if (deed->node != node || strcmp(deed->finding, expect->finding) != 0)
            continue;
        int points = weigh(facts, expect, deed, &took_ns);
        if (points <= most)
            continue;
        most = points;
        answer->best = deed;
        answer->took_ns = took_ns;
    }
    return most == 4;
}

static bool means(const struct expect_facts *facts, const struct scenario_target *target, uint32_t node)
{
    return scenario_target_means(target, facts->names[node], scenario_group_of(facts->scenario, node)->role,
                                 scenario_zone_of(facts->scenario, node));
}

/* All nodes that it means; with `some`, at least so many; if it names nobody, at least one. */
static struct answer judge(const struct expect_facts *facts, const struct scenario_expect *expect)
{
    struct answer answer = {.node = NO_INDEX}, best = answer;
    bool anybody = !expect->on.pattern[0] && !expect->on.role[0] && !expect->on.zone[0];
    uint32_t meant = 0, met = 0, wanted = expect->on.some;
    for (uint32_t i = 0; i < facts->scenario->node_count; i++) {
        struct answer one = {.node = i};
        if (!anybody && !means(facts, &expect->on, i))
            continue;
        meant++;
        bool good = expect->untouched ? !facts->touched[i] : node_meets(facts, expect, i, &one);
        met += good;
        if (!good && (best.node == NO_INDEX || (!best.best && one.best)))
            best = one;
        if (good && !answer.best)
            answer = one;
    }
    wanted = expect->untouched || wanted == 0 ? meant : wanted;
    wanted = !expect->untouched && anybody && expect->on.some == 0 ? 1 : wanted;
    if (met >= wanted && meant > 0) {
        answer.met = true;
        return answer;
    }
    return best;
}

bool expect_is_met(const struct expect_facts *facts, uint32_t number)
{
    CHECK(number < facts->scenario->expect_count);
    return judge(facts, &facts->scenario->expects[number]).met;
}

/* --- in words ------------------------------------------------------------------------------------------- */

static const char *name_of(const struct expect_facts *facts, uint32_t node)
{
    return node < facts->scenario->node_count ? facts->names[node] : "";
}

static void print_on(const struct scenario_target *on, FILE *out)
{
    if (on->some > 0)
        fprintf(out, "%u of ", on->some);
    if (on->role[0])
        fprintf(out, "role:%s", on->role);
    else if (on->zone[0])
        fprintf(out, "zone:%s", on->zone);
    else
        fputs(on->pattern[0] ? on->pattern : "any node", out);
}

static void print_time(duration d, FILE *out)
{
    char bytes[32];
    struct text text = text_over(bytes, sizeof bytes);
    text_duration(&text, d);
    fputs(bytes, out);
}

static void print_expected(const struct scenario_expect *expect, FILE *out)
{
    if (expect->untouched) {
        fputs("untouched: ", out);
        print_on(&expect->on, out);
        return;
    }
    fprintf(out, "%s on ", expect->finding);
    print_on(&expect->on, out);
    if (expect->remedy != REMEDY_NONE)
        fprintf(out, ", %s", remedy_name((enum remedy)expect->remedy));
    if (expect->verdict != VERDICT_NONE)
        fprintf(out, ", %s", verdict_name((enum verdict)expect->verdict));
    if (expect->within_ns > 0) {
        fputs(", within ", out);
        print_time(expect->within_ns, out);
    }
}

static void print_seen(const struct expect_facts *facts, const struct scenario_expect *expect,
                       const struct answer *answer, FILE *out)
{
    const struct deed *deed = answer->best;
    const char *name = name_of(facts, answer->node);
    if (expect->untouched) {
        fprintf(out, ", but a command went to %s", *name ? name : "one of them");
        return;
    }
    if (!deed) {
        fprintf(out, ", but %s%sthere was no such finding", *name ? name : "", *name ? ": " : "");
        return;
    }
    fprintf(out, ", but %s: ", name_of(facts, deed->node));
    if (deed->remedy == REMEDY_NONE)
        fputs("nothing was done about it", out);
    else
        fprintf(out, "%s, %s", remedy_name((enum remedy)deed->remedy),
                deed->verdict == VERDICT_NONE ? "no verdict" : verdict_name((enum verdict)deed->verdict));
    if (answer->took_ns >= 0) {
        fputs(", after ", out);
        print_time(answer->took_ns, out);
    }
}

void expect_print(const struct expect_facts *facts, FILE *out)
{
    for (uint32_t i = 0; i < facts->scenario->expect_count; i++) {
        const struct scenario_expect *expect = &facts->scenario->expects[i];
        struct answer answer = judge(facts, expect);
        fputs(answer.met ? "ok      " : "not ok  ", out);
        print_expected(expect, out);
        if (!answer.met)
            print_seen(facts, expect, &answer, out);
        if (answer.met && expect->within_ns > 0 && answer.took_ns >= 0) {
            fputs(": took ", out);
            print_time(answer.took_ns, out);
        }
        fputs("\n", out);
    }
}
