/*
 * What the definitions of all backends have in common: whose they are, a service's environment and its
 * limits; and the last lines of a log. No I/O.
 */
#ifndef PP_DEFINITION_H
#define PP_DEFINITION_H

#include "lib/service/supervisor.h"

/** The words before the app's name in the line that says that pp wrote a file, and for which app. */
#define DEFINITION_MARK "# Written by pp for "
#define DEFINITION_MARK_DIRECT "# Written by pp direct for " /* without a store */

#define DEFINITION_HEAD_MAX 1024 /* bytes of a file that tell whose it is */

#define DEFINITION_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** That line, with its newline. Owns: the caller frees. */
char *definition_mark(const struct service_spec *spec);

/**
 * The app that such a line names, and whether `pp direct` wrote it; NULL where it is none.
 * Owns: the caller frees.
 */
char *definition_owner(const char *line, int *direct);

/** A service's whole environment, "NAME=value" each; of two with one name the later one counts. */
void definition_environment(const struct service_spec *spec, struct strv *env);

/** The options of chpst(8) that set the spec's limits, a word each: none where there are no limits. */
void definition_limits(const struct service_spec *spec, struct strv *words);

/**
 * The last lines of a log, at most 10, the first 200 bytes of each, by log_escape(), with newlines
 * between. Returns: NULL where there is none. Owns: the caller frees.
 */
char *definition_tail(const char *text, size_t n);

#endif
