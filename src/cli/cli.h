/* The command line: one table of verbs, and what they share.
 *
 * A verb is a function that gets its own arguments (argv[0] is its name) and returns an exit code. What it
 * accepts is a table of flags, from which both the parsing and `--help` are made, so that the two cannot
 * drift apart. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>

/* What every verb answers with. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_NOT_SO = 1,      /* the thing asked about is not so: not healed, no such incident, refused */
    EXIT_USAGE = 2,       /* the command line makes no sense */
    EXIT_ENVIRONMENT = 3, /* the world failed: no control plane, no database, port taken */
    EXIT_SAFETY = 4,      /* the checkers saw something that must never be */
    EXIT_LIVENESS = 5,    /* ... something that did not come about */
    EXIT_CRASH = 6        /* a simulation ended by a signal */
};

enum verb_group { GROUP_LEARN, GROUP_OPERATE, GROUP_MEASURE, GROUP_DEVELOP, GROUP_COUNT };

struct verb {
    const char *name;
    enum verb_group group;
    const char *line;    /* what it does, in one line */
    const char *usage;   /* what follows the name, without the flags; may be "" */
    const char *example; /* what follows the name in an example that works */
    int (*run)(const struct verb *verb, int argc, char **argv);
};

enum flag_type { FLAG_YES, FLAG_TEXT, FLAG_WHOLE, FLAG_NUMBER, FLAG_DURATION, FLAG_LIST };

enum { FLAG_LIST_MAX = 8 };

struct flag_list { /* of an option that may be given several times */
    const char *items[FLAG_LIST_MAX];
    size_t count;
};

/* One option of a verb. `to` points to a bool, const char *, int, double, duration or struct flag_list, as
 * `type` says. A whole number is 0 to 10^9. */
struct flag {
    const char *name; /* without the dashes */
    char letter;      /* short form, or 0 */
    enum flag_type type;
    void *to;
    const char *value; /* how the help calls its value; NULL for FLAG_YES */
    const char *line;
};

enum { FLAGS_MAX = 32 };

/* Reads the flags, which may stand among the operands, and moves the operands to argv[1..]; `*count` gets
 * their number. `least` and `most` bound it. Returns -1 to go on, or the exit code with which the verb is to
 * return: a complaint (EXIT_USAGE) or the help (EXIT_DONE) has been printed. The table ends with a flag
 * without a name. */
int flags_read(const struct verb *verb, const struct flag *flags, int argc, char **argv, int least, int most,
               int *count);

/* How people start this program: `./run` at the root of the repository, else as it was started. */
const char *program_name(void);

/* "homeostat: SENTENCE" on stderr. Returns `code`. */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number 1.. of 64 bit; false if it is not that. */
bool parse_id(const char *text, unsigned long long *id);

/* The folder that all paths hang on: HOMEOSTAT_HOME, or where we stand. Writes `relative` below it to `out`.
 * Returns false if it does not fit. */
bool home_path(char *out, size_t size, const char *relative);

/* Makes the folders that `path` lies in. EXIT_DONE, or a complaint has been printed. */
int make_folders_above(const char *path);

/* --- the verbs, one file each --------------------------------------------------------------------------- */

int verb_demo(const struct verb *verb, int argc, char **argv);
int verb_up(const struct verb *verb, int argc, char **argv);
int verb_inject(const struct verb *verb, int argc, char **argv);
int verb_faults(const struct verb *verb, int argc, char **argv);
int verb_clear(const struct verb *verb, int argc, char **argv);
int verb_nodes(const struct verb *verb, int argc, char **argv);
int verb_incidents(const struct verb *verb, int argc, char **argv);
int verb_incident(const struct verb *verb, int argc, char **argv);
int verb_blocked(const struct verb *verb, int argc, char **argv);
int verb_approve(const struct verb *verb, int argc, char **argv); /* approve, decline */
int verb_acknowledge(const struct verb *verb, int argc, char **argv);
int verb_maintain(const struct verb *verb, int argc, char **argv);
int verb_undo(const struct verb *verb, int argc, char **argv);
int verb_control(const struct verb *verb, int argc, char **argv); /* pause, resume, reset */
int verb_policy(const struct verb *verb, int argc, char **argv);
int verb_sim(const struct verb *verb, int argc, char **argv);
int verb_oats(const struct verb *verb, int argc, char **argv);
int verb_replay(const struct verb *verb, int argc, char **argv);
int verb_metrics(const struct verb *verb, int argc, char **argv);
int verb_serve(const struct verb *verb, int argc, char **argv);
int verb_store(const struct verb *verb, int argc, char **argv);
int verb_agent(const struct verb *verb, int argc, char **argv);
int verb_service(const struct verb *verb, int argc, char **argv);
int verb_relay(const struct verb *verb, int argc, char **argv);
int verb_helper(const struct verb *verb, int argc, char **argv);
int verb_doctor(const struct verb *verb, int argc, char **argv);
int verb_version(const struct verb *verb, int argc, char **argv);

#endif
