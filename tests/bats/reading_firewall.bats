#!/usr/bin/env bats
# The firewall without a store: what is gone as a whole is put back, and nothing else is done.

load helper
load node
load net

setup() {
	helper_setup
	net_up
	STORE=$BATS_TEST_TMPDIR/store
}

teardown() {
	net_down
}

nft() {
	on_node nft "$@"
}

store_away() {
	mv "$STORE" "$BATS_TEST_TMPDIR/away"
}

store_back() {
	mv "$BATS_TEST_TMPDIR/away" "$STORE"
}

@test "after a reboot without a store the rules that were believed are put back, in either mode" {
	net_listen tcp:22 tcp:1212 tcp:1313
	app slug '[1212]'
	for mode in allow enforce; do
		run -0 --separate-stderr pp converge iptables --mode=$mode
		nft -s list ruleset >"$BATS_TEST_TMPDIR/rules"
		store_away
		nft flush ruleset
		run -69 --separate-stderr pp converge iptables --mode=$mode --dry-run
		[[ $output == *"iptables node: would write the rules of nft"* ]]
		[ "$(nft list ruleset)" = "" ]
		run -69 --separate-stderr pp converge iptables --mode=$mode
		[[ $stderr == *"iptables: the store cannot be read; what was believed last is still"* ]]
		nft -s list ruleset | diff "$BATS_TEST_TMPDIR/rules" -
		run -69 --separate-stderr pp converge iptables --mode=$mode
		expect_said "FATAL iptables: nothing was done: dir:*"
		store_back
	done
	expect_reach tcp4:1212=open tcp4:1313=closed
}

@test "without a store no port is closed, none opened beside others, no mode begun" {
	app slug '[1212]'
	app web '[1313]'
	run -0 --separate-stderr pp converge iptables
	nft -s list ruleset >"$BATS_TEST_TMPDIR/rules"
	# Read and believed by another agent, not carried out by this one.
	app slug '[99]'
	gone web
	app new '[98]'
	pp converge preparer --repo=file:///nonexistent >/dev/null 2>&1 || :
	store_away
	for mode in allow enforce; do
		run -69 --separate-stderr pp converge iptables --mode=$mode --yes
		expect_said "FATAL iptables: nothing was done: dir:*"
		nft -s list ruleset | diff "$BATS_TEST_TMPDIR/rules" -
	done
	# What was changed by hand waits for the store, too.
	nft delete element inet pp tcp_ports '{ 1313 }'
	run -69 --separate-stderr pp converge iptables
	run ! grep -q 1313 <(nft list ruleset)
	# And a mode that was never in force is not begun where everything is gone.
	nft flush ruleset
	run -69 --separate-stderr pp converge iptables --mode=enforce --yes
	[ "$(nft list ruleset)" = "" ]
}
