/* policy check | show | apply | test: what a policy file means, before and after it is in force. */
#include "cli/cli.h"
#include "cli/policy_test.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/policy_file.h"
#include "policy/policy_text.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 * 1024, TEST_PATHS_MAX = 256 };

/* The whole file, malloc'ed; NULL after a complaint. */
static char *read_whole(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = malloc(FILE_BYTES_MAX + 1);
    CHECK(text);
    size_t length = fread(text, 1, FILE_BYTES_MAX + 1, file);
    bool failed = ferror(file) != 0;
    if (file != stdin)
        fclose(file);
    if (failed || length > FILE_BYTES_MAX) {
        fail(EXIT_ENVIRONMENT, "%s: %s", path, failed ? "it cannot be read" : "a policy has at most 256 KiB");
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

/* EXIT_DONE: `*policy` holds it. Complaints and notes have been printed. */
static int understand(const char *name, const char *text, struct policy *policy)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int result = policy_read(text, strlen(text), policy, complaints);
    policy_print_complaints(complaints, name);
    free(complaints);
    if (result < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", name, strerror(-result));
    return result == 0 ? EXIT_DONE : EXIT_NOT_SO;
}

static int check(const char *path)
{
    struct policy policy;
    char *text = read_whole(path);
    if (!text)
        return EXIT_ENVIRONMENT;
    int code = understand(path, text, &policy);
    if (code == EXIT_DONE)
        printf("%s: good, %u detector%s, mode %s\n", path, policy.detector_count,
               policy.detector_count == 1 ? "" : "s", mode_name((enum mode)policy.mode));
    free(text);
    return code;
}

static int show_text(const char *name, const char *text, bool effective)
{
    struct policy policy;
    if (!effective) {
        size_t length = strlen(text);
        printf("%s%s", text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
        return EXIT_DONE;
    }
    int code = understand(name, text, &policy);
    if (code != EXIT_DONE)
        return code;
    char *whole = malloc(POLICY_TEXT_SIZE);
    CHECK(whole);
    struct text out = text_over(whole, POLICY_TEXT_SIZE);
    policy_write(&out, &policy);
    fputs(whole, stdout);
    free(whole);
    return EXIT_DONE;
}

static int show_database(const char *path, bool effective)
{
    struct store *store = NULL;
    struct policy_row row;
    char error[512] = "", *text = NULL;
    int result = store_open(&store, path, error, sizeof error);
    if (result < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, *error ? error : strerror(-result));
    result = store_policy(store, &row, &text);
    store_close(&store);
    if (result < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(-result));
    if (result == 0)
        return fail(EXIT_NOT_SO, "%s has no policy yet", path);
    int code = show_text(path, text, effective);
    free(text);
    return code;
}

static int show_running(const struct source *source, bool effective, bool json)
{
    json_t *answer = NULL;
    int code = source_call(source, "GET", "/v1/policy", NULL, NULL, &answer);
    if (code != EXIT_DONE)
        return code;
    if (json)
        print_json(answer);
    else
        code = show_text("policy", member_text(answer, "text"), effective);
    json_decref(answer);
    return code;
}

static int apply(const struct source *source, const char *path, bool json)
{
    struct policy policy;
    char *text = read_whole(path);
    if (!text)
        return EXIT_ENVIRONMENT;
    json_t *answer = NULL;
    /* Asked here first: the complaints then name the file as it was given. */
    int code = understand(path, text, &policy);
    if (code == EXIT_DONE)
        code = source_call(source, "PUT", "/v1/policy", "application/yaml", text, &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE)
        printf("  version %lld of the policy is in force, mode %s\n", member_whole(answer, "version"),
               member_text(answer, "mode"));
    json_decref(answer);
    free(text);
    return code;
}

int verb_policy(const struct verb *verb, int argc, char **argv)
{
    static const char *const words[] = {"check", "show", "apply", "test"};
    struct source source = {0};
    bool effective = false, json = false, verbose = false;
    const struct flag flags[] = {
        {"effective", 0, FLAG_YES, &effective, NULL, "show: with every default filled in"},
        {"json", 0, FLAG_YES, &json, NULL, "of test the results, of apply and show the API's JSON"},
        {"verbose", 'v', FLAG_YES, &verbose, NULL, "test: the trace of every case"},
        SOURCE_URL_FLAG(&source),
        {"db", 0, FLAG_TEXT, &source.db, "FILE", "show: the newest policy of this database"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 1 + TEST_PATHS_MAX, &count);
    if (code >= 0)
        return code;
    const char *word = argv[1], *path = count == 2 ? argv[2] : NULL;
    if (strcmp(word, "test") == 0 && count >= 2)
        return policy_test(count - 1, argv + 2,
                           &(struct policy_test_options){.verbose = verbose, .json = json});
    if (count > 2)
        return fail(EXIT_USAGE, "policy: %s takes one file", word);
    if (strcmp(word, "show") == 0 && path) {
        char *text = read_whole(path);
        code = text ? show_text(path, text, effective) : EXIT_ENVIRONMENT;
        free(text);
        return code;
    }
    if (strcmp(word, "show") == 0)
        return source.db ? show_database(source.db, effective) : show_running(&source, effective, json);
    if (strcmp(word, "check") == 0 && path)
        return check(path);
    if (strcmp(word, "apply") == 0 && path)
        return apply(&source, path, json);
    if (strcmp(word, "check") == 0 || strcmp(word, "apply") == 0)
        return fail(EXIT_USAGE, "policy: %s wants a file, such as policies/first.yaml", word);
    if (strcmp(word, "test") == 0)
        return fail(EXIT_USAGE, "policy: test wants files, such as policies/tests/first.yaml");
    const char *near = text_nearest(word, words, COUNT_OF(words));
    return fail(EXIT_USAGE, "policy: no '%s'; %s%s%s", word,
                near ? "did you mean '" : "it is check, show, apply or test", near ? near : "",
                near ? "'?" : "");
}
