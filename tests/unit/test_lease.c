/* The lease: who may go down, judged over a table, and the catalogue's answers, true and hostile. */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/service/lease.h"
#include "lib/service/lease_catalog.h"
#include "tests/unit/tap.h"

#define MANY 16

/*
 * A cluster in one line: words of "node:version:flags", where flags are of p (passing), m (marked; the mark's
 * version follows after '>'), f (failed), h (by hand) and x (marked, and not in the catalogue).
 */
struct cluster {
	struct lease_instance instances[MANY];
	struct lease_mark marks[MANY];
	struct lease_view view;
	char text[512];
};

static void
add_node(struct cluster *c, char *word)
{
	char *version = strchr(word, ':') + 1, *flags = strchr(version, ':') + 1,
	     *wanted = strchr(flags, '>');

	version[-1] = flags[-1] = '\0';
	if (wanted != NULL)
		*wanted++ = '\0';
	if (strpbrk(flags, "mx") != NULL)
		c->marks[c->view.nmarks++] =
		    (struct lease_mark){ .node = word, .version = wanted ? wanted : version };
	if (strchr(flags, 'x') == NULL)
		c->instances[c->view.ninstances++] = (struct lease_instance){ .node = word,
			.version = version,
			.passing = strchr(flags, 'p') != NULL,
			.failed = strchr(flags, 'f') != NULL,
			.by_hand = strchr(flags, 'h') != NULL };
}

