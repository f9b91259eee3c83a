/* Steps of a control plane as they stand in the store, each all or nothing. */
#ifndef TESTS_STORE_STEPS_H
#define TESTS_STORE_STEPS_H

#include "store_bench.h"

#include "base/units.h"

#include <sqlite3.h>

enum { LINES = 3 };

/* Ticket n: incident 1 in its n-th attempt, its lines, a sample and the control row, all or nothing. */
static inline void put_step(struct store_writer *writer, uint64_t ticket)
{
    struct incident incident = {.id = 1, .attempts = (uint32_t)ticket, .detector = NO_INDEX};
    struct timeline_row line = {.incident = 1, .at = (instant)ticket, .step = "PLAN", .text = "a line"};
    struct samples_row samples = {.at = (instant)ticket * SECOND, .present = 1, .value = {(double)ticket}};
    struct control_row control = {.control = {.epoch = 1, .next_command = ticket}, .at = (instant)ticket};
    int result = store_put_incident(writer, &incident);
    for (int i = 0; i < LINES; i++)
        result |= store_put_timeline(writer, &line);
    result |= store_put_samples(writer, &samples);
    result |= store_put_control(writer, &control);
    if (result != 0)
        abort();
    store_submit(writer, ticket, true);
}

struct found {
    uint64_t attempts;         /* of incident 1 */
    int64_t lines[100000 + 1]; /* per ticket */
    uint64_t newest_line;
    uint64_t samples;
};

static inline bool find_incident(void *context, const struct incident *incident)
{
    ((struct found *)context)->attempts = incident->attempts;
    return true;
}

static inline bool find_line(void *context, const struct timeline_row *row)
{
    struct found *found = context;
    assert_in_range(row->at, 1, 100000);
    found->lines[row->at]++;
    if ((uint64_t)row->at > found->newest_line)
        found->newest_line = (uint64_t)row->at;
    return true;
}

static inline bool find_samples(void *context, const struct samples_row *row)
{
    (void)row;
    ((struct found *)context)->samples++;
    return true;
}

/* How many whole steps are in the store; fails if there is a part of one. */
static inline uint64_t whole_steps(struct bench *bench)
{
    static struct found found;
    memset(&found, 0, sizeof found);
    struct store *store = bench_reader(bench);
    struct control_row control;
    struct incident_filter filter = {.node = -1, .state = -1};
    assert_true(store_incidents(store, &filter, find_incident, &found) >= 0);
    assert_true(store_timeline(store, 1, find_line, &found) >= 0);
    assert_true(store_samples(store, 0, INSTANT_NONE, INSTANT_NEVER, find_samples, &found) >= 0);
    assert_true(store_control(store, &control) >= 0);
    store_close(&store);
    assert_int_equal(found.newest_line, found.attempts);
    assert_int_equal(control.control.next_command, found.attempts);
    assert_int_equal(found.samples, found.attempts);
    for (uint64_t ticket = 1; ticket <= found.attempts; ticket++)
        assert_int_equal(found.lines[ticket], LINES);
    return found.attempts;
}

static inline void assert_whole(struct bench *bench)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(bench->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

#endif
