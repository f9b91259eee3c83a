/* Stories about versions: what is rolled out, gone back to, and left behind by a fault or a kill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/sweep.h"
#include "agent/versions.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char root[64], folder[96];
    struct versions *versions;
};

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status, (void)flag, (void)walk;
    return remove(path);
}

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    *state = place;
    strcpy(place->root, "/tmp/test-versions-XXXXXX");
    if (!mkdtemp(place->root))
        return -1;
    snprintf(place->folder, sizeof place->folder, "%s/releases", place->root);
    return 0;
}

static int place_teardown(void **state)
{
    struct place *place = *state;
    versions_close(&place->versions);
    nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(place);
    return 0;
}

/* --- words ---------------------------------------------------------------------------------------------- */

static void opened(struct place *place, const char *text)
{
    versions_close(&place->versions);
    assert_int_equal(versions_open(&place->versions, place->folder, "run", text), 0);
}

static const char *in(const struct place *place, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    return path;
}

static bool there_is(const struct place *place, const char *name)
{
    struct stat status;
    return lstat(in(place, name), &status) == 0;
}

static void write_file(const struct place *place, const char *name, const char *text)
{
    int fd = open(in(place, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_current(struct place *place, int number, const char *text)
{
    char target[32] = "", there[64] = "", wanted[16];
    snprintf(wanted, sizeof wanted, "%d", number);
    assert_true(readlink(in(place, "current"), target, sizeof target - 1) > 0);
    assert_string_equal(target, wanted);
    int fd = open(in(place, "current/run"), O_RDONLY);
    assert_true(fd >= 0 && read(fd, there, sizeof there - 1) >= 0);
    close(fd);
    assert_string_equal(there, text);
    if (!place->versions)
        return;
    assert_int_equal(versions_current(place->versions), number);
    assert_true(strstr(versions_path(place->versions), in(place, wanted)) != NULL);
    assert_int_equal(access(versions_path(place->versions), R_OK), 0);
}

static int count_entries(const struct place *place)
{
    int count = 0;
    for (int number = 1; number < 100; number++) {
        char name[16];
        snprintf(name, sizeof name, "%d", number);
        count += there_is(place, name);
    }
    return count;
}

/* --- stories -------------------------------------------------------------------------------------------- */

static void the_first_is_one_and_stays(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_current(place, 1, "a");
    opened(place, "a");
    assert_current(place, 1, "a");
    opened(place, "b"); /* the node agent was started with another command */
    assert_current(place, 2, "b");
    assert_int_equal(versions_before(place->versions), 1);
}

static void back_is_to_the_one_before_and_never_to_what_was_left(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_back(place->versions), -ENOENT);
    assert_int_equal(versions_roll_out(place->versions, "b", 0), 2);
    assert_current(place, 2, "b");
    assert_int_equal(versions_roll_back(place->versions), 1);
    assert_current(place, 1, "a");
    assert_true(there_is(place, "2"));
    assert_int_equal(versions_roll_out(place->versions, "c", 0), 3);
    assert_int_equal(versions_roll_back(place->versions), 1);
    assert_int_equal(versions_roll_back(place->versions), -ENOENT);
    assert_current(place, 1, "a");
}

static void what_a_fault_rolled_out_ends_with_it(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "leaks", 7), 2);
    assert_current(place, 2, "leaks");
    assert_false(versions_forget(place->versions, 8));
    assert_false(versions_forget(place->versions, 0));
    assert_true(versions_forget(place->versions, 7));
    assert_current(place, 1, "a");
    assert_false(there_is(place, "2"));
    assert_false(versions_forget(place->versions, 7));
}

static void a_fault_that_was_rolled_back_is_forgotten_quietly(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "leaks", 7), 2);
    assert_int_equal(versions_roll_back(place->versions), 1);
    assert_false(versions_forget(place->versions, 7));
    assert_current(place, 1, "a");
    assert_false(there_is(place, "2"));
}

static void one_fault_upon_another_goes_first(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "leaks", 7), 2);
    assert_int_equal(versions_roll_out(place->versions, "crashes", 8), 3);
    assert_false(versions_forget(place->versions, 7)); /* the newer one stays, and now comes after 1 */
    assert_current(place, 3, "crashes");
    assert_int_equal(versions_before(place->versions), 1);
    assert_int_equal(versions_roll_back(place->versions), 1);
    assert_current(place, 1, "a");
}

