/* setlive's plan, over the product of what may be intended and what may be seen. */
#include "lib/agent/agent.h"
#include "tests/unit/tap.h"

/* In a row of the table 0 stands for each value, so values begin with 1. */
enum { NO = 1, YES };
enum intended { GONE = 1, UNREADABLE, DOUBTED, INACTIVE, ACTIVE };
enum current { NOTHING = 1, OTHER, ACTIVES };
enum running { ABSENT = 1, DOWN, UP };
/* What the cluster knows: there is none; nothing; this; another version; somebody else's service. */
enum entry { ALONE = 1, UNKNOWN, SAME, DIFFERS, FOREIGN };
enum mark { UNMARKED = 1, MARKED, MAINTENANCE };
enum lease { FREE = 1, WAITS, HALTS };
enum health { HEALTHY = 1, STARTING, SICK };

/* One case: what is intended, and what is seen. */
struct node {
	int intended; /* enum intended */
	int fault;    /* the slice could not be observed */
	int prepared; /* the active version is installed */
	int current;  /* enum current: what is live */
	int launches; /* the active version has a bin/launch */
	int unwanted; /* a service that the active version does not have is defined */
	int defined;  /* the wanted service is, and just so */
	int config;   /* user_config.json is as intended */
	int running;  /* enum running: the wanted service */
	int up;       /* some service of the app runs, and all that are defined */
	int entry;    /* enum entry */
	int mark;     /* enum mark */
	int lease;    /* enum lease: what the cluster says to its going down */
	int health;   /* enum health */
};

#define FIELDS (sizeof(struct node) / sizeof(int))

static const struct node counts = { 5, 2, 2, 3, 2, 2, 2, 2, 3, 2, 5, 3, 3, 3 };

#define CHANGE \
	"preflight lease? drain? stop deregister? remove? define? config? link start? register? left? return?"

