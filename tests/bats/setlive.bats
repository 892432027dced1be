#!/usr/bin/env bats
# pp converge setlive: the active version is live and runs.
# shellcheck disable=SC2119,SC2120 # what is run may be given more arguments, or not

load helper
load node

setup() {
	helper_setup
	store_dir
	export RUNIT=$BATS_TEST_TMPDIR/service RUNIT_STAGE=$BATS_TEST_TMPDIR/service-stage
	mkdir "$RUNIT" "$RUNIT_STAGE"
	WIDE=
}

teardown() {
	helper_teardown
	[ -z "$WIDE" ] || rm -rf "$WIDE"
}

setlive() {
	pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" "$@"
}

prepare() {
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
}

# Say what is intended and prepare it, in silence.
intend() {
	intent_slug "$@" >/dev/null 2>&1
	pp intent set slug start_timeout=4 stop_timeout=5 >/dev/null
	prepare
}

activate() {
	pp intent set slug "versions.$1=active" >/dev/null
}

# app NAME [KIND]: one more app on this node, with version v1 active.
app() {
	repo_add "$1" v1 "${2:-sleep}"
	pp intent set "$1/demo" versions=v1:active basedir="$BATS_TEST_TMPDIR/$1" start_timeout=3 >/dev/null
	pp intent assign "$1/demo" "$PP_NODE" >/dev/null
	prepare
}

# Is version $1 of slug live and running?
runs() {
	[ "$(readlink "$BASEDIR/current")" = "installs/slug_$1" ] || fail "current: $(readlink "$BASEDIR/current")"
	[ "$(service_version "${2:-slug}")" = "$1" ] || fail "runs: $(service_version "${2:-slug}")"
}

# What must not change when nothing is to be done; runsv's own files do.
definitions() {
	snapshot "$RUNIT" "$RUNIT_STAGE" "$@" | grep -v -e /supervise -e /log/main -e "^$RUNIT_STAGE/[^/ ]* d" -e "/log d"
}

# An sv of our own, in front of the real one, that knows no waiting: what a service would be is in its
# file "fake". It does what runsvdir would do, too. SV_LOG: what it was told; SV_FAIL=VERB[:SERVICE]: that fails.
instant_sv() {
	mkdir -p "$BATS_TEST_TMPDIR/fake"
	export SV_LOG=$BATS_TEST_TMPDIR/sv-log SV_FAIL=
	: >"$SV_LOG"
	cat >"$BATS_TEST_TMPDIR/fake/sv" <<-'SV'
		#!/bin/sh
		[ "$1" != -w ] || shift 2
		verb=$1 failed=0
		shift
		for service; do
			if [ "$verb" = status ]; then
				if [ ! -d "$service" ]; then
					echo "fail: $service: unable to change to service directory: file does not exist"
					failed=$((failed + 1))
				elif [ "$(cat "$service/fake" 2>/dev/null)" = run ]; then
					echo "run: $service: (pid 1) 99s"
				else
					echo "down: $service: 99s, normally up"
				fi
				continue
			fi
			echo "$verb ${service##*/}" >>"$SV_LOG"
			case $SV_FAIL in
			"$verb" | "$verb:${service##*/}")
				echo "fail: $service: unable to write to supervise/control"
				exit 1
				;;
			esac
			case $verb in
			start | up) echo run >"$service/fake" ;;
			*) [ ! -d "$service" ] || echo down >"$service/fake" ;;
			esac
		done
		exit $failed
	SV
	chmod +x "$BATS_TEST_TMPDIR/fake/sv"
	PATH=$BATS_TEST_TMPDIR/fake:$PATH
}

is_up() {
	[ "$(cat "$RUNIT/$1/fake" 2>/dev/null)" = run ]
}

# A basedir that every user can get to, unlike the directories of a test.
wide_basedir() {
	need_root
	WIDE=$(mktemp -d /tmp/pp-wide.XXXXXX)
	chmod 0755 "$WIDE"
	BASEDIR=$WIDE/slug
}

# --- the main job, on runit

