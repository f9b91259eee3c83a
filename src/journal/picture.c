#include "journal/picture.h"

#include "core/image.h"
#include "journal/codec.h"

enum { IMAGE_HEAD_BYTES = 28, RUN_MAX = 0x7fff, REPEATED = 0x8000, RUN_WORTH = 3, IMAGE_LAST = 1 };

struct painter {
    const struct core *core;
    uint8_t *record; /* being filled */
    size_t at;       /* in it */
    uint64_t offset; /* of its first word */
    picture_sink *sink;
    void *context;
    bool stopped;
};

static uint64_t word_at(const struct painter *painter, uint64_t offset)
{
    uint64_t word;
    memcpy(&word, (const char *)painter->core + offset, sizeof word);
    return word;
}

static void begin(struct painter *painter, uint64_t offset)
{
    painter->offset = offset;
    painter->at = JOURNAL_HEAD_BYTES + IMAGE_HEAD_BYTES;
}

static void end(struct painter *painter, bool last)
{
    struct core_config config = core_made_with(painter->core);
    uint64_t total = core_size(&config), digest = core_digest(painter->core);
    uint32_t flags = last ? IMAGE_LAST : 0;
    struct codec codec = codec_into(painter->record + JOURNAL_HEAD_BYTES, IMAGE_HEAD_BYTES);
    codec_64(&codec, &total);
    codec_64(&codec, &painter->offset);
    codec_64(&codec, &digest);
    codec_32(&codec, &flags);
    size_t length = journal_seal(painter->record, JOURNAL_IMAGE, painter->at - JOURNAL_HEAD_BYTES);
    painter->stopped |= !painter->sink(painter->context, painter->record, length);
}

static void put_run(struct painter *painter, uint64_t offset, uint32_t head, size_t words)
{
    if (painter->at + 2 + 8 * words > JOURNAL_RECORD_MAX) {
        end(painter, false);
        begin(painter, offset);
    }
    uint16_t number = htole16((uint16_t)head);
    memcpy(painter->record + painter->at, &number, sizeof number);
    memcpy(painter->record + painter->at + 2, (const char *)painter->core + offset, 8 * words);
    painter->at += 2 + 8 * words;
}

/* How often the word at `from` stands there in a row. */
static uint32_t run_length(const struct painter *painter, uint64_t from, uint64_t to)
{
    uint64_t word = word_at(painter, from);
    uint32_t count = 1;
    while (from + 8 * count < to && count < RUN_MAX && word_at(painter, from + 8 * count) == word)
        count++;
    return count;
}

/* Words from `from` on before the next run that is worth it. A piece of them fits one record well. */
static uint32_t plain_length(const struct painter *painter, uint64_t from, uint64_t to)
{
    uint32_t count = 0;
    while (from + 8 * count < to && count < 1024 &&
           run_length(painter, from + 8 * count,
                      from + 8 * (count + RUN_WORTH) < to ? from + 8 * (count + RUN_WORTH) : to) < RUN_WORTH)
        count++;
    return count;
}

bool picture_write(const struct core *core, uint8_t *scratch, picture_sink *sink, void *context)
{
    struct painter painter = {.core = core, .record = scratch, .sink = sink, .context = context};
    struct core_span spans[CORE_SPANS];
    core_spans(core, spans);
    begin(&painter, 0);
    for (int i = 0; i < CORE_SPANS; i++) {
        uint64_t at = spans[i].offset, to = at + spans[i].length;
        if (i > 0 && at < to && spans[i - 1].offset + spans[i - 1].length != at) {
            end(&painter, false);
            begin(&painter, at);
        }
        while (at < to && !painter.stopped) {
            uint32_t run = run_length(&painter, at, to);
            uint32_t plain = run >= RUN_WORTH ? 0 : plain_length(&painter, at, to);
            uint32_t words = plain > 0 ? plain : run;
            if (plain > 0)
                put_run(&painter, at, plain, plain);
            else
                put_run(&painter, at, run | REPEATED, 1);
            at += 8 * (uint64_t)words;
        }
    }
    if (!painter.stopped)
        end(&painter, true);
    return !painter.stopped;
}

bool picture_read(const struct journal_image *image, void *memory, size_t size)
{
    const uint8_t *at = image->words, *end_of = at + image->length;
    uint64_t offset = image->offset;
    if (offset % 8 != 0 || offset > size)
        return false;
    while (at < end_of) {
        uint16_t number;
        if (end_of - at < 2 + 8)
            return false;
        memcpy(&number, at, sizeof number);
        uint32_t head = le16toh(number), words = head & RUN_MAX;
        size_t given = head & REPEATED ? 1 : words;
        at += 2;
        if ((size_t)(end_of - at) < 8 * given || (size - offset) / 8 < words)
            return false;
        for (uint32_t i = 0; i < words; i++)
            memcpy((char *)memory + offset + 8 * i, at + (head & REPEATED ? 0 : 8 * i), 8);
        at += 8 * given;
        offset += 8 * (uint64_t)words;
    }
    return true;
}
