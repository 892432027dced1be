#include "lib/artifact/unpack_write.h"

#include <sys/stat.h>
#include <sys/syscall.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack_name.h"
#include "lib/base/mem.h"

#define DIR_FLAGS (O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A directory that was made, and what it is to be in the end. */
struct dir {
	char *path;
	size_t order; /* of equal paths the last one counts */
	struct unpack_meta meta;
};

struct unpack_writer {
	int root;
	int64_t gid;
	uint64_t made, max_files;

	/* The directory of the last entry: most entries have the same one as the entry before. */
	int parent;
	char parent_path[UNPACK_PATH_ROOM];

	int file; /* being written, or -1 */
	char file_shown[UNPACK_SHOW_ROOM];
	struct unpack_meta file_meta;
	off_t file_end;

	struct dir *dirs;
	size_t n_dirs, room_dirs;
};

static int
fail(struct err *e, const char *doing, const char *path)
{
	char shown[UNPACK_SHOW_ROOM];
	int number = errno;

	unpack_name_show(shown, path[0] != '\0' ? path : ".");
	errno = number;
	return err_sys(e, "%s %s", doing, shown);
}

static const char *
type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFREG:
		return "file";
	case S_IFLNK:
		return "symlink";
	default:
		return "thing of another kind";
	}
}

/* `path`, which is `name` in `dir`, could not be made: is something there already? */
static int
not_made(int dir, const char *name, const char *as, const char *path, struct err *e)
{
	struct stat st;

	if (errno != EEXIST)
		return fail(e, "make", path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, "stat", path);
	return err_set(e, ERR_DATA, "is in the artifact twice: as a %s, then as a %s",
	    type_name(st.st_mode), as);
}

static int
is_dir(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int
count(struct unpack_writer *w, struct err *e)
{
	if (w->made >= w->max_files)
		return err_set(e, ERR_DATA, "more than %" PRIu64 " files in the artifact",
		    w->max_files);
	w->made++;
	return 0;
}

static void
note_dir(struct unpack_writer *w, const char *path, const struct unpack_meta *meta)
{
	if (w->n_dirs == w->room_dirs) {
		w->room_dirs = w->room_dirs > 0 ? 2 * w->room_dirs : 64;
		w->dirs = xreallocarray(w->dirs, w->room_dirs, sizeof *w->dirs);
	}
	w->dirs[w->n_dirs] = (struct dir){ xstrdup(path), w->n_dirs, *meta };
	w->dirs[w->n_dirs].meta.mode &= UNPACK_WRITE_MODES;
	w->n_dirs++;
}

/* A directory which the artifact needs but does not list. */
static int
make_missing(struct unpack_writer *w, int dir, const char *name, const char *path, struct err *e)
{
	static const struct unpack_meta meta = { 0755, { 0, UTIME_OMIT } };

	if (count(w, e) < 0)
		return -1;
	if (mkdirat(dir, name, meta.mode) < 0)
		return fail(e, "make", path);
	note_dir(w, path, &meta);
	return 0;
}

/* One step of walk(): open `name` in `dir`; `path` is the whole way up to it. */
static int
step(struct unpack_writer *w, int dir, const char *name, const char *path, int create,
    struct err *e)
{
	char shown[UNPACK_SHOW_ROOM];
	struct stat st;
	int fd;

	fd = openat(dir, name, DIR_FLAGS | O_PATH);
	if (fd < 0 && errno == ENOENT && create) {
		if (make_missing(w, dir, name, path, e) < 0)
			return -1;
		fd = openat(dir, name, DIR_FLAGS | O_PATH);
	}
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return err_set(e, ERR_DATA, "is not in the artifact before this");
	if (errno != ELOOP && errno != ENOTDIR)
		return fail(e, "open", path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, "stat", path);
	unpack_name_show(shown, path);
	return err_set(e, ERR_DATA, "path passes through \"%s\", which is a %s", shown,
	    type_name(st.st_mode));
}

/* Component by component: makes what is missing, and tells what is in the way. */
static int
walk(struct unpack_writer *w, const char *path, int create, struct err *e)
{
	char part[UNPACK_PATH_ROOM];
	char *name = part;
	int dir;

	memcpy(part, path, strlen(path) + 1);
	dir = openat(w->root, ".", DIR_FLAGS | O_PATH);
	if (dir < 0)
		return fail(e, "open", ".");
	while (*name != '\0') {
		char *end = strchrnul(name, '/');
		const int more = *end == '/';
		int next;

		*end = '\0';
		next = step(w, dir, name, part, create, e);
		(void)close(dir);
		if (next < 0)
			return -1;
		dir = next;
		if (more)
			*end++ = '/';
		name = end;
	}
	return dir;
}

/* Open the directory `path` as a place to work in; the caller closes it. */
static int
enter(struct unpack_writer *w, const char *path, int create, struct err *e)
{
	const struct open_how how = {
		.flags = DIR_FLAGS | O_PATH,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, w->root, path[0] != '\0' ? path : ".", &how, sizeof how);

	/* Missing, something in the way, or no such system call: the walk copes with each. */
	return fd >= 0 ? fd : walk(w, path, create, e);
}

/* Cut `path` into its directory (to `parent`) and its name, which is returned. */
static const char *
split(char *parent, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) : 0;

	memcpy(parent, path, n);
	parent[n] = '\0';
	return slash != NULL ? slash + 1 : path;
}

