/* The flight recorder, and a recording beside it, on a disk that refuses: the k-th call fails, for every k.
 * Nothing of it reaches the owner; what was recorded until then can be read; a flight recorder goes on once
 * the disk does, a recording has ended.
 *
 * Of the writes every fifth; all with HOMEOSTAT_EVERY_CALL=1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "calls.h"
#include "sanitized.h"

#include "base/units.h"
#include "core/core.h"
#include "journal/journal.h"
#include "journal/recorder.h"
#include "journal/segments.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EVENTS = 400, MENDED = 200, AGAIN_EVENTS = 70 /* a second each: it tries again every minute */ };

static char folder[64], file[96], ring[96];
static struct core *core;
static void *memory;
static unsigned said;

static void on_say(void *context, const char *sentence)
{
    (void)context;
    said += strstr(sentence, "ended") || strstr(sentence, "off for now");
}

static void record(struct recorder *recorder, uint32_t from, uint32_t to, uint32_t *met_at)
{
    for (uint32_t i = from; i <= to; i++) {
        struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX, .at = (instant)i * SECOND};
        if (i == MENDED)
            calls_heal(calls);
        recorder_event(recorder, core, &event, i);
        recorder_committed(recorder, event.at, i);
        if (recorder_wants_turn(recorder))
            recorder_turn(recorder, core);
        if (!*met_at && atomic_load(&calls->met) > 0)
            *met_at = i;
    }
}

/* Marks the tickets of the events in a journal, which must be whole but for a torn end. */
static uint32_t read_journal(const char *path, bool *there, uint32_t *last)
{
    struct loaded loaded;
    static struct journal_record record;
    uint32_t count = 0;
    assert_int_equal(segments_load(path, &loaded), 0);
    struct journal_reader reader = journal_reader_over(loaded.bytes, loaded.length);
    enum journal_verdict verdict;
    while ((verdict = journal_next(&reader, &record)) == JOURNAL_RECORD) {
        if (record.kind != JOURNAL_EVENT)
            continue;
        assert_true(record.of.step.ticket > *last && record.of.step.ticket <= EVENTS);
        *last = (uint32_t)record.of.step.ticket;
        there[*last] = true;
        count++;
    }
    if (verdict != JOURNAL_END && verdict != JOURNAL_TORN)
        fail_msg("%s: verdict %d after event %u", path, verdict, *last);
    segments_unload(&loaded);
    return count;
}

static void judge(uint32_t met_at)
{
    bool in_file[EVENTS + 1] = {false}, in_ring[EVENTS + 1] = {false};
    char **paths;
    struct stat status;
    uint32_t last = 0, count = 0;
    if (stat(file, &status) == 0)
        count = read_journal(file, in_file, &last);
    assert_int_equal(count, last); /* from the first on, without holes */
    last = 0;
    int segments = segments_list(ring, &paths);
    for (int i = 0; i < segments; i++)
        read_journal(paths[i], in_ring, &last);
    segments_free(&paths, segments > 0 ? segments : 0);
    for (uint32_t i = 1; i < met_at; i++)
        if (!in_file[i] || !in_ring[i])
            fail_msg("event %u, before the trouble at %u: file %d, flight recorder %d", i, met_at, in_file[i],
                     in_ring[i]);
    for (uint32_t i = MENDED + AGAIN_EVENTS; i <= EVENTS; i++)
        if (!in_ring[i])
            fail_msg("event %u, long after the trouble at %u, is not there", i, met_at);
}

static bool live(enum calls_kind kind, enum calls_fate fate, int error, bool lasts, uint32_t k)
{
    char sentence[256];
    struct recorder_options options = {
        .file = file, .folder = ring, .segment_bytes = 8192, .ring_bytes = 16 << 20, .say = on_say};
    uint32_t met_at = 0;
    said = 0;
    calls->kinds = 1u << kind;
    calls_begin(calls, fate, error, lasts, k);
    struct recorder *recorder = recorder_open(&options, sentence, sizeof sentence);
    bool refused = !recorder;
    if (refused) { /* the recording was asked for: its owner does not start without it */
        assert_true(atomic_load(&calls->met) > 0 && sentence[0]);
        calls_heal(calls);
        recorder = recorder_open(&options, sentence, sizeof sentence);
        assert_non_null(recorder);
    }
    recorder_life(recorder, core);
    met_at = atomic_load(&calls->met) > 0;
    record(recorder, 1, EVENTS, &met_at);
    recorder_close(&recorder);
    bool met = atomic_load(&calls->met) > 0;
    calls->kinds = 0;
    judge(met ? (met_at ? met_at : EVENTS + 1) : EVENTS + 1);
    return met;
}

static int remove_one(const char *name, const struct stat *status, int what, struct FTW *where)
{
    (void)status, (void)what, (void)where;
    return remove(name);
}

static void every_call(enum calls_kind kind, enum calls_fate fate, int error, bool lasts)
{
    uint32_t lives = 0, words = 0, stride = 1;
    if (kind == CALLS_WRITE && !getenv("HOMEOSTAT_EVERY_CALL"))
        stride = SANITIZED ? 13 : 5;
    bool met = true;
    for (uint32_t k = 1; met; lives += met, k += stride) {
        met = live(kind, fate, error, lasts, k);
        words += said;
        assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
        assert_int_equal(mkdir(folder, 0700), 0);
    }
    print_message("# %s, %s%s: %u lives, %u times it was said\n", calls_kind_name(kind),
                  error ? strerror(error) : "short", lasts ? ", for a while" : "", lives, words);
    assert_true(lives > 0);
}

static void writes_that_fail_hurt_nobody(void **state)
{
    (void)state;
    every_call(CALLS_WRITE, CALLS_FAIL, ENOSPC, false);
    every_call(CALLS_WRITE, CALLS_FAIL, ENOSPC, true);
    every_call(CALLS_WRITE, CALLS_FAIL, EIO, true);
}

static void writes_that_stop_short_hurt_nobody(void **state)
{
    (void)state;
    every_call(CALLS_WRITE, CALLS_SHORT, 0, false);
    every_call(CALLS_WRITE, CALLS_SHORT, 0, true);
    every_call(CALLS_WRITE, CALLS_SHORT, ENOSPC, true);
}

static void opens_without_a_descriptor_hurt_nobody(void **state)
{
    (void)state;
    every_call(CALLS_OPEN, CALLS_FAIL, EMFILE, false);
    every_call(CALLS_OPEN, CALLS_FAIL, EMFILE, true);
}

static int set_up(void **state)
{
    const struct core_config config = {.node_capacity = 4, .incident_capacity = 4, .seed = 5};
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/homeostat-journal-XXXXXX");
    if (!mkdtemp(folder) || !(memory = calloc(1, core_size(&config))))
        return -1;
    core = core_init(memory, &config);
    snprintf(calls->folder, sizeof calls->folder, "%s", folder);
    snprintf(file, sizeof file, "%s/recording.journal", folder);
    snprintf(ring, sizeof ring, "%s/flight", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    calls->kinds = 0;
    free(memory);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define STORY(story) cmocka_unit_test_setup_teardown(story, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(writes_that_fail_hurt_nobody),
        STORY(writes_that_stop_short_hurt_nobody),
        STORY(opens_without_a_descriptor_hurt_nobody),
    };
    return cmocka_run_group_tests_name("journal_calls", stories, NULL, NULL);
}
