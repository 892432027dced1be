#include "lib/fs/file.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
file_read(int dir, const char *name, size_t max, struct buf *out, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;
	char chunk[16384];
	ssize_t n;

	/* O_NONBLOCK: a FIFO in its place must not hang the run. */
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? 1 : err_sys(e, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_DATA, "%s is not a regular file", name);
	while ((n = read(fd, chunk, sizeof chunk)) > 0) {
		buf_add(out, chunk, (size_t)n);
		if (out->n > max)
			return err_set(e, ERR_DATA, "%s is larger than %zu bytes", name, max);
	}
	if (n < 0)
		return err_sys(e, "read %s", name);
	buf_add(out, "", 0);
	return 0;
}

int
file_read_path(const char *path, size_t max, struct buf *out, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char chunk[16384];
	size_t n;
	int bad;

	if (f == NULL)
		return err_sys(e, "open %s", path);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0 && out->n <= max)
		buf_add(out, chunk, n);
	bad = ferror(f);
	if (f != stdin)
		(void)fclose(f);
	if (bad)
		return err_sys(e, "read %s", path);
	if (out->n > max)
		return err_set(e, ERR_DATA, "%s is larger than %zu bytes", path, max);
	buf_add(out, "", 0);
	return 0;
}

static int
write_all(int fd, const void *data, size_t n)
{
	const char *at = data;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

static int
fill(int fd, const char *name, const void *data, size_t n, const struct file_attr *attr,
    struct err *e)
{
	if (write_all(fd, data, n) < 0)
		return err_sys(e, "write %s", name);
	if ((attr->uid != FILE_KEEP || attr->gid != FILE_KEEP) &&
	    fchown(fd, attr->uid, attr->gid) < 0)
		return err_sys(e, "chown %s", name);
	/* After chown, which clears bits; and whatever the umask is. */
	if (fchmod(fd, attr->mode) < 0)
		return err_sys(e, "chmod %s", name);
	if (fsync(fd) < 0)
		return err_sys(e, "fsync %s", name);
	return 0;
}

int
file_stage(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    char **tmp, struct err *e)
{
	AUTO_FREE char *path = xasprintf(".%s.tmp", name);
	AUTO_CLOSE int fd = -1;

	/* A run that was killed may have left one; the lock makes it ours. */
	if (unlinkat(dir, path, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", path);
	fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "create %s", path);
	if (fill(fd, path, data, n, attr, e) < 0) {
		(void)unlinkat(dir, path, 0);
		return -1;
	}
	*tmp = mem_take(&path);
	return 0;
}

int
file_rehearse(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    struct err *e)
{
	AUTO_FREE char *tmp = NULL;

	if (file_stage(dir, name, data, n, attr, &tmp, e) < 0)
		return -1;
	return unlinkat(dir, tmp, 0) < 0 ? err_sys(e, "remove %s", tmp) : 0;
}

int
file_publish(int dir, const char *tmp, const char *name, struct err *e)
{
	if (renameat(dir, tmp, dir, name) < 0) {
		err_sys(e, "rename %s to %s", tmp, name);
		(void)unlinkat(dir, tmp, 0);
		return -1;
	}
	if (fsync(dir) < 0)
		return err_sys(e, "fsync directory of %s", name);
	return 0;
}

int
file_write(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    struct err *e)
{
	AUTO_FREE char *tmp = NULL;

	if (file_stage(dir, name, data, n, attr, &tmp, e) < 0)
		return -1;
	return file_publish(dir, tmp, name, e);
}

int
file_same(int dir, const char *name, const void *data, size_t n, const struct file_attr *attr,
    struct err *e)
{
	AUTO_BUF struct buf now = { 0 };
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", name);
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size != n || (st.st_mode & 07777) != attr->mode ||
	    (attr->uid != FILE_KEEP && st.st_uid != attr->uid) ||
	    (attr->gid != FILE_KEEP && st.st_gid != attr->gid))
		return 0;
	if (file_read(dir, name, n, &now, e) < 0)
		return -1;
	return now.n == n && (n == 0 || memcmp(now.data, data, n) == 0);
}

int
file_remove(int dir, const char *name, struct err *e)
{
	if (unlinkat(dir, name, 0) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "remove %s", name);
	if (fsync(dir) < 0)
		return err_sys(e, "fsync directory of %s", name);
	return 0;
}

int
link_flip(int dir, const char *name, const char *target, struct err *e)
{
	AUTO_FREE char *tmp = xasprintf(".%s.tmp", name);
	char now[PATH_MAX];
	struct stat st;
	ssize_t n;

	n = readlinkat(dir, name, now, sizeof now);
	if (n < 0 && errno == EINVAL)
		return err_set(e, ERR_FAIL,
		    "%s is in the way: it is not a symlink, so pp did not make it; move it away",
		    name);
	if (n < 0 && errno != ENOENT)
		return err_sys(e, "readlink %s", name);
	if (n >= 0 && (size_t)n == strlen(target) && memcmp(now, target, (size_t)n) == 0)
		return 0;

	/* A run that was killed may have left one; the lock makes it ours. */
	if (fstatat(dir, tmp, &st, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(dir, tmp, 0) < 0)
		return err_sys(e, "remove %s", tmp);
	if (symlinkat(target, dir, tmp) < 0)
		return err_sys(e, "symlink %s", tmp);
	return file_publish(dir, tmp, name, e);
}

char *
link_read(int dir, const char *name, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n;

	n = readlinkat(dir, name, target, sizeof target);
	if (n < 0) {
		if (errno != ENOENT && errno != EINVAL)
			err_sys(e, "readlink %s", name);
		return NULL;
	}
	return xmemdup(target, (size_t)n);
}
