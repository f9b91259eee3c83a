/* Every named thing of homeostat, once. Each row gives the enumerator and the one word that traces, JSON, the
 * database and the pages use for it, so that these cannot drift apart. vocabulary.h makes enums and look-ups
 * of these tables; nothing else may spell these words. */
#ifndef CORE_TABLES_H
#define CORE_TABLES_H

/* X(symbol, name, short name, unit, worse when, witness, reach)
 * unit:    RATIO 0..1, SECONDS, BYTES, PER_SECOND, COUNT, FLAG 0 or 1
 * worse:   UP or DOWN, the direction that means illness
 * witness: who sees it. Two metrics corroborate each other only if their witnesses differ.
 * reach:   LOCAL, a property of this node alone; SHARED, a sick callee shows in it as well.
 *
 * Those that need a word: neighbour_cpu_utilization is what other processes on the node take of its
 * processor. service_exit is told while the service is dead, as a shell tells it: the exit code, or 128 and
 * the signal that killed it. offered_load is what users and callers ask for, as a multiple of what the node
 * is provisioned for. storage_error_ratio is of the service's writes, network_loss of the node agent's own
 * pings through the node's link. */
#define METRIC_TABLE(X)                                                                                      \
    X(CPU_UTILIZATION, "cpu_utilization", "cpu", RATIO, UP, SCHEDULER, LOCAL)                                \
    X(MEMORY_BYTES, "memory_bytes", "memory", BYTES, UP, MEMORY, LOCAL)                                      \
    X(SERVICE_UP, "service_up", "service", FLAG, DOWN, SUPERVISOR, LOCAL)                                    \
    X(SERVICE_STARTS, "service_starts", "starts", COUNT, UP, SUPERVISOR, LOCAL)                              \
    X(REQUEST_RATE, "request_rate", "requests", PER_SECOND, DOWN, USERS, SHARED)                             \
    X(REQUEST_LATENCY, "request_latency", "latency", SECONDS, UP, USERS, SHARED)                             \
    X(ERROR_RATIO, "error_ratio", "errors", RATIO, UP, USERS, SHARED)                                        \
    X(STORAGE_LATENCY, "storage_latency", "storage", SECONDS, UP, STORAGE, LOCAL)                            \
    X(NETWORK_LATENCY, "network_latency", "network", SECONDS, UP, NETWORK, LOCAL)                            \
    X(FILESYSTEM_UTILIZATION, "filesystem_utilization", "filesystem", RATIO, UP, FILESYSTEM, LOCAL)          \
    X(NEIGHBOUR_CPU_UTILIZATION, "neighbour_cpu_utilization", "neighbour", RATIO, UP, SCHEDULER, LOCAL)      \
    X(NODE_MEMORY_UTILIZATION, "node_memory_utilization", "node-memory", RATIO, UP, MEMORY, LOCAL)           \
    X(SERVICE_EXIT, "service_exit", "exit", COUNT, UP, SUPERVISOR, LOCAL)                                    \
    X(OFFERED_LOAD, "offered_load", "load", COUNT, UP, TRAFFIC, LOCAL)                                       \
    X(STORAGE_ERROR_RATIO, "storage_error_ratio", "storage-errors", RATIO, UP, STORAGE, LOCAL)               \
    X(NETWORK_LOSS, "network_loss", "loss", RATIO, UP, NETWORK, LOCAL)

/* X(symbol, name, disruptive, what it does, for people)
 * Disruptive remedies pass the guards; the others need no command and harm nobody. */
