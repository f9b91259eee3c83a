/* The policy, and the words that concern the whole fleet. */
#include "plane/api.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/policy_file.h"
#include "policy/policy_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* FNV-1a, 64 bits: tells one text from another at a glance; it guards against nothing. */
static uint64_t digest(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

/* With every default filled in; out of memory it is null. */
static json_t *effective_text(const struct plane *plane)
{
    char *bytes = malloc(POLICY_TEXT_SIZE);
    if (!bytes)
        return json_null();
    struct text text = text_over(bytes, POLICY_TEXT_SIZE);
    policy_write(&text, core_policy(plane->core));
    json_t *value = json_of_text(bytes);
    free(bytes);
    return value;
}

static void answer_policy(struct plane *plane, struct request *request, bool effective)
{
    char hex[17];
    snprintf(hex, sizeof(hex), "%016" PRIx64, digest(plane->policy_text));
    json_t *answer = json_object();
    json_object_set_new(answer, "version", json_integer((json_int_t)plane->policy_version));
    json_object_set_new(answer, "digest", json_string(hex));
    json_object_set_new(answer, "mode", json_string(mode_name(core_policy(plane->core)->mode)));
    json_object_set_new(answer, "text", effective ? effective_text(plane) : json_of_text(plane->policy_text));
    api_answer(request, 200, answer);
}

void api_show_policy(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    const char *effective = request_query(request, "effective");
    if (effective && strcmp(effective, "true") != 0 && strcmp(effective, "false") != 0)
        server_problem(request, 400, NULL, "effective: true or false");
    else
        answer_policy(plane, request, effective && strcmp(effective, "true") == 0);
}

static void answer_complaints(struct request *request, const struct complaints *complaints)
{
    json_t *problem = json_object(), *errors = json_array();
    for (uint32_t i = 0; i < complaints->count; i++) {
        const struct complaint *complaint = &complaints->list[i];
        if (complaint->note)
            continue;
        json_t *item = json_object();
        json_object_set_new(item, "line", json_integer(complaint->line));
        json_object_set_new(item, "column", json_integer(complaint->column));
        json_object_set_new(item, "text", json_of_text(complaint->text));
        json_array_append_new(errors, item);
    }
    char detail[128];
    snprintf(detail, sizeof(detail), "the policy has %u error%s; the one before stays", complaints->errors,
             complaints->errors == 1 ? "" : "s");
    json_object_set_new(problem, "type", json_string("about:blank"));
    json_object_set_new(problem, "title", json_string("Unprocessable Content"));
    json_object_set_new(problem, "status", json_integer(422));
    json_object_set_new(problem, "detail", json_string(detail));
    json_object_set_new(problem, "errors", errors);
    size_t length;
    char *text = json_text_of(problem, &length);
    CHECK(text);
    server_answer(request, 422, "application/problem+json", text, length);
    free(text);
}

static void policy_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end == WAIT_DONE)
        answer_policy(plane, waiter->request, false);
    else
        api_not_kept(plane, waiter->request);
}

static void adopt(struct plane *plane, struct request *request, const char *text, const struct policy *policy)
{
    struct policy_row row = {.version = plane->policy_version + 1, .at = plane->now, .text = text};
    if (store_put_policy(plane->commits.writer, &row) < 0) {
        api_not_kept(plane, request);
        return;
    }
    plane_rows_put(plane, true);
    char *copy = strdup(text);
    CHECK(copy);
    free(plane->policy_text);
    plane->policy_text = copy;
    plane->policy_version = row.version;
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = policy};
    plane_step(plane, &event);
    char notice[96];
    snprintf(notice, sizeof(notice), "policy version %llu, mode %s", (unsigned long long)row.version,
             mode_name(policy->mode));
    record_notice(plane, "CONTROL", notice);
    plane_run_deadlines(plane);
    api_promise(plane, request, policy_is_kept, 0, 0);
}

static bool is_yaml(const char *type)
{
    static const char *const types[] = {"application/yaml", "application/x-yaml", "text/yaml"};
    for (size_t i = 0; type && i < COUNT_OF(types); i++)
        if (strncasecmp(type, types[i], strlen(types[i])) == 0)
            return true;
    return false;
}

void api_put_policy(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    if (!is_yaml(request_header(request, "Content-Type"))) {
        server_problem(request, 415, NULL,
                       "the body is the policy file itself; with curl: -H 'Content-Type: application/yaml' "
                       "--data-binary @policy.yaml");
        return;
    }
    size_t length;
    const char *text = request_body(request, &length);
    if (length > POLICY_BYTES_MAX) {
        server_problem(request, 413, NULL, "a policy has at most %d bytes", POLICY_BYTES_MAX);
        return;
    }
    struct policy policy;
    struct complaints *complaints = calloc(1, sizeof(*complaints));
    CHECK(complaints);
    int code = strlen(text) == length ? policy_read(text, length, &policy, complaints) : POLICY_REFUSED;
    if (code == 0) {
        adopt(plane, request, text, &policy);
    } else if (code == POLICY_REFUSED) {
        if (complaints->errors == 0)
            complain(complaints, (struct place){1, 1}, "a NUL byte is no text");
        answer_complaints(request, complaints);
    } else {
        server_problem(request, 500, NULL, "out of memory");
    }
    free(complaints);
}

/* --- pause, resume, reset ------------------------------------------------------------------------------ */

static void control_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end != WAIT_DONE) {
        api_not_kept(plane, waiter->request);
        return;
    }
    const struct control *control = core_control(plane->core);
    json_t *answer = json_object();
    json_object_set_new(answer, "paused", json_boolean(control->paused));
    json_object_set_new(answer, "breaker_open", json_boolean(control->breaker_open));
    api_answer(waiter->request, 200, answer);
}

static void fleet_word(struct plane *plane, struct request *request, enum operator_word word)
{
    json_t *document = api_body(request, true);
    if (!document)
        return;
    struct json_error error = {.sentence = ""};
    struct json_reader reader = json_reader_over(document, &error);
    bool good =
        json_read_end(&reader); /* the word is in the path; whoever says more expects more than will happen */
    json_decref(document);
    if (!good) {
        api_refuse(request, &error);
        return;
    }
    struct event event = {.kind = EVENT_OPERATOR, .node = NO_INDEX};
    event.of.operator_order = (struct operator_order){.word = (uint8_t)word, .remedy = REMEDY_NONE};
    plane_step(plane, &event);
    plane_run_deadlines(plane);
    api_promise(plane, request, control_is_kept, 0, 0);
}

void api_pause(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    fleet_word(plane, request, OPERATOR_PAUSE);
}

void api_resume(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    fleet_word(plane, request, OPERATOR_RESUME);
}

void api_reset(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    fleet_word(plane, request, OPERATOR_RESET);
}
