#include "plane/api.h"

#include "base/check.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

/* --- waiting for commands ------------------------------------------------------------------------------ */

static void wait_is_over(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end == WAIT_FAILED)
        server_problem(waiter->request, 503, NULL, "the control plane stops, or its store fails; ask again");
    else
        api_answer_node(plane, waiter->request, roster_node(&plane->roster, waiter->node), "");
}

void api_node_commands(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    if (!node)
        return;
    duration wait_ns = 0;
    const char *wait = request_query(request, "wait");
    if (wait && *wait && (!text_parse_duration(wait, &wait_ns) || wait_ns > 30 * SECOND)) {
        server_problem(request, 400, NULL, "wait: a duration up to 30s, such as 25s");
        return;
    }
    bool crowded = wait_ns > 0 && wait_is_crowded(plane);
    if (crowded) /* whoever asks anew at once stands in line with newcomers */
        server_answer_closes(request);
    if (wait_ns == 0 || crowded || node_has_orders(node, plane->now)) {
        api_answer_node(plane, request, node, "");
        return;
    }
    wait_add(plane,
             &(struct waiter){
                 .request = request, .end = wait_is_over, .by = plane->now + wait_ns, .node = node->number});
}

/* --- outcomes ------------------------------------------------------------------------------------------ */

struct ending {
    const char *node;
    int outcome;
    bool began;
    double took_s;
    const char *detail;
};

static bool read_ending(json_t *document, struct ending *ending, struct json_error *error)
{
    static const char *const words[] = {"done", "failed", "cut", "refused", "unsupported", "expired"};
    struct json_reader reader = json_reader_over(document, error);
    ending->node = json_read_string(&reader, "node", JSON_REQUIRED, NODE_NAME_SIZE - 1);
    int word = json_read_word(&reader, "outcome", JSON_REQUIRED, words, COUNT_OF(words), 0);
    ending->outcome = OUTCOME_DONE + word;
    bool not_begun = outcome_never_began((enum outcome)ending->outcome);
    ending->began = json_read_flag(&reader, "began", JSON_OPTIONAL, !not_begun);
    ending->took_s = json_read_number(&reader, "took_s", JSON_OPTIONAL, 0, 1e9, NAN);
    ending->detail = json_read_string(&reader, "detail", JSON_OPTIONAL, STORE_TEXT_MAX - 1);
    return json_read_end(&reader);
}

/* 1 and the row, 0, or a negative errno. The store is not asked for one that was never given. */
static int look_up(struct plane *plane, const struct node *node, uint64_t id, struct command_row *row)
{
    const struct control *control = core_control(plane->core);
    int rows =
        id < (control->epoch << 32 | control->next_command) ? store_command(plane->reader, id, row) : 0;
    return rows == 1 && row->command.node != node->number ? 0 : rows;
}

/* In memory, or among the durable ones of the node; NULL when 404 or 503 has been answered. */
static struct order *find_order(struct plane *plane, struct request *request, struct node *node, uint64_t id)
{
    struct order *order = node_find_order(node, id);
    if (order && (order->visible || order->command.outcome != OUTCOME_NONE))
        return order;
    struct command_row row;
    int rows = order ? 0 : look_up(plane, node, id, &row);
    if (rows < 0) {
        api_unreadable(plane, request);
        return NULL;
    }
    if (rows == 1) {
        order = node_order(node, &row.command);
        order->took_s = row.took_s;
        text_copy(order->detail, sizeof(order->detail), row.detail);
        return order;
    }
    server_problem(request, 404, NULL, "no command %llu was given to %s", (unsigned long long)id, node->name);
    return NULL;
}

static void outcome_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    struct node *node = roster_node(&plane->roster, waiter->node);
    const struct order *order = node_find_order(node, waiter->id);
    if (end != WAIT_DONE || !order) {
        api_not_kept(plane, waiter->request);
        return;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "command", json_integer((json_int_t)waiter->id));
    json_object_set_new(answer, "outcome", json_string(outcome_name(order->command.outcome)));
    api_answer(waiter->request, 200, answer);
}

static void take_ending(struct plane *plane, struct node *node, struct order *order,
                        const struct ending *ending)
{
    struct order before = *order;
    order->took_s = ending->took_s;
    text_copy(order->detail, sizeof(order->detail), ending->detail ? ending->detail : "");
    text_tame(order->detail);
    struct event event = {.kind = EVENT_COMMAND_END, .node = node->number};
    event.of.command_end = (struct command_end){
        .command = order->command.id, .outcome = (uint8_t)ending->outcome, .began = ending->began};
    plane_step(plane, &event);
    /* Told again, or too late to matter: what is on record stands. */
    if (plane_reject(plane) != REJECT_NONE)
        *order = before;
    plane_run_deadlines(plane);
}

void api_command_outcome(struct plane *plane, struct request *request, const char *name)
{
    uint64_t id = api_id(request, name, "command");
    json_t *document = id ? api_body(request, false) : NULL;
    if (!document)
        return;
    struct ending ending;
    struct json_error error = {.sentence = ""};
    bool good = read_ending(document, &ending, &error);
    bool granted = good && api_speaks_for(plane, request, ending.node);
    struct node *node = granted ? api_node(plane, request, ending.node) : NULL;
    if (!good)
        api_refuse(request, &error);
    struct order *order = node ? find_order(plane, request, node, id) : NULL;
    if (order) {
        bool open = order->command.outcome == OUTCOME_NONE || order->command.outcome == OUTCOME_UNKNOWN;
        if (open)
            take_ending(plane, node, order, &ending);
        if (order->command.outcome == OUTCOME_NONE)
            server_problem(request, 409, NULL, "command %llu is not waited for any more",
                           (unsigned long long)id);
        else
            api_promise(plane, request, outcome_is_kept, node->number, id);
    }
    json_decref(document);
}
