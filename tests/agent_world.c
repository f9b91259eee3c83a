#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent_world.h"

#include "agent/agent.h"
#include "agent/tree.h"
#include "base/check.h"
#include "inject/relay.h"
#include "service/service.h"
#include "wire/json.h"
#include "wire/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char self[512]; /* the path of this program */

/* --- the roles of this program -------------------------------------------------------------------------- */

static const char *argument(char **argv, const char *name)
{
    for (; *argv; argv++)
        if (strcmp(*argv, name) == 0)
            return argv[1];
    return NULL;
}

static int number(char **argv, const char *name, int otherwise)
{
    const char *text = argument(argv, name);
    return text ? atoi(text) : otherwise;
}

static int be_agent(char **argv)
{
    struct agent_options options = {.name = "web-1",
                                    .plane_url = argument(argv, "--plane"),
                                    .role = "web",
                                    .interval_ns = number(argv, "--interval-ms", 100) * MILLISECOND,
                                    .folder = argument(argv, "--folder"),
                                    .exec = argument(argv, "--exec"),
                                    .probe = argument(argv, "--probe"),
                                    .load_rate = 50,
                                    .spool_bytes = (size_t)number(argv, "--spool-bytes", 0),
                                    .binary = self};
    return agent_main(&options) < 0 ? 3 : 0;
}

static int be_service(char **argv)
{
    const char *port = strrchr(argument(argv, "--listen"), ':') + 1;
    struct service_options options = {
        .name = argument(argv, "--name"),
        .address = "127.0.0.1",
        .port = (uint16_t)atoi(port),
        .data_dir = argument(argv, "--data"),
        .standby_dir = argument(argv, "--standby"),
        .folder = strcmp(argument(argv, "--folder"), "standby") == 0 ? KV_STANDBY : KV_PRIMARY,
        .page_fd = number(argv, "--page-fd", -1),
        .vitals_fd = number(argv, "--vitals-fd", -1)};
    return service_main(options);
}

static int be_relay(char **argv)
{
    const char *port = strrchr(argument(argv, "--to"), ':') + 1;
    struct relay_options options = {.listen_fd = number(argv, "--listen-fd", -1),
                                    .echo_fd = number(argv, "--echo-fd", -1),
                                    .page_fd = number(argv, "--page-fd", -1),
                                    .to_host = "127.0.0.1",
                                    .to_port = (uint16_t)atoi(port)};
    return relay_main(options);
}

static void burn_for_ever(void)
{
    for (volatile uint64_t turns = 0;; turns++)
        ;
}

pid_t world_neighbour(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a story that fails does not come to killing it */
        burn_for_ever();
    }
    return pid;
}

static void write_witness(const char *path)
{
    char line[32];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int length = snprintf(line, sizeof line, "%d\n", getpid());
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        abort();
    close(fd);
}

/* A program that is not ours: says in a file that it was started, and answers whoever says something. */
static int be_program(char **argv)
{
    const char *manner = argument(argv, "--manner");
    manner = manner ? manner : "";
    write_witness(argument(argv, "--witness"));
    if (strcmp(manner, "stubborn") == 0)
        signal(SIGTERM, SIG_IGN);
    if (strcmp(manner, "busy") == 0 && fork() == 0)
        burn_for_ever();
    if (strcmp(manner, "parent") == 0 && fork() == 0) { /* a child that runs away, and has one in turn */
        setsid();
        write_witness(argument(argv, "--witness"));
        if (fork() == 0)
            write_witness(argument(argv, "--witness"));
        for (;;)
            pause();
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number(argv, "--port", 0)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0)
        return 1;
    for (;;) {
        char bytes[64];
        int user = accept(fd, NULL, NULL);
        ssize_t got = recv(user, bytes, sizeof bytes, 0);
        if (got > 0)
            send(user, bytes, (size_t)got, MSG_NOSIGNAL);
        close(user);
    }
}

/* --- the control plane ---------------------------------------------------------------------------------- */

static void answer_json(struct request *request, json_t *body)
{
    size_t length;
    char *text = json_text_of(body, &length);
    server_answer(request, 200, NULL, text, length);
    free(text);
}

