/* Prometheus text, exposition format 0.0.4. Names follow its conventions: base units, _total for counters. */
#include "plane/api.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP homeostat_%s %s\n# TYPE homeostat_%s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    fprintf(out, "homeostat_%s %.15g\n", name, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    fprintf(out, "homeostat_%s %" PRIu64 "\n", name, value);
}

static void write_fleet(FILE *out, const struct plane *plane)
{
    const struct core *core = plane->core;
    head(out, "build_info", "gauge", "Always 1; the version stands in its label.");
    fprintf(out, "homeostat_build_info{version=\"%s\"} 1\n", HOMEOSTAT_VERSION);
    gauge(out, "ready", "1 while the store works and decisions are made.",
          plane->condition == CONDITION_READY);
    gauge(out, "fleet_nodes", "Nodes that are here.", core_fleet(core));
    gauge(out, "unhealthy_nodes", "Of them, ill by themselves or silent.", core_unhealthy(core));
    gauge(out, "disrupted_nodes", "Of them, being worked on, verified, or of unknown outcome.",
          core_disrupted(core));
    gauge(out, "budget_nodes", "How many may be disrupted at once.", core_budget(core));
    gauge(out, "breaker_open", "1 while the fleet's breaker has tripped.", core_control(core)->breaker_open);
    gauge(out, "paused", "1 while a person has paused automation.", core_control(core)->paused);
    gauge(out, "epoch", "Epoch of this control plane.", (double)core_control(core)->epoch);
}

static void write_nodes(FILE *out, const struct plane *plane)
{
    head(out, "node_health", "gauge", "1 for the health that the node has.");
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        const struct node *node = plane->roster.nodes[i];
        if (node->name[0] != '#')
            fprintf(out, "homeostat_node_health{node=\"%s\",health=\"%s\"} 1\n", node->name,
                    health_name(core_node_health(plane->core, i)));
    }
    head(out, "node_sample", "gauge", "The newest sample of a metric of a node, in the metric's base unit.");
    for (uint32_t i = 0; i < plane->roster.count; i++) {
        const struct node *node = plane->roster.nodes[i];
        const struct recent_samples *newest = node_newest(node);
        /* A silent node's last words are not what it is like now. */
        if (!newest || plane->now - node->seen_at > MINUTE || node->gone)
            continue;
        for (uint32_t m = 0; m < METRIC_COUNT; m++)
            if (newest->present & 1u << m)
                fprintf(out, "homeostat_node_sample{node=\"%s\",metric=\"%s\"} %.15g\n", node->name,
                        metric_name(m), newest->value[m]);
    }
}

static void write_reports(FILE *out, const struct counts *counts)
{
    counter(out, "reports_total", "Reports taken.", counts->reports);
    counter(out, "reports_lost_total", "Reports that node agents had to give up, as they told.",
            counts->lost_reports);
    head(out, "reports_not_evaluated_total", "counter", "Reports stored but not decided on, by reason.");
    fprintf(out, "homeostat_reports_not_evaluated_total{reason=\"old\"} %" PRIu64 "\n", counts->old_reports);
    fprintf(out, "homeostat_reports_not_evaluated_total{reason=\"late\"} %" PRIu64 "\n",
            counts->late_reports);
    fprintf(out, "homeostat_reports_not_evaluated_total{reason=\"bad\"} %" PRIu64 "\n", counts->bad_reports);
}

