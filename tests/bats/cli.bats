#!/usr/bin/env bats
# What is the same for all commands: exit codes, options, pp.conf, PP_*, one run at a time.

load helper
load store

setup() {
	helper_setup
	store_dir
	PORTS=$BATS_TEST_TMPDIR/ports
	own_places
}

# slug and web are assigned to this node.
two_apps() {
	local port=80 app

	for app in slug web; do
		pp intent set $app/demo versions=a:prep basedir="$BATS_TEST_TMPDIR/$app" ports=$port users=xavier
		port=$((port + 1))
		pp intent assign $app/demo node1
	done >/dev/null
}

iptables() {
	pp converge iptables --cmd=true --config-dir="$PORTS" "$@"
}

# --- usage

@test "pp without a command, and with one that is not there, is 64" {
	refused 64 "usage: pp COMMAND" pp
	refused 64 "no such command: nonsense" pp nonsense
	refused 64 "" pp --nonsense
	refused 64 "usage: pp intent" pp intent
	refused 64 "usage: pp intent" pp intent nonsense
	refused 64 "name an agent: preparer, setlive, iptables, sudoers" pp converge
	refused 64 "name an agent" pp converge nonsense
	refused 64 "" pp converge iptables sudoers
	refused 64 "--nonsense" pp converge iptables --nonsense
	refused 64 "-z" pp converge iptables -z
	refused 64 "wants a value" pp converge iptables --config-dir
	refused 64 "--timeout" pp converge iptables --timeout=soon
	refused 64 "--nonsense" pp intent get slug --nonsense
	refused 64 "" pp status --nonsense
	refused 64 "" pp status --format=nonsense
	# Another agent's option is none of this one's.
	refused 64 "--repo" pp converge iptables --repo=x
}

