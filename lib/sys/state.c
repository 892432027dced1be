#include "lib/sys/state.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/fs/file.h"

#define LOCKS "lock"
#define MEMORY_LOCK_MS 5000
#define POLL_MS 10
#define MEMORY_MAX ((size_t)1 << 20) /* bytes */

char *
state_default_path(struct err *e)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct passwd *user;

	if (geteuid() == 0)
		return xstrdup("/var/lib/pp");
	if (xdg != NULL && xdg[0] == '/')
		return xasprintf("%s/pp", xdg);
	if (home == NULL || home[0] != '/') {
		user = getpwuid(geteuid());
		home = user != NULL ? user->pw_dir : NULL;
	}
	if (home == NULL || home[0] != '/') {
		err_set(e, ERR_CONFIG,
		    "no home directory is known; set --state-dir or PP_STATE_DIR");
		return NULL;
	}
	return xasprintf("%s/.local/state/pp", home);
}

int
state_open(struct state *s, const char *path, int create, struct err *e)
{
	struct stat st;

	s->path = xstrdup(path);
	s->dir = -1;
	if (!create && stat(path, &st) < 0 && (errno == ENOENT || errno == EACCES))
		return 0;
	if (create && dir_make(path, 0755, e) < 0)
		return err_wrap(e, "state directory; set --state-dir to one you may write");
	s->dir = dir_open(path, e);
	return s->dir < 0 ? -1 : 0;
}

/* A file below the state directory: SUB/NAME. */
static int
sub_open(struct state *s, const char *sub, int create, struct err *e)
{
	AUTO_FREE char *path = xasprintf("%s/%s", s->path, sub);
	int missing, fd;

	if (s->dir < 0)
		return -1;
	/* Who may open a lock may hold it: only its owner. */
	if (create && dir_make(path, strcmp(sub, LOCKS) == 0 ? 0700 : 0755, e) < 0)
		return -1;
	fd = dir_open_at(s->dir, sub, &missing, e);
	if (fd < 0 && missing && !create)
		e->class = ERR_NONE;
	return fd;
}

/* Who holds the lock? The kernel knows, so that a run that begins has nothing to write. */
static int
find_holder(int fd)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	struct stat st;
	int holder = 0;

	if (locks == NULL || fstat(fd, &st) < 0)
		st.st_ino = 0;
	/* "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131090 0 EOF": device numbers may be another layer's. */
	while (locks != NULL && holder == 0 && fgets(line, sizeof line, locks) != NULL) {
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*d: FLOCK ADVISORY WRITE %d %*x:%*x:%llu", &pid, &inode) == 2 &&
		    inode == st.st_ino)
			holder = pid;
	}
	if (locks != NULL)
		(void)fclose(locks);
	return holder;
}

int
state_lock(struct state *s, const char *what, const char *node, struct err *e)
{
	AUTO_FREE char *name = xasprintf("%s@%s", what, node);
	AUTO_CLOSE int dir = sub_open(s, LOCKS, 1, e), fd = -1;
	char pid[24] = "unknown";
	int holder;

	if (dir < 0)
		return -1;
	fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "open %s/lock/%s", s->path, name);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		/* It ends with the process. */
		(void)mem_take_fd(&fd);
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return err_sys(e, "lock %s/lock/%s", s->path, name);
	holder = find_holder(fd);
	if (holder > 0)
		(void)snprintf(pid, sizeof pid, "%d", holder);
	return err_set(e, ERR_BUSY,
	    "another run of %s on %s is under way (pid %s); this one leaves it alone", what, node,
	    pid);
}

int
state_list(struct state *s, const char *sub, struct strv *names, struct err *e)
{
	AUTO_CLOSE int dir = -1;

	e->class = ERR_NONE;
	dir = sub_open(s, sub, 0, e);
	if (dir < 0)
		return e->class == ERR_NONE ? 0 : -1;
	return dir_list(dir, names, e) < 0 ? err_wrap(e, "%s/%s", s->path, sub) : 0;
}

int
state_recall(struct state *s, const char *sub, const char *name, char **text, struct err *e)
{
	AUTO_BUF struct buf content = { 0 };
	AUTO_CLOSE int dir = -1;
	int r;

	*text = NULL;
	if (s->dir < 0)
		return 0;
	e->class = ERR_NONE;
	dir = sub_open(s, sub, 0, e);
	if (dir < 0)
		return e->class == ERR_NONE ? 0 : -1;
	r = file_read(dir, name, MEMORY_MAX, &content, e);
	if (r != 0)
		return r < 0 ? -1 : 0;
	*text = xmemdup(content.data, strcspn(content.data, "\n"));
	return 0;
}