#define REMEDY_TABLE(X)                                                                                      \
    X(RESTART_SERVICE, "restart_service", true, "end the service's process and start it afresh")             \
    X(FAILOVER_STORAGE, "failover_storage", true, "let the service write to its standby folder")             \
    X(RESET_NETWORK, "reset_network", true, "replace the node's link by a fresh one")                        \
    X(DRAIN_NODE, "drain_node", true, "send the node no more requests until its service is restarted")       \
    X(SHED_LOAD, "shed_load", true, "refuse a part of the requests until the load is what it can carry")     \
    X(SCALE_OUT, "scale_out", true, "start a second instance that takes half of the load")                   \
    X(ISOLATE_NEIGHBOUR, "isolate_neighbour", true, "take the processor from the process beside it")         \
    X(CLEAN_DISK, "clean_disk", true, "empty the node's scratch folder, where what may be lost lies")        \
    X(ROLLBACK_RELEASE, "rollback_release", true, "run the release before this one")                         \
    X(ROLLBACK_CONFIG, "rollback_config", true, "go back to the configuration before this one")              \
    X(REBOOT_NODE, "reboot_node", true, "start the node afresh, with all that runs on it")                   \
    X(PAGE_HUMAN, "page_human", false, "tell people and leave the node alone")

/* X(symbol, name): the life of an incident, see incident.h for the drawing. */
#define INCIDENT_STATE_TABLE(X)                                                                              \
    X(OPEN, "open")                                                                                          \
    X(PLANNED, "planned")                                                                                    \
    X(ACTING, "acting")                                                                                      \
    X(VERIFYING, "verifying")                                                                                \
    X(RESOLVED, "resolved")                                                                                  \
    X(ESCALATED, "escalated")

/* X(from, to): the only legal moves of an incident. */
#define INCIDENT_EDGE_TABLE(X)                                                                               \
    X(OPEN, PLANNED)                                                                                         \
    X(OPEN, RESOLVED)                                                                                        \
    X(OPEN, ESCALATED)                                                                                       \
    X(PLANNED, OPEN)                                                                                         \
    X(PLANNED, ACTING)                                                                                       \
    X(PLANNED, RESOLVED)                                                                                     \
    X(PLANNED, ESCALATED)                                                                                    \
    X(ACTING, VERIFYING)                                                                                     \
    X(ACTING, PLANNED)                                                                                       \
    X(ACTING, ESCALATED)                                                                                     \
    X(VERIFYING, RESOLVED)                                                                                   \
    X(VERIFYING, PLANNED)                                                                                    \
    X(VERIFYING, ESCALATED)                                                                                  \
    X(RESOLVED, OPEN)                                                                                        \
    X(ESCALATED, PLANNED)                                                                                    \
    X(ESCALATED, RESOLVED)

/* X(symbol, name): how a command ended, as its node agent tells it. `none`: not ended. `unknown`: no answer
 * in time. `cut`: it began and was interrupted. `refused` (not now), `unsupported` (never, on this node) and
 * `expired`: it never began. */
#define OUTCOME_TABLE(X)                                                                                     \
    X(NONE, "none")                                                                                          \
    X(DONE, "done")                                                                                          \
    X(FAILED, "failed")                                                                                      \
    X(CUT, "cut")                                                                                            \
    X(REFUSED, "refused")                                                                                    \
    X(UNSUPPORTED, "unsupported")                                                                            \
    X(EXPIRED, "expired")                                                                                    \
    X(UNKNOWN, "unknown")

/* X(symbol, name): what verification found. */
#define VERDICT_TABLE(X)                                                                                     \
    X(NONE, "none")                                                                                          \
    X(EFFECTIVE, "effective")                                                                                \
    X(INEFFECTIVE, "ineffective")                                                                            \
    X(INCONCLUSIVE, "inconclusive")                                                                          \
    X(HARMED, "harmed")

/* X(symbol, name, for people): why an action was not taken. One evaluation has exactly one reason: the first
 * that applies in this order. */
