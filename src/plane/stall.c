/* A stall: the control plane has itself stopped, as a suspended machine would, and goes on by itself. What it
 * finds when it wakes is what it would find after any other gap. */
#include "plane/state.h"

#include "base/text.h"
#include "inject/leash.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The answer to whom asked for it leaves first. */
static const duration answer_first_ns = 250 * MILLISECOND;

static struct fault_row *find_stall(struct plane *plane)
{
    const struct fault_row *row = faults_on(&plane->faults, NO_INDEX, plane->now);
    return row ? faults_find(&plane->faults, row->id) : NULL;
}

static void say_begin(struct plane *plane, const struct fault_row *row)
{
    char sentence[64];
    struct text text = text_over(sentence, sizeof(sentence));
    text_add(&text, "stops the control plane for ");
    text_duration(&text, row->lease_ns);
    record_fault(plane, row, sentence);
}

void stall_soon(struct plane *plane)
{
    const struct fault_told begins = {
        .state = FAULT_ACTIVE, .effect = -1, .removal = -1, .before = NAN, .after = NAN};
    struct fault_row *row = find_stall(plane);
    if (!row || !fault_tell(row, &begins, plane->now))
        return;
    say_begin(plane, row);
    watch_after(plane->stall, answer_first_ns);
}

static void say_end(struct plane *plane, struct fault_row *row, int code, duration away_ns)
{
    char sentence[STORE_TEXT_MAX];
    struct text text = text_over(sentence, sizeof(sentence));
    bool stopped = code == 0 && away_ns >= row->lease_ns / 2;
    struct fault_told ends = {.state = code == 0 ? FAULT_ENDED : FAULT_FAILED,
                              .effect = stopped ? EFFECT_SEEN : EFFECT_NONE,
                              .removal = EFFECT_SEEN,
                              .before = NAN,
                              .after = NAN,
                              .reason = code == 0 ? "expired" : strerror(-code)};
    fault_tell(row, &ends, plane->now);
    if (code == 0) {
        text_add(&text, "is over: the control plane was stopped for ");
        text_duration(&text, away_ns);
    } else {
        text_addf(&text, "failed: %s", row->reason);
    }
    record_fault(plane, row, sentence);
}

void stall_run(void *context)
{
    struct plane *plane = context;
    int control_fd = -1;
    plane_turn(plane);
    struct fault_row *row = find_stall(plane);
    if (!row)
        return; /* cleared meanwhile, or begun anew from the store */
    uint64_t id = row->id;
    instant from_at = plane->now;
    int code = leash_hang_alone(getpid(), row->lease_ns, &control_fd);
    leash_release(&control_fd);
    plane_turn(plane); /* notices that we were away */
    row = faults_find(&plane->faults, id);
    if (row)
        say_end(plane, row, code, plane->now - from_at);
    faults_sweep(&plane->faults, plane->now);
}

void stall_forget(struct plane *plane)
{
    static const char reason[] = "the control plane began anew";
    struct fault_row *row = faults_give_up(&plane->faults, NO_INDEX, reason, plane->now);
    for (; row; row = faults_give_up(&plane->faults, NO_INDEX, reason, plane->now))
        record_fault(plane, row, "is over: the control plane began anew");
    faults_sweep(&plane->faults, plane->now);
}
