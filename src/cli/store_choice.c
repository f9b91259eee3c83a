#include "cli/store_choice.h"

#include "cli/cli.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_choose(struct store_choice *choice, const char *verb, const char *usual)
{
    char error[512];
    const char *named = choice->store, *variable = getenv(STORE_VARIABLE);
    if (choice->store && choice->db)
        return fail(EXIT_USAGE, "%s: --db FILE is short for --store sqlite:FILE; give one of them", verb);
    if (!named && !choice->db && variable && *variable)
        named = variable;
    if (named && !store_check_name(named, error, sizeof error))
        return fail(EXIT_USAGE, "%s: %s", verb, error);
    choice->file = named ? store_path(named) : choice->db;
    choice->address = named && !choice->file ? named : NULL;
    if (choice->file)
        return EXIT_DONE;
    if (!home_path(choice->usual, sizeof choice->usual, usual))
        return fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
    choice->file = choice->usual;
    return EXIT_DONE;
}

bool name_flight_folder(char *out, size_t size, const char *file)
{
    size_t stem = strlen(file);
    if (stem > 3 && strcmp(file + stem - 3, ".db") == 0)
        stem -= 3;
    int length = snprintf(out, size, "%.*s.flight", (int)stem, file);
    return length >= 0 && (size_t)length < size;
}
