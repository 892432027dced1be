#include <ctype.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/service/lease.h"

#define NAMES_MAX 4 /* of a list for people */
#define RELEASE_MAX 160

int
lease_is_release(const char *s)
{
	static const char others[] = "._+-";
	size_t n = 0;

	for (; s[n] != '\0'; n++)
		if (!isalnum((unsigned char)s[n]) && (n == 0 || strchr(others, s[n]) == NULL))
			return 0;
	return n > 0 && n <= RELEASE_MAX;
}

static int
same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static const struct lease_mark *
find_mark(const struct lease_view *view, const char *node)
{
	for (size_t i = 0; i < view->nmarks; i++)
		if (node[0] != '\0' && same(view->marks[i].node, node))
			return &view->marks[i];
	return NULL;
}

/* It passes, and nobody takes it down: one of those that keep the cluster up. */
static int
is_up(const struct lease_view *view, const struct lease_instance *it, const char *self)
{
	return it->passing && !same(it->node, self) && find_mark(view, it->node) == NULL;
}

static size_t
count_up(const struct lease_view *view, const char *self)
{
	size_t n = 0;

	for (size_t i = 0; i < view->ninstances; i++)
		n += (size_t)is_up(view, &view->instances[i], self);
	return n;
}

/* A node is named once, however many instances it has; one without a name as often as it is there. */
static void
add_name(struct strv *names, const char *node)
{
	if (node[0] == '\0')
		strv_add(names, xstrdup("(one without a name)"));
	else if (!strv_has(names, node))
		strv_add(names, xstrdup(node));
}

/* "a", "a and b", "a, b, c and d", "a, b, c, d and 3 more". */
static void
say_names(struct buf *out, const struct strv *names)
{
	size_t shown = names->n > NAMES_MAX ? NAMES_MAX : names->n;

	for (size_t i = 0; i < shown; i++) {
		int last = i > 0 && i + 1 == shown && shown == names->n;

		buf_printf(out, "%s%s", last ? " and " : (i > 0 ? ", " : ""), names->items[i]);
	}
	if (shown < names->n)
		buf_printf(out, " and %zu more", names->n - shown);
}

/* Of a release what people know: the version. */
static int
shown(const char *release)
{
	return (int)strcspn(release, "+");
}

/* ": a (for def456) is down on purpose; b and c do not pass", or that there are no more. */
static void
say_missing(struct buf *out, const struct lease_view *view, const struct lease_request *req)
{
	AUTO_STRV struct strv marked = { 0 }, failing = { 0 };

	for (size_t i = 0; i < view->nmarks; i++) {
		const struct lease_mark *m = &view->marks[i];

		if (!same(m->node, req->node))
			strv_add(&marked,
			    m->version[0] != '\0' ?
				xasprintf("%s (for %.*s)", m->node, shown(m->version), m->version) :
				xstrdup(m->node));
	}
	for (size_t i = 0; i < view->ninstances; i++) {
		const struct lease_instance *it = &view->instances[i];

		if (!it->passing && !same(it->node, req->node) && find_mark(view, it->node) == NULL)
			add_name(&failing, it->node);
	}
	if (marked.n > 0) {
		buf_printf(out, ": ");
		say_names(out, &marked);
		buf_printf(out, " %s down on purpose", marked.n == 1 ? "is" : "are");
	}
	if (failing.n > 0) {
		buf_printf(out, "%s", marked.n > 0 ? "; " : ": ");
		say_names(out, &failing);
		buf_printf(out, " %s not pass", failing.n == 1 ? "does" : "do");
	}
	if (marked.n == 0 && failing.n == 0 && view->ninstances > 0)
		buf_printf(out,
		    ", and there are no more of them; assign another node, or lower min_nodes");
}

