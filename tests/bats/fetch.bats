#!/usr/bin/env bats
# Fetching: repositories in order, what is asked again, what is gone on with, who may know what.

load helper
load node
load faults

setup() {
	helper_setup
	# What vouches for an artifact is for trust.bats.
	export PP_VERIFY=none
	unset "${!AWS_@}"
	store_dir
	INSTALLS=$BASEDIR/installs
	PART=$INSTALLS/.slug_abc123.part
	ARTIFACT=slug/slug_abc123.tar.gz
}

# The usual intent, said by nobody; without an argument, abc123.
intend() {
	intent_slug "${1:-abc123:prep}" >/dev/null 2>&1
}

# preparer REPO...: a run with these repositories; what begins with -- is an option.
preparer() {
	local args=() word

	for word in "$@"; do
		case $word in
		--*) args+=("$word") ;;
		*) args+=("--repo=$word") ;;
		esac
	done
	pp converge preparer "${args[@]}"
}

# Is the install of abc123 (or $1) what the artifact in $REPO holds?
is_whole() {
	local want=$BATS_TEST_TMPDIR/want.${1:-abc123}

	rm -rf "$want"
	mkdir "$want"
	tar -xzf "$REPO/slug/slug_${1:-abc123}.tar.gz" -C "$want"
	diff -r --no-dereference "$want" "$INSTALLS/slug_${1:-abc123}"
}

nothing_left() {
	[ -z "$(ls -A "$INSTALLS" 2>/dev/null)" ]
}

# Nothing in installs/ but the install itself.
nothing_besides() {
	[ "$(ls -A "$INSTALLS")" = .slug_abc123.list$'\n'slug_abc123 ]
}

again() {
	rm -rf "$BASEDIR"
}

# An artifact of some 400 kB that no compression makes smaller.
repo_add_big() {
	local tree version=abc123

	tree=$(mktemp -d "$BATS_TEST_TMPDIR/tree.XXXXXX")
	head -c 400000 /dev/urandom >"$tree/data"
	repo_pack "$tree" slug "$version"
	rm -rf "$tree"
}

# odd_start [PLAN...]: tests/net/odd.pl, serving $REPO at $ODD_URL by these lines.
odd_start() {
	ODD_LOG=$BATS_TEST_TMPDIR/odd.txt ODD_PLAN=$BATS_TEST_TMPDIR/plan
	: >"$ODD_LOG"
	odd_plan "$@"
	rm -f "$BATS_TEST_TMPDIR/odd.port"
	spawn odd perl "$TOP/tests/net/odd.pl" "$BATS_TEST_TMPDIR/odd.port" "$ODD_LOG" "$REPO" "$ODD_PLAN"
	ODD_PID=$SPAWNED
	wait_until test -e "$BATS_TEST_TMPDIR/odd.port"
	ODD_URL=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/odd.port")
}

