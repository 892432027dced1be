#!/usr/bin/env bats
# pp status: intent and reality side by side, by the agents' own observe and plan.

load helper
load node
load intent

setup() {
	helper_setup
	store_dir
	export RUNIT=$BATS_TEST_TMPDIR/service RUNIT_STAGE=$BATS_TEST_TMPDIR/service-stage
	mkdir "$RUNIT" "$RUNIT_STAGE"
	WIDE=
	cat >"$PP_CONF" <<-EOF
		[preparer]
		repo = $REPO_URL
		[setlive]
		runit = $RUNIT
		runit-stage = $RUNIT_STAGE
		[iptables]
		config-dir = $BATS_TEST_TMPDIR/port_authority.d
		cmd = true
		[sudoers]
		path = $BATS_TEST_TMPDIR/sudoers.d
	EOF
}

teardown() {
	helper_teardown
	[ -z "$WIDE" ] || rm -rf "$WIDE"
}

converge() {
	local agent

	for agent in preparer setlive iptables sudoers; do
		pp converge $agent 2>/dev/null || return
	done
}

# The table without its first line; blanks run together.
rows() {
	tail -n +2 <<<"$output" | tr -s ' ' | sed 's/ $//'
}

# What jq makes of the JSON of slug.
slug_json() {
	pp status slug --format=json | jq -r ".apps[0] | $1"
}

@test "the table: what is intended, prepared, live, running, and in which state" {
	repo_add slug abc123
	repo_add slug def456
	intent_slug >/dev/null
	run -0 --separate-stderr pp status
	[ "$stderr" = "" ]
	[ "$(head -n 1 <<<"$output" | tr -s ' ')" = "APP CLUSTER INTENDED PREPARED LIVE RUNNING STATE REASON" ]
	[ "$(rows)" = "slug demo abc123,def456* - - no pending preparer: it is to be ready" ]

	pp converge preparer 2>/dev/null
	run -0 pp status
	[ "$(rows)" = "slug demo abc123,def456* abc123,def456 - no pending setlive: nothing is live yet" ]

	runit_start
	converge
	run -0 pp status
	[ "$(rows)" = "slug demo abc123,def456* abc123,def456 def456 yes converged" ]

	sv -w 5 down "$RUNIT/slug"
	run -0 pp status
	[ "$(rows)" = "slug demo abc123,def456* abc123,def456 def456 no pending setlive: it is not running" ]
	pp converge setlive 2>/dev/null

	pp intent set slug versions.abc123=active ports=80 >/dev/null
	run -0 pp status
	[ "$(rows)" = "slug demo abc123*,def456 abc123,def456 def456 yes pending setlive: another version is live" ]
}

@test "json says the same, and what each agent makes of the app" {
	repo_add slug abc123
	repo_add slug def456
	intent_slug >/dev/null
	runit_start
	converge
	pp status --format=json | jq -S . >"$BATS_TEST_TMPDIR/json"
	jq -S . >"$BATS_TEST_TMPDIR/want" <<-'EOF'
		{"node": "node1", "apps": [{"app": "slug", "cluster": "demo",
			"intended": {"abc123": "prep", "def456": "active"}, "active": "def456",
			"prepared": ["abc123", "def456"], "live": "def456", "running": "yes",
			"ports": [{"port": "1212", "protocol": "tcp", "from": null},
				{"port": "1231", "protocol": "tcp", "from": null}],
			"logs": {"slug": "STAGE/slug/log/main/current"},
			"state": "converged", "reason": null,
			"agents": {
				"preparer": {"state": "converged", "reason": null},
				"setlive": {"state": "converged", "reason": null},
				"iptables": {"state": "converged", "reason": null},
				"sudoers": {"state": "converged", "reason": null}}}]}
	EOF
	sed -i "s|STAGE|$RUNIT_STAGE|" "$BATS_TEST_TMPDIR/want"
	diff "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/json"
	pp intent set slug ports=80 >/dev/null
	[ "$(slug_json '[.state, .reason, .agents.iptables.state, .agents.setlive.state] | join(" ")')" = \
		"pending setlive: the service definition differs pending pending" ]
}

@test "waiting: the active version is not prepared" {
	intent_slug abc123:active >/dev/null
	store_put clusters/slug/demo/deploy_config "{\"basedir\": \"$BASEDIR\"}"
	store_delete owners/slug
	[ "$(slug_json '[.agents.setlive.state, .agents.setlive.reason] | join(" ")')" = \
		"waiting abc123 not prepared, skipping" ]
	# What there is to do speaks before what is waited for.
	[ "$(slug_json .state)" = pending ]
}

