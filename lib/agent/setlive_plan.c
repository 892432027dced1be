/*
 * What setlive is to do for one app: pure, so that a test can go through all that can be seen.
 */
#include <string.h>

#include "lib/agent/agent.h"

/* Services that pp has defined for the app and that are not wanted any more. */
static int
has_unwanted(const struct seen_live *seen)
{
	for (size_t i = 0; i < seen->present.n; i++)
		if (!strv_has(&seen->wanted, seen->present.items[i]))
			return 1;
	return 0;
}

static void
plan_gone(const struct seen_live *seen, struct app_plan *plan)
{
	static const char why[] = "the app is not assigned to this node any more";

	if (seen->present.n == 0)
		return;
	plan_step(plan, LIVE_RETIRE, NULL, why, "stop its services");
	plan_step(plan, LIVE_REMOVE, NULL, why, "remove its service definitions");
}

static void
plan_stopped(const struct seen_live *seen, struct app_plan *plan)
{
	if (seen->any_up || seen->any_enabled)
		plan_step(plan, LIVE_RETIRE, NULL, "no version is active", "stop its services");
	else
		plan_say(plan, PLAN_CONVERGED, "No active version, skipping");
}

/* What keeps the live version from being as intended; NULL if nothing does. */
static const char *
why_restart(const char *target, const struct seen_live *seen)
{
	if (seen->current == NULL)
		return "nothing is live yet";
	if (strcmp(seen->current, target) != 0)
		return "another version is live";
	if (seen->elsewhere.n > 0)
		return "it is under another supervisor";
	if (has_unwanted(seen))
		return "it has services that it should not have";
	if (seen->launches && !seen->defined)
		return "the service definition differs";
	if (!seen->same_config)
		return "user_config differs";
	return NULL;
}

void
setlive_plan_app(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	const struct intent_version *active = intent_active(app);
	AUTO_FREE char *target = NULL;
	const char *why;

	if (plan_common(plan, seen->fault))
		return;
	if (app->certainty == INTENT_GONE) {
		plan_gone(seen, plan);
		return;
	}
	if (active == NULL) {
		plan_stopped(seen, plan);
		return;
	}
	if (!seen->prepared) {
		plan_say(plan, PLAN_WAITING, "%s not prepared, skipping", active->id);
		return;
	}
	target = xasprintf("installs/%s_%s", app->name, active->id);
	why = why_restart(target, seen);
	if (why == NULL && seen->launches && seen->wanted_state != SERVICE_UP) {
		plan_step(plan, LIVE_START, NULL, "it is not running", "start %s", active->id);
		return;
	}
	if (why == NULL) {
		plan_say(plan, PLAN_CONVERGED, "already current, nothing to do");
		return;
	}
	plan_step(plan, LIVE_STOP, NULL, why, "stop its services");
	if (has_unwanted(seen) || seen->elsewhere.n > 0)
		plan_step(plan, LIVE_REMOVE, NULL, why, "remove unwanted service definitions");
	if (seen->launches)
		plan_step(plan, LIVE_DEFINE, NULL, why, "write its service definition");
	if (!seen->same_config)
		plan_step(plan, LIVE_CONFIG, NULL, why, "write config/user_config.json");
	plan_step(plan, LIVE_LINK, target, why, "point current at %s", target);
	if (seen->launches)
		plan_step(plan, LIVE_START, NULL, why, "start %s", active->id);
}
