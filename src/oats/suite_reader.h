/* What the parts of the suite's reader share. */
#ifndef OATS_SUITE_READER_H
#define OATS_SUITE_READER_H

#include "oats/suite.h"
#include "scenario/scenario_reader.h"

struct suite_reader {
    struct suite *suite;
    struct complaints *complaints;
    struct scenario_reader scenario; /* looks nodes up in the base */
    const char *folder;              /* of the suite */
};

/* `factors`. The base has been read; if it could not be, nodes are not looked up. */
void suite_read_factors(struct suite_reader *reader, const struct yaml_node *root);

#endif
