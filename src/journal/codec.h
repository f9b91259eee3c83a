/* Fields one after another, little-endian, into bytes or out of them. One walk over a struct serves both
 * ways, so that writer and reader cannot drift apart. */
#ifndef JOURNAL_CODEC_H
#define JOURNAL_CODEC_H

#include "core/core.h"

#include <endian.h>
#include <string.h>

struct codec {
    uint8_t *at, *end;
    bool decodes;
    bool bad; /* something did not fit: what was decoded means nothing */
};

struct codec codec_into(uint8_t *bytes, size_t room);
struct codec codec_from(const uint8_t *bytes, size_t length); /* changes nothing in them */

static inline void codec_bytes(struct codec *codec, void *field, size_t length)
{
    if ((size_t)(codec->end - codec->at) < length) {
        codec->bad = true;
        return;
    }
    if (codec->decodes)
        memcpy(field, codec->at, length);
    else
        memcpy(codec->at, field, length);
    codec->at += length;
}

static inline void codec_8(struct codec *codec, uint8_t *field)
{
    codec_bytes(codec, field, 1);
}

static inline void codec_32(struct codec *codec, uint32_t *field)
{
    uint32_t number = htole32(*field);
    codec_bytes(codec, &number, sizeof number);
    if (codec->decodes && !codec->bad)
        *field = le32toh(number);
}

static inline void codec_64(struct codec *codec, uint64_t *field)
{
    uint64_t number = htole64(*field);
    codec_bytes(codec, &number, sizeof number);
    if (codec->decodes && !codec->bad)
        *field = le64toh(number);
}

static inline void codec_time(struct codec *codec, int64_t *field)
{
    uint64_t number = (uint64_t)*field;
    codec_64(codec, &number);
    *field = (int64_t)number;
}

static inline void codec_double(struct codec *codec, double *field)
{
    uint64_t number;
    memcpy(&number, field, sizeof number);
    codec_64(codec, &number);
    memcpy(field, &number, sizeof number);
}

/* The event without its policy's address: of.policy must point to a policy, which is written, or filled. */
void codec_event(struct codec *codec, struct event *event, struct policy *policy);
void codec_command(struct codec *codec, struct command *command);

#endif
