#!/usr/bin/env bats
# pp converge setlive, one node: an artifact's own programs, checks, times, limits; versions that fail.

load helper
load node
load setlive_node

# --- bin/preflight

@test "bin/preflight that fails keeps what runs running, and is asked again each pass" {
	repo_add slug def456 sleep bin/preflight="$(hook 'echo no database >&2' '[ -e '"$SEEN"'/database ]')"
	with_old def456
	activate def456
	for again in 1 2; do
		run -1 --separate-stderr setlive
		expect_said "FATAL slug: def456 is not made live: bin/preflight: *: exit 1: no database"
		untouched
		[ ! -e "$BASEDIR/last" ]
	done
	touch "$SEEN/database"
	run -0 --separate-stderr setlive
	runs def456
}

@test "bin/preflight that hangs is killed with all it started, and nothing is stopped" {
	repo_add slug def456 sleep bin/preflight="$(hook 'sleep 1000007 &' "echo \$! >$SEEN/child" 'wait')"
	with_old def456
	change versions.def456=active start_timeout=1
	run -1 --separate-stderr setlive
	says "def456 is not made live: bin/preflight"
	untouched
	wait_until is_gone "$(cat "$SEEN/child")"
}

@test "bin/preflight runs before anything is stopped, as the app's user, in the new install, with its environment" {
	need_root
	export LEAKED=secret
	repo_add slug def456 sleep bin/preflight="$(hook "env | grep -v -e ^_= -e ^SHLVL= -e ^OLDPWD= -e ^PWD= | sort >$SEEN/env" \
		"id -un >$SEEN/user; id -G >>$SEEN/user; pwd >$SEEN/pwd; readlink $BASEDIR/current >$SEEN/current" "[ -d /proc/\$(cat $SEEN/pid) ] && touch $SEEN/up")"
	with_old def456
	change runas=nobody env.GREETING="hello world" versions.def456=active
	prepare
	echo "$OLD" >"$SEEN/pid"
	chmod 0644 "$SEEN/pid"
	setlive 2>/dev/null
	runs def456
	[ -e "$SEEN/up" ]
	[ "$(cat "$SEEN/env")" = "GREETING=hello world
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PORT=1212
PP_APP=slug
PP_CLUSTER=demo
PP_NODE=node1
PP_USER_CONFIG=$BASEDIR/config/user_config.json
PP_VERSION=def456" ]
	[ "$(cat "$SEEN/user")" = "nobody
$(id -g nobody)" ]
	[ "$(cat "$SEEN/pwd")" = "$BASEDIR/installs/slug_def456" ]
	[ "$(cat "$SEEN/current")" = installs/slug_abc123 ]
}

@test "what cannot be run is named, and nothing is stopped for it" {
	for name in preflight enable disable check launch; do
		tree=$BATS_TEST_TMPDIR/tree-$name
		mkdir -p "$tree/bin"
		hook 'exec sleep 1000003' >"$tree/bin/launch"
		chmod 0755 "$tree/bin/launch"
		hook 'exit 0' >"$tree/bin/$name"
		chmod 0644 "$tree/bin/$name"
		repo_pack "$tree" slug "$name"
	done
	with_old preflight enable disable check launch
	for name in preflight enable disable check launch; do
		activate "$name"
		run -1 --separate-stderr setlive
		says "FATAL slug: $BASEDIR/installs/slug_$name: "
		says "$name is not executable; set its run bit and pack a new version"
		untouched
	done
}

# --- bin/enable, bin/disable, drain

@test "bin/disable of the old version runs before its stop, bin/enable of the new one after its start" {
	repo_add slug abc123 sleep bin/disable="$(hook "echo \"disable abc123 \$PP_VERSION \$(pwd) \$(readlink $BASEDIR/current)\" >>$SEEN/log" \
		"kill -0 \$(cat $SEEN/pid) && echo runs >>$SEEN/log")" \
		bin/enable="$(hook "echo \"enable abc123 \$PP_VERSION\" >>$SEEN/log")"
	repo_add slug def456 sleep bin/enable="$(hook "echo \"enable def456 \$PP_VERSION \$(pwd) \$(readlink $BASEDIR/current)\" >>$SEEN/log" \
		"kill -0 \$(cat $SEEN/pid) 2>/dev/null || echo gone >>$SEEN/log")"
	intend abc123:active,def456:prep
	runit_start
	setlive 2>/dev/null
	[ "$(cat "$SEEN/log")" = "enable abc123 abc123" ]
	: >"$SEEN/log"
	service_pid slug >"$SEEN/pid"
	activate def456
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Draining" "INFO slug: Stopping" "INFO slug: Configuring runit" \
		"INFO slug: Symlinking" "INFO slug: Starting"
	[ "$(cat "$SEEN/log")" = "disable abc123 abc123 $BASEDIR/installs/slug_abc123 installs/slug_abc123
runs
enable def456 def456 $BASEDIR/installs/slug_def456 installs/slug_def456
gone" ]
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(wc -l <"$SEEN/log")" -eq 4 ]
}

@test "bin/disable that fails or hangs is a warning, and the change goes on" {
	repo_add slug abc123 sleep bin/disable="$(hook 'echo cannot >&2' 'exit 3')"
	repo_add slug def456 sleep bin/disable="$(hook 'exec sleep 1000004')"
	intend abc123:active,def456:prep stop_timeout=1
	runit_start
	setlive 2>/dev/null
	activate def456
	run -0 --separate-stderr setlive
	says "WARN slug: bin/disable: "
	says "exit 3: cannot; going on"
	runs def456
	activate abc123
	run -0 --separate-stderr setlive
	says "WARN slug: bin/disable: "
	runs abc123
}

@test "bin/disable runs also when the app is to be stopped or is gone" {
	repo_add slug abc123 sleep bin/disable="$(hook "echo \"\$PP_VERSION\" >>$SEEN/log")"
	intend abc123:active
	runit_start
	setlive 2>/dev/null
	change versions.abc123=prep
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Draining" "INFO slug: Stopping"
	[ "$(cat "$SEEN/log")" = abc123 ]
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(wc -l <"$SEEN/log")" -eq 1 ]
	activate abc123
	setlive 2>/dev/null
	pp intent unassign slug/demo "$PP_NODE" >/dev/null
	run -0 --separate-stderr setlive --allow-empty
	expect_said "INFO slug: Draining" "INFO slug: Stopping" "INFO slug: Removing service"
	[ "$(tail -n 1 "$SEEN/log")" = abc123 ]
	[ "$(wc -l <"$SEEN/log")" -eq 2 ]
}

