/* deploy_config: which fields are taken, which are refused, and what is said of those. */
#include "lib/intent/intent.h"
#include "tests/unit/tap.h"

static json_t *
json(const char *text)
{
	json_error_t at;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &at);

	if (value == NULL)
		printf("# not JSON: %s: %s\n", text, at.text);
	return value;
}

static void
takes(const char *text, const char *refusal)
{
	struct intent_app app = { .name = xstrdup("slug") };
	json_auto_t *doc = json(text);
	struct err e = ERR_INIT;
	int r = intent_take_deploy_config(doc, &app, &e);

	if (refusal == NULL) {
		if (!ok(r == 0, "taken: %s", text))
			printf("# %s\n", e.msg);
	} else {
		ok(r < 0 && e.class == ERR_DATA, "refused: %s", text);
		has(e.msg, refusal, "and told why");
	}
	intent_app_release(&app);
}

static void
test_deploy_config(void)
{
	static const struct {
		const char *text, *refusal;
	} cases[] = {
		{ "{\"basedir\":\"/data/slug\"}", NULL },
		{ "{\"basedir\":\"/data/slug\",\"ports\":[],\"runas\":null,\"other\":{}}", NULL },
		{ "{\"basedir\":\"/a\",\"start_timeout\":30,\"stop_timeout\":\"1m30s\",\"drain\":0.5}",
		    NULL },
		{ "{\"basedir\":\"/a\",\"supervisor\":\"runit\"}", NULL },
		{ "{\"basedir\":\"/a\",\"supervisor\":\"servicebuilder\",\"runas\":\"slug-1\"}",
		    NULL },
		{ "{}", "basedir" },
		{ "{\"basedir\":1}", "basedir" },
		{ "{\"basedir\":\"data\"}", "absolute" },
		{ "{\"basedir\":\"/\"}", "system directory" },
		{ "{\"basedir\":\"/etc/x\"}", "system directory" },
		{ "{\"basedir\":\"/data/../etc\"}", "normalised" },
		{ "{\"basedir\":\"/a\",\"ports\":{}}", "ports" },
		{ "{\"basedir\":\"/a\",\"ports\":[1,0]}", "ports[1]" },
		{ "{\"basedir\":\"/a\",\"runas\":\"ALL\"}", "runas" },
		{ "{\"basedir\":\"/a\",\"runas\":\"a b\"}", "runas" },
		{ "{\"basedir\":\"/a\",\"runas\":\"\"}", "runas" },
		{ "{\"basedir\":\"/a\",\"runas\":1}", "runas" },
		{ "{\"basedir\":\"/a\",\"supervisor\":\"openrc\"}", "supervisor" },
		{ "{\"basedir\":\"/a\",\"start_timeout\":-1}", "start_timeout" },
		{ "{\"basedir\":\"/a\",\"stop_timeout\":\"soon\"}", "stop_timeout" },
		{ "{\"basedir\":\"/a\",\"drain\":[]}", "drain" },
		{ "{\"basedir\":\"/a\",\"drain\":1e300}", "drain" },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++)
		takes(cases[i].text, cases[i].refusal);
}

static void
test_deploy_config_values(void)
{
	struct intent_app app = { .name = xstrdup("slug") };
	json_auto_t *doc = json("{\"basedir\":\"/a\",\"stop_timeout\":\"1m30s\",\"drain\":0.5}");
	struct err e = ERR_INIT;

	ok(intent_take_deploy_config(doc, &app, &e) == 0, "taken");
	ok(app.start_timeout_ms == INTENT_START_TIMEOUT_MS, "start_timeout has a default");
	ok(app.stop_timeout_ms == 90000 && app.drain_ms == 500, "times, as text and as a number");
	ok(app.settle_ms == INTENT_SETTLE_MS && !app.restart_never && app.supervisor == NULL,
	    "settle, restart and supervisor have defaults");
	ok(app.check.kind == INTENT_CHECK_DEFAULT && app.check.path == NULL &&
		app.check.argv.n == 0 && app.check.interval_ms == INTENT_CHECK_INTERVAL_MS &&
		app.check.timeout_ms == INTENT_CHECK_TIMEOUT_MS,
	    "so has the check");
	ok(app.limits.nofile == 0 && app.limits.memory == 0 && app.limits.cpu_seconds == 0 &&
		app.limits.tasks == 0 && app.env.n == 0,
	    "no limits, no environment");
	intent_app_release(&app);
}

