/*
 * pp-unpack: verify the artifact on stdin and unpack it into the current directory, which is empty.
 * pp runs it, as a program of its own so that nothing else has to load libarchive and libcrypto.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack.h"
#include "lib/artifact/unpack_check.h"
#include "lib/artifact/unpack_share.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

static const char usage[] =
    "usage: pp-unpack [--sha256=HEX] [--gid=N] [--max-size=BYTES] [--max-files=N] < ARTIFACT\n"
    "       pp-unpack --check --list=FD [--uid=N] [--gid=N]\n"
    "       pp-unpack --share=DIRFD --share-list=FD --list=FD [--link]";

static const struct option long_options[] = {
	{ "sha256", required_argument, NULL, 's' },
	{ "gid", required_argument, NULL, 'g' },
	{ "max-size", required_argument, NULL, 'b' },
	{ "max-files", required_argument, NULL, 'f' },
	{ "list", required_argument, NULL, 'l' },
	{ "uid", required_argument, NULL, 'u' },
	{ "check", no_argument, NULL, 'c' },
	{ "share", required_argument, NULL, 'S' },
	{ "share-list", required_argument, NULL, 'L' },
	{ "link", no_argument, NULL, 'k' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* What to do instead of unpacking; descriptors are -1 where not given. */
struct other {
	int check, share, share_list, list, link;
	int64_t uid, gid;
};

static int
parse_number(const char *name, const char *text, uint64_t max, uint64_t *value, struct err *e)
{
	unsigned long long n;
	char shown[64];
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || n > max) {
		log_escape(shown, sizeof shown, text);
		return err_set(e, ERR_USAGE, "%s: \"%s\" is not a number that fits", name, shown);
	}
	*value = n;
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
take_option(struct unpack_options *o, int option, struct err *e)
{
	uint64_t gid = 0;

	switch (option) {
	case 's':
		o->sha256 = optarg;
		return check_sha256(optarg, e);
	case 'g':
		/* The last one means "no change" to chown(2). */
		if (parse_number("--gid", optarg, UINT32_MAX - 1, &gid, e) < 0)
			return -1;
		/* Only root may give files to any group. */
		o->gid = geteuid() == 0 ? (int64_t)gid : -1;
		return 0;
	case 'b':
		return parse_number("--max-size", optarg, INT64_MAX, &o->max_size_bytes, e);
	case 'f':
		return parse_number("--max-files", optarg, INT64_MAX, &o->max_files, e);
	default:
		return err_set(e, ERR_USAGE, "%s", usage);
	}
}

/* An inherited descriptor: never one of the standard streams. */
static int
parse_fd(const char *name, int *fd, struct err *e)
{
	uint64_t n = 0;

	if (parse_number(name, optarg, INT_MAX, &n, e) < 0)
		return -1;
	if (n <= STDERR_FILENO || fcntl((int)n, F_GETFD) < 0)
		return err_set(e, ERR_USAGE, "%s: %d is not an open descriptor", name, (int)n);
	*fd = (int)n;
	return 0;
}

/* Those of --check and --share. Returns: 1 if it is one of them; 0; -1 with *e set. */
static int
take_other_option(struct other *o, int option, struct err *e)
{
	uint64_t id = 0;

	switch (option) {
	case 'c':
		o->check = 1;
		return 1;
	case 'k':
		o->link = 1;
		return 1;
	case 'S':
		return parse_fd("--share", &o->share, e) < 0 ? -1 : 1;
	case 'L':
		return parse_fd("--share-list", &o->share_list, e) < 0 ? -1 : 1;
	case 'l':
		return parse_fd("--list", &o->list, e) < 0 ? -1 : 1;
	case 'u':
		if (parse_number("--uid", optarg, UINT32_MAX - 1, &id, e) < 0)
			return -1;
		o->uid = (int64_t)id;
		return 1;
	case 'g':
		if (parse_number("--gid", optarg, UINT32_MAX - 1, &id, e) < 0)
			return -1;
		o->gid = (int64_t)id;
		return 0;
	default:
		return 0;
	}
}

static int
check(int root, const struct other *o, struct err *e)
{
	const struct unpack_check how = { .uid = o->uid, .gid = o->gid, .out = stdout };

	if (o->list < 0 || o->share >= 0)
		return err_set(e, ERR_USAGE, "%s", usage);
	return unpack_check(root, o->list, &how, e);
}

static int
share(int root, const struct other *o, struct err *e)
{
	const struct unpack_share how = { root, o->list, o->share, o->share_list, o->link };
	struct unpack_shared done;

	if (o->list < 0 || o->share_list < 0)
		return err_set(e, ERR_USAGE, "%s", usage);
	if (unpack_share(&how, &done, e) < 0)
		return -1;
	if (done.old_list.class != ERR_NONE)
		(void)fprintf(stderr, "note: nothing is shared: of the other install, %s\n",
		    done.old_list.msg);
	if (printf("shared %" PRIu64 " files, %" PRIu64 " bytes\n", done.files, done.bytes) < 0 ||
	    fflush(stdout) != 0)
		return err_sys(e, "write what was shared");
	return 0;
}

static int
run(const struct unpack_options *o, const struct other *other, struct err *e)
{
	AUTO_CLOSE int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(e, "open the staging directory");
	if (other->check)
		return check(root, other, e);
	if (other->share >= 0)
		return share(root, other, e);
	(void)umask(0);
	/* Without it libarchive cannot read names in pax headers beyond ASCII. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	return unpack_run(STDIN_FILENO, root, o, e);
}

int
main(int argc, char **argv)
{
	struct unpack_options o = {
		.gid = -1,
		.max_size_bytes = UNPACK_MAX_SIZE,
		.max_files = UNPACK_MAX_FILES,
	};
	struct other other = { .share = -1, .share_list = -1, .list = -1, .uid = -1, .gid = -1 };
	struct err e = ERR_INIT;
	int option, r = 0;

	opterr = 0;
	while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'h') {
			(void)printf("%s\n", usage);
			return 0;
		}
		r = take_other_option(&other, option, &e);
		if (r == 0)
			r = take_option(&o, option, &e);
		r = r > 0 ? 0 : r;
	}
	if (r == 0 && optind < argc)
		r = err_set(&e, ERR_USAGE, "%s", usage);
	if (r == 0)
		r = run(&o, &other, &e);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", e.msg);
	return err_exit_code(&e);
}
