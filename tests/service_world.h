/* A built-in service in a child process, with its two folders, its fault page and its vitals, and users who
 * speak HTTP to it. Include after cmocka.h. */
#ifndef TESTS_SERVICE_WORLD_H
#define TESTS_SERVICE_WORLD_H

#include "inject_world.h"

#include "base/clock.h"
#include "inject/page.h"
#include "service/service.h"

struct world {
    char folder[64], primary[80], standby[80], log[96], config[80], errors[80]; /* errors: its stderr */
    struct page *page;
    int page_fd, vitals_fd;
    struct vitals *vitals;
    enum kv_folder active;
    struct service_upstream upstreams[SERVICE_UPSTREAMS_MAX];
    size_t upstream_count;
    double capacity;
    bool has_config;
    const struct world *first; /* whose second instance it is, NULL: it is a first one */
    uint16_t port;
    pid_t pid;
};

struct world *world_new(void);
void world_free(struct world *world); /* the service must have ended */

/* What service_main() returns for this world; its stderr goes to the file `errors`. */
int serve(const struct world *world);

void up(
    struct world *world); /* starts it, on the port it had before if it had one, and waits until it listens */
void down(struct world *world);  /* SIGTERM; fails the story unless it ends with 0 */
void again(struct world *world); /* SIGKILL, and up */
void calls(struct world *world, const struct world *upstream); /* from its next start on */

/* Another instance of `first`, with its page and its vitals. */
struct world *second_new(const struct world *first);

int fails_to_start(const struct world *world);     /* in a child: its exit code */
const char *complaints(const struct world *world); /* all it has said on stderr; each call forgets the last */
void configure(struct world *world, const char *text); /* NULL: there is no file */

struct answer {
    int code; /* 0: none came */
    char body[KV_VALUE_MAX_BYTES + 4096];
    double seconds;
};

void ask(int fd, const char *method, const char *path, const char *headers, const char *body);
struct answer *answer_of(int fd, struct answer *answer); /* reads to the end and closes */

/* One request over a connection of its own. The newest answer; each one forgets the last. */
struct answer *http(const struct world *world, const char *method, const char *path, const char *body);
void put(const struct world *world, const char *path, const char *value);
void holds(const struct world *world, const char *path, const char *value);
void refuses(const struct world *world, const char *method, const char *path, int code, const char *error);

#endif
