/* Deltas of documents, undone and redone; what is masked; where a path leads to in a text. */
#include <stdlib.h>

#include "lib/intent/change.h"
#include "lib/intent/check.h"
#include "lib/intent/patch.h"
#include "lib/intent/secret.h"
#include "tests/unit/tap.h"

#define ROUNDS 20000

/* A number that is the same in every run. */
static unsigned
draw(unsigned below)
{
	static unsigned long long state = 1;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(state >> 33) % below;
}

/* Few names, some that want escaping, so that two values often meet. */
static json_t *
random_value(int depth)
{
	static const char *const names[] = { "a", "b", "", "a/b", "~", "~1", "a.b", "user_config" };
	json_t *value;

	switch (draw(depth > 0 ? 6 : 4)) {
	case 0:
		return json_integer(draw(2));
	case 1:
		return json_null();
	case 2:
		return json_string(names[draw(8)]);
	case 3:
		value = json_array();
		for (unsigned n = draw(3); n > 0; n--)
			(void)json_array_append_new(value, json_integer(draw(2)));
		return value;
	default:
		value = json_object();
		for (unsigned n = draw(4); n > 0; n--)
			(void)json_object_set_new(value, names[draw(8)], random_value(depth - 1));
		return value;
	}
}

static json_t *
random_doc(void)
{
	json_t *doc;

	if (draw(8) == 0)
		return NULL;
	do {
		doc = random_value(3);
		if (json_is_object(doc))
			return doc;
		json_decref(doc);
	} while (1);
}

static int
same(const json_t *a, const json_t *b)
{
	return a == NULL || b == NULL ? a == b : json_equal(a, b);
}

static void
test_there_and_back(void)
{
	int undone = 0, redone = 0, elided = 0, empty = 0;

	for (int i = 0; i < ROUNDS; i++) {
		json_auto_t *a = random_doc(), *b = random_doc();
		json_auto_t *delta = patch_delta(a, b);
		json_t *back = json_deep_copy(b), *forth = json_deep_copy(a);
		json_t *again = json_deep_copy(a);
		struct err e = ERR_INIT;

		empty += (json_array_size(delta) == 0) == same(a, b);
		undone += patch_undo(&back, delta, &e) == 0 && same(back, a);
		redone += patch_redo(&forth, delta, NULL, &e) == 0 && same(forth, b);
		patch_elide(delta);
		json_decref(back);
		back = json_deep_copy(b);
		elided += patch_undo(&back, delta, &e) == 0 && same(back, a) &&
		    patch_redo(&again, delta, b, &e) == 0 && same(again, b);
		json_decref(back);
		json_decref(forth);
		json_decref(again);
	}
	ok(empty == ROUNDS, "there is a delta just where documents differ");
	ok(undone == ROUNDS, "a delta is undone");
	ok(redone == ROUNDS, "and redone");
	ok(elided == ROUNDS, "without the new values, too");
}

static void
test_secrets(void)
{
	static const char *const yes[] = { "password", "DB_PASSWD", "apiKey", "token", "x-secret-y",
		"credentials", "private", "pass", "sshkey", "PWD" };
	static const char *const no[] = { "host", "user", "", "path", "compass", "p" };
	json_auto_t *doc = json_pack("{s:{s:s,s:[{s:s,s:i}]},s:s}", "user_config", "host", "h",
	    "list", "token", "t", "n", 1, "secret", "kept");
	json_auto_t *masked = secret_mask(doc, "");
	AUTO_FREE char *text = json_dumps(masked, JSON_COMPACT | JSON_SORT_KEYS);

	for (size_t i = 0; i < MEM_COUNT(yes); i++)
		ok(secret_is_name(yes[i], strlen(yes[i])), "secret: %s", yes[i]);
	for (size_t i = 0; i < MEM_COUNT(no); i++)
		ok(!secret_is_name(no[i], strlen(no[i])), "no secret: %s", no[i]);
	is(text,
	    "{\"secret\":\"kept\",\"user_config\":{\"host\":\"h\",\"list\":[{\"n\":1,\"token\":\"(secret)\"}]}}",
	    "masked below user_config, and there only");
	ok(secret_is_path("user_config.a.token.b") && !secret_is_path("user_config.a") &&
		!secret_is_path("versions.token"),
	    "paths of a diff");
}

static void
locates(const char *text, const char *path, int line, int column)
{
	AUTO_STRV struct strv parts = { 0 };
	int l, c;

	if (path[0] != '\0')
		strv_split(&parts, path, '|');
	check_locate(text, strlen(text), &parts, &l, &c);
	if (!ok(l == line && c == column, "where %s is in %s", path, text))
		printf("#    got: %d:%d\n# wanted: %d:%d\n", l, c, line, column);
}

static void
test_locate(void)
{
	locates(" \n {\"a\": 1}", "", 2, 2);
	locates("{\"a\": 1, \"b\": {\"c\": [1, {}, \"x\"]}}", "b|c|[2]", 1, 29);
	locates("{\"a\": 1, \"b\": {\"c\": [1, {}, \"x\"]}}", "b|c|[9]", 1, 16);
	locates("{\"a\":{\"x\":1},\"b\":[{\"a\":2},3],\"a b\":4}", "a b", 1, 30);
	locates("{\"\\u00fc\": 1,\n\"\xc3\xbc\": 1, \"z\": 2}", "z", 2, 9);
	locates("{\"a\\\"}\": \"}\\\\\", \"k\": 1}", "k", 1, 17);
	locates("{\"a\": 1}", "nope", 1, 1);
	/* What is no JSON is no reason to read beyond its end. */
	locates("{\"a\": [", "a|[3]", 1, 2);
	locates("{\"a", "a", 1, 1);
	locates("", "a", 1, 1);
}

static void
test_keys(void)
{
	static const char *const good[] = { "nodes/web1/slug", "owners/slug",
		"clusters/slug/production/config", "clusters/slug/production/deploy_config" };
	static const char *const bad[] = { "", "/", "nodes", "nodes/web1", "nodes/web1/slug/x",
		"nodes//slug", "owners/..", "owners/a b", "clusters/a/b", "clusters/a/b/other",
		"clusters/a/../config", "pp/store", "history/a/b/1", "locks/a/b", "Owners/a" };
	struct change_key k;

	for (size_t i = 0; i < MEM_COUNT(good); i++)
		ok(change_parse_key(good[i], &k) == 0, "a key of intent: %s", good[i]);
	for (size_t i = 0; i < MEM_COUNT(bad); i++)
		ok(change_parse_key(bad[i], &k) < 0, "none: \"%s\"", bad[i]);
}

int
main(void)
{
	test_there_and_back();
	test_secrets();
	test_locate();
	test_keys();
	return done();
}