# The clock of runsv and sv, as the file says: "+0", "-3600", "+7200".
fake_clock() {
	local library

	library=$(dpkg -L libfaketime 2>/dev/null | grep '/libfaketime\.so\.1$') || skip "needs libfaketime"
	echo +0 >"$SEEN/clock"
	chmod 0666 "$SEEN/clock"
	mkdir "$BATS_TEST_TMPDIR/clocked"
	printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$library" "$(command -v sv)" >"$BATS_TEST_TMPDIR/clocked/sv"
	printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$library" "$(command -v runsv)" >"$BATS_TEST_TMPDIR/clocked/runsv"
	chmod 0755 "$BATS_TEST_TMPDIR"/clocked/*
	PATH=$BATS_TEST_TMPDIR/clocked:$PATH
	export FAKETIME_TIMESTAMP_FILE=$SEEN/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
}

@test "a clock that jumps while a version is started does not make it fail" {
	fake_clock
	repo_add slug abc123 sleep bin/enable="$(hook "echo -3600 >$SEEN/clock")"
	repo_add slug def456 sleep bin/enable="$(hook "echo +7200 >$SEEN/clock")"
	intend abc123:active,def456:prep settle=2
	runit_start
	run -0 --separate-stderr setlive
	runs abc123
	# It was an hour later when runsv wrote down since when it is up.
	before=$(sv status "$RUNIT/slug")
	run -0 --separate-stderr setlive
	expect_silence
	activate def456
	run -0 --separate-stderr setlive
	runs def456
	[[ $(sv status "$RUNIT/slug") =~ \)\ 1[0-9]{4}s ]] || fail "no clock has jumped: $before, $(sv status "$RUNIT/slug")"
	run -0 --separate-stderr setlive
	expect_silence
}

@test "bin/enable that fails is a start that failed" {
	repo_add slug def456 sleep bin/enable="$(hook 'echo balancer is away >&2' 'exit 1')"
	with_old def456
	activate def456
	run -1 --separate-stderr setlive
	says "FATAL slug: Could not start: bin/enable: "
	says "exit 1: balancer is away"
	run -1 --separate-stderr setlive
	activate abc123
	run -0 --separate-stderr setlive
	runs abc123
}

@test "drain: that long nothing is stopped yet, and --timeout that is too short for it begins nothing" {
	repo_add slug def456
	with_old def456
	change drain=2 versions.def456=active
	"$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>"$SEEN/said" &
	pass=$!
	wait_until grep -q Draining "$SEEN/said"
	untouched
	sleep 1
	[ "$(service_pid slug)" = "$OLD" ]
	run ! grep -q Stopping "$SEEN/said"
	wait "$pass"
	runs def456
	activate abc123
	change drain=60
	run -1 --separate-stderr setlive --timeout=30
	says "not stopped: stopping may take 65 s, and the time of --timeout is up before"
	says_not Draining
	runs def456
}

# --- checks

# A launch script of a server that listens $1 seconds after its start.
late_server() {
	printf '%s\n' '#!/bin/sh' 'export ARTIFACT_VERSION=def456' "sleep $1" 'mkdir -p /tmp/pp-none' \
		'exec busybox httpd -f -p 127.0.0.1:$PORT -h '"$SEEN/www"
}

@test "check: http, tcp and exec each decide what is healthy" {
	need busybox
	port=$(free_port)
	mkdir "$SEEN/www"
	repo_add slug def456 none bin/launch="$(late_server 0)"
	with_old def456
	change check:='{"http": "/health", "interval": 1}' ports="$port" start_timeout=2 versions.def456=active
	run -1 --separate-stderr setlive
	says "FATAL slug: Could not start: def456 is not healthy after 2 s: HTTP status 404"
	run -1 --separate-stderr setlive
	expect_said "FATAL slug: def456 is live and not healthy: HTTP status 404*"
	pid=$(service_pid slug)
	touch "$SEEN/www/health"
	# Its start is seen to the end now.
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Starting"
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(service_pid slug)" = "$pid" ]

	change check:='{"tcp": true}'
	run -0 --separate-stderr setlive
	change check:='{"tcp": '"$(free_port)"'}'
	# What it is asked by now is no reason to restart it.
	run -1 --separate-stderr setlive
	says "def456 is live and not healthy: connect to port"
	change check:="{\"exec\": [\"/bin/sh\", \"-c\", \"echo \$PP_VERSION is \$PORT; test -e $SEEN/ok || exit 2\"]}"
	run -1 --separate-stderr setlive
	says "def456 is $port"
	touch "$SEEN/ok"
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(service_pid slug)" = "$pid" ]
}

@test "bin/check counts where no check is stated: a warning is fine, critical is not" {
	repo_add slug def456 sleep bin/check="$(hook 'echo so so' "exit \$(cat $SEEN/code)")"
	with_old def456
	echo 1 >"$SEEN/code"
	pp intent unset slug check >/dev/null
	activate def456
	run -0 --separate-stderr setlive
	runs def456
	echo 2 >"$SEEN/code"
	change start_timeout=100ms
	wait_until failing
	run -1 --separate-stderr setlive
	says "FATAL slug: def456 is live and not healthy: "
	says "so so"
}

@test "a version that ends at once is reported with its last lines and exit 1, and not said to be started" {
	repo_add slug def456 none bin/launch="$(hook 'echo first line' 'echo "$(printf "\\033[31m")no such database" >&2' 'exit 1')"
	with_old def456
	change versions.def456=active start_timeout=2
	pp intent unset slug check >/dev/null
	pp intent unset slug ports >/dev/null
	run -1 --separate-stderr setlive
	says "FATAL slug: Could not start: def456 is not healthy after"
	says "service slug does not stay up"
	says "WARN slug: slug said: "
	says "no such database"
	says "WARN slug: the log of slug is in $RUNIT_STAGE/slug/log/main/current"
	says_not "$(printf '\033')"
	run -1 --separate-stderr setlive
	says "FATAL slug: "
	activate abc123
	run -0 --separate-stderr setlive
	runs abc123
}

@test "one that listens too late has failed; once it listens, the next pass is content with it" {
	need busybox
	port=$(free_port)
	mkdir "$SEEN/www"
	repo_add slug def456 none bin/launch="$(late_server 3)"
	with_old def456
	pp intent unset slug check >/dev/null
	change ports="$port" start_timeout=1 versions.def456=active
	run -1 --separate-stderr setlive
	says "FATAL slug: Could not start: def456 is not healthy after 1 s: connect to port $port of localhost: Connection refused"
	pid=$(service_pid slug)
	wait_until setlive
	[ "$(service_pid slug)" = "$pid" ]
	runs def456
	run -0 --separate-stderr setlive
	expect_silence
}

@test "start_timeout is from the start to healthy, settle is on top of it" {
	repo_add slug def456
	with_old def456
	change start_timeout=1 settle=3 versions.def456=active
	SECONDS=0
	run -0 --separate-stderr setlive
	[ "$SECONDS" -ge 3 ]
	runs def456
}

@test "what does not stay healthy for settle is not healthy" {
	# Healthy each time it is asked, but never the same process for long.
	repo_add slug def456 none bin/launch="$(hook 'export ARTIFACT_VERSION=def456' 'sleep 1.2')"
	with_old def456
	change start_timeout=3 settle=3 versions.def456=active
	run -1 --separate-stderr setlive
	says "FATAL slug: Could not start: def456 is not healthy after"
}

@test "a service that flaps after it was healthy: failed at each pass, and pp restarts nothing" {
	# Stays while it may, then ends every moment.
	repo_add slug def456 none bin/launch="$(hook 'export ARTIFACT_VERSION=def456' "echo up >>$SEEN/starts" \
		"while [ ! -e $SEEN/flap ]; do sleep 0.1; done" 'sleep 0.3' 'exit 1')" bin/check="$(hook "[ ! -e $SEEN/flap ] || exit 2")"
	with_old def456
	pp intent unset slug check >/dev/null
	change versions.def456=active start_timeout=1
	run -0 --separate-stderr setlive
	touch "$SEEN/flap"
	wait_until eval '[ "$(wc -l <"$SEEN/starts")" -ge 3 ]'
	# At first it may be that it only was started again.
	wait_until failing
	for again in 1 2 3; do
		run -1 --separate-stderr setlive
		says "FATAL slug: "
		says_not Stopping
	done
	rm "$SEEN/flap"
	sleep 2
	wait_until setlive
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
}

failing() {
	! setlive
}

# --- how it is stopped, what it sees

@test "what ignores TERM is killed after stop_timeout, with its children, and the next version starts" {
	repo_add slug def456 none bin/launch="$(hook 'export ARTIFACT_VERSION=def456' 'trap "" TERM' 'while :; do sleep 1; done')"
	with_old def456
	change versions.def456=active stop_timeout=1
	setlive 2>/dev/null
	old=$(service_pid slug)
	activate abc123
	run -0 --separate-stderr setlive
	says "did not stop in time, killing it"
	is_gone "$old"
	runs abc123
}

@test "env and limits reach the process, and a change of them restarts it" {
	with_old
	change env.GREETING="it's \$HOME" limits.nofile:=77 limits.cpu=1h
	run -0 --separate-stderr setlive
	pid=$(service_pid slug)
	[ "$pid" != "$OLD" ]
	tr '\0' '\n' <"/proc/$pid/environ" | grep -qxF "GREETING=it's \$HOME"
	grep -q '^Max open files *77 ' "/proc/$pid/limits"
	grep -q '^Max cpu time *3600 ' "/proc/$pid/limits"
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(service_pid slug)" = "$pid" ]
}

@test "restart: never waits until somebody has stopped it" {
	repo_add slug def456
	with_old def456
	change restart=never versions.def456=active
	run -8 --separate-stderr setlive --detailed-exitcodes
	run -0 --separate-stderr setlive --verbose
	says 'INFO slug: another version is live, and restart is "never": it is done as soon as somebody has stopped it'
	untouched
	sv -w 5 down "$RUNIT/slug"
	run -0 --separate-stderr setlive
	runs def456
}

@test "supervisor none: linked, and nothing is run; and from runit to none" {
	repo_add slug def456
	with_old def456
	change supervisor=none versions.def456=active
	run -0 --separate-stderr setlive
	is_gone "$OLD"
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
	[ "$(ls -A "$RUNIT")$(ls -A "$RUNIT_STAGE")" = "" ]
	run -0 --separate-stderr setlive
	expect_silence
	change supervisor=runit
	run -0 --separate-stderr setlive
	runs def456
}
