# shellcheck shell=bash
# A simulated cluster, for tests and benchmarks: three servers of Consul, and nodes with a Consul agent,
# runsvdir and a pass of setlive a second, each in namespaces of its own (init.sh, node.sh); an app
# (app.c) on port 8080 of each; and one who asks all of them all the time (load.c). Needs root, PP,
# PP_UNPACK and CONSUL, and a directory; nothing of it is outside of that directory and its namespaces.
#
#     cluster_up DIR [NODES]            until all of it is there; cluster_down ends it
#     cluster_build VERSION KIND        an artifact of "web": good, bad1 (ends at once), bad2 (answers 503)
#     cluster_intend KEY=VALUE...       pp intent set web/prod
#     cluster_ready VERSION MIN_NODES   all nodes have just that version live, whatever was before
#     cluster_prepare                   the preparer, once on each node
#     cluster_pause, cluster_resume     the passes of all nodes; pause waits for those under way
#     cluster_pass NODE [ARG...]        a pass by hand
#     on_node NODE CMD...               in all namespaces of that node
#     in_cluster CMD...                 in those that the nodes have in common
#     cluster_off NAME, cluster_on NAME a machine (n3, s1) dies, or boots
#     cluster_cut NAME, cluster_mend NAME   its wire
#     load_start, load_stop             one who asks; what he saw is in LOAD_LOG, excuses in LOAD_FLAGS
#     load_now                          the last sample: what each node answered, a line a node
#     excuse NODE, returning NODE       it is the test's doing that it does not answer; until it does again

# What a test asks and intends goes by the agent of CLUSTER_ASK.
: "${CLUSTER_ASK:=n1}"
CLUSTER_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cluster_fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# cluster_wait CMD...: until it succeeds; five minutes are in vain.
cluster_wait() {
	local deadline=$((SECONDS + 300))

	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || cluster_fail "waited in vain for: $*" || return 1
		sleep 0.1
	done
}

# cluster_try CMD...: until the store answers. A run that it did not answer has done nothing (exit 69).
cluster_try() {
	local deadline=$((SECONDS + 60)) status

	while :; do
		status=0
		"$@" || status=$?
		if [ "$status" -ne 69 ] || [ "$SECONDS" -ge "$deadline" ]; then
			return "$status"
		fi
		sleep 0.5
	done
}

cluster_up() {
	local name without=()

	export CLUSTER=$1 CLUSTER_NODES=${2:-10} CLUSTER_NAMES='' CLUSTER_PID=
	mkdir -p "$CLUSTER/bin" "$CLUSTER/repo/web"
	for name in app load; do
		"${CC:-cc}" -std=c17 -D_GNU_SOURCE -O2 -o "$CLUSTER/bin/$name" "$CLUSTER_HERE/$name.c" || return 1
	done
	for name in $(seq "$CLUSTER_NODES"); do
		CLUSTER_NAMES="$CLUSTER_NAMES n$name"
	done
	: >"$CLUSTER/paused"
	for name in $(compgen -e); do
		case $name in
		PP | PP_UNPACK) ;;
		PP_* | CONSUL_* | XDG_* | *_proxy | *_PROXY | SVDIR | SVWAIT) without+=(-u "$name") ;;
		esac
	done
	setpriv --pdeathsig KILL -- env "${without[@]}" unshare --mount --pid --net --fork --kill-child --mount-proc \
		sh "$CLUSTER_HERE/init.sh" "$CLUSTER" "$CLUSTER_NODES" >"$CLUSTER/init.log" 2>&1 </dev/null 3>&- &
	export CLUSTER_BODY=$!
	cluster_wait cluster_born || return 1
	CLUSTER_PID=$(pgrep -P "$CLUSTER_BODY")
	cluster_wait cluster_is_up
}

cluster_born() {
	[ -e "/proc/$(pgrep -P "$CLUSTER_BODY")/root/run/netns/n$CLUSTER_NODES" ]
}

# Every node is a member that is alive, and a write goes through.
cluster_is_up() {
	local alive

	alive=$(consul_api "$CLUSTER_ASK" '/v1/health/state/passing?consistent' | jq '[.[] | select(.CheckID == "serfHealth")] | length')
	[ "$alive" -eq $((CLUSTER_NODES + 3)) ] || return 1
	[ "$(consul_api "$CLUSTER_ASK" /v1/kv/cluster/up -X PUT -d '{}')" = true ] || return 1
}

cluster_down() {
	[ -n "${CLUSTER_BODY-}" ] || return 0
	kill -KILL "$CLUSTER_BODY" 2>/dev/null
	wait "$CLUSTER_BODY" 2>/dev/null
	# Consul makes this whatever TMPDIR says, and uses it for nothing.
	rmdir /tmp/consul-test 2>/dev/null
	CLUSTER_BODY=''
}

