/* What a person writes into a lab file, and what the reader makes of it or says about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "scenario/lab.h"

static struct complaints complaints;
static struct lab lab;

static void print_complaints(const char *yaml)
{
    for (uint32_t i = 0; i < complaints.count; i++) {
        char line[512];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints.list[i], "FILE");
        print_message("%s\n", line);
    }
    print_message("in:\n%s\n", yaml);
}

/* A lab that must be read into `lab`, without errors. */
static void read_well(const char *yaml)
{
    int result = lab_read(yaml, strlen(yaml), &lab, &complaints);
    if (result != 0) {
        print_complaints(yaml);
    }
    assert_int_equal(result, 0);
    assert_int_equal(complaints.errors, 0);
}

/* --- what is read --------------------------------------------------------------------------------------- */

static void the_built_in_lab_is_the_one_in_the_file(void **state)
{
    (void)state;
    struct lab built_in;
    lab_default(&built_in);
    assert_int_equal(lab_read_file(LABS "/default.yaml", &lab, &complaints), 0);
    assert_int_equal(complaints.count, 0);
    assert_memory_equal(&lab, &built_in, sizeof lab);
}

static void in_the_default_lab_web_calls_api_calls_db(void **state)
{
    (void)state;
    lab_default(&lab);
    assert_int_equal(lab.node_count, 3);
    assert_string_equal(lab.nodes[0].name, "web-1");
    assert_string_equal(lab.nodes[0].role, "web");
    assert_int_equal(lab.nodes[0].calls_count, 1);
    assert_int_equal(lab.nodes[0].calls[0], lab_find(&lab, "api-1"));
    assert_int_equal(lab.nodes[1].calls_count, 1);
    assert_int_equal(lab.nodes[1].calls[0], lab_find(&lab, "db-1"));
    assert_int_equal(lab.nodes[2].calls_count, 0);
    assert_int_equal(lab.nodes[2].interval_ns, SECOND);
    assert_int_equal(lab_find(&lab, "db-2"), -1);
}

static void the_redis_lab_starts_a_program_of_ones_own(void **state)
{
    (void)state;
    assert_int_equal(lab_read_file(LABS "/redis.yaml", &lab, &complaints), 0);
    assert_int_equal(complaints.count, 0);
    int number = lab_find(&lab, "cache-1");
    assert_true(number >= 0);
    assert_non_null(strstr(lab.nodes[number].exec, "--port {port}"));
    assert_string_equal(lab.nodes[number].probe, "tcp:SET user 1 => +OK");
}

static void every_key_of_a_node_is_read(void **state)
{
    (void)state;
    read_well("version: 1\n"
              "nodes:\n"
              "  - name: b\n"
              "    role: cache\n"
              "    zone: z.1\n"
              "    calls: [c, a]\n"
              "    exec: 'run {port} {data} {name} ${HOME} {a,b} {}'\n"
              "    probe: http:/health?x=1\n"
              "    interval: 250ms\n"
              "  - {name: a, calls: []}\n"
              "  - {name: c}\n");
    const struct lab_node *node = &lab.nodes[0];
    assert_int_equal(lab.node_count, 3);
    assert_string_equal(node->role, "cache");
    assert_string_equal(node->zone, "z.1");
    assert_int_equal(node->calls_count, 2);
    assert_int_equal(node->calls[0], 2); /* callees may stand further down, and keep their order */
    assert_int_equal(node->calls[1], 1);
    assert_string_equal(node->exec, "run {port} {data} {name} ${HOME} {a,b} {}");
    assert_string_equal(node->probe, "http:/health?x=1");
    assert_int_equal(node->interval_ns, 250 * MILLISECOND);
}

static void a_circle_of_calls_is_noted_and_taken(void **state)
{
    (void)state;
    read_well("version: 1\n"
              "nodes:\n"
              "  - {name: a, calls: [b]}\n"
              "  - {name: b, calls: [c]}\n"
              "  - {name: c, calls: [d, a]}\n"
              "  - {name: d}\n");
    assert_int_equal(complaints.count, 1);
    assert_true(complaints.list[0].note);
    assert_int_equal(complaints.list[0].line, 5);
    assert_int_equal(complaints.list[0].column, 26);
    assert_non_null(strstr(complaints.list[0].text, "a circle of calls: a is called by what it calls"));
}

