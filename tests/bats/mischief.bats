#!/usr/bin/env bats
# pp converge preparer against those who mean it ill, or are only unlucky: other users of the node, the
# app's own user, artifacts made to be in the way, and runs that die.

load helper
load node

setup() {
	helper_setup
	store_dir
	INSTALLS=$BASEDIR/installs
}

teardown() {
	[ -z "${OPEN_PLACE-}" ] || rm -rf "$OPEN_PLACE"
	helper_teardown
}

preparer() {
	pp converge preparer --repo="$REPO_URL" "$@"
}

intend() {
	intent_slug "$@" >/dev/null 2>&1
}

versions() {
	pp intent unset slug/demo versions >/dev/null
	pp intent set slug/demo versions="$1" >/dev/null
}

# A version whose only directories are a/a/a..., $2 levels deep.
repo_add_deep() {
	mkdir -p "$REPO/slug"
	perl -e '
		sub header {
			my ($name, $type, $size) = @_;
			my $h = pack("a100a8a8a8a12a12a8a1a100a6a2a32a32a8a8a155x12", $name, "0000755", "0000000",
			    "0000000", sprintf("%011o", $size), "00000000000", " " x 8, $type, "", "ustar", "00",
			    "", "", "", "", "");
			substr($h, 148, 8) = sprintf("%06o\0 ", unpack("%32C*", $h));
			print $h;
		}
		my $record = "path=" . join("/", ("a") x $ARGV[0]) . "\n";
		my $n = length($record) + 2;
		$n++ while length("$n $record") > $n;
		$record = "$n $record";
		header("pax", "x", length($record));
		print $record, "\0" x (-length($record) % 512);
		header("deep", "5", 0);
		print "\0" x 1024' "$2" | gzip >"$REPO/slug/slug_$1.tar.gz"
}

# --- other users of the node

@test "a user who keeps installs locked holds up nothing" {
	repo_add slug def456
	intend def456:active
	mkdir -p "$INSTALLS"
	# Nothing but the right to read a directory is needed for that.
	exec 9<"$INSTALLS"
	flock 9
	run -0 --separate-stderr timeout 60 "$PP" converge preparer --repo="$REPO_URL"
	exec 9<&-
	[ -x "$INSTALLS/slug_def456/bin/launch" ]
}

# --- the app's user

@test "a FIFO or a symlink in the place of a list is not waited for nor followed, and mended" {
	repo_add slug abc123
	intend abc123:prep
	preparer 2>/dev/null
	rm "$INSTALLS/.slug_abc123.list"
	mkfifo "$INSTALLS/.slug_abc123.list"
	run -0 --separate-stderr timeout 60 "$PP" converge preparer --repo="$REPO_URL" --verify-installs
	[ -f "$INSTALLS/.slug_abc123.list" ]
	rm "$INSTALLS/.slug_abc123.list"
	echo "not to be read" >"$BATS_TEST_TMPDIR/secret"
	ln -s "$BATS_TEST_TMPDIR/secret" "$INSTALLS/.slug_abc123.list"
	run -0 --separate-stderr preparer --verify-installs
	[ ! -L "$INSTALLS/.slug_abc123.list" ]
	[ "$(cat "$BATS_TEST_TMPDIR/secret")" = "not to be read" ]
	# As the one to share files with.
	rm "$INSTALLS/.slug_abc123.list"
	mkfifo "$INSTALLS/.slug_abc123.list"
	repo_add slug def456
	versions abc123:prep,def456:prep
	run -0 --separate-stderr timeout 60 "$PP" converge preparer --repo="$REPO_URL"
	[ -d "$INSTALLS/slug_def456" ]
}

# --- what is there already

@test "an install without a list is mended also where there are others that nobody intends" {
	repo_add slug abc123
	repo_add slug def456
	intend abc123:prep
	preparer 2>/dev/null
	versions def456:prep
	preparer 2>/dev/null
	rm "$INSTALLS/.slug_def456.list"
	run -0 --separate-stderr preparer --verify-installs
	[ -f "$INSTALLS/.slug_def456.list" ]
	[ -d "$INSTALLS/slug_abc123" ]
}

@test "an install as deep as can be is pruned like any other" {
	repo_add_deep v1 2000
	intend v1:prep
	run -0 --separate-stderr preparer
	[ "$(find "$INSTALLS/slug_v1" -mindepth 1 | wc -l)" -eq 2000 ]
	repo_add slug v2
	versions v2:prep
	(
		# Fewer descriptors than levels.
		ulimit -n 256
		preparer --keep=0
	)
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .slug_v2.list slug_v2)" ]
}

@test "a deep install is pruned by a user who is not root, though it has directories without write permission" {
	need_root
	need setpriv
	repo_add_deep v1 300
	repo_add slug v2
	intend v1:prep
	# A place that others can enter, with all that they need.
	OPEN_PLACE=$(mktemp -d "/tmp/pp-mischief.XXXXXX")
	chmod 0755 "$OPEN_PLACE"
	cp "$PP" "$PP_UNPACK" "$OPEN_PLACE"
	cp -r "$REPO" "${PP_STORE#dir:}" "$OPEN_PLACE"
	chmod -R go+rX "$OPEN_PLACE"
	mkdir "$OPEN_PLACE/base" "$OPEN_PLACE/state"
	chown 65534 "$OPEN_PLACE/base" "$OPEN_PLACE/state"
	install -m 0644 /dev/null "$OPEN_PLACE/pp.conf"
	export PP_STATE_DIR=$OPEN_PLACE/state PP_STORE=dir:$OPEN_PLACE/store PP_CONF=$OPEN_PLACE/pp.conf
	PP=$OPEN_PLACE/pp REPO_URL=file://$OPEN_PLACE/repo INSTALLS=$OPEN_PLACE/base/installs
	pp intent set slug basedir="$OPEN_PLACE/base" >/dev/null
	chmod -R go+rX "$OPEN_PLACE/store"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$PP" converge preparer --repo="$REPO_URL"
	find "$INSTALLS/slug_v1" -type d -exec chmod a-w {} +
	versions v2:prep
	chmod -R go+rX "$OPEN_PLACE/store"
	setpriv --reuid=65534 --regid=65534 --clear-groups "$PP" converge preparer --repo="$REPO_URL" --keep=0
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .slug_v2.list slug_v2)" ]
}

