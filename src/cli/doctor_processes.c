/* Who is there: on the control plane's port, and which of our processes have been left behind. All of it is
 * read from /proc; only a listener that may be a control plane is asked for its health. */
#include "cli/doctor.h"

#include "cli/show.h"

#include "base/text.h"
#include "wire/client.h"

#include <ctype.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 512, LEFT_MAX = 16, LEASH_DESCRIPTORS_MAX = 4, ENDING_MS = 500, NO_PROCESS = 0 };

struct process {
    int id, parent, session;
    char comm[32];
    char verb[32]; /* of our program, else "" */
};

/* --- /proc ---------------------------------------------------------------------------------------------- */

static bool read_process(int id, struct process *process)
{
    char path[64], line[LINE_SIZE];
    *process = (struct process){.id = id};
    snprintf(path, sizeof path, "/proc/%d/stat", id);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    char *open = strchr(line, '('), *close = strrchr(line, ')');
    char state;
    if (!open || !close || close < open ||
        sscanf(close + 1, " %c %d %*d %d", &state, &process->parent, &process->session) != 3 || state == 'Z')
        return false;
    *close = '\0';
    text_copy(process->comm, sizeof process->comm, open + 1);
    return true;
}

/* The first two words of its command line; false without any. */
static bool read_words(int id, char *program, size_t program_size, char *verb, size_t verb_size)
{
    char path[64], words[LINE_SIZE];
    snprintf(path, sizeof path, "/proc/%d/cmdline", id);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(words, 1, sizeof words - 1, file) : 0;
    if (file)
        fclose(file);
    words[length] = '\0';
    size_t first = strlen(words);
    const char *slash = strrchr(words, '/');
    text_copy(program, program_size, slash ? slash + 1 : words);
    text_copy(verb, verb_size, first + 1 < length ? words + first + 1 : "");
    return length > 0;
}

static bool find_process(int id, struct process *process)
{
    char program[32];
    if (!read_process(id, process))
        return false;
    if (!read_words(id, program, sizeof program, process->verb, sizeof process->verb) ||
        strcmp(program, "homeostat") != 0)
        process->verb[0] = '\0';
    return true;
}

void doctor_name_process(int id, char *out, size_t size)
{
    struct process process;
    if (id == NO_PROCESS)
        snprintf(out, size, "a process that /proc does not show to this user");
    else if (!find_process(id, &process))
        snprintf(out, size, "process %d", id);
    else if (process.verb[0]) /* what the fleet starts is called "exe" by the kernel */
        snprintf(out, size, "process %d (homeostat %s)", id, process.verb);
    else
        snprintf(out, size, "process %d (%s)", id, process.comm);
}

typedef bool each_process(void *context, int id); /* false: enough */

static void all_processes(each_process *each, void *context)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *entry = proc ? readdir(proc) : NULL; entry; entry = readdir(proc)) {
        if (isdigit((unsigned char)entry->d_name[0]) && !each(context, atoi(entry->d_name)))
            break;
    }
    if (proc)
        closedir(proc);
}

/* --- the port ------------------------------------------------------------------------------------------- */

struct holder { /* of a listening socket */
    char link[64];
    int id;
    char database[4096]; /* of a lock file that it holds open, "" */
};

typedef bool each_listener(void *context, int port, unsigned long inode); /* false: enough */

static void all_listeners(each_listener *each, void *context)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    char line[LINE_SIZE];
    bool more = true;
    for (size_t i = 0; i < 2 && more; i++) {
        FILE *file = fopen(tables[i], "re");
        while (file && more && fgets(line, sizeof line, file)) {
            unsigned local, state;
            unsigned long inode;
            if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local,
                       &state, &inode) == 3 &&
                state == 0x0a)
                more = each(context, (int)local, inode);
        }
        if (file)
            fclose(file);
    }
}

struct listener { /* one is given, the other is wanted */
    int process, port;
    unsigned long inode;
};

static bool is_on_port(void *context, int port, unsigned long inode)
{
    struct listener *wanted = context;
    wanted->inode = port == wanted->port ? inode : 0;
    return wanted->inode == 0;
}

