/*
 * The store in a directory: PATH/<key>.json.
 *
 * Writers hold an exclusive lock on PATH/.lock, readers a shared one (none where there is no such
 * file: nothing of pp ever wrote there). A transaction is first written whole to PATH/.journal; from
 * the rename that puts it there it has happened. Readers that find a journal believe it before the
 * files, and the next writer finishes it: a crash in between is never half a change.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/fs/file.h"
#include "lib/fs/path.h"
#include "lib/store/engine.h"

#define JOURNAL ".journal"
#define JOURNAL_MAX (STORE_VALUE_MAX * 2 * (STORE_WRITES_MAX + 1))
#define LOCK_WAIT_MS 10000
#define POLL_MS 250
#define DEPTH_MAX 8

struct dir_store {
	struct store base;
	char *path;
	int make;       /* that it is not there means that it is empty */
	int root, held; /* between begin and end: the directory, and the lock where there is one */
};

/* Take the lock; *fd stays -1 where there is none to take. */
static int
lock(struct dir_store *s, int root, int operation, int *fd, struct err *e)
{
	int64_t end = clock_now_ms() + clock_bound_ms(LOCK_WAIT_MS);
	int flags = operation == LOCK_EX ? O_CREAT : 0;

	*fd = openat(root, ".lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0644);
	if (*fd < 0 && errno == ENOENT && operation == LOCK_SH)
		return 0;
	if (*fd < 0)
		return err_sys(e, "open %s/.lock", s->path);
	while (flock(*fd, operation | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "lock %s/.lock", s->path);
		if (clock_now_ms() >= end)
			return err_set(e, ERR_BUSY, "%s is locked by another program; try again",
			    s->base.url);
		clock_sleep_ms(5);
	}
	return 0;
}

static int
open_root(struct dir_store *s, struct err *e)
{
	int root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root >= 0)
		return root;
	err_sys(e, "%s", s->base.url);
	if (e->class != ERR_PERM)
		e->class = ERR_STORE;
	return -1;
}

/*
 * A checkout that git is updating right now shows neither the old intent nor the new. The store may be
 * anywhere in one.
 */
static int
check_git(struct dir_store *s, struct err *e)
{
	AUTO_FREE char *top = xstrdup(s->path);

	for (char *slash = top + strlen(top); slash != NULL; slash = strrchr(top, '/')) {
		AUTO_FREE char *lock_file = NULL;

		*slash = '\0';
		lock_file = xasprintf("%s/.git/index.lock", top);
		if (access(lock_file, F_OK) == 0)
			return err_set(e, ERR_STORE,
			    "%s is being updated by git; if no git runs, remove %s", s->base.url,
			    lock_file);
	}
	return 0;
}

static int
as_store_error(struct dir_store *s, struct err *e)
{
	if (e->class == ERR_FAIL)
		e->class = ERR_STORE;
	return err_wrap(e, "%s", s->base.url);
}

/* Does a directory on the way to the key (or prefix) not lead anywhere? That is no statement. */
static int
is_dangling(int root, const char *key)
{
	for (const char *end = strchr(key, '/'); end != NULL; end = strchr(end + 1, '/')) {
		AUTO_FREE char *path = xmemdup(key, (size_t)(end - key));
		struct stat st;

		if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		if (fstatat(root, path, &st, 0) < 0)
			return 1;
	}
	return 0;
}

static int
read_key(int root, const char *key, struct store_items *items, struct err *e)
{
	AUTO_FREE char *file = xasprintf("%s.json", key);
	AUTO_BUF struct buf value = { 0 };
	struct err why = ERR_INIT;
	int r = file_read(root, file, STORE_VALUE_MAX, &value, &why);

	if (r > 0 && is_dangling(root, key))
		store_items_add_fault(items, key,
		    "a directory on the way to it is a link to nowhere");
	if (r == 0)
		store_items_add(items, key, value.data, value.n, hash_bytes(value.data, value.n));
	/* An I/O error casts doubt on all; what is wrong with one document, on that one. */
	if (r < 0 && errno == EIO) {
		*e = why;
		return -1;
	}
	if (r < 0)
		store_items_add_fault(items, key, why.msg);
	return 0;
}

