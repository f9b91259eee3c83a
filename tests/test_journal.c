/* Stories of the journal: what is written is read again, whatever happened to its end, and fed back it gives
 * the same decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sanitized.h"

#include "base/random.h"
#include "base/text.h"
#include "core/gate.h"
#include "core/image.h"
#include "journal/codec.h"
#include "journal/differ.h"
#include "journal/picture.h"
#include "journal/recorder.h"
#include "journal/segments.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"
#include "sim/record.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a folder, and files in it -------------------------------------------------------------------------- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_journal.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

struct bytes {
    uint8_t *at;
    size_t length;
};

static struct bytes read_bytes(const char *path)
{
    struct stat stat_of;
    assert_int_equal(stat(path, &stat_of), 0);
    struct bytes bytes = {.at = malloc((size_t)stat_of.st_size + 1), .length = (size_t)stat_of.st_size};
    FILE *file = fopen(path, "re");
    assert_non_null(bytes.at);
    assert_non_null(file);
    assert_int_equal(fread(bytes.at, 1, bytes.length, file), bytes.length);
    fclose(file);
    return bytes;
}

/* --- a small fleet that falls ill now and then ---------------------------------------------------------- */

enum { NODES = 3, GATE_ROOM = 256 };

struct lab {
    void *memory, *gate_memory;
    struct core *core;
    struct gate *gate;
    struct recorder *recorder;
    instant now;
    uint64_t sequence, commands, events;
    struct effects effects;
};

static const struct policy *read_policy(const char *text)
{
    static struct policy policies[2];
    static int turn;
    static struct complaints complaints;
    turn = !turn;
    assert_int_equal(policy_read(text, strlen(text), &policies[turn], &complaints), 0);
    return &policies[turn];
}

static const char lab_policy[] =
    "version: 1\nrules:\n  - {if: cpu_utilization > 0.90, for: 3s, do: restart_service}\n";

static void lab_step(struct lab *lab, struct event *event)
{
    struct effect effect;
    event->at = lab->now;
    lab->events++;
    core_step(lab->core, event, &lab->effects);
    uint64_t ticket = lab->effects.count > 0 ? gate_put(lab->gate, &lab->effects) : 0;
    recorder_event(lab->recorder, lab->core, event, ticket);
    if (ticket == 0)
        return;
    gate_durable(lab->gate, ticket);
    recorder_committed(lab->recorder, lab->now, ticket);
    while (gate_take(lab->gate, &effect)) {
        if (effect.kind != EFFECT_ACT)
            continue;
        lab->commands++;
        recorder_delivered(lab->recorder, lab->now, &effect.of.command);
        struct event end = {.kind = EVENT_COMMAND_END, .node = effect.node};
        end.of.command_end =
            (struct command_end){.command = effect.of.command.id, .outcome = OUTCOME_DONE, .began = 1};
        lab_step(lab, &end);
        return;
    }
}

static void lab_begin(struct lab *lab, struct recorder *recorder, const char *policy)
{
    const struct core_config config = {.node_capacity = 64, .incident_capacity = 32, .seed = 5};
    *lab = (struct lab){.recorder = recorder, .now = SECOND};
    lab->memory = calloc(1, core_size(&config));
    lab->gate_memory = malloc(gate_size(GATE_ROOM));
    assert_true(lab->memory && lab->gate_memory);
    lab->core = core_init(lab->memory, &config);
    lab->gate = gate_init(lab->gate_memory, GATE_ROOM);
    recorder_life(recorder, lab->core);
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = read_policy(policy)};
    lab_step(lab, &event);
    for (uint32_t i = 0; i < NODES; i++) {
        event = (struct event){.kind = EVENT_HELLO, .node = i};
        snprintf(event.of.hello.name, sizeof event.of.hello.name, "web-%u", i + 1);
        event.of.hello.interval_ns = SECOND;
        lab_step(lab, &event);
    }
}