#define BLOCK_REASON_TABLE(X)                                                                                \
    X(NONE, "none", "")                                                                                      \
    X(EXPLAINED, "explained", "what it calls, or another finding here, explains it")                         \
    X(CLEARING, "clearing", "its newest samples look well again")                                            \
    X(MAINTENANCE, "maintenance", "people are at work on it")                                                \
    X(HOLD, "hold", "waiting for a cause to show, here or in what it calls")                                 \
    X(PLANNER, "planner", "waiting for the planner's proposal")                                              \
    X(STALE, "stale", "its newest sample is too old to act on")                                              \
    X(GRACE, "grace", "the control plane itself was away; waiting for fresh reports")                        \
    X(UNCORROBORATED, "uncorroborated", "one metric alone; a second witness is missing")                     \
    X(DRY_RUN, "dry_run", "the policy only watches")                                                         \
    X(PAUSED, "paused", "a person has paused automation")                                                    \
    X(BREAKER, "breaker", "too much of the fleet is ill; a person must reset the breaker")                   \
    X(IN_FLIGHT, "in_flight", "another action on this node is not finished")                                 \
    X(FLAPPING, "flapping", "it turns ill and well too often for an action to mean anything")                \
    X(ATTEMPTS, "attempts", "this node has used up its attempts")                                            \
    X(COOLDOWN, "cooldown", "the last action on this node is too recent")                                    \
    X(BACKOFF, "backoff", "each action on this node makes the next one wait longer")                         \
    X(RATE_TARGET, "rate_target", "as many actions on this node as the policy allows in that time")          \
    X(RATE_RULE, "rate_rule", "as many actions for this finding as the policy allows in that time")          \
    X(RATE_KIND, "rate_kind", "as many actions of this kind as the policy allows in that time")              \
    X(RATE_FLEET, "rate_fleet", "as many actions in the fleet as the policy allows in that time")            \
    X(BUDGET, "budget", "as many nodes are being worked on as the policy allows")                            \
    X(APPROVAL, "approval", "waiting for a person's approval")

#define SEVERITY_TABLE(X)                                                                                    \
    X(INFO, "info")                                                                                          \
    X(WARNING, "warning")                                                                                    \
    X(CRITICAL, "critical")

#define MODE_TABLE(X)                                                                                        \
    X(AUTO, "auto")                                                                                          \
    X(APPROVE, "approve")                                                                                    \
    X(DRY_RUN, "dry_run")

/* X(symbol, name): what a person can say to the core. */
#define OPERATOR_WORD_TABLE(X)                                                                               \
    X(APPROVE, "approve")                                                                                    \
    X(ACKNOWLEDGE, "acknowledge")                                                                            \
    X(MAINTAIN, "maintain")                                                                                  \
    X(PAUSE, "pause")                                                                                        \
    X(RESUME, "resume")                                                                                      \
    X(RESET, "reset")                                                                                        \
    X(DECLINE, "decline")

/* X(symbol, name): why an incident moved, or what else is worth a line in its timeline. */
#define WHY_TABLE(X)                                                                                         \
    X(NONE, "none")                                                                                          \
    X(FINDING, "finding")             /* a detector fired */                                                 \
    X(REOPENED, "reopened")           /* the same finding came back too soon */                              \
    X(LADDER, "ladder")               /* the built-in plan: the next rung */                                 \
    X(PROPOSAL, "proposal")           /* a planner's proposal, weighed and taken */                          \
    X(GUARDS_PASSED, "guards_passed") /* every guard agreed */                                               \
    X(COMMAND_ENDED, "command_ended") /* the node agent answered */                                          \
    X(NOT_BEGUN, "not_begun")         /* the command never began; it may be tried again */                   \
    X(NO_ANSWER, "no_answer")         /* no outcome in time: observation must tell */                        \
    X(COMMAND_FAILED, "command_failed")                                                                      \
    X(CLEARED, "cleared")     /* the finding cleared without an action of ours */                            \
    X(HEALTHY, "healthy")     /* verified */                                                                 \
    X(STILL_ILL, "still_ill") /* verified: it did not help */                                                \
    X(NO_EVIDENCE, "no_evidence")                                                                            \
    X(WORSE, "worse")           /* something else got worse since */                                         \
    X(LADDER_END, "ladder_end") /* nothing left to try */                                                    \
    X(PAGE, "page")             /* the rung says: tell people */                                             \
    X(GAVE_UP, "gave_up")       /* attempts used up */                                                       \
    X(ACKNOWLEDGED, "acknowledged")                                                                          \
    X(APPROVED, "approved")                                                                                  \
    X(LAPSED, "lapsed")       /* shown or approved too long ago: planned anew, to be shown anew */           \
    X(REPLANNED, "replanned") /* the policy has changed, and the plan no longer stands on the ladder */      \
    X(UNWATCHED, "unwatched") /* its node has left, or the policy does not watch for this any more */        \
    X(DECLINED, "declined")   /* a person said no to the plan */

