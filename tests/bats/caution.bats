#!/usr/bin/env bats
# Most of what a node has does not go at the first word.

load helper
load store
load node

setup() {
	helper_setup
	own_places
	PORTS=$BATS_TEST_TMPDIR/ports SUDOERS=$BATS_TEST_TMPDIR/sudoers
	store_dir
}

# shellcheck disable=SC2120
iptables() {
	pp converge iptables --cmd=true --config-dir="$PORTS" "$@"
}

# shellcheck disable=SC2120
sudoers() {
	pp converge sudoers --path="$SUDOERS" "$@"
}

# apps NAME...: on this node, with an open port and a sudoers file each.
apps() {
	local app port=1000

	for app in "$@"; do
		pp intent set "$app/demo" versions=v:prep basedir="$BATS_TEST_TMPDIR/data/$app" ports=$((port++)) users=xavier
		pp intent assign "$app/demo" node1
	done >/dev/null
	iptables 2>/dev/null
	sudoers 2>/dev/null
	expect_apps "$@"
}

gone() {
	local app

	for app in "$@"; do
		pp intent unassign "$app/demo" node1 >/dev/null
	done
}

# These apps, and no others, have a port and a sudoers file.
expect_apps() {
	[ "$(cd "$PORTS" && echo *.yml)" = "$(printf '%s.yml ' "$@" | sed 's/ $//')" ] || fail "ports: $(ls "$PORTS")"
	[ "$(cd "$SUDOERS" && echo pp-*)" = "$(printf 'pp-%s ' "$@" | sed 's/ $//')" ] || fail "sudoers: $(ls "$SUDOERS")"
}

# What is remembered of it was remembered SECONDS earlier.
earlier() {
	perl -i -pe 's/^(\S+) (\d+)/"$1 " . ($2 - '"$1"' * 1000)/e' "$PP_STATE_DIR"/removal/*
}

# Both agents, a pass each, that exit 0.
passes() {
	run -0 --separate-stderr iptables "$@"
	said_first=$stderr
	run -0 --separate-stderr sudoers "$@"
}

@test "three of four at once wait for a second pass, a minute later, that still says so" {
	apps a b c d
	gone a b c
	run -0 --separate-stderr iptables
	expect_said "WARN nothing is removed yet: 3 of 4 apps would be removed at once; a pass after [0-2][0-9]:[0-5][0-9]:[0-5][0-9] UTC will, or --allow-empty"
	[ "$output" = "" ]
	expect_apps a b c d
	# It is said once; who wants to know is told each time.
	passes
	[ "$said_first$stderr" = "" ]
	run -0 --separate-stderr sudoers --verbose
	[[ $stderr == *"a: 3 of 4 apps would be removed at once; a pass after "* ]]
	run -8 iptables --detailed-exitcodes
	expect_apps a b c d
	run --separate-stderr pp status --format=json
	[ "$(jq -c '[.apps[] | select(.state == "waiting") | .app]' <<<"$output")" = '["a","b","c"]' ]
	[[ $(jq -r '.apps[0].reason' <<<"$output") == *"3 of 4 apps would be removed at once"* ]]
	earlier 58
	passes
	expect_apps a b c d
	earlier 3
	passes
	expect_apps d
	[[ $said_first == *"a: closing its ports"*"c: closing its ports"* ]]
	run -0 --separate-stderr iptables
	expect_silence
}

@test "the last app, and the last two, wait as well" {
	apps a b
	gone a b
	run -0 --separate-stderr sudoers
	[[ $stderr == *"nothing is removed yet: 2 of 2 apps would be removed at once"* ]]
	passes
	expect_apps a b
	pp intent assign b/demo node1
	passes
	expect_apps b
	gone b
	run -0 --separate-stderr iptables
	[[ $stderr == *"1 of 1 apps would be removed at once"* ]]
	expect_apps b
	earlier 61
	passes
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e '\.yml' -e pp- || :)" = 0 ]
}

@test "one of two, two of four and one of many are removed at once" {
	apps a b c d
	gone a b
	passes
	expect_apps c d
	[ ! -e "$PP_STATE_DIR/removal" ]
	gone c
	passes
	expect_apps d
	[ ! -e "$PP_STATE_DIR/removal" ]
}

@test "four apps that give way to four others are most of what there is" {
	apps a b c d
	for app in e f g h; do
		pp intent set $app/demo versions=v:prep basedir="$BATS_TEST_TMPDIR/data/$app" ports=$((port = ${port:-2000} + 1)) users=don
		pp intent assign $app/demo node1
	done
	gone a b c d
	passes
	expect_apps a b c d e f g h
	earlier 61
	passes
	expect_apps e f g h
}

@test "--allow-empty removes at once, and does not wait the next time either" {
	apps a b c
	gone a b c
	passes --allow-empty
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e '\.yml' -e pp- || :)" = 0 ]
	[ ! -e "$PP_STATE_DIR/removal" ]
}

@test "an app that comes back and goes again was not gone meanwhile" {
	apps a b c
	gone a b c
	passes
	earlier 61
	pp intent assign a/demo node1
	# Two of three are still most of it, but what was seen has changed.
	passes
	expect_apps a b c
	grep -q ' b c$' "$PP_STATE_DIR"/removal/*
	earlier 61
	gone a
	passes
	expect_apps a b c
	pp intent assign a/demo node1
	pp intent assign b/demo node1
	pp intent assign c/demo node1
	passes
	[ "$(ls "$PP_STATE_DIR/removal")" = "" ]
	gone a b c
	passes
	expect_apps a b c
	earlier 61
	passes
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e '\.yml' -e pp- || :)" = 0 ]
}

@test "when more goes than what was waited for, the minute begins anew" {
	apps a b c d
	gone a b c
	passes
	earlier 61
	gone d
	passes
	expect_apps a b c d
	earlier 61
	passes
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e '\.yml' -e pp- || :)" = 0 ]
}

@test "what was seen before a reboot, or more than a day ago, or is no memory at all, is seen anew" {
	apps a b c
	gone a b c
	passes
	memory=$(echo "$PP_STATE_DIR"/removal/*)
	for edit in 's/^\S+/00000000-0000-4000-8000-000000000000/; s/ \d+/ 1/' 's/ (\d+)/" " . ($1 - 86500000)/e' \
		's/ (\d+)/" " . ($1 + 1000000)/e' 's/.*/x/s' 's/.*//s' 's/.*/x y z/s'; do
		earlier 61
		perl -i -pe "$edit" "$memory"
		passes
		expect_apps a b c
	done
	earlier 61
	passes
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e '\.yml' -e pp- || :)" = 0 ]
}

