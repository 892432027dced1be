/*
 * setlive: the active version is the one that is live and runs, and its cluster does not miss it meanwhile.
 */
#include "lib/agent/setlive.h"

static const struct setting settings[] = {
	{ "runit", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR", "the directory runsvdir watches" },
	{ "runit-stage", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "where service directories are kept" },
	{ "config", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "servicebuilder's directory; implies it" },
	{ "supervisor", 0, SETTING_TEXT, SETTING_ANYWHERE, "NAME",
	    "runit (default), servicebuilder, systemd or none" },
	{ "continue-on-failure", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "go on with a version that failed on other nodes" },
	{ "purge", 0, SETTING_FLAG, SETTING_FLAG_ONLY, NULL,
	    "remove the installs of apps that are gone, too" },
	{ 0 },
};

static void
plan(const struct pass *p, struct plan *plan)
{
	for (size_t i = 0; i < p->intent.napps; i++)
		setlive_plan_app(&p->intent.apps[i], &p->seen[i].live,
		    plan_add(plan, &p->intent.apps[i], &p->seen[i]));
}

const struct agent agent_setlive = {
	.name = "setlive",
	.summary = "make the active version live, and keep it running",
	.settings = settings,
	.observe = setlive_observe,
	.plan = plan,
	.apply = setlive_apply,
};
