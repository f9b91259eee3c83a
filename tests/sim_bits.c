/* Prints the digest of every scenario that it is given, and a checksum of its journal, under the scenario's
 * own seed and under another one. tests/sim_bits.sh builds this with each compiler at several levels: they
 * must print the same.
 *
 *     sim_bits POLICY JOURNAL SCENARIO... */
#include "base/crc.h"
#include "policy/policy_file.h"
#include "sim/record.h"

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

/* Of the whole file, and its length. */
static uint32_t checksum(const char *path, uint64_t *length)
{
    static uint8_t bytes[1 << 20];
    uint32_t crc = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        exit(1);
    *length = 0;
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, file)) > 0; *length += got)
        crc = crc32_add(crc, bytes, got);
    fclose(file);
    return crc;
}

static void run(const struct scenario *scenario, const struct policy *policy, const char *path, uint64_t seed)
{
    char error[256];
    struct journey journey = {0};
    struct recorder_options recording = {.file = path, .anew = true};
    struct sim_record record = {.recorder = recorder_open(&recording, error, sizeof error)};
    struct sim_options options = {
        .scenario = scenario,
        .policy = policy,
        .seed = seed,
        .watch = {{.effects = on_effects, .context = &journey}, sim_record_watch(&record)},
        .watch_count = 2};
    struct sim_result result;
    struct sim *sim = record.recorder ? sim_new(&options, error, sizeof error) : NULL;
    if (!sim) {
        fprintf(stderr, "%s: %s\n", scenario->title, error);
        exit(1);
    }
    while (sim_turn(sim))
        ;
    sim_result(sim, &result);
    recorder_close(&record.recorder);
    uint64_t length;
    uint32_t crc = checksum(path, &length);
    printf("%s %" PRIu64 " %016" PRIx64 " %016" PRIx64 " %" PRIu64 " %.17g, journal of %" PRIu64
           " bytes %08x\n",
           scenario->title, seed, result.digest, journey.decided, journey.events,
           result.availability_requests, length, crc);
    sim_free(&sim);
}

int main(int argc, char **argv)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    struct complaints *complaints = calloc(1, sizeof *complaints);
    static struct policy policy;
    if (argc < 4 || !scenario || !complaints)
        return 2;
    for (int i = 3; i < argc; i++) {
        if (scenario_read_file(argv[i], scenario, complaints) != 0)
            return 1;
        if (policy_read_file(scenario->policy_path[0] ? scenario->policy_path : argv[1], &policy,
                             complaints) != 0)
            return 1;
        run(scenario, &policy, argv[2], 0);
        run(scenario, &policy, argv[2], 77);
    }
    free(scenario);
    free(complaints);
    return 0;
}
