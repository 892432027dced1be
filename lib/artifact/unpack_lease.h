/*
 * Can the artifact change while it is unpacked? Not under a read lease (fcntl(2), F_SETLEASE): the kernel
 * gives one only while nobody has the file open for writing, and who opens it so afterwards waits, and
 * breaks it.
 */
#ifndef PP_UNPACK_LEASE_H
#define PP_UNPACK_LEASE_H

#include "lib/base/err.h"

/**
 * Take a lease on `fd`, which is open for reading only. For root, or for the owner of the file, and on file
 * systems of this kernel alone: what is shared with other hosts changes without asking it. It lasts as long
 * as the descriptor; a signal (SIGIO) that tells of its end is ignored from here on.
 * Returns: 1 if it was taken, else 0.
 */
int unpack_lease_take(int fd);

/** Has nobody tried to write to it since? Returns: 0; -1 with *e set. */
int unpack_lease_held(int fd, struct err *e);

#endif
