/* Repeats the files of a corpus, one test case each: `replay FOLDER`. A broken promise ends it. */
#include "target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 4 * 1024 * 1024 };

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In a block of exactly its size, so that a sanitizer sees who reads beyond. */
static void replay(const char *folder, const char *name)
{
    static uint8_t room[FILE_BYTES_MAX];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    PROMISE(file);
    size_t length = fread(room, 1, sizeof room, file);
    fclose(file);
    uint8_t *bytes = malloc(length ? length : 1);
    PROMISE(bytes);
    memcpy(bytes, room, length);
    LLVMFuzzerTestOneInput(bytes, length);
    free(bytes);
}

int main(int argc, char **argv)
{
    struct dirent **entries;
    int count = argc == 2 ? scandir(argv[1], &entries, is_file, alphasort) : -1;
    if (count <= 0) {
        fprintf(stderr, "replay FOLDER: wants a folder with files in it\n");
        return 1;
    }
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        printf("# %s\n", entries[i]->d_name);
        fflush(stdout); /* so that a crash leaves the name behind */
        replay(argv[1], entries[i]->d_name);
        printf("ok %d - %s\n", i + 1, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}
