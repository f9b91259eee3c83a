#include "base/check.h"
#include "policy/fields.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"
#include "policy/quantity.h"
#include "scenario/scenario_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const duration length_least_ns = 10 * SECOND;
static const duration length_most_ns = 1000 * HOUR; /* what a duration can be written as */
static const duration heal_most_ns = 24 * HOUR;
static const duration wave_most_ns = 24 * HOUR; /* a day */
static const duration wave_least_ns = 10 * SECOND;

/* --- amounts -------------------------------------------------------------------------------------------- */

static void complain_no_amount(const struct yaml_node *node, struct scale_of scale, const char *shown,
                               struct complaints *complaints)
{
    const char *units = quantity_unit_names(scale.unit), *rest = node->text;
    double number;
    if (quantity_number(&rest, false, &number)) {
        const char *meant = quantity_unit_meant(rest + strspn(rest, " "), scale.unit);
        if (meant != NULL) {
            complain(complaints, node->at, "%s: \"%s\" is no amount for %s; did you mean %.*s%s?", node->key,
                     shown, scale.of, (int)(rest - node->text), node->text, meant);
            return;
        }
    }
    complain(complaints, node->at, "%s: \"%s\" is no amount for %s; a number%s%s", node->key, shown, scale.of,
             units[0] != '\0' ? " with its unit: " : ", without a unit", units);
}

/* The unit that a bare number too high for its scale was probably meant in, or "". */
static const char *unit_left_out(struct scale_of scale, double number)
{
    const char *unit = scale.unit == UNIT_RATIO ? "%" : scale.unit == UNIT_SECONDS ? "ms" : "";
    double value;
    bool fits = number > scale.most && quantity_in_base(number, unit, scale.unit, &value) &&
                value >= scale.least && value <= scale.most;
    return fits ? unit : "";
}

static void complain_out_of_range(const struct yaml_node *node, struct scale_of scale, double value,
                                  const char *shown, bool bare, struct complaints *complaints)
{
    char least_bytes[64], most_bytes[64];
    struct text least = text_over(least_bytes, sizeof least_bytes),
                most = text_over(most_bytes, sizeof most_bytes);
    quantity_write(&least, scale.least, scale.unit);
    quantity_write(&most, scale.most, scale.unit);
    const char *unit = bare ? unit_left_out(scale, value) : "";
    bool known = unit[0] != '\0';
    complain(complaints, node->at, "%s: %s is out of range; %s takes %s to %s%s%s%s%s", node->key, shown,
             scale.of, least_bytes, most_bytes, known ? "; did you mean " : "", known ? shown : "", unit,
             known ? "?" : "");
}

bool scenario_read_amount(const struct yaml_node *node, struct scale_of scale, double *out,
                          struct complaints *complaints)
{
    const char *text = "";
    if (node == NULL) {
        return true;
    }
    if (!field_text(node, &text, complaints)) {
        return false;
    }
    char shown[SHOWN_SIZE];
    complaint_shown(shown, text);
    double number, value;
    bool reads = quantity_number(&text, scale.least < 0, &number);
    text += reads ? strspn(text, " ") : 0;
    if (!reads || !quantity_in_base(number, text, scale.unit, &value)) {
        complain_no_amount(node, scale, shown, complaints);
        return false;
    }
    if (!(value >= scale.least && value <= scale.most)) {
        complain_out_of_range(node, scale, value, shown, *text == '\0', complaints);
        return false;
    }
    *out = value;
    return true;
}

/* A share of at most `most`. */
static void read_share(const struct yaml_node *node, const char *of, double most, double *out,
                       struct complaints *complaints)
{
    scenario_read_amount(node, (struct scale_of){UNIT_RATIO, 0, most, of}, out, complaints);
}

/* --- load and network ----------------------------------------------------------------------------------- */

static void read_load(const struct yaml_node *map, struct scenario *scenario, struct complaints *complaints)
{
    struct world_config *world = &scenario->world;
    if (map == NULL || !field_map(map, &scenario_keys[SCENARIO_MAP_LOAD], complaints)) {
        return;
    }
    read_share(yaml_tree_entry(map, "wave"), "the wave's height over the mean", 0.9, &world->wave_ratio,
               complaints);
    field_duration_upto(yaml_tree_entry(map, "period"), wave_least_ns, 7 * wave_most_ns, &world->wave_ns,
                        complaints);
    scenario_read_amount(yaml_tree_entry(map, "bursts"),
                         (struct scale_of){UNIT_COUNT, 0, 60, "the number of bursts in an hour"},
                         &world->burst_per_hour, complaints);
    scenario_read_amount(yaml_tree_entry(map, "noise"),
                         (struct scale_of){UNIT_COUNT, 0, 3, "noise (1: as measured in production)"},
                         &world->noise_ratio, complaints);
    field_integer(yaml_tree_entry(map, "retries"), 0, 10, &world->retries, complaints);
    field_duration_upto(yaml_tree_entry(map, "timeout"), MILLISECOND, MINUTE, &world->timeout_ns, complaints);
    field_duration_upto(yaml_tree_entry(map, "warm"), 0, HOUR, &world->warm_ns, complaints);
}

