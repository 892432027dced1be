/* setlive's plan, over the product of what may be intended and what may be seen. */
#include "lib/agent/agent.h"
#include "tests/unit/tap.h"

enum intended { GONE, UNREADABLE, DOUBTED, INACTIVE, ACTIVE };
enum current { NOTHING, OTHER, ACTIVES };

/* One case: what is intended, and what is seen. ANY in a row of the table stands for each value. */
#define ANY -1

struct node {
	int intended; /* enum intended */
	int fault;    /* the slice could not be observed */
	int prepared; /* the active version is installed */
	int current;  /* enum current: what is live */
	int launches; /* the active version has a bin/launch */
	int unwanted; /* a service that the active version does not have is defined */
	int defined;  /* the wanted service is, and just so */
	int config;   /* user_config.json is as intended */
	int running;  /* enum service_state of the wanted service */
	int up;       /* some service of the app runs */
	int enabled;  /* some service of the app would be started by runsvdir */
};

#define FIELDS (sizeof(struct node) / sizeof(int))

static const struct node counts = { 5, 2, 2, 3, 2, 2, 2, 2, 3, 2, 2 };

/* The first row that fits a case tells what is to be done. */
static const struct {
	const char *name;
	struct node when;
	enum plan_state state;
	const char *steps;
} table[] = {
	{ "an intent that cannot be read changes nothing",
	    { UNREADABLE, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY }, PLAN_HELD, "" },
	{ "an app that may be gone is left alone",
	    { DOUBTED, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY }, PLAN_HELD, "" },
	{ "what could not be observed is not changed",
	    { ANY, 1, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY }, PLAN_FAILED, "" },
	{ "a gone app that has a service loses it",
	    { GONE, 0, ANY, ANY, ANY, 1, ANY, ANY, ANY, ANY, ANY }, PLAN_PENDING, "retire remove" },
	{ "and one that has none needs nothing",
	    { GONE, 0, ANY, ANY, ANY, 0, ANY, ANY, ANY, ANY, ANY }, PLAN_CONVERGED, "" },
	{ "without an active version what runs is stopped for good",
	    { INACTIVE, 0, ANY, ANY, ANY, ANY, ANY, ANY, ANY, 1, ANY }, PLAN_PENDING, "retire" },
	{ "and so is what would be started",
	    { INACTIVE, 0, ANY, ANY, ANY, ANY, ANY, ANY, ANY, 0, 1 }, PLAN_PENDING, "retire" },
	{ "and nothing else is done", { INACTIVE, 0, ANY, ANY, ANY, ANY, ANY, ANY, ANY, 0, 0 },
	    PLAN_CONVERGED, "" },
	{ "what is not prepared is waited for",
	    { ACTIVE, 0, 0, ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY }, PLAN_WAITING, "" },

	/* The active version has services. */
	{ "live, defined and running", { ACTIVE, 0, 1, ACTIVES, 1, 0, 1, 1, SERVICE_UP, ANY, ANY },
	    PLAN_CONVERGED, "" },
	{ "live and defined, but not running", { ACTIVE, 0, 1, ACTIVES, 1, 0, 1, 1, ANY, ANY, ANY },
	    PLAN_PENDING, "start" },
	{ "with other services and another user_config",
	    { ACTIVE, 0, 1, ANY, 1, 1, ANY, 0, ANY, ANY, ANY }, PLAN_PENDING,
	    "stop remove define config link start" },
	{ "with other services", { ACTIVE, 0, 1, ANY, 1, 1, ANY, 1, ANY, ANY, ANY }, PLAN_PENDING,
	    "stop remove define link start" },
	{ "with another user_config", { ACTIVE, 0, 1, ANY, 1, 0, ANY, 0, ANY, ANY, ANY },
	    PLAN_PENDING, "stop define config link start" },
	{ "another version, none, or another definition",
	    { ACTIVE, 0, 1, ANY, 1, 0, ANY, 1, ANY, ANY, ANY }, PLAN_PENDING,
	    "stop define link start" },

	/* It has none: it is only linked. */
	{ "live, nothing to run", { ACTIVE, 0, 1, ACTIVES, 0, 0, ANY, 1, ANY, ANY, ANY },
	    PLAN_CONVERGED, "" },
	{ "nothing to run any more, another user_config",
	    { ACTIVE, 0, 1, ANY, 0, 1, ANY, 0, ANY, ANY, ANY }, PLAN_PENDING,
	    "stop remove config link" },
	{ "nothing to run any more", { ACTIVE, 0, 1, ANY, 0, 1, ANY, 1, ANY, ANY, ANY },
	    PLAN_PENDING, "stop remove link" },
	{ "nothing to run, another user_config", { ACTIVE, 0, 1, ANY, 0, 0, ANY, 0, ANY, ANY, ANY },
	    PLAN_PENDING, "stop config link" },
	{ "nothing to run, not live yet", { ACTIVE, 0, 1, ANY, 0, 0, ANY, 1, ANY, ANY, ANY },
	    PLAN_PENDING, "stop link" },
};

static int
fits(const struct node *when, const struct node *node)
{
	const int *want = (const int *)when, *have = (const int *)node;

	for (size_t i = 0; i < FIELDS; i++)
		if (want[i] != ANY && want[i] != have[i])
			return 0;
	return 1;
}

