/* Asking for a fault: which, on whom, and whether that can be. A request strikes all the nodes that it means
 * or none of them. */
#include "plane/api.h"

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "core/fault.h"
#include "policy/target.h"

#include <string.h>

/* As scenarios have it. */
static const duration period_default_ns = 20 * SECOND;
static const duration period_least_ns = SECOND;

enum { KIND_WORDS = FAULT_COUNT + COMPOSED_FAULT_COUNT, GROUP_NAMES_MAX = 64 };

static const char below_word[] = "below ";

struct asked {
    struct fault_asked fault;
    int composed;          /* enum composed_fault, or -1 */
    const char *node, *on; /* one of them, or none for a fault of the control plane itself */
    bool has_period, has_shape, alongside;
};

/* The nodes that are meant, by number. */
struct meant {
    uint32_t node[FAULTS_MAX + 1]; /* one more than can be struck */
    uint32_t count;
};

/* --- reading -------------------------------------------------------------------------------------------- */

static bool has_periods(enum shape shape)
{
    return shape == SHAPE_SPIKE || shape == SHAPE_SAWTOOTH || shape == SHAPE_FLAPPING;
}

static bool is_of_plane(enum fault_kind kind)
{
    return fault_infos[kind].places == FAULT_AT_PLANE;
}

static void read_kind(struct json_reader *reader, struct asked *asked)
{
    size_t count;
    const char *const *kinds = fault_kind_names(&count);
    const char *words[KIND_WORDS];
    memcpy(words, kinds, count * sizeof(words[0]));
    for (size_t i = 0; i < COMPOSED_FAULT_COUNT; i++)
        words[count + i] = composed_infos[i].name;
    int word = json_read_word(reader, "kind", JSON_REQUIRED, words, KIND_WORDS, 0);
    int of = json_read_word(reader, "of", JSON_OPTIONAL, kinds, count, -1);
    asked->composed = word < FAULT_COUNT ? -1 : word - FAULT_COUNT;
    if (asked->composed < 0 && of >= 0)
        json_refuse(reader, "of", "only dependency_sick and flapping are made of another fault");
    if (of >= 0 && is_of_plane((enum fault_kind)of))
        json_refuse(reader, "of", "%s strikes no node, and nothing can be made of it",
                    fault_kind_name((enum fault_kind)of));
    asked->fault.kind = asked->composed < 0 ? (enum fault_kind)word
                        : of >= 0           ? (enum fault_kind)of
                                            : composed_default((enum composed_fault)asked->composed);
}

static void read_times(struct json_reader *reader, struct asked *asked)
{
    struct fault_asked *fault = &asked->fault;
    size_t count;
    const char *const *shapes = shape_names(&count);
    bool flaps = asked->composed == COMPOSED_FLAPPING, of_plane = is_of_plane(fault->kind);
    fault->lease_ns = json_read_seconds(reader, "lease_s", JSON_OPTIONAL, SECOND,
                                        (of_plane ? FAULT_STALL_MAX_S : FAULT_LEASE_MAX_S) * SECOND,
                                        (of_plane ? FAULT_STALL_DEFAULT_S : FAULT_LEASE_DEFAULT_S) * SECOND);
    fault->shape = (enum shape)json_read_word(reader, "shape", JSON_OPTIONAL, shapes, count,
                                              flaps ? SHAPE_FLAPPING : SHAPE_STEP);
    if (flaps && fault->shape != SHAPE_FLAPPING)
        json_refuse(reader, "shape",
                    "flapping comes and goes; leave the shape out, or name the fault itself");
    asked->has_period = json_is_present(reader, "period_s");
    duration otherwise_ns = has_periods(fault->shape) ? period_default_ns : 0;
    fault->period_ns =
        json_read_seconds(reader, "period_s", JSON_OPTIONAL, period_least_ns, HOUR, otherwise_ns);
}

static bool read_asked(json_t *document, struct asked *asked, struct json_error *error)
{
    struct json_reader reader = json_reader_over(document, error);
    read_kind(&reader, asked);
    const struct fault_info *info = &fault_infos[asked->fault.kind];
    asked->fault.intensity =
        json_read_number(&reader, "intensity", JSON_OPTIONAL, info->least, info->most, info->intensity);
    read_times(&reader, asked);
    asked->node = json_read_string(&reader, "node", JSON_OPTIONAL, NODE_NAME_SIZE - 1);
    asked->on = json_read_string(&reader, "on", JSON_OPTIONAL, 2 * NODE_NAME_SIZE);
    asked->alongside = json_read_flag(&reader, "alongside", JSON_OPTIONAL, false);
    if (asked->node && asked->on)
        json_refuse(&reader, "on", "either node or on");
    if (!asked->node && !asked->on && !is_of_plane(asked->fault.kind))
        json_refuse(&reader, "node", "it is missing; or on, such as \"role:web\"");
    return json_read_end(&reader);
}

