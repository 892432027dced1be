/*
 * Taking a service of ours out of supervision, whichever backend defined it.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/fs/file.h"
#include "lib/service/sv.h"
#include "lib/sys/run.h"

#define EXIT_WAIT_MS 10000 /* for runsv to end */
#define EXIT_POLL_MS 20

/* The link that runsvdir sees is made last; what is there instead by then is somebody else's. */
int
sv_check_scan(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->scan, service), *now = NULL;
	AUTO_FREE char *target = xasprintf("%s/%s", s->stage, service);
	struct stat st;

	if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", path);
	now = link_read(AT_FDCWD, path, e);
	if (now == NULL || strcmp(now, target) != 0)
		return e->class != ERR_NONE ?
		    -1 :
		    err_set(e, ERR_FAIL,
			"%s is in the way: it is not a link to %s, so pp did not make "
			"it; move it away",
			path, target);
	return 0;
}

/* Out of the scan directory, if what is there is our link. */
static int
unlink_service(const struct supervisor *s, const char *service, struct err *e)
{
	AUTO_FREE char *target = xasprintf("%s/%s", s->stage, service), *now = NULL;
	AUTO_CLOSE int scan = open(s->scan, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (scan < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", s->scan);
	now = link_read(scan, service, e);
	if (now == NULL || strcmp(now, target) != 0)
		return e->class == ERR_NONE ? 0 : -1;
	return file_remove(scan, service, e);
}

/* run goes last: for as long as it is there, the next pass knows whose the rest is. */
static int
remove_definition(int stage, const char *service, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	int missing;
	AUTO_CLOSE int dir = dir_open_at(stage, service, &missing, e);

	if (dir < 0 && missing) {
		e->class = ERR_NONE;
		return 0;
	}
	if (dir < 0 || dir_list(dir, &names, e) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++)
		if (strcmp(names.items[i], "run") != 0 && tree_remove(dir, names.items[i], e) < 0)
			return -1;
	return tree_remove(stage, service, e);
}

/* Wait until runsv, which was told to end, lets go of the directories it writes in. */
static void
wait_unsupervised(int stage, const char *service)
{
	static const char *const locks[] = { "supervise/lock", "log/supervise/lock" };
	int64_t end = clock_now_ms() + clock_bound_ms(EXIT_WAIT_MS);

	for (size_t i = 0; i < MEM_COUNT(locks); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", service, locks[i]);
		AUTO_CLOSE int fd = openat(stage, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

		while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && clock_now_ms() < end)
			clock_sleep_ms(EXIT_POLL_MS);
	}
}

int
sv_clear(const struct supervisor *s, int stage, const char *service, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->stage, service);
	const char *argv[] = { "sv", "exit", path, NULL };
	struct run run = { .argv = argv };
	struct err ignored = ERR_INIT;

	/* Without its link runsvdir does not start runsv again. */
	if (unlink_service(s, service, e) < 0)
		return -1;
	(void)run_checked(&run, &ignored);
	wait_unsupervised(stage, service);
	return remove_definition(stage, service, e);
}

int
sv_keep_down(const struct supervisor *s, const char *service, struct err *e)
{
	static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };
	AUTO_FREE char *path = xasprintf("%s/%s", s->stage, service);
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", path);
	return file_write(dir, "down", "", 0, &attr, e);
}

int
sv_enabled(const struct supervisor *s, const char *service)
{
	AUTO_FREE char *dir = xasprintf("%s/%s", s->stage, service);
	AUTO_FREE char *down = xasprintf("%s/down", dir);

	return faccessat(AT_FDCWD, dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    faccessat(AT_FDCWD, down, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}
