#!/usr/bin/env bats
# pp converge preparer: every version that is intended is installed, whole.

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

# The usual intent, said by nobody.
intend() {
	intent_slug "$@" >/dev/null 2>&1
}

# Is the install $1 there, whole? Against the artifact itself, unpacked by tar.
is_whole() {
	local want=$BATS_TEST_TMPDIR/want.${1##*_}

	if [ ! -d "$want" ]; then
		mkdir -p "$want"
		# shellcheck disable=SC2153
		tar -xzf "$REPO/${1%_*}/$1.tar.gz" -C "$want"
	fi
	diff -r --no-dereference "$want" "$INSTALLS/$1" &&
		[ "$(cd "$want" && find . -mindepth 1 -printf '%p %m\n' | sort)" = \
			"$(cd "$INSTALLS/$1" && find . -mindepth 1 -printf '%p %m\n' | sort)" ]
}

# Is everything that shows in installs/ whole? What begins with a dot is not looked at by anybody.
all_whole() {
	local install

	for install in "$INSTALLS"/*; do
		[ -e "$install" ] || continue
		is_whole "${install##*/}" || return 1
	done
}

nothing_installed() {
	[ -z "$(ls -A "$INSTALLS" 2>/dev/null)" ]
}

# An artifact that takes a while: $3 files of incompressible bytes.
repo_add_big() {
	local tree i

	tree=$(mktemp -d "$BATS_TEST_TMPDIR/tree.XXXXXX")
	mkdir "$tree/data"
	for ((i = 0; i < $3; i++)); do
		head -c 40000 /dev/urandom >"$tree/data/$i"
	done
	repo_pack "$tree" "$1" "$2"
	rm -rf "$tree"
}

# serve PERL: a server of one answer a connection on $PORT: PERL writes to the socket $c.
serve() {
	PORT=$(free_port)
	# shellcheck disable=SC2016
	spawn server perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], Listen => 5,
			ReuseAddr => 1) or die;
		while (my $c = $s->accept) {
			$c->autoflush(1);
			while (my $line = <$c>) { last if $line =~ /^\r?\n/ }
			eval $ARGV[1];
			close $c;
		}' "$PORT" "$1"
	wait_until sh -c "grep -q ':$(printf %04X "$PORT") .* 0A ' /proc/net/tcp"
}

# --- the main job

@test "every version that is intended is installed, active or not, and nothing is made live" {
	repo_add slug abc123
	repo_add slug def456 sleep bin/tool='#!/bin/sh' "etc/a b"=blank
	intend
	run -0 --separate-stderr preparer
	expect_said \
		"INFO Does not exist: $INSTALLS/slug_abc123" \
		"INFO Extracting $REPO/slug/slug_abc123.tar.gz to $INSTALLS/.slug_abc123.??????" \
		"INFO Moving $INSTALLS/.slug_abc123.?????? to $INSTALLS/slug_abc123" \
		"INFO Does not exist: $INSTALLS/slug_def456" \
		"INFO Extracting $REPO/slug/slug_def456.tar.gz to $INSTALLS/.slug_def456.??????" \
		"INFO Moving $INSTALLS/.slug_def456.?????? to $INSTALLS/slug_def456"
	[ "$output" = "" ]
	[ "$(ls -A "$BASEDIR")" = installs ]
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .slug_abc123.list .slug_def456.list slug_abc123 slug_def456)" ]
	is_whole slug_abc123
	is_whole slug_def456
	[ "$(stat -c %a "$INSTALLS/slug_def456")" = 755 ]
}

@test "a second run does nothing, says nothing and starts no program" {
	need strace
	repo_add slug abc123
	repo_add slug def456
	intend
	preparer 2>/dev/null
	before=$(snapshot "$BASEDIR" "$REPO" "$BATS_TEST_TMPDIR/store")
	run -0 --separate-stderr preparer
	expect_silence
	ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -f -e trace=execve,execveat \
		-o "$BATS_TEST_TMPDIR/execs" "$PP" converge preparer --repo="$REPO_URL"
	[ "$(grep -c 'exec' "$BATS_TEST_TMPDIR/execs")" -eq 1 ]
	[ "$(snapshot "$BASEDIR" "$REPO" "$BATS_TEST_TMPDIR/store")" = "$before" ]
}

@test "--verbose tells what is looked at, wherever on the command line it stands" {
	repo_add slug abc123
	intend abc123:prep
	preparer 2>/dev/null
	for order in "preparer --verbose --repo=$REPO_URL" "--repo $REPO_URL -v preparer" "--verbose preparer --repo $REPO_URL"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr pp converge $order
		expect_said "INFO Polling intent store" "INFO Checking spec for slug"
	done
}

