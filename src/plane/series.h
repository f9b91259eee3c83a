/* One metric of one node over a span: every sample, or one point a step with mean, least, most, last and
 * count. */
#ifndef PLANE_SERIES_H
#define PLANE_SERIES_H

#include "store/store.h"

#include <jansson.h>

enum { SERIES_POINTS_MAX = 3600 };

struct series {
    enum metric metric;
    instant from, to;  /* both are in it */
    duration step_ns;  /* 0: every sample */
    json_t *points;    /* [at, value], or [at, mean, least, most, last, count]; the caller's */
    size_t count;      /* of points; there are no more than SERIES_POINTS_MAX */
    instant bucket_at; /* of the point that is being made */
    double sum, least, most, last;
    double in_bucket; /* samples */
};

/* Makes the empty list. */
void series_open(struct series *series);

/* The next sample, in order of time. False when there are as many points as there may be. */
bool series_add(struct series *series, instant at, uint32_t present, const double *value);

/* Those of the store from `series->from` to `to`, both included: samples, and before them history of a minute
 * or an hour, whose points have all figures even if `step_ns` is 0. False: store_problem() says why. */
bool series_add_stored(struct series *series, struct store *store, uint32_t node, instant to);

/* After the last one. */
void series_close(struct series *series);

/* {"node": ..., "metric": ..., "unit": ..., "points": [...]}; takes the points. */
json_t *series_answer(struct series *series, const char *node);

/* Which metric `name` is, or -1 and a sentence that names the nearest. */
int series_metric(const char *name, char *error, size_t error_size);

#endif