/* The directory that `path` is in, made if missing; borrowed, until the next call. */
static int
parent_of(struct unpack_writer *w, const char *path, const char **name, struct err *e)
{
	char parent[UNPACK_PATH_ROOM];
	int fd;

	*name = split(parent, path);
	if (w->parent >= 0 && strcmp(parent, w->parent_path) == 0)
		return w->parent;
	fd = enter(w, parent, 1, e);
	if (fd < 0)
		return -1;
	if (w->parent >= 0)
		(void)close(w->parent);
	w->parent = fd;
	memcpy(w->parent_path, parent, strlen(parent) + 1);
	return fd;
}

static int
check_empty(int root, struct err *e)
{
	int fd, n = 0;
	DIR *dir;

	fd = openat(root, ".", O_RDONLY | DIR_FLAGS);
	if (fd < 0)
		return err_sys(e, "open the staging directory");
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return err_sys(e, "read the staging directory");
	}
	while (n <= 2 && readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	if (n > 2)
		return err_set(e, ERR_USAGE, "the staging directory is not empty");
	return 0;
}

struct unpack_writer *
unpack_write_new(int root, int64_t gid, uint64_t max_files, struct err *e)
{
	struct unpack_writer *w;

	if (check_empty(root, e) < 0)
		return NULL;
	w = xcalloc(1, sizeof *w);
	w->root = root;
	w->gid = gid;
	w->max_files = max_files;
	w->parent = w->file = -1;
	return w;
}

int
unpack_write_dir(struct unpack_writer *w, const char *path, const struct unpack_meta *meta,
    struct err *e)
{
	const char *name;
	int dir;

	if (count(w, e) < 0)
		return -1;
	if (path[0] == '\0') {
		note_dir(w, path, meta);
		return 0;
	}
	dir = parent_of(w, path, &name, e);
	if (dir < 0)
		return -1;
	/* Until the end its owner has to be able to write into it. */
	if (mkdirat(dir, name, (meta->mode & UNPACK_WRITE_MODES) | 0700) < 0 &&
	    (errno != EEXIST || !is_dir(dir, name)))
		return not_made(dir, name, "directory", path, e);
	note_dir(w, path, meta);
	return 0;
}

int
unpack_write_symlink(struct unpack_writer *w, const char *path, const char *target,
    const struct unpack_meta *meta, struct err *e)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, meta->mtime };
	const char *name;
	int dir;

	if (count(w, e) < 0)
		return -1;
	dir = parent_of(w, path, &name, e);
	if (dir < 0)
		return -1;
	if (symlinkat(target, dir, name) < 0)
		return not_made(dir, name, "symlink", path, e);
	if (w->gid >= 0 && fchownat(dir, name, (uid_t)-1, (gid_t)w->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, "chgrp", path);
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, "set the time of", path);
	return 0;
}

static int
check_linkable(int dir, const char *name, const char *target, struct err *e)
{
	struct stat st;

	if (name[0] == '\0')
		return err_set(e, ERR_DATA, "is a directory, not a file");
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ?
		    err_set(e, ERR_DATA, "is not in the artifact before this") :
		    fail(e, "stat", target);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_DATA, "is a %s, not a file", type_name(st.st_mode));
	return 0;
}

int
unpack_write_hardlink(struct unpack_writer *w, const char *path, const char *target, struct err *e)
{
	char parent[UNPACK_PATH_ROOM], shown[UNPACK_SHOW_ROOM];
	const char *name, *target_name = split(parent, target);
	AUTO_CLOSE int target_dir = -1;
	int dir;

	if (count(w, e) < 0)
		return -1;
	target_dir = enter(w, parent, 0, e);
	if (target_dir < 0 || check_linkable(target_dir, target_name, target, e) < 0) {
		unpack_name_show(shown, target[0] != '\0' ? target : ".");
		return e->class == ERR_DATA ? err_wrap(e, "hard link target \"%s\"", shown) : -1;
	}
	dir = parent_of(w, path, &name, e);
	if (dir < 0)
		return -1;
	if (linkat(target_dir, target_name, dir, name, 0) < 0)
		return not_made(dir, name, "hard link", path, e);
	return 0;
}