/* The inode of the socket that listens on `port`, or 0. */
static unsigned long listener_on(int port)
{
    struct listener wanted = {.port = port};
    all_listeners(is_on_port, &wanted);
    return wanted.inode;
}

static bool holds_socket(int process, unsigned long inode)
{
    char path[64], link[256], wanted[64];
    bool holds = false;
    snprintf(path, sizeof path, "/proc/%d/fd", process);
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    DIR *fds = opendir(path);
    for (struct dirent *entry = fds ? readdir(fds) : NULL; entry; entry = readdir(fds)) {
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        holds |= strcmp(link, wanted) == 0;
    }
    if (fds)
        closedir(fds);
    return holds;
}

static bool is_of_process(void *context, int port, unsigned long inode)
{
    struct listener *wanted = context;
    wanted->port = holds_socket(wanted->process, inode) ? port : 0;
    return wanted->port == 0;
}

int doctor_port_of(int process)
{
    struct listener wanted = {.process = process};
    if (process != NO_PROCESS)
        all_listeners(is_of_process, &wanted);
    return wanted.port;
}

static bool is_holder(void *context, int id)
{
    struct holder *holder = context;
    char path[64], link[4096], lock[4096] = "";
    bool holds = false;
    snprintf(path, sizeof path, "/proc/%d/fd", id);
    DIR *fds = opendir(path);
    for (struct dirent *entry = fds ? readdir(fds) : NULL; entry; entry = readdir(fds)) {
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        holds |= strcmp(link, holder->link) == 0;
        if (length > 5 && strcmp(link + length - 5, ".lock") == 0)
            snprintf(lock, sizeof lock, "%.*s", (int)length - 5, link);
    }
    if (fds)
        closedir(fds);
    if (!holds)
        return true;
    holder->id = id;
    text_copy(holder->database, sizeof holder->database, lock);
    /* A parent that is starting its fleet holds the socket, too; the one with the database is meant. */
    return lock[0] == '\0';
}

static void say_plane(struct checkup *checkup, const json_t *health, int status, const struct holder *holder)
{
    const char *word = member_text(health, "status");
    bool good = status == 200;
    struct check *check =
        checkup_add(checkup, "port", good ? CHECK_OK : CHECK_BAD,
                    "%s answers: homeostat %s, %s, epoch %lld, %lld node%s%s%s", "a control plane",
                    member_text(health, "version"), *word ? word : "no status", member_whole(health, "epoch"),
                    member_whole(health, "nodes"), member_whole(health, "nodes") == 1 ? "" : "s",
                    holder->database[0] ? ", database " : "", holder->database);
    if (!good)
        check_mend(check, "Read its log; /healthz says: %s.", member_text(health, "database"));
}

static void say_other(const struct doctor *doctor, struct checkup *checkup, const struct holder *holder,
                      int status)
{
    char who[128];
    struct process process;
    doctor_name_process(holder->id, who, sizeof who);
    bool ours = holder->id != NO_PROCESS && find_process(holder->id, &process) && process.verb[0];
    struct check *check = checkup_add(checkup, "port", CHECK_BAD, "%d is taken by %s%s", doctor->port, who,
                                      !ours         ? ""
                                      : status == 0 ? ", which does not answer"
                                                    : ", which is no control plane");
    if (ours && status == 0)
        check_mend(check, "It may be stopped or stuck: kill -CONT %d lets it go on, kill %d ends it.",
                   holder->id, holder->id);
    else
        check_mend(check, "Stop it, or let the kernel choose another port: up --port 0.");
}

void doctor_port(const struct doctor *doctor, struct checkup *checkup)
{
    checkup->group = "Port";
    struct holder holder = {.id = NO_PROCESS};
    unsigned long inode = listener_on(doctor->port);
    if (inode == 0) {
        checkup_add(checkup, "port", CHECK_OK, "%d is free", doctor->port);
        return;
    }
    snprintf(holder.link, sizeof holder.link, "socket:[%lu]", inode);
    all_processes(is_holder, &holder);
    char *body = NULL;
    int status = client_call("127.0.0.1", doctor->port, "GET", "/healthz", NULL, NULL, 0, 2 * SECOND, &body);
    json_t *health = status ? json_loads(body ? body : "", 0, NULL) : NULL;
    if (json_object_get(health, "epoch") && json_object_get(health, "breaker_open"))
        say_plane(checkup, health, status, &holder);
    else
        say_other(doctor, checkup, &holder, status);
    json_decref(health);
    free(body);
}

