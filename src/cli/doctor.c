/* doctor: versions, limits, the port, rights, the database, files, and what to do about what is not well. */
#include "cli/doctor.h"

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/store_choice.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/policy_file.h"
#include "scenario/lab.h"
#include "wire/client.h"

#include <errno.h>
#include <event2/event.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <yaml.h>

enum { PATH_SIZE = 4096 };

/* --- versions ------------------------------------------------------------------------------------------- */

static const char *build_kind(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return "with sanitizers";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return "with sanitizers";
#endif
#endif
#ifdef __OPTIMIZE__
    return "optimised";
#else
    return "for debugging";
#endif
}

static void look_at_kernel(struct checkup *checkup)
{
    struct utsname name;
    int major = 0, minor = 0;
    uname(&name);
    sscanf(name.release, "%d.%d", &major, &minor);
    bool good = major > 5 || (major == 5 && minor >= 3);
    struct check *check = checkup_add(checkup, "kernel", good ? CHECK_OK : CHECK_NOTE, "%s %s, %s",
                                      name.sysname, name.release, name.machine);
    if (!good)
        check_mend(check, "It is tried on Linux 5.3 and newer.");
}

/* https://sqlite.org/wal.html#walresetbug: a commit on one connection can be lost while another one
 * checkpoints. */
static void look_at_sqlite(struct checkup *checkup)
{
    int version = sqlite3_libversion_number();
    if (version < 3007000 || version > 3051002) {
        checkup_add(checkup, "SQLite", CHECK_OK, "%s", sqlite3_libversion());
        return;
    }
    struct check *check = checkup_add(checkup, "SQLite", CHECK_NOTE,
                                      "%s: from 3.7.0 to 3.51.2 a checkpoint on one connection can lose a "
                                      "commit of another; it cannot here, where exactly one connection "
                                      "writes and checkpoints",
                                      sqlite3_libversion());
    check_mend(check, "Do not write to the database with another program while a control plane has it.");
}

static void doctor_versions(struct checkup *checkup)
{
    checkup->group = "Versions";
    checkup_add(checkup, "homeostat", CHECK_OK, "%s, built %s by %s %s", HOMEOSTAT_VERSION, build_kind(),
#ifdef __clang__
                "", __VERSION__);
#else
                "gcc", __VERSION__);
#endif
    look_at_kernel(checkup);
    look_at_sqlite(checkup);
    checkup_add(checkup, "libevent", CHECK_OK, "%s", event_get_version());
    checkup_add(checkup, "jansson", CHECK_OK, "%s", JANSSON_VERSION);
    checkup_add(checkup, "libyaml", CHECK_OK, "%s", yaml_get_version_string());
}

/* --- files ---------------------------------------------------------------------------------------------- */

/* What reading a file gave: 0, positive for refused, or a negative errno. */
static void say_file(struct checkup *checkup, const char *name, const char *path, int result,
                     const struct complaints *complaints)
{
    if (result == 0) {
        checkup_add(checkup, name, CHECK_OK, "%s is good", path);
        return;
    }
    if (result < 0) {
        struct check *check = checkup_add(checkup, name, CHECK_BAD, "%s: %s", path, strerror(-result));
        check_mend(check, "Name a file that is there and can be read.");
        checkup->blind = true;
        return;
    }
    char line[CHECK_FOUND_SIZE];
    struct text text = text_over(line, sizeof line);
    complaint_print(&text, &complaints->list[0], path);
    struct check *check = checkup_add(checkup, name, CHECK_BAD, "%s", line);
    check_mend(check, "Mend that line%s; until then nothing starts with this file.",
               complaints->errors > 1 ? ", and the others that are wrong" : "");
}

/* The one that was named, or else the one that comes with homeostat, if it is there. */
static const char *file_of(const char *named, const char *usual, char path[PATH_SIZE])
{
    if (named)
        return named;
    return home_path(path, PATH_SIZE, usual) && access(path, R_OK) == 0 ? path : NULL;
}

static void doctor_files(const struct doctor *doctor, struct checkup *checkup)
{
    char path[PATH_SIZE];
    struct complaints *complaints = calloc(1, sizeof *complaints);
    struct lab *lab = calloc(1, sizeof *lab);
    struct policy policy;
    CHECK(complaints && lab);
    checkup->group = "Files";
    const char *file = file_of(doctor->policy, "policies/default.yaml", path);
    if (file)
        say_file(checkup, "policy", file, policy_read_file(file, &policy, complaints), complaints);
    else
        checkup_add(checkup, "policy", CHECK_OK, "none; the built-in default serves");
    file = file_of(doctor->lab, "labs/default.yaml", path);
    if (file)
        say_file(checkup, "lab", file, lab_read_file(file, lab, complaints), complaints);
    else
        checkup_add(checkup, "lab", CHECK_OK, "none; the built-in one of three nodes serves");
    free(lab);
    free(complaints);
}

