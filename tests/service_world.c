#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a service with its two folders, its page and its vitals --- */

int serve(const struct world *world)
{
    struct service_options options = {.name = "web-1",
                                      .address = "127.0.0.1",
                                      .port = world->port,
                                      .data_dir = world->first ? NULL : world->primary,
                                      .standby_dir = world->first ? NULL : world->standby,
                                      .capacity = world->capacity,
                                      .config_path = world->has_config ? world->config : NULL,
                                      .folder = world->active,
                                      .upstream_count = world->upstream_count,
                                      .page_fd = world->page_fd,
                                      .vitals_fd = world->vitals_fd};

    int errors = open(world->errors, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(dup2(errors, STDERR_FILENO) >= 0);
    close(errors);
    if (world->first)
        options.primary = (struct service_upstream){.host = "127.0.0.1", .port = world->first->port};
    memcpy(options.upstreams, world->upstreams, sizeof(options.upstreams));
    return service_main(options);
}

/* Starts it, on the port it had before if it had one, and waits for the line that says it listens. */
void up(struct world *world)
{
    char line[128] = "";
    int pipes[2];

    page_renew(world->page, FAULT_CPU_SPIKE);
    assert_int_equal(pipe(pipes), 0);
    int64_t began_at = monotonic_ns();
    world->pid = start();
    if (world->pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        exit(serve(world));
    }
    close(pipes[1]);
    for (size_t length = 0; !strchr(line, '\n') && length < sizeof(line) - 1; length++)
        assert_int_equal(read(pipes[0], line + length, 1), 1);
    close(pipes[0]);
    assert_true(seconds_since(began_at) < 10);
    const char *colon = strrchr(line, ':');
    assert_memory_equal(line, "service web-1 listening on 127.0.0.1:", 37);
    world->port = (uint16_t)atoi(colon + 1);
}

void down(struct world *world)
{
    assert_int_equal(end(world->pid, SIGTERM), 0);
}

void again(struct world *world)
{
    end(world->pid, SIGKILL);
    up(world);
}

struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    strcpy(world->folder, "/tmp/homeostat-service-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->primary, sizeof(world->primary), "%s/primary", world->folder);
    snprintf(world->standby, sizeof(world->standby), "%s/standby", world->folder);
    snprintf(world->log, sizeof(world->log), "%s/kv.log", world->primary);
    snprintf(world->config, sizeof(world->config), "%s/conf", world->folder);
    snprintf(world->errors, sizeof(world->errors), "%s/errors", world->folder);
    world->page_fd = page_create(&world->page);
    assert_true(world->page_fd >= 0);
    world->vitals_fd = memfd_create("vitals", 0);
    assert_int_equal(ftruncate(world->vitals_fd, 4096), 0);
    world->vitals = mmap(NULL, sizeof(struct vitals), PROT_READ, MAP_SHARED, world->vitals_fd, 0);
    assert_true(world->vitals != MAP_FAILED);
    return world;
}

struct world *second_new(const struct world *first)
{
    struct world *world = world_new();

    munmap(world->vitals, sizeof(struct vitals));
    close(world->vitals_fd);
    world->vitals = first->vitals;
    world->vitals_fd = first->vitals_fd;
    world->first = first;
    world->capacity = first->capacity;
    return world;
}

void world_free(struct world *world)
{
    const char *const folders[] = {world->primary, world->standby};
    const char *const files[] = {"kv.log", "kv.log.new", "lock", "started"};
    char path[128];

    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < 4; j++) {
            snprintf(path, sizeof(path), "%s/%s", folders[i], files[j]);
            unlink(path);
        }
        rmdir(folders[i]);
    }
    unlink(world->config);
    unlink(world->errors);
    assert_int_equal(rmdir(world->folder), 0);
    if (!world->first) {
        munmap(world->vitals, sizeof(struct vitals));
        close(world->vitals_fd);
    }
    close(world->page_fd);
    page_close(world->page);
    free(world);
}

int fails_to_start(const struct world *world)
{
    int status;
    pid_t child = start();

    if (child == 0)
        _exit(serve(world));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

const char *complaints(const struct world *world)
{
    static char text[8192];
    int fd = open(world->errors, O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    assert_true(length >= 0);
    text[length] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

void configure(struct world *world, const char *text)
{
    world->has_config = true;
    unlink(world->config);
    if (!text)
        return;
    FILE *file = fopen(world->config, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

void calls(struct world *world, const struct world *upstream)
{
    world->upstreams[world->upstream_count++] =
        (struct service_upstream){.host = "127.0.0.1", .port = upstream->port};
}

/* --- its users --- */

void ask(int fd, const char *method, const char *path, const char *headers, const char *body)
{
    char *text;
    int length = asprintf(
        &text, "%s %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method,
        path, headers, strlen(body), body);

    assert_true(length > 0);
    say(fd, text);
    free(text);
}

/* Reads to the end, which "Connection: close" brings, and closes. */
struct answer *answer_of(int fd, struct answer *answer)
{
    size_t length = 0;
    ssize_t more;

    memset(answer, 0, sizeof(*answer));
    while ((more = recv(fd, answer->body + length, sizeof(answer->body) - 1 - length, 0)) > 0)
        length += (size_t)more;
    close(fd);
    char *body = strstr(answer->body, "\r\n\r\n");
    if (!body || sscanf(answer->body, "HTTP/1.1 %d", &answer->code) != 1)
        return answer;
    memmove(answer->body, body + 4, strlen(body + 4) + 1);
    return answer;
}

/* The newest answer; each one forgets the last. */
struct answer *http(const struct world *world, const char *method, const char *path, const char *body)
{
    static struct answer answer;
    int64_t began_at = monotonic_ns();
    int fd = user_of(world->port);

    ask(fd, method, path, "", body);
    answer_of(fd, &answer);
    answer.seconds = seconds_since(began_at);
    return &answer;
}

void put(const struct world *world, const char *path, const char *value)
{
    assert_int_equal(http(world, "PUT", path, value)->code, 204);
}

void holds(const struct world *world, const char *path, const char *value)
{
    struct answer *answer = http(world, "GET", path, "");

    assert_int_equal(answer->code, 200);
    assert_string_equal(answer->body, value);
}

void refuses(const struct world *world, const char *method, const char *path, int code, const char *error)
{
    struct answer *answer = http(world, method, path, "");

    assert_int_equal(answer->code, code);
    assert_non_null(strstr(answer->body, error));
    assert_memory_equal(answer->body, "{\"error\":\"", 10);
}
