#!/usr/bin/env bats
# pp direct: the kickstart, without a store.

load helper

setup() {
	helper_setup
	runit_start
	PORT=$(free_port)
	repo_add slug v1
	repo_add slug v2
}

direct() {
	pp direct slug "$1" --basedir="$BASEDIR" --repo="$REPO_URL" --runit="$RUNIT" \
		--runit-stage="$RUNIT_STAGE" "ports=$PORT" check.exec=/bin/true settle=1 "${@:2}"
}

# What runit has written for slug: where it stands, and that it is up.
is_up() {
	sv status "$RUNIT/slug" | grep -q '^run: '
}

@test "an app runs without any store, and a second time nothing is done" {
	export PP_STORE=dir:/nonexistent
	run -0 --separate-stderr direct v1
	[[ $stderr == *"slug: Starting"* ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_v1 ]
	is_up
	run -0 --separate-stderr direct v1
	[ -z "$output$stderr" ]
	run -0 --separate-stderr direct v2
	[ "$(readlink "$BASEDIR/current")" = installs/slug_v2 ]
	[ "$(readlink "$BASEDIR/last")" = installs/slug_v1 ]
}

@test "setlive leaves it alone although no store has it, and takes it over once one does" {
	direct v1
	store_dir
	pp intent set other/demo versions=a:prep basedir="$BATS_TEST_TMPDIR/other"
	pp intent assign other/demo "$PP_NODE"
	for _ in 1 2; do
		pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	done
	is_up

	pp intent set slug/demo versions=v1:active basedir="$BASEDIR" ports="$PORT" check.exec=/bin/true settle=1
	pp intent assign slug/demo "$PP_NODE"
	run -0 --separate-stderr pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	[[ $stderr == *"slug: Configuring runit"* ]]
	is_up

	pp intent unassign slug/demo "$PP_NODE"
	pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	[ ! -e "$RUNIT/slug" ]
}

@test "a wrong digest is refused, and nothing is live" {
	run -1 --separate-stderr direct v1 "--digest=sha256:$(printf '0%.0s' {1..64})"
	[[ $stderr == *"sha256 does not match"* ]]
	[ ! -e "$BASEDIR/current" ]
	[ ! -e "$BASEDIR/installs/slug_v1" ]
}

@test "--dry-run prints what would be done and does nothing" {
	run -0 direct v1 --dry-run
	[[ $output == *"preparer slug: would install $BASEDIR/installs/slug_v1"* ]]
	[ ! -e "$BASEDIR" ]
}

@test "what is missing or wrong on the command line is told" {
	run -64 --separate-stderr pp direct slug
	[[ $stderr == *"usage: pp direct APP VERSION"* ]]
	run -65 --separate-stderr pp direct ../slug v1 --basedir="$BASEDIR" --repo="$REPO_URL"
	[[ $stderr == *"must name an app"* ]]
	run -65 --separate-stderr pp direct slug v1 --basedir=relative --repo="$REPO_URL"
	[[ $stderr == *"must be absolute"* ]]
	run -65 --separate-stderr pp direct slug v1 --basedir="$BASEDIR" --repo="$REPO_URL" colour=red
	[[ $stderr == *"no such key"* ]]
	run -78 --separate-stderr direct v1 --supervisor=servicebuilder
	[[ $stderr == *"runit only"* ]]
}
