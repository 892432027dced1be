#include "lib/store/txn.h"

#include <string.h>

#include "lib/base/mem.h"

#define DIGITS_MAX 18

struct scan {
	char *at;
	int (*take)(void *, const struct txn_entry *, struct err *);
	void *arg;
	struct err *e;
	int failed; /* take did */
};

/* A string of the answer, in its place. */
struct text {
	char *at;
	size_t n;
};

static void
skip_blanks(struct scan *s)
{
	while (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r')
		s->at++;
}

/* Take this character, with blanks before it. */
static int
is_next(struct scan *s, char c)
{
	skip_blanks(s);
	if (*s->at != c)
		return 0;
	s->at++;
	return 1;
}

static int
is_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	skip_blanks(s);
	if (strncmp(s->at, word, n) != 0)
		return 0;
	s->at += n;
	return 1;
}

static int
scan_string(struct scan *s, struct text *t)
{
	if (!is_next(s, '"'))
		return 0;
	t->at = s->at;
	while (*s->at >= 0x20 && *s->at < 0x7f && *s->at != '"' && *s->at != '\\')
		s->at++;
	t->n = (size_t)(s->at - t->at);
	if (*s->at != '"')
		return 0;
	s->at++;
	return 1;
}

static int
scan_number(struct scan *s, uint64_t *value)
{
	size_t digits;

	skip_blanks(s);
	digits = strspn(s->at, "0123456789");
	if (digits == 0 || digits > DIGITS_MAX || (digits > 1 && *s->at == '0'))
		return 0;
	for (*value = 0; digits > 0; digits--)
		*value = *value * 10 + (uint64_t)(*s->at++ - '0');
	return *s->at == ',' || *s->at == '}' || *s->at == ' ' || *s->at == '\n' ||
	    *s->at == '\t' || *s->at == '\r';
}

/* Which of the names it is; -1: none. */
static int
find_name(const struct text *t, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == t->n && memcmp(names[i], t->at, t->n) == 0)
			return (int)i;
	return -1;
}

/* The next name of an object and its colon, one of these, and not one that was there before. */
static int
scan_name(struct scan *s, const char *const *names, size_t n, unsigned *seen)
{
	struct text name;
	int which;

	if (!scan_string(s, &name) || !is_next(s, ':'))
		return -1;
	which = find_name(&name, names, n);
	if (which < 0 || (*seen & 1U << which))
		return -1;
	*seen |= 1U << which;
	return which;
}

static int
hand_over(struct scan *s, const struct text *key, const struct text *value, uint64_t index)
{
	struct txn_entry entry = { key->at, value->at, index };
	int r;

	if (key->at == NULL)
		return 0;
	key->at[key->n] = '\0';
	if (value->at != NULL)
		value->at[value->n] = '\0';
	r = s->take(s->arg, &entry, s->e);
	key->at[key->n] = '"';
	if (value->at != NULL)
		value->at[value->n] = '"';
	s->failed = r < 0;
	return r == 0;
}

/* {"LockIndex": 0, "Key": "a", "Flags": 0, "Value": "e30=", "CreateIndex": 5, "ModifyIndex": 5} */
static int
scan_document(struct scan *s)
{
	static const char *const names[] = { "Key", "Value", "ModifyIndex", "LockIndex", "Flags",
		"CreateIndex" };
	struct text key = { 0 }, value = { 0 };
	uint64_t index = 0, ignored;
	unsigned seen = 0;

	if (!is_next(s, '{'))
		return 0;
	do {
		int which = scan_name(s, names, MEM_COUNT(names), &seen), good;

		if (which == 0)
			good = scan_string(s, &key);
		else if (which == 1)
			good = is_word(s, "null") || scan_string(s, &value);
		else
			good = which > 0 && scan_number(s, which == 2 ? &index : &ignored);
		if (!good)
			return 0;
	} while (is_next(s, ','));
	return (seen & 7) == 7 && is_next(s, '}') && hand_over(s, &key, &value, index);
}

static int
scan_results(struct scan *s)
{
	static const char *const kv[] = { "KV" };

	if (is_word(s, "null"))
		return 1;
	if (!is_next(s, '['))
		return 0;
	if (is_next(s, ']'))
		return 1;
	do {
		unsigned seen = 0;

		if (!is_next(s, '{') || scan_name(s, kv, 1, &seen) != 0 || !scan_document(s) ||
		    !is_next(s, '}'))
			return 0;
	} while (is_next(s, ','));
	return is_next(s, ']');
}

static int
scan_answer(struct scan *s)
{
	static const char *const names[] = { "Results", "Errors", "KnownLeader", "ConsistencyLevel",
		"Index", "LastContact" };
	struct text level;
	unsigned seen = 0;
	uint64_t ignored;

	if (!is_next(s, '{'))
		return 0;
	do {
		int which = scan_name(s, names, MEM_COUNT(names), &seen), good;

		if (which == 0)
			good = scan_results(s);
		else if (which == 1)
			good = is_word(s, "null");
		else if (which == 2)
			good = is_word(s, "true");
		else if (which == 3)
			good = scan_string(s, &level);
		else
			good = which > 0 && scan_number(s, &ignored);
		if (!good)
			return 0;
	} while (is_next(s, ','));
	return (seen & 1) && is_next(s, '}');
}

int
txn_scan(char *body, size_t n, int (*take)(void *arg, const struct txn_entry *, struct err *),
    void *arg, struct err *e)
{
	struct scan s = { .take = take, .arg = arg, .e = e };
	int plain;

	s.at = body;
	plain = scan_answer(&s);

	if (s.failed)
		return -1;
	if (plain)
		skip_blanks(&s);
	return plain && s.at == body + n;
}
