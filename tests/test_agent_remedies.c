/* Stories about the remedies, each on a node of real processes: its service, its relay, its users and its
 * folders, with the node agent's parts in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/agent.h"
#include "agent/child.h"
#include "agent/link.h"
#include "agent/load.h"
#include "agent/ping.h"
#include "agent/port.h"
#include "agent/remedies.h"
#include "agent/supervisor.h"
#include "agent/versions.h"
#include "agent/warden.h"
#include "base/clock.h"
#include "base/crash.h"
#include "inject/page.h"
#include "inject/vitals.h"
#include "wire/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOT "00000000000000aa"

static char self[512];

struct node {
    char folder[64], data[96], standby[96], scratch[96], releases_folder[96], configs_folder[96], config[128],
        service_log[96], relay_log[96];
    int page_fd, vitals_fd, listen_fd, echo_fd, reserved_fd, port;
    struct page *page;
    struct vitals *vitals;
    struct event_base *base;
    struct agent_options agent;
    struct supervisor_options options;
    struct supervisor *supervisor;
    struct link *link;
    struct load *load;
    struct ping *ping;
    struct versions *releases, *configs;
    struct remedies *remedies;
    /* what was told */
    int starts, deaths, neighbours, isolated, cleaned, reboots, answers;
    enum remedy rolled_back;
    double offered;
    enum outcome outcome;
    char detail[256];
};

static void turn(struct node *node)
{
    struct timeval soon = {.tv_usec = 2000};
    event_base_loopexit(node->base, &soon);
    event_base_dispatch(node->base);
}