@test "an artifact may be a tar that is packed by gzip, zstd, xz, bzip2 or by nothing" {
	repo_add slug abc123
	tree=$BATS_TEST_TMPDIR/plain
	mkdir "$tree"
	tar -xzf "$REPO/slug/slug_abc123.tar.gz" -C "$tree"
	for suffix in tar.zst tar.xz tar; do
		repo_pack "$tree" slug "of-$suffix" "$suffix"
	done
	bzip2 <"$REPO/slug/slug_of-tar.tar" >"$REPO/slug/slug_of-tar.bz2.tar.bz2"
	intend abc123:prep,of-tar.zst:prep,of-tar.xz:prep,of-tar:prep,of-tar.bz2:prep
	preparer
	for version in of-tar.zst of-tar.xz of-tar of-tar.bz2; do
		diff -r --no-dereference "$INSTALLS/slug_abc123" "$INSTALLS/slug_$version"
		[ -x "$INSTALLS/slug_$version/bin/launch" ]
	done
}

@test "links of an artifact, soft and hard, and its modes are there in the install" {
	tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/bin" "$tree/data"
	echo x >"$tree/data/one"
	ln "$tree/data/one" "$tree/data/two"
	ln -s ../data/one "$tree/bin/soft"
	chmod 0751 "$tree/data"
	chmod 0640 "$tree/data/one"
	repo_pack "$tree" slug abc123
	intend abc123:prep
	preparer
	[ "$(readlink "$INSTALLS/slug_abc123/bin/soft")" = ../data/one ]
	[ "$(stat -c %i "$INSTALLS/slug_abc123/data/one")" = "$(stat -c %i "$INSTALLS/slug_abc123/data/two")" ]
	[ "$(stat -c %a "$INSTALLS/slug_abc123/data" "$INSTALLS/slug_abc123/data/one" | tr '\n' ' ')" = "751 640 " ]
}

@test "versions that are no longer intended stay installed: they may be live" {
	repo_add slug abc123
	repo_add slug def456
	intend
	preparer 2>/dev/null
	pp intent unset slug versions.abc123 >/dev/null
	run -0 --separate-stderr preparer
	expect_silence
	is_whole slug_abc123
}

@test "without --repo, artifacts come from repo in the state directory" {
	repo_add slug abc123
	mkdir -p "$PP_STATE_DIR"
	mv "$REPO" "$PP_STATE_DIR/repo"
	intend abc123:prep
	pp converge preparer
	[ -x "$INSTALLS/slug_abc123/bin/launch" ]
}

@test "what an app may run as may read its installs, by their group" {
	need_root
	repo_add slug abc123
	intend abc123:prep
	pp intent set slug runas=nobody >/dev/null
	preparer
	[ "$(find "$INSTALLS/slug_abc123" -printf '%u %g\n' | sort -u)" = "root $(id -gn nobody)" ]
}

@test "a user that is not there is an error of its app, and nothing is installed" {
	need_root
	repo_add slug abc123
	intend abc123:prep
	pp intent set slug runas=no-such-user >/dev/null
	run -1 --separate-stderr preparer
	[[ $(said) == *"FATAL slug: runas no-such-user: there is no such user; make it with: useradd "* ]]
	nothing_installed
}

# --- what is there stays

@test "an install that is there is never overwritten, not even by another artifact" {
	repo_add slug abc123
	intend abc123:prep
	mkdir -p "$INSTALLS/slug_abc123"
	echo mine >"$INSTALLS/slug_abc123/mine"
	before=$(snapshot "$INSTALLS")
	run -0 --separate-stderr preparer
	expect_silence
	[ "$(snapshot "$INSTALLS")" = "$before" ]
}

@test "an install that appears while it is being unpacked stays as it is" {
	need strace
	repo_add slug abc123
	intend abc123:prep
	traced -f --inject=renameat2:delay_enter=2000000 "$PP" converge preparer --repo="$REPO_URL" \
		2>"$BATS_TEST_TMPDIR/log" &
	run_pid=$!
	wait_until grep -q Moving "$BATS_TEST_TMPDIR/log"
	mkdir "$INSTALLS/slug_abc123"
	echo mine >"$INSTALLS/slug_abc123/mine"
	code=0
	wait "$run_pid" || code=$?
	[ "$code" -eq 1 ]
	grep -q 'appeared meanwhile; it stays as it is' "$BATS_TEST_TMPDIR/log"
	[ "$(ls "$INSTALLS")" = slug_abc123 ]
	[ "$(ls "$INSTALLS/slug_abc123")" = mine ]
}

