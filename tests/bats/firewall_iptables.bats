# The firewall by iptables and ip6tables: packets, drift, counters, and what is not pp's.

load helper
load node
load net

setup() {
	helper_setup
	net_up
	need iptables ip6tables iptables-save iptables-restore
	export PP_BACKEND=iptables
}

teardown() {
	net_down
}

both() {
	on_node iptables "$@"
	on_node ip6tables "$@"
}

# A host's own rules, which drop what they do not know.
host_rules() {
	local program

	for program in iptables ip6tables; do
		on_node "$program-restore" <<-'EOF'
			*nat
			:PREROUTING ACCEPT [0:0]
			-A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80
			COMMIT
			*filter
			:INPUT DROP [0:0]
			:FORWARD DROP [0:0]
			:OUTPUT ACCEPT [0:0]
			:HOST - [0:0]
			-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			-A INPUT -i lo -j ACCEPT
			-A INPUT -j HOST
			-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "for the operators" -j ACCEPT
			-A HOST -p tcp -m tcp --dport 99 -j DROP
			COMMIT
		EOF
	done
	both -A HOST -p ipv6-icmp -j ACCEPT
}

# Print both families' rules without comments, and counters only with -c.
rules() {
	local program

	for program in iptables-save ip6tables-save; do
		on_node "$program" ${1:+"$1"} | if [ -n "${1-}" ]; then grep -v '^#'; else
			grep -v '^#' | sed 's/ \[[0-9:]*\]$//'
		fi
	done
}

# With counters, but for what a host says by itself, which is ICMPv6.
counted_rules() {
	sleep 0.3
	rules -c | sed -E 's/^(:OUTPUT .*)\[.*/\1/; /ipv6-icmp/s/^\[[0-9:]*\]//'
}

same_rules() {
	diff "$1" <(rules) >&2
}

slug_and_dns() {
	app slug '[1212, {"port": 53, "protocol": "udp"}, "8000-8010"]'
	app dns '[{"port": 54, "protocol": "udp", "from": ["10.77.0.3/32", "fd77::3"]},
		{"port": "5400-5402", "from": ["10.77.0.2", "fd77::2"]}]'
	net_listen tcp:22 tcp:1212 udp:53 tcp:53 tcp:7999 tcp:8000 tcp:8005 tcp:8010 tcp:8011 udp:54 \
		udp:1212 tcp:5400 tcp:5402 tcp:5403
}

expect_slug_and_dns() {
	expect_reach tcp4:1212=open tcp6:1212=open udp4:1212=closed udp6:1212=closed \
		udp4:53=open udp6:53=open tcp4:53=closed tcp6:53=closed \
		tcp4:7999=closed tcp4:8000=open tcp6:8005=open tcp4:8010=open tcp6:8011=closed \
		udp4:54@10.77.0.3=open udp4:54@10.77.0.2=closed \
		udp6:54@fd77::3=open udp6:54@fd77::2=closed \
		tcp4:5400@10.77.0.2=open tcp6:5402@fd77::2=open tcp4:5403@10.77.0.2=closed \
		tcp4:5400@10.77.0.3=closed tcp6:5402@fd77::3=closed "$@"
}

@test "what apps ask for is open through a host's own rules that drop the rest" {
	host_rules
	slug_and_dns
	expect_reach tcp4:1212=closed tcp6:1212=closed tcp4:22=open
	pp converge iptables
	expect_slug_and_dns tcp4:22=open tcp6:22=open
	run -0 --separate-stderr pp converge iptables
	expect_silence
}

@test "other chains and rules stay as they are, byte for byte, and the jump is there once" {
	local i

	host_rules
	net_listen tcp:22
	expect_reach tcp4:22=open
	counted_rules >"$BATS_TEST_TMPDIR/before"
	for i in 1 2 3; do
		app slug "[1212, 131$i]"
		pp converge iptables
		[ "$(rules | grep -c -- '-A INPUT -j PP-APPS')" -eq 2 ]
	done
	diff "$BATS_TEST_TMPDIR/before" <(counted_rules | grep -v PP-APPS)
	[ "$(rules | grep -A1 -- '^-A INPUT' | head -n1)" = "-A INPUT -j PP-APPS" ]
	# Wherever an operator moves the jump to, there it stays.
	both -A INPUT -j PP-APPS
	both -D INPUT -j PP-APPS
	rules >"$BATS_TEST_TMPDIR/before"
	run -0 --separate-stderr pp converge iptables
	expect_silence
	app slug '[1212, 1313]'
	pp converge iptables
	same_rules "$BATS_TEST_TMPDIR/before"
}