#define LONG_NAME \
	"A123456789012345678901234567890123456789012345678901234567890123" \
	"A1234567890123456789012345678901234567890123456789012345678901234"

/* deploy_config with a basedir, two ports and this. */
static int
take_deploy(const char *more, struct intent_app *app, struct err *e)
{
	AUTO_FREE char *text =
	    xasprintf("{\"basedir\":\"/data/slug\",\"ports\":[1212,1231],%s}", more);
	json_auto_t *doc = json(text);

	*app = (struct intent_app){ .name = xstrdup("slug") };
	return intent_take_deploy_config(doc, app, e);
}

static void
deploy_takes(const char *more, const char *refusal)
{
	AUTO_FREE char *text =
	    xasprintf("{\"basedir\":\"/data/slug\",\"ports\":[1212,1231],%s}", more);

	takes(text, refusal);
}

static void
test_service(void)
{
	static const struct {
		const char *more, *refusal;
	} cases[] = {
		{ "\"supervisor\":\"systemd\"", NULL },
		{ "\"supervisor\":\"none\"", NULL },
		{ "\"supervisor\":\"Runit\"",
		    "supervisor: it must be runit, servicebuilder, systemd or none" },
		{ "\"supervisor\":1", "supervisor" },
		{ "\"settle\":0", NULL },
		{ "\"settle\":\"1m\"", NULL },
		{ "\"settle\":\"a while\"", "settle: \"a while\" is not a duration" },
		{ "\"settle\":-1", "settle" },
		{ "\"restart\":\"auto\"", NULL },
		{ "\"restart\":\"never\"", NULL },
		{ "\"restart\":false", "restart: it must be auto or never" },
		{ "\"limits\":{}", NULL },
		{ "\"limits\":{\"nofile\":1,\"tasks\":4194304,\"memory\":1048576,\"cpu\":1}",
		    NULL },
		{ "\"limits\":{\"memory\":\"1024T\",\"cpu\":\"1h\",\"nofile\":1073741824}", NULL },
		{ "\"limits\":[]", "limits: it must be an object" },
		{ "\"limits\":null", "limits: it must be an object" },
		{ "\"limits\":{\"nproc\":5}",
		    "limits.nproc: there is no such part; there are nofile, memory, cpu and tasks" },
		{ "\"limits\":{\"nofile\":0}", "limits.nofile: it must be a whole number from 1" },
		{ "\"limits\":{\"nofile\":1073741825}", "limits.nofile" },
		{ "\"limits\":{\"nofile\":\"4096\"}", "limits.nofile" },
		{ "\"limits\":{\"nofile\":null}", "limits.nofile" },
		{ "\"limits\":{\"tasks\":4194305}", "limits.tasks" },
		{ "\"limits\":{\"tasks\":-1}", "limits.tasks" },
		{ "\"limits\":{\"memory\":512}", "limits.memory: it must be from 1M to 1024T" },
		{ "\"limits\":{\"memory\":\"1025T\"}", "limits.memory" },
		{ "\"limits\":{\"memory\":\"512MB\"}", "limits.memory: \"512MB\" is not a size" },
		{ "\"limits\":{\"memory\":\"\"}", "limits.memory" },
		{ "\"limits\":{\"memory\":1e9}", "limits.memory" },
		{ "\"limits\":{\"memory\":-5}", "limits.memory" },
		{ "\"limits\":{\"memory\":null}", "limits.memory" },
		{ "\"limits\":{\"cpu\":0}", "limits.cpu: it must be at least 1 s" },
		{ "\"limits\":{\"cpu\":0.5}", "limits.cpu" },
		{ "\"limits\":{\"cpu\":\"500ms\"}", "limits.cpu" },
		{ "\"limits\":{\"cpu\":\"50%\"}", "limits.cpu" },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++)
		deploy_takes(cases[i].more, cases[i].refusal);
}

