#!/usr/bin/env bats
# pp converge setlive, one node: back to the version before, --purge, a disk that is full.

load helper
load node
load setlive_node

# --- on_failure: revert

# with_bad: abc123 runs; def456, which ends at once, is active.
with_bad() {
	repo_add slug def456 fail
	repo_add slug ghi789
	with_old def456 ghi789
	change on_failure=revert start_timeout=1 settle=1 versions.def456=active
	pp intent unset slug check ports >/dev/null
}

@test "revert: back to what ran before in the same pass, exit 1, halted until what is intended changes" {
	with_bad
	run -1 --separate-stderr setlive
	says "FATAL slug: Could not start: def456 is not healthy after"
	says "INFO slug: Going back to abc123"
	runs abc123
	for again in 1 2; do
		run -0 --separate-stderr setlive
		expect_silence
		run -8 setlive --detailed-exitcodes
		run -0 setlive --dry-run
		[ "$output" = "setlive slug: halted: def456 did not get healthy here, so abc123 is live again; this stays so until what is intended changes" ]
	done
	pid=$(service_pid slug)
	# What is intended is another thing now, for the same version too.
	change user_config.x=1
	run -1 --separate-stderr setlive
	says "def456 is not healthy"
	says "Going back to abc123"
	runs abc123
	activate ghi789
	run -0 --separate-stderr setlive
	runs ghi789
	run -0 --separate-stderr setlive
	expect_silence
	run -0 setlive --detailed-exitcodes
	# It was another one meanwhile, so it is tried again.
	activate def456
	run -1 --separate-stderr setlive
	says "def456 is not healthy"
	runs ghi789
}

@test "revert: pp status says halted" {
	with_bad
	run -1 setlive
	pp intent unset slug users >/dev/null
	export PP_RUNIT=$RUNIT PP_RUNIT_STAGE=$RUNIT_STAGE
	run pp status slug
	[[ $output == *halted* ]] || fail "$output"
	[[ $output == *"def456 did not get healthy here"* ]] || fail "$output"
}

@test "revert: killed in the middle of it, the next pass finishes" {
	with_bad
	round=0
	for text in 'Starting' 'said: \|the log of' 'Going back' ; do
		: >"$SEEN/said"
		change "user_config.round:=$((++round))"
		"$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>"$SEEN/said" &
		pass=$!
		wait_until grep -q "$text" "$SEEN/said"
		kill -9 "$pass" 2>/dev/null || :
		wait "$pass" 2>/dev/null || :
		for again in 1 2; do
			run setlive
			[ "$status" -le 1 ]
		done
		runs abc123
		run -8 --separate-stderr setlive --detailed-exitcodes
		expect_silence
	done
}

