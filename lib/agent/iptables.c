/*
 * iptables: the ports of the apps on this node are open, and those of the gone ones are not.
 *
 * The whole set of rules is written in one go, as the last step of the node; what an app's own step
 * does is to say so. An app in doubt keeps the rules it has.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/firewall/firewall.h"

enum { PORTS_OPEN, PORTS_CLOSE, PORTS_WRITE };

#define ALLOW_MAX 32 /* ports of --always-allow */

static const struct setting settings[] = {
	{ "backend", 0, SETTING_TEXT, SETTING_ANYWHERE, "NAME",
	    "nft (default as root), iptables or port_authority" },
	{ "mode", 0, SETTING_TEXT, SETTING_ANYWHERE, "MODE",
	    "allow (default), or enforce: drop the rest" },
	{ "always-allow", 0, SETTING_TEXT, SETTING_ANYWHERE, "PORTS",
	    "enforce: TCP ports always open (default: 22)" },
	{ "chain", 0, SETTING_TEXT, SETTING_ANYWHERE, "'F T C'",
	    "nft: fill chain C of table F T and nothing else" },
	{ "yes", 'y', SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "enforce, whoever that locks out" },
	{ "config-dir", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "port_authority's directory; implies it" },
	{ "cmd", 0, SETTING_TEXT, SETTING_ANYWHERE, "PROGRAM",
	    "port_authority itself; implies it" },
	{ 0 },
};

/* ---- observe ---- */

static const struct firewall_ops *
choose_backend(const struct pass *p, struct err *e)
{
	const char *name = settings_text(p->settings, "backend");
	const struct firewall_ops *ops;

	if (name == NULL &&
	    (settings_text(p->settings, "cmd") != NULL ||
		settings_text(p->settings, "config-dir") != NULL || geteuid() != 0))
		name = "port_authority";
	ops = firewall_find(name != NULL ? name : "nft");
	if (ops == NULL)
		err_set(e, ERR_CONFIG, "backend \"%s\": write nft, iptables or port_authority",
		    name);
	return ops;
}

static int
take_mode(const struct pass *p, struct firewall_options *o, struct err *e)
{
	const char *mode = settings_text(p->settings, "mode");

	if (mode != NULL && strcmp(mode, "allow") != 0 && strcmp(mode, "enforce") != 0)
		return err_set(e, ERR_CONFIG, "mode \"%s\": write allow or enforce", mode);
	o->mode = mode != NULL && mode[0] == 'e' ? FIREWALL_ENFORCE : FIREWALL_ALLOW;
	return 0;
}

static int
take_always_allow(const struct pass *p, struct firewall_options *o, struct err *e)
{
	const char *ports = settings_text(p->settings, "always-allow");
	AUTO_STRV struct strv parts = { 0 };

	strv_split(&parts, ports != NULL ? ports : "22", ',');
	for (size_t i = 0; i < parts.n; i++) {
		json_auto_t *value = json_string(parts.items[i]);
		struct intent_port port = { 0 };
		struct err why = ERR_INIT;

		if (parts.n > ALLOW_MAX || intent_parse_port(value, &port, &why) < 0 ||
		    port.first != port.last)
			return err_set(e, ERR_CONFIG,
			    "always-allow \"%s\": write at most %d ports with commas between",
			    ports, ALLOW_MAX);
		strv_add(&o->always_allow, xasprintf("%u", port.first));
	}
	return 0;
}

/* "inet filter pp-apps": what nft takes for names, and nothing that it would take for more. */
static int
take_chain(const struct pass *p, struct firewall_options *o, struct err *e)
{
	static const char *const families[] = { "inet", "ip", "ip6" };
	const char *chain = settings_text(p->settings, "chain");
	AUTO_STRV struct strv words = { 0 };
	int good = 0;

	if (chain == NULL)
		return 0;
	strv_split(&words, chain, ' ');
	for (size_t i = 0; i < MEM_COUNT(families); i++)
		good |= words.n == 3 && strcmp(words.items[0], families[i]) == 0;
	for (size_t i = 1; i < words.n; i++) {
		size_t n = strlen(words.items[i]);

		good &= n > 0 && n < 100 &&
		    strspn(words.items[i],
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			"0123456789_-") == n &&
		    strchr("0123456789-", words.items[i][0]) == NULL;
	}
	if (!good)
		return err_set(e, ERR_CONFIG,
		    "chain \"%s\": write FAMILY TABLE CHAIN, like "
		    "inet filter pp-apps",
		    chain);
	if (o->mode == FIREWALL_ENFORCE)
		return err_set(e, ERR_CONFIG,
		    "chain: what is not let in by one chain of a table is "
		    "up to the rest of it; --mode=enforce needs pp's own table");
	o->chain = xstrdup(chain);
	return 0;
}