static void hear_report(struct world *world, json_t *body, size_t batch)
{
    const char *boot = json_string_value(json_object_get(body, "boot"));
    assert_true(world->count < REPORTS_MAX);
    struct heard *heard = &world->heard[world->count++];
    *heard = (struct heard){.body = json_incref(body),
                            .sequence = (uint64_t)json_integer_value(json_object_get(body, "sequence")),
                            .age_s = json_number_value(json_object_get(body, "age_s")),
                            .at_ns = monotonic_ns(),
                            .batch = batch};
    snprintf(heard->boot, sizeof heard->boot, "%s", boot ? boot : "");
}

size_t world_came(const struct world *world, const char *boot, uint64_t sequence)
{
    size_t times = 0;
    for (size_t i = 0; i < world->count; i++)
        times += world->heard[i].sequence == sequence && strcmp(world->heard[i].boot, boot) == 0;
    return times;
}

/* All that came is durable, unless we are forgetful. */
static json_t *orders_of(struct world *world, const char *boot)
{
    json_t *answer = json_object();
    uint64_t through = 0;
    for (size_t i = 0; i < world->count && !world->forgetful; i++)
        if (strcmp(world->heard[i].boot, boot) == 0 && world->heard[i].sequence > through)
            through = world->heard[i].sequence;
    for (size_t i = 0; i < json_array_size(world->gaps) && !world->forgetful; i++) {
        json_t *gap = json_array_get(world->gaps, i);
        uint64_t to = (uint64_t)json_integer_value(json_object_get(gap, "to"));
        if (strcmp(json_string_value(json_object_get(gap, "boot")), boot) == 0 && to > through)
            through = to;
    }
    json_object_set_new(answer, "accepted", json_integer(1));
    if (!world->old)
        json_object_set_new(answer, "epoch", json_integer(world->epoch));
    json_object_set_new(answer, "stored_through",
                        json_pack("{s:s, s:I}", "boot", boot, "sequence", (json_int_t)through));
    json_object_set(answer, "commands", world->commands);
    json_object_set(answer, "faults", world->faults);
    return answer;
}

static bool refuses(const struct world *world, json_t *body, json_t *list)
{
    if (world->old && json_object_get(body, "gaps"))
        return true;
    for (size_t i = 0; world->picky && i < json_array_size(list); i++)
        if (json_integer_value(json_object_get(json_array_get(list, i), "sequence")) % 100 == 77)
            return true;
    return false;
}

static void on_reports(struct world *world, struct request *request, json_t *body, size_t length)
{
    json_t *list = json_object_get(body, "reports"), *gaps = json_object_get(body, "gaps");
    size_t count = json_array_size(list);
    world->bodies++;
    world->biggest = length > world->biggest ? length : world->biggest;
    if (refuses(world, body, list)) {
        server_problem(request, 400, NULL, "we do not like it");
        return;
    }
    for (size_t i = 0; i < count; i++)
        hear_report(world, json_array_get(list, i), count);
    if (!list)
        hear_report(world, body, 1);
    json_array_extend(world->gaps, gaps);
    for (int64_t by_ns = monotonic_ns() + world->slow_ns; list && monotonic_ns() < by_ns;)
        ; /* it has one thread */
    json_t *last = list && count == 0 ? json_array_get(gaps, json_array_size(gaps) - 1)
                   : list             ? json_array_get(list, count - 1)
                                      : body;
    if (world->mute) {
        assert_true(world->unanswered_count < 64);
        world->unanswered[world->unanswered_count++] = request;
    } else {
        answer_json(request, orders_of(world, json_string_value(json_object_get(last, "boot"))));
    }
}