/* A deploy_config with that check. */
static void
checked(const char *check, const char *refusal)
{
	AUTO_FREE char *more = xasprintf("\"check\":%s", check);

	deploy_takes(more, refusal);
}

static void
test_health_check(void)
{
	static const struct {
		const char *check, *refusal;
	} cases[] = {
		{ "{\"http\":\"/\"}", NULL },
		{ "{\"http\":\"/a?b=c%20d\",\"port\":65535}", NULL },
		{ "{\"tcp\":1}", NULL },
		{ "{\"tcp\":true}", NULL },
		{ "{\"exec\":\"bin/mine\"}", NULL },
		{ "{\"exec\":[\"/usr/bin/true\",\"\",\"a b\",\"\\u00fc\\t\"]}", NULL },
		{ "{\"http\":\"/\",\"interval\":1,\"timeout\":\"100ms\"}", NULL },
		{ "{\"http\":\"/\",\"interval\":\"1h\",\"timeout\":\"1h\"}", NULL },
		{ "{}", "check: it must have one of http, tcp and exec" },
		{ "{\"interval\":5}", "check: it must have one of" },
		{ "\"/health\"", "check: it must be an object" },
		{ "null", "check: it must be an object" },
		{ "{\"http\":\"/\",\"tcp\":1}", "check: it has both http and tcp" },
		{ "{\"tcp\":1,\"exec\":\"x\"}", "check: it has both tcp and exec" },
		{ "{\"http\":\"/\",\"retries\":1}",
		    "check.retries: there is no such part; there are http, tcp, exec, port, interval "
		    "and timeout" },
		{ "{\"http\":\"health\"}", "check.http: it must be the path of a URL" },
		{ "{\"http\":\"\"}", "check.http" },
		{ "{\"http\":\"/a b\"}", "check.http" },
		{ "{\"http\":\"/a\\r\\nHost: x\"}", "check.http" },
		{ "{\"http\":\"/\\u00fc\"}", "check.http" },
		{ "{\"http\":true}", "check.http" },
		{ "{\"http\":\"/\",\"port\":0}",
		    "check.port: it must be a whole number from 1 to" },
		{ "{\"http\":\"/\",\"port\":\"80\"}", "check.port" },
		{ "{\"http\":\"/\",\"port\":65536}", "check.port" },
		{ "{\"tcp\":80,\"port\":80}", "check.port: that is for http" },
		{ "{\"exec\":\"x\",\"port\":80}", "check.port: that is for http" },
		{ "{\"tcp\":0}", "check.tcp: it must be a port" },
		{ "{\"tcp\":false}", "check.tcp" },
		{ "{\"tcp\":65537}", "check.tcp" },
		{ "{\"tcp\":\"80\"}", "check.tcp" },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++)
		checked(cases[i].check, cases[i].refusal);
}

