/* `policy test FILE...`: runs policy tests and prints what came out. */
#ifndef CLI_POLICY_TEST_H
#define CLI_POLICY_TEST_H

#include "policy/complaint.h"

#include <stdbool.h>

struct policy_test_options {
    bool verbose; /* the trace of every case, not only of those that failed */
    bool json;
};

/* EXIT_DONE: all is as expected. EXIT_NOT_SO: something is not. EXIT_USAGE: a file does not read, or its
 * policy. EXIT_ENVIRONMENT: a file cannot be read. The worst of them counts. */
int policy_test(int count, char **paths, const struct policy_test_options *options);

/* Prints what is wrong with the file called `name`, and its notes, on stderr. */
void policy_print_complaints(const struct complaints *complaints, const char *name);

#endif
