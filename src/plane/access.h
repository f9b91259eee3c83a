/* Who may do what: tokens from a file, each with a right.
 *
 *     # who      token                              only this node
 *     operator   5f0c1f7be0a94c2f8d36a1f4
 *     node       8c41d0e7b2f94e6c9a5d7e10
 *     node       b6b1fd1c53a84f0f9f2a6c7d          web-1
 *
 * A request says `Authorization: Bearer TOKEN`. Tokens are compared in constant time, every one of them each
 * time, and are never written anywhere. */
#ifndef PLANE_ACCESS_H
#define PLANE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_MIN = 16, TOKEN_MAX = 128, ACCESS_ENTRIES_MAX = 256 };

/* What a request needs. Operators may do everything. */
enum right {
    RIGHT_OPEN,      /* nothing */
    RIGHT_OWN_NODE,  /* a node agent, for the node in the path if its token is bound to one */
    RIGHT_SOME_NODE, /* a node agent; for which node, the body tells: access_speaks_for() */
    RIGHT_ALL_NODES, /* a node agent whose token is bound to no node */
    RIGHT_OPERATOR
};

enum access_verdict { ACCESS_GRANTED, ACCESS_NAMELESS /* 401 */, ACCESS_FORBIDDEN /* 403 */ };

struct access;

/* Reads the file, which must be a regular one, ours or root's, and not readable by others. NULL, and a
 * sentence with file, line and mend, if it cannot be used. The caller gives it back with access_free(). */
struct access *access_load(const char *path, char *error, size_t error_size);
void access_free(struct access **access);

/* `authorization` is the header's value or NULL; `node` the name in the path, used with RIGHT_OWN_NODE. */
enum access_verdict access_judge(const struct access *access, const char *authorization, enum right right,
                                 const char *node);

/* True if the bearer of that header may speak for `node`. */
bool access_speaks_for(const struct access *access, const char *authorization, const char *node);

/* For clients: the first token of the file that an operator (`node` NULL), or the node agent of `node`, can
 * use; NULL if there is none. Lives as long as `access`. */
const char *access_token(const struct access *access, const char *node);

#endif
