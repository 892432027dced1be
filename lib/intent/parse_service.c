#include <ctype.h>
#include <string.h>

#include "lib/base/size.h"
#include "lib/intent/parse.h"

#define PATH_BYTES_MAX 1024 /* of a URL's path, of a program's */
#define WORDS_MAX 64        /* of a command: the program and its arguments */
#define WORD_BYTES_MAX 4096

#define INTERVAL_MIN_MS 1000
#define INTERVAL_MAX_MS 3600000
#define TIMEOUT_MIN_MS 100

#define NOFILE_MAX (INT64_C(1) << 30)
#define TASKS_MAX (INT64_C(1) << 22) /* more process ids a kernel does not have */
#define MEMORY_MIN (UINT64_C(1) << 20)
#define MEMORY_MAX (UINT64_C(1) << 50)

#define ENV_MAX 256
#define ENV_NAME_MAX 128
#define ENV_VALUE_MAX ((size_t)32 * 1024)
#define ENV_BYTES_MAX ((size_t)256 * 1024) /* all of it, as "NAME=value" with its NUL */

/* A part that pp does not know would be one that is silently of no effect: a limit that is none. */
static int
refuse_unknown(const json_t *object, const char *field, const char *const *names, struct err *e)
{
	const json_t *value;
	const char *name;

	json_object_foreach((json_t *)object, name, value) {
		AUTO_BUF struct buf known = { 0 };
		size_t i;

		for (i = 0; names[i] != NULL && strcmp(names[i], name) != 0; i++)
			buf_printf(&known, "%s%s",
			    i == 0           ? "" :
				names[i + 1] ? ", " :
					       " and ",
			    names[i]);
		if (names[i] == NULL)
			return err_set(e, ERR_DATA, "%s.%s: there is no such part; there are %s",
			    field, name, known.data);
	}
	return 0;
}

/* ---- check ---- */

static int
is_printable(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return 0;
	return 1;
}

/* Is there a control character in it, other than a tab? */
static int
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s) && *s != '\t')
			return 1;
	return 0;
}

/* The first port stands in where none is named; it has to be one that TCP can reach. */
static int
check_first_port(const struct intent_app *app, const char *kind, const char *remedy, struct err *e)
{
	if (app->check.port != 0)
		return 0;
	if (app->nports == 0)
		return err_set(e, ERR_DATA, "check.%s: there are no ports to ask; %s, or set ports",
		    kind, remedy);
	if (app->ports[0].proto != INTENT_TCP)
		return err_set(e, ERR_DATA, "check.%s: the first port, %u, is not TCP; %s", kind,
		    app->ports[0].first, remedy);
	return 0;
}

static int
take_http(const json_t *check, struct intent_app *app, struct err *e)
{
	const char *path = json_string_value(json_object_get(check, "http"));
	json_int_t port = 0;

	if (path == NULL || path[0] != '/' || strlen(path) > PATH_BYTES_MAX || !is_printable(path))
		return err_set(e, ERR_DATA,
		    "check.http: it must be the path of a URL, like \"/health\": at most %d "
		    "printable ASCII characters, no spaces",
		    PATH_BYTES_MAX);
	if (parse_whole(json_object_get(check, "port"), "check.port", 1, 65535, &port, e) < 0)
		return -1;
	app->check.kind = INTENT_CHECK_HTTP;
	app->check.path = xstrdup(path);
	app->check.port = (uint16_t)port;
	return check_first_port(app, "http", "name one by check.port", e);
}

static int
take_tcp(const json_t *check, struct intent_app *app, struct err *e)
{
	const json_t *value = json_object_get(check, "tcp");
	json_int_t port = json_integer_value(value);

	if (!json_is_true(value) && (!json_is_integer(value) || port < 1 || port > 65535))
		return err_set(e, ERR_DATA,
		    "check.tcp: it must be a port, 1 to 65535, or true for the app's first one");
	app->check.kind = INTENT_CHECK_TCP;
	app->check.port = json_is_true(value) ? 0 : (uint16_t)port;
	return check_first_port(app, "tcp", "name one, like 8080", e);
}

/* Clean: neither an empty part, nor one that leads up or nowhere. */
static int
is_program(const char *path)
{
	AUTO_STRV struct strv parts = { 0 };

	if (strlen(path) > PATH_BYTES_MAX || !is_printable(path))
		return 0;
	strv_split(&parts, path[0] == '/' ? path + 1 : path, '/');
	for (size_t i = 0; i < parts.n; i++)
		if (parts.items[i][0] == '\0' || strcmp(parts.items[i], ".") == 0 ||
		    strcmp(parts.items[i], "..") == 0)
			return 0;
	return 1;
}

