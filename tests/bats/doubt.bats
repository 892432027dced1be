#!/usr/bin/env bats
# Doubt changes nothing: what an agent wrote goes only when a store that this node knows says so.

load helper
load store
load node

setup_file() {
	consul_start --acl
}

setup() {
	helper_setup
	own_places
	PORTS=$BATS_TEST_TMPDIR/ports SUDOERS=$BATS_TEST_TMPDIR/sudoers DATA=$BATS_TEST_TMPDIR/data
	export CONSUL_HTTP_TOKEN=${HELPER_CONSUL_TOKEN-}
}

iptables() {
	pp converge iptables --cmd=true --config-dir="$PORTS" "$@"
}

# shellcheck disable=SC2120
sudoers() {
	pp converge sudoers --path="$SUDOERS" "$@"
}

setlive() {
	pp converge setlive --runit="$RUNIT" --runit-stage="$RUNIT_STAGE" "$@"
}

preparer() {
	pp converge preparer --repo="$REPO_URL" "$@"
}

# slug and web are on this node, which has seen the store before, and has all there is to lose of
# them: installs, links, a service that runs, open ports, sudoers files.
know() {
	local port=80 app

	runit_start
	repo_add slug a
	repo_add web a none
	for app in slug web; do
		pp intent set $app/demo versions=a:active basedir="$DATA/$app" ports=$port,$((port + 1)) users=xavier,don check.exec=/bin/true settle=1
		pp intent assign $app/demo node1
		port=$((port + 2))
	done >/dev/null
	for agent in preparer iptables sudoers setlive; do
		$agent 2>/dev/null
	done
	cmp_files
	PID=$(service_pid slug)
	state_of_node >"$BATS_TEST_TMPDIR/before"
}

cmp_files() {
	[ -f "$PORTS/slug.yml" ] && [ -f "$PORTS/web.yml" ] && [ -f "$SUDOERS/pp-slug" ] && [ -f "$SUDOERS/pp-web" ] &&
		[ -d "$DATA/slug/installs/slug_a" ] && [ "$(readlink "$DATA/slug/current")" = installs/slug_a ]
}

# What there is, with what a change would show in.
state_of_node() {
	find "$PORTS" "$SUDOERS" -type f -exec cksum {} + | sort
	snapshot "$DATA"
	snapshot "$RUNIT_STAGE/slug/run" "$RUNIT_STAGE/slug/log/run" "$RUNIT/slug"
}

untouched() {
	cmp_files || return 1
	state_of_node | diff "$BATS_TEST_TMPDIR/before" - || return 1
	[ "$(service_pid slug)" = "$PID" ]
}

# held STATUS TEXT: every agent exits with STATUS, says TEXT, and leaves all there is as it is; twice.
# preparer has nothing to say of what it does not remove.
held() {
	local agent

	for agent in iptables sudoers setlive preparer iptables sudoers setlive; do
		if [ $agent = preparer ] && [ "$1" -lt 64 ]; then
			run --separate-stderr $agent --timeout=5s
		else
			run -"$1" --separate-stderr $agent --timeout=5s
			[[ $stderr == *"$2"* ]] || fail "$agent does not say \"$2\" but: $stderr"
		fi
		untouched || fail "$agent changed something"
	done
}

vanish() {
	consul_delete nodes/node1/slug
}

removed() {
	run -0 --separate-stderr iptables
	[[ $stderr == *"slug: closing its ports"* ]]
	run -0 --separate-stderr sudoers
	[[ $stderr == *"slug: removing unexpected file: pp-slug"* ]]
	run -0 --separate-stderr setlive
	[[ $stderr == *"slug: Removing service"* ]]
	run -0 --separate-stderr preparer
	[ ! -e "$RUNIT/slug" ]
	is_gone "$PID"
	[ -d "$DATA/slug/installs/slug_a" ]
	[ ! -e "$PORTS/slug.yml" ]
	[ ! -e "$SUDOERS/pp-slug" ]
	[ -e "$PORTS/web.yml" ]
	[ -e "$SUDOERS/pp-web" ]
}

# --- what is believed

