#include "plane/state.h"

#include "base/check.h"
#include "base/crash.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const duration probe_every_ns = SECOND; /* while degraded */
static const duration ping_every_ns = 15 * SECOND;
static const duration gap_wait_ns = 250 * MILLISECOND;
static const duration stall_ns = 3 * PULSE_MS * MILLISECOND;
static const duration stall_wait_ns = PULSE_MS * MILLISECOND;

/* --- time ---------------------------------------------------------------------------------------------- */

static void take_gap(struct plane *plane, duration away_ns)
{
    plane->counts.gaps++;
    plane->deadlines_from = plane->now + gap_wait_ns;
    if (plane->condition != CONDITION_READY || !gate_has_room(plane->gate))
        return;
    struct event event = {.kind = EVENT_GAP, .node = NO_INDEX, .of.gap.length_ns = away_ns};
    plane_step(plane, &event);
    char line[128];
    struct text text = text_over(line, sizeof(line));
    text_add(&text, "the control plane was away for ");
    text_duration(&text, away_ns);
    text_add(&text, "; it waits for fresh reports before it acts");
    record_notice(plane, "CONTROL", line);
}

void plane_turn(struct plane *plane)
{
    instant now = clock_now(&plane->clock);
    if (now > plane->now)
        plane->now = now;
    /* A stall too short to be told of: what waits in the sockets is heard before anybody is called silent. */
    if (plane->now - plane->clock.pulse_at > stall_ns)
        plane->deadlines_from = plane->now + stall_wait_ns;
    duration away_ns = clock_pulse(&plane->clock, plane->now, PULSE_MS * MILLISECOND);
    if (away_ns > 0)
        take_gap(plane, away_ns);
}

/* --- the core ------------------------------------------------------------------------------------------ */

void plane_rows_put(struct plane *plane, bool urgent)
{
    struct commits *commits = &plane->commits;
    bool full = ++commits->rows == FULL_ROWS;
    commits->dirty = true;
    if (full || (urgent && !commits->urgent))
        watch_soon(plane->flush);
    commits->urgent |= urgent;
}

void plane_recorded(struct plane *plane)
{
    if (plane->recorded || !recorder_wants_turn(plane->recorder))
        return;
    plane->recorded = true;
    watch_soon(plane->turned);
}

void plane_step(struct plane *plane, struct event *event)
{
    event->at = plane->now;
    core_step(plane->core, event, &plane->effects);
    uint64_t ticket = plane->effects.count > 0 ? gate_put(plane->gate, &plane->effects) : 0;
    recorder_event(plane->recorder, plane->core, event, ticket);
    plane_recorded(plane);
    if (plane->effects.count == 0)
        return;
    if (ticket) {
        plane->commits.gate_ticket = ticket;
        plane_rows_put(plane, true);
    }
    record_effects(plane);
}

void plane_run_deadlines(struct plane *plane)
{
    if (plane->condition != CONDITION_READY)
        return;
    bool held = plane->now < plane->deadlines_from;
    for (int i = 0; !held && i < DEADLINES_PER_TURN && plane->condition == CONDITION_READY; i++) {
        if (core_deadline(plane->core) > plane->now || !gate_has_room(plane->gate))
            break;
        struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX};
        plane_step(plane, &event);
    }
    /* Without room in the gate the next commit comes back here. */
    instant next_at = held ? plane->deadlines_from : core_deadline(plane->core);
    if (next_at != INSTANT_NEVER && gate_has_room(plane->gate))
        watch_after(plane->due, next_at - plane->now);
}

bool plane_can_act(const struct plane *plane)
{
    return plane->condition == CONDITION_READY && gate_has_room(plane->gate);
}

enum reject plane_reject(const struct plane *plane)
{
    for (uint32_t i = 0; i < plane->effects.count; i++)
        if (plane->effects.list[i].kind == EFFECT_REJECT)
            return plane->effects.list[i].reject;
    return REJECT_NONE;
}

/* --- commits ------------------------------------------------------------------------------------------- */

/* The instant goes along with every batch, so that no later start begins before what is stored. */
static void submit(struct plane *plane)
{
    if (!plane->commits.dirty)
        return;
    if (plane->condition == CONDITION_READY) {
        struct control_row row = {.control = *core_control(plane->core), .at = plane->now};
        if (store_put_control(plane->commits.writer, &row) < 0) {
            plane_fail(plane, "more waits for the disk than there is memory for");
            return;
        }
    }
    commits_submit(&plane->commits, plane->now);
}

