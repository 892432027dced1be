#include "lib/artifact/unpack_trail.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack_name.h"
#include "lib/base/mem.h"

#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* The mode until the trail leaves: its owner has to be able to write into it. */
#define MODE_MEANWHILE 0700

struct level {
	int fd;
	size_t end;              /* of its path in t->path */
	mode_t mode;             /* as it is now */
	int listed;              /* the trail has been here before: its mode was told */
	int changed;             /* its time has to be set */
	struct unpack_meta meta; /* what it is to have when the trail leaves */
};

struct unpack_trail {
	const struct unpack_place *place;
	char path[UNPACK_PATH_ROOM];
	struct level *levels; /* the first one is the root */
	size_t n, room;
	int looked_at; /* what unpack_trail_look() has opened, or -1 */
};

int
unpack_trail_failed(struct err *e, const char *doing, const char *path)
{
	char shown[UNPACK_SHOW_ROOM];
	int number = errno;

	unpack_name_show(shown, path[0] != '\0' ? path : ".");
	errno = number;
	return err_sys(e, "%s %s", doing, shown);
}

const char *
unpack_trail_kind(mode_t mode)
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

int
unpack_trail_not_made(int dir, const char *name, const char *what, const char *path, struct err *e)
{
	struct stat st;

	if (errno != EEXIST)
		return unpack_trail_failed(e, "make", path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_trail_failed(e, "stat", path);
	return err_set(e, ERR_DATA, "is in the artifact twice: as a %s, then as a %s",
	    unpack_trail_kind(st.st_mode), what);
}

static struct level *
top(struct unpack_trail *t)
{
	return &t->levels[t->n - 1];
}

static void
push(struct unpack_trail *t, const struct level *level)
{
	if (t->n == t->room) {
		t->room = t->room > 0 ? 2 * t->room : 16;
		t->levels = xreallocarray(t->levels, t->room, sizeof *t->levels);
	}
	t->levels[t->n++] = *level;
}

struct unpack_trail *
unpack_trail_new(const struct unpack_place *place)
{
	struct unpack_trail *t = xcalloc(1, sizeof *t);
	const struct level root = { .fd = place->root,
		.meta = { UNPACK_WRITE_MODES, { 0, UTIME_OMIT } } };

	t->place = place;
	t->looked_at = -1;
	push(t, &root);
	return t;
}

/* How many levels of the trail are on the way to `path`. */
static size_t
common(const struct unpack_trail *t, const char *path)
{
	size_t n = 1;

	while (n < t->n) {
		const size_t from = t->levels[n - 1].end, end = t->levels[n].end;

		if (strncmp(t->path + from, path + from, end - from) != 0 ||
		    (path[end] != '\0' && path[end] != '/'))
			break;
		n++;
	}
	return n;
}

/* Where the next component of `path` begins, and with *end where it ends. */
static size_t
next_component(const char *path, size_t at, size_t *end)
{
	at += path[at] == '/';
	*end = at + strcspn(path + at, "/");
	return at;
}

/* The directory `name` in `dir`, whose path is this, could not be opened. */
static int
not_opened(int dir, const char *name, const char *path, struct err *e)
{
	char shown[UNPACK_SHOW_ROOM];
	struct stat st;

	if (errno == ENOENT)
		return err_set(e, ERR_DATA, "is not in the artifact before this");
	if (errno != ELOOP && errno != ENOTDIR)
		return unpack_trail_failed(e, "open", path);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_trail_failed(e, "stat", path);
	unpack_name_show(shown, path);
	return err_set(e, ERR_DATA, "path passes through \"%s\", which is a %s", shown,
	    unpack_trail_kind(st.st_mode));
}

/* Give the directory the trail is in what it is to have, and go up. */
static int
leave(struct unpack_trail *t, struct err *e)
{
	const struct level *l = top(t);
	const struct timespec times[2] = { { 0, UTIME_OMIT }, l->meta.mtime };
	const struct level *up = l - 1;
	const char *name = t->path + up->end + (up->end > 0);

	if (!l->listed && t->place->list != NULL &&
	    unpack_list_dir(t->place->list, t->path, l->meta.mode, e) < 0)
		return -1;
	if ((l->mode != l->meta.mode || t->place->set_modes) &&
	    fchmodat(up->fd, name, l->meta.mode, 0) < 0)
		return unpack_trail_failed(e, "chmod", t->path);
	if (l->changed && utimensat(up->fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_trail_failed(e, "set the time of", t->path);
	(void)close(l->fd);
	t->n--;
	t->path[up->end] = '\0';
	return 0;
}

static int
leave_to(struct unpack_trail *t, size_t n, struct err *e)
{
	while (t->n > n)
		if (leave(t, e) < 0)
			return -1;
	return 0;
}

/* It was there before the trail came: it gets back what it had. */
static int
revisit(struct unpack_trail *t, int up, const char *name, struct err *e)
{
	struct level *l = top(t);
	struct stat st;

	if (fstat(l->fd, &st) < 0)
		return unpack_trail_failed(e, "stat", t->path);
	l->listed = 1;
	l->mode = st.st_mode & 07777;
	l->meta = (struct unpack_meta){ l->mode & UNPACK_WRITE_MODES, st.st_mtim };
	if ((l->mode & MODE_MEANWHILE) == MODE_MEANWHILE)
		return 0;
	/* It is a directory: opening it said so. */
	if (fchmodat(up, name, l->mode | MODE_MEANWHILE, 0) < 0)
		return unpack_trail_failed(e, "chmod", t->path);
	l->mode |= MODE_MEANWHILE;
	return 0;
}

/*
 * Go down by the component of `path` that ends at `end`, into a directory that is made with `meta`, or
 * that is there already; without meta it has to be. Returns: 1; 0 if it is not there.
 */
static int
descend(struct unpack_trail *t, const char *path, size_t end, const struct unpack_meta *meta,
    struct err *e)
{
	const size_t from = top(t)->end;
	const char *name = t->path + from + (from > 0);
	const int up = top(t)->fd;
	struct level l = { .end = end };
	int made = 0;

	memcpy(t->path + from, path + from, end - from);
	t->path[end] = '\0';
	if (meta != NULL) {
		l.mode = meta->mode | MODE_MEANWHILE;
		l.meta = *meta;
		made = mkdirat(up, name, l.mode) == 0;
		if (!made && errno != EEXIST)
			return unpack_trail_failed(e, "make", t->path);
		top(t)->changed |= made;
	}
	l.fd = openat(up, name, DIR_FLAGS);
	if (l.fd >= 0) {
		push(t, &l);
		return made || revisit(t, up, name, e) == 0 ? 1 : -1;
	}
	if (errno == ENOENT && meta == NULL) {
		t->path[from] = '\0';
		return 0;
	}
	return not_opened(up, name, t->path, e);
}

int
unpack_trail_enter(struct unpack_trail *t, const char *path, struct err *e)
{
	static const struct unpack_meta missing = { 0755, { 0, UTIME_OMIT } };
	size_t at, end;
	int r;

	if (leave_to(t, common(t, path), e) < 0)
		return -1;
	for (at = top(t)->end; path[at] != '\0'; at = end) {
		(void)next_component(path, at, &end);
		r = descend(t, path, end, NULL, e);
		/* The artifact needs it and does not list it. */
		if (r == 0)
			r = unpack_limits_entry(t->place->limits, t->place->usage, e) < 0 ?
			    -1 :
			    descend(t, path, end, &missing, e);
		if (r < 0)
			return -1;
	}
	top(t)->changed = 1;
	return top(t)->fd;
}

/* A mode and a time for the directory that the trail is in. */
static int
declare(struct unpack_trail *t, const struct unpack_meta *meta, struct err *e)
{
	struct level *l = top(t);

	/* Who reads the list has been told already. */
	if (l->listed && l->meta.mode != meta->mode)
		return err_set(e, ERR_DATA,
		    "is in the artifact twice: as a directory of mode %04o, then of mode %04o",
		    (unsigned int)l->meta.mode, (unsigned int)meta->mode);
	l->meta = *meta;
	l->changed = 1;
	return 0;
}

int
unpack_trail_dir(struct unpack_trail *t, const char *path, const struct unpack_meta *meta,
    struct err *e)
{
	struct unpack_meta masked = { meta->mode & UNPACK_WRITE_MODES, meta->mtime };
	const char *slash = strrchr(path, '/');
	char parent[UNPACK_PATH_ROOM];
	size_t n = slash != NULL ? (size_t)(slash - path) : 0;
	struct stat st;
	int dir;

	if (path[0] == '\0')
		masked.mode = UNPACK_WRITE_MODES;
	if (leave_to(t, common(t, path), e) < 0)
		return -1;
	if (path[top(t)->end] == '\0')
		return declare(t, &masked, e);
	memcpy(parent, path, n);
	parent[n] = '\0';
	dir = unpack_trail_enter(t, parent, e);
	if (dir < 0)
		return -1;
	if (descend(t, path, strlen(path), &masked, e) < 0) {
		/* Not a way that is blocked, but a second thing of this name. */
		if (e->class == ERR_DATA &&
		    fstatat(dir, path + n + (n > 0), &st, AT_SYMLINK_NOFOLLOW) == 0)
			err_set(e, ERR_DATA,
			    "is in the artifact twice: as a %s, then as a directory",
			    unpack_trail_kind(st.st_mode));
		return -1;
	}
	return declare(t, &masked, e);
}

/* Open the rest of `path`, component by component, below the level that is on the way. */
static int
look_down(struct unpack_trail *t, int dir, const char *path, size_t at, struct err *e)
{
	char part[UNPACK_PATH_ROOM];
	size_t start, end;
	int fd;

	for (; path[at] != '\0'; at = end) {
		start = next_component(path, at, &end);
		memcpy(part, path, end);
		part[end] = '\0';
		fd = openat(dir, part + start, DIR_FLAGS);
		if (fd < 0 && errno == EACCES)
			return err_set(e, ERR_DATA,
			    "is in a directory that its owner may not search");
		if (fd < 0)
			return not_opened(dir, part + start, part, e);
		if (t->looked_at >= 0)
			(void)close(t->looked_at);
		t->looked_at = dir = fd;
	}
	return dir;
}

int
unpack_trail_look(struct unpack_trail *t, const char *path, struct err *e)
{
	const struct level *l = &t->levels[common(t, path) - 1];

	return look_down(t, l->fd, path, l->end, e);
}

int
unpack_trail_finish(struct unpack_trail *t, struct err *e)
{
	const struct level *root = &t->levels[0];
	const struct timespec times[2] = { { 0, UTIME_OMIT }, root->meta.mtime };

	if (leave_to(t, 1, e) < 0)
		return -1;
	if (t->place->list != NULL && unpack_list_dir(t->place->list, "", root->meta.mode, e) < 0)
		return -1;
	if (fchmod(root->fd, root->meta.mode) < 0)
		return unpack_trail_failed(e, "chmod", "");
	if (futimens(root->fd, times) < 0)
		return unpack_trail_failed(e, "set the time of", "");
	return 0;
}

void
unpack_trail_free(struct unpack_trail *t)
{
	if (t == NULL)
		return;
	if (t->looked_at >= 0)
		(void)close(t->looked_at);
	while (t->n > 1)
		(void)close(t->levels[--t->n].fd);
	free(t->levels);
	free(t);
}
