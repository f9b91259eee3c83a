/* The core's bytes in image records. Most of its memory repeats itself, so runs of equal words are told once:
 *
 *     words:  head:2  word:8 ...       head's upper bit: that one word, so many times; else so many words
 *
 * with the number of words in head's lower 15 bits. What no image tells is zero. Words are the machine's own
 * bytes: an image is bound to the layout that its life names. */
#ifndef JOURNAL_PICTURE_H
#define JOURNAL_PICTURE_H

#include "journal/journal.h"

/* Takes one sealed record of the image; false stops. */
typedef bool picture_sink(void *context, const uint8_t *record, size_t length);

/* All records of the core's image, the last one marked; `scratch` has JOURNAL_RECORD_MAX bytes. False if the
 * sink stopped it. */
bool picture_write(const struct core *core, uint8_t *scratch, picture_sink *sink, void *context);

/* Lays one image into a block of `size` zeroed bytes. False if it does not fit. */
bool picture_read(const struct journal_image *image, void *memory, size_t size);

#endif
