# shellcheck shell=bash
# For the tests of setlive on one node, after helper and node: slug, from version to version.
# shellcheck disable=SC2119,SC2120 # what is run may be given more arguments, or not

setup() {
	helper_setup
	store_dir
	# Hooks of artifacts write here, whoever they run as.
	SEEN=$(mktemp -d /tmp/pp-hooks.XXXXXX)
	chmod 0777 "$SEEN"
	export SEEN
	BASEDIR=$SEEN/slug
	export RUNIT=$BATS_TEST_TMPDIR/service RUNIT_STAGE=$BATS_TEST_TMPDIR/service-stage
	mkdir "$RUNIT" "$RUNIT_STAGE"
}

teardown() {
	helper_teardown
	rm -rf "$SEEN"
}

setlive() {
	pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" "$@"
}

prepare() {
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
}

# intend VERSIONS [FIELD=VALUE...]: say so and prepare it, in silence; healthy is whatever runs.
intend() {
	intent_slug "$1" >/dev/null
	pp intent set slug start_timeout=4 stop_timeout=5 settle=0 "${@:2}" >/dev/null
	prepare
}

change() {
	pp intent set slug "$@" >/dev/null
}

activate() {
	change "versions.$1=active"
}

# hook LINE...: a program, for repo_add.
hook() {
	printf '%s\n' '#!/bin/sh' "$@"
}

# Is version $1 live and running?
runs() {
	[ "$(readlink "$BASEDIR/current")" = "installs/slug_$1" ] || fail "current: $(readlink "$BASEDIR/current")"
	[ "$(service_version slug)" = "$1" ] || fail "runs: $(service_version slug)"
}

# with_old [VERSION...]: abc123 is live and runs; nothing else has happened yet.
with_old() {
	repo_add slug abc123
	intend "abc123:active$([ $# -eq 0 ] || printf ',%s:prep' "$@")"
	runit_start
	setlive 2>/dev/null
	runs abc123
	OLD=$(service_pid slug)
}

# Nothing was stopped or changed: abc123 runs on as it did.
untouched() {
	runs abc123
	[ "$(service_pid slug)" = "$OLD" ] || fail "it was restarted"
}

# says TEXT: among what is logged.
says() {
	[[ $(said) == *"$1"* ]] || fail "not \"$1\", but: $(said)"
}

says_not() {
	[[ $(said) != *"$1"* ]] || fail "\"$1\" in: $(said)"
}
