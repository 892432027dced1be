/*
 * The user an app runs as.
 */
#ifndef PP_USER_H
#define PP_USER_H

#include <sys/types.h>

#include "lib/base/err.h"

/** A format for the error: the user's name, twice. */
#define USER_MISSING \
	"runas %s: there is no such user; make it with: useradd --system %s, or let the preparer " \
	"do it by --create-users"

struct user {
	char name[128];
	uid_t uid;
	gid_t gid;
	int self; /* it is the user that pp runs as: nothing to switch */
};

/**
 * The user for an app: `runas` where it is stated, else a user of the app's name, else whoever runs
 * pp. Who is not root can only be himself.
 * Returns: 0; -1 with *e set when runas names a user that is not there.
 */
int user_of_app(const char *runas, const char *app, struct user *u, struct err *e);

/** Is there a user of that name? Returns: 1 or 0; -1 with *e set where that cannot be told. */
int user_exists(const char *name, struct err *e);

/** Make a system user, with a group of its name, by useradd(8). */
int user_create(const char *name, struct err *e);

#endif
