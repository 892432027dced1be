/*
 * Writes and the conditions on them, in whichever store is the argument; without one, in a directory.
 *
 *     test_store [STORE]
 *     test_store STORE KEY CONDITION    write KEY on the condition that CONDITION is as it is read
 */
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fs/file.h"
#include "lib/store/store.h"
#include "tests/unit/tap.h"

static struct store *store;

/* The version of a document; 0: there is none. */
static uint64_t
version_of(const char *key)
{
	AUTO_ITEMS struct store_items items = { 0 };
	struct err e = ERR_INIT;
	const struct store_item *item;

	if (store_read(store, &key, 1, &items, &e) < 0)
		printf("# %s\n", e.msg);
	item = store_find(&items, key);
	return item ? item->version : 0;
}

static struct store_write
writing(const char *key, const char *value)
{
	return (struct store_write){ .key = key,
		.value = value,
		.len = value ? strlen(value) : 0,
		.version = version_of(key) };
}

static struct store_write
checking(const char *key, uint64_t version)
{
	return (struct store_write){ .key = key, .version = version, .check = 1 };
}

static void
happens(const struct store_write *writes, size_t n, const char *name)
{
	struct err e = ERR_INIT;

	if (!ok(store_write(store, writes, n, &e) == 0, "%s", name))
		printf("# %s\n", e.msg);
}

static void
is_lost(const struct store_write *writes, size_t n, const char *name)
{
	struct err e = ERR_INIT;
	uint64_t before = version_of("locks/a/b");

	ok(store_write(store, writes, n, &e) < 0 && e.class == ERR_BUSY, "%s", name);
	has(e.msg, "nothing was written, try again", "and that is said");
	ok(version_of("locks/a/b") == before, "nothing was written");
}

static void
test_question_alone(void)
{
	struct store_write absent = checking("clusters/a/b/config", 0);

	happens(&absent, 1, "that there is no such document");
	ok(version_of("pp/store") == 0, "a question gives the store no id");
}

static void
test_conditions(void)
{
	struct store_write pair[2], only = writing("clusters/a/b/config", "{\"min_nodes\":1}");
	uint64_t config, lock;

	happens(&only, 1, "a document is made");
	ok(version_of("pp/store") != 0, "the first write gives the store an id");
	config = version_of("clusters/a/b/config");
	pair[0] = checking("clusters/a/b/config", config);
	pair[1] = writing("locks/a/b", "{\"web1\":\"n1\"}");
	happens(pair, 2, "the condition holds");
	lock = version_of("locks/a/b");
	ok(lock != 0, "the other document is written");
	ok(version_of("clusters/a/b/config") == config, "the condition's is not");

	pair[0] = checking("clusters/a/b/config", config + 1);
	pair[1] = writing("locks/a/b", "{\"web1\":\"n2\"}");
	is_lost(pair, 2, "another version of it");
	pair[0] = checking("clusters/a/b/config", 0);
	is_lost(pair, 2, "there is one where none must be");
	pair[0] = checking("clusters/a/c/config", config);
	is_lost(pair, 2, "there is none where one must be");
	pair[0] = pair[1];
	pair[1] = checking("clusters/a/b/config", config + 1);
	is_lost(pair, 2, "a condition that comes last");

	pair[1] = checking("clusters/a/c/config", 0);
	happens(pair, 2, "there is none, and none must be");
	ok(version_of("locks/a/b") != lock, "so the other is written");
	ok(version_of("clusters/a/c/config") == 0, "and none is made");
}

/* A condition has no value of its own, whatever is left in the struct. */
static void
test_value_is_ignored(void)
{
	struct store_write pair[2] = { checking("clusters/a/b/config",
					   version_of("clusters/a/b/config")),
		writing("locks/a/b", NULL) };

	pair[0].value = "{\"min_nodes\":9}";
	pair[0].len = STORE_VALUE_MAX + 1;
	happens(pair, 2, "a removal on a condition");
	ok(version_of("locks/a/b") == 0, "it is gone");
	ok(version_of("clusters/a/b/config") == pair[0].version, "the condition's is as it was");
}

static void
test_questions(void)
{
	struct store_write pair[2] = { checking("clusters/a/b/config",
					   version_of("clusters/a/b/config")),
		checking("clusters/a/c/config", 0) };
	uint64_t id = version_of("pp/store");

	happens(pair, 2, "two questions, no write");
	ok(version_of("pp/store") == id, "the id is as it was");
	pair[1].version = 5;
	is_lost(pair, 2, "one of them is answered no");
}

static void
test_number(void)
{
	struct store_write many[STORE_WRITES_MAX + 1];
	struct err e = ERR_INIT;

	for (size_t i = 0; i <= STORE_WRITES_MAX; i++)
		many[i] = checking("clusters/a/c/config", 0);
	many[0] = writing("locks/a/b", "{}");
	happens(many, STORE_WRITES_MAX, "as many as go together");
	ok(store_write(store, many, STORE_WRITES_MAX + 1, &e) < 0 && e.class == ERR_DATA,
	    "one more is too many, conditions among them");
}

static int
write_once(const char *key, const char *condition)
{
	struct store_write pair[2] = { writing(key, "{}"),
		checking(condition, version_of(condition)) };
	struct err e = ERR_INIT;

	/* What may not be seen is there, in another version. */
	if (pair[1].version == 0 && store_absent(store, condition, &e) < 0)
		pair[1].version = 1;
	e = (struct err)ERR_INIT;
	if (store_write(store, pair, 2, &e) < 0)
		fprintf(stderr, "%s\n", e.msg);
	return err_exit_code(&e);
}

static int
run_all(void)
{
	test_question_alone();
	test_conditions();
	test_value_is_ignored();
	test_questions();
	test_number();
	return done();
}

int
main(int argc, char **argv)
{
	char dir[] = "/tmp/pp-test-store.XXXXXX";
	AUTO_FREE char *spec = NULL;
	struct err e = ERR_INIT;
	int r;

	if (argc < 2 && mkdtemp(dir) == NULL)
		return 2;
	spec = argc < 2 ? xasprintf("dir:%s/store", dir) : xstrdup(argv[1]);
	store = store_open(spec, STORE_MAKE, &e);
	if (store == NULL) {
		printf("# %s\n", e.msg);
		return 2;
	}
	r = argc == 4 ? write_once(argv[2], argv[3]) : run_all();
	store_free(store);
	if (argc < 2)
		(void)tree_remove(AT_FDCWD, dir, &e);
	return r;
}
