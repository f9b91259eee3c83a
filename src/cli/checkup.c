#include "cli/checkup.h"

#include "cli/show.h"

#include "base/check.h"
#include "base/text.h"
#include "wire/json.h"

#include <stdarg.h>
#include <string.h>

enum { NAME_WIDTH = 15, FOUND_COLUMN = 2 + 4 + 2 + NAME_WIDTH + 2 };

static const char *const state_names[] = {"ok", "note", "bad"};
static const enum ink state_inks[] = {INK_GREEN, INK_YELLOW, INK_RED};

struct check *checkup_add(struct checkup *checkup, const char *name, enum check_state state,
                          const char *found_format, ...)
{
    CHECK(checkup->count < CHECKS_MAX);
    struct check *check = &checkup->checks[checkup->count++];
    *check = (struct check){.group = checkup->group, .name = name, .state = state};
    va_list arguments;
    va_start(arguments, found_format);
    vsnprintf(check->found, sizeof check->found, found_format, arguments);
    va_end(arguments);
    return check;
}

void check_mend(struct check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->mend, sizeof check->mend, format, arguments);
    va_end(arguments);
}

void check_take_sentence(struct check *check, const char *sentence)
{
    char text[CHECK_FOUND_SIZE];
    text_copy(text, sizeof text, sentence);
    char *code = strstr(text, " [");
    char *mend = NULL;
    for (char *at = strstr(text, ": "); at && (!code || at < code); at = strstr(at + 1, ": "))
        mend = at;
    text_copy(check->mend, sizeof check->mend, mend ? mend + 2 : "");
    char *mend_code = strstr(check->mend, " [");
    if (mend_code)
        *mend_code = '\0';
    if (mend)
        memmove(mend, code ? code : "", strlen(code ? code : "") + 1);
    text_copy(check->found, sizeof check->found, text);
}

size_t checkup_count(const struct checkup *checkup, enum check_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < checkup->count; i++)
        count += checkup->checks[i].state == state;
    return count;
}

static void print_check(const struct check *check)
{
    enum ink ink = state_inks[check->state];
    printf("  %s%-4s%s  %-*s  ", ink_on(stdout, ink), state_names[check->state], ink_off(stdout, ink),
           NAME_WIDTH, check->name);
    print_wrapped(stdout, FOUND_COLUMN, check->found);
    if (!check->mend[0])
        return;
    printf("%*s%s", FOUND_COLUMN, "", ink_on(stdout, INK_DIM));
    print_wrapped(stdout, FOUND_COLUMN, check->mend);
    printf("%s", ink_off(stdout, INK_DIM));
}

void checkup_print(const struct checkup *checkup)
{
    const char *group = NULL;
    for (size_t i = 0; i < checkup->count; i++) {
        const struct check *check = &checkup->checks[i];
        if (check->group != group)
            printf("%s%s%s%s\n", group ? "\n" : "", ink_on(stdout, INK_BOLD), check->group,
                   ink_off(stdout, INK_BOLD));
        group = check->group;
        print_check(check);
    }
    size_t bad = checkup_count(checkup, CHECK_BAD), notes = checkup_count(checkup, CHECK_NOTE);
    if (bad == 0)
        printf("\n  nothing is bad");
    else
        printf("\n  %s%zu %s bad%s", ink_on(stdout, INK_RED), bad, bad == 1 ? "thing is" : "things are",
               ink_off(stdout, INK_RED));
    printf("; %zu looked at, %zu to note\n", checkup->count, notes);
}

json_t *checkup_json(const struct checkup *checkup)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < checkup->count; i++) {
        const struct check *check = &checkup->checks[i];
        json_array_append_new(checks, json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", check->name, "group",
                                                check->group, "state", state_names[check->state], "found",
                                                json_of_text(check->found), "mend",
                                                json_of_text(check->mend[0] ? check->mend : NULL)));
    }
    return json_pack("{s:o, s:b}", "checks", checks, "ok", (int)(checkup_count(checkup, CHECK_BAD) == 0));
}
