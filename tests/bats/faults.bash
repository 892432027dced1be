# shellcheck shell=bash
# For tests that fail every system call of an install in turn, or kill the process at each, after
# helper and node: there is never a part of an install, nothing that was there is lost, and the next
# run converges.

setup() {
	helper_setup
	store_dir
	need strace
	INSTALLS=$BASEDIR/installs
	export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0"
	# A small artifact of everything: files, a hard link, a symlink, modes.
	mkdir -p "$BATS_TEST_TMPDIR/tree/bin" "$BATS_TEST_TMPDIR/tree/data" "$REPO/slug"
	cd "$BATS_TEST_TMPDIR/tree" || return
	printf '#!/bin/sh\nexec sleep 1000\n' >bin/launch
	chmod 0755 bin/launch
	seq 2000 >data/one
	ln data/one data/two
	ln -s ../data/one bin/one
	repo_pack . slug def456
	cd "$TOP" || return
	repo_add slug abc123
	intent_slug abc123:active,def456:prep >/dev/null 2>&1
	pp intent set slug digests.def456="$(digest slug def456)" >/dev/null
	# abc123 is there already; def456 is what each run is to install.
	mkdir -p "$BATS_TEST_TMPDIR/with"
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	ln -s installs/slug_abc123 "$BASEDIR/current"
	rm -r "$INSTALLS/slug_def456" "$INSTALLS/.slug_def456.list"
	cp -a "$BASEDIR" "$BATS_TEST_TMPDIR/before"
}

start_over() {
	rm -rf "$BASEDIR"
	cp -a "$BATS_TEST_TMPDIR/before" "$BASEDIR"
}

# invariants WHAT: of def456 there is nothing or the whole; of abc123 nothing is lost; and a run mends
# all that is left.
invariants() {
	local left

	diff -r --no-dereference "$BATS_TEST_TMPDIR/before/installs/slug_abc123" "$INSTALLS/slug_abc123" ||
		fail "$1: slug_abc123 is not what it was" || return 1
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ] || fail "$1: current" || return 1
	if [ -e "$INSTALLS/slug_def456" ]; then
		diff -r --no-dereference "$BATS_TEST_TMPDIR/tree" "$INSTALLS/slug_def456" ||
			fail "$1: half an install" || return 1
	fi
	pp converge preparer --repo="$REPO_URL" >"$BATS_TEST_TMPDIR/next" 2>&1 ||
		fail "$1: the next run fails: $(cat "$BATS_TEST_TMPDIR/next")" || return 1
	diff -r --no-dereference "$BATS_TEST_TMPDIR/tree" "$INSTALLS/slug_def456" ||
		fail "$1: the next run does not converge" || return 1
	left=$(ls -A "$INSTALLS")
	[ "$left" = "$(printf '%s\n' .slug_abc123.list .slug_def456.list slug_abc123 slug_def456)" ] ||
		fail "$1: left over: $left" || return 1
	pp converge preparer --repo="$REPO_URL" --verify-installs >"$BATS_TEST_TMPDIR/next" 2>&1 &&
		[ ! -s "$BATS_TEST_TMPDIR/next" ] || fail "$1: its list is not right: $(cat "$BATS_TEST_TMPDIR/next")"
}

# calls FILE: each call of each process and thread in a strace -f, as "NAME COUNT", once.
calls() {
	sed -E 's/^([0-9]+) +/\1 /' "$1" | awk '
		$2 ~ /^[a-z_0-9]+\(/ {
			name = $2
			sub(/\(.*/, "", name)
			count[$1 " " name]++
			key = name " " count[$1 " " name]
			if (name !~ /^(exit|exit_group|rt_sigreturn)$/ && !(key in seen)) {
				seen[key] = 1
				print key
			}
		}'
}

# A pp whose pp-unpack is traced, with the strace options in $INJECT.
traced_unpack() {
	mkdir -p "$BATS_TEST_TMPDIR/traced"
	cp "$PP" "$BATS_TEST_TMPDIR/traced/pp"
	cat >"$BATS_TEST_TMPDIR/traced/pp-unpack" <<-EOT
		#!/bin/sh
		exec strace -f -qq -A -o "$BATS_TEST_TMPDIR/trace" \$INJECT -- "$PP_UNPACK" "\$@"
	EOT
	chmod +x "$BATS_TEST_TMPDIR/traced/pp-unpack"
	INJECT='' "$BATS_TEST_TMPDIR/traced/pp" converge preparer --repo="$REPO_URL" --jobs=1 2>/dev/null
	# Two runs of it: what unpacks, and what shares files with the other install.
	mapfile -t CALLS < <(calls "$BATS_TEST_TMPDIR/trace" | grep -E "${1:-.}")
}

# each_call HOW [NAMES]: with every call of pp-unpack, or those whose names match.
each_call() {
	local call name count points=0 hit=0

	traced_unpack "${2-}"
	[ "${#CALLS[@]}" -gt 30 ]
	for call in "${CALLS[@]}"; do
		read -r name count <<<"$call"
		start_over
		INJECT="--inject=$name:$1:when=$count" \
			timeout 60 "$BATS_TEST_TMPDIR/traced/pp" converge preparer --repo="$REPO_URL" \
			>"$BATS_TEST_TMPDIR/log" 2>&1 || hit=$((hit + 1))
		points=$((points + 1))
		invariants "$name $count: $1" || return 1
	done
	echo "# $points calls, $hit of them made the run fail" >&3
	[ "$hit" -ge 10 ]
}

# The run itself and its job: calls that change something or start something.
changing() {
	grep -E '^(mkdir|symlink|unlink|rename|link)(at|at2)? |^(write|ftruncate|fsync|syncfs|flock|fchmod|fchmodat|fchown|clone|clone3|vfork|wait4|memfd_create|openat) '
}

# each_change HOW: with every such call of pp, its job and what they start.
each_change() {
	local call name count hit=0

	start_over
	strace -f -qq -o "$BATS_TEST_TMPDIR/trace" "$PP" converge preparer --repo="$REPO_URL" 2>/dev/null
	mapfile -t CALLS < <(calls "$BATS_TEST_TMPDIR/trace" | changing)
	[ "${#CALLS[@]}" -gt 50 ]
	for call in "${CALLS[@]}"; do
		read -r name count <<<"$call"
		start_over
		timeout 60 strace -f -qq -o /dev/null "--inject=$name:$1:when=$count" \
			"$PP" converge preparer --repo="$REPO_URL" >"$BATS_TEST_TMPDIR/log" 2>&1 || hit=$((hit + 1))
		invariants "$name $count: $1" || return 1
	done
	echo "# ${#CALLS[@]} calls, $hit of them made the run fail" >&3
	[ "$hit" -gt 20 ]
}
