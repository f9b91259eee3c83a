/* Complaints: what is wrong with a file that a person wrote, where, and how to mend it.
 *
 * An error means that the file is refused. A note is advice: the file is taken as it stands. */
#ifndef POLICY_COMPLAINT_H
#define POLICY_COMPLAINT_H

#include "base/text.h"

#include <stdint.h>

enum {
    COMPLAINTS_MAX = 32,      /* kept of one file; what comes after is only counted */
    COMPLAINT_TEXT_SIZE = 256 /* the NUL included */
};

/* A place in a file, both counted from 1, the column in characters. */
struct place {
    int line, column;
};

struct complaint {
    int line, column;
    bool note; /* advice, not an error */
    char text[COMPLAINT_TEXT_SIZE];
};

/* Starts as all zeros. */
struct complaints {
    struct complaint list[COMPLAINTS_MAX];
    uint32_t count;   /* in `list` */
    uint32_t errors;  /* of all, also of those that found no room */
    uint32_t dropped; /* found no room */
};

/* Adds an error or a note. An error that finds `list` full takes the place of the newest note, if there is
 * one. */
void complain(struct complaints *complaints, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void complain_note(struct complaints *complaints, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `unknown remedy "restart_servise"; did you mean restart_service?`, or the known words if none is near. */
void complain_unknown(struct complaints *complaints, struct place place, const char *kind, const char *word,
                      const char *const *words, size_t count);

/* Brings them into the order of the file. */
void complaints_sort(struct complaints *complaints);

/* `FILE:LINE:COLUMN: text`, for a note `FILE:LINE:COLUMN: note: text`; no line end. */
void complaint_print(struct text *out, const struct complaint *complaint, const char *file);

/* `word` fit to be quoted in a complaint: at most 40 characters of it, control characters as '?'. */
enum { SHOWN_SIZE = 176 };
const char *complaint_shown(char shown[SHOWN_SIZE], const char *word);

#endif
