/*
 * Supervisors: what is written for a service, and what systemctl's answers mean. With arguments it is a
 * driver instead, by which the tests in tests/bats/ call one backend:
 *
 *     test_supervisor BACKEND VERB [KEY=VALUE]...
 *
 * KEY is scan, stage, config or units (a directory), app, cluster, version, basedir, user, port, service
 * (again for each), env (again for each), nofile, memory, cpu, tasks, stop_ms, timeout_ms or deadline_ms (of
 * all).
 */
#include <pwd.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/service/definition.h"
#include "lib/service/systemd.h"
#include "tests/unit/tap.h"

/* A spec with all that it points at. */
struct given {
	struct user user;
	struct strv services, env;
	struct intent_limits limits;
	struct supervisor s;
	struct service_spec spec;
	int64_t timeout_ms;
};

static void
given_init(struct given *g)
{
	*g = (struct given){ .timeout_ms = 10000 };
	g->user.self = 1;
	g->spec = (struct service_spec){ .app = "slug",
		.cluster = "demo",
		.node = "node1",
		.version = "v1",
		.basedir = "/data/slug",
		.port = 1212,
		.user = &g->user,
		.services = &g->services,
		.env = &g->env,
		.limits = &g->limits,
		.stop_timeout_ms = 60000 };
}

static void
given_release(struct given *g)
{
	strv_release(&g->services);
	strv_release(&g->env);
}

/* ---- what is written ---- */

static void
test_unit(void)
{
	struct given g;
	AUTO_FREE char *unit = NULL, *other = NULL, *direct = NULL;

	given_init(&g);
	unit = systemd_render(&g.spec, "slug");
	is(unit,
	    "# Written by pp for slug, which writes it again where it differs.\n"
	    "[Unit]\nDescription=slug, by pp\nAfter=network.target\nStartLimitIntervalSec=0\n\n"
	    "[Service]\nType=exec\nWorkingDirectory=/data/slug/current\n"
	    "ExecStart=:\"/data/slug/current/bin/launch\"\n"
	    "Environment=\"" DEFINITION_PATH "\"\n"
	    "Environment=\"PP_APP=slug\"\nEnvironment=\"PP_VERSION=v1\"\n"
	    "Environment=\"PP_CLUSTER=demo\"\nEnvironment=\"PP_NODE=node1\"\n"
	    "Environment=\"PP_USER_CONFIG=/data/slug/config/user_config.json\"\n"
	    "Environment=\"PORT=1212\"\n"
	    "Restart=always\nRestartSec=1\nKillMode=mixed\nTimeoutStopSec=60000ms\n"
	    "StandardOutput=journal\nStandardError=inherit\nSyslogIdentifier=slug\n\n"
	    "[Install]\nWantedBy=multi-user.target\n",
	    "a unit");
	g.spec.env = NULL;
	g.spec.limits = NULL;
	g.spec.cluster = "";
	g.spec.stop_timeout_ms = 0;
	g.spec.port = 0;
	direct = systemd_render(&g.spec, "slug");
	has(direct, "# Written by pp direct for slug, ", "without a store");
	has(direct, "\nTimeoutStopSec=1ms\n", "no time to stop is not all the time there is");
	ok(strstr(direct, "PORT=") == NULL, "no port, no PORT");
	(void)snprintf(g.user.name, sizeof g.user.name, "nobody");
	g.user.self = 0;
	g.limits = (struct intent_limits){ 99, 1048576, 7, 12 };
	g.spec.limits = &g.limits;
	other = systemd_render(&g.spec, "slug__web");
	has(other, "\nUser=nobody\n", "its user");
	has(other, "\nExecStart=:\"/data/slug/current/bin/launch/web\"\n", "one of a directory");
	has(other, "\nLimitNOFILE=99\nMemoryMax=1048576\nLimitCPU=7\nTasksMax=12\n", "its limits");
	given_release(&g);
}

