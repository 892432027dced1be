/*
 * What the cluster knows of this node's apps, and whether it can do without them for a while.
 */
#include <string.h>

#include "lib/agent/setlive.h"

struct registration
setlive_registration(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen, int failed)
{
	return (struct registration){ .app = app->name,
		.cluster = app->cluster,
		.version = seen->release,
		.node = p->intent.node,
		.port = intent_tcp_port(app),
		.failed = failed,
		.check = &seen->check };
}

static void
take_entry(struct pass *p, const struct intent_app *app, struct seen_live *seen)
{
	const struct registered *known = registry_find(&p->registry, app->name);

	/* Who is gone and not registered is in no cluster that anybody knows. */
	seen->clustered = p->registry.there && (app->cluster != NULL || known != NULL);
	seen->cluster = xstrdup(app->cluster);
	if (known == NULL)
		return;
	if (known->foreign && app->certainty != INTENT_STATED) {
		seen->clustered = app->cluster != NULL;
		return;
	}
	if (known->foreign) {
		seen->entry_fault = xstrdup(known->why);
		return;
	}
	/* One whose tag was taken away is counted nowhere, until it is registered again. */
	if (known->cluster[0] != '\0') {
		free(seen->cluster);
		seen->cluster = xstrdup(known->cluster);
	}
	seen->clustered = seen->cluster != NULL;
	seen->registered = 1;
	seen->maintenance = known->maintenance && known->maintained_by_pp;
	seen->fed = known->fed;
	if (seen->release != NULL) {
		const struct registration good = setlive_registration(p, app, seen, 0);
		const struct registration bad = setlive_registration(p, app, seen, 1);

		seen->same_entry = registry_same(known, &good);
		seen->said_failed = registry_same(known, &bad);
	}
}

/* What pp has registered for apps of which nothing else is left. */
static void
take_leftovers(struct pass *p)
{
	AUTO_STRV struct strv leftovers = { 0 };

	for (size_t i = 0; i < p->registry.n; i++)
		if (!p->registry.v[i].foreign &&
		    intent_find(&p->intent, p->registry.v[i].app) == NULL)
			strv_add(&leftovers, xstrdup(p->registry.v[i].app));
	pass_leftovers(p, &leftovers);
}

/* In which clusters is this node marked? */
static int
observe_marks(struct pass *p, struct err *e)
{
	const size_t n = p->intent.napps;
	AUTO_FREE struct lease_place *places = xcalloc(n + 1, sizeof *places);
	AUTO_FREE int *marked = xcalloc(n + 1, sizeof *marked);
	AUTO_FREE size_t *of = xcalloc(n + 1, sizeof *of);
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		const char *cluster = p->seen[i].live.cluster;

		if (cluster == NULL || cluster[0] == '\0')
			continue;
		of[m] = i;
		places[m++] = (struct lease_place){ p->intent.apps[i].name, cluster };
	}
	if (m > 0 && lease_marked(p->store, p->intent.node, places, m, marked, e) < 0)
		return -1;
	for (size_t k = 0; k < m; k++)
		p->seen[of[k]].live.marked = marked[k];
	return 0;
}

struct lease_request
setlive_lease_request(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen)
{
	const int stated = app->certainty == INTENT_STATED;
	const int leaves = !stated || strcmp(seen->cluster, app->cluster) != 0;

	return (struct lease_request){ .app = app->name,
		.cluster = seen->cluster,
		.node = p->intent.node,
		.version = leaves ? "" : seen->release,
		.healthy = stated ? setlive_is_healthy(app, seen) : seen->all_up,
		.canary = app->canary,
		.force = settings_flag(p->settings, "continue-on-failure") };
}

/* Only who runs and has to go down asks whether it may. What cannot be told is that app's trouble alone. */
static void
observe_lease(struct pass *p, const struct intent_app *app, struct seen_live *seen)
{
	struct lease_request req;
	struct lease_view view = { 0 };
	struct err why = ERR_INIT;

	if (!seen->clustered || seen->fault != NULL || !seen->any_up || seen->entry_fault != NULL)
		return;
	if (app->certainty == INTENT_GONE ?
		!seen->registered :
		(app->certainty != INTENT_STATED || seen->version == NULL || !seen->prepared ||
		    setlive_why_restart(app, seen) == NULL))
		return;
	req = setlive_lease_request(p, app, seen);
	if (lease_look(p->store, app->name, seen->cluster, &view, &why) < 0)
		seen->fault = xstrdup(why.msg);
	else
		seen->lease = lease_judge(&view, &req, &seen->lease_why);
	lease_view_release(&view);
}

int
setlive_observe_cluster(struct pass *p, struct err *e)
{
	if (p->storeless)
		return 0;
	if (registry_read(p->store, p->intent.node, &p->registry, e) < 0)
		return -1;
	if (!p->registry.there)
		return 0;
	take_leftovers(p);
	for (size_t i = 0; i < p->intent.napps; i++)
		take_entry(p, &p->intent.apps[i], &p->seen[i].live);
	if (observe_marks(p, e) < 0)
		return -1;
	for (size_t i = 0; i < p->intent.napps; i++)
		observe_lease(p, &p->intent.apps[i], &p->seen[i].live);
	return 0;
}
