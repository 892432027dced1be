#include "lib/base/settings.h"

#include <sys/stat.h>

#include <assert.h>
#include <bsd/stdlib.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/size.h"

#define OPTION_BASE 256 /* val of a long option: this and the setting's place */

void
settings_add(struct settings *s, const struct setting *table)
{
	for (; table->name != NULL; table++) {
		assert(s->n < SETTINGS_MAX);
		s->known[s->n++] = table;
	}
}

static size_t
place_of(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->known[i]->name, name) == 0)
			return i;
	assert(!"setting is in the table");
	return 0;
}

static int
parse_yes(const char *text, int *value)
{
	static const char *const words[2][4] = { { "no", "false", "off", "0" },
		{ "yes", "true", "on", "1" } };

	for (int v = 0; v < 2; v++)
		for (size_t i = 0; i < 4; i++)
			if (strcmp(text, words[v][i]) == 0) {
				*value = v;
				return 0;
			}
	return -1;
}

static int
parse_number(const char *text, uint64_t *value)
{
	const char *fault;

	*value = (uint64_t)strtonum(text, 0, INT64_MAX, &fault);
	return fault == NULL ? 0 : -1;
}

static int
set_value(struct settings *s, size_t i, const char *text, struct err *e)
{
	struct strv *values = &s->values[i];
	uint64_t number;
	int64_t ms;
	int yes;

	switch (s->known[i]->kind) {
	case SETTING_FLAG:
		if (parse_yes(text, &yes) < 0)
			return err_set(e, ERR_CONFIG, "\"%s\": write yes or no", text);
		break;
	case SETTING_DURATION:
		if (clock_parse_duration(text, &ms, e) < 0)
			return -1;
		break;
	case SETTING_SIZE:
		if (size_parse(text, &number, e) < 0)
			return -1;
		break;
	case SETTING_NUMBER:
		if (parse_number(text, &number) < 0)
			return err_set(e, ERR_CONFIG, "\"%s\" is not a number", text);
		break;
	case SETTING_TEXT:
	case SETTING_LIST:
		if (text[0] == '\0')
			return err_set(e, ERR_CONFIG, "the value is empty");
		break;
	}
	if (s->known[i]->kind != SETTING_LIST)
		strv_release(values);
	strv_add(values, xstrdup(text));
	return 0;
}

static void
make_options(const struct settings *s, struct option *longs, char *shorts)
{
	for (size_t i = 0; i < s->n; i++) {
		int takes = s->known[i]->kind == SETTING_FLAG ? no_argument : required_argument;

		longs[i] = (struct option){ s->known[i]->name, takes, NULL, OPTION_BASE + (int)i };
		if (s->known[i]->letter != 0) {
			*shorts++ = s->known[i]->letter;
			if (takes == required_argument)
				*shorts++ = ':';
		}
	}
	*shorts = '\0';
}

static size_t
place_of_option(const struct settings *s, int c)
{
	for (size_t i = 0; i < s->n; i++)
		if (c == OPTION_BASE + (int)i || c == s->known[i]->letter)
			return i;
	return s->n;
}

int
settings_parse(struct settings *s, int argc, char **argv, int how, struct strv *operands,
    struct err *e)
{
	struct option longs[SETTINGS_MAX + 1] = { { 0 } };
	char shorts[2 * SETTINGS_MAX + 2] = ":";
	int c;

	make_options(s, longs, shorts + 1);
	opterr = 0;
	optind = 0;
	for (;;) {
		int at = optind ? optind : 1;
		size_t i;

		c = how & SETTINGS_SINGLE_DASH ? getopt_long_only(argc, argv, shorts, longs, NULL) :
						 getopt_long(argc, argv, shorts, longs, NULL);
		if (c < 0)
			break;
		if (c == ':')
			return err_set(e, ERR_USAGE, "%s wants a value", argv[optind - 1]);
		i = place_of_option(s, c);
		if (i == s->n)
			return err_set(e, ERR_USAGE, "unknown option %s",
			    optind > at ? argv[optind - 1] : argv[at]);
		if (set_value(s, i, s->known[i]->kind == SETTING_FLAG ? "yes" : optarg, e) < 0) {
			e->class = ERR_USAGE;
			return err_wrap(e, "--%s", s->known[i]->name);
		}
	}
	for (int i = optind; i < argc; i++)
		strv_add(operands, xstrdup(argv[i]));
	return 0;
}