/* Every node reports once a second; one of them is ill for ten seconds of each minute. */
static void lab_run(struct lab *lab, uint32_t seconds)
{
    for (uint32_t s = 0; s < seconds; s++) {
        lab->now += SECOND;
        lab->sequence++;
        while (core_deadline(lab->core) <= lab->now) {
            struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX};
            lab_step(lab, &event);
        }
        for (uint32_t i = 0; i < NODES; i++) {
            struct event event = {.kind = EVENT_REPORT, .node = i};
            bool ill = lab->sequence % 60 >= 50 && i == lab->sequence / 60 % NODES;
            event.of.report =
                (struct report){.boot = 7,
                                .sequence = lab->sequence,
                                .present = 1u << METRIC_CPU_UTILIZATION | 1u << METRIC_REQUEST_LATENCY};
            event.of.report.value[METRIC_CPU_UTILIZATION] =
                ill ? 0.99 : 0.2 + 0.001 * (double)(lab->sequence % 7);
            event.of.report.value[METRIC_REQUEST_LATENCY] = ill ? 0.5 : 0.004;
            lab_step(lab, &event);
        }
        if (recorder_wants_turn(lab->recorder))
            recorder_turn(lab->recorder, lab->core);
    }
}

static void lab_end(struct lab *lab)
{
    free(lab->memory);
    free(lab->gate_memory);
}

static struct recorder *record(const char *path)
{
    char error[256];
    struct recorder_options options = {.file = path, .anew = true};
    struct recorder *recorder = recorder_open(&options, error, sizeof error);
    if (!recorder)
        fail_msg("%s", error);
    return recorder;
}

static uint64_t record_lab(const char *path, uint32_t seconds)
{
    struct lab lab;
    struct recorder *recorder = record(path);
    lab_begin(&lab, recorder, lab_policy);
    lab_run(&lab, seconds);
    uint64_t digest = core_digest(lab.core);
    assert_true(seconds < 60 || lab.commands > 0);
    recorder_close(&recorder);
    lab_end(&lab);
    return digest;
}

static struct replay_result replay_bytes(const uint8_t *bytes, size_t length)
{
    struct replay_options options = {.until_at = INSTANT_NEVER};
    struct replay *replay = replay_new(&options);
    assert_non_null(replay);
    replay_feed(replay, bytes, length, "it");
    struct replay_result result = *replay_result(replay);
    replay_free(&replay);
    return result;
}

/* --- records -------------------------------------------------------------------------------------------- */

static void fill(void *to, size_t length, uint64_t *draws)
{
    uint8_t *at = to;
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)random_draw(99, (*draws)++);
}

static size_t size_of_kind(const struct event *event)
{
    static const size_t restored[] = {sizeof(struct control), sizeof(struct incident),
                                      sizeof(struct restored_action), sizeof(struct hello),
                                      sizeof(struct target)};
    static const size_t sizes[EVENT_COUNT] = {[EVENT_HELLO] = sizeof(struct hello),
                                              [EVENT_COMMAND_END] = sizeof(struct command_end),
                                              [EVENT_OPERATOR] = sizeof(struct operator_order),
                                              [EVENT_PROPOSAL] = sizeof(struct proposal),
                                              [EVENT_GAP] = sizeof(struct gap)};
    if (event->kind == EVENT_RESTORE)
        return offsetof(struct restore, what) + restored[event->of.restore.kind];
    return sizes[event->kind];
}

