/*
 * pp-unpack: verify the artifact on stdin and unpack it into the current directory, which is empty.
 * pp runs it, as a program of its own so that nothing else has to load libarchive and libcrypto.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

static const char usage[] =
    "usage: pp-unpack [--sha256=HEX] [--gid=N] [--max-size=BYTES] [--max-files=N] < ARTIFACT";

static const struct option long_options[] = {
	{ "sha256", required_argument, NULL, 's' },
	{ "gid", required_argument, NULL, 'g' },
	{ "max-size", required_argument, NULL, 'b' },
	{ "max-files", required_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
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

static int
run(const struct unpack_options *o, struct err *e)
{
	AUTO_CLOSE int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_sys(e, "open the staging directory");
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
	struct err e = ERR_INIT;
	int option, r = 0;

	opterr = 0;
	while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'h') {
			(void)printf("%s\n", usage);
			return 0;
		}
		r = take_option(&o, option, &e);
	}
	if (r == 0 && optind < argc)
		r = err_set(&e, ERR_USAGE, "%s", usage);
	if (r == 0)
		r = run(&o, &e);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", e.msg);
	return err_exit_code(&e);
}
