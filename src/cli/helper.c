/* helper: one fault beside a service, as a node agent starts it. */
#include "inject/helper.h"

#include "base/check.h"
#include "cli/cli.h"

#include <string.h>

static const char *const names[] = {
    [HELPER_BURN] = "burn", [HELPER_LEAK] = "leak", [HELPER_NEIGHBOUR] = "neighbour"};

int verb_helper(const struct verb *verb, int argc, char **argv)
{
    struct helper_options options = {.page_fd = -1};
    int victim = 0;
    double most = 0;
    const struct flag flags[] = {
        {"page-fd", 0, FLAG_WHOLE, &options.page_fd, "FD", "the fault page"},
        {"victim", 0, FLAG_WHOLE, &victim, "PID", "the service; burn and neighbour need it"},
        {"most", 0, FLAG_NUMBER, &most, "BYTES", "of a leak: the node's memory, lost in a minute at 1"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    size_t kind = 0;
    while (kind < COUNT_OF(names) && strcmp(names[kind], argv[1]) != 0)
        kind++;
    if (kind == COUNT_OF(names))
        return fail(EXIT_USAGE, "helper: there is burn, leak and neighbour, but not '%s'", argv[1]);
    if (options.page_fd < 0)
        return fail(EXIT_USAGE, "helper: --page-fd is needed");
    if (kind == HELPER_LEAK ? !(most >= 1 && most <= 1e15) : victim <= 1)
        return fail(EXIT_USAGE, "helper: %s needs %s", names[kind],
                    kind == HELPER_LEAK ? "--most, of 1 to 1e15 bytes" : "--victim, a process id");
    options.kind = (enum helper_kind)kind;
    options.victim = victim;
    options.most_bytes = (uint64_t)most;
    return helper_main(options);
}