static void read_network(const struct yaml_node *map, struct scenario_network *network,
                         struct complaints *complaints)
{
    if (map == NULL || !field_map(map, &scenario_keys[SCENARIO_MAP_NETWORK], complaints)) {
        return;
    }
    duration skew_ns = 0;
    field_duration_upto(yaml_tree_entry(map, "delay"), 0, MINUTE, &network->least_ns, complaints);
    field_duration_upto(yaml_tree_entry(map, "tail"), 0, MINUTE, &network->tail_ns, complaints);
    read_share(yaml_tree_entry(map, "loss"), "loss", 1, &network->loss_ratio, complaints);
    read_share(yaml_tree_entry(map, "double"), "double", 1, &network->double_ratio, complaints);
    field_duration_upto(yaml_tree_entry(map, "skew"), 0, 24 * HOUR, &skew_ns, complaints);
    network->skew_s = duration_seconds(skew_ns);
    read_share(yaml_tree_entry(map, "drift"), "a clock's drift", 0.1, &network->drift_ratio, complaints);
}

/* --- paths ---------------------------------------------------------------------------------------------- */

bool scenario_read_path(struct scenario_reader *reader, const struct yaml_node *node,
                        char out[SCENARIO_PATH_SIZE])
{
    const char *path = "";
    if (!field_text(node, &path, reader->complaints)) {
        return false;
    }
    struct text text = text_over(out, SCENARIO_PATH_SIZE);
    memset(out, 0, SCENARIO_PATH_SIZE);
    if (path[0] != '/' && reader->folder[0] != '\0') {
        text_addf(&text, "%s/", reader->folder);
    }
    text_add(&text, path);
    if (text.cut) {
        complain(reader->complaints, node->at, "%s: the path is longer than %d bytes", node->key,
                 SCENARIO_PATH_SIZE - 1);
        memset(out, 0, SCENARIO_PATH_SIZE);
    }
    return !text.cut;
}

/* A pipe or a device might never end. */
static int read_regular_policy(const char *path, struct policy *policy, struct complaints *complaints)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        return -errno;
    }
    return S_ISREG(status.st_mode) ? policy_read_file(path, policy, complaints) : -EINVAL;
}

struct policy *scenario_load_policy(struct scenario_reader *reader, const struct yaml_node *node,
                                    const char *path)
{
    struct policy *policy = calloc(1, sizeof *policy);
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(policy != NULL && complaints != NULL);
    int result = read_regular_policy(path, policy, complaints);
    char shown[SHOWN_SIZE];
    complaint_shown(shown, node->text);
    if (result < 0) {
        complain(reader->complaints, node->at, "%s %s: %s", node->key, shown, strerror(-result));
    } else if (result == POLICY_REFUSED) {
        uint32_t first = 0;
        while (first + 1 < complaints->count && complaints->list[first].note) {
            first++;
        }
        complain(reader->complaints, node->at, "%s:%d:%d: %s", shown, complaints->list[first].line,
                 complaints->list[first].column, complaints->list[first].text);
    }
    if (result != 0) {
        free(policy);
        policy = NULL;
    }
    free(complaints);
    return policy;
}

/* The policy of the scenario, for the names of its findings; NULL if it cannot be read, or nobody asks. */
static struct policy *read_policy(struct scenario_reader *reader, const struct yaml_node *root)
{
    const struct yaml_node *node = yaml_tree_entry(root, "policy");
    if (node != NULL) {
        char *path = reader->scenario->policy_path;
        return scenario_read_path(reader, node, path) ? scenario_load_policy(reader, node, path) : NULL;
    }
    if (yaml_tree_entry(root, "expect") == NULL) {
        return NULL;
    }
    struct policy *policy = calloc(1, sizeof *policy);
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(policy != NULL && complaints != NULL);
    const char *text = policy_default_text();
    int result = policy_read(text, strlen(text), policy, complaints);
    CHECK(result == 0 || result == -ENOMEM);
    free(complaints);
    return policy;
}

/* --- the file ------------------------------------------------------------------------------------------- */

/* A text of one line: folded ones end with a line end. */
static void read_line(const struct yaml_node *node, char *out, size_t capacity, struct complaints *complaints)
{
    const char *text = "";
    if (node == NULL || !field_text(node, &text, complaints)) {
        return;
    }
    if (!text_copy(out, capacity, text)) {
        complain(complaints, node->at, "%s is longer than %zu bytes", node->key, capacity - 1);
    }
    text_tame(out);
    for (size_t length = strlen(out); length > 0 && out[length - 1] == ' '; length--) {
        out[length - 1] = '\0';
    }
}