@test "an app that was unassigned is removed, and only that one" {
	know
	pp intent unassign slug/demo node1
	removed
	for agent in iptables sudoers setlive preparer; do
		run -0 --separate-stderr $agent
		[ "$output$stderr" = "" ]
	done
}

@test "the last app of a node is removed, too: an empty list of a known store is a statement, made twice" {
	know
	pp intent unassign slug/demo node1
	pp intent unassign web/demo node1
	for agent in iptables sudoers setlive preparer; do
		run -0 --separate-stderr $agent
		untouched
	done
	for agent in iptables sudoers setlive; do
		run -0 --separate-stderr $agent --allow-empty
	done
	[ "$(ls "$PORTS" "$SUDOERS" | grep -c -e yml -e pp- || :)" = 0 ]
	[ ! -e "$RUNIT/slug" ]
}

@test "what was removed for one node stays on another" {
	know
	pp intent assign slug/demo node10
	pp intent unassign slug/demo node1
	export PP_NODE=node10
	run -0 --separate-stderr iptables --app=slug
	[ -e "$PORTS/slug.yml" ]
}

@test "owners that were removed lose their rights; those of a document in doubt keep them" {
	know
	consul_put owners/slug '{"users": ["xavier"'
	run -1 --separate-stderr sudoers
	[[ $stderr == *"slug: held as it is: could not fetch ownership data: owners/slug: line 1"* ]]
	untouched
	consul_delete owners/slug
	liar_start
	lie owners/slug status 500 'sorry'
	know_this_address
	run -1 --separate-stderr sudoers
	[[ $stderr == *"slug: held as it is: could not fetch ownership data"*500* ]]
	untouched
	truth
	run -0 sudoers
	[ ! -e "$SUDOERS/pp-slug" ]
	[ -e "$SUDOERS/pp-web" ]
}

# The node knows a store by its address. So that it knows the proxy's, too:
know_this_address() {
	cp "$LIES" "$LIES.kept"
	truth
	iptables --app=none >/dev/null 2>&1 || :
	cp "$LIES.kept" "$LIES"
	# None of the tests below is about a store that is seen for the first time.
	[ "$(find "$PP_STATE_DIR/stores" -type f | wc -l)" -ge 2 ]
}

# --- which store it is

@test "a store that is seen for the first time removes nothing; the next run does" {
	know
	vanish
	rm -r "$PP_STATE_DIR/stores"
	for agent in iptables sudoers; do
		rm -rf "$PP_STATE_DIR/stores"
		run -1 --separate-stderr $agent
		[[ $stderr == *"slug: held as it is: this node sees consul http://127.0.0.1:$HELPER_CONSUL_PORT for the first time"* ]]
		untouched
	done
	removed
}

@test "a dry run makes no store known" {
	know
	vanish
	rm -r "$PP_STATE_DIR/stores"
	for i in 1 2; do
		run --separate-stderr iptables --dry-run
		run --separate-stderr pp status
	done
	[ ! -e "$PP_STATE_DIR/stores" ]
	run -1 --separate-stderr iptables
	[[ $stderr == *"for the first time"* ]]
	untouched
}

@test "a store without an id removes nothing, and what to do is said" {
	know
	vanish
	consul_delete pp/store
	held 1 "slug: held as it is: consul http://127.0.0.1:$HELPER_CONSUL_PORT has no id (pp/store), so nothing is removed for not being in it; any pp intent set or assign gives it one"
	[[ $stderr != *"web: held"* ]]
}

@test "a wiped store removes nothing, nor does one that was made anew" {
	know
	consul_wipe
	held 1 "has no id (pp/store)"
	pp intent set other/demo basedir=/data/other versions=a:prep
	held 1 "is another store than the one this node knows"
	[[ $stderr == *"if that is right, run pp converge once with --adopt-store"* ]]
	# A dry run adopts nothing.
	run -0 --separate-stderr setlive --adopt-store --dry-run
	held 1 "is another store than the one this node knows"
	# And it is as it says: once, by whichever agent; but all that is there is a lot at once.
	run -0 --separate-stderr preparer --adopt-store
	for agent in iptables sudoers setlive; do
		run -0 --separate-stderr $agent
		untouched
	done
	for agent in iptables sudoers setlive; do
		run -0 --separate-stderr $agent --allow-empty
	done
	[ ! -e "$PORTS/slug.yml" ]
	[ ! -e "$SUDOERS/pp-web" ]
	[ ! -e "$RUNIT/slug" ]
}

