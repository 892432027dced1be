#!/usr/bin/env bats
# pp converge preparer: what becomes of installs over time: kept and pruned, checked and mended, shared;
# their users; several at once; the room they take.

load helper
load node

setup() {
	helper_setup
	store_dir
	INSTALLS=$BASEDIR/installs
}

preparer() {
	pp converge preparer --repo="$REPO_URL" "$@"
}

intend() {
	intent_slug "$@" >/dev/null 2>&1
}

# versions LIST: what is intended of slug now, and nothing else.
versions() {
	pp intent unset slug/demo versions >/dev/null
	pp intent set slug/demo versions="$1" >/dev/null
}

installed() {
	(cd "$INSTALLS" && printf '%s\n' * | sed 's/^slug_//' | xargs)
}

# Versions v1 to v$1 are prepared one after the other; only the last is intended now.
prepare_each() {
	local i

	for ((i = 1; i <= $1; i++)); do
		repo_add slug "v$i"
		if [ "$i" -eq 1 ]; then intend v1:prep; else versions "v$i:prep"; fi
		preparer --keep=100 2>/dev/null
	done
}

# --- prune

@test "of versions that are no longer intended the three newest are kept" {
	prepare_each 6
	[ "$(installed)" = "v1 v2 v3 v4 v5 v6" ]
	run -0 --separate-stderr preparer
	expect_said "INFO Removing slug_v2: no longer intended" "INFO Removing slug_v1: no longer intended"
	[ "$(installed)" = "v3 v4 v5 v6" ]
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .slug_v{3,4,5,6}.list slug_v{3,4,5,6})" ]
	run -0 --separate-stderr preparer
	expect_silence
}

@test "--keep says how many, and none is none" {
	prepare_each 4
	run -0 preparer --keep=1
	[ "$(installed)" = "v3 v4" ]
	run -0 preparer --keep=0
	[ "$(installed)" = "v4" ]
}

@test "newest is what was installed last, whatever the versions and the times in the artifacts say" {
	for v in v9 v1 v5; do
		repo_add slug "$v"
		if [ "$v" = v9 ]; then intend v9:prep; else versions "$v:prep"; fi
		preparer 2>/dev/null
	done
	touch -d '2001-01-01' "$INSTALLS"/slug_*
	versions v5:prep
	run -0 preparer --keep=1
	[ "$(installed)" = "v1 v5" ]
}

@test "what current or last points at is never pruned, nor is what is intended" {
	prepare_each 5
	ln -s installs/slug_v1 "$BASEDIR/current"
	ln -s installs/slug_v2 "$BASEDIR/last"
	run -0 preparer --keep=0
	[ "$(installed)" = "v1 v2 v5" ]
}

@test "nothing is pruned while the app's documents cannot be read" {
	prepare_each 5
	echo '{' >"$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json"
	run -1 --separate-stderr preparer --keep=0
	[ "$(installed)" = "v1 v2 v3 v4 v5" ]
	echo '{"versions": "v5"}' >"$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json"
	run -1 --separate-stderr preparer --keep=0
	[ "$(installed)" = "v1 v2 v3 v4 v5" ]
}

@test "who holds a lock on an install does not keep it from being pruned" {
	prepare_each 2
	exec 8<"$INSTALLS/slug_v1"
	flock -n 8
	run -0 preparer --keep=0
	exec 8<&-
	[ "$(installed)" = "v2" ]
}

@test "what may be another app's, by a basedir that is a link to this one, is not pruned" {
	prepare_each 1
	mkdir "$INSTALLS/slug_x_1" "$INSTALLS/slug_y_1"
	pp intent set slug_x/demo versions=1:prep basedir="$BATS_TEST_TMPDIR/alias" >/dev/null
	pp intent assign slug_x/demo "$PP_NODE" >/dev/null
	ln -s "$BASEDIR" "$BATS_TEST_TMPDIR/alias"
	run -0 preparer --keep=0
	[ -d "$INSTALLS/slug_x_1" ]
	[ ! -e "$INSTALLS/slug_y_1" ]
}

@test "an app that is gone from the node keeps its installs" {
	prepare_each 5
	pp intent unassign slug/demo "$PP_NODE" >/dev/null
	run -0 preparer --keep=0
	[ "$(installed)" = "v1 v2 v3 v4 v5" ]
}

