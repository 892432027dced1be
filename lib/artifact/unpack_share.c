#include "lib/artifact/unpack_share.h"

#include <sys/ioctl.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "lib/artifact/unpack_list.h"
#include "lib/artifact/unpack_set.h"
#include "lib/artifact/unpack_tree.h"
#include "lib/base/mem.h"

/*
 * btrfs keeps what takes less than a block with the inode, and elsewhere a clone of it costs more than it
 * saves. A hard link saves the inode too.
 */
#define CLONE_MIN_BYTES 4096
#define LINK_MIN_BYTES 1

#define BLOCK_BYTES ((size_t)256 << 10)
#define KEY_ROOM (UNPACK_PATH_ROOM + sizeof(uint64_t))
#define TEMPORARY ".pp-share.tmp"

/* What became of one file; after IMPOSSIBLE no other one needs to be tried in that way. */
enum outcome { LEFT, SHARED, IMPOSSIBLE };

struct share {
	const struct unpack_share *o;
	struct unpack_tree tree, old_tree;
	struct unpack_set *old_files;
	char *block, *old_block;
	int clones, links; /* worth trying */
	uint64_t min_bytes;
	uint64_t files, bytes;

	/* Of the directory in `tree`: renaming changes its time, which is put back. */
	struct timespec dir_times[2];
	int dir_touched;
};

/* One file on both sides, open. */
struct pair {
	int dir, old_dir; /* borrowed */
	const char *name, *old_name;
	int fd, old_fd;
	struct stat st, old_st;
};

static void
release(struct share *s)
{
	unpack_tree_release(&s->tree);
	unpack_tree_release(&s->old_tree);
	unpack_set_free(s->old_files);
	free(s->block);
	free(s->old_block);
}

static void
release_pair(struct pair *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	if (p->old_fd >= 0)
		(void)close(p->old_fd);
}

static int
failed(struct err *e, const char *doing, const char *path)
{
	char shown[UNPACK_SHOW_ROOM];
	const int number = errno;

	unpack_name_show(shown, path);
	errno = number;
	return err_sys(e, "%s %s", doing, shown);
}

/* --- the lists */

/* Two files with the same key may be the same; the tags of two lists tell nothing about each other. */
static size_t
key_of(char *key, const struct unpack_list_entry *entry)
{
	const size_t n = strlen(entry->path);
	char *at = key;

	at = mempcpy(at, &entry->size, sizeof entry->size);
	at = mempcpy(at, entry->path, n);
	return (size_t)(at - key);
}

static int
is_worth_it(const struct share *s, const struct unpack_list_entry *entry)
{
	return entry->kind == UNPACK_LIST_FILE && entry->size >= s->min_bytes;
}

static int
read_old_list(struct share *s, struct err *e)
{
	struct unpack_list_reader *r = unpack_list_open(s->o->old_list, e);
	struct unpack_list_entry entry;
	char key[KEY_ROOM];
	int got;

	if (r == NULL)
		return -1;
	while ((got = unpack_list_next(r, &entry, e)) == 1)
		if (is_worth_it(s, &entry))
			unpack_set_add(s->old_files, key, key_of(key, &entry));
	unpack_list_close(r);
	(void)unpack_set_seal(s->old_files);
	return got;
}

/* --- the directory that is being changed */

static int
touch_dir(struct share *s, int dir, struct err *e)
{
	struct stat st;

	if (s->dir_touched)
		return 0;
	if (fstat(dir, &st) < 0)
		return err_sys(e, "stat a directory of the install");
	s->dir_times[0] = st.st_atim;
	s->dir_times[1] = st.st_mtim;
	s->dir_touched = 1;
	return 0;
}

static int
leave_dir(struct share *s, struct err *e)
{
	if (!s->dir_touched)
		return 0;
	s->dir_touched = 0;
	if (utimensat(s->tree.parent, ".", s->dir_times, 0) < 0)
		return err_sys(e, "set the time of a directory of the install");
	return 0;
}

/* --- one file */