int
unpack_write_open(struct unpack_writer *w, const char *path, const struct unpack_meta *meta,
    struct err *e)
{
	const char *name;
	int dir;

	if (count(w, e) < 0)
		return -1;
	dir = parent_of(w, path, &name, e);
	if (dir < 0)
		return -1;
	w->file = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    meta->mode & UNPACK_WRITE_MODES);
	if (w->file < 0)
		return not_made(dir, name, "file", path, e);
	unpack_name_show(w->file_shown, path);
	w->file_meta = *meta;
	w->file_end = 0;
	return 0;
}

int
unpack_write_data(struct unpack_writer *w, const void *data, size_t n, off_t offset, struct err *e)
{
	const char *at = data;

	while (n > 0) {
		ssize_t done = pwrite(w->file, at, n, offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(e, "write %s", w->file_shown);
		at += done;
		n -= (size_t)done;
		offset += done;
	}
	if (offset > w->file_end)
		w->file_end = offset;
	return 0;
}

int
unpack_write_close(struct unpack_writer *w, off_t size, struct err *e)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, w->file_meta.mtime };
	int fd = w->file;

	if (size != w->file_end && ftruncate(fd, size) < 0)
		return err_sys(e, "write %s", w->file_shown);
	if (w->gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)w->gid) < 0)
		return err_sys(e, "chgrp %s", w->file_shown);
	/* The mode it was created with may have been narrowed by a default ACL. */
	if (fchmod(fd, w->file_meta.mode & UNPACK_WRITE_MODES) < 0)
		return err_sys(e, "chmod %s", w->file_shown);
	if (futimens(fd, times) < 0)
		return err_sys(e, "set the time of %s", w->file_shown);
	w->file = -1;
	if (close(fd) < 0)
		return err_sys(e, "write %s", w->file_shown);
	return 0;
}

/* Backwards by path, so what is in a directory comes before it; the last of equals first. */
static int
compare_dirs(const void *a, const void *b)
{
	const struct dir *x = a, *y = b;
	int r = strcmp(y->path, x->path);

	return r != 0 ? r : (y->order > x->order) - (y->order < x->order);
}

static int
finish_dir(struct unpack_writer *w, const struct dir *d, struct err *e)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, d->meta.mtime };
	char parent[UNPACK_PATH_ROOM];
	const char *name = split(parent, d->path);
	AUTO_CLOSE int at = -1;
	AUTO_CLOSE int fd = -1;

	at = enter(w, parent, 0, e);
	if (at < 0)
		return -1;
	fd = openat(at, name[0] != '\0' ? name : ".", O_RDONLY | DIR_FLAGS);
	if (fd < 0)
		return fail(e, "open", d->path);
	if (w->gid >= 0 && fchown(fd, (uid_t)-1, (gid_t)w->gid) < 0)
		return fail(e, "chgrp", d->path);
	if (fchmod(fd, d->meta.mode) < 0)
		return fail(e, "chmod", d->path);
	if (futimens(fd, times) < 0)
		return fail(e, "set the time of", d->path);
	return 0;
}

int
unpack_write_finish(struct unpack_writer *w, struct err *e)
{
	if (w->n_dirs > 1)
		qsort(w->dirs, w->n_dirs, sizeof *w->dirs, compare_dirs);
	for (size_t i = 0; i < w->n_dirs; i++) {
		if (i > 0 && strcmp(w->dirs[i].path, w->dirs[i - 1].path) == 0)
			continue;
		if (finish_dir(w, &w->dirs[i], e) < 0)
			return -1;
	}
	if (w->gid >= 0 && fchownat(w->root, ".", (uid_t)-1, (gid_t)w->gid, 0) < 0)
		return err_sys(e, "chgrp the staging directory");
	return 0;
}

void
unpack_write_free(struct unpack_writer *w)
{
	if (w == NULL)
		return;
	if (w->file >= 0)
		(void)close(w->file);
	if (w->parent >= 0)
		(void)close(w->parent);
	for (size_t i = 0; i < w->n_dirs; i++)
		free(w->dirs[i].path);
	free(w->dirs);
	free(w);
}
