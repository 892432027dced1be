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
#define CHAIN_WORDS 3

static const struct setting settings[] = {
	{ "backend", 0, SETTING_TEXT, SETTING_ANYWHERE, "NAME",
	    "nft (default as root), iptables or port_authority" },
	{ "mode", 0, SETTING_TEXT, SETTING_ANYWHERE, "MODE", "allow (default), or enforce: drop the rest" },
	{ "always-allow", 0, SETTING_TEXT, SETTING_ANYWHERE, "PORTS",
	    "enforce: TCP ports always open (default: 22)" },
	{ "chain", 0, SETTING_TEXT, SETTING_ANYWHERE, "'F T C'",
	    "nft: fill chain C of table F T and nothing else" },
	{ "yes", 'y', SETTING_FLAG, SETTING_FLAG_ONLY, NULL, "enforce, whoever that locks out" },
	{ "config-dir", 0, SETTING_TEXT, SETTING_ANYWHERE, "DIR",
	    "port_authority's directory; implies it" },
	{ "cmd", 0, SETTING_TEXT, SETTING_ANYWHERE, "PROGRAM", "port_authority itself; implies it" },
	{ 0 },
};

/* ---- observe ---- */

static const struct firewall_ops *
choose_backend(const struct pass *p, struct err *e)
{
	const char *name = settings_text(p->settings, "backend");
	const struct firewall_ops *ops;

	if (name == NULL && (settings_text(p->settings, "cmd") != NULL ||
	    settings_text(p->settings, "config-dir") != NULL || geteuid() != 0))
		name = "port_authority";
	ops = firewall_find(name != NULL ? name : "nft");
	if (ops == NULL)
		(void)err_set(e, ERR_CONFIG, "backend \"%s\": write nft, iptables or port_authority", name);
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
			return err_set(e, ERR_CONFIG, "always-allow \"%s\": write at most %d ports "
			    "with commas between", ports, ALLOW_MAX);
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
		good |= words.n == CHAIN_WORDS && strcmp(words.items[0], families[i]) == 0;
	for (size_t i = 1; i < words.n; i++) {
		size_t n = strlen(words.items[i]);

		good &= n > 0 && n < 100 &&
		    strspn(words.items[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					   "0123456789_-") == n &&
		    strchr("0123456789-", words.items[i][0]) == NULL;
	}
	if (!good)
		return err_set(e, ERR_CONFIG, "chain \"%s\": write FAMILY TABLE CHAIN, like "
		    "inet filter pp-apps", chain);
	if (o->mode == FIREWALL_ENFORCE)
		return err_set(e, ERR_CONFIG, "chain: what is not let in by one chain of a table is "
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
	if (f->ops != &firewall_nft && f->options.chain != NULL)
		return err_set(e, ERR_CONFIG, "chain: only the nft backend takes one");
	f->options.config_dir = pass_dir(p, "config-dir", "/etc/port_authority.d");
	f->options.cmd = xstrdup(cmd != NULL ? cmd : "port_authority");
	return firewall_look(f, e);
}

/* What pp wrote last for each app here, so that an edit by hand is told from one of the intent. */
static char *
memory_name(const struct firewall *f)
{
	AUTO_FREE char *place = xasprintf("%s %s %s", f->ops->name,
	    f->options.chain ? f->options.chain : "-",
	    f->ops == &firewall_port_authority ? f->options.config_dir : "-");

	return xasprintf("%s-%016" PRIx64, f->ops->name, hash_bytes(place, strlen(place)));
}

static const char *
mode_name(const struct firewall *f)
{
	return f->options.mode == FIREWALL_ENFORCE ? "enforce" : "allow";
}

static void
look_at_app(struct pass *p, const struct intent_app *app, const json_t *memory,
    struct seen_ports *seen)
{
	const struct firewall *f = p->firewall;
	AUTO_RULES struct fw_rules wanted = { 0 };
	AUTO_FREE char *now = NULL;
	const char *then = json_string_value(json_object_get(memory, app->name));
	struct err why = ERR_INIT;
	size_t n;

	(void)fw_rules_of(&f->found, app->name, &n);
	seen->present = n > 0;
	now = xasprintf("%016" PRIx64, fw_rules_hash(&f->found, app->name));
	seen->drifted = then != NULL && strcmp(then, now) != 0;
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
	AUTO_FREE char *name = NULL, *text = NULL;
	json_auto_t *memory = NULL;
	const struct fw_rules *found;
	const char *mode;

	if (open_firewall(p, e) < 0)
		return -1;
	found = &p->firewall->found;
	for (size_t i = 0; i < found->n; i++)
		if (i == 0 || strcmp(found->v[i].app, found->v[i - 1].app) != 0)
			strv_add(&apps, xstrdup(found->v[i].app));
	pass_leftovers(p, &apps);
	name = memory_name(p->firewall);
	if (state_recall(&p->state, "firewall", name, &text, e) < 0)
		return -1;
	memory = text != NULL ? json_loads(text, 0, NULL) : NULL;
	mode = json_string_value(json_object_get(memory, "mode"));
	p->firewall_known = mode != NULL;
	p->firewall_mode_changed = mode != NULL &&
	    strcmp(mode, mode_name(p->firewall)) != 0;
	for (size_t i = 0; i < p->intent.napps; i++)
		look_at_app(p, &p->intent.apps[i], json_object_get(memory, "apps"),
		    &p->seen[i].ports);
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
		fw_rules_keep_app(wanted, &p->firewall->found, ap->app->name);
}

/* Rules of apps that this run is not about (--app) stay. */
static void
add_others(const struct pass *p, struct fw_rules *wanted)
{
	const struct fw_rules *found = &p->firewall->found;

	for (size_t i = 0; i < found->n; i++)
		if ((i == 0 || strcmp(found->v[i].app, found->v[i - 1].app) != 0) &&
		    intent_find(&p->intent, found->v[i].app) == NULL)
			fw_rules_keep_app(wanted, found, found->v[i].app);
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
		plan_say(both[i], PLAN_FAILED, "port %u/%s is claimed by both %s and %s; its rules "
		    "stay as they are", b->first, fw_proto_name(b->proto), a->app, b->app);
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
	size_t from = 0;
	int changed;

	add_others(p, &all);
	add_claims(&claims, NULL, &all);
	for (size_t i = 0; i < plan->n; i++) {
		struct fw_rules own;

		from = all.n;
		add_wanted(p, &plan->apps[i], &all);
		own = (struct fw_rules){ all.v + from, all.n - from };
		add_claims(&claims, &plan->apps[i], &own);
	}
	changed = sweep_claims(&claims);
	free(claims.v);
	return changed;
}

static void
plan_app(struct app_plan *plan, const struct seen_ports *seen)
{
	const struct intent_app *app = plan->app;

	if (app->certainty == INTENT_GONE) {
		if (seen->present)
			plan_step(plan, PORTS_CLOSE, NULL,
			    "the app is not assigned to this node any more", "close its ports");
		return;
	}
	if (!is_stated(plan) || seen->same)
		return;
	plan_step(plan, PORTS_OPEN, NULL,
	    seen->drifted     ? "drift: its rules were changed by hand" :
		seen->present ? "its ports differ" :
				"its ports are not open yet",
	    "open its ports");
}

/* Why the whole must be written although no app asks for it; NULL: it need not. */
static const char *
why_write(const struct pass *p, size_t steps, struct buf *text)
{
	const struct firewall *f = p->firewall;

	if (f->absent && p->firewall_known && f->ops != &firewall_port_authority)
		return "drift: it is gone, by a reboot or by hand";
	if (p->firewall_mode_changed)
		return "another mode is asked for";
	if (f->damage != NULL) {
		buf_printf(text, "%s%s",
		    p->firewall_known && f->ops != &firewall_port_authority ? "drift: " : "",
		    f->damage);
		return text->data;
	}
	if (steps > 0)
		return "apps' ports changed";
	/* A mode that drops is to be in force before the first app comes. */
	return f->absent && f->options.mode == FIREWALL_ENFORCE ? "it is not in force yet" : NULL;
}

static int
would_lock_out(const struct pass *p)
{
	const struct firewall *f = p->firewall;

	return f->options.mode == FIREWALL_ENFORCE && !f->drops && !p->firewall_listening &&
	    !settings_flag(p->settings, "yes");
}

static void
plan_write(const struct pass *p, struct plan *plan, struct fw_rules *wanted, size_t steps)
{
	AUTO_BUF struct buf text = { 0 };
	const char *why = why_write(p, steps, &text);
	struct app_plan *node;

	if (why == NULL)
		return;
	node = plan_add(plan, NULL, NULL);
	if (would_lock_out(p)) {
		AUTO_FREE char *ports = strv_join(&p->firewall->options.always_allow, ",");

		plan_say(node, PLAN_FAILED, "enforce would drop what is not open, and nothing listens "
		    "on a port that stays open whatever happens (%s): nothing was changed; set "
		    "always-allow to the port you come in by, or give --yes", ports);
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
	for (size_t i = 0; i < plan->n; i++) {
		if (would_lock_out(p))
			continue;
		plan_app(&plan->apps[i], &p->seen[i].ports);
		steps += plan->apps[i].nsteps;
	}
	plan_write(p, plan, &wanted, steps);
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

static int
remember(struct pass *p, const struct fw_rules *written, struct err *e)
{
	AUTO_FREE char *name = memory_name(p->firewall), *text = NULL;
	json_t *apps = json_object();
	json_auto_t *memory = json_pack("{s:s,s:o}", "mode", mode_name(p->firewall), "apps", apps);

	for (size_t i = 0; i < written->n + p->intent.napps; i++) {
		const char *app = i < written->n ? written->v[i].app :
						   p->intent.apps[i - written->n].name;
		AUTO_FREE char *hash = NULL;

		if (json_object_get(apps, app) != NULL)
			continue;
		hash = xasprintf("%016" PRIx64, fw_rules_hash(written, app));
		(void)json_object_set_new(apps, app, json_string(hash));
	}
	text = json_dumps(memory, JSON_COMPACT | JSON_SORT_KEYS);
	return state_keep(&p->state, "firewall", name, text, e);
}

static int
apply(struct pass *p, const struct app_plan *ap, const struct step *step, struct err *e)
{
	if (step->kind != PORTS_WRITE && strncmp(step->reason, "drift", 5) == 0)
		log_warn("%s: %s", ap->app->name, step->reason);
	if (step->kind == PORTS_OPEN)
		tell_ports(ap->app);
	if (step->kind == PORTS_CLOSE)
		log_change("%s: closing its ports", ap->app->name);
	if (step->kind != PORTS_WRITE)
		return 0;
	if (strncmp(step->reason, "drift", 5) == 0)
		log_warn("%s", step->reason);
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
