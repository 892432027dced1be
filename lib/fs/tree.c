#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/fs/file.h"

#define DEPTH_MAX 1000 /* of a tree to remove; an artifact's path has at most 4095 bytes */

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

static int remove_at(int dir, const char *name, int depth, struct err *e);

static int
remove_children(int dir, const char *name, int depth, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	AUTO_STRV struct strv names = { 0 };

	if (depth > DEPTH_MAX)
		return err_set(e, ERR_DATA, "%s: nested too deep to remove", name);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == EACCES && fchmodat(dir, name, 0700, 0) == 0)
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, "open directory %s", name);
	if (dir_list(fd, &names, e) < 0)
		return -1;
	if (names.n > 0 && fchmod(fd, 0700) < 0 && errno != EPERM)
		return err_sys(e, "chmod %s", name);
	for (size_t i = 0; i < names.n; i++)
		if (remove_at(fd, names.items[i], depth + 1, e) < 0)
			return -1;
	return 0;
}

static int
remove_at(int dir, const char *name, int depth, struct err *e)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", name);
	if (S_ISDIR(st.st_mode) && remove_children(dir, name, depth, e) < 0)
		return -1;
	if (unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", name);
	return 0;
}

int
tree_remove(int dir, const char *name, struct err *e)
{
	return remove_at(dir, name, 0, e);
}
