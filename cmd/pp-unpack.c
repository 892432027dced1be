/*
 * pp-unpack: verify the artifact on stdin and unpack it into the current directory, which is empty; or
 * compare an install with its list, or let one share the files of another.
 * pp runs it, as a program of its own so that nothing else has to load libarchive and libcrypto, and
 * so that what reads the bytes of strangers may do next to nothing.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <locale.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack.h"
#include "lib/artifact/unpack_check.h"
#include "lib/artifact/unpack_lease.h"
#include "lib/artifact/unpack_minisign.h"
#include "lib/artifact/unpack_share.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/sandbox.h"

static const char usage[] =
    "usage: pp-unpack [--check | --share=DIRFD] [option ...] < ARTIFACT, as pp-unpack(8) has it";

/* Enough for a path of 4095 bytes, each directory on the way open. */
#define OPEN_FILES 2112
/* Twice what it takes with the largest window. */
#define MEMORY_BYTES (UINT64_C(64) << 20)
/* A list may be longer than all files together may be. */
#define FILE_BYTES_MIN (UINT64_C(4) << 30)

struct command {
	struct unpack_options o;
	int64_t uid, gid; /* -1: not given */
	int list;         /* descriptors, or -1 */
	int signature;
	const char *name, *keys; /* what the signature has to be for, and whose it may be */
	int verbose;
	int check;
	struct unpack_share share; /* .old_root -1: not asked for */
};

enum {
	OPTION_SHA256,
	OPTION_SIGNATURE,
	OPTION_NAME,
	OPTION_KEYS,
	OPTION_LIST,
	OPTION_UID,
	OPTION_GID,
	OPTION_MAX_SIZE,
	OPTION_MAX_FILES,
	OPTION_MAX_RATIO,
	OPTION_ROOM,
	OPTION_START_SYNC,
	OPTION_VERBOSE,
	OPTION_CHECK,
	OPTION_SHARE,
	OPTION_SHARE_LIST,
	OPTION_LINK,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{ "sha256", required_argument, NULL, OPTION_SHA256 },
	{ "signature", required_argument, NULL, OPTION_SIGNATURE },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "keys", required_argument, NULL, OPTION_KEYS },
	{ "list", required_argument, NULL, OPTION_LIST },
	{ "uid", required_argument, NULL, OPTION_UID },
	{ "gid", required_argument, NULL, OPTION_GID },
	{ "max-size", required_argument, NULL, OPTION_MAX_SIZE },
	{ "max-files", required_argument, NULL, OPTION_MAX_FILES },
	{ "max-ratio", required_argument, NULL, OPTION_MAX_RATIO },
	{ "room", required_argument, NULL, OPTION_ROOM },
	{ "start-sync", no_argument, NULL, OPTION_START_SYNC },
	{ "verbose", no_argument, NULL, OPTION_VERBOSE },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "share", required_argument, NULL, OPTION_SHARE },
	{ "share-list", required_argument, NULL, OPTION_SHARE_LIST },
	{ "link", no_argument, NULL, OPTION_LINK },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static int
parse_number(const char *name, uint64_t min, uint64_t max, uint64_t *value, struct err *e)
{
	unsigned long long n;
	char shown[64];
	char *end;

	errno = 0;
	n = strtoull(optarg, &end, 10);
	if (!isdigit((unsigned char)optarg[0]) || *end != '\0' || errno != 0 || n < min ||
	    n > max) {
		log_escape(shown, sizeof shown, optarg);
		return err_set(e, ERR_USAGE, "--%s: \"%s\" is not a number that fits", name, shown);
	}
	*value = n;
	return 0;
}

/* A user or a group. The last number means "no change" to chown(2). */
static int
parse_id(const char *name, int64_t *id, struct err *e)
{
	uint64_t n = 0;

	if (parse_number(name, 0, UINT32_MAX - 1, &n, e) < 0)
		return -1;
	*id = (int64_t)n;
	return 0;
}

