/* What a live run came to, told in the form of `sim`. */
#include "cli/live.h"

#include "cli/show.h"
#include "cli/sums.h"

#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const double others_matter = 0.3; /* of one processor: below it is measured too coarsely */

void live_print_summary(const struct live *live, const struct live_result *result)
{
    const struct sim_result *r = &result->sums;
    sums_print(live->scenario->title[0] ? live->scenario->title : live->options.path, r, false);
    printf("  %-12s %" PRIu64 " of %u nodes in %.3g s\n", "reports", r->reports, live->scenario->node_count,
           result->took_s);
    printf("  %-12s %s   seed %" PRIu64 "\n", "database", live->options.database, live->scenario->seed);
    if (result->others >= others_matter)
        printf("  %-12s other programs took %.1f of %u processors: figures and times may be theirs\n",
               "beside it", result->others, live->machine.processors);
    for (uint32_t i = 0; result->expected[i]; i++)
        printf("%s%s\n", i ? "" : "\n", result->expected[i]);
}

static json_t *json_of_time(duration d)
{
    return d < 0 ? json_null() : json_real(duration_seconds(d));
}

static void set(json_t *object, const char *key, json_t *value)
{
    CHECK(value && json_object_set_new(object, key, value) == 0);
}

static void set_counts(json_t *all, const struct sim_result *r)
{
    json_t *verdicts = json_object(), *blocks = json_object();
    for (int i = 1; i < VERDICT_COUNT; i++)
        set(verdicts, verdict_name((enum verdict)i), json_integer(r->verdicts[i]));
    for (int i = 1; i < BLOCK_REASON_COUNT; i++)
        if (r->blocks[i] > 0)
            set(blocks, block_reason_name((enum block_reason)i), json_integer((json_int_t)r->blocks[i]));
    const struct {
        const char *key;
        uint64_t count;
    } counts[] = {{"reports", r->reports},     {"incidents", r->incidents}, {"resolved", r->resolved},
                  {"escalated", r->escalated}, {"open", r->open},           {"commands", r->commands},
                  {"wrong", r->wrong},         {"needless", r->needless}};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        set(all, counts[i].key, json_integer((json_int_t)counts[i].count));
    set(all, "verdicts", verdicts);
    set(all, "blocks", blocks);
}

static void set_times(json_t *all, const struct sim_result *r)
{
    set(all, "faults", json_integer(r->faults));
    set(all, "detected", json_integer(r->detected));
    set(all, "recovered", json_integer(r->recovered));
    set(all, "detect_p50_s", json_of_time(r->detect_p50_ns));
    set(all, "detect_p95_s", json_of_time(r->detect_p95_ns));
    set(all, "recover_p50_s", json_of_time(r->recover_p50_ns));
    set(all, "recover_p95_s", json_of_time(r->recover_p95_ns));
    set(all, "availability_requests", json_real(r->availability_requests));
    set(all, "availability_time", json_real(r->availability_time));
}

/* The keys of `sim --json` where they mean the same; there is no digest, and nobody to tell what was harmful.
 */
void live_print_json(const struct live *live, const struct live_result *result)
{
    const struct sim_result *r = &result->sums;
    json_t *all = json_object(), *expected = json_array();
    for (uint32_t i = 0; result->expected[i]; i++)
        json_array_append_new(expected, json_string(result->expected[i]));
    set(all, "scenario", json_string(live->options.path));
    set(all, "title", json_string(live->scenario->title));
    set(all, "live", json_string(live->options.synthetic ? "synthetic" : "real"));
    set(all, "seed", json_integer((json_int_t)live->scenario->seed));
    set(all, "nodes", json_integer(live->scenario->node_count));
    set_counts(all, r);
    set_times(all, r);
    set(all, "expectations", json_integer(r->expectations));
    set(all, "met", json_integer(r->met));
    set(all, "expected", expected);
    set(all, "database", json_string(live->options.database));
    set(all, "took_s", json_real(result->took_s));
    set(all, "processors", json_integer(live->machine.processors));
    set(all, "others", isnan(result->others) ? json_null() : json_real(result->others));
    set(all, "story", json_incref(result->story));
    print_json(all);
    json_decref(all);
}
