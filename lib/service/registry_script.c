#include "lib/service/registry_script.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ENV_PROGRAM "/usr/bin/env"
#define SETPRIV_PROGRAM "/usr/bin/setpriv"
#define LISTENING 0x0a /* TCP_LISTEN, as /proc/net/tcp has it */

static int
is_public(const char *assignment)
{
	static const char *const names[] = { "PP_APP=", "PP_VERSION=", "PP_CLUSTER=", "PP_NODE=",
		"PP_USER_CONFIG=", "PORT=", "PATH=", "HOME=", "USER=", "LOGNAME=", "SHELL=",
		"LANG=", "LC_ALL=", "TZ=" };

	for (size_t i = 0; i < MEM_COUNT(names); i++)
		if (strncmp(assignment, names[i], strlen(names[i])) == 0)
			return 1;
	return 0;
}

int
registry_script_env(const struct health_check *check, struct strv *env)
{
	for (size_t i = 0; i < check->env.n; i++)
		if (!is_public(check->env.items[i]))
			return 0;
	for (size_t i = 0; i < check->env.n; i++)
		strv_add(env, xstrdup(check->env.items[i]));
	return 1;
}

/* Who listens on the port, by one of the kernel's tables. Returns: how many different users do. */
static int
listeners(const char *table, unsigned port, uid_t *uid, int found)
{
	FILE *f = fopen(table, "re");
	char line[512];

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		unsigned at, state;
		unsigned long owner;

		/* sl local rem st tx:rx tr:when retrnsmt uid */
		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %lu",
			&at, &state, &owner) != 3 ||
		    state != LISTENING || at != port)
			continue;
		if (found == 0 || *uid != (uid_t)owner)
			found++;
		*uid = (uid_t)owner;
	}
	if (f != NULL)
		(void)fclose(f);
	return found;
}

static int
peer_of_socket(const char *path, uid_t *uid)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t len = sizeof peer;

	if (fd < 0 || strlen(path) >= sizeof at.sun_path)
		return 0;
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	*uid = peer.uid;
	return 1;
}

int
registry_script_agent(const char *url, uid_t *uid)
{
	static const char *const hosts[] = { "127.0.0.1:", "localhost:", "[::1]:" };
	const char *at = strstr(url, "://");
	int found = 0;

	if (strncmp(url, "consul unix://", strlen("consul unix://")) == 0)
		return peer_of_socket(url + strlen("consul unix://"), uid);
	for (size_t i = 0; at != NULL && i < MEM_COUNT(hosts); i++) {
		unsigned port;

		if (strncmp(at + 3, hosts[i], strlen(hosts[i])) != 0 ||
		    sscanf(at + 3 + strlen(hosts[i]), "%5u", &port) != 1)
			continue;
		found = listeners("/proc/self/net/tcp", port, uid, 0);
		found = listeners("/proc/self/net/tcp6", port, uid, found);
	}
	return found == 1;
}

int
registry_script_command(const struct health_check *check, uid_t agent, struct strv *argv)
{
	AUTO_STRV struct strv env = { 0 };

	if ((agent != 0 && agent != check->user.uid) || !registry_script_env(check, &env) ||
	    access(ENV_PROGRAM, X_OK) < 0)
		return 0;
	if (agent != check->user.uid) {
		if (access(SETPRIV_PROGRAM, X_OK) < 0)
			return 0;
		strv_add(argv, xstrdup(SETPRIV_PROGRAM));
		strv_add(argv, xasprintf("--reuid=%lu", (unsigned long)check->user.uid));
		strv_add(argv, xasprintf("--regid=%lu", (unsigned long)check->user.gid));
		strv_add(argv, xstrdup("--init-groups"));
		strv_add(argv, xstrdup("--inh-caps=-all"));
		strv_add(argv, xstrdup("--"));
	}
	strv_add(argv, xstrdup(ENV_PROGRAM));
	strv_add(argv, xstrdup("-i"));
	strv_add(argv, xasprintf("--chdir=%s", check->cwd));
	for (size_t i = 0; i < env.n; i++)
		strv_add(argv, xstrdup(env.items[i]));
	for (size_t i = 0; i < check->argv.n; i++)
		strv_add(argv, xstrdup(check->argv.items[i]));
	return 1;
}