static int
open_new(struct share *s, const struct unpack_list_entry *entry, struct pair *p, struct err *e)
{
	if (!unpack_tree_is_at(&s->tree, entry->path) && leave_dir(s, e) < 0)
		return -1;
	p->dir = unpack_tree_parent(&s->tree, entry->path, &p->name);
	if (p->dir < 0)
		return failed(e, "open the directory of", entry->path);
	p->fd = openat(p->dir, p->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (p->fd < 0 && errno == EACCES)
		return LEFT;
	if (p->fd < 0 || fstat(p->fd, &p->st) < 0)
		return failed(e, "open", entry->path);
	/* A file with several names in the install has to stay one file. */
	if (!S_ISREG(p->st.st_mode) || (uint64_t)p->st.st_size != entry->size ||
	    p->st.st_nlink != 1)
		return LEFT;
	return SHARED;
}

/* The other install may have been tampered with: anything may stand there, and nothing is an error. */
static int
open_old(struct share *s, const struct unpack_list_entry *entry, struct pair *p)
{
	struct stat st;

	p->old_dir = unpack_tree_parent(&s->old_tree, entry->path, &p->old_name);
	if (p->old_dir < 0 || fstatat(p->old_dir, p->old_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode) || st.st_size != p->st.st_size)
		return LEFT;
	if (st.st_dev == p->st.st_dev && st.st_ino == p->st.st_ino)
		return LEFT;
	p->old_fd = openat(p->old_dir, p->old_name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (p->old_fd < 0 || fstat(p->old_fd, &p->old_st) < 0)
		return LEFT;
	return S_ISREG(p->old_st.st_mode) && p->old_st.st_size == p->st.st_size ? SHARED : LEFT;
}

static ssize_t
read_block(int fd, char *block, off_t at)
{
	size_t n = 0;
	ssize_t got;

	while (n < BLOCK_BYTES) {
		got = pread(fd, block + n, BLOCK_BYTES - n, at + (off_t)n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* Is in `old_fd` what is in the new file? Returns: SHARED, or LEFT; -1 if the new one cannot be read. */
static int
compare(struct share *s, const struct pair *p, int old_fd, const char *path, struct err *e)
{
	off_t at = 0;
	ssize_t n, old_n;

	if (p->st.st_size > (off_t)BLOCK_BYTES)
		(void)posix_fadvise(old_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	do {
		n = read_block(p->fd, s->block, at);
		if (n < 0)
			return failed(e, "read", path);
		old_n = read_block(old_fd, s->old_block, at);
		if (old_n != n || memcmp(s->block, s->old_block, (size_t)n) != 0)
			return LEFT;
		at += n;
	} while (n == (ssize_t)BLOCK_BYTES);
	return at == p->st.st_size ? SHARED : LEFT;
}

static int
is_impossible(int number)
{
	return number == EOPNOTSUPP || number == ENOTTY || number == ENOSYS || number == EXDEV ||
	    number == EINVAL;
}

/*
 * Clone first and compare then: what is compared is what is shared, though the other install be
 * written to meanwhile, and it is read from the disk, not from what the kernel remembers of it.
 */
static int
clone_into(struct share *s, const struct pair *p, int fd, const char *path, struct err *e)
{
	const struct timespec times[2] = { p->st.st_atim, p->st.st_mtim };
	int r;

	if (ioctl(fd, FICLONE, p->old_fd) < 0)
		return is_impossible(errno) && s->files == 0 ? IMPOSSIBLE : LEFT;
	r = compare(s, p, fd, path, e);
	if (r != SHARED)
		return r;
	if (fchown(fd, p->st.st_uid, p->st.st_gid) < 0 || fchmod(fd, p->st.st_mode & 07777) < 0 ||
	    futimens(fd, times) < 0)
		return LEFT;
	return renameat(p->dir, TEMPORARY, p->dir, p->name) < 0 ? LEFT : SHARED;
}

/*
 * Into a new file, which then takes the place: into the one that is there, the kernel would first
 * write to disk all that is to be thrown away.
 */
static int
clone_file(struct share *s, const struct pair *p, const char *path, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	int r;

	if (touch_dir(s, p->dir, e) < 0)
		return -1;
	fd = openat(p->dir, TEMPORARY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return LEFT;
	r = clone_into(s, p, fd, path, e);
	if (r != SHARED && unlinkat(p->dir, TEMPORARY, 0) < 0)
		return failed(e, "remove a temporary file beside", path);
	return r;
}

/* May nobody write to the old file but those who may write to anything in the new install as well? */
static int
is_linkable(const struct pair *p)
{
	const struct stat *new = &p->st, *old = &p->old_st;

	return old->st_uid == geteuid() && (old->st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
	    old->st_mode == new->st_mode && old->st_uid == new->st_uid &&
	    old->st_gid == new->st_gid && old->st_mtim.tv_sec == new->st_mtim.tv_sec &&
	    old->st_mtim.tv_nsec == new->st_mtim.tv_nsec;
}

/* The name may stand for another file by now than the one that was compared. */
static int
link_into(const struct pair *p)
{
	struct stat st;

	if (fstatat(p->dir, TEMPORARY, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_dev != p->old_st.st_dev || st.st_ino != p->old_st.st_ino)
		return LEFT;
	return renameat(p->dir, TEMPORARY, p->dir, p->name) < 0 ? LEFT : SHARED;
}

static int
link_file(struct share *s, const struct pair *p, const char *path, struct err *e)
{
	int r;

	if (!is_linkable(p))
		return LEFT;
	r = compare(s, p, p->old_fd, path, e);
	if (r != SHARED)
		return r;
	if (touch_dir(s, p->dir, e) < 0)
		return -1;
	if (linkat(p->old_dir, p->old_name, p->dir, TEMPORARY, 0) < 0)
		return is_impossible(errno) ? IMPOSSIBLE : LEFT;
	r = link_into(p);
	if (r != SHARED && unlinkat(p->dir, TEMPORARY, 0) < 0)
		return failed(e, "remove a temporary file beside", path);
	return r;
}

static int
share_file(struct share *s, const struct unpack_list_entry *entry, struct err *e)
{
	__attribute__((cleanup(release_pair))) struct pair p = { .fd = -1, .old_fd = -1 };
	int r = open_new(s, entry, &p, e);

	if (r == SHARED)
		r = open_old(s, entry, &p);
	if (r != SHARED)
		return r;
	if (s->clones) {
		r = clone_file(s, &p, entry->path, e);
		s->clones = r != IMPOSSIBLE;
		if (r != IMPOSSIBLE)
			return r;
	}
	if (!s->links)
		return LEFT;
	r = link_file(s, &p, entry->path, e);
	s->links = r != IMPOSSIBLE;
	return r;
}

/* --- the whole */

/* An empty file tells whether the file system knows clones at all, for next to nothing. */
static int
probe_clones(struct share *s, struct err *e)
{
	const char *name;
	const int dir = unpack_tree_parent(&s->tree, "", &name);

	if (dir < 0)
		return err_sys(e, "open the install");
	if (touch_dir(s, dir, e) < 0)
		return -1;
	AUTO_CLOSE int fd =
	    openat(dir, TEMPORARY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* Whatever hinders that hinders clones as well. */
	if (fd < 0)
		return leave_dir(s, e);
	s->clones = ioctl(fd, FICLONE, fd) == 0;
	if (unlinkat(dir, TEMPORARY, 0) < 0)
		return err_sys(e, "remove %s", TEMPORARY);
	return leave_dir(s, e);
}

static int
share_files(struct share *s, struct unpack_list_reader *list, struct err *e)
{
	struct unpack_list_entry entry;
	char key[KEY_ROOM];
	int r;

	while ((s->clones || s->links) && (r = unpack_list_next(list, &entry, e)) != 0) {
		if (r < 0)
			return -1;
		if (!is_worth_it(s, &entry) ||
		    !unpack_set_has(s->old_files, key, key_of(key, &entry)))
			continue;
		r = share_file(s, &entry, e);
		if (r < 0)
			return -1;
		if (r == SHARED) {
			s->files++;
			s->bytes += entry.size;
		}
	}
	return leave_dir(s, e);
}

int
unpack_share(const struct unpack_share *o, struct unpack_shared *done, struct err *e)
{
	__attribute__((cleanup(release))) struct share s = { .o = o, .links = o->link };
	struct unpack_list_reader *list;
	int r;

	*done = (struct unpack_shared){ .old_list = ERR_INIT };
	unpack_tree_init(&s.tree, o->root);
	unpack_tree_init(&s.old_tree, o->old_root);
	if (probe_clones(&s, e) < 0)
		return -1;
	if (!s.clones && !s.links)
		return 0;
	s.min_bytes = s.clones ? CLONE_MIN_BYTES : LINK_MIN_BYTES;
	s.old_files = unpack_set_new();
	if (read_old_list(&s, &done->old_list) < 0)
		return 0;
	s.block = xcalloc(1, BLOCK_BYTES);
	s.old_block = xcalloc(1, BLOCK_BYTES);
	list = unpack_list_open(o->list, e);
	if (list == NULL)
		return -1;
	r = share_files(&s, list, e);
	unpack_list_close(list);
	done->files = s.files;
	done->bytes = s.bytes;
	return r;
}
