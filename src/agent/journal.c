#include "agent/journal.h"

#include "base/clock.h"
#include "base/flock.h"
#include "base/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_SIZE = 384, LINES_MAX = 2048, PATH_BYTES = 4096 };

/* Thirty years. More is damage, and would not fit a number of nanoseconds. */
#define TOOK_US_MAX UINT64_C(1000000000000000)

/* The lines, each after eight hexadecimal digits of checksum and a blank:
 *     epoch E            the highest epoch seen
 *     floor ID           ids up to ID are forgotten
 *     struck ID UNTIL    the newest fault that was struck once, and the uptime in ns at which its lease ends
 *     begin ID
 *     end ID OUTCOME BEGAN TOOK_US DETAIL...
 *     ack ID */
struct journal {
    struct journal_entry entries[JOURNAL_ENTRIES]; /* in the order they came */
    size_t count;
    uint64_t epoch_floor, id_floor, struck, struck_until;
    size_t lines; /* in the file */
    int fd, lock_fd;
    char path[PATH_BYTES];
};

/* FNV-1a: it is to find torn writes, not forgers. */
static uint32_t checksum(const char *bytes, size_t length)
{
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 16777619u;
    return sum;
}

/* --- the table ------------------------------------------------------------------------------------------ */

static struct journal_entry *find(struct journal *journal, uint64_t id)
{
    for (size_t i = journal->count; i-- > 0;)
        if (journal->entries[i].id == id)
            return &journal->entries[i];
    return NULL;
}

static void raise_to(uint64_t *floor, uint64_t value)
{
    if (value > *floor)
        *floor = value;
}

/* Forgets the command with the lowest id, which becomes the floor: so it stays refused. */
static void forget_lowest(struct journal *journal)
{
    size_t lowest = 0;
    for (size_t i = 1; i < journal->count; i++)
        if (journal->entries[i].id < journal->entries[lowest].id)
            lowest = i;
    raise_to(&journal->id_floor, journal->entries[lowest].id);
    journal->count--;
    memmove(&journal->entries[lowest], &journal->entries[lowest + 1],
            (journal->count - lowest) * sizeof journal->entries[0]);
}

