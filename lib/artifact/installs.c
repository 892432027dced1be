#include "lib/artifact/installs.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/fs/path.h"

#define SUFFIX_LEN 6 /* of a staging directory's name */

static const char suffix_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

char *
installs_name(const char *app, const char *version, const char *ending)
{
	return xasprintf(".%s_%s.%s", app, version, ending);
}

char *
installs_staging_name(const char *app, const char *version)
{
	char suffix[SUFFIX_LEN + 1] = "";

	for (int i = 0; i < SUFFIX_LEN; i++)
		suffix[i] = suffix_letters[arc4random_uniform(sizeof suffix_letters - 1)];
	return installs_name(app, version, suffix);
}

int
installs_hold(int dir, const char *name, struct err *e)
{
	int missing, fd = dir_open_at(dir, name, &missing, e);

	if (fd < 0)
		return missing ? -2 : -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	(void)close(fd);
	return -2;
}

/* The length of `rest` without an ending of hidden things, and their kind; 0 if it has none. */
static size_t
told_ending(const char *rest, enum installs_kind *kind)
{
	static const struct {
		const char *ending;
		enum installs_kind kind;
	} endings[] = {
		{ ".part.meta", INSTALLS_PART },
		{ ".part", INSTALLS_PART },
		{ ".list.tmp", INSTALLS_LIST },
		{ ".list", INSTALLS_LIST },
	};
	size_t len = strlen(rest);

	for (size_t i = 0; i < MEM_COUNT(endings); i++) {
		size_t n = strlen(endings[i].ending);

		if (len > n && strcmp(rest + len - n, endings[i].ending) == 0) {
			*kind = endings[i].kind;
			return len - n;
		}
	}
	*kind = INSTALLS_STAGING;
	if (len > SUFFIX_LEN + 1 && rest[len - SUFFIX_LEN - 1] == '.' &&
	    strspn(rest + len - SUFFIX_LEN, suffix_letters) == SUFFIX_LEN)
		return len - SUFFIX_LEN - 1;
	return 0;
}

/* Is `name` a thing of this app? Another app's name may begin with this one's: basedirs differ. */
static int
take_name(const char *name, const char *app, struct installs_entry *entry)
{
	const int hidden = name[0] == '.';
	size_t n = strlen(app), length;
	const char *rest;

	if (strncmp(name + hidden, app, n) != 0 || name[hidden + n] != '_')
		return 0;
	rest = name + hidden + n + 1;
	entry->kind = INSTALLS_INSTALL;
	length = hidden ? told_ending(rest, &entry->kind) : strlen(rest);
	entry->version = xmemdup(rest, length);
	if (!path_is_name(entry->version)) {
		free(entry->version);
		return 0;
	}
	entry->name = xstrdup(name);
	entry->unfinished = entry->kind == INSTALLS_LIST && strcmp(rest + length, ".list") != 0;
	return 1;
}

/* Does a run have this staging directory? What cannot be opened is not one, and nobody's. */
static int
is_held(int dir, const char *name, int *held, struct err *e)
{
	int fd = installs_hold(dir, name, e);

	if (fd == -1)
		return -1;
	*held = fd < 0;
	if (fd >= 0)
		(void)close(fd);
	return 0;
}

int
installs_scan(int dir, const char *app, struct installs *found, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };

	*found = (struct installs){ 0 };
	if (dir_list(dir, &names, e) < 0)
		return -1;
	found->entries = xcalloc(names.n + 1, sizeof *found->entries);
	for (size_t i = 0; i < names.n; i++) {
		struct installs_entry *entry = &found->entries[found->n];

		if (!take_name(names.items[i], app, entry))
			continue;
		found->n++;
		if (entry->kind == INSTALLS_STAGING &&
		    is_held(dir, entry->name, &entry->held, e) < 0)
			return -1;
	}
	return 0;
}

int
installs_has(const struct installs *found, enum installs_kind kind, const char *version)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->entries[i].kind == kind &&
		    strcmp(found->entries[i].version, version) == 0)
			return 1;
	return 0;
}

int
installs_held(const struct installs *found, const char *version)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->entries[i].held && strcmp(found->entries[i].version, version) == 0)
			return 1;
	return 0;
}