/* --- tools ---------------------------------------------------------------------------------------------- */

static void look_at_tool(struct checkup *checkup, const char *name, const char *wanted, const char *use)
{
    char command[64], line[256] = "";
    snprintf(command, sizeof command, "%s --version 2>/dev/null", name);
    FILE *tool = popen(command, "re");
    if (tool && !fgets(line, sizeof line, tool))
        line[0] = '\0';
    bool worked = tool && pclose(tool) == 0 && line[0] && strstr(line, wanted);
    line[strcspn(line, "\n")] = '\0';
    struct check *check =
        checkup_add(checkup, name, worked ? CHECK_OK : CHECK_NOTE, "%s", line[0] ? line : "not there");
    if (!worked)
        check_mend(check, "It %s: apt-get install %s.", use, strcmp(name, "ninja") ? name : "ninja-build");
}

static void doctor_tools(struct checkup *checkup)
{
    checkup->group = "Tools for development";
    look_at_tool(checkup, "meson", "", "prepares the build");
    look_at_tool(checkup, "ninja", "", "builds");
    look_at_tool(checkup, "clang", "clang", "builds with sanitizers and fuzz targets");
    look_at_tool(checkup, "clang-format-14", "version 14.", "lays out the C files");
    look_at_tool(checkup, "shellcheck", "", "checks the shell scripts");
}

/* --- the verb ------------------------------------------------------------------------------------------- */

static int examine(const struct doctor *doctor, bool json)
{
    struct checkup *checkup = calloc(1, sizeof *checkup);
    CHECK(checkup);
    doctor_versions(checkup);
    doctor_limits(doctor, checkup);
    doctor_port(doctor, checkup);
    doctor_rights(doctor, checkup);
    doctor_leftovers(checkup);
    if (doctor->address)
        doctor_postgres(doctor, checkup);
    else
        doctor_store(doctor, checkup);
    doctor_files(doctor, checkup);
    if (doctor->verbose)
        doctor_tools(checkup);
    if (json) {
        json_t *answer = checkup_json(checkup);
        print_json(answer);
        json_decref(answer);
    } else {
        checkup_print(checkup);
    }
    int code = checkup->blind                          ? EXIT_ENVIRONMENT
               : checkup_count(checkup, CHECK_BAD) > 0 ? EXIT_NOT_SO
                                                       : EXIT_DONE;
    free(checkup);
    return code;
}

/* Other verbs ask the control plane of HOMEOSTAT_URL; one on another machine is none of doctor's. */
static int port_of_url(void)
{
    char host[256];
    int port = 0;
    const char *url = getenv("HOMEOSTAT_URL");
    bool good = url && *url && client_parse_url(url, host, sizeof host, &port);
    bool here = good && (strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0);
    return here ? port : 7070;
}

int verb_doctor(const struct verb *verb, int argc, char **argv)
{
    struct doctor doctor = {.port = port_of_url()};
    bool json = false;
    struct store_choice store = {0};
    const struct flag flags[] = {
        STORE_FLAGS(&store, "the database to look at (lab/homeostat.db)"),
        {"port", 'p', FLAG_WHOLE, &doctor.port, "PORT", "of the control plane (HOMEOSTAT_URL, 7070)"},
        {"policy", 0, FLAG_TEXT, &doctor.policy, "FILE", "a policy to read (policies/default.yaml)"},
        {"lab", 0, FLAG_TEXT, &doctor.lab, "FILE", "a lab to read (labs/default.yaml)"},
        {"thorough", 0, FLAG_YES, &doctor.thorough, NULL, "take as long as a large database needs"},
        {"verbose", 'v', FLAG_YES, &doctor.verbose, NULL, "the tools for development, too"},
        {"json", 0, FLAG_YES, &json, NULL, "the same as JSON"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    if (doctor.port < 1 || doctor.port > 65535)
        return fail(EXIT_USAGE, "doctor: a port is a number from 1 to 65535");
    code = store_choose(&store, "doctor", "lab/homeostat.db");
    if (code != EXIT_DONE)
        return code;
    doctor.database = store.file;
    doctor.address = store.address;
    doctor.database_named = store.db || store.store;
    return examine(&doctor, json);
}
