# shellcheck shell=bash
# For the tests of firewalls, after helper and node: two network namespaces with a wire between them.
#
#     net_up                          $NODE and $CLIENT, unique to the test; pp runs in $NODE from then on
#     on_node CMD..., on_client CMD...
#     net_listen tcp:PORT udp:PORT... what answers there, over IPv4 and IPv6
#     expect_reach SPEC=open|closed   packets from $CLIENT: tcp4:1212, udp6:53, tcp4:1212@10.77.0.3
#     app NAME PORTS                  an app on this node with that list of ports, in JSON
#     spy PROGRAM...                  log each start of it in $SPY, with what it was fed in $SPY.PROGRAM
#
# A file whose tests call net_up has a teardown that calls net_down.

NODE4=10.77.0.1 NODE6=fd77::1

net_up() {
	need_root
	need nft ip nsenter perl
	NODE=ppn$$-$BATS_TEST_NUMBER CLIENT=ppc$$-$BATS_TEST_NUMBER
	ip netns add "$NODE" 2>/dev/null || skip "needs network namespaces"
	ip netns add "$CLIENT"
	ip -n "$NODE" link set lo up
	ip -n "$CLIENT" link set lo up
	ip -n "$NODE" link add eth0 type veth peer name eth0 netns "$CLIENT"
	net_address "$NODE" $NODE4/24 $NODE6/64
	net_address "$CLIENT" 10.77.0.2/24 10.77.0.3/24 fd77::2/64 fd77::3/64
	store_dir
	store_identify
	pp() { on_node "$PP" "$@"; }
}

# net_address NAMESPACE ADDRESS/BITS...
net_address() {
	local address

	ip -n "$1" link set eth0 up
	for address in "${@:2}"; do
		case $address in
		*:*) ip -n "$1" address add "$address" dev eth0 nodad ;;
		*) ip -n "$1" address add "$address" dev eth0 ;;
		esac
	done
}

net_down() {
	helper_teardown
	[ -z "${NODE-}" ] || ip netns delete "$NODE" 2>/dev/null || :
	[ -z "${CLIENT-}" ] || ip netns delete "$CLIENT" 2>/dev/null || :
}

on_node() {
	nsenter --net="/run/netns/$NODE" -- "$@"
}

on_client() {
	nsenter --net="/run/netns/$CLIENT" -- "$@"
}

net_listen() {
	local ready=$BATS_TEST_TMPDIR/ready

	rm -f "$ready"
	spawn listen nsenter --net="/run/netns/$NODE" perl "$TOP/tests/net/listen.pl" "$ready" "$@"
	wait_until test -e "$ready"
}

# All at once, and each in its own process: what is closed takes a second to be so.
expect_reach() {
	local wanted got

	wanted=$(printf '%s\n' "$@")
	got=$(on_client perl "$TOP/tests/net/reach.pl" "$NODE4" "$NODE6" "${@%=*}")
	[ "$got" = "$wanted" ] || fail "wanted: ${wanted//$'\n'/ }
got:    ${got//$'\n'/ }"
}

# app NAME PORTS [NODE]: as the store has it, without going through pp.
app() {
	store_put "clusters/$1/demo/config" '{"versions": {"abc": "active"}, "min_nodes": 0}'
	store_put "clusters/$1/demo/deploy_config" "{\"basedir\": \"/data/$1\", \"ports\": $2}"
	store_put "nodes/$PP_NODE/$1" '{"cluster": "demo"}'
}

# The app is not assigned any more.
gone() {
	store_delete "nodes/$PP_NODE/$1"
}

# Print the ruleset without what moves by itself: counters and handles.
ruleset() {
	on_node nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+/packets N bytes N/'
}

# same_ruleset FILE: is it as it was when `ruleset` wrote that?
same_ruleset() {
	diff "$1" <(ruleset) >&2
}

# Print each port that is open in pp's table or chain, as "tcp 1212 slug", "udp 53 10.0.0.0/8 dns".
opened() {
	pp status --format=json "$@" 2>/dev/null |
		jq -r '.apps[] | .app as $app | .ports[] |
			[.protocol, .port, .from, $app] | map(select(. != null)) | join(" ")'
}

# Print the packets that came through a port: counted APP PORT [FROM].
counted() {
	pp status --format=json "$1" "${@:4}" 2>/dev/null | jq -r --arg port "$2" --arg from "${3-}" \
		'.apps[].ports[] | select(.port == $port and (.from // "") == $from) | .packets'
}

spy() {
	local name dir=$BATS_TEST_TMPDIR/spy

	SPY=$BATS_TEST_TMPDIR/spied
	: >"$SPY"
	mkdir -p "$dir"
	for name in "$@"; do
		cat >"$dir/$name" <<-EOF
			#!/bin/sh
			echo "$name \$*" >>"$SPY"
			case " \$* " in
			*" -f - "* | *" --noflush "*) tee "$SPY.$name" | exec $(type -P "$name") "\$@" ;;
			*) exec $(type -P "$name") "\$@" ;;
			esac
		EOF
		chmod 0755 "$dir/$name"
	done
	export PATH=$dir:$PATH
}

# fake PROGRAM: a script from stdin in its place; \$REAL is the real one.
fake() {
	local dir=$BATS_TEST_TMPDIR/fake

	mkdir -p "$dir"
	{
		printf '#!/bin/sh\nREAL=%s\n' "$(type -P "$1")"
		cat
	} >"$dir/$1"
	chmod 0755 "$dir/$1"
	export PATH=$dir:$PATH
}

unfake() {
	rm -rf "$BATS_TEST_TMPDIR/fake"
	hash -r
}

# many N PORTS_EACH: that many apps, at one go.
many() {
	perl -e 'my ($dir, $node, $apps, $ports) = @ARGV;
		sub put { my ($key, $text) = @_; my ($up) = "$dir/$key" =~ m|(.*)/|;
			my $at = ""; for (split m|/|, substr($up, 1)) { $at .= "/$_"; mkdir $at }
			open my $f, ">", "$dir/$key.json" or die "$key: $!"; print $f $text; close $f or die }
		for my $i (0 .. $apps - 1) {
			my $name = sprintf "app%04d", $i;
			my $list = join ",", map { 10000 + $i * $ports + $_ } 0 .. $ports - 1;
			put("clusters/$name/demo/config", "{\"versions\": {\"abc\": \"active\"}}");
			put("clusters/$name/demo/deploy_config", "{\"basedir\": \"/data/$name\", \"ports\": [$list]}");
			put("nodes/$node/$name", "{\"cluster\": \"demo\"}");
		}' "${PP_STORE#dir:}" "$PP_NODE" "$1" "$2"
}
