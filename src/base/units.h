/* Time as homeostat counts it: signed 64-bit nanoseconds.
 *
 * An instant is nanoseconds since 1970-01-01T00:00:00Z on the clock of whoever drives the code (the control
 * plane's own clock, or virtual time). Its name ends in `_at` or `_by`. A duration is nanoseconds too; its
 * name says `_ns`, or it has the type `duration`. Range: about 292 years either way. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

typedef int64_t instant;
typedef int64_t duration;

#define NANOSECOND  ((duration)1)
#define MICROSECOND (1000 * NANOSECOND)
#define MILLISECOND (1000 * MICROSECOND)
#define SECOND      (1000 * MILLISECOND)
#define MINUTE      (60 * SECOND)
#define HOUR        (60 * MINUTE)

#define INSTANT_NEVER INT64_MAX /* later than every event; as a deadline: none */
#define INSTANT_NONE  INT64_MIN /* has not happened */

/* A duration in seconds, for people and for JSON. Exact to 1 ns up to about 100 days. */
static inline double duration_seconds(duration d)
{
    return (double)d / 1e9;
}

/* Seconds as a duration, rounded to the nearest nanosecond. `s` must lie within +-9e9. */
static inline duration duration_from_seconds(double s)
{
    return (duration)(s * 1e9 + (s < 0 ? -0.5 : 0.5));
}

#endif
