/* Crash points: named places at which the process can be told to kill itself, so that tests can cut a command
 * exactly there. They are in every build, since what is left out of a release is not what was tested.
 *
 *     HOMEOSTAT_CRASH_AT=after_intent      SIGKILL the first time that point is reached
 *     HOMEOSTAT_CRASH_AT=after_intent:3    the third time
 *
 * Without that variable a point costs one comparison that the processor predicts. */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#include <stdbool.h>
#include <stddef.h>

/* X(symbol, name, whose process: PLANE or AGENT, what has happened by then), in the order of a command's
 * life. */
#define CRASH_TABLE(X)                                                                                       \
    X(BEFORE_INTENT, "before_intent", PLANE, "a command was decided; nothing of it is with the store")       \
    X(AFTER_INTENT, "after_intent", PLANE, "its intent is durable; nobody was told")                         \
    X(AFTER_SEND, "after_send", PLANE, "the answer that carries it was given to the network")                \
    X(AFTER_JOURNAL, "after_journal", AGENT, "the node agent has written its id down; nothing is done")      \
    X(MID_EFFECT, "mid_effect", AGENT, "the old process has ended; the new one has not begun")               \
    X(AFTER_EFFECT, "after_effect", AGENT, "it is done; its outcome is not written down")                    \
    X(AFTER_OUTCOME, "after_outcome", AGENT, "its outcome is written down; nobody was told")                 \
    X(AFTER_ACK, "after_ack", AGENT, "the control plane has acknowledged the outcome")

#define X(symbol, ...) CRASH_##symbol,
enum crash_point { CRASH_TABLE(X) CRASH_COUNT };
#undef X

enum crash_process { CRASH_PLANE, CRASH_AGENT };

struct crash_info {
    const char *name;
    enum crash_process process;
    const char *text;
};

extern const struct crash_info crash_infos[CRASH_COUNT];

/* The point that kills, or CRASH_COUNT: none. Changed by crash_arm() alone. */
extern enum crash_point crash_armed;

/* `word` is NAME or NAME:N with N from 1 to 1000000; NULL or "": none. False if it is neither; then nothing
 * has changed. Before any threads are started. */
bool crash_arm(const char *word);

/* The armed point was reached: the N-th time this does not return. */
void crash_reached(void);

/* True if the process will die at `point`: for places that must prepare for it. */
static inline bool crash_is_armed(enum crash_point point)
{
    return __builtin_expect(crash_armed == point, 0);
}

static inline void crash_here(enum crash_point point)
{
    if (crash_is_armed(point))
        crash_reached();
}

#endif
