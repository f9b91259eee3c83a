#include "cli/own_postgres.h"

#include "cli/cli.h"
#include "cli/store_choice.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/text.h"
#include "store/libpq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, ADDRESS_SIZE = 256, PORTS_TRIED = 5 };

static const duration ready_ns = 30 * SECOND; /* a recovery after a crash may take its time */
static const duration stop_ns = 10 * SECOND;

struct own_postgres {
    char folder[PATH_SIZE], data[PATH_SIZE + 8], log[PATH_SIZE + 16], secret[PATH_SIZE + 16];
    char binaries[PATH_SIZE]; /* the folder of initdb and postgres */
    char password[SECRET_SIZE], address[ADDRESS_SIZE];
    uid_t uid; /* who it runs as */
    gid_t gid;
    pid_t pid; /* 0: not running */
    int port;
};

/* --- the binaries and who runs them -----------------------------------------------------------------------
 */

static bool has_binaries(const char *folder)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/initdb", folder);
    if (access(path, X_OK) != 0)
        return false;
    snprintf(path, sizeof path, "%s/postgres", folder);
    return access(path, X_OK) == 0;
}

static bool find_in_path(char *found)
{
    const char *rest = getenv("PATH");
    while (rest && *rest) {
        size_t length = strcspn(rest, ":");
        if (length > 0 && length < PATH_SIZE) {
            snprintf(found, PATH_SIZE, "%.*s", (int)length, rest);
            if (has_binaries(found))
                return true;
        }
        rest += length + (rest[length] == ':');
    }
    return false;
}

/* Distributions keep them out of PATH, a folder for each version; the newest. */
static bool find_binaries(char *found)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                                           "/opt/homebrew/opt/postgresql*/bin",
                                           "/usr/local/opt/postgresql*/bin"};
    if (find_in_path(found))
        return true;
    glob_t all = {.gl_pathc = 0};
    for (size_t i = 0; i < COUNT_OF(patterns); i++)
        glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &all);
    long newest = -1;
    for (size_t i = 0; i < all.gl_pathc; i++) {
        const char *digits = strpbrk(all.gl_pathv[i], "0123456789");
        long version = digits ? strtol(digits, NULL, 10) : 0;
        if (version > newest && has_binaries(all.gl_pathv[i]) && text_copy(found, PATH_SIZE, all.gl_pathv[i]))
            newest = version;
    }
    globfree(&all);
    return newest >= 0;
}

static bool choose_user(struct own_postgres *server, char *error, size_t error_size)
{
    server->uid = geteuid();
    server->gid = getegid();
    if (server->uid != 0)
        return true;
    const struct passwd *user = getpwnam("postgres");
    if (!user)
        user = getpwnam("nobody");
    if (!user || user->pw_uid == 0) {
        snprintf(error, error_size,
                 "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: "
                 "run this as an ordinary user");
        return false;
    }
    server->uid = user->pw_uid;
    server->gid = user->pw_gid;
    return true;
}

/* In the new process. The kernel forgets who is to be told of our end when the user changes: so that comes
 * first. */
static bool become_user(const struct own_postgres *server, pid_t parent)
{
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(server->gid) != 0 || setuid(server->uid) != 0))
        return false;
    prctl(PR_SET_PDEATHSIG, SIGINT); /* a fast shutdown: connections are ended, the data is whole */
    return getppid() == parent;
}

static pid_t launch(const struct own_postgres *server, char *const arguments[])
{
    pid_t parent = getpid(), child = fork();
    if (child != 0)
        return child;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* Ctrl-C in the terminal reaches us alone */
    int null = open("/dev/null", O_RDONLY);
    int log = open(server->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(126);
    if (chdir(server->folder) != 0 || !become_user(server, parent))
        _exit(126);
    unsetenv(STORE_VARIABLE); /* there may be a password in it */
    execv(arguments[0], arguments);
    _exit(127);
}

/* --- the data ---------------------------------------------------------------------------------------------
 */

static bool read_password(struct own_postgres *server)
{
    FILE *file = fopen(server->secret, "re");
    bool read = file && fgets(server->password, sizeof server->password, file);
    if (file)
        fclose(file);
    return read && strlen(server->password) == SECRET_SIZE - 1;
}

static bool write_password(const struct own_postgres *server)
{
    int fd = open(server->secret, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool written = dprintf(fd, "%s\n", server->password) == SECRET_SIZE;
    written = written && (geteuid() != 0 || fchown(fd, server->uid, server->gid) == 0);
    return close(fd) == 0 && written;
}

static bool own_folder(const struct own_postgres *server)
{
    if (mkdir(server->folder, 0700) != 0 && errno != EEXIST)
        return false;
    return geteuid() != 0 || chown(server->folder, server->uid, server->gid) == 0;
}

static void tail_of_log(const struct own_postgres *server, char *tail, size_t size)
{
    FILE *file = fopen(server->log, "re");
    tail[0] = '\0';
    if (!file)
        return;
    fseek(file, 0, SEEK_END);
    long end = ftell(file), from = end > (long)size - 1 ? end - (long)size + 1 : 0;
    fseek(file, from, SEEK_SET);
    tail[fread(tail, 1, size - 1, file)] = '\0';
    fclose(file);
    text_tame(tail);
}

static bool make_data(struct own_postgres *server, char *error, size_t error_size)
{
    char initdb[PATH_SIZE + 16], secret[PATH_SIZE + 32], tail[600], version[PATH_SIZE + 32];
    struct stat status;
    snprintf(version, sizeof version, "%s/PG_VERSION", server->data);
    if (stat(version, &status) == 0 && read_password(server))
        return true;
    if (stat(version, &status) == 0) {
        snprintf(error, error_size, "%s has lost its password: give it back, or move %s away", server->secret,
                 server->folder);
        return false;
    }
    if (!own_folder(server) || !secret_draw(server->password) || !write_password(server)) {
        snprintf(error, error_size, "%s cannot be made: %s", server->folder, strerror(errno));
        return false;
    }
    snprintf(initdb, sizeof initdb, "%s/initdb", server->binaries);
    snprintf(secret, sizeof secret, "--pwfile=%s", server->secret);
    char *arguments[] = {initdb, "-D",         server->data, "-U", "homeostat",     "-E",
                         "UTF8", "--locale=C", secret,       "-A", "scram-sha-256", NULL};
    pid_t child = launch(server, arguments);
    int ended = 0;
    if (child > 0 && waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0)
        return true;
    tail_of_log(server, tail, sizeof tail);
    snprintf(error, error_size, "initdb could not make %s (may user %u reach that folder?): %s", server->data,
             (unsigned)server->uid, tail);
    return false;
}

/* --- the server -------------------------------------------------------------------------------------------
 */

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &length) == 0;
    if (fd >= 0)
        close(fd);
    return bound ? ntohs(address.sin_port) : 0;
}

