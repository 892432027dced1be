#!/usr/bin/env bats
# The supervisor systemd, on a real one: PID 1 of namespaces of its own.
# shellcheck disable=SC2016 # what is in single quotes is for the programs inside

load helper
load node
load systemd

setup_file() {
	systemd_boot
}

teardown_file() {
	systemd_halt
}

UNITS=/etc/systemd/system

setup() {
	helper_setup
	need_systemd
	# Both sides see it: here, and as /srv/test inside.
	HERE=$BATS_FILE_TMPDIR/$BATS_TEST_NUMBER
	THERE=/srv/test/$BATS_TEST_NUMBER
	APP=app$BATS_TEST_NUMBER
	UNIT=pp-$APP.service
	mkdir -p "$HERE/$APP/current/bin" "$HERE/out"
	chmod 0777 "$HERE/out"
}

teardown() {
	[ -n "${SYSTEMD_NONE-}" ] || inside sh -c "systemctl kill -s KILL 'pp-$APP*' 2>/dev/null
		systemctl stop 'pp-$APP*' 2>/dev/null
		rm -f $UNITS/pp-$APP* $UNITS/*.wants/pp-$APP*; systemctl daemon-reload" || :
	helper_teardown
}

# launches [NAME] <<'SCRIPT': bin/launch, or bin/launch/NAME.
launches() {
	local file=$HERE/$APP/current/bin/launch${1:+/$1}

	mkdir -p "${file%/*}"
	cat >"$file"
	chmod 0755 "$file"
}

sleeps() {
	launches "$@" <<<'#!/bin/sh
exec sleep 1000000'
}

# drive VERB [KEY=VALUE]...: the backend's own functions, inside.
drive() {
	inside /srv/build/unit/test_supervisor systemd "$1" app="$APP" basedir="$THERE/$APP" "${@:2}"
}

up() {
	drive define "$@" && drive enable "$@" && drive start "$@"
}

property() {
	inside systemctl show --value -p "$1" "${2:-$UNIT}"
}

# How often systemd has read its units.
reloads() {
	inside journalctl -q -o cat _PID=1 | grep -c '^Reloading\.$' || :
}

@test "defined, enabled, started: it runs as a unit, and again is the same" {
	sleeps
	[ "$(drive status)" = "$APP absent now" ]
	[ "$(drive same)" = 0 ]
	drive rehearse
	inside test ! -e "$UNITS/$UNIT"
	drive define
	[ "$(drive status)" = "$APP down now" ]
	[ "$(drive enabled)" = 0 ]
	[ "$(drive same)" = 0 ]
	drive enable
	[ "$(drive enabled)" = 1 ]
	[ "$(inside systemctl is-enabled "$UNIT")" = enabled ]
	drive start
	[ "$(drive status)" = "$APP up now" ]
	[ "$(drive same)" = 1 ]
	[ "$(inside cat "/proc/$(property MainPID)/comm")" = sleep ]
	[ "$(property KillMode) $(property Restart) $(property NeedDaemonReload)" = "mixed always no" ]
	[ "$(inside readlink "/proc/$(property MainPID)/cwd")" = "$THERE/$APP/current" ]
	[ "$(drive list)" = "$APP of $APP" ]
	# As systemd itself reads it, without a word of complaint.
	[ "$(inside systemd-analyze verify "$UNITS/$UNIT" 2>&1 | grep -F "$UNIT")" = "" ]
	run -0 inside journalctl -q -o cat _PID=1
	[[ $output != *"$UNIT:"*": "*ignoring* ]]
}

@test "daemon-reload only where a file has changed, or one that systemd has not read" {
	sleeps
	up
	before=$(reloads)
	pid=$(property MainPID)
	drive define
	drive define
	drive start
	[ "$(reloads)" -eq "$before" ]
	[ "$(property MainPID)" = "$pid" ]
	drive define version=v2
	[ "$(reloads)" -eq $((before + 1)) ]
	# A run that died between the two: who starts it next has it read.
	drive stop
	inside sed -i s/PP_VERSION=v2/PP_VERSION=v3/ "$UNITS/$UNIT"
	drive start version=v3
	[ "$(reloads)" -eq $((before + 2)) ]
	inside cat "/proc/$(property MainPID)/environ" | tr '\0' '\n' | grep -qx PP_VERSION=v3
}

@test "by hand: a changed file and a disabled unit are drift, a drop-in is not" {
	sleeps
	up
	inside sh -c "mkdir $UNITS/$UNIT.d; printf '[Service]\nNice=3\n' >$UNITS/$UNIT.d/nice.conf"
	[ "$(drive same)" = 1 ]
	inside systemctl daemon-reload
	[ "$(drive same)" = 1 ]
	inside sh -c "echo '# mine' >>$UNITS/$UNIT"
	[ "$(drive same)" = 0 ]
	up
	[ "$(drive same)" = 1 ]
	run ! inside grep -q mine "$UNITS/$UNIT"
	[ "$(property Nice)" = 3 ]
	inside systemctl disable "$UNIT"
	[ "$(drive same)" = 0 ]
	drive enable
	[ "$(drive same)" = 1 ]
	inside chmod 0600 "$UNITS/$UNIT"
	[ "$(drive same)" = 0 ]
	inside rm -r "$UNITS/$UNIT.d"
}

@test "stopped: what goes on TERM goes, and what does not is killed with all its processes" {
	sleeps
	up
	drive stop
	[ "$(drive status)" = "$APP down now" ]
	[ "$(property ActiveState)" = inactive ]
	drive stop

	launches <<-'SCRIPT'
		#!/bin/sh
		trap "" TERM
		sleep 1000000 &
		while :; do sleep 1; done
	SCRIPT
	up
	run -0 --separate-stderr drive stop timeout_ms=300
	[[ $stderr == *"service $APP did not stop in time, killing it"* ]]
	[ "$(drive status)" = "$APP down now" ]
	[ -z "$(inside cat "/sys/fs/cgroup/system.slice/$UNIT/cgroup.procs" 2>/dev/null)" ]
	# Where systemd itself was faster.
	up stop_ms=300
	run -0 --separate-stderr drive stop timeout_ms=20000
	[[ $stderr == *"service $APP did not stop in time, killed by systemd"* ]]
	# What is killed stays down.
	[ "$(drive status)" = "$APP down now" ]
	# And up again, also when the run has no time left.
	run -1 drive start deadline_ms=0
	drive restore deadline_ms=0
	[ "$(drive status)" = "$APP up now" ]
}

@test "what ends is started again, however often" {
	launches <<<'#!/bin/sh
echo again >>'"$THERE"'/out/starts'
	up
	has_started() { [ "$(wc -l <"$HERE/out/starts")" -ge 3 ]; }
	wait_until has_started
	# Between two, it is not up, and stopping it is for good.
	drive stop
	[ "$(property ActiveState)" = inactive ]
}

@test "what cannot be executed is told, with its unit" {
	launches <<<'#!/no/such/interpreter'
	drive define
	run -1 --separate-stderr drive start
	[[ $stderr == *"$UNIT: systemctl start: exit 1: Job for $UNIT failed"* ]]
	drive stop
	[ "$(property ActiveState)" = inactive ]
}

@test "retired: it stays down at boot; removed: nothing of it is left" {
	sleeps
	up
	drive keep_down
	[ "$(drive enabled)" = 0 ]
	[ "$(drive status)" = "$APP up now" ]
	drive stop
	drive remove
	drive remove
	[ "$(drive list)" = "" ]
	[ "$(drive status)" = "$APP absent now" ]
	[ "$(property LoadState)" = not-found ]
	[ -z "$(inside find "$UNITS" -name "*$APP*")" ]
	drive keep_down
	drive stop
}

@test "several services of one app are asked, started and removed as one" {
	sleeps web
	sleeps worker
	both=(service="${APP}__web" service="${APP}__worker")
	up "${both[@]}"
	[ "$(drive status "${both[@]}")" = "${APP}__web up now
${APP}__worker up now" ]
	[ "$(drive list)" = "${APP}__web of $APP
${APP}__worker of $APP" ]
	inside systemctl stop "pp-${APP}__web"
	[ "$(drive status "${both[@]}" service=nothing)" = "${APP}__web down now
${APP}__worker up now
nothing absent now" ]
	drive stop "${both[@]}"
	drive remove "${both[@]}"
	[ "$(drive list)" = "" ]
}

@test "units that pp did not make are not touched: by a file, elsewhere, masked, an alias, transient" {
	sleeps
	foreign="[Service]
ExecStart=/bin/sleep 2000000"
	inside sh -c "echo '$foreign' >$UNITS/$UNIT; systemctl daemon-reload; systemctl start $UNIT"
	pid=$(property MainPID)
	for verb in same rehearse define remove; do
		run -1 --separate-stderr drive "$verb"
		[ "$stderr" = "$UNITS/$UNIT is in the way: pp did not make it for $APP; move it away" ]
	done
	drive keep_down
	[ "$(drive list)" = "" ]
	[ "$(property MainPID)" = "$pid" ]
	[ "$(inside cat "$UNITS/$UNIT")" = "$foreign" ]
	inside systemctl stop "$UNIT"

	# Pp's own, of another app.
	inside sed -i '1i # Written by pp for other, which writes it again where it differs.' "$UNITS/$UNIT"
	run -1 --separate-stderr drive define
	[[ $stderr == *"is in the way: pp did not make it for $APP"* ]]
	[ "$(drive list)" = "$APP of other" ]

	inside sh -c "ln -sf /dev/null $UNITS/$UNIT; systemctl daemon-reload"
	run -1 --separate-stderr drive define
	[[ $stderr == *"is in the way"* ]]
	inside rm "$UNITS/$UNIT"

	inside sh -c "mkdir -p /run/systemd/system; echo '$foreign' >/run/systemd/system/$UNIT
		systemctl daemon-reload; systemctl start $UNIT"
	[ "$(drive status)" = "$APP absent now" ]
	run -1 --separate-stderr drive rehearse
	[ "$stderr" = "unit $UNIT is in the way: pp did not make it, it is /run/systemd/system/$UNIT; rename that or the app" ]
	run -1 --separate-stderr drive define
	[[ $stderr == "unit $UNIT is in the way: "* ]]
	inside test ! -e "$UNITS/$UNIT"
	drive stop
	[ "$(property ActiveState)" = active ]
	inside sh -c "systemctl stop $UNIT; rm /run/systemd/system/$UNIT; systemctl daemon-reload"

	inside sh -c "echo '$foreign' >/run/systemd/system/$APP-real.service
		ln -s $APP-real.service /run/systemd/system/$UNIT; systemctl daemon-reload; systemctl start $UNIT"
	run -1 --separate-stderr drive define
	[[ $stderr == "unit $UNIT is in the way: "*"$APP-real.service"* ]]
	drive stop
	[ "$(drive status)" = "$APP absent now" ]
	[ "$(property ActiveState)" = active ]
	inside sh -c "systemctl stop $UNIT; rm /run/systemd/system/*$APP*; systemctl daemon-reload"

	inside systemd-run -q --unit="$UNIT" sleep 3000000
	run -1 --separate-stderr drive define
	[[ $stderr == "unit $UNIT is in the way: "*"/run/systemd/transient/$UNIT"* ]]
	drive stop
	[ "$(property ActiveState)" = active ]
	inside systemctl stop "$UNIT"
}

@test "the environment is what pp says, byte for byte, and what systemd adds" {
	launches <<<'#!/bin/sh
/usr/bin/env -0 >'"$THERE"'/out/new && mv '"$THERE"'/out/new '"$THERE"'/out/env
exec sleep 1000000'
	nasty='a  b"c'\''d%h%%$HOME${X}\n\\ #;naïve	tab '
	up version=v7 cluster=demo port=1212 env="NASTY=$nasty" env="EMPTY=" env="LONG=$(printf 'x%.0s' {1..5000})" \
		env=PP_NODE=other env="LAST=\\"
	wait_until test -s "$HERE/out/env"
	drive stop
	mapfile -t -d '' got <"$HERE/out/env"
	for wanted in "NASTY=$nasty" EMPTY= 'LAST=\' PP_APP="$APP" PP_VERSION=v7 PP_CLUSTER=demo PP_NODE=other \
		PORT=1212 PP_USER_CONFIG="$THERE/$APP/config/user_config.json" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; do
		printf '%s\n' "${got[@]}" | grep -qxF "$wanted" || fail "not there: $wanted"
	done
	# Nothing else but what the page says.
	printf '%s\n' "${got[@]%%=*}" | grep -vxE 'NASTY|EMPTY|LONG|LAST|PP_[A-Z_]+|PORT|PATH|PWD|SHLVL|_|OLDPWD' | sort |
		grep -vxE 'LANG|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_EXEC_PID|HOME|LOGNAME|USER|SHELL' &&
		fail "more than that"
	run ! drive define env="A=$(printf '\377')"
	run -1 --separate-stderr drive same env="1A=b"
	[[ $stderr == *'env: "1A" is no name that systemd takes; use letters, digits and _' ]]
}

@test "a basedir with spaces, percent and dollar signs" {
	odd="$HERE/100% of \$its own"
	mkdir -p "$odd/current/bin"
	printf '#!/bin/sh\npwd >%s/out/new && mv %s/out/new %s/out/pwd\nexec sleep 1000000\n' \
		"$THERE" "$THERE" "$THERE" >"$odd/current/bin/launch"
	chmod +x "$odd/current/bin/launch"
	up basedir="$THERE/100% of \$its own"
	wait_until test -s "$HERE/out/pwd"
	[ "$(cat "$HERE/out/pwd")" = "$THERE/100% of \$its own/current" ]
}

@test "as its user, within its limits" {
	launches <<<'#!/bin/bash
cd '"$THERE"'/out
{ id -un; id -gn; ulimit -n; ulimit -t; } >new && mv new limits
exec sleep 1000000'
	up user=nobody nofile=99 cpu=7 memory=104857600 tasks=12
	wait_until test -s "$HERE/out/limits"
	[ "$(tr '\n' ' ' <"$HERE/out/limits")" = "nobody nogroup 99 7 " ]
	[ "$(property MemoryMax) $(property TasksMax)" = "104857600 12" ]
}

@test "its log is the journal's, and its last lines are shown" {
	launches <<<'#!/bin/sh
for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "line $i"; done; printf "\033[31mred\n" >&2
exec sleep 1000000'
	up
	[ "$(drive log_place)" = "journalctl -u pp-$APP" ]
	has_said() { drive log_tail | grep -q red; }
	wait_until has_said
	run -0 drive log_tail
	[ "${#lines[@]}" -le 10 ]
	[[ $output == *"line 11"* && $output == *'\x1b[31mred'* ]]
	[[ $(inside journalctl -q -t "$APP" -o cat) == *"line 11"* ]]
}

@test "a unit whose file is gone while it runs is still its own" {
	sleeps
	up
	inside sh -c "rm $UNITS/$UNIT; systemctl daemon-reload"
	[ "$(drive status)" = "$APP up now" ]
	drive stop
	[ "$(drive status)" = "$APP absent now" ]
}

@test "where no systemd runs, that is what is said" {
	need_root
	[ ! -e /run/systemd/system ] || skip "systemd runs on this machine"
	for verb in same status define rehearse start stop; do
		run -1 --separate-stderr "$PP_BUILD/unit/test_supervisor" systemd "$verb" units="$BATS_TEST_TMPDIR/units"
		[ "$stderr" = "systemd does not run here: there is no /run/systemd/system; write supervisor runit, or another one" ]
	done
	[ ! -e "$BATS_TEST_TMPDIR/units" ]
	run -0 "$PP_BUILD/unit/test_supervisor" systemd list units="$BATS_TEST_TMPDIR/units"
	[ "$output" = "" ]
}

@test "pp converge setlive: from the store to a unit that runs, through a new version, to nothing" {
	export PP_STORE=dir:$HERE/store REPO=$HERE/repo
	BASEDIR=$HERE/slug
	mkdir -p "$HERE/store" "$REPO"
	APP=slug
	UNIT=pp-slug.service
	repo_add slug abc123
	repo_add slug def456
	live() {
		inside env PP_STORE="dir:$THERE/store" PP_STATE_DIR="$THERE/state" PP_NODE=node1 PP_CONF=/dev/null \
			/srv/build/pp converge "$@"
	}
	BASEDIR=$THERE/slug intent_slug abc123:active,def456:prep >/dev/null
	live preparer --repo="file://$THERE/repo" 2>/dev/null
	run -0 --separate-stderr live setlive --supervisor=systemd
	expect_said "INFO slug: Stopping" "INFO slug: Configuring systemd" "INFO slug: Symlinking" "INFO slug: Starting"
	inside cat "/proc/$(property MainPID)/environ" | tr '\0' '\n' | grep -qx ARTIFACT_VERSION=abc123
	run -0 --separate-stderr live setlive --supervisor=systemd
	expect_silence
	pp intent set slug versions.def456=active >/dev/null
	live setlive --supervisor=systemd 2>/dev/null
	inside cat "/proc/$(property MainPID)/environ" | tr '\0' '\n' | grep -qx ARTIFACT_VERSION=def456
	store_delete nodes/node1/slug
	live setlive --supervisor=systemd --allow-empty 2>/dev/null
	[ -z "$(inside find "$UNITS" -name "*slug*")" ]
	[ "$(property ActiveState)" = inactive ]
}