in_cluster() {
	nsenter -t "$CLUSTER_PID" -m -p -n -- "$@"
}

on_node() {
	in_cluster nsenter -t "$(cat "$CLUSTER/$1.pid")" -m -p -n -- env -u CONSUL_HTTP_ADDR PP_NODE="$1" \
		PP_STATE_DIR="$CLUSTER/node/state" PP_STORE=consul PP_RUNIT="$CLUSTER/node/service" PP_CONF=/dev/null \
		PP_RUNIT_STAGE="$CLUSTER/node/stage" PP_REPO="file://$CLUSTER/repo" HOME="$CLUSTER/node" "${@:2}"
}

# consul_api NODE PATH [CURL_ARG...]
consul_api() {
	nsenter --net="/proc/$CLUSTER_PID/root/run/netns/$1" -- \
		curl -sS --fail --max-time 5 --noproxy '*' "${@:3}" "http://127.0.0.1:8500$2"
}

# --- the app

# cluster_build VERSION KIND [START_MS]
cluster_build() {
	local tree=$CLUSTER/tree status=200

	rm -rf "$tree"
	mkdir -p "$tree/bin"
	cp "$CLUSTER/bin/app" "$tree/web"
	case $2 in
	bad1) printf '#!/bin/sh\necho "no such table: users" >&2\nexit 1\n' ;;
	bad2) status=503 ;&
	*) printf '#!/bin/sh\nexec "${0%%/bin/*}/web" %s %s %s\n' "$1" "${3:-500}" "$status" ;;
	esac >"$tree/bin/launch"
	chmod 0755 "$tree/bin/launch"
	tar --owner=0 --group=0 -C "$tree" -czf "$CLUSTER/repo/web/web_$1.tar.gz" .
}

cluster_intend() {
	cluster_try on_node "$CLUSTER_ASK" "$PP" intent set web/prod "$@" >>"$CLUSTER/log/intent" 2>&1 ||
		cluster_fail "pp intent set $*: $(tail -n 3 "$CLUSTER/log/intent")"
}

# What is intended at first; the rest is cluster_ready's.
cluster_deploy() {
	cluster_intend min_nodes=0 || return 1
	[ "$(consul_api "$CLUSTER_ASK" /v1/kv/clusters/web/prod/deploy_config -X PUT -d '{
		"basedir": "'"$CLUSTER"'/node/web", "ports": [8080], "start_timeout": 6, "stop_timeout": 5, "settle": 1,
		"check": {"http": "/", "interval": "1s", "timeout": "1s"}}')" = true ] || return 1
	# shellcheck disable=SC2086 # names are words
	cluster_try on_node "$CLUSTER_ASK" "$PP" intent assign web/prod $CLUSTER_NAMES >>"$CLUSTER/log/intent" 2>&1
}

# Each in the background, all awaited: each_node CMD ARG..., where NODE is replaced by its name.
each_node() {
	local name pids=() failed=0

	for name in $CLUSTER_NAMES; do
		"${@//NODE/$name}" &
		pids+=($!)
	done
	for name in "${pids[@]}"; do
		wait "$name" || failed=1
	done
	return "$failed"
}

cluster_prepare() {
	each_node cluster_try on_node NODE "$PP" converge preparer >>"$CLUSTER/log/preparer" 2>&1 ||
		cluster_fail "preparer: $(tail -n 5 "$CLUSTER/log/preparer")"
}

cluster_addresses() {
	seq -f '10.77.0.%g:8080' "$CLUSTER_NODES"
}

# Print what each node answers, once.
cluster_answers() {
	# shellcheck disable=SC2046 # addresses are words
	in_net_of_cluster "$CLUSTER/bin/load" --once $(cluster_addresses) | cut -d ' ' -f 4-
}

in_net_of_cluster() {
	nsenter --net="/proc/$CLUSTER_PID/ns/net" -- "$@"
}

cluster_all_answer() {
	[ "$(cluster_answers | tr ' ' '\n' | sort | uniq -c | tr -s ' ')" = " $CLUSTER_NODES $1" ]
}

# Print the document of the nodes that are down on purpose; {} where there is none.
cluster_marks() {
	consul_api "$CLUSTER_ASK" '/v1/txn?consistent' -X PUT \
		-d '[{"KV": {"Verb": "get-tree", "Key": "locks/web/prod"}}]' |
		jq -c '.Results[0].KV.Value // "e30=" | @base64d | fromjson'
}