/* Everything below prefix ("nodes/web1/"); names that cannot be keys are not ours to read. */
static int
read_tree(int root, const char *prefix, int depth, struct store_items *items, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	AUTO_CLOSE int dir = -1;

	dir = openat(root, prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		int number = errno;

		if (number == ENOENT && !is_dangling(root, prefix))
			return 0;
		errno = number;
		return err_sys(e, "open %s", prefix);
	}
	if (dir_list(dir, &names, e) < 0)
		return err_wrap(e, "%s", prefix);
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *key = NULL;
		const char *name = names.items[i];
		size_t n = strlen(name);
		struct stat st;

		if (name[0] == '.')
			continue;
		if (fstatat(dir, name, &st, 0) == 0 && S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			key = xasprintf("%s%s/", prefix, name);
			if (read_tree(root, key, depth + 1, items, e) < 0)
				return -1;
		} else if (n > 5 && strcmp(name + n - 5, ".json") == 0) {
			key = xasprintf("%s%.*s", prefix, (int)(n - 5), name);
			if (read_key(root, key, items, e) < 0)
				return -1;
		}
	}
	return 0;
}

static int
is_wanted(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(keys[i]);

		if (strcmp(key, keys[i]) == 0 ||
		    (len > 0 && keys[i][len - 1] == '/' && strncmp(key, keys[i], len) == 0))
			return 1;
	}
	return 0;
}

static void
items_forget(struct store_items *items, const char *key)
{
	for (size_t i = 0; i < items->n; i++) {
		if (strcmp(items->v[i].key, key) != 0)
			continue;
		free(items->v[i].key);
		free(items->v[i].value);
		free(items->v[i].fault);
		items->v[i] = items->v[--items->n];
		return;
	}
}

/* The journal of a writer that was killed: NULL, *e clear, where there is none. */
static json_t *
load_journal(int root, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	json_error_t parse;
	json_t *journal;

	if (file_read(root, JOURNAL, JOURNAL_MAX, &text, e) != 0)
		return NULL;
	journal = json_loadb(text.data, text.n, 0, &parse);
	if (!json_is_object(journal)) {
		json_decref(journal);
		err_set(e, ERR_STORE,
		    "%s: %s; it was not written by pp: look at it, then remove it", JOURNAL,
		    parse.text);
		return NULL;
	}
	return journal;
}

static int
overlay_journal(int root, const char *const *keys, size_t n, struct store_items *items,
    struct err *e)
{
	json_auto_t *journal = load_journal(root, e);
	const char *key;
	json_t *value;

	if (journal == NULL)
		return e->class == ERR_NONE ? 0 : -1;
	json_object_foreach(journal, key, value) {
		const char *text = json_string_value(value);
		size_t len = json_string_length(value);

		if (!is_wanted(key, keys, n))
			continue;
		items_forget(items, key);
		if (text != NULL)
			store_items_add(items, key, text, len, hash_bytes(text, len));
	}
	return 0;
}

static int
read_locked(struct dir_store *s, int root, const char *const *keys, size_t n,
    struct store_items *items, struct err *e)
{
	const char *const id = STORE_ID_KEY;
	struct err why = ERR_INIT;

	if (read_key(root, id, items, e) < 0)
		return as_store_error(s, e);
	for (size_t i = 0; i < n; i++) {
		int tree = keys[i][strlen(keys[i]) - 1] == '/';

		if ((tree ? read_tree(root, keys[i], 0, items, e) :
			    read_key(root, keys[i], items, e)) < 0)
			return as_store_error(s, e);
	}
	store_items_sort(items);
	if (overlay_journal(root, keys, n, items, &why) < 0 ||
	    overlay_journal(root, &id, 1, items, &why) < 0) {
		*e = why;
		return as_store_error(s, e);
	}
	return 0;
}

/* One reading; *raced when a first writer, who makes the lock, came in between. */
static int
read_once(struct dir_store *s, const char *const *keys, size_t n, struct store_items *items,
    int *raced, struct err *e)
{
	AUTO_CLOSE int root = open_root(s, e), held = -1;

	if (root < 0 || lock(s, root, LOCK_SH, &held, e) < 0 || check_git(s, e) < 0 ||
	    read_locked(s, root, keys, n, items, e) < 0)
		return -1;
	*raced = held < 0 && faccessat(root, ".lock", F_OK, 0) == 0;
	/* It may have begun while we read. */
	return check_git(s, e);
}