@test "another store behind the same name is served: what is new there is done, what is not there stays" {
	know
	vanish
	store_identify 99999999-0000-4000-8000-000000000000
	pp intent set web/demo ports=90
	run -1 --separate-stderr iptables
	[[ $stderr == *"slug: held as it is: consul http://127.0.0.1:$HELPER_CONSUL_PORT is another store than"* ]]
	grep -q 'port: 90' "$PORTS/web.yml"
	[ -e "$PORTS/slug.yml" ]
	# The one that was known comes back: nothing has to be said again.
	store_identify "$(sed -n 1p "$PP_STATE_DIR"/stores/*)"
	removed
}

@test "an id that is none is not believed" {
	know
	vanish
	for bad in '{}' '{"id": ""}' '{"id": 5}' 'x' '[]' '""' "{\"id\": \"$(printf 'a%.0s' {1..64})\"}"; do
		consul_put pp/store "$bad"
		held 69 "the document pp/store holds no id of a store"
	done
}

@test "a store that changes its id between two requests is not believed" {
	for i in {1..40}; do
		consul_put nodes/node1/a$i '{"cluster": "c"}'
		consul_put clusters/a$i/c/config '{}'
		consul_put clusters/a$i/c/deploy_config "{\"basedir\": \"/data/a$i\"}"
	done
	know
	vanish
	liar_start
	know_this_address
	id=$(store_get pp/store | base64 -w0)
	other=$(store_get pp/store | tr 0-8 1-9 | base64 -w0)
	# Only in the first answer, which alone holds nodes/.
	lie /v1/txn replace "(?s)${id//+/\\+}(?=.*nodes/node1) $other"
	held 69 "became another store while it was read"
}

# --- what a token may see

token() {
	CONSUL_HTTP_TOKEN=$(consul_token "$1")
}

@test "a list that is empty because the token may not see it removes nothing" {
	know
	vanish
	token 'key_prefix "pp/" {policy="read"} key_prefix "clusters/" {policy="read"} key_prefix "owners/" {policy="read"}'
	held 77 "nothing was done: "
	[[ $stderr == *"Permission denied"* ]]
}

@test "a list of which the token sees a part removes nothing" {
	know
	token 'key_prefix "pp/" {policy="read"} key_prefix "clusters/" {policy="read"} key_prefix "owners/" {policy="read"} key_prefix "nodes/node1/web" {policy="read"}'
	held 1 "Permission denied"
	[[ $stderr == *"slug: held as it is"* && $stderr != *"web: held as it is"* ]]
}

@test "a token that sees nothing, and none at all, remove nothing" {
	know
	vanish
	token 'key_prefix "elsewhere/" {policy="read"}'
	held 77 "nothing was done: "
	unset CONSUL_HTTP_TOKEN
	held 77 "nothing was done: "
}

@test "a token that may not see which store it is removes nothing" {
	know
	vanish
	token 'key_prefix "nodes/" {policy="read"} key_prefix "clusters/" {policy="read"} key_prefix "owners/" {policy="read"}'
	held 1 "slug: held as it is: it cannot be told which store this is, so nothing is removed: "
	[[ $stderr == *"Permission denied"* && $stderr != *"web: held"* ]]
}

@test "a document that the token may not see holds its app, and no other" {
	know
	token 'key_prefix "pp/" {policy="read"} key_prefix "nodes/" {policy="read"} key_prefix "owners/" {policy="read"} key_prefix "clusters/web/" {policy="read"}'
	held 1 "slug: held as it is: consul at http://127.0.0.1:$HELPER_CONSUL_PORT: read clusters/slug/demo/config"
	[[ $stderr != *"web: held"* ]]
}

