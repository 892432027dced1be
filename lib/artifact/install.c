#include "lib/artifact/install.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/fs/file.h"
#include "lib/sys/run.h"

#define UNPACK_TIMEOUT_MS (INT64_C(3600) * 1000)
#define SUFFIX_LEN 6

/* pp-unpack lies beside pp, or where make install puts it. Owns: the caller frees. */
static char *
find_unpacker(struct err *e)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash, *path;

	if (n < 0) {
		err_sys(e, "readlink /proc/self/exe");
		return NULL;
	}
	self[n] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	path = xasprintf("%s/pp-unpack", self);
	if (access(path, X_OK) == 0)
		return path;
	free(path);
	path = xasprintf("%s/../libexec/pp/pp-unpack", self);
	if (access(path, X_OK) == 0)
		return path;
	err_set(e, ERR_FAIL, "pp-unpack is neither in %s nor at %s; install pp whole", self, path);
	free(path);
	return NULL;
}

/* Make and lock a staging directory. Somebody's sweep may take it before it is locked: try again. */
static int
make_staging(const struct install *in, char **name, struct err *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	for (int i = 0; i < 100; i++) {
		char suffix[SUFFIX_LEN + 1] = "";
		struct stat by_fd, by_name;
		int fd, missing;

		for (int k = 0; k < SUFFIX_LEN; k++)
			suffix[k] = letters[arc4random_uniform(sizeof letters - 1)];
		free(*name);
		*name = xasprintf(".%s_%s.%s", in->app, in->version, suffix);
		if (mkdirat(in->dir, *name, 0700) < 0 && errno != EEXIST)
			return err_sys(e, "make %s/%s", in->path, *name);
		fd = dir_open_at(in->dir, *name, &missing, e);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &by_fd) == 0 &&
		    fstatat(in->dir, *name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
		    by_fd.st_ino == by_name.st_ino)
			return fd;
		if (fd >= 0)
			(void)close(fd);
	}
	return err_set(e, ERR_BUSY, "%s: no staging directory can be had", in->path);
}

static int
run_unpacker(const struct install *in, int staging, int fd, struct err *e)
{
	AUTO_FREE char *program = find_unpacker(e);
	AUTO_FREE char *sha256 = NULL, *gid = NULL;
	AUTO_BUF struct buf output = { 0 };
	const char *argv[4] = { program };
	struct run run = { .argv = argv,
		.timeout_ms = UNPACK_TIMEOUT_MS,
		.stdin_fd = fd,
		.cwd_fd = staging };
	int argc = 1, status;

	if (program == NULL)
		return -1;
	if (in->digest != NULL) {
		sha256 = xasprintf("--sha256=%s", in->digest + strlen("sha256:"));
		argv[argc++] = sha256;
	}
	if (in->gid != (gid_t)-1) {
		gid = xasprintf("--gid=%lu", (unsigned long)in->gid);
		argv[argc++] = gid;
	}
	status = run_program(&run, &output, e);
	if (status <= 0)
		return status;
	output.data[strcspn(output.data, "\n")] = '\0';
	return err_set(e,
	    status == EX_DATAERR    ? ERR_DATA :
		status == EX_NOPERM ? ERR_PERM :
				      ERR_FAIL,
	    "%s", output.n ? output.data : "pp-unpack ended without a word");
}

/* All its data on disk, then its name: in this order, whatever happens in between. */
static int
appear(const struct install *in, int staging, const char *from, const char *to, struct err *e)
{
	if (fchmod(staging, 0755) < 0)
		return err_sys(e, "chmod %s/%s", in->path, from);
	if (syncfs(staging) < 0)
		return err_sys(e, "sync %s", in->path);
	log_change("Moving %s/%s to %s/%s", in->path, from, in->path, to);
	if (renameat2(in->dir, from, in->dir, to, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST)
			return err_set(e, ERR_BUSY, "%s/%s appeared meanwhile; it stays as it is",
			    in->path, to);
		if (errno != EINVAL)
			return err_sys(e, "rename %s/%s to %s", in->path, from, to);
		/* A file system that cannot refuse: a directory replaces only an empty one. */
		if (renameat(in->dir, from, in->dir, to) < 0)
			return err_sys(e, "rename %s/%s to %s", in->path, from, to);
	}
	if (fsync(in->dir) < 0)
		return err_sys(e, "fsync %s", in->path);
	return 0;
}

int
install_unpack(const struct install *in, int fd, const char *where, struct err *e)
{
	AUTO_FREE char *staging_name = NULL, *name = NULL;
	AUTO_CLOSE int staging = make_staging(in, &staging_name, e);
	struct err ignored = ERR_INIT;

	if (staging < 0)
		return -1;
	name = xasprintf("%s_%s", in->app, in->version);
	log_change("Extracting %s to %s/%s", where, in->path, staging_name);
	if (run_unpacker(in, staging, fd, e) == 0 &&
	    appear(in, staging, staging_name, name, e) == 0)
		return 0;
	(void)tree_remove(in->dir, staging_name, &ignored);
	return -1;
}

/*
 * ".<app>_<version>.XXXXXX"; another app's name may begin with this one's, which does no harm. The
 * download of a version 1.0 is ".<app>_1.0.part", and is none.
 */
static int
is_staging(const char *name, const char *app)
{
	size_t n = strlen(app), len = strlen(name);

	return name[0] == '.' && strncmp(name + 1, app, n) == 0 && name[n + 1] == '_' &&
	    len > n + 3 + SUFFIX_LEN && name[len - SUFFIX_LEN - 1] == '.' &&
	    strchr(name + len - SUFFIX_LEN, '.') == NULL;
}

/* Open a staging directory that no run holds and lock it: the descriptor, -1 on error, -2 if held. */
static int
claim(int dir, const char *name, struct err *e)
{
	int missing, fd = dir_open_at(dir, name, &missing, e);

	if (fd < 0)
		return missing ? -2 : -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	(void)close(fd);
	return -2;
}

int
install_leftovers(int dir, const char *app, struct strv *names, struct err *e)
{
	AUTO_STRV struct strv all = { 0 };

	if (dir_list(dir, &all, e) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++) {
		int fd;

		if (!is_staging(all.items[i], app))
			continue;
		fd = claim(dir, all.items[i], e);
		if (fd == -1)
			return -1;
		if (fd >= 0) {
			(void)close(fd);
			strv_add(names, xstrdup(all.items[i]));
		}
	}
	return 0;
}

int
install_sweep(int dir, const char *name, struct err *e)
{
	AUTO_CLOSE int fd = claim(dir, name, e);

	if (fd < 0)
		return fd == -1 ? -1 : 0;
	log_change("Removing %s, left by a run that is gone", name);
	return tree_remove(dir, name, e);
}
