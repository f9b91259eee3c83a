#include "policy/complaint.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_CHARACTERS = 40, KNOWN_WORDS_LENGTH = 150 };

/* The slot for one more complaint, or NULL if there is no room for it. */
static struct complaint *complaint_slot(struct complaints *complaints, bool note)
{
    if (complaints->count < COMPLAINTS_MAX) {
        return &complaints->list[complaints->count++];
    }
    complaints->dropped++;
    for (uint32_t i = complaints->count; !note && i > 0; i--) {
        if (complaints->list[i - 1].note) {
            return &complaints->list[i - 1];
        }
    }
    return NULL;
}

static void complaint_add(struct complaints *complaints, struct place place, bool note, const char *format,
                          va_list arguments)
{
    complaints->errors += !note;
    struct complaint *complaint = complaint_slot(complaints, note);
    if (complaint == NULL) {
        return;
    }
    char line[2 * COMPLAINT_TEXT_SIZE];
    vsnprintf(line, sizeof line, format, arguments);
    *complaint = (struct complaint){.line = place.line, .column = place.column, .note = note};
    text_copy(complaint->text, sizeof complaint->text, line); /* cuts between characters */
}

void complain(struct complaints *complaints, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complaint_add(complaints, place, false, format, arguments);
    va_end(arguments);
}

void complain_note(struct complaints *complaints, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complaint_add(complaints, place, true, format, arguments);
    va_end(arguments);
}

/* The word that was probably meant: the nearest, else the first that contains what was written ("restart").
 */
static const char *meant(const char *word, const char *const *words, size_t count)
{
    const char *nearest = text_nearest(word, words, count);
    for (size_t i = 0; nearest == NULL && strlen(word) >= 3 && i < count; i++) {
        if (strstr(words[i], word) != NULL) {
            nearest = words[i];
        }
    }
    return nearest;
}

void complain_unknown(struct complaints *complaints, struct place place, const char *kind, const char *word,
                      const char *const *words, size_t count)
{
    char shown[SHOWN_SIZE];
    complaint_shown(shown, word);
    const char *nearest = meant(word, words, count);
    if (nearest != NULL) {
        complain(complaints, place, "unknown %s \"%s\"; did you mean %s?", kind, shown, nearest);
        return;
    }
    char bytes[KNOWN_WORDS_LENGTH + 64];
    struct text known = text_over(bytes, sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        if (known.length + strlen(words[i]) > KNOWN_WORDS_LENGTH) {
            text_add(&known, ", ...");
            break;
        }
        text_addf(&known, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    complain(complaints, place, "unknown %s \"%s\"; known: %s", kind, shown, count > 0 ? bytes : "none");
}

void complaints_sort(struct complaints *complaints)
{
    for (uint32_t i = 1; i < complaints->count; i++) {
        struct complaint moved = complaints->list[i];
        uint32_t to = i;
        for (; to > 0; to--) {
            const struct complaint *before = &complaints->list[to - 1];
            if (before->line < moved.line || (before->line == moved.line && before->column <= moved.column)) {
                break;
            }
            complaints->list[to] = *before;
        }
        complaints->list[to] = moved;
    }
}

void complaint_print(struct text *out, const struct complaint *complaint, const char *file)
{
    text_addf(out, "%s:%d:%d: %s%s", file, complaint->line, complaint->column,
              complaint->note ? "note: " : "", complaint->text);
}

const char *complaint_shown(char shown[SHOWN_SIZE], const char *word)
{
    size_t length = 0, characters = 0;
    for (; *word != '\0'; word++) {
        unsigned char byte = (unsigned char)*word;
        bool continues = (byte & 0xC0) == 0x80; /* a character of UTF-8, not a new one */
        characters += !continues;
        if (characters > SHOWN_CHARACTERS || length + 4 >= SHOWN_SIZE) {
            memcpy(shown + length, "...", 3);
            length += 3;
            break;
        }
        shown[length++] = byte < 0x20 || byte == 0x7F ? '?' : *word;
    }
    CHECK(length < SHOWN_SIZE);
    shown[length] = '\0';
    return shown;
}