@test "a token that is deleted between two requests removes nothing, and nothing is half read" {
	know
	token_made=$(consul_api PUT /v1/acl/token --data-binary \
		"$(jq -n '{Policies: [{Name: "global-management"}]}')")
	CONSUL_HTTP_TOKEN=$(jq -r .SecretID <<<"$token_made")
	run -0 --separate-stderr iptables
	vanish
	liar_start
	know_this_address
	lie . nth 2 run "curl -s -X DELETE -H 'X-Consul-Token: $HELPER_CONSUL_TOKEN' http://127.0.0.1:$HELPER_CONSUL_PORT/v1/acl/token/$(jq -r .AccessorID <<<"$token_made")"
	# The first run loses it on its way, the others never have one.
	held 77 "ACL not found"
	[ "$(grep -c '^1 PUT' "$LIAR_LOG")" -ge 1 ]
}

@test "owners that the token may not see keep their rights" {
	know
	consul_delete owners/slug
	token 'key_prefix "pp/" {policy="read"} key_prefix "nodes/" {policy="read"} key_prefix "clusters/" {policy="read"} key_prefix "owners/web" {policy="read"}'
	run -1 --separate-stderr sudoers
	[[ $stderr == *"slug: held as it is: could not fetch ownership data"*"Permission denied"* ]]
	untouched
}

@test "a token that is not known is exit 77" {
	know
	vanish
	CONSUL_HTTP_TOKEN=11111111-2222-3333-4444-555555555555
	held 77 "ACL not found"
	refused 77 "ACL not found" pp intent get slug/demo
	refused 77 "ACL not found" pp intent set slug/demo min_nodes=3
	token 'key_prefix "" {policy="read"}'
	refused 77 "Permission denied" pp intent set slug/demo min_nodes=3
}

@test "the node agent's token of the manual is enough, and nothing is doubted" {
	know
	token 'key_prefix "nodes/" {policy="read"} key_prefix "clusters/" {policy="read"} key_prefix "owners/" {policy="read"} key_prefix "pp/" {policy="read"} key_prefix "locks/" {policy="write"} service_prefix "" {policy="write"} node_prefix "" {policy="read"}'
	run -0 --separate-stderr iptables
	[ "$stderr" = "" ]
	vanish
	removed
}

# --- answers that lie

@test "a store that is down removes nothing" {
	know
	CONSUL_HTTP_ADDR=127.0.0.1:$(free_port)
	held 69 "nothing was done"
	CONSUL_HTTP_ADDR=unix:///nonexistent held 69 "nothing was done"
}

@test "whatever is wrong with the answer to the list, nothing is removed" {
	know
	vanish
	liar_start
	know_this_address
	printf '{"Results":%s%s}' "$(printf '[%.0s' {1..100000})" "$(printf ']%.0s' {1..100000})" >"$BATS_TEST_TMPDIR/deep"
	printf '{"Results":[{"KV":{"Key":"pp/store","Value":"e30=","ModifyIndex":5,"Note":"\xe9"}}]}' >"$BATS_TEST_TMPDIR/latin1"
	while IFS='|' read -r code text kind; do
		truth
		kind=${kind/DEEP/$BATS_TEST_TMPDIR/deep}
		lie /v1/txn "${kind/LATIN1/$BATS_TEST_TMPDIR/latin1}"
		echo "$kind:"
		held "$code" "$text"
	done <<-'EOF'
		69|HTTP status 500: No cluster leader|status 500 No cluster leader
		69|HTTP status 500|status 500
		69|HTTP status 404|status 404
		69|HTTP status 404|status 404 bare
		69|HTTP status 301|status 301 Moved
		69|HTTP status 429|status 429 slow down
		69|HTTP status 204|status 204
		69|HTTP status 413|status 413 too large
		69|HTTP status 502|status 502
		77|Permission denied|status 403 Permission denied
		69|nothing was done|silent
		69|nothing was done|reset
		69|nothing was done|cut
		69|not JSON|half
		69|larger than|huge
		69|knows no leader|header X-Consul-KnownLeader false
		69|knows no leader|header X-Consul-KnownLeader 0
		69|knows no leader|replace "KnownLeader":\s*true "KnownLeader":false
		69|with Errors|replace "Errors":\s*null "Errors":[{"OpIndex":0,"What":"sorry"}]
		69|not JSON|body
		69|not JSON|body <html>Welcome to nginx!</html>
		69|not JSON|body {"Results":[]}}
		69|not JSON|body {"Results":[],"Results":[]}
		69|without Results|body {}
		69|without Results|body []
		69|without Results|body {"Results":{}}
		69|without Results|body {"Results":"none"}
		69|wrong shape|body {"Results":[{}]}
		69|wrong shape|body {"Results":[null]}
		69|wrong shape|body {"Results":[{"KV":{}}]}
		69|wrong shape|body {"Results":[{"KV":{"Key":5,"Value":"e30=","ModifyIndex":5}}]}
		69|wrong shape|body {"Results":[{"KV":{"Key":"pp/store","Value":"e30","ModifyIndex":5}}]}
		69|wrong shape|body {"Results":[{"KV":{"Key":"pp/store","Value":{},"ModifyIndex":5}}]}
		69|wrong shape|body {"Results":[{"KV":{"Key":"pp/store","Value":"e30=","ModifyIndex":0}}]}
		69|wrong shape|body {"Results":[{"KV":{"Key":"pp/store","Value":"e30="}}]}
		1|has no id|body {"Results":[]}
		1|has no id|body {"Results":null}
		69|no id of a store|body {"Results":[{"KV":{"Key":"pp/store","Value":null,"ModifyIndex":5}}]}
		69|not JSON|replace "ModifyIndex":\s*\d+ "ModifyIndex":18446744073709551616
		69|wrong shape|replace "ModifyIndex":\s*\d+ "ModifyIndex":9007199254740993.5
		69|not JSON|file DEEP
		69|not JSON|file LATIN1
	EOF
	truth
	removed
}