#define WAIT(node, condition)                                                                                \
    do {                                                                                                     \
        int64_t by_ns_ = monotonic_ns() + 15 * SECOND;                                                       \
        while (!(condition)) {                                                                               \
            if (monotonic_ns() > by_ns_)                                                                     \
                fail_msg("waited 15 s in vain: %s", #condition);                                             \
            turn(node);                                                                                      \
        }                                                                                                    \
    } while (0)

/* --- the node ------------------------------------------------------------------------------------------- */

static void on_died(void *context, const char *how)
{
    (void)how;
    ((struct node *)context)->deaths++;
}

static void on_started(void *context)
{
    ((struct node *)context)->starts++;
}

static int count_neighbours(void *context)
{
    return ((struct node *)context)->neighbours;
}

static int isolate(void *context, bool isolates)
{
    struct node *node = context;
    node->isolated += isolates ? 1 : -1;
    return node->neighbours;
}

static void on_cleaned(void *context)
{
    ((struct node *)context)->cleaned++;
}

static void on_rolled_back(void *context, enum remedy remedy)
{
    ((struct node *)context)->rolled_back = remedy;
}

static void on_reboot(void *context)
{
    ((struct node *)context)->reboots++;
}

static double offered(void *context)
{
    return ((struct node *)context)->offered;
}

static void open_folders(struct node *node)
{
    strcpy(node->folder, "/tmp/test-remedies-XXXXXX");
    assert_non_null(mkdtemp(node->folder));
    snprintf(node->data, sizeof node->data, "%s/data", node->folder);
    snprintf(node->standby, sizeof node->standby, "%s/standby", node->folder);
    snprintf(node->scratch, sizeof node->scratch, "%s/scratch", node->folder);
    snprintf(node->releases_folder, sizeof node->releases_folder, "%s/releases", node->folder);
    snprintf(node->configs_folder, sizeof node->configs_folder, "%s/configs", node->folder);
    snprintf(node->config, sizeof node->config, "%s/current/conf", node->configs_folder);
    snprintf(node->service_log, sizeof node->service_log, "%s/service.log", node->folder);
    snprintf(node->relay_log, sizeof node->relay_log, "%s/relay.log", node->folder);
    assert_int_equal(mkdir(node->data, 0755) | mkdir(node->standby, 0755) | mkdir(node->scratch, 0755), 0);
    assert_int_equal(versions_open(&node->releases, node->releases_folder, "run", "good\n"), 0);
    assert_int_equal(versions_open(&node->configs, node->configs_folder, "conf", "{\"version\": 1}\n"), 0);
}

static void open_pages(struct node *node)
{
    node->page_fd = page_create(&node->page);
    node->vitals_fd = memfd_create("vitals", MFD_CLOEXEC);
    assert_true(node->page_fd >= 0 && node->vitals_fd >= 0);
    assert_int_equal(ftruncate(node->vitals_fd, sizeof *node->vitals), 0);
    node->vitals = mmap(NULL, sizeof *node->vitals, PROT_READ | PROT_WRITE, MAP_SHARED, node->vitals_fd, 0);
    assert_true(node->vitals != MAP_FAILED);
    node->listen_fd = port_listen("127.0.0.1:0");
    node->echo_fd = port_listen("127.0.0.1:0");
    node->reserved_fd = port_reserve(&node->port);
}

static int node_setup(void **state)
{
    struct node *node = calloc(1, sizeof *node);
    *state = node;
    setenv(WARD_VARIABLE, BOOT, 1);
    open_folders(node);
    open_pages(node);
    node->base = event_base_new();
    node->agent = (struct agent_options){
        .name = "web-1", .folder = node->folder, .capacity_per_s = 400, .quota_bytes = 16 << 20};
    node->offered = -1;
    return 0;
}

/* `exec` NULL: the built-in service. */
static void node_begin(struct node *node, const char *exec, const char *preload)
{
    node->agent.exec = exec;
    node->options = (struct supervisor_options){.agent = &node->agent,
                                                .binary = HOMEOSTAT,
                                                .boot = BOOT,
                                                .port = node->port,
                                                .page_fd = node->page_fd,
                                                .page = node->page,
                                                .vitals_fd = node->vitals_fd,
                                                .vitals = node->vitals,
                                                .data_folder = node->data,
                                                .standby_folder = node->standby,
                                                .log_path = node->service_log,
                                                .config_path = node->config,
                                                .preload_path = preload,
                                                .died = on_died,
                                                .started = on_started,
                                                .context = node};
    struct link_options link = {.binary = HOMEOSTAT,
                                .listen_fd = node->listen_fd,
                                .echo_fd = node->echo_fd,
                                .page_fd = node->page_fd,
                                .to_port = node->port,
                                .log_path = node->relay_log};
    struct load_options load = {.port = port_of(node->listen_fd), .probe = exec ? "tcp" : NULL};
    node->supervisor = supervisor_new(node->base, &node->options);
    node->link = link_new(node->base, &link);
    node->load = load_new(node->base, &load);
    node->ping = ping_new(node->base, port_of(node->echo_fd));
    struct remedies_options remedies = {.supervisor = node->supervisor,
                                        .link = node->link,
                                        .load = node->load,
                                        .ping = node->ping,
                                        .page = node->page,
                                        .releases = node->releases,
                                        .configs = node->configs,
                                        .name = "web-1",
                                        .data_folder = node->data,
                                        .standby_folder = node->standby,
                                        .scratch_folder = node->scratch,
                                        .log_path = node->service_log,
                                        .quota_bytes = node->agent.quota_bytes,
                                        .capacity_per_s = node->agent.capacity_per_s,
                                        .calm_ns = 500 * MILLISECOND,
                                        .echo_port = port_of(node->echo_fd),
                                        .built_in = !exec,
                                        .neighbours = count_neighbours,
                                        .isolate = isolate,
                                        .cleaned = on_cleaned,
                                        .rolled_back = on_rolled_back,
                                        .reboot = on_reboot,
                                        .offered = offered,
                                        .context = node};
    node->remedies = remedies_new(node->base, &remedies);
    assert_true(node->supervisor && node->link && node->load && node->ping && node->remedies);
    assert_int_equal(link_start(node->link), 0);
    assert_int_equal(supervisor_restart(node->supervisor, 0, NULL, NULL), 0);
    WAIT(node, supervisor_state(node->supervisor) == SERVICE_UP);
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status, (void)flag, (void)walk;
    return remove(path);
}

static void node_end(struct node *node)
{
    remedies_free(&node->remedies);
    ping_free(&node->ping);
    load_free(&node->load);
    link_free(&node->link);
    supervisor_free(&node->supervisor);
}

static int node_teardown(void **state)
{
    struct node *node = *state;
    node_end(node);
    versions_close(&node->releases);
    versions_close(&node->configs);
    event_base_free(node->base);
    page_close(node->page);
    munmap(node->vitals, sizeof *node->vitals);
    const int fds[] = {node->page_fd, node->vitals_fd, node->listen_fd, node->echo_fd, node->reserved_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        close(fds[i]);
    nftw(node->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    int left = waitpid(-1, NULL, WNOHANG); /* nothing is left behind: there are no children */
    free(node);
    return left == -1 && errno == ECHILD ? 0 : -1;
}

/* --- words ---------------------------------------------------------------------------------------------- */

static void on_done(void *context, enum outcome outcome, const char *detail)
{
    struct node *node = context;
    node->answers++;
    node->outcome = outcome;
    snprintf(node->detail, sizeof node->detail, "%s", detail);
}

static enum outcome carry_out(struct node *node, enum remedy remedy)
{
    enum outcome outcome;
    int before = node->answers;
    const char *why = remedies_objection(node->remedies, (int)remedy, &outcome);
    if (why) {
        snprintf(node->detail, sizeof node->detail, "%s", why);
        return outcome;
    }
    remedies_begin(node->remedies, remedy, 77, on_done, node);
    WAIT(node, node->answers > before);
    assert_int_equal(node->answers, before + 1);
    return node->outcome;
}

static void undo(struct node *node)
{
    int before = node->answers;
    assert_int_equal(remedies_undo(node->remedies, on_done, node), 0);
    WAIT(node, node->answers > before);
    assert_int_equal(node->outcome, OUTCOME_DONE);
}

#define assert_told(node, text)                                                                              \
    do {                                                                                                     \
        if (!strstr((node)->detail, text))                                                                   \
            fail_msg("'%s' does not say '%s'", (node)->detail, text);                                        \
    } while (0)

static struct answered {
    bool is_there;
    int status;
    char body[512];
} answered;

static void on_answer(void *context, const struct answer *answer)
{
    (void)context;
    answered.is_there = true;
    answered.status = answer->status;
    snprintf(answered.body, sizeof answered.body, "%s", answer->status ? answer->body : answer->error);
}

/* The answer's status; the loop goes on meanwhile, since the node lives on it. */
static int ask(struct node *node, int port, const char *method, const char *path, const char *body)
{
    struct client_options options = {.host = "127.0.0.1", .port = port, .connections = 1, .queue = 1};
    struct client *client = client_new(node->base, &options);
    answered = (struct answered){0};
    assert_int_equal(client_send(client, method, path, "text/plain", body, body ? strlen(body) : 0,
                                 5 * SECOND, on_answer, NULL),
                     0);
    WAIT(node, answered.is_there);
    client_free(&client);
    return answered.status;
}

static bool health_says(struct node *node, int port, const char *text)
{
    return ask(node, port, "GET", "/healthz", NULL) == 200 && strstr(answered.body, text);
}

static bool tree_holds(struct node *node, pid_t pid)
{
    struct tree tree;
    supervisor_tree(node->supervisor, &tree);
    for (size_t i = 0; i < tree.count; i++)
        if (tree.pid[i] == pid)
            return true;
    return false;
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static bool there_is(const char *folder, const char *name)
{
    char path[256];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return lstat(path, &status) == 0;
}

/* --- a program that is not ours ------------------------------------------------------------------------- */

static const char *argument(char **argv, const char *name)
{
    for (; *argv; argv++)
        if (strcmp(*argv, name) == 0)
            return argv[1];
    return "";
}

static void on_term(int number)
{
    (void)number;
    _exit(5);
}

/* Adds a line to that file for each byte that the user says, and answers how long it is. False: he left. */
static bool hear(int user, const char *path)
{
    char byte, text[32];
    if (recv(user, &byte, 1, 0) != 1)
        return false;
    int lines = open(path, O_RDWR | O_CREAT | O_APPEND, 0644);
    if (lines < 0 || write(lines, "\n", 1) != 1)
        abort();
    int length = snprintf(text, sizeof text, "%d\n", (int)lseek(lines, 0, SEEK_END));
    close(lines);
    send(user, text, (size_t)length, MSG_NOSIGNAL);
    return true;
}

/* All at once: the node's own knocks stay for a while without a word, and the test would wait behind them. */
static _Noreturn void serve_users(int listener, const char *data)
{
    enum { USERS = 32 };
    struct pollfd doors[1 + USERS] = {{.fd = listener, .events = POLLIN}};
    nfds_t open_doors = 1;
    char path[256];
    snprintf(path, sizeof path, "%s/lines", data);
    for (;;) {
        doors[0].events = open_doors <= USERS ? POLLIN : 0;
        poll(doors, open_doors, -1);
        for (nfds_t i = open_doors; i-- > 1;)
            if (doors[i].revents && !hear(doors[i].fd, path)) {
                close(doors[i].fd);
                doors[i] = doors[--open_doors];
            }
        if (doors[0].revents & POLLIN)
            doors[open_doors++] = (struct pollfd){.fd = accept(listener, NULL, NULL), .events = POLLIN};
    }
}

/* What it was started with stands in one file of its data folder, what users say is counted in another. */
static int be_program(char **argv)
{
    char path[256];
    signal(SIGTERM, on_term);
    snprintf(path, sizeof path, "%s/environment", argument(argv, "--data"));
    FILE *file = fopen(path, "w");
    if (!file)
        return 3;
    const char *const names[] = {"HOMEOSTAT_PAGE_FD", "HOMEOSTAT_VITALS_FD", "HOMEOSTAT_DATA", "LD_PRELOAD",
                                 "HOMEOSTAT_COMMAND"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fprintf(file, "%s=%s\n", names[i], getenv(names[i]) ? getenv(names[i]) : "");
    struct page *page = NULL;
    const char *fd = getenv("HOMEOSTAT_PAGE_FD");
    fprintf(file, "page=%d scratch=%s\n", fd ? page_open(&page, atoi(fd)) : 1, argument(argv, "--scratch"));
    fclose(file);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argument(argv, "--port"))),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0)
        return 1;
    serve_users(listener, argument(argv, "--data"));
}

static const char *program(void)
{
    static char command[768];
    snprintf(command, sizeof command, "%s program --port {port} --data {data} --scratch {scratch}", self);
    return command;
}

/* Says that to whoever listens there, and returns the first line of the answer. */
static const char *say(int port, const char *text)
{
    static char line[256];
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    ssize_t got = recv(fd, line, sizeof line - 1, 0);
    close(fd);
    line[got > 0 ? got : 0] = '\0';
    return line;
}

/* --- stories: the supervisor ---------------------------------------------------------------------------- */

static void it_says_how_a_process_ended(void **state)
{
    struct node *node = *state;
    node_begin(node, program(), NULL);
    assert_int_equal(supervisor_exit(node->supervisor), -1);
    assert_int_equal(node->starts, 1);
    kill(supervisor_pid(node->supervisor), SIGKILL);
    WAIT(node, node->deaths == 1);
    assert_int_equal(supervisor_state(node->supervisor), SERVICE_DEAD);
    assert_int_equal(supervisor_exit(node->supervisor), 128 + SIGKILL);
    assert_int_equal(supervisor_group(node->supervisor), 0);
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    assert_int_equal(node->starts, 2);
    kill(supervisor_pid(node->supervisor), SIGTERM);
    WAIT(node, node->deaths == 2);
    assert_int_equal(supervisor_exit(node->supervisor), 5);
}

static void a_stop_is_no_death(void **state)
{
    struct node *node = *state;
    int tries = 0;
    node_begin(node, NULL, NULL);
    do { /* a service that gets no processor for as long as it is waited for is killed instead, and rightly */
        assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
        supervisor_stop(node->supervisor, NULL, NULL);
        WAIT(node, supervisor_state(node->supervisor) == SERVICE_STOPPED);
    } while (supervisor_exit(node->supervisor) == 128 + SIGKILL && ++tries < 5);
    assert_int_equal(node->deaths, 0);
    assert_int_equal(supervisor_exit(node->supervisor), 0);
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    assert_int_equal(supervisor_instances(node->supervisor), 1);
}

static void on_helper_died(void *context, int status)
{
    *(int *)context = status;
}

static void a_helper_is_in_the_services_group_and_on_its_own(void **state)
{
    struct node *node = *state;
    struct child helper = {.pidfd = -1};
    int status = -1;
    node_begin(node, NULL, NULL);
    char *argv[] = {"/bin/sleep", "100", NULL};
    struct child_options options = {.argv = argv,
                                    .group = supervisor_group(node->supervisor),
                                    .log_fd = -1,
                                    .died = on_helper_died,
                                    .context = &status};
    pid_t service = supervisor_pid(node->supervisor);
    assert_int_equal(options.group, service);
    assert_int_equal(child_start(&helper, node->base, &options), 0);
    assert_int_equal(getpgid(helper.pid), service);
    assert_true(child_is_watched(helper.pid));
    child_signal(&helper, SIGUSR1); /* would kill the service, too */
    WAIT(node, status >= 0);
    assert_int_equal(child_exit_code(status), 128 + SIGUSR1);
    assert_int_equal(supervisor_pid(node->supervisor), service);
    assert_int_equal(ask(node, node->port, "GET", "/healthz", NULL), 200);
    status = -1;
    assert_int_equal(child_start(&helper, node->base, &options), 0);
    pid_t pid = helper.pid;
    WAIT(node, tree_holds(node, pid)); /* its memory is the service's */
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    WAIT(node, status >= 0); /* it has died with the group, and nobody else reaped it */
    assert_false(child_is_watched(pid));
    assert_int_equal(kill(pid, 0), -1);
    options.group = service; /* that is no more */
    status = -1;
    assert_int_equal(child_start(&helper, node->base, &options), 0);
    WAIT(node, status >= 0);
    assert_int_equal(child_exit_code(status), 127);
}

static void a_stopped_program_may_still_end_as_it_likes(void **state)
{
    struct node *node = *state;
    node_begin(node, program(), NULL);
    pid_t service = supervisor_pid(node->supervisor);
    kill(service, SIGSTOP);
    WAIT(node, process_state(service) == 'T');
    supervisor_stop(node->supervisor, NULL, NULL);
    kill(service, SIGCONT); /* as the helper does when it is told to end */
    WAIT(node, supervisor_state(node->supervisor) == SERVICE_STOPPED);
    assert_int_equal(supervisor_exit(node->supervisor), 5);
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    kill(supervisor_pid(node->supervisor), SIGSTOP); /* and nobody lets it go on */
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    assert_int_equal(supervisor_exit(node->supervisor), 128 + SIGKILL);
}

static void a_program_is_told_of_the_page_if_there_is_a_library(void **state)
{
    struct node *node = *state;
    char text[2048] = "", path[256], wanted[512];
    const char *before = getenv("LD_PRELOAD"); /* a sanitizer's, say */
    before = before ? strdup(before) : NULL;
    node_begin(node, program(), "/usr/lib/no-such-library.so");
    snprintf(path, sizeof path, "%s/environment", node->data);
    int fd = open(path, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    snprintf(wanted, sizeof wanted, "HOMEOSTAT_DATA=%s:%s\n", node->data, node->standby);
    assert_non_null(strstr(text, wanted));
    snprintf(wanted, sizeof wanted, "LD_PRELOAD=/usr/lib/no-such-library.so%s%s\n", before ? ":" : "",
             before ? before : "");
    assert_non_null(strstr(text, wanted));
    snprintf(wanted, sizeof wanted, "page=0 scratch=%s\n", node->scratch);
    assert_non_null(strstr(text, wanted));
    snprintf(wanted, sizeof wanted, "HOMEOSTAT_VITALS_FD=%d\n", node->vitals_fd);
    assert_non_null(strstr(text, wanted));
    assert_non_null(strstr(text, "HOMEOSTAT_COMMAND=\n"));
    assert_null(getenv("HOMEOSTAT_DATA"));
    assert_null(getenv("HOMEOSTAT_PAGE_FD"));
    assert_true(before ? strcmp(getenv("LD_PRELOAD"), before) == 0 : !getenv("LD_PRELOAD"));
    free((void *)(uintptr_t)before);
}

/* --- stories: load -------------------------------------------------------------------------------------- */

static void two_instances_carry_the_load_until_one_is_enough(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(supervisor_instances(node->supervisor), 1);
    assert_int_equal(ask(node, node->port, "PUT", "/kv/a", "one"), 204);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_told(node, "instances 1 -> 2");
    assert_int_equal(supervisor_instances(node->supervisor), 2);
    int second = page_second_port(node->page), pid;
    assert_true(second > 0 && second != node->port);
    assert_int_equal(sscanf(node->detail, "instances 1 -> 2: process %d", &pid), 1);
    assert_true(tree_holds(node, pid));
    assert_int_equal(ask(node, second, "GET", "/kv/a", NULL), 200);
    assert_string_equal(answered.body, "one");
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_told(node, "nothing changed");
    assert_int_equal(page_second_port(node->page), second);
    node->offered = 0.9; /* too much for one */
    int64_t since_ns = monotonic_ns();
    WAIT(node, monotonic_ns() - since_ns > 3 * SECOND);
    assert_int_equal(supervisor_instances(node->supervisor), 2);
    node->offered = 0.1;
    WAIT(node, page_second_port(node->page) == 0);
    assert_int_equal(supervisor_instances(node->supervisor), 1);
    assert_int_equal(ask(node, second, "GET", "/kv/a", NULL), 200); /* it takes leave of its users first */
    WAIT(node, kill(pid, 0) < 0);
    assert_int_equal(node->deaths, 0);
    assert_int_equal(ask(node, node->port, "GET", "/kv/a", NULL), 200);
}

static void the_second_ends_with_the_first_and_not_the_other_way_round(void **state)
{
    struct node *node = *state;
    int second, third;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_int_equal(sscanf(node->detail, "instances 1 -> 2: process %d", &second), 1);
    kill(second, SIGKILL);
    WAIT(node, page_second_port(node->page) == 0);
    assert_int_equal(supervisor_state(node->supervisor), SERVICE_UP);
    assert_int_equal(node->deaths, 0);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_int_equal(sscanf(node->detail, "instances 1 -> 2: process %d", &third), 1);
    kill(supervisor_pid(node->supervisor), SIGKILL);
    WAIT(node, node->deaths == 1 && kill(third, 0) < 0);
    assert_int_equal(page_second_port(node->page), 0);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_REFUSED);
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE);
    assert_told(node, "the second instance ended");
    assert_int_equal(supervisor_instances(node->supervisor), 1);
    assert_int_equal(page_second_port(node->page), 0);
}

static void shedding_is_told_to_both_and_undone(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_SHED_LOAD), OUTCOME_DONE);
    assert_told(node, "400 requests/s");
    assert_true(health_says(node, node->port, "\"shedding\":true"));
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_int_equal(carry_out(node, REMEDY_SHED_LOAD), OUTCOME_DONE);
    assert_told(node, "both instances");
    assert_true(health_says(node, page_second_port(node->page), "\"shedding\":true"));
    undo(node);
    assert_told(node, "the second instance ends");
    assert_told(node, "load shedding ended");
    assert_true(health_says(node, node->port, "\"shedding\":false"));
    assert_int_equal(page_second_port(node->page), 0);
    undo(node);
    assert_string_equal(node->detail, "there was nothing to undo");
}

