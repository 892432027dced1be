# The firewall by nft: packets through all modes, drift, counters, refusals.

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

OWN='table inet pp'

nft() {
	on_node nft "$@"
}

# A host with a ruleset of its own that drops what it does not know.
host_ruleset() {
	on_node nft -f - <<-'EOF'
		table inet filter {
			chain pp-apps {
			}
			chain input {
				type filter hook input priority filter; policy drop;
				ct state established,related accept
				iif "lo" accept
				meta l4proto { icmp, ipv6-icmp } accept
				tcp dport 22 counter accept comment "operators"
				jump pp-apps
			}
			chain forward {
				type filter hook forward priority filter; policy drop;
			}
		}
		table ip nat {
			chain prerouting {
				type nat hook prerouting priority dstnat; policy accept;
				tcp dport 8080 redirect to :80
			}
		}
	EOF
}

slug_and_dns() {
	app slug '[1212, {"port": 53, "protocol": "udp"}, "8000-8010"]'
	app dns '[{"port": 54, "protocol": "udp", "from": ["10.77.0.3/32", "fd77::3"]},
		{"port": "5400-5402", "from": ["10.77.0.2", "fd77::2"]}]'
	net_listen tcp:22 tcp:1212 udp:53 tcp:53 tcp:7999 tcp:8000 tcp:8005 tcp:8010 tcp:8011 udp:54 \
		udp:1212 tcp:5400 tcp:5402 tcp:5403
}

# What is open to whom when slug_and_dns is in force and all else is dropped.
expect_slug_and_dns() {
	expect_reach tcp4:1212=open tcp6:1212=open udp4:1212=closed udp6:1212=closed \
		udp4:53=open udp6:53=open tcp4:53=closed tcp6:53=closed \
		tcp4:7999=closed tcp4:8000=open tcp6:8005=open tcp4:8010=open tcp6:8011=closed \
		udp4:54@10.77.0.3=open udp4:54@10.77.0.2=closed \
		udp6:54@fd77::3=open udp6:54@fd77::2=closed \
		tcp4:5400@10.77.0.2=open tcp6:5402@fd77::2=open tcp4:5403@10.77.0.2=closed \
		tcp4:5400@10.77.0.3=closed tcp6:5402@fd77::3=closed "$@"
}

# --- packets

@test "enforce: what apps ask for is open to whom they ask for it, and all else is closed" {
	slug_and_dns
	pp converge iptables --mode=enforce
	expect_slug_and_dns tcp4:22=open tcp6:22=open
	# What is needed to be reached at all.
	on_client busybox ping -c1 -W1 10.77.0.1 >/dev/null
	on_client busybox ping6 -c1 -W1 fd77::1 >/dev/null
	on_node perl -MSocket -e 'alarm 2; socket(my $s, PF_INET, SOCK_STREAM, 0); connect($s,
		sockaddr_in(8011, INADDR_LOOPBACK)) or die'
	# And this host may still ask others.
	on_node busybox ping -c1 -W1 10.77.0.2 >/dev/null
}

@test "enforce: neighbour discovery works from nothing" {
	app slug '[1212]'
	net_listen tcp:1212 tcp:22
	pp converge iptables --mode=enforce
	ip -n "$CLIENT" neighbour flush all
	ip -n "$NODE" neighbour flush all
	expect_reach tcp6:1212=open tcp4:1212=open
}

@test "enforce: --always-allow takes the place of 22" {
	app slug '[1212]'
	net_listen tcp:1212 tcp:22 tcp:2222 tcp:2200
	pp converge iptables --mode=enforce --always-allow=2222,2200
	expect_reach tcp4:22=closed tcp6:2222=open tcp4:2200=open tcp4:1212=open
}