@test "a transfer under way lives through reloads, and through the closing of its port" {
	host_rules
	app slug '[1212]'
	net_listen drip:1212:40
	pp converge iptables
	spawn drip nsenter --net="/run/netns/$CLIENT" perl -MSocket -MIO::Handle -e \
		'socket(my $s, PF_INET, SOCK_STREAM, 0) or die; connect($s, sockaddr_in(1212,
		inet_aton("10.77.0.1"))) or die; open my $f, ">", $ARGV[0]; $f->autoflush;
		print $f $_ while <$s>; print $f "end\n"' "$BATS_TEST_TMPDIR/drip"
	wait_until test -s "$BATS_TEST_TMPDIR/drip"
	app slug '[1212, 1313]'
	pp converge iptables
	both -F PP-APPS
	pp converge iptables
	app slug '[1414]'
	pp converge iptables
	expect_reach tcp4:1212=closed
	run ! grep end "$BATS_TEST_TMPDIR/drip"
	wait_until grep -q end "$BATS_TEST_TMPDIR/drip"
	[ "$(head -n -1 "$BATS_TEST_TMPDIR/drip")" = "$(seq 40)" ]
}

@test "packets of both families are counted, and each family's go on through a rewrite" {
	local four six

	host_rules
	slug_and_dns
	pp converge iptables
	expect_reach tcp4:1212=open udp6:54@fd77::3=open
	expect_reach tcp6:1212=open
	expect_reach tcp6:1212=open
	# The last packets of a connection come after its last byte.
	sleep 0.3
	four=$(on_node iptables-save -c | sed -n 's/^\[\([0-9]*\):.*PP-APPS.*--dport 1212 .*/\1/p')
	six=$(on_node ip6tables-save -c | sed -n 's/^\[\([0-9]*\):.*PP-APPS.*--dport 1212 .*/\1/p')
	[ "$four" -gt 0 ]
	[ "$six" -gt "$four" ]
	[ "$(counted slug 1212)" -eq $((four + six)) ]
	[ "$(counted dns 54 fd77::3)" -gt 0 ]
	run -0 --separate-stderr pp converge iptables
	expect_silence
	app other '[99]'
	spy ip6tables-restore
	pp converge iptables
	[ "$(on_node iptables-save -c | grep -c "^\[$four:.*--dport 1212 ")" -eq 1 ]
	# Some versions of ip6tables-restore lose the counters that they are given.
	[ "$(grep -c "^\[$six:[0-9]*\] -A PP-APPS .*--dport 1212 " "$SPY.ip6tables-restore")" -eq 1 ]
	[ "$(counted slug 1212)" -ge "$four" ]
}

# drift WORDS CMD...: do that by hand; the next pass says WORDS and mends it, the one after is silent.
drift() {
	local words=$1

	shift
	"$@"
	run -0 --separate-stderr pp converge iptables
	[[ $(said) == *"WARN $words"* ]] || fail "after $*: $(said)"
	same_rules "$BATS_TEST_TMPDIR/whole" || fail "after $*: not mended"
	run -0 --separate-stderr pp converge iptables
	expect_silence
}

# A reboot takes all, and the host's own rules come back at boot.
reboot() {
	local program

	for program in iptables ip6tables; do
		on_node "$program" -F
		on_node "$program" -X
	done
	host_rules
}

@test "whatever is changed by hand in pp's chain is found, mended and called drift" {
	local R=(-p tcp -m tcp --dport 1212 -m comment --comment slug -j ACCEPT)

	host_rules
	slug_and_dns
	pp converge iptables
	rules >"$BATS_TEST_TMPDIR/whole"
	drift "drift: it is gone, by a reboot or by hand" reboot
	drift "slug: drift: its rules" both -F PP-APPS
	drift "slug: drift: its rules" on_node iptables -F PP-APPS
	drift "dns: drift: its rules" on_node ip6tables -F PP-APPS
	drift "slug: drift: its rules" on_node iptables -D PP-APPS "${R[@]}"
	drift "slug: drift: its rules" on_node ip6tables -D PP-APPS "${R[@]}"
	drift "drift: chain PP-APPS has a rule" on_node ip6tables -A PP-APPS "${R[@]}"
	drift "slug: drift: its rules" both -A PP-APPS "${R[@]/1212/99}"
	drift "foo: drift: its rules" both -A PP-APPS "${R[@]/slug/foo}"
	drift "drift: chain PP-APPS has a rule" on_node iptables -A PP-APPS -p tcp --dport 99 -j ACCEPT
	drift "drift: chain PP-APPS has a rule" on_node ip6tables -I PP-APPS -j DROP
	drift "drift: chain PP-APPS is jumped to 0 times" on_node iptables -D INPUT -j PP-APPS
	drift "drift: chain PP-APPS is jumped to 3 times" \
		on_node ip6tables-restore --noflush <<<$'*filter\n-A INPUT -j PP-APPS\n-A INPUT -j PP-APPS\nCOMMIT'
}

@test "a change of intent is no drift; an app that is gone loses its ports" {
	app slug '[1212]'
	app dns '[1213]'
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO dns: allowing tcp:1213" "INFO slug: allowing tcp:1212" \
		"INFO applying the iptables rules"
	app slug '[1212, {"port": 1, "from": ["10.0.0.0/8"]}]'
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO slug: allowing tcp:1212" "INFO slug: allowing tcp:1" \
		"INFO applying the iptables rules"
	gone dns
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO dns: closing its ports" "INFO applying the iptables rules"
	[ "$(opened)" = "tcp 1 10.0.0.0/8 slug
tcp 1212 slug" ]
	gone slug
	run -0 --separate-stderr pp converge iptables --allow-empty
	[ "$(rules | grep -c -- '-A PP-APPS')" -eq 0 ]
	run -0 --separate-stderr pp converge iptables
	expect_silence
}

@test "networks that hold all of a family, ports at the ends, long names: they come to rest" {
	local long

	long=$(printf 'n%.0s' {1..128})
	app a.b-c '[{"port": 1, "from": ["0.0.0.0/0", "::/0"]}, {"port": 2, "from": ["0.0.0.0/0", "10.0.0.0/8"]},
		{"port": 3, "from": ["10.1.2.3/8", "fd77:0::1/64", "::ffff:1.2.3.4"]},
		{"port": 4, "from": ["::/0"]}, 65535, "5-9"]'
	app "$long" '["10-65534"]'
	pp converge iptables
	run -0 --separate-stderr pp converge iptables
	expect_silence
	[ "$(opened)" = "tcp 1 a.b-c
tcp 2 0.0.0.0/0 a.b-c
tcp 3 10.0.0.0/8 a.b-c
tcp 3 ::ffff:1.2.3.4 a.b-c
tcp 3 fd77::/64 a.b-c
tcp 4 ::/0 a.b-c
tcp 5-9 a.b-c
tcp 65535 a.b-c
tcp 10-65534 $long" ]
}

@test "what iptables-restore refuses leaves the old rules, in its own words, and is tried again" {
	host_rules
	app slug '[1212]'
	pp converge iptables
	rules >"$BATS_TEST_TMPDIR/before"
	app slug '[1313]'
	fake iptables-restore <<-'EOF'
		sed 's/--dport 1313/--dport nonsense/' | exec $REAL "$@"
	EOF
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"FATAL"*"iptables-restore refused the rules, the old ones stay: "*"nonsense"* ]]
	same_rules "$BATS_TEST_TMPDIR/before"
	unfake
	fake ip6tables-restore <<<'echo "not today"; exit 3'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"IPv4 has the new rules, IPv6 the old ones: ip6tables-restore refused"*"not today"* ]]
	unfake
	run -0 --separate-stderr pp converge iptables
	[ "$(rules | grep -c -- '--dport 1313')" -eq 2 ]
}