static int
dir_read(struct store *base, const char *const *keys, size_t n, struct store_items *items,
    struct err *e)
{
	struct dir_store *s = (struct dir_store *)base;
	int raced;

	if (s->root >= 0)
		return read_locked(s, s->root, keys, n, items, e);
	if (s->make && access(s->path, F_OK) < 0 && errno == ENOENT)
		return 0;
	do {
		store_items_release(items);
		if (read_once(s, keys, n, items, &raced, e) < 0)
			return -1;
	} while (raced);
	return 0;
}

static int
dir_begin(struct store *base, uint64_t known, struct err *e)
{
	struct dir_store *s = (struct dir_store *)base;
	AUTO_CLOSE int root = open_root(s, e), held = -1;

	(void)known;
	if (root < 0 || lock(s, root, LOCK_SH, &held, e) < 0 || check_git(s, e) < 0)
		return -1;
	s->root = mem_take_fd(&root);
	s->held = mem_take_fd(&held);
	base->stands = 1;
	return 0;
}

static void
let_go(struct dir_store *s)
{
	if (s->root >= 0)
		(void)close(s->root);
	if (s->held >= 0)
		(void)close(s->held);
	s->root = s->held = -1;
	s->base.stands = 0;
}

static int
dir_end(struct store *base, int *moved, struct err *e)
{
	struct dir_store *s = (struct dir_store *)base;

	*moved = 0;
	if (s->root < 0)
		return 0;
	/* A first writer, who makes the lock, may have come in between. */
	*moved = s->held < 0 && faccessat(s->root, ".lock", F_OK, 0) == 0;
	let_go(s);
	return check_git(s, e);
}

static int
dir_absent(struct store *base, const char *key, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };

	if (dir_read(base, &key, 1, &items, e) < 0)
		return -1;
	store_items_sort(&items);
	return store_find(&items, key) == NULL;
}

/* Every part of a key becomes a file name: only those that pp itself can mean. */
static int
check_key(const char *key, struct err *e)
{
	AUTO_STRV struct strv parts = { 0 };

	strv_split(&parts, key, '/');
	for (size_t i = 0; i < parts.n; i++)
		if (!path_is_name(parts.items[i]))
			return err_set(e, ERR_DATA, "key %s: \"%s\" is not a name", key,
			    parts.items[i]);
	return 0;
}

static int
put_file(struct dir_store *s, const char *key, const char *value, size_t len, struct err *e)
{
	static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };
	AUTO_FREE char *path = xasprintf("%s/%s", s->path, key);
	AUTO_FREE char *file = NULL;
	char *slash = strrchr(path, '/');
	AUTO_CLOSE int dir = -1;

	file = xasprintf("%s.json", slash + 1);
	*slash = '\0';
	if (dir_make(path, 0755, e) < 0)
		return -1;
	dir = dir_open(path, e);
	if (dir < 0)
		return -1;
	if (value == NULL)
		return file_remove(dir, file, e);
	return file_write(dir, file, value, len, &attr, e);
}

/* Carry out the journal, whoever wrote it, and remove it. Any part of it may be done already. */
static int
finish_journal(struct dir_store *s, int root, struct err *e)
{
	struct err why = ERR_INIT;
	json_auto_t *journal = load_journal(root, &why);
	const char *key;
	json_t *value;

	if (journal == NULL && why.class != ERR_NONE) {
		*e = why;
		return -1;
	}
	if (journal == NULL)
		return 0;
	json_object_foreach(journal, key, value) {
		if (check_key(key, e) < 0 ||
		    put_file(s, key, json_string_value(value), json_string_length(value), e) < 0)
			return -1;
	}
	return file_remove(root, JOURNAL, e);
}

