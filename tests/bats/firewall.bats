# The firewall whatever the backend: doubt, conflicts, bad ports, settings, rights. By nft.

load helper
load node
load net

setup() {
	helper_setup
	net_up
}

teardown() {
	net_down
}

PP_PORTS_TWO='tcp 1313 other
tcp 1212 slug
tcp 1214 10.0.0.0/8 slug'

two_apps() {
	app slug '[1212, {"port": 1214, "from": ["10.0.0.0/8"]}]'
	app other '[1313]'
	pp converge iptables "$@"
	ruleset >"$BATS_TEST_TMPDIR/before"
}

# held STATUS TEXT: a pass exits so, says that, and leaves all rules as they are; a dry run too.
held() {
	run -"$1" --separate-stderr pp converge iptables
	[[ $stderr == *"$2"* ]] || fail "not \"$2\", but: $stderr"
	same_ruleset "$BATS_TEST_TMPDIR/before"
	run -"$1" --separate-stderr pp converge iptables --dry-run
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

# --- closing, and doubt

@test "an app that is positively gone loses its ports, and only it" {
	two_apps
	gone slug
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO slug: closing its ports" "INFO applying the nftables ruleset"
	[ "$(opened)" = "tcp 1313 other" ]
	gone other
	run -0 --separate-stderr pp converge iptables --allow-empty
	[ "$(opened)" = "" ]
	run -0 --separate-stderr pp converge iptables
	expect_silence
}

@test "a store that is down closes nothing and exits 69, or what the store's fault is" {
	two_apps
	mv "${PP_STORE#dir:}" "$BATS_TEST_TMPDIR/elsewhere"
	held 69 "iptables: nothing was done: "
	PP_STORE=consul CONSUL_HTTP_ADDR=127.0.0.1:1 run -69 pp converge iptables
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

@test "an empty list in an unknown or another store closes nothing" {
	two_apps
	gone slug
	gone other
	store_delete pp/store
	held 1 "slug: held as it is: "
	[[ $stderr == *"has no id (pp/store)"* ]] || run -1 --separate-stderr pp converge iptables
	store_identify 11111111-7b7b-4b8e-9c57-0123456789ab
	held 1 "is another store than the one this node knows"
	store_identify
	run -0 --separate-stderr pp converge iptables --allow-empty
	[ "$(opened)" = "" ]
}

@test "a list that the node may not read closes nothing" {
	two_apps
	rm -rf "${PP_STORE#dir:}/nodes/node1"
	ln -s node1 "${PP_STORE#dir:}/nodes/node1"
	run --separate-stderr pp converge iptables
	[ "$status" -ne 0 ]
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

@test "an intent that does not parse keeps that app's ports, and others go on" {
	local bad

	two_apps
	for bad in '{"basedir": "/data/slug", "ports": [1' '[]' '{"basedir": "/data/slug", "ports": 7}' \
		'{"basedir": "slug", "ports": []}'; do
		store_put clusters/slug/demo/deploy_config "$bad"
		held 1 "slug: held as it is: clusters/slug/demo/deploy_config: "
	done
	store_delete clusters/slug/demo/deploy_config
	held 1 "there is no such document"
	store_put nodes/node1/slug '{"cluster": 3}'
	held 1 "slug: held as it is: nodes/node1/slug: cluster"
	app other '[1314]'
	run -1 --separate-stderr pp converge iptables
	[ "$(opened)" = "tcp 1314 other
tcp 1212 slug
tcp 1214 10.0.0.0/8 slug" ]
}

@test "bad ports are refused at pp intent set, and again at converge, where the app is held" {
	local bad

	two_apps
	for bad in 0 65536 '"http"' -1 '"2000-1000"' '"0-5"' '"1-65536"' '"1-"' '"-1"' '""' 1.5 true null '[]' '{}' \
		'{"port": "http"}' '{"port": 1, "protocol": "icmp"}' '{"port": 1, "from": []}' \
		'{"port": 1, "from": "10.0.0.0/8"}' '{"port": 1, "from": ["10.0.0.0/33"]}' \
		'{"port": 1, "from": ["10.0.0/8"]}' '{"port": 1, "from": ["fd00::/129"]}' \
		'{"port": 1, "from": ["example.org"]}' '{"port": 1, "from": [7]}' \
		'{"port": 1, "from": ["10.0.0.0/8 accept"]}' '{"port": 1, "from": ["10.0.0.0/8x"]}' \
		'{"port": 1, "from": ["10.0.0.0/"]}' '{"port": 1, "from": ["10.0.0.0/-1"]}' \
		'5, 5' '"5-9", 9' '{"port": 5}, "5"' '{"port": "1-9", "protocol": "udp"}, {"port": 3, "protocol": "udp"}'; do
		run -65 --separate-stderr pp intent set slug/demo "ports:=[$bad]"
		[[ $stderr == *ports* ]] || fail "$bad: $stderr"
		app slug "[$bad]"
		run -1 --separate-stderr pp converge iptables
		[[ $stderr == *"slug: held as it is: clusters/slug/demo/deploy_config: ports"* ]] || fail "$bad: $stderr"
		same_ruleset "$BATS_TEST_TMPDIR/before" || fail "$bad"
		app slug '[1212, {"port": 1214, "from": ["10.0.0.0/8"]}]'
	done
	for bad in 0 65536 http -1 2000-1000; do
		run -65 pp intent set slug/demo "ports=$bad"
	done
	# One port for two protocols, or for two networks, is two things.
	run -0 pp intent set slug/demo 'ports:=[5, {"port": 5, "protocol": "udp"},
		{"port": 6, "from": ["10.0.0.0/8"]}, {"port": 6, "from": ["fd00::/8"]}]'
	run -0 --separate-stderr pp converge iptables
}

@test "after a reboot an app in doubt has the ports that it had" {
	two_apps --mode=enforce --yes
	store_put clusters/slug/demo/deploy_config '{'
	on_node nft flush ruleset
	run -1 --separate-stderr pp converge iptables --mode=enforce
	[[ $stderr == *"drift: it is gone, by a reboot or by hand"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	on_node nft flush table inet pp
	run -1 --separate-stderr pp converge iptables --mode=enforce
	same_ruleset "$BATS_TEST_TMPDIR/before"
	# Nor does an empty list that is not believed close what a reboot took.
	gone slug
	gone other
	store_delete pp/store
	on_node nft flush ruleset
	run -1 --separate-stderr pp converge iptables --mode=enforce
	[[ $stderr == *"other: held as it is"*"slug: held as it is"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	# And one that is, does.
	store_identify
	on_node nft flush ruleset
	run -0 --separate-stderr pp converge iptables --mode=enforce --allow-empty
	[ "$(opened --mode=enforce)" = "" ]
}

@test "the rules of an app in doubt stay as they are, edited or not, until it is in doubt no more" {
	two_apps
	store_put clusters/slug/demo/deploy_config '{'
	on_node nft delete element inet pp tcp_ports '{ 1212 }'
	on_node nft add element inet pp tcp_ports '{ 99 counter comment "slug" }'
	app other '[1314]'
	run -1 --separate-stderr pp converge iptables
	[ "$(opened | grep slug)" = "tcp 99 slug
tcp 1214 10.0.0.0/8 slug" ]
	app slug '[1212, {"port": 1214, "from": ["10.0.0.0/8"]}]'
	run -0 --separate-stderr pp converge iptables
	expect_said "WARN slug: drift: its rules were changed by hand" "INFO slug: allowing tcp:1212" \
		"INFO slug: allowing tcp:1214" "INFO applying the nftables ruleset"
	# Also where the very rules that stand first were taken away.
	on_node nft delete rule inet pp apps handle "$(on_node nft -a list chain inet pp apps |
		sed -n 's/.*@tcp_ports.*handle //p')"
	store_put clusters/slug/demo/deploy_config '{'
	rm -rf "$PP_STATE_DIR/firewall"
	run -1 --separate-stderr pp converge iptables
	[ "$(opened | grep -c slug)" -eq 2 ]
}

# --- two that claim one port

# conflict A B: both are named, their rules stay, and another one's are still opened.
conflict() {
	app slug "$1"
	app other "$2"
	app third '[7777]'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"FATAL"*"other: port ${3:-}"*"is claimed by both "*"; its rules stay as they are"* ]] || fail "$stderr"
	[[ $stderr == *"FATAL"*"slug: port ${3:-}"*"is claimed by both "*"; its rules stay as they are"* ]] || fail "$stderr"
	[ "$(opened)" = "$PP_PORTS_TWO
tcp 7777 third" ] || fail "$(opened)"
	gone third
	pp converge iptables >/dev/null 2>&1 || :
}

@test "two apps that claim one port are both named, keep what they have, and the rest is done" {
	two_apps
	conflict '[2000]' '[2000]' 2000/tcp
	conflict '["2000-2010"]' '["2010-2020"]' 2010/tcp
	conflict '["2000-2100"]' '[2050]' 2050/tcp
	conflict '[2050]' '["2000-2100"]' 2050/tcp
	conflict '["2000-2100", 5]' '[1, 2, 2060, 3000]' 2060/tcp
	# Also where one of its own lies between.
	conflict '[{"port": "2000-2100", "from": ["10.0.0.0/8"]}, {"port": 2010, "from": ["10.0.0.1"]}]' \
		'[2060]' 2060/tcp
	conflict '[{"port": 53, "protocol": "udp"}]' '[{"port": "50-60", "protocol": "udp"}]' 53/udp
	conflict '[{"port": 5, "from": ["10.0.0.0/8"]}]' '[{"port": 5, "from": ["fd00::/8"]}]' 5/tcp
	# It is over when it is over.
	app slug '[2001]'
	app other '[{"port": 2001, "protocol": "udp"}]'
	run -0 --separate-stderr pp converge iptables
	[ "$(opened)" = "udp 2001 other
tcp 2001 slug" ]
}

@test "ports that an app in doubt keeps are claimed, too, as are those of apps left out by --app" {
	two_apps
	store_put clusters/slug/demo/deploy_config '{'
	app other '["1200-1212"]'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"other: port 1212/tcp is claimed by both other and slug; its rules stay"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	app slug '[9]'
	run -1 --separate-stderr pp converge iptables --app=other
	[[ $stderr == *"other: port 1212/tcp is claimed by both"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	run -0 --separate-stderr pp converge iptables
	[ "$(opened)" = "tcp 1200-1212 other
tcp 9 slug" ]
}

@test "a port may go from one app to another in one pass; who keeps it by a conflict keeps it from a third" {
	two_apps
	app slug '[1313]'
	app other '[1212]'
	run -0 --separate-stderr pp converge iptables
	[ "$(opened)" = "tcp 1212 other
tcp 1313 slug" ]
	ruleset >"$BATS_TEST_TMPDIR/before"
	app slug '[5]'
	app other '[5]'
	app third '[1313]'
	held 1 "third: port 1313/tcp is claimed by both"
}

# --- settings

@test "pp.conf has a section for it: backend, mode, always_allow, chain" {
	app slug '[1212]'
	net_listen tcp:2222
	printf '[iptables]\nbackend = nft\nmode = enforce\nalways_allow = 2222,22\n' >"$PP_CONF"
	run -0 pp converge iptables
	on_node nft list chain inet pp input | grep -q 'policy drop'
	on_node nft list chain inet pp input | grep -q 'dport 2222 accept'
	on_node nft delete table inet pp
	printf '[iptables]\nchain = inet filter pp-apps\n' >"$PP_CONF"
	run -0 pp converge iptables
	on_node nft list chain inet filter pp-apps
	run ! on_node nft list table inet pp
	# A flag beats it, and so does the environment.
	run -0 env PP_CHAIN='ip f c' "$(type -P nsenter)" --net="/run/netns/$NODE" "$PP" converge iptables
	on_node nft list chain ip f c
	printf '[iptables]\nbackend = iptables\n' >"$PP_CONF"
	run -0 pp converge iptables
	on_node iptables -L PP-APPS >/dev/null
}

@test "wrong settings exit 78, say what to write, and change nothing" {
	local line

	app slug '[1212]'
	while read -r line; do
		printf '[iptables]\n%s\n' "$line" >"$PP_CONF"
		run -78 --separate-stderr pp converge iptables
		[[ $stderr == *"iptables: nothing was done: ${line%% *}"* || $stderr == *always-allow* ||
			$stderr == *"chain:"* ]] || fail "$line: $stderr"
		[ "$(ruleset)" = "" ] || fail "$line"
	done <<-'EOF'
		backend = ufw
		backend = nft iptables
		mode = drop
		mode = Enforce
		always_allow = 0
		always_allow = ssh
		always_allow = 22,
		always_allow = 22,65536
		always_allow = 22-25
		always_allow = 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33
		chain = pp-apps
		chain = filter pp-apps
		chain = arp filter pp-apps
		chain = inet filter pp-apps more
		chain = inet filter pp;apps
		chain = inet filter 9
		chain = inet filter -x
		chain = inet  pp-apps
	EOF
	: >"$PP_CONF"
	run -78 --separate-stderr pp converge iptables --backend=iptables --mode=enforce --yes
	[[ $stderr == *"only the nft backend can"* ]]
	run -78 --separate-stderr pp converge iptables --backend=port_authority --mode=enforce --yes
	run -78 --separate-stderr pp converge iptables --backend=iptables --chain='inet filter x'
	run -78 --separate-stderr pp converge iptables --mode=enforce --chain='inet filter x' --yes
	[[ $stderr == *"--mode=enforce needs pp's own table"* ]]
	run -78 --separate-stderr pp converge iptables --backend=ufw
	printf '[iptables]\nyes = yes\n' >"$PP_CONF"
	run -78 --separate-stderr pp converge iptables
	[ "$(ruleset)" = "" ]
}

# --- what it runs on

@test "without the right to, the error is clear and exits 77" {
	app slug '[1212]'
	local dir

	dir=$(mktemp -d /tmp/pp-nobody.XXXXXX) # which others can reach
	chmod 0711 "$dir"
	cp -r "$PP" "${PP_STORE#dir:}" "$dir"
	chmod -R a+rX "$dir"
	nobody() {
		on_node setpriv --reuid=65534 --regid=65534 --clear-groups env PP_STATE_DIR="$dir/state" \
			PP_CONF=/dev/null PP_STORE="dir:$dir/store" "$dir/pp" converge iptables -n "$@"
	}
	run --separate-stderr nobody --backend=nft
	[ "$status" -eq 77 ] || fail "$status $stderr"
	[[ $stderr == *"nft -j list table inet pp: "*"Operation not permitted"* ]] || fail "$stderr"
	run --separate-stderr nobody --backend=iptables
	[ "$status" -eq 77 ] || fail "$status $stderr"
	[[ $stderr == *"ermission denied"* ]] || fail "$stderr"
	rm -rf "$dir"
}

@test "where nft is not installed the error is clear" {
	app slug '[1212]'
	without() {
		# shellcheck disable=SC2016
		on_node unshare --mount sh -c 'mount -t tmpfs none /usr/sbin && exec "$0" "$@"' \
			"$PP" converge iptables "$@"
	}
	run -1 --separate-stderr without
	[[ $stderr == *"iptables: nothing was done: is it installed, and on PATH: run nft: No such file or directory"* ]]
	run -1 --separate-stderr without --backend=iptables
	[[ $stderr == *"run iptables-save: No such file or directory"* ]]
}

@test "an nft that answers nonsense, warns, or fails, changes nothing or does no harm" {
	two_apps
	fake nft <<<'echo "{\"nftables\": 7}"'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"its answer is not what it should be"* ]]
	unfake
	fake nft <<<'echo "[[["'
	run -1 --separate-stderr pp converge iptables
	unfake
	fake nft <<<'exit 0'
	run -1 --separate-stderr pp converge iptables
	unfake
	fake nft <<<'echo "Error: cannot open shared object"; exit 1'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"nft -j list table inet pp: Error: cannot open shared object"* ]]
	unfake
	fake nft <<<'echo "# Warning: managed by iptables-nft" >&2; exec $REAL "$@"'
	run -0 --separate-stderr pp converge iptables
	expect_silence
	unfake
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

@test "a pass that is killed at any moment leaves the old rules or the new ones, and the next one is done" {
	local when

	two_apps
	need strace
	for when in write rename; do
		app slug '[2000]'
		on_node strace -f -qq -o /dev/null --inject="$when:signal=KILL:when=1+" \
			"$PP" converge iptables >/dev/null 2>&1 || :
		run -0 --separate-stderr pp converge iptables
		[ "$(opened | grep slug)" = "tcp 2000 slug" ]
		app slug '[1212, {"port": 1214, "from": ["10.0.0.0/8"]}]'
		run -0 --separate-stderr pp converge iptables
		same_ruleset "$BATS_TEST_TMPDIR/before"
	done
}

# --- status

@test "pp status shows what is open and what came through, and never writes" {
	two_apps
	net_listen tcp:1212
	expect_reach tcp4:1212=open
	snapshot "$PP_STATE_DIR" >"$BATS_TEST_TMPDIR/state.before"
	spy nft
	run -0 --separate-stderr pp status slug
	[[ $output == *"slug: open 1212/tcp, "[1-9]*" packets"* ]]
	[[ $output == *"slug: open 1214/tcp from 10.0.0.0/8, 0 packets"* ]]
	[[ $output != *1313* ]]
	[ "$(grep -c . "$SPY")" -eq 1 ]
	pp status --format=json slug | jq -e '.apps[0].ports == [.apps[0].ports[0], {"port": "1214",
		"protocol": "tcp", "from": "10.0.0.0/8", "packets": 0, "bytes": 0}] and
		.apps[0].ports[0].packets > 0 and .apps[0].agents.iptables.state == "converged"'
	on_node nft delete element inet pp tcp_ports '{ 1212 }'
	ruleset >"$BATS_TEST_TMPDIR/edited"
	pp status --format=json slug |
		jq -e '.apps[0].agents.iptables == {"state": "pending", "reason": "drift: its rules were changed by hand"}'
	same_ruleset "$BATS_TEST_TMPDIR/edited"
	diff "$BATS_TEST_TMPDIR/state.before" <(snapshot "$PP_STATE_DIR")
}
