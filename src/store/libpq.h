/* libpq, PostgreSQL's own client library, loaded when the first address of a PostgreSQL database is met: with
 * the 21 libraries that it brings along it would take three quarters of every start of the program, which
 * mostly never hears of PostgreSQL (docs/decisions/0009-postgresql.md). `libpq.getvalue` is PQgetvalue, and
 * so on. */
#ifndef STORE_LIBPQ_H
#define STORE_LIBPQ_H

#include <libpq-fe.h>

#define LIBPQ_CALLS(X)                                                                                       \
    X(backendPID)                                                                                            \
    X(clear)                                                                                                 \
    X(cmdStatus)                                                                                             \
    X(connectdb)                                                                                             \
    X(connectdbParams)                                                                                       \
    X(conninfoFree)                                                                                          \
    X(conninfoParse)                                                                                         \
    X(consumeInput)                                                                                          \
    X(enterPipelineMode)                                                                                     \
    X(errorMessage)                                                                                          \
    X(exitPipelineMode)                                                                                      \
    X(finish)                                                                                                \
    X(flush)                                                                                                 \
    X(freemem)                                                                                               \
    X(ftype)                                                                                                 \
    X(getResult)                                                                                             \
    X(getisnull)                                                                                             \
    X(getlength)                                                                                             \
    X(getvalue)                                                                                              \
    X(isBusy)                                                                                                \
    X(nfields)                                                                                               \
    X(ntuples)                                                                                               \
    X(parameterStatus)                                                                                       \
    X(pipelineSync)                                                                                          \
    X(putCopyData)                                                                                           \
    X(putCopyEnd)                                                                                            \
    X(resultErrorField)                                                                                      \
    X(resultStatus)                                                                                          \
    X(sendPrepare)                                                                                           \
    X(sendQuery)                                                                                             \
    X(sendQueryParams)                                                                                       \
    X(sendQueryPrepared)                                                                                     \
    X(serverVersion)                                                                                         \
    X(setnonblocking)                                                                                        \
    X(socket)                                                                                                \
    X(status)                                                                                                \
    X(transactionStatus)

struct libpq {
#define LIBPQ_MEMBER(name) __typeof__(&PQ##name) name;
    LIBPQ_CALLS(LIBPQ_MEMBER)
#undef LIBPQ_MEMBER
};

/* Nothing of it may be called before libpq_load() has returned NULL. */
extern struct libpq libpq;

/* Loads it, once for the process, from any thread. NULL, or why it cannot be had: a sentence that is never
 * freed. */
const char *libpq_load(void);

#endif