static int
open_firewall(struct pass *p, struct err *e)
{
	const char *cmd = settings_text(p->settings, "cmd");
	struct firewall *f = xcalloc(1, sizeof *f);

	p->firewall = f;
	f->ops = choose_backend(p, e);
	if (f->ops == NULL || take_mode(p, &f->options, e) < 0 ||
	    take_always_allow(p, &f->options, e) < 0 || take_chain(p, &f->options, e) < 0)
		return -1;
	if (f->ops != &firewall_nft &&
	    (f->options.chain != NULL || f->options.mode == FIREWALL_ENFORCE))
		return err_set(e, ERR_CONFIG,
		    "%s: only the nft backend can; %s leaves it to the host",
		    f->options.chain ? "chain" : "mode enforce", f->ops->name);
	f->options.config_dir =
	    pass_dir(p, "config-dir", "/etc/port_authority.d", "port_authority.d");
	f->options.cmd = xstrdup(cmd != NULL ? cmd : "port_authority");
	return firewall_look(f, e);
}

/* What pp wrote last for each app here, so that an edit by hand is told from one of the intent. */
static char *
memory_name(const struct firewall *f)
{
	AUTO_FREE char *place =
	    xasprintf("%s %s %s", f->ops->name, f->options.chain ? f->options.chain : "-",
		f->ops == &firewall_port_authority ? f->options.config_dir : "-");

	return xasprintf("%s-%016" PRIx64, f->ops->name, hash_bytes(place, strlen(place)));
}

/* "allow", or "enforce 22,2222". Owns: the caller frees. */
static char *
mode_name(const struct firewall *f)
{
	AUTO_FREE char *ports = strv_join(&f->options.always_allow, ",");

	return f->options.mode == FIREWALL_ENFORCE ? xasprintf("enforce %s", ports) :
						     xstrdup("allow");
}

static int
recall(struct pass *p, struct err *e)
{
	struct firewall *f = p->firewall;
	AUTO_FREE char *name = memory_name(f), *text = NULL, *now = mode_name(f);
	json_auto_t *memory = NULL;
	const char *mode;

	if (state_recall(&p->state, "firewall", name, &text, e) < 0)
		return -1;
	memory = text != NULL ? json_loads(text, 0, NULL) : NULL;
	mode = json_string_value(json_object_get(memory, "mode"));
	p->firewall_known = mode != NULL;
	p->firewall_mode_changed = mode != NULL && strcmp(mode, now) != 0;
	fw_rules_load(&f->remembered, json_object_get(memory, "rules"));
	if (f->foreign != NULL && !p->firewall_known)
		return err_set(e, ERR_FAIL, "%s", f->foreign);
	return 0;
}

/*
 * Is what pp left there lost as a whole, and not by one app's rules? Then whoever keeps what he has
 * keeps what he had: to make the rest new and leave him out would close his ports.
 */
static int
is_lost(const struct pass *p)
{
	const struct firewall *f = p->firewall;

	return p->firewall_known && f->ops != &firewall_port_authority &&
	    (f->absent || f->damage != NULL || (f->found.n == 0 && f->remembered.n > 0));
}

/* Where the rules are that an app keeps. */
static const struct fw_rules *
kept_rules(const struct pass *p, const char *app)
{
	const struct firewall *f = p->firewall;
	size_t n = 0;

	if (is_lost(p))
		(void)fw_rules_of(&f->remembered, app, &n);
	return n > 0 ? &f->remembered : &f->found;
}

/* The apps that have rules here, or had some that are lost. */
static void
list_owners(const struct pass *p, struct strv *apps)
{
	const struct fw_rules *all[] = { &p->firewall->found, &p->firewall->remembered };
	size_t n;

	for (size_t k = 0; k < (is_lost(p) ? 2 : 1); k++)
		for (size_t i = 0; i < all[k]->n; i++) {
			const char *app = fw_rules_app_at(all[k], i);

			if (app != NULL && (k == 0 || fw_rules_of(all[0], app, &n) == NULL))
				strv_add(apps, xstrdup(app));
		}
}

