#include "inject/victims.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STOP_ROUNDS_MAX  16
#define STOP_WAIT_MS_MAX 200 /* for one process: one that waits for a disk stops only afterwards */

int victims_open(pid_t id)
{
    int fd = (int)syscall(SYS_pidfd_open, id, 0);

    return fd < 0 ? -errno : fd;
}

static int send_signal(int fd, int number)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0) < 0 ? -errno : 0;
}

/* --- reading /proc -------------------------------------------------------------------------------------- */

struct kin {
    char state;
    pid_t parent, group;
};

static bool read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got = -1;

    while (fd >= 0 && length < size - 1 && (got = read(fd, out + length, size - 1 - length)) > 0)
        length += (size_t)got;
    if (fd >= 0)
        close(fd);
    out[length] = '\0';
    return length > 0;
}

static bool kin_of(pid_t id, struct kin *kin)
{
    char path[64], text[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)id);
    if (!read_file(path, text, sizeof(text)))
        return false;
    /* The name in brackets may itself hold blanks and brackets: what counts comes after the last one. */
    const char *rest = strrchr(text, ')');
    int parent, group;
    if (!rest || sscanf(rest + 1, " %c %d %d", &kin->state, &parent, &group) != 3)
        return false;
    kin->parent = parent;
    kin->group = group;
    return true;
}

char victims_state(pid_t id)
{
    struct kin kin;

    return kin_of(id, &kin) ? kin.state : 'X';
}

struct entry { /* as getdents64(2) lays it out */
    uint64_t inode;
    int64_t next;
    unsigned short size;
    unsigned char type;
    char name[];
};

/* The numbers in a folder of /proc, as long as `take` returns true. Without opendir(), which allocates. */
static int each_number(const char *path, bool (*take)(void *context, pid_t id), void *context)
{
    _Alignas(struct entry) char buffer[4096];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool more = true;
    long got;

    if (fd < 0)
        return -errno;
    while (more && (got = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
        for (long at = 0; more && at < got;) {
            const struct entry *entry = (const void *)(buffer + at);
            long id = strtol(entry->name, NULL, 10);
            more = id <= 0 || take(context, (pid_t)id);
            at += entry->size;
        }
    close(fd);
    return 0;
}

void victims_threads(pid_t id, bool (*take)(void *context, pid_t thread), void *context)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/task", (int)id);
    each_number(path, take, context);
}

struct brood {
    pid_t parent;
    bool (*take)(void *context, pid_t child);
    void *context;
    bool more;
};

static bool take_children_of(void *context, pid_t thread)
{
    struct brood *brood = context;
    char path[64], text[8192];

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)brood->parent, (int)thread);
    if (!read_file(path, text, sizeof(text)))
        return true;
    char *rest = text;
    for (char *end; brood->more; rest = end) {
        long child = strtol(rest, &end, 10);
        if (end == rest || *end != ' ') /* the end, or a number that the buffer cut */
            break;
        brood->more = brood->take(brood->context, (pid_t)child);
    }
    return brood->more;
}

static void each_child(pid_t parent, bool (*take)(void *context, pid_t child), void *context)
{
    struct brood brood = {.parent = parent, .take = take, .context = context, .more = true};

    victims_threads(parent, take_children_of, &brood);
}

/* --- listing -------------------------------------------------------------------------------------------- */

struct list {
    pid_t *ids;
    size_t count;
};

static bool list_take(void *context, pid_t id)
{
    struct list *list = context;

    list->ids[list->count++] = id;
    return list->count < VICTIMS_MAX;
}

size_t victims_list(pid_t root, pid_t ids[VICTIMS_MAX])
{
    struct list list = {.ids = ids};

    list_take(&list, root);
    for (size_t i = 0; i < list.count && list.count < VICTIMS_MAX; i++)
        each_child(ids[i], list_take, &list);
    return list.count;
}

/* --- stopping and continuing ---------------------------------------------------------------------------- */

struct hunt {
    struct victims *victims;
    const struct victims_options *options;
    bool group; /* the root leads its process group */
    int found;  /* newly, in this round; or negative errno */
};