/* --- on whom -------------------------------------------------------------------------------------------- */

static void add_meant(struct meant *meant, uint32_t node)
{
    for (uint32_t i = 0; i < meant->count; i++)
        if (meant->node[i] == node)
            return;
    if (meant->count < COUNT_OF(meant->node))
        meant->node[meant->count++] = node;
}

/* What it calls. False when 422 has been answered. */
static bool add_below(struct request *request, const struct node *node, uint32_t most, struct meant *meant)
{
    for (uint32_t i = 0; i < node->calls_count && i < most; i++)
        add_meant(meant, node->calls[i]);
    if (node->calls_count > 0)
        return true;
    server_problem(request, 422, NULL,
                   "%s calls nobody, so that nothing lies below it; name a node that calls others, or give "
                   "the fault to %s itself",
                   node->name, node->name);
    return false;
}

static void refuse_group(const struct plane *plane, struct request *request, const struct node_target *target)
{
    const char *names[GROUP_NAMES_MAX];
    size_t count = 0;
    bool by_role = target->role[0] != '\0';
    const char *wanted = by_role ? target->role : target->zone;
    for (uint32_t i = 0; i < plane->roster.count && count < GROUP_NAMES_MAX; i++) {
        const struct node *node = plane->roster.nodes[i];
        const char *name = by_role ? node->role : node->zone;
        bool known = !*name || node->gone;
        for (size_t k = 0; k < count && !known; k++)
            known = strcmp(names[k], name) == 0;
        if (!known)
            names[count++] = name;
    }
    const char *nearest = text_nearest(wanted, names, count);
    const char *what = by_role ? "role" : "zone";
    server_problem(request, 404, "/on", "no node here is of %s %s%s%s%s%s%s", what, wanted,
                   nearest ? "; did you mean " : "", nearest ? what : "", nearest ? ":" : "",
                   nearest ? nearest : "", nearest ? "?" : "");
}