@test "--chain: the apps' ports are open through a host's own ruleset that drops the rest" {
	host_ruleset
	slug_and_dns
	ruleset >"$BATS_TEST_TMPDIR/before"
	expect_reach tcp4:1212=closed tcp4:22=open
	pp converge iptables --chain='inet filter pp-apps'
	expect_slug_and_dns tcp4:22=open
	run ! same_ruleset "$BATS_TEST_TMPDIR/before"
	# Pp's chain and sets aside, nothing is different.
	nft flush chain inet filter pp-apps
	nft delete set inet filter pp-apps-tcp
	nft delete set inet filter pp-apps-udp
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

@test "--chain: it is made when it is missing, in a table that may be missing too" {
	app slug '[1212, {"port": 1313, "from": ["10.77.0.0/24"]}]'
	pp converge iptables --chain='inet other pp-apps'
	[ "$(nft list chain inet other pp-apps | grep -c accept)" -eq 3 ]
	run -0 --separate-stderr pp converge iptables --chain='inet other pp-apps'
	expect_silence
	run ! nft list table inet pp
}

@test "--chain in a table of one family lets in that family, and refuses a network of the other" {
	nft 'add table ip filter; add chain ip filter pp-apps'
	nft 'add chain ip filter input { type filter hook input priority 0; policy drop; }'
	nft add rule ip filter input jump pp-apps
	app slug '[1212, {"port": 1313, "from": ["10.77.0.2"]}]'
	app six '[{"port": 1414, "from": ["fd77::/64"]}]'
	net_listen tcp:1212 tcp:1313 tcp:1414
	run -1 --separate-stderr pp converge iptables --chain='ip filter pp-apps'
	[[ $stderr == *"six: ports: a chain of family ip cannot tell who comes from fd77::/64"* ]]
	expect_reach tcp4:1212=open tcp4:1313@10.77.0.2=open tcp4:1313@10.77.0.3=closed tcp4:1414=closed
}

@test "--chain: neither a base chain nor one with somebody's own rules is emptied" {
	host_ruleset
	nft add rule inet filter pp-apps tcp dport 99 accept
	ruleset >"$BATS_TEST_TMPDIR/before"
	app slug '[1212]'
	run -78 --separate-stderr pp converge iptables --chain='inet filter input'
	[[ $stderr == *"base chain"* ]]
	run -1 --separate-stderr pp converge iptables --chain='inet filter pp-apps'
	[[ $stderr == *"has rules that pp did not write"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

@test "allow: pp counts and accepts, and drops nothing" {
	app slug '[1212, {"port": 53, "protocol": "udp"}]'
	net_listen tcp:1212 udp:53 tcp:1313
	pp converge iptables
	nft list chain inet pp input | grep -q 'policy accept'
	expect_reach tcp4:1212=open tcp6:1212=open udp6:53=open tcp4:1313=open
	[ "$(counted slug 1212)" -gt 0 ]
	[ "$(counted slug 53)" -gt 0 ]
}

@test "allow: what a host's own table drops stays dropped, and what it accepts accepted" {
	host_ruleset
	nft add rule inet filter input tcp dport 1212 accept
	ruleset >"$BATS_TEST_TMPDIR/before"
	app slug '[1212, 1313]'
	net_listen tcp:1212 tcp:1313
	pp converge iptables
	expect_reach tcp4:1212=open tcp6:1212=open tcp4:1313=closed
	nft delete table inet pp
	same_ruleset "$BATS_TEST_TMPDIR/before"
}

@test "the ends of what a port can be: 1, 65535, a range of all" {
	app one '[1, 65535]'
	app all '[{"port": "2-65534", "from": ["0.0.0.0/0"]}]'
	net_listen tcp:22 tcp:1 tcp:65535 tcp:65534 tcp:2
	pp converge iptables --mode=enforce
	expect_reach tcp4:1=open tcp6:65535=open tcp4:2=open tcp4:65534=open tcp6:2=closed
	run -0 --separate-stderr pp converge iptables --mode=enforce
	expect_silence
}

@test "networks that hold all of a family, or each other, come to rest" {
	app a '[{"port": 1, "from": ["0.0.0.0/0", "::/0"]}, {"port": 2, "from": ["0.0.0.0/0", "10.0.0.0/8"]},
		{"port": 3, "from": ["10.1.2.3/8", "10.0.0.0/8", "fd77:0::1/64", "::ffff:1.2.3.4"]},
		{"port": 4, "from": ["::/0"]}, 5, {"port": 5, "from": ["10.0.0.1"]}]'
	pp converge iptables
	[ "$(opened)" = "tcp 1 a
tcp 2 0.0.0.0/0 a
tcp 3 10.0.0.0/8 a
tcp 3 ::ffff:1.2.3.4 a
tcp 3 fd77::/64 a
tcp 4 ::/0 a
tcp 5 a" ]
	run -0 --separate-stderr pp converge iptables
	expect_silence
}

@test "an app's name may have 128 characters, dots and dashes" {
	local long dotted=a.b-c_d.9

	long=$(printf 'n%.0s' {1..128})
	app "$long" '[1212, {"port": 1213, "from": ["10.0.0.0/8"]}]'
	app "$dotted" '[{"port": 1214, "from": ["10.0.0.0/8"]}, 1215]'
	pp converge iptables
	run -0 --separate-stderr pp converge iptables
	expect_silence
	[ "$(opened)" = "tcp 1214 10.0.0.0/8 $dotted
tcp 1215 $dotted
tcp 1212 $long
tcp 1213 10.0.0.0/8 $long" ]
}

@test "each rule bears its app's name" {
	slug_and_dns
	pp converge iptables
	[ "$(nft list table inet pp | grep -o 'comment "slug"' | wc -l)" -eq 3 ]
	[ "$(nft list table inet pp | grep -o 'comment "dns"' | wc -l)" -eq 4 ]
	# What is open to everybody takes no rule a port.
	[ "$(nft list chain inet pp apps | grep -c accept)" -eq 6 ]
}

# --- a transfer under way

# drip_start: begin a transfer of 60 lines, 3 s, from port 1212.
drip_start() {
	spawn drip nsenter --net="/run/netns/$CLIENT" perl -MSocket -e \
		'socket(my $s, PF_INET, SOCK_STREAM, 0) or die; connect($s, sockaddr_in(1212,
		inet_aton("10.77.0.1"))) or die; open my $f, ">", $ARGV[0]; $f->autoflush;
		use IO::Handle; print $f $_ while <$s>; print $f "end\n"' "$BATS_TEST_TMPDIR/drip"
	wait_until test -s "$BATS_TEST_TMPDIR/drip"
}

drip_ended_whole() {
	wait_until grep -q end "$BATS_TEST_TMPDIR/drip"
	[ "$(head -n -1 "$BATS_TEST_TMPDIR/drip")" = "$(seq 60)" ]
}

@test "a transfer under way lives through reloads, and through the closing of its port" {
	local i

	app slug '[1212]'
	net_listen tcp:22 drip:1212:60 tcp:1313
	pp converge iptables --mode=enforce
	drip_start
	for i in 1 2 3 4 5; do
		app other "[$((2000 + i))]"
		pp converge iptables --mode=enforce
	done
	nft flush table inet pp
	pp converge iptables --mode=enforce
	app slug '[1313]'
	pp converge iptables --mode=enforce
	expect_reach tcp4:1212=closed tcp4:1313=open
	run ! grep end "$BATS_TEST_TMPDIR/drip"
	drip_ended_whole
}

@test "a transfer under way lives through reloads of a chain in a host's own ruleset" {
	local i

	host_ruleset
	app slug '[1212]'
	net_listen drip:1212:60
	pp converge iptables --chain='inet filter pp-apps'
	drip_start
	for i in 1 2 3 4 5; do
		app slug "[1212, $((2000 + i))]"
		pp converge iptables --chain='inet filter pp-apps'
	done
	run ! grep end "$BATS_TEST_TMPDIR/drip"
	drip_ended_whole
}

# --- counters

@test "packets are counted a port, shown by pp status, and go on through a rewrite" {
	local n m

	slug_and_dns
	pp converge iptables --mode=enforce
	expect_reach tcp4:1212=open udp4:54@10.77.0.3=open udp6:54@fd77::3=open
	n=$(counted slug 1212 '' --mode=enforce)
	m=$(counted dns 54 fd77::3 --mode=enforce)
	[ "$n" -gt 0 ]
	[ "$m" -gt 0 ]
	run -0 pp status slug --mode=enforce
	[[ $output == *"slug: open 1212/tcp, $n packets"* ]]
	[[ $output == *"slug: open 53/udp, 0 packets"* ]]
	[[ $output == *"slug: open 8000-8010/tcp, 0 packets"* ]]
	run -0 pp status dns --mode=enforce
	[[ $output == *"dns: open 54/udp from fd77::3, $m packets"* ]]
	# A counter that moved is not drift.
	run -0 --separate-stderr pp converge iptables --mode=enforce
	expect_silence
	app other '[99]'
	pp converge iptables --mode=enforce
	[ "$(counted slug 1212 '' --mode=enforce)" -eq "$n" ]
	[ "$(counted dns 54 fd77::3 --mode=enforce)" -eq "$m" ]
	pp converge iptables --mode=allow
	[ "$(counted slug 1212 '' --mode=allow)" -eq "$n" ]
}

# --- drift

@test "a flush by hand is mended in one transaction and called drift" {
	slug_and_dns
	pp converge iptables --mode=enforce
	ruleset >"$BATS_TEST_TMPDIR/whole"
	nft flush table inet pp
	# Nothing can come in, but the next pass mends that.
	expect_reach tcp4:1212=closed
	spy nft
	run -0 --separate-stderr pp converge iptables --mode=enforce
	[[ $stderr == *"WARN "*"drift: rules of pp's are missing"* ]]
	[ "$(cat "$SPY")" = "nft -j list table inet pp
nft -f -" ]
	same_ruleset "$BATS_TEST_TMPDIR/whole"
	expect_slug_and_dns
}

# drift WORDS CMD...: do that by hand; the next pass says WORDS and mends it, the one after is silent.
drift() {
	local words=$1

	shift
	"$@"
	run -0 --separate-stderr pp converge iptables "${HOW[@]}"
	[[ $(said) == *"WARN $words"* ]] || fail "after $*: $(said)"
	same_ruleset "$BATS_TEST_TMPDIR/whole" || fail "after $*: not mended"
	run -0 --separate-stderr pp converge iptables "${HOW[@]}"
	expect_silence
}

@test "whatever is changed by hand in pp's table is found, mended and called drift" {
	local changed='*drift: its rules were changed by hand' handle

	HOW=(--mode=enforce)
	slug_and_dns
	pp converge iptables --mode=enforce
	ruleset >"$BATS_TEST_TMPDIR/whole"
	drift "drift: it is gone, by a reboot or by hand" nft delete table inet pp
	drift "drift: it is gone, by a reboot or by hand" nft flush ruleset
	drift "slug: drift: its rules" nft delete element inet pp tcp_ports '{ 1212 }'
	drift "slug: drift: its rules" nft add element inet pp tcp_ports '{ 99 counter comment "slug" }'
	drift "slug: drift: its rules" nft flush set inet pp udp_ports
	drift "drift: set tcp_ports has an element" nft add element inet pp tcp_ports '{ 99 }'
	drift "foo: drift: its rules" nft add element inet pp tcp_ports '{ 99 comment "foo" }'
	drift "drift: chain apps has a rule" nft add rule inet pp apps tcp dport 99 accept
	drift "drift: chain apps has a rule" nft insert rule inet pp apps drop
	drift "dns: drift: its rules" nft add rule inet pp apps ip saddr 10.9.9.9 tcp dport 99 counter accept \
		comment '"dns"'
	handle=$(nft -a list chain inet pp apps | sed -n 's/.*10.77.0.3.*handle //p')
	drift "dns: drift: its rules" nft delete rule inet pp apps handle "$handle"
	handle=$(nft -a list chain inet pp apps | sed -n 's/.*10.77.0.3.*handle //p')
	drift "drift: chain apps has a rule" nft replace rule inet pp apps handle "$handle" \
		ip saddr 10.77.0.3 udp dport 54 counter drop comment '"dns"'
	handle=$(nft -a list chain inet pp apps | sed -n 's/.*10.77.0.3.*handle //p')
	drift "drift: chain apps has a rule" nft replace rule inet pp apps handle "$handle" \
		ip saddr 10.77.0.3 udp dport 54 counter accept
	drift "drift: a rule is there twice" nft add rule inet pp apps ip saddr 10.77.0.3 udp dport 54 \
		counter accept comment '"dns"'
	handle=$(nft -a list chain inet pp apps | sed -n 's/.*tcp dport @tcp_ports.*handle //p')
	drift "drift: chain apps has a rule" nft delete rule inet pp apps handle "$handle"
	drift "drift: the base chain has policy accept" nft chain inet pp input '{ policy accept; }'
	drift "drift: the rules of the base chain" nft insert rule inet pp input tcp dport 99 drop
	drift "drift: the rules of the base chain" nft add rule inet pp input accept
	drift "drift: rules of pp's are missing" nft flush chain inet pp input
	drift "drift: table inet pp has a chain mine" nft add chain inet pp mine
	drift "drift: table inet pp has a set mine" nft add set inet pp mine '{ type ipv4_addr; }'
	drift "drift: table inet pp holds something" nft add counter inet pp mine
	drift "drift: table inet pp was changed" nft add table inet pp '{ flags dormant; }'
}

@test "each rule of the base chain is missed when it is gone" {
	local i handle

	HOW=(--mode=enforce "--always-allow=22,2222")
	app slug '[1212]'
	net_listen tcp:22
	pp converge iptables "${HOW[@]}"
	ruleset >"$BATS_TEST_TMPDIR/whole"
	for i in 1 2 3 4 5 6 7 8; do
		handle=$(nft -a list chain inet pp input | grep -v hook | grep -E 'accept|jump|counter' |
			sed -n "${i}s/.*handle //p")
		drift "drift: " nft delete rule inet pp input handle "$handle"
		handle=$(nft -a list chain inet pp input | grep -v hook | grep -E 'accept|jump|counter' |
			sed -n "${i}s/.*handle //p")
		drift "drift: " nft replace rule inet pp input handle "$handle" tcp dport 9 accept
	done
}

@test "whatever is changed by hand in a chain of pp's is found, mended and called drift" {
	HOW=(--chain='inet filter pp-apps')
	host_ruleset
	slug_and_dns
	pp converge iptables "${HOW[@]}"
	ruleset >"$BATS_TEST_TMPDIR/whole"
	drift "drift: rules of pp's are missing" nft flush chain inet filter pp-apps
	drift "slug: drift: its rules" nft delete element inet filter pp-apps-tcp '{ 1212 }'
	drift "drift: chain pp-apps has a rule" nft add rule inet filter pp-apps accept
	nft flush chain inet filter pp-apps
	drift "drift: a set or a chain of pp's is missing" nft delete set inet filter pp-apps-udp
	# Where what is pp's own was taken away whole, but a stranger's rule stands there.
	nft flush chain inet filter pp-apps
	nft delete set inet filter pp-apps-tcp
	nft delete set inet filter pp-apps-udp
	drift "dns: drift: " nft add rule inet filter pp-apps tcp dport 99 accept
}

@test "a change of intent is no drift, nor is one of mode" {
	app slug '[1212]'
	net_listen tcp:22 tcp:2222
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO slug: allowing tcp:1212" "INFO applying the nftables ruleset"
	app slug '[1212, 1313]'
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO slug: allowing tcp:1212" "INFO slug: allowing tcp:1313" \
		"INFO applying the nftables ruleset"
	app slug '[]'
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO applying the nftables ruleset"
	app slug '[1414]'
	run -0 --separate-stderr pp converge iptables --mode=enforce
	expect_said "INFO slug: allowing tcp:1414" "INFO applying the nftables ruleset"
	run -0 --separate-stderr pp converge iptables --mode=enforce --always-allow=22,2222
	expect_said "INFO applying the nftables ruleset"
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO applying the nftables ruleset"
	gone slug
	run -0 --separate-stderr pp converge iptables --allow-empty
	expect_said "INFO slug: closing its ports" "INFO applying the nftables ruleset"
	run -0 --separate-stderr pp converge iptables
	expect_silence
}

@test "open ports survive a switch of mode, back and forth" {
	local i before

	slug_and_dns
	pp converge iptables
	before=$(opened)
	[ "$(wc -l <<<"$before")" -eq 7 ]
	for i in 1 2; do
		pp converge iptables --mode=enforce
		[ "$(opened --mode=enforce)" = "$before" ]
		expect_reach tcp4:1212=open tcp4:8011=closed
		pp converge iptables --mode=allow
		[ "$(opened)" = "$before" ]
	done
}

@test "what an operator edits for an app that this run is not about is still called drift later" {
	app slug '[1212]'
	app other '[1313, 1315]'
	pp converge iptables
	nft delete element inet pp tcp_ports '{ 1313 }'
	app slug '[1414]'
	run -0 --separate-stderr pp converge iptables --app=slug
	expect_said "INFO slug: allowing tcp:1414" "INFO applying the nftables ruleset"
	[ "$(opened)" = "tcp 1315 other
tcp 1414 slug" ]
	run -0 --separate-stderr pp converge iptables
	expect_said "WARN other: drift: its rules were changed by hand" "INFO other: allowing tcp:1313" \
		"INFO other: allowing tcp:1315" "INFO applying the nftables ruleset"
	nft add element inet pp tcp_ports '{ 99 counter comment "other" }'
	app slug '[1212]'
	pp converge iptables --app=slug
	run -0 --separate-stderr pp converge iptables
	[[ $(said) == "WARN other: drift"* ]]
}

@test "without what pp remembers it is only more careful" {
	slug_and_dns
	pp converge iptables --mode=enforce
	ruleset >"$BATS_TEST_TMPDIR/whole"
	rm -rf "$PP_STATE_DIR"
	run -0 --separate-stderr pp converge iptables --mode=enforce
	expect_silence
	mkdir -p "$PP_STATE_DIR/firewall"
	rm -rf "$PP_STATE_DIR"
	nft delete element inet pp tcp_ports '{ 1212 }'
	run -0 --separate-stderr pp converge iptables --mode=enforce
	same_ruleset "$BATS_TEST_TMPDIR/whole"
	for text in '{' '[]' '{"mode": 1}' '{"mode": "enforce 22", "rules": {"slug": [1, "tcp", "tcp 1 70000",
		"tcp 5 1", "xxx 1 1", "tcp 1 1 nowhere"], "../x": ["tcp 1 1"], "dns": {}}}'; do
		echo "$text" | tee "$PP_STATE_DIR"/firewall/* >/dev/null
		run -0 --separate-stderr pp converge iptables --mode=enforce
		same_ruleset "$BATS_TEST_TMPDIR/whole"
	done
}

# --- refusals

@test "a transaction that nft refuses leaves the old rules whole, in nft's own words, and is tried again" {
	host_ruleset
	app slug '[1212]'
	pp converge iptables --chain='inet filter pp-apps'
	# Somebody's rule holds on to pp's set, so that it cannot be replaced.
	nft add rule inet filter input tcp dport @pp-apps-tcp counter
	ruleset >"$BATS_TEST_TMPDIR/before"
	app slug '[1212, 1313]'
	run -1 --separate-stderr pp converge iptables --chain='inet filter pp-apps'
	[[ $stderr == *"FATAL"*"nft refused the rules, the old ones stay: "*"Device or resource busy: delete set inet filter pp-apps-tcp"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	nft delete rule inet filter input handle \
		"$(nft -a list chain inet filter input | sed -n 's/.*@pp-apps-tcp.*handle //p')"
	run -0 --separate-stderr pp converge iptables --chain='inet filter pp-apps'
	expect_said "INFO slug: allowing tcp:1212" "INFO slug: allowing tcp:1313" \
		"INFO applying the nftables ruleset"
}

@test "nft's words about one bad rule name the rule, and nothing is half there" {
	slug_and_dns
	pp converge iptables
	ruleset >"$BATS_TEST_TMPDIR/before"
	app slug '[1212, 1313]'
	fake nft <<-'EOF'
		case $* in
		'-f -') sed 's/ip saddr 10.77.0.3 udp/ip saddr 10.77.0.3 nonsense/' | exec $REAL -f - ;;
		*) exec $REAL "$@" ;;
		esac
	EOF
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"FATAL"*"nft refused the rules, the old ones stay: /dev/stdin:"*"rror: syntax error, unexpected "*"ip saddr 10.77.0.3 nonsense dport 54 counter"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	unfake
	run -0 --separate-stderr pp converge iptables
	[[ $(said) == *"INFO slug: allowing tcp:1313"* ]]
	run ! grep -q drift <<<"$stderr"
}

@test "the first switch to drop is refused unless somebody listens where it stays open, or --yes" {
	app slug '[1212]'
	pp converge iptables
	ruleset >"$BATS_TEST_TMPDIR/before"
	app slug '[1313]'
	run -1 --separate-stderr pp converge iptables --mode=enforce
	[[ $stderr == *"nothing listens on a port that stays open whatever happens (22): nothing was changed"* ]]
	[[ $stderr == *"slug: held as it is: its ports differ, but enforce is refused"* ]]
	same_ruleset "$BATS_TEST_TMPDIR/before"
	net_listen tcp:2222 udp:22
	run -1 --separate-stderr pp converge iptables --mode=enforce
	same_ruleset "$BATS_TEST_TMPDIR/before"
	run -1 --separate-stderr pp converge iptables --mode=enforce --dry-run
	[[ $output == *"iptables node: failed: enforce would drop"* ]]
	# What listens for this host alone lets nobody in.
	spawn local nsenter --net="/run/netns/$NODE" perl -MSocket -e 'for (PF_INET, PF_INET6) {
		socket(my $s, $_, SOCK_STREAM, 0) or die; push @s, $s;
		bind($s, $_ == PF_INET ? sockaddr_in(22, INADDR_LOOPBACK) :
			Socket::pack_sockaddr_in6(22, Socket::IN6ADDR_LOOPBACK())) or die "$!"; listen($s, 1) }
		open my $f, ">", $ARGV[0]; close $f; sleep 100' "$BATS_TEST_TMPDIR/local"
	wait_until test -e "$BATS_TEST_TMPDIR/local"
	run -1 --separate-stderr pp converge iptables --mode=enforce
	same_ruleset "$BATS_TEST_TMPDIR/before"
	run -0 --separate-stderr pp converge iptables --mode=enforce --always-allow=22,2222
	nft list chain inet pp input | grep -q 'policy drop'
	# It is in force. That a listener goes is no reason to take it back, nor is a reboot.
	helper_stop_all
	run -0 --separate-stderr pp converge iptables --mode=enforce --always-allow=22,2222
	expect_silence
	nft flush ruleset
	run -0 --separate-stderr pp converge iptables --mode=enforce --always-allow=22,2222
	nft list chain inet pp input | grep -q 'policy drop'
	# But another door is another switch.
	run -1 --separate-stderr pp converge iptables --mode=enforce --always-allow=3333
	[[ $stderr == *"(3333): nothing was changed"* ]]
	run -0 --separate-stderr pp converge iptables --mode=enforce --always-allow=3333 --yes
	run -0 --separate-stderr pp converge iptables --mode=enforce --always-allow=3333
	expect_silence
}

@test "enforce is in force before the first app comes, and not begun for one app alone" {
	net_listen tcp:22 tcp:1212 tcp:1313
	app slug '[1212]'
	run -1 --separate-stderr pp converge iptables --mode=enforce --app=slug
	[[ $stderr == *"enforce is not begun with --app"* ]]
	run ! nft list table inet pp
	gone slug
	pp converge iptables --mode=enforce
	expect_reach tcp4:22=open tcp4:1212=closed
	run -0 --separate-stderr pp converge iptables --mode=enforce
	expect_silence
}

@test "--dry-run prints the exact ruleset, changes nothing and remembers nothing" {
	slug_and_dns
	run -0 --separate-stderr pp converge iptables --mode=enforce --dry-run
	[ "$(ruleset)" = "" ]
	[ ! -e "$PP_STATE_DIR" ]
	printf '%s\n' "$output" | grep -v '^iptables ' >"$BATS_TEST_TMPDIR/printed"
	on_node nft -c -f - <"$BATS_TEST_TMPDIR/printed"
	spy nft
	pp converge iptables --mode=enforce
	diff "$BATS_TEST_TMPDIR/printed" "$SPY.nft"
	ruleset >"$BATS_TEST_TMPDIR/applied"
	nft flush ruleset
	nft -f - <"$BATS_TEST_TMPDIR/printed"
	same_ruleset "$BATS_TEST_TMPDIR/applied"
	# Nor does a dry run of a change, or of nothing.
	snapshot "$PP_STATE_DIR" >"$BATS_TEST_TMPDIR/state.before"
	run -0 --separate-stderr pp converge iptables --mode=enforce --dry-run
	expect_silence
	app slug '[1]'
	run -0 pp converge iptables --mode=allow --dry-run
	[[ $output == *"would open its ports (its ports differ)"*"policy accept"* ]]
	run -0 pp status --mode=allow
	[[ $output == *"iptables: its ports differ"* || $output == *pending* ]]
	same_ruleset "$BATS_TEST_TMPDIR/applied"
	diff "$BATS_TEST_TMPDIR/state.before" <(snapshot "$PP_STATE_DIR")
}

@test "--app: no other app's rules are touched" {
	slug_and_dns
	pp converge iptables --mode=enforce
	app slug '[1]'
	app dns '[2]'
	app new '[3]'
	run -0 --separate-stderr pp converge iptables --mode=enforce --app=slug
	expect_said "INFO slug: allowing tcp:1" "INFO applying the nftables ruleset"
	[ "$(opened --mode=enforce)" = "tcp 5400-5402 10.77.0.2 dns
tcp 5400-5402 fd77::2 dns
udp 54 10.77.0.3 dns
udp 54 fd77::3 dns
tcp 1 slug" ]
	# Not even where all of it is gone.
	nft delete table inet pp
	app slug '[4]'
	run -0 --separate-stderr pp converge iptables --mode=enforce --app=slug
	expect_reach tcp4:5400@10.77.0.2=open
	[ "$(opened --mode=enforce | grep -c dns)" -eq 4 ]
	[ "$(opened --mode=enforce | grep slug)" = "tcp 4 slug" ]
	# Nor when that app is gone, or is none.
	gone slug
	run -0 --separate-stderr pp converge iptables --mode=enforce --app=slug
	[ "$(opened --mode=enforce | grep -c .)" -eq 4 ]
	run -0 --separate-stderr pp converge iptables --mode=enforce --app=nobody
	[ "$(opened --mode=enforce | grep -c .)" -eq 4 ]
}

# --- size

@test "1,000 apps with 5 ports each: one transaction, sets, and one nft process where nothing is to do" {
	many 1000 5
	net_listen tcp:22 tcp:10000 tcp:14999 tcp:15000
	spy nft
	pp converge iptables --mode=enforce >"$BATS_TEST_TMPDIR/out" 2>&1
	[ "$(cat "$SPY")" = "nft -j list table inet pp
nft -f -" ]
	[ "$(nft list chain inet pp apps | grep -c accept)" -eq 2 ]
	[ "$(nft list set inet pp tcp_ports | grep -o comment | wc -l)" -eq 5000 ]
	expect_reach tcp4:10000=open tcp6:14999=open tcp4:15000=closed
	: >"$SPY"
	run -0 --separate-stderr pp converge iptables --mode=enforce
	expect_silence
	[ "$(cat "$SPY")" = "nft -j list table inet pp" ]
	nft delete element inet pp tcp_ports '{ 12345 }'
	: >"$SPY"
	run -0 --separate-stderr pp converge iptables --mode=enforce
	[[ $(said) == "WARN app0469: drift: its rules were changed by hand"* ]]
	[ "$(grep -c . "$SPY")" -eq 2 ]
}
