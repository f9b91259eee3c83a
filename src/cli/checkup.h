/* A checkup: what `doctor` has looked at, one line each: whether it is well, what was found, and what to do
 * if it is not. */
#ifndef CLI_CHECKUP_H
#define CLI_CHECKUP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum check_state {
    CHECK_OK,
    CHECK_NOTE, /* worth knowing; nothing fails because of it */
    CHECK_BAD   /* something will not work */
};

enum { CHECK_FOUND_SIZE = 768, CHECK_MEND_SIZE = 512, CHECKS_MAX = 64 };

struct check {
    const char *group, *name; /* literals */
    enum check_state state;
    char found[CHECK_FOUND_SIZE]; /* a longer one is cut */
    char mend[CHECK_MEND_SIZE];   /* "" if there is nothing to do */
};

struct checkup {
    struct check checks[CHECKS_MAX]; /* in the order they were made */
    size_t count;
    const char *group; /* of the next */
    bool blind;        /* something that was named could not be looked at */
};

/* The next line. Aborts beyond CHECKS_MAX: each check stands in the program, none comes from a file. */
struct check *checkup_add(struct checkup *checkup, const char *name, enum check_state state,
                          const char *found_format, ...) __attribute__((format(printf, 4, 5)));

/* What to do about it, in one sentence. */
void check_mend(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For the sentences of our libraries, "what is the matter: what to do [code]": the first half is what was
 * found, the second the mend. */
void check_take_sentence(struct check *check, const char *sentence);

size_t checkup_count(const struct checkup *checkup, enum check_state state);

void checkup_print(const struct checkup *checkup);

/* {"checks":[{"name","group","state","found","mend"}],"ok"}; a new reference. */
json_t *checkup_json(const struct checkup *checkup);

#endif
