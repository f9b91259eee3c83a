#include "plane/shapes.h"

#include "base/check.h"
#include "core/fault.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- small ones ---------------------------------------------------------------------------------------- */

const char *shape_fault_state(enum fault_state state)
{
    static const char *const names[] = {"asked", "active", "ended", "failed"};
    CHECK(state < COUNT_OF(names));
    return names[state];
}

const char *shape_fault_effect(enum fault_effect effect)
{
    static const char *const names[] = {"waiting", "seen", "none"};
    CHECK(effect < COUNT_OF(names));
    return names[effect];
}

static json_t *seconds_between(instant from, instant to)
{
    if (from == INSTANT_NONE || to == INSTANT_NONE)
        return json_null();
    return json_of_seconds(to - from);
}

static json_t *word_or_null(const char *word)
{
    return strcmp(word, "none") == 0 || !*word ? json_null() : json_of_text(word);
}

static json_t *id_of(uint64_t id)
{
    return json_integer((json_int_t)id);
}

static void set(json_t *object, const char *key, json_t *value)
{
    CHECK(json_object_set_new(object, key, value) == 0);
}

/* --- the book ------------------------------------------------------------------------------------------ */

struct book {
    struct page_of_node {
        char name[NODE_NAME_SIZE];
        char calls[CALLS_MAX][NODE_NAME_SIZE];
        uint32_t calls_number[CALLS_MAX];
        uint32_t calls_count;
    } * nodes;
    size_t node_count, node_room;
    struct fault_row *faults; /* newest first */
    size_t fault_count, fault_room;
    uint32_t *slots; /* hash of names */
    size_t slot_count;
};

static bool grow(void **items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    size_t more = *room ? 2 * *room : 16;
    void *grown = realloc(*items, more * size);
    if (!grown)
        return false;
    *items = grown;
    *room = more;
    return true;
}

static bool add_node(void *context, const struct node_row *row)
{
    struct book *book = context;
    if (row->number != book->node_count ||
        !grow((void **)&book->nodes, book->node_count, &book->node_room, sizeof(book->nodes[0])))
        return false;
    struct page_of_node *page = &book->nodes[book->node_count++];
    *page = (struct page_of_node){.calls_count = row->calls_count};
    memcpy(page->name, row->name, sizeof(page->name));
    memcpy(page->calls, row->calls, sizeof(page->calls));
    return true;
}

static bool add_fault(void *context, const struct fault_row *row)
{
    struct book *book = context;
    if (!grow((void **)&book->faults, book->fault_count, &book->fault_room, sizeof(book->faults[0])))
        return false;
    book->faults[book->fault_count++] = *row;
    return true;
}

static uint32_t *find_slot(const struct book *book, const char *name)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    size_t i = (size_t)(h ^ h >> 29) & (book->slot_count - 1);
    while (book->slots[i] && strcmp(book->nodes[book->slots[i] - 1].name, name) != 0)
        i = (i + 1) & (book->slot_count - 1);
    return &book->slots[i];
}

static bool index_names(struct book *book)
{
    book->slot_count = 16;
    while (book->slot_count < 2 * book->node_count)
        book->slot_count *= 2;
    book->slots = calloc(book->slot_count, sizeof(book->slots[0]));
    if (!book->slots)
        return false;
    for (size_t i = 0; i < book->node_count; i++)
        *find_slot(book, book->nodes[i].name) = (uint32_t)i + 1;
    for (size_t i = 0; i < book->node_count; i++) {
        struct page_of_node *page = &book->nodes[i];
        uint32_t known = 0;
        for (uint32_t c = 0; c < page->calls_count; c++) {
            int64_t number = book_node_number(book, page->calls[c]);
            if (number >= 0)
                page->calls_number[known++] = (uint32_t)number;
        }
        page->calls_count = known;
    }
    return true;
}

struct book *book_open(struct store *store)
{
    struct book *book = calloc(1, sizeof(*book));
    if (!book)
        return NULL;
    if (store_nodes(store, add_node, book) < 0 ||
        store_faults(store, 0, false, BOOK_FAULTS_MAX, add_fault, book) < 0 || !index_names(book))
        book_close(&book);
    return book;
}