@test "--dry-run prints what is fed to both programs, and changes nothing" {
	host_rules
	slug_and_dns
	rules >"$BATS_TEST_TMPDIR/before"
	run -0 --separate-stderr pp converge iptables --dry-run
	same_rules "$BATS_TEST_TMPDIR/before"
	spy iptables-restore ip6tables-restore
	pp converge iptables
	diff <(grep -v '^iptables ' <<<"$output") <(echo "# iptables-restore"; cat "$SPY.iptables-restore"
		echo "# ip6tables-restore"; cat "$SPY.ip6tables-restore")
}

@test "--app: no other app's rules are touched" {
	slug_and_dns
	pp converge iptables
	app slug '[1]'
	app dns '[2]'
	pp converge iptables --app=slug
	[ "$(opened | grep -c dns)" -eq 4 ]
	[ "$(opened | grep slug)" = "tcp 1 slug" ]
}

@test "1,000 apps with 5 ports each: one transaction a family, none where nothing is to do" {
	host_rules
	many 1000 5
	net_listen tcp:10000 tcp:14999 tcp:15000
	spy iptables-save ip6tables-save iptables-restore ip6tables-restore
	pp converge iptables >"$BATS_TEST_TMPDIR/out" 2>&1
	[ "$(sed 's/ .*//' "$SPY")" = "iptables-save
ip6tables-save
iptables-restore
ip6tables-restore" ]
	expect_reach tcp4:10000=open tcp6:14999=open tcp4:15000=closed
	: >"$SPY"
	run -0 --separate-stderr pp converge iptables
	expect_silence
	[ "$(sed 's/ .*//' "$SPY")" = "iptables-save
ip6tables-save" ]
}
