/*
 * Registrations as documents: what is written, what makes it another one, and what is read back.
 */
#include <jansson.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/service/registry.h"
#include "lib/service/registry_doc.h"
#include "lib/service/registry_script.h"
#include "tests/unit/tap.h"

#define OWN_META \
	"\"Meta\":{\"pp\":\"1\",\"pp-node\":\"node1\",\"pp-cluster\":\"demo\"," \
	"\"pp-version\":\"v1\",\"pp-failed\":\"0\",\"pp-check\":\"0123\"}"
#define OWN "{\"Service\":\"slug\",\"Tags\":[\"demo\"]," OWN_META "}"

static struct health_check tcp = { .kind = HEALTH_TCP,
	.port = 1212,
	.interval_ms = 10000,
	.timeout_ms = 5000 };

static struct registration
registration_of(const struct health_check *check)
{
	return (struct registration){ "slug", "demo", "v1", "node1", 1212, 0, check };
}

static json_t *
rendered(const struct registration *w, const struct strv *script)
{
	AUTO_FREE char *text = registry_doc_render(w, script, "pp:slug:x");

	return json_loads(text, 0, NULL);
}

static const char *
at(const json_t *doc, const char *object, const char *name)
{
	return json_string_value(json_object_get(json_object_get(doc, object), name));
}

static void
test_render(void)
{
	struct registration w = registration_of(&tcp);
	json_auto_t *doc = rendered(&w, NULL), *failed = NULL, *ttl = NULL;
	struct health_check plain = { .interval_ms = 200000 };

	is(at(doc, "Check", "TCP"), "localhost:1212", "a TCP check");
	is(at(doc, "Check", "Interval"), "10000ms", "its interval");
	is(at(doc, "Check", "Status"), "passing", "is passing from the start");
	is(at(doc, "Meta", "pp-version"), "v1", "the version");
	is(json_string_value(json_array_get(json_object_get(doc, "Tags"), 0)), "demo", "the tag");
	w.failed = 1;
	failed = rendered(&w, NULL);
	is(at(failed, "Check", "Status"), "critical", "what failed is critical from the start");
	is(at(failed, "Meta", "pp-failed"), "1", "and says so");
	w = registration_of(&plain);
	ttl = rendered(&w, NULL);
	is(at(ttl, "Check", "TTL"), "600000ms", "a TTL of three intervals");
	ok(json_object_get(json_object_get(ttl, "Check"), "Interval") == NULL, "and no interval");
}

/* registry_same() of what is known as `known` says, when `w` is wanted. */
static int
same_as(const struct registered *known, const struct registration *w)
{
	return registry_same(known, w);
}

static void
test_same(void)
{
	struct registration w = registration_of(&tcp), other;
	AUTO_FREE char *digest = registry_doc_digest(&w);
	struct registered known = { .app = (char *)"slug",
		.cluster = (char *)"demo",
		.version = (char *)"v1",
		.node = (char *)"node1",
		.check = digest };
	struct health_check check = tcp;

	ok(same_as(&known, &w), "the same");
	ok(!same_as(NULL, &w), "not there is not the same");
	other = w;
	other.version = "v2";
	ok(!same_as(&known, &other), "another version");
	other = w;
	other.cluster = "other";
	ok(!same_as(&known, &other), "another cluster");
	other = w;
	other.node = "node2";
	ok(!same_as(&known, &other), "another node");
	other = w;
	other.port = 1213;
	ok(!same_as(&known, &other), "another port");
	other = w;
	other.failed = 1;
	ok(!same_as(&known, &other), "it has failed");
	known.failed = 1;
	ok(same_as(&known, &other), "it had failed before");
	known.failed = 0;
	known.foreign = 1;
	ok(!same_as(&known, &w), "somebody else's");
	known.foreign = 0;
	other = w;
	other.check = &check;
	ok(same_as(&known, &other), "an equal check");
	check.timeout_ms++;
	ok(!same_as(&known, &other), "another time-out");
	check = tcp;
	check.kind = HEALTH_HTTP;
	check.path = (char *)"/";
	ok(!same_as(&known, &other), "another kind of check");
}