void book_close(struct book **book)
{
    if (!*book)
        return;
    free((*book)->nodes);
    free((*book)->faults);
    free((*book)->slots);
    free(*book);
    *book = NULL;
}

const char *book_node_name(const struct book *book, uint32_t node)
{
    return node < book->node_count ? book->nodes[node].name : "";
}

int64_t book_node_number(const struct book *book, const char *name)
{
    return (int64_t)*find_slot(book, name) - 1;
}

/* Marks `node` and all that it calls, directly or through others. `queue` and `reached` hold node_count
 * items. */
static void reach(const struct book *book, uint32_t node, uint32_t *queue, bool *reached)
{
    size_t head = 0, tail = 0;
    queue[tail++] = node;
    reached[node] = true;
    while (head < tail) {
        const struct page_of_node *page = &book->nodes[queue[head++]];
        for (uint32_t c = 0; c < page->calls_count; c++) {
            if (!reached[page->calls_number[c]]) {
                reached[page->calls_number[c]] = true;
                queue[tail++] = page->calls_number[c];
            }
        }
    }
}

static bool may_explain(const struct fault_row *fault, const struct incident *incident)
{
    return fault->injected_at != INSTANT_NONE && fault->injected_at < incident->opened_at &&
           (fault->ended_at == INSTANT_NONE || fault->ended_at >= incident->began_at - 10 * SECOND);
}

const struct fault_row *book_fault_of(const struct book *book, const struct incident *incident)
{
    bool any = false;
    for (size_t i = 0; i < book->fault_count && !any; i++)
        any = may_explain(&book->faults[i], incident);
    if (!any || incident->node >= book->node_count)
        return NULL;
    uint32_t *queue = calloc(book->node_count, sizeof(queue[0]));
    bool *reached = calloc(book->node_count, sizeof(reached[0]));
    const struct fault_row *found = NULL;
    if (queue && reached) {
        reach(book, incident->node, queue, reached);
        for (size_t i = 0; i < book->fault_count; i++) {
            const struct fault_row *fault = &book->faults[i];
            if (fault->node >= book->node_count || !reached[fault->node] || !may_explain(fault, incident))
                continue;
            /* Its own fault explains it better than one below. */
            if (!found || (fault->node == incident->node && found->node != incident->node))
                found = fault;
        }
    }
    free(queue);
    free(reached);
    return found;
}

/* --- incidents ----------------------------------------------------------------------------------------- */

static json_t *shape_evidence(const struct incident *incident)
{
    static const char *const signs[] = {">", ">=", "<", "<="};
    json_t *list = json_array();
    for (uint32_t i = 0; i < incident->evidence_count && i < CONDITION_MAX; i++) {
        const struct evidence *evidence = &incident->evidence[i];
        char condition[64];
        snprintf(condition, sizeof(condition), "%s%s %.12g", evidence->condition.rate ? "rate " : "",
                 signs[evidence->condition.comparison & 3], evidence->condition.number);
        json_t *item = json_object();
        set(item, "metric", json_of_text(metric_name(evidence->condition.metric)));
        set(item, "condition", json_of_text(condition));
        set(item, "before", json_of_number(evidence->before));
        set(item, "after", json_of_number(evidence->after));
        json_array_append_new(list, item);
    }
    return list;
}

static void set_times(json_t *object, const struct incident *incident, const struct fault_row *fault)
{
    bool resolved = incident->state == INCIDENT_RESOLVED;
    /* The end of the command that helped; what went away by itself was fixed by nobody. */
    instant fixed_at = resolved && incident->verdict == VERDICT_EFFECTIVE ? incident->ended_at : INSTANT_NONE;
    instant from_at = fault ? fault->injected_at : incident->began_at;
    set(object, "began_at", json_of_instant(incident->began_at));
    set(object, "opened_at", json_of_instant(incident->opened_at));
    set(object, "acted_at", json_of_instant(incident->acted_at));
    set(object, "fixed_at", json_of_instant(fixed_at));
    set(object, "closed_at", json_of_instant(incident->closed_at));
    set(object, "detected_after_s", seconds_between(from_at, incident->opened_at));
    set(object, "fixed_after_s", seconds_between(from_at, fixed_at));
    set(object, "proved_after_s", seconds_between(from_at, resolved ? incident->closed_at : INSTANT_NONE));
}

