/* Policies and samples that the stories about guards share. */
#ifndef TESTS_GUARD_POLICIES_H
#define TESTS_GUARD_POLICIES_H

#define ILL  "cpu=0.97 latency=0.058"
#define WELL "cpu=0.05 latency=0.002 storage=0.005"
#define SLOW "storage=0.3 latency=0.090 cpu=0.05"

#define CPU_HIGH                                                                                             \
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s, clear: "         \
    "cpu_utilization < 0.70, healthy_for: 3s}\n"
#define SLOW_STORAGE                                                                                         \
    "  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: 3s, clear: "    \
    "storage_latency < 20ms, healthy_for: 3s}\n"
#define LADDERS                                                                                              \
    "playbooks:\n"                                                                                           \
    "  - {on: cpu-high, steps: [{do: restart_service, settle: 1s, within: 20s}, {do: page_human}]}\n"        \
    "  - {on: slow-storage, steps: [{do: failover_storage, settle: 1s, within: 20s}, {do: page_human}]}\n"
#define POLICY_WITH(guards) "version: 1\ndetectors:\n" CPU_HIGH SLOW_STORAGE LADDERS "guards: {" guards "}\n"

/* Nothing counts but what a story names itself. */
#define FREE        "max_disrupted: 100%, recurrence: 1s, breaker: {unhealthy: 100%, at_least: 1000}, flapping: no, "
#define FREE_TARGET "per_target: {cooldown: 0s, attempts: {max: 16, within: 1s}, backoff: no}, "

#endif
