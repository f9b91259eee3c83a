/* Policy files: whatever is read can be printed, and what is printed is read as the same policy. */
#include "target.h"

#include "policy/policy_file.h"
#include "policy/policy_text.h"

#include <string.h>

static void complaints_can_be_shown(const struct complaints *complaints)
{
    PROMISE(complaints->count <= COMPLAINTS_MAX);
    for (uint32_t i = 0; i < complaints->count; i++) {
        const struct complaint *complaint = &complaints->list[i];
        char line[COMPLAINT_TEXT_SIZE + 64];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, complaint, "policy.yaml");
        PROMISE(memchr(complaint->text, '\0', sizeof complaint->text));
        PROMISE(complaint->line >= 1 && complaint->column >= 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct policy policy, again;
    static struct complaints complaints;
    static char printed[POLICY_TEXT_SIZE];
    int result = policy_read((const char *)bytes, length, &policy, &complaints);
    PROMISE(result == 0 || result == POLICY_REFUSED);
    PROMISE((result == 0) == (complaints.errors == 0));
    complaints_can_be_shown(&complaints);
    if (result != 0)
        return 0;
    struct text text = text_over(printed, sizeof printed);
    policy_write(&text, &policy);
    PROMISE(policy_read(printed, strlen(printed), &again, &complaints) == 0);
    PROMISE(memcmp(&policy, &again, sizeof policy) == 0);
    return 0;
}