static void
look_at_app(struct pass *p, const struct intent_app *app, struct seen_ports *seen)
{
	const struct firewall *f = p->firewall;
	AUTO_RULES struct fw_rules wanted = { 0 };
	struct err why = ERR_INIT;
	size_t n;

	(void)fw_rules_of(&f->found, app->name, &n);
	seen->present = n > 0;
	seen->drifted =
	    p->firewall_known && !fw_rules_same_app(&f->found, &f->remembered, app->name);
	if (app->certainty != INTENT_STATED)
		return;
	if (firewall_check(f, app, &why) < 0)
		seen->fault = xstrdup(why.msg);
	fw_rules_add_app(&wanted, app);
	fw_rules_sort(&wanted);
	seen->same = fw_rules_same_app(&wanted, &f->found, app->name);
}

static int
observe(struct pass *p, struct err *e)
{
	AUTO_STRV struct strv apps = { 0 };

	if (open_firewall(p, e) < 0 || recall(p, e) < 0)
		return -1;
	list_owners(p, &apps);
	pass_leftovers(p, &apps);
	for (size_t i = 0; i < p->intent.napps; i++)
		look_at_app(p, &p->intent.apps[i], &p->seen[i].ports);
	p->firewall_listening = firewall_is_listening(&p->firewall->options.always_allow);
	return 0;
}

/* ---- plan ---- */

/* A rule that somebody wants or keeps, for finding two that claim one port. */
struct claim {
	enum intent_proto proto;
	uint16_t first, last;
	const char *app;
	struct app_plan *plan; /* NULL: this run is not about that app */
};

struct claims {
	struct claim *v;
	size_t n;
};

static int
compare_claims(const void *left, const void *right)
{
	const struct claim *a = left, *b = right;

	if (a->proto != b->proto)
		return (int)a->proto - (int)b->proto;
	return a->first != b->first ? (int)a->first - (int)b->first : (int)a->last - (int)b->last;
}

static int
is_stated(const struct app_plan *ap)
{
	return ap != NULL && ap->app->certainty == INTENT_STATED && ap->state != PLAN_FAILED;
}

/* The rules an app is to have: its intent's, or in doubt those that are there. */
static void
add_wanted(const struct pass *p, const struct app_plan *ap, struct fw_rules *wanted)
{
	if (is_stated(ap))
		fw_rules_add_app(wanted, ap->app);
	else if (ap->app->certainty != INTENT_GONE)
		fw_rules_keep_app(wanted, kept_rules(p, ap->app->name), ap->app->name);
}

/* Rules of apps that this run is not about (--app) stay. */
static void
add_others(const struct pass *p, struct fw_rules *wanted)
{
	AUTO_STRV struct strv apps = { 0 };

	list_owners(p, &apps);
	for (size_t i = 0; i < apps.n; i++)
		if (intent_find(&p->intent, apps.items[i]) == NULL)
			fw_rules_keep_app(wanted, kept_rules(p, apps.items[i]), apps.items[i]);
}

static void
add_claims(struct claims *claims, struct app_plan *ap, const struct fw_rules *rules)
{
	claims->v = xreallocarray(claims->v, claims->n + rules->n, sizeof *claims->v);
	for (size_t k = 0; k < rules->n; k++)
		claims->v[claims->n++] = (struct claim){ rules->v[k].proto, rules->v[k].first,
			rules->v[k].last, rules->v[k].app, ap };
}

static int
fail_both(const struct claim *a, const struct claim *b)
{
	struct app_plan *both[] = { a->plan, b->plan };
	int changed = 0;

	for (size_t i = 0; i < 2; i++) {
		if (!is_stated(both[i]))
			continue;
		plan_say(both[i], PLAN_FAILED,
		    "port %u/%s is claimed by both %s and %s; its rules "
		    "stay as they are",
		    b->first, fw_proto_name(b->proto), a->app, b->app);
		changed = 1;
	}
	return changed;
}

static int
sweep_claims(struct claims *claims)
{
	size_t widest = 0;
	int changed = 0;

	if (claims->n < 2)
		return 0;
	qsort(claims->v, claims->n, sizeof *claims->v, compare_claims);
	for (size_t i = 1; i < claims->n; i++) {
		const struct claim *a = &claims->v[widest], *b = &claims->v[i];

		if (a->proto == b->proto && b->first <= a->last && b->first != 0 &&
		    strcmp(a->app, b->app) != 0)
			changed |= fail_both(a, b);
		if (a->proto != b->proto || b->last > a->last)
			widest = i;
	}
	return changed;
}

