/* Documents to structs and back: what is taken, what is refused, how a change reads. */
#include "lib/intent/intent.h"
#include "lib/intent/edit.h"
#include "tests/unit/tap.h"

static json_t *
json(const char *text)
{
	json_error_t at;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &at);

	if (value == NULL)
		printf("# not JSON: %s: %s\n", text, at.text);
	return value;
}

/* --- parsing bytes */

static void
test_parse(void)
{
	static const char *const bad[] = { "", "[]", "1", "null", "{", "{\"a\":1,\"a\":2}", "{}x",
		"{\"a\":\"\xff\"}", "{'a':1}", "{\"a\":1,}" };
	struct err e = ERR_INIT;
	json_auto_t *good = intent_parse("k", "{\"a\": 1} \n", 10, &e);
	AUTO_FREE char *deep = xcalloc(20000, 1);

	ok(good != NULL, "an object is a document");
	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		e.class = ERR_NONE;
		ok(intent_parse("k", bad[i], strlen(bad[i]), &e) == NULL && e.class == ERR_DATA,
		    "no document: %s", bad[i]);
	}
	e.class = ERR_NONE;
	(void)!intent_parse("clusters/a/b/config", "{\n \"a\": 1,\n x}", 14, &e);
	has(e.msg, "clusters/a/b/config: line 3, column 2: ", "key, line and column are named");
	e.class = ERR_NONE;
	ok(intent_parse("k", "{\"a\":\"x\0y\"}", 11, &e) == NULL, "a NUL byte is none of JSON");
	ok(intent_parse("k", "{\"a\":\"x\\u0000y\"}", 16, &e) == NULL, "written out, neither");
	memset(deep, '[', 19999);
	ok(intent_parse("k", deep, 19999, &e) == NULL, "what is nested too deep is refused");
}

/* --- documents */