/* Padding and reserved fields too: they are digested. */
static void every_field_of_every_event_comes_back(void **state)
{
    static uint8_t out[JOURNAL_PUT_MAX];
    uint64_t draws = 0;
    (void)state;
    for (int round = 0; round < 50 * EVENT_COUNT; round++) {
        struct event event, back;
        struct policy policy, policy_back;
        memset(&back, 0, sizeof back);
        fill(&event, sizeof event, &draws);
        fill(&policy, sizeof policy, &draws);
        event.kind = (uint8_t)(round % EVENT_COUNT);
        if (event.kind == EVENT_RESTORE)
            event.of.restore.kind = (uint8_t)(round / EVENT_COUNT % 5);
        if (event.kind == EVENT_REPORT)
            event.of.report.present &= (1u << METRIC_COUNT) - 1;
        struct codec codec = codec_into(out, sizeof out);
        codec_event(&codec, &event, &policy);
        assert_false(codec.bad);
        struct codec reader = codec_from(out, (size_t)(codec.at - out));
        codec_event(&reader, &back, &policy_back);
        assert_false(reader.bad);
        assert_ptr_equal(reader.at, reader.end);
        assert_memory_equal(&event, &back, offsetof(struct event, of));
        assert_memory_equal(&event.of, &back.of, size_of_kind(&event));
        if (event.kind == EVENT_POLICY)
            assert_memory_equal(&policy, &policy_back, sizeof policy);
        for (int m = 0; event.kind == EVENT_REPORT && m < METRIC_COUNT; m++)
            if (event.of.report.present & 1u << m)
                assert_memory_equal(&event.of.report.value[m], &back.of.report.value[m], 8);
        reader = codec_from(out, (size_t)(codec.at - out) - 1);
        codec_event(&reader, &back, &policy_back);
        assert_true(reader.bad);
    }
}

