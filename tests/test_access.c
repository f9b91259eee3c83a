/* Tokens: what a token file may say, and what its tokens open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane/access.h"
#include "plane_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPERATOR "operator-operator-operator"
#define ANY_NODE "any-node-any-node-any-node"
#define WEB_1    "web-1-web-1-web-1-web-1"
#define STRANGER "a-token-that-nobody-wrote"

static const char usual[] = "# who may do what\n"
                            "operator " OPERATOR "\n"
                            "\n"
                            "node\t" WEB_1 " web-1   # only that one\n"
                            "node " ANY_NODE "\n";

static void write_tokens(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* --- the file ------------------------------------------------------------------------------------------- */

static void a_file_that_is_not_right_is_refused_with_its_line(void **state)
{
    (void)state;
    char many[300 * 40] = "", longest[200] = "node ";
    for (int i = 0; i < 257; i++)
        snprintf(many + strlen(many), 40, "node %d-abcdefghijklmnop\n", i);
    memset(longest + 5, 'x', 129);
    const struct {
        const char *text;
        mode_t mode;
        const char *told;
    } files[] = {
        {usual, 0644, "mend: chmod 600"},
        {usual, 0640, "mode 640"},
        {"", 0600, "has no token"},
        {"# nothing\n\n", 0600, "has no token"},
        {"operator\n", 0600, ":1: the token is missing"},
        {"operator short\n", 0600, ":1: a token has 16 to 128"},
        {longest, 0600, ":1: a token has 16 to 128"},
        {"operator \xc3\xa9" OPERATOR "\n", 0600, ":1: a token has"},
        {"# x\nadmin " OPERATOR "\n", 0600, ":2: a line begins with"},
        {"operator " OPERATOR " web-1\n", 0600, "not bound"},
        {"node " WEB_1 " web/1\n", 0600, "name of a node"},
        {"node " WEB_1 " web-1 web-2\n", 0600, "more than three words"},
        {"node " WEB_1 "\noperator " WEB_1 "\n", 0600, ":2: this token stands"},
        {many, 0600, ":257: there are more than 256"},
    };
    char path[] = "/tmp/homeostat-tokens-XXXXXX", error[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        write_tokens(path, files[i].text, files[i].mode);
        error[0] = '\0';
        struct access *access = access_load(path, error, sizeof error);
        if (access || !strstr(error, files[i].told) || strstr(error, OPERATOR) || strstr(error, WEB_1))
            fail_msg("file %zu, expected '%s': %s", i, files[i].told, error);
    }
    assert_null(access_load("/nowhere/tokens", error, sizeof error));
    assert_non_null(strstr(error, "cannot read the token file"));
    close(fd);
    remove(path);
}

static void a_fifo_or_another_users_file_is_no_token_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/homeostat-tokens-XXXXXX", path[64], error[512] = "";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokens", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10); /* nobody writes into it: who waits for that waits for ever */
    assert_null(access_load(path, error, sizeof error));
    alarm(0);
    assert_non_null(strstr(error, "no regular file"));
    remove(path);
    if (geteuid() == 0) {
        write_tokens(path, usual, 0600);
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_null(access_load(path, error, sizeof error));
        assert_non_null(strstr(error, "belongs to another user (number 12345)"));
        remove(path);
    }
    rmdir(folder);
}

static void each_token_opens_what_it_is_for(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum right right;
        const char *node;
        enum access_verdict verdict;
    } cases[] = {
        {NULL, RIGHT_OPEN, "", ACCESS_GRANTED},
        {NULL, RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"", RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Bearer", RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Bearer ", RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {OPERATOR, RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Basic " OPERATOR, RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Bearer " STRANGER, RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Bearer " OPERATOR "x", RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Bearer operator-operator-operato", RIGHT_OPERATOR, "", ACCESS_NAMELESS},
        {"Bearer " OPERATOR, RIGHT_OPERATOR, "", ACCESS_GRANTED},
        {"bearer  " OPERATOR, RIGHT_ALL_NODES, "", ACCESS_GRANTED},
        {"Bearer " ANY_NODE, RIGHT_OWN_NODE, "db-1", ACCESS_GRANTED},
        {"Bearer " ANY_NODE, RIGHT_ALL_NODES, "", ACCESS_GRANTED},
        {"Bearer " ANY_NODE, RIGHT_OPERATOR, "", ACCESS_FORBIDDEN},
        {"Bearer " WEB_1, RIGHT_OWN_NODE, "web-1", ACCESS_GRANTED},
        {"Bearer " WEB_1, RIGHT_OWN_NODE, "web-11", ACCESS_FORBIDDEN},
        {"Bearer " WEB_1, RIGHT_SOME_NODE, "12", ACCESS_GRANTED},
        {"Bearer " WEB_1, RIGHT_ALL_NODES, "", ACCESS_FORBIDDEN},
    };
    char path[] = "/tmp/homeostat-tokens-XXXXXX", error[512] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    write_tokens(path, usual, 0600);
    struct access *access = access_load(path, error, sizeof error);
    if (!access)
        fail_msg("%s", error);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (access_judge(access, cases[i].header, cases[i].right, cases[i].node) != cases[i].verdict)
            fail_msg("case %zu: %s", i, cases[i].header ? cases[i].header : "no header");
    assert_string_equal(access_token(access, NULL), OPERATOR);
    assert_string_equal(access_token(access, "web-1"), WEB_1);
    assert_string_equal(access_token(access, "db-1"), ANY_NODE);
    access_free(&access);
    assert_null(access);
    close(fd);
    remove(path);
}