@test "a dry run tells it, and does not begin the minute" {
	apps a b c
	gone a b c
	run -0 --separate-stderr iptables --dry-run
	[[ $output == *"iptables a: waiting: 3 of 3 apps would be removed at once; a pass after "* ]]
	run --separate-stderr pp status
	[ ! -e "$PP_STATE_DIR/removal" ]
	run -0 --separate-stderr iptables --dry-run --allow-empty
	[[ $output == *"iptables a: would close its ports"* ]]
	expect_apps a b c
}

@test "apps that run: waited for, then stopped and removed; no active version is a statement of its own" {
	runit_start
	for app in a b c; do
		repo_add $app v
		pp intent set $app/demo versions=v:active basedir="$BATS_TEST_TMPDIR/data/$app"
		pp intent assign $app/demo node1
	done
	pp converge preparer --repo="$REPO_URL"
	pp converge setlive
	gone a b
	run -0 --separate-stderr pp converge setlive
	expect_said "WARN nothing is removed yet: 2 of 3 apps would be removed at once; *"
	for app in a b c; do
		service_pid $app
	done
	# None of the three is to be active: said of each by name, done at once.
	pp intent assign a/demo node1
	pp intent assign b/demo node1
	for app in a b c; do
		pp intent set $app/demo versions.v=prep
	done
	run -0 --separate-stderr pp converge setlive
	for app in a b c; do
		run ! service_pid $app
		[ -e "$RUNIT/$app" ]
	done
	gone a b c
	run -0 --separate-stderr pp converge setlive
	[[ $stderr == *"3 of 3 apps"* ]]
	[ -e "$RUNIT/a" ]
	earlier 61
	run -0 --separate-stderr pp converge setlive
	[ "$(ls "$RUNIT")" = "" ]
}

@test "--app does not make one of what is most" {
	apps a b c d
	gone a b c
	run -0 --separate-stderr iptables --app=a
	[[ $stderr == *"3 of 4 apps"* ]]
	expect_apps a b c d
}

@test "what waits is neither forgotten nor done when the store is not there meanwhile" {
	apps a b c
	gone a b c
	passes
	earlier 61
	mv "$BATS_TEST_TMPDIR/store" "$BATS_TEST_TMPDIR/away"
	run -69 iptables
	run -69 sudoers
	expect_apps a b c
	mv "$BATS_TEST_TMPDIR/away" "$BATS_TEST_TMPDIR/store"
	passes
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e '\.yml' -e pp- || :)" = 0 ]
}
