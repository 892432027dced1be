#!/usr/bin/env bats
# Rollouts over a real cluster: ten nodes, three servers of Consul, and one who asks all the time. Never do
# fewer than min_nodes answer, whatever dies meanwhile. tests/cluster/cluster.bash tells how it is made.

load helper
load node
load ../cluster/cluster

setup_file() {
	export CLUSTER_WHY_NOT=''
	[ "$(id -u)" -eq 0 ] || CLUSTER_WHY_NOT="needs root"
	: "${CONSUL:=$(sh "$TOP/scripts/consul.sh" --no-fetch 2>/dev/null || :)}"
	[ -n "$CONSUL" ] || CLUSTER_WHY_NOT="no consul: sh scripts/consul.sh fetches one"
	unshare --mount --net --pid --fork --kill-child --mount-proc ip link add name bridge type bridge 2>/dev/null ||
		CLUSTER_WHY_NOT=${CLUSTER_WHY_NOT:-needs network namespaces}
	[ -z "$CLUSTER_WHY_NOT" ] || return 0
	export CONSUL
	if ! cluster_up "$BATS_FILE_TMPDIR/cluster"; then
		tail -n 5 "$CLUSTER"/*.log "$CLUSTER"/log/* >&2
		cluster_down
		return 1
	fi
	cluster_build v1 good
	cluster_build v2 good
	cluster_build bad1 bad1
	cluster_build bad2 bad2
	cluster_deploy || { cluster_down; return 1; }
}

teardown_file() {
	cluster_down
}

setup() {
	[ -z "$CLUSTER_WHY_NOT" ] || skip "$CLUSTER_WHY_NOT"
	helper_setup
}

teardown() {
	[ -z "$CLUSTER_WHY_NOT" ] || return 0
	load_stop
	rm -f "$CLUSTER/chaos"
	[ -n "${BATS_TEST_COMPLETED-}" ] || cluster_tell
	helper_teardown
}

# At no moment did fewer of them answer; and some did not, or there was no rollout to be seen.
held() {
	load_stop
	echo "$LOAD_SUMMARY"
	[ "$LOAD_LEAST" -ge "$1" ] || fail "only $LOAD_LEAST answered"
	grep -q '^# answering [0-9]:' <<<"$LOAD_SUMMARY" || fail "nobody was restarted"
}

# Wait until the rollout to v2 is in its middle.
midway() {
	cluster_wait load_who v2 && load_who v1 >/dev/null
}

# Print a node that is down for its restart, or else has yet to be restarted.
victim() {
	{ load_who - || load_who v1; } | head -n 1
}

# How many passes were killed?
killed() {
	cat "$CLUSTER"/log/*.setlive | awk '/^-- .* exit 137$/ { n++ } END { print n + 0 }'
}

# halted COUNT VERSION: by what their last passes said, so many nodes stay where they are.
halted() {
	local name n=0

	for name in $CLUSTER_NAMES; do
		if tail -n 6 "$CLUSTER/log/$name.setlive" | grep -q "web: halted: $2.* failed on"; then
			n=$((n + 1))
		fi
	done
	[ "$n" -ge "$1" ]
}

@test "without min_nodes all go at once, and who asks sees it" {
	cluster_ready v1 0
	load_start
	cluster_roll v2
	cluster_wait cluster_runs v2
	load_stop
	echo "$LOAD_SUMMARY"
	[ "$LOAD_LEAST" -lt 8 ]
}

@test "a rollout with min_nodes 8 of ten: never fewer than eight answer" {
	cluster_ready v1 8
	load_start
	cluster_roll v2
	cluster_wait cluster_runs v2
	held 8
}

@test "the same while passes are killed at any moment" {
	local before

	cluster_ready v1 8
	before=$(killed)
	load_start
	: >"$CLUSTER/chaos"
	cluster_roll v2
	cluster_wait cluster_all_answer v2 || :
	rm "$CLUSTER/chaos"
	cluster_wait cluster_runs v2
	held 8
	[ "$(killed)" -gt $((before + 10)) ]
}

@test "the same while Consul's leader dies and comes back" {
	local leader

	cluster_ready v1 8
	load_start
	cluster_roll v2
	midway
	leader=$(cluster_leader)
	cluster_off "$leader"
	sleep 3
	cluster_on "$leader"
	cluster_wait cluster_runs v2
	held 8
}

@test "the same while a node is cut off for a while" {
	local node

	cluster_ready v1 8
	load_start
	cluster_roll v2
	midway
	node=$(victim)
	excuse "$node"
	cluster_cut "$node"
	sleep 6
	returning "$node"
	cluster_mend "$node"
	cluster_wait cluster_runs v2
	held 8
}

@test "the same while a node boots; its service comes back without pp" {
	local node

	cluster_ready v1 8
	load_start
	cluster_roll v2
	midway
	node=$(victim)
	excuse "$node"
	cluster_off "$node"
	sleep 1
	returning "$node"
	cluster_on "$node"
	cluster_wait cluster_runs v2
	held 8

	cluster_pause
	cluster_off n5
	run ! cluster_all_answer v2
	cluster_on n5
	cluster_wait cluster_all_answer v2
}

@test "a bad version stops at the first node, and going back takes two passes" {
	local bad node other

	for bad in bad1 bad2; do
		cluster_ready v1 8
		load_start
		cluster_roll "$bad"
		cluster_wait halted 9 "$bad"
		# Passes go on, and nobody else tries it.
		sleep 2
		load_now
		node=$(load_who '[^v].*')
		[ "$(wc -w <<<"$node")" -eq 1 ]
		cluster_pause
		other=$([ "$node" = n1 ] && echo n2 || echo n1)
		run -0 cluster_pass "$other"
		[[ $output == *"failed on $node"* ]]
		run -0 cluster_pass "$other" --dry-run
		[[ $output == *halted*"failed on $node"* ]]

		cluster_intend versions.v1=active
		each_node cluster_pass NODE || :
		each_node cluster_pass NODE || :
		cluster_wait cluster_runs v1
		load_stop
		echo "$LOAD_SUMMARY"
		[ "$LOAD_LEAST" -eq 9 ]
	done
}

@test "with min_nodes 10 of ten nobody moves, and with 9 they do" {
	local name

	cluster_ready v1 10
	load_start
	cluster_pause
	cluster_roll v2
	for name in $CLUSTER_NAMES; do
		run -0 cluster_pass "$name"
		[[ $output == *"min_nodes is 10"* ]]
	done
	run -0 cluster_pass n3 --dry-run
	[[ $output == *waiting*"min_nodes is 10"* ]]
	cluster_all_answer v1
	cluster_wait cluster_is_quiet

	cluster_intend min_nodes=9
	cluster_resume
	cluster_wait cluster_runs v2
	held 9
}