static void a_new_node_agent_knows_nothing_of_old_faults(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "b", 0), 2);
    assert_int_equal(versions_roll_out(place->versions, "leaks", 7), 3);
    opened(place, "b");
    assert_current(place, 2, "b");
    assert_false(there_is(place, "3"));
    assert_int_equal(versions_before(place->versions), 1);
}

static void the_warden_removes_what_faults_left(void **state)
{
    struct place *place = *state;
    versions_clean(place->folder); /* that is not there */
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "leaks", 7), 2);
    versions_clean(place->folder); /* somebody has them open: it is not ours to clean */
    assert_true(there_is(place, "2"));
    versions_close(&place->versions);
    versions_clean(place->folder);
    assert_false(there_is(place, "2"));
    assert_current(place, 1, "a");
}

static void half_made_things_are_removed(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    versions_close(&place->versions);
    assert_int_equal(mkdir(in(place, ".new"), 0755), 0);
    write_file(place, ".new/run", "half");
    assert_int_equal(mkdir(in(place, ".gone"), 0755), 0);
    write_file(place, ".gone/run", "half");
    assert_int_equal(mkdir(in(place, "2"), 0755), 0); /* renamed, and `current` not yet moved */
    write_file(place, "2/run", "never current");
    write_file(place, "2/before", "1");
    write_file(place, "2/fault", "9");
    assert_int_equal(symlink("2", in(place, ".current")), 0);
    write_file(place, "README", "not ours");
    assert_int_equal(mkdir(in(place, "007"), 0755), 0);
    opened(place, "a");
    assert_current(place, 1, "a");
    assert_false(there_is(place, ".new") || there_is(place, ".gone") || there_is(place, ".current"));
    assert_false(there_is(place, "2"));
    assert_true(there_is(place, "README") && there_is(place, "007"));
}

static void a_dangling_current_means_the_newest_good_one(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "b", 0), 2);
    versions_close(&place->versions);
    unlink(in(place, "current"));
    assert_int_equal(symlink("77", in(place, "current")), 0);
    opened(place, "b");
    assert_current(place, 2, "b");
    versions_close(&place->versions);
    unlink(in(place, "current"));
    versions_clean(place->folder);
    assert_current(place, 2, "b");
}

static void nonsense_in_small_files_makes_no_ring(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "b", 0), 2);
    versions_close(&place->versions);
    write_file(place, "1/before", "2");
    write_file(place, "2/before", "2");
    opened(place, "b");
    assert_current(place, 2, "b");
    assert_int_equal(versions_roll_back(place->versions), -ENOENT);
}

static void no_good_version_at_all_begins_anew(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    assert_int_equal(versions_roll_out(place->versions, "leaks", 7), 2);
    versions_close(&place->versions);
    write_file(place, "1/fault", "3");
    opened(place, "a");
    assert_int_equal(count_entries(place), 1);
    assert_current(place, 3, "a");
}

static void old_ones_go_and_the_good_one_stays(void **state)
{
    struct place *place = *state;
    opened(place, "a");
    for (int i = 2; i <= 20; i++)
        assert_int_equal(versions_roll_out(place->versions, "leaks", (uint64_t)i), i);
    assert_int_equal(count_entries(place), VERSIONS_KEPT);
    assert_true(there_is(place, "1"));
    for (int i = 20; i > 20 - VERSIONS_KEPT + 2; i--)
        assert_int_equal(versions_roll_back(place->versions), i - 1);
    assert_int_equal(versions_roll_back(place->versions), 1);
    assert_int_equal(versions_roll_back(place->versions), -ENOENT);
    assert_current(place, 1, "a");
}

