/* The relay: the node's link, a small process between the users and the service.
 *
 * It hands bytes on in both directions and knows nothing of what they mean. A second port, the echo port,
 * returns whatever is sent to it over the same link, so that the node agent measures the link and never the
 * service behind it.
 *
 *     users ──> listen_fd ─┐                       ┌─> service (to_host:to_port, or its second instance)
 *                          ├── relay, delay line ──┤
 *     agent ──> echo_fd  ──┘    (towards users)    └─> itself
 *
 * The faults of the page strike what goes towards the users, and end by themselves with their leases:
 *
 *     network_delay       every byte is held that long
 *     network_loss        that share of the replies (what the service says after the user spoke) is lost, and
 *                         since TCP does not go on after a gap, all that follows on their connections; they
 *                         are left open for their users to give up, and reset when the fault ends. Of an
 *                         echo that share of the bytes is lost, and the others come back
 *     network_bandwidth   so many bytes a second pass, of all connections and echoes together, in turns
 *     network_cut         all connections are reset within 50 ms, new ones as they are accepted
 *
 * While the page tells a second port, new connections go to both instances by turns, and to the first if
 * nobody listens at the second.
 *
 * Both listening sockets are inherited and stay open in the node agent, so while one relay is replaced by the
 * next, users wait in the kernel's queue and none is refused. A relay reads its incarnations at its
 * start, one for each kind: a fresh one is free of a fault that struck the old one, provided page_renew() of
 * that kind came before it was started. */
#ifndef INJECT_RELAY_H
#define INJECT_RELAY_H

#include <stdint.h>

#define RELAY_CONNECTIONS_MAX 1024 /* users and echoes; more wait in the kernel's queue */
#define RELAY_HELD_MAX_BYTES  (768 * 1024)
#define RELAY_AHEAD_MAX_BYTES (256 * 1024) /* both together: 1 MiB per connection, then reading pauses */

struct relay_options {
    int listen_fd;       /* listening socket of the users */
    int echo_fd;         /* listening socket of the echo, -1: none */
    int page_fd;         /* the fault page, -1: no faults */
    const char *to_host; /* the service: an address or a name, resolved once */
    uint16_t to_port;
};

/* Runs until a signal ends it, and returns the exit code: 0 ended by SIGTERM or SIGINT, 3 the environment
 * failed (said on stderr).
 *
 * SIGTERM or SIGINT: no more is accepted (a successor with the same sockets takes over), what is held is let
 * go at once, requests under way have up to 100 ms to be answered. SIGUSR1, drain: new users are accepted and
 * closed at once; those there may finish their requests, at most 5 s; the echo goes on. It stays so until the
 * relay is replaced. */
int relay_main(struct relay_options options);

#endif