/* The first row that fits a case tells what is to be done; steps with a "?" are told of below. */
static const struct {
	const char *name;
	struct node when;
	enum plan_state state;
	const char *steps;
} table[] = {
	{ "an intent that cannot be read changes nothing", { .intended = UNREADABLE }, PLAN_HELD,
	    "" },
	{ "an app that may be gone is left alone", { .intended = DOUBTED }, PLAN_HELD, "" },
	{ "what could not be observed is not changed", { .fault = YES }, PLAN_FAILED, "" },

	{ "a gone app that the cluster needs runs on",
	    { .intended = GONE, .up = YES, .entry = SAME, .lease = WAITS }, PLAN_WAITING,
	    "unmark?" },
	{ "so does one whose version the cluster lacks",
	    { .intended = GONE, .up = YES, .entry = DIFFERS, .lease = WAITS }, PLAN_WAITING,
	    "unmark?" },
	{ "and one that is not known there, if it is asked",
	    { .intended = GONE, .up = YES, .entry = UNKNOWN, .lease = WAITS }, PLAN_WAITING,
	    "unmark?" },
	{ "a failure elsewhere holds it as well",
	    { .intended = GONE, .up = YES, .entry = SAME, .lease = HALTS }, PLAN_HALTED,
	    "unmark?" },
	{ "whatever is registered",
	    { .intended = GONE, .up = YES, .entry = DIFFERS, .lease = HALTS }, PLAN_HALTED,
	    "unmark?" },
	{ "or not", { .intended = GONE, .up = YES, .entry = UNKNOWN, .lease = HALTS }, PLAN_HALTED,
	    "unmark?" },
	{ "a name that is somebody else's in the cluster is no reason to guess",
	    { .intended = GONE, .up = YES, .entry = FOREIGN }, PLAN_HELD, "" },
	{ "a gone app that has a service loses it", { .intended = GONE, .unwanted = YES },
	    PLAN_PENDING, "lease? drain? retire deregister? left? remove" },
	{ "and what the cluster knows of it goes", { .intended = GONE, .entry = SAME },
	    PLAN_PENDING, "lease? drain? deregister? left?" },
	{ "whatever that is", { .intended = GONE, .entry = DIFFERS }, PLAN_PENDING,
	    "lease? drain? deregister? left?" },
	{ "also when it runs", { .intended = GONE, .up = YES, .entry = UNKNOWN }, PLAN_PENDING,
	    "lease? drain? left?" },
	{ "and a mark it left", { .intended = GONE, .entry = UNKNOWN, .mark = MARKED },
	    PLAN_PENDING, "left?" },
	{ "or half of one", { .intended = GONE, .entry = UNKNOWN, .mark = MAINTENANCE },
	    PLAN_PENDING, "left?" },
	{ "where another has its name too", { .intended = GONE, .entry = FOREIGN, .mark = MARKED },
	    PLAN_PENDING, "left?" },
	{ "and so on", { .intended = GONE, .entry = FOREIGN, .mark = MAINTENANCE }, PLAN_PENDING,
	    "left?" },
	{ "and one that has nothing needs nothing", { .intended = GONE }, PLAN_CONVERGED, "" },

	{ "without an active version what runs is stopped for good",
	    { .intended = INACTIVE, .up = YES }, PLAN_PENDING, "drain? retire deregister? left?" },
	{ "and is taken out of the cluster", { .intended = INACTIVE, .entry = SAME }, PLAN_PENDING,
	    "deregister? left?" },
	{ "whatever is known there", { .intended = INACTIVE, .entry = DIFFERS }, PLAN_PENDING,
	    "deregister? left?" },
	{ "and nothing else is done without a cluster", { .intended = INACTIVE, .entry = ALONE },
	    PLAN_CONVERGED, "" },
	{ "or a mark there", { .intended = INACTIVE, .mark = UNMARKED }, PLAN_CONVERGED, "" },
	{ "but a mark is taken back", { .intended = INACTIVE }, PLAN_PENDING, "left?" },

	{ "what is not prepared is waited for", { .prepared = NO }, PLAN_WAITING, "" },

	/* Live, with services as they should be. */
	{ "live and defined, but not running",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.running = ABSENT },
	    PLAN_PENDING, "start register? unmark?" },
	{ "or not running any more",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.running = DOWN },
	    PLAN_PENDING, "start register? unmark?" },
	{ "live and starting",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.health = STARTING },
	    PLAN_WAITING, "watch" },
	{ "live and sick, in no cluster",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.health = SICK,
		.entry = ALONE },
	    PLAN_FAILED, "" },
	{ "live and sick, and somebody else has its name",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.health = SICK,
		.entry = FOREIGN },
	    PLAN_FAILED, "" },
	{ "live and sick: the others are told",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.health = SICK },
	    PLAN_FAILED, "failed" },
	{ "healthy, but somebody else has its name",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.entry = FOREIGN,
		.mark = UNMARKED },
	    PLAN_HELD, "" },
	{ "healthy, unknown to the cluster",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.entry = UNKNOWN },
	    PLAN_PENDING, "register? unmark?" },
	{ "healthy, known otherwise",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.entry = DIFFERS },
	    PLAN_PENDING, "register? unmark?" },
	{ "live, defined, running and healthy, in no cluster",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.entry = ALONE },
	    PLAN_CONVERGED, "" },
	{ "and as the cluster knows it",
	    { .current = ACTIVES,
		.launches = YES,
		.unwanted = NO,
		.defined = YES,
		.config = YES,
		.mark = UNMARKED },
	    PLAN_CONVERGED, "" },
	{ "healthy and still marked",
	    { .current = ACTIVES, .launches = YES, .unwanted = NO, .defined = YES, .config = YES },
	    PLAN_PENDING, "return?" },

	/* Live, with nothing to run. */
	{ "live, nothing to run, in no cluster",
	    { .current = ACTIVES, .launches = NO, .unwanted = NO, .config = YES, .entry = ALONE },
	    PLAN_CONVERGED, "" },
	{ "live, nothing to run, but known to the cluster",
	    { .current = ACTIVES, .launches = NO, .unwanted = NO, .config = YES, .entry = SAME },
	    PLAN_PENDING, "deregister? left?" },
	{ "or known otherwise",
	    { .current = ACTIVES, .launches = NO, .unwanted = NO, .config = YES, .entry = DIFFERS },
	    PLAN_PENDING, "deregister? left?" },
	{ "live, nothing to run, and unmarked",
	    { .current = ACTIVES,
		.launches = NO,
		.unwanted = NO,
		.config = YES,
		.up = NO,
		.mark = UNMARKED },
	    PLAN_CONVERGED, "" },
	{ "live, nothing to run, marked",
	    { .current = ACTIVES, .launches = NO, .unwanted = NO, .config = YES }, PLAN_PENDING,
	    "left?" },

	/* Something differs. */
	{ "down, it needs nobody's leave", { .up = NO }, PLAN_PENDING, CHANGE },
	{ "in no cluster, neither", { .entry = ALONE }, PLAN_PENDING, CHANGE },
	{ "who cannot be counted stays up", { .entry = FOREIGN }, PLAN_HELD, "" },
	{ "who is needed stays up", { .lease = WAITS }, PLAN_WAITING, "unmark?" },
	{ "who sees others fail stays up", { .lease = HALTS }, PLAN_HALTED, "unmark?" },
	{ "with the lease", { 0 }, PLAN_PENDING, CHANGE },
};

