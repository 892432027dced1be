/*
 * pp intent watch: changes as they land.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/intent.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/intent/patch.h"

#define SLICE_MS 2000 /* what changes between two waits is seen after so long at most */
#define PAUSE_MS 1000
#define KEYS (EDIT_DOCS + 1)

/* What was seen last. */
struct last {
	struct change docs; /* before and after are both what is there */
	long long newest;
};

static void
leave(int signal_number)
{
	(void)signal_number;
	/* Each change is flushed when it is printed. */
	_exit(0);
}

/* In one snapshot: what a revision says is in the documents. */
static int
look(struct intent_run *run, const struct target *t, struct change *docs, struct history *h,
    struct err *e)
{
	struct strv keys = { (char **)t->key, EDIT_DOCS };

	return history_snapshot(run->store, t->app, t->cluster, &keys, h, docs, e);
}

static void
print_lines(const char *title, const struct buf *lines)
{
	printf("%s\n", title);
	for (const char *at = lines->data; at != NULL && *at != '\0';) {
		size_t n = strcspn(at, "\n");

		printf("  %.*s\n", (int)n, at);
		at += n + (at[n] == '\n');
	}
}

/* One line of JSON for each, or its title and what it changed. */
static int
print_record(const struct intent_run *run, const struct history_record *r, struct err *e)
{
	AUTO_FREE char *title = history_title(r), *text = NULL;
	AUTO_BUF struct buf lines = { 0 };
	json_auto_t *json = NULL;
	struct edit_look how;

	if (intent_look(run, &how, e) < 0)
		return -1;
	if (settings_flag(run->settings, "json")) {
		json = history_json(r, how.secrets);
		text = edit_dump(json, JSON_COMPACT | JSON_SORT_KEYS);
		printf("%s\n", text);
		return 0;
	}
	history_diff(r, &how, &lines);
	print_lines(title, &lines);
	return 0;
}

/* A change that no revision tells of: somebody wrote to the store by other means than pp. */
static int
print_other(const struct intent_run *run, const struct change *c, struct err *e)
{
	AUTO_BUF struct buf lines = { 0 };
	json_auto_t *patch = NULL, *json = NULL;
	AUTO_FREE char *text = NULL;
	struct edit_look how;

	if (change_count(c) == 0)
		return 0;
	if (intent_look(run, &how, e) < 0)
		return -1;
	if (settings_flag(run->settings, "json")) {
		patch = change_patch(c, how.secrets);
		json = json_pack("{s:n,s:O}", "revision", "patch", patch);
		text = edit_dump(json, JSON_COMPACT | JSON_SORT_KEYS);
		printf("%s\n", text);
		return 0;
	}
	change_diff(c, &how, &lines);
	print_lines("without a revision, by other means than pp", &lines);
	return 0;
}

/* What was seen, with the new revisions applied, against what is there. */
static int
print_news(const struct intent_run *run, const struct last *seen, const struct change *now,
    const struct history *h, struct err *e)
{
	AUTO_CHANGE struct change model = { 0 }, rest = { 0 };

	for (size_t i = 0; i < now->n; i++)
		(void)change_add(&model, now->v[i].key, json_incref(now->v[i].before), 0,
		    json_deep_copy(seen->docs.v[i].before));
	for (size_t i = 0; i < h->n; i++) {
		struct err ignored = ERR_INIT;

		if (h->v[i].seq <= seen->newest)
			continue;
		if (print_record(run, &h->v[i], e) < 0)
			return -1;
		(void)history_replay(&h->v[i], &model, &ignored);
	}
	for (size_t i = 0; i < now->n; i++)
		(void)change_add(&rest, now->v[i].key, json_incref(model.v[i].after), 0,
		    json_incref(now->v[i].before));
	if (print_other(run, &rest, e) < 0)
		return -1;
	return fflush(stdout) == 0 ? 0 : err_sys(e, "write to stdout");
}

static int
look_again(struct intent_run *run, const struct target *t, struct last *seen, struct err *e)
{
	AUTO_CHANGE struct change now = { 0 };
	AUTO_HISTORY struct history h = { 0 };
	struct change was;

	if (look(run, t, &now, &h, e) < 0 || print_news(run, seen, &now, &h, e) < 0)
		return -1;
	was = seen->docs;
	seen->docs = now;
	now = was;
	if (history_newest(&h) > seen->newest)
		seen->newest = history_newest(&h);
	return 0;
}

static int
watch(struct intent_run *run, const struct target *t, struct last *seen, int64_t end, struct err *e)
{
	AUTO_FREE char *prefix = xasprintf("history/%s/%s/", t->app, t->cluster);
	const char *keys[KEYS] = { t->key[0], t->key[1], t->key[2], prefix };
	int away = 0;

	while (clock_now_ms() < end) {
		int64_t left = end - clock_now_ms();
		struct err why = ERR_INIT;

		if (store_wait(run->store, keys, KEYS, left < SLICE_MS ? left : SLICE_MS, &why) >=
			0 &&
		    look_again(run, t, seen, &why) == 0) {
			away = 0;
			continue;
		}
		if (why.class != ERR_STORE && why.class != ERR_BUSY) {
			*e = why;
			return -1;
		}
		/* It may be electing a leader. */
		if (!away)
			log_warn("%s; watching on", why.msg);
		away = 1;
		clock_sleep_ms(left < PAUSE_MS ? left : PAUSE_MS);
	}
	return 0;
}

int
intent_watch(struct intent_run *run, struct err *e)
{
	int64_t timeout = settings_duration(run->settings, "timeout", INT64_MAX / 2);
	AUTO_TARGET struct target t = { 0 };
	AUTO_HISTORY struct history h = { 0 };
	struct edit_look how;
	struct last seen = { 0 };
	int r;

	if (intent_look(run, &how, e) < 0 ||
	    target_read(run->store, run->operands.items[0], &t, e) < 0)
		return -1;
	(void)signal(SIGINT, leave);
	(void)signal(SIGTERM, leave);
	r = look(run, &t, &seen.docs, &h, e);
	seen.newest = history_newest(&h);
	if (r == 0)
		r = watch(run, &t, &seen, clock_now_ms() + timeout, e);
	change_release(&seen.docs);
	return r;
}
