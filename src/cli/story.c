#include "cli/story.h"

#include "base/text.h"
#include "cli/show.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_COLUMN = 22 }; /* where the sentences begin */

void story_clear_progress(struct story *story)
{
    if (!story->has_progress)
        return;
    fputs("\r\033[K", story->out);
    story->has_progress = false;
}

void story_progress(struct story *story, const char *format, ...)
{
    if (!isatty(fileno(story->out)))
        return;
    va_list arguments;
    va_start(arguments, format);
    story_clear_progress(story);
    fputs("  ", story->out);
    vfprintf(story->out, format, arguments);
    fflush(story->out);
    va_end(arguments);
    story->has_progress = true;
}

void story_line(struct story *story, instant at, const char *step, const char *format, ...)
{
    enum ink ink = ink_of_word(step);
    va_list arguments;
    va_start(arguments, format);
    story_clear_progress(story);
    if (at == INSTANT_NONE || story->origin_at == INSTANT_NONE)
        fprintf(story->out, "%10s", "");
    else
        fprintf(story->out, "%8.1f s", duration_seconds(at - story->origin_at));
    fprintf(story->out, "  %s%-9s%s ", ink_on(story->out, ink), step, ink_off(story->out, ink));
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    print_folded(story->out, TEXT_COLUMN, text);
    fflush(story->out);
    va_end(arguments);
}

static bool belongs(const struct story *story, const char *kind, const char *step)
{
    if (strcmp(kind, "incident") == 0 || strcmp(step, "DONE") == 0 || strcmp(step, "CUT") == 0 ||
        strcmp(step, "END") == 0)
        return true;
    if (strcmp(kind, "control") == 0)
        return story->verbose;
    if (strcmp(kind, "blocked") == 0 || strcmp(kind, "command") == 0)
        return story->verbose || strcmp(step, "BLOCKED") == 0;
    return false;
}

void story_event(struct story *story, const char *kind, const json_t *data)
{
    instant at = INSTANT_NONE;
    const char *step = member_text(data, "step");
    const char *node = member_text(data, "node");
    if (!belongs(story, kind, step))
        return;
    text_parse_instant(member_text(data, "at"), &at);
    bool other = *node && strcmp(node, story->node) != 0;
    char incident[40] = "";
    if (strcmp(step, "DETECT") == 0)
        snprintf(incident, sizeof incident, "   incident %lld", member_whole(data, "incident"));
    story_line(story, at, step, "%s%s%s%s", other ? node : "", other ? ": " : "", member_text(data, "text"),
               incident);
}

const char *range_text(const char *metric, double least, double most, char out[80])
{
    char low[32], high[32];
    metric_text(metric, least, low);
    metric_text(metric, most, high);
    const char *low_unit = strchr(low, ' '), *high_unit = strchr(high, ' ');
    if (strcmp(low, high) == 0)
        text_copy(out, 80, low);
    else if (low_unit && high_unit && strcmp(low_unit, high_unit) == 0)
        snprintf(out, 80, "%.*s-%s", (int)(low_unit - low), low, high);
    else
        snprintf(out, 80, "%s to %s", low, high);
    return out;
}
