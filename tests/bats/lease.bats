#!/usr/bin/env bats
# The lease, against a real Consul: tests/drivers/lease.c calls what is in lib/service/lease.h.

load helper
load store

setup_file() {
	consul_start --server --acl
	HELPER_TOKEN=$(consul_token 'key_prefix "clusters/" { policy = "read" }
		key_prefix "pp/" { policy = "read" }
		key_prefix "locks/" { policy = "write" }
		service_prefix "" { policy = "write" }
		node_prefix "" { policy = "read" }')
	export HELPER_TOKEN HELPER_CONSUL_PORT HELPER_CONSUL_TOKEN
}

setup() {
	helper_setup
	export CONSUL_HTTP_TOKEN=$HELPER_TOKEN
	store_identify
}

lease() {
	"$PP_BUILD/drivers/lease" "$@"
}

config() {
	store_put clusters/slug/prod/config "{\"versions\": {}, \"min_nodes\": $1}"
}

# node NAME VERSION passing|warning|critical [META]: an instance as pp registers it.
node() {
	consul_api PUT /v1/agent/service/register --data-binary "{\"Name\": \"slug\", \"ID\": \"slug-$1\",
		\"Tags\": [\"prod\"], \"Meta\": {\"pp\": \"1\", \"pp-node\": \"$1\", \"pp-version\": \"$2\"${4:+, $4}},
		\"Check\": {\"TTL\": \"600s\", \"Status\": \"$3\"}}"
	wait_until seen "$1" "$3"
}

seen() {
	consul_api GET '/v1/health/service/slug?consistent' |
		jq -e --arg id "slug-$1" --arg is "$2" \
			'any(.[]; .Service.ID == $id and any(.Checks[]; .ServiceID == $id and .Status == $is))' >/dev/null
}

# what is marked: NODE VERSION a line
marks() {
	store_get locks/slug/prod | jq -r 'to_entries[] | "\(.key) \(.value | sub("^[0-9a-f]{32} "; ""))"'
}

@test "one after the other goes down, and says whom it waits for" {
	config 2
	for name in a b c; do node $name A passing; done
	run -0 lease take slug prod a B healthy
	[ "$output" = granted ]
	[ "$(marks)" = "a B" ]
	run -0 lease take slug prod b B healthy
	[ "$output" = "waiting: min_nodes is 2, and only 1 other node of prod is up: a (for B) is down on purpose" ]
	[ "$(marks)" = "a B" ]
	lease return slug prod a
	[ "$(marks)" = "" ]
	[ "$(store_get locks/slug/prod | jq -c .)" = '{}' ]
	lease return slug prod a
	node a B passing
	run -0 lease take slug prod b B healthy
	[ "$output" = granted ]
	[ "$(marks)" = "b B" ]
}

@test "what the catalogue has is looked at with consistent, after the documents" {
	config 1
	node a A passing
	node b A passing
	liar_start
	run -0 lease take slug prod a B healthy
	[ "$output" = granted ]
	[ "$(cut -d' ' -f2- "$LIAR_LOG" | sed 's| HTTP.*||')" = "PUT /v1/txn?consistent
GET /v1/health/service/slug?tag=prod&consistent
PUT /v1/txn" ] || fail "$(cat "$LIAR_LOG")"
}

@test "a mark is always a new one, also of a node that is marked" {
	config 0
	lease take slug prod a B healthy
	before=$(store_get locks/slug/prod)
	lease take slug prod a B healthy
	[ "$(marks)" = "a B" ]
	[ "$(store_get locks/slug/prod)" != "$before" ]
}

@test "a config that changes between the look and the mark is looked at again" {
	config 1
	node a A passing
	node b A passing
	liar_start
	lie '/v1/health/' run "curl -sf -X PUT -H 'X-Consul-Token: $HELPER_CONSUL_TOKEN' -d '{\"min_nodes\": 2}' http://127.0.0.1:$HELPER_CONSUL_PORT/v1/kv/clusters/slug/prod/config"
	run -0 lease take slug prod a B healthy
	[[ $output == "waiting: min_nodes is 2"* ]]
	[[ "$(store_keys)" != *locks/* ]]
}

@test "a mark of somebody else between the look and the mark is looked at again" {
	config 1
	node a A passing
	node b A passing
	liar_start
	lie '/v1/health/' run "curl -sf -X PUT -H 'X-Consul-Token: $HELPER_CONSUL_TOKEN' -d '{\"b\": \"0 C\"}' http://127.0.0.1:$HELPER_CONSUL_PORT/v1/kv/locks/slug/prod"
	run -0 lease take slug prod a B healthy
	[[ $output == "waiting: "*"b (for C) is down on purpose" ]]
	[ "$(store_get locks/slug/prod | jq -c .)" = '{"b":"0 C"}' ]
}

written_twice() {
	[ "$(grep -c 'PUT /v1/txn$' "$LIAR_LOG")" -ge 2 ]
}

@test "a write whose outcome is not known is looked at and made again" {
	config 1
	node a A passing
	node b A passing
	liar_start
	lie '/v1/txn$' status 500 rpc error: leadership lost while committing log
	(
		wait_until written_twice
		truth
	) 3>&- &
	pid=$!
	run -0 lease take slug prod a B healthy
	wait "$pid"
	[ "$output" = granted ]
	written_twice
	[ "$(marks)" = "a B" ]
}

@test "who is up, marked by a run that died, and may not go down gets its mark taken out" {
	config 1
	node a A passing
	node b A passing
	store_put locks/slug/prod '{"a": "0 B", "b": "1 B"}'
	run -0 lease take slug prod a B healthy
	[[ $output == "waiting: "* ]]
	[ "$(store_get locks/slug/prod | jq -c .)" = '{"b":"1 B"}' ]
	run -0 lease take slug prod b B healthy
	[ "$output" = granted ]
}

@test "a dead holder costs nothing" {
	config 2
	for name in a b c; do node $name A passing; done
	node dead A critical
	store_put locks/slug/prod '{"dead": "0 A", "never": "1 A"}'
	run -0 lease take slug prod a A healthy
	[ "$output" = granted ]
	[ "$(marks | sed -n '/^a /p')" = "a A" ]
}

@test "who is not healthy is marked without the guard" {
	config 5
	node a A critical
	run -0 lease take slug prod a B ill
	[ "$output" = granted ]
	[ "$(marks)" = "a B" ]
}

@test "a version that failed elsewhere halts" {
	config 0
	node a A passing
	node b B critical '"pp-failed": "1"'
	run -0 lease take slug prod a B healthy
	[[ $output == "halted: B failed on b, so no node"* ]]
	run -0 lease take slug prod a B healthy 2
	[ "$output" = granted ]
}

@test "names and tags that differ in case only are others" {
	config 1
	node a A passing
	consul_api PUT /v1/agent/service/register --data-binary '{"Name": "slug", "ID": "x", "Tags": ["Prod"]}'
	consul_api PUT /v1/agent/service/register --data-binary '{"Name": "Slug", "ID": "y", "Tags": ["prod"]}'
	# Consul does find them.
	[ "$(consul_api GET '/v1/health/service/slug?tag=prod&consistent' | jq length)" -ge 2 ]
	run -0 lease take slug prod a B healthy
	[[ $output == "waiting: min_nodes is 1, and no other node of prod is up"* ]]
}

@test "the view is what there is" {
	config 3
	node a A passing
	node b B warning
	node c B critical '"pp-failed": "1"'
	store_put locks/slug/prod '{"b": "0f B", "z": "odd", "no name!": "kept"}'
	run -0 lease look slug prod
	[ "$output" = "there 1, min_nodes 3, marked: b>B z>, instances: a/A+ b/B- c/B-f" ]
}

@test "members that are no nodes are kept, a document of another form is not overwritten" {
	config 0
	store_put locks/slug/prod '{"no name!": "kept", "a b": "kept, too"}'
	lease take slug prod a B healthy
	lease return slug prod a
	[ "$(store_get locks/slug/prod | jq -cS .)" = '{"a b":"kept, too","no name!":"kept"}' ]
	for doc in '[]' '{"a": 1}' '{"a": "0", "a": "1"}' 'garbage' '{"a": null}'; do
		store_put locks/slug/prod "$doc"
		refused 65 "locks/slug/prod: " lease take slug prod a B healthy
		[[ $stderr == *"write {} once no node of the cluster is being changed"* ]]
		refused 65 "locks/slug/prod: " lease return slug prod a
		[ "$(store_get locks/slug/prod)" = "$doc" ]
	done
}

@test "a config that cannot be believed grants nothing" {
	for doc in '[]' 'garbage' '{"min_nodes": -1}' '{"min_nodes": "2"}' '{"min_nodes": 2.5}'; do
		store_put clusters/slug/prod/config "$doc"
		refused 65 "clusters/slug/prod/config: " lease take slug prod a B healthy
	done
}

@test "a config that the token may not see is no config without min_nodes" {
	config 2
	CONSUL_HTTP_TOKEN=$(consul_token 'key_prefix "locks/" { policy = "write" }
		service_prefix "" { policy = "write" }
		node_prefix "" { policy = "read" }')
	refused 77 'clusters/slug/prod/config' lease take slug prod a B healthy
	store_delete clusters/slug/prod/config
	CONSUL_HTTP_TOKEN=$HELPER_TOKEN
	run -0 lease take slug prod a B healthy
	[ "$output" = granted ]
}

@test "a catalogue that the token may not see is said to be that, perhaps" {
	config 1
	node a A passing
	node b A passing
	CONSUL_HTTP_TOKEN=$(consul_token 'key_prefix "" { policy = "write" }')
	run -0 lease take slug prod a B healthy
	[[ $output == "waiting: "*'the token may lack service "slug" { policy = "read" }' ]]
}

@test "locks that the token may not write are an error that says what it lacks" {
	config 0
	CONSUL_HTTP_TOKEN=$(consul_token 'key_prefix "" { policy = "read" }
		service_prefix "" { policy = "read" }')
	refused 77 'its policy lacks key "locks/slug/prod" { policy = "write" }' \
		lease take slug prod a B healthy
}

@test "who is marked where is one request" {
	store_put locks/slug/prod '{"a": "0 B"}'
	store_put locks/slug/dev '{"aa": "0 B"}'
	store_put locks/snail/prod '{"a": "0 B", "b": "1"}'
	store_put locks/worm/prod '[]'
	liar_start
	run -0 --separate-stderr lease marked a slug prod slug dev snail prod slug pro worm prod
	[ "$output" = "1 0 1 0 0" ]
	[[ $stderr == *"worm: locks/worm/prod: not an object"* ]]
	[ "$(wc -l <"$LIAR_LOG")" = 1 ]
}

@test "who left is waited for until the catalogue has it as not passing" {
	node a A passing
	refused 1 "still has a as passing in prod" lease gone slug prod a 300
	(
		sleep 0.3
		consul_api PUT /v1/agent/check/fail/service:slug-a
	) 3>&- &
	pid=$!
	run -0 lease gone slug prod a 20000
	wait "$pid"
	run -0 lease gone slug prod nobody 0
}

@test "a dir store has nobody to count" {
	store_dir
	store_put clusters/slug/prod/config '{"min_nodes": 9}'
	run -0 lease take slug prod a B healthy
	[ "$output" = granted ]
	lease return slug prod a
	lease gone slug prod a 0
	run -0 lease marked a slug prod
	[ "$output" = 0 ]
	run -0 lease look slug prod
	[ "$output" = "there 0, min_nodes 0, marked:, instances:" ]
	[ "$(store_keys)" = clusters/slug/prod/config ]
}

@test "five nodes at once, killed at random, and a Consul that is killed: never fewer than three are up" {
	config 3
	spawn roll "$PP_BUILD/drivers/lease" roll 5 3 90
	pid=$SPAWNED
	wait_until grep -q 'a third' "$(helper_dir)/roll.log"
	consul_kill
	helper_consul_run
	wait_until is_gone "$pid"
	wait "$pid" && status=0 || status=$?
	cat "$(helper_dir)/roll.log"
	[ "$status" = 0 ]
	grep -q '^cycles .*at least 3 up, broken 0$' "$(helper_dir)/roll.log"
}
