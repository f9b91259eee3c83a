#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const char quick_policy[] = "version: 1\n"
                            "detectors:\n"
                            "  - {name: cpu-high, when: cpu_utilization > 0.90, for: 100ms, clear: "
                            "cpu_utilization < 0.70, healthy_for: 200ms, confirm: no}\n"
                            "playbooks:\n"
                            "  - on: cpu-high\n"
                            "    steps: [{do: restart_service, settle: 50ms, within: 5s}, {do: page_human}]\n"
                            "guards: {max_disrupted: 50%, per_target: {cooldown: 100ms, attempts: {max: 3, "
                            "within: 10m}}, hold: 0s}\n";

instant world_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

void world_turn(struct world *world)
{
    struct timeval most = {.tv_usec = 5000};
    event_base_loopexit(world->base, &most);
    event_base_loop(world->base, EVLOOP_ONCE);
}

static void forget(struct world *world)
{
    json_decref(world->json);
    free(world->body);
    world->json = NULL;
    world->body = NULL;
    world->status = 0;
    world->answered = false;
}

void world_start_plane(struct world *world)
{
    char error[2048];
    struct plane_options options = {.listen_fd = -1,
                                    .ready_fd = -1,
                                    .database = world->database,
                                    .policy_text = world->policy,
                                    .log_path = world->log,
                                    .scenario_folder = world->folder,
                                    .inject_gap_ns = world->inject_gap_ns};
    world->plane = plane_new(world->base, &options, error, sizeof(error));
    if (!world->plane)
        fail_msg("%s", error);
    world->port = plane_port(world->plane);
    struct client_options client = {.host = "127.0.0.1", .port = world->port, .connections = 8, .queue = 64};
    world->client = client_new(world->base, &client);
    WAIT_FOR(world, call(world, "GET", "/readyz", NULL) == 200);
}

void world_stop_plane(struct world *world)
{
    client_free(&world->client);
    plane_free(&world->plane);
}

void world_open(struct world *world, const char *policy)
{
    memset(world, 0, sizeof(*world));
    world->base = event_base_new();
    world->policy = policy;
    strcpy(world->folder, "/tmp/homeostat-plane-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->database, sizeof(world->database), "%s/lab.db", world->folder);
    snprintf(world->log, sizeof(world->log), "%s/log", world->folder);
    world_start_plane(world);
}

void world_close(struct world *world)
{
    world_stop_plane(world);
    forget(world);
    event_base_free(world->base);
    DIR *folder = opendir(world->folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", world->folder, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(folder);
    assert_int_equal(rmdir(world->folder), 0);
}

/* --- asking -------------------------------------------------------------------------------------------- */

static void on_answer(void *context, const struct answer *answer)
{
    struct world *world = context;
    world->status = answer->status;
    world->body = strdup(answer->body ? answer->body : answer->error ? answer->error : "");
    world->json = json_loads(world->body, 0, NULL);
    world->answered = true;
}

int call_bytes(struct world *world, const char *method, const char *path, const char *type, const char *body,
               size_t length)
{
    forget(world);
    int code = client_send(world->client, method, path, type, body, length, 12 * SECOND, on_answer, world);
    assert_int_equal(code, 0);
    WAIT_FOR(world, world->answered);
    return world->status;
}

int call_as(struct world *world, const char *method, const char *path, const char *type, const char *body)
{
    return call_bytes(world, method, path, type, body, body ? strlen(body) : 0);
}

int call(struct world *world, const char *method, const char *path, const char *body)
{
    return call_as(world, method, path, NULL, body);
}

json_t *member(struct world *world, const char *path)
{
    json_t *value = world->json;
    char name[64];
    while (value && *path) {
        size_t length = strcspn(path, ".");
        memcpy(name, path, length);
        name[length] = '\0';
        value =
            json_is_array(value) ? json_array_get(value, (size_t)atoi(name)) : json_object_get(value, name);
        path += length + (path[length] == '.');
    }
    return value;
}

const char *word(struct world *world, const char *path)
{
    return json_string_value(member(world, path));
}

double number(struct world *world, const char *path)
{
    json_t *value = member(world, path);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* --- a node -------------------------------------------------------------------------------------------- */

void hello(struct world *world, const char *node)
{
    char path[96];
    snprintf(path, sizeof(path), "/v1/nodes/%s", node);
    assert_int_equal(call(world, "PUT", path, "{\"boot\":\"00000000000000b1\",\"interval_s\":0.05}"), 200);
}

int report(struct world *world, const char *node, double cpu)
{
    char path[96], body[160];
    instant until = world_now() + 30 * MILLISECOND;
    while (world_now() < until)
        world_turn(world);
    snprintf(path, sizeof(path), "/v1/nodes/%s/reports", node);
    snprintf(body, sizeof(body),
             "{\"boot\":\"00000000000000b1\",\"sequence\":%llu,\"samples\":{\"cpu_utilization\":%g}}",
             (unsigned long long)++world->sequence, cpu);
    return call(world, "POST", path, body);
}

uint64_t report_until_command(struct world *world, const char *node, double cpu)
{
    WAIT_FOR(world, report(world, node, cpu) == 200 && member(world, "commands.0"));
    return (uint64_t)json_integer_value(member(world, "commands.0.id"));
}

void report_until_state(struct world *world, const char *node, double cpu, int id, const char *state)
{
    char path[64];
    snprintf(path, sizeof(path), "/v1/incidents/%d", id);
    WAIT_FOR(world, report(world, node, cpu) == 200 && call(world, "GET", path, NULL) == 200 &&
                        strcmp(word(world, "state"), state) == 0);
}

int outcome(struct world *world, uint64_t command, const char *node, const char *how)
{
    char path[96], body[256];
    snprintf(path, sizeof(path), "/v1/commands/%llu/outcome", (unsigned long long)command);
    snprintf(body, sizeof(body),
             "{\"node\":\"%s\",\"outcome\":\"%s\",\"took_s\":0.064,\"detail\":\"process 4312 -> 4377\"}",
             node, how);
    return call(world, "POST", path, body);
}

/* --- a socket ------------------------------------------------------------------------------------------ */

char *say_raw(struct world *world, const char *text)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)world->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    char *heard = calloc(1, 1 << 16);
    size_t length = 0;
    ssize_t got = -1;
    instant until = world_now() + PATIENCE_NS;
    while (got != 0 && world_now() < until) { /* Connection: close */
        world_turn(world);
        got = read(fd, heard + length, (1 << 16) - length - 1);
        length += got > 0 ? (size_t)got : 0;
        if (got < 0 && errno != EAGAIN)
            break;
    }
    close(fd);
    return heard;
}
