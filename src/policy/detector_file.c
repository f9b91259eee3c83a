#include "policy/detector_file.h"

#include "base/check.h"
#include "policy/condition.h"
#include "policy/fields.h"

#include <string.h>

static const duration for_default_ns = 3 * SECOND;
static const duration healthy_for_least_default_ns = 3 * SECOND;

/* The policy under construction, with where its parts stand in the file. */
struct reader {
    struct policy *policy;
    struct complaints *complaints;
    const struct yaml_node *nodes[DETECTOR_MAX];   /* of each detector or rule */
    const struct yaml_node *ladders[DETECTOR_MAX]; /* its `do` or the steps of its playbook; NULL: none yet */
};

/* --- ladders -------------------------------------------------------------------------------------------- */

static void read_step(struct reader *reader, const struct yaml_node *node, struct rung *rung)
{
    const struct yaml_node *remedy = node, *within = NULL;
    if (node->kind == YAML_MAP) {
        field_map(node, &policy_keys[POLICY_MAP_STEP], reader->complaints);
        remedy = yaml_tree_entry(node, "do");
        within = yaml_tree_entry(node, "within");
        field_duration(yaml_tree_entry(node, "settle"), 0, &rung->settle_ns, reader->complaints);
        field_duration(within, MILLISECOND, &rung->within_ns, reader->complaints);
        if (remedy == NULL) {
            complain(reader->complaints, node->at, "a step needs a remedy: {do: restart_service}");
            return;
        }
    }
    size_t count;
    const char *const *remedies = remedy_names(&count);
    if (field_word(remedy, "remedy", remedies, count, &rung->remedy, reader->complaints) &&
        rung->within_ns <= rung->settle_ns) {
        complain(reader->complaints, within != NULL ? within->at : node->at,
                 "within must be longer than settle, or nothing is left to verify with");
    }
}

/* One step, or a list of them. */
static void read_ladder(struct reader *reader, const struct yaml_node *node, struct detector *detector)
{
    if (node->kind != YAML_LIST && !(node->kind == YAML_SCALAR && node->text[0] == '\0')) {
        detector->ladder_count = 1;
        detector->ladder[0] = (struct rung){.settle_ns = STEP_SETTLE_NS, .within_ns = STEP_WITHIN_NS};
        read_step(reader, node, &detector->ladder[0]);
        return;
    }
    for (const struct yaml_node *step = node->first; step != NULL; step = step->next) {
        if (detector->ladder_count == LADDER_MAX) {
            complain(reader->complaints, step->at, "more than %d steps on one ladder", LADDER_MAX);
            return;
        }
        if (detector->ladder_count > 0 &&
            detector->ladder[detector->ladder_count - 1].remedy == REMEDY_PAGE_HUMAN) {
            complain_note(reader->complaints, step->at,
                          "never reached: page_human hands the incident to people");
        }
        struct rung *rung = &detector->ladder[detector->ladder_count++];
        *rung = (struct rung){.settle_ns = STEP_SETTLE_NS, .within_ns = STEP_WITHIN_NS};
        read_step(reader, step, rung);
    }
}

/* --- one detector --------------------------------------------------------------------------------------- */

static void read_conditions(struct reader *reader, const struct yaml_node *when,
                            const struct yaml_node *clear, struct detector *detector)
{
    bool when_reads = condition_read(when, detector->when, &detector->when_count, reader->complaints);
    if (when_reads && !condition_can_hold(detector->when, detector->when_count, NULL, 0)) {
        complain(reader->complaints, when->at, "this can never hold: its comparisons exclude each other");
        return;
    }
    if (clear == NULL) {
        detector->clear_count = when_reads ? 1 : 0;
        detector->clear[0] = condition_default_clear(&detector->when[0]);
        return;
    }
    bool clear_reads = condition_read(clear, detector->clear, &detector->clear_count, reader->complaints);
    if (!when_reads || !clear_reads) {
        return;
    }
    if (!condition_can_hold(detector->clear, detector->clear_count, NULL, 0)) {
        complain(reader->complaints, clear->at, "this can never hold: the finding would stay for ever");
    } else if (condition_can_hold(detector->when, detector->when_count, detector->clear,
                                  detector->clear_count)) {
        complain(reader->complaints, clear->at,
                 "this can hold while the detector still fires; clear must exclude its condition");
    }
}

static void read_times(struct reader *reader, const struct yaml_node *node, struct detector *detector)
{
    field_duration(yaml_tree_entry(node, "for"), 0, &detector->for_ns, reader->complaints);
    bool longer = detector->for_ns > healthy_for_least_default_ns;
    detector->healthy_for_ns = longer ? detector->for_ns : healthy_for_least_default_ns;
    const struct yaml_node *healthy_for = yaml_tree_entry(node, "healthy_for");
    field_duration(healthy_for, 0, &detector->healthy_for_ns, reader->complaints);
    if (detector->healthy_for_ns == 0 &&
        condition_is_contrary(detector->when, detector->when_count, detector->clear, detector->clear_count)) {
        complain(reader->complaints, healthy_for->at,
                 "it would flap: clear is the contrary of when; let healthy_for be 3s, or leave a gap "
                 "between them");
    }
}