static void without_a_capacity_nothing_can_be_shed(void **state)
{
    struct node *node = *state;
    node->agent.capacity_per_s = -1;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_SHED_LOAD), OUTCOME_UNSUPPORTED);
    assert_told(node, "capacity");
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE); /* which needs none */
}

static void a_drain_is_undone(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    int port = port_of(node->listen_fd);
    assert_int_equal(ask(node, port, "GET", "/healthz", NULL), 200);
    assert_int_equal(carry_out(node, REMEDY_DRAIN_NODE), OUTCOME_DONE);
    assert_true(link_is_drained(node->link));
    assert_int_equal(carry_out(node, REMEDY_DRAIN_NODE), OUTCOME_DONE);
    assert_told(node, "nothing changed");
    undo(node);
    assert_told(node, "users are let in again");
    assert_false(link_is_drained(node->link));
    assert_int_equal(ask(node, port, "GET", "/healthz", NULL), 200);
}

/* --- stories: versions ---------------------------------------------------------------------------------- */

static double strength(const struct node *node, enum fault_kind kind)
{
    return page_intensity(node->page, kind, page_incarnation(node->page, kind));
}

static void a_faulty_release_is_left(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_RELEASE), OUTCOME_UNSUPPORTED);
    assert_told(node, "there is no release before this one");
    assert_int_equal(versions_roll_out(node->releases, "leaks\n", 7), 2);
    page_renew(node->page, FAULT_MEMORY_LEAK);
    page_set(node->page, FAULT_MEMORY_LEAK, 0.5, monotonic_ns() + MINUTE);
    assert_int_equal(carry_out(node, REMEDY_RESTART_SERVICE), OUTCOME_DONE); /* beside the point */
    assert_true(strength(node, FAULT_MEMORY_LEAK) > 0);
    pid_t before = supervisor_pid(node->supervisor);
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_RELEASE), OUTCOME_DONE);
    assert_told(node, "release 2 -> 1, process ");
    assert_true(strength(node, FAULT_MEMORY_LEAK) == 0);
    assert_int_equal(node->rolled_back, REMEDY_ROLLBACK_RELEASE);
    assert_int_equal(versions_current(node->releases), 1);
    assert_true(supervisor_pid(node->supervisor) != before);
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_RELEASE), OUTCOME_UNSUPPORTED);
}