# Nobody is marked as down on purpose, and the catalogue has all as passing.
cluster_is_quiet() {
	local marks passing

	marks=$(cluster_marks)
	[ "$marks" = '{}' ] || return 1
	passing=$(consul_api "$CLUSTER_ASK" '/v1/health/service/web?passing&consistent')
	[ "$(jq length <<<"$passing")" -eq "$CLUSTER_NODES" ]
}

# Rolled out: all answer with this version, and are counted.
cluster_runs() {
	cluster_all_answer "$1" && cluster_is_quiet
}

cluster_ready() {
	rm -f "$CLUSTER/chaos"
	cluster_intend "versions:={\"$1\": \"active\"}" min_nodes=0 || return 1
	cluster_prepare || return 1
	cluster_resume
	cluster_wait cluster_runs "$1" || return 1
	cluster_intend min_nodes="$2"
}

# roll VERSION: make it active, having prepared it; what was active stays prepared.
cluster_roll() {
	cluster_intend "versions.$1=prep" && cluster_prepare && cluster_intend "versions.$1=active"
}

# --- passes

cluster_idle() {
	local name

	for name in $CLUSTER_NAMES; do
		[ ! -e "$CLUSTER/$name.busy" ] || return 1
	done
}

cluster_pause() {
	: >"$CLUSTER/paused"
	cluster_wait cluster_idle
}

cluster_resume() {
	rm -f "$CLUSTER/paused"
}

cluster_pass() {
	cluster_try on_node "$1" "$PP" converge setlive --verbose --timeout=60s "${@:2}"
}

# --- machines

cluster_off() {
	: >"$CLUSTER/$1.off"
	cluster_cut "$1"
	in_cluster kill -KILL "$(cat "$CLUSTER/$1.pid")"
	cluster_wait test ! -e "$CLUSTER/$1.pid"
	rm -f "$CLUSTER/$1.busy"
}

cluster_on() {
	cluster_mend "$1"
	rm -f "$CLUSTER/$1.off"
	cluster_wait test -e "$CLUSTER/$1.pid"
}

cluster_cut() {
	in_net_of_cluster ip link set "$1" down
}

cluster_mend() {
	in_net_of_cluster ip link set "$1" up
}

# Print the name of the server that leads.
cluster_leader() {
	consul_api "$CLUSTER_ASK" /v1/status/leader | sed -n 's/^"10\.77\.0\.10\([123]\):.*/s\1/p' | grep .
}

# --- one who asks

load_start() {
	LOAD_LOG=$CLUSTER/load LOAD_FLAGS=$CLUSTER/load.flags
	: >"$LOAD_FLAGS"
	# shellcheck disable=SC2046 # addresses are words
	setpriv --pdeathsig KILL -- nsenter --net="/proc/$CLUSTER_PID/ns/net" -- "$CLUSTER/bin/load" \
		--flags="$LOAD_FLAGS" $(cluster_addresses) >"$LOAD_LOG" 2>&1 </dev/null 3>&- &
	LOAD_PID=$!
	cluster_wait test -s "$LOAD_LOG"
}

# End it; what he saw is in LOAD_LEAST, and in words in LOAD_SUMMARY.
load_stop() {
	[ -n "${LOAD_PID-}" ] || return 0
	kill -TERM "$LOAD_PID"
	wait "$LOAD_PID"
	LOAD_PID=''
	LOAD_SUMMARY=$(grep '^#' "$LOAD_LOG")
	LOAD_LEAST=$(sed -n 's/^# least \([0-9]*\)$/\1/p' "$LOAD_LOG")
}

load_now() {
	tail -n 2 "$LOAD_LOG" | head -n 1 | cut -d ' ' -f 4- | tr ' ' '\n'
}

# Print the nodes of which load_now matches: load_who PATTERN.
load_who() {
	load_now | grep -n -x -e "$1" | sed 's/^\([0-9]*\):.*/n\1/' | grep .
}

load_flag() {
	printf '%s' "$2" | dd of="$LOAD_FLAGS" bs=1 seek=$((${1#n} - 1)) conv=notrunc status=none
}

excuse() {
	load_flag "$1" x
}

returning() {
	load_flag "$1" r
}

# --- when something went wrong

# What there is to know.
cluster_tell() {
	local name

	echo "-- marked: $(cluster_marks 2>&1)"
	echo "-- passing: $(consul_api "$CLUSTER_ASK" '/v1/health/service/web?passing' 2>&1 | jq -c '[.[].Node.Node]')"
	for name in $CLUSTER_NAMES; do
		echo "-- $name:"
		tail -n "${1:-20}" "$CLUSTER/log/$name.setlive"
	done
	if [ -s "${LOAD_LOG-}" ]; then
		echo "-- what was answered (samples, of those that count, answering, by whom):"
		grep -v '^#' "$LOAD_LOG" | cut -d ' ' -f 2- | uniq -c | tail -n 60
	fi
}
