# The firewall by port_authority: files of its own, and a program that is told.

load helper
load node

setup() {
	helper_setup
	store_dir
	store_identify
	DIR=$BATS_TEST_TMPDIR/port_authority.d
	CALLS=$BATS_TEST_TMPDIR/calls
	: >"$CALLS"
	cat >"$BATS_TEST_TMPDIR/port_authority" <<-EOF
		#!/bin/sh
		echo "\$*" >>"$CALLS"
		[ ! -e "$BATS_TEST_TMPDIR/broken" ] || { echo "no rebuild today"; exit 1; }
	EOF
	chmod 0755 "$BATS_TEST_TMPDIR/port_authority"
	export PP_CMD=$BATS_TEST_TMPDIR/port_authority PP_CONFIG_DIR=$DIR
}

app() {
	store_put "clusters/$1/demo/config" '{"versions": {"abc": "active"}}'
	store_put "clusters/$1/demo/deploy_config" "{\"basedir\": \"/data/$1\", \"ports\": $2}"
	store_put "nodes/node1/$1" '{"cluster": "demo"}'
}

# rebuilt N: so many times by now.
rebuilt() {
	[ "$(grep -cx rebuild "$CALLS")" -eq "$1" ] || fail "rebuilt: $(cat "$CALLS")"
}

SLUG='slug_53_udp:
  port: 53
  protocol: udp
slug_1212_tcp:
  port: 1212
  protocol: tcp'

@test "--cmd or --config-dir means port_authority, with the files it always had" {
	app slug '[1212, {"port": 53, "protocol": "udp"}]'
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO slug: allowing tcp:1212" "INFO slug: allowing udp:53" \
		"INFO refreshing portauthority"
	[ "$(cat "$DIR/slug.yml")" = "$SLUG" ]
	rebuilt 1
	snapshot "$DIR" >"$BATS_TEST_TMPDIR/before"
	run -0 --separate-stderr pp converge iptables
	expect_silence
	rebuilt 1
	diff "$BATS_TEST_TMPDIR/before" <(snapshot "$DIR")
}

@test "the program is told again until it succeeds, and not before something changed" {
	app slug '[1212]'
	touch "$BATS_TEST_TMPDIR/broken"
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"error refreshing portauthority: "*"no rebuild today"* ]]
	run -1 pp converge iptables
	rebuilt 2
	rm "$BATS_TEST_TMPDIR/broken"
	run -0 --separate-stderr pp converge iptables
	[[ $stderr != *drift* ]]
	rebuilt 3
	run -0 --separate-stderr pp converge iptables
	expect_silence
	rebuilt 3
}

@test "files of gone apps are removed, and nobody else's" {
	app slug '[1212]'
	app other '[1313]'
	mkdir -p "$DIR"
	echo "mine: {}" >"$DIR/mine.yml"
	pp converge iptables
	store_delete nodes/node1/slug
	run -0 --separate-stderr pp converge iptables
	expect_said "INFO slug: closing its ports" "INFO refreshing portauthority"
	[ "$(ls "$DIR")" = "mine.yml
other.yml" ]
	[ "$(cat "$DIR/mine.yml")" = "mine: {}" ]
	app mine '[1]'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"mine: $DIR: mine.yml is in the way: pp did not write it"* ]]
	[ "$(cat "$DIR/mine.yml")" = "mine: {}" ]
}

@test "a file edited by hand is mended and called drift, but for an app in doubt" {
	app slug '[1212, {"port": 53, "protocol": "udp"}]'
	app other '[1313]'
	pp converge iptables
	echo "# mine" >>"$DIR/slug.yml"
	run -0 --separate-stderr pp converge iptables
	[[ $(said) == "WARN slug: drift: its rules were changed by hand"* ]]
	[ "$(cat "$DIR/slug.yml")" = "$SLUG" ]
	rebuilt 2
	echo "# mine" >>"$DIR/slug.yml"
	store_put clusters/slug/demo/deploy_config '{'
	app other '[1314]'
	run -1 --separate-stderr pp converge iptables
	[[ $stderr == *"slug: held as it is"* ]]
	[ "$(tail -n1 "$DIR/slug.yml")" = "# mine" ]
	grep -q 1314 "$DIR/other.yml"
	rm "$DIR/other.yml"
	run -1 --separate-stderr pp converge iptables
	grep -q 1314 "$DIR/other.yml"
	[[ $stderr == *"other: drift"* ]]
	[ "$(tail -n1 "$DIR/slug.yml")" = "# mine" ]
}

@test "what it cannot say is refused, and that app's file stays as it is" {
	local ports

	app slug '[1212]'
	app other '[1313]'
	pp converge iptables
	for ports in '["8000-8010"]' '[{"port": 5, "from": ["10.0.0.0/8"]}]' '[1313]'; do
		app slug "$ports"
		run -1 --separate-stderr pp converge iptables
		[[ $stderr == *"FATAL"*"slug: "* ]]
		grep -q 1212 "$DIR/slug.yml"
	done
	rebuilt 1
}

@test "--dry-run prints the files, and changes nothing" {
	app slug '[1212, {"port": 53, "protocol": "udp"}]'
	run -0 --separate-stderr pp converge iptables --dry-run
	[[ $output == *"# $DIR/slug.yml
$SLUG
# $PP_CMD rebuild" ]]
	[ ! -e "$DIR" ]
	rebuilt 0
}