static void the_bytes_stay_what_they_are(void **state)
{
    static const char golden[] = "3c00000003000000"
                                 "d299514a" /* length, kind, crc */
                                 "0807060504030201"
                                 "02000000"
                                 "02000000" /* at, node, kind */
                                 "0900000000000000"
                                 "0a00000000000000"
                                 "0040420f00000000" /* boot, sequence, age */
                                 "00000000"         /* present: nothing */
                                 "0b00000000000000"
                                 "efcdab8967452301"; /* ticket, digest */
    static uint8_t out[JOURNAL_PUT_MAX];
    char hex[2 * sizeof golden] = "";
    (void)state;
    struct event event = {.kind = EVENT_REPORT, .node = 2, .at = 0x0102030405060708};
    event.of.report = (struct report){.boot = 9, .sequence = 10, .age_ns = 0x0f424000};
    size_t length = journal_put_event(out, &event, 11, 0x0123456789abcdef);
    for (size_t i = 0; i < length && 2 * i + 2 < sizeof hex; i++)
        snprintf(hex + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(hex, golden);
}

static void a_later_version_is_refused(void **state)
{
    static uint8_t out[JOURNAL_PUT_MAX];
    const struct core_config config = {.node_capacity = 1, .incident_capacity = 1};
    struct journal_record *record = malloc(sizeof *record);
    (void)state;
    assert_non_null(record);
    size_t length = journal_put_life(out, &config, false);
    struct journal_reader reader = journal_reader_over(out, length);
    assert_int_equal(journal_next(&reader, record), JOURNAL_RECORD);
    assert_string_equal(record->of.life.product, HOMEOSTAT_VERSION);
    out[JOURNAL_HEAD_BYTES + 8] = JOURNAL_VERSION + 1;
    journal_seal(out, JOURNAL_LIFE, length - JOURNAL_HEAD_BYTES);
    reader = journal_reader_over(out, length);
    assert_int_equal(journal_next(&reader, record), JOURNAL_NEWER);
    struct replay_result result = replay_bytes(out, length);
    assert_int_equal(result.end, REPLAY_REFUSED);
    assert_non_null(strstr(result.why, "later version"));
    free(record);
}

/* --- ends and damage ------------------------------------------------------------------------------------ */

enum { STRIDE = SANITIZED ? 7 : 1 }; /* in bytes: each of them, or a share */

static void cut_at_any_byte_all_before_is_used(void **state)
{
    (void)state;
    record_lab(path_of("cut.journal"), 12);
    struct bytes bytes = read_bytes(path_of("cut.journal"));
    uint64_t events = 0, torn = 0;
    for (size_t length = 0; length < bytes.length; length += STRIDE) {
        uint8_t *exact = malloc(length ? length : 1); /* so that a sanitizer sees who reads beyond */
        memcpy(exact, bytes.at, length);
        struct replay_result result = replay_bytes(exact, length);
        assert_true(result.end == REPLAY_FINE || length < JOURNAL_HEAD_BYTES + 8);
        assert_int_equal(result.damaged, 0);
        assert_true(result.events >= events);
        events = result.events;
        torn += result.torn;
        free(exact);
    }
    assert_true(events > 30 && torn > bytes.length / STRIDE / 2);
    free(bytes.at);
}

static void any_flipped_bit_is_noticed(void **state)
{
    (void)state;
    record_lab(path_of("flip.journal"), 8);
    struct bytes bytes = read_bytes(path_of("flip.journal"));
    for (size_t i = 0; i < bytes.length; i += STRIDE) {
        bytes.at[i] ^= (uint8_t)(1u << i % 8);
        struct replay_result result = replay_bytes(bytes.at, bytes.length);
        assert_true(result.end != REPLAY_FINE || result.torn + result.damaged > 0);
        bytes.at[i] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(replay_bytes(bytes.at, bytes.length).end, REPLAY_FINE);
    free(bytes.at);
}

/* A control plane is killed in the middle of a record; its successor goes on in the same file. */
static void a_new_life_follows_a_torn_end(void **state)
{
    (void)state;
    record_lab(path_of("torn.journal"), 70);
    struct bytes bytes = read_bytes(path_of("torn.journal"));
    uint8_t *both = malloc(2 * bytes.length);
    assert_non_null(both);
    memcpy(both, bytes.at, bytes.length - 9);
    memcpy(both + bytes.length - 9, bytes.at, bytes.length);
    struct replay_result one = replay_bytes(bytes.at, bytes.length);
    struct replay_result two = replay_bytes(both, 2 * bytes.length - 9);
    assert_int_equal(two.end, REPLAY_FINE);
    assert_int_equal(two.lives, 2);
    assert_int_equal(two.torn, 1);
    assert_int_equal(two.events, 2 * one.events - 1);
    assert_true(two.digest == one.digest);
    free(both);
    free(bytes.at);
}

static void another_decision_is_noticed(void **state)
{
    (void)state;
    record_lab(path_of("other.journal"), 30);
    struct bytes bytes = read_bytes(path_of("other.journal"));
    struct journal_record *record = malloc(sizeof *record);
    struct journal_reader reader = journal_reader_over(bytes.at, bytes.length);
    size_t at = 0, event = 0;
    assert_non_null(record);
    while (event < 40 && journal_next(&reader, record) == JOURNAL_RECORD) {
        event += record->kind == JOURNAL_EVENT;
        at = event < 40 ? reader.at : at;
    }
    uint32_t length;
    memcpy(&length, bytes.at + at, sizeof length);
    bytes.at[at + JOURNAL_HEAD_BYTES + length - 1] ^= 1; /* of the digest */
    journal_seal(bytes.at + at, JOURNAL_EVENT, length);
    struct replay_result result = replay_bytes(bytes.at, bytes.length);
    assert_int_equal(result.end, REPLAY_DIVERGED);
    assert_int_equal(result.events, 40);
    assert_true(result.step_written != result.step_found);
    free(record);
    free(bytes.at);
}

/* --- the recorder --------------------------------------------------------------------------------------- */

static int said;
static char last_said[512];

static void on_say(void *context, const char *sentence)
{
    (void)context;
    said++;
    text_copy(last_said, sizeof last_said, sentence);
}

/* Replays what a ring still has; `forget`: so many of its oldest segments are gone. */
static struct replay_result replay_ring(const char *ring, int forget, uint64_t *bytes_in_all, int *count)
{
    char **paths;
    struct replay_options options = {.until_at = INSTANT_NEVER};
    struct replay *replay = replay_new(&options);
    assert_non_null(replay);
    *count = segments_list(ring, &paths);
    *bytes_in_all = 0;
    for (int i = 0; i < *count; i++) {
        struct loaded loaded;
        assert_int_equal(segments_load(paths[i], &loaded), 0);
        *bytes_in_all += loaded.length;
        if (i >= forget)
            replay_feed(replay, loaded.bytes, loaded.length, paths[i]);
        segments_unload(&loaded);
    }
    segments_free(&paths, *count);
    struct replay_result result = *replay_result(replay);
    replay_free(&replay);
    return result;
}

static void the_ring_forgets_the_oldest_and_the_rest_replays(void **state)
{
    char error[256], ring[128];
    struct lab lab;
    int count;
    uint64_t bytes;
    (void)state;
    snprintf(ring, sizeof ring, "%s", path_of("ring"));
    struct recorder_options options = {
        .folder = ring, .segment_bytes = 64 * 1024, .ring_bytes = 512 * 1024, .say = on_say};
    struct recorder *recorder = recorder_open(&options, error, sizeof error);
    assert_non_null(recorder);
    lab_begin(&lab, recorder, lab_policy);
    lab_run(&lab, 100);
    struct replay_result whole = replay_ring(ring, 0, &bytes, &count);
    assert_int_equal(whole.end, REPLAY_FINE);
    assert_int_equal(whole.lives, 1);
    assert_int_equal(whole.images_used, 0);
    assert_true(whole.digest == core_digest(lab.core));
    lab_run(&lab, 5000);
    struct replay_result rest = replay_ring(ring, 0, &bytes, &count);
    assert_int_equal(rest.end, REPLAY_FINE);
    assert_true(bytes <= options.ring_bytes && count >= 5);
    assert_int_equal(rest.lives, 0);
    assert_int_equal(rest.images_used, 1); /* those between are what it has already */
    assert_int_equal(rest.holes, 0);
    assert_true(rest.opened > 10);
    assert_true(rest.digest == core_digest(lab.core));
    struct replay_result newest = replay_ring(ring, count - 1, &bytes, &count);
    assert_int_equal(newest.end, REPLAY_FINE);
    assert_true(newest.digest == core_digest(lab.core));
    recorder_close(&recorder);

    recorder = recorder_open(&options, error, sizeof error); /* the next process */
    lab_end(&lab);
    lab_begin(&lab, recorder, lab_policy);
    lab_run(&lab, 10);
    recorder_close(&recorder);
    rest = replay_ring(ring, 0, &bytes, &count);
    assert_int_equal(rest.end, REPLAY_FINE);
    assert_int_equal(rest.lives, 1);
    assert_true(rest.digest == core_digest(lab.core));
    lab_end(&lab);
    assert_int_equal(said, 0);
}

struct pieces {
    uint8_t *memory;
    size_t size;
    uint32_t count;
};

static bool take_piece(void *context, const uint8_t *record, size_t length)
{
    struct pieces *pieces = context;
    struct journal_image image = {.words = record + JOURNAL_HEAD_BYTES + 28,
                                  .length = length - JOURNAL_HEAD_BYTES - 28};
    memcpy(&image.offset, record + JOURNAL_HEAD_BYTES + 8, 8);
    pieces->count++;
    return picture_read(&image, pieces->memory, pieces->size);
}

static void an_image_is_the_core_and_steps_alike(void **state)
{
    static uint8_t scratch[JOURNAL_RECORD_MAX];
    struct lab lab;
    (void)state;
    lab_begin(&lab, NULL, lab_policy);
    lab_run(&lab, 300);
    struct core_config config = core_made_with(lab.core);
    struct pieces pieces = {.size = core_size(&config)};
    pieces.memory = calloc(1, pieces.size);
    assert_non_null(pieces.memory);
    assert_true(picture_write(lab.core, scratch, take_piece, &pieces));
    assert_true(pieces.count >= 4);
    assert_memory_equal(pieces.memory, lab.memory, pieces.size);
    struct core *core = core_adopt(pieces.memory, &config);
    assert_non_null(core);
    config.node_capacity--;
    assert_null(core_adopt(pieces.memory, &config));
    free(pieces.memory);
    lab_end(&lab);
}

static void a_full_disk_ends_the_recording_and_nothing_else(void **state)
{
    char error[256];
    struct lab lab;
    struct recorder_options options = {.file = "/dev/full", .say = on_say};
    (void)state;
    said = 0;
    struct recorder *recorder = recorder_open(&options, error, sizeof error);
    assert_non_null(recorder);
    lab_begin(&lab, recorder, lab_policy);
    lab_run(&lab, 100);
    recorder_close(&recorder);
    lab_end(&lab);
    assert_int_equal(said, 1);
    assert_non_null(strstr(last_said, "No space left"));

    options = (struct recorder_options){.file = path_of("bound.journal"), .file_bytes = 20000, .say = on_say};
    said = 0;
    recorder = recorder_open(&options, error, sizeof error);
    lab_begin(&lab, recorder, lab_policy);
    lab_run(&lab, 200);
    recorder_close(&recorder);
    lab_end(&lab);
    assert_int_equal(said, 1);
    struct bytes bytes = read_bytes(path_of("bound.journal"));
    assert_true(bytes.length <= 20000 && bytes.length > 15000);
    struct replay_result result = replay_bytes(bytes.at, bytes.length);
    assert_int_equal(result.end, REPLAY_FINE);
    assert_int_equal(result.torn, 0);
    free(bytes.at);
}

/* From here on no file grows beyond that, as if the disk were full. RLIM_INFINITY: there is room again. */
static void let_files_grow_to(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int let_files_grow(void **state)
{
    (void)state;
    let_files_grow_to(RLIM_INFINITY);
    return 0;
}

/* What was decided just before the trouble stands in the tail, and outlives it. The file that is recorded
 * beside it goes on through the same buffer. */
static void a_flight_recorder_without_room_keeps_what_it_has_and_comes_back(void **state)
{
    char error[256], ring[128];
    struct lab lab;
    int count;
    uint64_t bytes, before = 0;
    (void)state;
    snprintf(ring, sizeof ring, "%s", path_of("full-ring"));
    struct recorder_options options = {.file = "/dev/null", .folder = ring, .say = on_say};
    said = 0;
    struct recorder *recorder = recorder_open(&options, error, sizeof error);
    assert_non_null(recorder);
    let_files_grow_to(sizeof(struct tail) + 1000);
    lab_begin(&lab, recorder, lab_policy);
    while (said == 0 && lab.sequence < 5000) {
        before = lab.events;
        lab_run(&lab, 1);
    }
    assert_non_null(strstr(last_said, "is off for now, the rest goes on"));
    lab_run(&lab, 300);
    assert_int_equal(said, 1); /* it tried again, and failed in silence */
    struct replay_result kept = replay_ring(ring, 0, &bytes, &count);
    assert_int_equal(kept.end, REPLAY_FINE);
    assert_int_equal(count, 1);
    assert_true(kept.events >= before && bytes > sizeof(struct tail) + 1000);

    recorder_close(&recorder); /* the next process has no room either */
    recorder = recorder_open(&options, error, sizeof error);
    assert_int_equal(said, 2);
    lab_end(&lab);
    lab_begin(&lab, recorder, lab_policy);
    lab_run(&lab, 100);
    assert_int_equal(said, 2);
    assert_true(replay_ring(ring, 0, &bytes, &count).digest == kept.digest);
    let_files_grow_to(RLIM_INFINITY);
    lab_run(&lab, 100);
    assert_int_equal(said, 3);
    assert_non_null(strstr(last_said, "goes on"));
    struct replay_result newest = replay_ring(ring, 1, &bytes, &count);
    assert_int_equal(newest.end, REPLAY_FINE);
    assert_int_equal(newest.images_used, 1);
    assert_true(newest.digest == core_digest(lab.core));
    recorder_close(&recorder);
    lab_end(&lab);
    char **paths;
    assert_int_equal(segments_list(ring, &paths), 2);
    struct bytes first = read_bytes(paths[0]); /* the tail of it has been written there */
    assert_true(replay_bytes(first.at, first.length).digest == kept.digest);
    free(first.at);
    segments_free(&paths, 2);
}

/* A segment whose image has no room is taken back: else one each minute would push the good ones out. */
static void an_image_without_room_leaves_nothing(void **state)
{
    char error[256], ring[128];
    struct lab lab;
    int count;
    uint64_t bytes;
    (void)state;
    snprintf(ring, sizeof ring, "%s", path_of("image-ring"));
    struct recorder_options options = {
        .folder = ring, .segment_bytes = 4096, .ring_bytes = 1 << 20, .say = on_say};
    said = 0;
    struct recorder *recorder = recorder_open(&options, error, sizeof error);
    lab_begin(&lab, recorder, lab_policy);
    let_files_grow_to(18000); /* room for the first segment, but not for an image */
    lab_run(&lab, 600);
    let_files_grow_to(RLIM_INFINITY);
    assert_int_equal(said, 1);
    struct replay_result kept = replay_ring(ring, 0, &bytes, &count);
    assert_int_equal(count, 1);
    assert_int_equal(kept.torn + kept.damaged, 0);
    assert_true(kept.events > 5 && bytes < 18000);
    lab_run(&lab, 70);
    assert_int_equal(said, 2);
    struct replay_result back = replay_ring(ring, 0, &bytes, &count);
    assert_int_equal(back.end, REPLAY_FINE);
    assert_true(count > 1 && back.holes == 1);
    assert_true(back.digest == core_digest(lab.core));
    recorder_close(&recorder);
    lab_end(&lab);
}

/* Segments as long as two images, not as the options say: the ring is no larger for that. */
static void large_images_do_not_burst_the_ring(void **state)
{
    char error[256], ring[128];
    struct lab lab;
    int count;
    uint64_t bytes, most = 0, image = 0;
    (void)state;
    snprintf(ring, sizeof ring, "%s", path_of("large-ring"));
    struct recorder_options options = {
        .folder = ring, .segment_bytes = 1024, .ring_bytes = 160 * 1024, .say = on_say};
    said = 0;
    struct recorder *recorder = recorder_open(&options, error, sizeof error);
    lab_begin(&lab, recorder, lab_policy);
    for (int i = 0; i < 1000; i++) {
        lab_run(&lab, 1);
        struct replay_result result = replay_ring(ring, 0, &bytes, &count);
        assert_int_equal(result.end, REPLAY_FINE);
        most = bytes > most ? bytes : most;
        image = bytes / (uint64_t)count;
    }
    assert_true(image > 4 * options.segment_bytes); /* else this tells nothing */
    assert_true(most <= options.ring_bytes && most > options.ring_bytes / 2);
    assert_true(count >= 2);
    recorder_close(&recorder);
    lab_end(&lab);
    assert_int_equal(said, 0);
}

/* --- simulations ---------------------------------------------------------------------------------------- */

static uint64_t record_sim(const char *name, const char *path, uint64_t seed)
{
    static struct complaints complaints;
    char file[256], error[256];
    struct scenario *scenario = calloc(1, sizeof *scenario);
    assert_non_null(scenario);
    snprintf(file, sizeof file, "%s/%s.yaml", SCENARIOS, name);
    assert_int_equal(scenario_read_file(file, scenario, &complaints), 0);
    struct sim_record record_of = {.recorder = record(path)};
    struct sim_options options = {
        .scenario = scenario, .policy = read_policy(policy_default_text()), .seed = seed};
    options.watch[options.watch_count++] = sim_record_watch(&record_of);
    struct sim *sim = sim_new(&options, error, sizeof error);
    if (!sim)
        fail_msg("%s", error);
    while (sim_turn(sim))
        ;
    uint64_t digest = core_digest(sim_core(sim));
    sim_free(&sim);
    recorder_close(&record_of.recorder);
    free(scenario);
    return digest;
}

static void simulations_replay_to_their_digest(void **state)
{
    static const char *const names[] = {"cpu-spike", "control-plane-crash", "two-control-planes", "breaker",
                                        "suspended"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint64_t digest = record_sim(names[i], path_of("sim.journal"), 3);
        struct bytes first = read_bytes(path_of("sim.journal"));
        struct replay_result result = replay_bytes(first.at, first.length);
        assert_int_equal(result.end, REPLAY_FINE);
        assert_true(result.digest == digest);
        assert_true(result.kinds[EVENT_REPORT] > 100);
        assert_int_equal(result.crashes, strstr(names[i], "control-plane") != NULL);
        assert_true(record_sim(names[i], path_of("again.journal"), 3) == digest);
        struct bytes again = read_bytes(path_of("again.journal"));
        assert_int_equal(first.length, again.length);
        assert_memory_equal(first.at, again.at, first.length);
        record_sim(names[i], path_of("another.journal"), 4);
        struct bytes another = read_bytes(path_of("another.journal"));
        assert_true(another.length != first.length || memcmp(another.at, first.at, first.length) != 0);
        free(first.at);
        free(again.at);
        free(another.at);
    }
}

/* --- another policy ------------------------------------------------------------------------------------- */

/* The first difference of this policy on the lab's journal. */
static struct difference difference_with(const char *policy, struct bytes bytes, bool *any)
{
    struct differ *differ = differ_new(read_policy(policy));
    struct replay_options options = {.until_at = INSTANT_NEVER};
    assert_non_null(differ);
    options.watch[options.watch_count++] = differ_watch(differ);
    struct replay *replay = replay_new(&options);
    replay_feed(replay, bytes.at, bytes.length, "it");
    assert_int_equal(replay_result(replay)->end, REPLAY_FINE);
    const struct difference *found = differ_end(differ);
    struct difference difference = {.node = NO_INDEX};
    *any = found != NULL;
    if (found)
        difference = *found;
    replay_free(&replay);
    differ_free(&differ);
    return difference;
}

static void the_first_decision_that_another_policy_changes(void **state)
{
    bool any;
    (void)state;
    record_lab(path_of("lab.journal"), 200);
    struct bytes bytes = read_bytes(path_of("lab.journal"));
    difference_with(lab_policy, bytes, &any);
    assert_false(any);
    /* Slower: it is silent where the other acts, 3 s after the first bad sample of second 50. */
    struct difference d = difference_with(
        "version: 1\nrules:\n  - {if: cpu_utilization > 0.90, for: 5s, do: restart_service}\n", bytes, &any);
    assert_true(any && d.has_a && !d.has_b);
    assert_int_equal(d.at, 54 * SECOND);
    assert_string_equal(d.node_name, "web-1");
    assert_string_equal(d.detector_name, "cpu-high");
    assert_non_null(strstr(d.a_says, "DETECT cpu above 90 %"));
    assert_true(d.has_report && d.report.value[METRIC_CPU_UTILIZATION] > 0.98);
    /* Faster: it acts where the other is silent yet. */
    d = difference_with(
        "version: 1\nrules:\n  - {if: cpu_utilization > 0.90, for: 1s, do: restart_service}\n", bytes, &any);
    assert_true(any && !d.has_a && d.has_b);
    assert_int_equal(d.at, 52 * SECOND);
    /* It only watches. */
    d = difference_with(
        "version: 1\nrules:\n  - {if: cpu_utilization > 0.90, for: 3s, do: restart_service}\nmode: dry_run\n",
        bytes, &any);
    assert_true(any && d.has_a && d.has_b);
    assert_string_equal(d.a_says, "ACT its report is answered with restart_service");
    assert_int_equal(d.b.kind, EFFECT_BLOCKED);
    assert_int_equal(d.b.of.incident.block, BLOCK_DRY_RUN);
    free(bytes.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_every_event_comes_back),
        cmocka_unit_test(the_bytes_stay_what_they_are),
        cmocka_unit_test(a_later_version_is_refused),
        cmocka_unit_test(cut_at_any_byte_all_before_is_used),
        cmocka_unit_test(any_flipped_bit_is_noticed),
        cmocka_unit_test(a_new_life_follows_a_torn_end),
        cmocka_unit_test(another_decision_is_noticed),
        cmocka_unit_test(the_ring_forgets_the_oldest_and_the_rest_replays),
        cmocka_unit_test(an_image_is_the_core_and_steps_alike),
        cmocka_unit_test(a_full_disk_ends_the_recording_and_nothing_else),
        cmocka_unit_test_teardown(a_flight_recorder_without_room_keeps_what_it_has_and_comes_back,
                                  let_files_grow),
        cmocka_unit_test_teardown(an_image_without_room_leaves_nothing, let_files_grow),
        cmocka_unit_test(large_images_do_not_burst_the_ring),
        cmocka_unit_test(simulations_replay_to_their_digest),
        cmocka_unit_test(the_first_decision_that_another_policy_changes),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
