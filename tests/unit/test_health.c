/*
 * How an app is asked for its health: what deploy_config states, else what there is.
 */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/service/health.h"
#include "tests/unit/tap.h"

static const struct user slug = { .name = "slug", .uid = 1000, .gid = 1001 };

static char *env_items[] = { (char *)"PORT=1212", (char *)"PP_APP=slug", NULL };
static const struct strv env = { env_items, 2 };

static struct intent_port udp_first[] = { { .first = 53, .last = 53, .proto = INTENT_UDP },
	{ .first = 8000, .last = 8010, .proto = INTENT_TCP } };

/* Chosen for an app with `nports` of those ports. */
static void
choose(const struct intent_check *stated, size_t nports, int has_check, struct health_check *check)
{
	struct intent_app app = { .name = (char *)"slug",
		.basedir = (char *)"/data/slug",
		.ports = udp_first,
		.nports = nports,
		.check = *stated };

	health_choose(&app, &slug, has_check, &env, check);
}

static void
test_default(void)
{
	const struct intent_check none = { 0 };
	struct health_check c;

	choose(&none, 2, 1, &c);
	ok(c.kind == HEALTH_EXEC && c.argv.n == 1, "bin/check, where the install has it");
	is(c.argv.items[0], "/data/slug/current/bin/check", "it is the live install's");
	is(c.cwd, "/data/slug/current", "and starts there");
	ok(strcmp(c.user.name, "slug") == 0 && c.user.uid == 1000, "as the app's user");
	ok(c.env.n == 2 && strv_has(&c.env, "PORT=1212") && c.env.items[2] == NULL,
	    "with the environment of its services");
	ok(c.interval_ms == INTENT_CHECK_INTERVAL_MS && c.timeout_ms == INTENT_CHECK_TIMEOUT_MS,
	    "every 10 s, for 5 s");
	health_check_release(&c);
	ok(c.argv.n == 0 && c.cwd == NULL, "released");
	choose(&none, 2, 0, &c);
	ok(c.kind == HEALTH_TCP && c.port == 8000, "else its first port that is not UDP's");
	ok(c.interval_ms == INTENT_CHECK_INTERVAL_MS, "every 10 s, too");
	health_check_release(&c);
	choose(&none, 1, 0, &c);
	ok(c.kind == HEALTH_SUPERVISOR, "UDP only: the supervisor's word");
	health_check_release(&c);
	choose(&none, 0, 0, &c);
	ok(c.kind == HEALTH_SUPERVISOR, "no port: the supervisor's word");
	health_check_release(&c);
}

static void
test_stated(void)
{
	char *mine[] = { (char *)"bin/mine", (char *)"-q", NULL };
	char *system[] = { (char *)"/usr/bin/true", NULL };
	struct intent_check stated = { .kind = INTENT_CHECK_HTTP,
		.path = (char *)"/health",
		.port = 81,
		.interval_ms = 2000,
		.timeout_ms = 700 };
	AUTO_FREE char *words = NULL;
	struct health_check c;

	choose(&stated, 2, 1, &c);
	ok(c.kind == HEALTH_HTTP && c.port == 81, "what is stated wins over bin/check");
	is(c.path, "/health", "with its path");
	ok(c.interval_ms == 2000 && c.timeout_ms == 700, "and times");
	words = health_describe(&c);
	is(words, "HTTP GET http://localhost:81/health", "in words");
	health_check_release(&c);
	stated = (struct intent_check){ .kind = INTENT_CHECK_TCP };
	choose(&stated, 2, 1, &c);
	ok(c.kind == HEALTH_TCP && c.port == 8000, "a port that is not stated is the first");
	health_check_release(&c);
	stated = (struct intent_check){ .kind = INTENT_CHECK_EXEC, .argv = { mine, 2 } };
	choose(&stated, 2, 0, &c);
	is(c.argv.items[0], "/data/slug/current/bin/mine", "a program of the install");
	is(c.argv.items[1], "-q", "with its argument");
	health_check_release(&c);
	stated.argv = (struct strv){ system, 1 };
	choose(&stated, 2, 0, &c);
	is(c.argv.items[0], "/usr/bin/true", "a program of the system");
	health_check_release(&c);
}

static void
test_names(void)
{
	is(health_name(HEALTH_PASSING), "passing", "passing");
	is(health_name(HEALTH_WARNING), "warning", "warning");
	is(health_name(HEALTH_CRITICAL), "critical", "critical");
	is(health_name(HEALTH_UNKNOWN), "unknown", "unknown");
}

int
main(void)
{
	test_default();
	test_stated();
	test_names();
	return done();
}
