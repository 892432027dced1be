#include "lib/artifact/unpack_check.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "lib/artifact/unpack_list.h"
#include "lib/artifact/unpack_set.h"
#include "lib/artifact/unpack_tree.h"
#include "lib/base/mem.h"

#define BLOCK_BYTES ((size_t)256 << 10)
#define MODE_BITS 07777

struct check {
	const struct unpack_check *o;
	int root;
	struct unpack_tree tree, targets;
	struct unpack_list_reader *list;
	struct unpack_set *names;
	struct unpack_tag *tag;
	char *block;
	uint64_t faults;
	int root_listed;
};

static void
release(struct check *c)
{
	unpack_tree_release(&c->tree);
	unpack_tree_release(&c->targets);
	unpack_list_close(c->list);
	unpack_set_free(c->names);
	unpack_tag_free(c->tag);
	free(c->block);
}

static void fault(struct check *c, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
fault(struct check *c, const char *path, const char *fmt, ...)
{
	char shown[UNPACK_SHOW_ROOM];
	va_list ap;

	if (++c->faults > UNPACK_CHECK_SHOWN)
		return;
	unpack_name_show(shown, path[0] != '\0' ? path : ".");
	(void)fprintf(c->o->out, "%s: ", shown);
	va_start(ap, fmt);
	(void)vfprintf(c->o->out, fmt, ap);
	va_end(ap);
	(void)fputc('\n', c->o->out);
}

/* A system call failed on `path`. What the disk or a tamperer did is a fault, the rest an error. */
static int
failed(struct check *c, const char *doing, const char *path, struct err *e)
{
	char shown[UNPACK_SHOW_ROOM];
	const int number = errno;

	switch (number) {
	case ENOENT:
		fault(c, path, "missing");
		return 0;
	case ENOTDIR:
	case ELOOP:
		fault(c, path, "missing: something that is not a directory is in its way");
		return 0;
	case EIO:
	case EBADMSG: /* checksums of ext4, xfs and btrfs */
	case EUCLEAN:
	case ENODATA: /* a block device's way to say that a sector is lost */
	case ESTALE:
		fault(c, path, "cannot be read: %s", strerror(number));
		return 0;
	default:
		unpack_name_show(shown, path[0] != '\0' ? path : ".");
		errno = number;
		return err_sys(e, "%s %s", doing, shown);
	}
}

static const char *
kind_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a file";
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symlink";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFBLK:
	case S_IFCHR:
		return "a device";
	default:
		return "of an unknown kind";
	}
}

static mode_t
kind_of(const struct unpack_list_entry *entry)
{
	switch (entry->kind) {
	case UNPACK_LIST_DIR:
		return S_IFDIR;
	case UNPACK_LIST_SYMLINK:
		return S_IFLNK;
	default:
		return S_IFREG;
	}
}

/* Stat an entry. Returns: 1; 0 if it is not there or not of its kind, which is noted; -1 with *e. */
static int
look(struct check *c, struct unpack_tree *t, const char *path, mode_t kind, struct stat *st,
    struct err *e)
{
	const char *name;
	const int dir = unpack_tree_parent(t, path, &name);

	if (dir < 0 || fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(c, "stat", path, e);
	if ((st->st_mode & S_IFMT) == kind)
		return 1;
	fault(c, path, "is %s, should be %s", kind_name(st->st_mode), kind_name(kind));
	return 0;
}

static void
check_owner(struct check *c, const char *path, const struct stat *st)
{
	if (c->o->uid >= 0 && st->st_uid != (uid_t)c->o->uid)
		fault(c, path, "user is %u, should be %u", st->st_uid, (uid_t)c->o->uid);
	if (c->o->gid >= 0 && st->st_gid != (gid_t)c->o->gid)
		fault(c, path, "group is %u, should be %u", st->st_gid, (gid_t)c->o->gid);
}

static int
check_mode(struct check *c, const struct unpack_list_entry *entry, const struct stat *st)
{
	if ((st->st_mode & MODE_BITS) == entry->mode)
		return 1;
	fault(c, entry->path, "mode is %04o, should be %04o", st->st_mode & MODE_BITS, entry->mode);
	return 0;
}

/* Read all of the file for its tag. Returns: 1; 0 if reading failed, with errno set; -1 with *e. */
static int
tag_of(struct check *c, int fd, const struct unpack_list_entry *entry, unsigned char *tag,
    struct err *e)
{
	uint64_t done = 0;

