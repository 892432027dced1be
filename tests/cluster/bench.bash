# shellcheck shell=bash
# The benchmark of a rollout; tests/bench/rollout.sh starts it and tells what it is.
set -euo pipefail

NODES=10 MIN_NODES=8 ROUNDS=${ROUNDS:-3}
# What is asked from here goes by a server's own agent, so that what nodes ask can be counted.
CLUSTER_ASK=s1
export CLUSTER_LOG_LEVEL=debug

# shellcheck source=tests/cluster/cluster.bash
. "$(dirname "${BASH_SOURCE[0]}")/cluster.bash"

work=$(mktemp -d)
trap 'cluster_down || :; rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

now_us() {
	printf '%s\n' "${EPOCHREALTIME/[.,]/}"
}

# Print the middle one of the arguments.
median() {
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

# requests NAME: how many a node has made of its agent.
requests() {
	grep -c 'Request finished' "$CLUSTER/log/$1.consul" || :
}

passes() {
	grep -c '^-- .* pass$' "$CLUSTER/log/$1.setlive" || :
}

# All requests or passes of all nodes.
all_of() {
	local name n=0

	for name in $CLUSTER_NAMES; do
		n=$((n + $("$1" "$name")))
	done
	printf '%s\n' "$n"
}

# One node alone, with nobody to wait for: how long its pass takes, and how many requests.
measure_alone() {
	local round version before start times=() asked=() idle=()

	cluster_pause
	for ((round = 0; round < 2 * ROUNDS + 1; round++)); do
		version=v$((2 - round % 2))
		cluster_roll "$version"
		before=$(requests n2)
		start=$(now_us)
		cluster_pass n2 >>"$CLUSTER/log/alone" 2>&1
		times+=($((($(now_us) - start) / 1000)))
		asked+=($(($(requests n2) - before)))
		before=$(requests n2)
		cluster_pass n2 >>"$CLUSTER/log/alone" 2>&1
		idle+=($(($(requests n2) - before)))
	done
	ALONE=$(median "${times[@]}") ALONE_ASKED=$(median "${asked[@]}") IDLE_ASKED=$(median "${idle[@]}")
	IDEAL=$((ALONE * ((NODES + NODES - MIN_NODES - 1) / (NODES - MIN_NODES))))
}

# From the change of intent until all nodes answer with the new version and are counted again.
measure_rollout() {
	local start took asked passed

	cluster_ready v1 "$MIN_NODES"
	cluster_intend versions.v2=prep
	cluster_prepare
	load_start
	asked=$(all_of requests) passed=$(all_of passes)
	start=$(now_us)
	cluster_intend versions.v2=active
	cluster_wait cluster_runs v2
	took=$((($(now_us) - start) / 1000))
	asked=$(($(all_of requests) - asked)) passed=$(($(all_of passes) - passed))
	load_stop
	awk -v took="$took" -v ideal="$IDEAL" -v asked="$asked" -v passed="$passed" -v nodes="$NODES" \
		-v least="$LOAD_LEAST" 'BEGIN { printf "%-34s %7.1f  %5.2f of the ideal %9.1f %8.1f %6d\n",
			"rollout", took / 1000, took / ideal, asked / nodes, passed / nodes, least }'
}

cluster_up "$work/cluster" "$NODES"
cluster_build v1 good
cluster_build v2 good
cluster_deploy
cluster_ready v1 0
printf '%-34s %7s  %18s %9s %8s %6s\n' "$NODES nodes, min_nodes $MIN_NODES" seconds '' requests passes least
measure_alone
awk -v alone="$ALONE" -v ideal="$IDEAL" -v asked="$ALONE_ASKED" -v idle="$IDLE_ASKED" 'BEGIN {
	printf "%-34s %7.1f  %18s %9d %8d\n", "one restart, alone", alone / 1000, "", asked, 1
	printf "%-34s %7s  %18s %9d %8d\n", "a pass with nothing to do", "", "", idle, 1
	printf "%-34s %7.1f\n", "the ideal", ideal / 1000 }'
for ((i = 0; i < ROUNDS; i++)); do
	measure_rollout
done
