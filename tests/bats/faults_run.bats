#!/usr/bin/env bats
# The calls of the preparer itself, its jobs and its programs: failed in turn, and killed at.

load helper
load node
load faults

@test "each call of the run that changes something fails with EIO in turn" {
	each_change error=EIO
}

@test "the run, its job and its programs are killed at each call that changes something" {
	each_change signal=KILL
}