static bool has_ended(struct own_postgres *server)
{
    if (server->pid > 0 && waitpid(server->pid, NULL, WNOHANG) == server->pid)
        server->pid = 0;
    return server->pid == 0;
}

/* Until it answers with our password, so that it is no other's server on this port. */
static bool wait_until_ready(struct own_postgres *server)
{
    for (int64_t by_ns = monotonic_ns() + ready_ns; monotonic_ns() < by_ns && !has_ended(server);) {
        PGconn *connection = libpq.connectdb(server->address);
        bool ready = libpq.status(connection) == CONNECTION_OK;
        libpq.finish(connection);
        if (ready)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 50 * MILLISECOND}, NULL);
    }
    return false;
}

static void stop(struct own_postgres *server)
{
    if (server->pid > 0)
        kill(server->pid, SIGINT);
    for (int64_t by_ns = monotonic_ns() + stop_ns; !has_ended(server) && monotonic_ns() < by_ns;)
        nanosleep(&(struct timespec){.tv_nsec = 20 * MILLISECOND}, NULL);
    if (server->pid > 0) {
        kill(server->pid, SIGQUIT); /* recovers at its next start */
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

static bool start_on_a_port(struct own_postgres *server)
{
    char postgres[PATH_SIZE + 16], port[16];
    snprintf(postgres, sizeof postgres, "%s/postgres", server->binaries);
    server->port = free_port();
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(server->address, sizeof server->address,
             "postgresql://homeostat:%s@127.0.0.1:%d/postgres?connect_timeout=5&sslmode=disable",
             server->password, server->port);
    char *arguments[] = {postgres,
                         "-D",
                         server->data,
                         "-p",
                         port,
                         "-c",
                         "listen_addresses=127.0.0.1",
                         "-c",
                         "unix_socket_directories=",
                         "-c",
                         "shared_buffers=32MB",
                         "-c",
                         "max_connections=20",
                         "-c",
                         "logging_collector=off",
                         NULL};
    server->pid = launch(server, arguments);
    if (server->pid > 0 && wait_until_ready(server))
        return true;
    stop(server);
    return false;
}

static bool name_paths(struct own_postgres *server, const char *folder)
{
    char *real = NULL;
    if (mkdir(folder, 0700) == 0 || errno == EEXIST)
        real = realpath(folder, NULL);
    bool fits = real && text_copy(server->folder, sizeof server->folder, real);
    free(real);
    snprintf(server->data, sizeof server->data, "%s/data", server->folder);
    snprintf(server->log, sizeof server->log, "%s/server.log", server->folder);
    snprintf(server->secret, sizeof server->secret, "%s/password", server->folder);
    return fits;
}

struct own_postgres *own_postgres_start(const char *folder, char *error, size_t error_size)
{
    struct own_postgres *server = calloc(1, sizeof *server);
    CHECK(server);
    char tail[600];
    bool started = false;
    const char *missing = libpq_load();
    if (missing)
        snprintf(error, error_size, "%s", missing);
    else if (!find_binaries(server->binaries))
        snprintf(error, error_size,
                 "there is no PostgreSQL server here: apt-get install postgresql (Debian, Ubuntu), "
                 "dnf install postgresql-server (Fedora), brew install postgresql");
    else if (!name_paths(server, folder))
        snprintf(error, error_size, "%s cannot be made: %s", folder, strerror(errno));
    else if (choose_user(server, error, error_size) && make_data(server, error, error_size)) {
        for (int tried = 0; tried < PORTS_TRIED && !started; tried++)
            started = start_on_a_port(server);
        tail_of_log(server, tail, sizeof tail);
        if (!started)
            snprintf(error, error_size, "the PostgreSQL server in %s does not start; its log ends with: %s",
                     server->folder, tail);
    }
    if (started)
        return server;
    own_postgres_stop(&server);
    return NULL;
}

const char *own_postgres_address(const struct own_postgres *server)
{
    return server->address;
}

void own_postgres_stop(struct own_postgres **owner)
{
    struct own_postgres *server = *owner;
    if (!server)
        return;
    stop(server);
    explicit_bzero(server->password, sizeof server->password);
    explicit_bzero(server->address, sizeof server->address);
    free(server);
    *owner = NULL;
}