@test "revert: with nothing to go back to it stays, failed" {
	repo_add slug abc123 fail
	intend abc123:active on_failure=revert start_timeout=1 settle=1
	pp intent unset slug check ports >/dev/null
	runit_start
	for again in 1 2; do
		run -1 --separate-stderr setlive
		says_not "Going back"
		[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	done
	# Nor is there where the version before has been removed.
	repo_add slug def456 fail
	change versions.def456=active
	prepare
	rm -rf "$BASEDIR/installs/slug_abc123"
	for again in 1 2; do
		run -1 --separate-stderr setlive
		says_not "Going back"
		[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
	done
}

@test "revert: what is gone back to fails, too: it stays there, failed, and nothing goes round" {
	repo_add slug abc123 none bin/launch="$(hook 'export ARTIFACT_VERSION=abc123' "[ ! -e $SEEN/broken ] || exit 1" 'exec sleep 1000006')"
	repo_add slug def456 fail
	intend abc123:active,def456:prep on_failure=revert start_timeout=1 settle=1
	pp intent unset slug check ports >/dev/null
	runit_start
	setlive 2>/dev/null
	activate def456
	touch "$SEEN/broken"
	run -1 --separate-stderr setlive
	says "Going back to abc123"
	says "abc123 is not healthy"
	for again in 1 2; do
		run -1 --separate-stderr setlive
		says_not "Going back"
		[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	done
	rm "$SEEN/broken"
	run setlive
	wait_until eval 'setlive 2>/dev/null; runs abc123'
	run -8 setlive --detailed-exitcodes
}

# --- --purge

# gone: slug is positively not this node's any more.
gone() {
	pp intent unassign slug/demo "$PP_NODE" >/dev/null
}

@test "--purge removes the installs of that app, and nothing else, when it is gone" {
	repo_add slug def456
	with_old def456
	mkdir -p "$BASEDIR/installs/other_v1" "$BASEDIR/data"
	touch "$BASEDIR/installs/note" "$BASEDIR/data/keep"
	# While it is not gone, there is nothing to purge.
	run -0 --separate-stderr setlive --purge
	expect_silence
	untouched
	gone
	run -0 --separate-stderr setlive --purge --allow-empty --dry-run
	[[ $output == *"would remove its installs from $BASEDIR (the app is not assigned to this node any more)"* ]]
	run -0 --separate-stderr setlive --purge --allow-empty
	says "INFO slug: Removing its installs from $BASEDIR"
	[ "$(ls "$BASEDIR/installs")" = "note
other_v1" ]
	[ -e "$BASEDIR/data/keep" ]
	[ ! -L "$BASEDIR/current" ]
	run -0 --separate-stderr setlive --purge --allow-empty
	expect_silence
}

@test "without --purge installs stay, also of an app in doubt" {
	with_old
	# In doubt: another store.
	gone
	identity=$(store_get pp/store)
	store_identify 11111111-2222-3333-4444-555555555555
	run -1 --separate-stderr setlive --purge --allow-empty
	untouched
	[ -d "$BASEDIR/installs/slug_abc123" ]
	store_put pp/store "$identity"
	run -0 --separate-stderr setlive --allow-empty
	is_gone "$OLD"
	[ -d "$BASEDIR/installs/slug_abc123" ]
	# Later is not too late.
	run -0 --separate-stderr setlive --purge --allow-empty
	[ ! -e "$BASEDIR/installs/slug_abc123" ]
}

@test "--purge: a basedir that is a symlink by now, or a system directory, is left alone" {
	with_old
	gone
	mv "$BASEDIR" "$SEEN/elsewhere"
	ln -s "$SEEN/elsewhere" "$BASEDIR"
	run -1 --separate-stderr setlive --purge --allow-empty
	says "$BASEDIR"
	[ -d "$SEEN/elsewhere/installs/slug_abc123" ]
	[ -L "$SEEN/elsewhere/current" ]
}

@test "--purge: what this node remembers is no order to empty a system directory" {
	with_old
	gone
	memory=$PP_STATE_DIR/place/slug
	[ "$(cat "$memory")" = "$BASEDIR" ]
	for place in /usr /etc relative "$BASEDIR/../x"; do
		echo "$place" >"$memory"
		run -1 --separate-stderr setlive --purge --allow-empty
		says "$place is no basedir"
		[ -d "$BASEDIR/installs/slug_abc123" ]
	done
}

@test "--purge: killed between the services and the installs, the next pass finishes" {
	need strace
	with_old
	gone
	for count in 1 2 3 4 5 6; do
		killed_at unlinkat $count "$PP" converge setlive --purge --allow-empty --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" || break
	done
	[ "$count" -ge 3 ]
	run -0 setlive --purge --allow-empty
	[ ! -e "$BASEDIR/installs/slug_abc123" ]
	[ ! -L "$BASEDIR/current" ]
	[ "$(ls -A "$RUNIT")$(ls -A "$RUNIT_STAGE")" = "" ]
}

# --- a disk that is full

@test "a basedir on a full disk: nothing that runs is changed" {
	need_mount_namespace
	repo_add slug def456
	# shellcheck disable=SC2016
	run unshare --mount bash -euc "$(declare -f)"'
		mkdir -p "$BASEDIR"
		mount -t tmpfs -o size=400k none "$BASEDIR"
		repo_add slug abc123
		intend abc123:active,def456:prep user_config.x=1
		HELPER_PIDS=() HELPER_NAMES=() SPAWN_DEATH=
		runit_start
		trap "helper_stop_all" EXIT
		setlive 2>/dev/null
		runs abc123
		old=$(service_pid slug)
		before=$(cat "$BASEDIR/config/user_config.json")
		change versions.def456=active user_config.y="$(head -c 20000 /dev/zero | tr "\0" y)"
		dd if=/dev/zero of="$BASEDIR/fill" bs=1k 2>/dev/null || :
		code=0
		setlive 2>"$SEEN/said" || code=$?
		cat "$SEEN/said"
		[ "$code" = 1 ]
		grep -q "No space left on device" "$SEEN/said"
		runs abc123
		[ "$(service_pid slug)" = "$old" ]
		[ "$(cat "$BASEDIR/config/user_config.json")" = "$before" ]
		rm "$BASEDIR/fill"
		setlive 2>/dev/null
		runs def456
	'
	[ "$status" = 0 ] || fail "$output"
}
