/*
 * pp status --wait: look until the node is as intended.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/status.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define PAUSE_MS 500   /* between two looks */
#define GRACE_MS 10000 /* past the time, for a look that has begun */
#define WIDTH 79       /* bytes that a terminal shows in one line */

/* What is not converged yet: the first of it, and how much more; NULL: all is. */
static char *
missing(const struct status_look *l, const struct strv *names)
{
	AUTO_FREE char *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < l->rows.n; i++) {
		const struct status_row *row = &l->rows.v[i];

		if (status_is_named(row->app, names) && row->state != PLAN_CONVERGED && n++ == 0)
			first = xasprintf("%s: %s", row->app->name, row->reason);
	}
	for (size_t i = 0; (l->failed || l->left_out) && i < l->news.n; i++)
		if (n++ == 0)
			first = xstrdup(l->news.items[i]);
	return n < 2 ? mem_take(&first) : xasprintf("%s; and %zu more", first, n - 1);
}

/* What no pass will mend, only another intent or somebody's decision; NULL: nothing is halted. */
static char *
halted(const struct status_look *l, const struct strv *names)
{
	for (size_t i = 0; i < l->rows.n; i++) {
		const struct status_row *row = &l->rows.v[i];

		if (status_is_named(row->app, names) && row->state == PLAN_HALTED)
			return xasprintf("%s is halted: %s", row->app->name, row->reason);
	}
	return NULL;
}

/* Said anew where it is another one than before; on a terminal, in one line. */
static void
tell_missing(struct strv *told, const char *what, int verbose)
{
	char line[WIDTH + 1];

	if (!verbose && log_progress_wanted()) {
		(void)snprintf(line, sizeof line, "waiting for %s", what);
		log_progress(line);
	}
	if (told->n > 0 && strcmp(told->items[0], what) == 0)
		return;
	strv_release(told);
	strv_add(told, xstrdup(what));
	log_set_verbose(verbose);
	log_note("waiting for %s", what);
	/* What each look looks at was said once. */
	log_set_verbose(0);
}

/* What is waited for, and what came of it. */
struct wait {
	const struct settings *given;
	const char *format;
	struct strv names;
	int64_t end_ms;
	enum status_scope scope;
	int looked;    /* a look has succeeded */
	size_t absent; /* that many names were not here at that time */
	char *what;    /* what is not converged; NULL: all is */
	char *halted;  /* why there is no use in waiting any longer; NULL: there is */
};

/*
 * A name that is not here from the beginning is more likely a slip than about to come; one that goes
 * later is seen to its end.
 * Returns: 0 where there is nothing to wait for.
 */
static int
sort_names(struct wait *w, const struct status_rows *rows)
{
	struct strv here = { 0 };

	if (w->looked)
		return 1;
	w->looked = 1;
	for (size_t i = 0; i < w->names.n; i++)
		if (status_is_here(rows, w->names.items[i]))
			strv_add(&here, xstrdup(w->names.items[i]));
	w->absent = w->names.n - here.n;
	if (w->absent == 0 || w->scope == STATUS_ALL || here.n == 0) {
		strv_release(&here);
		return w->absent == 0;
	}
	strv_release(&w->names);
	w->names = here;
	w->absent = 0;
	return 1;
}

static int
is_outage(const struct err *e)
{
	return e->class == ERR_STORE || e->class == ERR_BUSY;
}

static void
set_look_deadline(const struct settings *given, int64_t left_ms)
{
	int64_t grace = (left_ms > 0 ? left_ms : 0) + GRACE_MS;
	int64_t timeout = settings_duration(given, "timeout", 0);

	clock_set_deadline(timeout > 0 && timeout < grace ? timeout : grace);
}

/* Look until all is converged, the time is over, or there is nothing to wait for. */
static int
look_until(struct wait *w, struct status_look *l, struct err *e)
{
	int verbose = log_verbose(), r;
	AUTO_STRV struct strv told = { 0 };

	for (;;) {
		/* The last look begins when the time is over, so that it tells of all of it. */
		int64_t left = w->end_ms - clock_now_ms();

		set_look_deadline(w->given, left);
		*e = (struct err)ERR_INIT;
		r = status_look_take(l, w->given, e);
		if ((r < 0 && !is_outage(e)) || (r == 0 && !sort_names(w, &l->rows)))
			break;
		w->what = r < 0 ? xstrdup(e->msg) : missing(l, &w->names);
		w->halted = r < 0 ? NULL : halted(l, &w->names);
		if (w->what == NULL || w->halted != NULL || left <= 0)
			break;
		tell_missing(&told, w->what, verbose);
		free(w->what);
		w->what = NULL;
		status_look_release(l);
		clock_sleep_ms(left < PAUSE_MS ? left : PAUSE_MS);
	}
	log_set_verbose(verbose);
	if (log_progress_wanted())
		log_progress(NULL);
	return r;
}

static void
tell_elsewhere(const struct strv *names, const char *node)
{
	AUTO_FREE char *list = strv_join(names, ", ");

	(void)fprintf(stderr,
	    "%s %s not on this node (%s); %s own nodes tell by pp status --wait\n", list,
	    names->n == 1 ? "is" : "are", node, names->n == 1 ? "its" : "their");
}

static int
judge(const struct wait *w, struct err *e)
{
	if (w->halted != NULL)
		return err_set(e, ERR_FAIL, "%s", w->halted);
	return w->what == NULL ? 0 :
				 err_set(e, ERR_FAIL, "the time of --wait is over: %s", w->what);
}

/* Returns: the exit code; -1 with *e set. */
static int
wait_until_converged(struct wait *w, struct err *e)
{
	struct status_look l;
	int r = look_until(w, &l, e);

	if (r == 0 && w->absent > 0 && w->scope == STATUS_HERE) {
		tell_elsewhere(&w->names, l.p.intent.node);
	} else if (r == 0) {
		r = status_look_print(&l, &w->names, w->format);
		/* What is gone by now is as it should be. */
		if (w->absent == 0)
			r = judge(w, e);
	}
	status_look_release(&l);
	free(w->what);
	free(w->halted);
	return r;
}

int
status_wait(const struct settings *given, const struct strv *names, const char *format,
    int64_t wait_ms, enum status_scope scope, struct err *e)
{
	struct wait w = { .given = given,
		.format = format,
		.end_ms = clock_now_ms() + wait_ms,
		.scope = scope };
	int r;

	for (size_t i = 0; i < names->n; i++)
		strv_add(&w.names, xstrdup(names->items[i]));
	r = wait_until_converged(&w, e);
	strv_release(&w.names);
	return r;
}
