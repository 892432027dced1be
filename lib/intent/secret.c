#include "lib/intent/secret.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/base/mem.h"

/* Where in a document we are. */
enum place { PLACE_ROOT, PLACE_OUTSIDE, PLACE_INSIDE, PLACE_SECRET };

static int
contains(const char *name, size_t n, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= n; i++)
		if (strncasecmp(name + i, word, len) == 0)
			return 1;
	return 0;
}

int
secret_is_name(const char *name, size_t n)
{
	/* Rather one too many masked than one too few. */
	static const char *const words[] = { "passw", "passphrase", "pwd", "secret", "token", "key",
		"credential", "private" };

	for (size_t i = 0; i < MEM_COUNT(words); i++)
		if (contains(name, n, words[i]))
			return 1;
	return n == 4 && strncasecmp(name, "pass", 4) == 0;
}

/* Where apps have values of their own. */
static int
is_root(const char *name, size_t n)
{
	return (n == 11 && strncmp(name, "user_config", n) == 0) ||
	    (n == 3 && strncmp(name, "env", n) == 0);
}

int
secret_is_path(const char *path)
{
	const char *at = path + strcspn(path, ".");

	if (*at == '\0' || !is_root(path, (size_t)(at - path)))
		return 0;
	for (at++; *at != '\0'; at += *at == '.') {
		size_t n = strcspn(at, ".");

		if (secret_is_name(at, n))
			return 1;
		at += n;
	}
	return 0;
}

static enum place
enter(enum place place, const char *name)
{
	switch (place) {
	case PLACE_ROOT:
		return is_root(name, strlen(name)) ? PLACE_INSIDE : PLACE_OUTSIDE;
	case PLACE_INSIDE:
		return secret_is_name(name, strlen(name)) ? PLACE_SECRET : PLACE_INSIDE;
	case PLACE_OUTSIDE:
	case PLACE_SECRET:
		break;
	}
	return place;
}

static json_t *
mask(const json_t *value, enum place place)
{
	const json_t *child;
	const char *name;
	json_t *copy;
	size_t i;

	if (place == PLACE_SECRET)
		return json_string(SECRET_MASK);
	if (json_is_object(value) && place != PLACE_OUTSIDE) {
		copy = json_object();
		json_object_foreach((json_t *)value, name, child)
			(void)json_object_set_new(copy, name, mask(child, enter(place, name)));
		return copy;
	}
	if (json_is_array(value) && place != PLACE_OUTSIDE) {
		copy = json_array();
		json_array_foreach(value, i, child)
			(void)json_array_append_new(copy, mask(child, place));
		return copy;
	}
	return json_deep_copy(value);
}

json_t *
secret_mask(const json_t *value, const char *pointer)
{
	AUTO_STRV struct strv parts = { 0 };
	enum place place = PLACE_ROOT;

	strv_split(&parts, pointer, '/');
	/* Escapes (~0, ~1) make no name look less secret, and "user_config" and "env" have none. */
	for (size_t i = 1; i < parts.n; i++)
		place = enter(place, parts.items[i]);
	return mask(value, place);
}