static char *
env_name(const char *setting)
{
	char *name = xasprintf("PP_%s", setting);

	for (char *at = name; *at != '\0'; at++)
		*at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
	return name;
}

static int
load_env(struct settings *s, const int *given, struct err *e)
{
	for (size_t i = 0; i < s->n; i++) {
		AUTO_FREE char *name = env_name(s->known[i]->name);
		const char *value = getenv(name);

		if (given[i] || s->known[i]->from == SETTING_FLAG_ONLY || value == NULL ||
		    value[0] == '\0')
			continue;
		if (set_value(s, i, value, e) < 0) {
			e->class = ERR_CONFIG;
			return err_wrap(e, "%s", name);
		}
	}
	return 0;
}

/* Where pp.conf is being read. */
struct reader {
	struct settings *s;
	const char *path, *section;
	const struct settings_conf *conf;
	struct strv met;            /* "section key" of each so far */
	int given[SETTINGS_MAX];    /* by something that beats pp.conf */
	int by_agent[SETTINGS_MAX]; /* by the agent's own section, which beats [pp] */
	struct err *e;
	int failed;
};

static int
same_key(const char *key, const char *setting)
{
	for (; *key != '\0' && *setting != '\0'; key++, setting++)
		if (*key != *setting && !(*key == '_' && *setting == '-'))
			return 0;
	return *key == *setting;
}

static int
take_key(struct reader *r, int own, const char *key, const char *value)
{
	for (size_t i = 0; i < r->s->n; i++) {
		if (!same_key(key, r->s->known[i]->name) ||
		    r->s->known[i]->from == SETTING_FLAG_ONLY)
			continue;
		if (r->given[i] || (!own && r->by_agent[i]))
			return 0;
		r->by_agent[i] = own;
		if (r->s->known[i]->kind == SETTING_LIST)
			strv_release(&r->s->values[i]);
		return set_value(r->s, i, value, r->e) < 0 ? err_wrap(r->e, "%s", key) : 0;
	}
	for (size_t i = 0; i < r->conf->known->n; i++)
		if (same_key(key, r->conf->known->known[i]->name) &&
		    r->conf->known->known[i]->from != SETTING_FLAG_ONLY)
			return 0;
	return err_set(r->e, ERR_CONFIG, "%s: no such setting; pp.conf(5) lists them", key);
}

/* An indented line goes on with the value of the one above it, which nobody means here. */
static int
check_once(struct reader *r, const char *section, const char *key)
{
	AUTO_FREE char *name = xasprintf("%s %s", section, key);

	if (strv_has(&r->met, name))
		return err_set(r->e, ERR_CONFIG,
		    "%s is set twice (an indented line continues the one above it)", key);
	strv_add(&r->met, mem_take(&name));
	return 0;
}

static int
on_key(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;
	int own = r->section != NULL && strcmp(section, r->section) == 0;

	if (r->failed)
		return 0;
	if (strcmp(section, "pp") != 0 && !strv_has(&r->conf->sections, section)) {
		r->failed = 1;
		err_set(r->e, ERR_CONFIG, "[%s]: no such section; pp.conf(5) lists them", section);
		return 0;
	}
	if (check_once(r, section, key) == 0 &&
	    ((!own && strcmp(section, "pp") != 0) || take_key(r, own, key, value) == 0))
		return 1;
	r->failed = 1;
	r->e->class = ERR_CONFIG;
	return 0;
}

