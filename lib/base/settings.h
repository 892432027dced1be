/*
 * Settings: one table says what can be set; a flag beats the PP_* environment, which beats pp.conf,
 * which beats the default.
 *
 * The setting "runit-stage" is --runit-stage on the command line, PP_RUNIT_STAGE in the environment
 * and runit_stage (or runit-stage) in pp.conf, in the section of its agent or in [pp].
 */
#ifndef PP_SETTINGS_H
#define PP_SETTINGS_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum setting_kind {
	SETTING_FLAG, /* given or not; yes or no in pp.conf */
	SETTING_TEXT,
	SETTING_DURATION, /* as clock_parse_duration() */
	SETTING_SIZE,     /* as size_parse() */
	SETTING_NUMBER,   /* 0 and up, in decimal */
	SETTING_LIST,     /* may be given several times */
};

enum setting_from {
	SETTING_ANYWHERE,  /* flag, environment, pp.conf */
	SETTING_FLAG_ONLY, /* only on the command line */
};

struct setting {
	const char *name;
	char letter; /* a short option, or 0 */
	enum setting_kind kind;
	enum setting_from from;
	const char *arg;  /* what usage calls the value; NULL for a flag */
	const char *help; /* half a line for usage */
};

#define SETTINGS_MAX 96
#define SETTINGS_CONF "/etc/pp/pp.conf"

/** The values of the settings of a command. Borrows the tables. */
struct settings {
	const struct setting *known[SETTINGS_MAX];
	struct strv values[SETTINGS_MAX]; /* several only for SETTING_LIST */
	size_t n;
};

/** Add a table, which ends with a NULL name. At most SETTINGS_MAX settings together. */
void settings_add(struct settings *s, const struct setting *table);

/** Single-dash long flags ("-repo=URL"), as the prototype's programs took them. */
#define SETTINGS_SINGLE_DASH 1

/**
 * Take flags from the command line; they may follow operands.
 * Returns: 0 and the operands added; -1 with *e set (ERR_USAGE).
 */
int settings_parse(struct settings *s, int argc, char **argv, int how, struct strv *operands,
    struct err *e);

/** What pp.conf may hold besides the settings of this command. */
struct settings_conf {
	struct strv sections;
	const struct settings *known; /* every setting of every command */
};

/**
 * Fill what no flag gave from PP_* and from pp.conf (PP_CONF, else SETTINGS_CONF; not there is fine).
 *
 * `section` is the agent's section, or NULL; [pp] is always read. A key that only other commands know
 * is passed over; a key or a section that nobody knows, a key that is there twice, and a value that
 * does not parse are errors.
 * Returns: 0; -1 with *e set (ERR_CONFIG), naming file and line.
 */
int settings_load(struct settings *s, const char *section, const struct settings_conf *conf,
    struct err *e);

/** Take over the values of `from` for the settings that both know. */
void settings_copy(struct settings *s, const struct settings *from);

/** The text of a setting; NULL if it was not set. Borrowed. The name must be known. */
const char *settings_text(const struct settings *s, const char *name);

/** All values of a SETTING_LIST. Borrowed. */
const struct strv *settings_list(const struct settings *s, const char *name);

/** Was the flag given? */
int settings_flag(const struct settings *s, const char *name);

/** A duration in ms; `unset` where it was not set. */
int64_t settings_duration(const struct settings *s, const char *name, int64_t unset);

/** A size in bytes; `unset` where it was not set. */
uint64_t settings_size(const struct settings *s, const char *name, uint64_t unset);

/** A number; `unset` where it was not set. */
uint64_t settings_number(const struct settings *s, const char *name, uint64_t unset);

/** Add the lines of usage for a table's settings. */
void settings_usage(const struct setting *table, struct buf *out);

/** Free the values. */
void settings_release(struct settings *s);

#endif
