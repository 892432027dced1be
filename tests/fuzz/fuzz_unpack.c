/* Whole artifacts, into a directory that has neighbours. Nothing outside of it may change. */
#include <sys/stat.h>
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <unistd.h>

#include "lib/artifact/unpack.h"
#include "lib/base/mem.h"
#include "lib/fs/file.h"
#include "tests/fuzz/fuzz.h"

#define BLOCK ((size_t)512)
#define MAX_SIZE (UINT64_C(1) << 20)
#define MAX_FILES 64

static char box_path[64];
static int home = -1, box = -1, outside = -1;
static struct stat victim_was, outside_was;

static void
remove_box(void)
{
	struct err e = ERR_INIT;

	(void)tree_remove(AT_FDCWD, box_path, &e);
}

/* The box: root, which is made anew each time, and outside, where the unpacker stands, with a victim. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fd;

	(void)argc;
	(void)argv;
	(void)umask(0);
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)snprintf(box_path, sizeof box_path, "%s/fuzz_unpack.XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	HOLDS(mkdtemp(box_path) != NULL);
	(void)atexit(remove_box);
	home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	box = open(box_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	HOLDS(home >= 0 && box >= 0 && mkdirat(box, "outside", 0755) == 0);
	outside = openat(box, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(outside, "victim", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	HOLDS(fd >= 0 && write(fd, "precious\n", 9) == 9 && close(fd) == 0);
	HOLDS(fstatat(outside, "victim", &victim_was, AT_SYMLINK_NOFOLLOW) == 0);
	HOLDS(fstat(outside, &outside_was) == 0);
	return 0;
}

static int
same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink &&
	    a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_size == b->st_size &&
	    memcmp(&a->st_ctim, &b->st_ctim, sizeof a->st_ctim) == 0;
}

static void
check_neighbours(void)
{
	AUTO_STRV struct strv names = { 0 };
	struct err e = ERR_INIT;
	struct stat now;

	HOLDS(dir_list(box, &names, &e) == 0 && names.n == 2);
	HOLDS(strv_has(&names, "root") && strv_has(&names, "outside"));
	HOLDS(fstat(outside, &now) == 0 && same(&now, &outside_was));
	HOLDS(fstatat(outside, "victim", &now, AT_SYMLINK_NOFOLLOW) == 0);
	HOLDS(same(&now, &victim_was));
}

static void
check_link(int dir, const char *name, int depth)
{
	struct err e = ERR_INIT;
	AUTO_FREE char *target = link_read(dir, name, &e);

	HOLDS(target != NULL && fuzz_stays_inside(target, depth));
}

/* What is inside, all of it: files, directories and links, none that others may write or with more. */
static void
check_inside(int dir, int depth, uint64_t *things)
{
	AUTO_STRV struct strv names = { 0 };
	struct err e = ERR_INIT;
	struct stat st;
	int missing;

	HOLDS(dir_list(dir, &names, &e) == 0);
	for (size_t i = 0; i < names.n; i++) {
		HOLDS(fstatat(dir, names.items[i], &st, AT_SYMLINK_NOFOLLOW) == 0);
		HOLDS(++*things <= MAX_FILES);
		HOLDS(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
		HOLDS(S_ISLNK(st.st_mode) || (st.st_mode & 07022) == 0);
		if (S_ISLNK(st.st_mode))
			check_link(dir, names.items[i], depth);
		HOLDS(!S_ISREG(st.st_mode) || (uint64_t)st.st_size <= MAX_SIZE);
		if (S_ISDIR(st.st_mode)) {
			AUTO_CLOSE int sub = dir_open_at(dir, names.items[i], &missing, &e);

			/* Who is not root cannot look into what he has made unreadable. */
			HOLDS(sub >= 0 || (geteuid() != 0 && e.class == ERR_PERM));
			if (sub >= 0)
				check_inside(sub, depth + 1, things);
		}
	}
}

/* Is the list one that says that it is at its end? */
static int
is_complete(int list)
{
	static const char first[] = "pp-list 2 ";
	char text[1 << 16], *last;
	ssize_t n = pread(list, text, sizeof text - 1, 0);

	HOLDS(n >= 0);
	text[n] = '\0';
	/* Names may be long. */
	if (n == sizeof text - 1)
		return 1;
	if (n < 2 || strncmp(text, first, sizeof first - 1) != 0 || text[n - 1] != '\n')
		return 0;
	text[n - 1] = '\0';
	last = strrchr(text, '\n');
	return last != NULL && strncmp(last + 1, "end ", 4) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct unpack_options options = { .limits = { .max_size_bytes = MAX_SIZE,
					      .max_files = MAX_FILES,
					      .max_ratio = UNPACK_MAX_RATIO,
					      .room_bytes = UINT64_MAX } };
	AUTO_CLOSE int artifact = memfd_create("artifact", MFD_CLOEXEC);
	AUTO_CLOSE int root = -1, list = memfd_create("list", MFD_CLOEXEC);
	struct err e = ERR_INIT, ignored = ERR_INIT;
	uint64_t things = 0;

	HOLDS(artifact >= 0 && write(artifact, data, n) == (ssize_t)n && list >= 0);
	options.list = unpack_list_new(list, &e);
	HOLDS(options.list != NULL);
	HOLDS(lseek(artifact, 0, SEEK_SET) == 0);
	HOLDS(mkdirat(box, "root", 0700) == 0 && fchdir(outside) == 0);
	root = openat(box, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	HOLDS(root >= 0);
	if (unpack_run(artifact, root, &options, &e) < 0)
		fuzz_check_refusal(&e);
	unpack_list_free(options.list);
	HOLDS(e.class != ERR_NONE || is_complete(list));
	/* The corpus has a relative path. */
	HOLDS(fchdir(home) == 0);
	check_neighbours();
	check_inside(root, 0, &things);
	HOLDS(tree_remove(box, "root", &ignored) == 0);
	return 0;
}

/* The checksum of a header, which no mutation would get right. */
static void
mend_header(uint8_t *header)
{
	unsigned int sum = 0;
	char text[8];

	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += header[i];
	(void)snprintf(text, sizeof text, "%06o", sum);
	memcpy(header + 148, text, sizeof text - 1);
}

/* Mend the checksums of what looks like a tar, from header to header by the sizes they give. */
static void
mend(uint8_t *data, size_t n)
{
	size_t at = 0;

	while (at + BLOCK <= n && data[at] != '\0') {
		char size[13] = "";

		mend_header(data + at);
		memcpy(size, data + at + 124, 12);
		at += BLOCK;
		/* Links and directories have no data, whatever they say. */
		if (strchr("123456", data[at - BLOCK + 156]) == NULL)
			at += ((size_t)strtoul(size, NULL, 8) + BLOCK - 1) / BLOCK * BLOCK;
	}
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned int seed)
{
	int is_tar = n >= BLOCK && memcmp(data + 257, "ustar", 5) == 0;

	/* Now and then a block is changed in its place, so that the rest stays a tar. */
	if (is_tar && seed % 4 != 0) {
		size_t at = seed / 4 % (n / BLOCK) * BLOCK;

		(void)LLVMFuzzerMutate(data + at, BLOCK, BLOCK);
	} else {
		n = LLVMFuzzerMutate(data, n, room);
	}
	if (is_tar && seed % 16 != 0)
		mend(data, n);
	return n;
}