void plane_fail(struct plane *plane, const char *why)
{
    gate_discard(plane->gate);
    commits_forget(&plane->commits);
    if (plane->condition != CONDITION_READY && plane->probe_at != INSTANT_NEVER)
        return; /* one cause has several effects in one turn */
    plane->commits.failures++;
    char line[TROUBLE_SIZE + 64];
    struct text text = text_over(line, sizeof(line));
    text_addf(&text, "CONTROL   the store fails, nothing is decided meanwhile: %s", why);
    if (strcmp(plane->trouble, why) != 0)
        record_log(plane, line);
    text_copy(plane->trouble, sizeof(plane->trouble), why);
    if (plane->condition == CONDITION_READY)
        plane->condition = CONDITION_DEGRADED;
    plane->probe_at = plane->now + probe_every_ns;
    events_discard(&plane->events);
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        struct node *node = plane->roster.nodes[i];
        node_forget_taken(node);
        node->changed = true;
        node->ticket = 0;
    }
    wait_fail(plane);
}

static void say_ready(struct plane *plane)
{
    if (plane->ready_fd < 0)
        return;
    char line[16];
    struct text text = text_over(line, sizeof(line));
    text_addf(&text, "%d\n", plane_port(plane));
    ssize_t written = write(plane->ready_fd, line, text.length);
    (void)written; /* nobody reads it any more: then nobody waits */
    close(plane->ready_fd);
    plane->ready_fd = -1;
}

static void begin(struct plane *plane)
{
    bool again = plane->condition == CONDITION_DEGRADED;
    char why[TROUBLE_SIZE];
    if (!restore_rebuild(plane, why, sizeof(why))) {
        plane_fail(plane, why);
        return;
    }
    if (again) {
        plane->counts.rebuilds++;
        record_log(plane, "CONTROL   the store works again; begun anew from what it holds");
        record_notice(plane, "CONTROL", "the store works again; begun anew from what it holds");
    }
    stall_forget(plane);
    say_ready(plane);
}

static void let_out(struct plane *plane)
{
    struct effect effect;
    if (plane->commits.gate_durable > plane->recorded_ticket) {
        plane->recorded_ticket = plane->commits.gate_durable;
        recorder_committed(plane->recorder, plane->now, plane->recorded_ticket);
        plane_recorded(plane);
    }
    gate_durable(plane->gate, plane->commits.gate_durable);
    while (gate_take(plane->gate, &effect))
        record_release(plane, &effect);
    events_release(&plane->events, plane->commits.durable);
    wait_durable(plane);
}

static void on_wake(void *context)
{
    struct plane *plane = context;
    char error[TROUBLE_SIZE];
    plane_turn(plane);
    if (commits_take(&plane->commits, plane->now, error, sizeof(error)) == COMMITS_FAILED) {
        plane_fail(plane, error);
        return;
    }
    if (plane->condition != CONDITION_READY && plane->probe_ticket &&
        plane->commits.durable >= plane->probe_ticket)
        begin(plane);
    let_out(plane);
    plane_run_deadlines(plane);
    submit(plane); /* what found no room among the batches under way */
}

/* --- the loop's other calls ---------------------------------------------------------------------------- */

static void on_flush(void *context)
{
    submit(context);
}

/* An answer with commands has left, see api_answer_node(). */
static void on_sent(void *context)
{
    (void)context;
    crash_here(CRASH_AFTER_SEND);
}

/* The turn is over, or nearly: what it decided outlives us now. */
static void on_turned(void *context)
{
    struct plane *plane = context;
    plane->recorded = false;
    recorder_turn(plane->recorder, plane->core);
}

static void on_due(void *context)
{
    struct plane *plane = context;
    plane_turn(plane);
    plane_run_deadlines(plane);
}

/* Faults whose nodes say nothing, health that changed without an effect, and node rows: all nodes once in ten
 * seconds, some at each pulse. */
static void sweep(struct plane *plane)
{
    struct fault_row *ended = faults_expire(&plane->faults, plane->now);
    for (; ended; ended = faults_expire(&plane->faults, plane->now))
        record_fault(plane, ended, "ended by its lease; its node has not said so");
    faults_sweep(&plane->faults, plane->now);
    for (uint32_t i = 0; i < plane->roster.count; i++)
        record_health(plane, plane->roster.nodes[i]);
    uint32_t some = plane->roster.count / 100 + 1;
    for (uint32_t i = 0; i < some && plane->roster.count > 0; i++) {
        plane->sweep = (plane->sweep + 1) % plane->roster.count;
        struct node *node = plane->roster.nodes[plane->sweep];
        node_through(node, node->boot, plane->commits.durable); /* for its row */
        if (node->changed)
            record_node(plane, node);
    }
}

static void on_pulse(void *context)
{
    struct plane *plane = context;
    plane_turn(plane);
    if (plane->condition == CONDITION_READY) {
        sweep(plane);
        play_turn(plane);
    } else if (plane->probe_at <= plane->now) {
        restore_probe(plane);
    }
    wait_late(plane);
    if (plane->now - plane->pinged_at >= ping_every_ns) {
        plane->pinged_at = plane->now;
        events_ping(&plane->events);
    }
    submit(plane);
    watch_after(plane->pulse, PULSE_MS * MILLISECOND);
}

