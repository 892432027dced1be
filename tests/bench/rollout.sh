#!/bin/sh
# What a rollout of ten nodes with min_nodes 8 takes, against the ideal: restarts in groups of two, back to
# back, each as long as one node alone takes for it; and how many requests a node makes of Consul.
#
#     PP=build/pp sh tests/bench/rollout.sh
#
# The cluster is the one of tests/bats/cluster.bats (tests/cluster/cluster.bash); ROUNDS (3) rollouts. Needs
# root, bash, a consul (scripts/consul.sh) and a C compiler; leaves nothing behind.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$(id -u)" -ne 0 ]; then
	echo "rollout.sh: needs root, for namespaces: not measured"
	exit 0
fi
PP=${PP:-$top/build/pp}
PP_UNPACK=${PP_UNPACK:-${PP%/*}/pp-unpack}
CONSUL=${CONSUL:-$(sh "$top/scripts/consul.sh")}
export PP PP_UNPACK CONSUL
exec bash "$top/tests/cluster/bench.bash"
