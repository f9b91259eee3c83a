/* The loop of a synthetic fleet: who is sampled when, the beginning and the end. */
#include "base/clock.h"
#include "synthetic/state.h"
#include "wire/json.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_BYTES = 128 * 1024, /* BATCH_MAX reports of 700 bytes at most, gaps and faults */
    ANSWER_BYTES_LIMIT = 256 * 1024
};

instant fleet_now(const struct fleet *fleet)
{
    return monotonic_ns() - fleet->began_ns;
}

bool fleet_has_room(const struct fleet *fleet)
{
    return !fleet->ending && fleet->in_flight < IN_FLIGHT_MAX;
}

/* --- what people are told ------------------------------------------------------------------------------- */

void fleet_complain(struct fleet *fleet, enum trouble trouble, const struct node *node, int status,
                    const char *why)
{
    static const char *const whats[TROUBLE_COUNT] = {
        "the control plane does not take the hello", "the control plane does not take the report",
        "an answer that cannot be read", "the control plane does not take the outcome of a command",
        "trouble"};
    char line[400];
    struct json_error error;
    if (fleet->told[trouble])
        return;
    fleet->told[trouble] = true;
    json_t *problem = status >= 400 ? json_parse(why, strlen(why), &error) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    text_copy(line, sizeof line, detail ? detail : why);
    json_decref(problem);
    text_tame(line);
    fprintf(stderr, "%s: %s: %s", node_name(node), whats[trouble], line);
    if (status == 401 || status == 403)
        fprintf(stderr, "; mend: --token-file FILE with a line 'node TOKEN' for all nodes");
    fprintf(stderr, status ? " (status %d)\n" : "\n", status);
}

void fleet_heard(struct fleet *fleet, int status, const char *error)
{
    int64_t now_ns = monotonic_ns();
    if (status != 0)
        fleet->unanswered = 0;
    else if (fleet->unanswered < UNANSWERED_MAX)
        fleet->unanswered++;
    if (fleet->unanswered == UNANSWERED_MAX && fleet->away_ns == 0) {
        fleet->away_ns = fleet->probed_ns = now_ns;
        fleet->absences++;
        fprintf(stderr, "synthetic nodes: the control plane does not answer: %s; reports are kept\n",
                error ? error : "no reason is known");
    } else if (status != 0 && fleet->away_ns != 0) {
        fprintf(stderr, "synthetic nodes: the control plane answers again, after %.1f s\n",
                duration_seconds(now_ns - fleet->away_ns));
        fleet->away_ns = 0;
    }
}

static void announce(struct fleet *fleet)
{
    if (fleet->announced || fleet->welcomed < fleet->count)
        return;
    fleet->announced = true;
    fprintf(stderr, "%" PRIu32 " synthetic node%s report%s to %s\n", fleet->count,
            fleet->count == 1 ? "" : "s", fleet->count == 1 ? "s" : "", fleet->options.plane_url);
}

/* --- samples -------------------------------------------------------------------------------------------- */

static void wait_for_next(struct fleet *fleet)
{
    int64_t left_ns = heap_top_at(fleet->heap) - monotonic_ns();
    struct timeval time = timeval_of(left_ns > 0 ? left_ns : 0);
    event_add(fleet->tick, &time);
}

/* After a pause, of this process or of the machine, nobody makes up for what was missed. */
static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct fleet *fleet = context;
    int64_t now_ns = monotonic_ns();
    while (heap_top_at(fleet->heap) <= now_ns) {
        struct node *node = &fleet->nodes[heap_top(fleet->heap)];
        int64_t late = (now_ns - node->next_ns) / node->interval_ns;
        node->next_ns += (late + 1) * node->interval_ns;
        heap_set(fleet->heap, node->number, node->next_ns);
        node_sample(node);
    }
    announce(fleet);
    wait_for_next(fleet);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void say_goodbyes(struct fleet *fleet);

static void on_goodbye(void *context, const struct answer *answer)
{
    struct fleet *fleet = context;
    fleet->goodbyes--;
    if (answer->status == 0)
        fleet->goodbye_next = fleet->count; /* nobody is there to be told */
    if (fleet->client)
        say_goodbyes(fleet);
}

static void say_goodbyes(struct fleet *fleet)
{
    while (fleet->goodbyes < GOODBYES_MAX && fleet->goodbye_next < fleet->count) {
        const struct node *node = &fleet->nodes[fleet->goodbye_next++];
        char path[128];
        snprintf(path, sizeof path, "/v1/nodes/%s?boot=%016" PRIx64, node_name(node), node->boot);
        if (node->ever_welcome &&
            client_send(fleet->client, "DELETE", path, NULL, NULL, 0, GOODBYE_NS, on_goodbye, fleet) == 0)
            fleet->goodbyes++;
    }
    if (fleet->goodbyes == 0)
        event_base_loopbreak(fleet->base);
}

void fleet_leave(struct fleet *fleet)
{
    struct timeval limit = timeval_of(GOODBYE_NS);
    if (fleet->leaving || !fleet->client)
        return;
    fleet->leaving = true;
    event_add(fleet->end, &limit);
    say_goodbyes(fleet);
}