static int
take_exec(const json_t *check, struct intent_app *app, struct err *e)
{
	const json_t *value = json_object_get(check, "exec"), *word;
	json_auto_t *list =
	    json_is_array(value) ? json_incref((json_t *)value) : json_pack("[O]", value);
	size_t i;

	if (json_array_size(list) == 0 || json_array_size(list) > WORDS_MAX)
		return err_set(e, ERR_DATA,
		    "check.exec: it must be a program, like \"bin/mine\", or a list of a program "
		    "and its arguments, at most %d words",
		    WORDS_MAX);
	json_array_foreach(list, i, word) {
		const char *text = json_string_value(word);

		if (i == 0 && (text == NULL || !is_program(text)))
			return err_set(e, ERR_DATA,
			    "check.exec: the program must be a path below the install, like "
			    "\"bin/mine\", or an absolute one, without .., // and spaces; "
			    "arguments go into a list, [\"bin/mine\", \"-q\"]");
		if (text == NULL || strlen(text) > WORD_BYTES_MAX || has_control(text))
			return err_set(e, ERR_DATA,
			    "check.exec[%zu]: it must be text of at most %d bytes without control "
			    "characters",
			    i, WORD_BYTES_MAX);
		strv_add(&app->check.argv, xstrdup(text));
	}
	app->check.kind = INTENT_CHECK_EXEC;
	return 0;
}

/* An answer that may take longer than until the next question would never be waited for. */
static int
take_check_times(const json_t *value, struct intent_check *check, struct err *e)
{
	const json_t *timeout = json_object_get(value, "timeout");

	if (parse_duration(json_object_get(value, "interval"), "check.interval",
		&check->interval_ms, e) < 0)
		return -1;
	if (check->interval_ms < INTERVAL_MIN_MS || check->interval_ms > INTERVAL_MAX_MS)
		return err_set(e, ERR_DATA, "check.interval: it must be from 1 s to 1 h");
	if (check->timeout_ms > check->interval_ms)
		check->timeout_ms = check->interval_ms;
	if (parse_duration(timeout, "check.timeout", &check->timeout_ms, e) < 0)
		return -1;
	if (check->timeout_ms < TIMEOUT_MIN_MS || check->timeout_ms > check->interval_ms)
		return err_set(e, ERR_DATA,
		    "check.timeout: it must be from 100 ms to the interval, which is %g s",
		    (double)check->interval_ms / 1000);
	return 0;
}

static int
take_check(const json_t *doc, struct intent_app *app, struct err *e)
{
	static const char *const parts[] = { "http", "tcp", "exec", "port", "interval", "timeout",
		NULL };
	static const struct {
		const char *name;
		int (*take)(const json_t *, struct intent_app *, struct err *);
	} kinds[] = { { "http", take_http }, { "tcp", take_tcp }, { "exec", take_exec } };
	const json_t *check = json_object_get(doc, "check");
	size_t found = MEM_COUNT(kinds);

	app->check.interval_ms = INTENT_CHECK_INTERVAL_MS;
	app->check.timeout_ms = INTENT_CHECK_TIMEOUT_MS;
	if (check == NULL)
		return 0;
	if (!json_is_object(check))
		return err_set(e, ERR_DATA,
		    "check: it must be an object, like {\"http\": \"/health\"}");
	if (refuse_unknown(check, "check", parts, e) < 0)
		return -1;
	for (size_t i = 0; i < MEM_COUNT(kinds); i++) {
		if (json_object_get(check, kinds[i].name) == NULL)
			continue;
		if (found < MEM_COUNT(kinds))
			return err_set(e, ERR_DATA,
			    "check: it has both %s and %s; remove one of them", kinds[found].name,
			    kinds[i].name);
		found = i;
	}
	if (found == MEM_COUNT(kinds))
		return err_set(e, ERR_DATA,
		    "check: it must have one of http, tcp and exec, like {\"http\": \"/health\"}; "
		    "without any, remove check as a whole");
	if (json_object_get(check, "port") != NULL && kinds[found].take != take_http)
		return err_set(e, ERR_DATA,
		    "check.port: that is for http; for tcp write the port itself, {\"tcp\": 8080}");
	if (kinds[found].take(check, app, e) < 0)
		return -1;
	return take_check_times(check, &app->check, e);
}

/* ---- limits ---- */

static int
take_memory(const json_t *value, uint64_t *bytes, struct err *e)
{
	json_int_t n = json_integer_value(value);

	if (value == NULL)
		return 0;
	if (json_is_string(value)) {
		if (size_parse(json_string_value(value), bytes, e) < 0)
			return err_wrap(e, "limits.memory");
	} else {
		*bytes = json_is_integer(value) && n > 0 ? (uint64_t)n : 0;
	}
	if (*bytes < MEMORY_MIN || *bytes > MEMORY_MAX)
		return err_set(e, ERR_DATA,
		    "limits.memory: it must be from 1M to 1024T, like \"512M\" or a number of "
		    "bytes");
	return 0;
}

/* Rounded up: a limit of whole seconds is what there is. */
static int
take_cpu(const json_t *value, uint64_t *seconds, struct err *e)
{
	int64_t ms = 0;

	if (value == NULL)
		return 0;
	if (parse_duration(value, "limits.cpu", &ms, e) < 0)
		return -1;
	if (ms < 1000)
		return err_set(e, ERR_DATA,
		    "limits.cpu: it must be at least 1 s; it is CPU time, like 3600 or \"1h\"");
	*seconds = (uint64_t)(ms + 999) / 1000;
	return 0;
}

