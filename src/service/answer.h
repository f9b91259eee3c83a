/* Answers of the built-in service. Each ends its request; all but those to worked requests are counted. */
#ifndef SERVICE_ANSWER_H
#define SERVICE_ANSWER_H

#include "inject/vitals.h"

#include <stdbool.h>
#include <stddef.h>

struct evhttp_request;

/* Set by a second instance: the work of this request is done, only the map is wanted. What came with it from
 * elsewhere than this machine is removed before anything else. */
#define WORKED_HEADER "X-Homeostat-Worked"

bool is_worked(struct evhttp_request *http);

void answer(struct vitals *vitals, struct evhttp_request *http, int code, const char *type, const void *bytes,
            size_t length); /* `type` may be NULL */
void answer_json(struct vitals *vitals, struct evhttp_request *http, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* `sentence` is ours: it needs no escaping. */
void answer_error(struct vitals *vitals, struct evhttp_request *http, int code, const char *sentence);

#endif