static int
fits(const struct node *when, const struct node *node)
{
	const int *want = (const int *)when, *have = (const int *)node;

	for (size_t i = 0; i < FIELDS; i++)
		if (want[i] != 0 && want[i] != have[i])
			return 0;
	return 1;
}

/* Is the step that a row has with a "?" to be there in this case? */
static int
has_step(const char *step, const struct node *n)
{
	const int known = n->entry == SAME || n->entry == DIFFERS, up = n->up == YES;
	const int cluster = n->entry != ALONE;
	const int stays = n->intended == ACTIVE && n->launches == YES;
	const struct {
		const char *name;
		int there;
	} conditions[] = {
		{ "lease", up && cluster && (n->intended != GONE || known) },
		{ "drain", up && known },
		{ "deregister", known && !(n->intended == ACTIVE && n->launches == YES) },
		{ "remove", n->unwanted == YES },
		{ "define", n->launches == YES },
		{ "config", n->config == NO },
		{ "start", n->launches == YES },
		{ "register", n->launches == YES && (n->entry == UNKNOWN || n->entry == DIFFERS) },
		{ "unmark", cluster && n->mark != UNMARKED },
		{ "return", cluster && (n->mark != UNMARKED || up) && stays },
		{ "left", cluster && (n->mark != UNMARKED || up) && !stays },
	};

	for (size_t i = 0; i < MEM_COUNT(conditions); i++)
		if (strcmp(conditions[i].name, step) == 0)
			return conditions[i].there;
	return 0;
}

static void
expect(const char *row, const struct node *node, struct buf *steps)
{
	AUTO_STRV struct strv words = { 0 };

	buf_add(steps, "", 0);
	if (row[0] != '\0')
		strv_split(&words, row, ' ');
	for (size_t i = 0; i < words.n; i++) {
		const char *word = words.items[i];
		size_t n = strlen(word);

		if (word[n - 1] == '?') {
			words.items[i][n - 1] = '\0';
			if (!has_step(word, node))
				continue;
			/* The same step, for who was not up before. */
			if (strcmp(word, "unmark") == 0)
				word = "return";
		}
		buf_printf(steps, "%s%s", steps->n > 0 ? " " : "", word);
	}
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
	app->cluster = xstrdup("demo");
	app->certainty = certainties[node->intended];
	if (app->certainty != INTENT_STATED)
		app->reason = xstrdup("so it is");
	app->start_timeout_ms = 60000;
	app->settle_ms = 3000;
}

static void
see_cluster(const struct node *node, struct seen_live *seen)
{
	seen->clustered = node->entry != ALONE;
	seen->cluster = xstrdup("demo");
	seen->registered = node->entry == SAME || node->entry == DIFFERS;
	seen->same_entry = node->entry == SAME;
	seen->entry_fault = node->entry == FOREIGN ? xstrdup("it is another's") : NULL;
	seen->marked = node->mark == MARKED;
	seen->maintenance = node->mark == MAINTENANCE;
	seen->lease = node->lease == FREE ? LEASE_GRANTED :
	    node->lease == WAITS          ? LEASE_WAITING :
					    LEASE_HALTED;
	seen->lease_why = node->lease != FREE ? xstrdup("web3") : NULL;
}

