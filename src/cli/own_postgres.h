/* A PostgreSQL server of a lab's own, made of the system's binaries: its data in one folder, its port a free
 * one on the loopback, its password drawn at random and kept beside the data. It ends with us, however we
 * end. */
#ifndef CLI_OWN_POSTGRES_H
#define CLI_OWN_POSTGRES_H

#include <stddef.h>

struct own_postgres;

/* Makes the data in `folder` unless it is there, starts the server and waits until it answers. NULL and a
 * sentence otherwise, nothing being left running. PostgreSQL refuses to run as root: then it runs as the user
 * postgres, or nobody. */
struct own_postgres *own_postgres_start(const char *folder, char *error, size_t error_size);

/* postgresql://..., with the password; the server's. */
const char *own_postgres_address(const struct own_postgres *server);

/* Asks it to end and waits; NULL is fine. Forgets the owner's variable. */
void own_postgres_stop(struct own_postgres **server);

#endif