static int
parse_descriptor(const char *name, int *fd, struct err *e)
{
	uint64_t n = 0;

	if (parse_number(name, 3, INT32_MAX, &n, e) < 0)
		return -1;
	if (fcntl((int)n, F_GETFD) < 0)
		return err_set(e, ERR_USAGE, "--%s: descriptor %d is not open", name, (int)n);
	*fd = (int)n;
	return 0;
}

static int
check_sha256(const char *text, struct err *e)
{
	if (strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64)
		return 0;
	return err_set(e, ERR_USAGE, "--sha256 takes 64 hex digits");
}

static int
take_option(struct command *c, int option, struct err *e)
{
	struct unpack_limits *l = &c->o.limits;

	switch (option) {
	case OPTION_SHA256:
		c->o.sha256 = optarg;
		return check_sha256(optarg, e);
	case OPTION_SIGNATURE:
		return parse_descriptor("signature", &c->signature, e);
	case OPTION_NAME:
		c->name = optarg;
		return 0;
	case OPTION_KEYS:
		c->keys = optarg;
		return 0;
	case OPTION_LIST:
		return parse_descriptor("list", &c->list, e);
	case OPTION_UID:
		return parse_id("uid", &c->uid, e);
	case OPTION_GID:
		return parse_id("gid", &c->gid, e);
	case OPTION_MAX_SIZE:
		return parse_number("max-size", 0, INT64_MAX, &l->max_size_bytes, e);
	case OPTION_MAX_FILES:
		return parse_number("max-files", 0, INT64_MAX, &l->max_files, e);
	case OPTION_MAX_RATIO:
		return parse_number("max-ratio", 1, INT64_MAX, &l->max_ratio, e);
	case OPTION_ROOM:
		return parse_number("room", 0, INT64_MAX, &l->room_bytes, e);
	case OPTION_START_SYNC:
		c->o.start_sync = 1;
		return 0;
	case OPTION_VERBOSE:
		c->verbose = 1;
		return 0;
	case OPTION_CHECK:
		c->check = 1;
		return 0;
	case OPTION_SHARE:
		return parse_descriptor("share", &c->share.old_root, e);
	case OPTION_SHARE_LIST:
		return parse_descriptor("share-list", &c->share.old_list, e);
	case OPTION_LINK:
		c->share.link = 1;
		return 0;
	default:
		return err_set(e, ERR_USAGE, "%s", usage);
	}
}

/* Root only: what is made in there later will have this owner without being given to it. */
static int
give_away(const struct command *c, int root, struct err *e)
{
	if (geteuid() != 0 || (c->uid < 0 && c->gid < 0))
		return 0;
	if (fchown(root, (uid_t)c->uid, (gid_t)c->gid) < 0)
		return err_sys(e, "chown the staging directory");
	return 0;
}

static int
enter_sandbox(const struct command *c, int root, struct err *e)
{
	const uint64_t max_size = c->o.limits.max_size_bytes;
	const struct sandbox sandbox = {
		.dirs = { { root, SANDBOX_WRITE }, { -1, 0 } },
		.uid = c->uid,
		.gid = c->gid,
		.file_bytes = max_size > FILE_BYTES_MIN ? max_size : FILE_BYTES_MIN,
		.memory_bytes = MEMORY_BYTES,
		.open_files = OPEN_FILES,
	};
	AUTO_STRV struct strv notes = { 0 };

	if (sandbox_enter(&sandbox, &notes, e) < 0)
		return -1;
	for (size_t i = 0; c->verbose && i < notes.n; i++)
		(void)fprintf(stderr, "note: %s\n", notes.items[i]);
	return 0;
}

static int
check(const struct command *c, int root, struct err *e)
{
	const struct unpack_check how = { .uid = c->uid, .gid = c->gid, .out = stdout };

	if (c->list < 0 || c->share.old_root >= 0)
		return err_set(e, ERR_USAGE, "%s", usage);
	return unpack_check(root, c->list, &how, e);
}