/* A detector of silence has no conditions. */
static void read_absent(struct reader *reader, const struct yaml_node *node, struct detector *detector)
{
    static const char *const others[] = {"when", "for", "clear"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct yaml_node *other = yaml_tree_entry(node, others[i]);
        if (other != NULL) {
            complain(reader->complaints, other->key_at,
                     "absent and %s do not go together; write two detectors, or leave one out", others[i]);
        }
    }
    detector->for_ns = 0;
    field_duration(yaml_tree_entry(node, "absent"), MILLISECOND, &detector->absent_ns, reader->complaints);
    field_duration(yaml_tree_entry(node, "healthy_for"), 0, &detector->healthy_for_ns, reader->complaints);
}

/* The next free detector with its defaults, or NULL with a complaint if there is none. */
static struct detector *add_detector(struct reader *reader, const struct yaml_node *node)
{
    if (reader->policy->detector_count == DETECTOR_MAX) {
        complain(reader->complaints, node->at, "more than %d detectors and rules", DETECTOR_MAX);
        return NULL;
    }
    reader->nodes[reader->policy->detector_count] = node;
    struct detector *detector = &reader->policy->detectors[reader->policy->detector_count++];
    *detector = (struct detector){.for_ns = for_default_ns,
                                  .healthy_for_ns = healthy_for_least_default_ns,
                                  .severity = SEVERITY_WARNING,
                                  .confirm = 1};
    return detector;
}

static void take_ladder(struct reader *reader, const struct yaml_node *node)
{
    if (node != NULL) {
        uint32_t slot = reader->policy->detector_count - 1;
        reader->ladders[slot] = node;
        read_ladder(reader, node, &reader->policy->detectors[slot]);
    }
}

static void read_detector(struct reader *reader, const struct yaml_node *node)
{
    struct detector *detector = add_detector(reader, node);
    if (detector == NULL || !field_map(node, &policy_keys[POLICY_MAP_DETECTOR], reader->complaints)) {
        return;
    }
    const struct yaml_node *when = yaml_tree_entry(node, "when");
    if (yaml_tree_entry(node, "name") == NULL) {
        complain(reader->complaints, node->at, "a detector needs a name, as in \"name: cpu-high\"");
    }
    field_name(yaml_tree_entry(node, "name"), detector->name, sizeof detector->name, reader->complaints);
    if (yaml_tree_entry(node, "absent") != NULL) {
        read_absent(reader, node, detector);
    } else if (when != NULL) {
        read_conditions(reader, when, yaml_tree_entry(node, "clear"), detector);
        read_times(reader, node, detector);
    } else {
        complain(reader->complaints, node->at,
                 "a detector needs a condition: \"when: cpu_utilization > 90%%\", or \"absent: 5s\"");
    }
    size_t count;
    const char *const *severities = severity_names(&count);
    field_word(yaml_tree_entry(node, "severity"), "severity", severities, count, &detector->severity,
               reader->complaints);
    field_flag(yaml_tree_entry(node, "confirm"), &detector->confirm, reader->complaints);
    take_ladder(reader, yaml_tree_entry(node, "do"));
}

/* The short form, for learning: one metric is enough to act on. */
static void read_rule(struct reader *reader, const struct yaml_node *node)
{
    struct detector *detector = add_detector(reader, node);
    if (detector == NULL || !field_map(node, &policy_keys[POLICY_MAP_RULE], reader->complaints)) {
        return;
    }
    detector->confirm = 0;
    field_name(yaml_tree_entry(node, "name"), detector->name, sizeof detector->name, reader->complaints);
    const struct yaml_node *when = yaml_tree_entry(node, "if");
    if (when == NULL) {
        complain(reader->complaints, node->at, "a rule needs a condition: \"if: cpu_utilization > 90%%\"");
    } else {
        read_conditions(reader, when, NULL, detector);
        read_times(reader, node, detector);
    }
    if (yaml_tree_entry(node, "do") == NULL) {
        complain(reader->complaints, node->at, "a rule needs a remedy: \"do: restart_service\"");
    }
    take_ladder(reader, yaml_tree_entry(node, "do"));
}

/* --- names ---------------------------------------------------------------------------------------------- */

static struct detector *find_detector(struct reader *reader, const char *name, uint32_t below, uint32_t *slot)
{
    for (uint32_t i = 0; i < below; i++) {
        if (strcmp(reader->policy->detectors[i].name, name) == 0) {
            *slot = i;
            return &reader->policy->detectors[i];
        }
    }
    return NULL;
}

static void check_names(struct reader *reader)
{
    for (uint32_t i = 1; i < reader->policy->detector_count; i++) {
        const char *name = reader->policy->detectors[i].name;
        uint32_t twin;
        if (name[0] != '\0' && find_detector(reader, name, i, &twin) != NULL) {
            complain(reader->complaints, yaml_tree_entry(reader->nodes[i], "name")->at,
                     "a second detector \"%s\"; the first is in line %d", name, reader->nodes[twin]->at.line);
        }
    }
}

