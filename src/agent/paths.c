#include "agent/paths.h"

#include "base/check.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int make_folder(const char *path)
{
    char part[PATHS_SIZE];
    text_copy(part, sizeof part, path);
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        if (!slash)
            return 0;
        *slash = '/';
    }
}

int paths_make(struct paths *paths, const char *folder)
{
    const struct {
        char *path;
        const char *name;
    } parts[] = {{paths->data, "data"},          {paths->standby, "standby"},
                 {paths->scratch, "scratch"},    {paths->releases, "releases"},
                 {paths->configs, "configs"},    {paths->config, "configs/current/conf"},
                 {paths->spool, "spool"},        {paths->journal, "commands.journal"},
                 {paths->preload, "preload.so"}, {paths->service_log, "service.log"},
                 {paths->relay_log, "relay.log"}};
    CHECK(strlen(folder) <= PATHS_FOLDER_MAX);
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        snprintf(parts[i].path, PATHS_SIZE, "%s/%s", folder, parts[i].name);
    int error = make_folder(paths->data);
    error = error ? error : make_folder(paths->standby);
    return error ? error : make_folder(paths->scratch);
}
