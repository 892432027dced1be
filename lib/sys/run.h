/*
 * Run a program: by argv, never through a shell; bounded in time; its output captured.
 */
#ifndef PP_RUN_H
#define PP_RUN_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/sys/user.h"

struct run {
	const char *const *argv; /* found on PATH unless it has a slash; ends in NULL */
	int64_t timeout_ms;      /* 0: RUN_TIMEOUT_MS; the run's own deadline bounds it too */
	int stdin_fd;            /* what the program reads; 0: /dev/null */
	int cwd_fd;              /* a directory descriptor to start in; 0: where pp is */
	int restoring; /* puts something right again: the run's deadline does not bound it */
	const int
	    *keep_fds; /* descriptors that it inherits, under their numbers; -1 ends; NULL: none */
	size_t output_max; /* bytes kept of what it prints; 0: RUN_OUTPUT_MAX */

	/*
	 * For programs that are not the system's. One that is run as another user has that user's groups
	 * and no terminal, and of pp's environment, which may hold a token, nothing.
	 */
	const struct user *user; /* whom to become; NULL, or `self`: nobody else */
	const char *const
	    *env;     /* all of its environment; ends in NULL. NULL: pp's own; for a user, none */
	int sweeping; /* what it leaves behind in its process group is killed when it ends */
};

#define RUN_TIMEOUT_MS 60000
#define RUN_OUTPUT_MAX 65536 /* bytes kept of what it prints; the rest is read and dropped */

/**
 * Run a program and wait for its end. stdout and stderr both go to *output. It has a session and a
 * process group of its own, which is killed when the time is up, and dies when pp dies. One that is
 * named with a slash has to be a program or a script with a #! line: no shell makes do with another.
 *
 * Returns: its exit status (0 to 255, or 128 and the signal); -1 with *e set where it could not be
 *          started or the time was up. *output holds what it printed either way.
 */
int run_program(const struct run *r, struct buf *output, struct err *e);

/** What a program printed as one line, without those that only point (^^^). Caller frees. */
char *run_words(const char *output);

/**
 * run_program(), but an exit status other than 0 is an error too, told with what it printed.
 * Effect:  each line that it prints is a log_note().
 */
int run_checked(const struct run *r, struct err *e);

#endif
