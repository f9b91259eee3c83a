/* How the intensity of an injected fault goes over its time: the shapes of SHAPE_TABLE, the same for real and
 * for synthetic nodes. */
#ifndef CORE_FAULT_H
#define CORE_FAULT_H

#include "base/units.h"
#include "core/vocabulary.h"

/* 0..1 of the intensity, `since` >= 0 after the injection. `lasts` is the whole time of the fault, or
 * INSTANT_NEVER; `period` that of spike, sawtooth and flapping (and the rise of a ramp that never ends). */
double fault_level(enum shape shape, duration since, duration lasts, duration period);

/* What `gray` makes of an intensity: at most what is just under what policies/default.yaml calls ill. 0: this
 * kind is there or it is not, and cannot be gray. */
double fault_gray(enum fault_kind kind, double intensity);

/* True if this kind can have that shape, given these times. */
bool fault_shape_fits(enum fault_kind kind, enum shape shape, duration lasts, duration period);

/* Kinds that are there or not: they are on while the level is at least a half. */
bool fault_is_on_or_off(enum fault_kind kind);

#endif
