/* What the built-in service answers besides its keys: its health, and what its node agent tells it to do. */
#ifndef SERVICE_ADMIN_H
#define SERVICE_ADMIN_H

#include <stddef.h>

struct desk;
struct evhttp_request;
struct evhttp_uri;

/* The value of `name=` in the query, copied into `out`; NULL if it is not there or does not fit. */
const char *query_parameter(const struct evhttp_uri *uri, const char *name, char *out, size_t capacity);

/* /healthz, /admin/storage, /admin/shed, and 404 for the rest. Answers. */
void admin_request(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri);

#endif
