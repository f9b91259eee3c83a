/* The link: the relay process between the node's users and its service, on listening sockets that the node
 * agent keeps, so that one relay can take the place of another without refusing anybody. */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct link;

struct link_options {
    const char *binary;
    int listen_fd; /* the users' */
    int echo_fd;
    int page_fd;
    int to_port;          /* the service's, on 127.0.0.1 */
    const char *log_path; /* the relay's standard error, appended */
};

/* `detail` is a sentence for people, valid during the call. */
typedef void link_done(void *context, int result, const char *detail);

struct link *link_new(struct event_base *base, const struct link_options *options);
void link_free(struct link **link); /* kills the relay */

/* Starts the first relay. 0 or a negative errno. */
int link_start(struct link *link);

/* Ends the present relay (SIGTERM, after 200 ms SIGKILL) and starts the next. `done` is called once it is
 * there; it begins without a drain. If the relay is dead, who has queued since is turned away; else nobody
 * is. -EBUSY while one replacement is under way. The caller says before, with page_renew(), if the new one is
 * to be free of what struck the old one. */
int link_replace(struct link *link, link_done *done, void *context);

/* No new users from now on, until link_replace(). */
void link_drain(struct link *link);
bool link_is_drained(const struct link *link);

pid_t link_pid(const struct link *link); /* 0: the relay is dead */

#endif