	unpack_tag_again(c->tag, entry->tag);
	if (entry->size > BLOCK_BYTES)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (done < entry->size) {
		const ssize_t n = read(fd, c->block, BLOCK_BYTES);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return 0;
		if (n == 0)
			break;
		unpack_tag_add(c->tag, c->block, (size_t)n);
		done += (uint64_t)n;
	}
	return unpack_tag_end(c->tag, tag, e) < 0 ? -1 : 1;
}

static int
check_content(struct check *c, const struct unpack_list_entry *entry, const struct stat *st,
    struct err *e)
{
	unsigned char tag[UNPACK_TAG_BYTES];
	const char *name;
	const int dir = unpack_tree_parent(&c->tree, entry->path, &name);
	struct stat opened;
	int r;

	/* It was a file when it was looked at; O_NONBLOCK in case it is a FIFO by now. */
	AUTO_CLOSE int fd = dir < 0 ?
	    -1 :
	    openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &opened) < 0)
		return failed(c, "open", entry->path, e);
	if (opened.st_dev != st->st_dev || opened.st_ino != st->st_ino) {
		fault(c, entry->path, "is being changed");
		return 0;
	}
	r = tag_of(c, fd, entry, tag, e);
	if (r <= 0)
		return r < 0 ? -1 : failed(c, "read", entry->path, e);
	if (memcmp(tag, entry->tag, sizeof tag) != 0)
		fault(c, entry->path, "content differs");
	return 0;
}

static int
check_file(struct check *c, const struct unpack_list_entry *entry, const struct stat *st,
    struct err *e)
{
	if (!check_mode(c, entry, st) && (st->st_mode & S_IRUSR) == 0 && geteuid() != 0)
		return 0;
	if ((uint64_t)st->st_size == entry->size)
		return check_content(c, entry, st, e);
	fault(c, entry->path, "size is %jd, should be %" PRIu64, (intmax_t)st->st_size,
	    entry->size);
	return 0;
}

static int
check_hardlink(struct check *c, const struct unpack_list_entry *entry, const struct stat *st,
    struct err *e)
{
	char shown[UNPACK_SHOW_ROOM];
	struct stat other = { 0 };
	int r = look(c, &c->targets, entry->target, S_IFREG, &other, e);

	if (r <= 0)
		return r;
	if (other.st_dev == st->st_dev && other.st_ino == st->st_ino)
		return 0;
	unpack_name_show(shown, entry->target);
	fault(c, entry->path, "is not a hard link to %s any more", shown);
	return 0;
}

static int
check_symlink(struct check *c, const struct unpack_list_entry *entry, struct err *e)
{
	char target[UNPACK_PATH_ROOM], shown[UNPACK_SHOW_ROOM];
	const char *name;
	const int dir = unpack_tree_parent(&c->tree, entry->path, &name);
	const ssize_t n = dir < 0 ? -1 : readlinkat(dir, name, target, sizeof target - 1);

	if (n < 0)
		return failed(c, "readlink", entry->path, e);
	target[n] = '\0';
	if (strcmp(target, entry->target) == 0)
		return 0;
	unpack_name_show(shown, target);
	fault(c, entry->path, "points at %s", shown);
	return 0;
}