@test "what does not speak HTTP as it should is no store" {
	know
	vanish
	liar_start
	know_this_address
	good='{"Results":[]}'
	ok='HTTP/1.1 200 OK\r\n'
	while IFS='|' read -r text bytes; do
		echo "$bytes:"
		# shellcheck disable=SC2059
		printf "${bytes//GOOD/$good}" >"$BATS_TEST_TMPDIR/raw"
		truth
		lie /v1/txn raw "$BATS_TEST_TMPDIR/raw"
		for agent in iptables setlive; do
			run -69 --separate-stderr $agent --timeout=5s
			[[ $stderr == *"$text"* ]] || fail "not \"$text\" but: $stderr"
			untouched
		done
	done <<-EOF
		no status line|GOOD\r\n\r\n
		no status line|HTTP/2 200\r\n\r\nGOOD
		no status line|HTTP/1.1 20 OK and\r\n\r\nGOOD
		no status line|SSH-2.0-OpenSSH_9.2p1\r\n
		before the answer was whole|HTTP/1.1 200
		before the answer was whole|${ok}
		before the answer was whole|HTTP/1.1 100 Continue\r\n\r\n
		no end of interim answers|$(printf 'HTTP/1.1 100 Continue\\r\\n\\r\\n%.0s' {1..20})
		before the answer was whole|${ok}Content-Length: 15\r\n\r\nGOOD
		its Content-Length|${ok}Content-Length: -1\r\n\r\nGOOD
		its Content-Length|${ok}Content-Length: 14, 14\r\n\r\nGOOD
		its Content-Length|${ok}Content-Length: 99999999999999999999999\r\n\r\nGOOD
		larger than|${ok}Content-Length: 999999999999\r\n\r\nGOOD
		not JSON|${ok}Content-Length: 0\r\n\r\nGOOD
		not JSON|${ok}Content-Length: 13\r\n\r\nGOOD
		its Transfer-Encoding|${ok}Transfer-Encoding: gzip\r\n\r\nGOOD
		its Transfer-Encoding|${ok}Transfer-Encoding: chunked\r\nContent-Length: 14\r\n\r\nGOOD
		a chunk without a size|${ok}Transfer-Encoding: chunked\r\n\r\nGOOD\r\n
		a chunk without a size|${ok}Transfer-Encoding: chunked\r\n\r\n-e\r\nGOOD\r\n0\r\n\r\n
		a chunk without a size|${ok}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nGOOD\r\n0\r\n\r\n
		larger than|${ok}Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\nGOOD\r\n0\r\n\r\n
		before the answer was whole|${ok}Transfer-Encoding: chunked\r\n\r\ne\r\nGOOD\r\n
		before the answer was whole|${ok}Transfer-Encoding: chunked\r\n\r\nf\r\nGOOD
		where it should|${ok}Transfer-Encoding: chunked\r\n\r\nd\r\nGOOD\r\n0\r\n\r\n
		its headers|${ok}$(printf 'A: b\\r\\n%.0s' {1..300})\r\nGOOD
		its headers|${ok}A: \0\r\n\r\nGOOD
		a line without an end|${ok}A: $(printf 'x%.0s' {1..20000})
	EOF
	truth
	# As it should be, in pieces: an empty answer, which is not believed for another reason.
	printf "${ok}Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\n{\r\n00d;x=y\r\n%s\r\n0\r\nX: y\r\n\r\n" "${good:1}" >"$BATS_TEST_TMPDIR/raw"
	lie /v1/txn raw "$BATS_TEST_TMPDIR/raw"
	run -1 --separate-stderr iptables
	[[ $stderr == *"has no id"* ]]
	untouched
	truth
	removed
}

