/*
 * Memory and scope cleanup.
 *
 * A resource belongs to the scope that declares it; AUTO_* releases it when the scope is left.
 * Cleanup only releases: what commits (fsync, fclose, rename) is called and checked by name.
 * The x* functions end the process when memory is out: there is nothing useful left to do then.
 */
#ifndef PP_MEM_H
#define PP_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
mem_auto_free(void *p)
{
	free(*(void **)p);
}

static inline void
mem_auto_close(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/** Take a pointer out of an AUTO_FREE variable: what it points at lives on, the variable is NULL. */
static inline void *
mem_take(void *variable)
{
	void *p = *(void **)variable;

	*(void **)variable = NULL;
	return p;
}

/** The same for a descriptor in an AUTO_CLOSE variable, which becomes -1. */
static inline int
mem_take_fd(int *variable)
{
	int fd = *variable;

	*variable = -1;
	return fd;
}

#define AUTO_FREE __attribute__((cleanup(mem_auto_free)))
#define AUTO_CLOSE __attribute__((cleanup(mem_auto_close)))

#define MEM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** Allocate n zeroed objects of `size` bytes. Never returns NULL. Owns: the caller frees. */
void *xcalloc(size_t n, size_t size);

/** Resize to n objects of `size` bytes, overflow checked. Never returns NULL. */
void *xreallocarray(void *p, size_t n, size_t size);

/** strdup that never returns NULL; NULL stays NULL. Owns: the caller frees. */
char *xstrdup(const char *s);

/** Copy n bytes and end them with a NUL. Owns: the caller frees. */
char *xmemdup(const void *p, size_t n);

/** asprintf that returns the string and never NULL. Owns: the caller frees. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** A list of strings, each owned by the list; `items` ends in NULL once anything was added. */
struct strv {
	char **items;
	size_t n;
};

/** Add `s`, which the list takes over. */
void strv_add(struct strv *v, char *s);

/** Is there a string equal to s? */
int strv_has(const struct strv *v, const char *s);

/** Sort by byte values. */
void strv_sort(struct strv *v);

/** Split s at each `sep` and add the parts, empty ones too. */
void strv_split(struct strv *v, const char *s, char sep);

/** Join with `sep` between. Owns: the caller frees. */
char *strv_join(const struct strv *v, const char *sep);

/** Free what the list holds and make it empty. */
void strv_release(struct strv *v);

#define AUTO_STRV __attribute__((cleanup(strv_release)))

/** Bytes that grow. `data` is NUL-terminated as soon as anything was added; `n` leaves that NUL out. */
struct buf {
	char *data;
	size_t n, room;
};

/** Add n bytes. */
void buf_add(struct buf *b, const void *p, size_t n);

/** Add formatted text. */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Free what the buffer holds and make it empty. */
void buf_release(struct buf *b);

#define AUTO_BUF __attribute__((cleanup(buf_release)))

#endif
