/* A fuzz target: one file with the two calls that libFuzzer knows, for one reader of bytes that come from
 * outside. Linked with libFuzzer it searches, linked with replay.c it repeats the files of its corpus.
 *
 * What an input breaks is told by abort(): besides the sanitizers a target has promises of its own to check.
 */
#ifndef TESTS_FUZZ_TARGET_H
#define TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Says which promise was broken, and aborts. */
#define PROMISE(expression)                                                                                  \
    do {                                                                                                     \
        if (!(expression))                                                                                   \
            promise_broken(#expression, __FILE__, __LINE__);                                                 \
    } while (0)

_Noreturn void promise_broken(const char *expression, const char *file, int line);

/* Makes a folder of this process's own, in memory where the system has such a place, and sees to it that it
 * goes with the process, also after a crash. At most 64 bytes with its NUL. */
void make_scratch_folder(char out[64]);

#endif