static void bad_input_changes_nothing(void **state)
{
    struct place *place = *state;
    static char long_text[VERSION_TEXT_MAX + 1];
    opened(place, "a");
    memset(long_text, 'x', VERSION_TEXT_MAX);
    assert_int_equal(versions_roll_out(place->versions, long_text, 0), -E2BIG);
    assert_current(place, 1, "a");
    struct versions *second;
    assert_int_equal(versions_open(&second, place->folder, "run", "a"), -EBUSY);
    assert_null(second);
    write_file(place, "../file", "");
    assert_int_equal(versions_open(&second, in(place, "../file"), "run", "a"), -ENOTDIR);
    assert_null(second);
}

/* A child rolls out, back and forgets until it is killed in the middle of it, again and again: whenever we
 * look, `current` is a whole version. */
static void a_kill_at_any_instant_leaves_a_whole_version(void **state)
{
    struct place *place = *state;
    for (unsigned round = 0; round < 40; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct versions *versions;
            if (versions_open(&versions, place->folder, "run", "good") < 0)
                _exit(1);
            for (uint64_t fault = 1;; fault++) {
                versions_roll_out(versions, "bad", fault);
                if (fault % 2)
                    versions_roll_back(versions);
                if (fault % 3)
                    versions_forget(versions, fault);
            }
        }
        usleep(1000 + 700 * (round % 13)); /* anywhere will do */
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        if (round % 2)
            versions_clean(place->folder);
        struct versions *versions;
        assert_int_equal(versions_open(&versions, place->folder, "run", "good"), 0);
        place->versions = versions;
        assert_current(place, versions_current(versions), "good");
        assert_int_equal(count_entries(place), 1);
        versions_close(&place->versions);
    }
}

static void a_sweep_follows_no_link_and_stops_at_its_bounds(void **state)
{
    struct place *place = *state;
    struct swept swept = {0};
    assert_int_equal(sweep_folder(place->folder, &swept), 0); /* that is not there */
    assert_int_equal(mkdir(place->folder, 0755), 0);
    assert_int_equal(mkdir(in(place, "../precious"), 0755), 0);
    write_file(place, "../precious/data", "12345");
    assert_int_equal(symlink("../precious", in(place, "link")), 0);
    assert_int_equal(mkdir(in(place, "deep"), 0755), 0);
    write_file(place, "deep/one", "123");
    write_file(place, "two", "12");
    assert_int_equal(sweep_folder(place->folder, &swept), 0);
    assert_int_equal(swept.files, 3);
    assert_int_equal(swept.folders, 1);
    assert_true(swept.bytes >= 2 * 512 && swept.bytes % 512 == 0);
    assert_true(there_is(place, "../precious/data") && there_is(place, ""));
    assert_false(there_is(place, "deep") || there_is(place, "link") || there_is(place, "two"));
    assert_int_equal(symlink("precious", in(place, "../alias")), 0);
    assert_true(sweep_folder(in(place, "../alias"), &swept) < 0);
    assert_true(there_is(place, "../precious/data"));
    char path[256];
    snprintf(path, sizeof path, "%s", place->folder);
    for (int depth = 0; depth < SWEEP_DEPTH_MAX + 2; depth++) {
        strcat(path, "/d");
        assert_int_equal(mkdir(path, 0755), 0);
    }
    assert_int_equal(sweep_folder(place->folder, &swept), -E2BIG);
    assert_true(there_is(place, "d/d"));
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest stories[] = {
        STORY(the_first_is_one_and_stays),
        STORY(back_is_to_the_one_before_and_never_to_what_was_left),
        STORY(what_a_fault_rolled_out_ends_with_it),
        STORY(a_fault_that_was_rolled_back_is_forgotten_quietly),
        STORY(one_fault_upon_another_goes_first),
        STORY(a_new_node_agent_knows_nothing_of_old_faults),
        STORY(the_warden_removes_what_faults_left),
        STORY(half_made_things_are_removed),
        STORY(a_dangling_current_means_the_newest_good_one),
        STORY(nonsense_in_small_files_makes_no_ring),
        STORY(no_good_version_at_all_begins_anew),
        STORY(old_ones_go_and_the_good_one_stays),
        STORY(bad_input_changes_nothing),
        STORY(a_kill_at_any_instant_leaves_a_whole_version),
        STORY(a_sweep_follows_no_link_and_stops_at_its_bounds),
    };
    return cmocka_run_group_tests_name("versions", stories, NULL, NULL);
}
