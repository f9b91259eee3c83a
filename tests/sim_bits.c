/* Prints the digest of every scenario that it is given, under the scenario's own seed and under another one.
 * tests/sim_bits.sh builds this with each compiler at several levels: they must print the same. */
#include "policy/policy_file.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct journey {      /* all that goes into the core and comes out of it, on the way */
    uint64_t decided; /* folded after each event */
    uint64_t events;
};

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct journey *journey = context;
    journey->decided = (journey->decided ^ core_digest(core) ^ ticket) * 0xbf58476d1ce4e5b9u;
    journey->decided ^= (uint64_t)at ^ (uint64_t)effects->count << 56;
    journey->events++;
}

static void run(const char *name, const struct scenario *scenario, const struct policy *policy, uint64_t seed)
{
    char error[256];
    struct journey journey = {0};
    struct sim_options options = {.scenario = scenario,
                                  .policy = policy,
                                  .seed = seed,
                                  .watch = {{.effects = on_effects, .context = &journey}},
                                  .watch_count = 1};
    struct sim_result result;
    struct sim *sim = sim_new(&options, error, sizeof error);
    if (!sim) {
        fprintf(stderr, "%s: %s\n", name, error);
        exit(1);
    }
    while (sim_turn(sim))
        ;
    sim_result(sim, &result);
    printf("%s %" PRIu64 " %016" PRIx64 " %016" PRIx64 " %" PRIu64 " %.17g\n", name, seed, result.digest,
           journey.decided, journey.events, result.availability_requests);
    sim_free(&sim);
}

int main(int argc, char **argv)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    struct complaints *complaints = calloc(1, sizeof *complaints);
    static struct policy policy;
    if (argc < 3 || !scenario || !complaints)
        return 2;
    for (int i = 2; i < argc; i++) {
        if (scenario_read_file(argv[i], scenario, complaints) != 0)
            return 1;
        if (policy_read_file(scenario->policy_path[0] ? scenario->policy_path : argv[1], &policy,
                             complaints) != 0)
            return 1;
        run(scenario->title, scenario, &policy, 0);
        run(scenario->title, scenario, &policy, 77);
    }
    free(scenario);
    free(complaints);
    return 0;
}
