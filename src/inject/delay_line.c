#include "inject/delay_line.h"

#include "base/check.h"
#include "base/clock.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>

/* Bytes that fall due together share a mark. Instants are rounded up to a 128th of the delay (at least 1 ms,
 * the loop's own grain), so a steady stream needs at most 129 marks whatever its rate. */
#define MARKS      256u
#define MARK_SHARE 128

struct mark {
    int64_t due_at;
    size_t bytes;
};

struct delay_line {
    struct bufferevent *to;
    struct evbuffer *held;
    struct event *timer;
    void (*moved)(void *);
    void *arg;
    struct mark marks[MARKS]; /* a ring; what is due waits for those before it that are not */
    unsigned first, count;
};

static struct mark *mark_at(struct delay_line *line, unsigned index)
{
    return &line->marks[(line->first + index) % MARKS];
}

void delay_line_pour(struct evbuffer *from, struct evbuffer *to, size_t bytes)
{
    struct evbuffer_iovec piece;

    while (bytes > 0 && evbuffer_peek(from, -1, NULL, &piece, 1) > 0 && piece.iov_len > 0) {
        size_t length = piece.iov_len < bytes ? piece.iov_len : bytes;
        CHECK(evbuffer_add(to, piece.iov_base, length) == 0);
        evbuffer_drain(from, length);
        bytes -= length;
    }
}

static void rearm(struct delay_line *line)
{
    if (line->count == 0) {
        event_del(line->timer);
        return;
    }
    int64_t wait = mark_at(line, 0)->due_at - monotonic_ns();
    if (wait < 0)
        wait = 0;
    struct timeval in = {.tv_sec = wait / SECOND, .tv_usec = (wait % SECOND + MICROSECOND - 1) / MICROSECOND};
    event_add(line->timer, &in);
}

static void let_go(struct delay_line *line, int64_t due_by)
{
    struct evbuffer *out = bufferevent_get_output(line->to);

    while (line->count > 0 && mark_at(line, 0)->due_at <= due_by) {
        evbuffer_remove_buffer(line->held, out, mark_at(line, 0)->bytes);
        line->first = (line->first + 1) % MARKS;
        line->count--;
    }
    rearm(line);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct delay_line *line = arg;

    (void)fd;
    (void)what;
    /* The loop's idea of now may be a little ahead of ours: let_go() looks again and sleeps the rest. */
    let_go(line, monotonic_ns());
    line->moved(line->arg);
}

struct delay_line *delay_line_new(struct event_base *base, struct bufferevent *to, void (*moved)(void *),
                                  void *arg)
{
    struct delay_line *line = calloc(1, sizeof(*line));

    if (!line)
        return NULL;
    line->to = to;
    line->moved = moved;
    line->arg = arg;
    line->held = evbuffer_new();
    line->timer = evtimer_new(base, on_timer, line);
    if (!line->held || !line->timer)
        delay_line_free(&line);
    return line;
}

void delay_line_free(struct delay_line **line)
{
    if (!*line)
        return;
    if ((*line)->timer)
        event_free((*line)->timer);
    if ((*line)->held)
        evbuffer_free((*line)->held);
    free(*line);
    *line = NULL;
}

static int64_t due_in(duration delay)
{
    duration grain = delay / MARK_SHARE > MILLISECOND ? delay / MARK_SHARE : MILLISECOND;

    return (monotonic_ns() + delay + grain - 1) / grain * grain;
}

void delay_line_take(struct delay_line *line, struct evbuffer *from, size_t bytes, duration delay)
{
    if (bytes > evbuffer_get_length(from))
        bytes = evbuffer_get_length(from);
    if (bytes == 0)
        return;
    if (delay == 0 && line->count == 0) {
        delay_line_pour(from, bufferevent_get_output(line->to), bytes);
        return;
    }

    int64_t due_at = due_in(delay);
    struct mark *last = line->count > 0 ? mark_at(line, line->count - 1) : NULL;
    if (last && (last->due_at == due_at || line->count == MARKS)) {
        if (last->due_at < due_at)
            last->due_at = due_at; /* out of marks: what is in the last one waits for the new bytes */
        last->bytes += bytes;
    } else {
        line->count++;
        *mark_at(line, line->count - 1) = (struct mark){.due_at = due_at, .bytes = bytes};
    }
    delay_line_pour(from, line->held, bytes);
    if (line->count == 1)
        rearm(line);
}

size_t delay_line_held(const struct delay_line *line)
{
    return evbuffer_get_length(line->held);
}

void delay_line_hurry(struct delay_line *line)
{
    let_go(line, INT64_MAX);
}