static void
test_own_checks(void)
{
	AUTO_FREE char *ttl = registry_doc_ttl_id("slug"), *one = registry_doc_new_id("slug"),
		       *two = registry_doc_new_id("slug");

	is(ttl, "pp:slug:ttl", "the TTL check's name");
	ok(strcmp(one, two) != 0, "a new name each time");
	ok(registry_doc_is_own_check("slug", ttl) && registry_doc_is_own_check("slug", one),
	    "both are pp's");
	ok(!registry_doc_is_own_check("slug", "service:slug"), "Consul's own name is not");
	ok(!registry_doc_is_own_check("slug", "pp:slug2:ttl"), "another app's is not");
	ok(!registry_doc_is_own_check("slug2", "pp:slug:ttl"), "nor the other way round");
	ok(!registry_doc_is_own_check("slug", "pp:"), "nor the beginning of a name");
}

static int
take(const char *services, struct registry *r, struct err *e)
{
	AUTO_BUF struct buf b = { 0 };

	*r = (struct registry){ 0 };
	buf_add(&b, services, strlen(services));
	return registry_doc_take_services(&b, "node1", r, e);
}

static void
test_read(void)
{
	static const char *const bad[] = { "", "[]", "null", "{", "{\"a\":1,\"a\":2}", "\xff" };
	static const char checks[] =
	    "{\"_service_maintenance:slug\":{\"ServiceID\":\"slug\",\"Notes\":\"by hand\"},"
	    "\"pp:slug:ttl\":{\"ServiceID\":\"slug\",\"Type\":\"ttl\"},"
	    "\"other\":{\"ServiceID\":\"slug\"},\"odd\":7,\"serf\":{\"ServiceID\":\"\"}}";
	AUTO_BUF struct buf b = { 0 };
	struct err e = ERR_INIT;
	struct registry r;

	for (size_t i = 0; i < MEM_COUNT(bad); i++)
		ok(take(bad[i], &r, &e) < 0 && r.n == 0 && e.class == ERR_STORE,
		    "no such answer: %zu", i);
	ok(take("{\"slug\":" OWN "}", &r, &e) == 0 && r.n == 1 && !r.v[0].foreign, "pp's own");
	is(r.v[0].check, "0123", "its digest");
	is(r.v[0].cluster, "demo", "its cluster");
	buf_add(&b, checks, sizeof checks - 1);
	ok(registry_doc_take_checks(&b, &r, &e) == 0 && r.v[0].maintenance &&
		!r.v[0].maintained_by_pp && r.v[0].fed,
	    "in maintenance by somebody, and fed");
	is(r.v[0].check, "0123", "one check is as it should be");
	b.n = 0;
	buf_add(&b, "{}", 2);
	ok(registry_doc_take_checks(&b, &r, &e) == 0, "no checks at all");
	is(r.v[0].check, "", "is not as it should be");
	registry_release(&r);
}

static void
test_foreign(void)
{
	struct err e = ERR_INIT;
	struct registry r;

	ok(take("{\"slug\":{\"Service\":\"slug\",\"Tags\":null,\"Meta\":{}}}", &r, &e) == 0 &&
		r.v[0].foreign,
	    "not pp's");
	has(r.v[0].why, "did not register", "why");
	registry_release(&r);
	ok(take("{\"slug\":3}", &r, &e) == 0 && r.v[0].foreign, "no object");
	registry_release(&r);
	ok(take("{\"other\":" OWN "}", &r, &e) == 0 && r.v[0].foreign, "an id that is no name");
	registry_release(&r);
	ok(take("{\"slug\":{\"Service\":\"slug\",\"Meta\":{\"pp\":\"1\",\"pp-node\":\"node2\"}}}",
	       &r, &e) == 0 &&
		r.v[0].foreign,
	    "another node's");
	has(r.v[0].why, "each node needs a Consul agent of its own", "why");
	registry_release(&r);
	ok(take("{\"slug\":{\"Service\":\"slug\",\"Tags\":[\"x\"]," OWN_META "}}", &r, &e) == 0 &&
		!r.v[0].foreign && r.v[0].cluster[0] == '\0',
	    "without its tag it is not as it should be");
	registry_release(&r);
}

