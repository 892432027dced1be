/*
 * What the verbs of pp intent share. Each family of verbs is one file, cmd/intent_*.c; the table of
 * them is in cmd/intent.c.
 */
#ifndef PP_CMD_INTENT_H
#define PP_CMD_INTENT_H

#include "cmd/cmd.h"
#include "lib/base/mem.h"
#include "lib/intent/change.h"
#include "lib/intent/check.h"
#include "lib/intent/history.h"
#include "lib/intent/target.h"
#include "lib/store/store.h"

#define INTENT_DIFFERS 1

/* What a verb works on. */
struct intent_run {
	const char *verb;
	struct settings *settings;
	struct store *store;  /* NULL for verbs that need none */
	struct strv operands; /* without the verb */
	struct change_note note;
	struct strv touched; /* "slug/production", "slug": what --wait is to follow */
};

/** Which words a change needs before it is made. */
enum intent_ask {
	INTENT_JUST_DO, /* who wrote the command line has said it */
	INTENT_GUARD,   /* a big removal asks, or wants --allow-empty */
	INTENT_ASK,     /* every change asks, or wants --yes; a big removal, too */
};

/* The verbs: 0, or INTENT_DIFFERS; -1 with *e set. */
int intent_get(struct intent_run *run, struct err *e);
int intent_set(struct intent_run *run, struct err *e);
int intent_unset(struct intent_run *run, struct err *e);
int intent_diff(struct intent_run *run, struct err *e);
int intent_assign(struct intent_run *run, struct err *e);
int intent_unassign(struct intent_run *run, struct err *e);
int intent_history(struct intent_run *run, struct err *e);
int intent_rollback(struct intent_run *run, struct err *e);
int intent_apply(struct intent_run *run, struct err *e);
int intent_export(struct intent_run *run, struct err *e);
int intent_check(struct intent_run *run, struct err *e);
int intent_edit(struct intent_run *run, struct err *e);
int intent_watch(struct intent_run *run, struct err *e);

/**
 * How diffs are to be shown: --color, NO_COLOR, whether stdout is a terminal, --show-secrets.
 * Returns: 0; -1 with *e set (ERR_USAGE).
 */
int intent_look(const struct intent_run *run, struct edit_look *look, struct err *e);

/** Print JSON, indented, sorted. */
void intent_print_json(const json_t *value);

/** Print a change: its lines, or with --json a JSON Patch. `prefix` as in change_diff(). */
int intent_print(const struct intent_run *run, const struct change *c, const char *prefix,
    struct err *e);

/**
 * Ask a question on the terminal.
 * Returns: 0 where the answer is yes; -1 with *e set: ERR_FAIL, it is no; ERR_USAGE, there is no
 *          terminal, and `instead` says what to write then.
 */
int intent_confirm(const char *question, const char *instead, struct err *e);

/** Is there somebody to ask? */
int intent_has_terminal(void);

/**
 * Carry out a change: checked before; its diff printed, and asked for where `ask` says so; written
 * with its history, unless --dry-run.
 * Returns: 0, also where there is nothing to change; -1 with *e set.
 */
int intent_commit(struct intent_run *run, const struct change *c, const char *prefix,
    enum intent_ask ask, struct err *e);

/** A number that is another one as soon as a document of the target is another one; 0: none is there. */
long long intent_index(const struct target *t);

/** target_read() of the first operand, and --if-index. */
int intent_read_target(struct intent_run *run, struct target *t, struct err *e);

/** Refuse a target that has no document, or whose documents may not be seen. */
int intent_require_some(struct intent_run *run, const struct target *t, struct err *e);

/** Print the faults and notes of a report to stderr. Returns: 0; -1 with *e set where there are faults. */
int intent_tell_report(const char *where, const struct check_report *report, struct err *e);

#endif