@test "--dry-run says what would be pruned, and prunes nothing" {
	prepare_each 5
	run -0 --separate-stderr preparer --dry-run
	[ "$output" = "preparer slug: would remove $INSTALLS/slug_v1 (it is no longer intended, and newer ones are kept)" ]
	[ "$(installed)" = "v1 v2 v3 v4 v5" ]
}

@test "a prune that is killed leaves no half install under its name" {
	need strace
	prepare_each 2
	cp -r "$INSTALLS" "$BATS_TEST_TMPDIR/before"
	kills=0
	for n in 1 2 3 4 5 6 7 8; do
		rm -rf "$INSTALLS"
		cp -r "$BATS_TEST_TMPDIR/before" "$INSTALLS"
		killed_at unlinkat "$n" "$PP" converge preparer --repo="$REPO_URL" --keep=0 || continue
		kills=$((kills + 1))
		[ ! -e "$INSTALLS/slug_v1" ]
		run -0 preparer --keep=0
		[ "$(ls -A "$INSTALLS")" = .slug_v2.list$'\n'slug_v2 ]
	done
	[ "$kills" -ge 4 ]
}

@test "a version that becomes current in the moment it is pruned stays" {
	need strace
	prepare_each 2
	traced --inject=renameat2:delay_exit=1500000:when=1 "$PP" converge preparer --repo="$REPO_URL" \
		--keep=0 2>"$BATS_TEST_TMPDIR/log" &
	pid=$!
	wait_until test ! -e "$INSTALLS/slug_v1"
	ln -s installs/slug_v1 "$BASEDIR/current"
	wait "$pid"
	[ "$(installed)" = "v1 v2" ]
	[ -x "$INSTALLS/slug_v1/bin/launch" ]
}

# --- what is left lying about

@test "what no run needs any more is removed: staging, lists and parts of downloads" {
	repo_add slug v1
	intend v1:prep
	preparer 2>/dev/null
	mkdir "$INSTALLS/.slug_v1.abcdef" "$INSTALLS/.slug_v7.abcdef"
	touch "$INSTALLS/.slug_v1.list.tmp" "$INSTALLS/.slug_v7.list" "$INSTALLS/.slug_v1.part" \
		"$INSTALLS/.slug_v7.part" "$INSTALLS/.slug_v7.part.meta" "$INSTALLS/.other" \
		"$INSTALLS/.slug_v1" "$INSTALLS/.slug_v1.abc" "$INSTALLS/.tool_v1.abcdef"
	run -0 preparer
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .other .slug_v1 .slug_v1.abc .slug_v1.list .tool_v1.abcdef slug_v1)" ]
}

@test "the part of a download stays as long as its version is wanted, and goes when it is not" {
	repo_add slug v1 sleep "data=$(head -c 200000 /dev/urandom | base64 -w 0)"
	intend v1:prep,v2:prep
	http_start "$REPO" - <<-'CONF'
		limit_rate 50k;
	CONF
	run -1 pp converge preparer --repo="$HTTP_URL" --verify=none --timeout=2
	[ -s "$INSTALLS/.slug_v1.part" ]
	http_stop
	run -1 pp converge preparer --repo="$HTTP_URL" --verify=none --timeout=2
	[ -s "$INSTALLS/.slug_v1.part" ]
	[ -s "$INSTALLS/.slug_v1.part.meta" ]
	versions v2:prep
	run -1 pp converge preparer --repo="$REPO_URL"
	[ "$(ls -A "$INSTALLS")" = "" ]
}

@test "two runs never unpack the same install: the second says that another is at it" {
	repo_add slug v1
	intend v1:prep
	mkdir -p "$INSTALLS/.slug_v1.abcdef"
	exec 8<"$INSTALLS/.slug_v1.abcdef"
	flock -n 8
	run -1 --separate-stderr preparer
	[[ $(said) == *"FATAL slug: version v1: another run is preparing it; the next one looks again" ]]
	exec 8<&-
	[ ! -e "$INSTALLS/slug_v1" ]
	run -0 preparer
	[ -x "$INSTALLS/slug_v1/bin/launch" ]
}