static void on_request(void *context, struct request *request)
{
    struct world *world = context;
    const char *method = request_method(request), *path = request_path(request);
    size_t length;
    const char *text = request_body(request, &length);
    json_t *body = length ? json_loadb(text, length, 0, NULL) : NULL;
    if (world->strict) {
        server_problem(request, 401, NULL, "a token is needed: Authorization: Bearer TOKEN");
    } else if (strcmp(method, "PUT") == 0) {
        world->hellos++;
        snprintf(world->boot, sizeof world->boot, "%s", json_string_value(json_object_get(body, "boot")));
        const char *address = json_string_value(json_object_get(body, "address"));
        snprintf(world->address, sizeof world->address, "%s", address ? address : "");
        world->service = (pid_t)json_integer_value(json_object_get(body, "pid"));
        answer_json(request,
                    json_pack("{s:s, s:i, s:f}", "node", "web-1", "epoch", world->epoch, "interval_s", 0.1));
    } else if (strcmp(method, "DELETE") == 0) {
        const char *boot = request_query(request, "boot");
        if (world->hellos > 0) /* it takes leave of its own boot only */
            assert_string_equal(boot ? boot : "", world->boot);
        world->goodbyes++;
        server_answer(request, 204, NULL, "", 0);
    } else if (strstr(path, "/outcome")) {
        json_object_set_new(body, "id", json_integer(atoll(path + strlen("/v1/commands/"))));
        json_array_append(world->outcomes, body);
        answer_json(request, json_object());
    } else {
        on_reports(world, request, body, length);
    }
    json_decref(body);
}

void world_plane_start(struct world *world)
{
    char error[128];
    struct server_options options = {.address = "127.0.0.1", .port = world->port, .listen_fd = -1};
    world->server = server_start(world->base, &options, on_request, NULL, world, error, sizeof error);
    if (!world->server)
        fail_msg("%s", error);
    world->port = server_port(world->server);
}

void world_plane_stop(struct world *world)
{
    for (size_t i = 0; i < world->unanswered_count; i++) /* the answer is as good as lost: it is none */
        server_problem(world->unanswered[i], 503, NULL, "going away");
    world->unanswered_count = 0;
    server_stop(&world->server);
}

void world_turn(struct world *world)
{
    struct timeval soon = {.tv_usec = 5000};
    event_base_loopexit(world->base, &soon);
    event_base_dispatch(world->base);
}

static int open_log(const struct world *world, int flags)
{
    char path[96];
    snprintf(path, sizeof path, "%s/stderr", world->folder);
    return open(path, flags, 0600);
}

bool world_said(const struct world *world, const char *text)
{
    char said[16384] = "";
    int fd = open_log(world, O_RDONLY);
    ssize_t got = read(fd, said, sizeof said - 1);
    close(fd);
    said[got > 0 ? got : 0] = '\0';
    return strstr(said, text) != NULL;
}

void world_agent_start(struct world *world, const char *manner, int interval_ms, const char *probe)
{
    char url[64], interval[16], bytes[24], command[1024];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", world->port);
    snprintf(interval, sizeof interval, "%d", interval_ms);
    snprintf(bytes, sizeof bytes, "%zu", world->spool_bytes);
    snprintf(command, sizeof command, "%s program --port {port} --witness %s --manner %s", self,
             world->witness, manner ? manner : "");
    char *argv[] = {
        self,     "agent",         "--plane", url,      "--folder", world->folder, "--interval-ms",
        interval, "--spool-bytes", bytes,     "--exec", command,    "--probe",     (char *)(uintptr_t)probe,
        NULL};
    if (!manner)
        argv[10] = NULL;
    fflush(stdout);
    world->agent = fork();
    if (world->agent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int log = open_log(world, O_WRONLY | O_CREAT | O_APPEND);
        if (!getenv("AGENT_TEST_TALK"))
            dup2(log, 2);
        close_range(3, ~0u, 0); /* the control plane's sockets must be the control plane's alone */
        execv(self, argv);
        _exit(127);
    }
    assert_true(world->agent > 0);
}

int world_agent_end(struct world *world, int signal_number)
{
    int status = -1;
    kill(world->agent, signal_number);
    WAIT(world, 10, waitpid(world->agent, &status, WNOHANG) == world->agent);
    world->agent = 0;
    return status;
}

/* --- what the world has seen ---------------------------------------------------------------------------- */

static const struct heard *newest(const struct world *world)
{
    return world->count ? &world->heard[world->count - 1] : NULL;
}

double world_sample(const struct world *world, const char *metric, double otherwise)
{
    json_t *value =
        world->count ? json_object_get(json_object_get(newest(world)->body, "samples"), metric) : NULL;
    return value ? json_number_value(value) : otherwise;
}

