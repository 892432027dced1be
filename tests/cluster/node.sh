#!/bin/sh
# The first process of a node in a simulated cluster, started by init.sh: DIR NAME ADDRESS.
#
# An agent of Consul, runsvdir, and a scheduler that has pp setlive pass once a second. DIR/node is the
# node's own disk, for each node another one. In DIR, for all nodes:
#
#     paused          no pass is begun; NAME.busy is there while one is under way
#     chaos           passes are killed with -9, at any moment of their first three seconds
#
# DIR/log/NAME.setlive has what passes say, between lines with their time and exit code.
set -u

dir=$1 name=$2 address=$3
mkdir -p "$dir/disk/$name"
mount --bind "$dir/disk/$name" "$dir/node"
cd "$dir/node" || exit 1
mkdir -p service stage state
# What a machine does not keep across a boot.
rm -rf stage/*/supervise stage/*/log/supervise

GOMAXPROCS=1 "$CONSUL" agent -config-file="$CONSUL_CONFIG" -node="$name" -bind="$address" \
	-data-dir="$dir/node/consul" >>"$dir/log/$name.consul" 2>&1 &
runsvdir -P "$dir/node/service" 'log: ................................................................' &
runsvdir=$!
# It looks for new services every five seconds, and whenever something is logged. Only the first one is new.
until [ -e service/web/supervise/ok ]; do
	printf . >"/proc/$runsvdir/fd/2"
	sleep 0.2
done &

export PP_NODE="$name" PP_STATE_DIR="$dir/node/state" PP_CONF=/dev/null PP_STORE=consul HOME="$dir/node"
export PP_RUNIT="$dir/node/service" PP_RUNIT_STAGE="$dir/node/stage" PP_REPO="file://$dir/repo"
unset CONSUL_HTTP_ADDR

say() {
	printf '%s %s\n' "$(date -u '+-- %H:%M:%S.%3N')" "$*" >>"$dir/log/$name.setlive"
}

# Print some milliseconds, half of the time few of them.
some_time() {
	read -r many half <<-END
		$(od -An -N4 -tu2 /dev/urandom)
	END
	printf '%s\n' $((half % 2 ? many % 3000 : many % 200))
}

pass() {
	if [ -e "$dir/chaos" ]; then
		ms=$(some_time)
		say "pass, killed after $ms ms"
		# All that it started, too, or only pp itself.
		[ $((ms % 2)) -eq 0 ] && alone=--foreground || alone=
		timeout ${alone:+"$alone"} -s KILL "$((ms / 1000)).$(printf %03d $((ms % 1000)))" \
			"$PP" converge setlive --verbose --timeout=60s
	else
		say pass
		"$PP" converge setlive --verbose --timeout=60s
	fi >>"$dir/log/$name.setlive" 2>&1
	say "exit $?"
}

while :; do
	: >"$dir/$name.busy"
	[ -e "$dir/paused" ] || pass
	rm -f "$dir/$name.busy"
	sleep 1
done
