/*
 * Amounts of bytes as people write them.
 */
#ifndef PP_SIZE_H
#define PP_SIZE_H

#include <stdint.h>

#include "lib/base/err.h"

/** Room for what size_show() writes. */
#define SIZE_ROOM 32

/**
 * Parse a size: digits, and K, M, G or T for powers of 1024.
 * Returns: 0 and *bytes (up to INT64_MAX); or -1 with *e set (ERR_DATA).
 */
int size_parse(const char *s, uint64_t *bytes, struct err *e);

/** Write a size for people to `out` (SIZE_ROOM bytes): "512 B", "1.5 MiB". */
void size_show(char *out, uint64_t bytes);

#endif