static void
test_quoting(void)
{
	static const struct {
		const char *env, *line;
	} cases[] = { { "A=b c", "\nEnvironment=\"A=b c\"\n" },
		{ "A=\"q\" 'r'", "\nEnvironment=\"A=\\\"q\\\" 'r'\"\n" },
		{ "A=%h 100%", "\nEnvironment=\"A=%%h 100%%\"\n" },
		{ "A=$HOME ${X}", "\nEnvironment=\"A=$HOME ${X}\"\n" },
		{ "A=\\n\\", "\nEnvironment=\"A=\\\\n\\\\\"\n" },
		{ "A=\t\x1b[1m\x7f", "\nEnvironment=\"A=\\x09\\x1b[1m\\x7f\"\n" },
		{ "A=na\xc3\xafve", "\nEnvironment=\"A=na\xc3\xafve\"\n" },
		{ "A=", "\nEnvironment=\"A=\"\n" }, { "A=#;=", "\nEnvironment=\"A=#;=\"\n" } };

	for (size_t i = 0; i < MEM_COUNT(cases); i++) {
		struct given g;
		AUTO_FREE char *unit = NULL;
		struct err e = ERR_INIT;

		given_init(&g);
		strv_add(&g.env, xstrdup(cases[i].env));
		unit = systemd_render(&g.spec, "slug");
		has(unit, cases[i].line, cases[i].env);
		ok(systemd_check(&g.spec, "slug", &e) == 0, "and systemd can be told");
		given_release(&g);
	}
}

static void
test_paths(void)
{
	struct given g;
	AUTO_FREE char *unit = NULL;

	given_init(&g);
	g.spec.basedir = "/data/100% of $its own";
	unit = systemd_render(&g.spec, "slug");
	has(unit, "\nWorkingDirectory=/data/100%% of $its own/current\n", "a directory is no word");
	has(unit, "\nExecStart=:\"/data/100%% of $its own/current/bin/launch\"\n",
	    "a program is one");
	given_release(&g);
}

static void
refuses(const char *env, const char *basedir, const char *service, const char *why)
{
	struct given g;
	struct err e = ERR_INIT;

	given_init(&g);
	if (env != NULL)
		strv_add(&g.env, xstrdup(env));
	if (basedir != NULL)
		g.spec.basedir = basedir;
	ok(systemd_check(&g.spec, service, &e) < 0 && e.class == ERR_DATA, "refused: %s", why);
	has(e.msg, why, why);
	given_release(&g);
}

static void
test_refusals(void)
{
	AUTO_FREE char *name = xcalloc(1, 260);

	memset(name, 'a', 245);
	refuses(NULL, NULL, name, "longer than the 255 bytes");
	refuses("1A=b", NULL, "slug", "env: \"1A\" is no name");
	refuses("A-B=c", NULL, "slug", "env: \"A-B\" is no name");
	refuses("A", NULL, "slug", "env: \"A\" is no name");
	refuses("=b", NULL, "slug", "env: \"\" is no name");
	refuses("A=\xff", NULL, "slug", "env: A is not UTF-8");
	refuses(NULL, "/data/a\"b", "slug", "a path with a quote or \\ in it");
	refuses(NULL, "/data/a'b", "slug", "a path with a quote or \\ in it");
	refuses(NULL, "/data/a\\b", "slug", "a path with a quote or \\ in it");
}

static void
test_names(void)
{
	AUTO_FREE char *unit = systemd_unit("slug__web"), *service = systemd_service(unit);

	is(unit, "pp-slug__web.service", "a service's unit");
	is(service, "slug__web", "and back");
	is(systemd_service("pp-.service"), NULL, "no name");
	is(systemd_service("pp-slug.timer"), NULL, "no service");
	is(systemd_service("ppslug.service"), NULL, "not pp's");
}

static void
test_marks(void)
{
	static const char *const none[] = { "", "#", "# Written by pp",
		"# Written by hand for slug", " # Written by pp for slug, " };
	AUTO_FREE char *owner = NULL, *direct_owner = NULL;
	int direct = 2;

	owner = definition_owner("# Written by pp for slug, which\nno more", &direct);
	is(owner, "slug", "whose it is");
	ok(!direct, "of a store");
	direct_owner = definition_owner("# Written by pp direct for other\n", &direct);
	is(direct_owner, "other", "of pp direct");
	ok(direct, "of none");
	for (size_t i = 0; i < MEM_COUNT(none); i++)
		is(definition_owner(none[i], &direct), NULL, none[i]);
}

