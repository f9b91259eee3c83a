/* What readers that follow a writer ask of it, from another thread. */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "store/store.h"

/* False: the server was away when somebody asked last. A file is always there. */
bool writer_reaches(const struct store_writer *writer);

/* A reader found nobody: the writer's thread is to look. */
void writer_doubt(struct store_writer *writer);

#endif
