#include "lib/artifact/unpack_lease.h"

#include <sys/vfs.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>

#include "lib/base/mem.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static int
is_local(int fd)
{
	static const unsigned long local[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC, TMPFS_MAGIC };
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return 0;
	for (size_t i = 0; i < MEM_COUNT(local); i++)
		if ((unsigned long)fs.f_type == local[i])
			return 1;
	return 0;
}

int
unpack_lease_take(int fd)
{
	if (!is_local(fd))
		return 0;
	(void)signal(SIGIO, SIG_IGN);
	return fcntl(fd, F_SETLEASE, F_RDLCK) == 0;
}

int
unpack_lease_held(int fd, struct err *e)
{
	if (fcntl(fd, F_GETLEASE) == F_RDLCK)
		return 0;
	return err_set(e, ERR_DATA,
	    "somebody opened the artifact to write to it while it was unpacked; put artifacts there by "
	    "renaming them, and never change one");
}
