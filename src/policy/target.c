#include "policy/target.h"

#include "base/text.h"

#include <string.h>

/* `2 of `: moves *at behind it. 0 if that does not stand there. */
static uint32_t parse_some(const char **at)
{
    uint32_t number = 0;
    const char *from = *at;
    for (; *from >= '0' && *from <= '9' && number <= TARGET_SOME_MAX; from++) {
        number = 10 * number + (uint32_t)(*from - '0');
    }
    size_t blanks = strspn(from, " ");
    if (from == *at || blanks == 0 || strncmp(from + blanks, "of ", 3) != 0) {
        return 0;
    }
    from += blanks + 3;
    *at = from + strspn(from, " ");
    return number;
}

static bool is_pattern(const char *text)
{
    char name[NODE_PATTERN_SIZE];
    if (!text_copy(name, sizeof name, text) || name[0] == '\0') {
        return false;
    }
    size_t last = strlen(name) - 1;
    if (name[last] == '*') {
        name[last] = '\0';
    }
    return name[0] == '\0' || text_is_name(name, sizeof name - 1);
}

bool node_target_parse(const char *text, struct node_target *out)
{
    static const size_t prefix_length = 5; /* of both */
    memset(out, 0, sizeof *out);
    bool counted = strspn(text, "0123456789") > 0 && strstr(text, " of ") != NULL;
    out->some = parse_some(&text);
    if (counted && (out->some == 0 || out->some > TARGET_SOME_MAX)) {
        return false;
    }
    char *word = strncmp(text, "role:", prefix_length) == 0   ? out->role
                 : strncmp(text, "zone:", prefix_length) == 0 ? out->zone
                                                              : NULL;
    if (word != NULL) {
        text += prefix_length;
        return text_is_name(text, TARGET_WORD_SIZE - 1) && text_copy(word, TARGET_WORD_SIZE, text);
    }
    return is_pattern(text) && text_copy(out->pattern, sizeof out->pattern, text);
}

static bool pattern_means(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);
    if (length > 0 && pattern[length - 1] == '*') {
        return strncmp(pattern, name, length - 1) == 0;
    }
    return strcmp(pattern, name) == 0;
}

bool node_target_means(const struct node_target *target, const char *name, const char *role, const char *zone)
{
    if (target->role[0] != '\0') {
        return strcmp(target->role, role) == 0;
    }
    if (target->zone[0] != '\0') {
        return strcmp(target->zone, zone) == 0;
    }
    return pattern_means(target->pattern, name);
}

bool node_target_is_one(const struct node_target *target)
{
    return target->some == 0 && target->pattern[0] != '\0' && strchr(target->pattern, '*') == NULL;
}
