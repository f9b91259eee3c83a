#include "wire/chunks.h"

#include <string.h>

#define DIGITS_MAX 8 /* of a chunk's length: 4 GiB, above every limit */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

enum step { STEP_DONE, STEP_MORE, STEP_BROKEN };

/* CR LF at `at`. */
static enum step line_end(const char *at, size_t room)
{
    if ((room > 0 && at[0] != '\r') || (room > 1 && at[1] != '\n'))
        return STEP_BROKEN;
    return room < 2 ? STEP_MORE : STEP_DONE;
}

/* A length and its line end; a length of 0 is the last and has the empty line behind it. */
static enum step take_length(struct chunks *chunks, const char *bytes, size_t *from, size_t end)
{
    size_t at = *from, length = 0;
    int digits = 0, digit;
    for (; at < end && (digit = hex_digit(bytes[at])) >= 0; at++, digits++) {
        if (digits == DIGITS_MAX)
            return STEP_BROKEN;
        length = length << 4 | (size_t)digit;
    }
    if (at < end && digits == 0)
        return STEP_BROKEN;
    enum step step = line_end(bytes + at, end - at);
    if (step != STEP_DONE)
        return step;
    at += 2;
    if (length == 0) {
        step = line_end(bytes + at, end - at);
        if (step != STEP_DONE)
            return step;
        at += 2;
        chunks->over = true;
    }
    *from = at;
    chunks->left = length;
    chunks->within = length > 0;
    return STEP_DONE;
}

static enum step take_content(struct chunks *chunks, char *bytes, size_t *to, size_t *from, size_t end)
{
    size_t taken = chunks->left < end - *from ? chunks->left : end - *from;
    memmove(bytes + *to, bytes + *from, taken);
    *to += taken;
    *from += taken;
    chunks->left -= taken;
    if (chunks->left > 0)
        return STEP_MORE;
    enum step step = line_end(bytes + *from, end - *from);
    if (step == STEP_DONE) {
        *from += 2;
        chunks->within = false;
    }
    return step;
}

bool chunks_take(struct chunks *chunks, char *bytes, size_t *to, size_t *from, size_t end)
{
    enum step step = STEP_DONE;
    while (step == STEP_DONE && !chunks->over)
        step = chunks->within ? take_content(chunks, bytes, to, from, end)
                              : take_length(chunks, bytes, from, end);
    return step != STEP_BROKEN;
}
