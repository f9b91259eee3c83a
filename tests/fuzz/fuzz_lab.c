/* Lab files: a lab that is accepted is one that can be started. */
#include "target.h"

#include "scenario/lab.h"

#include <string.h>

static void node_is_sound(const struct lab *lab, uint32_t number)
{
    const struct lab_node *node = &lab->nodes[number];
    PROMISE(memchr(node->name, '\0', sizeof node->name) && text_is_name(node->name, NODE_NAME_SIZE - 1));
    PROMISE(lab_find(lab, node->name) == (int)number);
    PROMISE(memchr(node->role, '\0', sizeof node->role) && memchr(node->zone, '\0', sizeof node->zone));
    PROMISE(memchr(node->exec, '\0', sizeof node->exec) && memchr(node->probe, '\0', sizeof node->probe));
    PROMISE((node->exec[0] != '\0') == (node->probe[0] != '\0'));
    PROMISE(node->interval_ns >= 50 * MILLISECOND && node->interval_ns <= MINUTE);
    PROMISE(node->calls_count <= CALLS_MAX);
    for (uint32_t i = 0; i < node->calls_count; i++)
        PROMISE(node->calls[i] < lab->node_count && node->calls[i] != number);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct lab lab;
    static struct complaints complaints;
    int result = lab_read((const char *)bytes, length, &lab, &complaints);
    PROMISE(result == 0 || result == LAB_REFUSED);
    PROMISE((result == 0) == (complaints.errors == 0) && complaints.count <= COMPLAINTS_MAX);
    for (uint32_t i = 0; i < complaints.count; i++)
        PROMISE(memchr(complaints.list[i].text, '\0', sizeof complaints.list[i].text));
    if (result != 0)
        return 0;
    PROMISE(lab.node_count >= 1 && lab.node_count <= LAB_NODES_MAX);
    for (uint32_t i = 0; i < lab.node_count; i++)
        node_is_sound(&lab, i);
    return 0;
}