static void
see(const struct node *node, struct seen_live *seen)
{
	static const char *const currents[] = { NULL, NULL, "installs/slug_abc",
		"installs/slug_def" };

	seen->version = node->intended == ACTIVE ? xstrdup("def") : NULL;
	seen->current = xstrdup(currents[node->current]);
	seen->prepared = node->prepared == YES;
	seen->launches = node->launches == YES;
	if (seen->launches)
		strv_add(&seen->wanted, xstrdup("slug"));
	if (seen->launches && node->intended == ACTIVE)
		strv_add(&seen->present, xstrdup("slug"));
	if (node->unwanted == YES)
		strv_add(&seen->present, xstrdup("slug__old"));
	seen->defined = node->defined == YES;
	seen->same_config = node->config == YES;
	seen->wanted_state = (enum service_state)(node->running - 1);
	seen->any_up = node->up == YES;
	seen->all_up = node->up == YES;
	seen->check.kind = HEALTH_TCP;
	seen->health.verdict = node->health == HEALTHY ? HEALTH_PASSING : HEALTH_CRITICAL;
	seen->health.text = xstrdup("as it is");
	seen->up_ms = node->health == STARTING ? 1000 : 100000;
	seen->fault = node->fault == YES ? xstrdup("it is broken") : NULL;
	see_cluster(node, seen);
}

static void
name_steps(const struct app_plan *plan, struct buf *names)
{
	static const char *const kinds[] = { [LIVE_PREFLIGHT] = "preflight",
		[LIVE_LEASE] = "lease",
		[LIVE_DRAIN] = "drain",
		[LIVE_STOP] = "stop",
		[LIVE_RETIRE] = "retire",
		[LIVE_REMOVE] = "remove",
		[LIVE_DEFINE] = "define",
		[LIVE_CONFIG] = "config",
		[LIVE_LINK] = "link",
		[LIVE_WATCH] = "watch",
		[LIVE_START] = "start",
		[LIVE_REGISTER] = "register",
		[LIVE_FAILED] = "failed",
		[LIVE_DEREGISTER] = "deregister",
		[LIVE_RETURN] = "return",
		[LIVE_LEFT] = "left",
		[LIVE_FEED] = "feed",
		[LIVE_PURGE] = "purge" };

	buf_add(names, "", 0);
	for (size_t i = 0; i < plan->nsteps; i++)
		buf_printf(names, "%s%s", i ? " " : "", kinds[plan->steps[i].kind]);
}

static int
at(const struct app_plan *plan, int kind)
{
	for (size_t i = 0; i < plan->nsteps; i++)
		if (plan->steps[i].kind == kind)
			return (int)i;
	return -1;
}

