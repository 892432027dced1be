#!/usr/bin/env bats
# What a pass costs that finds nothing to do; times are for tests/bench/read.sh.

load helper
load store
load node

setup() {
	helper_setup
	own_places
	PORTS=$BATS_TEST_TMPDIR/ports SUDOERS=$BATS_TEST_TMPDIR/sudoers DATA=$BATS_TEST_TMPDIR/data
}

# converge AGENT: one pass of it, in this test's places.
converge() {
	case $1 in
	preparer) set -- "$@" --repo="$REPO_URL" ;;
	setlive) set -- "$@" --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" ;;
	iptables) set -- "$@" --cmd=true --config-dir="$PORTS" ;;
	sudoers) set -- "$@" --path="$SUDOERS" ;;
	esac
	pp converge "$@"
}

# Two apps that are all they should be.
converged() {
	runit_start
	repo_add slug def456
	repo_add slug abc123
	repo_add web v1 none
	intent_slug >/dev/null
	pp intent set web/demo versions=v1:active basedir="$DATA/web" ports=80 users=don >/dev/null
	pp intent assign web/demo node1 >/dev/null
	for agent in preparer setlive iptables sudoers; do
		converge $agent 2>/dev/null
	done
}

# Everything that pp may write to, with what a write would show in.
all_there_is() {
	snapshot "$PP_STATE_DIR" "$BASEDIR" "$DATA" "$PORTS" "$SUDOERS" "$HOME" "$RUNIT" |
		grep -v "/supervise\| $PP_STATE_DIR/service-stage/[a-z]*/log/main"
	snapshot "$RUNIT_STAGE"/*/run "$RUNIT_STAGE"/*/log/run
}

nothing_written() {
	all_there_is >"$BATS_TEST_TMPDIR/before"
	for agent in preparer setlive iptables sudoers; do
		run -0 --separate-stderr converge $agent
		expect_silence
	done
	all_there_is | diff "$BATS_TEST_TMPDIR/before" -
}

@test "a pass with nothing to do writes nothing, whichever agent and store" {
	store_dir
	converged
	nothing_written
	consul_start
	for key in nodes/node1/slug nodes/node1/web clusters/slug/demo/config clusters/slug/demo/deploy_config \
		clusters/web/demo/config clusters/web/demo/deploy_config owners/slug owners/web pp/store; do
		consul_put $key "$(cat "$BATS_TEST_TMPDIR/store/$key.json")"
	done
	# The first pass of a node over another store has two things to remember.
	run -0 --separate-stderr converge iptables
	nothing_written
}

@test "libcurl is not loaded for a directory, nor for this host's Consul; for another one it is" {
	need strace
	loads() {
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0" \
			strace -f -e trace=openat -o "$BATS_TEST_TMPDIR/opened" "$PP" converge preparer --repo="$REPO_URL" \
			>/dev/null 2>&1 || :
		grep -q 'libcurl.so' "$BATS_TEST_TMPDIR/opened"
	}
	store_dir
	intent_slug >/dev/null
	run ! loads
	mkdir "$BATS_TEST_TMPDIR/sock"
	consul_start - <<<"{\"addresses\": {\"http\": \"unix://$BATS_TEST_TMPDIR/sock/http 127.0.0.1\"}}"
	run ! loads
	CONSUL_HTTP_ADDR=localhost:$HELPER_CONSUL_PORT run ! loads
	CONSUL_HTTP_ADDR=unix://$BATS_TEST_TMPDIR/sock/http run ! loads
	CONSUL_HTTP_ADDR=https://localhost:1 loads
	CONSUL_HTTP_ADDR=consul.invalid:8500 loads
}

@test "100 converged apps: four further requests, and at most 12 MiB" {
	consul_start
	for i in {101..200}; do
		name=app$i
		mkdir -p "$DATA/$name/installs/${name}_v"
		printf '{"KV":{"Verb":"set","Key":"%s","Value":"%s"}}\n' \
			nodes/node1/$name "$(printf '{"cluster": "c"}' | base64 -w0)" \
			clusters/$name/c/config "$(printf '{"versions": {"v": "prep"}}' | base64 -w0)" \
			clusters/$name/c/deploy_config "$(printf '{"basedir": "%s"}' "$DATA/$name" | base64 -w0)"
	done | split -l 60 - "$BATS_TEST_TMPDIR/txn."
	for txn in "$BATS_TEST_TMPDIR"/txn.*; do
		jq -cs . "$txn" | consul_api PUT /v1/txn --data-binary @- >/dev/null
	done
	store_identify
	liar_start
	run -0 --separate-stderr converge preparer
	: >"$LIAR_LOG"
	run -0 --separate-stderr converge preparer
	expect_silence
	[ "$(wc -l <"$LIAR_LOG")" = 5 ]
	[ "$(cut -d' ' -f1 "$LIAR_LOG" | sort -u | wc -l)" = 1 ]
	case $PP_BUILD in
	*san*) skip "a sanitizer needs more" ;;
	esac
	cc -O2 -o "$BATS_TEST_TMPDIR/rounds" "$TOP/tests/bench/rounds.c"
	printf 'pp\t%s converge preparer --repo=%s\n' "$PP" "$REPO_URL" >"$BATS_TEST_TMPDIR/commands"
	run -0 "$BATS_TEST_TMPDIR/rounds" 3 "$BATS_TEST_TMPDIR/commands"
	read -r _ _ _ peak failures <<<"$output"
	[ "$failures" = 0 ]
	[ "$peak" -le $((12 * 1024)) ]
}