static void
test_health_check_rest(void)
{
	static const struct {
		const char *check, *refusal;
	} cases[] = {
		{ "{\"exec\":[]}", "check.exec: it must be a program" },
		{ "{\"exec\":1}", "check.exec: the program must be a path" },
		{ "{\"exec\":\"\"}", "check.exec" },
		{ "{\"exec\":\"bin/mine -q\"}", "arguments go into a list" },
		{ "{\"exec\":\"../x\"}", "check.exec" },
		{ "{\"exec\":\"bin/../x\"}", "check.exec" },
		{ "{\"exec\":\"bin//x\"}", "check.exec" },
		{ "{\"exec\":\"./x\"}", "check.exec" },
		{ "{\"exec\":\"bin/\"}", "check.exec" },
		{ "{\"exec\":\"/\"}", "check.exec" },
		{ "{\"exec\":\"/usr/../bin/x\"}", "check.exec" },
		{ "{\"exec\":[\"bin/mine\",1]}", "check.exec[1]: it must be text" },
		{ "{\"exec\":[\"bin/mine\",\"-q\",\"a\\nb\"]}", "check.exec[2]" },
		{ "{\"http\":\"/\",\"interval\":\"999ms\"}",
		    "check.interval: it must be from 1 s" },
		{ "{\"http\":\"/\",\"interval\":3601}", "check.interval" },
		{ "{\"http\":\"/\",\"interval\":\"often\"}", "check.interval: \"often\" is not" },
		{ "{\"http\":\"/\",\"timeout\":0}", "check.timeout: it must be from 100 ms" },
		{ "{\"http\":\"/\",\"timeout\":11}", "the interval, which is 10 s" },
		{ "{\"http\":\"/\",\"interval\":2,\"timeout\":3}", "the interval, which is 2 s" },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++)
		checked(cases[i].check, cases[i].refusal);
}

/* What asks a port has to know which. */
static void
test_health_check_port(void)
{
	static const struct {
		const char *text, *refusal;
	} cases[] = {
		{ "{\"basedir\":\"/a\",\"check\":{\"http\":\"/\"}}",
		    "check.http: there are no ports to ask" },
		{ "{\"basedir\":\"/a\",\"ports\":[],\"check\":{\"tcp\":true}}",
		    "check.tcp: there are no ports to ask" },
		{ "{\"basedir\":\"/a\",\"ports\":[\"53/udp\"]}", "ports[0]" },
		{ "{\"basedir\":\"/a\",\"ports\":[{\"port\":53,\"protocol\":\"udp\"},80],"
		  "\"check\":{\"tcp\":true}}",
		    "check.tcp: the first port, 53, is not TCP" },
		{ "{\"basedir\":\"/a\",\"ports\":[{\"port\":53,\"protocol\":\"udp\"},80],"
		  "\"check\":{\"tcp\":80}}",
		    NULL },
		{ "{\"basedir\":\"/a\",\"check\":{\"http\":\"/\",\"port\":80}}", NULL },
		{ "{\"basedir\":\"/a\",\"check\":{\"exec\":\"bin/x\"}}", NULL },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++)
		takes(cases[i].text, cases[i].refusal);
}

static void
test_service_values(void)
{
	struct intent_app app;
	struct err e = ERR_INIT;

	ok(take_deploy("\"supervisor\":\"systemd\",\"settle\":\"1m\",\"restart\":\"never\","
		       "\"check\":{\"http\":\"/health\",\"port\":8080,\"interval\":2},"
		       "\"limits\":{\"nofile\":4096,\"memory\":\"512M\",\"cpu\":1.5,\"tasks\":9}",
	       &app, &e) == 0,
	    "taken");
	is(app.supervisor, "systemd", "the supervisor");
	ok(app.settle_ms == 60000 && app.restart_never, "settle and restart");
	ok(app.check.kind == INTENT_CHECK_HTTP && app.check.port == 8080 &&
		app.check.interval_ms == 2000 && app.check.timeout_ms == 2000,
	    "a time-out that is not stated is no longer than the interval");
	is(app.check.path, "/health", "the path");
	ok(app.limits.nofile == 4096 && app.limits.memory == 512U << 20 &&
		app.limits.cpu_seconds == 2 && app.limits.tasks == 9,
	    "limits, those of CPU time in whole seconds");
	intent_app_release(&app);

	ok(take_deploy("\"check\":{\"tcp\":true},\"restart\":\"auto\"", &app, &e) == 0 &&
		app.check.kind == INTENT_CHECK_TCP && app.check.port == 0 && !app.restart_never,
	    "true is the first port");
	intent_app_release(&app);
	ok(take_deploy("\"check\":{\"exec\":\"bin/mine\"}", &app, &e) == 0 &&
		app.check.kind == INTENT_CHECK_EXEC && app.check.argv.n == 1,
	    "a program alone");
	is(app.check.argv.items[0], "bin/mine", "it is the only word");
	intent_app_release(&app);
	ok(take_deploy("\"check\":{\"exec\":[\"/bin/x\",\"-q\",\"a b\"],\"timeout\":10}", &app,
	       &e) == 0 &&
		app.check.argv.n == 3 && app.check.timeout_ms == 10000,
	    "a program and its arguments");
	is(app.check.argv.items[2], "a b", "an argument with a space is one");
	intent_app_release(&app);
}

