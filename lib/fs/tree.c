#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fs/file.h"

#define DEPTH_MAX 64     /* levels of a tree that are open at once when it is removed */
#define PASSES_MAX 10000 /* over a directory that does not get empty */

int
dir_open(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, "open directory %s", path) : fd;
}

int
dir_open_at(int dir, const char *name, int *missing, struct err *e)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*missing = fd < 0 && errno == ENOENT;
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(e, ERR_FAIL,
		    "%s is in the way: it is a symlink or no directory, and pp "
		    "follows none here; move it away",
		    name);
	return fd < 0 ? err_sys(e, "open directory %s", name) : fd;
}

int
dir_make_at(int dir, const char *name, mode_t mode, struct err *e)
{
	int missing, fd = dir_open_at(dir, name, &missing, e);

	if (fd >= 0 || !missing)
		return fd;
	if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
		return err_sys(e, "make directory %s", name);
	if (fsync(dir) < 0)
		return err_sys(e, "fsync directory of %s", name);
	e->class = ERR_NONE;
	return dir_open_at(dir, name, &missing, e);
}

static int
sync_parent(const char *path, struct err *e)
{
	AUTO_FREE char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	AUTO_CLOSE int fd = -1;

	if (slash == NULL)
		return 0;
	slash[slash == parent ? 1 : 0] = '\0';
	fd = dir_open(parent, e);
	if (fd < 0)
		return -1;
	return fsync(fd) < 0 ? err_sys(e, "fsync %s", parent) : 0;
}

int
dir_make(const char *path, mode_t mode, struct err *e)
{
	AUTO_FREE char *part = xstrdup(path);
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	for (char *at = part + 1;; at++) {
		char was = *at;

		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		if (mkdir(part, mode) == 0) {
			if (sync_parent(part, e) < 0)
				return -1;
		} else if (errno != EEXIST) {
			return err_sys(e, "make directory %s", part);
		}
		*at = was;
		if (was == '\0')
			break;
	}
	if (stat(path, &st) < 0)
		return err_sys(e, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_FAIL, "%s is in the way: it is not a directory", path);
	return 0;
}

int
dir_list(int dir, struct strv *names, struct err *e)
{
	struct dirent *entry;
	DIR *stream;
	int fd, failed;

	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "open directory");
	stream = fdopendir(fd);
	if (stream == NULL) {
		(void)close(fd);
		return err_sys(e, "read directory");
	}
	errno = 0;
	while ((entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strv_add(names, xstrdup(entry->d_name));
		errno = 0;
	}
	failed = errno;
	(void)closedir(stream);
	errno = failed;
	if (failed)
		return err_sys(e, "read directory");
	strv_sort(names);
	return 0;
}

/* A tree that is being removed. */
struct removal {
	int top;            /* its own directory, or -1 */
	unsigned int moved; /* how many directories are there that were too deep where they were */
};

/* Closes the stream, and the descriptor with it. */
static void
close_stream(DIR **stream)
{
	if (*stream != NULL)
		(void)closedir(*stream);
}

static DIR *
open_stream(int dir, const char *name, struct err *e)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(dir, name, flags);
	DIR *stream;

	if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
		fd = openat(dir, name, flags);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (stream == NULL) {
		err_sys(e, "open directory %s", name);
		if (fd >= 0)
			(void)close(fd);
	}
	return stream;
}

/* A tree may be deeper than there are descriptors, or room on the stack. */
static int
move_up(struct removal *r, int dir, const char *name, struct err *e)
{
	for (int i = 0; i < PASSES_MAX; i++) {
		AUTO_FREE char *to = xasprintf(".deep.%u", r->moved++);

		if (renameat2(dir, name, r->top, to, RENAME_NOREPLACE) == 0)
			return 0;
		/* One whose owner may not write to it cannot be moved by them. */
		if (errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
			continue;
		/* A file system that cannot refuse: a directory replaces only an empty one. */
		if (errno == EINVAL && renameat(dir, name, r->top, to) == 0)
			return 0;
		if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
			return errno == ENOENT ? 0 : err_sys(e, "move %s", name);
	}
	return err_set(e, ERR_FAIL, "%s: nested too deep to remove", name);
}

static int remove_at(struct removal *r, int dir, const char *name, int depth, struct err *e);

/* As it is read: there may be more in it than there is room to remember. */
static int
empty(struct removal *r, int dir, const char *name, int depth, struct err *e)
{
	__attribute__((cleanup(close_stream))) DIR *stream = open_stream(dir, name, e);
	const struct dirent *entry;
	int n = 0;

	if (stream == NULL)
		return -1;
	if (depth == 0)
		r->top = dirfd(stream);
	while (errno = 0, (entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (n++ == 0 && fchmod(dirfd(stream), 0700) < 0 && errno != EPERM)
			return err_sys(e, "chmod %s", name);
		if (remove_at(r, dirfd(stream), entry->d_name, depth + 1, e) < 0)
			return -1;
	}
	return errno != 0 ? err_sys(e, "read directory %s", name) : 0;
}

static int
remove_directory(struct removal *r, int dir, const char *name, int depth, struct err *e)
{
	if (depth > DEPTH_MAX)
		return move_up(r, dir, name, e);
	/* What was moved up, or not seen because what was before it went, is there in the next pass. */
	for (int i = 0; i < PASSES_MAX; i++) {
		if (empty(r, dir, name, depth, e) < 0)
			return -1;
		if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			break;
	}
	return err_sys(e, "remove %s", name);
}

static int
remove_at(struct removal *r, int dir, const char *name, int depth, struct err *e)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", name);
	if (S_ISDIR(st.st_mode))
		return remove_directory(r, dir, name, depth, e);
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", name);
	return 0;
}

int
tree_remove(int dir, const char *name, struct err *e)
{
	struct removal r = { .top = -1 };

	return remove_at(&r, dir, name, 0, e);
}
