#!/usr/bin/env bats
# Every system call of pp-unpack failed in turn.

load helper
load node
load faults

NEEDS_ROOM='^(openat|openat2|mkdirat|symlinkat|linkat|rename.*|write|pwrite64|ftruncate|fallocate|ioctl|fchmod|fchown|utimensat) '

@test "each system call of pp-unpack fails with EIO in turn" {
	# A sanitizer whose own calls fail, for memory above all, may hang or end as it likes.
	if ldd "$PP_UNPACK" | grep -q libasan; then
		each_call error=EIO "$NEEDS_ROOM"
	else
		each_call error=EIO
	fi
}

@test "each system call of pp-unpack that needs room on a disk fails with ENOSPC in turn" {
	each_call error=ENOSPC "$NEEDS_ROOM"
}