/* Fail apps that claim a port that another has. Returns: whether there were any. */
static int
find_conflicts(const struct pass *p, struct plan *plan)
{
	AUTO_RULES struct fw_rules all = { 0 };
	struct claims claims = { 0 };
	int changed;

	add_others(p, &all);
	add_claims(&claims, NULL, &all);
	for (size_t i = 0; i < plan->n; i++) {
		struct fw_rules own;
		size_t from = all.n;

		add_wanted(p, &plan->apps[i], &all);
		own = (struct fw_rules){ all.v + from, all.n - from };
		add_claims(&claims, &plan->apps[i], &own);
	}
	changed = sweep_claims(&claims);
	free(claims.v);
	return changed;
}

/* Why an app's rules are to change; NULL: they are not. */
static const char *
why_change(const struct app_plan *plan, const struct seen_ports *seen)
{
	int gone = plan->app->certainty == INTENT_GONE;

	if (gone ? !seen->present : !is_stated(plan) || seen->same)
		return NULL;
	if (seen->drifted)
		return "drift: its rules were changed by hand";
	if (gone)
		return "the app is not assigned to this node any more";
	return seen->present ? "its ports differ" : "its ports are not open yet";
}

/* Returns: 1 if something is to change. */
static int
plan_app(struct app_plan *plan, const struct seen_ports *seen, const char *refused)
{
	int gone = plan->app->certainty == INTENT_GONE;
	const char *why = why_change(plan, seen);

	if (why == NULL)
		return 0;
	if (refused != NULL)
		plan_say(plan, PLAN_HELD, "%s, but enforce is refused", why);
	else
		plan_step(plan, gone ? PORTS_CLOSE : PORTS_OPEN, NULL, why, "%s its ports",
		    gone ? "close" : "open");
	return 1;
}

/* Why the whole must be written although no app asks for it; NULL: it need not. */
static const char *
why_write(const struct pass *p, size_t steps, struct buf *text)
{
	const struct firewall *f = p->firewall;

	if (f->absent && p->firewall_known && f->ops != &firewall_port_authority)
		return "drift: it is gone, by a reboot or by hand";
	if (p->firewall_mode_changed)
		return "another mode or another always-allow is asked for";
	if (f->damage != NULL) {
		buf_printf(text, "%s%s",
		    p->firewall_known && f->ops != &firewall_port_authority ? "drift: " : "",
		    f->damage);
		return text->data;
	}
	if (steps > 0)
		return "apps' ports changed";
	if (is_lost(p))
		return "drift: all rules of apps are gone";
	/* A mode that drops is to be in force before the first app comes. */
	return f->absent && f->options.mode == FIREWALL_ENFORCE ? "it is not in force yet" : NULL;
}

/*
 * Why nothing may be written now; NULL: it may. What was let through once, with the same
 * always-allow, is put back in force without asking: a reboot must not open the host.
 */
static const char *
why_refused(const struct pass *p, struct buf *text)
{
	const struct firewall *f = p->firewall;
	AUTO_FREE char *ports = strv_join(&f->options.always_allow, ",");
	int first = p->firewall_known ? p->firewall_mode_changed : !f->drops;

	if (f->options.mode != FIREWALL_ENFORCE || !first)
		return NULL;
	if (p->only->n > 0)
		return "enforce is not begun with --app: run once without it";
	if (p->firewall_listening || settings_flag(p->settings, "yes"))
		return NULL;
	buf_printf(text,
	    "enforce would drop what is not open, and nothing listens on a port that "
	    "stays open whatever happens (%s): nothing was changed; set always-allow to the port "
	    "you come in by, or give --yes",
	    ports);
	return text->data;
}

static void
plan_write(const struct pass *p, struct plan *plan, struct fw_rules *wanted, size_t steps,
    const char *refused)
{
	AUTO_BUF struct buf text = { 0 };
	const char *why = why_write(p, steps, &text);
	struct app_plan *node;

	if (why == NULL && (refused == NULL || steps == 0))
		return;
	node = plan_add(plan, NULL, NULL);
	if (refused != NULL) {
		plan_say(node, PLAN_FAILED, "%s", refused);
		return;
	}
	plan_step(node, PORTS_WRITE, NULL, why, "write the rules of %s", p->firewall->ops->name);
	node->steps[0].detail = firewall_describe(p->firewall, wanted);
	node->rules = *wanted;
	*wanted = (struct fw_rules){ 0 };
}

