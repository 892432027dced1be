#!/usr/bin/env bats
# pp intent get, set, unset, diff, assign, unassign. Nothing here depends on which store it is.

load helper
load store

setup() {
	helper_setup
	store_dir
}

set_slug() {
	pp intent set slug/demo versions=abc:prep,def:active min_nodes=2 basedir=/data/slug \
		ports=1212,1231 users=xavier,don user_config.some_value=hello >/dev/null
}

# --- set: what goes where

@test "the key decides which document is written, and all of them at once" {
	run -0 pp intent set slug/demo versions=abc:prep,def:active min_nodes=2 basedir=/data/slug \
		ports=1212,1231 runas=www users=xavier,don email=x@example.org user_config.some_value=hello
	[ "$(store_keys | tr '\n' ' ')" = "clusters/slug/demo/config clusters/slug/demo/deploy_config history/slug/demo/1 owners/slug pp/store " ]
	[ "$(json clusters/slug/demo/config .)" = \
		'{"min_nodes":2,"user_config":{"some_value":"hello"},"versions":{"abc":"prep","def":"active"}}' ]
	[ "$(json clusters/slug/demo/deploy_config .)" = \
		'{"basedir":"/data/slug","ports":[1212,1231],"runas":"www"}' ]
	[ "$(json owners/slug .)" = '{"email":"x@example.org","users":["xavier","don"]}' ]
}