static int
take_limits(const json_t *doc, struct intent_app *app, struct err *e)
{
	static const char *const parts[] = { "nofile", "memory", "cpu", "tasks", NULL };
	const json_t *limits = json_object_get(doc, "limits");
	json_int_t nofile = 0, tasks = 0;

	if (limits == NULL)
		return 0;
	if (!json_is_object(limits))
		return err_set(e, ERR_DATA,
		    "limits: it must be an object, like {\"nofile\": 4096, \"memory\": \"512M\"}");
	if (refuse_unknown(limits, "limits", parts, e) < 0 ||
	    parse_whole(json_object_get(limits, "nofile"), "limits.nofile", 1, NOFILE_MAX, &nofile,
		e) < 0 ||
	    parse_whole(json_object_get(limits, "tasks"), "limits.tasks", 1, TASKS_MAX, &tasks, e) <
		0 ||
	    take_memory(json_object_get(limits, "memory"), &app->limits.memory, e) < 0 ||
	    take_cpu(json_object_get(limits, "cpu"), &app->limits.cpu_seconds, e) < 0)
		return -1;
	app->limits.nofile = (uint64_t)nofile;
	app->limits.tasks = (uint64_t)tasks;
	return 0;
}

/* ---- env ---- */

static int
is_env_name(const char *name)
{
	size_t n;

	if (isdigit((unsigned char)name[0]))
		return 0;
	for (n = 0; name[n] != '\0'; n++)
		if (!isalnum((unsigned char)name[n]) && name[n] != '_')
			return 0;
	return n >= 1 && n <= ENV_NAME_MAX;
}

/* Whose a name is that nobody else may set; NULL where it is free. */
static const char *
env_owner(const char *name)
{
	/* What a shell sets for itself, some of it read-only; a service may be started through one. */
	static const char *const shell[] = { "_", "PWD", "OLDPWD", "SHLVL", "PPID", "UID", "EUID",
		"SHELLOPTS", "BASHOPTS", NULL };
	/* How systemd talks to a service; a lie would be believed. */
	static const char *const systemd[] = { "NOTIFY_SOCKET", "MAINPID", "LISTEN_FDS",
		"LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID",
		"JOURNAL_STREAM", NULL };

	if (strncmp(name, "PP_", 3) == 0 || strcmp(name, "PORT") == 0)
		return "pp";
	for (size_t i = 0; shell[i] != NULL; i++)
		if (strcmp(name, shell[i]) == 0)
			return "the shell";
	for (size_t i = 0; systemd[i] != NULL; i++)
		if (strcmp(name, systemd[i]) == 0)
			return "systemd";
	return NULL;
}

/* The value is in no message: it may be a secret. */
static int
check_variable(const char *name, const json_t *value, struct err *e)
{
	const char *text = json_string_value(value), *owner = env_owner(name);

	if (!is_env_name(name))
		return err_set(e, ERR_DATA,
		    "env.%s: that is no name of a variable; use at most %d letters, digits and _, "
		    "no digit first",
		    name, ENV_NAME_MAX);
	if (owner != NULL)
		return err_set(e, ERR_DATA,
		    "env.%s: that variable is set by %s; choose another name", name, owner);
	if (text == NULL)
		return err_set(e, ERR_DATA, "env.%s: it must be text; write numbers in quotes",
		    name);
	if (has_control(text))
		return err_set(e, ERR_DATA,
		    "env.%s: the value holds a control character, such as a newline; put what needs "
		    "one into user_config",
		    name);
	if (strlen(text) > ENV_VALUE_MAX)
		return err_set(e, ERR_DATA, "env.%s: the value is longer than %zu bytes", name,
		    ENV_VALUE_MAX);
	return 0;
}

static int
take_env(const json_t *doc, struct intent_app *app, struct err *e)
{
	const json_t *env = json_object_get(doc, "env"), *value;
	size_t bytes = 0;
	const char *name;

	if (env == NULL)
		return 0;
	if (!json_is_object(env) || json_object_size(env) > ENV_MAX)
		return err_set(e, ERR_DATA,
		    "env: it must be an object of at most %d variables, like {\"LANG\": "
		    "\"C.UTF-8\"}",
		    ENV_MAX);
	json_object_foreach((json_t *)env, name, value) {
		if (check_variable(name, value, e) < 0)
			return -1;
		bytes += strlen(name) + json_string_length(value) + 2;
		strv_add(&app->env, xasprintf("%s=%s", name, json_string_value(value)));
	}
	if (bytes > ENV_BYTES_MAX)
		return err_set(e, ERR_DATA,
		    "env: all of it is larger than %zu bytes; put what is large into user_config",
		    ENV_BYTES_MAX);
	strv_sort(&app->env);
	return 0;
}

int
parse_service(const json_t *doc, struct intent_app *app, struct err *e)
{
	static const char *const ways[] = { "auto", "never", NULL };
	size_t way = 0;

	if (parse_choice(doc, "restart", ways, &way, e) < 0)
		return -1;
	app->restart_never = way != 0;
	if (take_check(doc, app, e) < 0 || take_limits(doc, app, e) < 0)
		return -1;
	return take_env(doc, app, e);
}
