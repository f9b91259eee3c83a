/* Faults in words for people: intensities, cures, places, and the pages of `inject --list`. */
#ifndef CLI_FAULT_WORDS_H
#define CLI_FAULT_WORDS_H

#include "core/vocabulary.h"

#include <stdbool.h>

enum { INTENSITY_SIZE = 32, REMEDIES_SIZE = 160 };

/* "95 %", "200 ms", "9 times", "1000 B/s"; "-" for a fault that is there or is not. */
const char *intensity_text(const struct fault_info *info, double intensity, char out[INTENSITY_SIZE]);

/* "restart_service, shed_load" of a mask; "" for none. */
const char *remedies_text(uint32_t mask, char out[REMEDIES_SIZE]);

/* Reads `50%`, `200ms`, `2kB/s`, or the bare number in base units. EXIT_DONE, or a complaint that begins with
 * `verb` has been printed. */
int read_intensity(const char *verb, const struct fault_info *info, const char *amount, double *intensity);

/* A kind of fault, or a composed one. False if it is neither: then a complaint has been printed. */
struct kind_word {
    int kind;     /* enum fault_kind, or -1 */
    int composed; /* enum composed_fault, or -1 */
};
bool read_kind_word(const char *verb, const char *word, struct kind_word *out);

/* All of them, or one with more of it; `word` NULL: all. An exit code. */
int list_kinds(const char *word, bool json);

#endif
