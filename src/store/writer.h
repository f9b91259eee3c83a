/* The writer of store.h, over any database, and what readers that follow it ask of it, from another thread.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "store/database.h"
#include "store/store.h"

/* As store_writer_open(), which finds `database` and `target` in the store's name. */
int writer_open(struct store_writer **writer, const struct database *database, const char *target,
                store_durable *durable, void *context, char *error, size_t error_size);

/* False: the server was away when somebody asked last. A file is always there. */
bool writer_reaches(const struct store_writer *writer);

/* A reader found nobody: the writer's thread is to look. */
void writer_doubt(struct store_writer *writer);

#endif
