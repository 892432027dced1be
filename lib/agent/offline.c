/*
 * Without a store: what a node can do of what was believed last, when nobody can be asked.
 *
 * Only what adds: starting what is defined and live as it was believed to be, and putting back a
 * firewall that is gone as a whole. Whatever would stop, change or remove something waits for a store.
 */
#include <stdio.h>

#include "lib/agent/agent.h"
#include "lib/base/log.h"

/* Live, defined and configured as it should be, and only down. */
static int
only_starts(const struct pass *p, const struct app_plan *ap)
{
	(void)p;
	return ap->nsteps == 1 && ap->steps[0].kind == LIVE_START;
}

/*
 * Where nothing of pp's is left, what is written opens ports, or puts back in force what was in force.
 * To begin another mode needs a run with a store.
 */
static int
puts_back(const struct pass *p, const struct app_plan *ap)
{
	(void)ap;
	return p->firewall_known && !p->firewall_mode_changed && p->firewall->absent &&
	    p->firewall->ops != &firewall_port_authority;
}

/* What of an agent's plan needs no store; an agent that is not here can do nothing without. */
static const struct {
	const struct agent *agent;
	int (*needs_none)(const struct pass *, const struct app_plan *);
} offline[] = {
	{ &agent_setlive, only_starts },
	{ &agent_iptables, puts_back },
};

static int
needs_none(const struct pass *p, const struct agent *agent, const struct app_plan *ap)
{
	for (size_t i = 0; i < MEM_COUNT(offline); i++)
		if (offline[i].agent == agent)
			return ap->nsteps > 0 && offline[i].needs_none(p, ap);
	return 0;
}

static void
carry(struct pass *p, const struct agent *agent, const struct app_plan *ap,
    struct pass_result *result)
{
	const char *name = ap->app != NULL ? ap->app->name : agent->name;

	for (size_t k = 0; k < ap->nsteps; k++) {
		struct err e = ERR_INIT;

		if (agent->apply(p, ap, &ap->steps[k], &e) != 0) {
			log_fatal("%s: %s", name, e.msg);
			return;
		}
		result->changed = 1;
	}
}

/* Returns: how many entries of the plan need no store. */
static size_t
count(const struct pass *p, const struct agent *agent, const struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++)
		n += (size_t)needs_none(p, agent, &plan->apps[i]);
	return n;
}

static void
carry_all(struct pass *p, const struct agent *agent, struct plan *plan, struct pass_result *result)
{
	int dry = settings_flag(p->settings, "dry-run");

	for (size_t i = 0; i < plan->n; i++) {
		const struct app_plan *ap = &plan->apps[i];

		if (!needs_none(p, agent, ap))
			continue;
		for (size_t k = 0; dry && k < ap->nsteps; k++)
			printf("%s %s: would %s (%s)\n", agent->name,
			    ap->app != NULL ? ap->app->name : "node", ap->steps[k].text,
			    ap->steps[k].reason);
		if (!dry)
			carry(p, agent, ap, result);
	}
}

static int
is_able(const struct agent *agent)
{
	for (size_t i = 0; i < MEM_COUNT(offline); i++)
		if (offline[i].agent == agent)
			return 1;
	return 0;
}

void
offline_run(struct pass *p, const struct agent *agent, struct pass_result *result)
{
	struct plan plan = { 0 };
	struct intent_node intent;
	struct err why = ERR_INIT;

	if (!is_able(agent))
		return;
	if (intent_recall(p->store, &p->state, p->intent.node, &intent) != 0) {
		intent_release(&intent);
		return;
	}
	intent_release(&p->intent);
	p->intent = intent;
	p->storeless = 1;
	pass_prepare(p);
	if (agent->observe(p, &why) < 0) {
		log_fatal("%s: %s", agent->name, why.msg);
		return;
	}
	agent->plan(p, &plan);
	if (count(p, agent, &plan) > 0) {
		log_warn("%s: the store cannot be read; what was believed last is still started, "
			 "nothing else is done",
		    agent->name);
		carry_all(p, agent, &plan, result);
	}
	plan_release(&plan);
}
