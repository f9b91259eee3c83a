/* A watch: the control plane's event stream, and a loop of our own to read it in. It opens the stream again,
 * without a gap or a repetition, when it breaks. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "base/units.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct watch;

/* One event as the API tells it; `kind` is incident, command, blocked, ... `data` is valid during the call
 * only. */
typedef void watch_handler(void *context, const char *kind, const json_t *data);

/* Watches the control plane at 127.0.0.1:`port`, from the first event that it still remembers. */
struct watch *watch_open(int port, watch_handler *handler, void *context);
void watch_close(struct watch **watch);

/* Hands out what has come and what comes within `at_most_ns`. Returns early on a signal. */
void watch_pump(struct watch *watch, duration at_most_ns);

/* Asks the control plane at 127.0.0.1:`port`; NULL if it does not answer with 2xx and JSON within two
 * seconds. The answer is the caller's. `body` may be NULL. On failure a sentence is in `error` (may be NULL).
 */
json_t *plane_ask(int port, const char *method, const char *path, const char *body, char *error,
                  size_t error_size);

/* Ctrl-C, SIGTERM and a closed terminal are remembered instead of killing us, so that the lab can be ended in
 * order. */
void stop_on_signals(void);
bool stop_is_wanted(void);

#endif
