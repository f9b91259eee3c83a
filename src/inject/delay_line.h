/* A delay line: bytes go in, and come out in the same order, each no earlier than its delay after it went in.
 */
#ifndef INJECT_DELAY_LINE_H
#define INJECT_DELAY_LINE_H

#include "base/units.h"

#include <stddef.h>

struct bufferevent;
struct evbuffer;
struct event_base;
struct delay_line;

/* What comes out is written to `to`, which must outlive the line. `moved` is told after bytes came out by the
 * timer; it may free the line. NULL if there is no memory. */
struct delay_line *delay_line_new(struct event_base *base, struct bufferevent *to, void (*moved)(void *),
                                  void *arg);
void delay_line_free(struct delay_line **line); /* what is held is lost */

/* Takes the first `bytes` of `from` (or all, if there are fewer), to be held for `delay` >= 0 from now, or
 * longer if what went in before is held longer. Unbounded: the caller stops taking when delay_line_held() is
 * too much. */
void delay_line_take(struct delay_line *line, struct evbuffer *from, size_t bytes, duration delay);
size_t delay_line_held(const struct delay_line *line);
void delay_line_hurry(struct delay_line *line); /* lets all that is held go at once */

/* Moves the first `bytes` (or all, if there are fewer) by copying them, packed. evbuffer_add_buffer() would
 * hand over the chains they were read into, 4 KiB for perhaps one byte, and a bound in bytes would no longer
 * bound the memory. */
void delay_line_pour(struct evbuffer *from, struct evbuffer *to, size_t bytes);

#endif