static void
make(struct cluster *c, const char *nodes, int min_nodes)
{
	char *save = NULL;

	*c = (struct cluster){ 0 };
	c->view = (struct lease_view){ .there = 1,
		.min_nodes = min_nodes,
		.marks = c->marks,
		.instances = c->instances };
	(void)snprintf(c->text, sizeof c->text, "%s", nodes);
	for (char *word = strtok_r(c->text, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		add_node(c, word);
}

enum { HEALTHY = 1, FORCE = 2 };

struct judged {
	const char *name, *nodes;
	int min_nodes, how, canary;
	const char *version;
	enum lease_verdict verdict;
	const char *why; /* a part of it */
};

/* This node is "me"; it goes from A to B, unless the row says otherwise. */
static const struct judged rows[] = {
	{ "nobody is needed", "me:A:p", 0, HEALTHY, 1, "B", LEASE_GRANTED, NULL },
	{ "alone, and one is needed", "me:A:p", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "min_nodes is 1, and no other node of prod is up, and there are no more of them" },
	{ "just enough others", "me:A:p a:A:p b:A:p", 2, HEALTHY, 1, "B", LEASE_GRANTED, NULL },
	{ "one other too few", "me:A:p a:A:p b:A:p", 3, HEALTHY, 1, "B", LEASE_WAITING,
	    "min_nodes is 3, and only 2 other nodes of prod are up, and there are no more" },
	{ "one other is enough for one", "me:A:p a:A:p", 1, HEALTHY, 1, "B", LEASE_GRANTED, NULL },
	{ "one that is marked is not up, though it passes", "me:A:p a:A:p b:A:pm>C", 2, HEALTHY, 1,
	    "B", LEASE_WAITING, "only 1 other node of prod is up: b (for C) is down on purpose" },
	{ "one that does not pass is not up", "me:A:p a:A:p b:A:", 2, HEALTHY, 1, "B",
	    LEASE_WAITING, "only 1 other node of prod is up: b does not pass" },
	{ "both are named", "me:A:p a:A:p b:A: c:A:m>C", 2, HEALTHY, 1, "B", LEASE_WAITING,
	    "c (for C) is down on purpose; b does not pass" },
	{ "one that is marked and does not pass costs nothing", "me:A:p a:A:p b:A:p c:A:m>C", 2,
	    HEALTHY, 1, "B", LEASE_GRANTED, NULL },
	{ "a mark of a node that is no more costs nothing", "me:A:p a:A:p b:A:p c:C:x", 2, HEALTHY,
	    1, "B", LEASE_GRANTED, NULL },
	{ "at most a few names", "me:A:p a:A: b:A: c:A: d:A: e:A: f:A:", 1, HEALTHY, 1, "B",
	    LEASE_WAITING, "a, b, c, d and 2 more do not pass" },
	{ "exactly a few names", "me:A:p a:A: b:A: c:A: d:A:", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    ": a, b, c and d do not pass" },
	{ "this node's own mark is no reason to stay", "me:A:pm>B a:A:p", 1, HEALTHY, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "this node does not count as another", "me:A:p me:A:p", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "no other node" },
	{ "registered by hand counts", "me:A:p ::ph", 1, HEALTHY, 1, "B", LEASE_GRANTED, NULL },
	{ "two without a name are two", "me:A:p ::ph ::ph", 2, HEALTHY, 1, "B", LEASE_GRANTED,
	    NULL },
	{ "one without a name is said to be one", "me:A:p ::h", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "(one without a name) does not pass" },
	{ "by hand on this node does not count", "me:A:p me::ph", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "no other node" },
	{ "by hand on a marked node does not count", "me:A:p a::ph a:B:x", 1, HEALTHY, 1, "B",
	    LEASE_WAITING, "a (for B) is down on purpose" },
	{ "an empty catalogue may be a forbidden one", "", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "the token may lack service \"slug\" { policy = \"read\" }" },
	{ "who is not healthy needs nobody", "me:A: a:A:", 2, 0, 1, "B", LEASE_GRANTED, NULL },
	{ "who leaves is guarded, too", "me:A:p a:A:", 1, HEALTHY, 1, NULL, LEASE_WAITING,
	    "a does not pass" },
	{ "who leaves does not care for versions", "me:A:p a:B:f b:A:pm>B", 0, HEALTHY, 1, "",
	    LEASE_GRANTED, NULL },

	{ "failed on one", "me:A:p a:B:f b:A:p c:A:p", 2, HEALTHY, 1, "B", LEASE_HALTED,
	    "B failed on a, so no node" },
	{ "failed on one, and two may try", "me:A:p a:B:f b:A:p", 1, HEALTHY, 2, "B", LEASE_GRANTED,
	    NULL },
	{ "failed on two, and two may try", "me:A:p a:B:f b:B:f c:A:p", 1, HEALTHY, 2, "B",
	    LEASE_HALTED, "B failed on a and b" },
	{ "halted is told before waiting", "me:A:p a:B:f", 1, HEALTHY, 1, "B", LEASE_HALTED,
	    "failed on a" },
	{ "failed and still marked is halted", "me:A:p a:B:fm>B b:A:p", 1, HEALTHY, 1, "B",
	    LEASE_HALTED, "failed on a" },
	{ "another version failed", "me:A:p a:C:f b:A:p", 1, HEALTHY, 1, "B", LEASE_GRANTED, NULL },
	{ "back from a version that failed elsewhere", "me:B:p a:B:f b:A:p", 1, HEALTHY, 1, "A",
	    LEASE_GRANTED, NULL },
	{ "failed here is no reason to stay", "me:B:f a:A:p", 1, 0, 1, "B", LEASE_GRANTED, NULL },
	{ "this node's own failure halts nobody", "me:B:fp a:A:p", 1, HEALTHY, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "on the version already, it may restart", "me:B:p a:B:f b:B:p", 1, HEALTHY, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "not healthy, it goes though others failed", "me:A: a:B:f b:A:p", 2, 0, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "forced, it goes though others failed", "me:A:p a:B:f b:A:p", 1, HEALTHY | FORCE, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "forced, though the one that failed is marked", "me:A:p a:B:fm>B b:A:p", 1,
	    HEALTHY | FORCE, 1, "B", LEASE_GRANTED, NULL },
	{ "force does not beat min_nodes", "me:A:p a:B:f", 1, HEALTHY | FORCE, 1, "B",
	    LEASE_WAITING, "a does not pass" },
	{ "force does not beat the canary", "me:A:p a:B:f b:A:m>B c:A:p", 1, HEALTHY | FORCE, 1,
	    "B", LEASE_WAITING, "b tries B first" },

	{ "one tries it, marked", "me:A:p a:A:m>B b:A:p", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "a tries B first, and no node passes on it yet" },
	{ "one tries it, on it", "me:A:p a:B: b:A:p", 1, HEALTHY, 1, "B", LEASE_WAITING,
	    "a tries B first" },
	{ "marked for it and on it is one", "me:A:p a:B:m>B b:A:p c:A:p", 1, HEALTHY, 2, "B",
	    LEASE_GRANTED, NULL },
	{ "two try it, and two may", "me:A:p a:B: b:A:m>B c:A:p", 1, HEALTHY, 2, "B", LEASE_WAITING,
	    "b and a try B first" },
	{ "one tries it, and two may", "me:A:p a:A:m>B b:A:p", 1, HEALTHY, 2, "B", LEASE_GRANTED,
	    NULL },
	{ "one passes on it, so all may go", "me:A:p a:B:p b:A:m>B c:A:m>B", 1, HEALTHY, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "one tries another version", "me:A:p a:A:m>C b:A:p", 1, HEALTHY, 1, "B", LEASE_GRANTED,
	    NULL },
	{ "this node's own mark is no try of another", "me:A:pm>B b:A:p", 1, HEALTHY, 1, "B",
	    LEASE_GRANTED, NULL },
	{ "no canary stated is one", "me:A:p a:A:m>B b:A:p", 1, HEALTHY, 0, "B", LEASE_WAITING,
	    "a tries B first" },
};

static void
test_table(void)
{
	for (size_t i = 0; i < MEM_COUNT(rows); i++) {
		const struct judged *row = &rows[i];
		struct lease_request req = { .app = "slug",
			.cluster = "prod",
			.node = "me",
			.version = row->version,
			.healthy = (row->how & HEALTHY) != 0,
			.canary = row->canary,
			.force = (row->how & FORCE) != 0 };
		AUTO_FREE char *why = NULL;
		struct cluster c;
		enum lease_verdict verdict;

		make(&c, row->nodes, row->min_nodes);
		verdict = lease_judge(&c.view, &req, &why);
		ok(verdict == row->verdict, "%s: %s", row->name,
		    verdict == LEASE_GRANTED     ? "granted" :
			verdict == LEASE_WAITING ? "waiting" :
						   "halted");
		if (row->why == NULL)
			ok(why == NULL, "%s: nothing to explain", row->name);
		else
			has(why, row->why, row->name);
	}
}

/* Whatever the cluster is: granted only if enough others are up, counted in another way. */
static void
test_guard(void)
{
	static const char *const states[] = { "A:p", "A:", "A:pm>C", "A:m>C", "C:x" };
	size_t n = MEM_COUNT(states), wrong = 0, seen = 0;

	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < n; b++)
			for (size_t c = 0; c < n; c++)
				for (int min = 0; min <= 4; min++) {
					AUTO_FREE char *text = xasprintf("me:A:p a:%s b:%s c:%s",
					    states[a], states[b], states[c]);
					struct lease_request req = { "slug", "prod", "me", "B", 1,
						1, 0 };
					int up = (a == 0) + (b == 0) + (c == 0);
					AUTO_FREE char *why = NULL;
					struct cluster cluster;

					make(&cluster, text, min);
					wrong += (lease_judge(&cluster.view, &req, &why) ==
						     LEASE_GRANTED) != (up >= min);
					seen++;
				}
	ok(wrong == 0 && seen == n * n * n * 5, "granted just where enough others are up (%zu)",
	    seen);
}

static void
test_no_consul(void)
{
	struct lease_view view = { .min_nodes = 5 };
	struct lease_request req = { "slug", "prod", "me", "B", 1, 1, 0 };
	AUTO_FREE char *why = NULL;

	ok(lease_judge(&view, &req, &why) == LEASE_GRANTED && why == NULL,
	    "without a Consul there is nobody to count");
}

/* --- the catalogue */

#define SERVICE(meta) \
	"\"Service\":{\"Service\":\"slug\",\"ID\":\"slug\",\"Tags\":[\"x\",\"prod\"],\"Meta\":{" meta \
	"}}"
#define PP(node) "\"pp\":\"1\",\"pp-node\":\"" node "\",\"pp-version\":\"A\""
#define ON(machine) "\"Node\":{\"Node\":\"" machine "\"}"
#define PASSES "\"Checks\":[{\"Status\":\"passing\"},{\"Status\":\"passing\"}]"
#define FAILS "\"Checks\":[{\"Status\":\"passing\"},{\"Status\":\"critical\"}]"

struct answer {
	const char *name, *text;
	const char *wanted; /* "node/version+" or "-" for each; NULL: an error */
};

static const struct answer answers[] = {
	{ "nobody", "[]", "" },
	{ "one that passes", "[{" ON("m") "," SERVICE(PP("a")) "," PASSES "}]", "a/A+ " },
	{ "one that does not", "[{" ON("m") "," SERVICE(PP("a")) "," FAILS "}]", "a/A- " },
	{ "warning is not passing",
	    "[{" ON("m") "," SERVICE(PP("a")) ",\"Checks\":[{\"Status\":\"warning\"}]}]", "a/A- " },
	{ "a check without a status does not pass",
	    "[{" ON("m") "," SERVICE(PP("a")) ",\"Checks\":[{}]}]", "a/A- " },
	{ "a check that is none does not pass",
	    "[{" ON("m") "," SERVICE(PP("a")) ",\"Checks\":[7]}]", "a/A- " },
	{ "without checks it passes", "[{" ON("m") "," SERVICE(PP("a")) ",\"Checks\":[]}]",
	    "a/A+ " },
	{ "sorted by node",
	    "[{" ON("m") "," SERVICE(PP("b")) "," PASSES
					      "},{" ON("m") "," SERVICE(PP("a")) "," FAILS "}]",
	    "a/A- b/A+ " },
	{ "two of one node are one, which passes if both do",
	    "[{" ON("m") "," SERVICE(PP("a")) "," PASSES
					      "},{" ON("n") "," SERVICE(PP("a")) "," FAILS "}]",
	    "a/A- " },
	{ "two versions on one node are none",
	    "[{" ON("m") "," SERVICE(PP("a")) "," PASSES "},{" ON("n") "," SERVICE(
		"\"pp\":\"1\",\"pp-node\":\"a\",\"pp-version\":\"B\"") "," PASSES "}]",
	    "a/+ " },
	{ "failed", "[{" ON("m") "," SERVICE(PP("a") ",\"pp-failed\":\"1\"") "," FAILS "}]",
	    "a/A-f " },
	{ "failed is said with 1 only",
	    "[{" ON("m") "," SERVICE(PP("a") ",\"pp-failed\":\"0\"") "," FAILS "}]", "a/A- " },
	{ "by hand it is called as its machine", "[{" ON("m") "," SERVICE("") "," PASSES "}]",
	    "m/+h " },
	{ "two by hand on one machine are two",
	    "[{" ON("m") "," SERVICE("") "," PASSES "},{" ON("m") "," SERVICE("") "," PASSES "}]",
	    "m/+h m/+h " },
	{ "by hand next to one of pp's it is the same instance",
	    "[{" ON("m") "," SERVICE("") "," PASSES "},{" ON("m") "," SERVICE(PP("a")) "," PASSES
										       "}]",
	    "a/A+ " },
	{ "by hand it says nothing of versions and failures",
	    "[{" ON("m") "," SERVICE(
		"\"pp-node\":\"z\",\"pp-version\":\"A\",\"pp-failed\":\"1\"") "," PASSES "}]",
	    "m/+h " },
	{ "a machine whose name is none", "[{" ON("../m") "," SERVICE("") "," PASSES "}]", "/+h " },
	{ "a node whose name is none does not pass",
	    "[{" ON("m") "," SERVICE(PP("../a")) "," PASSES "}]", "/A- " },
	{ "nor one that does not say", "[{" ON("m") "," SERVICE("\"pp\":\"1\"") "," PASSES "}]",
	    "/- " },
	{ "a version that is none",
	    "[{" ON("m") "," SERVICE(
		"\"pp\":\"1\",\"pp-node\":\"a\",\"pp-version\":\"A\\u001b[31m\"") "," PASSES "}]",
	    "a/+ " },
	{ "another app that differs in case only",
	    "[{" ON("m") ",\"Service\":{\"Service\":\"Slug\",\"Tags\":[\"prod\"],\"Meta\":{" PP(
		"a") "}}," PASSES "}]",
	    "" },
	{ "another cluster that differs in case only",
	    "[{" ON("m") ",\"Service\":{\"Service\":\"slug\",\"Tags\":[\"Prod\"],\"Meta\":{" PP(
		"a") "}}," PASSES "}]",
	    "" },
	{ "no tags", "[{" ON("m") ",\"Service\":{\"Service\":\"slug\",\"Tags\":null}," PASSES "}]",
	    "" },
	{ "not JSON", "[", NULL },
	{ "nothing", "", NULL },
	{ "no list", "{}", NULL },
	{ "null", "null", NULL },
	{ "a list of something else", "[1]", NULL },
	{ "no service", "[{" ON("m") "," PASSES "}]", NULL },
	{ "no checks", "[{" ON("m") "," SERVICE(PP("a")) "}]", NULL },
	{ "checks that are none", "[{" ON("m") "," SERVICE(PP("a")) ",\"Checks\":null}]", NULL },
	{ "the same name twice", "[{" ON("m") "," SERVICE(PP("a")) "," FAILS "," PASSES "}]",
	    NULL },
};

static void
test_catalog(void)
{
	for (size_t i = 0; i < MEM_COUNT(answers); i++) {
		const struct answer *a = &answers[i];
		struct lease_view view = { 0 };
		struct err e = ERR_INIT;
		AUTO_BUF struct buf got = { 0 };
		int r = lease_catalog_take(a->text, strlen(a->text), "slug", "prod", &view, &e);

		buf_printf(&got, "%s", "");
		for (size_t k = 0; k < view.ninstances; k++) {
			const struct lease_instance *it = &view.instances[k];

			buf_printf(&got, "%s/%s%s%s%s ", it->node, it->version,
			    it->passing ? "+" : "-", it->failed ? "f" : "", it->by_hand ? "h" : "");
		}
		if (a->wanted == NULL)
			ok(r < 0 && e.class == ERR_STORE, "refused: %s (%s)", a->name, e.msg);
		else
			is(r == 0 ? got.data : e.msg, a->wanted, a->name);
		lease_view_release(&view);
	}
}

int
main(void)
{
	test_table();
	test_guard();
	test_no_consul();
	test_catalog();
	return done();
}