static void
test_limits(void)
{
	struct given g;
	AUTO_STRV struct strv none = { 0 }, some = { 0 };
	AUTO_FREE char *words = NULL;

	given_init(&g);
	definition_limits(&g.spec, &none);
	g.limits =
	    (struct intent_limits){ .nofile = 99, .memory = 18446744073709551615u, .tasks = 3 };
	definition_limits(&g.spec, &some);
	words = strv_join(&some, " ");
	ok(none.n == 0, "no limits, no words");
	is(words, "-o99 -m18446744073709551615 -p3", "limits of chpst");
	given_release(&g);
}

static void
tail_is(const char *text, size_t n, const char *wanted, const char *name)
{
	AUTO_FREE char *got = definition_tail(text, n);

	is(got, wanted, name);
}

static void
test_tail(void)
{
	char line[300], cut[201];

	tail_is("", 0, NULL, "an empty log");
	tail_is("\n\n", 2, NULL, "a log of nothing");
	tail_is("one", 3, "one", "a line that is being written");
	tail_is("one\n\ntwo\n", 9, "one\ntwo", "two lines");
	tail_is("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", 27, "3\n4\n5\n6\n7\n8\n9\n10\n11\n12",
	    "the last ten");
	tail_is("a\x1b[31m\xff\n", 8, "a\\x1b[31m\\xff", "what steers a terminal");
	tail_is("a\0b\n", 4, "a?b", "a NUL");
	memset(line, 'x', sizeof line);
	memset(cut, 'x', 200);
	cut[200] = '\0';
	tail_is(line, sizeof line, cut, "a long line");
	line[199] = '\xc3';
	line[200] = '\xa9';
	cut[199] = '\0';
	tail_is(line, sizeof line, cut, "cut where a character begins");
}

/* ---- what systemctl shows ---- */

#define SHOWN(id, load, active, file, reload, up, down) \
	"Result=success\nId=" id "\nLoadState=" load "\nActiveState=" active \
	"\nFragmentPath=" file "\nActiveEnterTimestampMonotonic=" up \
	"\nInactiveEnterTimestampMonotonic=" down "\nNeedDaemonReload=" reload "\n"

static void
test_shown(void)
{
	struct systemd_shown s[3];
	struct err e = ERR_INIT;

	ok(systemd_parse(SHOWN("pp-a.service", "loaded", "active", "/u/pp-a.service", "no", "5000",
			     "3000") "\n" SHOWN("pp-b.service", "not-found", "inactive", "", "no",
			     "0", "0") "\n" SHOWN("pp-c.service", "loaded", "activating",
			     "/u/pp-c.service", "yes", "1", "2"),
	       s, 3, &e) == 0,
	    "three units");
	is(s[0].id, "pp-a.service", "the first");
	is(s[0].fragment, "/u/pp-a.service", "its file");
	ok(s[0].activity == SYSTEMD_UP && s[0].since_us == 5000 && !s[0].stale, "up since");
	is(s[1].load, "not-found", "the second is not there");
	ok(s[1].activity == SYSTEMD_DOWN && s[1].fragment[0] == '\0', "nor up");
	ok(s[2].activity == SYSTEMD_STARTING && s[2].stale && s[2].since_us == 2,
	    "the third is to be read again");
	systemd_shown_release(s, 3);
}

static void
unreadable(const char *output, size_t n, const char *why)
{
	struct systemd_shown s[2];
	struct err e = ERR_INIT;

	ok(systemd_parse(output, s, n, &e) < 0 && e.class == ERR_FAIL, "not believed: %s", why);
	has(e.msg, why, why);
}