static void
takes(int (*take)(const json_t *, struct intent_app *, struct err *), const char *text,
    const char *refusal)
{
	struct intent_app app = { .name = xstrdup("slug") };
	json_auto_t *doc = json(text);
	struct err e = ERR_INIT;
	int r = take(doc, &app, &e);

	if (refusal == NULL) {
		if (!ok(r == 0, "taken: %s", text))
			printf("# %s\n", e.msg);
	} else {
		ok(r < 0 && e.class == ERR_DATA, "refused: %s", text);
		has(e.msg, refusal, "and told why");
	}
	intent_app_release(&app);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

static void
test_config(void)
{
	static const struct {
		const char *text, *refusal;
	} cases[] = {
		{ "{}", NULL },
		{ "{\"versions\":{}}", NULL },
		{ "{\"versions\":{\"a\":\"prep\",\"b\":\"prep\"}}", NULL },
		{ "{\"versions\":{\"1.2.3\":\"active\"},\"min_nodes\":2}", NULL },
		{ "{\"unknown\":[1,2]}", NULL },
		{ "{\"user_config\":null}", NULL },
		{ "{\"digests\":{\"a\":\"sha256:" HEX64 "\"}}", NULL },
		{ "{\"versions\":{\"a\":\"active\",\"b\":\"active\"}}", "only one" },
		{ "{\"versions\":{\"a\":\"Active\"}}", "active or prep" },
		{ "{\"versions\":{\"a\":true}}", "active or prep" },
		{ "{\"versions\":{\"a/b\":\"prep\"}}", "no version" },
		{ "{\"versions\":{\"\":\"prep\"}}", "no version" },
		{ "{\"versions\":{\"..\":\"prep\"}}", "no version" },
		{ "{\"versions\":[\"a\"]}", "versions" },
		{ "{\"versions\":null}", "versions" },
		{ "{\"min_nodes\":-1}", "min_nodes" },
		{ "{\"min_nodes\":\"2\"}", "min_nodes" },
		{ "{\"min_nodes\":1.5}", "min_nodes" },
		{ "{\"min_nodes\":1000001}", "min_nodes" },
		{ "{\"min_nodes\":null}", "min_nodes" },
		{ "{\"canary\":1}", NULL },
		{ "{\"canary\":10000,\"on_failure\":\"revert\"}", NULL },
		{ "{\"on_failure\":\"hold\"}", NULL },
		{ "{\"canary\":0}", "canary: it must be a whole number from 1 to 10000" },
		{ "{\"canary\":10001}", "canary" },
		{ "{\"canary\":\"2\"}", "canary" },
		{ "{\"canary\":1.5}", "canary" },
		{ "{\"canary\":null}", "canary" },
		{ "{\"on_failure\":\"rollback\"}", "on_failure: it must be hold or revert" },
		{ "{\"on_failure\":true}", "on_failure" },
		{ "{\"user_config\":[]}", "user_config" },
		{ "{\"user_config\":\"x\"}", "user_config" },
		{ "{\"digests\":{\"a\":\"" HEX64 "\"}}", "digests.a" },
		{ "{\"digests\":{\"a\":\"sha256:12\"}}", "digests.a" },
		{ "{\"digests\":{\"a\":\"sha256:" HEX64 "0\"}}", "digests.a" },
		{ "{\"digests\":[]}", "digests" },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++)
		takes(intent_take_config, cases[i].text, cases[i].refusal);
}

static void
test_config_values(void)
{
	struct intent_app app = { .name = xstrdup("slug") };
	json_auto_t *doc = json("{\"versions\":{\"b\":\"active\",\"a\":\"prep\"},\"min_nodes\":3,"
				"\"user_config\":{\"x\":1},\"digests\":{\"b\":\"sha256:" HEX64
				"\",\"gone\":\"sha256:" HEX64 "\"}}");
	struct err e = ERR_INIT;

	ok(intent_take_config(doc, &app, &e) == 0 && app.nversions == 2, "two versions");
	is(app.versions[0].id, "a", "sorted");
	is(intent_active(&app) ? intent_active(&app)->id : NULL, "b", "the active one is found");
	is(intent_active(&app) ? intent_active(&app)->digest : NULL, "sha256:" HEX64,
	    "its digest too");
	ok(app.versions[0].digest == NULL, "the other has none");
	ok(app.min_nodes == 3, "min_nodes");
	ok(app.canary == 1 && !app.reverts, "one canary, and no going back, unless stated");
	ok(json_integer_value(json_object_get(app.user_config, "x")) == 1, "user_config");
	intent_app_release(&app);
}

static void
test_user_names(void)
{
	static const char *const good[] = { "slug", "don", "_www", "a1", "1a", "user.name", "x-y",
		"Xavier", "0" };
	static const char *const bad[] = { "", "ALL", "ADMINS", "A", "A1", "A_B", "%ops", "#0",
		"+x", "-x", ".x", "a b", "a,b", "a:b", "a=b", "a(b)", "a\n", "a\\", "a!", "!a",
		"\xc3\xa4", "a\"", "a#", "a@b" };

	for (size_t i = 0; i < MEM_COUNT(good); i++)
		ok(intent_is_user_name(good[i]), "a user: %s", good[i]);
	for (size_t i = 0; i < MEM_COUNT(bad); i++)
		ok(!intent_is_user_name(bad[i]), "no user: number %zu", i);
}

static void
test_owners(void)
{
	static const char *const bad[] = { "{\"users\":\"x\"}", "{\"users\":[\"ALL\"]}",
		"{\"users\":[1]}", "{\"groups\":[\"a b\"]}", "{\"users\":[\"x\\nroot\"]}",
		"{\"groups\":{}}" };
	struct intent_owners owners = { 0 };
	json_auto_t *doc = json("{\"email\":1,\"users\":[\"xavier\",\"don\"],\"groups\":null}");
	struct err e = ERR_INIT;

	ok(intent_take_owners(doc, &owners, &e) == 0 && owners.stated && owners.users.n == 2 &&
		owners.groups.n == 0,
	    "users in their order, no groups");
	is(owners.users.items[0], "xavier", "the first one first");
	intent_owners_release(&owners);
	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		json_auto_t *wrong = json(bad[i]);
		struct intent_owners none = { 0 };

		ok(intent_take_owners(wrong, &none, &e) < 0 && e.class == ERR_DATA, "refused: %s",
		    bad[i]);
		intent_owners_release(&none);
	}
}

/* --- editing */