static int64_t
nanoseconds(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* The newest first; of equal ones the later name. */
static int
compare_age(const void *a, const void *b)
{
	const struct installs_entry *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? 1 : -1;
	return strcmp(y->name, x->name);
}

int
installs_date(int dir, const char *app, struct installs *found, struct err *e)
{
	for (size_t i = 0; i < found->n; i++) {
		struct installs_entry *entry = &found->entries[i];
		AUTO_FREE char *list = installs_name(app, entry->version, "list");
		struct stat st;

		if (entry->kind != INSTALLS_INSTALL)
			continue;
		/* Its list was written with it; its own time comes from the artifact. */
		if (fstatat(dir, list, &st, AT_SYMLINK_NOFOLLOW) == 0)
			entry->time = nanoseconds(&st.st_mtim);
		else if (fstatat(dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			entry->time = nanoseconds(&st.st_ctim);
		else if (errno != ENOENT)
			return err_sys(e, "stat %s", entry->name);
	}
	if (found->n > 1)
		qsort(found->entries, found->n, sizeof *found->entries, compare_age);
	return 0;
}

void
installs_release(struct installs *found)
{
	for (size_t i = 0; i < found->n; i++) {
		free(found->entries[i].name);
		free(found->entries[i].version);
	}
	free(found->entries);
	*found = (struct installs){ 0 };
}

int
installs_sweep(int dir, const char *name, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", name);
	if (S_ISDIR(st.st_mode)) {
		fd = installs_hold(dir, name, e);
		if (fd < 0)
			return fd == -1 ? -1 : 0;
	}
	log_change("Removing %s, left by a run that is gone", name);
	return tree_remove(dir, name, e);
}

int
installs_points_at(const char *target, const char *name)
{
	size_t end = strlen(target), n = strlen(name);

	while (end > 0 && target[end - 1] == '/')
		end--;
	return end >= n && memcmp(target + end - n, name, n) == 0 &&
	    (end == n || target[end - n - 1] == '/');
}

int
installs_linked(int dir, const char *app, const char *version, struct err *e)
{
	static const char *const links[] = { "current", "last" };
	AUTO_FREE char *name = xasprintf("%s_%s", app, version);
	AUTO_CLOSE int base = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (base < 0)
		return err_sys(e, "open basedir");
	for (size_t i = 0; i < MEM_COUNT(links); i++) {
		/* Not into *e: what is in there from before, and forgiven, says nothing of this one. */
		struct err why = ERR_INIT;
		AUTO_FREE char *now = link_read(base, links[i], &why);

		if (now == NULL && why.class != ERR_NONE) {
			*e = why;
			return -1;
		}
		if (now != NULL && installs_points_at(now, name))
			return 1;
	}
	return 0;
}

/* To a name that is not taken. */
static int
rename_aside(int dir, const char *from, const char *to, struct err *e)
{
	if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	/* A file system that cannot refuse: a directory replaces only an empty one. */
	if (errno == EINVAL && renameat(dir, from, dir, to) == 0)
		return 0;
	return err_sys(e, "rename %s to %s", from, to);
}

int
installs_prune(int dir, const char *app, const char *version, struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s_%s", app, version);
	AUTO_FREE char *staging = installs_staging_name(app, version);
	AUTO_FREE char *list = installs_name(app, version, "list");
	AUTO_CLOSE int held = installs_hold(dir, name, e);
	int linked;

	/* Somebody who holds it, as anybody may who can read it, does not keep it from going. */
	if (held == -1)
		return -1;
	log_change("Removing %s: no longer intended", name);
	if (rename_aside(dir, name, staging, e) < 0)
		return errno == ENOENT ? 0 : -1;
	/* setlive may have flipped to it a moment ago. */
	linked = installs_linked(dir, app, version, e);
	if (linked != 0)
		return rename_aside(dir, staging, name, e) < 0 || linked < 0 ? -1 : 0;
	if (fsync(dir) < 0)
		return err_sys(e, "fsync the directory of %s", name);
	if (file_remove(dir, list, e) < 0)
		return -1;
	return tree_remove(dir, staging, e);
}