@test "what current points at by another spelling, as the prototype wrote it, is not pruned" {
	local v

	for v in v1 v2 v3; do repo_add slug "$v"; done
	intend v1:prep,v2:prep
	preparer 2>/dev/null
	ln -s "$INSTALLS/slug_v1" "$BASEDIR/current"
	ln -s ./installs/slug_v2/ "$BASEDIR/last"
	versions v3:prep
	run -0 --separate-stderr preparer --keep=0
	[ -x "$BASEDIR/current/bin/launch" ]
	[ -x "$BASEDIR/last/bin/launch" ]
	run -0 --separate-stderr preparer --keep=0
	expect_silence
}

# --- runs that die

@test "pp-unpack dies with the run that started it, also as another group" {
	need_root
	local parent child='' children i

	mkdir -p "$REPO/slug" "$BATS_TEST_TMPDIR/big"
	head -c 1073741824 /dev/zero >"$BATS_TEST_TMPDIR/big/zeros"
	tar -C "$BATS_TEST_TMPDIR/big" -cf "$REPO/slug/slug_big.tar" .
	rm -r "$BATS_TEST_TMPDIR/big"
	intend big:prep
	pp intent set slug/demo runas=daemon >/dev/null
	spawn run "$PP" converge preparer --repo="$REPO_URL"
	parent=$SPAWNED
	# In the sandbox, so as the group of the app's user.
	for ((i = 0; i < 1000 && ${#child} == 0; i++)); do
		mapfile -t children < <(descendants "$parent")
		for child in "${children[@]}" ''; do
			grep -q '^Gid:.1.1.1' "/proc/${child:-none}/status" 2>/dev/null && break
		done
		sleep 0.01
	done
	[ -n "$child" ]
	kill -KILL "$parent"
	wait_until is_gone "$parent"
	wait_until is_gone "$child"
	rm "$REPO/slug/slug_big.tar"
}

# --- status

@test "pp status does not read all that is installed because pp.conf says verify-installs" {
	repo_add slug abc123
	intend abc123:prep
	preparer 2>/dev/null
	echo tampered >>"$INSTALLS/slug_abc123/bin/launch"
	printf '[preparer]\nverify-installs = yes\n' >"$PP_CONF"
	run -0 --separate-stderr pp status
	[[ $output != *"not what was unpacked"* ]]
	run -0 --separate-stderr pp status --verify-installs
	[[ $output == *"not what was unpacked"* ]]
}

# --- file systems that cannot do all

@test "where no rename can be told to replace nothing, installs still appear and are pruned" {
	need strace
	local no="--inject=renameat2:error=EINVAL"

	repo_add slug v1
	repo_add slug v2
	intend v1:prep
	traced -f "$no" "$PP" converge preparer --repo="$REPO_URL"
	versions v2:prep
	traced -f "$no" "$PP" converge preparer --repo="$REPO_URL" --keep=0
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .slug_v2.list slug_v2)" ]
	rm "$INSTALLS/.slug_v2.list"
	run -1 --separate-stderr traced -f "$no" "$PP" converge preparer --repo="$REPO_URL" --verify-installs
	[[ $stderr == *"slug_v2 and a fresh one change places; remove it"* ]]
	[ -x "$INSTALLS/slug_v2/bin/launch" ]
}

# --- terminals

@test "the progress line is as long as the terminal is wide, and a run with nothing to do writes none" {
	need script
	mkdir -p "$REPO/slug" "$BATS_TEST_TMPDIR/t"
	head -c 2000000 /dev/urandom >"$BATS_TEST_TMPDIR/t/data"
	repo_pack "$BATS_TEST_TMPDIR/t" slug def456
	http_start "$REPO" - <<<'limit_rate 1m;'
	intend def456:prep
	TERM=xterm run -0 script -qec "stty cols 20; '$PP' converge preparer --verify=none --repo=$HTTP_URL" \
		/dev/null </dev/null
	mapfile -t lines < <(tr '\r' '\n' <<<"$output" | sed -n 's/^\x1b\[K\(slug def456.*\)/\1/p')
	[ "${#lines[@]}" -gt 0 ]
	[ "${#lines[0]}" -eq 19 ]
	TERM=xterm run -0 script -qec "'$PP' converge preparer --verify=none --repo=$HTTP_URL" /dev/null </dev/null
	[ -z "$output" ]
}

# --- the preparer and setlive

@test "an install that is pruned while services stop does not become current" {
	repo_add slug v1 stubborn
	repo_add slug v2
	intend v1:active,v2:prep
	pp intent set slug/demo stop_timeout=3s >/dev/null
	runit_start
	preparer 2>/dev/null
	pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>/dev/null
	pp intent set slug/demo versions=v1:prep,v2:active >/dev/null
	spawn live "$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	wait_until grep -q Stopping "$BATS_TEST_TMPDIR/live.log"
	rm -r "$INSTALLS/slug_v2"
	wait_until is_gone "$SPAWNED"
	grep -q "which was there before the stop: No such file" "$BATS_TEST_TMPDIR/live.log"
	[ "$(readlink "$BASEDIR/current")" = installs/slug_v1 ]
}