/* Apply the changes (";" between) to the documents in JSON and see what comes out, or why not. */
static void
edits(const char *before, const char *changes, const char *after)
{
	AUTO_DOCS struct edit_docs docs = { { NULL } };
	json_auto_t *from = json(before), *all = json_object(), *wanted = NULL;
	AUTO_STRV struct strv list = { 0 };
	struct err e = ERR_INIT;
	AUTO_FREE char *got = NULL;
	int r = 0;

	for (int d = 0; d < EDIT_DOCS; d++)
		docs.doc[d] =
		    json_deep_copy(json_object_get(from, edit_doc_name((enum edit_doc)d)));
	strv_split(&list, changes, ';');
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = edit_apply(&docs, list.items[i], &e);
	if (after[0] != '{') {
		ok(r < 0, "refused: %s", changes);
		has(e.msg, after, "and told why");
		return;
	}
	for (int d = 0; d < EDIT_DOCS; d++)
		if (docs.doc[d] != NULL)
			(void)json_object_set(all, edit_doc_name((enum edit_doc)d), docs.doc[d]);
	got = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
	wanted = json(after);
	if (!ok(r == 0 && json_equal(all, wanted), "%s", changes))
		printf("# %s\n#    got: %s\n# wanted: %s\n", e.msg, got, after);
}

static void
test_edit(void)
{
	edits("{}", "versions=abc:prep,def:active",
	    "{\"config\":{\"versions\":{\"abc\":\"prep\",\"def\":\"active\"}}}");
	edits("{\"config\":{\"versions\":{\"a\":\"active\",\"b\":\"prep\"}}}", "versions.b=active",
	    "{\"config\":{\"versions\":{\"a\":\"prep\",\"b\":\"active\"}}}");
	edits("{\"config\":{\"versions\":{\"a\":\"active\"}}}", "versions.a=active",
	    "{\"config\":{\"versions\":{\"a\":\"active\"}}}");
	edits("{\"config\":{\"versions\":{\"a\":\"active\"}}}", "versions.1.2.3=prep",
	    "{\"config\":{\"versions\":{\"a\":\"active\",\"1.2.3\":\"prep\"}}}");
	edits(
	    "{\"config\":{\"versions\":{\"a\":\"prep\"},\"digests\":{\"a\":\"x\",\"b\":\"y\"},\"k\":1}}",
	    "versions.a-", "{\"config\":{\"versions\":{},\"digests\":{\"b\":\"y\"},\"k\":1}}");
	edits("{}", "versions=", "{\"config\":{\"versions\":{}}}");
	edits("{}", "digests=a:sha256:00", "{\"config\":{\"digests\":{\"a\":\"sha256:00\"}}}");
	edits("{}", "min_nodes=2", "{\"config\":{\"min_nodes\":2}}");
	edits("{}", "ports=1212,1231,53/udp,8000-8010,80/tcp,1-2/udp",
	    "{\"deploy_config\":{\"ports\":[1212,1231,{\"port\":53,\"protocol\":\"udp\"},\"8000-8010\",80,"
	    "{\"port\":\"1-2\",\"protocol\":\"udp\"}]}}");
	edits("{}", "ports=", "{\"deploy_config\":{\"ports\":[]}}");
	edits("{}", "basedir=/data/a=b", "{\"deploy_config\":{\"basedir\":\"/data/a=b\"}}");
	edits("{}", "stop_timeout=30;drain=1m",
	    "{\"deploy_config\":{\"stop_timeout\":30,\"drain\":\"1m\"}}");
	edits("{}", "users=xavier,don;groups=ops;email=x@y",
	    "{\"owners\":{\"users\":[\"xavier\",\"don\"],\"groups\":[\"ops\"],\"email\":\"x@y\"}}");
	edits("{}", "user_config.some_value=hello",
	    "{\"config\":{\"user_config\":{\"some_value\":\"hello\"}}}");
	edits("{}", "user_config.a.b=1;user_config.a.c:=1",
	    "{\"config\":{\"user_config\":{\"a\":{\"b\":\"1\",\"c\":1}}}}");
	edits("{\"config\":{\"user_config\":{\"a\":{\"b\":1,\"c\":2}}}}", "user_config.a.b-",
	    "{\"config\":{\"user_config\":{\"a\":{\"c\":2}}}}");
	edits("{\"config\":{\"user_config\":{\"a\":1}}}", "user_config.x.y-;user_config-",
	    "{\"config\":{}}");
	edits("{}", "user_config:={\"x\":[1,{\"y\":null}]}",
	    "{\"config\":{\"user_config\":{\"x\":[1,{\"y\":null}]}}}");
	edits("{}", "min_nodes-", "{}");
	edits("{\"config\":{\"k\":1},\"owners\":{\"k\":2}}", "min_nodes=1",
	    "{\"config\":{\"k\":1,\"min_nodes\":1},\"owners\":{\"k\":2}}");
}