static void on_stream_closed(void *context, void *stream_context)
{
    (void)context;
    events_closed(stream_context);
}

/* --- life ---------------------------------------------------------------------------------------------- */

static bool is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Also of a descriptor that listens already. */
static bool stays_on_loopback(const struct plane_options *options)
{
    char address[INET6_ADDRSTRLEN] = "127.0.0.1";
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);
    if (options->listen_fd < 0)
        return is_loopback(options->address ? options->address : address);
    if (getsockname(options->listen_fd, (struct sockaddr *)&bound, &size) != 0)
        return false;
    const void *bytes = bound.ss_family == AF_INET6
                            ? (const void *)&((const struct sockaddr_in6 *)(const void *)&bound)->sin6_addr
                            : (const void *)&((const struct sockaddr_in *)(const void *)&bound)->sin_addr;
    return inet_ntop(bound.ss_family, bytes, address, sizeof(address)) && is_loopback(address);
}

static bool take_tokens(struct plane *plane, const struct plane_options *options, char *error,
                        size_t error_size)
{
    if (!options->token_file) {
        if (stays_on_loopback(options))
            return true;
        snprintf(error, error_size,
                 "%s can be reached from other machines, so tokens are needed; mend: --token-file FILE, with "
                 "a line "
                 "'operator TOKEN' and one 'node TOKEN'",
                 options->address && options->listen_fd < 0 ? options->address : "this address");
        return false;
    }
    plane->access = access_load(options->token_file, error, error_size);
    plane->token_file = strdup(options->token_file);
    CHECK(plane->token_file);
    return plane->access != NULL;
}

void plane_reload_tokens(struct plane *plane)
{
    char error[TROUBLE_SIZE], line[TROUBLE_SIZE + 64];
    if (!plane->token_file)
        return;
    struct access *fresh = access_load(plane->token_file, error, sizeof(error));
    struct text text = text_over(line, sizeof(line));
    if (fresh) {
        access_free(&plane->access);
        plane->access = fresh;
        text_add(&text, "CONTROL   the tokens were read again");
    } else {
        text_addf(&text, "CONTROL   the old tokens stay: %s", error);
    }
    record_log(plane, line);
}

static bool open_log(struct plane *plane, const char *path, char *error, size_t error_size)
{
    plane->log = path ? NULL : stderr;
    if (!path || !*path)
        return true;
    plane->log = fopen(path, "ae");
    plane->owns_log = plane->log != NULL;
    if (!plane->log)
        snprintf(error, error_size, "cannot write the log %s: %s", path, strerror(errno));
    return plane->log != NULL;
}

/* As many as there are descriptors for. */
static int connections_most(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= CONNECTIONS_MAX + DESCRIPTORS_ASIDE)
        return CONNECTIONS_MAX;
    int left = (int)limit.rlim_cur - DESCRIPTORS_ASIDE;
    return left > 8 ? left : 8;
}

static bool listen_for(struct plane *plane, const struct plane_options *options, char *error,
                       size_t error_size)
{
    const char *address = options->address ? options->address : "127.0.0.1";
    plane->connections = (uint32_t)connections_most();
    struct server_options server = {.address = address,
                                    .port = options->port,
                                    .listen_fd = options->listen_fd,
                                    .connections = (int)plane->connections,
                                    .connections_per_address = options->connections_per_address,
                                    .streams = WATCHERS_MAX,
                                    .stream_bytes_limit = STREAM_WAITING_BYTES};
    if (options->listen_fd >= 0)
        fcntl(options->listen_fd, F_SETFL, fcntl(options->listen_fd, F_GETFL) | O_NONBLOCK);
    plane->server =
        server_start(plane->base, &server, api_handle, on_stream_closed, plane, error, error_size);
    return plane->server != NULL;
}

static void watch_all(struct plane *plane)
{
    plane->wake = watch_readable(plane->base, plane->commits.wake_fd, on_wake, plane);
    plane->pulse = watch_timer(plane->base, on_pulse, plane);
    plane->due = watch_timer(plane->base, on_due, plane);
    plane->flush = watch_timer(plane->base, on_flush, plane);
    plane->sent = watch_timer(plane->base, on_sent, plane);
    plane->turned = watch_timer(plane->base, on_turned, plane);
    plane->stall = watch_timer(plane->base, stall_run, plane);
    watch_after(plane->pulse, PULSE_MS * MILLISECOND);
}

