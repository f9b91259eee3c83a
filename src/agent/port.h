/* Ports on loopback: the node's own, the one reserved for the service, and the question whether somebody
 * listens. */
#ifndef AGENT_PORT_H
#define AGENT_PORT_H

#include "base/units.h"

#include <stdbool.h>

/* The relay of a node agent that was killed ends a moment after it, and holds its port until then. */
#define PORT_PATIENCE (3 * SECOND)

/* Listens on `address`, numeric IPv4 as in "127.0.0.1:9001"; port 0 lets the kernel choose. Returns the
 * descriptor (close-on-exec, non-blocking) or a negative errno; -EINVAL if the address is not one,
 * -EADDRINUSE if somebody still has it after PORT_PATIENCE. */
int port_listen(const char *address);

/* Resets all who have connected to a listening, non-blocking socket and were not accepted yet. Does not wait.
 */
void port_turn_away(int fd);

/* The port that a listening or bound socket has. */
int port_of(int fd);

/* Finds a free port on 127.0.0.1 and keeps it from being given to anybody who does not ask for it by number,
 * as long as the returned descriptor is open: it is bound but does not listen, so a child that sets
 * SO_REUSEADDR, as servers do, can listen there. Negative errno on failure. */
int port_reserve(int *port);

/* True if somebody accepts connections on 127.0.0.1:`port`. Does not wait. */
bool port_answers(int port);

#endif
