/* The fault page: one shared page per node that says which faults are on.
 *
 * The node agent writes it; the service, the relay and (for programs that are not ours) the preload library
 * read it with a few loads per call. Each fault has a lease: an instant of CLOCK_MONOTONIC after which
 * readers ignore it, so a fault ends even if everybody who could clear it is dead. A fault also remembers
 * which incarnation of its victim it struck: a service started afterwards is free of it (that is what "cured
 * by a restart" means), unless the fault sits elsewhere: in the link, in a data folder, in a release or in a
 * configuration.
 *
 *     kinds                                         a new incarnation begins with
 *     cpu_spike                                     a start of the service
 *     network_*                                     a start of the relay by reset_network
 *     storage_latency, io_error                     the use of the other data folder
 *     memory_leak, crash_loop                       another release
 *     bad_config                                    another configuration
 *     disk_full, noisy_neighbour and all others     never: they are cleared */
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

/* Another intensity of a fault that is on, for its shape over time: it strikes whom it struck before. */
void page_level(struct page *page, enum fault_kind kind, double intensity);

/* The victim of `kind` is about to be replaced: what is on now no longer strikes its successor. Faults of
 * kind STORAGE_LATENCY count by folder: the agent calls this when it fails over. */
void page_renew(struct page *page, enum fault_kind kind);

/* Takes page_renew() back: the victim was not replaced after all, and nobody has begun with the new
 * incarnation. */
void page_keep(struct page *page, enum fault_kind kind);

/* While DISK_FULL is on: so many bytes may still be written to the node's disk. To be told anew whenever the
 * disk was looked at. */
void page_set_room(struct page *page, uint64_t bytes);

/* Where a second instance of the service listens, 0: there is none. No fault, but the relay has no other way
 * to learn of it. */
void page_set_second_port(struct page *page, uint16_t port);

/* --- everybody --- */

/* The intensity that strikes a victim of that incarnation now, 0 if none. A few nanoseconds when nothing is
 * on. Whether a fault was cured by a replacement: page_intensity(page, kind, page_incarnation(page, kind)) ==
 * 0. */
double page_intensity(const struct page *page, enum fault_kind kind, uint64_t incarnation);

/* Whether the fault is over for that victim: it was cleared, its lease has run out, or it never struck this
 * one. Unlike an intensity of 0, which a shape may leave again. */
bool page_is_over(const struct page *page, enum fault_kind kind, uint64_t incarnation);

/* True if nothing at all is on: one load. */
bool page_is_calm(const struct page *page);

/* What is on for anybody, a PAGE_BIT() each: for those who look so often that even a call counts. */
#define PAGE_BIT(kind) (UINT32_C(1) << (kind))
const _Atomic uint32_t *page_on(const struct page *page);

/* The room that was told last, and in `*telling` which telling it was: whoever writes subtracts what he has
 * written since. */
uint64_t page_room(const struct page *page, uint64_t *telling);
uint16_t page_second_port(const struct page *page);

#endif