@test "help is on stdout, exits 0, and names every command, agent and option" {
	for args in "help" "--help" "-h"; do
		run -0 --separate-stderr pp $args
		for word in converge intent status disable enable help preparer setlive iptables sudoers; do
			[[ $output == *"  $word "* ]]
		done
		[ "$stderr" = "" ]
	done
	run -0 pp converge iptables --help
	for option in --cmd --config-dir --dry-run --app --splay --wait --detailed-exitcodes --store --node \
		--state-dir --verbose --timeout; do
		[[ $output == *" $option"* ]]
	done
	[[ $output != *--repo* ]]
	run -0 pp converge preparer --help
	[[ $output == *--repo* ]]
	for command in intent status disable enable converge; do
		run -0 --separate-stderr pp help $command
		[[ $output == "usage: pp $command"* ]]
		run -0 --separate-stderr pp $command --help
		[[ $output == "usage: pp $command"* ]]
	done
	for verb in get set unset diff assign unassign; do
		[[ $(pp intent --help) == *"  $verb "* ]]
	done
	run -0 pp --version
	[[ $output =~ ^pp\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "output that cannot be written is an error" {
	[ -e /dev/full ] || skip "needs /dev/full"
	two_apps
	for args in "intent get slug" "status" "help"; do
		# shellcheck disable=SC2016,SC2086
		run bash -c '"$@" >/dev/full' bash "$PP" $args
		[ "$status" -ne 0 ]
		[[ $output == *"write to stdout"* ]]
	done
}

@test "pp runs with stdin, stdout or stderr closed, and writes none of its files there" {
	two_apps
	run bash -c '"$@" >&-' bash "$PP" converge iptables --cmd=true --config-dir="$PORTS"
	run bash -c '"$@" <&- 2>&-' bash "$PP" intent set slug/demo min_nodes=3
	[ "$status" = 0 ]
	[ "$(store_get clusters/slug/demo/config | jq -c .)" = '{"min_nodes":3,"versions":{"a":"prep"}}' ]
	[ "$(head -c 5 "$PORTS/slug.yml")" = slug_ ]
}

# --- options

@test "options may come before and after operands, and -- ends them" {
	two_apps
	run -0 pp converge iptables --cmd=true --verbose --config-dir="$PORTS"
	[[ $output == *"Polling intent store"* ]]
	run -0 pp converge --cmd=true --config-dir "$PORTS" iptables --verbose
	[[ $output == *"Polling intent store"* ]]
	run -0 pp converge --verbose iptables --cmd true --config-dir="$PORTS"
	run -0 pp intent get --json slug versions
	run -0 pp intent get slug versions --json
	[ "$output" = '{
  "a": "prep"
}' ]
	run -0 pp intent set --store="$PP_STORE" slug/demo -n min_nodes=3
	refused 65 "cannot name an app" pp intent set -- --store x=1
	# The value of an option may be called like an agent.
	run -0 pp converge --app iptables sudoers --path="$BATS_TEST_TMPDIR/sudoers" --verbose
	[[ $output == *"iptables: not assigned to node1"* ]]
}

@test "without --verbose a run is silent unless it changes something or fails" {
	two_apps
	run -0 --separate-stderr iptables
	[ "$output" = "" ]
	[ "$(sed 's/ *\[[^]]*\]//' <<<"$stderr")" = "INFO slug: allowing tcp:80
INFO web: allowing tcp:81
INFO refreshing portauthority" ]
	run -0 --separate-stderr iptables
	[ "$output$stderr" = "" ]
	run -0 --separate-stderr iptables --verbose
	[ "$output" = "" ]
	[ "$(sed 's/ *\[[^]]*\]//' <<<"$stderr" | head -n 3)" = "INFO Polling intent store
INFO Checking spec for slug
INFO Checking spec for web" ]
}

@test "under journald a line has a priority instead of the time" {
	two_apps
	log=$BATS_TEST_TMPDIR/journal
	: >"$log"
	JOURNAL_STREAM=$(stat -c %d:%i "$log") "$PP" converge iptables --cmd=true --config-dir="$PORTS" 2>"$log"
	[ "$(head -n 1 "$log")" = "<5>slug: allowing tcp:80" ]
	rm -r "$PORTS"
	JOURNAL_STREAM=1:2 "$PP" converge iptables --cmd=true --config-dir="$PORTS" 2>"$log"
	[[ $(head -n 1 "$log") == "WARN  ["*"] slug: drift: "* ]]
	[[ $(tail -n 1 "$log") == "INFO  ["* ]]
}

@test "what comes from the store cannot steer a terminal" {
	store_put nodes/node1/slug '{"cluster": "demo"}'
	store_put clusters/slug/demo/config '{"versions": {"\u001b[31mred\n": "prep"}}'
	run -1 --separate-stderr iptables
	[[ $stderr == *'\x1b[31mred\x0a'* ]]
	[ "$(wc -l <<<"$stderr")" = 1 ]
	refused 65 'x\x1b[2J' pp intent set slug/demo $'x\e[2J=1'
}

# --- where settings come from

@test "a flag beats PP_*, which beats the agent's section, which beats [pp], which beats the default" {
	two_apps
	unset PP_CONFIG_DIR
	written() {
		run -0 --separate-stderr pp converge iptables "$@"
		for dir in a b c d; do
			[ ! -e "$BATS_TEST_TMPDIR/$dir/slug.yml" ] || echo $dir
		done
		rm -rf "$BATS_TEST_TMPDIR"/[abcd]
	}
	cat >"$PP_CONF" <<-EOF
		# a comment
		; another
		[iptables]
		config_dir = $BATS_TEST_TMPDIR/b
		[pp]
		cmd = true
		config-dir = $BATS_TEST_TMPDIR/a
		[sudoers]
		path = /elsewhere
	EOF
	[ "$(written)" = b ]
	sed -i '/config_dir/d' "$PP_CONF"
	[ "$(written)" = a ]
	export PP_CONFIG_DIR=$BATS_TEST_TMPDIR/c
	[ "$(written)" = c ]
	[ "$(written --config-dir="$BATS_TEST_TMPDIR/d")" = d ]
	PP_CONFIG_DIR=
	[ "$(written)" = a ]
}

@test "the store, the node and the state directory are set the same way" {
	two_apps
	store=$PP_STORE
	unset PP_STORE PP_NODE PP_STATE_DIR
	cat >"$PP_CONF" <<-EOF
		[pp]
		store = $store
		node = node1
		state_dir = $BATS_TEST_TMPDIR/state2
	EOF
	run -0 iptables
	[ -e "$PORTS/slug.yml" ]
	[ -d "$BATS_TEST_TMPDIR/state2" ]
	run -0 pp intent get slug ports
	PP_NODE=node2 run --separate-stderr pp status --format=json
	[ "$(jq -c .node <<<"$output")" = '"node2"' ]
	PP_NODE=node2 run --separate-stderr pp status --format=json --node=node1
	[ "$(jq -c '.node' <<<"$output")" = '"node1"' ]
	PP_STORE=dir:/nonexistent run -69 iptables
	PP_STORE=dir:/nonexistent run -0 iptables --store="$store"
}

@test "without --node the node is called as the host is" {
	pp intent set slug/demo versions=a:prep basedir=/data/slug ports=80
	pp intent assign slug/demo "$(uname -n)"
	unset PP_NODE
	run -0 iptables
	[ -e "$PORTS/slug.yml" ]
	for bad in .. a/b 'a b' "$(printf 'a%.0s' {1..129})"; do
		PP_NODE=$bad refused 78 "node" iptables
	done
}

@test "what is wrong in pp.conf is exit 78, with file and line" {
	two_apps
	while IFS='|' read -r line text conf; do
		printf '%b' "$conf" >"$PP_CONF"
		refused 78 "$PP_CONF:$line: " iptables
		[[ $stderr == *"$text"* ]]
		[ ! -e "$PORTS" ]
	done <<-'EOF'
		2|nonsense|[pp]\nnonsense = 1\n
		2|nonsense|[nonsense]\nx = 1\n
		3|neither|[pp]\n\nwhat is this\n
		2|timeout|[pp]\ntimeout = soon\n
		2|verbose|[iptables]\nverbose = perhaps\n
		2|app|[pp]\napp = slug\n
		1||store = x\n
		2|splay|[pp]\nsplay =\n
	EOF
	printf '[pp]\nnonsense = 1\n' >"$PP_CONF"
	refused 78 "$PP_CONF:2: " pp intent get slug
	refused 78 "$PP_CONF:2: " pp status
	# Another agent's section is not this one's business.
	printf '[preparer]\nrepo = x\n' >"$PP_CONF"
	run -0 iptables
	rm "$PP_CONF"
	mkdir "$PP_CONF"
	refused 78 "" iptables
	rmdir "$PP_CONF"
	run -0 iptables
}

@test "what is wrong in PP_* is exit 78 and names the variable" {
	two_apps
	PP_TIMEOUT=soon refused 78 "PP_TIMEOUT" iptables
	PP_VERBOSE=perhaps refused 78 "PP_VERBOSE" iptables
	PP_STORE=nonsense refused 78 "nonsense" iptables
	PP_VERBOSE=yes run -0 iptables
	[[ $output == *"Polling intent store"* ]]
	PP_VERBOSE=no run -0 iptables
	[ "$output" = "" ]
}

# --- converge

@test "--app: only these, however many; the others stay as they are" {
	two_apps
	run -0 --separate-stderr iptables --app=web
	[ "$(ls "$PORTS")" = web.yml ]
	pp intent unassign slug/demo node1
	pp intent unassign web/demo node1
	run -0 iptables --app=slug
	[ -e "$PORTS/web.yml" ]
	[[ $output == *"slug: not assigned to node1"* ]]
	run -0 iptables --app slug --app web --allow-empty
	[ ! -e "$PORTS/web.yml" ]
}

@test "--app with a failing other app is 0, with the failing one 1" {
	two_apps
	store_put clusters/web/demo/config '{'
	run -1 iptables
	[ -e "$PORTS/slug.yml" ]
	run -0 --separate-stderr iptables --app=slug
	[ "$stderr" = "" ]
	run -1 iptables --app=web
}

@test "exit codes: 0 well, 1 an app failed, 69 no store, 77 not permitted, 78 configuration" {
	two_apps
	run -0 iptables
	run -1 pp converge iptables --cmd=false --config-dir="$BATS_TEST_TMPDIR/other"
	PP_STORE=dir:/nonexistent run -69 iptables
	CONSUL_HTTP_ADDR=127.0.0.1:1 PP_STORE=consul run -69 iptables
	CONSUL_HTTP_SSL=nonsense PP_STORE=consul run -78 iptables
	store_put pp/store '{'
	run -69 iptables
	# Waiting for a precondition is well, too.
	store_identify
	pp intent set slug/demo versions.a=active
	run -0 pp converge setlive --app=slug --runit="$BATS_TEST_TMPDIR" --runit-stage="$BATS_TEST_TMPDIR/stage"
}

@test "--detailed-exitcodes is a sum: 2 changed, 4 failed, 8 waiting" {
	two_apps
	run -2 iptables --detailed-exitcodes
	run -0 iptables --detailed-exitcodes
	store_put clusters/web/demo/config '{'
	run -4 iptables --detailed-exitcodes
	pp intent set slug/demo ports=90
	run -6 iptables --detailed-exitcodes --dry-run
	run -6 iptables --detailed-exitcodes
	pp intent set slug/demo versions.a=active
	run -8 pp converge setlive --detailed-exitcodes --app=slug --runit="$BATS_TEST_TMPDIR" \
		--runit-stage="$BATS_TEST_TMPDIR/stage"
	run -12 pp converge setlive --detailed-exitcodes --runit="$BATS_TEST_TMPDIR" \
		--runit-stage="$BATS_TEST_TMPDIR/stage"
	PP_STORE=dir:/nonexistent run -69 iptables --detailed-exitcodes
	run -64 iptables --detailed-exitcodes --nonsense
	PP_DETAILED_EXITCODES=1 run -4 iptables
}

@test "--dry-run prints the plan, and changes neither the node nor the state directory" {
	two_apps
	run -0 --separate-stderr iptables --dry-run
	[ "$(grep ' would ' <<<"$output")" = "iptables slug: would open its ports (its ports are not open yet)
iptables web: would open its ports (its ports are not open yet)
iptables node: would write the rules of port_authority (apps' ports changed)" ]
	[ "$stderr" = "" ]
	[ ! -e "$PORTS" ]
	[ ! -e "$PP_STATE_DIR" ]
	run -0 iptables
	run -0 --separate-stderr iptables -n
	[ "$output$stderr" = "" ]
}

# A port_authority that takes its time, and a run that is in the middle of it.
slow_run() {
	printf '#!/bin/sh\n: >"%s/started"\nexec sleep %s\n' "$BATS_TEST_TMPDIR" "$1" >"$BATS_TEST_TMPDIR/slow"
	chmod +x "$BATS_TEST_TMPDIR/slow"
	rm -f "$BATS_TEST_TMPDIR/started"
	spawn run "$PP" converge iptables --cmd="$BATS_TEST_TMPDIR/slow" --config-dir="$PORTS" "${@:2}"
	wait_until test -e "$BATS_TEST_TMPDIR/started"
}

@test "one run at a time an agent and node: the second exits 75 at once and does nothing" {
	two_apps
	slow_run 30
	rm "$PORTS/web.yml"
	start=$EPOCHSECONDS
	refused 75 "another run of iptables on node1 is under way (pid $SPAWNED)" iptables
	[ $((EPOCHSECONDS - start)) -le 20 ]
	[ ! -e "$PORTS/web.yml" ]
	# Another agent, another node, a look and a status are not kept waiting.
	run -0 pp converge sudoers --path="$BATS_TEST_TMPDIR/sudoers"
	PP_NODE=node2 run -0 pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports2"
	run -0 iptables --dry-run
	run --separate-stderr pp status
	[ "$status" -le 1 ]
	# It ends with the process, however that ended.
	despawn "$SPAWNED" KILL
	run -0 iptables
	[ -e "$PORTS/web.yml" ]
}

@test "--timeout ends a run that takes too long, as a failure, and the next one makes up for it" {
	two_apps
	printf '#!/bin/sh\nexec sleep 30\n' >"$BATS_TEST_TMPDIR/slow"
	chmod +x "$BATS_TEST_TMPDIR/slow"
	start=$EPOCHSECONDS
	run -1 --separate-stderr pp converge iptables --cmd="$BATS_TEST_TMPDIR/slow" --config-dir="$PORTS" --timeout=700ms
	[ $((EPOCHSECONDS - start)) -le 20 ]
	[[ $stderr == *"FATAL"* ]]
	run ! pgrep -f "^sleep 30$" -P 1
	run -0 --separate-stderr iptables
	[[ $stderr == *"refreshing portauthority"* ]]
	run -0 --separate-stderr iptables
	[ "$stderr" = "" ]
}

@test "--wait goes on, and takes up a change of intent before its time is over" {
	two_apps
	spawn wait "$PP" converge iptables --cmd=true --config-dir="$PORTS" --wait=20s
	wait_until test -e "$PORTS/slug.yml"
	sleep 0.3
	pp intent set slug/demo ports=90
	wait_until grep -q 'port: 90' "$PORTS/slug.yml"
	refused 75 "another run" iptables
	despawn "$SPAWNED"
	start=$EPOCHREALTIME
	run -0 iptables --wait=1s
	[ $((${EPOCHREALTIME/./} - ${start/./})) -ge 900000 ]
}

@test "--splay starts late, by the same time each time" {
	two_apps
	took() {
		local start=${EPOCHREALTIME/./}

		iptables --splay=1s 2>/dev/null
		echo $(((${EPOCHREALTIME/./} - start) / 1000))
	}
	first=$(took)
	second=$(took)
	[ "$first" -le 1500 ]
	difference=$((first - second))
	[ "${difference#-}" -le 150 ]
	PP_NODE=node2 run -0 took
	difference=$((first - output))
	[ "${difference#-}" -gt 20 ]
}

@test "a disabled agent does nothing until it is enabled" {
	two_apps
	run -0 pp disable iptables -m "moving the firewall"
	run -0 --separate-stderr iptables
	[ "$stderr" = "" ]
	[ ! -e "$PORTS/slug.yml" ]
	run -0 --separate-stderr iptables --verbose
	[[ $stderr == *"iptables is disabled on this node: moving the firewall"* ]]
	run -0 pp converge sudoers --path="$BATS_TEST_TMPDIR/sudoers"
	[ -e "$BATS_TEST_TMPDIR/sudoers/pp-slug" ]
	run -0 pp enable iptables
	run -0 iptables
	[ -e "$PORTS/slug.yml" ]
	refused 64 "" pp disable nonsense
	refused 64 "" pp disable
}

# --- cost

@test "help and a dir store do without libcurl; a Consul elsewhere loads it" {
	command -v strace >/dev/null || skip "needs strace"
	two_apps
	opens() {
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0" \
			strace -f -e trace=openat,open -o "$BATS_TEST_TMPDIR/trace" "$PP" "$@" >/dev/null 2>&1 || :
		grep -c libcurl "$BATS_TEST_TMPDIR/trace" || :
	}
	[ "$(opens --help)" = 0 ]
	[ "$(opens converge iptables --cmd=true --config-dir="$PORTS")" = 0 ]
	[ "$(CONSUL_HTTP_ADDR=https://127.0.0.1:1 PP_STORE=consul opens status)" -ge 1 ]
}