odd_plan() {
	[ $# -eq 0 ] || printf '%s\n' "$@" >"$ODD_PLAN.new"
	[ $# -gt 0 ] || : >"$ODD_PLAN.new"
	mv "$ODD_PLAN.new" "$ODD_PLAN"
	: >"$ODD_LOG"
}

# s3_start [TOKEN]: tests/net/s3.pl, with the buckets in $S3_ROOT, at $S3_URL.
s3_start() {
	S3_ROOT=$BATS_TEST_TMPDIR/s3 S3_LOG=$BATS_TEST_TMPDIR/s3.txt
	S3_KEY=AKIDEXAMPLE S3_SECRET=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
	mkdir -p "$S3_ROOT"
	: >"$S3_LOG"
	spawn s3 perl "$TOP/tests/net/s3.pl" "$BATS_TEST_TMPDIR/s3.port" "$S3_LOG" "$S3_ROOT" "$S3_KEY" \
		"$S3_SECRET" "$@"
	wait_until test -e "$BATS_TEST_TMPDIR/s3.port"
	S3_URL=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/s3.port")
}

s3_keys() {
	export AWS_ACCESS_KEY_ID=$S3_KEY AWS_SECRET_ACCESS_KEY=$S3_SECRET
}

# interrupt: a run that has half of the artifact at $ODD_URL when it is killed.
interrupt() {
	local pid

	odd_plan "$ARTIFACT 1 drip 200000"
	"$PP" converge preparer --repo="$ODD_URL" >/dev/null 2>&1 3>&- &
	pid=$!
	wait_until test -s "$PART.meta" -a -s "$PART"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || :
	odd_plan "${@:-nothing 1 whole}"
}

# Print what stands in a field of a part's meta.
meta() {
	sed -n "s/^$1 //p" "$PART.meta"
}

secret_file() {
	(umask 077 && cat >"$1")
}

# --- several repositories

@test "repositories are asked in order, and the next one where one has not got it" {
	intend
	repo_add slug abc123
	mkdir "$BATS_TEST_TMPDIR/empty"
	http_start "$BATS_TEST_TMPDIR/empty"
	run -0 --separate-stderr preparer "file://$BATS_TEST_TMPDIR/empty" "$HTTP_URL" "$REPO_URL"
	is_whole
	nothing_besides
	[[ $(said) != *WARN* ]]
	wait_until grep -q 'slug_abc123.tar ' "$HTTP_LOG"
	[ "$(grep -c slug "$HTTP_LOG")" -eq 5 ]
	# Where the first has it, the next is not asked.
	again
	: >"$HTTP_LOG"
	preparer "$REPO_URL" "$HTTP_URL"
	is_whole
	run ! grep slug "$HTTP_LOG"
}

@test "several repositories in the environment and in pp.conf have blanks between them" {
	intend
	repo_add slug abc123
	PP_REPO="file:///nowhere  $REPO_URL" pp converge preparer
	is_whole
	again
	printf '[preparer]\nrepo = file:///nowhere %s\n' "$REPO_URL" >"$PP_CONF"
	pp converge preparer
	is_whole
}

@test "a repository that is down is asked for one name, and then the next is asked, and that is said" {
	intend
	repo_add slug abc123
	down=http://127.0.0.1:$(free_port)
	run -0 --separate-stderr preparer "$down" "$REPO_URL" --verbose
	is_whole
	[ "$(said | grep -c "INFO Fetching $down/")" -eq 1 ]
	[ "$(said | grep -c "; trying again in [0-9.]* s ([234] of 4)")" -eq 3 ]
	[[ $(said) == *"WARN $down/slug/slug_abc123.tar.gz: "*" (4 attempts); asking $REPO_URL instead"* ]]
}

@test "a repository that fails or forbids is no obstacle for the next one" {
	intend
	repo_add slug abc123
	odd_start
	for answer in 400 401 403 501; do
		odd_plan "slug * status $answer"
		run -0 --separate-stderr preparer "$ODD_URL" "$REPO_URL"
		[[ $(said) == *"WARN $ODD_URL/$ARTIFACT: HTTP status $answer; asking $REPO_URL instead"* ]]
		[ "$(grep -c slug "$ODD_LOG")" -eq 1 ]
		is_whole
		again
	done
}

@test "where none has it, the error says for each what was tried and why, in one line" {
	intend
	odd_start "broken/slug * status 501" "secret/slug * status 403"
	run -1 --separate-stderr preparer "$ODD_URL/broken" "$REPO_URL" "$ODD_URL/secret"
	[ "$(said | grep FATAL)" = "FATAL slug: version abc123: $ODD_URL/broken/$ARTIFACT: HTTP status 501; then no such artifact; tried $REPO_URL/$ARTIFACT, .tar.zst, .tar.xz, .tar.bz2, .tar; then $ODD_URL/secret/$ARTIFACT: HTTP status 403" ]
	run -1 --separate-stderr preparer "$REPO_URL" "$ODD_URL/secret"
	[ "$(said | grep FATAL)" = "FATAL slug: version abc123: no such artifact; tried $REPO_URL/$ARTIFACT, .tar.zst, .tar.xz, .tar.bz2, .tar; then $ODD_URL/secret/$ARTIFACT: HTTP status 403" ]
	nothing_left
	run -1 --separate-stderr preparer "$REPO_URL" "$ODD_URL/none"
	[[ $(said) == *"FATAL slug: version abc123: no such artifact; tried $REPO_URL/$ARTIFACT, .tar.zst, .tar.xz, .tar.bz2, .tar, $ODD_URL/none/$ARTIFACT, .tar.zst, .tar.xz, .tar.bz2, .tar" ]]
	nothing_left
}

@test "all requests to a host go over one connection" {
	intend
	repo_add slug abc123
	gunzip -c "$REPO/$ARTIFACT" | xz >"$REPO/slug/slug_abc123.tar.xz"
	mkdir "$BATS_TEST_TMPDIR/xz"
	mv "$REPO/slug/slug_abc123.tar.xz" "$BATS_TEST_TMPDIR/xz"
	rm "$REPO/$ARTIFACT"
	mv "$BATS_TEST_TMPDIR/xz/slug_abc123.tar.xz" "$REPO/slug"
	http_start "$REPO"
	preparer "$HTTP_URL/none" "$HTTP_URL"
	wait_until grep -q '/slug/slug_abc123.tar.xz$' "$HTTP_CONNECTIONS"
	[ "$(grep -c slug "$HTTP_CONNECTIONS")" -eq 8 ]
	[ "$(grep slug "$HTTP_CONNECTIONS" | cut -d' ' -f1 | sort -u | wc -l)" -eq 1 ]
}

# --- what is asked again

@test "what may pass is asked again, and --verbose says when" {
	intend
	repo_add slug abc123
	odd_start
	for kind in "status 408" "status 425" "status 429" "status 500" "status 502" "status 503" "status 504" \
		silent "cut 10" "reset 10"; do
		odd_plan "$ARTIFACT 1 $kind"
		run -0 --separate-stderr preparer "$ODD_URL" --verbose
		[[ $(said) == *"INFO $ODD_URL/$ARTIFACT: "*"; trying again in "[01].?" s (2 of 4)"* ]] || fail "$kind: $stderr"
		[ "$(grep -c "^[0-9]* /$ARTIFACT" "$ODD_LOG")" -eq 2 ]
		is_whole
		nothing_besides
		again
	done
	# Without --verbose, nobody is told of what came right by itself.
	odd_plan "$ARTIFACT 2 status 503"
	run -0 --separate-stderr preparer "$ODD_URL"
	[[ $(said) != *again* ]]
}

@test "what will not pass is not asked again" {
	intend
	odd_start
	for answer in 400 401 403 405 451 501 505 304 206 204; do
		odd_plan "slug * status $answer"
		run -1 --separate-stderr preparer "$ODD_URL" --verbose
		[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/$ARTIFACT: HTTP status $answer"* ]]
		[[ $(said) != *again* ]]
		[ "$(grep -c slug "$ODD_LOG")" -eq 1 ] || fail "$answer: $(cat "$ODD_LOG")"
		nothing_left
	done
	for answer in 404 410; do
		odd_plan "slug * status $answer"
		run -1 --separate-stderr preparer "$ODD_URL"
		[[ $(said) == *"FATAL slug: version abc123: no such artifact; tried "* ]]
		[ "$(grep -c slug "$ODD_LOG")" -eq 5 ]
	done
}

@test "a certificate that does not verify is not asked for again" {
	intend
	repo_add slug abc123
	http_start --tls "$REPO"
	run -1 --separate-stderr preparer "$HTTPS_URL" --verbose
	[[ $(said) == *"FATAL slug: version abc123: $HTTPS_URL/$ARTIFACT: "*certificate* ]]
	[[ $(said) != *again* ]]
	[ "$(said | grep -c Fetching)" -eq 1 ]
	# Nor is one that cannot be read.
	run -1 --separate-stderr preparer "$HTTPS_URL" --repo-cacert=/nonexistent --verbose
	[[ $(said) != *again* ]]
	nothing_left
	run -0 preparer "$HTTPS_URL" --repo-cacert="$TLS_CA"
	is_whole
}

@test "Retry-After is waited for, but not for an hour" {
	intend
	repo_add slug abc123
	odd_start "$ARTIFACT 1 status 503 Retry-After: 2"
	run -0 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $(said) == *"HTTP status 503; trying again in "[23].?" s (2 of 4)"* ]]
	is_whole
	again
	odd_plan "$ARTIFACT * status 429 Retry-After: 100"
	run -1 --separate-stderr preparer "$ODD_URL"
	[[ $(said) == *"HTTP status 429 (it wants to be asked again in 100 s)" ]]
	[ "$(grep -c slug "$ODD_LOG")" -eq 1 ]
	# Nor beyond the run's own time.
	odd_plan "$ARTIFACT * status 503 Retry-After: 50"
	run -1 --separate-stderr preparer "$ODD_URL" --timeout=5s
	[ "$(grep -c slug "$ODD_LOG")" -eq 1 ]
}

# --- what is gone on with

@test "a download that breaks goes on where it was, in the same run" {
	intend
	repo_add_big
	odd_start
	for kind in cut reset; do
		odd_plan "$ARTIFACT 1 $kind 150000" "$ARTIFACT 1 $kind 100000"
		run -0 --separate-stderr preparer "$ODD_URL" --verbose
		[[ $(said) == *"INFO Going on with $ODD_URL/$ARTIFACT at byte "* ]]
		is_whole
		nothing_besides
		[ "$(grep -c "/$ARTIFACT range=bytes=[1-9][0-9]*- if-range=\"" "$ODD_LOG")" -eq 2 ]
		again
	done
}

@test "a download that was killed goes on where it was, in the next run" {
	intend
	repo_add_big
	odd_start
	interrupt
	size=$(stat -c %s "$PART")
	[ "$size" -lt 400000 ]
	[ "$(stat -c %a "$PART" "$PART.meta" | sort -u)" = 600 ]
	[ "$(meta url)" = "$ODD_URL/$ARTIFACT" ]
	run -0 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $(said) == *"INFO Going on with $ODD_URL/$ARTIFACT at byte $size"* ]]
	grep -q "/$ARTIFACT range=bytes=$size- if-range=\"" "$ODD_LOG"
	is_whole
	nothing_besides
}

