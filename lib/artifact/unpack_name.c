#include "lib/artifact/unpack_name.h"

#include <limits.h>
#include <string.h>

#include "lib/base/log.h"

_Static_assert(UNPACK_PATH_ROOM == PATH_MAX, "a path the kernel takes fits");

/* The next component, empty ones and "." left out; NULL at the end. */
static const char *
next_component(const char **rest, size_t *length)
{
	for (;;) {
		const char *s = *rest + strspn(*rest, "/");

		*length = strcspn(s, "/");
		*rest = s + *length;
		if (*length == 0)
			return NULL;
		if (*length != 1 || *s != '.')
			return s;
	}
}

static int
is_dotdot(const char *s, size_t length)
{
	return length == 2 && s[0] == '.' && s[1] == '.';
}

int
unpack_name_clean(char *clean, const char *name, struct err *e)
{
	const char *rest = name, *s;
	size_t at = 0, length;

	if (name[0] == '\0')
		return err_set(e, ERR_DATA, "the name is empty");
	if (strlen(name) >= UNPACK_PATH_ROOM)
		return err_set(e, ERR_DATA, "path is longer than %d bytes", UNPACK_PATH_ROOM - 1);
	if (!log_is_plain(name))
		return err_set(e, ERR_DATA, "name is not one line of printable UTF-8 text");
	if (name[0] == '/')
		return err_set(e, ERR_DATA, "path leaves the install: it is absolute");

	while ((s = next_component(&rest, &length)) != NULL) {
		if (is_dotdot(s, length))
			return err_set(e, ERR_DATA, "path leaves the install: it has \"..\"");
		if (length > NAME_MAX)
			return err_set(e, ERR_DATA, "a component is longer than %d bytes",
			    NAME_MAX);
		if (at > 0)
			clean[at++] = '/';
		memcpy(clean + at, s, length);
		at += length;
	}
	clean[at] = '\0';
	return 0;
}

/* Why the target does not do, or NULL. */
static const char *
target_fault(const char *path, const char *target)
{
	const char *rest = target, *s;
	size_t depth = 0, length;
	int named = 0;

	if (target[0] == '\0')
		return "is empty";
	if (target[0] == '/')
		return "leaves the install: it is absolute";
	if (strlen(target) >= UNPACK_PATH_ROOM)
		return "is too long";
	if (!log_is_plain(target))
		return "is not one line of printable UTF-8 text";

	for (s = path; *s != '\0'; s++)
		depth += *s == '/';
	while ((s = next_component(&rest, &length)) != NULL) {
		if (!is_dotdot(s, length)) {
			named = 1;
			continue;
		}
		if (named)
			return "has \"..\" after a name, which may lead out of the install";
		if (depth == 0)
			return "leaves the install";
		depth--;
	}
	return NULL;
}

int
unpack_name_check_target(const char *path, const char *target, struct err *e)
{
	const char *fault = target_fault(path, target);
	char shown[UNPACK_SHOW_ROOM];

	if (fault == NULL)
		return 0;
	unpack_name_show(shown, target);
	return err_set(e, ERR_DATA, "symlink target \"%s\" %s", shown, fault);
}

void
unpack_name_show(char *out, const char *name)
{
	static const char dots[] = "...";
	const size_t room = UNPACK_SHOW_ROOM - sizeof dots;
	size_t n;

	log_escape(out, room, name);
	n = strlen(out);
	/* An escaped byte takes four: with less left than that, the name was cut. */
	if (n + 4 >= room)
		memcpy(out + n, dots, sizeof dots);
}

int
unpack_name_wrap(struct err *e, const char *what, const char *name)
{
	char shown[UNPACK_SHOW_ROOM];

	unpack_name_show(shown, name);
	return err_wrap(e, "%s \"%s\"", what, shown);
}
