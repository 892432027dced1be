#!/usr/bin/env bats
# pp converge iptables: port_authority's files are as intended, and it is told of changes.
# shellcheck disable=SC2119,SC2120 # what is run may be given more arguments, or not

load helper
load node

setup() {
	helper_setup
	store_dir
	DIR=$BATS_TEST_TMPDIR/port_authority.d
	CMD=$BATS_TEST_TMPDIR/port_authority
	CALLS=$BATS_TEST_TMPDIR/calls
	: >"$CALLS"
	# Notes how it was called, and what it found; fails while the file "fails" is there.
	cat >"$CMD" <<-EOF
		#!/bin/sh
		echo "\$*" >>$CALLS
		[ ! -e $BATS_TEST_TMPDIR/fails ] || { echo "no such luck"; exit 3; }
	EOF
	chmod +x "$CMD"
}

iptables_agent() {
	pp converge iptables --config-dir="$DIR" --cmd="$CMD" "$@"
}

app() {
	pp intent set "$1/demo" versions=v1:prep basedir="$BATS_TEST_TMPDIR/$1" "${@:2}" >/dev/null
	pp intent assign "$1/demo" "$PP_NODE" >/dev/null
}

# How often was it told to rebuild, and nothing else?
rebuilds() {
	[ "$(cat "$CALLS")" = "$(yes rebuild | head -n "$1")" ] || fail "told: $(cat "$CALLS")"
}

# --- the main job

@test "an app's ports are in a file of its own, and port_authority is told to rebuild" {
	intent_slug >/dev/null
	run -0 --separate-stderr iptables_agent
	[ "$output" = "" ]
	expect_said "INFO slug: allowing tcp:1212" "INFO slug: allowing tcp:1231" "INFO refreshing portauthority"
	printf 'slug_1212_tcp:\n  port: 1212\n  protocol: tcp\nslug_1231_tcp:\n  port: 1231\n  protocol: tcp\n' |
		cmp - "$DIR/slug.yml"
	[ "$(stat -c %a "$DIR/slug.yml")" = 644 ]
	rebuilds 1
}

@test "a second run writes nothing, tells nobody and says nothing" {
	intent_slug >/dev/null
	iptables_agent 2>/dev/null
	before=$(snapshot "$DIR")
	run -0 --separate-stderr iptables_agent
	expect_silence
	[ "$(snapshot "$DIR")" = "$before" ]
	rebuilds 1
	run -0 --separate-stderr iptables_agent --verbose
	expect_said "INFO Polling intent store" "INFO Checking spec for slug"
	rebuilds 1
}

