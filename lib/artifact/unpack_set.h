/*
 * A set of names that takes eight bytes a name: it keeps digests of them.
 *
 * The digests are keyed afresh in each run, so nobody can choose two names that have the same one.
 */
#ifndef PP_UNPACK_SET_H
#define PP_UNPACK_SET_H

#include <stddef.h>

struct unpack_set;

/** An empty set. Owns: the caller frees it. */
struct unpack_set *unpack_set_new(void);

/** Add n bytes. Not after unpack_set_seal(). */
void unpack_set_add(struct unpack_set *s, const void *data, size_t n);

/** No more are added. Returns: whether nothing was added twice. */
int unpack_set_seal(struct unpack_set *s);

/** Were these bytes added? A sealed set knows. */
int unpack_set_has(const struct unpack_set *s, const void *data, size_t n);

/** NULL is fine. */
void unpack_set_free(struct unpack_set *s);

#endif
