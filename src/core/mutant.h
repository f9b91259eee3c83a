/* Named ways to break the core and the gate on purpose, to see whether the checkers notice. In every build
 * but one, MUTANT() is the plain expression and nothing else; tests/test_core_mutants.c compiles the core
 * with HOMEOSTAT_MUTANT and chooses one at run time. */
#ifndef CORE_MUTANT_H
#define CORE_MUTANT_H

/* X(name, what is broken) */
#define MUTANT_TABLE(X)                                                                                      \
    X(breaker_ignored, "acts while the breaker is open")                                                     \
    X(breaker_never_opens, "however many are ill")                                                           \
    X(pause_ignored, "acts while paused")                                                                    \
    X(dry_run_ignored, "acts although the policy only watches")                                              \
    X(approval_ignored, "acts without approval")                                                             \
    X(approval_not_used_up, "one word, two commands")                                                        \
    X(approval_never_lapses, "a word is good for ever")                                                      \
    X(stale_ignored, "acts on old samples")                                                                  \
    X(grace_ignored, "acts right after it was away")                                                         \
    X(gap_forgotten, "a gap is none")                                                                        \
    X(start_forgotten, "after a start it acts at once")                                                      \
    X(maintenance_ignored, "acts while people are at work")                                                  \
    X(windows_ignored, "the policy's windows of maintenance are none")                                       \
    X(budget_off_by_one, "one more than may be")                                                             \
    X(in_flight_ignored, "two at once on one target")                                                        \
    X(attempts_off_by_one, "one attempt more")                                                               \
    X(cooldown_ignored, "no cooldown")                                                                       \
    X(backoff_ignored, "no back-off")                                                                        \
    X(streak_not_counted, "back-off never grows")                                                            \
    X(rate_target_ignored, "no rate limit of the target")                                                    \
    X(rate_off_by_one, "one action more within each limit")                                                  \
    X(rate_window_halved, "limits look back half as far")                                                    \
    X(actions_not_counted, "what was done counts for nothing")                                               \
    X(restart_forgets_actions, "... after a restart")                                                        \
    X(restart_forgets_pause, "a start takes back the pause")                                                 \
    X(restart_forgets_attempts, "incidents come back without their attempts")                                \
    X(restart_forgets_maintenance, "a start takes back a word of maintenance")                               \
    X(command_number_reused, "two commands with one id")                                                     \
    X(plan_outlives_its_policy, "does what no longer stands on the ladder")                                  \
    X(effective_without_outcome, "takes health for success")                                                 \
    X(answer_by_forgotten, "waits for an answer for ever")                                                   \
    X(verify_by_forgotten, "waits for a verdict for ever")                                                   \
    X(blocks_not_counted, "a stopped action has count 0")                                                    \
    X(acts_before_commit, "the gate lets out what is not durable")                                           \
    X(never_acts, "takes itself for paused, for ever")                                                       \
    X(restart_forgets_resume, "a start pauses, although a person has resumed")                               \
    X(flapping_never_clears, "who flapped once is left alone for good")                                      \
    X(flapping_after_one_command, "one action, and the node counts as flapping")                             \
    X(attempts_never_lapse, "attempts of the last 100 h count")                                              \
    X(breaker_at_a_tenth, "opens at a tenth of its threshold")                                               \
    X(never_corroborated, "two witnesses are not enough")                                                    \
    X(people_never_told, "hands over to people, and tells nobody")                                           \
    X(never_healthy_enough, "must look well for twenty times as long")                                       \
    X(maintenance_never_ends, "a person's word of maintenance outlives its time")

#ifdef HOMEOSTAT_MUTANT
#define X(name, ...) MUTANT_##name,
enum mutant_kind { MUTANT_NONE, MUTANT_TABLE(X) MUTANT_COUNT };
#undef X
extern int mutant; /* enum mutant_kind: the one in force */
#define MUTANT(name, broken, plain) (mutant == MUTANT_##name ? (broken) : (plain))
#else
#define MUTANT(name, broken, plain) (plain)
#endif

#endif