/* --- the API -------------------------------------------------------------------------------------------- */

static void guard(struct world *world, char path[128])
{
    char error[512];
    world_open(world, quick_policy);
    world_stop_plane(world);
    snprintf(path, 128, "%s/tokens", world->folder);
    write_tokens(path, usual, 0600);
    struct plane_options options = {.listen_fd = -1,
                                    .ready_fd = -1,
                                    .address = "0.0.0.0",
                                    .token_file = path,
                                    .database = world->database,
                                    .policy_text = world->policy,
                                    .log_path = world->log};
    world->plane = plane_new(world->base, &options, error, sizeof error);
    if (!world->plane)
        fail_msg("%s", error);
    world->port = plane_port(world->plane);
}

/* From now on with that token; NULL: without. */
static void become(struct world *world, const char *token)
{
    struct client_options options = {
        .host = "127.0.0.1", .port = world->port, .connections = 2, .queue = 8, .token = token};
    if (world->client)
        client_free(&world->client);
    world->client = client_new(world->base, &options);
    assert_non_null(world->client);
}

static const char sample[] = "{\"samples\":{\"cpu_utilization\":0.1}}";

static void the_api_asks_for_tokens(void **state)
{
    (void)state;
    struct world world;
    char path[128];
    guard(&world, path);
    become(&world, NULL);
    WAIT_FOR(&world, call(&world, "GET", "/readyz", NULL) == 200);
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 401);
    assert_int_equal(call(&world, "GET", "/v1/events", NULL), 401);
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 401);
    char *raw = say_raw(&world, "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n");
    assert_non_null(strstr(raw, "403")); /* the Host is looked at first */
    free(raw);

    become(&world, STRANGER);
    assert_int_equal(call(&world, "POST", "/v1/pause", "{}"), 401);
    assert_null(strstr(world.body, STRANGER));

    become(&world, WEB_1);
    assert_int_equal(call(&world, "PUT", "/v1/nodes/web-1", "{}"), 200);
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports", sample), 200);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1/commands", NULL), 200);
    assert_int_equal(call(&world, "POST", "/v1/nodes/db-1/reports", sample), 403);
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/db-1", NULL), 403);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 403);
    assert_int_equal(call(&world, "POST", "/v1/reports", "{\"reports\":[]}"), 403);
    assert_int_equal(call(&world, "PUT", "/v1/policy", "{}"), 403);
    assert_int_equal(call(&world, "POST", "/v1/faults", "{}"), 403);
    assert_int_equal(
        call(&world, "POST", "/v1/commands/7/outcome", "{\"node\":\"db-1\",\"outcome\":\"done\"}"), 403);
    assert_int_equal(
        call(&world, "POST", "/v1/commands/7/outcome", "{\"node\":\"web-1\",\"outcome\":\"done\"}"), 404);
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1", NULL), 204);

    become(&world, ANY_NODE);
    assert_int_equal(call(&world, "POST", "/v1/nodes/db-1/reports", sample), 200);
    assert_int_equal(call(&world, "POST", "/v1/resume", "{}"), 403);

    become(&world, OPERATOR);
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 200);
    assert_int_equal(call(&world, "POST", "/v1/pause", "{}"), 200);
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(world.body, "homeostat_http_unauthorized_total 4\n"));
    assert_non_null(strstr(world.body, "homeostat_http_forbidden_total 8\n"));
    world_close(&world);
}

static void tokens_are_read_again_and_bad_ones_change_nothing(void **state)
{
    (void)state;
    struct world world;
    char path[128];
    guard(&world, path);
    become(&world, OPERATOR);
    WAIT_FOR(&world, call(&world, "GET", "/v1/nodes", NULL) == 200);
    write_tokens(path, "operator short\n", 0600);
    plane_reload_tokens(world.plane);
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 200);
    write_tokens(path, "operator another-one-another-one\n", 0600);
    plane_reload_tokens(world.plane);
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 401);
    become(&world, "another-one-another-one");
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 200);
    world_close(&world);
}

static void beyond_the_loopback_tokens_are_needed(void **state)
{
    (void)state;
    struct world world;
    char error[512] = "";
    world_open(&world, quick_policy);
    struct plane_options options = {
        .listen_fd = -1, .ready_fd = -1, .address = "0.0.0.0", .database = "/nowhere", .log_path = ""};
    assert_null(plane_new(world.base, &options, error, sizeof error));
    assert_int_equal(errno, EPERM);
    assert_non_null(strstr(error, "--token-file FILE"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_not_right_is_refused_with_its_line),
        cmocka_unit_test(a_fifo_or_another_users_file_is_no_token_file),
        cmocka_unit_test(each_token_opens_what_it_is_for),
        cmocka_unit_test(the_api_asks_for_tokens),
        cmocka_unit_test(tokens_are_read_again_and_bad_ones_change_nothing),
        cmocka_unit_test(beyond_the_loopback_tokens_are_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
