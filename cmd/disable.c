/*
 * pp disable, pp enable: keep an agent from running on this node, by hand and with a reason.
 */
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

static const struct setting disable_settings[] = {
	{ "message", 'm', SETTING_TEXT, SETTING_FLAG_ONLY, "TEXT", "why, for those who find it" },
	{ 0 },
};

static int
change(const struct settings *settings, const struct strv *operands, int disable, struct err *e)
{
	const char *given = settings_text(settings, "message"), *dir;
	const char *who = getenv("SUDO_USER");
	const struct passwd *pw = getpwuid(getuid());
	AUTO_FREE char *path = NULL, *message = NULL;
	struct state state = { .dir = -1 };
	int r;

	if (operands->n != 1 || agent_find(operands->items[0]) == NULL)
		return err_set(e, ERR_USAGE, "name one agent; pp help lists them");
	dir = settings_text(settings, "state-dir");
	path = dir != NULL ? xstrdup(dir) : state_default_path(e);
	if (path == NULL)
		return -1;
	message = xasprintf("%s (by %s)", given != NULL ? given : "no reason given",
	    who != NULL    ? who :
		pw != NULL ? pw->pw_name :
			     "unknown");
	r = state_open(&state, path, 1, e);
	if (r == 0)
		r = state_set_disabled(&state, operands->items[0], disable ? message : NULL, e);
	state_release(&state);
	return r;
}

static int
run(const char *name, int disable, int argc, char **argv)
{
	const struct setting *tables[] = { disable_settings, pass_settings, NULL };
	AUTO_STRV struct strv operands = { 0 };
	struct settings settings = { 0 };
	struct err e = ERR_INIT;
	int r;

	settings_add(&settings, disable_settings);
	settings_add(&settings, pass_settings);
	r = settings_parse(&settings, argc, argv, 0, &operands, &e);
	if (r == 0 && settings_flag(&settings, "help")) {
		settings_release(&settings);
		return cmd_usage(disable ? "disable AGENT [-m MESSAGE]" : "enable AGENT", tables);
	}
	if (r == 0)
		r = agent_load_settings(&settings, NULL, &e);
	if (r == 0)
		r = change(&settings, &operands, disable, &e);
	settings_release(&settings);
	return r < 0 ? cmd_fail(name, &e) : 0;
}

int
cmd_disable(int argc, char **argv)
{
	return run("disable", 1, argc, argv);
}

int
cmd_enable(int argc, char **argv)
{
	return run("enable", 0, argc, argv);
}
