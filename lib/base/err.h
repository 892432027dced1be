/*
 * Errors: a class that becomes the exit code, and one line for a person.
 *
 * A fallible function returns 0 or -1 and takes a `struct err *` last. The error is set where it
 * happens, callers add context with err_wrap(), and only cmd/ prints it. There is nothing to free.
 */
#ifndef PP_ERR_H
#define PP_ERR_H

enum err_class {
	ERR_NONE = 0,
	ERR_FAIL,   /* an operation on this node failed */
	ERR_USAGE,  /* the command line is wrong */
	ERR_DATA,   /* a document or an artifact is wrong */
	ERR_STORE,  /* the store cannot be read, or what it says cannot be believed */
	ERR_BUSY,   /* another run is at it, or a compare-and-set was lost: try again */
	ERR_PERM,   /* not permitted, by the kernel or by the store */
	ERR_CONFIG, /* pp.conf, the environment or a flag's value is wrong */
};

struct err {
	enum err_class class;
	char msg[2048];
};

#define ERR_INIT \
	{ \
		ERR_NONE, "" \
	}

/**
 * Set *e. Returns: -1, so that a caller can `return err_set(...)`.
 */
int err_set(struct err *e, enum err_class class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Set *e from errno: "what: reason". EACCES, EPERM and EROFS become ERR_PERM, all else ERR_FAIL.
 * Returns: -1, with errno as it was.
 */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * Put context in front of the message of *e: "context: message". The class stays.
 * Returns: -1.
 */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * The exit code for an error of this class: sysexits(3) numbers, 1 for ERR_FAIL, 0 for ERR_NONE.
 */
int err_exit_code(const struct err *e);

/* The static analyzer sees one file at a time: tell it what these return. */
#ifdef __clang_analyzer__
#define err_set(...) ((err_set)(__VA_ARGS__), -1)
#define err_sys(...) ((err_sys)(__VA_ARGS__), -1)
#define err_wrap(...) ((err_wrap)(__VA_ARGS__), -1)
#endif

#endif