@test "whatever is wrong with the answer about the app itself, it is held" {
	know
	vanish
	liar_start
	know_this_address
	while IFS='|' read -r text kind; do
		truth
		lie /v1/kv/nodes/node1/slug "$kind"
		echo "$kind:"
		held 1 "slug: held as it is: "
		[[ $stderr == *"$text"* ]] || fail "not \"$text\" but: $stderr"
	done <<-'EOF'
		HTTP status 404|status 404 bare
		HTTP status 404|status 404 bare page not found
		HTTP status 500|status 500 No cluster leader
		HTTP status 301|status 301 Moved
		HTTP status 410|status 410 Gone
		HTTP status 204|status 204
		Permission denied|status 403 Permission denied
		is there, but the list did not show it|body []
		consul: |reset
		consul: |cut
		consul: |silent
		knows no leader|header X-Consul-KnownLeader false
		larger than|huge
	EOF
	truth
	removed
}

@test "a list that lacks what is there removes nothing" {
	know
	liar_start
	know_this_address
	# As a server answers that has not read all of its log yet.
	lie /v1/txn replace '\{\s*"KV":\s*\{[^}]*"nodes/node1/slug"[^}]*\}\s*\},'
	held 1 "nodes/node1/slug is there, but the list did not show it"
}

@test "a store that answers too late is given up after --timeout" {
	know
	vanish
	liar_start
	know_this_address
	lie . slow 20
	for agent in iptables sudoers setlive preparer; do
		start=$EPOCHSECONDS
		run -69 --separate-stderr $agent --timeout=500ms
		[[ $stderr == *"nothing was done"* ]]
		[ $((EPOCHSECONDS - start)) -le 15 ]
		untouched
	done
}

@test "one bad document neither removes its own app nor keeps others from being changed" {
	know
	good=$(store_get clusters/slug/demo/deploy_config)
	pp intent set web/demo ports=90
	for bad in '{' '' 'null' '[]' '{"basedir": "/"}' '{"basedir": "/data/slug", "ports": ["x"]}'; do
		consul_put clusters/slug/demo/deploy_config "$bad"
		run -1 --separate-stderr iptables
		[[ $stderr == *"slug: held as it is: clusters/slug/demo/deploy_config: "* ]]
		grep -q 'port: 81' "$PORTS/slug.yml"
		grep -q 'port: 90' "$PORTS/web.yml"
	done
	consul_put clusters/slug/demo/deploy_config "$good"
	for bad in '{' '"demo"' '{}' '{"cluster": 5}' '{"cluster": "../x"}'; do
		consul_put nodes/node1/slug "$bad"
		run -1 --separate-stderr iptables
		[[ $stderr == *"slug: held as it is: nodes/node1/slug: "* ]]
		grep -q 'port: 81' "$PORTS/slug.yml"
		run -1 --separate-stderr sudoers
		[ -e "$SUDOERS/pp-slug" ]
	done
	consul_delete clusters/slug/demo/deploy_config
	consul_put nodes/node1/slug '{"cluster": "demo"}'
	run -1 --separate-stderr iptables
	[[ $stderr == *"slug: held as it is: clusters/slug/demo/deploy_config: there is no such document"* ]]
	grep -q 'port: 81' "$PORTS/slug.yml"
	consul_put nodes/node1/slug '{"cluster": "elsewhere"}'
	run -1 --separate-stderr iptables
	[[ $stderr == *"slug: held as it is: clusters/slug/elsewhere/config: there is no such document"* ]]
	grep -q 'port: 81' "$PORTS/slug.yml"
}