/* Two ways to one node are no circle. */
static void a_diamond_is_no_circle(void **state)
{
    (void)state;
    read_well("version: 1\n"
              "nodes:\n"
              "  - {name: a, calls: [b, c]}\n"
              "  - {name: b, calls: [d]}\n"
              "  - {name: c, calls: [d]}\n"
              "  - {name: d}\n");
    assert_int_equal(complaints.count, 0);
}

static void sixty_four_nodes_fit_and_no_more(void **state)
{
    (void)state;
    char yaml[4096];
    struct text text = text_over(yaml, sizeof yaml);
    text_add(&text, "version: 1\nnodes:\n");
    for (int i = 0; i < LAB_NODES_MAX; i++) {
        text_addf(&text, "  - {name: n%d, calls: [n%d]}\n", i,
                  (i + 1) % LAB_NODES_MAX); /* the deepest walk */
    }
    read_well(yaml);
    assert_int_equal(lab.node_count, LAB_NODES_MAX);
    assert_int_equal(complaints.count, 1);
    text_add(&text, "  - {name: straw}\n");
    assert_int_equal(lab_read(yaml, strlen(yaml), &lab, &complaints), LAB_REFUSED);
    assert_int_equal(complaints.errors, 1);
}

/* --- complaints ----------------------------------------------------------------------------------------- */

#define NODES "version: 1\nnodes:\n"

static const struct {
    const char *yaml;
    int line, column;
    const char *text;
} bad[] = {
    {"", 1, 1, "the file is empty; begin with \"version: 1\""},
    {"nodes: [{name: a}]\n", 1, 1, "the version is missing; begin with \"version: 1\""},
    {"version: one\nnodes: [{name: a}]\n", 1, 10, "only version 1 is known"},
    {"version: 1\n", 1, 1, "a lab needs nodes: \"nodes: [{name: web-1}]\""},
    {"version: 1\nnodes:\n", 2, 7, "a lab needs at least one node"},
    {"version: 1\nnodes: web-1\n", 2, 8, "nodes must be a list: \"- ...\" in lines, or [...]"},
    {"version: 1\nnodes: [{name: a}]\nfaults: []\n", 3, 1, "unknown key \"faults\"; known: version, nodes"},
    {"[]\n", 1, 1, "a lab must be a map of \"key: value\", not a list"},
    {NODES "  - web-1\n", 3, 5, "a node must be a map of \"key: value\", not a text"},
    {NODES "  - {role: web}\n", 3, 5, "a node needs a name, as in \"name: web-1\""},
    {NODES "  - {name: web 1}\n", 3, 12,
     "name: \"web 1\" is no name: up to 63 of a-z A-Z 0-9 - _ . and first a letter or digit"},
    {NODES "  - {name: a}\n  - {name: a}\n", 4, 12, "a second node \"a\"; the first is in line 3"},
    {NODES "  - {name: a, cals: [b]}\n", 3, 15, "unknown key \"cals\"; did you mean calls?"},
    {NODES "  - {name: web-1, calls: [web-2]}\n", 3, 27, "unknown node \"web-2\"; did you mean web-1?"},
    {NODES "  - {name: a, calls: [zebra]}\n", 3, 23, "unknown node \"zebra\"; known: a"},
    {NODES "  - {name: a, calls: [a]}\n", 3, 23, "a calls itself"},
    {NODES "  - {name: a, calls: [b, b]}\n  - {name: b}\n", 3, 26, "b is called twice; once is enough"},
    {NODES "  - {name: a, calls: b}\n  - {name: b}\n", 3, 22,
     "calls must be a list: \"- ...\" in lines, or [...]"},
    {NODES "  - {name: a, calls: [[b]]}\n  - {name: b}\n", 3, 23, "this must be a text, not a list"},
    {NODES "  - {name: a, exec: run, probe: tcp}\n", 3, 21,
     "exec must tell the program its port: use {port} where it belongs"},
    {NODES "  - {name: a, exec: '{port}'}\n", 3, 15,
     "exec needs a probe: \"probe: http:/PATH\", \"probe: tcp\" or \"probe: tcp:TEXT\""},
    {NODES "  - {name: a, exec: 'run {port} {dta}', probe: tcp}\n", 3, 33,
     "unknown placeholder \"dta\"; did you mean data?"},
    {NODES "  - {name: a, exec: {port}, probe: tcp}\n", 3, 21,
     "exec must be a text, not a map; a text that begins with a brace needs quotes"},
    {NODES "  - {name: a, probe: tcp}\n", 3, 15, "probe without exec: the built-in service is probed anyway"},
    {NODES "  - {name: a, exec: '{port}', probe: udp}\n", 3, 38,
     "probe: \"udp\" is none of http:/PATH, tcp, tcp:TEXT"},
    {NODES "  - {name: a, exec: '{port}', probe: 'http://x/'}\n", 3, 38,
     "probe: \"http://x/\" is none of http:/PATH, tcp, tcp:TEXT"},
    {NODES "  - {name: a, exec: '{port}', probe: 'http:/a b'}\n", 3, 38,
     "probe: \"http:/a b\" is none of http:/PATH, tcp, tcp:TEXT"},
    {NODES "  - {name: a, interval: 1ms}\n", 3, 25, "interval: 1ms is too short; at least 50ms"},
    {NODES "  - {name: a, interval: 2m}\n", 3, 25, "interval: 2m is too long; at most 1m"},
    {NODES "  - {name: a, zone: [x]}\n", 3, 21, "zone must be a name, not a list"},
    {NODES
     "  - {name: a, calls: [b,c,d,e,f,g,h,i,j]}\n  - {name: b}\n  - {name: c}\n  - {name: d}\n  - {name: e}\n"
     "  - {name: f}\n  - {name: g}\n  - {name: h}\n  - {name: i}\n  - {name: j}\n",
     3, 39, "more than 8 calls of one node"},
};

