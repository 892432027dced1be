#include "lib/artifact/unpack_tree.h"

#include <sys/syscall.h>

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#define DIR_FLAGS (O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void
unpack_tree_init(struct unpack_tree *t, int root)
{
	t->root = root;
	t->parent = -1;
	t->parent_path[0] = '\0';
}

void
unpack_tree_release(struct unpack_tree *t)
{
	if (t->parent >= 0)
		(void)close(t->parent);
	t->parent = -1;
}

static int
walk(int root, const char *path, int flags)
{
	char component[UNPACK_PATH_ROOM];
	int dir = openat(root, ".", DIR_FLAGS | O_PATH);

	while (dir >= 0) {
		const size_t n = strcspn(path, "/");
		const int last = path[n] == '\0';
		int next;

		memcpy(component, path, n);
		component[n] = '\0';
		next = openat(dir, n > 0 ? component : ".", DIR_FLAGS | (last ? flags : O_PATH));
		(void)close(dir);
		if (last)
			return next;
		dir = next;
		path += n + 1;
	}
	return -1;
}

int
unpack_tree_open_dir(int root, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (unsigned int)(DIR_FLAGS | flags),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root, path[0] != '\0' ? path : ".", &how, sizeof how);

	/* Whatever the reason, no such system call among them: the walk tells. */
	return fd >= 0 ? fd : walk(root, path, flags);
}

/* How much of `path` is the directory it is in. */
static size_t
parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? (size_t)(slash - path) : 0;
}

int
unpack_tree_is_at(const struct unpack_tree *t, const char *path)
{
	const size_t n = parent_length(path);

	return t->parent >= 0 && strncmp(t->parent_path, path, n) == 0 && t->parent_path[n] == '\0';
}

int
unpack_tree_parent(struct unpack_tree *t, const char *path, const char **name)
{
	const size_t n = parent_length(path);
	char wanted[UNPACK_PATH_ROOM];
	int fd;

	*name = n > 0 ? path + n + 1 : path[0] != '\0' ? path : ".";
	if (unpack_tree_is_at(t, path))
		return t->parent;
	memcpy(wanted, path, n);
	wanted[n] = '\0';
	fd = unpack_tree_open_dir(t->root, wanted, O_PATH);
	if (fd < 0)
		return -1;
	unpack_tree_release(t);
	t->parent = fd;
	memcpy(t->parent_path, wanted, n + 1);
	return fd;
}