@test "documents that nobody could mean hold their app: depth 100,000, keys twice, no UTF-8, numbers past 2^53" {
	know
	good=$(store_get clusters/slug/demo/deploy_config)
	dir=$BATS_TEST_TMPDIR/bad
	mkdir "$dir"
	base="\"basedir\": \"$DATA/slug\""
	printf '{%s, "x": %s%s}' "$base" "$(printf '[%.0s' {1..100000})" "$(printf ']%.0s' {1..100000})" >"$dir/deep"
	printf '{%s, "ports": [1], "ports": [2]}' "$base" >"$dir/twice"
	printf '{%s, "runas": "\xff\xfe"}' "$base" >"$dir/bytes"
	printf '{%s, "ports": [9007199254740993]}' "$base" >"$dir/port"
	printf '{%s, "ports": [18446744073709551617]}' "$base" >"$dir/beyond"
	printf '{%s, "stop_timeout": 1e308}' "$base" >"$dir/float"
	printf '{%s, "start_timeout": 9007199254740993}' "$base" >"$dir/time"
	printf '{%s' "$base" >"$dir/cut"
	printf '{%s, "ports": [80]}\0{}' "$base" >"$dir/nul"
	for file in "$dir"/*; do
		echo "$file:"
		consul_api PUT /v1/kv/clusters/slug/demo/deploy_config --data-binary "@$file" >/dev/null
		for agent in iptables setlive preparer sudoers; do
			run -1 --separate-stderr $agent
			[[ $stderr == *"slug: held as it is: clusters/slug/demo/deploy_config: "* && $stderr != *"web: held"* ]] ||
				fail "$agent: $stderr"
			untouched
		done
	done
	consul_put clusters/slug/demo/deploy_config "$good"
	for agent in iptables setlive preparer sudoers; do
		run -0 --separate-stderr $agent
		untouched
	done
}

@test "an app that is in doubt is told by status, too, and counted as held" {
	know
	vanish
	consul_delete pp/store
	run --separate-stderr pp status --format=json
	[ "$(jq -r '.apps[] | select(.app == "slug") | .state' <<<"$output")" = held ]
	[[ $(jq -r '.apps[] | select(.app == "slug") | .reason' <<<"$output") == *"has no id"* ]]
	run -4 iptables --detailed-exitcodes
	untouched
}

# --- servers that come and go

@test "while a server is restarted nothing is removed, and after that what is gone is gone" {
	unset HELPER_CONSUL_TOKEN CONSUL_HTTP_TOKEN
	consul_start --server
	know
	for i in {1..300}; do
		printf '{"KV":{"Verb":"set","Key":"fill/%s","Value":"e30="}}\n' $i
	done >"$BATS_TEST_TMPDIR/ops"
	split -l 60 "$BATS_TEST_TMPDIR/ops" "$BATS_TEST_TMPDIR/txn."
	for txn in "$BATS_TEST_TMPDIR"/txn.*; do
		jq -cs . "$txn" | consul_api PUT /v1/txn --data-binary @- >/dev/null
	done
	spawn loop bash -c "until [ -e '$BATS_TEST_TMPDIR/stop' ]; do
		'$PP' converge iptables --cmd=true --config-dir='$PORTS'; echo iptables \$?
		'$PP' converge sudoers --path='$SUDOERS'; echo sudoers \$?
		'$PP' converge setlive --runit='$RUNIT' --runit-stage='$RUNIT_STAGE'; echo setlive \$?
		'$PP' converge preparer --repo='$REPO_URL'; echo preparer \$?
	done"
	loop=$SPAWNED
	for _ in 1 2; do
		wait_until grep -q '^iptables 0$' "$BATS_TEST_TMPDIR/loop.log"
		consul_kill
		# For as long as it takes that an agent sees it.
		wait_until grep -q '^iptables 69$' "$BATS_TEST_TMPDIR/loop.log"
		consul_restart
		untouched
	done
	sleep 0.5
	: >"$BATS_TEST_TMPDIR/stop"
	wait_until is_gone "$loop"
	untouched
	run ! grep -i -e 'closing' -e 'removing' -e 'stopping' "$BATS_TEST_TMPDIR/loop.log"
	grep -q '^iptables 0$' "$BATS_TEST_TMPDIR/loop.log"
	pp intent unassign slug/demo node1
	removed
}

@test "three servers of which two die: no leader, nothing removed; they come back, and it is" {
	unset HELPER_CONSUL_TOKEN CONSUL_HTTP_TOKEN
	: "${CONSUL:=$(command -v consul || sh "$TOP/scripts/consul.sh" --no-fetch)}"
	local lan=() rpc=() http=() pids=() i
	for i in 0 1 2; do
		lan[i]=$(free_port) rpc[i]=$(free_port) http[i]=$(free_port)
	done
	server() {
		spawn consul "$CONSUL" agent -server -bootstrap-expect 3 -data-dir "$BATS_TEST_TMPDIR/data$1" \
			-node "server$1" -bind 127.0.0.1 -client 127.0.0.1 -disable-host-node-id \
			-retry-join "127.0.0.1:${lan[0]}" -retry-join "127.0.0.1:${lan[1]}" -retry-interval 1s \
			-hcl "ports { dns = -1 grpc = -1 serf_wan = -1 http = ${http[$1]} serf_lan = ${lan[$1]} server = ${rpc[$1]} }" \
			-hcl 'performance { raft_multiplier = 1 }' -hcl 'disable_update_check = true'
		pids[$1]=$SPAWNED
	}
	for i in 0 1 2; do
		server $i
	done
	export HELPER_CONSUL_PORT=${http[2]} CONSUL_HTTP_ADDR=127.0.0.1:${http[2]}
	wait_until consul_is_ready
	know
	vanish
	despawn "${pids[0]}" KILL
	despawn "${pids[1]}" KILL
	for agent in iptables sudoers setlive preparer; do
		run -69 --separate-stderr $agent --timeout=20s
		[[ $stderr == *"nothing was done"* ]]
		untouched
	done
	refused 69 "" pp intent set slug/demo min_nodes=3 --timeout=20s
	server 0
	server 1
	wait_until consul_is_ready
	removed
}

# --- the store in a directory

@test "a directory that is gone, empty, closed or half updated removes nothing" {
	store_dir
	store=$BATS_TEST_TMPDIR/store
	know
	rm "$store/nodes/node1/slug.json"
	mv "$store" "$store.away"
	held 69 "dir:$store"
	mkdir "$store"
	held 1 "has no id (pp/store)"
	echo '{"id": "another", "schema": 1}' >"$BATS_TEST_TMPDIR/id"
	mkdir "$store/pp"
	mv "$BATS_TEST_TMPDIR/id" "$store/pp/store.json"
	held 1 "is another store than the one this node knows"
	rm -r "$store"
	mv "$store.away" "$store"
	mkdir "$store/.git"
	: >"$store/.git/index.lock"
	held 69 "is being updated by git"
	rm "$store/.git/index.lock"
	mkdir "$BATS_TEST_TMPDIR/.git"
	: >"$BATS_TEST_TMPDIR/.git/index.lock"
	held 69 "remove $BATS_TEST_TMPDIR/.git/index.lock"
	rm "$BATS_TEST_TMPDIR/.git/index.lock"
	for place in nodes nodes/node1; do
		mv "$store/$place" "$store/away"
		ln -s /nonexistent "$store/$place"
		held 69 "open nodes/node1/: No such file or directory"
		rm "$store/$place"
		: >"$store/$place"
		held 69 "open nodes/node1/: Not a directory"
		rm "$store/$place"
		mv "$store/away" "$store/$place"
	done
	mv "$store/pp/store.json" "$store/pp/away"
	mkfifo "$store/pp/store.json"
	held 69 "pp/store.json is not a regular file"
	rm "$store/pp/store.json"
	mv "$store/pp/away" "$store/pp/store.json"
	removed
}