/* The place of `id`, made if need be. */
static struct journal_entry *place(struct journal *journal, uint64_t id)
{
    struct journal_entry *entry = find(journal, id);
    if (entry)
        return entry;
    if (journal->count == JOURNAL_ENTRIES)
        forget_lowest(journal);
    entry = &journal->entries[journal->count++];
    *entry = (struct journal_entry){.id = id};
    return entry;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void take_end(struct journal *journal, const char *rest)
{
    uint64_t id, took_us;
    char word[16];
    int began, used = 0;
    if (sscanf(rest, "%" SCNu64 " %15s %d %" SCNu64 "%n", &id, word, &began, &took_us, &used) != 4)
        return;
    int outcome = outcome_of(word);
    if (outcome <= OUTCOME_NONE)
        return;
    struct journal_entry *entry = place(journal, id);
    entry->outcome = (enum outcome)outcome;
    entry->began = began != 0;
    entry->took_s = (double)(took_us < TOOK_US_MAX ? took_us : TOOK_US_MAX) / 1e6;
    snprintf(entry->detail, sizeof entry->detail, "%s", rest[used] == ' ' ? rest + used + 1 : "");
}

static void take_line(struct journal *journal, const char *line, size_t length)
{
    uint32_t sum;
    uint64_t number;
    if (length < 10 || sscanf(line, "%8" SCNx32, &sum) != 1 || sum != checksum(line + 9, length - 9))
        return;
    const char *fact = line + 9, *rest = strchr(fact, ' ');
    if (!rest || sscanf(rest, "%" SCNu64, &number) != 1)
        return;
    if (strncmp(fact, "epoch ", 6) == 0)
        raise_to(&journal->epoch_floor, number);
    else if (strncmp(fact, "floor ", 6) == 0)
        raise_to(&journal->id_floor, number);
    else if (strncmp(fact, "struck ", 7) == 0)
        sscanf(rest, "%" SCNu64 " %" SCNu64, &journal->struck, &journal->struck_until);
    else if (strncmp(fact, "begin ", 6) == 0)
        place(journal, number)->began = true;
    else if (strncmp(fact, "end ", 4) == 0)
        take_end(journal, rest + 1);
    else if (strncmp(fact, "ack ", 4) == 0 && find(journal, number))
        find(journal, number)->acknowledged = true;
}

/* A FIFO in the place of a file would keep us waiting for ever. */
static int open_regular(const char *path, int flags)
{
    struct stat status;
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
    if (fd < 0)
        return errno == EISDIR || errno == ENXIO ? -ENOTSUP : -errno;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return fd;
    close(fd);
    return -ENOTSUP;
}

static int load(struct journal *journal)
{
    int fd = open_regular(journal->path, O_RDONLY);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    FILE *file = fdopen(fd, "r");
    if (!file) {
        close(fd);
        return -ENOMEM;
    }
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while ((length = getline(&line, &size, file)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = '\0';
        take_line(journal, line, (size_t)length);
    }
    int error = ferror(file) ? -EIO : 0;
    free(line);
    fclose(file);
    for (size_t i = 0; i < journal->count; i++) {
        struct journal_entry *entry = &journal->entries[i];
        if (entry->outcome != OUTCOME_NONE)
            continue;
        entry->outcome = OUTCOME_CUT;
        snprintf(entry->detail, sizeof entry->detail, "the node agent ended while it was under way");
    }
    return error;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static int write_line(int fd, const char *fact)
{
    char line[LINE_SIZE];
    int length = snprintf(line, sizeof line, "%08" PRIx32 " %s\n", checksum(fact, strlen(fact)), fact);
    return write_all(fd, line, (size_t)length);
}

static int write_number(int fd, const char *word, uint64_t number)
{
    char fact[LINE_SIZE - 16];
    snprintf(fact, sizeof fact, "%s %" PRIu64, word, number);
    return write_line(fd, fact);
}

static int write_struck(int fd, const struct journal *journal)
{
    char fact[LINE_SIZE - 16];
    snprintf(fact, sizeof fact, "struck %" PRIu64 " %" PRIu64, journal->struck, journal->struck_until);
    return write_line(fd, fact);
}

static int write_entry(int fd, const struct journal_entry *entry)
{
    char fact[LINE_SIZE - 16];
    if (entry->outcome == OUTCOME_NONE)
        return write_number(fd, "begin", entry->id);
    int length =
        snprintf(fact, sizeof fact, "end %" PRIu64 " %s %d %" PRIu64 " %s", entry->id,
                 outcome_name(entry->outcome), entry->began, (uint64_t)(entry->took_s * 1e6), entry->detail);
    for (int i = 0; i < length; i++)
        if (fact[i] == '\n')
            fact[i] = ' ';
    int error = write_line(fd, fact);
    return !error && entry->acknowledged ? write_number(fd, "ack", entry->id) : error;
}

static int sync_folder(const char *path)
{
    char copy[PATH_BYTES];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return error;
}

/* Writes what is known to a new file and lets it take the old one's place. */
static int rewrite(struct journal *journal)
{
    char fresh[PATH_BYTES + 8];
    snprintf(fresh, sizeof fresh, "%s.new", journal->path);
    if (unlink(fresh) < 0 && errno != ENOENT)
        return errno == EISDIR ? -ENOTSUP : -errno;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int error = write_number(fd, "epoch", journal->epoch_floor);
    error = error ? error : write_number(fd, "floor", journal->id_floor);
    error = error ? error : write_struck(fd, journal);
    for (size_t i = 0; i < journal->count && !error; i++)
        error = write_entry(fd, &journal->entries[i]);
    if (!error && (fsync(fd) < 0 || rename(fresh, journal->path) < 0))
        error = -errno;
    error = error ? error : sync_folder(journal->path);
    if (error) {
        close(fd);
        return error;
    }
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = fd;
    journal->lines = journal->count + 3;
    return 0;
}

/* After an append that went in: to the disk with it. */
static int settle(struct journal *journal, int error)
{
    if (!error && fdatasync(journal->fd) < 0)
        error = -errno;
    if (error) /* the tail of the file is in doubt; a file written anew is not */
        return rewrite(journal);
    return ++journal->lines > LINES_MAX ? rewrite(journal) : 0;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

int journal_open(struct journal **out, const char *path)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal)
        return -ENOMEM;
    journal->fd = -1;
    snprintf(journal->path, sizeof journal->path, "%s", path);
    char lock[PATH_BYTES + 8];
    snprintf(lock, sizeof lock, "%s.lock", path);
    /* The lock has a file of its own, since the journal's file is replaced now and then. */
    journal->lock_fd = open_regular(lock, O_RDWR | O_CREAT);
    int error = journal->lock_fd < 0 ? journal->lock_fd : 0;
    error = error ? error : flock_within(journal->lock_fd, FLOCK_PATIENCE);
    if (error == -EWOULDBLOCK)
        error = -EBUSY;
    error = error ? error : load(journal);
    error = error ? error : rewrite(journal);
    if (error)
        journal_close(&journal);
    *out = journal;
    return error;
}

void journal_close(struct journal **owner)
{
    struct journal *journal = *owner;
    *owner = NULL;
    if (!journal)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    if (journal->lock_fd >= 0)
        close(journal->lock_fd);
    free(journal);
}

const struct journal_entry *journal_find(const struct journal *journal, uint64_t id)
{
    return find((struct journal *)journal, id);
}

const struct journal_entry *journal_unacknowledged(const struct journal *journal)
{
    for (size_t i = 0; i < journal->count; i++)
        if (journal->entries[i].outcome != OUTCOME_NONE && !journal->entries[i].acknowledged)
            return &journal->entries[i];
    return NULL;
}

uint64_t journal_epoch_floor(const struct journal *journal)
{
    return journal->epoch_floor;
}

uint64_t journal_id_floor(const struct journal *journal)
{
    return journal->id_floor;
}

bool journal_has_struck(const struct journal *journal, uint64_t fault)
{
    return fault <= journal->struck && (uint64_t)uptime_ns() < journal->struck_until;
}

int journal_meet_epoch(struct journal *journal, uint64_t epoch)
{
    if (epoch <= journal->epoch_floor)
        return 0;
    journal->epoch_floor = epoch;
    return settle(journal, write_number(journal->fd, "epoch", epoch));
}

int journal_begin(struct journal *journal, uint64_t id)
{
    struct journal_entry *entry = place(journal, id);
    entry->began = true;
    entry->outcome = OUTCOME_NONE;
    return settle(journal, write_number(journal->fd, "begin", id));
}

int journal_end(struct journal *journal, const struct journal_entry *entry)
{
    *place(journal, entry->id) = *entry;
    return settle(journal, write_entry(journal->fd, entry));
}

int journal_strike(struct journal *journal, uint64_t fault, duration lease_ns)
{
    uint64_t until = (uint64_t)(uptime_ns() + lease_ns);
    journal->struck = fault;
    journal->struck_until = until > journal->struck_until ? until : journal->struck_until;
    return settle(journal, write_struck(journal->fd, journal));
}

void journal_acknowledge(struct journal *journal, uint64_t id)
{
    struct journal_entry *entry = find(journal, id);
    if (!entry || entry->acknowledged)
        return;
    entry->acknowledged = true;
    if (write_number(journal->fd, "ack", id) == 0)
        journal->lines++;
}

void journal_tell_again(struct journal *journal, uint64_t id)
{
    struct journal_entry *entry = find(journal, id);
    if (entry)
        entry->acknowledged = false;
}