@test "a part is no staging directory, whatever the version is called" {
	intend 1.0:prep
	repo_add_big
	mv "$REPO/$ARTIFACT" "$REPO/slug/slug_1.0.tar.gz"
	ARTIFACT=slug/slug_1.0.tar.gz PART=$INSTALLS/.slug_1.0.part
	odd_start
	interrupt
	run -0 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $(said) == *"INFO Going on with "* ]]
	is_whole 1.0
	[ "$(ls -A "$INSTALLS")" = .slug_1.0.list$'\n'slug_1.0 ]
}

@test "nginx gives the rest of an artifact, over TLS" {
	intend
	repo_add_big
	http_start --tls "$REPO" - <<-'CONF'
		location / { limit_rate 100k; }
		location /fast { rewrite ^/fast(/.*) $1 break; }
	CONF
	"$PP" converge preparer --repo="$HTTPS_URL" --repo-cacert="$TLS_CA" >/dev/null 2>&1 3>&- &
	pid=$!
	wait_until test -s "$PART"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || :
	run -0 --separate-stderr preparer "$HTTPS_URL" --repo-cacert="$TLS_CA" --verbose
	[[ $(said) == *"INFO Going on with "* ]]
	wait_until grep -q "GET /$ARTIFACT HTTP/[0-9.]*\" 206 " "$HTTP_LOG"
	is_whole
	nothing_besides
}

@test "what crawls in is written as it comes, and not only when there is much of it" {
	intend
	repo_add_big
	http_start "$REPO" - <<-'CONF'
		limit_rate 10k;
	CONF
	"$PP" converge preparer --repo="$HTTP_URL" >/dev/null 2>&1 3>&- &
	pid=$!
	wait_until test -s "$PART"
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || :
	[ "$(stat -c %s "$PART")" -lt 200000 ]
}

@test "what has changed meanwhile is fetched anew" {
	intend
	repo_add_big
	odd_start
	interrupt
	repo_add_big
	run -0 --separate-stderr preparer "$ODD_URL"
	is_whole
	[ "$(grep -c "/$ARTIFACT range=" "$ODD_LOG")" -eq 1 ]
	[ "$(grep -c "/$ARTIFACT" "$ODD_LOG")" -eq 1 ]
}

@test "a server that answers with the rest of something else is not believed" {
	intend
	repo_add_big
	odd_start
	# It does not look at If-Range.
	interrupt "$ARTIFACT * liar"
	repo_add_big
	run -0 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $(said) == *"INFO $ODD_URL/$ARTIFACT is not what the part here is of; beginning anew"* ]]
	is_whole
	nothing_besides
	# It says another range than was asked for, or none.
	for range in "bytes 0-9/400000" "bytes 5-400001/400002" "bytes */400000" "bytes 7-/9" "chars 1-2/3" "" \
		"bytes 99999999999999999999-99999999999999999999/99999999999999999999"; do
		again
		interrupt "$ARTIFACT 1 range $range"
		run -0 --separate-stderr preparer "$ODD_URL" --verbose
		[[ $(said) == *"beginning anew"* ]] || fail "$range: $stderr"
		is_whole
		nothing_besides
	done
	# It does not say of what: no tag, another one, a weak one.
	for tag in '' '"other"' "W/$(meta validator)"; do
		again
		interrupt
		odd_plan "$ARTIFACT 1 set ETag: $tag"
		run -0 --separate-stderr preparer "$ODD_URL" --verbose
		[[ $(said) == *"beginning anew"* ]] || fail "$tag: $stderr"
		is_whole
	done
}

@test "416, and 200 with all of it, are a new beginning" {
	intend
	repo_add_big
	odd_start
	interrupt "$ARTIFACT 1 status 416"
	run -0 --separate-stderr preparer "$ODD_URL"
	is_whole
	[ "$(grep -c "/$ARTIFACT" "$ODD_LOG")" -eq 2 ]
	again
	interrupt "$ARTIFACT 1 whole"
	run -0 --separate-stderr preparer "$ODD_URL"
	is_whole
	[ "$(grep -c "/$ARTIFACT" "$ODD_LOG")" -eq 1 ]
	nothing_besides
}

