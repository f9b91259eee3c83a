/* What `doctor` looks at, a group each. Nothing is changed: it may run beside a lab that is at work. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/checkup.h"

struct doctor {
    const char *database; /* the file to look at */
    bool database_named;  /* on the command line: then it must be there */
    const char *address;  /* postgresql://...: the store, in place of the file; NULL: there is none */
    const char *policy;   /* files, or NULL: the ones that come with homeostat */
    const char *lab;
    int port;      /* of the control plane */
    bool verbose;  /* the tools for development, too */
    bool thorough; /* takes its time over the database */
};

/* doctor_machine.c */
void doctor_limits(const struct doctor *doctor, struct checkup *checkup);
void doctor_rights(const struct doctor *doctor, struct checkup *checkup);

/* doctor_processes.c */
void doctor_port(const struct doctor *doctor, struct checkup *checkup);
void doctor_leftovers(struct checkup *checkup);
/* "process 12 (homeostat serve)" into `out`. */
void doctor_name_process(int process, char *out, size_t size);
/* The TCP port on which it listens, 0 if it does not or /proc does not show it to this user. */
int doctor_port_of(int process);

/* doctor_store.c */
void doctor_store(const struct doctor *doctor, struct checkup *checkup);

/* doctor_postgres.c */
void doctor_postgres(const struct doctor *doctor, struct checkup *checkup);

#endif
