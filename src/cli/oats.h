/* oats: what its parts share. A laid-out suite, its rows as files, and what each of them came to. */
#ifndef CLI_OATS_H
#define CLI_OATS_H

#include "oats/trial.h"

#include <stdio.h>

enum { OATS_PATH_SIZE = 1024 };

struct oats {
    const char *path;            /* of the suite */
    char name[64];               /* its file's name, without the ending */
    char folder[OATS_PATH_SIZE]; /* of the rows' files; "" unless they are written */
    struct suite *suite;
    struct trial *trials;    /* a row each; NULL unless it was run */
    const char *policy_path; /* as it was given; NULL: the suite's */
    uint64_t seed;
    bool live, synthetic;
};

/* Path of a row's file: FOLDER/03.yaml. False if it is too long. */
bool oats_row_path(const struct oats *oats, uint32_t row, char out[OATS_PATH_SIZE]);

/* The rows with their levels, what became of them if they were run, the proof of coverage and the main
 * effects. */
void oats_print(const struct oats *oats);
void oats_print_json(const struct oats *oats);

/* Runs the row's file with `up --scenario` and waits for it: as long as it takes in real time. Never fails:
 * what goes wrong is in the trial. */
void oats_run_live(const struct oats *oats, uint32_t row, const struct scenario *scenario, const char *path,
                   struct trial *trial);

#endif