static void a_broken_configuration_is_left(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    pid_t before = supervisor_pid(node->supervisor);
    assert_true(health_says(node, node->port, "\"config\":1"));
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_CONFIG), OUTCOME_UNSUPPORTED);
    assert_int_equal(versions_roll_out(node->configs, "{\"version\": 2, \"broken\": true}\n", 7), 2);
    page_renew(node->page, FAULT_BAD_CONFIG);
    page_set(node->page, FAULT_BAD_CONFIG, 1, monotonic_ns() + MINUTE);
    supervisor_reload(node->supervisor);
    WAIT(node, health_says(node, node->port, "\"config\":2"));
    assert_int_equal(ask(node, node->port, "GET", "/kv/a", NULL), 500);
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_CONFIG), OUTCOME_DONE);
    assert_told(node, "configuration 2 -> 1, and the service has read it");
    assert_true(strength(node, FAULT_BAD_CONFIG) == 0);
    assert_int_equal(node->rolled_back, REMEDY_ROLLBACK_CONFIG);
    assert_int_equal(ask(node, node->port, "GET", "/kv/a", NULL), 404);
    assert_int_equal(supervisor_pid(node->supervisor), before);
}

static void a_service_that_does_not_read_it_is_no_success(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(versions_roll_out(node->configs, "{\"version\": 2}\n", 7), 2);
    supervisor_reload(node->supervisor);
    WAIT(node, health_says(node, node->port, "\"config\":2"));
    pid_t pid = supervisor_pid(node->supervisor);
    kill(pid, SIGSTOP);
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_CONFIG), OUTCOME_FAILED);
    assert_told(node, "configuration 2 -> 1, but the service did not say within 2 s");
    kill(pid, SIGCONT);
}