static void
test_env(void)
{
	static const char *const bad_names[] = { "", "1A", "A-B", "A B", "A=B", "A.B", "\\u00fc",
		"PORT", "PP_APP", "PP_", "_", "PWD", "PPID", "NOTIFY_SOCKET", "LISTEN_FDS" };
	static const char *const good_names[] = { "A", "_A", "a_1", "PP", "PPX_A", "PORTS", "PATH",
		"HOME", "LD_PRELOAD" };
	AUTO_FREE char *x129 = xmemdup(LONG_NAME, 129);
	struct intent_app app;
	struct err e = ERR_INIT;

	ok(take_deploy("\"env\":{\"B\":\"\",\"A_B\":\"x=y z\\t\",\"A\":\"'\\\"$(id)\"}", &app,
	       &e) == 0 &&
		app.env.n == 3,
	    "three variables");
	is(app.env.items[0], "A='\"$(id)", "sorted");
	is(app.env.items[1], "A_B=x=y z\t", "as they are");
	is(app.env.items[2], "B=", "an empty one too");
	intent_app_release(&app);
	for (size_t i = 0; i < MEM_COUNT(bad_names); i++) {
		AUTO_FREE char *more = xasprintf("\"env\":{\"%s\":\"x\"}", bad_names[i]);

		deploy_takes(more, "env.");
	}
	for (size_t i = 0; i < MEM_COUNT(good_names); i++) {
		AUTO_FREE char *more = xasprintf("\"env\":{\"%s\":\"x\"}", good_names[i]);

		deploy_takes(more, NULL);
	}
	for (int i = 129; i >= 128; i--) {
		AUTO_FREE char *more = xasprintf("\"env\":{\"%.*s\":\"x\"}", i, x129);

		deploy_takes(more, i == 128 ? NULL : "that is no name");
	}
	deploy_takes("\"env\":[]", "env: it must be an object");
	deploy_takes("\"env\":null", "env: it must be an object");
	deploy_takes("\"env\":{}", NULL);
	deploy_takes("\"env\":{\"A\":1}", "env.A: it must be text; write numbers in quotes");
	deploy_takes("\"env\":{\"A\":null}", "env.A: it must be text");
	deploy_takes("\"env\":{\"A\":\"hidden\\n\"}", "env.A: the value holds a control character");
	ok(take_deploy("\"env\":{\"A\":\"hidden\\n\"}", &app, &e) < 0 &&
		strstr(e.msg, "hidden") == NULL,
	    "a value is in no message");
	intent_app_release(&app);
}

/* How many variables there may be, and how large. */
static void
test_env_size(void)
{
	static const struct {
		size_t n, bytes;
		const char *refusal;
	} cases[] = {
		{ 256, 1, NULL },
		{ 257, 1, "env: it must be an object of at most 256 variables" },
		{ 1, 32768, NULL },
		{ 1, 32769, "env.A0: the value is longer than 32768 bytes" },
		{ 7, 32768, NULL },
		{ 8, 32768, "env: all of it is larger than 262144 bytes" },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++) {
		struct intent_app app = { .name = xstrdup("slug") };
		json_auto_t *doc = json("{\"basedir\":\"/a\"}");
		AUTO_FREE char *value = xcalloc(cases[i].bytes + 1, 1);
		json_t *env = json_object();
		struct err e = ERR_INIT;
		int r;

		memset(value, 'x', cases[i].bytes);
		for (size_t k = 0; k < cases[i].n; k++) {
			AUTO_FREE char *name = xasprintf("A%zu", k);

			(void)json_object_set_new(env, name, json_string(value));
		}
		(void)json_object_set_new(doc, "env", env);
		r = intent_take_deploy_config(doc, &app, &e);
		ok((r == 0) == (cases[i].refusal == NULL), "%zu variables of %zu bytes", cases[i].n,
		    cases[i].bytes);
		has(e.msg, cases[i].refusal ? cases[i].refusal : "", "and told why");
		intent_app_release(&app);
	}
}

