#include "lib/sys/user.h"

#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/sys/run.h"

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

/* getpwnam() found nobody: because there is nobody, or because it could not be told? */
static int
was_looked_up(const char *name, struct err *e)
{
	return errno == 0 || errno == ENOENT || errno == ESRCH ?
	    0 :
	    err_sys(e, "look up the user %s", name);
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
	if (pw == NULL && was_looked_up(name, e) < 0)
		return -1;
	if (pw == NULL && runas != NULL)
		return err_set(e, ERR_FAIL, USER_MISSING, runas, runas);
	if (pw == NULL)
		return 0;
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->self = pw->pw_uid == geteuid();
	(void)strlcpy(u->name, name, sizeof u->name);
	return 0;
}

int
user_exists(const char *name, struct err *e)
{
	errno = 0;
	if (getpwnam(name) != NULL)
		return 1;
	return was_looked_up(name, e) < 0 ? -1 : 0;
}

int
user_create(const char *name, struct err *e)
{
	const char *const own[] = { "useradd", "--system", "--user-group", name, NULL };
	const char *const shared[] = { "useradd", "--system", "--gid", name, name, NULL };
	struct run run = { .argv = getgrnam(name) != NULL ? shared : own };

	return run_checked(&run, e);
}