static void
plan(const struct pass *p, struct plan *plan)
{
	AUTO_RULES struct fw_rules wanted = { 0 };
	AUTO_BUF struct buf text = { 0 };
	const char *refused = why_refused(p, &text);
	size_t steps = 0;

	for (size_t i = 0; i < p->intent.napps; i++) {
		struct app_plan *ap = plan_add(plan, &p->intent.apps[i], &p->seen[i]);

		(void)plan_common(ap, p->seen[i].ports.fault);
	}
	/* Who is failed keeps what he has, which may be what a third one claims. */
	while (find_conflicts(p, plan))
		;
	add_others(p, &wanted);
	for (size_t i = 0; i < plan->n; i++)
		add_wanted(p, &plan->apps[i], &wanted);
	fw_rules_sort(&wanted);
	fw_rules_take_counters(&wanted, &p->firewall->found);
	for (size_t i = 0; i < plan->n; i++)
		steps += plan_app(&plan->apps[i], &p->seen[i].ports, refused);
	plan_write(p, plan, &wanted, steps, refused);
}

/* ---- apply ---- */

static void
tell_ports(const struct intent_app *app)
{
	for (size_t i = 0; i < app->nports; i++) {
		const struct intent_port *port = &app->ports[i];
		struct fw_rule rule = { .first = port->first, .last = port->last };
		char ports[16];

		log_change("%s: allowing %s:%s", app->name, fw_proto_name(port->proto),
		    fw_rule_ports(&rule, '-', ports));
	}
}

/* Was what is written for this app decided now, by its intent, and not only kept? */
static int
is_decided(const struct pass *p, const struct fw_rules *written, const char *name)
{
	const struct intent_app *app = intent_find(&p->intent, name);
	AUTO_RULES struct fw_rules wanted = { 0 };

	if (app == NULL || app->certainty != INTENT_STATED)
		return app != NULL && app->certainty == INTENT_GONE;
	fw_rules_add_app(&wanted, app);
	(void)fw_rules_sort(&wanted);
	return fw_rules_same_app(&wanted, written, name);
}

/* What was only kept is remembered as it was before, lest somebody's edit passes for pp's. */
static int
remember(struct pass *p, const struct fw_rules *written, struct err *e)
{
	const struct fw_rules *then = &p->firewall->remembered;
	AUTO_FREE char *name = memory_name(p->firewall), *mode = mode_name(p->firewall),
		       *text = NULL;
	AUTO_RULES struct fw_rules all = { 0 };
	json_auto_t *memory = NULL;

	for (size_t i = 0; i < written->n; i++) {
		const char *app = fw_rules_app_at(written, i);

		if (app != NULL && (!p->firewall_known || is_decided(p, written, app)))
			fw_rules_keep_app(&all, written, app);
	}
	for (size_t i = 0; i < then->n; i++) {
		const char *app = fw_rules_app_at(then, i);

		if (app != NULL && !is_decided(p, written, app))
			fw_rules_keep_app(&all, then, app);
	}
	memory = json_pack("{s:s,s:o}", "mode", mode, "rules", fw_rules_dump(&all));
	text = json_dumps(memory, JSON_COMPACT | JSON_SORT_KEYS);
	return state_keep(&p->state, "firewall", name, text, e);
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	const char *app = ap->app != NULL ? ap->app->name : "";

	if (strncmp(step->reason, "drift", 5) == 0)
		log_warn("%s%s%s", app, app[0] ? ": " : "", step->reason);
	if (step->kind == PORTS_OPEN && ap->app != NULL)
		tell_ports(ap->app);
	if (step->kind == PORTS_CLOSE)
		log_change("%s: closing its ports", app);
	if (step->kind != PORTS_WRITE)
		return 0;
	log_change("%s", p->firewall->ops->refreshing);
	if (firewall_write(p->firewall, &ap->rules, e) < 0)
		return -1;
	return remember(p, &ap->rules, e);
}

const struct agent agent_iptables = {
	.name = "iptables",
	.summary = "open the ports of the apps on this node, close those of gone ones",
	.settings = settings,
	.observe = observe,
	.plan = plan,
	.apply = apply,
};
