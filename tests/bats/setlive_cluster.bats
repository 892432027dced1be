#!/usr/bin/env bats
# pp converge setlive in a cluster, with a real Consul: the lease, marks, maintenance mode, registrations.
# One agent; this node is node1, and others are what is registered and marked by hand.
# shellcheck disable=SC2119,SC2120 # what is run may be given more arguments, or not

load helper
load store
load node
load setlive_node

setup_file() {
	consul_start --server --acl
	HELPER_TOKEN=$(consul_token 'key_prefix "" { policy = "write" }
		service_prefix "" { policy = "write" }
		agent_prefix "" { policy = "read" }
		node_prefix "" { policy = "read" }')
	export HELPER_TOKEN HELPER_CONSUL_PORT HELPER_CONSUL_TOKEN HELPER_CONSUL_DIR
}

setup() {
	helper_setup
	export CONSUL_HTTP_TOKEN=$HELPER_TOKEN
	SEEN=$(mktemp -d /tmp/pp-cluster.XXXXXX)
	export SEEN RUNIT=$BATS_TEST_TMPDIR/service RUNIT_STAGE=$BATS_TEST_TMPDIR/service-stage
	mkdir "$RUNIT" "$RUNIT_STAGE"
}

# with_old [FIELD=VALUE...]: abc123 runs here and is registered; def456 is prepared.
with_old() {
	repo_add slug abc123 sleep bin/disable="$(hook "[ ! -e $SEEN/stay ] || { touch $SEEN/here; sleep 1000; }")"
	[ -e "$REPO/slug/slug_def456.tar.gz" ] || repo_add slug def456
	intent_slug abc123:active,def456:prep >/dev/null
	change start_timeout=4 stop_timeout=5 settle=0 "$@"
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	runit_start
	setlive 2>/dev/null
	runs abc123
	OLD=$(service_pid slug)
}

# service ID: as the agent has it.
service() {
	consul_api GET "/v1/agent/service/$1" 2>/dev/null
}

# other NAME RELEASE passing|critical [META]: an instance on another node, as pp registers it.
other() {
	consul_api PUT /v1/agent/service/register --data-binary "{\"Name\": \"slug\", \"ID\": \"slug-$1\",
		\"Tags\": [\"demo\"], \"Meta\": {\"pp\": \"1\", \"pp-node\": \"$1\", \"pp-version\": \"$2\"${4:+, $4}},
		\"Check\": {\"TTL\": \"600s\", \"Status\": \"$3\"}}"
	# A check that was there before keeps its status.
	consul_api PUT "/v1/agent/check/$([ "$3" = passing ] && echo pass || echo fail)/service:slug-$1"
	wait_until is_seen "$1" "$3"
}

is_seen() {
	consul_api GET '/v1/health/service/slug?consistent' |
		jq -e --arg id "slug-$1" --arg is "$2" \
			'any(.[]; .Service.ID == $id and any(.Checks[]; .ServiceID == $id and .Status == $is))' >/dev/null
}

# release VERSION: what a node that goes to it, with this configuration, says it goes to.
release() {
	printf '%s+%s\n' "$1" "$(service slug | jq -r '.Meta["pp-version"]' | sed 's/.*+//')"
}

marks() {
	{ consul_get locks/slug/demo 2>/dev/null || echo '{}'; } | jq -r 'keys[]' | paste -sd ' '
}

in_maintenance() {
	consul_api GET /v1/agent/checks | jq -e 'has("_service_maintenance:slug")' >/dev/null
}

counted() {
	consul_api GET '/v1/health/service/slug?passing&consistent&tag=demo' |
		jq -r '.[].Service.Meta["pp-node"]' | sort | paste -sd ' '
}

# All is well here: nothing to do, and nobody is marked or in maintenance mode.
all_well() {
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(marks)" = "" ] || fail "marked: $(marks)"
	run ! in_maintenance
	wait_until eval '[[ " $(counted) " == *" node1 "* ]]'
}

# --- the lease

@test "who is needed waits, says for whom, exit 0, and goes when it can" {
	other web2 x passing
	with_old min_nodes=1
	other web2 x critical
	change versions.def456=active
	for again in 1 2; do
		run -0 --separate-stderr setlive
		expect_silence
		untouched
	done
	run -8 setlive --detailed-exitcodes
	run -0 --separate-stderr setlive --verbose
	says "slug: min_nodes is 1, and no other node of demo is up: web2 does not pass"
	run -0 setlive --dry-run
	[[ $output == "setlive slug: waiting: min_nodes is 1, "* ]]
	[ "$(marks)" = "" ]
	# Up, but down on purpose in a moment.
	other web2 x passing
	consul_put locks/slug/demo '{"web2": "0 y"}'
	run -0 --separate-stderr setlive --verbose
	says "web2 (for y) is down on purpose"
	untouched
	consul_put locks/slug/demo '{}'
	run -0 --separate-stderr setlive
	runs def456
	all_well
}

@test "min_nodes above what there is: nobody moves; who does not run starts nevertheless" {
	with_old min_nodes=9
	change versions.def456=active
	run -8 setlive --detailed-exitcodes
	untouched
	sv -w 5 down "$RUNIT/slug"
	run -0 --separate-stderr setlive
	runs def456
	all_well
}

@test "the mark and maintenance mode are there during the stop, and gone after" {
	with_old
	change versions.def456=active drain=2
	"$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>"$SEEN/said" &
	pass=$!
	wait_until in_maintenance
	[ "$(marks)" = node1 ]
	[[ $(consul_get locks/slug/demo | jq -r .node1) == *" def456+"* ]]
	untouched
	wait_until eval '[ "$(counted)" = "" ]'
	wait "$pass"
	runs def456
	all_well
	[ "$(service slug | jq -r '.Meta["pp-version"]')" = "$(release def456)" ]
}

@test "killed with -9 after any of its steps: the next pass finishes, and nothing is left" {
	with_old
	versions=(def456 abc123)
	round=0
	for text in 'drain' Draining Stopping Configuring Symlinking Starting Registering; do
		target=${versions[round++ % 2]}
		rm -f "$SEEN/stay" "$SEEN/here"
		[ "$text" != drain ] || touch "$SEEN/stay"
		change "versions.$target=active"
		: >"$SEEN/said"
		"$PP" converge setlive --verbose --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>"$SEEN/said" &
		pass=$!
		if [ "$text" = drain ]; then
			wait_until test -e "$SEEN/here"
			[ "$(marks)" = node1 ]
			in_maintenance
		else
			wait_until grep -q "$text" "$SEEN/said"
		fi
		kill -9 "$pass" 2>/dev/null || :
		wait "$pass" 2>/dev/null || :
		rm -f "$SEEN/stay"
		run setlive
		[ "$status" = 0 ] || fail "after $text: $output"
		runs "$target"
		all_well
	done
}

@test "killed at its requests: the next pass finishes, and nothing is left" {
	with_old
	liar_start
	: >"$LIAR_LOG"
	change versions.def456=active
	before=$(wc -l <"$LIAR_LOG")
	setlive 2>/dev/null
	requests=$(sed "1,${before}d" "$LIAR_LOG" | cut -d' ' -f2- | sed 's| HTTP.*||; s|?.*||' | sort -u)
	# By what is written: the rest is read before the first change.
	[[ $requests == *"PUT /v1/agent/service/maintenance/slug"* ]]
	[[ $requests == *"PUT /v1/agent/service/register"* ]]
	[[ $requests == *"PUT /v1/txn"* ]]
	version=abc123
	for path in /v1/agent/service/maintenance/slug /v1/agent/service/register; do
		change "versions.$version=active"
		# It is carried out, and whoever asked for it dies.
		rm -f "$SEEN/pid"
		lie "PUT.$path" run "kill -9 \$(cat $SEEN/pid)"
		"$PP" converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" 2>/dev/null &
		echo "$!" >"$SEEN/pid"
		wait "$!" && code=0 || code=$?
		[ "$code" = 137 ]
		truth
		run setlive
		[ "$status" = 0 ] || fail "after $path: $output"
		runs "$version"
		all_well
		version=$([ "$version" = abc123 ] && echo def456 || echo abc123)
	done
}

# --- a version that failed

@test "halted where another node failed on the version, naming it; --continue-on-failure and canary: 2 go on" {
	with_old
	change versions.def456=active
	other web2 "$(release def456)" critical '"pp-failed": "1"'
	run -0 --separate-stderr setlive
	expect_silence
	run -8 setlive --detailed-exitcodes
	run -0 setlive --dry-run
	[[ $output == "setlive slug: halted: "*"failed on web2"* ]] || fail "$output"
	untouched
	[ "$(marks)" = "" ]
	change canary:=2
	run -0 setlive --dry-run
	[[ $output == *"take the lease"* ]]
	change canary:=1
	run -0 --separate-stderr setlive --continue-on-failure
	runs def456
	all_well
}

@test "a version that fails here is said to, once; back to the old one needs no lease" {
	repo_add slug def456 fail
	other web2 x passing
	with_old
	change versions.def456=active start_timeout=1 settle=1
	pp intent unset slug check ports >/dev/null
	run -1 --separate-stderr setlive
	says "def456 is not healthy"
	[ "$(service slug | jq -r '.Meta["pp-failed"]')" = 1 ]
	wait_until eval '[ "$(counted)" = web2 ]'
	index=$(consul_api GET '/v1/catalog/service/slug' | jq '[.[] | select(.ServiceID == "slug") | .ModifyIndex][0]')
	run -1 --separate-stderr setlive
	[ "$(consul_api GET '/v1/catalog/service/slug' | jq '[.[] | select(.ServiceID == "slug") | .ModifyIndex][0]')" = "$index" ]
	# Nobody may go down, but who is broken is down already.
	change min_nodes=9 versions.abc123=active
	run -0 --separate-stderr setlive
	runs abc123
	all_well
	[ "$(service slug | jq -r '.Meta["pp-failed"]')" = 0 ]
}

# --- registration

@test "what is registered as it should be is not registered again; what was taken away is" {
	with_old
	index=$(consul_api GET /v1/catalog/service/slug | jq '.[0].ModifyIndex')
	liar_start
	for again in 1 2 3; do
		run -0 --separate-stderr setlive
		expect_silence
	done
	run ! grep 'PUT /v1/agent/service/register' "$LIAR_LOG"
	[ "$(consul_api GET /v1/catalog/service/slug | jq '.[0].ModifyIndex')" = "$index" ]
	[ "$(service slug | jq -c '[.Service, .Tags, .Port, .Meta.pp, .Meta["pp-node"], .Meta["pp-cluster"]]')" = \
		'["slug",["demo"],1212,"1","node1","demo"]' ]
	consul_api PUT /v1/agent/service/deregister/slug
	run -0 --separate-stderr setlive
	all_well
	untouched
}

@test "a service of that name that is somebody else's is said to be, and is not touched" {
	consul_api PUT /v1/agent/service/register --data-binary '{"Name": "slug", "ID": "slug", "Tags": ["mine"]}'
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	change settle=0
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	runit_start
	setlive 2>/dev/null || :
	runs abc123
	run -1 --separate-stderr setlive
	says "WARN slug: held as it is: "
	[ "$(service slug | jq -c '[.Tags, .Meta]')" = '[["mine"],{}]' ]
	pp intent unassign slug/demo node1 >/dev/null
	run setlive --allow-empty
	[ "$(service slug | jq -c '[.Tags, .Meta]')" = '[["mine"],{}]' ]
}

@test "two nodes that use one agent: the second one is told, and takes nothing away" {
	with_old
	before=$(service slug | jq -cS '.Meta')
	export PP_NODE=node2 PP_STATE_DIR=$BATS_TEST_TMPDIR/state2
	pp intent assign slug/demo node2 >/dev/null
	run -1 --separate-stderr setlive
	says "node1"
	[ "$(service slug | jq -cS '.Meta')" = "$before" ]
	untouched
}

@test "an app goes from one cluster to another: out of the one, into the other" {
	with_old
	pp intent set slug/next versions=abc123:active min_nodes=9 basedir="$BASEDIR" ports=1212 check.exec=/bin/true settle=0 \
		start_timeout=4 stop_timeout=5 >/dev/null
	pp intent assign slug/next node1 >/dev/null
	run -0 --separate-stderr setlive
	runs abc123
	[ "$(service slug | jq -c '[.Tags, .Meta["pp-cluster"]]')" = '[["next"],"next"]' ]
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(marks)" = "" ]
	[ "$(consul_get locks/slug/next 2>/dev/null | jq -r 'keys[]?')" = "" ]
	run ! in_maintenance
}

@test "no active version, and an app that is gone: deregistered, unmarked, not in the catalogue" {
	with_old
	change versions.abc123=prep
	run -0 --separate-stderr setlive
	is_gone "$OLD"
	run ! service slug
	[ "$(marks)" = "" ]
	wait_until eval '[ "$(counted)" = "" ]'
	run -0 --separate-stderr setlive
	expect_silence
	change versions.abc123=active
	setlive 2>/dev/null
	all_well
	pp intent unassign slug/demo node1 >/dev/null
	run -0 --separate-stderr setlive --allow-empty
	run ! service slug
	[ "$(marks)" = "" ]
	[ "$(ls -A "$RUNIT")" = "" ]
	run -0 --separate-stderr setlive --allow-empty
	expect_silence
}

@test "an app that is gone, of which only the registration is left: it goes, too" {
	with_old
	pp intent unassign slug/demo node1 >/dev/null
	runit_stop
	rm -r "$RUNIT/slug" "$RUNIT_STAGE/slug"
	consul_put locks/slug/demo '{"node1": "0 x"}'
	run -0 --separate-stderr setlive --allow-empty
	run ! service slug
	[ "$(marks)" = "" ]
}

@test "an app that is gone but that its cluster needs stays until others are up" {
	with_old min_nodes=1
	pp intent unassign slug/demo node1 >/dev/null
	run -8 setlive --allow-empty --detailed-exitcodes
	[ "$(service_pid slug)" = "$OLD" ]
	other web2 x passing
	run -0 --separate-stderr setlive --allow-empty
	is_gone "$OLD"
	[ "$(counted)" = web2 ]
}

@test "a TTL check lives on what passes tell it" {
	with_old
	check=$(consul_api GET /v1/agent/checks | jq -r '.[] | select(.ServiceID == "slug") | .CheckID')
	[ "$(consul_api GET /v1/agent/checks | jq -r --arg id "$check" '.[$id].Type')" = ttl ]
	consul_api PUT "/v1/agent/check/fail/$check"
	run -0 --separate-stderr setlive
	expect_silence
	[ "$(consul_api GET /v1/agent/checks | jq -r --arg id "$check" '.[$id].Status')" = passing ]
	run -0 setlive --detailed-exitcodes
}

# --- what may not be done, and who is not there

@test "a token that may not write services or marks: a clear error, and nothing is stopped" {
	with_old
	change versions.def456=active
	CONSUL_HTTP_TOKEN=$(consul_token 'key_prefix "" { policy = "read" }
		service_prefix "" { policy = "write" } agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }')
	run -1 --separate-stderr setlive
	says 'its policy lacks key "locks/slug/demo" { policy = "write" }'
	untouched
	CONSUL_HTTP_TOKEN=$(consul_token 'key_prefix "" { policy = "write" }
		service_prefix "" { policy = "read" } agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }')
	run -1 --separate-stderr setlive
	says "the token's policy lacks service \"slug\" { policy = \"write\" }"
	untouched
	CONSUL_HTTP_TOKEN=$HELPER_TOKEN
	run -0 setlive
	runs def456
	all_well
}

@test "an agent that is not there: nothing is stopped, exit 69; one that ends in the middle: the next pass finishes" {
	with_old
	change versions.def456=active
	liar_start
	address=$CONSUL_HTTP_ADDR
	CONSUL_HTTP_ADDR=127.0.0.1:$(free_port)
	run -69 --separate-stderr setlive
	untouched
	CONSUL_HTTP_ADDR=$address
	lie "PUT./v1/agent/service/register" status 500
	lie "PUT./v1/agent/service/maintenance/slug.enable=false" status 500
	run -1 --separate-stderr setlive
	truth
	# It runs, though nobody could be told.
	runs def456
	run -0 setlive
	runs def456
	all_well
}

@test "a lock document that nobody can read, and a tag that was taken away: the trouble of that app, and mended" {
	with_old
	repo_add web v1
	pp intent set web/demo versions=v1:active basedir="$BATS_TEST_TMPDIR/web" settle=0 >/dev/null
	pp intent assign web/demo "$PP_NODE" >/dev/null
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	consul_put locks/slug/demo '["who"]'
	change versions.def456=active
	run -1 --separate-stderr setlive
	says "FATAL slug: locks/slug/demo"
	untouched
	[ "$(readlink "$BATS_TEST_TMPDIR/web/current")" = installs/web_v1 ]

	consul_put locks/slug/demo '{}'
	service slug | jq '{Name: .Service, ID, Port, Meta, Tags: []}' >"$BATS_TEST_TMPDIR/untagged"
	consul_api PUT /v1/agent/service/register --data-binary "@$BATS_TEST_TMPDIR/untagged"
	run -0 --separate-stderr setlive
	runs def456
	[ "$(service slug | jq -c .Tags)" = '["demo"]' ]
	[ "$(marks)" = "" ]
}