@test "a first deployment: defined, linked, started, running" {
	repo_add slug abc123
	repo_add slug def456
	intend
	runit_start
	run -0 --separate-stderr setlive
	[ "$output" = "" ]
	expect_said "INFO slug: Stopping" "INFO slug: Configuring runit" "INFO slug: Symlinking" \
		"INFO slug: Starting"
	runs def456
	[ ! -e "$BASEDIR/last" ]
	[ "$(readlink "$RUNIT/slug")" = "$RUNIT_STAGE/slug" ]
	[ "$(stat -c %a "$RUNIT_STAGE/slug/run" "$RUNIT_STAGE/slug/log/run" | tr '\n' ' ')" = "755 755 " ]
	[ "$(cat "$RUNIT_STAGE/slug/run")" = "#!/bin/sh
# Written by pp for slug, which writes it again where it differs.
exec 2>&1
cd $BASEDIR/current || exit 1
exec env -i \\
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
	PP_APP=slug PP_VERSION=def456 PP_CLUSTER=demo PP_NODE=node1 \\
	PP_USER_CONFIG=$BASEDIR/config/user_config.json \\
	PORT=1212 \\
	$BASEDIR/current/bin/launch" ]
	[ "$(cat "$RUNIT_STAGE/slug/log/run")" = '#!/bin/sh
exec svlogd -tt ./main' ]

	before=$(definitions "$BASEDIR" "$PP_STATE_DIR/stores")
	pid=$(service_pid slug)
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(definitions "$BASEDIR" "$PP_STATE_DIR/stores")" = "$before" ]
	[ "$(service_pid slug)" = "$pid" ]
	run -0 --separate-stderr setlive --verbose
	expect_said "INFO Polling intent store" "INFO Checking spec for slug" \
		"INFO slug: already current, nothing to do"
}

@test "another version that is activated replaces the one that runs, which becomes last" {
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	runit_start
	setlive
	runs abc123
	old=$(service_pid slug)
	activate def456
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Stopping" "INFO slug: Configuring runit" "INFO slug: Symlinking" \
		"INFO slug: Starting"
	runs def456
	is_gone "$old"
	[ "$(readlink "$BASEDIR/last")" = installs/slug_abc123 ]
	run -0 --separate-stderr setlive
	expect_silence
	activate abc123
	setlive
	runs abc123
	[ "$(readlink "$BASEDIR/last")" = installs/slug_def456 ]
}

@test "what the app asked for is in user_config.json, 0640, and a change of it restarts the app" {
	repo_add slug abc123
	intend abc123:active
	pp intent set slug user_config.some_value=hello user_config.number:=3 >/dev/null
	runit_start
	run -0 --separate-stderr setlive
	[[ $(said) == *"INFO slug: Writing user_config"* ]]
	[ "$(stat -c %a "$BASEDIR/config/user_config.json")" = 640 ]
	[ "$(jq -cS . "$BASEDIR/config/user_config.json")" = '{"number":3,"some_value":"hello"}' ]
	old=$(service_pid slug)
	pp intent set slug user_config.some_value=bye >/dev/null
	run -0 --separate-stderr setlive --dry-run
	[[ $output == *"setlive slug: would write config/user_config.json (user_config differs)"* ]]
	setlive
	[ "$(jq -r .some_value "$BASEDIR/config/user_config.json")" = bye ]
	[ "$(service_pid slug)" != "$old" ]
	runs abc123
	chmod 0644 "$BASEDIR/config/user_config.json"
	setlive
	[ "$(stat -c %a "$BASEDIR/config/user_config.json")" = 640 ]
	run -0 --separate-stderr setlive
	expect_silence
}

@test "a definition that was changed by hand is mended" {
	repo_add slug abc123
	intend abc123:active
	runit_start
	setlive
	cp -a "$RUNIT_STAGE/slug/run" "$BATS_TEST_TMPDIR/run"
	sed -i 's/^exec env -i/exec env -i EXTRA=1/' "$RUNIT_STAGE/slug/run"
	sv -w 5 restart "$RUNIT/slug"
	run -0 --separate-stderr setlive
	[[ $(said) == *"INFO slug: Configuring runit"* ]]
	cmp "$BATS_TEST_TMPDIR/run" "$RUNIT_STAGE/slug/run"
	runs abc123
	run ! grep -qz EXTRA "/proc/$(service_pid slug)/environ"
	chmod 0644 "$RUNIT_STAGE/slug/run"
	rm "$RUNIT_STAGE/slug/log/run"
	setlive
	[ "$(stat -c %a "$RUNIT_STAGE/slug/run")" = 755 ]
	[ -x "$RUNIT_STAGE/slug/log/run" ]
	runs abc123
}

@test "a service that was stopped, unlinked or killed by hand runs again" {
	repo_add slug abc123
	intend abc123:active
	runit_start
	setlive
	sv -w 5 down "$RUNIT/slug"
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Starting"
	runs abc123
	pid=$(service_pid slug)
	kill -9 "$pid"
	# runsv takes a moment to see it, and until then says that it runs.
	wait_until eval '[ "$(service_pid slug)" != "$pid" ]'
	setlive
	runs abc123
	rm "$RUNIT/slug"
	# runsvdir ends what has no link any more.
	wait_until run ! sv status "$RUNIT_STAGE/slug"
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Starting"
	runs abc123
	rm "$BASEDIR/current"
	setlive
	runs abc123
}

@test "without an active version the app is stopped, and stays so when runsvdir starts again" {
	repo_add slug abc123
	intend abc123:active
	runit_start
	setlive
	pp intent set slug versions.abc123=prep >/dev/null
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Stopping"
	[[ $(sv status "$RUNIT/slug") == down:* ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	run -0 --separate-stderr setlive
	expect_silence
	run -0 --separate-stderr setlive --verbose
	[[ $(said) == *"INFO slug: No active version, skipping" ]]

	runit_stop
	runit_start
	wait_until sv status "$RUNIT/slug"
	sleep 1.5
	[[ $(sv status "$RUNIT/slug") == down:* ]]
	activate abc123
	setlive
	runs abc123
	[ ! -e "$RUNIT_STAGE/slug/down" ]
}

@test "an app that cannot start is stopped for good when no version is active any more" {
	repo_add slug abc123 fail
	intend abc123:active
	pp intent set slug start_timeout=2 >/dev/null
	runit_start
	run -1 setlive
	pp intent set slug versions.abc123=prep >/dev/null
	setlive
	[[ $(sv status "$RUNIT/slug") == down:* ]]
	[[ $(sv status "$RUNIT/slug") != *"want up"* ]]
	sleep 1.5
	[[ $(sv status "$RUNIT/slug") == "down: $RUNIT/slug: "[1-9]* ]] || fail "$(sv status "$RUNIT/slug")"
	run -0 --separate-stderr setlive
	expect_silence
}

@test "an app without an active version is not started by a runsvdir that comes later" {
	repo_add slug abc123
	intend abc123:active
	runit_start
	setlive
	runit_stop
	pp intent set slug versions.abc123=prep >/dev/null
	setlive
	runit_start
	wait_until sv status "$RUNIT/slug"
	sleep 1.5
	[[ $(sv status "$RUNIT/slug") == down:* ]]
	run -0 --separate-stderr setlive
	expect_silence
}

@test "bin/launch as a directory is a service for each program in it" {
	repo_add slug abc123 pair
	repo_add slug def456
	repo_add slug ghi789 none
	intend abc123:active,def456:prep,ghi789:prep
	runit_start
	setlive
	runs abc123 slug__web
	runs abc123 slug__worker
	[ "$(ls "$RUNIT")" = slug__web$'\n'slug__worker ]
	[ "$(tail -n 1 "$RUNIT_STAGE/slug__web/run")" = "	$BASEDIR/current/bin/launch/web" ]
	run -0 --separate-stderr setlive
	expect_silence
	sv -w 5 down "$RUNIT/slug__worker"
	web=$(service_pid slug__web)
	setlive
	runs abc123 slug__worker
	[ "$(service_pid slug__web)" = "$web" ]

	# Back to one: what is not wanted any more is gone.
	activate def456
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Stopping" "INFO slug: Removing service" "INFO slug: Configuring runit" \
		"INFO slug: Symlinking" "INFO slug: Starting"
	runs def456
	is_gone "$web"
	[ "$(ls -A "$RUNIT")" = slug ]
	[ "$(ls -A "$RUNIT_STAGE")" = slug ]

	# And to none: it is only linked.
	activate ghi789
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Stopping" "INFO slug: Removing service" "INFO slug: Symlinking"
	[ "$(readlink "$BASEDIR/current")" = installs/slug_ghi789 ]
	[ "$(ls -A "$RUNIT")$(ls -A "$RUNIT_STAGE")" = "" ]
	run -0 --separate-stderr setlive
	expect_silence
}

@test "a version that does not stay up is an error that says where its log is" {
	repo_add slug abc123
	repo_add slug def456 fail
	intend abc123:active,def456:prep
	runit_start
	setlive
	activate def456
	for again in 1 2; do
		run -1 --separate-stderr setlive
		[[ $(said) == *"WARN slug: the log of slug is in $RUNIT_STAGE/slug/log/main/current
FATAL slug: Could not start: def456 is not healthy after "*" s: service slug does not stay up" ]]
		[ -f "$RUNIT_STAGE/slug/log/main/current" ]
	done
	activate abc123
	setlive
	runs abc123
}

@test "a service that does not stop on TERM is killed after stop_timeout" {
	repo_add slug abc123 stubborn
	repo_add slug def456
	intend abc123:active,def456:prep
	pp intent set slug stop_timeout=1 >/dev/null
	runit_start
	setlive
	old=$(service_pid slug)
	activate def456
	SECONDS=0
	run -0 --separate-stderr setlive
	[ "$SECONDS" -le 40 ]
	[[ $(said) == *"WARN service slug did not stop in time, killing it"* ]]
	is_gone "$old"
	runs def456
}

@test "no runsvdir: an error that says what should run, and the next pass finishes" {
	repo_add slug abc123
	intend abc123:active
	pp intent set slug start_timeout=1 >/dev/null
	run -1 --separate-stderr setlive
	[[ $(said) == *"FATAL slug: Could not start: nothing supervises $RUNIT/slug; is this running: runsvdir -P $RUNIT" ]]
	runit_start
	pp intent set slug start_timeout=5 >/dev/null
	setlive
	runs abc123
}

@test "a basedir with a blank and a quote in its name works like any other" {
	repo_add slug abc123
	BASEDIR="$BATS_TEST_TMPDIR/it's a slug\$HOME;"
	intend abc123:active
	runit_start
	setlive
	runs abc123
	[ "$(readlink "/proc/$(service_pid slug)/cwd")" = "$BASEDIR/installs/slug_abc123" ]
	run -0 --separate-stderr setlive
	expect_silence
}

@test "killed with -9 during a switch: current is whole at each moment, and the next pass finishes" {
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	runit_start
	setlive
	versions=(def456 abc123)
	round=0
	for delay in 0.01 0.1 0.6 1.5; do
		activate "${versions[round % 2]}"
		"$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>/dev/null &
		pid=$!
		sleep "$delay"
		kill -9 "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
		[ -x "$BASEDIR/current/bin/launch" ]
		run -0 setlive
		runs "${versions[round % 2]}"
		run -0 --separate-stderr setlive
		expect_silence
		round=$((round + 1))
	done
}

@test "an app that runs as somebody else has just its own environment, and his user and group" {
	wide_basedir
	export LEAKED=secret
	repo_add slug abc123
	intend abc123:active
	pp intent set slug runas=nobody user_config.x=1 >/dev/null
	prepare
	runit_start
	setlive
	runs abc123
	pid=$(service_pid slug)
	[ "$(ps -o euser=,ruser=,egroup= -p "$pid" | tr -s ' ')" = "nobody nobody $(id -gn nobody)" ]
	[ "$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$pid/status" | tr -d ' ')" = "$(id -g nobody)" ] ||
		[ "$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$pid/status" | tr -d ' ')" = "" ]
	[ "$(tr '\0' '\n' <"/proc/$pid/environ" | grep -v -e ^PWD= -e ^ARTIFACT_VERSION= | sort)" = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PORT=1212
PP_APP=slug
PP_CLUSTER=demo
PP_NODE=node1
PP_USER_CONFIG=$BASEDIR/config/user_config.json
PP_VERSION=abc123" ]
	[ "$(stat -c '%a %U %G' "$BASEDIR/config/user_config.json")" = "640 nobody $(id -gn nobody)" ]
	run -0 --separate-stderr setlive
	expect_silence
}

@test "several apps: one that fails does not keep the others from running" {
	repo_add slug abc123
	intend abc123:active
	app aaa fail
	app zzz
	store_put nodes/node1/broken '{"cluster": 3}'
	runit_start
	run -1 --separate-stderr setlive
	[[ $(said) == *"FATAL aaa: Could not start: v1 is not healthy after "*": service aaa does not stay up"* ]]
	[[ $(said) == *"WARN broken: held as it is: nodes/node1/broken: cluster: it must be the name of a cluster"* ]]
	runs abc123
	[ "$(service_version zzz)" = v1 ]
	run -4 setlive --detailed-exitcodes --app broken
}

@test "an app that is unassigned is stopped and its service removed; in doubt it runs on" {
	repo_add slug abc123
	intend abc123:active
	runit_start
	setlive
	pid=$(service_pid slug)
	key=nodes/node1/slug
	document=$(store_get $key)
	identity=$(store_get pp/store)

	# Not there, but in a store that is not the one this node knows, or that cannot say which it is.
	store_delete $key
	store_identify 11111111-2222-3333-4444-555555555555
	run -1 --separate-stderr setlive
	[[ $(said) == "WARN slug: held as it is: "*"is another store than the one this node knows"* ]]
	store_delete pp/store
	run -1 --separate-stderr setlive
	[[ $(said) == "WARN slug: held as it is: "*"has no id (pp/store)"* ]]
	store_put pp/store "$identity"
	rm -r "$PP_STATE_DIR"
	run -1 --separate-stderr setlive
	[[ $(said) == "WARN slug: held as it is: "*"for the first time"* ]]
	[ "$(service_pid slug)" = "$pid" ]
	# A document that cannot be read is no statement either.
	store_put $key "$document"
	store_put clusters/slug/demo/deploy_config '{'
	run -1 --separate-stderr setlive
	[[ $(said) == "WARN slug: held as it is: clusters/slug/demo/deploy_config: "* ]]
	[ "$(service_pid slug)" = "$pid" ]

	store_delete $key
	run -0 --separate-stderr setlive --dry-run --allow-empty
	[ "$output" = "setlive slug: would stop its services (the app is not assigned to this node any more)
setlive slug: would remove its service definitions (the app is not assigned to this node any more)" ]
	[ "$(service_pid slug)" = "$pid" ]
	run -0 --separate-stderr setlive
	[ "$(service_pid slug)" = "$pid" ]
	run -0 --separate-stderr setlive --allow-empty
	expect_said "INFO slug: Stopping" "INFO slug: Removing service"
	is_gone "$pid"
	[ "$(ls -A "$RUNIT")$(ls -A "$RUNIT_STAGE")" = "" ]
	[ -x "$BASEDIR/current/bin/launch" ]
	run -0 --separate-stderr setlive
	expect_silence
}

# --- with an sv that takes no time

@test "a version that is not prepared is skipped, exit 0, and what runs runs on" {
	instant_sv
	repo_add slug abc123
	intend abc123:active >/dev/null
	setlive 2>/dev/null
	pp intent set slug versions.def456=active >/dev/null
	before=$(definitions "$BASEDIR")
	: >"$SV_LOG"
	run -0 --separate-stderr setlive
	expect_silence
	run -0 --separate-stderr setlive -v
	[[ $(said) == *"INFO slug: def456 not prepared, skipping" ]]
	run -8 setlive --detailed-exitcodes
	run -0 setlive --dry-run
	[ "$output" = "setlive slug: waiting: def456 not prepared, skipping" ]
	[ ! -s "$SV_LOG" ]
	[ "$(definitions "$BASEDIR")" = "$before" ]
}

@test "an app of which nothing is there yet, not even basedir, is skipped" {
	instant_sv
	intent_slug >/dev/null
	run -0 --separate-stderr setlive
	expect_silence
	[ ! -e "$BASEDIR" ]
}

@test "an artifact without bin/launch is only linked" {
	instant_sv
	repo_add slug abc123 none
	intend abc123:active
	run -0 --separate-stderr setlive
	expect_said "INFO slug: Stopping" "INFO slug: Symlinking"
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	[ "$(ls -A "$RUNIT")$(ls -A "$RUNIT_STAGE")" = "" ]
	run -0 --separate-stderr setlive
	expect_silence
}

@test "a bin/launch that may not be run is an error, and what runs runs on" {
	instant_sv
	repo_add slug abc123
	tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/bin"
	echo '#!/bin/sh' >"$tree/bin/launch"
	chmod 0644 "$tree/bin/launch"
	repo_pack "$tree" slug def456
	intend abc123:active,def456:prep
	setlive
	activate def456
	: >"$SV_LOG"
	run -1 --separate-stderr setlive
	[[ $(said) == "FATAL slug: $BASEDIR/installs/slug_def456: bin/launch: launch is not executable; set its run bit and pack a new version" ]]
	[ ! -s "$SV_LOG" ]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	is_up slug
}

@test "a stop that fails leaves current, the definition and the service as they were" {
	instant_sv
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	setlive
	before=$(definitions "$BASEDIR")
	activate def456
	SV_FAIL=stop
	for again in 1 2; do
		run -1 --separate-stderr setlive
		[[ $(said) == "INFO slug: Stopping
FATAL slug: Could not stop slug: sv -w: exit 1: fail: $RUNIT/slug: unable to write to supervise/control" ]]
		[ "$(definitions "$BASEDIR" | grep -v -e "/fake ")" = "$(grep -v "/fake " <<<"$before")" ]
		is_up slug
	done
	SV_FAIL=
	setlive
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
	is_up slug
}

@test "a stop that fails for one of several services leaves all of them running" {
	instant_sv
	repo_add slug abc123 pair
	repo_add slug def456 pair
	intend abc123:active,def456:prep
	setlive
	activate def456
	SV_FAIL=stop:slug__worker
	run -1 setlive
	is_up slug__worker
	is_up slug__web
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
}

@test "what somebody else made in the place of a service is named, and not touched" {
	instant_sv
	repo_add slug abc123
	intend abc123:active
	mkdir "$RUNIT_STAGE/slug"
	printf '#!/bin/sh\nexec foreign\n' >"$RUNIT_STAGE/slug/run"
	foreign_stays "$RUNIT_STAGE/slug is in the way: pp did not make it for slug; move it away"
	[ ! -e "$BASEDIR/current" ]
	rm -r "$RUNIT_STAGE/slug"

	echo mine >"$RUNIT_STAGE/slug"
	foreign_stays "$RUNIT_STAGE/slug is in the way: pp did not make it for slug; move it away"
	rm "$RUNIT_STAGE/slug"

	# Another app's service of that name.
	mkdir "$RUNIT_STAGE/slug"
	printf '#!/bin/sh\n# Written by pp for other, which writes it again where it differs.\n' >"$RUNIT_STAGE/slug/run"
	store_delete pp/store
	foreign_stays "$RUNIT_STAGE/slug is in the way: pp did not make it for slug; move it away"
}

# That run fails with these words, and changes nothing where services are.
foreign_stays() {
	local before

	before=$(snapshot "$RUNIT" "$RUNIT_STAGE")
	: >"$SV_LOG"
	run -1 --separate-stderr setlive
	[[ $(said) == *"FATAL slug: "*"$1"* ]] || fail "$stderr"
	[ "$(snapshot "$RUNIT" "$RUNIT_STAGE")" = "$before" ]
	[ ! -s "$SV_LOG" ] || fail "sv was told: $(cat "$SV_LOG")"
}

@test "what somebody else made in the directory that runsvdir watches is not touched" {
	instant_sv
	repo_add slug abc123
	intend abc123:active
	mkdir "$BATS_TEST_TMPDIR/etc-sv-slug"
	for made in "mkdir $RUNIT/slug" "touch $RUNIT/slug" "ln -s $BATS_TEST_TMPDIR/etc-sv-slug $RUNIT/slug"; do
		$made
		before=$(snapshot "$RUNIT" "$BATS_TEST_TMPDIR/etc-sv-slug")
		: >"$SV_LOG"
		run -1 --separate-stderr setlive
		[[ $(said) == *"FATAL slug: "*"in the way"* ]] || fail "$made: $stderr"
		[ "$(snapshot "$RUNIT" "$BATS_TEST_TMPDIR/etc-sv-slug")" = "$before" ] || fail "$made: touched"
		[ ! -s "$SV_LOG" ] || fail "$made: sv was told: $(cat "$SV_LOG")"
		rm -r "$RUNIT/slug"
	done
	setlive
	is_up slug
}

@test "a current that is no link is named, and left there" {
	instant_sv
	repo_add slug abc123
	intend abc123:active
	mkdir "$BASEDIR/current"
	run -1 --separate-stderr setlive
	[[ $(said) == *"FATAL slug: "*"current is in the way: it is not a symlink, so pp did not make it; move it away" ]]
	[ -d "$BASEDIR/current" ]
	[ ! -L "$BASEDIR/current" ]
	rmdir "$BASEDIR/current"
	setlive
	is_up slug

	# What runs by then is not stopped for it.
	for name in current last; do
		rm -f "$BASEDIR/$name"
		mkdir "$BASEDIR/$name"
		: >"$SV_LOG"
		run -1 --separate-stderr setlive
		expect_said "FATAL slug: $BASEDIR/$name is in the way: it is not a symlink, so pp did not make it; move it away"
		[ ! -s "$SV_LOG" ]
		rmdir "$BASEDIR/$name"
		setlive
	done
}

@test "a current as the prototype wrote it, an absolute path, is understood" {
	instant_sv
	repo_add slug abc123
	intend abc123:active
	setlive
	ln -sfn "$BASEDIR/installs/slug_abc123" "$BASEDIR/current"
	run -0 --separate-stderr setlive
	expect_silence
}

@test "killed with -9 at any of its system calls: current is whole, and the next pass finishes" {
	need strace
	instant_sv
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	pp intent set slug user_config.version=1 >/dev/null
	setlive
	pp intent set slug versions.def456=active user_config.version=2 >/dev/null
	whole=$BATS_TEST_TMPDIR/whole
	mkdir "$whole"
	cp -a "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$whole"
	points=$(death_points "$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE")
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
	kills=0
	while read -r call count; do
		rm -rf "$BASEDIR" "$RUNIT" "$RUNIT_STAGE"
		cp -a "$whole"/* "$BATS_TEST_TMPDIR"
		killed_at "$call" "$count" "$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" || continue
		kills=$((kills + 1))
		[ -x "$BASEDIR/current/bin/launch" ] || fail "killed at $call $count: current is $(readlink "$BASEDIR/current")"
		run -0 setlive
		[ "$(readlink "$BASEDIR/current") $(readlink "$BASEDIR/last")" = "installs/slug_def456 installs/slug_abc123" ] ||
			fail "killed at $call $count: $(ls -l "$BASEDIR")"
		grep -q PP_VERSION=def456 "$RUNIT_STAGE/slug/run"
		[ "$(jq -r .version "$BASEDIR/config/user_config.json")" = 2 ]
		is_up slug
		[ "$(find "$BASEDIR" "$RUNIT_STAGE" "$RUNIT" -name '.*' ! -name '.*.list')" = "" ] ||
			fail "killed at $call $count: left $(find "$BASEDIR" "$RUNIT_STAGE" -name '.*' ! -name '.*.list')"
		run -0 --separate-stderr setlive
		expect_silence
	done <<<"$points"
	[ "$kills" -ge 30 ]
}

@test "killed with -9 while a service is removed: the next pass finishes" {
	need strace
	instant_sv
	repo_add slug abc123
	intend abc123:active
	setlive
	setlive
	store_delete nodes/node1/slug
	# As runsv leaves it.
	mkdir "$RUNIT_STAGE/slug/supervise"
	: >"$RUNIT_STAGE/slug/supervise/status"
	whole=$BATS_TEST_TMPDIR/whole
	mkdir "$whole"
	cp -a "$RUNIT" "$RUNIT_STAGE" "$whole"
	points=$(death_points "$PP" converge setlive --allow-empty --runit="$RUNIT" --runit-stage="$RUNIT_STAGE")
	kills=0
	while read -r call count; do
		rm -rf "$RUNIT" "$RUNIT_STAGE"
		cp -a "$whole"/* "$BATS_TEST_TMPDIR"
		killed_at "$call" "$count" "$PP" converge setlive --allow-empty --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" || continue
		kills=$((kills + 1))
		run -0 setlive --allow-empty
		# At one moment an empty directory is all that is left, and says nothing any more.
		rmdir "$RUNIT_STAGE/slug" 2>/dev/null || :
		[ "$(ls -A "$RUNIT")$(ls -A "$RUNIT_STAGE")" = "" ] ||
			fail "killed at $call $count: $(find "$RUNIT" "$RUNIT_STAGE")"
	done <<<"$points"
	[ "$kills" -ge 10 ]
}

@test "one run at a time: the second exits 75" {
	instant_sv
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	setlive
	activate def456
	# shellcheck disable=SC2016
	sed -i '2i [ "$3" != stop ] || sleep 2' "$BATS_TEST_TMPDIR/fake/sv"
	"$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>"$BATS_TEST_TMPDIR/first" &
	first=$!
	wait_until grep -q Stopping "$BATS_TEST_TMPDIR/first"
	run -75 --separate-stderr setlive
	expect_said "WARN another run of setlive on node1 is under way (pid $first); this one leaves it alone"
	wait "$first"
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
}

@test "--dry-run prints the steps with their reasons and changes nothing" {
	instant_sv
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	before=$(snapshot "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$PP_STATE_DIR")
	run -0 --separate-stderr setlive --dry-run
	[ "$output" = "setlive slug: would see that nothing is in the way of it (nothing is live yet)
setlive slug: would stop its services (nothing is live yet)
setlive slug: would write its service definition (nothing is live yet)
setlive slug: would point current at installs/slug_abc123 (nothing is live yet)
setlive slug: would start abc123 (nothing is live yet)" ]
	[ "$stderr" = "" ]
	[ "$(snapshot "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$PP_STATE_DIR")" = "$before" ]
	[ ! -s "$SV_LOG" ]
	run -2 setlive --detailed-exitcodes
	activate def456
	before=$(snapshot "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$PP_STATE_DIR")
	run -0 setlive --dry-run
	[[ $output == *"would point current at installs/slug_def456 (another version is live)"* ]]
	[ "$(snapshot "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$PP_STATE_DIR")" = "$before" ]
}

@test "directories come from pp.conf's section, and a relative one is made absolute" {
	instant_sv
	repo_add slug abc123
	intend abc123:active
	cd "$BATS_TEST_TMPDIR"
	printf '[setlive]\nrunit = service/\nrunit-stage = %s\n' "$RUNIT_STAGE" >"$PP_CONF"
	pp converge setlive
	[ "$(readlink "$RUNIT/slug")" = "$RUNIT_STAGE/slug" ]
	rm "$RUNIT/slug"
	pp converge setlive --runit other --verbose --runit-stage stage
	[ "$(readlink "$BATS_TEST_TMPDIR/other/slug")" = "$BATS_TEST_TMPDIR/stage/slug" ]
}

# --- servicebuilder

# A servicebuilder that does what the example's does, and notes how it was called.
servicebuilder_start() {
	mkdir -p "$BATS_TEST_TMPDIR/fake" "$BATS_TEST_TMPDIR/sb"
	CONFIG=$BATS_TEST_TMPDIR/sb
	export SB_LOG=$BATS_TEST_TMPDIR/sb-log
	: >"$SB_LOG"
	cat >"$BATS_TEST_TMPDIR/fake/servicebuilder" <<-EOF
		#!/bin/sh
		echo "\$*" >>"\$SB_LOG"
		[ ! -e "$BATS_TEST_TMPDIR/sb-fails" ] || { echo "no such luck" >&2; exit 3; }
		exec "$TOP/examples/fake/bin/servicebuilder" "\$@"
	EOF
	chmod +x "$BATS_TEST_TMPDIR/fake/servicebuilder"
	PATH=$BATS_TEST_TMPDIR/fake:$PATH
}

built() {
	setlive --config="$CONFIG" "$@"
}

@test "servicebuilder, on runit: it is told to make what its YAML says, once" {
	servicebuilder_start
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	runit_start
	run -0 --separate-stderr built
	expect_said "INFO slug: Stopping" "INFO slug: Configuring service builder" \
		"INFO slug: Symlinking" "INFO slug: Starting"
	printf 'slug:\n  run:\n  - %s/current/bin/launch\n' "$BASEDIR" | cmp - "$CONFIG/slug.yaml"
	[ "$(cat "$SB_LOG")" = "-c $CONFIG -d $RUNIT -s $RUNIT_STAGE" ]
	runs abc123
	run -0 --separate-stderr built
	expect_silence
	[ "$(wc -l <"$SB_LOG")" -eq 1 ]
	activate def456
	run -0 --separate-stderr built
	runs def456
	pp intent set slug versions.def456=prep >/dev/null
	built
	[[ $(sv status "$RUNIT/slug") == down:* ]]
	activate def456
	built
	runs def456
	pid=$(service_pid slug)
	store_delete nodes/node1/slug
	run -0 --separate-stderr built --allow-empty
	expect_said "INFO slug: Stopping" "INFO slug: Removing service"
	is_gone "$pid"
	[ ! -e "$CONFIG/slug.yaml" ]
	[ "$(ls -A "$RUNIT")" = "" ]
	run -0 --separate-stderr built
	expect_silence
}

@test "servicebuilder is told again after a run of it that failed" {
	instant_sv
	servicebuilder_start
	repo_add slug abc123
	intend abc123:active
	touch "$BATS_TEST_TMPDIR/sb-fails"
	for again in 1 2; do
		run -1 --separate-stderr built
		[[ $(said) == *"FATAL slug: servicebuilder -c: exit 3: no such luck" ]]
	done
	[ "$(wc -l <"$SB_LOG")" -eq 2 ]
	[ ! -e "$BASEDIR/current" ]
	rm "$BATS_TEST_TMPDIR/sb-fails"
	built
	[ "$(wc -l <"$SB_LOG")" -eq 3 ]
	is_up slug
	run -0 --separate-stderr built
	expect_silence
	[ "$(wc -l <"$SB_LOG")" -eq 3 ]

	# Also of an app that is live, when nothing but that run is missing.
	echo "# by hand" >>"$CONFIG/slug.yaml"
	touch "$BATS_TEST_TMPDIR/sb-fails"
	run -1 built
	run ! grep -q "by hand" "$CONFIG/slug.yaml"
	rm "$BATS_TEST_TMPDIR/sb-fails"
	built
	[ "$(wc -l <"$SB_LOG")" -eq 5 ]
	is_up slug
}

@test "servicebuilder's YAML names each service of a directory, and the user where there is one" {
	wide_basedir
	instant_sv
	servicebuilder_start
	repo_add slug abc123 pair
	intend abc123:active
	pp intent set slug runas=nobody >/dev/null
	prepare
	built
	[ "$(cat "$CONFIG/slug.yaml")" = "slug__web:
  run:
  - chpst -u nobody $BASEDIR/current/bin/launch/web
slug__worker:
  run:
  - chpst -u nobody $BASEDIR/current/bin/launch/worker" ]
}

@test "a YAML file that pp did not write is not touched" {
	instant_sv
	servicebuilder_start
	repo_add slug abc123
	intend abc123:active
	echo 'slug: {run: [mine]}' >"$CONFIG/slug.yaml"
	echo 'other: {run: [mine]}' >"$CONFIG/other.yaml"
	before=$(snapshot "$CONFIG")
	run -1 --separate-stderr built
	[[ $(said) == *"FATAL slug: $CONFIG/slug.yaml is in the way: pp did not write it for slug; move it away" ]]
	[ "$(snapshot "$CONFIG")" = "$before" ]
	[ ! -s "$SB_LOG" ]
}

@test "killed with -9 with servicebuilder: the next pass finishes" {
	need strace
	instant_sv
	servicebuilder_start
	repo_add slug abc123
	intend abc123:active
	built
	sed -i "s|/launch|/launch-by-hand|" "$CONFIG/slug.yaml"
	"$TOP/examples/fake/bin/servicebuilder" -c "$CONFIG" -d "$RUNIT" -s "$RUNIT_STAGE"
	grep -q by-hand "$RUNIT_STAGE/slug/run"
	whole=$BATS_TEST_TMPDIR/whole
	mkdir "$whole"
	cp -a "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$CONFIG" "$whole"
	points=$(death_points "$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" --config="$CONFIG")
	kills=0
	while read -r call count; do
		rm -rf "$BASEDIR" "$RUNIT" "$RUNIT_STAGE" "$CONFIG"
		cp -a "$whole"/* "$BATS_TEST_TMPDIR"
		killed_at "$call" "$count" "$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" --config="$CONFIG" || continue
		kills=$((kills + 1))
		run -0 built
		run ! grep -q by-hand "$CONFIG/slug.yaml"
		run ! grep -q by-hand "$RUNIT_STAGE/slug/run"
		is_up slug
		run -0 --separate-stderr built
		expect_silence
	done <<<"$points"
	[ "$kills" -ge 20 ]
}

@test "symlinks that the app's user put below basedir are not followed" {
	mkdir -p "$BASEDIR" "$BATS_TEST_TMPDIR/elsewhere/slug_abc123/www"
	ln -s "$BATS_TEST_TMPDIR/elsewhere" "$BASEDIR/installs"
	intent_slug abc123:active >/dev/null
	run -1 --separate-stderr pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	[[ $stderr == *"installs is in the way: it is a symlink"* ]]
	[ ! -e "$BASEDIR/current" ]
	rm "$BASEDIR/installs"
	mkdir -p "$BASEDIR/installs/slug_abc123"
	ln -s "$BATS_TEST_TMPDIR/elsewhere" "$BASEDIR/config"
	pp intent set slug/demo user_config.x=1 >/dev/null
	run -1 --separate-stderr pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	[[ $stderr == *"config is in the way: it is a symlink"* ]]
	[ ! -e "$BATS_TEST_TMPDIR/elsewhere/user_config.json" ]
}

# --- from one supervisor to the other

# The real servicebuilder's work, by the stand-in, beside the real sv.
with_servicebuilder() {
	mkdir -p "$BATS_TEST_TMPDIR/sb-bin"
	ln -sf "$TOP/examples/fake/bin/servicebuilder" "$BATS_TEST_TMPDIR/sb-bin/servicebuilder"
	PATH=$BATS_TEST_TMPDIR/sb-bin:$PATH
	SB=$BATS_TEST_TMPDIR/servicebuilder.d
}

@test "an app moves from runit to servicebuilder and back, and what runs is what is live" {
	with_servicebuilder
	runit_start
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	setlive 2>/dev/null
	first=$(cat "$RUNIT/slug/supervise/pid")
	activate def456
	setlive --config="$SB" 2>/dev/null
	[ -f "$SB/slug.yaml" ]
	second=$(cat "$RUNIT/slug/supervise/pid")
	[ "$first" != "$second" ]
	[ "$(readlink "/proc/$second/cwd")" != "$(readlink "/proc/$first/cwd" 2>/dev/null)" ]
	run -0 --separate-stderr setlive --config="$SB"
	expect_silence

	run -0 --separate-stderr setlive --config="$SB" --supervisor=runit
	[ ! -e "$SB/slug.yaml" ]
	sv status "$RUNIT/slug" | grep -q '^run: '
	[ "$(cat "$RUNIT/slug/supervise/pid")" != "$second" ]
	run -0 --separate-stderr setlive --config="$SB" --supervisor=runit
	expect_silence
}

@test "what cannot be written is found out before anything is stopped" {
	runit_start
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	setlive 2>/dev/null
	pid=$(cat "$RUNIT/slug/supervise/pid")
	activate def456
	mkdir "$RUNIT_STAGE/slug/.run.tmp"
	run -1 --separate-stderr setlive
	[ "$(cat "$RUNIT/slug/supervise/pid")" = "$pid" ]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	rmdir "$RUNIT_STAGE/slug/.run.tmp"
	pp intent set slug user_config.x=1 >/dev/null
	mkdir -p "$BASEDIR/config/.user_config.json.tmp"
	run -1 --separate-stderr setlive
	[ "$(cat "$RUNIT/slug/supervise/pid")" = "$pid" ]
	rmdir "$BASEDIR/config/.user_config.json.tmp"
	setlive 2>/dev/null
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
}

@test "a servicebuilder that fails leaves what ran running" {
	with_servicebuilder
	runit_start
	repo_add slug abc123
	repo_add slug def456
	intend abc123:active,def456:prep
	setlive --config="$SB" 2>/dev/null
	activate def456
	printf '#!/bin/sh\nexit 3\n' >"$BATS_TEST_TMPDIR/broken"
	chmod +x "$BATS_TEST_TMPDIR/broken"
	ln -sf "$BATS_TEST_TMPDIR/broken" "$BATS_TEST_TMPDIR/sb-bin/servicebuilder"
	run -1 --separate-stderr setlive --config="$SB"
	sv status "$RUNIT/slug" | grep -q '^run: '
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
}

@test "an unassigned app whose removal servicebuilder did not finish is removed by the next run" {
	with_servicebuilder
	runit_start
	repo_add slug abc123
	intend abc123:active
	setlive --config="$SB" 2>/dev/null
	pp intent unassign slug/demo "$PP_NODE" >/dev/null
	printf '#!/bin/sh\nexit 3\n' >"$BATS_TEST_TMPDIR/broken"
	chmod +x "$BATS_TEST_TMPDIR/broken"
	ln -sf "$BATS_TEST_TMPDIR/broken" "$BATS_TEST_TMPDIR/sb-bin/servicebuilder"
	run -1 --separate-stderr setlive --config="$SB" --allow-empty
	with_servicebuilder
	run -0 --separate-stderr setlive --config="$SB" --allow-empty
	[ ! -e "$RUNIT/slug" ]
	[ ! -e "$SB/.pp-pending" ]
	run -0 --separate-stderr setlive --config="$SB"
	expect_silence
}

@test "somebody else's service in the stage is no trouble" {
	runit_start
	repo_add slug abc123
	intend abc123:active
	mkdir -p "$RUNIT_STAGE/foreign" "$RUNIT_STAGE/program"
	ln -s /bin/true "$RUNIT_STAGE/foreign/run"
	cp /bin/bash "$RUNIT_STAGE/program/run"
	run -0 --separate-stderr setlive
	sv status "$RUNIT/slug" | grep -q '^run: '
}

@test "two apps in one basedir are both held" {
	repo_add slug abc123
	intend abc123:active
	app other
	pp intent set other basedir="$BASEDIR" >/dev/null
	run -1 --separate-stderr setlive
	[[ $stderr == *"slug: held as it is: basedir $BASEDIR is that of both"* ]]
	[[ $stderr == *"other: held as it is: basedir $BASEDIR is that of both"* ]]
	[ ! -e "$BASEDIR/current" ]
}
