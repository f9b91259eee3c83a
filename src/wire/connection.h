/* The inside of the server: one connection, with the one request it may have open, and its event stream if it
 * has become one. Only server.c, request.c, strict.c and stream.c know of it.
 *
 *            first bytes             complete            answered            all sent
 *     IDLE -------------> READING -------------> WAITING ---------> ANSWERING ---------> IDLE
 *       |                    |                      |                    |
 *       | idle_ns            | deadline: 408        | the handler's      | deadline: cut
 *       v                    v                      v business           v
 *     CLOSING <-----------------------------    STREAMING  (until the reader leaves or is too slow)
 *
 * CLOSING: the socket is shut down; libmicrohttpd will notice and take the connection away. */
#ifndef WIRE_CONNECTION_H
#define WIRE_CONNECTION_H

#include "base/clock.h"
#include "wire/server.h"

#include <microhttpd.h>

enum phase { PHASE_IDLE, PHASE_READING, PHASE_WAITING, PHASE_ANSWERING, PHASE_STREAMING, PHASE_CLOSING };

#define ANSWER_HEADERS_MAX 4

struct request {
    struct connection *connection;
    const char *method, *path; /* libmicrohttpd's, valid until the request is completed */
    char *body;
    size_t body_bytes, body_capacity;
    size_t swallowed_bytes; /* of a body that is refused */
    int refusal;            /* a status, to be answered when the body is over; or 0 */
    bool begun;             /* its headers were seen */
    bool malformed;         /* its target cannot be decoded */
    bool abandoned;
    int status;
    struct MHD_Response *response; /* given by the handler, not yet handed to libmicrohttpd */
    const char *header_names[ANSWER_HEADERS_MAX], *header_values[ANSWER_HEADERS_MAX];
    int headers;
};

struct connection {
    struct server *server;
    struct connection *next, *previous;
    struct MHD_Connection *mhd;
    int fd;
    enum phase phase;
    bool suspended;
    instant since;           /* in this phase, when IDLE; else of no meaning */
    instant deadline_by;     /* of the phases READING and ANSWERING, on the monotonic clock */
    uint64_t bytes_received; /* when it became idle, or BYTES_UNKNOWN until the next sweep looks */
    struct request request;
    struct stream *stream;
};

#define BYTES_UNKNOWN UINT64_MAX

struct server {
    struct event_base *base;
    struct server_options options;
    server_handler *handler;
    server_stream_closed *closed;
    void *context;
    struct MHD_Daemon *daemon;
    struct event *ready, *again, *sweep;
    struct connection *first;
    instant swept_at;
    char address[64]; /* as it stands in a URL: IPv6 in brackets */
    int port;
    bool any_address; /* bound to all of them */
    bool stopping;
    struct server_counts counts;
};

/* request.c: what libmicrohttpd calls. */
enum MHD_Result request_arrives(void *server, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_bytes, void **unused);
void request_completed(void *server, struct MHD_Connection *mhd, void **unused,
                       enum MHD_RequestTerminationCode how);
struct connection *connection_of(struct MHD_Connection *mhd);

/* Lets a suspended connection go on, from the loop: without threads libmicrohttpd has nothing to wake itself
 * with. */
void connection_resume(struct connection *connection);

/* Begins the deadline of a request whose first bytes came some time after the last sweep. */
void connection_starts_reading(struct connection *connection);

/* Sends an answer past libmicrohttpd, which would not answer in mid-request, and shuts the connection down.
 */
void connection_cut(struct connection *connection, int status, const char *detail);

/* Hands over a response that was made elsewhere (an event stream): the request counts as answered. */
void request_respond(struct request *request, int status, struct MHD_Response *response);

/* A problem document; NULL without memory. To be freed by the caller. */
char *problem_text(int status, const char *pointer, const char *detail, size_t *length);

/* strict.c: 0, or the status to refuse a request with, once its headers are there; `*why` gets a sentence,
 * `*announced` the Content-Length, 0 without a body, SIZE_MAX if it is not known beforehand. */
int strict_check(struct connection *connection, const char *method, const char *version, size_t *announced,
                 const char **why);
size_t strict_unescape(void *unused, struct MHD_Connection *mhd, char *text);

/* stream.c */
void stream_completed(struct connection *connection);  /* libmicrohttpd is done with it */
void stream_sweep(struct stream *stream, instant now); /* keep-alive comments */
void stream_drop(struct stream *stream);               /* cuts the connection */

#endif
