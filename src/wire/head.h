/* The head of an HTTP/1.1 request, read strictly and in place: the request line and the headers.
 *
 * Pure: bytes in, offsets out. Whatever two readers could understand differently is refused, so that nothing
 * can be smuggled past a proxy: a bare LF or CR, a folded header, a blank before a colon, control characters,
 * two lengths, a length beside chunks, two Authorizations, a target that is no path, a slash in disguise,
 * HTTP/0.9.
 *
 *     bytes so far --head_length()--> 0 (more is needed), -1 (broken), or the length of the head
 *     a whole head --head_read()----> 0 and a struct head, or the status to refuse it with */
#ifndef WIRE_HEAD_H
#define WIRE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_FIELDS_MAX = 100 };

/* Offsets are counted from the request's first byte. The texts they lead to are NUL-terminated. */
struct head {
    uint32_t length; /* of the head, with the empty line that ends it; the body comes right behind */
    uint32_t method;
    uint32_t path;         /* decoded, without the query */
    uint32_t query;        /* name NUL value NUL ..., decoded; parameters without '=' are left out */
    uint32_t fields;       /* name NUL value NUL ... */
    uint32_t host, origin; /* 0: there is none */
    uint16_t query_count, field_count;
    bool old;               /* HTTP/1.0 */
    bool keeps;             /* the connection goes on after the answer */
    bool chunked;           /* else the body has content_bytes */
    bool expects;           /* it waits for 100 Continue */
    bool bodiless;          /* HEAD: the answer has no body */
    uint64_t content_bytes; /* UINT64_MAX for what is larger than that */
};

/* Looks for the end of the head in bytes[0, length). `*seen` is how far the last call looked, 0 at first, so
 * that a head in drips is not looked at again and again. -1: it will never be one; `*why` gets a sentence. */
long head_length(const char *bytes, size_t length, size_t *seen, const char **why);

/* Reads the head whose length head_length() gave, and writes into it. 0, or 400, 417 or 431 or 505 and a
 * sentence in `*why`. */
int head_read(char *bytes, size_t length, struct head *head, const char **why);

/* NULL if it is not there. Names of headers are compared without regard to case. */
const char *head_field(const struct head *head, const char *bytes, const char *name);
const char *head_parameter(const struct head *head, const char *bytes, const char *name);

#endif