static void a_reload_while_it_starts_is_not_lost(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    for (int i = 2; i < 12; i++) {
        char text[32], wanted[32];
        supervisor_stop(node->supervisor, NULL, NULL);
        WAIT(node, supervisor_state(node->supervisor) == SERVICE_STOPPED);
        assert_int_equal(supervisor_restart(node->supervisor, 0, NULL, NULL), 0);
        assert_int_equal(supervisor_state(node->supervisor), SERVICE_STARTING);
        snprintf(text, sizeof text, "{\"version\": %d}\n", i);
        assert_int_equal(versions_roll_out(node->configs, text, 0), i);
        supervisor_reload(node->supervisor);
        WAIT(node, supervisor_state(node->supervisor) == SERVICE_UP);
        snprintf(wanted, sizeof wanted, "\"config\":%d,", i);
        WAIT(node, health_says(node, node->port, wanted));
    }
    assert_int_equal(node->deaths, 0);
}

/* --- stories: the disk ---------------------------------------------------------------------------------- */

static void a_disk_is_cleaned_of_what_may_be_lost(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    write_file(node->scratch, "ballast", "123456");
    write_file(node->data, "precious", "1");
    assert_int_equal(carry_out(node, REMEDY_CLEAN_DISK), OUTCOME_DONE);
    assert_told(node, "1 file with ");
    assert_int_equal(node->cleaned, 1);
    assert_true(there_is(node->data, "precious") && !there_is(node->scratch, "ballast"));
    assert_int_equal(carry_out(node, REMEDY_CLEAN_DISK), OUTCOME_DONE);
    assert_told(node, "nothing changed");
}

