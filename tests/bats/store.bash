# shellcheck shell=bash
# For the tests of stores, after helper: a proxy that counts and lies, and how documents are compared.

# liar_start [UPSTREAM_PORT]: tests/hostile/liar.pl in front of the test's Consul (or of nothing,
# with 0), at $LIAR. pp talks to it from now on.
liar_start() {
	local dir

	dir=$(mktemp -d "$(helper_dir)/liar.XXXXXX")
	LIAR_LOG=$dir/log LIES=$dir/lies
	: >"$LIAR_LOG"
	: >"$LIES"
	spawn liar perl "$TOP/tests/hostile/liar.pl" "$dir/port" "$LIAR_LOG" "$LIES" \
		"${1-$HELPER_CONSUL_PORT}"
	LIAR_PID=$SPAWNED
	wait_until test -s "$dir/port"
	LIAR=127.0.0.1:$(cat "$dir/port")
	export CONSUL_HTTP_ADDR=$LIAR
}

# lie REGEX KIND [ARGUMENT]: as liar.pl has it; on top of what it lies about already. truth ends all.
lie() {
	printf '%s\n' "$*" >>"$LIES"
}

truth() {
	: >"$LIES"
}

# Print all documents of the store, one a line, sorted; with -i only those of intent: neither pp/store
# nor history.
store_dump() {
	local key

	for key in $(store_keys); do
		[[ ${1-}$key == -ipp/store || ${1-}$key == -ihistory/* ]] || printf '%s %s\n' "$key" "$(store_get "$key" | jq -cS .)"
	done
}

# json KEY FILTER: what jq makes of a document.
json() {
	store_get "$1" | jq -cS "$2"
}

# refused STATUS TEXT CMD...: it exits with STATUS, says TEXT on stderr and nothing on stdout.
refused() {
	local status_wanted=$1 text=$2

	shift 2
	run -"$status_wanted" --separate-stderr "$@"
	[ -z "$output" ] || fail "on stdout: $output"
	# shellcheck disable=SC2154
	[[ $stderr == *"$text"* ]] || fail "not \"$text\", but: $stderr"
}

# Whatever an agent would look at by default lies in the test's own directory, not on this machine.
own_places() {
	export PP_CONFIG_DIR=$BATS_TEST_TMPDIR/ports PP_PATH=$BATS_TEST_TMPDIR/sudoers \
		PP_RUNIT=$BATS_TEST_TMPDIR/service PP_RUNIT_STAGE=$BATS_TEST_TMPDIR/service-stage
}
