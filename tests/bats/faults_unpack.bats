#!/usr/bin/env bats
# Every system call of pp-unpack failed in turn.

load helper
load node
load faults

@test "each system call of pp-unpack fails with EIO in turn" {
	each_call error=EIO
}

@test "each system call of pp-unpack that needs room on a disk fails with ENOSPC in turn" {
	each_call error=ENOSPC '^(openat|openat2|mkdirat|symlinkat|linkat|rename.*|write|pwrite64|ftruncate|fallocate|ioctl|fchmod|fchown|utimensat) '
}
