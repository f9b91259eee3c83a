/* Which store a verb works with: --store STORE, --db FILE for short, HOMEOSTAT_STORE, or the usual file. */
#ifndef CLI_STORE_CHOICE_H
#define CLI_STORE_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

/* A password in it is kept out of the process list this way. */
#define STORE_VARIABLE "HOMEOSTAT_STORE"

struct store_choice {
    const char *db, *store; /* as the flags said */
    const char *file;       /* the file, or, for a server, what folders and logs are named after */
    const char *address;    /* postgresql://...; NULL: the file is the store */
    char usual[4096];
};

#define STORE_FLAGS(choice, db_line)                                                                         \
    {"store",          0,       FLAG_TEXT,                                                                   \
     &(choice)->store, "STORE", "sqlite:PATH, or postgresql://USER@HOST/NAME (HOMEOSTAT_STORE)"},            \
    {                                                                                                        \
        "db", 0, FLAG_TEXT, &(choice)->db, "FILE", db_line                                                   \
    }

/* Decides; `usual` is a path below HOMEOSTAT_HOME such as lab/homeostat.db. EXIT_DONE, or a complaint has
 * been printed in the name of `verb`. What it points to lives as long as the flags and `choice`. */
int store_choose(struct store_choice *choice, const char *verb, const char *usual);

/* Where the ring of journals lies: lab/homeostat.flight for lab/homeostat.db. False: no room. */
bool name_flight_folder(char *out, size_t size, const char *file);

#endif