static void a_program_goes_on_in_the_other_folder_with_its_data(void **state)
{
    struct node *node = *state;
    node_begin(node, program(), NULL);
    assert_string_equal(say(node->port, "x"), "1\n");
    assert_string_equal(say(node->port, "x"), "2\n");
    write_file(node->standby, "leftover", "of last time");
    page_set(node->page, FAULT_STORAGE_LATENCY, 0.2, monotonic_ns() + MINUTE);
    page_set(node->page, FAULT_IO_ERROR, 0.5, monotonic_ns() + MINUTE);
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_DONE);
    assert_told(node, "storage primary -> standby, process ");
    assert_true(strength(node, FAULT_STORAGE_LATENCY) == 0 && strength(node, FAULT_IO_ERROR) == 0);
    assert_string_equal(say(node->port, "x"), "3\n");
    assert_true(there_is(node->standby, "lines") && !there_is(node->standby, "leftover"));
    assert_int_equal(node->deaths, 0);
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_DONE);
    assert_told(node, "storage standby -> primary");
    assert_string_equal(say(node->port, "x"), "4\n");
}

static void the_next_node_agent_knows_where_the_data_is(void **state)
{
    struct node *node = *state;
    node_begin(node, program(), NULL);
    assert_string_equal(say(node->port, "x"), "1\n");
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_DONE);
    assert_string_equal(say(node->port, "x"), "2\n");
    node_end(node);
    node_begin(node, program(), NULL);
    assert_true(supervisor_on_standby(node->supervisor));
    assert_string_equal(say(node->port, "x"), "3\n");
}

static void what_cannot_be_copied_is_started_where_it_was(void **state)
{
    struct node *node = *state;
    node_begin(node, program(), NULL);
    assert_string_equal(say(node->port, "x"), "1\n");
    assert_int_equal(rmdir(node->standby), 0);
    write_file(node->folder, "standby", "no folder");
    page_set(node->page, FAULT_IO_ERROR, 0.5, monotonic_ns() + MINUTE);
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_FAILED);
    assert_told(node, "the data was not copied: Not a directory; started again where it was, process ");
    assert_true(strength(node, FAULT_IO_ERROR) > 0);
    assert_false(supervisor_on_standby(node->supervisor));
    assert_string_equal(say(node->port, "x"), "2\n");
    assert_int_equal(unlink(node->standby), 0); /* one that is missing is made */
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_DONE);
    assert_string_equal(say(node->port, "x"), "3\n");
}

static void what_cp_cannot_copy_is_started_where_it_was(void **state)
{
    struct node *node = *state;
    snprintf(node->standby, sizeof node->standby, "%s/missing/standby", node->folder);
    node_begin(node, program(), NULL);
    assert_string_equal(say(node->port, "x"), "1\n");
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_FAILED);
    assert_told(node, "the copy exited with code 1");
    assert_string_equal(say(node->port, "x"), "2\n");
}

static void what_does_not_fit_is_not_begun(void **state)
{
    struct node *node = *state;
    node->agent.quota_bytes = 100 << 10;
    node_begin(node, program(), NULL);
    pid_t before = supervisor_pid(node->supervisor);
    static char big[64 << 10];
    memset(big, 'x', sizeof big - 1);
    write_file(node->data, "big", big);
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_FAILED);
    assert_told(node, "nothing changed");
    assert_int_equal(supervisor_pid(node->supervisor), before);
}

static void redis_keeps_its_data(void **state)
{
    struct node *node = *state;
    if (access("/usr/bin/redis-server", X_OK) < 0)
        skip();
    node_begin(node, "redis-server --port {port} --dir {data} --appendonly yes --save ''", NULL);
    assert_string_equal(say(node->port, "SET colour green\r\n"), "+OK\r\n");
    assert_int_equal(carry_out(node, REMEDY_FAILOVER_STORAGE), OUTCOME_DONE);
    WAIT(node, strcmp(say(node->port, "GET colour\r\n"), "$5\r\ngreen\r\n") == 0); /* once it has loaded */
    assert_true(there_is(node->standby, "appendonlydir") || there_is(node->standby, "appendonly.aof"));
    assert_int_equal(carry_out(node, REMEDY_SHED_LOAD), OUTCOME_UNSUPPORTED);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_UNSUPPORTED);
    assert_int_equal(carry_out(node, REMEDY_ROLLBACK_CONFIG), OUTCOME_UNSUPPORTED);
}