@test "what is no directory in the place of an install is named, and left there" {
	repo_add slug abc123
	intend abc123:prep
	mkdir -p "$INSTALLS"
	ln -s /tmp "$INSTALLS/slug_abc123"
	run -1 --separate-stderr preparer
	expect_said "FATAL slug: $INSTALLS/slug_abc123 is in the way: it is not a directory; move it away"
	[ "$(readlink "$INSTALLS/slug_abc123")" = /tmp ]
}

@test "nothing is written but below basedir and the state directory" {
	need_mount_namespace
	repo_add slug abc123
	repo_add_big slug def456 20
	http_start "$REPO"
	intend
	mkdir -p "$BASEDIR" "$PP_STATE_DIR"
	# shellcheck disable=SC2016
	run -0 --separate-stderr in_namespace '
		mount --make-rprivate /
		mount --bind "$BASEDIR" "$BASEDIR"
		mount --bind "$PP_STATE_DIR" "$PP_STATE_DIR"
		mount -o remount,bind,ro /
		if mountpoint -q /tmp; then mount -o remount,bind,ro /tmp; fi
		if touch "$BATS_TEST_TMPDIR/x" 2>/dev/null; then fail "not read-only"; fi
		pp converge preparer --verify=none --repo="$HTTP_URL"'
	is_whole slug_abc123
	is_whole slug_def456
}

@test "unpacking is done on the file system of basedir, whatever else is where" {
	need_mount_namespace
	need strace
	repo_add_big slug abc123 20
	http_start "$REPO"
	intend abc123:prep
	mkdir -p "$BASEDIR"
	# shellcheck disable=SC2016
	run -0 --separate-stderr in_namespace '
		mount -t tmpfs none "$BASEDIR"
		export TMPDIR=/nonexistent
		ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -f -o "$BATS_TEST_TMPDIR/renames" \
			-e trace=rename,renameat,renameat2,linkat "$PP" converge preparer --verify=none --repo="$HTTP_URL"
		test -f "$BASEDIR/installs/slug_abc123/data/19"'
	[[ $(said) == *"INFO Extracting $HTTP_URL/slug/slug_abc123.tar.gz to $INSTALLS/.slug_abc123."* ]]
	# The rename stays inside the directory installs/.
	[ "$(grep -c '"\.slug_abc123\.[a-z0-9]*", [0-9]*, "slug_abc123", RENAME_NOREPLACE) = 0' \
		"$BATS_TEST_TMPDIR/renames")" -eq 1 ]
	run ! grep -E 'EXDEV|/tmp|/var/tmp' "$BATS_TEST_TMPDIR/renames"
}

# --- http

@test "an artifact comes over http" {
	repo_add_big slug abc123 50
	intend abc123:prep
	http_start "$REPO"
	run -0 --separate-stderr pp converge preparer --verify=none --repo="$HTTP_URL/" --verbose
	expect_said "INFO Polling intent store" "INFO Checking spec for slug" \
		"INFO Does not exist: $INSTALLS/slug_abc123" \
		"INFO Fetching $HTTP_URL/slug/slug_abc123.tar.gz" \
		"INFO Extracting $HTTP_URL/slug/slug_abc123.tar.gz to *" "INFO Moving *"
	is_whole slug_abc123
	wait_until grep -q 'slug_abc123.tar.gz .* 200 ' "$HTTP_LOG"
	[ "$(grep -c slug_abc123 "$HTTP_LOG")" -eq 1 ]
}