static void
test_edit_parts(void)
{
	edits("{}", "canary=2;on_failure=revert",
	    "{\"config\":{\"canary\":2,\"on_failure\":\"revert\"}}");
	edits("{}", "settle=10;restart=never;supervisor=systemd",
	    "{\"deploy_config\":{\"settle\":10,\"restart\":\"never\",\"supervisor\":\"systemd\"}}");
	edits("{}", "check.http=/health;check.port=8080;check.interval=30;check.timeout=500ms",
	    "{\"deploy_config\":{\"check\":{\"http\":\"/health\",\"port\":8080,\"interval\":30,"
	    "\"timeout\":\"500ms\"}}}");
	edits("{}", "check.tcp=true", "{\"deploy_config\":{\"check\":{\"tcp\":true}}}");
	edits("{}", "check.tcp=1212", "{\"deploy_config\":{\"check\":{\"tcp\":1212}}}");
	edits("{}", "check.exec:=[\"bin/mine\",\"-q\"]",
	    "{\"deploy_config\":{\"check\":{\"exec\":[\"bin/mine\",\"-q\"]}}}");
	edits("{\"deploy_config\":{\"check\":{\"tcp\":1,\"interval\":5}}}", "check.interval-",
	    "{\"deploy_config\":{\"check\":{\"tcp\":1}}}");
	edits("{\"deploy_config\":{\"check\":{\"tcp\":1}}}", "check-", "{\"deploy_config\":{}}");
	edits("{}", "limits.memory=512M;limits.nofile=4096;limits.cpu=1h;limits.tasks=0100",
	    "{\"deploy_config\":{\"limits\":{\"memory\":\"512M\",\"nofile\":4096,\"cpu\":\"1h\","
	    "\"tasks\":\"0100\"}}}");
	edits("{}", "limits.memory=1073741824",
	    "{\"deploy_config\":{\"limits\":{\"memory\":1073741824}}}");
	edits("{}", "env.DEBUG=1;env.A=x=y;env.B=;env.C=true",
	    "{\"deploy_config\":{\"env\":{\"DEBUG\":\"1\",\"A\":\"x=y\",\"B\":\"\",\"C\":\"true\"}}}");
	edits("{\"deploy_config\":{\"env\":{\"A\":\"1\",\"B\":\"2\"}}}", "env.A-",
	    "{\"deploy_config\":{\"env\":{\"B\":\"2\"}}}");
}

static void
test_edit_refusals(void)
{
	edits("{}", "nonsense=1", "no such key");
	edits("{}", "version=a:active", "no such key");
	edits("{}", "=1", "no such key");
	edits("{}", "versions", "key=value");
	edits("{}", "-", "key=value");
	edits("{}", "versions=abc", "id:value");
	edits("{}", "versions=a:prep,a:active", "twice");
	edits("{}", "min_nodes=-1", "whole number");
	edits("{}", "min_nodes=two", "whole number");
	edits("{}", "min_nodes=", "whole number");
	edits("{}", "min_nodes.x=1", "no parts");
	edits("{}", "restart.x=1", "no parts");
	edits("{}", "canary=few", "whole number");
	edits("{}", "check=/health", "check: it has parts; write check.NAME=value");
	edits("{}", "env=A:1", "env: it has parts");
	edits("{}", "limits.memory=\xff", "UTF-8");
	edits("{}", "ports:=[1", "not JSON");
	edits("{}", "ports:={\"a\":1,\"a\":2}", "not JSON");
	edits("{}", "user_config.=1", "empty");
	edits("{}", "user_config.a..b=1", "empty");
	edits("{}", "basedir=\xff", "UTF-8");
}