/* --- stories: the node ---------------------------------------------------------------------------------- */

static void a_neighbour_is_stopped_and_let_go(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_ISOLATE_NEIGHBOUR), OUTCOME_UNSUPPORTED);
    assert_told(node, "no other process is on this node");
    node->neighbours = 1;
    assert_int_equal(carry_out(node, REMEDY_ISOLATE_NEIGHBOUR), OUTCOME_DONE);
    assert_told(node, "1 process beside the service stopped");
    assert_int_equal(node->isolated, 1);
    undo(node);
    assert_told(node, "go on");
    assert_int_equal(node->isolated, 0);
}

static void a_reset_frees_the_link_of_all_that_struck_it(void **state)
{
    struct node *node = *state;
    const enum fault_kind kinds[] = {FAULT_NETWORK_DELAY, FAULT_NETWORK_LOSS, FAULT_NETWORK_BANDWIDTH,
                                     FAULT_NETWORK_CUT};
    node_begin(node, NULL, NULL);
    for (int i = 0; i < 4; i++)
        page_set(node->page, kinds[i], i == 2 ? 1e6 : 0.1, monotonic_ns() + MINUTE);
    assert_int_equal(carry_out(node, REMEDY_RESET_NETWORK), OUTCOME_DONE);
    assert_told(node, "relay ");
    for (int i = 0; i < 4; i++)
        assert_true(strength(node, kinds[i]) == 0);
    assert_int_equal(node->starts, 1);
}

static void a_reboot_begins_all_afresh(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(ask(node, node->port, "PUT", "/kv/a", "one"), 204);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    assert_int_equal(carry_out(node, REMEDY_DRAIN_NODE), OUTCOME_DONE);
    page_set(node->page, FAULT_NETWORK_DELAY, 0.1, monotonic_ns() + MINUTE);
    page_set(node->page, FAULT_CPU_SPIKE, 0.5, monotonic_ns() + MINUTE);
    page_set(node->page, FAULT_STORAGE_LATENCY, 0.01, monotonic_ns() + MINUTE);
    pid_t service = supervisor_pid(node->supervisor), relay = link_pid(node->link);
    assert_int_equal(carry_out(node, REMEDY_REBOOT_NODE), OUTCOME_DONE);
    assert_told(node, "process ");
    assert_told(node, "relay ");
    assert_told(node, "the second instance ended");
    assert_told(node, "users are let in again");
    assert_int_equal(node->reboots, 1);
    assert_true(supervisor_pid(node->supervisor) != service && link_pid(node->link) != relay);
    assert_true(strength(node, FAULT_NETWORK_DELAY) == 0 && strength(node, FAULT_CPU_SPIKE) == 0);
    assert_true(strength(node, FAULT_STORAGE_LATENCY) > 0); /* that is the disk's */
    assert_int_equal(ask(node, port_of(node->listen_fd), "GET", "/kv/a", NULL), 200);
    kill(supervisor_pid(node->supervisor), SIGKILL);
    WAIT(node, node->deaths == 1);
    assert_int_equal(carry_out(node, REMEDY_REBOOT_NODE), OUTCOME_DONE); /* also when all is dead */
    assert_int_equal(ask(node, port_of(node->listen_fd), "GET", "/kv/a", NULL), 200);
}

static void some_things_are_not_ours_to_do(void **state)
{
    struct node *node = *state;
    enum outcome outcome;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_PAGE_HUMAN), OUTCOME_UNSUPPORTED);
    assert_non_null(remedies_objection(node->remedies, -1, &outcome));
    assert_int_equal(outcome, OUTCOME_UNSUPPORTED);
    assert_non_null(remedies_objection(node->remedies, REMEDY_COUNT, &outcome));
    remedies_begin(node->remedies, REMEDY_RESTART_SERVICE, 1, on_done, node);
    assert_non_null(remedies_objection(node->remedies, REMEDY_CLEAN_DISK, &outcome));
    assert_int_equal(outcome, OUTCOME_REFUSED);
    assert_int_equal(remedies_undo(node->remedies, on_done, node), -EBUSY);
    WAIT(node, node->answers == 1);
}

/* In a process of its own: a node agent that is killed in the middle of a remedy. */
static _Noreturn void be_killed(struct node *node, const char *exec, enum remedy remedy)
{
    node->base = event_base_new();
    if (versions_open(&node->releases, node->releases_folder, "run", "good\n") < 0 ||
        versions_open(&node->configs, node->configs_folder, "conf", "{\"version\": 1}\n") < 0)
        _exit(1);
    node_begin(node, exec, NULL);
    versions_roll_out(node->releases, "newer\n", 0);
    versions_roll_out(node->configs, "{\"version\": 2}\n", 0);
    node->neighbours = 1;
    write_file(node->scratch, "ballast", "123456");
    crash_arm("mid_effect");
    carry_out(node, remedy);
    _exit(2);
}