@test "ports are sorted by their number, tcp before udp, however they are stated" {
	app dns ports:='[9000, {"port": 53, "protocol": "udp"}, "1000", {"port": 53}, 80]'
	run -0 --separate-stderr iptables_agent
	[ "$(cat "$DIR/dns.yml")" = "dns_53_tcp:
  port: 53
  protocol: tcp
dns_53_udp:
  port: 53
  protocol: udp
dns_80_tcp:
  port: 80
  protocol: tcp
dns_1000_tcp:
  port: 1000
  protocol: tcp
dns_9000_tcp:
  port: 9000
  protocol: tcp" ]
	[[ $(said) == *"INFO dns: allowing udp:53"* ]]
	# The same ports in another order are no change.
	pp intent set dns ports:='[80, 1000, 53, {"port": 53, "protocol": "udp"}, 9000]' >/dev/null
	run -0 --separate-stderr iptables_agent
	expect_silence
}

@test "a change of ports changes the file, and port_authority is told once for all apps" {
	intent_slug >/dev/null
	app other ports=80
	iptables_agent 2>/dev/null
	rebuilds 1
	pp intent set slug ports=1213 >/dev/null
	pp intent set other ports=81 >/dev/null
	run -0 --separate-stderr iptables_agent
	expect_said "INFO other: allowing tcp:81" "INFO slug: allowing tcp:1213" "INFO refreshing portauthority"
	printf 'slug_1213_tcp:\n  port: 1213\n  protocol: tcp\n' | cmp - "$DIR/slug.yml"
	rebuilds 2
}

@test "a file that was changed or removed by hand is mended" {
	intent_slug >/dev/null
	iptables_agent 2>/dev/null
	cp "$DIR/slug.yml" "$BATS_TEST_TMPDIR/good"
	echo 'slug_22_tcp: {port: 22, protocol: tcp}' >>"$DIR/slug.yml"
	iptables_agent
	cmp "$BATS_TEST_TMPDIR/good" "$DIR/slug.yml"
	rm "$DIR/slug.yml"
	iptables_agent
	cmp "$BATS_TEST_TMPDIR/good" "$DIR/slug.yml"
	rebuilds 3
}

@test "an app without ports has no file, and one whose ports were taken away opens none" {
	app quiet
	run -0 --separate-stderr iptables_agent
	expect_silence
	[ ! -e "$DIR/quiet.yml" ]
	pp intent set quiet ports=80 >/dev/null
	iptables_agent
	pp intent set quiet ports:='[]' >/dev/null
	iptables_agent
	run ! grep -q port: "$DIR/quiet.yml"
	rebuilds 2
	run -0 --separate-stderr iptables_agent
	expect_silence
}

# --- removal

@test "the file of an app that is unassigned is removed, and port_authority is told" {
	intent_slug >/dev/null
	app other ports=80
	iptables_agent 2>/dev/null
	store_delete nodes/node1/slug
	run -0 iptables_agent --dry-run
	[[ $output == "iptables slug: would close its ports (the app is not assigned to this node any more)
iptables node: would write the rules of port_authority (apps' ports changed)
"*"$CMD rebuild" ]]
	run -0 --separate-stderr iptables_agent
	expect_said "INFO slug: closing its ports" "INFO refreshing portauthority"
	[ "$(ls "$DIR")" = other.yml ]
	rebuilds 2
	run -0 --separate-stderr iptables_agent
	expect_silence
	rebuilds 2
}

@test "files that pp did not write are not touched, of whatever name and shape" {
	mkdir "$DIR"
	printf 'ssh_22_tcp:\n  port: 22\n  protocol: tcp\n' >"$DIR/ssh.yml"
	cp "$DIR/ssh.yml" "$DIR/ssh.yaml"
	echo x >"$DIR/README"
	before=$(snapshot "$DIR/ssh.yml" "$DIR/ssh.yaml" "$DIR/README")
	intent_slug >/dev/null
	iptables_agent
	iptables_agent
	store_delete nodes/node1/slug
	iptables_agent --allow-empty
	iptables_agent
	[ "$(snapshot "$DIR/ssh.yml" "$DIR/ssh.yaml" "$DIR/README")" = "$before" ]
	[ "$(ls "$DIR")" = "README
ssh.yaml
ssh.yml" ]
}

@test "a file of an app's name that pp did not write is named, and not touched" {
	mkdir "$DIR"
	printf 'slug_22_tcp:\n  port: 22\n  protocol: tcp\n' >"$DIR/slug.yml"
	before=$(snapshot "$DIR/slug.yml")
	intent_slug >/dev/null
	app other ports=80
	run -1 --separate-stderr iptables_agent
	[[ $(said) == *"FATAL slug: $DIR: slug.yml is in the way: pp did not write it; move it away"* ]]
	[ "$(snapshot "$DIR/slug.yml")" = "$before" ]
	[ -e "$DIR/other.yml" ]
	rebuilds 1
}

@test "in doubt nothing is removed" {
	intent_slug >/dev/null
	iptables_agent 2>/dev/null
	before=$(snapshot "$DIR")
	document=$(store_get nodes/node1/slug)
	identity=$(store_get pp/store)
	store_delete nodes/node1/slug
	held() {
		run -1 --separate-stderr iptables_agent
		[[ $(said) == "WARN slug: held as it is: "*"$1"* ]] || fail "$stderr"
		[ "$(snapshot "$DIR")" = "$before" ]
	}
	store_identify 11111111-2222-3333-4444-555555555555
	held "another store than the one this node knows"
	store_delete pp/store
	held "has no id (pp/store)"
	store_put pp/store "$identity"
	rm -r "$PP_STATE_DIR"
	held "for the first time"
	store_put nodes/node1/slug "$document"
	store_put clusters/slug/demo/deploy_config 'not json'
	held "clusters/slug/demo/deploy_config: "
	store_delete clusters/slug/demo/deploy_config
	held "clusters/slug/demo/deploy_config: there is no such document"
	store_put nodes/node1/slug '[]'
	held "nodes/node1/slug: it must be a JSON object"
	mv "${PP_STORE#dir:}" "$BATS_TEST_TMPDIR/away"
	run -69 --separate-stderr iptables_agent
	[ "$(snapshot "$DIR")" = "$before" ]
	rebuilds 1
}

# --- rebuild

@test "a rebuild that failed is done again, until it succeeds" {
	intent_slug >/dev/null
	touch "$BATS_TEST_TMPDIR/fails"
	run -1 --separate-stderr iptables_agent
	[[ $(said) == *"FATAL iptables: error refreshing portauthority: $CMD rebuild: exit 3: no such luck" ]]
	run -0 iptables_agent --dry-run
	[ "$output" = "iptables node: would write the rules of port_authority (the last rebuild did not succeed)
# $CMD rebuild" ]
	run -1 --separate-stderr iptables_agent
	expect_said "INFO refreshing portauthority" "FATAL iptables: error refreshing portauthority: *"
	rm "$BATS_TEST_TMPDIR/fails"
	run -0 --separate-stderr iptables_agent
	expect_said "INFO refreshing portauthority"
	rebuilds 3
	run -0 --separate-stderr iptables_agent
	expect_silence
	rebuilds 3
}

@test "a program that is not there is an error, and is asked again" {
	intent_slug >/dev/null
	run -1 --separate-stderr pp converge iptables --config-dir="$DIR" --cmd="$BATS_TEST_TMPDIR/none"
	[[ $(said) == *"FATAL iptables: error refreshing portauthority: "*"run $BATS_TEST_TMPDIR/none: No such file or directory" ]]
	iptables_agent
	rebuilds 1
}

@test "killed with -9 at any of its system calls: files and port_authority agree after the next run" {
	need strace
	intent_slug >/dev/null
	app gone ports=80
	iptables_agent 2>/dev/null
	store_delete nodes/node1/gone
	pp intent set slug ports=1213 >/dev/null
	# What port_authority would have made of the files.
	cat >"$CMD" <<-EOF
		#!/bin/sh
		cat $DIR/*.yml >$BATS_TEST_TMPDIR/rules
	EOF
	whole=$BATS_TEST_TMPDIR/whole
	cp -a "$DIR" "$whole"
	points=$(death_points "$PP" converge iptables --config-dir="$DIR" --cmd="$CMD")
	kills=0
	while read -r call count; do
		rm -rf "$DIR" "$BATS_TEST_TMPDIR/rules"
		cp -a "$whole" "$DIR"
		killed_at "$call" "$count" "$PP" converge iptables --config-dir="$DIR" --cmd="$CMD" || continue
		kills=$((kills + 1))
		run -0 iptables_agent
		[ "$(ls "$DIR")" = slug.yml ] || fail "killed at $call $count: $(ls "$DIR")"
		printf 'slug_1213_tcp:\n  port: 1213\n  protocol: tcp\n' | cmp - "$DIR/slug.yml"
		cmp "$DIR/slug.yml" "$BATS_TEST_TMPDIR/rules" || fail "killed at $call $count: port_authority was not told"
		[ "$(cd "$DIR" && echo .[!.]*)" = .pp-written ] || fail "killed at $call $count: $(ls -A "$DIR")"
		run -0 --separate-stderr iptables_agent
		expect_silence
	done <<<"$points"
	[ "$kills" -ge 20 ]
}

# --- what cannot be said to port_authority

@test "ranges, and ports that only some may reach, are refused: the old file stays" {
	intent_slug >/dev/null
	app other ports=80
	iptables_agent 2>/dev/null
	before=$(snapshot "$DIR")
	pp intent set slug ports:='["8000-8010"]' >/dev/null
	run -1 --separate-stderr iptables_agent
	expect_said "FATAL slug: $DIR: ports: port_authority takes no range like 8000-8010; list the ports one by one"
	pp intent set slug ports:='[{"port": 53, "from": ["10.0.0.0/8"]}]' >/dev/null
	run -1 --separate-stderr iptables_agent
	expect_said "FATAL slug: $DIR: ports: port_authority cannot restrict who may reach port 53, and opening it to everybody was not asked for"
	[ "$(snapshot "$DIR")" = "$before" ]
	rebuilds 1
	# The others are still seen to.
	pp intent set other ports=81 >/dev/null
	run -1 --separate-stderr iptables_agent
	grep -q 'port: 81' "$DIR/other.yml"
	rebuilds 2
}

# --- around it

@test "--dry-run prints what would be done and changes nothing" {
	intent_slug >/dev/null
	before=$(snapshot "$BATS_TEST_TMPDIR/home" "${PP_STORE#dir:}" "$CALLS")
	run -0 --separate-stderr iptables_agent --dry-run
	[ "$output" = "iptables slug: would open its ports (its ports are not open yet)
iptables node: would write the rules of port_authority (apps' ports changed)
# $DIR/slug.yml
slug_1212_tcp:
  port: 1212
  protocol: tcp
slug_1231_tcp:
  port: 1231
  protocol: tcp
# $CMD rebuild" ]
	[ "$stderr" = "" ]
	[ ! -e "$DIR" ]
	[ ! -e "$PP_STATE_DIR" ]
	[ "$(snapshot "$BATS_TEST_TMPDIR/home" "${PP_STORE#dir:}" "$CALLS")" = "$before" ]
	iptables_agent 2>/dev/null
	pp intent set slug ports=1 >/dev/null
	before=$(snapshot "$DIR" "$PP_STATE_DIR" "$CALLS")
	run -0 iptables_agent --dry-run
	[[ $output == "iptables slug: would open its ports (its ports differ)"* ]]
	[ "$(snapshot "$DIR" "$PP_STATE_DIR" "$CALLS")" = "$before" ]
}

@test "exit codes in detail, --app, and the section of pp.conf" {
	intent_slug >/dev/null
	app other ports=80
	printf '[iptables]\nconfig-dir = %s\ncmd = %s\n' "$DIR" "$CMD" >"$PP_CONF"
	run -2 pp converge iptables --detailed-exitcodes --app other
	[ "$(ls "$DIR")" = other.yml ]
	run -2 pp converge iptables --detailed-exitcodes
	run -0 pp converge iptables --detailed-exitcodes
	pp intent set slug ports:='["1-2"]' >/dev/null
	run -4 pp converge iptables --detailed-exitcodes
	pp intent set other ports=81 >/dev/null
	run -6 pp converge iptables --detailed-exitcodes
	touch "$BATS_TEST_TMPDIR/fails"
	pp intent set slug ports=1 >/dev/null
	run -6 pp converge iptables --detailed-exitcodes
	run -4 pp converge iptables --detailed-exitcodes
}

@test "one run at a time: the second exits 75" {
	intent_slug >/dev/null
	sed -i '2i sleep 1' "$CMD"
	"$PP" converge iptables --config-dir="$DIR" --cmd="$CMD" 2>"$BATS_TEST_TMPDIR/first" &
	first=$!
	wait_until grep -q refreshing "$BATS_TEST_TMPDIR/first"
	run -75 --separate-stderr iptables_agent
	expect_said "WARN another run of iptables on node1 is under way (pid $first); this one leaves it alone"
	wait "$first"
	rebuilds 1
}

@test "--timeout ends a program that does not end" {
	intent_slug >/dev/null
	sed -i '2i sleep 100' "$CMD"
	SECONDS=0
	run -1 --separate-stderr iptables_agent --timeout=1s
	[ "$SECONDS" -le 30 ]
	[[ $(said) == *"FATAL iptables: error refreshing portauthority: $CMD did not end in time, killed" ]]
	run ! pgrep -f "$CMD rebuild"
}
