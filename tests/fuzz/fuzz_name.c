/* Names in an artifact, and targets of symlinks: the input is a name, a NUL and a target. */
#include "lib/artifact/unpack_name.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

/* How deep below the install a path leads, from a depth; -1 once it has left it. */
static int
walk(const char *path, int depth)
{
	AUTO_STRV struct strv parts = { 0 };

	strv_split(&parts, path, '/');
	for (size_t i = 0; i < parts.n && depth >= 0; i++) {
		const char *part = parts.items[i];

		if (strcmp(part, "..") == 0)
			depth--;
		else if (part[0] != '\0' && strcmp(part, ".") != 0)
			depth++;
	}
	return depth;
}

static void
check_clean(const char *clean)
{
	AUTO_STRV struct strv parts = { 0 };
	char again[UNPACK_PATH_ROOM];
	struct err e = ERR_INIT;

	if (clean[0] == '\0')
		return;
	HOLDS(strlen(clean) < UNPACK_PATH_ROOM);
	strv_split(&parts, clean, '/');
	for (size_t i = 0; i < parts.n; i++) {
		HOLDS(parts.items[i][0] != '\0' && strlen(parts.items[i]) <= 255);
		HOLDS(strcmp(parts.items[i], ".") != 0 && strcmp(parts.items[i], "..") != 0);
	}
	HOLDS(unpack_name_clean(again, clean, &e) == 0 && strcmp(clean, again) == 0);
}

static void
check_shown(const char *name)
{
	char shown[UNPACK_SHOW_ROOM], again[UNPACK_SHOW_ROOM * 4];

	unpack_name_show(shown, name);
	log_escape(again, sizeof again, shown);
	HOLDS(strcmp(shown, again) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_FREE char *name = xmemdup(data, n);
	const char *target = strlen(name) < n ? name + strlen(name) + 1 : "";
	struct err e = ERR_INIT;
	char clean[UNPACK_PATH_ROOM], *slash;

	check_shown(name);
	check_shown(target);
	if (unpack_name_clean(clean, name, &e) < 0) {
		fuzz_check_refusal(&e);
		return 0;
	}
	HOLDS(name[0] != '/' && walk(name, 0) == walk(clean, 0));
	check_clean(clean);
	if (unpack_name_check_target(clean, target, &e) < 0) {
		fuzz_check_refusal(&e);
		return 0;
	}
	slash = strrchr(clean, '/');
	if (slash != NULL)
		*slash = '\0';
	HOLDS(fuzz_stays_inside(target, slash != NULL ? walk(clean, 0) : 0));
	return 0;
}