static void half_done(struct node *node, const char *exec, enum remedy remedy)
{
    int status;
    versions_close(&node->releases);
    versions_close(&node->configs);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        be_killed(node, exec, remedy);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s was not cut: status %x", remedy_name(remedy), (unsigned)status);
    WAIT(node, waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* all that it had started has ended */
    page_set_second_port(node->page, 0); /* the next node agent has a page of its own */
    assert_int_equal(versions_open(&node->releases, node->releases_folder, "run", "newer\n"), 0);
    assert_int_equal(versions_open(&node->configs, node->configs_folder, "conf", "{\"version\": 2}\n"), 0);
    node_begin(node, exec, NULL);
    node->neighbours = 1;
    if (carry_out(node, remedy) != OUTCOME_DONE)
        fail_msg("%s again: %s", remedy_name(remedy), node->detail);
    node_end(node);
}

static void what_was_cut_in_the_middle_can_be_done_again(void **state)
{
    static const enum remedy remedies[] = {
        REMEDY_RESTART_SERVICE,  REMEDY_FAILOVER_STORAGE, REMEDY_RESET_NETWORK,     REMEDY_DRAIN_NODE,
        REMEDY_SHED_LOAD,        REMEDY_SCALE_OUT,        REMEDY_ISOLATE_NEIGHBOUR, REMEDY_CLEAN_DISK,
        REMEDY_ROLLBACK_RELEASE, REMEDY_ROLLBACK_CONFIG,  REMEDY_REBOOT_NODE};
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++)
        half_done(*state, NULL, remedies[i]);
}

static void a_move_that_was_cut_loses_nothing(void **state)
{
    struct node *node = *state;
    node_begin(node, program(), NULL);
    assert_string_equal(say(node->port, "x"), "1\n");
    node_end(node);
    half_done(node, program(), REMEDY_FAILOVER_STORAGE);
    node_begin(node, program(), NULL);
    assert_string_equal(say(node->port, "x"), "2\n");
}

static void an_end_in_the_middle_of_anything_leaves_nothing(void **state)
{
    struct node *node = *state;
    node_begin(node, NULL, NULL);
    assert_int_equal(carry_out(node, REMEDY_SCALE_OUT), OUTCOME_DONE);
    remedies_begin(node->remedies, REMEDY_SHED_LOAD, 1, on_done, node);
    remedies_free(&node->remedies); /* and the teardown looks for children */
}

static void the_warden_cleans_up_after_a_dead_node_agent(void **state)
{
    struct node *node = *state;
    char scratch[128];
    write_file(node->scratch, "ballast", "123456");
    snprintf(scratch, sizeof scratch, "%s/sub", node->scratch);
    assert_int_equal(mkdir(scratch, 0755), 0);
    write_file(node->data, "precious", "1");
    assert_int_equal(versions_roll_out(node->releases, "leaks\n", 7), 2);
    assert_int_equal(versions_roll_out(node->configs, "{\"version\": 2, \"broken\": true}\n", 8), 2);
    versions_close(&node->releases);
    versions_close(&node->configs);
    fflush(stdout);
    pid_t agent = fork();
    if (agent == 0) {
        struct warden warden;
        close_range(3, ~0u, 0);
        if (warden_start(&warden, "00000000000000bb", node->folder) < 0)
            _exit(1);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_true(WIFSIGNALED(status));
    WAIT(node, !there_is(node->scratch, "ballast") && !there_is(node->scratch, "sub"));
    WAIT(node, !there_is(node->releases_folder, "2") && !there_is(node->configs_folder, "2"));
    assert_true(there_is(node->data, "precious") && there_is(node->configs_folder, "current/conf"));
    WAIT(node, waitpid(-1, NULL, WNOHANG) > 0); /* the warden has come to us, its subreaper */
    write_file(node->scratch, "ballast", "of the next node agent");
    assert_int_equal(versions_open(&node->releases, node->releases_folder, "run", "good\n"), 0);
    assert_int_equal(versions_current(node->releases), 1);
    struct warden warden; /* a late one does not touch what somebody else has already */
    assert_int_equal(warden_start(&warden, "00000000000000bb", node->folder), 0);
    warden_end(&warden);
    assert_true(there_is(node->scratch, "ballast"));
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, node_setup, node_teardown)

int main(int argc, char **argv)
{
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 3;
    if (argc > 1 && strcmp(argv[1], "program") == 0)
        return be_program(argv);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest stories[] = {
        STORY(it_says_how_a_process_ended),
        STORY(a_stop_is_no_death),
        STORY(a_helper_is_in_the_services_group_and_on_its_own),
        STORY(a_stopped_program_may_still_end_as_it_likes),
        STORY(a_program_is_told_of_the_page_if_there_is_a_library),
        STORY(two_instances_carry_the_load_until_one_is_enough),
        STORY(the_second_ends_with_the_first_and_not_the_other_way_round),
        STORY(shedding_is_told_to_both_and_undone),
        STORY(without_a_capacity_nothing_can_be_shed),
        STORY(a_drain_is_undone),
        STORY(a_faulty_release_is_left),
        STORY(a_broken_configuration_is_left),
        STORY(a_service_that_does_not_read_it_is_no_success),
        STORY(a_reload_while_it_starts_is_not_lost),
        STORY(a_disk_is_cleaned_of_what_may_be_lost),
        STORY(a_program_goes_on_in_the_other_folder_with_its_data),
        STORY(the_next_node_agent_knows_where_the_data_is),
        STORY(what_cannot_be_copied_is_started_where_it_was),
        STORY(what_cp_cannot_copy_is_started_where_it_was),
        STORY(what_does_not_fit_is_not_begun),
        STORY(redis_keeps_its_data),
        STORY(a_neighbour_is_stopped_and_let_go),
        STORY(a_reset_frees_the_link_of_all_that_struck_it),
        STORY(a_reboot_begins_all_afresh),
        STORY(some_things_are_not_ours_to_do),
        STORY(what_was_cut_in_the_middle_can_be_done_again),
        STORY(a_move_that_was_cut_loses_nothing),
        STORY(an_end_in_the_middle_of_anything_leaves_nothing),
        STORY(the_warden_cleans_up_after_a_dead_node_agent),
    };
    return cmocka_run_group_tests_name("the remedies", stories, NULL, NULL);
}