static void
test_answers_that_are_none(void)
{
	static const char good[] = SHOWN("a", "loaded", "active", "/a", "no", "1", "1");

	unreadable("", 1, "it does not say all that was asked of a unit");
	unreadable(good, 2, "it does not say all that was asked of a unit");
	unreadable(SHOWN("a", "loaded", "active", "/a", "no", "1", "1") "\n" SHOWN("b", "loaded",
		       "active", "/b", "no", "1", "1"),
	    1, "more units than were asked for");
	unreadable("Id=a\nLoadState=loaded\n", 1, "it does not say all that was asked of a");
	unreadable("Id=a\nId=b\n", 1, "it says Id twice");
	unreadable(SHOWN("a", "loaded", "dancing", "/a", "no", "1", "1"), 1,
	    "ActiveState is \"dancing\"");
	unreadable(SHOWN("a", "loaded", "active", "/a", "maybe", "1", "1"), 1,
	    "NeedDaemonReload is \"maybe\"");
	unreadable(SHOWN("a", "loaded", "active", "/a", "no", "-1", "1"), 1, "a time is \"-1\"");
	unreadable(SHOWN("a", "loaded", "active", "/a", "no", "1", "9999999999999999999999"), 1,
	    "a time is");
}

static void
test_backends(void)
{
	static const char *const names[] = { "runit", "servicebuilder", "systemd", "none" };
	size_t n = 0;

	for (; supervisors[n] != NULL; n++) {
		const struct supervisor_ops *o = supervisors[n];

		is(o->name, n < MEM_COUNT(names) ? names[n] : NULL, o->name);
		ok(supervisor_find(o->name) == o, "%s is found", o->name);
		ok(o->configuring && o->list && o->same && o->define && o->rehearse && o->remove &&
			o->enable && o->status && o->start && o->stop && o->restore &&
			o->keep_down && o->enabled && o->log_place && o->log_tail,
		    "%s has all of its parts", o->name);
	}
	ok(n == MEM_COUNT(names), "four backends");
	ok(supervisor_find("upstart") == NULL, "and no other");
}

/* ---- the driver ---- */

static int
take_text(struct given *g, const char *key, const char *value)
{
	const struct {
		const char *key;
		const char **text;
	} texts[] = { { "app", &g->spec.app }, { "cluster", &g->spec.cluster },
		{ "version", &g->spec.version }, { "basedir", &g->spec.basedir },
		{ "scan", (const char **)&g->s.scan }, { "stage", (const char **)&g->s.stage },
		{ "config", (const char **)&g->s.config },
		{ "units", (const char **)&g->s.units } };

	for (size_t i = 0; i < MEM_COUNT(texts); i++)
		if (strcmp(key, texts[i].key) == 0) {
			*texts[i].text = value;
			return 1;
		}
	return 0;
}

static int
take_number(struct given *g, const char *key, const char *value)
{
	unsigned long long n = strtoull(value, NULL, 10);

	if (strcmp(key, "nofile") == 0)
		g->limits.nofile = n;
	else if (strcmp(key, "memory") == 0)
		g->limits.memory = n;
	else if (strcmp(key, "cpu") == 0)
		g->limits.cpu_seconds = n;
	else if (strcmp(key, "tasks") == 0)
		g->limits.tasks = n;
	else if (strcmp(key, "port") == 0)
		g->spec.port = (int)n;
	else if (strcmp(key, "stop_ms") == 0)
		g->spec.stop_timeout_ms = (int64_t)n;
	else if (strcmp(key, "timeout_ms") == 0)
		g->timeout_ms = (int64_t)n;
	else if (strcmp(key, "deadline_ms") == 0)
		clock_set_deadline((int64_t)n);
	else
		return 0;
	return 1;
}

static int
take_user(struct given *g, const char *name)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		return 0;
	(void)snprintf(g->user.name, sizeof g->user.name, "%s", name);
	g->user.uid = pw->pw_uid;
	g->user.gid = pw->pw_gid;
	g->user.self = 0;
	return 1;
}

static int
take_argument(struct given *g, char *arg)
{
	char *value = strchr(arg, '=');

	if (value == NULL)
		return 0;
	*value++ = '\0';
	if (strcmp(arg, "user") == 0)
		return take_user(g, value);
	if (strcmp(arg, "service") == 0 || strcmp(arg, "env") == 0) {
		strv_add(arg[0] == 's' ? &g->services : &g->env, xstrdup(value));
		return 1;
	}
	return take_text(g, arg, value) || take_number(g, arg, value);
}

