#include "service/admin.h"

#include "base/check.h"
#include "base/clock.h"
#include "service/answer.h"
#include "service/request.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *query_parameter(const struct evhttp_uri *uri, const char *name, char *out, size_t capacity)
{
    struct evkeyvalq query;
    const char *text = evhttp_uri_get_query(uri), *value;
    bool found = false;

    if (!text || evhttp_parse_query_str(text, &query) < 0)
        return NULL;
    value = evhttp_find_header(&query, name);
    if (value)
        found = snprintf(out, capacity, "%s", value) < (int)capacity;
    evhttp_clear_headers(&query);
    return found ? out : NULL;
}

static void on_health(struct desk *desk, struct evhttp_request *http)
{
    const char *shedding = shed_is_on(&desk->shed, monotonic_ns()) ? "true" : "false";
    char data[64] = "";

    if (evhttp_request_get_command(http) != EVHTTP_REQ_GET) {
        answer_error(desk->vitals, http, 405, "the health takes GET");
        return;
    }
    if (desk->kv)
        snprintf(data, sizeof(data), "\"folder\":\"%s\",\"keys\":%zu,", kv_folder_name(kv_active(desk->kv)),
                 kv_keys(desk->kv));
    answer_json(desk->vitals, http, 200,
                "{\"status\":\"ok\",\"name\":\"%s\",%s\"config\":%" PRId64 ",\"shedding\":%s}\n", desk->name,
                data, desk->config.version, shedding);
}

static void switch_folder(struct desk *desk, struct evhttp_request *http, enum kv_folder folder)
{
    desk_commit(desk);
    int result = kv_switch(desk->kv, folder);

    if (result == 0)
        answer_json(desk->vitals, http, 200, "{\"folder\":\"%s\",\"keys\":%zu}\n", kv_folder_name(folder),
                    kv_keys(desk->kv));
    else if (result == -EINVAL)
        answer_error(desk->vitals, http, 409, "this service has no such folder");
    else
        answer_error(desk->vitals, http, 503, "the other folder failed; it goes on in the old one");
}

static void on_storage(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    char name[16];
    const char *folder = query_parameter(uri, "folder", name, sizeof(name));

    if (!desk->kv)
        answer_error(desk->vitals, http, 409, "a second instance has no data folder");
    else if (folder && strcmp(folder, "primary") == 0)
        switch_folder(desk, http, KV_PRIMARY);
    else if (folder && strcmp(folder, "standby") == 0)
        switch_folder(desk, http, KV_STANDBY);
    else
        answer_error(desk->vitals, http, 400, "say ?folder=primary or ?folder=standby");
}

static void on_shed(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    char word[8];
    const char *on = query_parameter(uri, "on", word, sizeof(word));

    if (!on || (strcmp(on, "yes") != 0 && strcmp(on, "no") != 0)) {
        answer_error(desk->vitals, http, 400, "say ?on=yes or ?on=no");
        return;
    }
    if (desk->shed.capacity <= 0) {
        answer_error(desk->vitals, http, 409, "this service knows no capacity to shed by (--capacity)");
        return;
    }
    if (strcmp(on, "yes") == 0)
        desk_shed(desk);
    else
        shed_end(&desk->shed);
    answer_json(desk->vitals, http, 200, "{\"shedding\":%s,\"capacity\":%g}\n",
                desk->shed.on ? "true" : "false", desk->shed.capacity);
}

typedef void admin_call(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri);

static void on_admin(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri,
                     admin_call *call)
{
    if (evhttp_request_get_command(http) != EVHTTP_REQ_POST)
        answer_error(desk->vitals, http, 405, "it takes POST");
    else if (evhttp_find_header(evhttp_request_get_input_headers(http), "Origin"))
        answer_error(desk->vitals, http, 403, "not from a web page");
    else
        call(desk, http, uri);
}

void admin_request(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    const char *path = evhttp_uri_get_path(uri);

    if (strcmp(path, "/healthz") == 0)
        on_health(desk, http);
    else if (strcmp(path, "/admin/storage") == 0)
        on_admin(desk, http, uri, on_storage);
    else if (strcmp(path, "/admin/shed") == 0)
        on_admin(desk, http, uri, on_shed);
    else
        answer_error(desk->vitals, http, 404, "there is /kv/KEY, /healthz, /admin/storage and /admin/shed");
}
