#!/usr/bin/env bats
# How a node's intent is read: as one picture, and kept for when there is no store.

load helper
load store
load node

setup_file() {
	consul_start
}

setup() {
	helper_setup
	own_places
	PORTS=$BATS_TEST_TMPDIR/ports DATA=$BATS_TEST_TMPDIR/data
}

iptables() {
	pp converge iptables --cmd=true --config-dir="$PORTS" "$@"
}

# shellcheck disable=SC2120
setlive() {
	pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" "$@"
}

# A transaction of sets, KEY VALUE ..., as JSON.
txn() {
	local ops=()

	while [ $# -gt 0 ]; do
		ops+=("$(jq -nc --arg k "$1" --arg v "$(printf %s "$2" | base64 -w0)" \
			'{KV: {Verb: "set", Key: $k, Value: $v}}')")
		shift 2
	done
	printf '%s\n' "${ops[@]}" | jq -cs .
}

# many N: apps a01 to aN, app I with port 1000 + I.
many() {
	local i args=()

	for ((i = 1; i <= $1; i++)); do
		name=$(printf 'a%02d' $i)
		args+=("nodes/node1/$name" '{"cluster": "c"}' "clusters/$name/c/config" '{"versions": {"v": "prep"}}'
			"clusters/$name/c/deploy_config" "{\"basedir\": \"$DATA/$name\", \"ports\": [$((1000 + i))]}")
		if [ ${#args[@]} -ge 100 ] || [ $i = "$1" ]; then
			consul_api PUT /v1/txn --data-binary "$(txn "${args[@]}")" >/dev/null
			args=()
		fi
	done
	store_identify
}

# while_reading N FILE: before the Nth request of a run is answered, the transaction in FILE happens.
while_reading() {
	lie . nth "$1" run "curl -s -X PUT --data-binary @$2 http://127.0.0.1:$HELPER_CONSUL_PORT/v1/txn >>$BATS_TEST_TMPDIR/happened"
}

port_of() {
	sed -n 's/.*port: //p' "$PORTS/$1.yml"
}

# --- one picture

@test "two apps that swap their ports between two batches are not seen with one port" {
	many 40
	liar_start
	run -0 --separate-stderr iptables
	txn clusters/a01/c/deploy_config "{\"basedir\": \"$DATA/a01\", \"ports\": [1040]}" \
		clusters/a40/c/deploy_config "{\"basedir\": \"$DATA/a40\", \"ports\": [1001]}" >"$BATS_TEST_TMPDIR/swap"
	while_reading 3 "$BATS_TEST_TMPDIR/swap"
	: >"$LIAR_LOG"
	run -0 --separate-stderr iptables
	[ "$(cat "$BATS_TEST_TMPDIR/happened" | jq -s length)" = 1 ]
	[ "$(port_of a01),$(port_of a40)" = 1040,1001 ]
	# The list and both batches, twice.
	[ "$(wc -l <"$LIAR_LOG")" = 6 ]
	truth
	: >"$LIAR_LOG"
	run -0 --separate-stderr iptables
	expect_silence
	[ "$(wc -l <"$LIAR_LOG")" = 3 ]
}

@test "what changed before the run is no reason to read twice, once it is known" {
	many 40
	liar_start
	run -0 --separate-stderr iptables
	consul_put clusters/a40/c/deploy_config "{\"basedir\": \"$DATA/a40\", \"ports\": [99]}"
	for expected in 6 3 3; do
		: >"$LIAR_LOG"
		run -0 --separate-stderr iptables
		[ "$(wc -l <"$LIAR_LOG")" = $expected ]
	done
	[ "$(port_of a40)" = 99 ]
	# Of few apps, list and documents come in one answer: never twice.
	consul_put clusters/a40/c/deploy_config "{\"basedir\": \"$DATA/a40\", \"ports\": [98]}"
	for i in {1..20}; do
		consul_delete "nodes/node1/$(printf 'a%02d' $i)"
	done
	: >"$LIAR_LOG"
	run -0 --separate-stderr pp converge preparer --dry-run
	[ "$(wc -l <"$LIAR_LOG")" = 2 ]
}

@test "an app that gives way to another between list and documents: the run sees the new picture" {
	many 3
	liar_start
	run -0 --separate-stderr iptables
	consul_put clusters/new/c/config '{"versions": {"v": "prep"}}'
	consul_put clusters/new/c/deploy_config "{\"basedir\": \"$DATA/new\", \"ports\": [7]}"
	jq -nc '[{KV: {Verb: "delete", Key: "nodes/node1/a01"}}, {KV: {Verb: "delete", Key: "clusters/a01/c/config"}},
		{KV: {Verb: "delete", Key: "clusters/a01/c/deploy_config"}},
		{KV: {Verb: "set", Key: "nodes/node1/new", Value: "eyJjbHVzdGVyIjogImMifQ=="}}]' >"$BATS_TEST_TMPDIR/change"
	while_reading 2 "$BATS_TEST_TMPDIR/change"
	run -0 --separate-stderr iptables
	[[ $stderr != *held* ]]
	[ "$(cd "$PORTS" && echo *.yml)" = "a02.yml a03.yml new.yml" ]
}

@test "of documents that are deleted between two batches nothing is made up" {
	many 40
	liar_start
	run -0 --separate-stderr iptables
	jq -nc '[{KV: {Verb: "delete", Key: "nodes/node1/a40"}}, {KV: {Verb: "delete", Key: "clusters/a40/c/config"}},
		{KV: {Verb: "delete", Key: "clusters/a40/c/deploy_config"}}]' >"$BATS_TEST_TMPDIR/change"
	while_reading 3 "$BATS_TEST_TMPDIR/change"
	run -0 --separate-stderr iptables
	[[ $stderr != *held* ]]
	[ ! -e "$PORTS/a40.yml" ]
	[ -e "$PORTS/a39.yml" ]
}

@test "a store that changes with every request is left alone: exit 75, nothing done" {
	many 40
	liar_start
	run -0 --separate-stderr iptables
	cat >"$BATS_TEST_TMPDIR/change.sh" <<-EOF
		curl -s -X PUT -d "{\"versions\": {\"v\$(date +%s%N)\": \"prep\"}}" \
			http://127.0.0.1:$HELPER_CONSUL_PORT/v1/kv/clusters/a40/c/config
		curl -s -X PUT -d '{"basedir": "$DATA/a01", "ports": [5]}' \
			http://127.0.0.1:$HELPER_CONSUL_PORT/v1/kv/clusters/a01/c/deploy_config
	EOF
	lie . run "sh $BATS_TEST_TMPDIR/change.sh"
	run -75 --separate-stderr iptables
	[[ $stderr == *"changes faster than it can be read; the next run tries again"* ]]
	[ "$(port_of a01)" = 1001 ]
	truth
	run -0 --separate-stderr iptables
	[ "$(port_of a01)" = 5 ]
}

@test "a server that closes the connection after each answer is read all the same" {
	many 100
	liar_start
	lie . header Connection close
	run -0 --separate-stderr iptables
	[ "$(ls "$PORTS" | grep -c yml)" = 100 ]
}

# --- what was believed last

believed() {
	echo "$PP_STATE_DIR"/believed/*
}

@test "what was believed is kept, 0600, and written only when it changed" {
	many 3
	iptables 2>/dev/null
	[ "$(stat -c '%a' "$(believed)")" = 600 ]
	[ "$(sed -n 2p "$(believed)" | jq -c '.a02')" = \
		"{\"cluster\":\"c\",\"config\":{\"versions\":{\"v\":\"prep\"}},\"deploy_config\":{\"basedir\":\"$DATA/a02\",\"ports\":[1002]}}" ]
	before=$(stat -c '%i %Y %Z' "$(believed)")
	iptables
	pp converge sudoers --path="$BATS_TEST_TMPDIR/sudoers"
	pp converge preparer --dry-run >/dev/null
	iptables --app=a01
	[ "$(stat -c '%i %Y %Z' "$(believed)")" = "$before" ]
	consul_put clusters/a02/c/deploy_config "{\"basedir\": \"$DATA/a02\", \"ports\": [7]}"
	iptables --dry-run >/dev/null
	[ "$(stat -c '%i %Y %Z' "$(believed)")" = "$before" ]
	iptables 2>/dev/null
	[ "$(sed -n 2p "$(believed)" | jq -c '.a02.deploy_config.ports')" = '[7]' ]
	# A document that does not parse is not believed; what it was before is. An app that is gone goes.
	consul_put clusters/a02/c/deploy_config '{'
	consul_delete nodes/node1/a03
	run -1 iptables
	[ "$(sed -n 2p "$(believed)" | jq -c '.a02.deploy_config.ports, keys')" = '[7]
["a01","a02"]' ]
}

@test "agents that read more than others, in more requests, keep the same" {
	many 25
	iptables 2>/dev/null
	iptables
	before=$(stat -c '%i %Y %Z' "$(believed)")
	for i in {1..25}; do
		consul_put "owners/a$(printf '%02d' $i)" '{"users": ["xavier"]}'
	done
	pp converge sudoers --path="$BATS_TEST_TMPDIR/sudoers" 2>/dev/null
	[ "$(stat -c '%i %Y %Z' "$(believed)")" = "$before" ]
	iptables
	[ "$(stat -c '%i %Y %Z' "$(believed)")" = "$before" ]
}

@test "what cannot be kept is told, and keeps nothing from being done" {
	many 1
	mkdir -p "$PP_STATE_DIR"
	: >"$PP_STATE_DIR/believed"
	run -0 --separate-stderr iptables
	[[ $stderr == *"WARN"*"what was read is not kept for when the store is down: "* ]]
	[ "$(port_of a01)" = 1001 ]
}

# slug runs here, version def456; then Consul goes.
run_slug() {
	runit_start
	repo_add slug abc123
	repo_add slug def456
	repo_add web v1
	intent_slug >/dev/null
	pp intent set web/demo versions=v1:active basedir="$DATA/web" >/dev/null
	pp intent assign web/demo node1 >/dev/null
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	setlive 2>/dev/null
	[ "$(service_version slug)" = def456 ]
	ADDR=$CONSUL_HTTP_ADDR
}

# The same address, with nobody there.
without_store() {
	liar_start 0
	lie . silent
}

# The node's memory is of an address; the store is at it, or is not.
at_liar() {
	liar_start
	setlive 2>/dev/null
}

@test "after a reboot without a store, what should run is started, one line says so, and it exits 69" {
	run_slug
	at_liar
	# As after a reboot: defined, intended, and not running.
	sv -w 5 down "$RUNIT/slug" "$RUNIT/web"
	run ! service_pid slug
	lie . silent
	run -0 --separate-stderr pp converge preparer --help
	run -69 --separate-stderr setlive --dry-run
	[[ $output == *"setlive slug: would start def456 (it is not running)"* ]]
	run ! service_pid slug
	run -69 --separate-stderr setlive
	expect_said "WARN setlive: the store cannot be read; what was believed last is still started, nothing else is done" \
		"INFO slug: Starting" "INFO web: Starting" "FATAL setlive: nothing else was done: consul: *"
	[ "$(service_version slug)" = def456 ]
	[ "$(service_version web)" = v1 ]
	run -69 --separate-stderr setlive
	expect_said "FATAL setlive: nothing was done: consul: *"
}

@test "a token that is refused is as good as no store: what should run is started, exit 77" {
	run_slug
	at_liar
	sv -w 5 down "$RUNIT/slug"
	lie . status 403 'ACL not found'
	run -77 --separate-stderr setlive
	[ "$(service_version slug)" = def456 ]
}

@test "without a store nothing is stopped, flipped, removed or configured anew" {
	run_slug
	at_liar
	# Read and believed by another agent, and not yet done: another version for slug, another
	# config for web, and an app that was never here.
	pp intent set slug/demo versions=abc123:active
	pp intent set web/demo user_config.a=b
	pp intent set other/demo versions=x:active basedir="$DATA/other"
	pp intent assign other/demo node1
	iptables 2>/dev/null
	before=$(snapshot "$BASEDIR" "$DATA" "$RUNIT_STAGE/slug/run" "$RUNIT_STAGE/web/run")
	lie . silent
	for state in up down; do
		sv -w 5 $state "$RUNIT/slug" "$RUNIT/web"
		pids=$(service_pid slug || :)$(service_pid web || :)
		run -69 --separate-stderr setlive
		expect_said "FATAL setlive: nothing was done: *"
		[ "$(service_pid slug || :)$(service_pid web || :)" = "$pids" ]
		[ "$(snapshot "$BASEDIR" "$DATA" "$RUNIT_STAGE/slug/run" "$RUNIT_STAGE/web/run")" = "$before" ]
	done
	# An app that is to be down stays down, and one that runs though it is to be down runs on.
	truth
	pp intent set slug/demo versions=abc123:prep,def456:prep
	pp intent set web/demo versions=v1:prep
	iptables 2>/dev/null
	sv -w 5 up "$RUNIT/web"
	pid=$(service_pid web)
	lie . silent
	run -69 --separate-stderr setlive
	run ! service_pid slug
	[ "$(service_pid web)" = "$pid" ]
}

@test "a memory that is damaged, cut off or of another store starts nothing, and harms nothing" {
	run_slug
	at_liar
	sv -w 5 down "$RUNIT/slug"
	lie . silent
	good=$(cat "$(believed | tr ' ' '\n' | tail -n 1)")
	for file in $(believed); do
		for bad in '' 'x' 'pp-believed 1 5 5 5' "$(head -c 300 <<<"$good")" "$(sed 's/slug/..\/x/' <<<"$good")" \
			"$(sed '2s/.*/[]/' <<<"$good")" "$(sed '2s/.*/{"slug": 5, "slug": 6}/' <<<"$good")"; do
			for each in $(believed); do
				printf '%s\n' "$bad" >"$each"
			done
			run -69 --separate-stderr setlive
			run ! service_pid slug
		done
		break
	done
	truth
	run -0 --separate-stderr setlive
	[ "$(service_version slug)" = def456 ]
	sv -w 5 down "$RUNIT/slug"
	unset CONSUL_HTTP_ADDR
	export PP_STORE=dir:$BATS_TEST_TMPDIR/nowhere
	run -69 --separate-stderr setlive
	run ! service_pid slug
}
