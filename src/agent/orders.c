#include "agent/orders.h"

#include "core/vocabulary.h"
#include "wire/json.h"

#include <stdio.h>

enum { ENTRIES_MAX = 1000 };

static void read_commands(struct json_reader *reader, struct orders *orders)
{
    size_t count = json_read_array(reader, "commands", JSON_OPTIONAL, ENTRIES_MAX);
    for (size_t i = 0; i < count && i < ORDERS_MAX; i++) {
        struct json_reader element = json_read_element(reader, "commands", i);
        struct order *order = &orders->commands[orders->commands_count++];
        order->id = (uint64_t)json_read_integer(&element, "id", JSON_REQUIRED, 1, INT64_MAX, 0);
        order->epoch = (uint64_t)json_read_integer(&element, "epoch", JSON_REQUIRED, 0, INT64_MAX, 0);
        order->boot = json_read_boot(&element, "boot", JSON_OPTIONAL);
        order->expires_in_s = json_read_number(&element, "expires_in_s", JSON_REQUIRED, -1e9, 1e9, 0);
        json_read_text(&element, "remedy", JSON_REQUIRED, order->word, sizeof order->word);
        order->remedy = remedy_of(order->word);
    }
}

static void read_faults(struct json_reader *reader, struct orders *orders)
{
    size_t count = json_read_array(reader, "faults", JSON_OPTIONAL, ENTRIES_MAX);
    orders->has_faults = json_is_present(reader, "faults");
    for (size_t i = 0; i < count && i < ORDERS_MAX; i++) {
        struct json_reader element = json_read_element(reader, "faults", i);
        struct fault_order *fault = &orders->faults[orders->faults_count++];
        char word[ORDER_WORD_SIZE];
        fault->id = (uint64_t)json_read_integer(&element, "id", JSON_REQUIRED, 1, INT64_MAX, 0);
        json_read_text(&element, "kind", JSON_REQUIRED, word, sizeof word);
        fault->kind = fault_kind_of(word);
        fault->intensity = json_read_number(&element, "intensity", JSON_OPTIONAL, -1e6, 1e6, 0);
        fault->lease_s = json_read_number(&element, "lease_s", JSON_REQUIRED, -1e9, 1e6, 0);
        fault->shape = SHAPE_STEP;
        if (json_read_text(&element, "shape", JSON_OPTIONAL, word, sizeof word))
            fault->shape = shape_of(word);
        fault->period_s = json_read_number(&element, "period_s", JSON_OPTIONAL, 0, 1e6, 0);
    }
}

bool orders_parse(const char *body, size_t length, struct orders *orders, char *why, size_t why_size)
{
    struct json_error error;
    *orders = (struct orders){0};
    json_t *document = json_parse(body, length, &error);
    struct json_reader reader = json_reader_over(document, &error);
    orders->epoch = (uint64_t)json_read_integer(&reader, "epoch", JSON_OPTIONAL, 1, INT64_MAX, 0);
    struct json_reader stored = json_read_object(&reader, "stored_through", JSON_OPTIONAL);
    orders->stored_boot = json_read_boot(&stored, "boot", JSON_OPTIONAL);
    orders->stored_sequence =
        (uint64_t)json_read_integer(&stored, "sequence", JSON_OPTIONAL, 0, INT64_MAX, 0);
    read_commands(&reader, orders);
    read_faults(&reader, orders);
    orders->undo = json_read_flag(&reader, "undo", JSON_OPTIONAL, false);
    json_decref(document);
    if (!error.sentence[0])
        return true;
    snprintf(why, why_size, "%s: %s", error.pointer, error.sentence);
    *orders = (struct orders){0}; /* half an answer is none */
    return false;
}

void orders_age(struct orders *orders, duration age_ns)
{
    double age_s = duration_seconds(age_ns);
    size_t kept = 0;
    for (size_t i = 0; i < orders->commands_count; i++)
        orders->commands[i].expires_in_s -= age_s;
    for (size_t i = 0; i < orders->faults_count; i++) {
        orders->faults[i].lease_s -= age_s;
        if (orders->faults[i].lease_s > 0)
            orders->faults[kept++] = orders->faults[i];
    }
    orders->faults_count = kept;
}
