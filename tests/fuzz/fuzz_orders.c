/* The control plane's answers, as a node agent reads them; and JSON itself: what is read and written again
 * means the same. */
#include "target.h"

#include "agent/orders.h"
#include "core/vocabulary.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

/* Of a document with real numbers only the second round is exact: we write 15 digits. */
static void json_keeps_its_meaning(const char *bytes, size_t length)
{
    struct json_error error;
    json_t *document = json_parse(bytes, length, &error);
    PROMISE((document == NULL) == (error.sentence[0] != '\0'));
    PROMISE(memchr(error.sentence, '\0', sizeof error.sentence));
    for (int round = 0; document && round < 2; round++) {
        size_t text_length;
        json_t *before = json_incref(document);
        char *text = json_text_of(document, &text_length);
        PROMISE(text && strlen(text) == text_length);
        document = json_parse(text, text_length, &error);
        PROMISE(document);
        PROMISE(round == 0 || json_equal(before, document));
        json_decref(before);
        free(text);
    }
    json_decref(document);
}

static void order_is_sound(const struct order *order)
{
    PROMISE(order->id >= 1 && order->id <= INT64_MAX && order->epoch <= INT64_MAX);
    PROMISE(order->expires_in_s >= -1e9 && order->expires_in_s <= 1e9);
    PROMISE(memchr(order->word, '\0', sizeof order->word));
    PROMISE(order->remedy == remedy_of(order->word));
}

static void fault_is_sound(const struct fault_order *fault)
{
    PROMISE(fault->id >= 1 && fault->kind >= -1 && fault->kind < FAULT_COUNT);
    PROMISE(fault->intensity >= 0 && fault->intensity <= 1e6);
    PROMISE(fault->lease_s >= -1e9 && fault->lease_s <= 1e6);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct orders orders;
    char why[256] = "";
    bool good = orders_parse((const char *)bytes, length, &orders, why, sizeof why);
    PROMISE(good == (why[0] == '\0'));
    PROMISE(orders.commands_count <= ORDERS_MAX && orders.faults_count <= ORDERS_MAX);
    PROMISE(good || (orders.commands_count == 0 && orders.faults_count == 0 && orders.stored_boot == 0));
    for (size_t i = 0; i < orders.commands_count; i++)
        order_is_sound(&orders.commands[i]);
    for (size_t i = 0; i < orders.faults_count; i++)
        fault_is_sound(&orders.faults[i]);
    json_keeps_its_meaning((const char *)bytes, length);
    return 0;
}
