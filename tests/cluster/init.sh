#!/bin/sh
# The first process of a simulated cluster, in namespaces of its own: with it, all of it ends.
#
#     unshare --mount --pid --net --fork --kill-child --mount-proc sh init.sh DIR NODES
#
# A bridge in this network namespace (10.77.0.254), on which hang three servers of Consul, s1 to s3
# (10.77.0.101 to 103), and the nodes n1 to nN (10.77.0.1 to N), each in a network namespace of its own. A
# machine is started again when it has died, but not while DIR/NAME.off exists. In DIR:
#
#     disk/           what machines keep, in memory and only to be seen in this mount namespace
#     log/            what they say
#     NAME.pid        the machine, as seen from this pid namespace: killed, all of it is
#     NAME.off        it is to stay off
set -u

dir=$1 nodes=$2
here=$(cd "$(dirname "$0")" && pwd)
export CONSUL_CONFIG="$dir/consul.json"

machine() {
	name=$1 address=$2 script=$3
	ip netns add "$name"
	ip link add name "$name" type veth peer name eth0 netns "$name"
	ip link set "$name" master bridge up
	ip -n "$name" address add "$address/24" dev eth0
	ip -n "$name" link set eth0 up
	ip -n "$name" link set lo up
	live "$name" "$address" "$script" &
}

# One life after the other.
live() {
	while :; do
		nsenter --net="/run/netns/$1" unshare --mount --pid --fork --kill-child --mount-proc \
			sh "$here/$3" "$dir" "$1" "$2" >>"$dir/log/$1" 2>&1 &
		body=$!
		first=
		while [ -z "$first" ] && kill -0 "$body" 2>/dev/null; do
			read -r first _ <"/proc/$body/task/$body/children" || :
			[ -n "$first" ] || sleep 0.02
		done
		printf '%s\n' "$first" >"$dir/$1.pid.new"
		mv "$dir/$1.pid.new" "$dir/$1.pid"
		wait "$body"
		rm -f "$dir/$1.pid"
		while [ -e "$dir/$1.off" ]; do
			sleep 0.05
		done
	done
}

mount -t tmpfs -o mode=0755 none /run
mkdir -p /run/netns "$dir/disk" "$dir/log" "$dir/node"
mount -t tmpfs -o mode=0755 none "$dir/disk"
ip link set lo up
ip link add name bridge type bridge forward_delay 0
ip address add 10.77.0.254/24 dev bridge
ip link set bridge up

cat >"$CONSUL_CONFIG" <<-END
	{
		"client_addr": "127.0.0.1", "disable_update_check": true, "disable_keyring_file": true,
		"leave_on_terminate": false, "skip_leave_on_interrupt": true, "check_update_interval": "0s",
		"performance": {"raft_multiplier": 1}, "ports": {"dns": -1, "grpc": -1, "serf_wan": -1},
		"gossip_lan": {"probe_interval": "500ms", "probe_timeout": "300ms", "suspicion_mult": 3},
		"retry_join": ["10.77.0.101", "10.77.0.102", "10.77.0.103"], "retry_interval": "500ms",
		"log_level": "${CLUSTER_LOG_LEVEL:-err}"
	}
END

for i in 1 2 3; do
	machine "s$i" "10.77.0.$((100 + i))" server.sh
done
i=0
while [ "$i" -lt "$nodes" ]; do
	i=$((i + 1))
	machine "n$i" "10.77.0.$i" node.sh
done
while :; do
	wait
	sleep 1
done