@test "failed: what cannot be done, with the reason, and exit 1" {
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	pp converge preparer 2>/dev/null
	chmod 0644 "$BASEDIR/installs/slug_abc123/bin/launch"
	run -1 pp status
	[[ $(rows) == "slug demo abc123* abc123 - no failed setlive: $BASEDIR/installs/slug_abc123: bin/launch: launch is not executable"* ]]
	[ "$(slug_json .state)" = failed ]
}

@test "held: what is in doubt, with the reason, and exit 1; the others are told all the same" {
	repo_add slug abc123
	repo_add other v1
	intent_slug abc123:active >/dev/null
	pp intent set other/demo versions=v1:prep basedir="$BATS_TEST_TMPDIR/other" ports=99 >/dev/null
	pp intent assign other/demo node1 >/dev/null
	pp converge preparer 2>/dev/null
	pp converge iptables 2>/dev/null
	store_put clusters/slug/demo/config '{"versions": {"a": "active", "b": "active"}}'
	run -1 pp status
	[[ $(rows) == *"slug demo - - - no held preparer: clusters/slug/demo/config: versions: both"* ]]

	[[ $(rows) == "other demo v1 v1 - no converged"* ]]
	# An app that may be gone.
	store_delete nodes/node1/other
	store_delete pp/store
	run -1 pp status other
	[[ $(rows) == "other - - - - no held preparer: "*"has no id (pp/store)"* ]]
}

# The live version is gone back to, as the active one does not start here.
gone_back() {
	repo_add slug abc123
	repo_add slug bad456 fail
	intent_slug abc123:active >/dev/null
	runit_start
	converge
	pp intent set slug versions.bad456=active on_failure=revert start_timeout=1s >/dev/null
	pp converge preparer 2>/dev/null
	run -1 pp converge setlive
	HALTED="bad456 did not get healthy here, so abc123 is live again; this stays so until what is intended changes"
}

@test "halted: what only another intent mends, with the reason, and exit 1" {
	gone_back
	run -1 pp status
	[ "$(rows)" = "slug demo abc123,bad456* abc123,bad456 abc123 yes halted setlive: $HALTED" ]
	[ "$(slug_json '[.state, .agents.setlive.state, .agents.setlive.reason] | join(" ")')" = "halted halted $HALTED" ]
	# It speaks before what another agent has to do, but not before what failed.
	pp intent set slug users=xavier >/dev/null
	[ "$(slug_json '[.state, .agents.sudoers.state] | join(" ")')" = "halted pending" ]
	export PP_TRUSTED_KEYS=$BATS_TEST_TMPDIR/none
	[ "$(slug_json .state)" = failed ]
}

@test "--wait ends with 1 at once when the app is halted, whoever waits" {
	gone_back
	run -1 --separate-stderr pp status slug --wait=2m
	[ "$stderr" = "pp status: slug is halted: setlive: $HALTED" ]
	[[ $(rows) == *" halted setlive: $HALTED"* ]]
	# While it is waited, too; and another app is not waited for either.
	pp intent set slug versions.abc123=active >/dev/null
	pp intent set other/demo versions=v1:active basedir="$BATS_TEST_TMPDIR/other" >/dev/null
	pp intent assign other/demo node1 >/dev/null
	follow --wait=2m
	still_follows
	pp intent set slug versions.bad456=active >/dev/null
	follow_ends 1
	[[ $output == *"pp status: slug is halted: "* ]]
	run -1 --separate-stderr pp intent set slug users=xavier --wait=2m
	[[ $stderr == "pp intent set: the intent is as you said; waiting for this node: slug is halted: setlive: $HALTED" ]]
	# What has to do with another app, waits for that one only.
	run -1 --separate-stderr pp status other --wait=0
	[[ $stderr == "pp status: the time of --wait is over: other: preparer: "* ]]
}