static json_t *shape_cause(const struct book *book, const struct incident *incident,
                           const struct fault_row *fault)
{
    if (!fault)
        return json_null();
    json_t *object = json_object();
    set(object, "id", id_of(fault->id));
    set(object, "kind", json_of_text(fault_kind_name(fault->kind)));
    if (fault->node != incident->node)
        set(object, "node", json_of_text(book_node_name(book, fault->node)));
    set(object, "injected_at", json_of_instant(fault->injected_at));
    return object;
}

struct listing {
    json_t *list;
    struct store *store;
    const struct book *book;
};

static bool add_timeline(void *context, const struct timeline_row *row)
{
    json_t *item = json_object();
    set(item, "at", json_of_instant(row->at));
    set(item, "step", json_of_text(row->step));
    set(item, "state", json_of_text(row->state));
    set(item, "remedy", word_or_null(remedy_name(row->remedy)));
    set(item, "verdict", word_or_null(verdict_name(row->verdict)));
    set(item, "text", json_of_text(row->text));
    json_array_append_new(context, item);
    return true;
}

json_t *shape_command(const struct command_row *row)
{
    const struct command *command = &row->command;
    json_t *item = json_object();
    set(item, "id", id_of(command->id));
    set(item, "remedy", json_of_text(remedy_name(command->remedy)));
    set(item, "attempt", json_integer(command->attempt));
    set(item, "by", json_string(command->by_person ? "person" : "policy"));
    set(item, "ordered_at", json_of_instant(command->ordered_at));
    set(item, "ended_at", json_of_instant(command->ended_at));
    set(item, "outcome", word_or_null(outcome_name(command->outcome)));
    set(item, "took_s", json_of_number(row->took_s));
    set(item, "detail", json_of_text(row->detail));
    return item;
}

static bool add_command(void *context, const struct command_row *row)
{
    json_array_append_new(context, shape_command(row));
    return true;
}

static bool add_own_block(void *context, const struct block_row *row)
{
    json_t *item = json_object();
    set(item, "reason", json_of_text(block_reason_name(row->reason)));
    set(item, "text", json_of_text(block_reason_sentence(row->reason)));
    set(item, "first_at", json_of_instant(row->first_at));
    set(item, "last_at", json_of_instant(row->last_at));
    set(item, "count", id_of(row->count));
    json_array_append_new(context, item);
    return true;
}

json_t *shape_incident(struct store *store, const struct book *book, const struct incident *incident,
                       bool details)
{
    const struct fault_row *fault = book_fault_of(book, incident);
    json_t *object = json_object();
    set(object, "id", id_of(incident->id));
    set(object, "node", json_of_text(book_node_name(book, incident->node)));
    set(object, "finding", json_of_text(incident->detector_name));
    set(object, "severity", json_of_text(severity_name(incident->severity)));
    set(object, "state", json_of_text(incident_state_name(incident->state)));
    set(object, "remedy", word_or_null(remedy_name(incident->remedy)));
    set(object, "verdict", word_or_null(verdict_name(incident->verdict)));
    set_times(object, incident, fault);
    set(object, "plan", json_integer(incident->plan));
    set(object, "approved", json_boolean(incident->approved));
    set(object, "approved_until",
        json_of_instant(incident->approved ? incident->approved_until : INSTANT_NONE));
    set(object, "attempts", json_integer(incident->attempts));
    set(object, "reopened", json_integer(incident->reopened));
    set(object, "acknowledged", json_boolean(incident->acknowledged));
    set(object, "block", word_or_null(block_reason_name(incident->block)));
    set(object, "fault", shape_cause(book, incident, fault));
    set(object, "evidence", shape_evidence(incident));
    if (details) {
        json_t *timeline = json_array(), *commands = json_array(), *blocked = json_array();
        store_timeline(store, incident->id, add_timeline, timeline);
        store_commands(store, incident->id, -1, INSTANT_NONE, add_command, commands);
        store_blocks(store, incident->id, 0, add_own_block, blocked);
        set(object, "timeline", timeline);
        set(object, "commands", commands);
        set(object, "blocked", blocked);
    }
    return object;
}

