/*
 * The commands. One table drives dispatch, usage and help; each command is one file here.
 */
#ifndef PP_CMD_H
#define PP_CMD_H

#include "lib/agent/agent.h"
#include "lib/base/err.h"
#include "lib/base/settings.h"

struct cmd {
	const char *name, *arguments, *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit code */
};

/** All commands; ends with a NULL name. */
extern const struct cmd cmds[];

int cmd_converge(int argc, char **argv);
int cmd_intent(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_direct(int argc, char **argv);
int cmd_disable(int argc, char **argv);
int cmd_enable(int argc, char **argv);
int cmd_help(int argc, char **argv);

/**
 * One agent's converge as the prototype's program of its own took it: single-dash long flags, and
 * as talkative as that was.
 */
int cmd_converge_as(const char *agent, int argc, char **argv);

/** Print an error, once, as "pp WHAT: message". Returns: its exit code. */
int cmd_fail(const char *what, const struct err *e);

/** Print usage of a command and of its tables of settings (up to a NULL). Returns: 0. */
int cmd_usage(const char *line, const struct setting *const *tables);

#endif
