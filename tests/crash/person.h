/* The person: an operator in a hurry, who looks at incidents, approves, acknowledges, pauses, resumes, puts
 * policies, asks for faults and ends services, one thing after another for as long as it is told to. What is
 * answered with a 2xx goes into the journal of promises. */
#ifndef TESTS_CRASH_PERSON_H
#define TESTS_CRASH_PERSON_H

#include "audit.h"
#include "dice.h"
#include "promises.h"

struct event_base;
struct person;

struct person_options {
    const struct lab *lab;
    const char *policy; /* without a mode; ends with a line feed */
    struct promises *promises;
    struct audit *audit;
    struct dice *dice;
};

struct person *person_new(struct event_base *base, const struct person_options *options);
void person_free(struct person **person);

/* Lets everything go its way: mode auto, no pause, the breaker reset; then it only looks on. */
void person_rest(struct person *person);

/* It rests, that is done, and its newest look found no incident that the machine still has. */
bool person_sees_peace(const struct person *person);

#endif