static bool add_incident(void *context, const struct incident *incident)
{
    struct listing *listing = context;
    json_array_append_new(listing->list, shape_incident(listing->store, listing->book, incident, false));
    return true;
}

/* {key: list}, or NULL if reading failed. */
static json_t *finish(const char *key, json_t *list, int rows)
{
    if (rows < 0) {
        json_decref(list);
        return NULL;
    }
    json_t *object = json_object();
    set(object, key, list);
    return object;
}

json_t *shape_incidents(struct store *store, const struct book *book, const struct incident_filter *filter)
{
    struct listing listing = {.list = json_array(), .store = store, .book = book};
    return finish("incidents", listing.list, store_incidents(store, filter, add_incident, &listing));
}

/* --- nodes, faults, block rows ------------------------------------------------------------------------- */

json_t *shape_node(const struct node_row *row, const char *health)
{
    json_t *object = json_object(), *calls = json_array();
    for (uint32_t i = 0; i < row->calls_count; i++)
        json_array_append_new(calls, json_of_text(row->calls[i]));
    set(object, "node", json_of_text(row->name));
    set(object, "role", json_of_text(row->role));
    set(object, "zone", json_of_text(row->zone));
    set(object, "calls", calls);
    set(object, "health", json_of_text(health));
    set(object, "address", json_of_text(row->address));
    set(object, "boot", json_of_boot(row->boot));
    set(object, "sequence", id_of(row->sequence));
    set(object, "synthetic", json_boolean(row->synthetic));
    set(object, "program", json_boolean(row->program));
    return object;
}

json_t *shape_fault(const struct book *book, const struct fault_row *row)
{
    const struct fault_info *info = &fault_infos[row->kind];
    json_t *object = json_object();
    set(object, "id", id_of(row->id));
    set(object, "kind", json_of_text(info->name));
    set(object, "node", word_or_null(book_node_name(book, row->node)));
    set(object, "intensity", json_of_number(row->intensity));
    set(object, "shape", json_of_text(shape_name(row->shape)));
    set(object, "period_s", row->period_ns ? json_of_seconds(row->period_ns) : json_null());
    set(object, "state", json_of_text(shape_fault_state(row->state)));
    set(object, "reason", row->reason[0] ? json_of_text(row->reason) : json_null());
    set(object, "effect", json_of_text(shape_fault_effect(row->effect)));
    set(object, "metric", word_or_null(metric_name(info->metric)));
    set(object, "before", json_of_number(row->before));
    set(object, "after", json_of_number(row->after));
    set(object, "removal", json_of_text(shape_fault_effect(row->removal)));
    set(object, "restored", json_of_number(row->restored));
    set(object, "asked_at", json_of_instant(row->asked_at));
    set(object, "injected_at", json_of_instant(row->injected_at));
    set(object, "ended_at", json_of_instant(row->ended_at));
    set(object, "expires_at", json_of_instant(row->asked_at + row->lease_ns));
    return object;
}

json_t *json_of_remedies(uint32_t mask)
{
    json_t *list = json_array();
    for (uint32_t remedy = 0; remedy < REMEDY_COUNT; remedy++)
        if (mask & 1u << remedy)
            json_array_append_new(list, json_of_text(remedy_name(remedy)));
    return list;
}

static json_t *shape_places(uint32_t places)
{
    static const struct {
        enum fault_place place;
        const char *name;
    } names[] = {{FAULT_AT_SERVICE, "service"},
                 {FAULT_AT_PROGRAM, "program"},
                 {FAULT_AT_SYNTHETIC, "synthetic"},
                 {FAULT_AT_PLANE, "plane"}};
    json_t *list = json_array();
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (places & names[i].place)
            json_array_append_new(list, json_of_text(names[i].name));
    return list;
}