@test "only the documents that change are written" {
	set_slug
	touch -d @1400000000 "$BATS_TEST_TMPDIR"/store/*/*.json "$BATS_TEST_TMPDIR"/store/*/*/*/*.json
	pp intent set slug/demo min_nodes=3
	[ "$(cd "$BATS_TEST_TMPDIR/store" && find . -name '*.json' -newermt @1400000001 | sort | tr '\n' ' ')" = \
		"./clusters/slug/demo/config.json ./history/slug/demo/2.json " ]
}

@test "activating a version demotes the active one in the same write, and prints both" {
	set_slug
	run -0 pp intent set slug/demo versions.abc=active
	[ "$output" = "versions.abc: prep -> active
versions.def: active -> prep" ]
	[ "$(json clusters/slug/demo/config .versions)" = '{"abc":"active","def":"prep"}' ]
}

@test "a version is added, made prep, and removed with KEY- or unset" {
	set_slug
	run -0 pp intent set slug/demo versions.1.2.3=prep
	[ "$output" = "versions.1.2.3: (none) -> prep" ]
	run -0 pp intent set slug/demo versions.abc-
	[ "$output" = "versions.abc: prep -> (none)" ]
	run -0 pp intent unset slug/demo versions.1.2.3
	[ "$output" = "versions.1.2.3: prep -> (none)" ]
	run -0 pp intent set slug/demo versions.def=prep
	[ "$output" = "versions.def: active -> prep" ]
	[ "$(json clusters/slug/demo/config .versions)" = '{"def":"prep"}' ]
	run -0 pp intent unset slug/demo min_nodes user_config.some_value
	[ "$(json clusters/slug/demo/config .)" = '{"user_config":{},"versions":{"def":"prep"}}' ]
}

@test "the active version is removed where another one becomes active by the same command" {
	set_slug
	run -0 pp intent set slug/demo versions.abc=active versions.def-
	[ "$(json clusters/slug/demo/config .versions)" = '{"abc":"active"}' ]
}

@test "ports are numbers, ranges and protocols" {
	set_slug
	run -0 pp intent set slug/demo ports=1212,53/udp,8000-8010,80/tcp,9000-9010/udp
	[ "$output" = 'ports: 1212,1231 -> [1212,{"port":53,"protocol":"udp"},"8000-8010",80,{"port":"9000-9010","protocol":"udp"}]' ]
	[ "$(json clusters/slug/demo/deploy_config .ports)" = \
		'[1212,{"port":53,"protocol":"udp"},"8000-8010",80,{"port":"9000-9010","protocol":"udp"}]' ]
	run -0 pp intent set slug/demo ports:='[{"port": 53, "protocol": "udp", "from": ["10.0.0.0/8"]}]'
	[ "$(json clusters/slug/demo/deploy_config .ports)" = '[{"from":["10.0.0.0/8"],"port":53,"protocol":"udp"}]' ]
	run -0 pp intent set slug/demo ports=
	[ "$(json clusters/slug/demo/deploy_config .ports)" = '[]' ]
}

@test "key=text is text, key:=JSON is JSON, and both go into depth" {
	set_slug
	pp intent set slug/demo user_config.a.b=1 user_config.a.c:=1 user_config.a.d:='[true, null]' \
		user_config.e='x=y, "z"' user_config.f=
	[ "$(json clusters/slug/demo/config .user_config)" = \
		'{"a":{"b":"1","c":1,"d":[true,null]},"e":"x=y, \"z\"","f":"","some_value":"hello"}' ]
	pp intent set slug/demo user_config:='{}'
	[ "$(json clusters/slug/demo/config .user_config)" = '{}' ]
}

@test "times and a supervisor are set" {
	set_slug
	pp intent set slug/demo start_timeout=30 stop_timeout=1m30s drain=500ms supervisor=runit
	[ "$(json clusters/slug/demo/deploy_config '[.start_timeout,.stop_timeout,.drain,.supervisor]')" = \
		'[30,"1m30s","500ms","runit"]' ]
}

@test "removing a version removes its digest" {
	set_slug
	hex=$(printf '%064d' 7)
	pp intent set slug/demo digests.abc=sha256:"$hex" digests.def=sha256:"$hex"
	run -0 pp intent set slug/demo versions.abc-
	[ "$output" = "digests.abc: sha256:$hex -> (none)
versions.abc: prep -> (none)" ]
	[ "$(json clusters/slug/demo/config '.digests|keys')" = '["def"]' ]
}

# --- set: which cluster

@test "the cluster is the one that is named, else PP_CLUSTER, else the only one" {
	set_slug
	run -0 pp intent set slug min_nodes=3
	[ "$(json clusters/slug/demo/config .min_nodes)" = 3 ]
	pp intent set slug/other min_nodes=4
	PP_CLUSTER=other run -0 pp intent set slug min_nodes=5
	[ "$(json clusters/slug/other/config .min_nodes)" = 5 ]
	PP_CLUSTER=other run -0 pp intent set slug/demo min_nodes=6
	[ "$(json clusters/slug/demo/config .min_nodes)" = 6 ]
	[ "$(json clusters/slug/other/config .min_nodes)" = 5 ]
}

@test "where there are several clusters and none is named, they are listed" {
	set_slug
	pp intent set slug/other min_nodes=4
	before=$(store_dump)
	refused 64 "demo, other" pp intent set slug min_nodes=5
	refused 64 "demo, other" pp intent get slug
	refused 64 "no cluster yet" pp intent set fresh min_nodes=5
	[ "$(store_dump)" = "$before" ]
}

@test "an app is not taken for another one whose name begins the same" {
	pp intent set slug2/prod min_nodes=1
	pp intent set slug/demo min_nodes=2
	run -0 pp intent get slug min_nodes
	[ "$output" = 2 ]
}

# --- set: what is refused

@test "what cannot hold is refused with 65 and a reason, and nothing changes" {
	set_slug
	before=$(store_dump)
	long=$(printf 'a%.0s' {1..129})
	while IFS='|' read -r why change; do
		# shellcheck disable=SC2086 # several changes in one line
		refused 65 "$why" pp intent set slug/demo $change
	done <<-EOF
		only one can be|versions=abc:active,def:active
		only one can be|versions:={"abc":"active","def":"active"}
		active or prep|versions.abc=live
		active or prep|versions.abc:=true
		no version|versions.a/b=prep
		no version|versions...=prep
		no version|versions.-a=prep
		no version|versions.$long=prep
		id:value|versions=abc
		twice|versions=abc:prep,abc:prep
		active version|versions.def-
		active version|versions=abc:prep
		active version|versions=
		active version|versions-
		absolute|basedir=data/slug
		absolute|basedir=
		absolute|basedir=./slug
		system directory|basedir=/
		system directory|basedir=/etc
		system directory|basedir=/etc/slug
		system directory|basedir=/usr/lib/slug
		system directory|basedir=/var
		system directory|basedir=/home
		normalised|basedir=/data/../etc
		normalised|basedir=/data//slug
		normalised|basedir=/data/slug/
		basedir|basedir-
		no such key|nonsense=1
		no such key|Versions=abc:prep
		no such key|config.versions=abc:prep
		no such key|=1
		no parts|min_nodes.x=1
		from 1 to 65535|ports=0
		from 1 to 65535|ports=65536
		from 1 to 65535|ports=http
		from 1 to 65535|ports=-1
		from 1 to 65535|ports=8010-8000
		from 1 to 65535|ports=1212,99999999999
		from 1 to 65535|ports=1-2-3
		tcp or udp|ports=53/icmp
		tcp or udp|ports=53/
		list|ports:=1212
		no network|ports:=[{"port":53,"from":["10.0.0"]}]
		whole number|min_nodes=-1
		whole number|min_nodes:=-1
		whole number|min_nodes=1.5
		whole number|min_nodes=two
		whole number|min_nodes:="2"
		object|user_config=x
		name|users=xavier,ALL
		name|users=%ops
		user|runas=root;reboot
		not in capitals|runas=ALL
		duration|stop_timeout=soon
		runit, servicebuilder, systemd or none|supervisor=openrc
		64 hex digits|digests.abc=sha256:12
		not JSON|ports:=[1212
		not JSON|min_nodes:=
	EOF
	[ "$(store_dump)" = "$before" ]
}

@test "a change that is no change is a mistake in usage" {
	set_slug
	before=$(store_dump)
	refused 64 "key=value" pp intent set slug/demo versions
	refused 64 "key=value" pp intent set slug/demo -
	refused 64 "usage: pp intent set" pp intent set slug/demo
	refused 64 "usage: pp intent unset" pp intent unset slug/demo
	[ "$(store_dump)" = "$before" ]
}

@test "names of apps and clusters that could leave their place are refused" {
	for name in .. ../x/y '' /x a/b/c 'a b/c' '.a/b' '-a/b' 'a/..' 'a/' 'a/b/' 'ä/b' "$(printf 'a%.0s' {1..129})/x"; do
		refused 65 "cannot name" pp intent set -- "$name" min_nodes=1
	done
	[ "$(store_keys)" = "" ]
	PP_CLUSTER=../x refused 65 "cannot name a cluster" pp intent set slug min_nodes=1
	[ "$(find "$BATS_TEST_TMPDIR" -name '*.json')" = "" ]
}

@test "one bad change among good ones: none is made" {
	set_slug
	before=$(store_dump)
	refused 65 "no such key" pp intent set slug/demo min_nodes=7 nonsense=1 ports=80
	[ "$(store_dump)" = "$before" ]
}

# --- set: documents

@test "fields that pp does not know are kept when it rewrites a document" {
	set_slug
	store_put clusters/slug/demo/config \
		'{"versions": {"abc": "active"}, "contact": {"who": ["x", 1.5, null]}, "min_nodes": 1}'
	store_put nodes/node1/slug '{"cluster": "demo", "rack": 7}'
	pp intent set slug/demo versions.def=active
	[ "$(json clusters/slug/demo/config .)" = \
		'{"contact":{"who":["x",1.5,null]},"min_nodes":1,"versions":{"abc":"prep","def":"active"}}' ]
	pp intent set slug/other basedir=/data/slug versions=a:prep
	pp intent assign slug/other node1
	[ "$(json nodes/node1/slug .)" = '{"cluster":"other","rack":7}' ]
}

@test "a document that is no JSON is named with line and column, and not overwritten" {
	set_slug
	printf '{"versions": {\n  "abc": active}}\n' >"$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json"
	before=$(cat "$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json")
	refused 65 "clusters/slug/demo/config: line 2, column 15: " pp intent set slug/demo min_nodes=3
	refused 65 "clusters/slug/demo/config: line 2, column 15: " pp intent set slug/demo ports=80
	refused 65 "clusters/slug/demo/config: line 2, column 15: " pp intent get slug/demo
	[ "$(cat "$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json")" = "$before" ]
	[ "$(json clusters/slug/demo/deploy_config .ports)" = '[1212,1231]' ]

	for bad in '' '[]' '"x"' '{"a":1,"a":2}' '{"a":1}{' 'null'; do
		printf '%s' "$bad" >"$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json"
		refused 65 "clusters/slug/demo/config: " pp intent set slug/demo min_nodes=3
		[ "$(cat "$BATS_TEST_TMPDIR/store/clusters/slug/demo/config.json")" = "$bad" ]
	done
}

@test "a document that is JSON but does not hold is mended by a set that makes it hold" {
	set_slug
	store_put clusters/slug/demo/config '{"versions": {"a": "active", "b": "active"}, "min_nodes": -3}'
	refused 65 "only one" pp intent set slug/demo min_nodes=1
	run -0 pp intent set slug/demo versions.a=active min_nodes=1
	[ "$(json clusters/slug/demo/config .)" = '{"min_nodes":1,"versions":{"a":"active","b":"prep"}}' ]
}

@test "a set that changes nothing prints nothing and writes nothing" {
	set_slug
	find "$BATS_TEST_TMPDIR/store" -name '*.json' -exec touch -d @1400000000 {} +
	run -0 pp intent set slug/demo versions.def=active min_nodes=2 ports=1212,1231 users=xavier,don
	[ "$output" = "" ]
	run -0 pp intent unset slug/demo runas versions.none
	[ "$output" = "" ]
	[ "$(find "$BATS_TEST_TMPDIR/store" -name '*.json' -newermt @1400000001)" = "" ]
}

@test "set prints what it changed, and --dry-run prints it without changing it" {
	set_slug
	before=$(store_dump)
	wanted="min_nodes: 2 -> 0
versions.new: (none) -> prep
ports: 1212,1231 -> 80
runas: (none) -> www
users: xavier,don -> xavier"
	run -0 pp intent set slug/demo --dry-run min_nodes=0 versions.new=prep ports=80 runas=www users=xavier
	[ "$output" = "$wanted" ]
	[ "$(store_dump)" = "$before" ]
	run -0 pp intent set slug/demo min_nodes=0 versions.new=prep ports=80 runas=www users=xavier
	[ "$output" = "$wanted" ]
	run -0 --separate-stderr pp intent set slug/demo min_nodes=1
	[ "$stderr" = "" ]
}

# --- get

@test "get prints the whole, one path, and JSON" {
	set_slug
	run -0 pp intent get slug/demo
	[ "$output" = "min_nodes=2
user_config.some_value=hello
versions.abc=prep
versions.def=active
basedir=/data/slug
ports=1212,1231
users=xavier,don" ]
	for pair in min_nodes=2 versions.def=active versions=abc:prep,def:active basedir=/data/slug \
		ports=1212,1231 user_config.some_value=hello 'user_config={"some_value":"hello"}'; do
		run -0 pp intent get slug/demo "${pair%%=*}"
		[ "$output" = "${pair#*=}" ]
	done
	run -0 --separate-stderr pp intent get slug/demo --json
	[ "$(jq -cS 'del(.index)' <<<"$output")" = '{"app":"slug","cluster":"demo","config":{"min_nodes":2,"user_config":{"some_value":"hello"},"versions":{"abc":"prep","def":"active"}},"deploy_config":{"basedir":"/data/slug","ports":[1212,1231]},"owners":{"users":["xavier","don"]}}' ]
	run -0 pp intent get --json slug/demo versions
	[ "$(jq -cS . <<<"$output")" = '{"abc":"prep","def":"active"}' ]
	run -0 pp intent get slug/demo basedir --json
	[ "$output" = '"/data/slug"' ]
}

@test "getting what is not there is an error with a reason" {
	set_slug
	refused 1 "slug/demo has no runas" pp intent get slug/demo runas
	refused 1 "slug/demo has no versions.nope" pp intent get slug/demo versions.nope --json
	refused 65 "no intent for slug/prod" pp intent get slug/prod
	refused 64 "no cluster yet" pp intent get nope
}

@test "what get prints, set takes: the documents are the same again" {
	set_slug
	hex=$(printf '%064d' 7)
	pp intent set slug/demo versions.1.2.3=prep digests.1.2.3=sha256:"$hex" groups=ops,dev email='a b@c' \
		ports:='[1212,"8000-8010",{"port":53,"protocol":"udp","from":["10.0.0.0/8"]}]' drain=5 \
		stop_timeout=1m runas=www user_config:='{"empty": {}, "list": [1, "a,b"], "number": "12", "blank": " x ",
			"none": "", "lines": "a\nb", "quote": "say \"hi\"", "deep": {"er": {"yet": 1.5}}, "nil": null,
			"a.b": {"c=d": 1}, "json": "[1]", "sp ace": "x y"}'
	before=$(store_dump -i | sed 's|/demo/|/copy/|')
	mapfile -t lines < <(pp intent get slug/demo)
	rm -r "$BATS_TEST_TMPDIR/store/clusters" "$BATS_TEST_TMPDIR/store/owners"
	pp intent set slug/copy "${lines[@]}"
	[ "$(store_dump -i)" = "$before" ]
}

# --- diff

@test "diff against a file, stdin and another cluster: 0 same, 1 different" {
	set_slug
	pp intent get slug/demo --json >"$BATS_TEST_TMPDIR/slug.json"
	run -0 pp intent diff slug/demo "$BATS_TEST_TMPDIR/slug.json"
	[ "$output" = "" ]
	run -0 pp intent diff slug/demo - <"$BATS_TEST_TMPDIR/slug.json"
	[ "$output" = "" ]

	jq '.config.min_nodes = 9 | .config.versions.new = "prep" | del(.owners)' "$BATS_TEST_TMPDIR/slug.json" \
		>"$BATS_TEST_TMPDIR/other.json"
	wanted="min_nodes: 2 -> 9
versions.new: (none) -> prep"
	run -1 pp intent diff slug/demo "$BATS_TEST_TMPDIR/other.json"
	[ "$output" = "$wanted" ]
	run -1 pp intent diff slug - <"$BATS_TEST_TMPDIR/other.json"
	[ "$output" = "$wanted" ]
	cd "$BATS_TEST_TMPDIR"
	run -1 pp intent diff slug/demo other.json
	[ "$output" = "$wanted" ]

	pp intent set slug/production versions=abc:active min_nodes=2 basedir=/data/slug ports=1212,1231
	run -1 pp intent diff slug/demo slug/production
	[ "$output" = "user_config.some_value: hello -> (none)
versions.abc: prep -> active
versions.def: active -> (none)" ]
	run -1 pp intent diff slug/production slug/demo
	run -0 pp intent diff slug/demo slug/demo
	[ "$output" = "" ]
}

@test "diff takes a file of bare keys, too" {
	set_slug
	echo '{"min_nodes": 2, "versions": {"abc": "prep", "def": "active"}, "user_config": {"some_value": "hello"}}' \
		>"$BATS_TEST_TMPDIR/bare.json"
	run -0 pp intent diff slug/demo "$BATS_TEST_TMPDIR/bare.json"
	echo '{"basedir": "/data/other", "ports": [1212, 1231]}' >"$BATS_TEST_TMPDIR/bare.json"
	run -1 pp intent diff slug/demo "$BATS_TEST_TMPDIR/bare.json"
	[ "$output" = "basedir: /data/slug -> /data/other" ]
}

@test "trouble with diff is more than 1" {
	set_slug
	refused 2 "/nope.json: No such file" pp intent diff slug/demo "$BATS_TEST_TMPDIR/nope.json"
	refused 65 "no intent for slug/production" pp intent diff slug/demo slug/production
	refused 65 "no intent for slug/staging" pp intent diff slug/staging slug/demo
	echo '{' >"$BATS_TEST_TMPDIR/bad.json"
	refused 65 "bad.json: line " pp intent diff slug/demo "$BATS_TEST_TMPDIR/bad.json"
	echo '{"nonsense": 1}' >"$BATS_TEST_TMPDIR/bad.json"
	refused 65 "no such key" pp intent diff slug/demo "$BATS_TEST_TMPDIR/bad.json"
	refused 64 "usage: pp intent diff" pp intent diff slug/demo
	PP_STORE=dir:$BATS_TEST_TMPDIR/bad.json refused 69 "" pp intent diff slug/demo slug/production
}

# --- assign, unassign

@test "assign puts an app on nodes, unassign takes it off, and each prints what it did" {
	set_slug
	run -0 pp intent assign slug/demo web1 web2
	[ "$output" = "nodes/web1/slug: (none) -> demo
nodes/web2/slug: (none) -> demo" ]
	[ "$(store_get nodes/web2/slug | jq -c .)" = '{"cluster":"demo"}' ]
	run -0 pp intent assign slug web1 web3
	[ "$output" = "nodes/web3/slug: (none) -> demo" ]
	run -0 pp intent assign slug/demo web1 web2 web3
	[ "$output" = "" ]
	run -0 pp intent unassign slug/demo web2 web4
	[ "$output" = "nodes/web2/slug: demo -> (none)" ]
	[ "$(store_keys | grep ^nodes | tr '\n' ' ')" = "nodes/web1/slug nodes/web3/slug " ]
	run -0 pp intent unassign slug/demo web2
	[ "$output" = "" ]
}

@test "assign --dry-run says it and does not do it" {
	set_slug
	run -0 pp intent assign slug/demo web1 --dry-run
	[ "$output" = "nodes/web1/slug: (none) -> demo" ]
	run -0 --separate-stderr pp intent assign slug/demo web2
	run -0 pp intent unassign -n slug/demo web2
	[ "$output" = "nodes/web2/slug: demo -> (none)" ]
	[ "$(store_keys | grep ^nodes)" = "nodes/web2/slug" ]
}

@test "unassigning from another cluster than the node's is refused, for all nodes of the command" {
	set_slug
	pp intent set slug/prod basedir=/data/slug versions=a:active
	pp intent assign slug/demo web1
	pp intent assign slug/prod web2
	before=$(store_dump)
	refused 65 "nodes/web2/slug is in cluster prod, not demo" pp intent unassign slug/demo web1 web2
	[ "$(store_dump)" = "$before" ]
	run -0 pp intent assign slug/prod web1
	[ "$output" = "nodes/web1/slug: demo -> prod" ]
}

@test "nodes with bad names, or named twice, are refused, and none is assigned" {
	set_slug
	for name in .. ../../x a/b '' 'a b' .a ä; do
		refused 65 "cannot name a node" pp intent assign slug/demo web1 "$name"
	done
	refused 64 "named twice" pp intent assign slug/demo web1 web2 web1
	refused 64 "usage: pp intent assign" pp intent assign slug/demo
	run ! grep -q ^nodes <(store_keys)
}

@test "assigning an app without documents is done, and says what is missing" {
	run -0 --separate-stderr pp intent assign slug/demo web1
	[[ $stderr == *"slug/demo has no config yet"* ]]
	[ "$output" = "nodes/web1/slug: (none) -> demo" ]
	pp intent set slug/demo versions=a:prep
	run -0 --separate-stderr pp intent assign slug/demo web2
	[[ $stderr == *"slug/demo has no deploy_config yet"* ]]
}

@test "200 nodes are assigned by one command, and taken off again" {
	set_slug
	mapfile -t nodes < <(seq -f 'web%g' 200)
	run -0 pp intent assign slug/demo "${nodes[@]}"
	[ "${#lines[@]}" = 200 ]
	[ "$(store_keys | grep -c ^nodes/)" = 200 ]
	refused 64 "slug/demo is taken off 200 of its 200 nodes: if that is meant, say --allow-empty" \
		pp intent unassign slug/demo "${nodes[@]}"
	run -0 pp intent unassign slug/demo "${nodes[@]}" --allow-empty
	[ "${#lines[@]}" = 200 ]
	[ "$(store_keys | grep -c ^nodes/)" = 0 ]
}

# --- pp/store

@test "the first write gives the store an id, which stays" {
	run -0 pp intent set --dry-run slug/demo min_nodes=1
	[ "$(store_keys)" = "" ]
	run -0 pp intent set slug/demo min_nodes=1
	first=$(store_get pp/store)
	[[ $(jq -r .id <<<"$first") =~ ^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$ ]]
	[ "$(jq .schema <<<"$first")" = 1 ]
	pp intent set slug/demo min_nodes=2
	pp intent assign slug/demo web1
	pp intent unassign slug/demo web1
	[ "$(store_get pp/store)" = "$first" ]
}

@test "assigning gives a store that was filled by hand its id, and leaves its documents" {
	store_put clusters/slug/demo/config '{"versions":{"a":"active"}}'
	store_put clusters/slug/demo/deploy_config '{"basedir":"/data/slug"}'
	pp intent assign slug/demo web1
	[ "$(store_get clusters/slug/demo/config)" = '{"versions":{"a":"active"}}' ]
	[ "$(json pp/store .schema)" = 1 ]
}

@test "two stores have two ids" {
	pp intent set slug/demo min_nodes=1
	first=$(json pp/store .id)
	rm -r "$BATS_TEST_TMPDIR/store"
	pp intent set slug/demo min_nodes=1
	[ "$(json pp/store .id)" != "$first" ]
}

# --- --wait

# An app without a service, on this node; what it takes to make it so, without one agent's part.
linked_slug() {
	own_places
	export PP_REPO=$REPO_URL PP_CMD=true
	mkdir -p "$PP_RUNIT" "$PP_RUNIT_STAGE"
	repo_add slug abc none
	repo_add slug def none
	pp intent set slug/demo versions=abc:active,def:prep basedir="$BASEDIR" ports=1212 users=xavier >/dev/null
	pp intent assign slug/demo node1 >/dev/null
}

converge_all() {
	local agent

	for agent in preparer setlive iptables sudoers; do
		pp converge $agent --allow-empty 2>/dev/null || return
	done
}

# follow ARG...: pp intent ARG... in the background.
follow() {
	: >"$BATS_TEST_TMPDIR/follow.log"
	spawn follow "$PP" intent "$@"
	FOLLOWS=$SPAWNED
}

# The change is made and printed, and it waits.
still_follows() {
	wait_until grep -q "$1" "$BATS_TEST_TMPDIR/follow.log"
	sleep 1.5
	is_running "$FOLLOWS" || fail "it has ended: $(cat "$BATS_TEST_TMPDIR/follow.log")"
	run -1 grep APP "$BATS_TEST_TMPDIR/follow.log"
}

follow_ends() {
	local code=0

	wait_until is_gone "$FOLLOWS"
	wait "$FOLLOWS" || code=$?
	output=$(tr -s ' ' <"$BATS_TEST_TMPDIR/follow.log")
	[ "$code" = "$1" ] || fail "exit $code, not $1: $output"
}

@test "--wait goes on until this node is as it was said" {
	body() {
		rm -rf "$BASEDIR" "$PP_STATE_DIR" "${PP_CONFIG_DIR-/nonexistent}" "${PP_PATH-/nonexistent}"
		linked_slug
		follow set slug/demo versions.def=active --wait=2m
		still_follows '^versions.def: prep -> active$'
		converge_all
		follow_ends 0
		[[ $output == *"slug demo abc,def* abc,def def no converged"* ]]

		follow rollback slug/demo --wait=2m
		still_follows '^versions.abc: prep -> active$'
		converge_all
		follow_ends 0
		[[ $output == *"slug demo abc*,def abc,def abc no converged"* ]]

		# There is nothing to change, and it is so.
		run -0 pp intent set slug/demo versions.abc=active --wait=2m
		[[ $output == APP*converged* ]]

		follow unassign slug/demo node1 --allow-empty --wait=2m
		still_follows '^nodes/node1/slug'
		converge_all
		follow_ends 0
		[ ! -e "$PP_PATH/slug" ]

		echo '{"nodes/node1/slug": {"cluster": "demo"}}' >"$BATS_TEST_TMPDIR/all.json"
		follow apply -f "$BATS_TEST_TMPDIR/all.json" --yes --wait=2m
		still_follows 'nodes/node1/slug'
		converge_all
		follow_ends 0
		[[ $output == *"slug demo abc*,def abc,def abc no converged"* ]]
	}
	body
	consul_start
	export PP_STORE=consul
	body
}

@test "--wait: the time is over, and the change is made all the same" {
	linked_slug
	run -1 --separate-stderr pp intent set slug/demo users=don --wait=1s
	[[ $output == users*APP* ]]
	[[ $stderr == "pp intent set: the intent is as you said; waiting for this node: the time of --wait is over: slug: "* ]]
	[ "$(json owners/slug .users)" = '["don"]' ]
	run -1 --separate-stderr pp intent assign slug/demo node1 --wait=0
	[[ $output == APP*slug*pending* ]]
}

@test "--wait: an app that is on other nodes is not waited for, and that is said" {
	linked_slug
	for change in "set slug/other versions=v1:active basedir=/data/other" "assign slug/other web1" \
		"unassign slug/other web1 --allow-empty"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr pp intent $change --wait=2m
		[ "$stderr" = "slug/other is not on this node (node1); its own nodes tell by pp status --wait" ] ||
			[[ $stderr == *"has no "* ]] || fail "$change: $stderr"
		[[ $output != *APP* ]]
	done
	run -0 --separate-stderr pp intent set slug/other min_nodes=1 --node=web7 --wait=2m
	[ "$stderr" = "slug/other is not on this node (web7); its own nodes tell by pp status --wait" ]
}

@test "--wait is refused with --dry-run, and by what changes nothing" {
	set_slug
	refused 64 "--wait has nothing to wait for with --dry-run" pp intent set slug/demo min_nodes=5 -n --wait=1s
	[ "$(json clusters/slug/demo/config .min_nodes)" = 2 ]
	refused 64 "--wait is no option of pp intent get" pp intent get slug/demo --wait=1s
}