static void
checks(const char *before, const char *after, const char *refusal)
{
	AUTO_DOCS struct edit_docs old = { { NULL } }, now = { { NULL } };
	json_auto_t *a = json(before), *b = json(after);
	struct err e = ERR_INIT;
	int r;

	old.doc[EDIT_CONFIG] = json_incref(a);
	now.doc[EDIT_CONFIG] = json_incref(b);
	r = edit_check(&old, &now, "slug", "demo", &e);
	if (refusal == NULL) {
		ok(r == 0, "%s may become %s", before, after);
		return;
	}
	ok(r < 0 && e.class == ERR_DATA, "%s may not become %s", before, after);
	has(e.msg, "slug/demo: ", "which app is named");
	has(e.msg, refusal, "and why");
}

static void
test_check(void)
{
	checks("{}", "{\"versions\":{\"a\":\"active\"}}", NULL);
	checks("{\"versions\":{\"a\":\"active\"}}", "{\"versions\":{\"a\":\"prep\"}}", NULL);
	checks("{\"versions\":{\"a\":\"active\"}}", "{\"versions\":{\"b\":\"active\"}}", NULL);
	checks("{\"versions\":{\"a\":\"prep\"}}", "{\"versions\":{}}", NULL);
	checks("{\"versions\":{\"a\":\"active\"}}", "{\"versions\":{}}", "active version");
	checks("{\"versions\":{\"a\":\"active\"}}", "{}", "active version");
	checks("{\"versions\":{\"a\":\"active\"}}", "{\"versions\":{\"b\":\"prep\"}}",
	    "active version");
	checks("{}", "{\"versions\":{\"a\":\"active\",\"b\":\"active\"}}", "only one");
}

/* --- showing */

static const char everything[] =
    "{\"config\":{\"canary\":3,\"digests\":{\"b\":\"sha256:" HEX64 "\"},\"min_nodes\":2,"
    "\"user_config\":{\"bool\":true,\"empty\":{},\"float\":1.5,\"list\":[1,\"a\"],\"nested\":{\"deep\":"
    "{\"er\":\"x\"}},\"null\":null,\"number-like\":\"12\",\"blank\":\" x\",\"none\":\"\",\"lines\":"
    "\"a\\nb\",\"json-like\":\"[1]\",\"quote\":\"say \\\"hi\\\"\",\"eq\":\"a=b\","
    "\"uml\":\"\\u00fc\"},"
    "\"versions\":{\"1.2.3\":\"prep\",\"b\":\"active\"}},"
    "\"deploy_config\":{\"basedir\":\"/data/slug\",\"drain\":5,\"ports\":[1212,{\"port\":53,\"protocol\":"
    "\"udp\"}],\"stop_timeout\":\"1m\"},"
    "\"owners\":{\"email\":\"a@b\",\"groups\":[],\"users\":[\"xavier\",\"don\"]}}";

/* What get prints, set takes, and the documents are the same again. */
static void
round_trip(const char *text)
{
	AUTO_DOCS struct edit_docs docs = { { NULL } }, again = { { NULL } };
	AUTO_LEAVES struct edit_leaves leaves = { 0 };
	json_auto_t *all = json(text);
	struct err e = ERR_INIT;

	ok(edit_from_json(all, &docs, &e) == 0, "documents of JSON");
	edit_flatten(&docs, &leaves);
	for (size_t i = 0; i < leaves.n; i++) {
		AUTO_FREE char *line = edit_show_leaf(&leaves.v[i]);

		ok(edit_apply(&again, line, &e) == 0 && strchr(line, '\n') == NULL, "%s", line);
	}
	for (int d = 0; d < EDIT_DOCS; d++) {
		int same = docs.doc[d] == NULL ? again.doc[d] == NULL :
						 json_equal(docs.doc[d], again.doc[d]);

		ok(same, "%s is the same again", edit_doc_name((enum edit_doc)d));
	}
}

