/*
 * Starting an app: it counts as started when it is healthy and has stayed so for a while. A version that
 * does not get there is said to have failed, to the cluster too, and gone back from where that is wanted.
 */
#include <string.h>
#include <unistd.h>

#include "lib/agent/setlive.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define POLL_MS 200
#define POLL_EXEC_MS 1000 /* a program of its own each time */
#define UP_STEP_MS 1000   /* sv tells it in whole seconds */

/* How long it has been well without a break, by a clock that does not jump. */
struct watch {
	int64_t since_ms; /* -1: it is not well */
	int64_t up_ms;    /* of its youngest service, when last looked at */
	uint64_t pids;    /* of its services, all in one number */
	char *text;       /* what was wrong last */
};

static int
look_at_services(const struct seen_live *seen, struct watch *w, int64_t settle_ms, struct err *e)
{
	AUTO_FREE struct service_status *status = xcalloc(seen->wanted.n + 1, sizeof *status);
	int64_t up_ms = INT64_MAX;
	uint64_t pids = 0;

	if (supervisor_status(&seen->supervisor, &seen->wanted, status, e) < 0)
		return -1;
	for (size_t i = 0; i < seen->wanted.n; i++) {
		if (status[i].state != SERVICE_UP) {
			free(w->text);
			w->text = xasprintf("service %s does not stay up", seen->wanted.items[i]);
			w->since_ms = -1;
			return 0;
		}
		if (status[i].for_ms < up_ms)
			up_ms = status[i].for_ms;
		pids = pids * 4194319 + (uint64_t)status[i].pid;
	}
	/* It has ended and was started again: by its process, or where nobody tells that, by its age. */
	if (pids != 0 ?
		pids != w->pids :
		up_ms + POLL_MS < w->up_ms || clock_now_ms() - up_ms - UP_STEP_MS > w->since_ms)
		w->since_ms = -1;
	w->pids = pids;
	w->up_ms = up_ms;
	if (w->since_ms < 0)
		w->since_ms = clock_now_ms();
	if (seen->check.kind == HEALTH_SUPERVISOR && up_ms >= settle_ms)
		w->since_ms = clock_now_ms() - settle_ms;
	return 1;
}

static void
look_at_health(const struct health_check *check, struct watch *w)
{
	struct health_answer answer = { 0 };

	health_ask(check, &answer);
	if (answer.verdict != HEALTH_PASSING && answer.verdict != HEALTH_WARNING) {
		w->since_ms = -1;
		free(w->text);
		w->text = xstrdup(answer.text != NULL ? answer.text : health_name(answer.verdict));
	}
	health_answer_release(&answer);
}

/* Returns: 0 when it has been well for `settle`; -1 with *e set when the time for that is up. */
static int
await_health(const struct intent_app *app, const struct seen_live *seen,
    const struct health_check *check, struct watch *w, struct err *e)
{
	const int64_t start = clock_now_ms();
	const int64_t end = start + clock_bound_ms(app->start_timeout_ms);
	const int64_t poll = check->kind == HEALTH_EXEC ? POLL_EXEC_MS : POLL_MS;

	for (;;) {
		int up = look_at_services(seen, w, app->settle_ms, e);
		int64_t now;

		if (up < 0)
			return -1;
		if (up > 0 && check->kind != HEALTH_SUPERVISOR)
			look_at_health(check, w);
		now = clock_now_ms();
		if (w->since_ms >= 0 && now - w->since_ms >= app->settle_ms)
			return 0;
		/* What got well in time may go on to show that it stays so. */
		if (now >= end && (w->since_ms < 0 || w->since_ms > end || clock_bound_ms(1) == 0))
			break;
		clock_sleep_ms(poll);
	}
	return err_set(e, ERR_FAIL, "%s is not healthy after %lld s: %s", seen->version,
	    (long long)((clock_now_ms() - start) / 1000),
	    w->text != NULL ? w->text : "it did not stay so");
}

