/*
 * Giving up what a process does not need, before it looks at what a stranger wrote.
 */
#ifndef PP_SANDBOX_H
#define PP_SANDBOX_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/** What may be done beneath a directory. */
enum sandbox_may {
	SANDBOX_READ = 1 << 0,
	SANDBOX_WRITE = 1 << 1,  /* make files, directories and links, and write files */
	SANDBOX_REMOVE = 1 << 2, /* remove files */
};

struct sandbox_dir {
	int fd; /* -1: none */
	unsigned int may;
};

struct sandbox {
	struct sandbox_dir dirs[2];
	int64_t uid, gid;      /* heeded where it runs as root; -1: stay as they are */
	uint64_t file_bytes;   /* that a file may grow to */
	uint64_t memory_bytes; /* of data */
	uint64_t open_files;
};

/**
 * Enter the sandbox; there is no way out of it. Threads started later are in it.
 *
 * Effect:  no new privileges; as root no groups but `gid`, no capabilities, and `uid` (0 stays 0, an
 *          owner of files and nothing more); no core, and the limits given. With Landlock no file but
 *          those beneath `dirs` can be opened, made, changed or removed, nothing bound or connected to,
 *          and no process outside signalled. With seccomp no sockets, programs, processes or mounts.
 *          What was opened before stays open.
 * Returns: 0, and in `notes` a line for what this kernel or this user cannot do; -1 with *e set.
 */
int sandbox_enter(const struct sandbox *s, struct strv *notes, struct err *e);

#endif
