/*
 * pp intent history, rollback.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/intent.h"

#define REV_DIGITS 15

/* ---- history ---- */

static void
print_record(const struct history_record *r, const struct edit_look *look)
{
	AUTO_FREE char *title = history_title(r);
	AUTO_BUF struct buf lines = { 0 };
	struct edit_look indented = *look;

	indented.prefix = NULL;
	history_diff(r, &indented, &lines);
	printf("%s%s%s\n", look->color ? "\033[1m" : "", title, look->color ? "\033[0m" : "");
	for (char *at = lines.data; at != NULL && *at != '\0';) {
		size_t n = strcspn(at, "\n");

		printf("  %.*s\n", (int)n, at);
		at += n + (at[n] == '\n');
	}
}

int
intent_history(struct intent_run *run, struct err *e)
{
	AUTO_HISTORY struct history h = { 0 };
	AUTO_TARGET struct target t = { 0 };
	json_auto_t *list = json_array();
	struct edit_look look;
	size_t bad = 0;

	if (intent_look(run, &look, e) < 0 ||
	    target_read(run->store, run->operands.items[0], &t, e) < 0 ||
	    history_read(run->store, t.app, t.cluster, &h, e) < 0)
		return -1;
	if (h.n == 0 && intent_require_some(run, &t, e) < 0)
		return -1;
	for (size_t i = h.n; i > 0; i--) {
		if (settings_flag(run->settings, "json"))
			(void)json_array_append_new(list, history_json(&h.v[i - 1], look.secrets));
		else
			print_record(&h.v[i - 1], &look);
		bad += h.v[i - 1].doc == NULL;
	}
	if (settings_flag(run->settings, "json"))
		intent_print_json(list);
	return bad == 0 ? 0 : err_set(e, ERR_DATA, "%zu of the revisions cannot be read", bad);
}

/* ---- rollback ---- */

static int
parse_to(const char *text, const struct history *h, long long *to, struct err *e)
{
	*to = history_newest(h) - 1;
	if (text == NULL)
		return 0;
	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > REV_DIGITS)
		return err_set(e, ERR_USAGE, "--to=%s: write the number of a revision", text);
	*to = strtoll(text, NULL, 10);
	if (*to > history_newest(h))
		return err_set(e, ERR_DATA, "--to=%s: the newest revision is %lld", text,
		    history_newest(h));
	return 0;
}

/* Does it go beyond a developer's own document? Who may write config may write history, too. */
static enum intent_ask
how_to_ask(const struct change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct change_doc *d = &c->v[i];
		int same = d->before == NULL || d->after == NULL ? d->before == d->after :
								   json_equal(d->before, d->after);

		if (!same && d->k.kind != CHANGE_CONFIG)
			return INTENT_ASK;
	}
	return INTENT_GUARD;
}

static int
rewind_to(struct intent_run *run, const struct target *t, const struct history *h, long long to,
    struct err *e)
{
	AUTO_FREE char *home = xasprintf("%s/%s", t->app, t->cluster);
	AUTO_HISTORY struct history now = { 0 };
	AUTO_CHANGE struct change c = { 0 };
	AUTO_STRV struct strv keys = { 0 };
	json_auto_t *undoes = json_array();

	if (history_keys(h, to, &keys, e) < 0 ||
	    history_snapshot(run->store, t->app, t->cluster, &keys, &now, &c, e) < 0)
		return -1;
	if (history_newest(&now) != history_newest(h))
		return err_set(e, ERR_BUSY,
		    "revision %lld came in between; nothing was written, try again",
		    history_newest(&now));
	if (history_rewind(h, history_newest(h), to, &c, e) < 0 || change_check(&c, e) < 0)
		return -1;
	for (size_t i = h->n; i > 0 && h->v[i - 1].seq > to; i--)
		(void)json_array_append_new(undoes, json_integer(h->v[i - 1].seq));
	run->note.home = home;
	run->note.undoes = undoes;
	return intent_commit(run, &c, NULL, how_to_ask(&c), e);
}

int
intent_rollback(struct intent_run *run, struct err *e)
{
	AUTO_HISTORY struct history h = { 0 };
	AUTO_TARGET struct target t = { 0 };
	long long to;

	if (intent_read_target(run, &t, e) < 0 ||
	    history_read(run->store, t.app, t.cluster, &h, e) < 0 ||
	    parse_to(settings_text(run->settings, "to"), &h, &to, e) < 0)
		return -1;
	if (h.n == 0)
		return err_set(e, ERR_DATA, "%s/%s has no history to go back in", t.app, t.cluster);
	return rewind_to(run, &t, &h, to, e) < 0 ? err_wrap(e, "%s/%s", t.app, t.cluster) : 0;
}