@test "many runs at once, each with a state of its own: one install, whole, and nothing else" {
	repo_add slug v1 sleep "data=$(seq 20000)"
	intend v1:prep
	for i in 1 2 3 4 5 6; do
		PP_STATE_DIR=$BATS_TEST_TMPDIR/state$i "$PP" converge preparer --repo="$REPO_URL" 2>/dev/null &
	done
	wait
	[ "$(ls -A "$INSTALLS")" = .slug_v1.list$'\n'slug_v1 ]
	run -0 preparer --verify-installs
	[ "$output" = "" ]
}

# --- checked and mended

# The version v1 of slug is there, and v1's artifact is in the repository still.
with_install() {
	repo_add slug v1 sleep data/one=1 data/two=2
	intend v1:active
	preparer 2>/dev/null
}

@test "--verify-installs says nothing of an install that is as it was unpacked" {
	with_install
	before=$(snapshot "$INSTALLS")
	run -0 --separate-stderr preparer --verify-installs
	expect_silence
	[ "$(snapshot "$INSTALLS")" = "$before" ]
}

@test "--verify-installs finds what was tampered with, says what, and mends it by a fresh install" {
	with_install
	for what in 'echo x >>data/one' 'rm data/two' 'echo new >bin/evil' 'chmod 0777 bin/launch' \
		'chmod 0777 data' 'rm data/one && ln -s ../bin/launch data/one' \
		'rm -r data && ln -s /etc data' 'mkdir -p bin/x'; do
		(cd "$INSTALLS/slug_v1" && eval "$what")
		run -0 --separate-stderr preparer --dry-run --verify-installs
		[[ $output == "preparer slug: would install $INSTALLS/slug_v1 afresh ("* ]] || fail "$what: $output"
		run -0 --separate-stderr preparer --verify-installs
		[[ $(said) == *"WARN $INSTALLS/slug_v1 is not as it was unpacked, and is installed afresh: "* ]]
		[ "$(ls "$INSTALLS/slug_v1/data")" = one$'\n'two ] || fail "$what is not mended"
		[ "$(cat "$INSTALLS/slug_v1/data/one")" = 1 ]
		[ ! -e "$INSTALLS/slug_v1/bin/evil" ]
		run -0 --separate-stderr preparer --verify-installs
		expect_silence
		[ "$(ls -A "$INSTALLS")" = .slug_v1.list$'\n'slug_v1 ]
	done
}

@test "a byte that rotted under the same size and time is found" {
	with_install
	touch -r "$INSTALLS/slug_v1/data/one" "$BATS_TEST_TMPDIR/ref"
	printf 7 | dd of="$INSTALLS/slug_v1/data/one" conv=notrunc status=none
	touch -r "$BATS_TEST_TMPDIR/ref" "$INSTALLS/slug_v1/data/one"
	run -0 --separate-stderr preparer
	expect_silence
	run -0 --separate-stderr preparer --verify-installs
	[ "$(cat "$INSTALLS/slug_v1/data/one")" = 1 ]
}

@test "an install without a list, or with one that is cut short, is installed afresh" {
	with_install
	rm "$INSTALLS/.slug_v1.list"
	run -0 --separate-stderr preparer
	expect_silence
	run -0 --separate-stderr preparer --verify-installs
	[ -s "$INSTALLS/.slug_v1.list" ]
	# The key of its tags is in it.
	[ "$(stat -c %a "$INSTALLS/.slug_v1.list")" = 600 ]
	truncate -s -8 "$INSTALLS/.slug_v1.list"
	run -0 --separate-stderr preparer --verify-installs
	[ "$(tail -n 1 "$INSTALLS/.slug_v1.list" | cut -c1-4)" = "end " ]
	run -0 --separate-stderr preparer --verify-installs
	expect_silence
}

@test "what rotted stays as it is when the artifact is gone, and is still told" {
	with_install
	echo x >>"$INSTALLS/slug_v1/data/one"
	mv "$REPO/slug" "$REPO/away"
	run -1 --separate-stderr preparer --verify-installs
	[ "$(tail -n 1 "$INSTALLS/slug_v1/data/one")" = 1x ]
	[ "$(ls -A "$INSTALLS")" = .slug_v1.list$'\n'slug_v1 ]
}

