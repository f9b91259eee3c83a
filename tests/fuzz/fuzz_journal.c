/* The node agent's command journal after any damage: it opens, says nothing impossible, and what it says
 * stays the same when it is opened once more.
 *
 * A damaged line is passed over, so most of what a fuzzer tries would never get behind the checksum. Hence:
 * an input that begins with '+' is a list of facts, and each gets the checksum that it needs. */
#include "target.h"

#include "agent/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[96];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    char folder[64];
    make_scratch_folder(folder);
    snprintf(path, sizeof path, "%s/journal", folder);
    return 0;
}

static uint32_t checksum(const uint8_t *bytes, size_t length) /* as in the journal: FNV-1a */
{
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ bytes[i]) * 16777619u;
    return sum;
}

static void write_sealed(FILE *file, const uint8_t *bytes, size_t length)
{
    const uint8_t *end = bytes + length;
    while (bytes < end) {
        const uint8_t *line_end = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t line = (size_t)((line_end ? line_end : end) - bytes);
        fprintf(file, "%08x ", checksum(bytes, line));
        fwrite(bytes, 1, line, file);
        fputc('\n', file);
        bytes += line + (line_end ? 1 : 0);
    }
}

static void write_file(const uint8_t *bytes, size_t length)
{
    FILE *file = fopen(path, "we");
    PROMISE(file);
    if (length > 0 && bytes[0] == '+')
        write_sealed(file, bytes + 1, length - 1);
    else
        fwrite(bytes, 1, length, file);
    PROMISE(fclose(file) == 0);
}

struct told { /* what a journal says */
    uint64_t epoch_floor, id_floor;
    struct journal_entry first; /* that nobody has acknowledged; id 0: none */
};

static struct told listen(const struct journal *journal)
{
    struct told told = {.epoch_floor = journal_epoch_floor(journal), .id_floor = journal_id_floor(journal)};
    const struct journal_entry *entry = journal_unacknowledged(journal);
    if (entry) {
        told.first = *entry;
        PROMISE(entry->outcome > OUTCOME_NONE && entry->outcome < OUTCOME_COUNT);
        PROMISE(memchr(entry->detail, '\0', sizeof entry->detail));
        PROMISE(entry->took_s >= 0);
        PROMISE(journal_find(journal, entry->id) == entry);
    }
    return told;
}

/* A new command that is cut short is known to be so at the next start; or it is refused. Closes the journal.
 */
static void goes_on(struct journal *journal, uint64_t id)
{
    bool is_new = id != 0 && !journal_find(journal, id);
    PROMISE(!is_new || (journal_begin(journal, id) == 0 && journal_find(journal, id)->began));
    journal_close(&journal);
    PROMISE(journal_open(&journal, path) == 0);
    const struct journal_entry *cut = journal_find(journal, id);
    PROMISE(!is_new || (cut ? cut->outcome == OUTCOME_CUT : id <= journal_id_floor(journal)));
    journal_close(&journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct journal *journal;
    write_file(bytes, length);
    PROMISE(journal_open(&journal, path) == 0);
    struct told first = listen(journal);
    journal_close(&journal);

    PROMISE(journal_open(&journal, path) == 0);
    struct told second = listen(journal);
    PROMISE(first.epoch_floor == second.epoch_floor && first.id_floor == second.id_floor);
    PROMISE(first.first.id == second.first.id && first.first.outcome == second.first.outcome);
    PROMISE(strcmp(first.first.detail, second.first.detail) == 0);

    goes_on(journal, second.id_floor + 1);
    return 0;
}
