#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/agent/agent.h"

struct app_plan *
plan_add(struct plan *plan, const struct intent_app *app, struct seen *seen)
{
	plan->apps = xreallocarray(plan->apps, plan->n + 1, sizeof *plan->apps);
	plan->apps[plan->n] = (struct app_plan){ .app = app, .seen = seen };
	return &plan->apps[plan->n++];
}

void
plan_step(struct app_plan *plan, int kind, const char *subject, const char *reason, const char *fmt,
    ...)
{
	struct step step = { .kind = kind, .subject = xstrdup(subject), .reason = xstrdup(reason) };
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&step.text, fmt, ap) < 0)
		abort();
	va_end(ap);
	plan->steps = xreallocarray(plan->steps, plan->nsteps + 1, sizeof *plan->steps);
	plan->steps[plan->nsteps++] = step;
	plan->state = PLAN_PENDING;
	if (plan->reason == NULL)
		plan->reason = xstrdup(reason);
}

void
plan_say(struct app_plan *plan, enum plan_state state, const char *fmt, ...)
{
	va_list ap;

	free(plan->reason);
	plan->reason = NULL;
	plan->state = state;
	va_start(ap, fmt);
	if (vasprintf(&plan->reason, fmt, ap) < 0)
		abort();
	va_end(ap);
}

int
plan_common(struct app_plan *plan, const char *fault)
{
	const struct intent_app *app = plan->app;

	if (app->certainty == INTENT_UNREADABLE || app->certainty == INTENT_DOUBTED) {
		plan_say(plan, PLAN_HELD, "%s", app->reason);
		return 1;
	}
	if (app->certainty == INTENT_LEAVING) {
		plan_say(plan, PLAN_WAITING, "%s", app->reason);
		return 1;
	}
	if (fault != NULL) {
		plan_say(plan, PLAN_FAILED, "%s", fault);
		return 1;
	}
	return 0;
}

void
plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		for (size_t k = 0; k < plan->apps[i].nsteps; k++) {
			free(plan->apps[i].steps[k].subject);
			free(plan->apps[i].steps[k].text);
			free(plan->apps[i].steps[k].reason);
			free(plan->apps[i].steps[k].detail);
		}
		free(plan->apps[i].steps);
		fw_rules_release(&plan->apps[i].rules);
		free(plan->apps[i].reason);
	}
	free(plan->apps);
	*plan = (struct plan){ 0 };
}

const char *
plan_state_name(enum plan_state state)
{
	static const char *const names[] = { "converged", "pending", "waiting", "halted", "held",
		"failed" };

	return names[state];
}