@test "a service keeps the files it has open while its install is mended, and current is never away" {
	with_install
	ln -s installs/slug_v1 "$BASEDIR/current"
	echo x >>"$INSTALLS/slug_v1/data/one"
	(
		while :; do
			[ -x "$BASEDIR/current/bin/launch" ] || echo away >>"$BATS_TEST_TMPDIR/away"
		done
	) &
	watcher=$!
	exec 9<"$INSTALLS/slug_v1/data/two"
	preparer --verify-installs 2>/dev/null
	[ "$(cat <&9)" = 2 ]
	exec 9<&-
	kill "$watcher"
	[ ! -e "$BATS_TEST_TMPDIR/away" ]
	[ "$(cat "$BASEDIR/current/data/one")" = 1 ]
}

# --- whose

@test "installs belong to root and the app's group; with owner=runas, to the app's user" {
	need_root
	repo_add slug v1 sleep data/one=1
	repo_add slug v2 sleep data/one=1
	intend v1:prep
	pp intent set slug/demo runas=nobody >/dev/null
	preparer 2>/dev/null
	[ "$(find "$INSTALLS/slug_v1" -printf '%u %g\n' | sort -u)" = "root $(id -gn nobody)" ]
	pp intent set slug/demo owner=runas versions.v2=prep >/dev/null
	preparer 2>/dev/null
	[ "$(find "$INSTALLS/slug_v2" -printf '%u %g\n' | sort -u)" = "nobody $(id -gn nobody)" ]
	[ "$(stat -c %u "$INSTALLS")" = 0 ]
	run -65 pp intent set slug/demo owner=nobody
}

@test "with owner=runas a new owner is mended by --verify-installs" {
	need_root
	with_install
	pp intent set slug/demo runas=nobody owner=runas >/dev/null
	run -0 --separate-stderr preparer
	expect_silence
	run -0 --separate-stderr preparer --verify-installs
	[ "$(find "$INSTALLS/slug_v1" -printf '%u\n' | sort -u)" = nobody ]
}

