/* version: of this program and of what it is built with. */
#include "cli/cli.h"
#include "cli/show.h"

#include "store/store.h"

#include <event2/event.h>
#include <yaml.h>

int verb_version(const struct verb *verb, int argc, char **argv)
{
    bool json = false;
    const struct flag flags[] = {{"json", 0, FLAG_YES, &json, NULL, "the same as JSON"}, {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    json_t *versions =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "homeostat", HOMEOSTAT_VERSION, "compiler", __VERSION__,
                  "sqlite", store_library_version(), "libevent", event_get_version(), "jansson",
                  JANSSON_VERSION, "libyaml", yaml_get_version_string());
    if (json) {
        print_json(versions);
    } else {
        const char *name;
        json_t *version;
        json_object_foreach(versions, name, version)
        {
            printf("%-14s %s\n", name, json_string_value(version));
        }
    }
    json_decref(versions);
    return EXIT_DONE;
}