static void
test_ports(void)
{
	static const struct {
		const char *text;
		int first, last, proto; /* 0: refused */
		size_t from;
	} cases[] = {
		{ "1212", 1212, 1212, INTENT_TCP, 0 },
		{ "1", 1, 1, INTENT_TCP, 0 },
		{ "65535", 65535, 65535, INTENT_TCP, 0 },
		{ "\"80\"", 80, 80, INTENT_TCP, 0 },
		{ "\"8000-8010\"", 8000, 8010, INTENT_TCP, 0 },
		{ "\"8000-8000\"", 8000, 8000, INTENT_TCP, 0 },
		{ "{\"port\":53,\"protocol\":\"udp\"}", 53, 53, INTENT_UDP, 0 },
		{ "{\"port\":\"8000-8010\",\"protocol\":\"tcp\"}", 8000, 8010, INTENT_TCP, 0 },
		{ "{\"port\":53,\"from\":[\"10.0.0.0/8\",\"::1\",\"192.0.2.1\"]}", 53, 53,
		    INTENT_TCP, 3 },
		{ "0", 0, 0, 0, 0 },
		{ "65536", 0, 0, 0, 0 },
		{ "-1", 0, 0, 0, 0 },
		{ "1.5", 0, 0, 0, 0 },
		{ "\"http\"", 0, 0, 0, 0 },
		{ "\"\"", 0, 0, 0, 0 },
		{ "\"0\"", 0, 0, 0, 0 },
		{ "\"8010-8000\"", 0, 0, 0, 0 },
		{ "\"1-65536\"", 0, 0, 0, 0 },
		{ "\"0-10\"", 0, 0, 0, 0 },
		{ "\"80 \"", 0, 0, 0, 0 },
		{ "\" 80\"", 0, 0, 0, 0 },
		{ "\"1-2-3\"", 0, 0, 0, 0 },
		{ "\"99999999999999999999\"", 0, 0, 0, 0 },
		{ "null", 0, 0, 0, 0 },
		{ "[80]", 0, 0, 0, 0 },
		{ "true", 0, 0, 0, 0 },
		{ "{}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"protocol\":\"icmp\"}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"protocol\":1}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[]}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":\"10.0.0.0/8\"}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[\"10.0.0.0/33\"]}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[\"10.0.0\"]}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[\"::/129\"]}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[\"10.0.0.0/\"]}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[\"10.0.0.0/8; reboot\"]}", 0, 0, 0, 0 },
		{ "{\"port\":53,\"from\":[5]}", 0, 0, 0, 0 },
	};

	for (size_t i = 0; i < MEM_COUNT(cases); i++) {
		json_auto_t *value = json(cases[i].text);
		struct err e = ERR_INIT;
		struct intent_port port;
		int r = intent_parse_port(value, &port, &e);

		if (cases[i].first == 0)
			ok(r < 0 && e.class == ERR_DATA, "no port: %s", cases[i].text);
		else
			ok(r == 0 && port.first == cases[i].first && port.last == cases[i].last &&
				(int)port.proto == cases[i].proto && port.from.n == cases[i].from,
			    "a port: %s", cases[i].text);
		strv_release(&port.from);
	}
}

int
main(void)
{
	test_deploy_config();
	test_deploy_config_values();
	test_service();
	test_health_check();
	test_health_check_rest();
	test_health_check_port();
	test_service_values();
	test_env();
	test_env_size();
	test_ports();
	return done();
}