static void
intend(const struct node *node, struct intent_app *app)
{
	static const enum intent_certainty certainties[] = { [GONE] = INTENT_GONE,
		[UNREADABLE] = INTENT_UNREADABLE,
		[DOUBTED] = INTENT_DOUBTED,
		[INACTIVE] = INTENT_STATED,
		[ACTIVE] = INTENT_STATED };

	app->name = xstrdup("slug");
	app->certainty = certainties[node->intended];
	if (app->certainty != INTENT_STATED)
		app->reason = xstrdup("so it is");
	app->nversions = 2;
	app->versions = xcalloc(2, sizeof *app->versions);
	app->versions[0].id = xstrdup("abc");
	app->versions[1].id = xstrdup("def");
	app->versions[1].active = node->intended == ACTIVE;
}

static void
see(const struct node *node, struct seen_live *seen)
{
	static const char *const currents[] = { NULL, "installs/slug_abc", "installs/slug_def" };

	seen->current = xstrdup(currents[node->current]);
	seen->prepared = node->prepared;
	seen->launches = node->launches;
	if (node->launches)
		strv_add(&seen->wanted, xstrdup("slug"));
	if (node->launches && node->intended == ACTIVE)
		strv_add(&seen->present, xstrdup("slug"));
	if (node->unwanted)
		strv_add(&seen->present, xstrdup("slug__old"));
	seen->defined = node->defined;
	seen->same_config = node->config;
	seen->wanted_state = (enum service_state)node->running;
	seen->any_up = node->up;
	seen->any_enabled = node->enabled;
	seen->fault = node->fault ? xstrdup("it is broken") : NULL;
}

static void
forget(struct seen_live *seen)
{
	free(seen->current);
	free(seen->fault);
	strv_release(&seen->wanted);
	strv_release(&seen->present);
}

static void
name_steps(const struct app_plan *plan, struct buf *names)
{
	static const char *const kinds[] = { [LIVE_STOP] = "stop",
		[LIVE_RETIRE] = "retire",
		[LIVE_REMOVE] = "remove",
		[LIVE_DEFINE] = "define",
		[LIVE_CONFIG] = "config",
		[LIVE_LINK] = "link",
		[LIVE_START] = "start" };

	buf_add(names, "", 0);
	for (size_t i = 0; i < plan->nsteps; i++)
		buf_printf(names, "%s%s", i ? " " : "", kinds[plan->steps[i].kind]);
}

/* What holds of every plan: it says why, and the link goes to the active version. */
static int
is_sound(const struct app_plan *plan)
{
	if ((plan->nsteps > 0) != (plan->state == PLAN_PENDING) ||
	    (plan->state != PLAN_CONVERGED && plan->reason == NULL))
		return 0;
	for (size_t i = 0; i < plan->nsteps; i++) {
		const struct step *step = &plan->steps[i];

		if (step->reason == NULL || step->text == NULL)
			return 0;
		if (step->kind == LIVE_LINK &&
		    (step->subject == NULL || strcmp(step->subject, "installs/slug_def") != 0))
			return 0;
	}
	return 1;
}

/* Plan one case and compare it with its row. Returns: the row, or -1 where it is not as the row says. */
static int
check(const struct node *node)
{
	struct plan plan = { 0 };
	struct intent_app app = { 0 };
	struct seen seen = { 0 };
	AUTO_BUF struct buf steps = { 0 };
	struct app_plan *ap;
	int row = 0, right;

	intend(node, &app);
	see(node, &seen.live);
	ap = plan_add(&plan, &app, &seen);
	setlive_plan_app(&app, &seen.live, ap);
	name_steps(ap, &steps);
	while (row < (int)MEM_COUNT(table) && !fits(&table[row].when, node))
		row++;
	right = row < (int)MEM_COUNT(table) && ap->state == table[row].state &&
	    strcmp(steps.data, table[row].steps) == 0 && is_sound(ap);
	if (!right) {
		printf("# case:");
		for (size_t i = 0; i < FIELDS; i++)
			printf(" %d", ((const int *)node)[i]);
		printf(": %s: \"%s\" (%s)\n", plan_state_name(ap->state), steps.data,
		    ap->reason ? ap->reason : "");
	}
	plan_release(&plan);
	forget(&seen.live);
	intent_app_release(&app);
	return right ? row : -1;
}

/* The next case of the product; 0 after the last one. */
static int
next(struct node *node)
{
	int *at = (int *)node;
	const int *n = (const int *)&counts;

	for (size_t i = 0; i < FIELDS; i++) {
		if (++at[i] < n[i])
			return 1;
		at[i] = 0;
	}
	return 0;
}

int
main(void)
{
	int hits[MEM_COUNT(table)] = { 0 }, wrong = 0, cases = 0;
	struct node node = { 0 };

	do {
		int row = check(&node);

		cases++;
		if (row < 0)
			wrong++;
		else
			hits[row]++;
	} while (wrong < 10 && next(&node));
	for (size_t i = 0; i < MEM_COUNT(table); i++)
		ok(hits[i] > 0, "%s: %d cases", table[i].name, hits[i]);
	ok(cases == 11520, "every combination was planned: %d", cases);
	ok(wrong == 0, "each as the table says");
	return done();
}
