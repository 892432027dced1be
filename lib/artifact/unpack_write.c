#include "lib/artifact/unpack_write.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack_name.h"
#include "lib/base/mem.h"

#define WRITEBACK_BYTES (UINT64_C(8) << 20) /* of a file, that the disk is given at once */

#define RESERVE_BYTES (UINT64_C(64) << 20)

struct unpack_writer {
	struct unpack_place place;
	struct unpack_trail *trail;
	struct unpack_sync *sync; /* NULL: none */

	int file; /* being written, or -1 */
	char file_path[UNPACK_PATH_ROOM];
	struct unpack_meta file_meta;
	uint64_t file_end;        /* up to where it was written */
	uint64_t sent;            /* up to where the disk was told to begin */
	uint64_t solid, reserved; /* its size, if it has no holes; up to where it has blocks */
};

static int
check_empty(int root, struct err *e)
{
	int fd, n = 0;
	DIR *dir;

	fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

/* Does what is made in there get another mode than it is made with? */
static int
bends_modes(int root)
{
	struct stat st;

	return fstat(root, &st) < 0 || (st.st_mode & S_ISGID) != 0 ||
	    fgetxattr(root, "system.posix_acl_default", NULL, 0) > 0;
}

struct unpack_writer *
unpack_write_new(int root, const struct unpack_limits *limits, struct unpack_usage *usage,
    struct unpack_list *list, struct unpack_sync *sync, struct err *e)
{
	struct unpack_writer *w;

	if (check_empty(root, e) < 0)
		return NULL;
	w = xcalloc(1, sizeof *w);
	w->file = -1;
	w->place = (struct unpack_place){ root, bends_modes(root), limits, usage, list };
	w->trail = unpack_trail_new(&w->place);
	w->sync = sync;
	return w;
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

/* One more entry: the directory that `path` is in, and its name there. */
static int
place_of(struct unpack_writer *w, const char *path, const char **name, struct err *e)
{
	char parent[UNPACK_PATH_ROOM];

	if (unpack_limits_entry(w->place.limits, w->place.usage, e) < 0)
		return -1;
	*name = split(parent, path);
	return unpack_trail_enter(w->trail, parent, e);
}

int
unpack_write_dir(struct unpack_writer *w, const char *path, const struct unpack_meta *meta,
    struct err *e)
{
	if (unpack_limits_entry(w->place.limits, w->place.usage, e) < 0)
		return -1;
	return unpack_trail_dir(w->trail, path, meta, e);
}

int
unpack_write_symlink(struct unpack_writer *w, const char *path, const char *target,
    const struct unpack_meta *meta, struct err *e)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, meta->mtime };
	const char *name;
	int dir = place_of(w, path, &name, e);

	if (dir < 0)
		return -1;
	if (symlinkat(target, dir, name) < 0)
		return unpack_trail_not_made(dir, name, "symlink", path, e);
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_trail_failed(e, "set the time of", path);
	return w->place.list != NULL ? unpack_list_symlink(w->place.list, path, target, e) : 0;
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
		    unpack_trail_failed(e, "stat", target);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_DATA, "is a %s, not a file", unpack_trail_kind(st.st_mode));
	return 0;
}

int
unpack_write_hardlink(struct unpack_writer *w, const char *path, const char *target, struct err *e)
{
	char parent[UNPACK_PATH_ROOM];
	const char *name, *target_name = split(parent, target);
	int dir = place_of(w, path, &name, e), target_dir;

	if (dir < 0)
		return -1;
	target_dir = unpack_trail_look(w->trail, parent, e);
	if (target_dir < 0 || check_linkable(target_dir, target_name, target, e) < 0)
		return e->class == ERR_DATA ?
		    unpack_name_wrap(e, "hard link target", target[0] != '\0' ? target : ".") :
		    -1;
	if (linkat(target_dir, target_name, dir, name, 0) < 0)
		return unpack_trail_not_made(dir, name, "hard link", path, e);
	return w->place.list != NULL ? unpack_list_hardlink(w->place.list, path, target, e) : 0;
}