@test "where the log of each service is, for an app that is named" {
	repo_add slug abc123 pair
	repo_add other v1
	intent_slug abc123:active >/dev/null
	pp intent set other/demo versions=v1:active basedir="$BATS_TEST_TMPDIR/other" >/dev/null
	pp intent assign other/demo node1 >/dev/null
	runit_start
	# There is none to tell of before it is prepared.
	run -0 pp status slug
	[[ $output != *"log of"* ]]
	[ "$(slug_json '.logs | length')" = 0 ]
	converge
	run pp status
	[[ $output != *"log of"* ]]
	run -0 pp status slug
	[ "$(grep 'log of' <<<"$output")" = "slug: log of slug__web: $RUNIT_STAGE/slug__web/log/main/current
slug: log of slug__worker: $RUNIT_STAGE/slug__worker/log/main/current" ]
	wait_until test -e "$(slug_json '.logs.slug__web')"
	# By what the app is under.
	[ "$(PP_SUPERVISOR=systemd slug_json '.logs.slug__web')" = "journalctl -u pp-slug__web" ]
	[ "$(PP_SUPERVISOR=none slug_json '.logs | length')" = 0 ]
}

@test "an app that is gone is shown for as long as something of it is left" {
	repo_add slug abc123
	intent_slug abc123:prep >/dev/null
	pp converge iptables 2>/dev/null
	store_delete nodes/node1/slug
	run -0 pp status
	[[ $(rows) == "slug - - - - no waiting "*": 1 of 1 apps would be removed at once; a pass after "* ]]
	pp intent set other/demo versions=v1:prep basedir="$BATS_TEST_TMPDIR/other" >/dev/null
	pp intent assign other/demo node1 >/dev/null
	run -0 pp status
	[ "$(rows | grep ^slug)" = "slug - - - - no pending iptables: the app is not assigned to this node any more" ]
	pp converge iptables 2>/dev/null
	store_delete nodes/node1/other
	run -0 pp status
	[ "$(rows)" = "" ]
}

@test "apps, and clusters of them, are shown by name" {
	intent_slug >/dev/null
	pp intent set other/demo versions=v1:prep basedir="$BATS_TEST_TMPDIR/other" >/dev/null
	pp intent assign other/demo node1 >/dev/null
	run -0 pp status
	[ "$(rows | wc -l)" -eq 2 ]
	for name in slug slug/demo; do
		run -0 pp status "$name"
		[[ $(rows) == "slug demo "* ]]
		[ "$(rows | wc -l)" -eq 1 ]
	done
	run -1 --separate-stderr pp status slug/other slu
	[ "$(rows)" = "" ]
	[[ $stderr == *slug/other*slu* ]]
	run -0 pp status other slug
	[ "$(rows | wc -l)" -eq 2 ]
}

@test "what status says is pending is what --dry-run would do, for each agent" {
	repo_add slug abc123
	repo_add slug def456
	intent_slug >/dev/null
	runit_start
	agree() {
		local agent state

		for agent in preparer setlive iptables sudoers; do
			state=$(slug_json ".agents.$agent.state")
			run -0 pp converge $agent --dry-run
			if [ "$state" = pending ]; then
				[[ $output == *"$agent slug: would "*"($(slug_json ".agents.$agent.reason"))"* ]] ||
					fail "$agent: $state but: $output"
			elif [ "$state" = converged ]; then
				[[ $output != *"slug: would"* ]] || fail "$agent: $state but: $output"
			else
				[[ $output == "$agent slug: $state: $(slug_json ".agents.$agent.reason")" ]] || fail "$agent: $state but: $output"
			fi
		done
	}
	agree
	[ "$(slug_json .agents.setlive.state)" = waiting ]
	pp converge preparer 2>/dev/null
	agree
	converge
	agree
	[ "$(slug_json .state)" = converged ]
	pp intent set slug versions.abc123=active ports=80 users=xavier >/dev/null
	agree
}

@test "status changes nothing, and needs no state directory" {
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	before=$(snapshot "$HOME" "$REPO" "$RUNIT" "$RUNIT_STAGE" "${PP_STORE#dir:}")
	run -0 pp status
	run -0 pp status --format=json
	[ "$(snapshot "$HOME" "$REPO" "$RUNIT" "$RUNIT_STAGE" "${PP_STORE#dir:}")" = "$before" ]
	[ ! -e "$PP_STATE_DIR" ]
	[ ! -e "$BASEDIR" ]
	pp converge preparer 2>/dev/null
	pp converge iptables 2>/dev/null
	pp intent set slug ports=80 >/dev/null
	store_delete owners/slug
	all=("$HOME" "$REPO" "$RUNIT" "$RUNIT_STAGE" "${PP_STORE#dir:}" "$PP_STATE_DIR" "$BASEDIR" "$BATS_TEST_TMPDIR/port_authority.d")
	before=$(snapshot "${all[@]}")
	run -0 pp status
	[ "$(snapshot "${all[@]}")" = "$before" ]
}

@test "status works for who may only look, and while an agent is at it" {
	need_root
	WIDE=$(mktemp -d /tmp/pp-wide.XXXXXX)
	chmod 0755 "$WIDE"
	BASEDIR=$WIDE/slug
	export PP_STORE=dir:$WIDE/store PP_STATE_DIR=$WIDE/state
	mkdir "$WIDE/store"
	repo_add slug abc123
	repo_add slug def456
	intent_slug >/dev/null
	pp converge preparer 2>/dev/null
	cp "$PP" "$WIDE/pp"
	mkdir -p "$WIDE/state/lock"
	exec 8>>"$WIDE/state/lock/setlive@node1"
	flock -n 8
	run -0 --separate-stderr setpriv --reuid=nobody --regid=nogroup --clear-groups \
		env PP_CONF=/nonexistent "$WIDE/pp" status
	exec 8>&-
	[ "$(rows)" = "slug demo abc123,def456* abc123,def456 - no pending setlive: nothing is live yet" ]
}

@test "a store that is not there is exit 69, a format that is none is exit 64" {
	run -64 --separate-stderr pp status --format=xml
	[ "$stderr" = "pp status: --format=xml: write table or json" ]
	rm -r "${PP_STORE#dir:}"
	run -69 --separate-stderr pp status
	[[ $stderr == "pp status: dir:"* ]]
	[ "$output" = "" ]
}

# --- --wait

# follow ARG...: pp status ARG... in the background, its output in follow.log.
follow() {
	: >"$BATS_TEST_TMPDIR/follow.log"
	spawn follow "$PP" status "$@"
	FOLLOWS=$SPAWNED
}

# It goes on for longer than it takes to look again, and has said nothing.
still_follows() {
	sleep 1.5
	is_running "$FOLLOWS" || fail "it has ended: $(cat "$BATS_TEST_TMPDIR/follow.log")"
	[ ! -s "$BATS_TEST_TMPDIR/follow.log" ] || fail "it has said: $(cat "$BATS_TEST_TMPDIR/follow.log")"
}

# It ends with the exit status $1; what it has printed is in $output.
follow_ends() {
	local code=0

	wait_until is_gone "$FOLLOWS"
	wait "$FOLLOWS" || code=$?
	output=$(cat "$BATS_TEST_TMPDIR/follow.log")
	[ "$code" = "$1" ] || fail "exit $code, not $1: $output"
}

@test "--wait ends when the last of the agents has made it so, and prints that" {
	body() {
		rm -rf "$BASEDIR" "$PP_STATE_DIR" "$BATS_TEST_TMPDIR"/port_authority.d "$BATS_TEST_TMPDIR"/sudoers.d
		intent_slug >/dev/null
		follow slug --wait=2m
		still_follows
		pp converge sudoers 2>/dev/null
		pp converge preparer 2>/dev/null
		pp converge setlive 2>/dev/null
		still_follows
		pp converge iptables 2>/dev/null
		follow_ends 0
		[ "$(rows)" = "slug demo abc123,def456* abc123,def456 def456 yes converged
slug: open 1212/tcp
slug: open 1231/tcp
slug: log of slug: $RUNIT_STAGE/slug/log/main/current" ]
		run -0 --separate-stderr pp status slug/demo --wait=0 --format=json
		[ "$(jq -r '.apps[0].state' <<<"$output")" = converged ]
		[ "$stderr" = "" ]
	}
	repo_add slug abc123
	repo_add slug def456
	runit_start
	body
	consul_start
	export PP_STORE=consul
	body
	# The engine goes away while it is waited.
	pp intent set slug ports=80 >/dev/null
	follow slug --wait=3s
	still_follows
	consul_kill
	follow_ends 69
}

@test "--wait ends with 1 when its time is over, and says what is missing" {
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	for wait in 0 1s; do
		run -1 --separate-stderr pp status --wait=$wait
		[ "$(rows)" = "slug demo abc123* - - no pending preparer: it is the active version" ]
		[ "$stderr" = "pp status: the time of --wait is over: slug: preparer: it is the active version" ]
	done
	runit_start
	converge
	# Neither what is disabled nor what could not be looked at is done.
	pp intent set slug ports=80 >/dev/null
	pp disable iptables -m 'a test' >/dev/null
	pp converge setlive 2>/dev/null
	run -0 pp status slug
	run -1 --separate-stderr pp status slug --wait=1s
	[[ $stderr == "pp status: the time of --wait is over: slug: iptables: disabled: "*"a test"* ]]
	pp enable iptables >/dev/null
	pp converge iptables 2>/dev/null
	rm -r "$BATS_TEST_TMPDIR/sudoers.d"
	: >"$BATS_TEST_TMPDIR/sudoers.d"
	run -1 pp status
	run -1 --separate-stderr pp status --wait=1s
	[[ $stderr == *"pp status: the time of --wait is over: slug: sudoers: "* ]]
	run -64 pp status --wait=soon
}

@test "--wait follows the intent when it changes, also when the app is unassigned" {
	repo_add slug abc123
	repo_add slug def456
	intent_slug >/dev/null
	# That one app goes is nothing to be careful about where there are others.
	pp intent set other/demo versions=v1:prep basedir="$BATS_TEST_TMPDIR/other" ports=99 >/dev/null
	pp intent assign other/demo node1 >/dev/null
	repo_add other v1
	runit_start
	converge
	pp intent set slug users=xavier >/dev/null
	follow slug/demo --wait=2m
	still_follows
	pp intent set slug versions.abc123=active >/dev/null
	pp converge sudoers 2>/dev/null
	still_follows
	converge
	follow_ends 0
	[[ $(rows) == "slug demo abc123*,def456 abc123,def456 abc123 yes converged"* ]]

	pp intent set slug ports=80 >/dev/null
	follow slug/demo --wait=2m
	still_follows
	pp intent unassign slug/demo node1 --allow-empty >/dev/null
	still_follows
	converge
	follow_ends 0
	[[ $output == *"slug/demo: not assigned to node1"* ]]

	# What is not there from the beginning is a slip.
	run -1 pp status slug --wait=2m
	[[ $output == *"slug: not assigned to node1"* ]]
	run -1 pp status other nix --wait=2m
	[[ $output == *"nix: not assigned to node1"* ]]
	run -0 pp status --wait=2m
}

@test "--wait waits on what failed, what is held, and a store that is away" {
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	runit_start
	pp converge preparer 2>/dev/null
	chmod 0644 "$BASEDIR/installs/slug_abc123/bin/launch"
	run -1 pp status
	follow --wait=2m
	still_follows
	chmod 0755 "$BASEDIR/installs/slug_abc123/bin/launch"
	mv "${PP_STORE#dir:}" "$BATS_TEST_TMPDIR/away"
	still_follows
	mv "$BATS_TEST_TMPDIR/away" "${PP_STORE#dir:}"
	converge
	follow_ends 0

	was=$(store_get clusters/slug/demo/config)
	store_put clusters/slug/demo/config '{"versions": 1}'
	follow --wait=2m
	still_follows
	store_put clusters/slug/demo/config "$was"
	follow_ends 0

	mv "${PP_STORE#dir:}" "$BATS_TEST_TMPDIR/away"
	run -69 --separate-stderr pp status --wait=1s
	[[ $stderr == "pp status: dir:"* ]]
	[ "$output" = "" ]
}

@test "--wait tells what it waits for: on a terminal in one line, with -v when it changes" {
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	run -1 --separate-stderr pp status -v --wait=2s
	[ "$(said | grep -c 'waiting for')" = 1 ]
	[[ $(said) == *"INFO waiting for slug: preparer: it is the active version"* ]]
	[ "$(said | grep -c 'Polling intent store')" = 1 ]
	TERM=xterm on_terminal '' "$PP" status --wait=1s
	[ "$status" = 1 ]
	[[ $output == *$'\e[K'"waiting for slug: preparer: it is the active version"*APP* ]]
	TERM=dumb on_terminal '' "$PP" status --wait=1s
	[[ $output == APP* ]]
}

@test "an agent that cannot look, for another reason than who asks, is a failure of every app" {
	repo_add slug abc123
	intent_slug abc123:prep >/dev/null 2>&1
	export PP_TRUSTED_KEYS=$BATS_TEST_TMPDIR/none
	run -1 --separate-stderr pp status --format=json
	[ "$(jq -r '.apps[0].agents.preparer.state' <<<"$output")" = failed ]
	[[ $(jq -r '.apps[0].reason' <<<"$output") == *"$PP_TRUSTED_KEYS"* ]]
	[[ $stderr == *"preparer: its part is left out: "*"$PP_TRUSTED_KEYS"* ]]
}
