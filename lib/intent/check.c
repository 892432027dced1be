#include "lib/intent/check.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/intent/intent.h"

#define FAULTS_MAX 1000 /* in one document */
#define NEAR 2          /* letters in which a slip differs from what was meant */
#define SHORT_NAME 4    /* of which one letter is as much */

/* ---- where ---- */

/* A text that was parsed before: what is read here is known to be JSON. */
struct scan {
	const char *at, *end;
};

static void
skip_blanks(struct scan *s)
{
	while (s->at < s->end && strchr(" \t\r\n", *s->at) != NULL && *s->at != '\0')
		s->at++;
}

static void
skip_string(struct scan *s)
{
	for (s->at++; s->at < s->end && *s->at != '"'; s->at++)
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
	if (s->at < s->end)
		s->at++;
}

static void
skip_value(struct scan *s)
{
	int depth = 0;

	do {
		skip_blanks(s);
		if (s->at >= s->end)
			return;
		if (*s->at == '"') {
			skip_string(s);
		} else if (*s->at == '{' || *s->at == '[') {
			depth++;
			s->at++;
		} else if (*s->at == '}' || *s->at == ']') {
			depth--;
			s->at++;
		} else if (*s->at == ',' || *s->at == ':') {
			if (depth == 0)
				return;
			s->at++;
		} else {
			while (s->at < s->end && strchr(",:]} \t\r\n", *s->at) == NULL)
				s->at++;
		}
	} while (depth > 0);
}

static int
string_is(const char *from, const char *to, const char *name)
{
	json_auto_t *value = json_loadb(from, (size_t)(to - from), JSON_DECODE_ANY, NULL);

	return json_is_string(value) && strcmp(json_string_value(value), name) == 0;
}

/* From the start of an object to the value of a member; *place is where its name stands. */
static int
enter_member(struct scan *s, const char *name, const char **place)
{
	s->at++;
	for (;;) {
		const char *from;
		int found;

		skip_blanks(s);
		if (s->at >= s->end || *s->at != '"')
			return 0;
		from = s->at;
		skip_string(s);
		found = string_is(from, s->at, name);
		skip_blanks(s);
		if (s->at < s->end)
			s->at++;
		skip_blanks(s);
		if (found) {
			*place = from;
			return 1;
		}
		skip_value(s);
		skip_blanks(s);
		if (s->at >= s->end || *s->at != ',')
			return 0;
		s->at++;
	}
}

static int
enter_element(struct scan *s, size_t n, const char **place)
{
	for (s->at++; n > 0; n--) {
		skip_value(s);
		skip_blanks(s);
		if (s->at >= s->end || *s->at != ',')
			return 0;
		s->at++;
	}
	skip_blanks(s);
	*place = s->at;
	return 1;
}

void
check_locate(const char *text, size_t len, const struct strv *path, int *line, int *column)
{
	struct scan s = { text, text + len };
	const char *place;

	skip_blanks(&s);
	place = s.at;
	for (size_t i = 0; i < path->n && s.at < s.end; i++) {
		const char *name = path->items[i];
		int found = *s.at == '{' ? enter_member(&s, name, &place) :
		    *s.at == '['         ? enter_element(&s, strtoul(name + 1, NULL, 10), &place) :
					   0;

		if (!found)
			break;
	}
	*line = *column = 1;
	for (const char *at = text; at < place; at++) {
		if (*at == '\n') {
			(*line)++;
			*column = 1;
		} else if (((unsigned char)*at & 0xc0) != 0x80) {
			(*column)++;
		}
	}
}

static void
add_at(const struct check_source *source, const struct strv *below, struct strv *to,
    const char *what)
{
	AUTO_STRV struct strv path = { 0 };
	int line, column;

	for (size_t i = 0; i < source->path.n; i++)
		strv_add(&path, xstrdup(source->path.items[i]));
	for (size_t i = 0; below != NULL && i < below->n; i++)
		strv_add(&path, xstrdup(below->items[i]));
	check_locate(source->text, source->len, &path, &line, &column);
	strv_add(to, xasprintf("%s:%d:%d: %s", source->file, line, column, what));
}

void
check_fault(const struct check_source *source, struct check_report *report, const char *fmt, ...)
{
	char what[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	add_at(source, NULL, &report->faults, what);
}

/* ---- what ---- */

/* The longest name of an object that `text` begins with, before one of `stops`; NULL if none. */
static const char *
leading_name(const json_t *object, const char *text, const char *stops)
{
	const char *name, *best = NULL;
	const json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		size_t n = strlen(name);

		if (n > 0 && strncmp(text, name, n) == 0 && text[n] != '\0' &&
		    strchr(stops, text[n]) != NULL && (best == NULL || n > strlen(best)))
			best = name;
	}
	return best;
}

/* Each message begins with the field that it is about: "ports[3]: ...", "versions.abc: ...". */
static void
path_of_message(const json_t *doc, const char *msg, struct strv *path)
{
	const char *name = leading_name(doc, msg, ":.[ ");
	const json_t *value = doc;

	while (name != NULL) {
		strv_add(path, xstrdup(name));
		value = json_object_get(value, name);
		msg += strlen(name);
		if (*msg == '[' && json_is_array(value))
			strv_add(path, xmemdup(msg, strcspn(msg, "]") + 1));
		name =
		    *msg == '.' && json_is_object(value) ? leading_name(value, ++msg, ":[") : NULL;
	}
}

