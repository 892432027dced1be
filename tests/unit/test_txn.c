/*
 * The quick reader of Consul's answers: it takes the plain form whole, and leaves the rest alone.
 */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/store/txn.h"
#include "tests/unit/tap.h"

#define DOCUMENT \
	"{\"KV\":{\"LockIndex\":0,\"Key\":\"a/b\",\"Flags\":0,\"Value\":\"e30=\",\"CreateIndex\":5," \
	"\"ModifyIndex\":7}}"
#define REST ",\"Errors\":null,\"Index\":0,\"LastContact\":0,\"KnownLeader\":true}"

static int
note(void *arg, const struct txn_entry *entry, struct err *e)
{
	struct buf *seen = arg;

	(void)e;
	buf_printf(seen, "%s=%s@%llu ", entry->key, entry->value ? entry->value : "null",
	    (unsigned long long)entry->index);
	return strcmp(entry->key, "refuse") == 0 ? -1 : 0;
}

/* The result of a scan of a copy that ends where the text ends; and nothing of it may be changed. */
static int
scan(const char *text, struct buf *seen)
{
	AUTO_FREE char *body = xstrdup(text);
	struct err e = ERR_INIT;
	int r;

	seen->n = 0;
	buf_add(seen, "", 0);
	r = txn_scan(body, strlen(text), note, seen, &e);
	return strcmp(body, text) == 0 ? r : -2;
}

static void
test_plain(void)
{
	AUTO_BUF struct buf seen = { 0 };

	ok(scan("{\"Results\":[" DOCUMENT "," DOCUMENT "]" REST, &seen) == 1 &&
		strcmp(seen.data, "a/b=e30=@7 a/b=e30=@7 ") == 0,
	    "an answer as Consul writes it");
	ok(scan("{\n  \"Results\" : [\n\t{ \"KV\" : { \"ModifyIndex\" : 999999999999999999 ,\r\n"
		"\"Value\" : null , \"Key\" : \"x\" } } ] ,\n \"KnownLeader\": true }\n\n",
	       &seen) == 1 &&
		strcmp(seen.data, "x=null@999999999999999999 ") == 0,
	    "with blanks, in another order, with less in it");
	ok(scan("{\"Results\":[]" REST, &seen) == 1 && seen.n == 0, "an empty one");
	ok(scan("{\"Results\":null" REST, &seen) == 1, "an empty one that is null");
	ok(scan("{\"Results\":[{\"KV\":{\"Key\":\"refuse\",\"Value\":null,\"ModifyIndex\":1}}]}",
	       &seen) == -1,
	    "who takes it may refuse");
}

static void
test_left_alone(void)
{
	static const char *const texts[] = { "", "{", "[]", "x", "{}", "{\"Results\":[]",
		"{\"Results\":[]}x", "{\"Results\":[]}{}", "{\"Results\":[],}",
		"{\"Results\":[],\"Results\":[]}", "{\"Results\":{}}", "{\"Results\":[{}]}",
		"{\"Results\":[null]}", "{\"Results\":[" DOCUMENT ",]" REST,
		"{\"Results\":[" DOCUMENT DOCUMENT "]" REST, "{\"Results\":[" DOCUMENT,
		"{\"Results\":[],\"KnownLeader\":false}", "{\"Results\":[],\"Errors\":[]}",
		"{\"Results\":[],\"Errors\":[{\"What\":\"x\"}]}", "{\"Results\":[],\"More\":1}",
		"{\"Results\":[],\"Index\":01}", "{\"Results\":[],\"Index\":-1}",
		"{\"Results\":[],\"Index\":1.5}", "{\"Results\":[],\"Index\":1e5}",
		"{\"Results\":[],\"Index\":1234567890123456789}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a\",\"Value\":null}}]}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a\",\"Key\":\"b\",\"Value\":null,\"ModifyIndex\":1}}]}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a\\u0062\",\"Value\":null,\"ModifyIndex\":1}}]}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a\xc3\xa9\",\"Value\":null,\"ModifyIndex\":1}}]}",
		"{\"Results\":[{\"KV\":{\"Key\":5,\"Value\":null,\"ModifyIndex\":1}}]}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a\",\"Value\":{},\"ModifyIndex\":1}}]}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a\",\"Value\":null,\"ModifyIndex\":1},\"KV\":1}]}",
		"{\"Results\":[{\"KV\":{\"Key\":\"a" };
	AUTO_BUF struct buf seen = { 0 };

	for (size_t i = 0; i < MEM_COUNT(texts); i++)
		ok(scan(texts[i], &seen) == 0, "left to the general parser: %.60s", texts[i]);
}

/* Wherever an answer is cut off, it is not taken for a whole one. */
static void
test_cut(void)
{
	static const char whole[] = "{\"Results\":[" DOCUMENT "]" REST;
	AUTO_BUF struct buf seen = { 0 };
	size_t taken = 0;

	for (size_t n = 0; n < sizeof whole - 1; n++) {
		AUTO_FREE char *part = xmemdup(whole, n);

		taken += scan(part, &seen) != 0;
	}
	ok(taken == 0, "no beginning of an answer is a whole one");
}

int
main(void)
{
	test_plain();
	test_left_alone();
	test_cut();
	return done();
}