static void
test_round_trip(void)
{
	round_trip(everything);
	round_trip(
	    "{\"deploy_config\":{\"check\":{\"exec\":[\"a\",\"b\"],\"interval\":\"2s\"},\"env\":{"
	    "\"A\":\"12\",\"B\":\"\",\"C\":\"x y\",\"D\":\"007\",\"E\":\"true\"},"
	    "\"limits\":{\"cpu\":\"007\",\"memory\":\"1\",\"nofile\":9,\"tasks\":true}}}");
	round_trip("{\"deploy_config\":{\"check\":{\"tcp\":true},\"env\":{},\"limits\":[]}}");
	round_trip(
	    "{\"deploy_config\":{\"check\":{\"tcp\":\"true\"},\"env\":[1],\"restart\":\"7\"}}");
	round_trip("{\"config\":{\"user_config\":{\"a.b\":1,\"a\":{\"c\":2}}}}");
	round_trip("{\"config\":{\"user_config\":{\"a=b\":1,\"c:\":\"x\",\"\":2}}}");
	round_trip("{\"config\":{\"user_config\":{\"x\":{\"y.z\":[1]}}}}");
	round_trip("{\"config\":{\"user_config\":{},\"versions\":{}},\"owners\":{\"users\":[]}}");
	round_trip(
	    "{\"deploy_config\":{\"basedir\":\"/a\",\"ports\":[\"8000-8010\",{\"port\":53,\"protocol\":"
	    "\"udp\",\"from\":[\"10.0.0.0/8\"]}]}}");
}

static void
test_diff(void)
{
	const struct edit_look plain = { 0 };
	AUTO_DOCS struct edit_docs a = { { NULL } }, b = { { NULL } };
	AUTO_BUF struct buf diff = { 0 }, same = { 0 };
	json_auto_t *from =
	    json("{\"config\":{\"versions\":{\"a\":\"active\",\"b\":\"prep\"},\"min_nodes\":1},"
		 "\"owners\":{\"users\":[\"x\"]}}");
	json_auto_t *to =
	    json("{\"config\":{\"versions\":{\"a\":\"prep\",\"b\":\"active\",\"c\":\"prep\"}},"
		 "\"deploy_config\":{\"basedir\":\"/a\"},\"owners\":{\"users\":[\"x\",\"y\"]}}");
	struct err e = ERR_INIT;

	(void)edit_from_json(from, &a, &e);
	(void)edit_from_json(to, &b, &e);
	ok(edit_diff(&a, &b, &plain, &diff) == 6, "six lines");
	is(diff.data,
	    "min_nodes: 1 -> (none)\nversions.a: active -> prep\nversions.b: prep -> active\n"
	    "versions.c: (none) -> prep\nbasedir: (none) -> /a\nusers: x -> x,y\n",
	    "how it reads");
	ok(edit_diff(&a, &a, &plain, &same) == 0 && same.n == 0, "nothing differs from itself");
}

static void
test_find(void)
{
	AUTO_DOCS struct edit_docs docs = { { NULL } };
	json_auto_t *all = json(everything);
	struct err e = ERR_INIT;

	(void)edit_from_json(all, &docs, &e);
	is(json_string_value(edit_find(&docs, "versions.1.2.3")), "prep",
	    "a name with dots is found");
	is(json_string_value(edit_find(&docs, "user_config.nested.deep.er")), "x",
	    "and one in depth");
	is(json_string_value(edit_find(&docs, "basedir")), "/data/slug",
	    "and one of deploy_config");
	ok(edit_find(&docs, "nonsense") == NULL && edit_find(&docs, "versions.1") == NULL &&
		edit_find(&docs, "") == NULL && edit_find(&docs, ".") == NULL,
	    "what is not there is not");
}

static void
test_from_json(void)
{
	static const char *const bad[] = { "{\"config\":[]}", "{\"owners\":1}",
		"{\"nonsense\":1}" };
	AUTO_DOCS struct edit_docs docs = { { NULL } };
	json_auto_t *bare = json("{\"versions\":{\"a\":\"prep\"},\"basedir\":\"/a\"}");
	struct err e = ERR_INIT;

	ok(edit_from_json(bare, &docs, &e) == 0 && docs.doc[EDIT_CONFIG] != NULL &&
		docs.doc[EDIT_DEPLOY_CONFIG] != NULL && docs.doc[EDIT_OWNERS] == NULL,
	    "bare keys go to their documents");
	for (size_t i = 0; i < MEM_COUNT(bad); i++) {
		AUTO_DOCS struct edit_docs none = { { NULL } };
		json_auto_t *wrong = json(bad[i]);

		ok(edit_from_json(wrong, &none, &e) < 0 && e.class == ERR_DATA, "refused: %s",
		    bad[i]);
	}
}

int
main(void)
{
	test_parse();
	test_config();
	test_config_values();
	test_user_names();
	test_owners();
	test_edit();
	test_edit_parts();
	test_edit_refusals();
	test_check();
	test_round_trip();
	test_diff();
	test_find();
	test_from_json();
	return done();
}
