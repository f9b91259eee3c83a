/* Guard mutants: the core and the gate broken on purpose, one way at a time (core/mutant.h). Each must be
 * noticed by a checker, or by a CHECK of the core's own, within a thousand seeds of the closed loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checked_lab.h"
#include "core/mutant.h"

enum { SEEDS = 1000 };

int mutant;

#define X(name, ...) #name,
static const char *const names[] = {"none", MUTANT_TABLE(X)};
#undef X
#define X(name, sentence) sentence,
static const char *const sentences[] = {"nothing", MUTANT_TABLE(X)};
#undef X

struct kill {
    uint64_t seed; /* 0: it lives */
    struct violation violation;
};

/* In a process of its own: a broken core may well abort. Tells each seed before it is run, then what killed
 * it. */
static void hunt(int fd, int which)
{
    struct kill kill = {0};
    mutant = which;
    fclose(stderr); /* what a CHECK says is no news here */
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (write(fd, &seed, sizeof seed) != sizeof seed) {
            _exit(2);
        }
        struct checker *checker = checked_lab_run(seed, NULL);
        if (checker_count(checker) > 0) {
            kill.seed = seed;
            kill.violation = *checker_violation(checker, 0);
            seed = SEEDS;
        }
        checker_free(&checker);
    }
    uint64_t over = 0;
    bool told = write(fd, &over, sizeof over) == sizeof over && write(fd, &kill, sizeof kill) == sizeof kill;
    _exit(told ? 0 : 2);
}

static bool is_killed(int which)
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        hunt(ends[1], which);
    }
    close(ends[1]);
    struct kill kill = {0};
    uint64_t seed, last = 0;
    while (read(ends[0], &seed, sizeof seed) == sizeof seed && seed != 0) {
        last = seed;
    }
    bool told = read(ends[0], &kill, sizeof kill) == sizeof kill;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (told && kill.seed != 0) {
        print_message("# %-28s seed %4llu  %-3s %s\n", names[which], (unsigned long long)kill.seed,
                      invariant_name((enum invariant)kill.violation.invariant), kill.violation.sentence);
    } else if (WIFSIGNALED(status)) {
        kill.seed = last;
        print_message("# %-28s seed %4llu  a CHECK of the core's own\n", names[which],
                      (unsigned long long)last);
    } else {
        print_message("# %-28s lives (%s)\n", names[which], sentences[which]);
    }
    return kill.seed != 0;
}

static void test_every_mutant_is_noticed(void **state)
{
    (void)state;
    uint32_t lives = 0;
    for (int which = 1; which < MUTANT_COUNT; which++) {
        lives += !is_killed(which);
    }
    print_message("# %d mutants, %u live\n", MUTANT_COUNT - 1, lives);
    assert_int_equal(lives, 0);
}

static void test_the_unbroken_core_is_not(void **state)
{
    (void)state;
    mutant = MUTANT_NONE;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct checker *checker = checked_lab_run(seed, NULL);
        assert_int_equal(checker_count(checker), 0);
        checker_free(&checker);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_unbroken_core_is_not),
        cmocka_unit_test(test_every_mutant_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
