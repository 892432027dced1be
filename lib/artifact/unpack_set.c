#include "lib/artifact/unpack_set.h"

#include <bsd/stdlib.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/mem.h"

/* A polynomial over the names' bytes, at a point that only this run knows, modulo a Mersenne prime. */
#define PRIME ((UINT64_C(1) << 61) - 1)
#define WORD_BYTES 7

struct unpack_set {
	uint64_t point;
	uint64_t *items;
	size_t n, room;
};

struct unpack_set *
unpack_set_new(void)
{
	struct unpack_set *s = xcalloc(1, sizeof *s);

	arc4random_buf(&s->point, sizeof s->point);
	s->point %= PRIME;
	return s;
}

void
unpack_set_free(struct unpack_set *s)
{
	if (s == NULL)
		return;
	free(s->items);
	free(s);
}

static uint64_t
digest(const struct unpack_set *s, const void *data, size_t n)
{
	const unsigned char *at = data;
	/* The length sets apart what differs in zeros at the end only. */
	uint64_t sum = n;

	while (n > 0) {
		const size_t piece = n < WORD_BYTES ? n : WORD_BYTES;
		uint64_t word = 0;

		memcpy(&word, at, piece);
		sum = (uint64_t)(((unsigned __int128)sum * s->point + word) % PRIME);
		at += piece;
		n -= piece;
	}
	return sum;
}

void
unpack_set_add(struct unpack_set *s, const void *data, size_t n)
{
	if (s->n == s->room) {
		s->room = s->room > 0 ? 2 * s->room : 1024;
		s->items = xreallocarray(s->items, s->room, sizeof *s->items);
	}
	s->items[s->n++] = digest(s, data, n);
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
unpack_set_seal(struct unpack_set *s)
{
	int distinct = 1;

	if (s->n > 1)
		qsort(s->items, s->n, sizeof *s->items, compare);
	for (size_t i = 1; i < s->n; i++)
		distinct &= s->items[i] != s->items[i - 1];
	return distinct;
}

int
unpack_set_has(const struct unpack_set *s, const void *data, size_t n)
{
	const uint64_t item = digest(s, data, n);

	return s->n > 0 && bsearch(&item, s->items, s->n, sizeof item, compare) != NULL;
}
