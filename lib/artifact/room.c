#include "lib/artifact/room.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/size.h"

int
room_parse_reserve(const char *text, struct room_reserve *reserve, struct err *e)
{
	size_t n = strlen(text);

	*reserve = (struct room_reserve){ 0 };
	if (n > 1 && text[n - 1] == '%') {
		AUTO_FREE char *digits = xmemdup(text, n - 1);
		const char *fault;

		reserve->percent = (unsigned)strtonum(digits, 0, 99, &fault);
		return fault == NULL ? 0 : err_set(e, ERR_DATA, "\"%s\" is not 0%% to 99%%", text);
	}
	return size_parse(text, &reserve->bytes, e) < 0 ? err_wrap(e, "a share (5%%) or") : 0;
}

int
room_left(int dir, const struct room_reserve *reserve, uint64_t *bytes, struct err *e)
{
	struct statvfs fs;
	uint64_t keep;

	if (fstatvfs(dir, &fs) < 0)
		return err_sys(e, "ask the file system for its room");
	keep = reserve->bytes + (uint64_t)fs.f_blocks / 100 * reserve->percent * fs.f_frsize;
	*bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	*bytes = *bytes > keep ? *bytes - keep : 0;
	return 0;
}

int
room_check(int dir, const struct room_reserve *reserve, uint64_t bytes, const char *what,
    struct err *e)
{
	char needed[SIZE_ROOM], left[SIZE_ROOM];
	uint64_t room;

	if (room_left(dir, reserve, &room, e) < 0)
		return -1;
	if (bytes <= room)
		return 0;
	size_show(needed, bytes);
	size_show(left, room);
	return err_set(e, ERR_FAIL,
	    "not enough room: %s takes %s, and the file system has %s above what --min-free keeps",
	    what, needed, left);
}

uint64_t
room_estimate(int fd)
{
	unsigned char magic[2], size[4];
	uint64_t unpacked;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < 18)
		return 0;
	if (pread(fd, magic, 2, 0) != 2 || magic[0] != 0x1f || magic[1] != 0x8b ||
	    pread(fd, size, 4, st.st_size - 4) != 4)
		return (uint64_t)st.st_size;
	unpacked = (uint64_t)size[0] | (uint64_t)size[1] << 8 | (uint64_t)size[2] << 16 |
	    (uint64_t)size[3] << 24;
	return unpacked > (uint64_t)st.st_size ? unpacked : (uint64_t)st.st_size;
}