static bool take_memory(struct plane *plane, char *error, size_t error_size)
{
    void *gate_memory = malloc(gate_size(GATE_CAPACITY));
    if (!gate_memory || !restore_empty_core(plane)) {
        free(gate_memory);
        snprintf(error, error_size, "out of memory");
        errno = ENOMEM;
        return false;
    }
    plane->gate = gate_init(gate_memory, GATE_CAPACITY);
    roster_init(&plane->roster, PLANE_NODE_CAPACITY);
    tally_init(&plane->tally);
    faults_init(&plane->faults, 1);
    return true;
}

static void on_recorder(void *context, const char *sentence)
{
    char line[TROUBLE_SIZE + 64];
    struct text text = text_over(line, sizeof(line));
    text_addf(&text, "CONTROL   %s", sentence);
    record_log(context, line);
}

/* After the database, whose lock keeps others out of the flight recorder's folder. */
static bool open_recorder(struct plane *plane, const struct plane_options *options, char *error,
                          size_t error_size)
{
    struct recorder_options recording = {
        .file = options->record_path, .folder = options->flight_folder, .say = on_recorder, .context = plane};
    if (!recording.file && !recording.folder)
        return true;
    plane->recorder = recorder_open(&recording, error, error_size);
    return plane->recorder != NULL;
}

static bool open_all(struct plane *plane, const struct plane_options *options, char *error, size_t error_size)
{
    if (!take_tokens(plane, options, error, error_size)) {
        errno = EPERM;
        return false;
    }
    if (!options->database || !text_copy(plane->database, sizeof(plane->database), options->database)) {
        snprintf(error, error_size, "a database is needed, with a path of less than %zu bytes",
                 sizeof(plane->database));
        errno = EINVAL;
        return false;
    }
    if (!open_log(plane, options->log_path, error, error_size) || !take_memory(plane, error, error_size))
        return false;
    int code = commits_init(&plane->commits);
    if (code == 0)
        code = store_writer_open(&plane->commits.writer, plane->database, commits_ended, &plane->commits,
                                 error, error_size);
    if (code == 0)
        code = store_open(&plane->reader, plane->database, error, error_size);
    if (code == 0)
        store_follow(plane->reader, plane->commits.writer);
    if (code < 0) {
        errno = -code;
        return false;
    }
    return open_recorder(plane, options, error, error_size) &&
           restore_open(plane, options, error, error_size) && listen_for(plane, options, error, error_size);
}

struct plane *plane_new(struct event_base *base, const struct plane_options *options, char *error,
                        size_t error_size)
{
    struct plane *plane = calloc(1, sizeof(*plane));
    CHECK(plane);
    plane->base = base;
    plane->ready_fd = options->ready_fd;
    plane->commits.wake_fd = -1;
    plane->struck_at = INSTANT_NONE;
    plane->inject_gap_ns = options->inject_gap_ns;
    clock_start(&plane->clock, INSTANT_NONE); /* for what is logged before the store tells where it stopped */
    plane->now = clock_now(&plane->clock);
    if (options->scenario_folder)
        text_copy(plane->repertoire.folder, sizeof plane->repertoire.folder, options->scenario_folder);
    text_copy(error, error_size, "");
    if (!open_all(plane, options, error, error_size)) {
        int code = errno;
        plane->ready_fd = -1; /* it stays the caller's */
        plane_free(&plane);
        errno = code;
        return NULL;
    }
    watch_all(plane);
    restore_probe(plane);
    submit(plane);
    return plane;
}

void plane_free(struct plane **owner)
{
    struct plane *plane = *owner;
    if (!plane)
        return;
    if (plane->server) {
        wait_fail(plane);
        server_stop(&plane->server);
    }
    if (plane->commits.writer && plane->condition == CONDITION_READY) {
        plane_turn(plane);
        for (uint32_t i = 0; i < plane->roster.count; i++)
            if (plane->roster.nodes[i]->changed)
                record_node(plane, plane->roster.nodes[i]);
        submit(plane);
    }
    watch_free(&plane->wake);
    watch_free(&plane->pulse);
    watch_free(&plane->due);
    watch_free(&plane->flush);
    watch_free(&plane->sent);
    watch_free(&plane->turned);
    watch_free(&plane->stall);
    recorder_close(&plane->recorder);
    if (plane->commits.writer)
        store_writer_close(&plane->commits.writer);
    if (plane->reader)
        store_close(&plane->reader);
    commits_fini(&plane->commits);
    book_close(&plane->book);
    events_fini(&plane->events);
    roster_fini(&plane->roster);
    free(plane->waiters);
    access_free(&plane->access);
    free(plane->token_file);
    free(plane->play);
    repertoire_fini(&plane->repertoire);
    free(plane->policy_text);
    free(plane->first_policy);
    free(plane->gate);
    free(plane->core_memory);
    if (plane->owns_log)
        fclose(plane->log);
    if (plane->ready_fd >= 0)
        close(plane->ready_fd);
    free(plane);
    *owner = NULL;
}

int plane_port(const struct plane *plane)
{
    return server_port(plane->server);
}
