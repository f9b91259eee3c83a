/* Maintenance by a person's word: a node is left alone for a while. Windows that come by themselves stand in
 * the policy. */
#include "plane/api.h"

#include "base/text.h"

static void maintenance_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end != WAIT_DONE) {
        api_not_kept(plane, waiter->request);
        return;
    }
    const struct node *node = roster_node(&plane->roster, waiter->node);
    json_t *answer = json_object();
    json_object_set_new(answer, "node", json_of_text(node->name));
    json_object_set_new(answer, "maintained_until", api_maintained_until(plane, node));
    api_answer(waiter->request, 200, answer);
}

json_t *api_maintained_until(const struct plane *plane, const struct node *node)
{
    instant until_at;
    return core_maintained(plane->core, node->number, &until_at) ? json_of_instant(until_at) : json_null();
}

static void maintain(struct plane *plane, struct request *request, struct node *node, duration length_ns)
{
    char line[STORE_TEXT_MAX];
    struct text text = text_over(line, sizeof(line));
    bool was_on = core_maintained(plane->core, node->number, NULL);
    struct event event = {.kind = EVENT_OPERATOR, .node = node->number};
    event.of.operator_order =
        (struct operator_order){.word = OPERATOR_MAINTAIN, .remedy = REMEDY_NONE, .maintain_ns = length_ns};
    if (!node->told)
        api_introduce(plane, node);
    plane_step(plane, &event);
    if (api_rejected(plane, request))
        return;
    if (length_ns > 0) {
        text_addf(&text, "%s is left alone for ", node->name);
        text_duration(&text, length_ns);
        text_add(&text, " (maintenance)");
    } else {
        text_addf(&text, "%s is watched and healed again", node->name);
    }
    if (length_ns > 0 || was_on)
        record_notice(plane, "PEOPLE", line);
    plane_run_deadlines(plane);
    api_promise(plane, request, maintenance_is_kept, node->number, 0);
}

/* {"for_s": 1800} */
void api_maintain_node(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    json_t *document = node ? api_body(request, false) : NULL;
    if (!document)
        return;
    struct json_error error = {.sentence = ""};
    struct json_reader reader = json_reader_over(document, &error);
    duration length_ns = json_read_seconds(&reader, "for_s", JSON_REQUIRED, SECOND, MAINTAIN_MAX_NS, 0);
    bool good = json_read_end(&reader);
    json_decref(document);
    if (good)
        maintain(plane, request, node, length_ns);
    else
        api_refuse(request, &error);
}

void api_end_maintenance(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    if (node)
        maintain(plane, request, node, 0);
}