static void refuse_words(const struct plane *plane, struct request *request, const char *on,
                         const struct node_target *target)
{
    if (target->role[0] || target->zone[0]) {
        refuse_group(plane, request, target);
        return;
    }
    const char *nearest = roster_nearest(&plane->roster, target->pattern);
    server_problem(request, 404, "/on", "\"%s\" means no node that is here%s%s%s", on,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* Draws `some` of them: the first steps of a shuffle. */
static void draw_some(const struct plane *plane, struct meant *meant, uint32_t some)
{
    uint64_t stream = random_stream(random_key((uint64_t)plane->now, plane->faults.next_id), 0);
    for (uint32_t i = 0; i < some && i < meant->count; i++) {
        uint32_t other = i + (uint32_t)(random_draw(stream, i) % (meant->count - i)),
                 there = meant->node[other];
        meant->node[other] = meant->node[i];
        meant->node[i] = there;
    }
    meant->count = some < meant->count ? some : meant->count;
}

/* Names, patterns, roles and zones mean nodes that are here. */
static bool add_target(struct plane *plane, struct request *request, const char *on, struct meant *meant)
{
    struct node_target target;
    if (!node_target_parse(on, &target)) {
        server_problem(
            request, 400, "/on",
            "on: \"%s\" means no nodes; write web-1, web-*, role:web, zone:a, \"2 of role:web\" or "
            "\"below web-1\"",
            on);
        return false;
    }
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        const struct node *node = plane->roster.nodes[i];
        if (!node->gone && node->name[0] != '#' &&
            node_target_means(&target, node->name, node->role, node->zone))
            add_meant(meant, i);
    }
    if (meant->count == 0) {
        refuse_words(plane, request, on, &target);
        return false;
    }
    if (target.some > meant->count) {
        server_problem(request, 422, "/on", "%s: there %s only %u", on, meant->count == 1 ? "is" : "are",
                       meant->count);
        return false;
    }
    if (target.some > 0)
        draw_some(plane, meant, target.some);
    return true;
}

/* False when a problem has been answered. */
static bool find_meant(struct plane *plane, struct request *request, const struct asked *asked,
                       struct meant *meant)
{
    size_t below = sizeof(below_word) - 1;
    if (asked->on && strncmp(asked->on, below_word, below) != 0)
        return add_target(plane, request, asked->on, meant);
    const char *name = asked->on ? asked->on + below + strspn(asked->on + below, " ") : asked->node;
    const struct node *node = api_node(plane, request, name);
    if (!node)
        return false;
    if (asked->on)
        return add_below(request, node, CALLS_MAX, meant);
    add_meant(meant, node->number);
    return true;
}

/* A sick dependency: the first that each of them calls. */
static bool move_below(struct plane *plane, struct request *request, struct meant *meant)
{
    static struct meant callees;
    callees.count = 0;
    for (uint32_t i = 0; i < meant->count; i++)
        if (!add_below(request, roster_node(&plane->roster, meant->node[i]), 1, &callees))
            return false;
    *meant = callees;
    return true;
}

/* --- what cannot be ------------------------------------------------------------------------------------- */

static void refuse_place(struct request *request, const struct node *node, enum fault_kind kind)
{
    size_t count;
    const char *names[FAULT_COUNT];
    char kinds[400];
    struct text text = text_over(kinds, sizeof(kinds));
    fault_kind_names_at(node_place(node), names, &count);
    for (size_t i = 0; i < count; i++)
        text_addf(&text, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", names[i]);
    server_problem(request, 422, "/kind", "%s %s; %s takes %s", node->name,
                   node->synthetic ? "is synthetic, and the world model does not know this fault"
                                   : "runs a program of one's own; this fault needs the built-in service",
                   fault_kind_name(kind), kinds);
}

static void refuse_shape(struct request *request, const struct fault_asked *fault)
{
    char shapes[128];
    struct text text = text_over(shapes, sizeof(shapes));
    for (int shape = 0; shape < SHAPE_COUNT; shape++)
        if (fault_shape_fits(fault->kind, (enum shape)shape, fault->lease_ns, SECOND))
            text_addf(&text, "%s%s", text.length ? ", " : "", shape_name((enum shape)shape));
    server_problem(request, 422, "/shape",
                   "%s is there or it is not, and cannot have the shape %s; it can have: %s",
                   fault_kind_name(fault->kind), shape_name(fault->shape), shapes);
}

/* False when 422 has been answered: of the fault as such, on whatever node. */
static bool makes_sense(struct request *request, const struct asked *asked)
{
    const struct fault_asked *fault = &asked->fault;
    const char *kind = fault_kind_name(fault->kind);
    bool of_plane = is_of_plane(fault->kind);
    if (of_plane && (asked->node || asked->on))
        server_problem(request, 422, asked->node ? "/node" : "/on",
                       "%s strikes the control plane itself and no node; leave the node out", kind);
    else if (of_plane && fault->shape != SHAPE_STEP)
        server_problem(request, 422, "/shape",
                       "%s can only be a step: who is stopped cannot stop himself again", kind);
    else if (!fault_shape_fits(fault->kind, fault->shape, fault->lease_ns, fault->period_ns))
        refuse_shape(request, fault);
    else if (asked->has_period && !has_periods(fault->shape))
        server_problem(request, 422, "/period_s",
                       "a period belongs to the shapes spike, sawtooth and flapping, not to %s",
                       shape_name(fault->shape));
    else
        return true;
    return false;
}

/* --- not now -------------------------------------------------------------------------------------------- */

/* False when 409 has been answered. `name` is the node's, or how the control plane calls itself. */
static bool is_free(struct plane *plane, struct request *request, const struct asked *asked, uint32_t node,
                    const char *name)
{
    const struct fault_row *same = faults_same(&plane->faults, asked->fault.kind, node);
    const struct fault_row *other = asked->alongside ? NULL : faults_on(&plane->faults, node, plane->now);
    if (same)
        server_problem(request, 409, NULL, "%s is on at %s already, as fault %llu; clear that one first",
                       fault_kind_name(asked->fault.kind), name, (unsigned long long)same->id);
    else if (other)
        server_problem(request, 409, NULL,
                       "%s is on at %s, as fault %llu; clear it, or say alongside to have both",
                       fault_kind_name(other->kind), name, (unsigned long long)other->id);
    return !same && !other;
}

/* False when 429 has been answered: what follows an injection too soon cannot be told from it. */
static bool is_rested(struct plane *plane, struct request *request, const struct asked *asked,
                      instant struck_at, const char *name)
{
    duration gap_ns = plane->inject_gap_ns;
    if (asked->alongside || struck_at == INSTANT_NONE || plane->now >= struck_at + gap_ns)
        return true;
    char seconds[24], gap[32];
    struct text after = text_over(seconds, sizeof(seconds)), text = text_over(gap, sizeof(gap));
    duration left_ns = struck_at + gap_ns - plane->now;
    text_addf(&after, "%lld", (long long)((left_ns + SECOND - 1) / SECOND));
    text_duration(&text, gap_ns);
    server_answer_header(request, "Retry-After", seconds);
    server_problem(request, 429, NULL,
                   "the last fault on %s was asked for less than %s ago; ask again in %s s, or say alongside",
                   name, gap, seconds);
    return false;
}

static bool can_be_done(struct plane *plane, struct request *request, const struct asked *asked,
                        const struct node *node)
{
    if (node->gone)
        server_problem(request, 409, NULL, "%s has left the fleet", node->name);
    else if (!(fault_infos[asked->fault.kind].places & node_place(node)))
        refuse_place(request, node, asked->fault.kind);
    else
        return is_free(plane, request, asked, node->number, node->name) &&
               is_rested(plane, request, asked, node->struck_at, node->name);
    return false;
}

/* --- asking --------------------------------------------------------------------------------------------- */

/* Faults first..first + count - 1, of which the newest come first. */
struct asked_for {
    const struct book *book;
    json_t *list;
    uint64_t first;
    uint32_t count;
};

static bool add_kept(void *context, const struct fault_row *row)
{
    struct asked_for *kept = context;
    if (row->id >= kept->first && row->id < kept->first + kept->count)
        json_array_insert_new(kept->list, 0, shape_fault(kept->book, row));
    return row->id > kept->first;
}

/* `accepted` is the number of faults of an answer that lists them; 0: it is one fault. */
static void faults_are_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    const struct book *book = end == WAIT_DONE ? api_book(plane, waiter->request) : NULL;
    if (end != WAIT_DONE)
        api_not_kept(plane, waiter->request);
    if (!book)
        return;
    struct asked_for kept = {.book = book,
                             .list = json_array(),
                             .first = waiter->id,
                             .count = waiter->accepted ? waiter->accepted : 1};
    int rows = store_faults(plane->reader, 0, false, 0, add_kept, &kept);
    if (rows < 0 || json_array_size(kept.list) != kept.count) {
        api_unreadable(plane, waiter->request);
    } else if (waiter->accepted) {
        json_t *answer = json_object();
        json_object_set(answer, "faults", kept.list);
        api_answer(waiter->request, 201, answer);
    } else {
        api_answer(waiter->request, 201, json_incref(json_array_get(kept.list, 0)));
    }
    json_decref(kept.list);
}

static void stall_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    faults_are_kept(plane, waiter, end);
    if (end == WAIT_DONE)
        stall_soon(plane);
}