@test "over http an artifact is found by its endings, one after the other" {
	repo_add slug abc123
	tree=$BATS_TEST_TMPDIR/plain
	mkdir "$tree"
	tar -xzf "$REPO/slug/slug_abc123.tar.gz" -C "$tree"
	rm "$REPO/slug/slug_abc123.tar.gz"
	repo_pack "$tree" slug abc123 tar.xz
	intend abc123:prep
	http_start "$REPO"
	pp converge preparer --verify=none --repo="$HTTP_URL"
	diff -r "$tree" "$INSTALLS/slug_abc123"
	wait_until grep -q 'slug_abc123.tar.xz .* 200 ' "$HTTP_LOG"
	[ "$(grep -o 'GET /slug.*' "$HTTP_LOG" | sed 's/^GET \([^ ]*\) [^ ]* \([0-9]*\) .*/\1 \2/')" = "/slug/slug_abc123.tar.gz 404
/slug/slug_abc123.tar.zst 404
/slug/slug_abc123.tar.xz 200" ]
}

@test "an artifact comes over https from a server that the host's authorities vouch for" {
	need_mount_namespace
	repo_add slug abc123
	intend abc123:prep
	http_start --tls "$REPO"
	# shellcheck disable=SC2016
	run -0 in_namespace '
		mount --bind "$TLS_CA" /etc/ssl/certs/ca-certificates.crt
		pp converge preparer --repo="$HTTPS_URL"'
	is_whole slug_abc123
}

@test "a server that no authority of this host vouches for is refused" {
	repo_add slug abc123
	intend abc123:prep
	http_start --tls "$REPO"
	run -1 --separate-stderr pp converge preparer --repo="$HTTPS_URL"
	[[ $(said) == *"FATAL slug: version abc123: $HTTPS_URL/slug/slug_abc123.tar.gz: "*certificate* ]]
	nothing_installed
	[ -z "$(grep /slug/ "$HTTP_LOG")" ] # beside what asked whether nginx is there
}

@test "--repo-cacert says whom to trust for https" {
	repo_add slug abc123
	intend abc123:prep
	http_start --tls "$REPO"
	run -0 --separate-stderr pp converge preparer --repo="$HTTPS_URL" --repo-cacert="$TLS_CA"
	is_whole slug_abc123
}

@test "an artifact that is nowhere is an error that names all that was tried" {
	intend abc123:prep
	http_start "$REPO"
	for repo in "$REPO_URL" "$HTTP_URL"; do
		run -1 --separate-stderr pp converge preparer --repo="$repo"
		at=$repo/slug/slug_abc123
		expect_said "INFO Does not exist: $INSTALLS/slug_abc123" \
			"FATAL slug: version abc123: no such artifact; tried $at.tar.gz, $at.tar.zst, $at.tar.xz, $at.tar.bz2, $at.tar"
		nothing_installed
	done
}

@test "403 and 500 are errors, and no other ending is tried" {
	repo_add slug abc123
	intend abc123:prep
	http_start "$REPO" - <<-'CONF'
		location /forbidden { return 403; }
		location /broken { return 500; }
	CONF
	while read -r path answer attempts words; do
		run -1 --separate-stderr pp converge preparer --repo="$HTTP_URL/$path"
		[[ $(said) == *"FATAL slug: version abc123: $HTTP_URL/$path/slug/slug_abc123.tar.gz: HTTP status $answer${words:+ $words}" ]]
		wait_until grep -q "GET /$path/slug/slug_abc123.tar.gz " "$HTTP_LOG"
		[ "$(grep -c "GET /$path/" "$HTTP_LOG")" -eq "$attempts" ]
		[ "$(grep -c "GET /$path/slug/slug_abc123.tar.gz " "$HTTP_LOG")" -eq "$attempts" ]
		nothing_installed
	done <<-'EOF'
		forbidden 403 1
		broken 500 4 (4 attempts)
	EOF
}

@test "a server that is not there is an error, and the next run converges" {
	repo_add slug abc123
	intend abc123:prep
	run -1 --separate-stderr pp converge preparer --repo="http://127.0.0.1:$(free_port)"
	[[ $(said) == *"FATAL slug: version abc123: http://127.0.0.1:"* ]]
	nothing_installed
	preparer
	is_whole slug_abc123
}

@test "a connection that breaks in the middle of an artifact leaves nothing" {
	repo_add_big slug abc123 20
	intend abc123:prep
	export ARTIFACT=$REPO/slug/slug_abc123.tar.gz
	# As long as it says, cut in the middle; then closed, then reset.
	# shellcheck disable=SC2016
	for end in '' 'setsockopt($c, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0));'; do
		serve 'open my $f, "<", $ENV{ARTIFACT} or die; read $f, my $part, 300000;
			print $c "HTTP/1.1 200 OK\r\nContent-Length: ", -s $ENV{ARTIFACT}, "\r\n\r\n", $part;'"$end"
		run -1 --separate-stderr pp converge preparer --repo="http://127.0.0.1:$PORT"
		[[ $(said) == *"FATAL slug: version abc123: http://127.0.0.1:$PORT/slug/slug_abc123.tar.gz: "* ]]
		nothing_installed
	done
	# Without a length it is the archive itself that tells.
	# shellcheck disable=SC2016
	serve 'open my $f, "<", $ENV{ARTIFACT} or die; read $f, my $part, 300000;
		print $c "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", $part;'
	run -1 --separate-stderr pp converge preparer --repo="http://127.0.0.1:$PORT"
	[[ $(said) == *"FATAL slug: version abc123: "* ]]
	nothing_installed
}

@test "a redirect is followed, but not from https to http" {
	need_mount_namespace
	repo_add slug abc123
	intend abc123:prep
	http_start --tls "$REPO" - <<-'CONF'
		location /moved/ { rewrite ^/moved/(.*) /$1 redirect; }
		location /plain/ { rewrite ^/plain/(.*) http://127.0.0.1:$server_port_plain/$1 redirect; }
		set $server_port_plain 0;
		location /loop/ { return 302 /loop/again; }
	CONF
	run -1 --separate-stderr pp converge preparer --repo="$HTTP_URL/loop"
	[[ $(said) == *"edirect"* ]]
	nothing_installed
	pp converge preparer --verify=none --repo="$HTTP_URL/moved"
	is_whole slug_abc123
	rm -r "$INSTALLS/slug_abc123"
	# The server's own name for itself on http is what it redirects to from https.
	# shellcheck disable=SC2016
	serve 'print $c "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
		open my $f, ">", "'"$BATS_TEST_TMPDIR"'/was-asked";'
	http_stop
	http_start --tls "$REPO" - <<-CONF
		location / { return 302 http://127.0.0.1:$PORT/\$uri; }
	CONF
	# shellcheck disable=SC2016
	run -1 --separate-stderr in_namespace '
		mount --bind "$TLS_CA" /etc/ssl/certs/ca-certificates.crt
		pp converge preparer --repo="$HTTPS_URL"'
	[[ $(said) == *"FATAL slug: version abc123: $HTTPS_URL/slug/slug_abc123.tar.gz: "* ]]
	[ ! -e "$BATS_TEST_TMPDIR/was-asked" ]
	nothing_installed
	# From http it may go anywhere over http(s).
	run -1 pp converge preparer --verify=none --repo="$HTTP_URL"
	[ -e "$BATS_TEST_TMPDIR/was-asked" ]
}

@test "--timeout ends a run that waits for a slow server" {
	repo_add_big slug abc123 10
	intend abc123:prep
	http_start "$REPO" - <<-'CONF'
		limit_rate 10k;
	CONF
	SECONDS=0
	run -1 --separate-stderr pp converge preparer --verify=none --repo="$HTTP_URL" --timeout=1s
	[ "$SECONDS" -le 30 ]
	[[ $(said) == *"FATAL slug: version abc123: $HTTP_URL/slug/slug_abc123.tar.gz: "*timed\ out* ]]
	# What has come is kept, for the next run to go on with.
	[ "$(ls -A "$INSTALLS")" = .slug_abc123.part$'\n'.slug_abc123.part.meta ]
}

@test "a repository that is no address is refused, and so is one with a password in it" {
	intend abc123:prep
	while read -r repo words; do
		run -78 --separate-stderr pp converge preparer --repo="$repo"
		[[ $stderr == *"$words"* ]] || fail "$repo: $stderr"
		[[ $stderr != *s3cret* ]]
	done <<-EOF
		ftp://host/ write file:///path
		/srv/repo write file:///path
		file://srv/repo with three slashes
		http://joe:s3cret@host/ leave it out
		http://host/?x= cannot have ? or #
	EOF
	[ ! -e "$INSTALLS" ] || nothing_installed
}

# --- what is refused

@test "an archive that reaches outside is refused, and leaves nothing anywhere" {
	intend abc123:prep
	mkdir -p "$REPO/slug" "$BASEDIR"
	outside=$BATS_TEST_TMPDIR/outside
	mkdir "$outside"
	hostile=(
		"+ name=$outside/f data=x"
		"+ name=../../../outside/f data=x"
		"+ name=d type=2 link=$outside + name=d/f data=x"
		"+ name=d type=2 link=../../../outside + name=d/f data=x"
		"+ name=f type=1 link=/etc/passwd"
		"+ name=f type=1 link=../../../outside"
		"+ name=null type=3 mode=0666"
		"+ name=block type=4 mode=0666"
		"+ name=good data=x + name=../bad data=x"
	)
	before=$(snapshot "$outside")
	for entries in "${hostile[@]}"; do
		# shellcheck disable=SC2086
		perl "$TOP/tests/hostile/tar.pl" $entries | gzip >"$REPO/slug/slug_abc123.tar.gz"
		run -1 --separate-stderr preparer
		[[ $(said) == *"FATAL slug: version abc123: $REPO/slug/slug_abc123.tar.gz: "* ]] || fail "$entries: $stderr"
		nothing_installed || fail "$entries: $(ls -A "$INSTALLS")"
		[ "$(ls -A "$BASEDIR")" = installs ]
		[ "$(snapshot "$outside")" = "$before" ]
	done
}

@test "what is no archive at all is refused" {
	intend abc123:prep
	mkdir -p "$REPO/slug"
	for content in '' 'not an archive' '<html>404</html>'; do
		printf '%s' "$content" >"$REPO/slug/slug_abc123.tar.gz"
		run -1 --separate-stderr preparer
		[[ $(said) == *"FATAL slug: version abc123: "* ]]
		nothing_installed
	done
}

@test "a digest that is stated is compared: the right one passes, the wrong one installs nothing" {
	repo_add slug abc123
	repo_add slug def456
	intend
	pp intent set slug digests.abc123="$(digest slug abc123)" digests.def456="$(digest slug def456)" >/dev/null
	tamper slug def456
	run -1 --separate-stderr preparer
	[[ $(said) == *"FATAL slug: version def456: $REPO/slug/slug_def456.tar.gz: sha256 does not match"* ]]
	[ "$(ls -A "$INSTALLS")" = .slug_abc123.list$'\n'slug_abc123 ]
	pp intent set slug digests.def456="$(digest slug def456)" >/dev/null
	preparer
	is_whole slug_def456
}

# --- failures

@test "an app that fails does not keep the others from being prepared" {
	repo_add slug abc123
	repo_add zeta abc123
	intend abc123:prep
	for app in bad zeta; do
		pp intent set $app/demo versions=abc123:prep basedir="$BATS_TEST_TMPDIR/$app" >/dev/null
		pp intent assign $app/demo "$PP_NODE" >/dev/null
	done
	store_put clusters/worse/demo/config '{"versions": '
	store_put nodes/node1/worse '{"cluster": "demo"}'
	run -1 --separate-stderr preparer
	[[ $(said) == *"FATAL bad: version abc123: no such artifact"* ]]
	[[ $(said) == *"WARN worse: held as it is: clusters/worse/demo/config: line "* ]]
	is_whole slug_abc123
	[ -x "$BATS_TEST_TMPDIR/zeta/installs/zeta_abc123/bin/launch" ]
}

@test "a version that fails does not keep the app's others from being prepared" {
	repo_add slug bbb
	intend aaa:prep,bbb:active,ccc:prep
	repo_add slug ccc
	run -1 --separate-stderr preparer
	[[ $(said) == *"FATAL slug: version aaa: no such artifact"* ]]
	is_whole slug_bbb
	is_whole slug_ccc
}

@test "a disk that is full leaves nothing, and the next run converges" {
	need_mount_namespace
	repo_add_big slug abc123 100
	intend abc123:prep
	http_start "$REPO"
	mkdir -p "$BASEDIR"
	for repo in "$REPO_URL" "$HTTP_URL"; do
		# There are bytes enough, but not for so many files.
		# shellcheck disable=SC2016
		run -0 --separate-stderr in_namespace '
			mount -t tmpfs -o size=50m,nr_inodes=60 none "$BASEDIR"
			code=0
			pp converge preparer --verify=none --repo="$1" || code=$?
			test "$code" -eq 1
			test -z "$(ls -A "$BASEDIR/installs")"
			mount -o remount,nr_inodes=1000 "$BASEDIR"
			pp converge preparer --verify=none --repo="$1" 2>&1
			test -f "$BASEDIR/installs/slug_abc123/data/99"' "$repo"
		[[ $(said) == *"FATAL slug: version abc123: "*"No space left on device"* ]]
	done
}

@test "a disk that somebody else fills while an artifact is fetched or unpacked: nothing is left" {
	need_mount_namespace
	need strace
	repo_add_big slug abc123 100
	intend abc123:prep
	http_start "$REPO"
	mkdir -p "$BASEDIR"
	for call in write pwrite64 ftruncate; do
		# shellcheck disable=SC2016
		run -0 --separate-stderr in_namespace '
			mount -t tmpfs -o size=50m none "$BASEDIR"
			code=0
			ASAN_OPTIONS=detect_leaks=0 strace -f -o /dev/null -P "$BASEDIR/installs/.slug_abc123.part" \
				--inject="$2:error=ENOSPC:when=3+" \
				"$PP" converge preparer --verify=none --repo="$1" || code=$?
			ls -A "$BASEDIR/installs" | grep -v -e "^slug_abc123$" -e "^.slug_abc123.list$" && exit 9
			test "$code" -eq 0 || test -z "$(ls -A "$BASEDIR/installs")"' "$HTTP_URL" "$call"
		[ "$call" != write ] || [[ $(said) == *"No space left on device"* ]]
	done
}

@test "a pp-unpack that ends with 0 before it is done installs nothing" {
	repo_add slug abc123
	intend abc123:prep
	mkdir "$BATS_TEST_TMPDIR/bin"
	cp "$PP" "$BATS_TEST_TMPDIR/bin/pp"
	printf '#!/bin/sh\necho half >half\nexit 0\n' >"$BATS_TEST_TMPDIR/bin/pp-unpack"
	chmod +x "$BATS_TEST_TMPDIR/bin/pp-unpack"
	run -1 --separate-stderr "$BATS_TEST_TMPDIR/bin/pp" converge preparer --repo="$REPO_URL"
	[[ $(said) == *"FATAL slug: version abc123: "*": pp-unpack ended before it was done" ]]
	nothing_installed
}

@test "a pp-unpack that is killed leaves nothing, and the next run converges" {
	repo_add slug abc123
	intend abc123:prep
	mkdir "$BATS_TEST_TMPDIR/bin"
	cp "$PP" "$BATS_TEST_TMPDIR/bin/pp"
	# shellcheck disable=SC2016
	printf '#!/bin/sh\necho half >half\nkill -9 $$\n' >"$BATS_TEST_TMPDIR/bin/pp-unpack"
	chmod +x "$BATS_TEST_TMPDIR/bin/pp-unpack"
	run -1 --separate-stderr "$BATS_TEST_TMPDIR/bin/pp" converge preparer --repo="$REPO_URL"
	[[ $(said) == *"FATAL slug: version abc123: "* ]]
	nothing_installed
	preparer
	is_whole slug_abc123
}

# --- killed

@test "killed with -9 while a big artifact is unpacked: the next run sweeps what is left" {
	repo_add_big slug abc123 1500
	intend abc123:prep
	swept=0
	for delay in 0.02 0.05 0.08 0.11 0.15 0.2; do
		rm -rf "$BASEDIR"
		"$PP" converge preparer --repo="$REPO_URL" 2>/dev/null &
		pid=$!
		sleep "$delay"
		kill -9 "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
		all_whole
		# Its pp-unpack goes with it, and its job, when what it waits for of the disk is over.
		wait_until run ! pgrep -f "^$PP_UNPACK"
		wait_until run ! pgrep -f "^$PP converge preparer --repo=$REPO_URL\$"
		left=$(cd "$INSTALLS" 2>/dev/null && find . -mindepth 1 -maxdepth 1 -name ".*" -printf "%f\n" || :)
		run -0 --separate-stderr preparer
		if [ -n "$left" ]; then
			swept=$((swept + 1))
			for name in $left; do
				[[ $(said) == *"INFO Removing $name, left by a run that is gone"* ]]
			done
		fi
		is_whole slug_abc123
		[ "$(ls -A "$INSTALLS")" = .slug_abc123.list$'\n'slug_abc123 ]
	done
	[ "$swept" -gt 0 ]
}

@test "what is being unpacked by a run that lives is not swept by another" {
	repo_add slug abc123
	intend abc123:prep
	mkdir -p "$INSTALLS/.slug_abc123.abcdef" "$INSTALLS/.slug_def456.ghijkl" "$INSTALLS/.other"
	exec 8<"$INSTALLS/.slug_def456.ghijkl"
	flock -n 8
	preparer
	exec 8<&-
	[ "$(ls -A "$INSTALLS")" = "$(printf '%s\n' .other .slug_abc123.list .slug_def456.ghijkl slug_abc123)" ]
}

@test "one run at a time: the second exits 75, leaves all alone, and says who is at it" {
	repo_add_big slug abc123 10
	intend abc123:prep
	http_start "$REPO" - <<-'CONF'
		limit_rate 150k;
	CONF
	"$PP" converge preparer --verify=none --repo="$HTTP_URL" 2>"$BATS_TEST_TMPDIR/first" &
	first=$!
	wait_until grep -q 'Does not exist' "$BATS_TEST_TMPDIR/first"
	run -75 --separate-stderr preparer
	expect_said "WARN another run of preparer on node1 is under way (pid $first); this one leaves it alone"
	# Another node's, another agent's and a dry run are not another run.
	run -0 pp converge preparer --node=node2 --repo="$REPO_URL"
	run -0 pp converge iptables --config-dir="$BATS_TEST_TMPDIR/pa" --cmd=true
	run -0 preparer --dry-run
	[ "$output" = "preparer slug: would install $INSTALLS/slug_abc123 (it is to be ready)" ]
	wait "$first"
	is_whole slug_abc123
	run -0 --separate-stderr preparer
	expect_silence
}

# --- around it

@test "--dry-run prints what would be done and changes nothing" {
	repo_add slug abc123
	repo_add slug def456
	intend
	mkdir -p "$INSTALLS/.slug_abc123.abcdef"
	before=$(snapshot "$BASEDIR" "$REPO" "$HOME" "$PP_CONF" "${PP_STORE#dir:}" "$PP_STATE_DIR")
	run -0 --separate-stderr preparer --dry-run
	[ "$output" = "preparer slug: would remove $INSTALLS/.slug_abc123.abcdef (no run needs it any more)
preparer slug: would install $INSTALLS/slug_abc123 (it is to be ready)
preparer slug: would install $INSTALLS/slug_def456 (it is the active version)" ]
	[ "$stderr" = "" ]
	[ "$(snapshot "$BASEDIR" "$REPO" "$HOME" "$PP_CONF" "${PP_STORE#dir:}" "$PP_STATE_DIR")" = "$before" ]
	run -2 preparer --dry-run --detailed-exitcodes
	preparer 2>/dev/null
	run -0 --separate-stderr preparer --dry-run --detailed-exitcodes
	expect_silence
}

@test "--app confines a run to an app" {
	repo_add slug abc123
	repo_add zeta abc123
	intend abc123:prep
	pp intent set zeta/demo versions=abc123:prep basedir="$BATS_TEST_TMPDIR/zeta" >/dev/null
	pp intent assign zeta/demo "$PP_NODE" >/dev/null
	preparer --app zeta
	[ ! -e "$BASEDIR" ]
	[ -d "$BATS_TEST_TMPDIR/zeta/installs/zeta_abc123" ]
	run -0 --separate-stderr preparer --app=nobody
	expect_said "WARN nobody: not assigned to node1"
	preparer --app=slug --app=zeta
	is_whole slug_abc123
}

@test "--detailed-exitcodes: 0 nothing to do, 2 changed, 4 failed, 6 both" {
	repo_add slug abc123
	intend abc123:prep
	run -2 preparer --detailed-exitcodes
	run -0 preparer --detailed-exitcodes
	pp intent set slug versions.def456=prep >/dev/null
	run -4 preparer --detailed-exitcodes
	repo_add zeta abc123
	pp intent set zeta/demo versions=abc123:prep basedir="$BATS_TEST_TMPDIR/zeta" >/dev/null
	pp intent assign zeta/demo "$PP_NODE" >/dev/null
	run -6 preparer --detailed-exitcodes
}

@test "a flag beats the environment, which beats the agent's section of pp.conf, which beats [pp]" {
	repo_add slug abc123
	intend abc123:prep
	conf() {
		printf '[pp]\nnode = node1\n[preparer]\nrepo = %s\n' "$1" >"$PP_CONF"
	}
	conf "$REPO_URL"
	pp converge preparer
	is_whole slug_abc123
	rm -r "$INSTALLS"
	conf file:///nowhere
	PP_REPO=$REPO_URL pp converge preparer
	is_whole slug_abc123
	rm -r "$INSTALLS"
	PP_REPO=file:///nowhere pp converge preparer --repo="$REPO_URL"
	is_whole slug_abc123
	printf '[pp]\nrepoo = x\n' >"$PP_CONF"
	run -78 --separate-stderr pp converge preparer
	[[ $stderr == "pp converge: $PP_CONF:2: repoo: no such setting; pp.conf(5) lists them" ]]
}

@test "an app without versions, and a node without apps, are nothing to do" {
	run -0 --separate-stderr preparer
	expect_silence
	pp intent set slug/demo basedir="$BASEDIR" min_nodes=0 >/dev/null
	pp intent assign slug/demo "$PP_NODE" >/dev/null
	run -0 --separate-stderr preparer
	expect_silence
	[ ! -e "$BASEDIR" ]
}

@test "a store that is not there is exit 69, and nothing is done" {
	repo_add slug abc123
	intend abc123:prep
	rm -r "${PP_STORE#dir:}"
	run -69 --separate-stderr preparer
	[[ $(said) == "FATAL preparer: nothing was done: dir:"* ]]
	[ ! -e "$BASEDIR" ]
}

@test "symlinks that the app's user put below basedir are not followed" {
	repo_add slug abc123
	intend abc123:prep
	mkdir -p "$BASEDIR" "$BATS_TEST_TMPDIR/elsewhere"
	ln -s "$BATS_TEST_TMPDIR/elsewhere" "$BASEDIR/installs"
	run -1 --separate-stderr pp converge preparer --repo="$REPO_URL"
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/elsewhere")" ]
}