static bool is_known(const struct victims *victims, pid_t id)
{
    for (size_t i = 0; i < victims->count; i++)
        if (victims->ids[i] == id)
            return true;
    return false;
}

static bool is_wanted(const struct hunt *hunt, pid_t id)
{
    struct kin kin;

    return id != getpid() && id != hunt->options->spared && kin_of(id, &kin) && kin.state != 'Z' &&
           kin.state != 'X' &&
           ((hunt->group && kin.group == hunt->options->root) || is_known(hunt->victims, kin.parent));
}

static void wait_until_stopped(pid_t id)
{
    for (int ms = 0; ms < STOP_WAIT_MS_MAX && !strchr("TtZX", victims_state(id)); ms++)
        poll(NULL, 0, 1);
}

/* Takes over the descriptor. One that is left as it is stands in the list nevertheless, for its children. */
static int stop_one(struct hunt *hunt, pid_t id, int fd)
{
    struct victims *victims = hunt->victims;
    bool left = hunt->options->leave_stopped && victims_state(id) == 'T';
    int error = victims->count == VICTIMS_MAX ? -E2BIG : 0;

    if (error == 0 && !left && hunt->options->stopping)
        error = hunt->options->stopping(hunt->options->context, fd);
    if (error == 0 && !left)
        error = send_signal(fd, SIGSTOP);
    if (error < 0 || left)
        close(fd);
    if (error < 0)
        return error;
    victims->ids[victims->count] = id;
    victims->fds[victims->count++] = left ? -1 : fd;
    if (!left)
        wait_until_stopped(id);
    return 0;
}

static bool hunt_take(void *context, pid_t id)
{
    struct hunt *hunt = context;

    if (id <= 1 || is_known(hunt->victims, id) || !is_wanted(hunt, id))
        return true;
    int fd = victims_open(id);
    /* Looked at again now that the pidfd holds it: the first look may have been at a predecessor. */
    if (fd >= 0 && !is_wanted(hunt, id)) {
        close(fd);
        return true;
    }
    int error = fd < 0 ? fd : stop_one(hunt, id, fd);
    if (error < 0 && error != -ESRCH)
        hunt->found = error;
    else if (error == 0)
        hunt->found++;
    return hunt->found >= 0;
}

/* Until a round finds nobody new: the stopped cannot fork. Children are asked for by name, which is cheap;
 * only for a group is everybody looked at. */
static int hunt_rest(struct hunt *hunt)
{
    size_t asked = 0;

    for (int round = 0; round < STOP_ROUNDS_MAX; round++) {
        hunt->found = 0;
        for (; hunt->found >= 0 && asked < hunt->victims->count; asked++)
            each_child(hunt->victims->ids[asked], hunt_take, hunt);
        if (hunt->found >= 0 && hunt->options->reach == VICTIMS_GROUP) {
            int error = each_number("/proc", hunt_take, hunt);
            hunt->found = error < 0 ? error : hunt->found;
        }
        if (hunt->found <= 0)
            break;
    }
    return hunt->found < 0 ? hunt->found : 0;
}

int victims_stop(struct victims *victims, const struct victims_options *options)
{
    struct hunt hunt = {.victims = victims, .options = options};

    victims->count = 0;
    int fd = options->root_fd >= 0 ? options->root_fd : victims_open(options->root);
    if (fd < 0)
        return fd;
    hunt.group = options->reach == VICTIMS_GROUP && getpgid(options->root) == options->root;
    int error = stop_one(&hunt, options->root, fd);
    if (error == 0 && options->reach != VICTIMS_ONE)
        error = hunt_rest(&hunt);
    if (error < 0)
        victims_continue(victims);
    return error;
}

void victims_stop_again(const struct victims *victims)
{
    for (size_t i = 0; i < victims->count; i++)
        if (victims->fds[i] >= 0 && !strchr("TtZX", victims_state(victims->ids[i])))
            send_signal(victims->fds[i], SIGSTOP);
}

void victims_continue(struct victims *victims)
{
    while (victims->count > 0) {
        int fd = victims->fds[--victims->count];
        if (fd < 0)
            continue;
        send_signal(fd, SIGCONT);
        close(fd);
    }
}