/* What holds of every plan: it says why; who runs is never stopped without the lease; the link goes to the version. */
static int
is_sound(const struct node *node, const struct app_plan *plan)
{
	const int stop = at(plan, LIVE_STOP), lease = at(plan, LIVE_LEASE);
	const int start = at(plan, LIVE_START);

	if ((plan->nsteps == 0 && plan->state == PLAN_PENDING) ||
	    (plan->state != PLAN_CONVERGED && plan->reason == NULL))
		return 0;
	if (stop >= 0 && node->up == YES && node->entry != ALONE && (lease < 0 || lease > stop))
		return 0;
	if (at(plan, LIVE_RETURN) >= 0 && at(plan, LIVE_RETURN) < start)
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

static void
show(const struct node *node, const struct app_plan *ap, const char *steps, const char *expected)
{
	printf("# case:");
	for (size_t i = 0; i < FIELDS; i++)
		printf(" %d", ((const int *)node)[i]);
	printf(": %s: \"%s\", not \"%s\" (%s)\n", plan_state_name(ap->state), steps, expected,
	    ap->reason ? ap->reason : "");
}

/* Plan one case and compare it with its row. Returns: the row, or -1 where it is not as the row says. */
static int
check(const struct node *node)
{
	struct plan plan = { 0 };
	struct intent_app app = { 0 };
	struct seen seen = { 0 };
	AUTO_BUF struct buf steps = { 0 }, expected = { 0 };
	struct app_plan *ap;
	int row = 0, right = 0;

	intend(node, &app);
	see(node, &seen.live);
	ap = plan_add(&plan, &app, &seen);
	setlive_plan_app(&app, &seen.live, ap);
	name_steps(ap, &steps);
	while (row < (int)MEM_COUNT(table) && !fits(&table[row].when, node))
		row++;
	if (row < (int)MEM_COUNT(table)) {
		expect(table[row].steps, node, &expected);
		right = ap->state == table[row].state && strcmp(steps.data, expected.data) == 0 &&
		    is_sound(node, ap);
	}
	if (!right)
		show(node, ap, steps.data, expected.data ? expected.data : "?");
	plan_release(&plan);
	setlive_seen_release(&seen.live);
	intent_app_release(&app);
	return right ? row : -1;
}

/* The next case of the product; 0 after the last one. */
static int
next(struct node *node)
{
	int *field = (int *)node;
	const int *n = (const int *)&counts;

	for (size_t i = 0; i < FIELDS; i++) {
		if (++field[i] <= n[i])
			return 1;
		field[i] = 1;
	}
	return 0;
}

/* What the product leaves out, each beside a case that is in it. */
static void
check_rest(void)
{
	const struct node running = { ACTIVE, NO, YES, OTHER, YES, NO, NO, YES, UP, YES, SAME,
		UNMARKED, FREE, HEALTHY };
	static const struct {
		const char *name, *steps;
		enum plan_state state;
	} rows[] = {
		{ "restart never: what runs is left to people", "", PLAN_WAITING },
		{ "from one cluster to another: out of the one before it is in the other",
		    "preflight lease drain stop deregister left define link start register",
		    PLAN_PENDING },
		{ "a check that is fed", "feed", PLAN_CONVERGED },
		{ "gone back from: it stays so", "", PLAN_HALTED },
		{ "gone, and what it leaves is wanted gone", "purge", PLAN_PENDING },
		{ "a start that failed before is no start any more", "failed", PLAN_FAILED },
	};

	for (size_t i = 0; i < MEM_COUNT(rows); i++) {
		struct node node = running;
		struct plan plan = { 0 };
		struct intent_app app = { 0 };
		struct seen seen = { 0 };
		AUTO_BUF struct buf steps = { 0 };
		struct app_plan *ap;

		if (i >= 2)
			node.current = ACTIVES, node.defined = YES;
		if (i == 4)
			node = (struct node){ GONE, NO, NO, NOTHING, NO, NO, NO, NO, ABSENT, NO,
				ALONE, UNMARKED, FREE, HEALTHY };
		if (i == 5)
			node.health = STARTING;
		intend(&node, &app);
		see(&node, &seen.live);
		app.restart_never = i == 0;
		if (i == 1)
			seen.live.cluster[0] = 'D';
		seen.live.same_entry = i >= 2;
		seen.live.fed = i == 2;
		seen.live.reverted = i == 3 ? xstrdup("ghi") : NULL;
		seen.live.place = i == 4 ? xstrdup("/data/slug") : NULL;
		seen.live.failing = i == 5;
		ap = plan_add(&plan, &app, &seen);
		setlive_plan_app(&app, &seen.live, ap);
		name_steps(ap, &steps);
		ok(ap->state == rows[i].state && strcmp(steps.data, rows[i].steps) == 0,
		    "%s (%s: %s)", rows[i].name, plan_state_name(ap->state), steps.data);
		plan_release(&plan);
		setlive_seen_release(&seen.live);
		intent_app_release(&app);
	}
}

int
main(void)
{
	int hits[MEM_COUNT(table)] = { 0 }, wrong = 0, cases = 0;
	struct node node = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

	do {
		int row;

		/* What is to run and does is something that runs. */
		if (node.running == UP && node.up == NO)
			continue;
		row = check(&node);
		cases++;
		if (row < 0)
			wrong++;
		else
			hits[row]++;
	} while (wrong < 10 && next(&node));
	for (size_t i = 0; i < MEM_COUNT(table); i++)
		ok(hits[i] > 0, "%s: %d cases", table[i].name, hits[i]);
	ok(wrong > 0 || cases == 648000, "every combination was planned: %d", cases);
	ok(wrong == 0, "each as the table says");
	check_rest();
	return done();
}