@test "only what tells for certain that nothing changed is gone on with" {
	intend
	repo_add_big
	odd_start
	# No tag and a fresh date, a weak tag, no date at all, a tag that is none.
	for headers in "ETag:" "ETag: W/\"1\"" "ETag: | Last-Modified:" "ETag: 1" 'ETag: 1"' 'ETag: "a" "b"' "ETag: | Date:"; do
		again
		odd_plan "$ARTIFACT 1 set $headers | Content-Length: 500000" "$ARTIFACT * status 403"
		run -1 --separate-stderr preparer "$ODD_URL"
		run ! grep -q range= "$ODD_LOG"
		nothing_left || fail "$headers: $(ls -A "$INSTALLS"; cat "$PART.meta")"
	done
	# A date that is old enough is as good as a tag.
	touch -d '2 days ago' "$REPO/$ARTIFACT"
	again
	odd_plan "$ARTIFACT 1 set ETag: | Content-Length: 500000" "$ARTIFACT * status 403"
	run -1 preparer "$ODD_URL"
	[ "$(meta kind)" = date ]
	# The file itself is shorter than was said, and is not the rest of anything.
	again
	odd_plan "$ARTIFACT 1 cut 100000"
	run -0 preparer "$ODD_URL"
	is_whole
}

@test "an interrupted download is gone on with by its own URL only" {
	intend
	repo_add_big
	odd_start
	interrupt
	run -0 preparer "$ODD_URL/." "$ODD_URL"
	run ! grep range= "$ODD_LOG"
	is_whole
	nothing_besides
	# Found elsewhere, it is of no use any more.
	again
	interrupt
	run -0 preparer "$REPO_URL" "$ODD_URL"
	is_whole
	nothing_besides
	[ ! -s "$ODD_LOG" ]
	# And neither where it is nowhere any more.
	again
	interrupt "slug * status 404"
	run -1 preparer "$ODD_URL"
	nothing_left
}

@test "a part that is not what its meta says, or not ours, is replaced" {
	intend
	repo_add_big
	odd_start
	outside=$BATS_TEST_TMPDIR/outside
	for harm in 'head -c 500000 /dev/zero >>"$PART"' 'echo x >>"$PART.meta"' 'sed -i /^end/d "$PART.meta"' \
		': >"$PART.meta"' 'rm "$PART.meta"' 'sed -i "s/^boot .*/boot 0/" "$PART.meta"' \
		'sed -i "s/^size .*/size -1/" "$PART.meta"' 'sed -i "s/^size .*/size 99999999999999999999/" "$PART.meta"' \
		'sed -i "s/^kind .*/kind none/" "$PART.meta"' 'sed -i "s/^pp-part 1/pp-part 2/" "$PART.meta"' \
		'printf "\\0" >>"$PART.meta"' 'head -c 9000 /dev/zero | tr "\\0" x >"$PART.meta"' \
		'mv "$PART" "$outside"; ln -s "$outside" "$PART"' 'ln "$PART" "$outside"' 'chmod 644 "$PART"' \
		'chmod 666 "$PART.meta"' 'mv "$PART.meta" "$outside"; ln -s "$outside" "$PART.meta"' \
		'rm "$PART"; mkfifo -m 600 "$PART"' ': >"$PART"'; do
		rm -f "$outside"
		again
		interrupt
		eval "$harm"
		before=$(sha256sum "$outside" 2>/dev/null || :)
		run -0 --separate-stderr preparer "$ODD_URL"
		is_whole || fail "$harm"
		nothing_besides || fail "$harm: $(ls -A "$INSTALLS")"
		run ! grep range= "$ODD_LOG"
		[ "$(sha256sum "$outside" 2>/dev/null || :)" = "$before" ] || fail "$harm: what is outside was changed"
	done
	again
	mkdir -p "$PART"
	run -1 --separate-stderr preparer "$ODD_URL"
	[[ $(said) == *"FATAL slug: version abc123: .slug_abc123.part is in the way, and cannot be removed: "* ]]
}

@test "a part that belongs to somebody else is replaced" {
	need_root
	intend
	repo_add_big
	odd_start
	for file in "$PART" "$PART.meta"; do
		again
		interrupt
		chown nobody "$file"
		run -0 preparer "$ODD_URL"
		is_whole
		nothing_besides
		run ! grep range= "$ODD_LOG"
	done
}

@test "killed with -9 at any of its system calls, a download converges in the next run" {
	need strace
	intend
	repo_add_big
	http_start "$REPO"
	# A sanitizer looks for leaks by tracing, so not at the same time.
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0"
	strace -f -qq -o "$BATS_TEST_TMPDIR/trace" "$PP" converge preparer --repo="$HTTP_URL"
	points=$(calls "$BATS_TEST_TMPDIR/trace" | changing)
	is_whole
	kills=0
	while read -r call count; do
		again
		# How often something waits may differ from run to run.
		bash -c 'strace -f -qq -o "$1" "--inject=$2:signal=KILL:when=$3" "$PP" \
			converge preparer --repo="$4"; grep -q "killed by SIGKILL" "$1"' \
			sh "$BATS_TEST_TMPDIR/trace" "$call" "$count" "$HTTP_URL" >/dev/null 2>&1 || continue
		kills=$((kills + 1))
		[ ! -e "$INSTALLS/slug_abc123" ] || is_whole
		run -0 preparer "$HTTP_URL"
		is_whole || fail "killed at $call $count"
		# What it was unpacking is swept, what it was fetching is gone on with.
		nothing_besides || fail "killed at $call $count: $(ls -A "$INSTALLS")"
	done <<<"$points"
	[ "$kills" -ge 20 ]
}

@test "two runs do not fetch the same thing at the same time" {
	intend
	repo_add_big
	odd_start "$ARTIFACT 1 drip 100000"
	"$PP" converge preparer --repo="$ODD_URL" >"$BATS_TEST_TMPDIR/first" 2>&1 3>&- &
	pid=$!
	wait_until test -s "$PART"
	PP_STATE_DIR=$BATS_TEST_TMPDIR/other run -1 --separate-stderr preparer "$ODD_URL"
	[[ $(said) == *"FATAL slug: version abc123: another run is preparing it; the next one looks again" ]]
	wait "$pid"
	is_whole
	nothing_besides
}

# --- what lies

