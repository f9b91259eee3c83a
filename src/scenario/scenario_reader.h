/* What the parts of the scenario's reader share, and the reader of suites with them. */
#ifndef SCENARIO_SCENARIO_READER_H
#define SCENARIO_SCENARIO_READER_H

#include "policy/yaml_tree.h"
#include "scenario/scenario.h"

/* The scenario under construction, with where its parts stand in the file. */
struct scenario_reader {
    struct scenario *scenario;
    struct complaints *complaints;
    const char *folder;          /* where relative paths start */
    const struct policy *policy; /* whose findings may be expected; NULL: it could not be read */
    const struct yaml_node *faults[SCENARIO_FAULTS_MAX]; /* as scenario.faults */
    const struct yaml_node *groups[SCENARIO_GROUPS_MAX];
    bool fleet_reads; /* targets can be looked up in it */
};

/* A number with its unit, least..most in the base unit of `unit`; `of` is what it belongs to, for complaints.
 */
struct scale_of {
    enum metric_unit unit;
    double least, most;
    const char *of;
};
bool scenario_read_amount(const struct yaml_node *node, struct scale_of scale, double *out,
                          struct complaints *complaints);

/* The fleet, its load and the network. */
void scenario_read_fleet(struct scenario_reader *reader, const struct yaml_node *list);

/* `on`: what it means must be there. NULL: the target keeps what it is. */
bool scenario_read_target(struct scenario_reader *reader, const struct yaml_node *node,
                          struct scenario_target *out);

/* Resolves a path against the reader's folder; complains if it is too long. */
bool scenario_read_path(struct scenario_reader *reader, const struct yaml_node *node,
                        char out[SCENARIO_PATH_SIZE]);

/* Reads a policy only to see that it can be read. NULL: the complaint is made; else the caller frees it. */
struct policy *scenario_load_policy(struct scenario_reader *reader, const struct yaml_node *node,
                                    const char *path);

/* Faults, accidents and expectations. The fleet and the duration have been read. */
void scenario_read_faults(struct scenario_reader *reader, const struct yaml_node *list);
void scenario_read_accidents(struct scenario_reader *reader, const struct yaml_node *list);
void scenario_read_expects(struct scenario_reader *reader, const struct yaml_node *list);

/* Complains, with what to write instead, about a kind that can be at none of `places`, a mask of enum
 * fault_place: then false. */
bool scenario_check_kind(const struct yaml_node *node, enum fault_kind kind, uint32_t places,
                         struct complaints *complaints);

/* Faults that cannot be at once on one node: one kind twice, or too many. */
void scenario_check_clashes(struct scenario_reader *reader);

#endif
