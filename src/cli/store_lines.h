/* A store as lines of JSON, one row each, whatever the database: {"table": "nodes", "number": 0, ...}.
 * Columns and words are those of docs/store.md; incidents bring their evidence along. */
#ifndef CLI_STORE_LINES_H
#define CLI_STORE_LINES_H

#include "store/store.h"

#include <stdio.h>

/* Writes everything to `out`. The number of lines, or a negative errno with a sentence. */
long long store_export(struct store *store, FILE *out, char *error, size_t error_size);

/* Reads such lines into `name`, which must hold nothing yet. The number of lines, or a negative errno with a
 * sentence that names the line; then what came before may be there. */
long long store_import(const char *name, FILE *in, char *error, size_t error_size);

#endif
