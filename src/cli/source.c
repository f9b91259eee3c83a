#include "cli/source.h"

#include "base/check.h"
#include "base/text.h"
#include "cli/address.h"
#include "cli/show.h"
#include "cli/store_choice.h"
#include "plane/access.h"
#include "store/store.h"
#include "wire/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 512 };

const char *source_url(const struct source *source)
{
    if (source->url)
        return source->url;
    static char here[ADDRESS_SIZE];
    const char *url = getenv("HOMEOSTAT_URL");
    if (url && *url)
        return url;
    return *here || address_find(here) ? here : "http://127.0.0.1:7070";
}

/* The operator's token of the file, if there is one. False with a sentence if the file cannot be used. */
static bool find_token(const struct source *source, char token[TOKEN_MAX + 1], char *error, size_t error_size)
{
    const char *path = source->token_file ? source->token_file : getenv("HOMEOSTAT_TOKEN_FILE");
    token[0] = '\0';
    if (!path || !*path)
        return true;
    struct access *access = access_load(path, error, error_size);
    const char *found = access ? access_token(access, NULL) : NULL;
    if (found)
        text_copy(token, TOKEN_MAX + 1, found);
    else if (access)
        snprintf(error, error_size, "%s has no line 'operator TOKEN'", path);
    access_free(&access);
    return found != NULL;
}

/* The status, and its body in `*answer`. 0 and a sentence when nobody answered, -1 and a sentence when nobody
 * could be asked. The caller frees `*answer`. */
static int call(const struct source *source, const char *url, const char *method, const char *path,
                const char *content_type, const char *body, char **answer)
{
    char host[256];
    char token[TOKEN_MAX + 1], error[512];
    int port;
    *answer = NULL;
    if (!find_token(source, token, error, sizeof error)) {
        *answer = strdup(error);
        CHECK(*answer);
        return -1;
    }
    if (!client_parse_url(url, host, sizeof host, &port)) {
        CHECK(asprintf(answer, "'%s' is not like http://127.0.0.1:7070", url) >= 0);
        return -1;
    }
    int status = client_call_as(token[0] ? token : NULL, host, port, method, path, content_type, body,
                                body ? strlen(body) : 0, 10 * SECOND, answer);
    explicit_bzero(token, sizeof token);
    return status;
}

/* The server's own words for a refusal: the detail of its problem, and the errors of a policy if there are
 * some. */
static int complain_about(int status, const char *body)
{
    json_t *problem = body ? json_loads(body, 0, NULL) : NULL;
    const char *detail = member_text(problem, "detail");
    const char *title = member_text(problem, "title");
    if (*detail)
        fail(EXIT_NOT_SO, "%s", detail);
    else if (*title)
        fail(EXIT_NOT_SO, "the control plane answered %d %s", status, title);
    else
        fail(EXIT_NOT_SO,
             "what listens there answers %d without a reason, as no control plane does: name "
             "another with --url",
             status);
    if (status == 401)
        fprintf(stderr, "  mend: --token-file FILE with a line 'operator TOKEN', or HOMEOSTAT_TOKEN_FILE\n");
    size_t index;
    json_t *error;
    json_array_foreach(json_object_get(problem, "errors"), index, error)
    {
        fprintf(stderr, "  line %lld, column %lld: %s\n", member_whole(error, "line"),
                member_whole(error, "column"), member_text(error, "text"));
    }
    json_decref(problem);
    return EXIT_NOT_SO;
}

static int take_answer(int status, const char *body, json_t **answer)
{
    if (status < 0)
        return fail(EXIT_USAGE, "%s", body);
    if (status < 200 || status > 299)
        return complain_about(status, body);
    if (!answer)
        return EXIT_DONE;
    json_error_t error;
    *answer = json_loads(body && *body ? body : "{}", 0, &error);
    if (!*answer)
        return fail(EXIT_ENVIRONMENT, "the control plane's answer is no JSON: %s", error.text);
    return EXIT_DONE;
}

