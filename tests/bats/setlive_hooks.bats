#!/usr/bin/env bats
# pp converge setlive, one node: an artifact's own programs, checks, times, limits; versions that fail.
# shellcheck disable=SC2119,SC2120 # what is run may be given more arguments, or not

load helper
load node

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
	wait_until 5 is_gone "$(cat "$SEEN/child")"
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
	wait_until 5 grep -q Draining "$SEEN/said"
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
	wait_until 10 setlive
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
	wait_until 10 eval '[ "$(wc -l <"$SEEN/starts")" -ge 3 ]'
	# At first it may be that it only was started again.
	wait_until 15 failing
	for again in 1 2 3; do
		run -1 --separate-stderr setlive
		says "FATAL slug: "
		says_not Stopping
	done
	rm "$SEEN/flap"
	sleep 2
	wait_until 15 setlive
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

# --- on_failure: revert

# with_bad [FIELD=VALUE...]: abc123 runs; def456, which ends at once, is active.
with_bad() {
	repo_add slug def456 fail
	repo_add slug ghi789
	with_old def456 ghi789
	change on_failure=revert start_timeout=1 versions.def456=active "$@"
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
		wait_until 20 grep -q "$text" "$SEEN/said"
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
	intend abc123:active on_failure=revert start_timeout=1
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
	intend abc123:active,def456:prep on_failure=revert start_timeout=1
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
	wait_until 10 eval 'setlive 2>/dev/null; runs abc123'
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