static int
share(struct command *c, int root, struct err *e)
{
	struct unpack_shared done;

	if (c->list < 0 || c->share.old_list < 0)
		return err_set(e, ERR_USAGE, "%s", usage);
	c->share.root = root;
	c->share.list = c->list;
	if (unpack_share(&c->share, &done, e) < 0)
		return -1;
	if (done.old_list.class != ERR_NONE)
		(void)fprintf(stderr, "note: nothing is shared: of the other install, %s\n",
		    done.old_list.msg);
	if (printf("shared %" PRIu64 " files, %" PRIu64 " bytes\n", done.files, done.bytes) < 0 ||
	    fflush(stdout) != 0)
		return err_sys(e, "write what was shared");
	return 0;
}

/* Read the signature and the keys, as long as files can be opened. */
static int
load_signature(struct command *c, struct err *e)
{
	char text[UNPACK_MINISIGN_SIG_MAX + 1];
	size_t n = 0;
	ssize_t r;

	if (c->signature < 0 && c->name == NULL && c->keys == NULL)
		return 0;
	if (c->signature < 0 || c->name == NULL || c->keys == NULL)
		return err_set(e, ERR_USAGE, "--signature needs --name and --keys");
	while (n < sizeof text && (r = read(c->signature, text + n, sizeof text - n)) != 0) {
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_sys(e, "read the signature");
		n += (size_t)r;
	}
	c->o.sign = unpack_sign_load(c->keys, text, n, c->name, e);
	return c->o.sign != NULL ? 0 : -1;
}

static int
unpack(struct command *c, int root, struct err *e)
{
	int r;

	/* Without it libarchive cannot read names in pax headers beyond ASCII. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	/* While this is still somebody who may; where nothing is verified, nobody has to be kept waiting. */
	if (c->o.sha256 != NULL || c->signature >= 0)
		c->o.leased = unpack_lease_take(STDIN_FILENO);
	if (load_signature(c, e) < 0 || give_away(c, root, e) < 0 || enter_sandbox(c, root, e) < 0)
		return -1;
	if (c->list >= 0 && (c->o.list = unpack_list_new(c->list, e)) == NULL)
		return -1;
	r = unpack_run(STDIN_FILENO, root, &c->o, e);
	unpack_list_free(c->o.list);
	return r;
}

static int
run(struct command *c, struct err *e)
{
	AUTO_CLOSE int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(e, "open the staging directory");
	if (c->check)
		return check(c, root, e);
	if (c->share.old_root >= 0)
		return share(c, root, e);
	if (c->share.old_list >= 0 || c->share.link)
		return err_set(e, ERR_USAGE, "%s", usage);
	return unpack(c, root, e);
}

/* Nothing of it may depend on how it was started. */
static void
settle(void)
{
	opterr = 0;
	(void)umask(0);
	/* A file that grows too large is an error, and no reason to die. */
	(void)signal(SIGXFSZ, SIG_IGN);
	/* One heap for both threads: they allocate little, and a second one would take memory. */
	(void)mallopt(M_ARENA_MAX, 1);
	/* No configuration file: none can be read in the sandbox. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

static int
print_help(void)
{
	(void)printf("%s\n\n", usage);
	for (const struct option *o = long_options; o->name != NULL; o++)
		(void)printf("  --%s%s\n", o->name, o->has_arg == no_argument ? "" : "=...");
	return fflush(stdout) == 0 ? 0 : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	struct command c = {
		.o.limits = { UNPACK_MAX_SIZE, UNPACK_MAX_FILES, UNPACK_MAX_RATIO, UINT64_MAX },
		.uid = -1,
		.gid = -1,
		.list = -1,
		.signature = -1,
		.share = { .old_root = -1, .old_list = -1 },
	};
	struct err e = ERR_INIT;
	int option, r = 0;

	settle();
	while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == OPTION_HELP)
			return print_help();
		r = take_option(&c, option, &e);
	}
	if (r == 0 && optind < argc)
		r = err_set(&e, ERR_USAGE, "%s", usage);
	if (r == 0)
		r = run(&c, &e);
	unpack_sign_free(c.o.sign);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", e.msg);
	return err_exit_code(&e);
}
