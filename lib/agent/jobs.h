/*
 * Steps that are carried out several at once, each in a process of its own: one that hangs, crashes
 * or is refused costs the others nothing. The log lines of each come together, in the order of the
 * plan. On a terminal one line shows how far they are.
 */
#ifndef PP_JOBS_H
#define PP_JOBS_H

#include <stdint.h>

#include "lib/agent/agent.h"

#define JOBS_DEFAULT_MAX 4 /* at once, where the machine has so many processors */

/**
 * Carry out the steps of the plan that agent->apart() names, as many at once as the setting "jobs"
 * says (default: the processors, at most JOBS_DEFAULT_MAX).
 * Effect:  what fails is logged and noted in *result.
 */
void jobs_apply(struct pass *p, const struct agent *agent, const struct plan *plan,
    struct pass_result *result);

/**
 * In such a step: from here on it only waits for the disk. Where several are carried out at once, the next
 * one begins.
 */
void jobs_settle(void);

/** In such a step: is no other one carried out at the same time? */
int jobs_is_alone(void);

/** In such a step: so many bytes are done, of so many (0: unknown). For a fetch_options.progress. */
void jobs_progress(void *unused, uint64_t done, uint64_t total);

#endif
