/* The swarm over a broken core: the core and the gate are compiled once more with the ways to break them
 * (core/mutant.h), and everything above them with it, so that no object of the unbroken core can be linked by
 * mistake.
 *
 *     swarm_mutants NAME --swarm N ...     as `homeostat sim --swarm N ...`, with that mutant; `none`:
 * unbroken swarm_mutants --table [SEEDS]        the first seed that kills each mutant, as docs/mutants.md has
 * it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/swarm.h"
#include "cli/swarm_jobs.h"
#include "core/mutant.h"

int mutant;

#define X(name, ...) #name,
static const char *const names[MUTANT_COUNT] = {"none", MUTANT_TABLE(X)};
#undef X
#define X(name, sentence) sentence,
static const char *const sentences[MUTANT_COUNT] = {"nothing", MUTANT_TABLE(X)};
#undef X

/* The lowest seed that killed it. Seeds are run a hundred at a time, on all processors. */
struct hunt {
    uint64_t seed; /* 0: none yet */
    int signal;
    struct violation violation;
};

static void on_told(void *context, const struct swarm_told *told)
{
    struct hunt *hunt = context;
    bool killed = told->signal != 0 || told->outcome.violations > 0;
    if (!killed || (hunt->seed != 0 && told->outcome.seed > hunt->seed))
        return;
    *hunt = (struct hunt){
        .seed = told->outcome.seed, .signal = told->signal, .violation = told->outcome.violation[0]};
}

static bool hunt_for(int which, uint64_t seeds)
{
    enum { AT_ONCE = 100 };
    struct hunt hunt = {0};
    mutant = which;
    for (uint64_t first = 1; first <= seeds && hunt.seed == 0; first += AT_ONCE) {
        uint64_t count = seeds - first + 1 < AT_ONCE ? seeds - first + 1 : AT_ONCE;
        CHECK(swarm_jobs_run(first, count, 2, on_told, &hunt) == 0);
    }
    printf("| `%s` | %s | ", names[which], sentences[which]);
    if (hunt.seed == 0)
        printf("- | - | it lives |\n");
    else if (hunt.signal != 0)
        printf("%llu | CHECK | the core aborts |\n", (unsigned long long)hunt.seed);
    else
        printf("%llu | %s | %s |\n", (unsigned long long)hunt.seed,
               invariant_name((enum invariant)hunt.violation.invariant), hunt.violation.sentence);
    fflush(stdout);
    return hunt.seed != 0;
}

static int print_table(uint64_t seeds)
{
    uint32_t lives = 0;
    if (!freopen("/dev/null", "w", stderr)) /* what a CHECK says is no news here */
        return 3;
    printf("| mutant | what is broken | seed | killed by | what it says |\n|---|---|---|---|---|\n");
    for (int which = 1; which < MUTANT_COUNT; which++)
        lives += !hunt_for(which, seeds);
    printf("\n%d mutants, %u live after %llu seeds.\n", MUTANT_COUNT - 1, lives, (unsigned long long)seeds);
    return lives == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0)
        return print_table(argc > 2 ? strtoull(argv[2], NULL, 10) : 1000);
    for (int which = 0; argc > 2 && which < MUTANT_COUNT; which++) {
        if (strcmp(argv[1], names[which]) == 0) {
            mutant = which;
            return swarm_verb(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "swarm_mutants NAME --swarm N, or --table [SEEDS]\n");
    return 2;
}
