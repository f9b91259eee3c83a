/* Journals of the core from anywhere: whatever the bytes are, replay comes to an end, says what it met, and
 * the core within it stays within its memory.
 *
 * Behind '+' an input is a list of records (a byte for the kind, two for the length, the body), each of which
 * gets its checksum, and each life this build's layout; else it is the bytes of a file. */
#include "target.h"

#include "core/image.h"
#include "core/trace.h"
#include "journal/differ.h"
#include "journal/replay.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 256 * 1024, CORE_BYTES_MAX = 1024 * 1024, LAYOUT_AT = 24 };

static size_t seal_records(const uint8_t *bytes, size_t length, uint8_t *out)
{
    size_t at = 0;
    while (length >= 3) {
        size_t body = (size_t)bytes[1] | (size_t)bytes[2] << 8;
        body = body < length - 3 ? body : length - 3;
        body = body < JOURNAL_BODY_MAX ? body : JOURNAL_BODY_MAX;
        if (at + JOURNAL_HEAD_BYTES + body > ROOM)
            break;
        memcpy(out + at + JOURNAL_HEAD_BYTES, bytes + 3, body);
        if (bytes[0] == JOURNAL_LIFE && body >= LAYOUT_AT + sizeof journal_layout)
            memcpy(out + at + JOURNAL_HEAD_BYTES + LAYOUT_AT, &journal_layout, sizeof journal_layout);
        at += journal_seal(out + at, (enum journal_kind)bytes[0], body);
        bytes += 3 + body;
        length -= 3 + body;
    }
    return at;
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    char line[1024];
    (void)context, (void)ticket, (void)at;
    for (uint32_t i = 0; i < effects->count; i++) {
        struct text text = text_over(line, sizeof line);
        trace_line(&text, core, &effects->list[i]);
    }
}

static void replay_is_sound(const uint8_t *bytes, size_t length, const struct policy *instead)
{
    struct replay_options options = {
        .goes_on = true, .until_at = INSTANT_NEVER, .core_bytes_max = CORE_BYTES_MAX};
    struct differ *differ = differ_new(instead);
    options.watch[options.watch_count++] = (struct replay_watch){.effects = on_effects};
    options.watch[options.watch_count++] = differ_watch(differ);
    struct replay *replay = replay_new(&options);
    PROMISE(replay && differ);
    bool whole = replay_feed(replay, bytes, length, "it");
    const struct replay_result *result = replay_result(replay);
    PROMISE(whole == (result->end != REPLAY_REFUSED));
    PROMISE((result->end == REPLAY_REFUSED) == (result->why[0] != '\0'));
    PROMISE(result->bytes_skipped <= length);
    differ_end(differ);
    replay_free(&replay);
    differ_free(&differ);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct policy policy;
    static struct complaints complaints;
    static uint8_t room[ROOM];
    const char *text = policy_default_text();
    if (policy.detector_count == 0)
        PROMISE(policy_read(text, strlen(text), &policy, &complaints) == 0);
    if (length == 0 || bytes[0] != '+') {
        replay_is_sound(bytes, length, &policy);
        return 0;
    }
    size_t sealed = seal_records(bytes + 1, length - 1, room);
    uint8_t *exact = malloc(sealed ? sealed : 1);
    PROMISE(exact);
    memcpy(exact, room, sealed);
    replay_is_sound(exact, sealed, &policy);
    free(exact);
    return 0;
}
