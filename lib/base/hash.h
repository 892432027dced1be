/*
 * A number that stands for bytes: to notice a change, not to stop somebody who wants a collision.
 */
#ifndef PP_HASH_H
#define PP_HASH_H

#include <stddef.h>
#include <stdint.h>

/** FNV-1a, 64 bits (Fowler, Noll, Vo); never 0. */
uint64_t hash_bytes(const void *data, size_t n);

#endif
