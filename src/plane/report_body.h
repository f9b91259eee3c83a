/* Report bodies: what POST /v1/nodes/{id}/reports and POST /v1/reports bring, read strictly and whole before
 * anything of it counts, so that a batch is taken or refused as one.
 *
 * The usual forms are read in one pass (wire/json_scan.h); all others, and all errors, by way of wire/json.h.
 */
#ifndef PLANE_REPORT_BODY_H
#define PLANE_REPORT_BODY_H

#include "plane/faults.h"
#include "store/store.h"
#include "wire/json.h"

enum {
    REPORTS_MAX = 1000, /* of one body */
    TOLD_MAX = 32,      /* faults that one report tells of */
    GAPS_TOLD_MAX = 16  /* gaps that one body tells of */
};

struct report_read {
    char node[NODE_NAME_SIZE]; /* of a batch of many nodes */
    struct report report;
    const struct fault_told *told; /* lives as long as the body */
    uint32_t told_count;
    uint32_t standing; /* mask of remedies in force */
};

/* Reports that a node agent had to give up: it will not send them any more. */
struct gap_told {
    uint64_t boot, first, last;
    enum gap_reason reason;
};

struct report_body {
    struct report_read *list;
    size_t count;
    struct gap_told gaps[GAPS_TOLD_MAX];
    size_t gaps_count;
    /* what the above may point to */
    struct report_read one;
    struct fault_told *told;
    json_t *document;
};

/* `bytes` ends with a NUL that `length` does not count. False, with the error, if something is wrong with it;
 * then there is nothing to free. */
bool report_body_read(struct report_body *body, const char *bytes, size_t length, bool many_nodes,
                      struct json_error *error);
void report_body_free(struct report_body *body);

/* The two ways of reading, for the test that compares them. The quick one fails without a word. */
bool report_body_read_quickly(struct report_body *body, const char *bytes, size_t length, bool many_nodes);
bool report_body_read_slowly(struct report_body *body, const char *bytes, size_t length, bool many_nodes,
                             struct json_error *error);

#endif
