#include "cli/sums.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

/* "; half of them within 4 s, 95 % within 5 s", from the injection. */
static void print_times(uint32_t count, duration p50_ns, duration p95_ns)
{
    char a[32], b[32];
    struct text half = text_over(a, sizeof a), most = text_over(b, sizeof b);
    text_duration(&half, p50_ns);
    text_duration(&most, p95_ns);
    if (count > 0)
        printf("; half of them within %s, 95 %% within %s", a, b);
    printf("\n");
}

/* "  verdicts     2 effective, 1 harmed" is begun with the first of them and ended with the last. */
static void print_count(const char *title, uint64_t count, const char *word, bool *any)
{
    if (count == 0)
        return;
    if (*any)
        printf(", ");
    else
        printf("  %-12s ", title);
    printf("%" PRIu64 " %s", count, word);
    *any = true;
}

static void print_counts(const struct sim_result *sums)
{
    bool verdicts = false, blocks = false;
    for (int i = 1; i < VERDICT_COUNT; i++)
        print_count("verdicts", sums->verdicts[i], verdict_name((enum verdict)i), &verdicts);
    printf("%s", verdicts ? "\n" : "");
    for (int i = 1; i < BLOCK_REASON_COUNT; i++)
        print_count("held back", sums->blocks[i], block_reason_name((enum block_reason)i), &blocks);
    printf("%s", blocks ? "\n" : "");
}

void sums_print(const char *title, const struct sim_result *sums, bool virtual_time)
{
    printf("\n  %s\n\n", title);
    printf("  %-12s %u: %u resolved, %u with people, %u open\n", "incidents", sums->incidents, sums->resolved,
           sums->escalated, sums->open);
    printf("  %-12s %u\n", "faults", sums->faults);
    printf("  %-12s %u of %u", "detected", sums->detected, sums->faults);
    print_times(sums->detected, sums->detect_p50_ns, sums->detect_p95_ns);
    printf("  %-12s after %u", "users well", sums->recovered);
    print_times(sums->recovered, sums->recover_p50_ns, sums->recover_p95_ns);
    printf("  %-12s %.3f %% of requests, %.3f %% of the time\n", "available",
           sums->availability_requests * 100, sums->availability_time * 100);
    printf("  %-12s %u; wrong %u, of them needless %u", "commands", sums->commands, sums->wrong,
           sums->needless);
    if (virtual_time)
        printf("; harmful %u", sums->harmful);
    printf("\n");
    if (sums->told > 0)
        printf("  %-12s told %u times\n", "people", sums->told);
    print_counts(sums);
}