@test "a user that runas names is made with --create-users, and without is an error each time" {
	need_mount_namespace
	need useradd
	repo_add slug v1
	intend v1:prep
	pp intent set slug/demo runas=pp-test-user >/dev/null
	run -1 --separate-stderr preparer
	expect_said "FATAL slug: runas pp-test-user: there is no such user; make it with: useradd --system pp-test-user, or let the preparer do it by --create-users"
	# shellcheck disable=SC2016
	run -0 --separate-stderr in_namespace '
		mkdir -p "$BATS_TEST_TMPDIR/up" "$BATS_TEST_TMPDIR/work"
		mount -t tmpfs none "$BATS_TEST_TMPDIR/up"
		mkdir "$BATS_TEST_TMPDIR/up/u" "$BATS_TEST_TMPDIR/up/w"
		mount -t overlay -o "lowerdir=/etc,upperdir=$BATS_TEST_TMPDIR/up/u,workdir=$BATS_TEST_TMPDIR/up/w" none /etc
		pp converge preparer --repo="$1" --create-users --dry-run
		pp converge preparer --repo="$1" --create-users
		getent passwd pp-test-user | cut -d: -f1
		id -gn pp-test-user
		stat -c %G "$BASEDIR/installs/slug_v1/bin/launch"
		pp converge preparer --repo="$1" --create-users
		rm -r "$BASEDIR"' "$REPO_URL"
	[ "$output" = "preparer slug: would make the user pp-test-user (the app is to run as it)
preparer slug: would install $INSTALLS/slug_v1 (it is to be ready)
pp-test-user
pp-test-user
pp-test-user" ]
	[[ $(said) == "INFO Making the user pp-test-user"* ]]
	run ! getent passwd pp-test-user
}

# --- several at once

@test "--jobs at once: so many downloads are under way together, and no more" {
	for v in v1 v2 v3 v4 v5; do
		repo_add slug "$v" sleep "data=$(head -c 60000 /dev/urandom | base64 -w 0)"
	done
	intend v1:prep,v2:prep,v3:prep,v4:prep,v5:prep
	http_start "$REPO" - <<-'CONF'
		limit_rate 50k;
	CONF
	"$PP" converge preparer --repo="$HTTP_URL" --verify=none --jobs=3 2>/dev/null &
	pid=$!
	most=0
	while is_running "$pid"; do
		n=$(find "$INSTALLS" -maxdepth 1 -name '.slug_v?.part' 2>/dev/null | wc -l)
		[ "$n" -le "$most" ] || most=$n
		sleep 0.05
	done
	wait "$pid"
	[ "$most" -eq 3 ]
	[ "$(installed)" = "v1 v2 v3 v4 v5" ]
}

# begun_meanwhile SECONDS ARG...: how many times was pp-unpack begun before a syncfs(2) was over, where that
# takes so long?
begun_meanwhile() {
	traced -f -o "$BATS_TEST_TMPDIR/trace" -e trace=execve,syncfs --inject=syncfs:delay_enter="${1}000000" \
		"$PP" converge preparer --repo="$REPO_URL" "${@:2}" 2>/dev/null
	awk '/syncfs.* = 0/ { exit } /execve\(.*pp-unpack.* = 0/ { n++ } END { print n + 0 }' "$BATS_TEST_TMPDIR/trace"
}

@test "while one only waits for the disk the next one begins, but not with --jobs=1" {
	need strace
	for v in v1 v2 v3; do
		repo_add slug "$v"
	done
	intend v1:prep,v2:prep,v3:prep
	[ "$(begun_meanwhile 1 --jobs=1)" -eq 1 ]
	[ "$(installed)" = "v1 v2 v3" ]
	rm -r "$INSTALLS"
	[ "$(begun_meanwhile 5 --jobs=2)" -eq 3 ]
	[ "$(installed)" = "v1 v2 v3" ]
}

# How many were told to keep the disk busy meanwhile?
syncing_early() {
	rm -rf "$INSTALLS"
	traced -f -v -s 200 -o "$BATS_TEST_TMPDIR/trace" -e trace=execve "$PP" converge preparer --repo="$REPO_URL" "$@" 2>/dev/null
	grep -c 'execve(.*pp-unpack.*"--start-sync".* = 0' "$BATS_TEST_TMPDIR/trace" || :
}

@test "the disk begins early only where one artifact has the node to itself" {
	need strace
	repo_add slug v1
	repo_add slug v2
	intend v1:prep
	[ "$(syncing_early --jobs=2)" -eq 1 ]
	intend v1:prep,v2:prep
	[ "$(syncing_early --jobs=1)" -eq 2 ]
	[ "$(syncing_early --jobs=2)" -eq 0 ]
	[ "$(installed)" = "v1 v2" ]
}

@test "what each logs comes together and in order, whichever is done first" {
	for v in v1 v2 v3; do
		repo_add slug "$v"
	done
	intend v1:prep,v2:prep,v3:prep
	mkdir "$BATS_TEST_TMPDIR/bin"
	cp "$PP" "$BATS_TEST_TMPDIR/bin/pp"
	cat >"$BATS_TEST_TMPDIR/bin/pp-unpack" <<-EOT
		#!/bin/sh
		case \$(pwd) in
		*slug_v1*) sleep 1 ;;
		esac
		exec "$PP_UNPACK" "\$@"
	EOT
	chmod +x "$BATS_TEST_TMPDIR/bin/pp-unpack"
	run -0 --separate-stderr "$BATS_TEST_TMPDIR/bin/pp" converge preparer --repo="$REPO_URL" --jobs=3
	lines=()
	for v in v1 v2 v3; do
		lines+=("INFO Does not exist: $INSTALLS/slug_$v"
			"INFO Extracting $REPO/slug/slug_$v.tar.gz to $INSTALLS/.slug_$v.??????"
			"INFO Moving $INSTALLS/.slug_$v.?????? to $INSTALLS/slug_$v")
	done
	expect_said "${lines[@]}"
}