static void every_mistake_is_named_at_its_place(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        memset(&lab, 0x5A, sizeof lab);
        int result = lab_read(bad[i].yaml, strlen(bad[i].yaml), &lab, &complaints);
        const struct complaint *first = &complaints.list[0];
        bool ok = result == LAB_REFUSED && complaints.count == 1 && first->line == bad[i].line &&
                  first->column == bad[i].column && strcmp(first->text, bad[i].text) == 0 &&
                  lab.node_count == 0x5A5A5A5A; /* as it was */
        if (!ok) {
            print_complaints(bad[i].yaml);
            print_message("expected %d:%d: %s\n\n", bad[i].line, bad[i].column, bad[i].text);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void a_command_or_probe_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char yaml[2048];
    struct text text = text_over(yaml, sizeof yaml);
    text_addf(&text, NODES "  - {name: a, exec: 'run {port} %0600d', probe: 'tcp:%0300d'}\n", 0, 0);
    assert_int_equal(lab_read(yaml, strlen(yaml), &lab, &complaints), LAB_REFUSED);
    assert_int_equal(complaints.errors, 2);
    assert_string_equal(complaints.list[0].text,
                        "exec is longer than 511 bytes; put the command into a script");
    assert_string_equal(complaints.list[1].text, "probe is longer than 199 bytes");
}

static void a_file_that_is_not_there_is_the_worlds_failure(void **state)
{
    (void)state;
    assert_int_equal(lab_read_file(LABS "/no-such-lab.yaml", &lab, &complaints), -ENOENT);
    assert_int_equal(complaints.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_lab_is_the_one_in_the_file),
        cmocka_unit_test(in_the_default_lab_web_calls_api_calls_db),
        cmocka_unit_test(the_redis_lab_starts_a_program_of_ones_own),
        cmocka_unit_test(every_key_of_a_node_is_read),
        cmocka_unit_test(a_circle_of_calls_is_noted_and_taken),
        cmocka_unit_test(a_diamond_is_no_circle),
        cmocka_unit_test(sixty_four_nodes_fit_and_no_more),
        cmocka_unit_test(every_mistake_is_named_at_its_place),
        cmocka_unit_test(a_command_or_probe_that_is_too_long_is_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_the_worlds_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