int source_call(const struct source *source, const char *method, const char *path, const char *content_type,
                const char *body, json_t **answer)
{
    char *text;
    const char *url = source_url(source);
    int status = call(source, url, method, path, content_type, body, &text);
    int code;
    if (status == 0)
        code = fail(EXIT_ENVIRONMENT, "no control plane answers at %s (%s); '%s up' starts one", url,
                    text ? text : "no reason given", program_name());
    else
        code = take_answer(status, text, answer);
    free(text);
    return code;
}

json_t *source_health(const struct source *source)
{
    if (source->db && !source->url)
        return NULL;
    char *text;
    int status = call(source, source_url(source), "GET", "/healthz", NULL, NULL, &text);
    json_t *health = status > 0 ? json_loads(text ? text : "", 0, NULL) : NULL; /* 503 has a body, too */
    free(text);
    return health;
}

/* `name` has passed text_is_name(), so nothing in it needs escaping. */
static void question_path(const struct question *question, char path[PATH_SIZE])
{
    struct text text = text_over(path, PATH_SIZE);
    char from[32], to[32];
    switch (question->kind) {
    case ASK_NODES:
        text_add(&text, "/v1/nodes");
        break;
    case ASK_INCIDENTS:
        text_addf(&text, "/v1/incidents?limit=%d", question->limit);
        if (question->node)
            text_addf(&text, "&node=%s", question->node);
        if (question->state)
            text_addf(&text, "&state=%s", question->state);
        break;
    case ASK_INCIDENT:
        text_addf(&text, "/v1/incidents/%llu", (unsigned long long)question->id);
        break;
    case ASK_BLOCKED:
        text_addf(&text, "/v1/blocked?limit=%d", question->limit);
        break;
    case ASK_FAULTS:
        text_add(&text, question->active ? "/v1/faults?active=true" : "/v1/faults");
        break;
    case ASK_METRICS:
        text_instant(from, question->from);
        text_instant(to, question->to);
        text_addf(&text, "/v1/nodes/%s/metrics?metric=%s&from=%s&to=%s", question->node, question->metric,
                  from, to);
        if (question->step_ns)
            text_addf(&text, "&step=%lldus", (long long)(question->step_ns / MICROSECOND));
        break;
    }
}

static int read_database(const struct source *source, const struct question *question, const char *why,
                         json_t **answer)
{
    struct store_choice choice = {.store = source->db};
    char error[512] = "", shown[4096];
    int code = store_choose(&choice, "read", "lab/homeostat.db");
    if (code != EXIT_DONE)
        return code;
    const char *store = choice.address ? choice.address : choice.file;
    store_show(store, shown, sizeof shown);
    code = source_read_database(store, question, answer, error, sizeof error);
    if (code == EXIT_ENVIRONMENT && why)
        return fail(code, "%s, and the database cannot be read instead: %s", why, error);
    if (code != EXIT_DONE)
        return fail(code, "%s", error);
    if (why)
        fprintf(stderr, "%s; this is what %s has\n", why, shown);
    return EXIT_DONE;
}

int source_read(const struct source *source, const struct question *question, json_t **answer)
{
    char path[PATH_SIZE];
    *answer = NULL;
    if (source->db && !source->url)
        return read_database(source, question, NULL, answer);
    question_path(question, path);
    const char *url = source_url(source);
    char *text;
    int status = call(source, url, "GET", path, NULL, NULL, &text);
    int code;
    if (status != 0) {
        code = take_answer(status, text, answer);
    } else if (source->url && !source->db) {
        /* Who names a server wants that one; another lab's database would be a wrong answer. */
        code = fail(EXIT_ENVIRONMENT, "no control plane answers at %s (%s)", url,
                    text ? text : "no reason given");
    } else {
        char why[400];
        snprintf(why, sizeof why, "no control plane answers at %s", url);
        code = read_database(source, question, why, answer);
    }
    free(text);
    return code;
}

int source_show(struct source *source, const struct question *question, bool json, const char *rows,
                const char *none, void (*print)(const json_t *rows))
{
    json_t *answer;
    int code = source_read(source, question, &answer);
    if (code != EXIT_DONE)
        return code;
    const json_t *list = json_object_get(answer, rows);
    if (json)
        print_json(answer);
    else if (json_array_size(list) == 0)
        printf("  %s\n", none);
    else
        print(list);
    json_decref(answer);
    return EXIT_DONE;
}
