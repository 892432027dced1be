#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "lib/base/log.h"

#define ADMIN_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const struct cmd cmds[] = {
	{ "converge", "AGENT [option ...]", "make this node match its intent", cmd_converge },
	{ "intent", "get|set|diff|apply|history|rollback ...", "read and edit the intent",
	    cmd_intent },
	{ "status", "[APP[/CLUSTER] ...]", "intent and reality side by side", cmd_status },
	{ "direct", "APP VERSION --basedir=DIR --repo=URL", "deploy without a store (kickstart)",
	    cmd_direct },
	{ "disable", "AGENT [-m MESSAGE]", "keep an agent from running on this node", cmd_disable },
	{ "enable", "AGENT", "let it run again", cmd_enable },
	{ "help", "[COMMAND]", "print this, or a command's usage", cmd_help },
	{ 0 },
};

static const struct cmd *
find_cmd(const char *name)
{
	for (size_t i = 0; cmds[i].name != NULL; i++)
		if (strcmp(cmds[i].name, name) == 0)
			return &cmds[i];
	return NULL;
}

int
cmd_fail(const char *what, const struct err *e)
{
	char safe[sizeof e->msg];

	log_escape(safe, sizeof safe, e->msg);
	(void)fflush(stdout);
	(void)fprintf(stderr, "pp %s: %s\n", what, safe);
	return err_exit_code(e);
}

int
cmd_usage(const char *line, const struct setting *const *tables)
{
	AUTO_BUF struct buf out = { 0 };

	for (size_t i = 0; tables[i] != NULL; i++)
		settings_usage(tables[i], &out);
	printf("usage: pp %s\n\n%s", line, out.data ? out.data : "");
	return 0;
}

static void
print_commands(FILE *out)
{
	(void)fprintf(out, "usage: pp COMMAND [argument ...]\n\n");
	for (size_t i = 0; cmds[i].name != NULL; i++)
		(void)fprintf(out, "  %-9s %-40s %s\n", cmds[i].name, cmds[i].arguments,
		    cmds[i].summary);
	(void)fprintf(out, "\nAgents:\n");
	for (size_t i = 0; agents[i] != NULL; i++)
		(void)fprintf(out, "  %-9s %s\n", agents[i]->name, agents[i]->summary);
	(void)fprintf(out,
	    "\nThe manual: pp(1), pp-converge(1), pp-intent(1), pp-status(1), "
	    "pp.conf(5), pp-store(7).\n");
}

int
cmd_help(int argc, char **argv)
{
	char help[] = "--help";
	char *args[] = { argc > 1 ? argv[1] : argv[0], help, NULL };
	const struct cmd *cmd = argc > 1 ? find_cmd(argv[1]) : NULL;

	if (cmd != NULL && cmd->run != cmd_help)
		return cmd->run(2, args);
	if (argc > 1 && cmd == NULL) {
		(void)fprintf(stderr, "pp help: no such command: %s; pp help lists them\n",
		    argv[1]);
		return EX_USAGE;
	}
	print_commands(stdout);
	return 0;
}

/* stdin, stdout and stderr are open, whoever started pp: no file of ours becomes one of them. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

/* cron's PATH leaves out where visudo and iptables are. */
static void
widen_path(void)
{
	const char *path = getenv("PATH");
	AUTO_FREE char *wide = path != NULL && path[0] != '\0' ?
	    xasprintf("%s:%s", path, ADMIN_PATH) :
	    xstrdup(ADMIN_PATH);

	(void)setenv("PATH", wide, 1);
}

static int
dispatch(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];
	const struct cmd *cmd;

	if (strncmp(name, "pp-", 3) == 0 && agent_find(name + 3) != NULL)
		return cmd_converge_as(name + 3, argc, argv);
	if (argc < 2) {
		print_commands(stderr);
		return EX_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("pp %s\n", PP_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help(1, argv);
	cmd = find_cmd(argv[1]);
	if (cmd == NULL) {
		(void)fprintf(stderr, "pp: no such command: %s; pp help lists them\n", argv[1]);
		return EX_USAGE;
	}
	return cmd->run(argc - 1, argv + 1);
}

int
main(int argc, char **argv)
{
	int code;

	fill_standard_descriptors();
	if (argc < 1)
		return EX_USAGE;
	widen_path();
	(void)umask(022);
	(void)signal(SIGPIPE, SIG_IGN);
	code = dispatch(argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		(void)fprintf(stderr, "pp: write to stdout: %m\n");
		return code != 0 ? code : EX_IOERR;
	}
	return code;
}
