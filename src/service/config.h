/* The configuration of the built-in service: a small file that is rolled out, and back, as those of real
 * services are.
 *
 *     {"version": 2, "broken": true}
 *
 * `version` is a whole number from 1; `broken` (false if it is not there) is what BAD_CONFIG rolls out: while
 * that fault strikes, its share of the requests finds no route. */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

#include "inject/page.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_MAX_BYTES 4096

struct config {
    int64_t version; /* 0: none was read */
    bool broken;
    uint64_t incarnation; /* of BAD_CONFIG, when it was read */
    uint64_t asked;       /* how often config_refuses() was, while broken */
};

/* Reads the file. Whatever is wrong with it is said on stderr, and `config` stays as it was; false then.
 * `page` may be NULL. */
bool config_read(struct config *config, const char *path, const struct page *page);

/* True if the next request is to be refused. */
bool config_refuses(struct config *config, const struct page *page);

#endif
