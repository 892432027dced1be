#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

int(err_set)(struct err *e, enum err_class class, const char *fmt, ...)
{
	va_list ap;

	e->class = class;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	return -1;
}

int(err_sys)(struct err *e, const char *fmt, ...)
{
	char what[sizeof e->msg / 2];
	int number = errno;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	e->class = number == EACCES || number == EPERM || number == EROFS ? ERR_PERM : ERR_FAIL;
	(void)snprintf(e->msg, sizeof e->msg, "%s: %s", what, strerror(number));
	errno = number;
	return -1;
}

int(err_wrap)(struct err *e, const char *fmt, ...)
{
	char context[sizeof e->msg / 4], inner[sizeof e->msg];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(context, sizeof context, fmt, ap);
	va_end(ap);
	memcpy(inner, e->msg, sizeof inner);
	(void)snprintf(e->msg, sizeof e->msg, "%s: %.*s", context,
	    (int)(sizeof e->msg - strlen(context) - 3), inner);
	return -1;
}

int
err_exit_code(const struct err *e)
{
	switch (e->class) {
	case ERR_NONE:
		return 0;
	case ERR_FAIL:
		return 1;
	case ERR_USAGE:
		return EX_USAGE;
	case ERR_DATA:
		return EX_DATAERR;
	case ERR_STORE:
		return EX_UNAVAILABLE;
	case ERR_BUSY:
		return EX_TEMPFAIL;
	case ERR_PERM:
		return EX_NOPERM;
	case ERR_CONFIG:
		return EX_CONFIG;
	}
	return 1;
}
