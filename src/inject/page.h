/* The fault page: one shared page per node that says which faults are on.
 *
 * The node agent writes it; the service, the relay and (for programs that are not ours) the preload library
 * read it with a few loads per call. Each fault has a lease: an instant of CLOCK_MONOTONIC after which
 * readers ignore it, so a fault ends even if everybody who could clear it is dead. A fault also remembers
 * which incarnation of its victim it struck: a service started afterwards is free of it (that is what "cured
 * by a restart" means), unless the fault sits elsewhere: in the link, or in a data folder. */
#ifndef INJECT_PAGE_H
#define INJECT_PAGE_H

#include "core/vocabulary.h"

#include <stdbool.h>

struct page; /* mapped shared memory */

/* Makes (agent) or opens (service, relay) the page as a file descriptor; children inherit it under a number
 * told on their command line. Negative errno on failure. An opened page is read-only: only its maker can set
 * anything. The descriptors stay the caller's to close; a page outlives its descriptor. */
int page_create(struct page **page); /* returns the descriptor, close-on-exec is off */
int page_open(struct page **page, int fd);
void page_close(struct page *page); /* NULL is fine */

/* What a victim reads of itself at its start, and gives to page_intensity(). The agent bumps it before each
 * start. */
uint64_t page_incarnation(const struct page *page, enum fault_kind kind);

/* --- the agent's side --- */

/* Strikes the victim of now. To be called once per fault: called again after page_renew() it would strike the
 * successor, too, and undo a cure. A fault that is on is replaced, its lease included. */
void page_set(struct page *page, enum fault_kind kind, double intensity, int64_t until_monotonic_ns);
void page_clear(struct page *page, enum fault_kind kind);

/* The victim of `kind` is about to be replaced: what is on now no longer strikes its successor. Faults of
 * kind STORAGE_LATENCY count by folder: the agent calls this when it fails over. */
void page_renew(struct page *page, enum fault_kind kind);

/* --- everybody --- */

/* The intensity that strikes a victim of that incarnation now, 0 if none. A few nanoseconds when nothing is
 * on. Whether a fault was cured by a replacement: page_intensity(page, kind, page_incarnation(page, kind)) ==
 * 0. */
double page_intensity(const struct page *page, enum fault_kind kind, uint64_t incarnation);

#endif
