#include "store/libpq.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct libpq libpq;

static char problem[512];

static void load(void)
{
    void *found, *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    /* The one that this was built with may lie where the system does not look. */
    if (!library)
        library = dlopen(LIBPQ_FOLDER "/libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(
            problem, sizeof problem,
            "PostgreSQL's client library cannot be loaded (%s): apt-get install libpq5 (Debian, Ubuntu), "
            "dnf install libpq (Fedora), brew install libpq",
            dlerror());
        return;
    }
#define FIND(name)                                                                                           \
    found = dlsym(library, "PQ" #name);                                                                      \
    if (!found)                                                                                              \
        snprintf(problem, sizeof problem,                                                                    \
                 "PostgreSQL's client library is too old, it lacks PQ%s: bring it to release 14 or newer",   \
                 #name);                                                                                     \
    memcpy(&libpq.name, &found, sizeof found);
    LIBPQ_CALLS(FIND)
#undef FIND
}

const char *libpq_load(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return problem[0] ? problem : NULL;
}