static void
test_feed(void)
{
	AUTO_FREE char *unknown = registry_doc_feed(HEALTH_UNKNOWN, "a\n\x1b[31m\"b\"");
	AUTO_BUF struct buf b = { 0 };
	AUTO_FREE char *text = NULL;
	json_auto_t *doc = NULL;

	is(unknown, "{\"Status\":\"critical\",\"Output\":\"a\\\\x0a\\\\x1b[31m\\\"b\\\"\"}",
	    "unknown is critical; the text is safe");
	for (int i = 0; i < 5000; i++)
		buf_add(&b, "\xc3\xa9", 2);
	text = registry_doc_feed(HEALTH_PASSING, b.data);
	doc = json_loads(text, 0, NULL);
	ok(json_string_length(json_object_get(doc, "Output")) <= REGISTRY_DOC_OUTPUT_MAX &&
		json_string_length(json_object_get(doc, "Output")) > 4000,
	    "as much as Consul keeps, and no half of a letter");
}

static void
test_script(void)
{
	char *argv_items[] = { (char *)"/data/slug/current/bin/check", (char *)"-q", NULL };
	char *public[] = { (char *)"PORT=1212", (char *)"PP_APP=slug", NULL };
	char *secret[] = { (char *)"PORT=1212", (char *)"PASSWORD=x", NULL };
	struct health_check c = { .kind = HEALTH_EXEC,
		.argv = { argv_items, 2 },
		.env = { public, 2 },
		.cwd = (char *)"/data/slug/current",
		.user = { .name = "slug", .uid = 1000, .gid = 1001 } };
	struct registration w = registration_of(&c);
	AUTO_STRV struct strv argv = { 0 }, own = { 0 };
	AUTO_FREE char *words = NULL, *plain = NULL, *shown = NULL, *digest = NULL, *other = NULL;
	json_auto_t *doc = NULL;

	ok(registry_script_command(&c, 1000, &own), "an agent of the app's user");
	words = strv_join(&own, " ");
	is(words,
	    "/usr/bin/env -i --chdir=/data/slug/current PORT=1212 PP_APP=slug "
	    "/data/slug/current/bin/check -q",
	    "runs it in a clean environment");
	ok(registry_script_command(&c, 0, &argv), "an agent of root");
	plain = strv_join(&argv, " ");
	has(plain,
	    "setpriv --reuid=1000 --regid=1001 --init-groups --inh-caps=-all -- /usr/bin/env",
	    "becomes the app's user before");
	doc = rendered(&w, &argv);
	ok(json_array_size(json_object_get(json_object_get(doc, "Check"), "Args")) == argv.n,
	    "it is a script check");
	is(at(doc, "Check", "Name"), "pp: /data/slug/current/bin/check",
	    "whose name shows no arguments");
	ok(!registry_script_command(&c, 105, &argv), "an agent of anybody else cannot");
	digest = registry_doc_digest(&w);
	c.env = (struct strv){ secret, 2 };
	ok(!registry_script_command(&c, 0, &argv), "what may be secret is in no arguments");
	other = registry_doc_digest(&w);
	secret[1] = (char *)"PASSWORD=y";
	shown = registry_doc_digest(&w);
	is(shown, other, "nor in the digest");
	ok(strcmp(digest, other) != 0, "another environment is another check");
}

static void
test_agent(void)
{
	uid_t uid;

	ok(!registry_script_agent("consul http://192.0.2.1:8500", &uid), "an agent elsewhere");
	ok(!registry_script_agent("consul http://127.0.0.1:1", &uid), "one that is not there");
	ok(!registry_script_agent("consul unix:///nonexistent", &uid), "nor on a socket");
	ok(!registry_script_agent("dir:/x", &uid), "no Consul");
}

int
main(void)
{
	test_render();
	test_same();
	test_own_checks();
	test_read();
	test_foreign();
	test_feed();
	test_script();
	test_agent();
	return done();
}