/* What its services said last, for who reads this log and no other. */
static void
show_logs(const struct intent_app *app, const struct seen_live *seen)
{
	for (size_t i = 0; i < seen->wanted.n; i++) {
		const char *service = seen->wanted.items[i];
		AUTO_FREE char *place = supervisor_log_place(&seen->supervisor, service);
		AUTO_FREE char *tail = supervisor_log_tail(&seen->supervisor, service);
		AUTO_STRV struct strv lines = { 0 };

		if (tail != NULL)
			strv_split(&lines, tail, '\n');
		for (size_t k = 0; k < lines.n; k++)
			if (lines.items[k][0] != '\0')
				log_warn("%s: %s said: %s", app->name, service, lines.items[k]);
		log_warn("%s: the log of %s is in %s", app->name, service, place);
	}
}

static int
start_services(const struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct health_check check = { 0 };
	struct watch w = { .since_ms = -1, .up_ms = -1 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < seen->wanted.n; i++)
		r = seen->supervisor.ops->enable(&seen->supervisor, seen->wanted.items[i], e);
	for (size_t i = 0; r == 0 && i < seen->wanted.n; i++)
		r = supervisor_start(&seen->supervisor, seen->wanted.items[i],
		    app->start_timeout_ms, e);
	if (r == 0)
		r = setlive_run_enable(p, app, seen, e);
	if (r < 0)
		return -1;
	setlive_choose_check(p, app, seen, &check);
	r = await_health(app, seen, &check, &w, e);
	free(w.text);
	health_check_release(&check);
	return r;
}

/*
 * Go back to the version before, where that is wanted and there is one: from the next look on, that one is
 * to be live, until what is intended changes.
 */
static int
go_back(struct pass *p, const struct intent_app *app, const struct seen_live *seen, struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("installs/%s_", app->name);
	AUTO_FREE char *now = xasprintf("%s%s", prefix, seen->version);
	AUTO_FREE char *memo = NULL, *last = setlive_link(app->basedir, "last");
	AUTO_FREE char *install = xasprintf("%s/%s", app->basedir, last != NULL ? last : "");
	const char *old;

	if (!app->reverts || seen->reverted != NULL || last == NULL ||
	    strncmp(last, prefix, strlen(prefix)) != 0 || strcmp(last, now) == 0 ||
	    access(install, F_OK) < 0)
		return 0;
	old = last + strlen(prefix);
	memo = xasprintf("%s %s", seen->release, old);
	if (state_keep(&p->state, SETLIVE_REVERTED, app->name, memo, e) < 0)
		return -1;
	log_change("%s: Going back to %s", app->name, old);
	p->again = 1;
	return 0;
}

static void
say_failed(struct pass *p, const struct intent_app *app, const struct seen_live *seen)
{
	struct err why = ERR_INIT;

	show_logs(app, seen);
	if (state_keep(&p->state, SETLIVE_FAILING, app->name, seen->release, &why) < 0)
		log_warn("%s: %s", app->name, why.msg);
	/* Before this node goes back: the others are to stay where they are. */
	if (seen->clustered && seen->entry_fault == NULL && !seen->said_failed &&
	    setlive_register(p, app, seen, 1, &why) < 0)
		log_warn("%s: the cluster is not told that %s fails here: %s", app->name,
		    seen->version, why.msg);
	if (go_back(p, app, seen, &why) < 0)
		log_warn("%s: not gone back from %s: %s", app->name, seen->version, why.msg);
}

int
setlive_begin_watch(struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	AUTO_FREE char *memo = xasprintf("%s since %lld", seen->release, (long long)clock_now_ms());

	return state_keep(&p->state, SETLIVE_FAILING, app->name, memo, e);
}

int
setlive_start(struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e)
{
	struct err ignored = ERR_INIT;

	log_change("%s: Starting", app->name);
	if (!seen->unfinished && setlive_begin_watch(p, app, seen, &ignored) < 0)
		log_warn("%s: %s", app->name, ignored.msg);
	if (start_services(p, app, seen, e) < 0) {
		say_failed(p, app, seen);
		return err_wrap(e, "Could not start");
	}
	return state_forget(&p->state, SETLIVE_FAILING, app->name, e);
}
