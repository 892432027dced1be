#!/usr/bin/env bats
# pp converge setlive with systemd, a real one: the main job, and from one supervisor to another.

load helper
load node
load systemd

setup_file() {
	systemd_boot
}

teardown_file() {
	systemd_halt
}

setup() {
	helper_setup
	need_systemd
	need runsvdir
	# Both sides see it: here, and as /srv/test inside.
	HERE=$BATS_FILE_TMPDIR/$BATS_TEST_NUMBER
	THERE=/srv/test/$BATS_TEST_NUMBER
	APP=app$BATS_TEST_NUMBER
	mkdir -p "$HERE/repo" "$HERE/state" "$HERE/service" "$HERE/stage"
}

teardown() {
	[ -n "${SYSTEMD_NONE-}" ] || inside sh -c "systemctl stop 'pp-$APP*' 2>/dev/null
		rm -f /etc/systemd/system/pp-$APP* /etc/systemd/system/*.wants/pp-$APP*; systemctl daemon-reload" || :
	[ -z "${RUNSVDIR-}" ] || { kill -HUP "$RUNSVDIR" && wait "$RUNSVDIR"; } 2>/dev/null || :
	helper_teardown
}

# pp inside, with what it needs there.
there() {
	inside env PP_STORE="dir:$THERE/store" PP_NODE=web1 PP_STATE_DIR="$THERE/state" PP_CONF=/dev/null \
		/srv/build/pp "$@"
}

# artifact VERSION SCRIPT: bin/launch is that.
artifact() {
	local tree

	tree=$(mktemp -d "$BATS_TEST_TMPDIR/tree.XXXXXX")
	chmod 0755 "$tree"
	mkdir "$tree/bin"
	printf '#!/bin/sh\n%s\n' "$2" >"$tree/bin/launch"
	chmod 0755 "$tree/bin" "$tree/bin/launch"
	mkdir -p "$HERE/repo/$APP"
	tar -C "$tree" -czf "$HERE/repo/$APP/${APP}_$1.tar.gz" .
}

# intend [KEY=VALUE]...: v1 is active, v2 prepared.
intend() {
	[ -f "$HERE/repo/$APP/${APP}_v2.tar.gz" ] || artifact v2 'exec sleep 1000002'
	there intent set "$APP/demo" versions=v1:active,v2:prep basedir="$THERE/$APP" supervisor=systemd \
		settle=1 start_timeout=5 stop_timeout=5 "$@" >/dev/null
	there intent assign "$APP/demo" web1 >/dev/null
	there converge preparer --repo="file://$THERE/repo" --verify=none 2>/dev/null
}

setlive() {
	there converge setlive --runit="$THERE/service" --runit-stage="$THERE/stage" "$@"
}

state_of() {
	inside systemctl show -P "$1" "pp-$APP.service"
}

pid_of() {
	state_of MainPID
}

@test "a first deployment, another version, none: units come, change and go" {
	artifact v1 'exec sleep 1000001'
	artifact v2 'exec sleep 1000002'
	intend
	run -0 --separate-stderr setlive
	expect_said "INFO $APP: Stopping" "INFO $APP: Configuring systemd" "INFO $APP: Symlinking" "INFO $APP: Starting"
	[ "$(state_of ActiveState)" = active ]
	[ "$(inside systemctl is-enabled "pp-$APP.service")" = enabled ]
	pid=$(pid_of)
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(pid_of)" = "$pid" ]

	there intent set "$APP" versions.v2=active >/dev/null
	setlive
	[ "$(readlink "$HERE/$APP/current") $(readlink "$HERE/$APP/last")" = "installs/${APP}_v2 installs/${APP}_v1" ]
	inside grep -q 1000002 "/proc/$(pid_of)/cmdline"

	there intent set "$APP" versions.v2=prep >/dev/null
	setlive
	[ "$(state_of ActiveState)" = inactive ]
	run -0 --separate-stderr setlive
	expect_silence
	there intent unassign "$APP/demo" web1 >/dev/null
	setlive --allow-empty
	[ "$(state_of LoadState)" = not-found ]
}

@test "a version that ends at once is not live for anybody, and its last lines are told" {
	artifact v1 'exec sleep 1000001'
	artifact v2 'echo I cannot go on; exit 3'
	intend
	setlive
	there intent set "$APP" versions.v2=active >/dev/null
	run -1 --separate-stderr setlive
	[[ $(said) == *"I cannot go on"*"FATAL $APP: Could not start: "* ]] || fail "$(said)"
	there intent set "$APP" versions.v1=active >/dev/null
	run -0 setlive
	[ "$(state_of ActiveState)" = active ]
}

@test "what was changed by hand is mended, and nothing else is restarted for that" {
	artifact v1 'exec sleep 1000001'
	intend
	setlive
	inside sed -i 's/^Restart=.*/Restart=no/' "/etc/systemd/system/pp-$APP.service"
	run -0 setlive --dry-run
	[[ $output == *"write its service definition (the service definition differs)"* ]]
	setlive
	[ "$(state_of Restart)" = always ]
}

@test "from runit to systemd and back: never both" {
	artifact v1 'exec sleep 1000003'
	intend supervisor=runit
	inside runsvdir -P "$THERE/service" >/dev/null 2>&1 3>&- &
	RUNSVDIR=$!
	setlive
	[ "$(inside pgrep -fc 'sleep 100000[3]')" = 1 ]
	there intent set "$APP" supervisor=systemd >/dev/null
	setlive
	[ "$(inside pgrep -fc 'sleep 100000[3]')" = 1 ]
	[ "$(state_of ActiveState)" = active ]
	[ ! -e "$HERE/stage/$APP" ]
	there intent set "$APP" supervisor=runit >/dev/null
	setlive
	[ "$(inside pgrep -fc 'sleep 100000[3]')" = 1 ]
	[ "$(state_of LoadState)" = not-found ]
	[ -d "$HERE/stage/$APP" ]
	there intent unassign "$APP/demo" web1 >/dev/null
	setlive --allow-empty
	[ "$(inside pgrep -fc 'sleep 100000[3]')" = 0 ]
	[ ! -e "$HERE/stage/$APP" ]
}