static int
load_conf(struct reader *r)
{
	FILE *f = fopen(r->path, "re");
	int line, bad;

	if (f == NULL && errno == ENOENT)
		return 0;
	if (f == NULL) {
		err_sys(r->e, "open %s", r->path);
		r->e->class = ERR_CONFIG;
		return -1;
	}
	line = ini_parse_file(f, on_key, r);
	bad = ferror(f);
	(void)fclose(f);
	if (bad && !r->failed)
		return err_set(r->e, ERR_CONFIG, "%s: it cannot be read", r->path);
	if (r->failed)
		return err_wrap(r->e, "%s:%d", r->path, line);
	if (line != 0)
		return err_set(r->e, ERR_CONFIG, "%s:%d: neither [section] nor key = value",
		    r->path, line);
	return 0;
}

int
settings_load(struct settings *s, const char *section, const struct settings_conf *conf,
    struct err *e)
{
	const char *path = getenv("PP_CONF");
	struct reader r = { .s = s, .section = section, .conf = conf, .e = e };
	int loaded;

	for (size_t i = 0; i < s->n; i++)
		r.given[i] = s->values[i].n > 0;
	if (load_env(s, r.given, e) < 0)
		return -1;
	for (size_t i = 0; i < s->n; i++)
		r.given[i] = s->values[i].n > 0;
	r.path = path != NULL && path[0] != '\0' ? path : SETTINGS_CONF;
	loaded = load_conf(&r);
	strv_release(&r.met);
	return loaded;
}

void
settings_copy(struct settings *s, const struct settings *from)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < from->n; k++) {
			if (strcmp(s->known[i]->name, from->known[k]->name) != 0)
				continue;
			strv_release(&s->values[i]);
			for (size_t v = 0; v < from->values[k].n; v++)
				strv_add(&s->values[i], xstrdup(from->values[k].items[v]));
		}
}

const char *
settings_text(const struct settings *s, const char *name)
{
	const struct strv *values = &s->values[place_of(s, name)];

	return values->n > 0 ? values->items[0] : NULL;
}

const struct strv *
settings_list(const struct settings *s, const char *name)
{
	return &s->values[place_of(s, name)];
}

int
settings_flag(const struct settings *s, const char *name)
{
	const char *text = settings_text(s, name);
	int value = 0;

	return text != NULL && parse_yes(text, &value) == 0 && value;
}

int64_t
settings_duration(const struct settings *s, const char *name, int64_t unset)
{
	const char *text = settings_text(s, name);
	struct err ignored = ERR_INIT;
	int64_t ms;

	return text != NULL && clock_parse_duration(text, &ms, &ignored) == 0 ? ms : unset;
}

uint64_t
settings_size(const struct settings *s, const char *name, uint64_t unset)
{
	const char *text = settings_text(s, name);
	struct err ignored = ERR_INIT;
	uint64_t bytes;

	return text != NULL && size_parse(text, &bytes, &ignored) == 0 ? bytes : unset;
}

uint64_t
settings_number(const struct settings *s, const char *name, uint64_t unset)
{
	const char *text = settings_text(s, name);
	uint64_t number;

	return text != NULL && parse_number(text, &number) == 0 ? number : unset;
}

void
settings_usage(const struct setting *table, struct buf *out)
{
	for (; table->name != NULL; table++) {
		AUTO_FREE char *flag = xasprintf("--%s%s%s", table->name, table->arg ? "=" : "",
		    table->arg ? table->arg : "");

		if (table->letter != 0)
			buf_printf(out, "  -%c, %-24s %s\n", table->letter, flag, table->help);
		else
			buf_printf(out, "      %-24s %s\n", flag, table->help);
	}
}

void
settings_release(struct settings *s)
{
	for (size_t i = 0; i < s->n; i++)
		strv_release(&s->values[i]);
	*s = (struct settings){ 0 };
}
