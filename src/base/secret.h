/* Secret: 128 random bits of the system's as text, for passwords and for names that nobody can guess or draw
 * twice. All of it stands here, as with the clock, so that the core's library of base knows of no chance. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/random.h>

enum { SECRET_SIZE = 33 }; /* 32 hex digits and NUL */

/* False, with errno, if the system has none; `out` is empty then. */
static inline bool secret_draw(char out[SECRET_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[SECRET_SIZE / 2];
    ssize_t got;
    out[0] = '\0';
    do
        got = getrandom(bytes, sizeof bytes, 0); /* so few come whole, or not at all */
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[SECRET_SIZE - 1] = '\0';
    return true;
}

#endif
