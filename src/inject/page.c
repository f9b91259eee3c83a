#include "inject/page.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#define PAGE_MAGIC UINT64_C(0x326567615074736d) /* changes with the layout */
#define PAGE_BYTES 4096

struct slot {
    _Atomic uint64_t incarnation; /* of whoever is the victim now */
    _Atomic uint64_t struck;      /* the incarnation that the fault struck */
    _Atomic uint64_t intensity;   /* the bits of a double */
    _Atomic int64_t until;        /* CLOCK_MONOTONIC */
};

struct page {
    uint64_t magic;
    _Atomic uint32_t on; /* one bit per kind */
    _Atomic uint32_t second_port;
    _Atomic uint64_t room, telling;
    struct slot slots[FAULT_COUNT];
};

_Static_assert(sizeof(struct page) <= PAGE_BYTES, "it is one page");
_Static_assert(FAULT_COUNT <= 32, "one bit per kind");

static struct slot *slot_of(struct page *page, enum fault_kind kind)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    return &page->slots[kind];
}

int page_create(struct page **page)
{
    int fd = memfd_create("homeostat-faults", MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;

    /* Sealed in its size: no holder of the descriptor can make the readers fault by truncating it. */
    void *memory = MAP_FAILED;
    if (ftruncate(fd, PAGE_BYTES) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        memory = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        int error = errno;
        close(fd);
        return -error;
    }

    *page = memory;
    (*page)->magic = PAGE_MAGIC;
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        atomic_init(&(*page)->slots[kind].incarnation, 1);
    return fd;
}

int page_open(struct page **page, int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size < PAGE_BYTES)
        return -EINVAL;
    void *memory = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (((struct page *)memory)->magic != PAGE_MAGIC) {
        munmap(memory, PAGE_BYTES);
        return -EINVAL;
    }
    *page = memory;
    return 0;
}

void page_close(struct page *page)
{
    if (page)
        munmap(page, PAGE_BYTES);
}

uint64_t page_incarnation(const struct page *page, enum fault_kind kind)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    return atomic_load(&page->slots[kind].incarnation);
}

void page_set(struct page *page, enum fault_kind kind, double intensity, int64_t until_monotonic_ns)
{
    struct slot *slot = slot_of(page, kind);
    uint64_t bits;

    CHECK(intensity >= 0);
    memcpy(&bits, &intensity, sizeof(bits));
    /* Off while it is being written. A reader already past the mask may for once see the old beside the new,
     * which is one call struck a little differently; a lock instead would hang every reader if the writer
     * were killed. */
    page_clear(page, kind);
    atomic_store(&slot->struck, atomic_load(&slot->incarnation));
    atomic_store(&slot->intensity, bits);
    atomic_store(&slot->until, until_monotonic_ns);
    atomic_fetch_or(&page->on, PAGE_BIT(kind));
}

void page_clear(struct page *page, enum fault_kind kind)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    atomic_fetch_and(&page->on, ~(PAGE_BIT(kind)));
}

void page_level(struct page *page, enum fault_kind kind, double intensity)
{
    uint64_t bits;

    CHECK(intensity >= 0);
    memcpy(&bits, &intensity, sizeof(bits));
    atomic_store(&slot_of(page, kind)->intensity, bits);
}

void page_renew(struct page *page, enum fault_kind kind)
{
    atomic_fetch_add(&slot_of(page, kind)->incarnation, 1);
}

void page_keep(struct page *page, enum fault_kind kind)
{
    atomic_fetch_sub(&slot_of(page, kind)->incarnation, 1);
}

/* One that is on, struck that incarnation and has time left. */
static bool strikes(const struct page *page, enum fault_kind kind, uint64_t incarnation)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    if (!(atomic_load_explicit(&page->on, memory_order_relaxed) & PAGE_BIT(kind)))
        return false;
    const struct slot *slot = &page->slots[kind];
    atomic_thread_fence(memory_order_acquire);
    return atomic_load(&slot->struck) == incarnation && monotonic_ns() < atomic_load(&slot->until);
}

double page_intensity(const struct page *page, enum fault_kind kind, uint64_t incarnation)
{
    if (!strikes(page, kind, incarnation))
        return 0;
    uint64_t bits = atomic_load(&page->slots[kind].intensity);
    double intensity;
    memcpy(&intensity, &bits, sizeof(intensity));
    return intensity;
}

bool page_is_over(const struct page *page, enum fault_kind kind, uint64_t incarnation)
{
    return !strikes(page, kind, incarnation);
}

bool page_is_calm(const struct page *page)
{
    return atomic_load_explicit(&page->on, memory_order_relaxed) == 0;
}

const _Atomic uint32_t *page_on(const struct page *page)
{
    return &page->on;
}

void page_set_room(struct page *page, uint64_t bytes)
{
    atomic_store(&page->room, bytes);
    atomic_fetch_add(&page->telling, 1);
}

/* Between the two loads the room may be told anew: then the writer counts once from the newer one. */
uint64_t page_room(const struct page *page, uint64_t *telling)
{
    *telling = atomic_load(&page->telling);
    return atomic_load(&page->room);
}

void page_set_second_port(struct page *page, uint16_t port)
{
    atomic_store(&page->second_port, port);
}

uint16_t page_second_port(const struct page *page)
{
    return (uint16_t)atomic_load(&page->second_port);
}