@test "one that is refused, one that crashes and one that hangs cost the others nothing" {
	for v in v1 v2 v3 v4; do
		repo_add slug "$v"
	done
	echo garbage >"$REPO/slug/slug_v2.tar.gz"
	intend v1:prep,v2:prep,v3:prep,v4:prep
	mkdir "$BATS_TEST_TMPDIR/bin"
	cp "$PP" "$BATS_TEST_TMPDIR/bin/pp"
	cat >"$BATS_TEST_TMPDIR/bin/pp-unpack" <<-EOT
		#!/bin/sh
		case \$(pwd) in
		*slug_v3*) kill -SEGV \$\$ ;;
		*slug_v4*) exec sleep 100000 ;;
		esac
		exec "$PP_UNPACK" "\$@"
	EOT
	chmod +x "$BATS_TEST_TMPDIR/bin/pp-unpack"
	run -1 --separate-stderr "$BATS_TEST_TMPDIR/bin/pp" converge preparer --repo="$REPO_URL" --jobs=4 --timeout=5
	[ "$(installed)" = "v1" ]
	[ "$(ls -A "$INSTALLS")" = .slug_v1.list$'\n'slug_v1 ]
	[[ $(said) == *"FATAL slug: version v2: $REPO/slug/slug_v2.tar.gz: not a tar archive"* ]]
	[[ $(said) == *"FATAL slug: version v3: $REPO/slug/slug_v3.tar.gz: pp-unpack was killed by signal 11"* ]]
	[[ $(said) == *"FATAL slug: version v4: "*"did not end in time, killed"* ]]
}

@test "a job that is killed is told, the others go on, and the next run makes up for it" {
	repo_add slug v1
	repo_add slug v2
	intend v1:prep,v2:prep
	mkdir "$BATS_TEST_TMPDIR/bin"
	cp "$PP" "$BATS_TEST_TMPDIR/bin/pp"
	cat >"$BATS_TEST_TMPDIR/bin/pp-unpack" <<-EOT
		#!/bin/sh
		case \$(pwd) in
		*slug_v1*) kill -9 "\$PPID" ;;
		esac
		exec "$PP_UNPACK" "\$@"
	EOT
	chmod +x "$BATS_TEST_TMPDIR/bin/pp-unpack"
	run -1 --separate-stderr "$BATS_TEST_TMPDIR/bin/pp" converge preparer --repo="$REPO_URL"
	[ "$(installed)" = "v2" ]
	[[ $(said) == *"FATAL slug: install $INSTALLS/slug_v1: its process ended with signal 9"* ]]
	run -0 preparer
	[ "$(installed)" = "v1 v2" ]
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .slug_v1.list .slug_v2.list slug_v1 slug_v2)" ]
}

@test "the jobs of a run that is killed go with it" {
	repo_add slug v1 sleep "data=$(head -c 60000 /dev/urandom | base64 -w 0)"
	intend v1:prep
	http_start "$REPO" - <<-'CONF'
		limit_rate 10k;
	CONF
	"$PP" converge preparer --repo="$HTTP_URL" --verify=none 2>/dev/null &
	pid=$!
	wait_until pgrep -P "$pid"
	job=$(pgrep -P "$pid")
	kill -9 "$pid"
	wait_until is_gone "$job"
	wait "$pid" || :
	http_stop
	run -0 preparer
	[ "$(installed)" = v1 ]
}

@test "on a terminal a line tells bytes, rate and time left; elsewhere there is none" {
	need script
	repo_add slug v1 sleep "data=$(head -c 90000 /dev/urandom | base64 -w 0)"
	intend v1:prep
	http_start "$REPO" - <<-'CONF'
		limit_rate 60k;
	CONF
	TERM=xterm script -qec "'$PP' converge preparer --repo='$HTTP_URL' --verify=none" /dev/null \
		>"$BATS_TEST_TMPDIR/tty" </dev/null
	tr '\r' '\n' <"$BATS_TEST_TMPDIR/tty" >"$BATS_TEST_TMPDIR/lines"
	grep -qE 'slug v1: [0-9.]+ KiB of [0-9.]+ KiB, [0-9.]+ KiB/s, [0-9]+ s left' "$BATS_TEST_TMPDIR/lines"
	# Log lines stand alone, and the last thing is an empty line to write on.
	grep -qE 'INFO .*Moving ' "$BATS_TEST_TMPDIR/lines"
	[ "$(tail -c 4 "$BATS_TEST_TMPDIR/tty")" = $'\r\e[K' ]
	rm -r "$BASEDIR"
	run -0 --separate-stderr pp converge preparer --repo="$HTTP_URL" --verify=none
	[[ $stderr != *KiB* ]]
	[[ $stderr != *$'\r'* ]]
}

# --- room

