#!/usr/bin/env bats
# examples/quickstart.sh: what a newcomer sees first.

load helper
load node

# The tour, without what it would install: a deps.sh that has nothing to do comes with the copy.
setup() {
	helper_setup
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE/scripts" "$BATS_TEST_TMPDIR/tmp"
	cp -r "$TOP/examples" "$TREE"
	PATH=$PP_BUILD:$PATH
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	WIDE=
}

teardown() {
	helper_teardown
	[ -z "$WIDE" ] || rm -rf "$WIDE"
}

# Kept, so that what it left can be told from what was there.
tour() {
	env -u PP_NODE -u PP_STATE_DIR -u PP_CONF sh "$TREE/examples/quickstart.sh" "$@"
}

@test "the tour ends well, with the version that was activated answering" {
	need runsvdir busybox
	run -0 --separate-stderr tour
	[ "$stderr" = "" ]
	for n in 1 2 3 4 5 6 7 8; do
		[[ $output == *"== $n. "* ]]
	done
	[[ $output == *"This is slug, version abc123."*"versions.def456: prep -> active"*"This is slug, version def456."* ]]
	[[ $output == *"def456  yes      converged"* ]]
	# The last pass is the commands, and nothing else.
	quiet=$(sed -n '/^== 7/,/^== 8/p' <<<"$output" | grep -v -e '^==' -e '^$')
	[ "$quiet" = '  $ pp converge preparer
  $ pp converge setlive
  $ pp converge iptables
  $ pp converge sudoers' ]
	# Nothing stays, neither files nor processes.
	[ -z "$(ls -A "$TMPDIR")" ]
	[ -z "$(ls -A "$HOME")" ]
	run ! pgrep -f "$TMPDIR"
}

@test "the tour can be had twice, by who is not root and has no runit" {
	need_root
	WIDE=$(mktemp -d /tmp/pp-wide.XXXXXX)
	mkdir "$WIDE/bin" "$WIDE/tmp"
	cp "$PP" "$PP_UNPACK" "$WIDE/bin"
	cp -r "$TREE/examples" "$WIDE"
	for program in /usr/bin/* /bin/*; do
		case ${program##*/} in
		runsvdir | runsv | sv | visudo | pp) ;;
		*) ln -s "$program" "$WIDE/bin/" 2>/dev/null || : ;;
		esac
	done
	chmod -R a+rX "$WIDE"
	chown -R nobody "$WIDE/tmp"
	for again in 1 2; do
		run -0 setpriv --reuid=nobody --regid=nogroup --clear-groups \
			env -i PATH="$WIDE/bin" HOME="$WIDE/tmp" TMPDIR="$WIDE/tmp" sh "$WIDE/examples/quickstart.sh"
		[[ $output == *"There is no runit here"* ]]
		[[ $output == *"def456  no       converged"* ]]
		[ -z "$(ls -A "$WIDE/tmp")" ]
	done
}

@test "a tour in which something goes wrong says at which step, and fails" {
	printf "#!/bin/sh\necho broken\nexit 3\n" >"$TREE/examples/slug/pack.sh"
	run -1 --separate-stderr sh "$TREE/examples/quickstart.sh"
	[[ $stderr == *'quickstart: "2. Two versions of slug in a repository" went wrong: exit code 3 of: sh '* ]]
	[ -z "$(ls -A "$TMPDIR")" ]
}
