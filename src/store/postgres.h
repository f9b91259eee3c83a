/* A connection to a PostgreSQL server: opened with bounds on everything that may hang, questions with a time
 * limit on our side, errors as sentences. libpq does the talking (docs/decisions/0009-postgresql.md). */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include "store/database.h"
#include "store/libpq.h"

enum { SHOWN_SIZE = 256 };

struct postgres {
    PGconn *connection;     /* NULL: there is none */
    char *address;          /* postgresql://..., as given */
    char shown[SHOWN_SIZE]; /* the same without a password */
    duration patience;      /* the longest that one answer may take */
    int64_t by_ns;          /* of CLOCK_MONOTONIC: when patience ends for what is under way */
};

/* 0, or a negative errno: -EINVAL, the address is none; -ENOTSUP, libpq cannot be loaded. Nothing is opened
 * yet. */
int postgres_init(struct postgres *postgres, const char *address, duration patience, char *error,
                  size_t error_size);
void postgres_fini(struct postgres *postgres);

/* Opens, if it is not open, and looks whether this server can be a store. 0, or a negative errno. */
int postgres_connect(struct postgres *postgres, char *error, size_t error_size);
void postgres_disconnect(struct postgres *postgres);
bool postgres_is_open(const struct postgres *postgres);

/* Starts the clock of `patience` anew. */
void postgres_begin(struct postgres *postgres);

/* Sends what is buffered. False: the connection is lost, or patience has ended; then it is closed. */
bool postgres_flush(struct postgres *postgres);

/* As PQgetResult(), with patience; *lost is set when there will be no more, the connection being closed. */
PGresult *postgres_result(struct postgres *postgres, bool *lost);

/* Runs commands that yield nothing worth reading, or one result: *result, if not NULL, takes the last one.
 * 0, or a negative errno with a sentence. */
int postgres_run(struct postgres *postgres, const char *sql, PGresult **result, char *error,
                 size_t error_size);

/* A failed result as a sentence and a negative errno; NULL: the connection was lost. */
int postgres_failure(const struct postgres *postgres, const PGresult *result, char *error, size_t error_size);

/* The first column of the only row as a number; 0 if there is none. */
int64_t postgres_number(const PGresult *result);

/* Schema: docs/store.md. The version that is there, 0 for an empty schema, or a negative errno when it is
 * somebody else's, a newer one's, or one of ours that was changed. */
int postgres_version(struct postgres *postgres, char *error, size_t error_size);

/* Takes the migrations that are missing, one transaction each; two at once do no harm. */
int postgres_migrate(struct postgres *postgres, char *error, size_t error_size);

/* As in database.h. */
void postgres_show(const char *address, char *out, size_t size);
int postgres_make_room(const char *address, const char *name, char *out, size_t size, char *error,
                       size_t error_size);

/* How long the writer waits. */
struct postgres_patience {
    duration answer;   /* for the answers to one transaction */
    duration batch;    /* for a server that is away; then the caller is told. It may ask again each second */
    duration whole;    /* for a batch whose connections break again and again */
    duration takeover; /* for a killed predecessor's backend to notice that it is alone */
};

/* As `write_open` of `postgres_database`, which brings the usual patience along. */
int postgres_write_open(void **writing, const char *address, const struct postgres_patience *patience,
                        char *error, size_t error_size);

/* Who has the store: the server's process, and in words; 0: nobody. Takes no lock. */
int postgres_holder(struct postgres *postgres, char *holder, size_t size, char *error, size_t error_size);

/* Those of `postgres_database` that read, see database.h. */
int postgres_read_open(void **reading, const char *address, char *error, size_t error_size);
void postgres_read_close(void **reading);
void *postgres_ask(void *reading, const char *sql);
int postgres_step(void *question, struct value *values, unsigned count);
void postgres_finish(void *question);
const char *postgres_problem(const void *reading);
bool postgres_is_lost(const void *reading);
void postgres_hurry(void *reading);
void postgres_samples_sql(struct text *sql, uint32_t node, instant from, instant to);

#endif