static int
check_versions(int root, const struct store_write *writes, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		AUTO_ITEMS struct store_items items = { 0 };
		uint64_t now;

		if (check_key(writes[i].key, e) < 0 || read_key(root, writes[i].key, &items, e) < 0)
			return -1;
		if (items.n > 0 && items.v[0].fault != NULL)
			return err_set(e, ERR_DATA, "%s", items.v[0].fault);
		now = items.n ? items.v[0].version : 0;
		if (now != writes[i].version)
			return err_set(e, ERR_BUSY,
			    "%s was changed by somebody else meanwhile; nothing was written, try again",
			    writes[i].key);
	}
	return 0;
}

static int
write_journal(int root, const struct store_write *writes, size_t n, struct err *e)
{
	static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };
	json_auto_t *journal = json_object();
	AUTO_FREE char *text = NULL;

	for (size_t i = 0; i < n; i++) {
		json_t *value;

		if (writes[i].check)
			continue;
		value =
		    writes[i].value ? json_stringn(writes[i].value, writes[i].len) : json_null();
		if (value == NULL || json_object_set_new(journal, writes[i].key, value) < 0)
			return err_set(e, ERR_DATA, "%s: not valid UTF-8", writes[i].key);
	}
	if (json_object_size(journal) == 0)
		return 0;
	text = json_dumps(journal, JSON_COMPACT);
	return file_write(root, JOURNAL, text, strlen(text), &attr, e);
}

static int
dir_write(struct store *base, const struct store_write *writes, size_t n, struct err *e)
{
	struct dir_store *s = (struct dir_store *)base;
	AUTO_CLOSE int root = -1, held = -1;

	if (dir_make(s->path, 0755, e) < 0)
		return as_store_error(s, e);
	root = open_root(s, e);
	if (root < 0 || lock(s, root, LOCK_EX, &held, e) < 0 || check_git(s, e) < 0)
		return -1;
	if (finish_journal(s, root, e) < 0 || check_versions(root, writes, n, e) < 0 ||
	    write_journal(root, writes, n, e) < 0 || finish_journal(s, root, e) < 0)
		return as_store_error(s, e);
	return 0;
}

/* A number that stands for all that is below the keys. */
static int
state_of(struct store *base, const char *const *keys, size_t n, uint64_t *state, struct err *e)
{
	AUTO_ITEMS struct store_items items = { 0 };

	if (dir_read(base, keys, n, &items, e) < 0)
		return -1;
	store_items_sort(&items);
	*state = items.n;
	for (size_t i = 0; i < items.n; i++)
		*state = (*state ^ hash_bytes(items.v[i].key, strlen(items.v[i].key)) ^
			     (items.v[i].version << 1)) *
		    UINT64_C(1099511628211);
	return 0;
}

static int
dir_wait(struct store *base, const char *const *keys, size_t n, int64_t timeout_ms, struct err *e)
{
	int64_t end = clock_now_ms() + timeout_ms;
	uint64_t first, now;

	if (state_of(base, keys, n, &first, e) < 0)
		return -1;
	while (clock_now_ms() < end) {
		clock_sleep_ms(POLL_MS);
		if (state_of(base, keys, n, &now, e) < 0)
			return -1;
		if (now != first)
			return 1;
	}
	return 0;
}

static void
dir_free(struct store *base)
{
	struct dir_store *s = (struct dir_store *)base;

	let_go(s);
	free(s->base.url);
	free(s->path);
	free(s);
}

struct store *
dir_store_open(const char *path, enum store_open_how how, struct err *e)
{
	static const struct store_ops ops = { dir_read, dir_absent, dir_write, dir_wait, dir_begin,
		dir_end, dir_free, NULL };
	char real[PATH_MAX], cwd[PATH_MAX];
	struct dir_store *s;

	/* The same directory has one name in the node's memory, wherever pp was started. */
	if (realpath(path, real) != NULL)
		path = real;
	else if (path[0] != '/' && getcwd(cwd, sizeof cwd) == NULL) {
		err_sys(e, "dir:%s", path);
		return NULL;
	}
	s = xcalloc(1, sizeof *s);
	s->base.ops = &ops;
	s->make = how == STORE_MAKE;
	s->root = s->held = -1;
	s->path = path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", cwd, path);
	s->base.url = xasprintf("dir:%s", s->path);
	return &s->base;
}
