/* Event streams, as a reader gets them: however the bytes are cut into pieces, the same events come out. */
#include "target.h"

/* The reader of the text is private to its file; the connection before it is not needed here. */
#include "wire/event_stream.c"

struct heard {
    uint64_t digest;
    unsigned events;
};

static void mix(struct heard *heard, const char *text)
{
    for (; *text; text++)
        heard->digest = (heard->digest ^ (unsigned char)*text) * 1099511628211u;
    heard->digest = (heard->digest ^ 0x100) * 1099511628211u;
}

static void on_event(void *context, const char *name, uint64_t id, const char *data)
{
    struct heard *heard = context;
    PROMISE(name && *name && data);
    PROMISE(strlen(name) < sizeof((struct event_stream *)0)->name);
    mix(heard, name);
    mix(heard, data);
    heard->digest = (heard->digest ^ id) * 1099511628211u;
    heard->events++;
}

/* In pieces of `piece` bytes, in blocks of their own. */
static struct heard hear(const uint8_t *bytes, size_t length, size_t piece)
{
    struct heard heard = {.digest = 14695981039346656037u};
    struct event_stream *stream = calloc(1, sizeof *stream);
    PROMISE(stream);
    *stream = (struct event_stream){.handler = on_event, .context = &heard, .failure = -1};
    PROMISE(append(&stream->data, "", 0) && append(&stream->line, "", 0));
    for (size_t at = 0; at < length;) {
        size_t part = length - at < piece ? length - at : piece;
        char *copy = malloc(part);
        PROMISE(copy);
        memcpy(copy, bytes + at, part);
        bool fits = take_bytes(stream, copy, part);
        free(copy);
        PROMISE(fits || length > LINE_BYTES_LIMIT);
        at += part;
    }
    free_stream(stream);
    return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct heard whole = hear(bytes, length, length ? length : 1);
    for (size_t piece = 1; piece <= 7; piece += 3) {
        struct heard cut = hear(bytes, length, piece);
        PROMISE(cut.events == whole.events && cut.digest == whole.digest);
    }
    return 0;
}
