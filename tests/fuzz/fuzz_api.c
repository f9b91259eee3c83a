/* A whole control plane with its database, and requests to it: the readers of every body, path and query, and
 * the core behind them. Whatever is asked, the answer is whole, is JSON where it says so, and is never 500.
 *
 * An input is a few requests: a line "METHOD TARGET", then the body, up to a line "%%". They meet the state
 * that those before them have left, which begins anew after LIFE inputs; in a replay with every file. */
#include "target.h"

#include "base/units.h"
#include "plane/plane.h"
#include "talk.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIFE = 2000,       /* inputs, while libFuzzer searches */
    REQUESTS_MAX = 12, /* of one input */
    TURNS_MAX = 20,    /* that an answer may take */
    POLL_TURNS = 3,    /* for one that may wait as long as it likes */
    HEAD_MAX = 4096
};

static struct talk talk = {.fd = -1};
static struct plane *plane;
static char folder[64];
static unsigned lived;
static unsigned life = 1;

static void remove_database(void)
{
    static const char *const files[] = {"db", "db-wal", "db-shm", "db.lock"};
    char path[96];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
}

static size_t ask(const char *method, const char *target, const char *body, size_t length, int *status);

/* Of the sanitizer; absent without it. libFuzzer's own check after every input would not end here: most of
 * what a control plane allocates it keeps. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void start_plane(void)
{
    char database[96], error[1024];
    int status = 0;
    talk_leave(&talk);
    plane_free(&plane);
    PROMISE(!__lsan_do_recoverable_leak_check || __lsan_do_recoverable_leak_check() == 0);
    remove_database();
    snprintf(database, sizeof database, "%s/db", folder);
    const struct plane_options options = {
        .listen_fd = -1, .ready_fd = -1, .database = database, .log_path = ""};
    plane = plane_new(talk.base, &options, error, sizeof error);
    PROMISE(plane);
    talk.port = plane_port(plane);
    for (int i = 0; i < 1000 && status != 200; i++) {
        ask("GET", "/readyz", "", 0, &status);
        talk_turn(&talk, true);
    }
    PROMISE(status == 200);
    lived = 0;
}

static void stop_plane(void)
{
    talk_leave(&talk);
    plane_free(&plane);
    event_base_free(talk.base);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 1; i < *argc; i++) { /* libFuzzer's own options: it is a search */
        if ((*argv)[i][0] == '-')
            life = LIFE;
    }
    make_scratch_folder(folder);
    talk.base = event_base_new();
    PROMISE(talk.base);
    atexit(stop_plane);
    return 0;
}

/* --- one request ---------------------------------------------------------------------------------------- */

/* What no HTTP client would put into a target is escaped, so that the request as such is good. */
static size_t escape(char *out, size_t room, const char *text, size_t length)
{
    size_t at = 0;
    for (size_t i = 0; i < length && at + 4 < room; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > ' ' && c < 0x7f)
            out[at++] = (char)c;
        else
            at += (size_t)snprintf(out + at, 4, "%%%02x", c);
    }
    out[at] = '\0';
    return at;
}

static void answer_is_sound(int status, size_t end)
{
    const char *body = strstr(talk.heard, "\r\n\r\n") + 4;
    size_t length = end - (size_t)(body - talk.heard);
    bool is_json = strstr(talk.heard, "/json\r\n") || strstr(talk.heard, "problem+json\r\n");
    PROMISE(status >= 200 && status < 600 && status != 500);
    if (!is_json || length == 0)
        return;
    json_t *document = json_loadb(body, length, JSON_DECODE_ANY, NULL);
    PROMISE(document);
    json_decref(document);
}

/* Returns where the answer ends in talk.heard; 0: none came, and the connection has been given up. */
static size_t ask(const char *method, const char *target, const char *body, size_t length, int *status)
{
    char head[HEAD_MAX + 256];
    int head_bytes = snprintf(
        head, sizeof head,
        "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\n\r\n",
        method, target, talk.port, strstr(target, "policy") ? "yaml" : "json", length);
    talk.heard_bytes = 0;
    talk.heard[0] = '\0';
    talk_send(&talk, head, (size_t)head_bytes);
    if (length > 0)
        talk_send(&talk, body, length);
    size_t end = 0;
    int turns = strstr(target, "wait=") ? POLL_TURNS : TURNS_MAX;
    for (int i = 0; i < turns && !talk.over && end == 0 && !strstr(talk.heard, "event-stream\r\n"); i++) {
        talk_turn(&talk, i > 2);
        end = talk_answer_end(&talk, status);
    }
    if (end == 0 || talk.over)
        talk_leave(&talk);
    return end;
}

static void ask_as_written(const char *line, size_t line_length, const char *body, size_t length)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE"};
    char target[HEAD_MAX];
    const char *blank = memchr(line, ' ', line_length);
    size_t word = blank ? (size_t)(blank - line) : 0;
    int status = 0;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strlen(methods[i]) != word || memcmp(methods[i], line, word) != 0)
            continue;
        if (escape(target, sizeof target, blank + 1, line_length - word - 1) == 0)
            return;
        size_t end = ask(methods[i], target, body, length, &status);
        if (end > 0)
            answer_is_sound(status, end);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char stall[] = "control_plane_stall"; /* would stop this process for seconds */
    const char *at = (const char *)bytes, *end = at + length;
    if (memmem(bytes, length, stall, sizeof stall - 1))
        return 0;
    if (!plane || lived++ >= life)
        start_plane();
    for (int i = 0; i < REQUESTS_MAX && at < end; i++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        const char *body = line_end < end ? line_end + 1 : end;
        const char *stop = memmem(body, (size_t)(end - body), "\n%%\n", 4);
        const char *body_end = stop ? stop : end;
        ask_as_written(at, (size_t)(line_end - at), body, (size_t)(body_end - body));
        at = stop ? stop + 4 : end;
    }
    return 0;
}