static char *
explain_min_nodes(const struct lease_view *view, const struct lease_request *req, size_t up)
{
	AUTO_BUF struct buf out = { 0 };

	buf_printf(&out, "min_nodes is %d, and ", view->min_nodes);
	if (up == 0)
		buf_printf(&out, "no other node of %s is up", req->cluster);
	else
		buf_printf(&out, "only %zu other node%s of %s %s up", up, up == 1 ? "" : "s",
		    req->cluster, up == 1 ? "is" : "are");
	say_missing(&out, view, req);
	if (view->ninstances == 0)
		buf_printf(&out,
		    "; the catalogue shows no instance at all, so the token may lack "
		    "service \"%s\" { policy = \"read\" }",
		    req->app);
	return mem_take(&out.data);
}

/* The version that this node is on, as the catalogue has it. */
static const char *
own_version(const struct lease_view *view, const char *self)
{
	for (size_t i = 0; i < view->ninstances; i++)
		if (same(view->instances[i].node, self))
			return view->instances[i].version;
	return "";
}

static void
list_failed(const struct lease_view *view, const struct lease_request *req, struct strv *failed)
{
	for (size_t i = 0; i < view->ninstances; i++) {
		const struct lease_instance *it = &view->instances[i];

		if (it->failed && same(it->version, req->version) && !same(it->node, req->node))
			add_name(failed, it->node);
	}
}

/* Does this node count as trying the version? Not where its failure is no reason to stay. */
static int
may_try(const struct lease_request *req, const char *node, const char *version,
    const struct strv *failed)
{
	return same(version, req->version) && !same(node, req->node) &&
	    !(req->force && strv_has(failed, node));
}

/* Who tries the version: marked for it, or on it. Nobody, once any node passes on it. */
static void
list_trying(const struct lease_view *view, const struct lease_request *req,
    const struct strv *failed, struct strv *trying)
{
	for (size_t i = 0; i < view->nmarks; i++)
		if (may_try(req, view->marks[i].node, view->marks[i].version, failed))
			add_name(trying, view->marks[i].node);
	for (size_t i = 0; i < view->ninstances; i++) {
		const struct lease_instance *it = &view->instances[i];

		if (it->passing && same(it->version, req->version)) {
			strv_release(trying);
			return;
		}
		if (may_try(req, it->node, it->version, failed))
			add_name(trying, it->node);
	}
}

static char *
explain_halt(const struct lease_request *req, const struct strv *failed)
{
	AUTO_BUF struct buf out = { 0 };

	buf_printf(&out, "%.*s failed on ", shown(req->version), req->version);
	say_names(&out, failed);
	buf_printf(&out,
	    ", so no node that is healthy on another version goes to it; activate another version, or "
	    "run with --continue-on-failure");
	return mem_take(&out.data);
}

static char *
explain_canary(const struct lease_request *req, const struct strv *trying)
{
	AUTO_BUF struct buf out = { 0 };

	say_names(&out, trying);
	buf_printf(&out, " %s %.*s first, and no node passes on it yet",
	    trying->n == 1 ? "tries" : "try", shown(req->version), req->version);
	return mem_take(&out.data);
}

enum lease_verdict
lease_judge(const struct lease_view *view, const struct lease_request *req, char **why)
{
	AUTO_STRV struct strv failed = { 0 }, trying = { 0 };
	size_t canary = req->canary > 0 ? (size_t)req->canary : 1;
	int goes = req->version != NULL && req->version[0] != '\0';
	size_t up;

	*why = NULL;
	if (!view->there || !req->healthy)
		return LEASE_GRANTED;
	if (goes) {
		list_failed(view, req, &failed);
		list_trying(view, req, &failed, &trying);
	}
	/* First what a person has to do something about. */
	if (failed.n >= canary && !req->force &&
	    !same(own_version(view, req->node), req->version)) {
		*why = explain_halt(req, &failed);
		return LEASE_HALTED;
	}
	up = count_up(view, req->node);
	if (view->min_nodes > 0 && up < (size_t)view->min_nodes) {
		*why = explain_min_nodes(view, req, up);
		return LEASE_WAITING;
	}
	if (trying.n >= canary) {
		*why = explain_canary(req, &trying);
		return LEASE_WAITING;
	}
	return LEASE_GRANTED;
}
