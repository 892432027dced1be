#include "lib/artifact/install.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/artifact/installs.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/fs/file.h"
#include "lib/sys/run.h"

#define UNPACK_TIMEOUT_MS (INT64_C(3600) * 1000)
#define STAGING_TRIES 100
#define NOTHING_SHARED "shared 0 files" /* how pp-unpack --share says that it was of no use */
#define LOCK_MS 2000 /* it is held for as long as it takes to make a directory and read another */
#define LOCK_POLL_MS 20

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

/* A call of pp-unpack as it is put together. */
struct call {
	struct strv argv;
	int fds[8]; /* that it inherits; -1 ends */
	size_t nfds;
};

static void
call_flag(struct call *c, const char *name)
{
	strv_add(&c->argv, xstrdup(name));
}

static void
call_number(struct call *c, const char *name, uint64_t n)
{
	strv_add(&c->argv, xasprintf("--%s=%" PRIu64, name, n));
}

static void
call_fd(struct call *c, const char *name, int fd)
{
	call_number(c, name, (uint64_t)fd);
	c->fds[c->nfds++] = fd;
	c->fds[c->nfds] = -1;
}

static int
call_new(struct call *c, const struct install *in, struct err *e)
{
	char *program = find_unpacker(e);

	*c = (struct call){ .fds = { -1 } };
	if (program == NULL)
		return -1;
	strv_add(&c->argv, program);
	if (in->uid != (uid_t)-1)
		call_number(c, "uid", in->uid);
	if (in->gid != (gid_t)-1)
		call_number(c, "gid", in->gid);
	return 0;
}

/* Its exit status; -1 with *e set. *output is what it said. Releases the call. */
static int
call_run(struct call *c, int cwd, int in, struct buf *output, struct err *e)
{
	struct run run = { .argv = (const char *const *)c->argv.items,
		.timeout_ms = UNPACK_TIMEOUT_MS,
		.stdin_fd = in,
		.cwd_fd = cwd,
		.keep_fds = c->fds };
	int status = run_program(&run, output, e);

	strv_release(&c->argv);
	return status;
}

/* The last line of what pp-unpack said is the error; what is before it are notes. */
static int
unpacker_failed(int status, struct buf *output, struct err *e)
{
	AUTO_STRV struct strv lines = { 0 };
	const char *last = "pp-unpack ended without a word";

	if (status > 128)
		return err_set(e, ERR_FAIL, "pp-unpack was killed by signal %d", status - 128);
	strv_split(&lines, output->data, '\n');
	for (size_t i = 0; i < lines.n; i++)
		if (lines.items[i][0] != '\0')
			last = lines.items[i];
	return err_set(e,
	    status == EX_DATAERR    ? ERR_DATA :
		status == EX_NOPERM ? ERR_PERM :
				      ERR_FAIL,
	    "%s", last);
}

/* ---- the claim ---- */

/*
 * Of two runs that begin at once, one is to have it; without the lock they would both give up. Anybody
 * who may read the directory can keep it locked, so it is not waited for without end, and nothing else
 * depends on it.
 */
static int
lock_briefly(const struct install *in, int fd, struct err *e)
{
	for (int64_t end = clock_now_ms() + clock_bound_ms(LOCK_MS);;) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "lock %s", in->path);
		if (clock_now_ms() >= end)
			break;
		clock_sleep_ms(LOCK_POLL_MS);
	}
	log_note("%s is locked by somebody else; going on without", in->path);
	return 0;
}

/* Is another run at this version? We have a directory for it now, so it would see us in turn. */
static int
check_alone(const struct install *in, const char *own, struct err *e)
{
	AUTO_INSTALLS struct installs found = { 0 };

	if (installs_scan(in->dir, in->app, &found, e) < 0)
		return err_wrap(e, "%s", in->path);
	for (size_t i = 0; i < found.n; i++)
		if (found.entries[i].held && strcmp(found.entries[i].version, in->version) == 0 &&
		    strcmp(found.entries[i].name, own) != 0)
			return err_set(e, ERR_BUSY,
			    "another run is preparing it; the next one looks again");
	return 0;
}