/* Names the rules that have no name: cpu-high, service-low; a second one cpu-high-2. */
static void name_rules(struct reader *reader)
{
    for (uint32_t i = 0; i < reader->policy->detector_count; i++) {
        struct detector *detector = &reader->policy->detectors[i];
        if (detector->name[0] != '\0' || detector->when_count == 0) {
            continue;
        }
        const struct condition *c = &detector->when[0];
        bool above = c->comparison == COMPARE_GT || c->comparison == COMPARE_GE;
        char name[DETECTOR_NAME_SIZE];
        uint32_t taken;
        unsigned number = 1;
        do {
            struct text text = text_over(name, sizeof name);
            text_addf(&text, "%s-%s", metric_infos[c->metric].short_name, above ? "high" : "low");
            if (number > 1) {
                text_addf(&text, "-%u", number);
            }
            CHECK(!text.cut);
            number++;
        } while (find_detector(reader, name, reader->policy->detector_count, &taken) != NULL);
        text_copy(detector->name, sizeof detector->name, name);
    }
}

/* --- playbooks ------------------------------------------------------------------------------------------ */

static void complain_no_detector(struct reader *reader, const struct yaml_node *on)
{
    const char *names[DETECTOR_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < reader->policy->detector_count; i++) {
        if (reader->policy->detectors[i].name[0] != '\0') {
            names[count++] = reader->policy->detectors[i].name;
        }
    }
    complain_unknown(reader->complaints, on->at, "detector", on->text, names, count);
}

static void read_playbook(struct reader *reader, const struct yaml_node *node)
{
    if (!field_map(node, &policy_keys[POLICY_MAP_PLAYBOOK], reader->complaints)) {
        return;
    }
    const struct yaml_node *on = yaml_tree_entry(node, "on"), *steps = yaml_tree_entry(node, "steps");
    if (on == NULL || steps == NULL) {
        complain(reader->complaints, node->at, "a playbook needs \"on: DETECTOR\" and \"steps:\"");
        return;
    }
    const char *name = NULL;
    if (!field_text(on, &name, reader->complaints) || !field_list(steps, reader->complaints)) {
        return;
    }
    uint32_t slot;
    struct detector *detector = find_detector(reader, name, reader->policy->detector_count, &slot);
    if (detector == NULL) {
        complain_no_detector(reader, on);
    } else if (reader->ladders[slot] != NULL) {
        complain(reader->complaints, on->at, "a second ladder for \"%s\"; the first is in line %d",
                 detector->name, reader->ladders[slot]->at.line);
    } else {
        reader->ladders[slot] = steps;
        read_ladder(reader, steps, detector);
    }
}

/* --- advice --------------------------------------------------------------------------------------------- */

static const struct rung *first_disruptive(const struct detector *detector)
{
    for (uint32_t i = 0; i < detector->ladder_count; i++) {
        if (detector->ladder[i].remedy < REMEDY_COUNT &&
            remedy_infos[detector->ladder[i].remedy].disruptive) {
            return &detector->ladder[i];
        }
    }
    return NULL;
}

/* Legal, but most likely not what was meant. */
static void note_detector(struct reader *reader, uint32_t slot)
{
    const struct detector *detector = &reader->policy->detectors[slot];
    const struct rung *rung = first_disruptive(detector);
    if (rung == NULL) {
        return;
    }
    const char *remedy = remedy_name((enum remedy)rung->remedy);
    if (detector->absent_ns > 0) {
        complain_note(reader->complaints, reader->ladders[slot]->at,
                      "a silent node cannot be told to do %s; page_human is what helps", remedy);
    } else if (detector->when_count > 0 && detector->confirm && detector_witnesses(detector) < 2) {
        complain_note(
            reader->complaints, yaml_tree_entry(reader->nodes[slot], "when")->at,
            "one witness alone: people will be told instead of %s; join a metric of another kind by "
            "\"and\", or say confirm: no",
            remedy);
    }
}

/* Calls `read` for each entry of the list. */
static void read_each(struct reader *reader, const struct yaml_node *list,
                      void (*read)(struct reader *reader, const struct yaml_node *node))
{
    if (list != NULL && field_list(list, reader->complaints)) {
        for (const struct yaml_node *node = list->first; node != NULL; node = node->next) {
            read(reader, node);
        }
    }
}

void detectors_read(const struct yaml_node *root, struct policy *policy, struct complaints *complaints)
{
    struct reader reader = {.policy = policy, .complaints = complaints};
    for (const struct yaml_node *entry = root->first; entry != NULL; entry = entry->next) {
        if (strcmp(entry->key, "rules") == 0) {
            read_each(&reader, entry, read_rule);
        } else if (strcmp(entry->key, "detectors") == 0) {
            read_each(&reader, entry, read_detector);
        }
    }
    check_names(&reader);
    name_rules(&reader);
    read_each(&reader, yaml_tree_entry(root, "playbooks"), read_playbook);
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        note_detector(&reader, i);
    }
}
