#include "journal/journal.h"

#include "base/check.h"
#include "base/crc.h"
#include "base/text.h"
#include "core/image.h"
#include "journal/codec.h"

enum { LIFE_CONTINUES = 1, IMAGE_LAST = 1, LIFE_BYTES = 64, TORN_MAX = JOURNAL_RECORD_MAX };

static const char magic[8] = {'h', 'o', 'm', 'e', 'j', 'r', 'n', 'l'};

const char *journal_kind_name(enum journal_kind kind)
{
#define X(symbol, name, ...) name,
    static const char *const names[JOURNAL_KIND_COUNT] = {"", X_JOURNAL_KINDS(X)};
#undef X
    CHECK(kind > JOURNAL_NONE && kind < JOURNAL_KIND_COUNT);
    return names[kind];
}

/* --- heads ---------------------------------------------------------------------------------------------- */

static uint32_t crc_of(const uint8_t *record, size_t body_bytes)
{
    return crc32_add(crc32_add(0, record, 8), record + JOURNAL_HEAD_BYTES, body_bytes);
}

size_t journal_seal(uint8_t *out, enum journal_kind kind, size_t body_bytes)
{
    uint32_t length = htole32((uint32_t)body_bytes);
    CHECK(body_bytes <= JOURNAL_BODY_MAX);
    memcpy(out, &length, sizeof length);
    memcpy(out + 4, (const uint8_t[4]){(uint8_t)kind}, 4);
    uint32_t crc = htole32(crc_of(out, body_bytes));
    memcpy(out + 8, &crc, sizeof crc);
    return JOURNAL_HEAD_BYTES + body_bytes;
}

_Static_assert(sizeof(struct policy) + 256 < JOURNAL_PUT_MAX, "a policy fits");

static struct codec body_of(uint8_t *out)
{
    return codec_into(out + JOURNAL_HEAD_BYTES, JOURNAL_PUT_MAX - JOURNAL_HEAD_BYTES);
}

