#include "lib/sys/user.h"

#include <bsd/string.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

static void
be_self(struct user *u)
{
	const struct passwd *pw = getpwuid(geteuid());

	*u = (struct user){ .uid = geteuid(), .gid = getegid(), .self = 1 };
	if (pw != NULL)
		(void)strlcpy(u->name, pw->pw_name, sizeof u->name);
	else
		(void)snprintf(u->name, sizeof u->name, "%lu", (unsigned long)u->uid);
}

int
user_of_app(const char *runas, const char *app, struct user *u, struct err *e)
{
	const char *name = runas != NULL ? runas : app;
	const struct passwd *pw;

	be_self(u);
	if (geteuid() != 0)
		return 0;
	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL && runas != NULL)
		return err_set(e, ERR_FAIL,
		    "runas %s: there is no such user; make it with: useradd --system %s", runas,
		    runas);
	if (pw == NULL)
		return 0;
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->self = pw->pw_uid == geteuid();
	(void)strlcpy(u->name, name, sizeof u->name);
	return 0;
}