static void write_decisions(FILE *out, const struct counts *counts)
{
    counter(out, "incidents_opened_total", "Incidents opened.", counts->opened);
    head(out, "incidents_closed_total", "counter", "Incidents resolved or escalated, by state and verdict.");
    for (unsigned state = INCIDENT_RESOLVED; state <= INCIDENT_ESCALATED; state++)
        for (unsigned verdict = 0; verdict < VERDICT_COUNT; verdict++)
            fprintf(out, "homeostat_incidents_closed_total{state=\"%s\",verdict=\"%s\"} %" PRIu64 "\n",
                    incident_state_name(state), verdict_name(verdict), counts->closed[state][verdict]);
    head(out, "commands_ordered_total", "counter", "Commands ordered, by remedy.");
    for (unsigned remedy = 0; remedy < REMEDY_COUNT; remedy++)
        if (remedy_infos[remedy].disruptive)
            fprintf(out, "homeostat_commands_ordered_total{remedy=\"%s\"} %" PRIu64 "\n", remedy_name(remedy),
                    counts->ordered[remedy]);
    head(out, "commands_ended_total", "counter", "Commands ended, by remedy and outcome.");
    for (unsigned remedy = 0; remedy < REMEDY_COUNT; remedy++)
        for (unsigned outcome = OUTCOME_DONE; outcome < OUTCOME_COUNT; outcome++)
            if (remedy_infos[remedy].disruptive)
                fprintf(out, "homeostat_commands_ended_total{remedy=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
                        remedy_name(remedy), outcome_name(outcome), counts->ended[remedy][outcome]);
    head(out, "blocked_total", "counter", "Evaluations that wanted to act and did not, by reason.");
    for (unsigned reason = BLOCK_NONE + 1; reason < BLOCK_REASON_COUNT; reason++)
        fprintf(out, "homeostat_blocked_total{reason=\"%s\"} %" PRIu64 "\n", block_reason_name(reason),
                counts->blocked[reason]);
    counter(out, "notices_total", "Notices to people.", counts->notices);
    counter(out, "gaps_total", "Times the control plane was away for more than a second.", counts->gaps);
}

static void write_store(FILE *out, const struct plane *plane)
{
    const struct commits *commits = &plane->commits;
    uint64_t sum = 0;
    head(out, "store_commit_seconds", "histogram", "From handing a batch over until it is durable.");
    for (size_t i = 0; i < LATENCY_BOUNDS; i++) {
        sum += commits->latency_count[i];
        fprintf(out, "homeostat_store_commit_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                commits_latency_bounds[i], sum);
    }
    fprintf(out,
            "homeostat_store_commit_seconds_bucket{le=\"+Inf\"} %" PRIu64
            "\nhomeostat_store_commit_seconds_sum %.9g\n"
            "homeostat_store_commit_seconds_count %" PRIu64 "\n",
            commits->committed, commits->latency_sum_s, commits->committed);
    counter(out, "store_failures_total", "Commits that failed.", commits->failures);
    counter(out, "rebuilds_total", "Times the core was rebuilt from the store after a failure.",
            plane->counts.rebuilds);
}

static void write_http(FILE *out, const struct plane *plane)
{
    struct server_counts http = server_counts(plane->server);
    counter(out, "http_requests_total", "Requests answered.", http.requests);
    counter(out, "http_refused_total", "Requests and connections refused before they reached a handler.",
            http.refused);
    counter(out, "http_deadlines_total", "Connections cut because a request took too long to arrive.",
            http.deadlines);
    counter(out, "http_idle_total", "Connections closed because no request came for too long.", http.idle);
    counter(out, "http_dropped_streams_total", "Event streams dropped because their reader was too slow.",
            http.dropped_streams);
    counter(out, "http_evicted_total", "Connections closed to make room for others.", http.evicted);
    counter(out, "http_unauthorized_total", "Requests without a known token.", plane->counts.nameless);
    counter(out, "http_forbidden_total", "Requests whose token is not for that.", plane->counts.forbidden);
    gauge(out, "http_connections", "Open connections.", http.connections);
    gauge(out, "http_streams", "Open event streams.", http.streams);
    gauge(out, "http_waiting", "Requests whose answer waits for a commit or a command.", plane->waiter_count);
}

char *metrics_text(struct plane *plane, size_t *length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    CHECK(out);
    write_fleet(out, plane);
    write_nodes(out, plane);
    write_reports(out, &plane->counts);
    write_decisions(out, &plane->counts);
    write_store(out, plane);
    write_http(out, plane);
    CHECK(fclose(out) == 0 && text);
    return text;
}