const char *world_fault(const struct world *world, int id, const char *name)
{
    json_t *faults = world->count ? json_object_get(newest(world)->body, "faults") : NULL;
    for (size_t i = 0; i < json_array_size(faults); i++) {
        json_t *fault = json_array_get(faults, i);
        const char *word = json_string_value(json_object_get(fault, name));
        if (json_integer_value(json_object_get(fault, "id")) == id)
            return word ? word : "";
    }
    return "";
}

const char *world_outcome(const struct world *world, uint32_t sequence, const char *name)
{
    for (size_t i = json_array_size(world->outcomes); i-- > 0;) {
        json_t *told = json_array_get(world->outcomes, i);
        if ((uint64_t)json_integer_value(json_object_get(told, "id")) == world_command_id(sequence))
            return json_string_value(json_object_get(told, name));
    }
    return "";
}

uint64_t world_command_id(uint32_t sequence)
{
    return ((uint64_t)EPOCH << 32) + sequence;
}

json_t *world_command(const struct world *world, uint32_t sequence, const char *remedy)
{
    return json_pack("{s:I, s:s, s:i, s:i, s:i, s:s, s:f, s:s}", "id", (json_int_t)world_command_id(sequence),
                     "remedy", remedy, "incident", 1, "attempt", 1, "epoch", EPOCH, "boot", world->boot,
                     "expires_in_s", 5.0, "reason", "a test");
}

void world_order(struct world *world, uint32_t sequence, const char *remedy)
{
    json_array_append_new(world->commands, world_command(world, sequence, remedy));
}

void world_strike(struct world *world, int id, const char *kind, double intensity)
{
    json_array_append_new(world->faults, json_pack("{s:i, s:s, s:f, s:f}", "id", id, "kind", kind,
                                                   "intensity", intensity, "lease_s", 30.0));
}

int world_witnesses(const struct world *world, pid_t *pids, int most)
{
    FILE *file = fopen(world->witness, "r");
    int count = 0, pid;
    while (file && fscanf(file, "%d", &pid) == 1) {
        if (count < most)
            pids[count] = pid;
        count++;
    }
    if (file)
        fclose(file);
    return count;
}

int world_starts(const struct world *world)
{
    return world_witnesses(world, NULL, 0);
}

bool world_is_up(const struct world *world)
{
    return world_sample(world, "service_up", 0) == 1 && world_sample(world, "request_rate", 0) > 0;
}

bool world_outcome_is(const struct world *world, uint32_t sequence, const char *word)
{
    return strcmp(world_outcome(world, sequence, "outcome"), word) == 0;
}

bool world_fault_is(const struct world *world, int id, const char *name, const char *word)
{
    return strcmp(world_fault(world, id, name), word) == 0;
}

bool world_is_gone(pid_t pid)
{
    char state = process_state(pid);
    return state == 0 || state == 'Z';
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status, (void)flag, (void)walk;
    return remove(path);
}

int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    *state = world;
    strcpy(world->folder, "/tmp/test-agent-XXXXXX");
    if (!mkdtemp(world->folder))
        return -1;
    snprintf(world->witness, sizeof world->witness, "%s.witness", world->folder);
    world->base = event_base_new();
    world->commands = json_array();
    world->faults = json_array();
    world->outcomes = json_array();
    world->gaps = json_array();
    world->epoch = EPOCH;
    world_plane_start(world);
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    /* A clean end each time: only so is every story also looked at by the leak checker. */
    int status = world->agent > 0 ? world_agent_end(world, SIGTERM) : 0;
    if (world->server)
        world_plane_stop(world);
    for (size_t i = 0; i < world->count; i++)
        json_decref(world->heard[i].body);
    json_decref(world->commands);
    json_decref(world->faults);
    json_decref(world->outcomes);
    json_decref(world->gaps);
    event_base_free(world->base);
    nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    unlink(world->witness);
    free(world);
    return status;
}

bool world_role(int argc, char **argv, int *exit_code)
{
    static const struct {
        const char *name;
        int (*be)(char **argv);
    } roles[] = {{"agent", be_agent}, {"service", be_service}, {"relay", be_relay}, {"program", be_program}};
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        abort();
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        if (argc < 2 || strcmp(argv[1], roles[i].name) != 0)
            continue;
        *exit_code = roles[i].be(argv);
        return true;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* what a killed node agent leaves behind would come to us */
    return false;
}
