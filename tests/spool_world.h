/* The spool of the node agent in agent_world.h, for stories about it with and without that node agent. */
#ifndef TESTS_SPOOL_WORLD_H
#define TESTS_SPOOL_WORLD_H

#include "agent_world.h"
#include "sanitized.h"

#include "agent/spool.h"

#define SLOWER (SANITIZED ? 20 : 1)

enum { FIRST_BOOT = 0xa1, SECOND_BOOT = 0xb2 };

const char *spool_folder(const struct world *world); /* until the next call */
struct spool *spool_of(const struct world *world, uint64_t boot, size_t bytes);

/* Taken now, with a value of every metric that its sequence decides. */
struct agent_report spool_report(uint64_t boot, uint64_t sequence);
void spool_fill(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to);

/* What a node agent of that boot leaves that is killed after so many reports, of which the first `stored` are
 * durable. */
void spool_leave_behind(const struct world *world, uint64_t boot, size_t bytes, uint64_t reports,
                        uint64_t stored);

void file_write(const char *path, const uint8_t *bytes, size_t length);

#endif
