/*
 * Time: durations as people write them, a clock that does not jump, and the run's own deadline.
 */
#ifndef PP_CLOCK_H
#define PP_CLOCK_H

#include <stdint.h>

#include "lib/base/err.h"

/** Milliseconds of CLOCK_MONOTONIC. */
int64_t clock_now_ms(void);

/** Sleep, whatever signals come in between. */
void clock_sleep_ms(int64_t ms);

/**
 * Parse a duration: a number with a unit (ms, s, m, h, d), several in a row ("1h30m"), or a bare
 * number of seconds.
 *
 * Returns: 0 and *ms (0 to 366 days); or -1 with *e set (ERR_DATA).
 */
int clock_parse_duration(const char *s, int64_t *ms, struct err *e);

/** Bound the whole run: after this many ms, clock_bound_ms() gives 0. None is set at first. */
void clock_set_deadline(int64_t ms_from_now);

/** The smaller of `ms` and what is left of the run; never negative. */
int64_t clock_bound_ms(int64_t ms);

#endif
