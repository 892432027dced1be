#!/usr/bin/env bats
# The one who asks in tests of a cluster (tests/cluster/load.c) sees what there is to see.

load helper

setup_file() {
	local name

	for name in app load; do
		"${CC:-cc}" -std=c17 -D_GNU_SOURCE -O2 -o "$BATS_FILE_TMPDIR/$name" "$TOP/tests/cluster/$name.c"
	done
}

# serve PORT VERSION [START_MS [STATUS]]
serve() {
	spawn app env PORT="$1" PP_VERSION="$2" "$BATS_FILE_TMPDIR/app" "$2" "${3:-0}" ${4:+"$4"}
}

# Three apps, and one who asks them.
ask() {
	local port

	PORTS=()
	for port in 1 2 3; do
		PORTS+=("$(free_port)")
		serve "${PORTS[-1]}" v1
		wait_until curl -s --noproxy '*' "http://127.0.0.1:${PORTS[-1]}/"
	done
	THIRD=$SPAWNED
	ANSWERS=$BATS_TEST_TMPDIR/answers FLAGS=$BATS_TEST_TMPDIR/flags
	: >"$FLAGS"
	# shellcheck disable=SC2016
	spawn load sh -c 'out=$1; shift; exec "$@" >"$out"' sh "$ANSWERS" "$BATS_FILE_TMPDIR/load" \
		--flags="$FLAGS" "${PORTS[@]/#/127.0.0.1:}"
	LOAD=$SPAWNED
	wait_until seen "3 3 v1 v1 v1"
}

# Was there such a sample?
seen() {
	cut -d ' ' -f 2- "$ANSWERS" | grep -q -x -F "$1"
}

flag() {
	printf '%s' "$1" | dd of="$FLAGS" bs=1 seek=2 conv=notrunc status=none
}

# The summary has these lines.
expect_summary() {
	local line

	despawn "$LOAD"
	for line in "$@"; do
		grep -q -x "# $line" "$ANSWERS" || fail "no \"$line\": $(grep '^#' "$ANSWERS")"
	done
	# Each sample is a line, and each line in the histogram.
	[ "$(grep -c -v '^#' "$ANSWERS")" -eq "$(sed -n 's/^# samples \([0-9]*\),.*/\1/p' "$ANSWERS")" ]
	[ "$(grep -c -v '^#' "$ANSWERS")" -eq "$(awk '/^# answering/ { n += $4 } END { print n }' "$ANSWERS")" ]
}

@test "all answer: least is all" {
	ask
	sleep 0.5
	expect_summary "least 3" "least 3 answering"
	run ! grep -q '^# answering [012]' "$ANSWERS"
}

@test "a server that is restarted is missed, and seen again with its version" {
	ask
	despawn "$THIRD"
	wait_until seen "2 2 v1 v1 -"
	serve "${PORTS[2]}" v2
	wait_until seen "3 3 v1 v1 v2"
	expect_summary "least 2" "least 2 answering"
}

@test "a restart of a few milliseconds is not overlooked" {
	ask
	kill -KILL "$THIRD"
	serve "${PORTS[2]}" v2 25
	wait_until seen "3 3 v1 v1 v2"
	expect_summary "least 2"
}

@test "an answer that is not 200 is none" {
	ask
	despawn "$THIRD"
	serve "${PORTS[2]}" v1 0 503
	wait_until seen "2 2 v1 v1 503"
	expect_summary "least 2"
}

@test "a late answer is one, silence is none" {
	ask
	kill -STOP "$THIRD"
	sleep 0.2
	kill -CONT "$THIRD"
	wait_until seen "3 3 v1 v1 v1"
	sleep 0.2
	run ! seen "2 2 v1 v1 -"
	kill -STOP "$THIRD"
	wait_until seen "2 2 v1 v1 -"
	kill -CONT "$THIRD"
	expect_summary "least 2"
}

@test "who is excused is not missed, until he answers again" {
	ask
	flag x
	despawn "$THIRD"
	wait_until seen "3 2 v1 v1 [-]"
	flag r
	sleep 0.1
	serve "${PORTS[2]}" v2
	wait_until seen "3 3 v1 v1 v2"
	run ! seen "2 2 v1 v1 -"
	despawn "$SPAWNED"
	wait_until seen "2 2 v1 v1 -"
	expect_summary "least 2" "least 2 answering"
}

@test "a version that was started as another one is told apart" {
	local port

	port=$(free_port)
	spawn app env PORT="$port" PP_VERSION=v2 "$BATS_FILE_TMPDIR/app" v1 0
	wait_until curl -s --noproxy '*' "http://127.0.0.1:$port/"
	run -0 "$BATS_FILE_TMPDIR/load" --once "127.0.0.1:$port"
	[[ $output == *" 1 1 mixed" ]]
	run -1 "$BATS_FILE_TMPDIR/load" --once "127.0.0.1:$port" "127.0.0.1:$(free_port)"
	[[ $output == *" 1 1 mixed -" ]]
}