/* --- leftovers ------------------------------------------------------------------------------------------ */

struct leftovers {
    char program[4096]; /* other checkouts look after their own */
    int ids[LEFT_MAX];
    size_t count; /* may be more than LEFT_MAX */
    size_t ours;
};

static bool runs_program(int id, const char *program)
{
    char path[64], link[4096];
    size_t length = strlen(program);
    snprintf(path, sizeof path, "/proc/%d/exe", id);
    ssize_t got = readlink(path, link, sizeof link - 1);
    link[got > 0 ? got : 0] = '\0';
    /* Of a program that was built anew meanwhile the kernel says so behind its path. */
    return strncmp(link, program, length) == 0 && (!link[length] || strcmp(link + length, " (deleted)") == 0);
}

static size_t descriptors_of(int id)
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", id);
    DIR *fds = opendir(path);
    for (struct dirent *entry = fds ? readdir(fds) : NULL; entry; entry = readdir(fds))
        count += entry->d_name[0] != '.';
    if (fds)
        closedir(fds);
    return count;
}

/* Made to live under a node agent: its service, its relay, its warden, and the leash of a hang, which is a
 * copy of the node agent that has closed nearly everything. */
static bool is_ward(const struct process *process)
{
    if (strcmp(process->verb, "service") == 0 || strcmp(process->verb, "relay") == 0)
        return true;
    if (strcmp(process->verb, "agent") != 0)
        return false;
    size_t descriptors = descriptors_of(process->id);
    return strcmp(process->comm, "warden") == 0 || (descriptors > 0 && descriptors <= LEASH_DESCRIPTORS_MAX);
}

/* Left behind: the parent is none of ours, and whoever started it (the leader of its session) is gone. A
 * service that somebody runs by hand in a shell is not meant. */
static bool note_leftover(void *context, int id)
{
    struct leftovers *left = context;
    struct process process, other;
    if (id == getpid() || !find_process(id, &process) || !process.verb[0] || !runs_program(id, left->program))
        return true;
    left->ours++;
    bool kept = find_process(process.parent, &other) && other.verb[0];
    bool led = process.parent != 1 && process.session != id && find_process(process.session, &other);
    if (kept || led || !is_ward(&process))
        return true;
    if (left->count < LEFT_MAX)
        left->ids[left->count] = id;
    left->count++;
    return true;
}

static void find_leftovers(struct leftovers *left)
{
    *left = (struct leftovers){.count = 0};
    ssize_t length = readlink("/proc/self/exe", left->program, sizeof left->program - 1);
    left->program[length > 0 ? length : 0] = '\0';
    all_processes(note_leftover, left);
}

void doctor_leftovers(struct checkup *checkup)
{
    struct leftovers left;
    find_leftovers(&left);
    if (left.count > 0) { /* a lab that is ending right now leaves orphans for a moment */
        poll(NULL, 0, ENDING_MS);
        find_leftovers(&left);
    }
    if (left.count == 0) {
        checkup_add(checkup, "leftovers", CHECK_OK, "none; %zu other process%s of this program run%s",
                    left.ours, left.ours == 1 ? "" : "es", left.ours == 1 ? "s" : "");
        return;
    }
    char list[256];
    struct text text = text_over(list, sizeof list);
    for (size_t i = 0; i < left.count && i < LEFT_MAX; i++)
        text_addf(&text, " %d", left.ids[i]);
    struct check *check =
        checkup_add(checkup, "leftovers", CHECK_BAD, "%zu without a node agent:%s", left.count, list);
    check_mend(check, "Nothing uses them any more; end them: kill%s", list);
}