static int
print_list(const struct given *g, struct err *e)
{
	AUTO_SERVICES struct service_list list = { 0 };
	int r = supervisor_list(&g->s, &list, e);

	for (size_t i = 0; i < list.services.n; i++)
		printf("%s of %s%s\n", list.services.items[i], list.apps.items[i],
		    strv_has(&list.direct, list.apps.items[i]) ? ", direct" : "");
	return r;
}

/* The time, too: "now" is up to ten seconds. */
static int
print_status(const struct given *g, struct err *e)
{
	static const char *const words[] = { "absent", "down", "up" };
	AUTO_FREE struct service_status *status = xcalloc(g->services.n + 1, sizeof *status);
	int r = supervisor_status(&g->s, &g->services, status, e);

	for (size_t i = 0; r == 0 && i < g->services.n; i++)
		printf("%s %s %s\n", g->services.items[i], words[status[i].state],
		    status[i].for_ms >= 0 && status[i].for_ms < 10000 ? "now" : "long");
	return r;
}

static int
print_number(int number)
{
	printf("%d\n", number);
	return number < 0 ? -1 : 0;
}

static int
print_text(char *text)
{
	printf("%s\n", text ? text : "(none)");
	free(text);
	return 0;
}

static int
drive_one(const struct given *g, const char *verb, const char *service, struct err *e)
{
	if (strcmp(verb, "start") == 0)
		return supervisor_start(&g->s, service, g->timeout_ms, e);
	if (strcmp(verb, "stop") == 0)
		return supervisor_stop(&g->s, service, g->timeout_ms, e);
	if (strcmp(verb, "enable") == 0)
		return g->s.ops->enable(&g->s, service, e);
	if (strcmp(verb, "keep_down") == 0)
		return supervisor_keep_down(&g->s, service, e);
	if (strcmp(verb, "enabled") == 0)
		return print_number(supervisor_enabled(&g->s, service));
	if (strcmp(verb, "restore") == 0)
		supervisor_restore(&g->s, service);
	else if (strcmp(verb, "log_place") == 0)
		return print_text(supervisor_log_place(&g->s, service));
	else if (strcmp(verb, "log_tail") == 0)
		return print_text(supervisor_log_tail(&g->s, service));
	else
		return err_set(e, ERR_USAGE, "no such verb: %s", verb);
	return 0;
}

static int
drive_verb(const struct given *g, const char *verb, struct err *e)
{
	if (strcmp(verb, "list") == 0)
		return print_list(g, e);
	if (strcmp(verb, "status") == 0)
		return print_status(g, e);
	if (strcmp(verb, "same") == 0)
		return print_number(supervisor_same(&g->s, &g->spec, e));
	if (strcmp(verb, "rehearse") == 0)
		return supervisor_rehearse(&g->s, &g->spec, e);
	if (strcmp(verb, "define") == 0)
		return supervisor_define(&g->s, &g->spec, e);
	if (strcmp(verb, "remove") == 0)
		return supervisor_remove(&g->s, g->spec.app, &g->services, e);
	for (size_t i = 0; i < g->services.n; i++)
		if (drive_one(g, verb, g->services.items[i], e) < 0)
			return -1;
	return 0;
}

static int
drive(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct given g;
	int r = argc < 3 ? -1 : 0;

	given_init(&g);
	if (r == 0)
		g.s.ops = supervisor_find(argv[1]);
	for (int i = 3; i < argc && r == 0; i++)
		r = take_argument(&g, argv[i]) ? 0 : -1;
	if (r < 0 || g.s.ops == NULL)
		r = err_set(&e, ERR_USAGE, "usage: %s BACKEND VERB [KEY=VALUE]...", argv[0]);
	if (g.services.n == 0)
		strv_add(&g.services, xstrdup(g.spec.app));
	if (r == 0)
		r = drive_verb(&g, argv[2], &e);
	if (r < 0)
		fprintf(stderr, "%s\n", e.msg);
	given_release(&g);
	return r < 0;
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		return drive(argc, argv);
	test_backends();
	test_unit();
	test_quoting();
	test_paths();
	test_refusals();
	test_names();
	test_marks();
	test_limits();
	test_tail();
	test_shown();
	test_answers_that_are_none();
	return done();
}
