/* Where a verb asks: the running control plane over its API or, for reading, the database file when none
 * answers.
 *
 * Reading verbs get the same JSON either way, because both come from the same code (plane/shapes.h). When the
 * database is read instead of a server, a line on stderr says so: what it tells is how things were, not how
 * they are. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "cli/cli.h"

#include <jansson.h>
#include <stdint.h>

struct source {
    const char *url;        /* as given, or NULL: HOMEOSTAT_URL, the lab that is up here (address.h), or
                             * http://127.0.0.1:7070 */
    const char *token_file; /* as given, or NULL: HOMEOSTAT_TOKEN_FILE, else none is used */
    const char *db; /* as given, or NULL: lab/homeostat.db. Given without `url`: no server is asked at all */
};

/* The flags that every verb with a source has; for the tables of flags_read(). */
#define SOURCE_URL_FLAG(source)                                                                              \
    {"url",          0,     FLAG_TEXT,                                                                       \
     &(source)->url, "URL", "the control plane (HOMEOSTAT_URL, the lab that is up here, port 7070)"},        \
    {                                                                                                        \
        "token-file", 0, FLAG_TEXT, &(source)->token_file, "FILE",                                           \
            "its first operator's token is used (HOMEOSTAT_TOKEN_FILE)"                                      \
    }
#define SOURCE_DB_FLAG(source)                                                                               \
    {"db", 0, FLAG_TEXT, &(source)->db, "FILE", "read this database instead of asking a control plane"},     \
    {                                                                                                        \
        "store", 0, FLAG_TEXT, &(source)->db, "STORE",                                                       \
            "the same, sqlite:PATH or postgresql://USER@HOST/NAME"                                           \
    }

enum question_kind { ASK_NODES, ASK_INCIDENTS, ASK_INCIDENT, ASK_BLOCKED, ASK_FAULTS, ASK_METRICS };

struct question {
    enum question_kind kind;
    uint64_t id;        /* ASK_INCIDENT */
    int limit;          /* ASK_INCIDENTS, ASK_BLOCKED */
    const char *node;   /* ASK_INCIDENTS, NULL: any; ASK_METRICS */
    const char *state;  /* ASK_INCIDENTS; NULL: any */
    bool active;        /* ASK_FAULTS */
    const char *metric; /* ASK_METRICS, with: */
    instant from, to;
    duration step_ns; /* 0: every sample */
};

/* Asks. On EXIT_DONE `*answer` is the caller's. Otherwise the complaint has been printed and the code says
 * which. */
int source_read(const struct source *source, const struct question *question, json_t **answer);

/* Reads the answer from a database file alone, without a word on stderr. On failure a sentence is in `error`.
 */
int source_read_database(const char *path, const struct question *question, json_t **answer, char *error,
                         size_t error_size);

/* Calls the control plane, which must be there. EXIT_DONE: 2xx, and `*answer` (may be NULL) is the caller's.
 * EXIT_NOT_SO: it said no, and its reason has been printed; EXIT_ENVIRONMENT: nobody answered. `content_type`
 * may be NULL for JSON. */
int source_call(const struct source *source, const char *method, const char *path, const char *content_type,
                const char *body, json_t **answer);

/* What /healthz answers, the caller's; NULL without a word if nobody does, or if `source` names a database.
 */
json_t *source_health(const struct source *source);

/* The URL that source_call() uses. */
const char *source_url(const struct source *source);

/* Reads, and shows the list called `rows` of the answer with `print`; an empty one as the sentence `none`,
 * and with `json` the whole answer as it is. Returns an exit code; what failed was said. */
int source_show(struct source *source, const struct question *question, bool json, const char *rows,
                const char *none, void (*print)(const json_t *rows));

#endif
