/*
 * What setlive is to do for one app: pure, so that a test can go through all that can be seen.
 */
#include <string.h>

#include "lib/agent/agent.h"

int
setlive_is_healthy(const struct intent_app *app, const struct seen_live *seen)
{
	if (!seen->all_up)
		return 0;
	if (seen->check.kind == HEALTH_SUPERVISOR)
		return seen->up_ms >= app->settle_ms || !seen->failing;
	/* Where nobody could ask, it is as well as its supervisor says. */
	return seen->health.text == NULL || seen->health.verdict == HEALTH_PASSING ||
	    seen->health.verdict == HEALTH_WARNING;
}

/* Services that pp has defined for the app and that are not wanted any more. */
static int
has_unwanted(const struct seen_live *seen)
{
	for (size_t i = 0; i < seen->present.n; i++)
		if (!strv_has(&seen->wanted, seen->present.items[i]))
			return 1;
	return 0;
}

static char *
target_of(const struct intent_app *app, const struct seen_live *seen)
{
	return xasprintf("installs/%s_%s", app->name, seen->version);
}

const char *
setlive_why_restart(const struct intent_app *app, const struct seen_live *seen)
{
	AUTO_FREE char *target = target_of(app, seen);

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

/* It is back in its cluster, or never left. */
static void
plan_return(const struct seen_live *seen, const char *why, struct app_plan *plan)
{
	if (seen->clustered && (seen->marked || seen->maintenance || seen->any_up))
		plan_step(plan, LIVE_RETURN, seen->cluster, why,
		    "give back the lease of cluster %s", seen->cluster);
}

/* What keeps a running app from being stopped. Returns: 1, and the state is said. */
static int
plan_stays(const struct seen_live *seen, struct app_plan *plan)
{
	if (!seen->any_up || !seen->clustered)
		return 0;
	if (seen->entry_fault != NULL) {
		plan_say(plan, PLAN_HELD, "%s", seen->entry_fault);
		return 1;
	}
	if (seen->lease == LEASE_GRANTED)
		return 0;
	/* Two that were marked by runs that died, and wait for each other, would wait for ever. */
	if (seen->marked || seen->maintenance)
		plan_return(seen, "it stays for now", plan);
	plan_say(plan, seen->lease == LEASE_HALTED ? PLAN_HALTED : PLAN_WAITING, "%s",
	    seen->lease_why != NULL ? seen->lease_why : "the cluster needs this node");
	return 1;
}

/* Before a running app is stopped: others are to know. */
static void
plan_leave(const struct intent_app *app, const struct seen_live *seen, const char *why, int lease,
    struct app_plan *plan)
{
	if (!seen->any_up)
		return;
	if (lease && seen->clustered)
		plan_step(plan, LIVE_LEASE, seen->cluster, why, "take the lease of cluster %s",
		    seen->cluster);
	if (seen->registered || seen->has_disable || app->drain_ms > 0)
		plan_step(plan, LIVE_DRAIN, NULL, why, "drain it");
}

/* Nobody is to run it here any more: out of the cluster. */
static void
plan_deregister(const struct seen_live *seen, const char *why, struct app_plan *plan)
{
	if (seen->registered)
		plan_step(plan, LIVE_DEREGISTER, NULL, why, "take it out of cluster %s",
		    seen->cluster);
}

/* The lease is given back when everybody can see that it is gone. */
static void
plan_left(const struct seen_live *seen, const char *why, struct app_plan *plan)
{
	if (seen->clustered && (seen->marked || seen->maintenance || seen->any_up))
		plan_step(plan, LIVE_LEFT, seen->cluster, why,
		    "give back the lease of cluster %s as soon as it is seen to be out",
		    seen->cluster);
}

static void
plan_out(const struct seen_live *seen, const char *why, struct app_plan *plan)
{
	plan_deregister(seen, why, plan);
	plan_left(seen, why, plan);
}

static void
plan_gone(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	static const char why[] = "the app is not assigned to this node any more";

	if (plan_stays(seen, plan))
		return;
	plan_leave(app, seen, why, seen->registered, plan);
	if (seen->present.n > 0)
		plan_step(plan, LIVE_RETIRE, NULL, why, "stop its services");
	plan_out(seen, why, plan);
	if (seen->place != NULL)
		plan_step(plan, LIVE_PURGE, seen->place, why, "remove its installs from %s",
		    seen->place);
	/* The last thing that says that there is something to do. */
	if (seen->present.n > 0)
		plan_step(plan, LIVE_REMOVE, NULL, why, "remove its service definitions");
}

static void
plan_stopped(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	static const char why[] = "no version is active";

	plan_leave(app, seen, why, 0, plan);
	if (seen->any_up || seen->any_enabled)
		plan_step(plan, LIVE_RETIRE, NULL, why, "stop its services");
	plan_out(seen, why, plan);
	if (plan->nsteps == 0)
		plan_say(plan, PLAN_CONVERGED, "No active version, skipping");
}

static void
plan_change(const struct intent_app *app, const struct seen_live *seen, const char *why,
    struct app_plan *plan)
{
	AUTO_FREE char *target = target_of(app, seen);
	const int moves = seen->registered && strcmp(seen->cluster, app->cluster) != 0;

	if (seen->any_up && app->restart_never) {
		plan_say(plan, PLAN_WAITING,
		    "%s, and restart is \"never\": it is done as soon as somebody has stopped it",
		    why);
		return;
	}
	if (plan_stays(seen, plan))
		return;
	plan_step(plan, LIVE_PREFLIGHT, NULL, why, "see that nothing is in the way of it");
	plan_leave(app, seen, why, 1, plan);
	plan_step(plan, LIVE_STOP, NULL, why, "stop its services");
	if (moves)
		plan_out(seen, why, plan);
	else if (!seen->launches)
		plan_deregister(seen, why, plan);
	if (has_unwanted(seen) || seen->elsewhere.n > 0)
		plan_step(plan, LIVE_REMOVE, NULL, why, "remove unwanted service definitions");
	if (seen->launches)
		plan_step(plan, LIVE_DEFINE, NULL, why, "write its service definition");
	if (!seen->same_config)
		plan_step(plan, LIVE_CONFIG, NULL, why, "write config/user_config.json");
	plan_step(plan, LIVE_LINK, target, why, "point current at %s", target);
	if (seen->launches)
		plan_step(plan, LIVE_START, NULL, why, "start %s", seen->version);
	if (seen->launches && seen->clustered && seen->entry_fault == NULL &&
	    (moves || !seen->same_entry))
		plan_step(plan, LIVE_REGISTER, NULL, why, "register it in cluster %s",
		    app->cluster);
	if (!moves && seen->launches)
		plan_return(seen, why, plan);
	else if (!moves)
		plan_left(seen, why, plan);
}

static void
plan_start(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	static const char why[] = "it is not running";

	plan_step(plan, LIVE_START, NULL, why, "start %s", seen->version);
	if (seen->clustered && seen->entry_fault == NULL && !seen->same_entry)
		plan_step(plan, LIVE_REGISTER, NULL, why, "register it in cluster %s",
		    app->cluster);
	if (seen->marked || seen->maintenance)
		plan_return(seen, why, plan);
}

/* Routine: to have done it is no change. */
static void
plan_quietly(struct app_plan *plan, int kind, const char *why, const char *text)
{
	plan_step(plan, kind, NULL, why, "%s", text);
	plan->steps[plan->nsteps - 1].quiet = 1;
}

/* Its check lives on what passes tell it: routine, whatever else there is to say. */
static void
plan_feed(const struct seen_live *seen, struct app_plan *plan)
{
	if (!seen->fed)
		return;
	plan_quietly(plan, LIVE_FEED, "its check is fed by passes", "feed its check");
}

static void
plan_unhealthy(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	static const char why[] = "it does not get healthy";
	const char *text = seen->health.text;

	if (text == NULL)
		text = "it does not stay up";
	plan_feed(seen, plan);
	if (!seen->failing && seen->up_ms < app->start_timeout_ms) {
		/* What starts over and over is young each time. */
		if (!seen->unfinished)
			plan_quietly(plan, LIVE_WATCH, why, "remember since when");
		plan_say(plan, PLAN_WAITING, "%s is starting: %s", seen->version, text);
		return;
	}
	if (seen->clustered && seen->entry_fault == NULL && !seen->said_failed)
		plan_step(plan, LIVE_FAILED, NULL, why, "tell cluster %s that %s fails here",
		    app->cluster, seen->version);
	plan_say(plan, PLAN_FAILED,
	    "%s is live and not healthy: %s; pp status %s tells where its log is", seen->version,
	    text, app->name);
}

static void
plan_running(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	static const char why[] = "it is healthy";

	if (!setlive_is_healthy(app, seen)) {
		plan_unhealthy(app, seen, plan);
		return;
	}
	/* A pass that was killed, a bin/enable that failed, a start that took too long. */
	if (seen->unfinished)
		plan_step(plan, LIVE_START, NULL, "its start was not seen to the end",
		    "see the start of %s to its end", seen->version);
	if (seen->clustered && seen->entry_fault == NULL && !seen->same_entry)
		plan_step(plan, LIVE_REGISTER, NULL, "its entry in the cluster differs",
		    "register it in cluster %s", app->cluster);
	if (seen->marked || seen->maintenance)
		plan_return(seen, why, plan);
	if (plan->nsteps > 0)
		return;
	plan_feed(seen, plan);
	if (seen->outlived)
		plan_quietly(plan, LIVE_FORGET, "what is intended changed",
		    "forget what was gone back from");
	if (seen->entry_fault != NULL)
		plan_say(plan, PLAN_HELD, "%s", seen->entry_fault);
	else if (seen->reverted != NULL)
		plan_say(plan, PLAN_HALTED,
		    "%s did not get healthy here, so %s is live again; this stays so until what is "
		    "intended changes",
		    seen->reverted, seen->version);
	else
		plan_say(plan, PLAN_CONVERGED, "already current, nothing to do");
}

static void
plan_active(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	const char *why;

	if (!seen->prepared) {
		plan_say(plan, PLAN_WAITING, "%s not prepared, skipping", seen->version);
		return;
	}
	why = setlive_why_restart(app, seen);
	if (why != NULL)
		plan_change(app, seen, why, plan);
	else if (seen->launches && seen->wanted_state != SERVICE_UP)
		plan_start(app, seen, plan);
	else if (seen->launches)
		plan_running(app, seen, plan);
	else {
		plan_out(seen, "it has nothing that runs", plan);
		if (plan->nsteps == 0)
			plan_say(plan, PLAN_CONVERGED, "already current, nothing to do");
	}
}

void
setlive_plan_app(const struct intent_app *app, const struct seen_live *seen, struct app_plan *plan)
{
	if (plan_common(plan, seen->fault))
		return;
	if (app->certainty == INTENT_GONE)
		plan_gone(app, seen, plan);
	else if (seen->version == NULL)
		plan_stopped(app, seen, plan);
	else
		plan_active(app, seen, plan);
}
