#include "lib/artifact/fetch_part.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/fs/file.h"

#define META_MAX ((size_t)8192)
#define TRIES 100
#define BUFFER_BYTES ((size_t)256 << 10)
#define BUFFER_MS 500 /* the most that a run which is killed loses of a slow download */

static const char *const kinds[] = { "none", "etag", "date" };

/* Empty where it cannot be told; then nothing is gone on with. */
static void
boot_id(struct buf *out)
{
	AUTO_CLOSE int dir = open("/proc/sys/kernel/random", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct err ignored = ERR_INIT;

	if (dir >= 0 && file_read(dir, "boot_id", 64, out, &ignored) == 0 && out->n > 0)
		out->data[strcspn(out->data, "\n")] = '\0';
	buf_add(out, "", 0);
}

/* Did pp make it, for itself alone? */
static int
is_ours(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
	    st->st_nlink == 1 && (st->st_mode & 077) == 0;
}

/* Open and lock; -2 where that has to be tried again. */
static int
open_once(int dir, const char *name, struct stat *st, struct err *e)
{
	AUTO_CLOSE int fd = openat(dir, name,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	struct stat now;

	if (fd < 0 && errno != ELOOP && errno != ENXIO && errno != EACCES && errno != EISDIR)
		return err_sys(e, "create %s", name);
	if (fd < 0 || !is_ours(fd, st)) {
		if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
			return err_sys(e, "%s is in the way, and cannot be removed", name);
		return -2;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ?
		    err_set(e, ERR_BUSY, "another run is fetching it (%s is locked)", name) :
		    err_sys(e, "lock %s", name);
	/* Whoever had the lock may have taken the name away; and what was read of it may be old. */
	if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) < 0 || !is_ours(fd, st) ||
	    now.st_ino != st->st_ino || now.st_dev != st->st_dev)
		return -2;
	return mem_take_fd(&fd);
}

/* The rest of the line that begins with `key`, cut out of the text; NULL if it does not. */
static char *
take_field(char **text, const char *key)
{
	char *line = strsep(text, "\n");
	size_t n = strlen(key);

	return line != NULL && *text != NULL && strncmp(line, key, n) == 0 && line[n] == ' ' ?
	    line + n + 1 :
	    NULL;
}

static int
parse_size(const char *text, uint64_t *size)
{
	if (text[0] == '\0' || strlen(text) > 18 || text[strspn(text, "0123456789")] != '\0')
		return -1;
	*size = strtoull(text, NULL, 10);
	return 0;
}

static void
parse_meta(struct fetch_part *p, char *text)
{
	AUTO_BUF struct buf boot = { 0 };
	char *version = take_field(&text, "pp-part"), *booted = take_field(&text, "boot");
	char *url = take_field(&text, "url"), *size = take_field(&text, "size");
	char *kind = take_field(&text, "kind"), *validator = take_field(&text, "validator");
	uint64_t total;

	boot_id(&boot);
	if (version == NULL || booted == NULL || url == NULL || size == NULL || kind == NULL ||
	    validator == NULL || text == NULL || strcmp(text, "end\n") != 0 ||
	    strcmp(version, "1") != 0 || boot.n == 0 || strcmp(booted, boot.data) != 0 ||
	    validator[0] == '\0' || parse_size(size, &total) < 0)
		return;
	for (int i = PART_ETAG; i <= PART_DATE; i++)
		if (strcmp(kind, kinds[i]) == 0)
			p->kind = i;
	if (p->kind == PART_NONE || (total > 0 && p->size > total))
		return;
	p->total = total;
	p->url = xstrdup(url);
	p->validator = xstrdup(validator);
}

static void
read_meta(struct fetch_part *p)
{
	AUTO_CLOSE int fd =
	    openat(p->dir, p->meta, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char text[META_MAX + 1];
	struct stat st;
	ssize_t n;

	if (fd < 0 || !is_ours(fd, &st))
		return;
	n = read(fd, text, META_MAX);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (strlen(text) == (size_t)n)
		parse_meta(p, text);
}

static void
forget(struct fetch_part *p)
{
	free(p->url);
	free(p->validator);
	p->url = p->validator = NULL;
	p->kind = PART_NONE;
	p->total = 0;
}

int
fetch_part_open(struct fetch_part *p, int dir, const char *name, struct err *e)
{
	struct stat st = { 0 };

	p->dir = dir;
	p->name = xstrdup(name);
	p->meta = xasprintf("%s.meta", name);
	for (int i = 0; i < TRIES && p->fd < 0; i++) {
		p->fd = open_once(dir, name, &st, e);
		if (p->fd == -1)
			return -1;
	}
	if (p->fd < 0) {
		p->fd = -1;
		return err_set(e, ERR_BUSY, "%s: it does not stay where it was made", name);
	}
	p->size = (uint64_t)st.st_size;
	if (p->size > 0)
		read_meta(p);
	/* Its run ended between the last byte and the name's removal: ask for that byte again. */
	if (p->url != NULL && p->size == p->total)
		p->size--;
	return 0;
}

int
fetch_part_fits(const struct fetch_part *p, const char *url)
{
	return p->url != NULL && p->size > 0 && strcmp(p->url, url) == 0;
}

/* What a full disk left goes, so that it is not full for others. */
static int
failed(struct fetch_part *p, struct err *e)
{
	int full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

	err_sys(e, "write %s", p->name);
	if (full)
		fetch_part_drop(p);
	return -1;
}

/* Write what is in the buffer. */
static int
flush(struct fetch_part *p, struct err *e)
{
	size_t done = 0;

	while (done < p->buffered) {
		ssize_t n = write(p->fd, p->buffer + done, p->buffered - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			p->size -= p->buffered - done;
			p->buffered = 0;
			return failed(p, e);
		}
		done += (size_t)n;
	}
	p->buffered = 0;
	p->written_ms = clock_now_ms();
	return 0;
}

static int
write_meta(struct fetch_part *p, struct err *e)
{
	AUTO_BUF struct buf boot = { 0 }, text = { 0 };
	AUTO_CLOSE int fd =
	    openat(p->dir, p->meta, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n;

	boot_id(&boot);
	buf_printf(&text, "pp-part 1\nboot %s\nurl %s\nsize %llu\nkind %s\nvalidator %s\nend\n",
	    boot.data, p->url, (unsigned long long)p->total, kinds[p->kind], p->validator);
	n = fd < 0 ? -1 : write(fd, text.data, text.n);
	if (n >= 0 && (size_t)n < text.n)
		errno = ENOSPC;
	return n < 0 || (size_t)n < text.n ? failed(p, e) : 0;
}

int
fetch_part_begin(struct fetch_part *p, const char *url, enum part_validator kind,
    const char *validator, uint64_t total, struct err *e)
{
	/* Empty before it is said to be a part of something else: killed in between, it is nothing. */
	if (ftruncate(p->fd, 0) < 0 || lseek(p->fd, 0, SEEK_SET) < 0)
		return err_sys(e, "truncate %s", p->name);
	if (unlinkat(p->dir, p->meta, 0) < 0 && errno != ENOENT)
		return err_sys(e, "%s is in the way, and cannot be removed", p->meta);
	p->size = p->buffered = 0;
	forget(p);
	p->total = total;
	if (kind == PART_NONE || strlen(url) + strlen(validator) > META_MAX / 2)
		return 0;
	p->kind = kind;
	p->url = xstrdup(url);
	p->validator = xstrdup(validator);
	return write_meta(p, e);
}

int
fetch_part_continue(struct fetch_part *p, struct err *e)
{
	if (flush(p, e) < 0)
		return -1;
	if (ftruncate(p->fd, (off_t)p->size) < 0 || lseek(p->fd, (off_t)p->size, SEEK_SET) < 0)
		return err_sys(e, "truncate %s", p->name);
	return 0;
}

int
fetch_part_write(struct fetch_part *p, const char *data, size_t n, struct err *e)
{
	if (p->buffer == NULL) {
		p->buffer = xcalloc(1, BUFFER_BYTES);
		p->written_ms = clock_now_ms();
	}
	while (n > 0) {
		size_t piece = BUFFER_BYTES - p->buffered;

		if (piece > n)
			piece = n;
		memcpy(p->buffer + p->buffered, data, piece);
		p->buffered += piece;
		p->size += piece;
		data += piece;
		n -= piece;
		if (p->buffered == BUFFER_BYTES && flush(p, e) < 0)
			return -1;
	}
	return clock_now_ms() - p->written_ms < BUFFER_MS ? 0 : flush(p, e);
}

int
fetch_part_take(struct fetch_part *p, struct err *e)
{
	AUTO_CLOSE int written = -1;
	char path[sizeof "/proc/self/fd/" + 3 * sizeof written];
	int fd;

	if (flush(p, e) < 0)
		return -1;
	written = mem_take_fd(&p->fd);
	fetch_part_drop(p);
	/* Open for reading only, so that nobody can write to it any more; its names are gone. */
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", written);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (lseek(written, 0, SEEK_SET) == 0)
		return mem_take_fd(&written);
	return err_sys(e, "rewind %s", p->name);
}

void
fetch_part_remove(int dir, const char *name)
{
	AUTO_FREE char *meta = xasprintf("%s.meta", name);

	/* The meta first: without it, the rest is nothing. */
	(void)unlinkat(dir, meta, 0);
	(void)unlinkat(dir, name, 0);
}

void
fetch_part_drop(struct fetch_part *p)
{
	fetch_part_remove(p->dir, p->name);
	if (p->fd >= 0)
		(void)close(p->fd);
	p->fd = -1;
	p->size = p->buffered = 0;
	forget(p);
}

void
fetch_part_release(struct fetch_part *p)
{
	struct err ignored = ERR_INIT;

	if (p->fd >= 0 && p->url != NULL)
		(void)flush(p, &ignored);
	/* Only while it is locked: else the names may be another run's by now. */
	if (p->fd >= 0 && (p->url == NULL || p->size == 0))
		fetch_part_drop(p);
	if (p->fd >= 0)
		(void)close(p->fd);
	forget(p);
	free(p->name);
	free(p->meta);
	free(p->buffer);
	*p = (struct fetch_part)FETCH_PART_INIT;
}
