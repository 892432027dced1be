#!/usr/bin/env bats
# pp-unpack killed at each of its system calls.

load helper
load node
load faults

@test "pp-unpack is killed at each of its system calls in turn" {
	each_call signal=KILL
}