static void promise(struct plane *plane, struct request *request, waiter_end *end, uint64_t first,
                    uint32_t listed)
{
    plane_rows_put(plane, true);
    wait_add(plane, &(struct waiter){.request = request,
                                     .end = end,
                                     .ticket = plane->commits.batch,
                                     .by = plane->now + PROMISE_WAIT_MS * MILLISECOND,
                                     .accepted = listed,
                                     .id = first});
}

static uint64_t ask_one(struct plane *plane, struct fault_asked asked, uint32_t node)
{
    asked.node = node;
    return strike_ask(plane, &asked);
}

static void refuse_many(struct request *request)
{
    server_problem(request, 429, NULL, "so many faults have no room: %d at most are on at once", FAULTS_MAX);
}

static void ask_stall(struct plane *plane, struct request *request, const struct asked *asked)
{
    static const char name[] = "the control plane";
    if (!is_free(plane, request, asked, NO_INDEX, name) ||
        !is_rested(plane, request, asked, plane->struck_at, name))
        return;
    if (faults_room(&plane->faults) == 0) {
        refuse_many(request);
        return;
    }
    promise(plane, request, stall_is_kept, ask_one(plane, asked->fault, NO_INDEX), 0);
}

static void ask_nodes(struct plane *plane, struct request *request, const struct asked *asked)
{
    static struct meant meant;
    meant.count = 0;
    if (!find_meant(plane, request, asked, &meant) ||
        (asked->composed == COMPOSED_DEPENDENCY_SICK && !move_below(plane, request, &meant)))
        return;
    if (meant.count > faults_room(&plane->faults)) {
        refuse_many(request);
        return;
    }
    for (uint32_t i = 0; i < meant.count; i++)
        if (!can_be_done(plane, request, asked, roster_node(&plane->roster, meant.node[i])))
            return;
    uint64_t first = plane->faults.next_id;
    for (uint32_t i = 0; i < meant.count; i++)
        ask_one(plane, asked->fault, meant.node[i]);
    promise(plane, request, faults_are_kept, first, asked->on ? meant.count : 0);
}

void api_ask_fault(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    json_t *document = api_body(request, false);
    if (!document)
        return;
    struct asked asked = {.composed = -1};
    struct json_error error = {.sentence = ""};
    if (!read_asked(document, &asked, &error))
        api_refuse(request, &error);
    else if (makes_sense(request, &asked))
        (is_of_plane(asked.fault.kind) ? ask_stall : ask_nodes)(plane, request, &asked);
    json_decref(document);
}