static size_t seal(uint8_t *out, enum journal_kind kind, const struct codec *codec)
{
    CHECK(!codec->bad);
    return journal_seal(out, kind, (size_t)(codec->at - (out + JOURNAL_HEAD_BYTES)));
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void walk_life(struct codec *c, char seen_magic[8], uint32_t *flags, struct journal_life *life)
{
    codec_bytes(c, seen_magic, sizeof magic);
    codec_32(c, &life->version);
    codec_32(c, flags);
    codec_64(c, &life->build);
    codec_64(c, &life->layout);
    codec_32(c, &life->config.node_capacity);
    codec_32(c, &life->config.incident_capacity);
    codec_64(c, &life->config.seed);
    codec_bytes(c, life->product, sizeof life->product);
}

size_t journal_put_life(uint8_t *out, const struct core_config *config, bool continues)
{
    struct journal_life life = {
        .version = JOURNAL_VERSION, .build = journal_build, .layout = journal_layout, .config = *config};
    uint32_t flags = continues ? LIFE_CONTINUES : 0;
    char mark[8];
    struct codec codec = body_of(out);
    memcpy(mark, magic, sizeof mark);
    text_copy(life.product, sizeof life.product, HOMEOSTAT_VERSION);
    walk_life(&codec, mark, &flags, &life);
    return seal(out, JOURNAL_LIFE, &codec);
}

size_t journal_put_event(uint8_t *out, const struct event *event, uint64_t ticket, uint64_t digest)
{
    struct codec codec = body_of(out);
    /* Both are only read, since it encodes. */
    codec_event(&codec, (struct event *)(uintptr_t)event,
                event->kind == EVENT_POLICY ? (struct policy *)(uintptr_t)event->of.policy : NULL);
    codec_64(&codec, &ticket);
    codec_64(&codec, &digest);
    return seal(out, JOURNAL_EVENT, &codec);
}

size_t journal_put_committed(uint8_t *out, instant at, uint64_t ticket)
{
    struct codec codec = body_of(out);
    codec_time(&codec, &at);
    codec_64(&codec, &ticket);
    return seal(out, JOURNAL_COMMITTED, &codec);
}

size_t journal_put_command(uint8_t *out, enum journal_kind kind, instant at, const struct command *command)
{
    struct codec codec = body_of(out);
    CHECK(kind == JOURNAL_DELIVERED || kind == JOURNAL_EFFECT);
    codec_time(&codec, &at);
    codec_command(&codec, (struct command *)(uintptr_t)command);
    return seal(out, kind, &codec);
}

size_t journal_put_mark(uint8_t *out, enum journal_kind kind, instant at)
{
    struct codec codec = body_of(out);
    CHECK(kind == JOURNAL_CRASH || kind == JOURNAL_RESTORED);
    codec_time(&codec, &at);
    return seal(out, kind, &codec);
}

/* --- reading -------------------------------------------------------------------------------------------- */

struct journal_reader journal_reader_over(const uint8_t *bytes, uint64_t length)
{
    return (struct journal_reader){.bytes = bytes, .length = length};
}

static bool is_life(const struct journal_reader *reader, uint64_t at)
{
    return reader->length - at >= JOURNAL_HEAD_BYTES + sizeof magic &&
           reader->bytes[at + 4] == JOURNAL_LIFE &&
           memcmp(reader->bytes + at + JOURNAL_HEAD_BYTES, magic, sizeof magic) == 0;
}

/* The next place at which a life may begin; the end if there is none. */
static uint64_t next_life(const struct journal_reader *reader, uint64_t from)
{
    while (from + JOURNAL_HEAD_BYTES < reader->length) {
        const uint8_t *start = reader->bytes + from + JOURNAL_HEAD_BYTES;
        const uint8_t *found =
            memmem(start, (size_t)(reader->bytes + reader->length - start), magic, sizeof magic);
        if (!found)
            break;
        uint64_t at = (uint64_t)(found - reader->bytes) - JOURNAL_HEAD_BYTES;
        if (is_life(reader, at))
            return at;
        from = at + 1;
    }
    return reader->length;
}

static uint32_t number_at(const uint8_t *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    return le32toh(number);
}

/* What cannot be read: the end of something that was still being written when its writer was killed, or
 * damage. A machine that went down may leave noughts behind. */
static enum journal_verdict give_up(struct journal_reader *reader, bool cut)
{
    uint64_t from = reader->at, to = next_life(reader, from + 1);
    bool blank = true;
    for (uint64_t i = from; blank && i < to; i++)
        blank = reader->bytes[i] == 0;
    reader->at = to;
    reader->skipped += to - from;
    return blank || (cut && to - from < TORN_MAX) ? JOURNAL_TORN : JOURNAL_DAMAGED;
}

static bool read_life(struct codec *c, struct journal_record *record)
{
    struct journal_life *life = &record->of.life;
    char seen[8] = "";
    uint32_t flags = 0;
    walk_life(c, seen, &flags, life);
    life->continues = flags & LIFE_CONTINUES;
    life->product[sizeof life->product - 1] = '\0';
    const struct core_config *config = &life->config;
    return memcmp(seen, magic, sizeof magic) == 0 && config->node_capacity >= 1 &&
           config->node_capacity <= 1000000 && config->incident_capacity >= 1 &&
           config->incident_capacity <= 1000000;
}

static bool read_image(struct codec *c, struct journal_record *record)
{
    struct journal_image *image = &record->of.image;
    uint32_t flags = 0;
    codec_64(c, &image->total);
    codec_64(c, &image->offset);
    codec_64(c, &image->digest);
    codec_32(c, &flags);
    image->last = flags & IMAGE_LAST;
    image->words = c->at;
    image->length = (size_t)(c->end - c->at);
    c->at = c->end;
    return true;
}

static bool read_event(struct codec *c, struct journal_record *record)
{
    struct event *event = &record->of.step.event;
    codec_event(c, event, &record->policy);
    codec_64(c, &record->of.step.ticket);
    codec_64(c, &record->of.step.digest);
    if (event->kind == EVENT_POLICY)
        event->of.policy = &record->policy;
    record->at = event->at;
    return !c->bad && event_is_sound(event);
}

static bool read_body(struct codec *c, struct journal_record *record)
{
    switch (record->kind) {
    case JOURNAL_LIFE:
        return read_life(c, record);
    case JOURNAL_IMAGE:
        return read_image(c, record);
    case JOURNAL_EVENT:
        return read_event(c, record);
    case JOURNAL_COMMITTED:
        codec_time(c, &record->at);
        codec_64(c, &record->of.ticket);
        return true;
    case JOURNAL_DELIVERED:
    case JOURNAL_EFFECT:
        codec_time(c, &record->at);
        codec_command(c, &record->of.command);
        return !c->bad && command_is_sound(&record->of.command);
    case JOURNAL_CRASH:
    case JOURNAL_RESTORED:
        codec_time(c, &record->at);
        return true;
    case JOURNAL_NONE:
    case JOURNAL_KIND_COUNT:
    default:
        return false;
    }
}

/* As event_is_sound() has it for events. */
static bool is_time(const struct journal_record *record)
{
    bool timed = record->kind != JOURNAL_LIFE && record->kind != JOURNAL_IMAGE;
    return !timed || (record->at > -(INT64_C(1) << 61) && record->at < INT64_C(1) << 61);
}

/* Whether a life was written by a later version is asked before its length and fields are: they may be
 * others. */
static bool is_newer(const struct journal_reader *reader)
{
    return is_life(reader, reader->at) && reader->length - reader->at >= JOURNAL_HEAD_BYTES + LIFE_BYTES &&
           number_at(reader->bytes + reader->at + JOURNAL_HEAD_BYTES + sizeof magic) > JOURNAL_VERSION;
}

enum journal_verdict journal_next(struct journal_reader *reader, struct journal_record *record)
{
    uint64_t left = reader->length - reader->at;
    const uint8_t *head = reader->bytes + reader->at;
    if (left == 0)
        return JOURNAL_END;
    if (reader->at == 0 && left >= JOURNAL_HEAD_BYTES + sizeof magic && !is_life(reader, 0))
        return JOURNAL_FOREIGN;
    if (left < JOURNAL_HEAD_BYTES)
        return give_up(reader, true);
    uint32_t length = number_at(head);
    if (length > JOURNAL_BODY_MAX)
        return give_up(reader, false);
    if (left - JOURNAL_HEAD_BYTES < length)
        return give_up(reader, true);
    if (length == 0 || crc_of(head, length) != number_at(head + 8))
        return give_up(reader, next_life(reader, reader->at + 1) < reader->at + JOURNAL_HEAD_BYTES + length);
    if (is_newer(reader))
        return JOURNAL_NEWER;
    memset(&record->of, 0, sizeof record->of);
    record->kind = (enum journal_kind)head[4];
    record->at = INSTANT_NONE;
    struct codec codec = codec_from(head + JOURNAL_HEAD_BYTES, length);
    if (!read_body(&codec, record) || codec.bad || codec.at != codec.end || !is_time(record))
        return give_up(reader, false);
    reader->at += JOURNAL_HEAD_BYTES + length;
    return JOURNAL_RECORD;
}
