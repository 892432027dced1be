/*
 * What the fuzz targets share. Each is one file, fuzz_NAME.c, that defines LLVMFuzzerTestOneInput();
 * it aborts where something that has to hold does not.
 */
#ifndef PP_FUZZ_H
#define PP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/log.h"

/* libFuzzer calls these, and defines the last. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room);

/** This has to hold, whatever the input. */
#define HOLDS(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

static inline void __attribute__((noreturn)) fuzz_fail(const char *file, int line, const char *what)
{
	(void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/** What was refused is refused in one line that can be shown. */
static inline void
fuzz_check_refusal(const struct err *e)
{
	char shown[sizeof e->msg + 4];

	log_escape(shown, sizeof shown, e->msg);
	if (e->class == ERR_NONE || e->msg[0] == '\0' || strcmp(shown, e->msg) != 0)
		(void)fprintf(stderr, "it says: %s\n", shown);
	HOLDS(e->class != ERR_NONE);
	HOLDS(e->msg[0] != '\0');
	HOLDS(strcmp(shown, e->msg) == 0);
}

/**
 * Does the target of a symlink stay inside the install, from a directory `depth` below it? Only where
 * no ".." follows a name: the name may be a link to somewhere less deep.
 */
static inline int
fuzz_stays_inside(const char *target, int depth)
{
	int named = 0;

	if (target[0] == '/' || target[0] == '\0')
		return 0;
	for (size_t n; *target != '\0'; target += n + (target[n] == '/')) {
		n = strcspn(target, "/");
		if (n == 2 && strncmp(target, "..", 2) == 0) {
			if (named || depth-- == 0)
				return 0;
		} else if (n > 1 || (n == 1 && target[0] != '.')) {
			named = 1;
		}
	}
	return 1;
}

#endif