static void read_script(struct scenario_reader *reader, const struct yaml_node *root)
{
    static const struct {
        const char *key;
        void (*read)(struct scenario_reader *reader, const struct yaml_node *list);
    } lists[] = {{"faults", scenario_read_faults},
                 {"accidents", scenario_read_accidents},
                 {"expect", scenario_read_expects}};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        const struct yaml_node *list = yaml_tree_entry(root, lists[i].key);
        if (list != NULL && field_list(list, reader->complaints)) {
            lists[i].read(reader, list);
        }
    }
    if (reader->fleet_reads) {
        scenario_check_clashes(reader);
    }
}

static void read_root(struct scenario_reader *reader, const struct yaml_node *root)
{
    struct complaints *complaints = reader->complaints;
    struct scenario *scenario = reader->scenario;
    if (!field_map(root, &scenario_keys[SCENARIO_MAP_SCENARIO], complaints)) {
        return;
    }
    uint32_t seed = (uint32_t)scenario->seed;
    if (root->key == NULL ||
        yaml_tree_entry(root, "version") != NULL) { /* within a file, the file's counts */
        field_version(root, complaints);
    }
    read_line(yaml_tree_entry(root, "title"), scenario->title, sizeof scenario->title, complaints);
    read_line(yaml_tree_entry(root, "teaches"), scenario->teaches, sizeof scenario->teaches, complaints);
    field_integer(yaml_tree_entry(root, "seed"), 1, UINT32_MAX - 1, &seed, complaints);
    field_duration_upto(yaml_tree_entry(root, "duration"), length_least_ns, length_most_ns,
                        &scenario->length_ns, complaints);
    field_duration_upto(yaml_tree_entry(root, "heal"), 0, heal_most_ns, &scenario->heal_ns, complaints);
    scenario->seed = scenario->world.seed = seed;
    scenario->world.wave_ns = scenario->length_ns < wave_most_ns ? scenario->length_ns : wave_most_ns;
    read_load(yaml_tree_entry(root, "load"), scenario, complaints);
    const struct yaml_node *network = yaml_tree_entry(root, "network");
    read_network(network, &scenario->network, complaints);
    scenario->network_line = network != NULL ? (uint32_t)network->key_at.line : 0;
    scenario_read_fleet(reader, yaml_tree_entry(root, "fleet"));
    if (yaml_tree_entry(root, "fleet") == NULL) {
        complain(complaints, root->at, "a scenario needs a fleet: \"fleet: [{role: web, count: 3}]\"");
    }
    struct policy *policy = read_policy(reader, root);
    reader->policy = policy;
    read_script(reader, root);
    free(policy);
}

int scenario_read_map(const struct yaml_node *map, const char *folder, struct scenario *scenario,
                      struct complaints *complaints)
{
    uint32_t errors = complaints->errors;
    struct scenario *read = calloc(1, sizeof *read);
    if (read == NULL) {
        return -ENOMEM;
    }
    scenario_init(read);
    struct scenario_reader reader = {.scenario = read, .complaints = complaints, .folder = folder};
    read_root(&reader, map);
    bool taken = complaints->errors == errors;
    if (taken) {
        *scenario = *read;
    }
    free(read);
    return taken ? 0 : SCENARIO_REFUSED;
}

int scenario_read(const char *bytes, size_t length, const char *folder, struct scenario *scenario,
                  struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    struct yaml_tree *tree;
    int result = yaml_tree_read(&tree, bytes, length, complaints);
    if (result < 0) {
        return result;
    }
    if (result == 0 && yaml_tree_root(tree) == NULL) {
        complain(complaints, (struct place){1, 1}, "the file is empty; begin with \"version: 1\"");
    } else if (result == 0) {
        result = scenario_read_map(yaml_tree_root(tree), folder, scenario, complaints);
    }
    yaml_tree_free(&tree);
    complaints_sort(complaints);
    return result < 0 || complaints->errors == 0 ? result : SCENARIO_REFUSED;
}

int scenario_read_file(const char *path, struct scenario *scenario, struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    char *bytes = NULL, *folder = strdup(path);
    size_t length;
    if (folder == NULL) {
        return -ENOMEM;
    }
    char *slash = strrchr(folder, '/');
    folder[slash == NULL ? 0 : slash - folder + (slash == folder)] = '\0';
    int result = yaml_tree_load(path, &bytes, &length);
    if (result == 0) {
        result = scenario_read(bytes, length, folder, scenario, complaints);
    }
    free(bytes);
    free(folder);
    return result;
}