@test "a body that is shorter than was said is found out, and nothing of it is installed" {
	intend
	repo_add_big
	size=$(stat -c %s "$REPO/$ARTIFACT")
	odd_start "$ARTIFACT * length $((size + 1000))"
	run -1 --separate-stderr preparer "$ODD_URL"
	[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/$ARTIFACT: "*" (4 attempts)" ]]
	run ! test -e "$INSTALLS/slug_abc123"
	# Shorter than it is: the archive itself tells.
	again
	odd_plan "$ARTIFACT * length $((size - 1000))"
	run -1 --separate-stderr preparer "$ODD_URL"
	[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/$ARTIFACT: "* ]]
	nothing_left
}

@test "an artifact may come in chunks, without a length" {
	intend
	repo_add_big
	odd_start "$ARTIFACT * chunked"
	run -0 preparer "$ODD_URL"
	is_whole
	nothing_besides
}

@test "what crawls is ended, be it headers or body" {
	intend
	repo_add_big
	odd_start "$ARTIFACT * drip 100"
	"$PP" converge preparer -v --repo="$ODD_URL" --timeout=40s >"$BATS_TEST_TMPDIR/body" 2>&1 3>&- &
	first=$!
	odd_body=$ODD_PID
	odd_start "$ARTIFACT * drip-head"
	BASEDIR=$BATS_TEST_TMPDIR/b PP_STATE_DIR=$BATS_TEST_TMPDIR/bs "$PP" direct slug abc123 --timeout=40s \
		--basedir="$BATS_TEST_TMPDIR/b" -v --repo="$ODD_URL" --runit="$BATS_TEST_TMPDIR" \
		--runit-stage="$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/head" 2>&1 3>&- &
	second=$!
	for pid in $first $second; do
		code=0
		wait "$pid" || code=$?
		[ "$code" -eq 1 ]
	done
	for log in body head; do
		grep -q 'Operation too slow\. Less than 1024 bytes/sec transferred the last 30 seconds.*; trying again' \
			"$BATS_TEST_TMPDIR/$log" || fail "$(cat "$BATS_TEST_TMPDIR/$log")"
	done
	is_running "$odd_body"
}

@test "answers without an end are ended" {
	intend
	odd_start
	for kind in headers line; do
		odd_plan "$ARTIFACT * $kind"
		run -1 --separate-stderr preparer "$ODD_URL"
		[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/$ARTIFACT: "* ]]
		[ "$(grep -c "/$ARTIFACT" "$ODD_LOG")" -eq 1 ]
		wait_until grep -q ^sent "$ODD_LOG"
		[ "$(sed -n 's/^sent //p' "$ODD_LOG" | sort -n | tail -n 1)" -lt 20000000 ]
	done
	for answer in 404 403 500; do
		odd_plan "slug * endless $answer"
		run -1 --separate-stderr preparer "$ODD_URL"
		[[ $(said) == *"FATAL slug: version abc123: "* ]]
		wait_until grep -q ^sent "$ODD_LOG"
		[ "$(sed -n 's/^sent //p' "$ODD_LOG" | sort -n | tail -n 1)" -lt 20000000 ]
	done
	nothing_left
}

@test "what is not HTTP/1 is refused" {
	intend
	odd_start "$ARTIFACT * raw an artifact of old"
	run -1 --separate-stderr preparer "$ODD_URL"
	[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/$ARTIFACT: Received HTTP/0.9 when not allowed"* ]]
	[ "$(grep -c slug "$ODD_LOG")" -eq 1 ]
	nothing_left
}

@test "an artifact is taken as it is, whatever its Content-Encoding" {
	intend
	repo_add slug abc123
	pp intent set slug digests.abc123="$(digest slug abc123)" >/dev/null
	odd_start "$ARTIFACT * set Content-Encoding: gzip"
	run -0 preparer "$ODD_URL"
	is_whole
}

@test "what a server writes into its headers does not get at the terminal" {
	intend
	esc=$'\e'
	odd_start "$ARTIFACT * status 302 Location: http://127.0.0.1:1/${esc}[31m${esc}]0;x"
	run -1 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $stderr == *"redirected to http://127.0.0.1:1/"* ]]
	[[ $stderr != *"$esc"* ]]
}

@test "redirects are followed five times, with what is behind the question mark unsaid" {
	intend
	repo_add slug abc123
	odd_start
	for n in 1 2 3 4 5; do
		printf '%s\n' "^/hop$n/ * status 302 Location: /hop$((n + 1))/$ARTIFACT"
	done >"$ODD_PLAN"
	mkdir -p "$REPO/hop6"
	cp -r "$REPO/slug" "$REPO/hop6/slug"
	run -0 preparer "$ODD_URL/hop1"
	is_whole
	again
	printf '%s\n' "^/hop0/ * status 307 Location: /hop1/$ARTIFACT" >>"$ODD_PLAN"
	run -1 --separate-stderr preparer "$ODD_URL/hop0"
	[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/hop0/$ARTIFACT: it redirects more than 5 times" ]]
	for to in ftp://127.0.0.1/x file:///etc/passwd gopher://127.0.0.1/x; do
		odd_plan "slug * status 302 Location: $to"
		run -1 --separate-stderr preparer "$ODD_URL"
		[[ $(said) == *"FATAL slug: version abc123: $ODD_URL/$ARTIFACT: it redirects "* ]]
		[ "$(grep -c slug "$ODD_LOG")" -eq 1 ]
	done
	# Somebody else's idea of who we are is not taken over.
	odd_plan "^/$ARTIFACT * status 302 Location: ${ODD_URL/\/\//\/\/joe:s3cret@}/hop6/$ARTIFACT"
	run -0 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $stderr != *s3cret* ]]
	grep -q "/hop6/$ARTIFACT\$" "$ODD_LOG"
	again
	odd_plan "^/$ARTIFACT * status 302 Location: http://127.0.0.1:$(free_port)/x?signature=s3cret"
	run -1 --separate-stderr preparer "$ODD_URL" --verbose
	[[ $(said) == *": redirected to http://127.0.0.1:"*"/x: "* ]]
	[[ $stderr != *s3cret* ]]
}

# --- credentials

@test "a netrc file has the password for a host, and nobody else may read it" {
	intend
	repo_add slug abc123
	secret_file "$BATS_TEST_TMPDIR/netrc" <<<"machine 127.0.0.1 login joe password s3cret"
	printf 'joe:%s\n' "$(openssl passwd -apr1 s3cret)" >"$BATS_TEST_TMPDIR/htpasswd"
	chmod 644 "$BATS_TEST_TMPDIR/htpasswd"
	http_start "$REPO" - <<-CONF
		location /slug { auth_basic pp; auth_basic_user_file $BATS_TEST_TMPDIR/htpasswd; }
	CONF
	run -1 --separate-stderr preparer "$HTTP_URL"
	[[ $(said) == *"FATAL slug: version abc123: $HTTP_URL/$ARTIFACT: HTTP status 401" ]]
	run -0 --separate-stderr preparer "$HTTP_URL" --netrc="$BATS_TEST_TMPDIR/netrc" --verbose
	is_whole
	[[ $stderr != *s3cret* ]]
	again
	for mode in 644 640 604 622; do
		chmod "$mode" "$BATS_TEST_TMPDIR/netrc"
		run -1 --separate-stderr preparer "$HTTP_URL" --netrc="$BATS_TEST_TMPDIR/netrc"
		[[ $(said) == *"--netrc: $BATS_TEST_TMPDIR/netrc can be read or written by others (mode 0$mode); run: chmod 600 $BATS_TEST_TMPDIR/netrc" ]]
	done
	run -1 --separate-stderr preparer "$HTTP_URL" --netrc=/nonexistent
	[[ $(said) == *"--netrc: open /nonexistent: No such file or directory" ]]
	run -1 --separate-stderr preparer "$HTTP_URL" --netrc=/dev/null
	[[ $(said) == *"--netrc: /dev/null is not a regular file" ]]
}

@test "a file with credentials that belongs to somebody else is refused" {
	need_root
	intend
	odd_start
	for option in netrc repo-headers s3-credentials; do
		secret_file "$BATS_TEST_TMPDIR/file" <<<"X: y"
		chown nobody "$BATS_TEST_TMPDIR/file"
		run -1 --separate-stderr preparer "$ODD_URL" s3://bucket "--$option=$BATS_TEST_TMPDIR/file"
		[[ $(said) == *"--$option: $BATS_TEST_TMPDIR/file belongs to somebody else (uid "*"); chown "* ]] || fail "$stderr"
	done
	[ ! -s "$ODD_LOG" ]
}

@test "headers and passwords go to the repository's own host, and nowhere after a redirect" {
	intend
	repo_add slug abc123
	secret_file "$BATS_TEST_TMPDIR/headers" <<<"X-Token: t0ken"
	secret_file "$BATS_TEST_TMPDIR/netrc" <<<"machine 127.0.0.1 login joe password s3cret"
	odd_start
	there=$ODD_URL there_log=$BATS_TEST_TMPDIR/there.txt
	sent=(--repo-headers="$BATS_TEST_TMPDIR/headers" --netrc="$BATS_TEST_TMPDIR/netrc")
	run -0 preparer "$ODD_URL" "${sent[@]}"
	grep -q "/$ARTIFACT authorization=Basic .* x-token=t0ken" "$ODD_LOG"
	# To another path of the same host they go along.
	again
	mkdir "$REPO/moved"
	cp -r "$REPO/slug" "$REPO/moved/slug"
	odd_plan "^/$ARTIFACT * status 301 Location: /moved/$ARTIFACT"
	run -0 preparer "$ODD_URL" "${sent[@]}"
	grep -q "/moved/$ARTIFACT authorization=Basic .* x-token=t0ken" "$ODD_LOG"
	# To another port, which is another origin, they do not; and not on the way back either.
	again
	mv "$ODD_LOG" "$there_log"
	ln -s "$there_log" "$ODD_LOG"
	port=$(free_port)
	http_start "$REPO" - <<-CONF
		location / { return 302 $there/moved\$uri; }
		location /plain { return 200; }
	CONF
	odd_plan "^/$ARTIFACT * status 302 Location: $HTTP_URL/$ARTIFACT"
	run -0 preparer "$there" "${sent[@]}"
	is_whole
	grep -q "^[0-9]* /$ARTIFACT authorization=Basic .* x-token=t0ken" "$ODD_LOG"
	grep -q "^[0-9]* /moved/$ARTIFACT\$" "$ODD_LOG"
}

@test "with repositories on two hosts, a header says which one it is for" {
	intend
	repo_add slug abc123
	mkdir "$BATS_TEST_TMPDIR/empty"
	http_start "$BATS_TEST_TMPDIR/empty"
	odd_start
	secret_file "$BATS_TEST_TMPDIR/headers" <<<"X-Token: t0ken"
	run -1 --separate-stderr preparer "$HTTP_URL" "$ODD_URL" --repo-headers="$BATS_TEST_TMPDIR/headers"
	[[ $(said) == *"--repo-headers: $HTTP_URL and $ODD_URL are on two hosts; say which one a header is for"* ]]
	secret_file "$BATS_TEST_TMPDIR/headers" <<-EOF
		# for the mirror
		[$HTTP_URL]
		X-Token: other
		[$ODD_URL]
		X-Token: t0ken
	EOF
	run -0 preparer "$HTTP_URL" "$ODD_URL" --repo-headers="$BATS_TEST_TMPDIR/headers"
	grep -q "/$ARTIFACT x-token=t0ken" "$ODD_LOG"
	again
	secret_file "$BATS_TEST_TMPDIR/headers" <<<"[$HTTP_URL]"$'\n'"X-Token: other"
	odd_plan
	run -0 preparer "$HTTP_URL" "$ODD_URL" --repo-headers="$BATS_TEST_TMPDIR/headers"
	run ! grep x-token "$ODD_LOG"
}

@test "a header file that is wrong is refused by its line, and its value is not said" {
	intend
	odd_start
	while IFS='|' read -r line words; do
		printf 'X-Good: s3cret\n%b\n' "$line" | secret_file "$BATS_TEST_TMPDIR/headers"
		run -1 --separate-stderr preparer "$ODD_URL" --repo-headers="$BATS_TEST_TMPDIR/headers"
		[[ $(said) == *"--repo-headers: $BATS_TEST_TMPDIR/headers$words" ]] || fail "$line: $stderr"
		[[ $stderr != *s3cret* ]]
	done <<-'EOF'
		s3cret|:2: it is not "Name: value"
		Na me: s3cret|:2: it is not "Name: value"
		: s3cret|:2: it is not "Name: value"
		X-Empty:|:2: it has no value
		X-Bad: s3cret\001|:2: its value has control characters
		Range: bytes=0-1|:2: pp sets that header itself
		host: s3cret|:2: pp sets that header itself
		[repo.example.org]|:2: write [https://host] or [https://host:port]
		[https://repo.example.org/x]|:2: write [https://host] or [https://host:port]
		X-Nul: s3cret\000| is not a text file
	EOF
	[ ! -s "$ODD_LOG" ]
}

@test "no secret is in a log line, an error, an argument, or a file of pp's" {
	need strace
	intend
	repo_add_big
	s3_start "$(head -c 900 /dev/zero | tr '\0' t)S3CR3T"
	mkdir -p "$S3_ROOT/bucket"
	odd_start
	secret_file "$BATS_TEST_TMPDIR/headers" <<<"X-Token: HEADERS3CR3T"
	secret_file "$BATS_TEST_TMPDIR/netrc" <<<"machine 127.0.0.1 login joe password NETRCS3CR3T"
	printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %sS3CR3T\n' \
		"$S3_KEY" KEYS3CR3T "$(head -c 900 /dev/zero | tr '\0' t)" | secret_file "$BATS_TEST_TMPDIR/keys"
	mkdir "$BATS_TEST_TMPDIR/out"
	for plan in "none 1 whole" "slug 1 cut 1000" "slug * status 403" "slug * status 500" "slug * cut 1000" \
		"slug * status 302 Location: http://127.0.0.1:1/" "slug * mute"; do
		odd_plan "$plan"
		again
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -f -s 4096 -e trace=execve \
			-o "$BATS_TEST_TMPDIR/out/execs.$RANDOM" "$PP" converge preparer --verbose --timeout=15s \
			--s3-endpoint="$S3_URL" --repo=s3://bucket --repo="$ODD_URL" --netrc="$BATS_TEST_TMPDIR/netrc" \
			--repo-headers="$BATS_TEST_TMPDIR/headers" --s3-credentials="$BATS_TEST_TMPDIR/keys" \
			>"$BATS_TEST_TMPDIR/out/log.$RANDOM" 2>&1 || :
		cp -r "$BASEDIR" "$BATS_TEST_TMPDIR/out/base.$RANDOM"
	done
	grep -q x-token=HEADERS3CR3T "$ODD_LOG"
	grep -q Fetching "$BATS_TEST_TMPDIR"/out/log.*
	run ! grep -r -l S3CR3T "$BATS_TEST_TMPDIR/out" "$PP_STATE_DIR"
	basic=$(printf joe:NETRCS3CR3T | base64)
	run ! grep -r -l -F "$basic" "$BATS_TEST_TMPDIR/out" "$PP_STATE_DIR"
	run ! grep -r -l 'Signature=' "$BATS_TEST_TMPDIR/out" "$PP_STATE_DIR"
}

# --- S3

@test "an artifact comes from an S3 bucket, with keys from the environment" {
	intend
	repo_add slug abc123
	s3_start
	mkdir -p "$S3_ROOT/bucket"
	cp -r "$REPO/slug" "$S3_ROOT/bucket"
	s3_keys
	for region in AWS_REGION AWS_DEFAULT_REGION none; do
		(
			unset AWS_REGION AWS_DEFAULT_REGION
			[ "$region" = none ] || export "$region=eu-central-1"
			preparer s3://bucket --s3-endpoint="$S3_URL/"
		)
		is_whole
		nothing_besides
		again
	done
	[ "$(cut -d' ' -f2- "$S3_LOG")" = "$(for i in 1 2 3; do echo "GET /bucket/$ARTIFACT 200 OK"; done)" ]
	# As a proxy of the whole of S3 has it, with names of hosts.
	unset no_proxy
	run -0 env http_proxy="$S3_URL" "$PP" converge preparer --repo=s3://bucket/ --s3-endpoint=http://s3.example.org
	is_whole
}

@test "keys come from a file, by profile, with the token of a session" {
	intend
	repo_add slug abc123
	token=$(head -c 1200 /dev/urandom | base64 -w0)
	s3_start "$token"
	mkdir -p "$S3_ROOT/bucket"
	cp -r "$REPO/slug" "$S3_ROOT/bucket"
	secret_file "$BATS_TEST_TMPDIR/keys" <<-EOF
		# comment
		[default]
		aws_access_key_id=other
		aws_secret_access_key = other
		[ deploy ]
		aws_access_key_id=other
		[deploy]
		AWS_access_key_id = $S3_KEY
		aws_secret_access_key=$S3_SECRET
		aws_session_token	= $token
		region = eu-west-1
	EOF
	export AWS_PROFILE=deploy
	run -0 preparer s3://bucket --s3-endpoint="$S3_URL" --s3-credentials="$BATS_TEST_TMPDIR/keys"
	is_whole
	again
	AWS_SHARED_CREDENTIALS_FILE=$BATS_TEST_TMPDIR/keys run -0 preparer s3://bucket --s3-endpoint="$S3_URL"
	is_whole
	again
	# What pp itself is told beats what the environment has.
	AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y run -0 preparer s3://bucket --s3-endpoint="$S3_URL" \
		--s3-credentials="$BATS_TEST_TMPDIR/keys"
	is_whole
	again
	: >"$S3_LOG"
	AWS_PROFILE=nobody run -1 --separate-stderr preparer s3://bucket --s3-endpoint="$S3_URL" \
		--s3-credentials="$BATS_TEST_TMPDIR/keys"
	[[ $(said) == *"$BATS_TEST_TMPDIR/keys has no section [nobody]; AWS_PROFILE names another" ]]
	chmod 644 "$BATS_TEST_TMPDIR/keys"
	AWS_SHARED_CREDENTIALS_FILE=$BATS_TEST_TMPDIR/keys run -1 --separate-stderr preparer s3://bucket
	[[ $(said) == *"AWS_SHARED_CREDENTIALS_FILE: $BATS_TEST_TMPDIR/keys can be read or written by others (mode 0644); run: chmod 600 "* ]]
	AWS_ACCESS_KEY_ID=x run -1 --separate-stderr preparer s3://bucket --s3-endpoint="$S3_URL"
	[[ $(said) == *"the key and the secret go together: the secret is missing" ]]
	[ ! -s "$S3_LOG" ]
}

@test "without keys, a bucket is asked without a signature" {
	intend
	repo_add slug abc123
	s3_start
	mkdir -p "$S3_ROOT/public" "$S3_ROOT/bucket"
	cp -r "$REPO/slug" "$S3_ROOT/public"
	cp -r "$REPO/slug" "$S3_ROOT/bucket"
	run -0 preparer s3://public --s3-endpoint="$S3_URL"
	is_whole
	again
	run -1 --separate-stderr preparer s3://bucket --s3-endpoint="$S3_URL"
	[[ $(said) == *"HTTP status 403, AccessDenied; it is not there, or we may not read it; tried $S3_URL/bucket/$ARTIFACT, "* ]]
	nothing_left
}

@test "a prefix may have any characters, and is signed as the store reads it" {
	intend
	repo_add slug abc123
	s3_start
	s3_keys
	for prefix in 'a/b' "a+b@c:d,e;f=g&h!(i)'j*k" 'with%20blank' 'h%C3%B6h' 'til~de' '100%25' 'x//y'; do
		plain=$S3_ROOT/bucket/$(printf '%b' "$(printf '%s' "$prefix" | sed 's/%/\\x/g')")
		mkdir -p "$plain"
		cp -r "$REPO/slug" "$plain"
		run -0 --separate-stderr preparer "s3://bucket/$prefix/" --s3-endpoint="$S3_URL" || fail "$prefix: $stderr"
		is_whole
		again
	done
	for prefix in a/../b ./a a/%2e%2e/b; do
		run -78 --separate-stderr preparer "s3://bucket/$prefix"
	done
}

@test "an interrupted download from S3 goes on, the range signed with the rest" {
	intend
	repo_add_big
	s3_start
	s3_keys
	mkdir -p "$S3_ROOT/bucket" "$INSTALLS"
	cp -r "$REPO/slug" "$S3_ROOT/bucket"
	(
		umask 077
		head -c 100000 "$REPO/$ARTIFACT" >"$PART"
		printf 'pp-part 1\nboot %s\nurl %s\nsize %s\nkind etag\nvalidator "%s"\nend\n' \
			"$(cat /proc/sys/kernel/random/boot_id)" "$S3_URL/bucket/$ARTIFACT" "$(stat -c %s "$REPO/$ARTIFACT")" \
			"$(sha256sum "$REPO/$ARTIFACT" | cut -c1-32)" >"$PART.meta"
	)
	run -0 preparer s3://bucket --s3-endpoint="$S3_URL"
	is_whole
	nothing_besides
	[ "$(cut -d' ' -f2- "$S3_LOG")" = "GET /bucket/$ARTIFACT bytes=100000- 206 Partial Content" ]
}

@test "keys that are wrong are an error at once, in S3's own word" {
	intend
	repo_add slug abc123
	s3_start
	mkdir -p "$S3_ROOT/bucket"
	cp -r "$REPO/slug" "$S3_ROOT/bucket"
	while read -r key secret token word; do
		: >"$S3_LOG"
		AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=${token#-} \
			run -1 --separate-stderr preparer s3://bucket --s3-endpoint="$S3_URL"
		[[ $(said) == *"FATAL slug: version abc123: $S3_URL/bucket/$ARTIFACT: HTTP status 403, $word" ]] || fail "$stderr"
		[ "$(wc -l <"$S3_LOG")" -eq 1 ]
	done <<-EOF
		nobody $S3_SECRET - InvalidAccessKeyId
		$S3_KEY wrong - SignatureDoesNotMatch
		$S3_KEY $S3_SECRET token InvalidToken
	EOF
	s3_keys
	run -1 --separate-stderr preparer s3://no-bucket --s3-endpoint="$S3_URL"
	[[ $(said) == *"FATAL slug: version abc123: $S3_URL/no-bucket/$ARTIFACT: HTTP status 404, NoSuchBucket" ]]
}

@test "a bucket that says 403 for what is not there is asked for all endings, and then the next" {
	intend
	repo_add slug abc123
	s3_start
	s3_keys
	mkdir -p "$S3_ROOT/blind/slug"
	gunzip -c "$REPO/$ARTIFACT" | zstd -q >"$S3_ROOT/blind/slug/slug_abc123.tar.zst"
	run -0 preparer s3://blind --s3-endpoint="$S3_URL"
	is_whole
	again
	rm "$S3_ROOT/blind/slug/slug_abc123.tar.zst"
	run -0 --separate-stderr preparer s3://blind "$REPO_URL" --s3-endpoint="$S3_URL"
	is_whole
	[[ $(said) == *"WARN $S3_URL/blind/$ARTIFACT: HTTP status 403, AccessDenied; asking $REPO_URL instead"* ]]
}

@test "a bucket that is in another region says in which" {
	intend
	odd_start
	for answer in 301 400; do
		odd_plan "slug * status $answer x-amz-bucket-region: ap-south-1"
		run -1 --separate-stderr preparer s3://bucket --s3-endpoint="$ODD_URL"
		[[ $(said) == *"HTTP status $answer; the bucket is elsewhere: set AWS_REGION=ap-south-1" ]]
	done
}

@test "without --s3-endpoint, a bucket is a host of Amazon's, or a path where it has dots" {
	intend
	# Nothing listens there: it is only to be seen who would be asked.
	https_proxy=http://127.0.0.1:$(free_port)
	export https_proxy
	while read -r repo region url; do
		AWS_REGION=$region run -1 --separate-stderr preparer "$repo" --timeout=10s
		[[ $(said) == *"FATAL slug: version abc123: $url/$ARTIFACT: "* ]] || fail "$stderr"
	done <<-EOF
		s3://bucket/a eu-west-1 https://bucket.s3.eu-west-1.amazonaws.com/a
		s3://my.bucket/a us-east-2 https://s3.us-east-2.amazonaws.com/my.bucket/a
		s3://bucket cn-north-1 https://bucket.s3.cn-north-1.amazonaws.com.cn
	EOF
}

@test "what is no repository, no endpoint and no region is refused" {
	intend
	while read -r repo endpoint region words; do
		AWS_REGION=${region#-} run -78 --separate-stderr preparer "$repo" ||
			AWS_REGION=${region#-} run -1 --separate-stderr preparer "$repo" --s3-endpoint="$endpoint"
		[[ $stderr == *"$words"* ]] || fail "$repo $endpoint $region: $stderr"
		[[ $stderr != *s3cret* ]]
	done <<-'EOF'
		s3:///x - - it names no host
		s3://Bucket/x - - is no name of a bucket
		s3://ab - - is no name of a bucket
		s3://joe:s3cret@bucket - - leave it out
		s3://bucket?x - - cannot have ? or #
		s3://bucket - EU/../x AWS_REGION: that is no name of a region
		s3://bucket ftp://host - --s3-endpoint: write https://host
		s3://bucket http://joe:s3cret@host - leave it out
		http:///x - - it names no host
	EOF
}