/* Note what is in the directory `path` and not in the list. */
static int
check_names(struct check *c, const char *path, DIR *dir, struct err *e)
{
	/* Room for any name that the kernel gives; the list's own paths are shorter. */
	char child[UNPACK_PATH_ROOM + NAME_MAX + 2];
	const struct dirent *d;
	const char *slash = path[0] != '\0' ? "/" : "";
	int n;

	while (errno = 0, (d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		n = snprintf(child, sizeof child, "%s%s%s", path, slash, d->d_name);
		if (!unpack_set_has(c->names, child, (size_t)n))
			fault(c, child, "is not in the list");
	}
	return errno == 0 ? 0 : failed(c, "read", path, e);
}

static int
check_dir(struct check *c, const char *path, struct err *e)
{
	int fd = unpack_tree_open_dir(c->root, path, O_RDONLY), r;
	DIR *dir;

	if (fd < 0)
		return failed(c, "open", path, e);
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return failed(c, "open", path, e);
	}
	r = check_names(c, path, dir, e);
	(void)closedir(dir);
	return r;
}

static int
check_entry(struct check *c, const struct unpack_list_entry *entry, struct err *e)
{
	struct stat st = { 0 };
	int r = look(c, &c->tree, entry->path, kind_of(entry), &st, e);

	if (r <= 0)
		return r;
	check_owner(c, entry->path, &st);
	switch (entry->kind) {
	case UNPACK_LIST_FILE:
		return check_file(c, entry, &st, e);
	case UNPACK_LIST_HARDLINK:
		return check_hardlink(c, entry, &st, e);
	case UNPACK_LIST_SYMLINK:
		return check_symlink(c, entry, e);
	case UNPACK_LIST_DIR:
		(void)check_mode(c, entry, &st);
		return check_dir(c, entry->path, e);
	}
	return 0;
}

/* Read the whole list before anything is believed of it: it may be cut short, or name things twice. */
static int
read_names(struct check *c, struct err *e)
{
	struct unpack_list_entry entry;
	int r;

	while ((r = unpack_list_next(c->list, &entry, e)) == 1) {
		unpack_set_add(c->names, entry.path, strlen(entry.path));
		c->root_listed |= entry.path[0] == '\0';
	}
	if (r < 0)
		return -1;
	if (!unpack_set_seal(c->names))
		return err_set(e, ERR_DATA, "the list names something twice");
	return 0;
}

/* An artifact need not say anything of the directory that it is unpacked to. */
static int
check_root(struct check *c, struct err *e)
{
	struct stat st;

	if (c->root_listed)
		return 0;
	if (fstat(c->root, &st) < 0)
		return failed(c, "stat", "", e);
	check_owner(c, "", &st);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fault(c, "", "mode is %04o, others can write into it", st.st_mode & MODE_BITS);
	return check_dir(c, "", e);
}

static int
check_entries(struct check *c, struct err *e)
{
	struct unpack_list_entry entry;
	int r;

	unpack_list_rewind(c->list);
	while ((r = unpack_list_next(c->list, &entry, e)) == 1)
		if (check_entry(c, &entry, e) < 0)
			return -1;
	return r < 0 ? -1 : check_root(c, e);
}

static int
tell(const struct check *c, struct err *e)
{
	if (c->faults > UNPACK_CHECK_SHOWN)
		(void)fprintf(c->o->out, "and %" PRIu64 " more\n", c->faults - UNPACK_CHECK_SHOWN);
	if (fflush(c->o->out) != 0)
		return err_sys(e, "write what was found");
	if (c->faults > 0)
		return err_set(e, ERR_DATA, "the install is not what was unpacked: %" PRIu64 " %s",
		    c->faults, c->faults == 1 ? "fault" : "faults");
	return 0;
}

int
unpack_check(int root, int list, const struct unpack_check *o, struct err *e)
{
	__attribute__((cleanup(release))) struct check c = { .o = o, .root = root };

	unpack_tree_init(&c.tree, root);
	unpack_tree_init(&c.targets, root);
	c.names = unpack_set_new();
	c.block = xcalloc(1, BLOCK_BYTES);
	c.list = unpack_list_open(list, e);
	if (c.list == NULL || read_names(&c, e) < 0)
		return -1;
	c.tag = unpack_tag_new(unpack_list_key(c.list), e);
	if (c.tag == NULL || check_entries(&c, e) < 0)
		return -1;
	return tell(&c, e);
}