/* A sweep may take the new directory before it is locked here: then another one is made. */
static int
make_staging(const struct install *in, struct install_stage *stage, struct err *e)
{
	for (int i = 0; i < STAGING_TRIES; i++) {
		struct stat by_fd, by_name;

		free(stage->name);
		stage->name = installs_staging_name(in->app, in->version);
		if (mkdirat(in->dir, stage->name, 0700) < 0) {
			const int taken = errno == EEXIST;

			err_sys(e, "make %s/%s", in->path, stage->name);
			/* It is not ours to remove. */
			free(stage->name);
			stage->name = NULL;
			if (!taken)
				return -1;
			continue;
		}
		stage->dir = installs_hold(in->dir, stage->name, e);
		if (stage->dir == -1)
			return -1;
		if (stage->dir >= 0 && fstat(stage->dir, &by_fd) == 0 &&
		    fstatat(in->dir, stage->name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
		    by_fd.st_ino == by_name.st_ino)
			return 0;
		if (stage->dir >= 0)
			(void)close(stage->dir);
		stage->dir = -1;
	}
	return err_set(e, ERR_BUSY, "%s: no staging directory can be had", in->path);
}

int
install_begin(const struct install *in, struct install_stage *stage, struct err *e)
{
	/* Its own open file description: the lock is given up when this scope is left. */
	AUTO_CLOSE int lock = openat(in->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*stage = (struct install_stage){ .dir = -1 };
	if (lock < 0)
		return err_sys(e, "open %s", in->path);
	if (lock_briefly(in, lock, e) < 0)
		return -1;
	if (make_staging(in, stage, e) < 0 || check_alone(in, stage->name, e) < 0) {
		install_end(in, stage);
		return -1;
	}
	/* What is made in it gets its group by itself only where pp-unpack can switch to it. */
	if (fchown(stage->dir, in->uid, in->gid) < 0) {
		err_sys(e, "chown %s/%s", in->path, stage->name);
		install_end(in, stage);
		return -1;
	}
	return 0;
}

void
install_end(const struct install *in, struct install_stage *stage)
{
	struct err ignored = ERR_INIT;

	if (stage->name != NULL)
		(void)tree_remove(in->dir, stage->name, &ignored);
	if (stage->dir >= 0)
		(void)close(stage->dir);
	free(stage->name);
	*stage = (struct install_stage){ .dir = -1 };
}

/* ---- unpacking ---- */

/* A file in memory that holds the signature. */
static int
signature_file(const struct buf *signature, struct err *e)
{
	AUTO_CLOSE int fd = memfd_create("signature", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "memfd_create");
	if (write(fd, signature->data, signature->n) != (ssize_t)signature->n ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "write the signature to memory");
	return mem_take_fd(&fd);
}

static int
run_unpacker(const struct install *in, int staging, const struct install_source *source, int list,
    struct err *e)
{
	AUTO_BUF struct buf output = { 0 };
	AUTO_CLOSE int signature = -1;
	struct call c;
	uint64_t room;
	int status;

	if (room_left(in->dir, &in->reserve, &room, e) < 0 || call_new(&c, in, e) < 0)
		return -1;
	if (source->sha256 != NULL)
		strv_add(&c.argv, xasprintf("--sha256=%s", source->sha256));
	if (source->signature != NULL) {
		signature = signature_file(source->signature, e);
		if (signature < 0) {
			strv_release(&c.argv);
			return -1;
		}
		call_fd(&c, "signature", signature);
		strv_add(&c.argv, xasprintf("--name=%s", source->name));
		strv_add(&c.argv, xasprintf("--keys=%s", in->keys));
	}
	call_fd(&c, "list", list);
	call_number(&c, "room", room);
	if (in->max_bytes > 0)
		call_number(&c, "max-size", in->max_bytes);
	if (in->max_files > 0)
		call_number(&c, "max-files", in->max_files);
	if (in->max_ratio > 0)
		call_number(&c, "max-ratio", in->max_ratio);
	if (log_verbose())
		call_flag(&c, "--verbose");
	if (in->start_sync)
		call_flag(&c, "--start-sync");
	status = call_run(&c, staging, source->fd, &output, e);
	if (status < 0)
		return -1;
	if (status > 0)
		return unpacker_failed(status, &output, e);
	log_note_lines("pp-unpack", output.data);
	return 0;
}

/* An exit status of 0 is easily had. That all was unpacked is what the end of the list says. */
static int
check_finished(int list, struct err *e)
{
	static const char end[] = "\nend ";
	char tail[64];
	off_t size = lseek(list, 0, SEEK_END);
	ssize_t n = -1;

	if (size >= 0)
		n = pread(list, tail, sizeof tail - 1,
		    size > (off_t)sizeof tail - 1 ? size - ((off_t)sizeof tail - 1) : 0);
	if (n < 0)
		return err_sys(e, "read the list of what was unpacked");
	if (memmem(tail, (size_t)n, end, strlen(end)) == NULL)
		return err_set(e, ERR_FAIL, "pp-unpack ended before it was done");
	return 0;
}

/* The install to share unchanged files with: what is current, else the newest. NULL: none. */
static char *
find_sibling(const struct install *in, struct err *e)
{
	AUTO_FREE char *current = NULL;
	AUTO_INSTALLS struct installs found = { 0 };
	AUTO_CLOSE int base = openat(in->dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *newest = NULL;

	if (base < 0 || installs_scan(in->dir, in->app, &found, e) < 0 ||
	    installs_date(in->dir, in->app, &found, e) < 0)
		return NULL;
	current = link_read(base, "current", e);
	for (size_t i = 0; i < found.n; i++) {
		const struct installs_entry *entry = &found.entries[i];

		if (entry->kind != INSTALLS_INSTALL || strcmp(entry->version, in->version) == 0 ||
		    !installs_has(&found, INSTALLS_LIST, entry->version))
			continue;
		if (current != NULL && installs_points_at(current, entry->name)) {
			free(newest);
			return xstrdup(entry->version);
		}
		if (newest == NULL)
			newest = xstrdup(entry->version);
	}
	return newest;
}

/* Where basedir is the app's user's, anything may stand there: a FIFO, on which open(2) would wait. */
static int
open_list(const struct install *in, const char *version, char **fault, struct err *e)
{
	AUTO_FREE char *name = installs_name(in->app, version, "list");
	AUTO_CLOSE int fd =
	    openat(in->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		*fault = xstrdup("it has no list of what should be in it");
	else if ((fd < 0 && (errno == ELOOP || errno == ENXIO)) ||
	    (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)))
		*fault = xasprintf("%s is no file", name);
	else
		return fd < 0 ? err_sys(e, "open %s/%s", in->path, name) : mem_take_fd(&fd);
	return -1;
}

static int
open_install(const struct install *in, const char *version, struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s_%s", in->app, version);
	int missing, fd = dir_open_at(in->dir, name, &missing, e);

	return fd < 0 ? err_wrap(e, "%s", in->path) : fd;
}

/* Files that another install of the app has, too, take no room twice where that can be had. */
static int
share_unchanged(const struct install *in, int staging, int list, struct err *e)
{
	struct err ignored = ERR_INIT;
	AUTO_FREE char *sibling = find_sibling(in, &ignored), *fault = NULL;
	AUTO_CLOSE int other = -1, other_list = -1;
	AUTO_BUF struct buf output = { 0 };
	struct call c;
	int status;

	if (sibling == NULL)
		return 0;
	other = open_install(in, sibling, &ignored);
	other_list = other < 0 ? -1 : open_list(in, sibling, &fault, &ignored);
	if (other_list < 0)
		return 0;
	if (call_new(&c, in, e) < 0)
		return -1;
	call_fd(&c, "share", other);
	call_fd(&c, "share-list", other_list);
	call_fd(&c, "list", list);
	if (in->link_unchanged)
		call_flag(&c, "--link");
	status = call_run(&c, staging, 0, &output, e);
	if (status < 0)
		return -1;
	if (status > 0)
		return unpacker_failed(status, &output, e);
	if (strncmp(output.data, NOTHING_SHARED, strlen(NOTHING_SHARED)) != 0)
		log_note_lines("pp-unpack", output.data);
	return 0;
}

/* The staging directory takes the name of the install, or changes places with it. */
static int
take_place(const struct install *in, const char *from, const char *to, struct err *e)
{
	if (renameat2(in->dir, from, in->dir, to, in->mend ? RENAME_EXCHANGE : RENAME_NOREPLACE) ==
	    0)
		return 0;
	if (errno == EEXIST)
		return err_set(e, ERR_BUSY, "%s/%s appeared meanwhile; it stays as it is", in->path,
		    to);
	if (errno == EINVAL && in->mend)
		return err_set(e, ERR_FAIL,
		    "%s: this file system cannot let %s and a fresh one change places; remove it, "
		    "and the next run installs it",
		    in->path, to);
	if (errno != EINVAL)
		return err_sys(e, "rename %s/%s to %s", in->path, from, to);
	/* A file system that cannot refuse: a directory replaces only an empty one. */
	if (renameat(in->dir, from, in->dir, to) < 0)
		return err_sys(e, "rename %s/%s to %s", in->path, from, to);
	return 0;
}

/* All its data on disk, then its list, then its name: in this order, whatever happens in between. */
static int
appear(const struct install *in, struct install_stage *stage, const char *list_tmp, struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s_%s", in->app, in->version);
	AUTO_FREE char *list = installs_name(in->app, in->version, "list");

	if (fchmod(stage->dir, 0755) < 0)
		return err_sys(e, "chmod %s/%s", in->path, stage->name);
	if (in->settling != NULL)
		in->settling();
	if (syncfs(stage->dir) < 0)
		return err_sys(e, "sync %s", in->path);
	log_change("Moving %s/%s to %s/%s", in->path, stage->name, in->path, name);
	if (renameat(in->dir, list_tmp, in->dir, list) < 0)
		return err_sys(e, "rename %s/%s to %s", in->path, list_tmp, list);
	if (take_place(in, stage->name, name, e) < 0)
		return -1;
	if (fsync(in->dir) < 0)
		return err_sys(e, "fsync %s", in->path);
	return 0;
}

int
install_unpack(const struct install *in, struct install_stage *stage,
    const struct install_source *source, struct err *e)
{
	AUTO_FREE char *tmp = installs_name(in->app, in->version, "list.tmp");
	AUTO_CLOSE int artifact = source->fd, list = -1;
	int r;

	/* A run that was killed may have left one; the claim makes it ours. */
	if (unlinkat(in->dir, tmp, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s/%s", in->path, tmp);
	list = openat(in->dir, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (list < 0)
		return err_sys(e, "create %s/%s", in->path, tmp);
	log_change("Extracting %s to %s/%s", source->where, in->path, stage->name);
	r = run_unpacker(in, stage->dir, source, list, e);
	/* What was downloaded has no name any more: once closed, it is not brought to disk for nothing. */
	(void)close(mem_take_fd(&artifact));
	if (r == 0)
		r = check_finished(list, e);
	if (r == 0)
		r = share_unchanged(in, stage->dir, list, e);
	if (r == 0)
		r = appear(in, stage, tmp, e);
	if (r < 0)
		(void)unlinkat(in->dir, tmp, 0);
	return r;
}

int
install_check(const struct install *in, char **fault, struct err *e)
{
	AUTO_CLOSE int dir = open_install(in, in->version, e);
	AUTO_CLOSE int list = -1;
	AUTO_BUF struct buf output = { 0 };
	struct call c;
	int status;

	*fault = NULL;
	if (dir < 0)
		return -1;
	list = open_list(in, in->version, fault, e);
	if (*fault != NULL)
		return 0;
	if (list < 0 || call_new(&c, in, e) < 0)
		return -1;
	call_flag(&c, "--check");
	call_fd(&c, "list", list);
	status = call_run(&c, dir, 0, &output, e);
	if (status < 0)
		return -1;
	if (status == EX_DATAERR) {
		*fault = run_words(output.data);
		return 0;
	}
	return status == 0 ? 0 : unpacker_failed(status, &output, e);
}