# room_for COMMAND...: with BASEDIR on a tmpfs of $1.
on_small_disk() {
	local size=$1

	shift
	# shellcheck disable=SC2016
	in_namespace '
		mkdir -p "$BASEDIR"
		mount -t tmpfs -o "size=$1,nr_inodes=1000" none "$BASEDIR"
		shift
		code=0
		"$@" || code=$?
		find "$BASEDIR" -mindepth 1 | sort
		exit "$code"' "$size" "$@"
}

@test "an artifact for which there is no room is not even begun with, and the message says what is missing" {
	need_mount_namespace
	repo_add slug v1 sleep "data=$(head -c 3000000 /dev/zero | tr '\0' x)"
	intend v1:prep
	run -1 --separate-stderr on_small_disk 2m pp converge preparer --repo="$REPO_URL"
	[ "$output" = "$INSTALLS" ]
	[[ $(said) == *"FATAL slug: version v1: "*"not enough room: what is in the artifact takes 2.9 MiB, and the file system has 1.9 MiB above what --min-free keeps" ]]
	run -0 --separate-stderr on_small_disk 4m pp converge preparer --repo="$REPO_URL"
}

@test "--min-free keeps a share or a number of bytes free" {
	need_mount_namespace
	repo_add slug v1 sleep "data=$(head -c 3000000 /dev/zero | tr '\0' x)"
	intend v1:prep
	run -1 --separate-stderr on_small_disk 4m pp converge preparer --repo="$REPO_URL" --min-free=50%
	[[ $(said) == *"not enough room"* ]]
	run -1 --separate-stderr on_small_disk 4m pp converge preparer --repo="$REPO_URL" --min-free=2M
	[[ $(said) == *"not enough room"* ]]
	run -0 --separate-stderr on_small_disk 4m pp converge preparer --repo="$REPO_URL" --min-free=0
	run -78 pp converge preparer --repo="$REPO_URL" --min-free=half
	run -78 pp converge preparer --repo="$REPO_URL" --min-free=100%
}

@test "what the ends of an artifact do not tell is noticed while it is unpacked, before the disk is full" {
	need_mount_namespace
	repo_add slug v1 none
	mkdir "$BATS_TEST_TMPDIR/tree"
	for i in 1 2 3 4 5 6; do
		head -c 600000 /dev/zero | tr '\0' "$i" >"$BATS_TEST_TMPDIR/tree/$i"
	done
	rm "$REPO/slug"/*
	repo_pack "$BATS_TEST_TMPDIR/tree" slug v1 tar.xz
	intend v1:prep
	run -1 --separate-stderr on_small_disk 2m pp converge preparer --repo="$REPO_URL"
	[ "$output" = "$INSTALLS" ]
	[[ $(said) == *"FATAL slug: version v1: "*"not enough room"* ]]
}

@test "a download for which there is no room is not begun" {
	need_mount_namespace
	repo_add slug v1 sleep "data=$(head -c 3000000 /dev/urandom | base64 -w 0)"
	intend v1:prep
	http_start "$REPO"
	run -1 --separate-stderr on_small_disk 2m pp converge preparer --repo="$HTTP_URL" --verify=none
	[ "$output" = "$INSTALLS" ]
	[[ $(said) == *"not enough room: the artifact takes "* ]]
	run -1 --separate-stderr on_small_disk 5m pp converge preparer --repo="$HTTP_URL" --verify=none
	[ "$output" = "$INSTALLS" ]
	[[ $(said) == *"not enough room: what is in the artifact takes "* ]]
}

@test "--max-size, --max-files and --max-ratio bound what an artifact may unpack to" {
	repo_add slug v1 sleep "data=$(head -c 300000 /dev/zero | tr '\0' x)"
	intend v1:prep
	run -1 --separate-stderr preparer --max-size=200K
	[[ $(said) == *"unpacks to more than 204800 bytes"* ]]
	run -1 --separate-stderr preparer --max-files=3
	[[ $(said) == *"more than 3 files in the artifact"* ]]
	[ "$(ls -A "$INSTALLS")" = "" ]
	run -0 preparer --max-size=1M --max-files=20 --max-ratio=5
	run -64 pp converge preparer --repo="$REPO_URL" --max-size=lots
	run -64 pp converge preparer --repo="$REPO_URL" --jobs=many
}