/* X(symbol, name, metric that must move or NONE, default intensity, least, most, unit of intensity, cures,
 * masks, places, sentence)
 *
 * The intensity's unit is RATIO, SECONDS, BYTES, COUNT or NONE. `cures` and `masks` (hides it for a while)
 * are masks of REMEDY_BIT()s. `places` is where it can be injected: SERVICE (a node with the built-in
 * service), PROGRAM (a node with a program of one's own), SYNTHETIC (the world model), PLANE (the control
 * plane itself). What truly cures what, and why: docs/faults.md. */
#define FAULT_TABLE(X)                                                                                       \
    X(CPU_SPIKE, "cpu_spike", CPU_UTILIZATION, 0.95, 0.05, 1.0, RATIO, REMEDY_BIT(RESTART_SERVICE),          \
      REMEDY_BIT(SHED_LOAD), ANYWHERE, "the service burns that share of a core on its own request loop")     \
    X(NETWORK_DELAY, "network_delay", NETWORK_LATENCY, 0.2, 0.001, 10.0, SECONDS, REMEDY_BIT(RESET_NETWORK), \
      0, ANYWHERE, "the node's link holds every reply back that long")                                       \
    X(STORAGE_LATENCY, "storage_latency", STORAGE_LATENCY, 0.25, 0.001, 10.0, SECONDS,                       \
      REMEDY_BIT(FAILOVER_STORAGE), 0, ANYWHERE,                                                             \
      "each read, write and fsync in the service's data folder waits that long")                             \
    X(SERVICE_CRASH, "service_crash", SERVICE_UP, 1.0, 1.0, 1.0, NONE, REMEDY_BIT(RESTART_SERVICE), 0,       \
      ANYWHERE, "the service's process is killed")                                                           \
    X(SERVICE_HANG, "service_hang", ERROR_RATIO, 1.0, 1.0, 1.0, NONE, REMEDY_BIT(RESTART_SERVICE), 0,        \
      ANYWHERE, "the service's process is stopped: alive, and silent")                                       \
    X(NOISY_NEIGHBOUR, "noisy_neighbour", NEIGHBOUR_CPU_UTILIZATION, 0.9, 0.1, 1.0, RATIO,                   \
      REMEDY_BIT(ISOLATE_NEIGHBOUR) | REMEDY_BIT(DRAIN_NODE), 0, ANYWHERE,                                   \
      "another process on the node takes that share of its processor")                                       \
    X(MEMORY_LEAK, "memory_leak", MEMORY_BYTES, 1.0, 0.01, 10.0, RATIO, REMEDY_BIT(ROLLBACK_RELEASE),        \
      REMEDY_BIT(RESTART_SERVICE), ANYWHERE,                                                                 \
      "a new release loses that share of the node's memory each minute")                                     \
    X(CRASH_LOOP, "crash_loop", SERVICE_STARTS, 5.0, 0.5, 120.0, SECONDS, REMEDY_BIT(ROLLBACK_RELEASE),      \
      REMEDY_BIT(RESTART_SERVICE), ANYWHERE, "a new release exits that long after each start")               \
    X(BAD_CONFIG, "bad_config", ERROR_RATIO, 0.5, 0.01, 1.0, RATIO, REMEDY_BIT(ROLLBACK_CONFIG), 0,          \
      SERVICE | SYNTHETIC, "a new configuration makes the service refuse that share of its requests")        \
    X(NETWORK_LOSS, "network_loss", NETWORK_LOSS, 0.2, 0.01, 1.0, RATIO, REMEDY_BIT(RESET_NETWORK), 0,       \
      ANYWHERE, "the node's link loses that share of the replies")                                           \
    X(NODE_PARTITION, "node_partition", NONE, 1.0, 1.0, 1.0, NONE, 0, 0, ANYWHERE,                           \
      "nothing gets from the node to the control plane; its users notice nothing")                           \
    X(IO_ERROR, "io_error", STORAGE_ERROR_RATIO, 0.5, 0.01, 1.0, RATIO, REMEDY_BIT(FAILOVER_STORAGE), 0,     \
      ANYWHERE, "that share of the writes in the data folder fails")                                         \
    X(DISK_FULL, "disk_full", FILESYSTEM_UTILIZATION, 1.0, 0.5, 1.0, RATIO, REMEDY_BIT(CLEAN_DISK), 0,       \
      ANYWHERE, "the node's disk is filled to that share; a full one fails every write")                     \
    X(OVERLOAD, "overload", OFFERED_LOAD, 9.0, 1.1, 50.0, COUNT,                                             \
      REMEDY_BIT(SCALE_OUT) | REMEDY_BIT(SHED_LOAD), 0, SERVICE | SYNTHETIC,                                 \
      "users send that many times their usual requests")                                                     \
    X(ZONE_OUTAGE, "zone_outage", NONE, 1.0, 1.0, 1.0, NONE, 0, 0, ANYWHERE,                                 \
      "the node is off, with all that runs on it, until the outage is over")                                 \
    X(SENSOR_FAULT, "sensor_fault", CPU_UTILIZATION, 0.97, 0.0, 1.0, RATIO, 0, 0, ANYWHERE,                  \
      "the node agent reports that value for its processor, and it is a lie")                                \
    X(CLOCK_SKEW, "clock_skew", NONE, 86400.0, -86400.0, 86400.0, SECONDS, 0, 0, ANYWHERE,                   \
      "the node's wall clock is off by that much")                                                           \
    X(NETWORK_BANDWIDTH, "network_bandwidth", NETWORK_LATENCY, 1000.0, 10.0, 1e9, BYTES,                     \
      REMEDY_BIT(RESET_NETWORK), 0, ANYWHERE, "the node's link carries only so many bytes a second")         \
    X(NETWORK_CUT, "network_cut", NETWORK_LOSS, 1.0, 1.0, 1.0, NONE, REMEDY_BIT(RESET_NETWORK), 0, ANYWHERE, \
      "the node's link is cut: users are refused")                                                           \
    X(RETRY_STORM, "retry_storm", OFFERED_LOAD, 20.0, 1.0, 50.0, COUNT,                                      \
      REMEDY_BIT(SHED_LOAD) | REMEDY_BIT(SCALE_OUT), 0, SERVICE,                                             \
      "after a short surge users try again what failed, that often: the cause goes, the load stays")         \
    X(CONTROL_PLANE_STALL, "control_plane_stall", NONE, 1.0, 1.0, 1.0, NONE, 0, 0, PLANE,                    \
      "the control plane itself is stopped, and everybody seems silent to it")

/* X(symbol, name, sentence): names of what is made of the faults above. */
#define COMPOSED_FAULT_TABLE(X)                                                                              \
    X(DEPENDENCY_SICK, "dependency_sick",                                                                    \
      "a fault at what the node calls: storage_latency, unless another kind is named")                       \
    X(FLAPPING, "flapping", "a fault that comes and goes: cpu_spike, unless another kind is named")

/* How a fault's intensity goes over its time. `gray` stays just under what the default policy calls ill, or
 * under the intensity that is asked for. Kinds that are there or not (unit NONE, crash_loop, sensor_fault,
 * clock_skew, retry_storm, network_bandwidth) are there while the shape is at least at half, and those of
 * unit NONE and crash_loop cannot be gray. */
#define SHAPE_TABLE(X)                                                                                       \
    X(STEP, "step")                                                                                          \
    X(RAMP, "ramp")         /* from nothing to full over its first half; if it has no end, over period_ns */ \
    X(SPIKE, "spike")       /* full for a tenth of each period */                                            \
    X(SAWTOOTH, "sawtooth") /* a ramp, again and again */                                                    \
    X(FLAPPING, "flapping") /* on for half of each period */                                                 \
    X(GRAY, "gray")

#endif
