/* Suite files: what is accepted has every pair, and every row of it is a scenario that can be read. */
#include "target.h"

#include "oats/suite.h"

#include <stdlib.h>
#include <string.h>

static void array_is_sound(const struct array *array)
{
    struct array_pairs pairs;
    array_pairs(array, &pairs);
    PROMISE(array->rows >= 1 && array->rows <= ARRAY_ROWS_MAX);
    PROMISE(pairs.covered == pairs.all);
    for (uint32_t row = 0; row < array->rows; row++) {
        for (uint32_t column = 0; column < array->columns; column++)
            PROMISE(array_cell(array, row, column) < array->levels[column]);
    }
}

/* The first and the last row stand for all: reading takes its time. */
static void row_is_a_scenario(const struct suite *suite, uint32_t row)
{
    static char bytes[SUITE_ROW_BYTES];
    static struct scenario scenario;
    static struct complaints complaints;
    struct row_options options = {
        .name = "", .policy_path = suite->policy_path, .to_base = suite->folder, .seed = suite->seed};
    struct text text = text_over(bytes, sizeof bytes);
    row_write(&text, suite, row, &options, NULL);
    PROMISE(!text.cut);
    PROMISE(scenario_read(bytes, text.length, "", &scenario, &complaints) == 0);
    PROMISE(scenario.fault_count == 1 && scenario.expect_count >= 1);
    PROMISE(scenario.node_count == suite->base->node_count && scenario.seed == suite->seed);
    struct row_cure cure = row_cure(suite, row);
    PROMISE(cure.heals == (cure.remedy != REMEDY_NONE) && cure.heals == (cure.finding[0] != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct complaints complaints;
    struct suite *suite;
    int result = suite_read((const char *)bytes, length, "/nowhere", NULL, NULL, &suite, &complaints);
    PROMISE(result == 0 || result == SUITE_REFUSED);
    PROMISE((result == 0) == (complaints.errors == 0) && complaints.count <= COMPLAINTS_MAX);
    PROMISE((result == 0) == (suite != NULL));
    for (uint32_t i = 0; i < complaints.count; i++) {
        PROMISE(memchr(complaints.list[i].text, '\0', sizeof complaints.list[i].text));
        PROMISE(complaints.list[i].line >= 1 && complaints.list[i].column >= 1);
    }
    if (result == 0) {
        array_is_sound(&suite->array);
        row_is_a_scenario(suite, 0);
        row_is_a_scenario(suite, suite->array.rows - 1);
    }
    suite_free(&suite);
    return 0;
}
