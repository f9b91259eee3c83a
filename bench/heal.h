/* How soon trouble is met, from its true instant to what is done about it. */
#ifndef BENCH_HEAL_H
#define BENCH_HEAL_H

/* A policy that acts at once and is held back by no guard: the bench makes more trouble in a second than a
 * fleet sees in a month. */
extern const char heal_policy[];

/* The service's process is killed -> the next one runs, of `count` node agents one after the other. */
double heal_death_ms(int count);

/* `count` nodes that report once a second: their CPU jumps at any instant between two reports -> the
 * command is in their hands. Seconds. */
void heal_flip_s(int count, double *middle, double *most);

struct heal_commits {
    double per_s;      /* incidents made durable, each with its command, before it was answered */
    double bare_per_s; /* rows committed one at a time by SQLite alone, synchronous=FULL, on the same disk */
    double p99_ms;     /* of their answers */
};
void heal_commits(int nodes, struct heal_commits *result);

#endif
