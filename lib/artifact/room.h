/*
 * Room on a file system, and how much of it an artifact will take.
 */
#ifndef PP_ROOM_H
#define PP_ROOM_H

#include <stdint.h>

#include "lib/base/err.h"

/** What is to stay free: a share of the file system, or a number of bytes. */
struct room_reserve {
	unsigned percent;
	uint64_t bytes;
};

#define ROOM_RESERVE_PERCENT 5

/**
 * Parse "5%" or a size.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int room_parse_reserve(const char *text, struct room_reserve *reserve, struct err *e);

/**
 * How many bytes may be written where the directory `dir` is, with the reserve left free.
 * Returns: 0 and *bytes; -1 with *e set.
 */
int room_left(int dir, const struct room_reserve *reserve, uint64_t *bytes, struct err *e);

/**
 * Is there room for `bytes` more in `dir`? `what` names them in the message.
 * Returns: 0; -1 with *e set (ERR_FAIL) that says how much is missing.
 */
int room_check(int dir, const struct room_reserve *reserve, uint64_t bytes, const char *what,
    struct err *e);

/**
 * The least that the artifact open at `fd` unpacks to, as far as its ends tell: gzip says it in its
 * trailer (RFC 1952, modulo 4 GiB), of others it is their own size.
 * Returns: bytes; 0 where it cannot be told.
 */
uint64_t room_estimate(int fd);

#endif
