#include "lib/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static _Noreturn void
out_of_memory(void)
{
	static const char text[] = "FATAL pp: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(EX_OSERR);
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n ? n : 1, size ? size : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}

char *
xstrdup(const char *s)
{
	return s == NULL ? NULL : xmemdup(s, strlen(s));
}

char *
xmemdup(const void *p, size_t n)
{
	char *copy;

	if (n == SIZE_MAX)
		out_of_memory();
	copy = xcalloc(1, n + 1);
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	return s;
}

void
strv_add(struct strv *v, char *s)
{
	/* Room for the closing NULL; grow at powers of two. */
	if (v->n == 0 || ((v->n + 1) & v->n) == 0)
		v->items = xreallocarray(v->items, 2 * (v->n + 1), sizeof *v->items);
	v->items[v->n++] = s;
	v->items[v->n] = NULL;
}

int
strv_has(const struct strv *v, const char *s)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->items[i], s) == 0)
			return 1;
	return 0;
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
strv_sort(struct strv *v)
{
	if (v->n > 1)
		qsort(v->items, v->n, sizeof *v->items, compare_strings);
}

void
strv_split(struct strv *v, const char *s, char sep)
{
	for (;;) {
		const char *end = strchrnul(s, sep);

		strv_add(v, xmemdup(s, (size_t)(end - s)));
		if (*end == '\0')
			return;
		s = end + 1;
	}
}

char *
strv_join(const struct strv *v, const char *sep)
{
	struct buf b = { 0 };

	buf_add(&b, "", 0);
	for (size_t i = 0; i < v->n; i++)
		buf_printf(&b, "%s%s", i ? sep : "", v->items[i]);
	return b.data;
}

void
strv_release(struct strv *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->items[i]);
	free(v->items);
	v->items = NULL;
	v->n = 0;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n >= SIZE_MAX / 2 - b->n)
		out_of_memory();
	if (b->n + n + 1 > b->room) {
		b->room = 2 * (b->n + n + 1);
		b->data = xreallocarray(b->data, b->room, 1);
	}
	if (n > 0)
		memcpy(b->data + b->n, p, n);
	b->n += n;
	b->data[b->n] = '\0';
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	AUTO_FREE char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	buf_add(b, s, (size_t)n);
}

void
buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}