int
unpack_write_open(struct unpack_writer *w, const char *path, const struct unpack_meta *meta,
    uint64_t solid, struct err *e)
{
	const char *name;
	int dir = place_of(w, path, &name, e);

	if (dir < 0)
		return -1;
	w->file_meta = *meta;
	w->file_meta.mode &= UNPACK_WRITE_MODES;
	w->file = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    w->file_meta.mode);
	if (w->file < 0)
		return unpack_trail_not_made(dir, name, "file", path, e);
	memcpy(w->file_path, path, strlen(path) + 1);
	w->file_end = w->sent = w->reserved = 0;
	w->solid = solid;
	return 0;
}

/*
 * Blocks for the next part of a large file, all at once: that is cheaper than block by block, and leaves
 * the file in one piece. A file system that cannot do it is none the worse.
 */
static int
reserve(struct unpack_writer *w, uint64_t end, struct err *e)
{
	uint64_t left = w->solid - w->reserved;
	uint64_t n = left < RESERVE_BYTES ? left : RESERVE_BYTES;

	if (w->solid < WRITEBACK_BYTES || end <= w->reserved || left == 0)
		return 0;
	if (fallocate(w->file, FALLOC_FL_KEEP_SIZE, (off_t)w->reserved, (off_t)n) < 0) {
		if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
			return unpack_trail_failed(e, "write", w->file_path);
		n = left;
	}
	w->reserved += n;
	return 0;
}

/*
 * Let the disk begin with what is there of a large file: at the end all of it has to be on it, and to
 * wait for that alone would take as long again. No promise is made here, so no error is looked for.
 */
static void
start_writeback(struct unpack_writer *w)
{
	if (w->file_end - w->sent < WRITEBACK_BYTES)
		return;
	(void)sync_file_range(w->file, (off_t)w->sent, (off_t)(w->file_end - w->sent),
	    SYNC_FILE_RANGE_WRITE);
	w->sent = w->file_end;
}

int
unpack_write_data(struct unpack_writer *w, const void *data, size_t n, uint64_t offset,
    struct err *e)
{
	const char *at = data;

	if (reserve(w, offset + n, e) < 0)
		return -1;
	while (n > 0) {
		ssize_t done = pwrite(w->file, at, n, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return unpack_trail_failed(e, "write", w->file_path);
		at += done;
		n -= (size_t)done;
		offset += (uint64_t)done;
	}
	w->file_end = offset;
	start_writeback(w);
	return 0;
}

int
unpack_write_close(struct unpack_writer *w, uint64_t size,
    const unsigned char tag[UNPACK_TAG_BYTES], struct err *e)
{
	const struct timespec times[2] = { { 0, UTIME_OMIT }, w->file_meta.mtime };
	int fd = w->file;

	if (size > w->file_end && ftruncate(fd, (off_t)size) < 0)
		return unpack_trail_failed(e, "write", w->file_path);
	if (w->place.set_modes && fchmod(fd, w->file_meta.mode) < 0)
		return unpack_trail_failed(e, "chmod", w->file_path);
	if (futimens(fd, times) < 0)
		return unpack_trail_failed(e, "set the time of", w->file_path);
	if (w->sync != NULL)
		unpack_sync_wrote(w->sync, w->file_end - w->sent);
	w->file = -1;
	if (close(fd) < 0)
		return unpack_trail_failed(e, "write", w->file_path);
	if (w->place.list == NULL)
		return 0;
	return unpack_list_file(w->place.list, w->file_path, w->file_meta.mode, size, tag, e);
}

int
unpack_write_finish(struct unpack_writer *w, struct err *e)
{
	if (unpack_trail_finish(w->trail, e) < 0)
		return -1;
	return w->place.list != NULL ? unpack_list_finish(w->place.list, e) : 0;
}

void
unpack_write_free(struct unpack_writer *w)
{
	if (w == NULL)
		return;
	if (w->file >= 0)
		(void)close(w->file);
	unpack_trail_free(w->trail);
	free(w);
}