/* Other agents' runs remember things, too. The lock, until it is closed; -1 with *e set. */
static int
lock_memory(struct state *s, struct err *e)
{
	int64_t end = clock_now_ms() + clock_bound_ms(MEMORY_LOCK_MS);
	AUTO_CLOSE int dir = sub_open(s, LOCKS, 1, e), fd = -1;

	if (dir < 0)
		return -1;
	fd = openat(dir, "memory", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "open %s/" LOCKS "/memory", s->path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_now_ms() >= end)
			return err_set(e, ERR_BUSY,
			    "%s/" LOCKS "/memory is locked by another program", s->path);
		clock_sleep_ms(POLL_MS);
	}
	return mem_take_fd(&fd);
}

static int
keep(struct state *s, const char *sub, const char *name, const char *data, size_t n,
    const struct file_attr *attr, struct err *e)
{
	AUTO_CLOSE int dir = sub_open(s, sub, 1, e), held = -1;

	if (dir < 0)
		return -1;
	held = lock_memory(s, e);
	if (held < 0)
		return -1;
	return file_write(dir, name, data, n, attr, e);
}

int
state_keep(struct state *s, const char *sub, const char *name, const char *text, struct err *e)
{
	static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };
	AUTO_FREE char *content = xasprintf("%s\n", text);

	return keep(s, sub, name, content, strlen(content), &attr, e);
}

int
state_keep_secret(struct state *s, const char *sub, const char *name, const char *data, size_t n,
    struct err *e)
{
	static const struct file_attr attr = { 0600, FILE_KEEP, FILE_KEEP };

	return keep(s, sub, name, data, n, &attr, e);
}

int
state_recall_all(struct state *s, const char *sub, const char *name, size_t max, struct buf *out,
    struct err *e)
{
	AUTO_CLOSE int dir = -1, fd = -1;
	struct stat st;
	ssize_t n = 1;

	if (s->dir < 0)
		return 1;
	e->class = ERR_NONE;
	dir = sub_open(s, sub, 0, e);
	if (dir < 0)
		return e->class == ERR_NONE ? 1 : -1;
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open %s/%s/%s", s->path, sub, name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_FAIL, "%s/%s/%s is not a regular file", s->path, sub, name);
	while (n > 0 && out->n < max) {
		char chunk[16384];

		n = read(fd, chunk, max - out->n < sizeof chunk ? max - out->n : sizeof chunk);
		if (n < 0)
			return err_sys(e, "read %s/%s/%s", s->path, sub, name);
		buf_add(out, chunk, (size_t)n);
	}
	return 0;
}

int
state_forget(struct state *s, const char *sub, const char *name, struct err *e)
{
	AUTO_CLOSE int dir = sub_open(s, sub, 1, e);

	return dir < 0 ? -1 : file_remove(dir, name, e);
}

char *
state_name(const char *node, const char *url)
{
	return xasprintf("%s-%016" PRIx64, node, hash_bytes(url, strlen(url)));
}

static char *
store_file(const char *url)
{
	return xasprintf("%016" PRIx64, hash_bytes(url, strlen(url)));
}

int
state_store_id(struct state *s, const char *url, char **id, struct err *e)
{
	AUTO_FREE char *name = store_file(url);

	return state_recall(s, "stores", name, id, e);
}

int
state_remember_store(struct state *s, const char *url, const char *id, struct err *e)
{
	AUTO_FREE char *name = store_file(url), *text = xasprintf("%s\n%s", id, url);

	return state_keep(s, "stores", name, text, e);
}

int
state_disabled(struct state *s, const char *agent, char **message, struct err *e)
{
	return state_recall(s, "disabled", agent, message, e);
}

int
state_set_disabled(struct state *s, const char *agent, const char *message, struct err *e)
{
	return message != NULL ? state_keep(s, "disabled", agent, message, e) :
				 state_forget(s, "disabled", agent, e);
}

void
state_release(struct state *s)
{
	if (s->dir >= 0)
		(void)close(s->dir);
	free(s->path);
	*s = (struct state){ .dir = -1 };
}
