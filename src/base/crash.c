#include "base/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct crash_info crash_infos[CRASH_COUNT] = {
#define X(symbol, name, process, text) [CRASH_##symbol] = {name, CRASH_##process, text},
    CRASH_TABLE(X)
#undef X
};

enum crash_point crash_armed = CRASH_COUNT;

static atomic_long times_left;

bool crash_arm(const char *word)
{
    if (!word || !*word) {
        crash_armed = CRASH_COUNT;
        return true;
    }
    size_t length = strcspn(word, ":");
    char *end = NULL;
    long times = word[length] ? strtol(word + length + 1, &end, 10) : 1;
    if (times < 1 || times > 1000000 || (end && *end))
        return false;
    for (int point = 0; point < CRASH_COUNT; point++) {
        if (strlen(crash_infos[point].name) != length || strncmp(crash_infos[point].name, word, length) != 0)
            continue;
        atomic_store(&times_left, times);
        crash_armed = (enum crash_point)point;
        return true;
    }
    return false;
}

void crash_reached(void)
{
    if (atomic_fetch_sub(&times_left, 1) == 1)
        kill(getpid(), SIGKILL);
}
