# shellcheck shell=bash
# For the tests of agents, after helper: what they say, what they leave as it was, where they die.

# --- needs

need_root() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
}

# A private view of the file system. What is mounted there is gone with the process.
need_mount_namespace() {
	need_root
	unshare --mount true 2>/dev/null || skip "needs mount namespaces"
}

# in_namespace SCRIPT [ARG...]: run bash there, with the functions of the test.
in_namespace() {
	local script=$1

	shift
	unshare --mount bash -euc "$(declare -f pp fail snapshot wait_until said)
		$script" in_namespace "$@"
}

need() {
	local program

	for program in "$@"; do
		command -v "$program" >/dev/null || skip "needs $program"
	done
}

# --- what is said

# The log lines of `run --separate-stderr` without their time: "INFO slug: Stopping".
said() {
	[ -z "$stderr" ] || printf '%s\n' "$stderr" |
		sed -E 's/^([A-Z]+) +\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}\] /\1 /'
}

# expect_said LINE...: these lines, and no others, each a pattern of [[ == ]].
expect_said() {
	local lines i

	mapfile -t lines < <(said)
	for ((i = 0; i < $# || i < ${#lines[@]}; i++)); do
		# shellcheck disable=SC2053
		if [[ ${lines[i]-<nothing>} != ${*:i+1:1} ]]; then
			fail "line $((i + 1)) is not \"${*:i+1:1}\" but: ${lines[i]-<nothing>}
$(said)"
			return 1
		fi
	done
}

# Neither output nor log.
expect_silence() {
	[ "$output$stderr" = "" ] || fail "not silent: $output$stderr"
}

# --- what stays as it was

# snapshot PATH...: every name below with all that a change would show in.
snapshot() {
	find "$@" -printf '%p %y %i %#m %u %g %s %T@ %C@ %l\n' 2>&1 | LC_ALL=C sort
}

# --- dying

# strace PP's own system calls; a sanitizer looks for leaks by tracing, so not at the same time.
traced() {
	ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0" \
		strace -o /dev/null "$@"
}

# death_points CMD...: carry it out, and print where it could be killed: before each of its system
# calls that change something or start something, as "NAME COUNT", the COUNTth call of NAME.
death_points() {
	ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0" \
		strace -o "$BATS_TEST_TMPDIR/calls" "$@" >/dev/null 2>&1
	awk -F '(' '
		/^(mkdir|symlink|unlink|rename|link)(at|at2)?\(|^(write|pwrite64|ftruncate|fsync|syncfs|flock|fchmod|fchmodat|fchown|clone|clone3|vfork|wait4)\(/ {
			print $1, ++n[$1]; next
		}
		/^openat\(.*(O_CREAT|O_TMPFILE)/ { print $1, n[$1] + 1 }
		{ n[$1]++ }' "$BATS_TEST_TMPDIR/calls"
}

# killed_at NAME COUNT CMD...: kill it with -9 before that call. Fails when it was not.
killed_at() {
	local name=$1 count=$2 code=0

	shift 2
	traced --inject="$name:signal=KILL:when=$count" "$@" >/dev/null 2>&1 || code=$?
	[ "$code" -eq 137 ]
}
