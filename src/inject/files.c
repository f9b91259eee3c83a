#include "inject/files.h"

#include "base/clock.h"
#include "base/random.h"

#include <errno.h>
#include <time.h>

#define LOOK_NS (20 * MILLISECOND) /* how often a wait looks whether it may end */

void files_open(struct files *files, const struct page *page)
{
    files->page = page;
    files->on = page ? page_on(page) : NULL;
    if (!page)
        return;
    atomic_store(&files->latency, page_incarnation(page, FAULT_STORAGE_LATENCY));
    atomic_store(&files->errors, page_incarnation(page, FAULT_IO_ERROR));
    atomic_fetch_add(&files->dice, (uint64_t)monotonic_ns());
}

static duration wait_of(const struct files *files)
{
    double seconds = page_intensity(files->page, FAULT_STORAGE_LATENCY, atomic_load(&files->latency));

    return seconds >= duration_seconds(FILE_WAIT_MAX) ? FILE_WAIT_MAX : duration_from_seconds(seconds);
}

static bool fails(struct files *files)
{
    double share = page_intensity(files->page, FAULT_IO_ERROR, atomic_load(&files->errors));

    return share > 0 && random_unit(random_draw(0, atomic_fetch_add(&files->dice, 1))) < share;
}

/* Whoever sees a new telling first begins to count anew; bytes that another thread was just adding to the old
 * count are then forgotten, and the next telling, which looked at the disk, knows them. */
static bool has_room(struct files *files, size_t bytes)
{
    uint64_t telling, room = page_room(files->page, &telling), counted = atomic_load(&files->telling);

    if (counted != telling && atomic_compare_exchange_strong(&files->telling, &counted, telling))
        atomic_store(&files->written, 0);
    uint64_t written = atomic_load(&files->written);
    do {
        if (bytes > 0 && (written >= room || bytes > room - written))
            return false;
    } while (!atomic_compare_exchange_weak(&files->written, &written, written + bytes));
    return true;
}

static bool is_full(const struct page *page)
{
    return !page_is_over(page, FAULT_DISK_FULL, page_incarnation(page, FAULT_DISK_FULL));
}

int files_ask(struct files *files, enum file_call call, size_t bytes, duration *wait)
{
    *wait = 0;
    if (files_are_calm(files))
        return 0;
    *wait = wait_of(files);
    if (call != FILE_WRITES)
        return 0;
    if (fails(files))
        return EIO;
    return is_full(files->page) && !has_room(files, bytes) ? ENOSPC : 0;
}

bool files_are_slow(const struct files *files)
{
    return wait_of(files) > 0;
}

void files_wait(const struct files *files, duration wait)
{
    int64_t until = monotonic_ns() + wait, left;

    while ((left = until - monotonic_ns()) > 0 && files_are_slow(files)) {
        struct timespec nap = {.tv_nsec = left < LOOK_NS ? left : LOOK_NS};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    }
}