/* What was under way has not come to rest, or nobody takes the goodbyes. */
static void on_end(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct fleet *fleet = context;
    if (fleet->leaving)
        event_base_loopbreak(fleet->base);
    else
        fleet_leave(fleet);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    (void)number, (void)what;
    struct fleet *fleet = context;
    struct timeval limit = timeval_of(SETTLE_NS);
    if (fleet->ending)
        return;
    fleet->ending = true;
    event_del(fleet->tick);
    event_add(fleet->end, &limit);
    errands_cancel(fleet);
    if (!fleet->errands)
        fleet_leave(fleet);
}

static void fleet_fini(struct fleet *fleet)
{
    fleet->ending = true;
    struct client *client = fleet->client;
    fleet->client = NULL; /* what fails now begins nothing new */
    if (client)
        client_free(&client);
    errands_free(fleet);
    for (uint32_t i = 0; fleet->nodes && i < fleet->count; i++)
        node_fini(&fleet->nodes[i]);
    struct event *const events[] = {fleet->tick, fleet->end, fleet->on_term, fleet->on_int};
    for (size_t i = 0; i < COUNT_OF(events); i++)
        if (events[i])
            event_free(events[i]);
    if (fleet->base)
        event_base_free(fleet->base);
    free(fleet->text_bytes);
    free(fleet->heap);
    free(fleet->world);
    free(fleet->layout);
    free(fleet->names);
    free(fleet->nodes);
}

/* --- the beginning -------------------------------------------------------------------------------------- */

static bool make_world(struct fleet *fleet)
{
    struct world_config config = fleet->scenario->world;
    config.node_capacity = fleet->count;
    config.seed = fleet->seed;
    fleet->layout = calloc(fleet->count, sizeof *fleet->layout);
    fleet->names = calloc(fleet->count, sizeof *fleet->names);
    void *memory = calloc(1, world_size(&config));
    if (!fleet->layout || !fleet->names || !memory) {
        free(memory);
        return false;
    }
    scenario_lay_out(fleet->scenario, fleet->layout, fleet->names);
    fleet->world = world_init(memory, &config);
    for (uint32_t i = 0; i < fleet->count; i++)
        world_add(fleet->world, i, &fleet->layout[i], 0);
    return true;
}

static bool make_nodes(struct fleet *fleet)
{
    void *memory = calloc(1, heap_size(fleet->count));
    fleet->heap = memory ? heap_init(memory, fleet->count) : NULL;
    fleet->nodes = calloc(fleet->count, sizeof *fleet->nodes);
    fleet->text_bytes = malloc(TEXT_BYTES);
    if (!fleet->heap || !fleet->nodes || !fleet->text_bytes)
        return false;
    fleet->text = text_over(fleet->text_bytes, TEXT_BYTES);
    for (uint32_t i = 0; i < fleet->count; i++)
        if (!node_init(fleet, i))
            return false;
    return true;
}

static bool make_loop(struct fleet *fleet)
{
    fleet->base = event_base_new();
    if (!fleet->base)
        return false;
    fleet->tick = event_new(fleet->base, -1, 0, on_tick, fleet);
    fleet->end = event_new(fleet->base, -1, 0, on_end, fleet);
    fleet->on_term = evsignal_new(fleet->base, SIGTERM, on_signal, fleet);
    fleet->on_int = evsignal_new(fleet->base, SIGINT, on_signal, fleet);
    return fleet->tick && fleet->end && fleet->on_term && fleet->on_int &&
           event_add(fleet->on_term, NULL) == 0 && event_add(fleet->on_int, NULL) == 0;
}

static int make_client(struct fleet *fleet)
{
    char host[256];
    int port;
    if (!client_parse_url(fleet->options.plane_url, host, sizeof host, &port))
        return -EINVAL;
    struct client_options options = {.host = host,
                                     .port = port,
                                     .connections = PLANE_CONNECTIONS,
                                     .queue = IN_FLIGHT_MAX + GOODBYES_MAX,
                                     .answer_bytes_limit = ANSWER_BYTES_LIMIT,
                                     .token = fleet->options.token};
    fleet->client = client_new(fleet->base, &options);
    return fleet->client ? 0 : -ENOMEM;
}

int synthetic_main(const struct synthetic_options *options)
{
    CHECK(options->scenario->node_count >= 1 && options->scenario->node_count <= SYNTHETIC_NODES_MAX);
    struct fleet fleet = {.options = *options,
                          .scenario = options->scenario,
                          .count = options->scenario->node_count,
                          .seed = options->seed ? options->seed : options->scenario->seed,
                          .began_ns = monotonic_ns()};
    signal(SIGPIPE, SIG_IGN);
    int error = make_loop(&fleet) ? make_client(&fleet) : -ENOMEM;
    if (error == 0 && (!make_world(&fleet) || !make_nodes(&fleet)))
        error = -ENOMEM;
    if (error == -EINVAL)
        fprintf(stderr, "synthetic nodes: %s is not like http://127.0.0.1:7070\n", options->plane_url);
    else if (error < 0)
        fprintf(stderr, "synthetic nodes: %s\n", strerror(-error));
    if (error == 0) {
        wait_for_next(&fleet);
        event_base_dispatch(fleet.base);
    }
    fleet_fini(&fleet);
    return error;
}
