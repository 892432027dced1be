/*
 * The user an app runs as.
 */
#ifndef PP_USER_H
#define PP_USER_H

#include <sys/types.h>

#include "lib/base/err.h"

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

#endif
