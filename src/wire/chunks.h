/* The chunks of a body, put together in place, as strictly as the head: no extensions, no trailers, no bare
 * LF. What nobody sends who means well, and two readers may take for different things, is refused. */
#ifndef WIRE_CHUNKS_H
#define WIRE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>

struct chunks {
    size_t left; /* of the chunk that is being read */
    bool within; /* in its bytes, or at the line end behind them; else at a length */
    bool over;   /* the last one was seen, and the empty line behind it */
};

/* Takes what it can of bytes[*from, end): moves content to bytes[*to...], both positions go forward. False if
 * it is broken. Call it again with more bytes until `over`. */
bool chunks_take(struct chunks *chunks, char *bytes, size_t *to, size_t *from, size_t end);

#endif
