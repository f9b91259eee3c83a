/* A plant: a real `homeostat serve` with its database on the disk of the checkout, in a folder that is
 * removed afterwards, for the benches to work on. Whatever goes wrong ends the bench with a sentence. */
#ifndef BENCH_PLANT_H
#define BENCH_PLANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct plant {
    char folder[256];
    char database[288];
    pid_t pid;
    int port;
};

enum { SERVE_CPU = 1, OWN_CPU = 0, ANY_CPU = -1 }; /* where they are pinned, if there are as many */

/* `policy` is the text of a policy, NULL for the default one. */
void plant_start(struct plant *plant, const char *policy);
void plant_stop(struct plant *plant);   /* so that all it knows is on the disk; the folder stays */
void plant_remove(struct plant *plant); /* the folder too */

/* Busy seconds so far of the CPU that serve is pinned to, whoever it was; 0 if the kernel does not tell. */
double plant_cpu_busy_s(void);
double plant_cpu_s(const struct plant *plant); /* of all its threads so far */
void plant_memory_mib(const struct plant *plant, double *rss, double *pss);

int64_t plant_count(const struct plant *plant, const char *sql);  /* the first column of the first row */
double plant_metric(const struct plant *plant, const char *name); /* of /metrics, its lines added up */

/* A node agent with the built-in service, in a folder of the plant; no users. */
pid_t plant_agent(const struct plant *plant, const char *name);

/* A service of that node agent: a process other than `but`. 0: there is none. */
pid_t agent_service(pid_t agent, pid_t but);

/* --- small things that all benches need --- */

double now_s(void);     /* monotonic */
double own_cpu_s(void); /* of this process */
void sleep_s(double seconds);
void pin(int cpu);
void go_first(void); /* before other programs of this machine, if we may: less noise in what is measured */
double median(double *values, int count); /* sorts them; 0 of none */
__attribute__((format(printf, 1, 2), noreturn)) void give_up(const char *format, ...);

/* One request on a connection of its own; returns the status, the body goes to `answer`. */
int ask(int port, const char *method, const char *path, const char *body, char *answer, size_t size);
int connect_to(int port); /* a socket that blocks */

/* Sends one request over `fd` and reads its answer whole. Returns the status. */
int ask_over(int fd, const char *method, const char *path, const char *body, char *answer, size_t size);

#endif
