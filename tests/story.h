/* Stories for the decision core: a small world by hand, and the trace that people would read.
 *
 *     struct story *s = story_new(POLICY);
 *     uint32_t web = story_join(s, 0, "web-1", NULL);
 *     story_report(s, 1, web, "cpu=0.97 latency=0.058");
 *     story_expect(s, "1.0 DETECT   web-1    cpu above ...\n");
 *     story_free(&s);
 *
 * Instants are seconds. Deadlines that fall due before an event are run first, as the control plane does. */
#ifndef TESTS_STORY_H
#define TESTS_STORY_H

#include "core/core.h"

#include <stdio.h>

struct story {
    struct core *core;
    struct core_config config;
    struct policy policy;
    uint32_t nodes;
    uint64_t sequence[64];
    uint64_t command;  /* ordered last */
    uint32_t commands; /* ordered so far */
    instant now;
    bool verbose;             /* blocked and control lines too */
    struct story_store *kept; /* what the core has recorded, as a control plane would keep it */
    size_t length;
    char log[32768];
};

struct story *story_new(const char *policy_yaml);
struct story *story_new_sized(const char *policy_yaml, uint32_t nodes, uint32_t incidents);
void story_free(struct story **story);

void story_policy(struct story *story, double at, const char *policy_yaml);
/* `calls`: names already joined, separated by blanks, or NULL. */
uint32_t story_join(struct story *story, double at, const char *name, const char *calls);
/* "cpu=0.97 latency=0.058": short names of metrics. */
void story_report(struct story *story, double at, uint32_t node, const char *samples);
/* The same each second from `from` to `to`, both included. */
void story_reports(struct story *story, double from, double to, uint32_t node, const char *samples);
void story_wait(struct story *story, double until);
void story_end(struct story *story, double at, uint32_t node, enum outcome outcome, bool began);
void story_say(struct story *story, double at, enum operator_word word, uint64_t incident,
               enum remedy remedy);
/* Approves the plan with this number. */
void story_approve(struct story *story, double at, uint64_t incident, uint32_t plan);
void story_maintain(struct story *story, double at, uint32_t node, double seconds);
/* Ends the core and feeds an empty one with what was recorded, in the control plane's order. */
void story_restart(struct story *story, double at);
/* How often `reason` was told as a block since the story began. */
uint32_t story_blocked(const struct story *story, enum block_reason reason);
void story_event(struct story *story, double at, struct event *event);

/* Fails with both texts if the log since the last call is not `expected`; then forgets the log. */
#define story_expect(story, expected) story_expect_at(story, expected, __FILE__, __LINE__)
void story_expect_at(struct story *story, const char *expected, const char *file, int line);
/* Fails if the log since the last call lacks `piece`; forgets nothing. */
#define story_saw(story, piece)     story_saw_at(story, piece, true, __FILE__, __LINE__)
#define story_saw_not(story, piece) story_saw_at(story, piece, false, __FILE__, __LINE__)
void story_saw_at(struct story *story, const char *piece, bool wanted, const char *file, int line);
void story_forget(struct story *story);

#endif