/* What asks stays, and knows its port: else there would be another fault, that something is missing. */
static void
mend_check(json_t *check, const char *part)
{
	int http = json_object_get(check, "http") != NULL;

	if (http && (strcmp(part, "port") == 0 || json_object_get(check, "port") == NULL))
		(void)json_object_set_new(check, "port", json_integer(1));
	if (strcmp(part, "http") == 0)
		(void)json_object_set_new(check, part, json_string("/"));
	else if (strcmp(part, "tcp") == 0)
		(void)json_object_set_new(check, part, json_integer(1));
	else if (strcmp(part, "exec") == 0)
		(void)json_object_set_new(check, part, json_string("/bin/true"));
	else if (!http || strcmp(part, "port") != 0)
		(void)json_object_del(check, part);
}

/* Take out what is wrong, or put something right in its place, so that the next fault is found. */
static void
mend(json_t *doc, const struct strv *path, enum change_kind kind)
{
	json_t *value = path->n > 0 ? json_object_get(doc, path->items[0]) : NULL;

	if (kind == CHANGE_DEPLOY_CONFIG &&
	    (path->n == 0 || strcmp(path->items[0], "basedir") == 0)) {
		(void)json_object_set_new(doc, "basedir", json_string("/data/app"));
		return;
	}
	if (path->n >= 2 && strcmp(path->items[0], "check") == 0) {
		mend_check(value, path->items[1]);
	} else if (path->n == 2 && json_is_array(value)) {
		size_t i = strtoul(path->items[1] + 1, NULL, 10);
		json_t *right = strcmp(path->items[0], "ports") == 0 ?
		    json_pack("{s:i,s:[s]}", "port", 1, "from", "10.0.0.0/8") :
		    json_string("nobody");

		(void)json_array_set_new(value, i, right);
	} else if (path->n == 2) {
		(void)json_object_del(value, path->items[1]);
	} else if (path->n == 1) {
		(void)json_object_del(doc, path->items[0]);
	}
	if (kind == CHANGE_NODE)
		(void)json_object_set_new(doc, "cluster", json_string("any"));
}

static int
levenshtein(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	int row[64];

	if (n >= 60 || m >= 60)
		return NEAR + 1;
	for (size_t k = 0; k <= m; k++)
		row[k] = (int)k;
	for (size_t i = 1; i <= n; i++) {
		int above = row[0];

		row[0] = (int)i;
		for (size_t k = 1; k <= m; k++) {
			int best = above + (tolower((unsigned char)a[i - 1]) != b[k - 1]);

			above = row[k];
			if (row[k] + 1 < best)
				best = row[k] + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
		}
	}
	return row[m];
}

/* A field that pp does not know is kept; one that is nearly one that it knows is likely a slip. */
static void
note_slips(const struct check_source *source, const struct change_key *k, const json_t *doc,
    struct check_report *report)
{
	enum edit_doc kind = k->kind == CHANGE_CONFIG ? EDIT_CONFIG :
	    k->kind == CHANGE_DEPLOY_CONFIG           ? EDIT_DEPLOY_CONFIG :
							EDIT_OWNERS;
	const json_t *value;
	const char *name;

	json_object_foreach((json_t *)doc, name, value) {
		struct strv path = { (char *[]){ (char *)name, NULL }, 1 };

		if (k->kind == CHANGE_NODE || edit_is_key(kind, name))
			continue;
		for (size_t i = 0; edit_key_name(i) != NULL; i++) {
			const char *field = edit_key_name(i);
			int known = edit_is_key(kind, field);
			int near = strlen(field) > SHORT_NAME ? NEAR : 1;

			if (levenshtein(name, field) > (known ? near : 0))
				continue;
			AUTO_FREE char *what = known ?
			    xasprintf(
				"%s: no field that pp knows, so it is of no effect; is %s meant?",
				name, field) :
			    xasprintf("%s: of no effect in this document; it is another one's",
				name);
			add_at(source, &path, &report->notes, what);
			break;
		}
	}
}

void
check_document(const struct check_source *source, const char *key, const json_t *doc,
    struct check_report *report)
{
	json_auto_t *copy = json_deep_copy(doc);
	struct change_key k;

	if (change_parse_key(key, &k) < 0) {
		check_fault(source, report,
		    "%s: there is no such document; pp-store(7) lists the keys that there are",
		    key);
		return;
	}
	if (!json_is_object(doc)) {
		check_fault(source, report, "%s: it must be a JSON object", key);
		return;
	}
	for (int i = 0; i < FAULTS_MAX; i++) {
		AUTO_CHANGE struct change c = { 0 };
		AUTO_STRV struct strv path = { 0 };
		struct err why = ERR_INIT;

		(void)change_add(&c, key, NULL, 0, json_incref(copy));
		if (change_check(&c, &why) == 0)
			break;
		path_of_message(copy, why.msg + strlen(key) + 2, &path);
		add_at(source, &path, &report->faults, why.msg);
		mend(copy, &path, k.kind);
	}
	note_slips(source, &k, doc, report);
}

void
check_report_release(struct check_report *report)
{
	strv_release(&report->faults);
	strv_release(&report->notes);
}