/* Those that it can have, given a lease and a period. */
static json_t *shape_shapes(enum fault_kind kind)
{
    json_t *list = json_array();
    bool of_plane = fault_infos[kind].places == FAULT_AT_PLANE;
    for (int shape = 0; shape < SHAPE_COUNT; shape++)
        if (shape == SHAPE_STEP || (!of_plane && fault_shape_fits(kind, (enum shape)shape, MINUTE, SECOND)))
            json_array_append_new(list, json_of_text(shape_name((enum shape)shape)));
    return list;
}

json_t *shape_fault_kinds(void)
{
    json_t *list = json_array();
    for (size_t kind = 0; kind < FAULT_COUNT; kind++) {
        const struct fault_info *info = &fault_infos[kind];
        json_t *item = json_object();
        set(item, "kind", json_of_text(info->name));
        set(item, "unit", json_of_text(metric_unit_name(info->unit)));
        set(item, "intensity", json_real(info->intensity));
        set(item, "least", json_real(info->least));
        set(item, "most", json_real(info->most));
        set(item, "metric", word_or_null(metric_name(info->metric)));
        set(item, "cures", json_of_remedies(info->cures));
        set(item, "masks", json_of_remedies(info->masks));
        set(item, "places", shape_places(info->places));
        set(item, "shapes", shape_shapes((enum fault_kind)kind));
        set(item, "text", json_of_text(info->sentence));
        json_array_append_new(list, item);
    }
    return list;
}

enum fault_kind composed_default(enum composed_fault composed)
{
    return composed == COMPOSED_DEPENDENCY_SICK ? FAULT_STORAGE_LATENCY : FAULT_CPU_SPIKE;
}

json_t *shape_composed_kinds(void)
{
    json_t *list = json_array();
    for (int kind = 0; kind < COMPOSED_FAULT_COUNT; kind++) {
        json_t *item = json_object();
        set(item, "kind", json_of_text(composed_infos[kind].name));
        set(item, "of", json_of_text(fault_kind_name(composed_default((enum composed_fault)kind))));
        set(item, "text", json_of_text(composed_infos[kind].sentence));
        json_array_append_new(list, item);
    }
    return list;
}

json_t *shape_blocked(const struct book *book, const struct block_row *row)
{
    json_t *item = json_object();
    set(item, "incident", id_of(row->incident));
    set(item, "node", json_of_text(book_node_name(book, row->node)));
    set(item, "finding", json_of_text(row->finding));
    set(item, "remedy", word_or_null(remedy_name(row->remedy)));
    set(item, "reason", json_of_text(block_reason_name(row->reason)));
    set(item, "text", json_of_text(block_reason_sentence(row->reason)));
    set(item, "first_at", json_of_instant(row->first_at));
    set(item, "last_at", json_of_instant(row->last_at));
    set(item, "count", id_of(row->count));
    return item;
}

static bool add_blocked(void *context, const struct block_row *row)
{
    struct listing *listing = context;
    json_array_append_new(listing->list, shape_blocked(listing->book, row));
    return true;
}

json_t *shape_blocked_list(struct store *store, const struct book *book, uint64_t incident, unsigned limit)
{
    struct listing listing = {.list = json_array(), .store = store, .book = book};
    return finish("blocked", listing.list, store_blocks(store, incident, limit, add_blocked, &listing));
}

static bool add_fault_shape(void *context, const struct fault_row *row)
{
    struct listing *listing = context;
    json_array_append_new(listing->list, shape_fault(listing->book, row));
    return true;
}

json_t *shape_faults(struct store *store, const struct book *book, bool active_only)
{
    struct listing listing = {.list = json_array(), .store = store, .book = book};
    int rows = store_faults(store, 0, active_only, BOOK_FAULTS_MAX, add_fault_shape, &listing);
    json_t *object = finish("faults", listing.list, rows);
    if (object) {
        set(object, "kinds", shape_fault_kinds());
        set(object, "composed", shape_composed_kinds());
    }
    return object;
}
