#!/usr/bin/env bats
# pp intent apply, export, check, edit; and big removals. Over both stores.

load helper
load store
load intent

setup_file() {
	consul_start
}

setup() {
	helper_setup
	export TERM=dumb TMPDIR=$BATS_TEST_TMPDIR
	FILES=$BATS_TEST_TMPDIR/files
	FILE=$BATS_TEST_TMPDIR/file.json
}

set_slug() {
	pp intent set slug/demo versions=abc:active min_nodes=2 basedir=/data/slug ports=1212 users=xavier >/dev/null
}

# Two apps on three nodes, with something of everything in them.
set_all() {
	set_slug
	pp intent set web/prod versions=1.2.3:active,2:prep basedir=/data/web ports:='["8000-8010", {"port": 53, "protocol": "udp"}]' \
		user_config:='{"f": 1.5, "big": 9007199254740991, "uml": "ü", "nil": null, "list": [1, "a"], "token": "t"}' >/dev/null
	pp intent assign slug/demo web1 web2 >/dev/null
	pp intent assign web/prod web1 web3 >/dev/null
}

# refused, whatever is on stdout.
refused_but() {
	local status_wanted=$1 text=$2

	shift 2
	run -"$status_wanted" --separate-stderr "$@"
	[[ $stderr == *"$text"* ]] || fail "not \"$text\", but: $stderr"
}

# --- export

@test "export writes each document to KEY.json, byte for byte the same each time, and no more" {
	body() {
		rm -rf "$FILES" "$FILES.2"
		set_all
		store_put locks/slug/demo '{}'
		run -0 --separate-stderr pp intent export "$FILES"
		[ "$output$stderr" = "" ]
		[ "$(cd "$FILES" && find . -type f | LC_ALL=C sort | tr '\n' ' ')" = "./clusters/slug/demo/config.json ./clusters/slug/demo/deploy_config.json ./clusters/web/prod/config.json ./clusters/web/prod/deploy_config.json ./nodes/web1/slug.json ./nodes/web1/web.json ./nodes/web2/slug.json ./nodes/web3/web.json ./owners/slug.json " ]
		[ "$(cat "$FILES/nodes/web1/web.json")" = '{
  "cluster": "prod"
}' ]
		find "$FILES" -type f -exec touch -d @1400000000 {} +
		pp intent export "$FILES"
		[ "$(find "$FILES" -type f -newermt @1400000001)" = "" ]
		# However it was written, it is exported the same.
		store_put nodes/web1/web "$(store_get nodes/web1/web | jq -c .)"
		pp intent export "$FILES.2"
		diff -r "$FILES" "$FILES.2"
		pp intent export - >"$FILE"
		[ "$(jq -r 'keys_unsorted == (keys_unsorted | sort)' "$FILE")" = true ]
		[ "$(tail -c 2 "$FILE")" = "}" ]
	}
	in_both body
}

@test "export leaves files of documents that are gone, and says so; --prune removes them, and nothing else" {
	body() {
		rm -rf "$FILES"
		set_all
		pp intent export "$FILES"
		echo hello >"$FILES/README"
		mkdir -p "$FILES/.git" && echo '{}' >"$FILES/package.json"
		pp intent unassign web/prod web3 >/dev/null
		run -0 --separate-stderr pp intent export "$FILES"
		[[ $stderr == "note: $FILES/nodes/web3/web.json: it is not in the store; --prune removes it" ]]
		run -0 --separate-stderr pp intent export "$FILES" --prune
		[ "$stderr" = "" ]
		[ ! -e "$FILES/nodes/web3/web.json" ]
		[ -e "$FILES/README" ] && [ -e "$FILES/package.json" ] && [ -e "$FILES/nodes/web1/web.json" ]
	}
	in_both body
	PP_STORE=dir:$BATS_TEST_TMPDIR/store
	pp intent set slug/demo min_nodes=4 >/dev/null
	use_consul
	set_slug
	refused 65 "is a store of its own" pp intent export "$BATS_TEST_TMPDIR/store"
}

@test "what cannot be read is no empty store: export fails" {
	set_all
	rm -rf "$FILES"
	liar_start
	for kind in 'reset' 'status 500 No cluster leader' 'status 403 Permission denied'; do
		truth
		lie 'txn' "$kind"
		run ! pp intent export "$FILES" --prune
		[ ! -e "$FILES" ]
	done
	truth
	export CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR
	consul_put clusters/slug/demo/config '{'
	refused 65 "clusters/slug/demo/config: line 1" pp intent export "$FILES"
}

@test "export | apply takes intent from a directory to Consul and back" {
	set_all_in() {
		set_all
		store_put clusters/slug/demo/config '{"versions": {"abc": "active"}, "contact": {"x": [1, null]}}'
	}
	store_dir
	set_all_in
	PP_STORE=dir:$BATS_TEST_TMPDIR/store pp intent export - >"$FILE"
	use_consul
	pp --help >/dev/null
	PP_STORE=dir:$BATS_TEST_TMPDIR/store pp intent export - | pp intent apply --store=consul -f - --yes >/dev/null
	pp intent export - >"$FILE.2"
	diff "$FILE" "$FILE.2"
	[ "$(json pp/store .id)" != "$(jq .id "$BATS_TEST_TMPDIR/store/pp/store.json")" ]
	rm -rf "$BATS_TEST_TMPDIR/store"
	pp intent export - | pp intent apply --store=dir:"$BATS_TEST_TMPDIR/store" -f - --yes >/dev/null
	PP_STORE=dir:$BATS_TEST_TMPDIR/store pp intent export - >"$FILE.3"
	diff "$FILE" "$FILE.3"
	# By files, too.
	pp intent export "$FILES"
	consul_wipe
	pp intent apply -f "$FILES" --yes >/dev/null
	pp intent export - | diff "$FILE" -
}

# --- apply

@test "apply makes all documents what the files say, in one write, and a second time does nothing" {
	body() {
		rm -rf "$FILES"
		set_all
		pp intent export "$FILES"
		before=$(pp intent history slug/demo --json | jq length)
		jq '.versions = {"new": "active"}' "$FILES/clusters/slug/demo/config.json" >"$FILE" && mv "$FILE" "$FILES/clusters/slug/demo/config.json"
		jq '.basedir = "/data/w"' "$FILES/clusters/web/prod/deploy_config.json" >"$FILE" && mv "$FILE" "$FILES/clusters/web/prod/deploy_config.json"
		mkdir "$FILES/nodes/web9" && echo '{"cluster": "demo"}' >"$FILES/nodes/web9/slug.json"
		wanted="slug/demo versions.abc: active -> (none)
slug/demo versions.new: (none) -> active
web/prod basedir: /data/web -> /data/w
nodes/web9/slug: (none) -> demo"
		run -0 pp intent apply -f "$FILES" --dry-run
		[ "$output" = "$wanted" ]
		run -64 --separate-stderr pp intent apply -f "$FILES"
		[ "$output" = "$wanted" ]
		[[ $stderr == *"if this change is meant, say --yes" ]]
		[ "$(pp intent history slug/demo --json | jq length)" = "$before" ]
		[ "$PP_STORE" != consul ] || liar_start
		run -0 pp intent apply -f "$FILES" --yes -m "from git"
		[ "$output" = "$wanted" ]
		[ "$PP_STORE" != consul ] || [ "$(grep -c 'PUT /v1/txn$' "$LIAR_LOG")" = 1 ]
		[ "$(pp intent history slug/demo --json | jq length)" = $((before + 1)) ]
		[[ $(pp intent history slug/demo) == *", apply: from git
  versions.abc: active -> (none)
  versions.new: (none) -> active
  nodes/web9/slug: (none) -> demo"* ]]
		run -0 pp intent apply -f "$FILES" --yes
		[ "$output" = "nothing to change: all 10 documents are in the store as they are here" ]
		run -0 pp intent apply -f "$FILES" --json
		[ "$output" = "[]" ]
		[ "$(pp intent history slug/demo --json | jq length)" = $((before + 1)) ]
	}
	in_both body
}

@test "apply asks on a terminal, and no is no" {
	body() {
		set_slug
		echo '{"clusters/slug/demo/config": {"versions": {"x": "active"}}}' >"$FILE"
		before=$(store_dump)
		for answer in n '' yess; do
			on_terminal "$answer"$'\n' "$PP" intent apply -f "$FILE"
			[ "$status" = 1 ]
			[[ $output == *"slug/demo versions.x: (none) -> active"*"Make this change? [y/N]"*"nothing was changed"* ]]
		done
		[ "$(store_dump)" = "$before" ]
		on_terminal $'y\n' "$PP" intent apply -f "$FILE"
		[ "$status" = 0 ]
		[ "$(json clusters/slug/demo/config .versions)" = '{"x":"active"}' ]
	}
	in_both body
}

@test "what is not in the files stays; null removes, and so does --prune within the apps that the files name" {
	body() {
		set_all
		pp intent export - | jq 'del(.["nodes/web2/slug"]) | with_entries(select(.key | contains("web/") or endswith("/web") | not))' >"$FILE"
		run -0 pp intent apply -f "$FILE" --yes
		[[ $output == "nothing to change"* ]]
		run -0 pp intent apply -f "$FILE" --prune --yes
		[ "$output" = "nodes/web2/slug: demo -> (none)" ]
		[ "$(store_keys | grep -c -e /web$ -e web/prod/)" = 6 ]
		echo '{"owners/slug": null, "nodes/web8/slug": null}' >"$FILE"
		run -0 pp intent apply -f "$FILE" --yes
		[ "$output" = "slug users: xavier -> (none)" ]
		run -0 pp intent apply -f "$FILE" --yes
		[[ $output == "nothing to change"* ]]
		# Nothing named is nothing to prune, and an empty directory is no intent.
		rm -rf "$FILES" && mkdir "$FILES"
		refused 65 "there is no document in it" pp intent apply -f "$FILES" --prune --yes --allow-empty
		echo '{}' >"$FILE"
		refused 65 "there is no document in it" pp intent apply -f "$FILE" --prune --yes --allow-empty
		refused 1 "No such file" pp intent apply -f "$FILES/nope" --yes
		refused 64 "usage: pp intent apply" pp intent apply --yes
	}
	in_both body
}

@test "what get --json prints is a file to apply" {
	body() {
		set_slug
		pp intent get slug/demo --json | jq '.config.min_nodes = 7' >"$FILE"
		run -0 pp intent apply -f - --yes <"$FILE"
		[ "$output" = "slug/demo min_nodes: 2 -> 7" ]
	}
	in_both body
}

@test "apply of files with faults tells all of them and changes nothing" {
	body() {
		set_slug
		before=$(store_dump)
		echo '{"clusters/slug/demo/config": {"versions": {"x": "live"}, "min_nodes": 5}, "owners/slug": {"users": ["ALL"]}, "clusters/slug/demo/deploy_config": {"basedir": "/data/ok"}}' >"$FILE"
		refused 65 "$FILE:1:45: clusters/slug/demo/config: versions.x: it must be active or prep" pp intent apply -f "$FILE" --yes
		[[ $stderr == *"users[0]"*"2 faults"* ]]
		[ "$(store_dump)" = "$before" ]
	}
	in_both body
}

@test "somebody else is faster: 75, and nothing is written" {
	set_slug
	echo '{"clusters/slug/demo/config": {"versions": {"x": "active"}}, "owners/slug": {"users": ["don"]}}' >"$FILE"
	liar_start
	lie '/v1/txn$' slow 1
	code=0
	spawn apply sh -c 'code=0; "$@" || code=$?; echo $code >'"'$BATS_TEST_TMPDIR/code'" sh "$PP" intent apply -f "$FILE" --yes
	wait_until grep -q 'PUT /v1/txn$' "$LIAR_LOG"
	consul_put owners/slug '{"users": ["eve"]}'
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 75 ]
	[ "$(json clusters/slug/demo/config .versions)" = '{"abc":"active"}' ]
	[ "$(json owners/slug .users)" = '["eve"]' ]
}

# many FILE N CLUSTER VERSION: big/CLUSTER with a version, on the nodes 1 to N.
many() {
	jq -n --argjson n "$2" --arg c "$3" --arg v "$4" '[range(1; $n + 1) | {key: "nodes/n\(.)/big", value: {cluster: $c}}] | from_entries
		+ {"clusters/big/\($c)/config": {versions: {($v): "active"}}, "clusters/big/\($c)/deploy_config": {basedir: "/data/big-\($v)"}}' >"$1"
}

# Print each transaction that was written, as the keys in it, with - for removed ones.
transactions() {
	local seen index

	for index in $(consul_api GET "/v1/kv/?recurse" | jq -r '[.[].ModifyIndex] | unique | .[]'); do
		consul_api GET "/v1/kv/?recurse" | jq -r --argjson i "$index" '[.[] | select(.ModifyIndex == $i) | .Key] | join(" ")'
	done
}

@test "a new app of 150 nodes: its documents are there before the first of them" {
	many "$FILE" 150 a v1
	run -0 pp intent apply -f "$FILE" --yes
	transactions >"$BATS_TEST_TMPDIR/txns"
	[ "$(grep -c nodes/ "$BATS_TEST_TMPDIR/txns")" = 3 ]
	[[ $(grep -n clusters/big/a/config "$BATS_TEST_TMPDIR/txns") == 1:*clusters/big/a/deploy_config* ]]
	[ "$(store_keys | grep -c ^history/big/a/)" = 3 ]
	run -0 pp intent apply -f "$FILE" --yes
	[[ $output == "nothing to change: all 152"* ]]
}

# cut_off CHECK: kill the apply of $FILE.2 over that of $FILE after its first transaction, its second, and
# so on; CHECK NODE VERSION is what each node may see then. And the same again always finishes it.
cut_off() {
	local cut=0 node version basedir n

	liar_start
	while :; do
		consul_wipe
		CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR pp intent apply -f "$FILE" --yes >/dev/null
		truth
		: >"$LIAR_LOG"
		spawn apply "$PP" intent apply -f "$FILE.2" --yes --allow-empty
		# Killed as soon as so many transactions were sent.
		until [ "$(grep -c 'PUT /v1/txn$' "$LIAR_LOG")" -gt $cut ] || is_gone "$SPAWNED"; do :; done
		kill -KILL "$SPAWNED" 2>/dev/null || :
		wait "$SPAWNED" 2>/dev/null || :
		consul_api GET "/v1/kv/?recurse&consistent" | jq -c '[.[] | select(.Key | test("^(nodes|clusters)/")) | {key: .Key, value: (.Value | @base64d | fromjson)}] | from_entries' >"$BATS_TEST_TMPDIR/now"
		# What each node sees: version and basedir of its cluster, or nothing.
		jq -r '. as $s | keys[] | select(startswith("nodes/")) | . as $k | $s[$k].cluster as $c |
			"\($k) \($s["clusters/big/\($c)/config"].versions | keys[0]) \($s["clusters/big/\($c)/deploy_config"].basedir)"' \
			"$BATS_TEST_TMPDIR/now" >"$BATS_TEST_TMPDIR/seen"
		while read -r node version basedir; do
			n=${node#nodes/n} n=${n%/big}
			"$1" "$n" "$version" || fail "after $cut: $node sees $version"
			[ "$basedir" = "/data/big-$version" ] || fail "after $cut: $node sees $version in $basedir"
		done <"$BATS_TEST_TMPDIR/seen"
		[ "$(grep -c 'PUT /v1/txn$' "$LIAR_LOG")" -gt $cut ] || break
		# And again, it is finished.
		CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR pp intent apply -f "$FILE.2" --yes --allow-empty >/dev/null
		[[ $(CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR pp intent apply -f "$FILE.2" --yes) == "nothing to change"* ]]
		cut=$((cut + 1))
	done
	[ "$cut" -ge 3 ]
}

@test "no node ever sees a deployment that nobody intended, wherever a large apply is cut off: nodes that move" {
	many "$FILE" 150 a v1
	# Nodes 1 to 100 go to cluster b, 101 to 130 go away, and a gets another version for those that stay.
	jq 'with_entries(if (.key | test("^nodes/n([1-9]|[1-9][0-9]|100)/")) then .value.cluster = "b" else . end)
		| reduce range(101; 131) as $i (.; .["nodes/n\($i)/big"] = null)
		| .["clusters/big/a/config"].versions = {v2: "active"} | .["clusters/big/a/deploy_config"].basedir = "/data/big-v2"
		| .["clusters/big/b/config"] = {versions: {v3: "active"}} | .["clusters/big/b/deploy_config"] = {basedir: "/data/big-v3"}' \
		"$FILE" >"$FILE.2"
	may_see() {
		case $2 in
		v1) [ "$1" -le 150 ] ;;
		v2) [ "$1" -gt 130 ] ;;
		v3) [ "$1" -le 100 ] ;;
		*) return 1 ;;
		esac
	}
	cut_off may_see
}

@test "no node ever sees a deployment that nobody intended, wherever a large apply is cut off: nodes that come and go" {
	many "$FILE" 150 a v1
	# Nodes 1 to 70 go away, 151 to 220 come, and all have another version.
	many "$FILE.2" 220 a v2
	jq 'reduce range(1; 71) as $i (.; .["nodes/n\($i)/big"] = null)' "$FILE.2" >"$FILE.3" && mv "$FILE.3" "$FILE.2"
	may_see() {
		case $2 in
		v1) [ "$1" -le 150 ] ;;
		v2) [ "$1" -gt 70 ] ;;
		*) return 1 ;;
		esac
	}
	cut_off may_see
}

@test "where the version stays, nodes that come are there before others go" {
	many "$FILE" 150 a v1
	many "$FILE.2" 220 a v1
	jq 'reduce range(1; 71) as $i (.; .["nodes/n\($i)/big"] = null)' "$FILE.2" >"$FILE.3" && mv "$FILE.3" "$FILE.2"
	# Whenever it is looked at, there are as many as before.
	may_see() {
		[ "$2" = v1 ] && [ "$(wc -l <"$BATS_TEST_TMPDIR/seen")" -ge 150 ]
	}
	cut_off may_see
}

# --- big removals

@test "taking away more than half of the nodes, or the active version, wants --allow-empty or a yes" {
	body() {
		set_slug
		pp intent assign slug/demo web1 web2 web3 web4 >/dev/null
		run -0 pp intent unassign slug/demo web1 web2
		pp intent assign slug/demo web1 web2 >/dev/null
		before=$(store_dump)
		refused 64 "slug/demo is taken off 3 of its 4 nodes: if that is meant, say --allow-empty" \
			pp intent unassign slug/demo web1 web2 web3
		refused 64 "--allow-empty" pp intent unassign slug/demo web1 web2 web3 --yes
		on_terminal $'n\n' "$PP" intent unassign slug/demo web1 web2 web3
		[ "$status" = 1 ]
		[[ $output == *"slug/demo is taken off 3 of its 4 nodes. Is that meant? [y/N]"* ]]
		echo '{"clusters/slug/demo/config": {"versions": {"abc": "prep"}}}' >"$FILE"
		refused_but 64 "slug/demo is left without an active version: if that is meant, say --allow-empty" \
			pp intent apply -f "$FILE" --yes
		echo '{"clusters/slug/demo/config": null, "nodes/web1/slug": null, "nodes/web2/slug": {"cluster": "x"}, "nodes/web3/slug": null}' >"$FILE"
		refused_but 64 "slug/demo is taken off 3 of its 4 nodes; slug/demo is left without an active version" \
			pp intent apply -f "$FILE" --yes
		[ "$(store_dump)" = "$before" ]
		run -0 pp intent apply -f "$FILE" --yes --allow-empty --dry-run
		on_terminal $'y\n' "$PP" intent unassign slug/demo web1 web2 web3
		[ "$status" = 0 ]
		# One node is no fleet, and set names what it takes away.
		run -0 pp intent unassign slug/demo web4
		run -0 pp intent set slug/demo versions.abc=prep
	}
	in_both body
}

# --- check

@test "check tells every fault with file, line, column, what and remedy, and exits 65" {
	unset PP_STORE
	cat >"$FILE" <<-'EOF'
		{
		  "clusters/slug/demo/config": {
		    "versions": {"a": "live", "b": "active",
		       "x/y": "prep", "c": "active"},
		    "min_nodes": -1, "user_confg": {}, "digests": {"ü": "ok", "a": "x"}
		  },
		  "clusters/slug/demo/deploy_config": {"ports": [0, 1, "x", 1], "versions": {}},
		  "owners/slug": {"users": ["a", "ALL", 7]},
		  "nodes/web1/slug": {"cluster": "a/b"},
		  "foo": {}, "owners/x": [], "nodes/web2/slug": {"cluster": "nope"}
		}
	EOF
	run -65 --separate-stderr pp intent check "$FILE"
	[ "$output" = "" ]
	while IFS='|' read -r where what; do
		grep -q -F "$FILE:$where: $what" <<<"$stderr" || fail "not told: $where: $what in: $stderr"
	done <<-'EOF'
		3:18|clusters/slug/demo/config: versions.a: it must be active or prep
		4:8|clusters/slug/demo/config: versions.x/y: that is no version; use letters
		3:5|clusters/slug/demo/config: versions: both b and c are active; only one can be
		5:5|clusters/slug/demo/config: min_nodes: it must be a whole number from 0
		5:52|clusters/slug/demo/config: digests.ü: it must be sha256: and 64 hex digits
		5:63|clusters/slug/demo/config: digests.a: it must be sha256: and 64 hex digits
		7:3|clusters/slug/demo/deploy_config: basedir: it must be there, an absolute path
		7:50|clusters/slug/demo/deploy_config: ports[0]: a port is a number from 1
		7:56|clusters/slug/demo/deploy_config: ports[2]: a port is a number from 1
		7:40|clusters/slug/demo/deploy_config: ports: 1/tcp is there twice
		8:34|owners/slug: users[1]: "ALL" cannot be a name
		8:41|owners/slug: users[2]: "?" cannot be a name
		9:23|nodes/web1/slug: cluster: it must be the name of a cluster
		10:3|foo: there is no such document; pp-store(7)
		10:14|owners/x: it must be a JSON object
	EOF
	[[ $stderr == *"note: $FILE:5:22: user_confg: no field that pp knows"*"is user_config meant?"* ]]
	[[ $stderr == *"note: $FILE:7:65: versions: of no effect in this document"* ]]
	[[ $stderr == *"pp intent check: $FILE: 15 faults" ]]
}

@test "check of a directory names its files, and a good one is silent" {
	body() {
		rm -rf "$FILES"
		set_all
		pp intent set slug/demo min_nodes=1
		pp intent export "$FILES"
		echo 'not json' >"$FILES/README.json"
		cd "$FILES"
		run -0 --separate-stderr pp intent check
		[ "$output$stderr" = "" ]
		printf '{\n  "versions": {\n    "a": "live"\n  }\n}\n' >clusters/slug/demo/config.json
		printf '{"users": [\n' >owners/slug.json
		mkdir -p clusters/slug/odd && echo '{}' >clusters/slug/odd/cofnig.json
		rm clusters/web/prod/config.json
		ln -s /etc/passwd nodes/web1/evil.json
		printf '{"cluster": "\xff"}' >nodes/web2/slug.json
		run -65 --separate-stderr pp intent check "$FILES"
		[[ $stderr == *"$FILES/clusters/slug/demo/config.json:3:5: clusters/slug/demo/config: versions.a: "* ]]
		[[ $stderr == *"$FILES/owners/slug.json:2:1: "* ]]
		[[ $stderr == *"$FILES/clusters/slug/odd/cofnig.json:1:1: clusters/slug/odd/cofnig: there is no such document"* ]]
		[[ $stderr == *"note: nodes/web1/web: clusters/web/prod/config is not here"* ]]
		[[ $stderr == *"$FILES/nodes/web1/evil.json:1:1: "* && $stderr != *root* ]]
		[[ $stderr == *"$FILES/nodes/web2/slug.json:1:13: unable to decode byte 0xff"* ]]
		cd "$BATS_TEST_TMPDIR"
	}
	in_both body
}

@test "check takes hostile files for what they are" {
	unset PP_STORE
	perl -e 'print "{\"clusters/slug/demo/config\": {\"user_config\": ", "{\"a\":" x 100000, "1", "}" x 100000, "}}"' >"$FILE"
	refused 65 "$FILE:1:" pp intent check "$FILE"
	for bad in '' '[' '[]' '{"a":1,"a":1}' 'null' '{"../../x": {}}' '{"nodes//x": {}}' '{"owners/slug": 1e999}' \
		'{"clusters/slug/demo/config": {"versions": {"\u0000": "prep"}}}' '{"": {}}'; do
		printf '%s' "$bad" >"$FILE"
		refused 65 "$FILE" pp intent check "$FILE"
	done
	jq -n '{"clusters/slug/demo/config": {versions: ([range(0; 900) | {key: "-\(.)", value: "x"}] | from_entries)}}' >"$FILE"
	run -65 --separate-stderr pp intent check "$FILE"
	[ "$(grep -c 'that is no version' <<<"$stderr")" = 900 ]
	printf '{"owners/slug": {"users": ["\xe2\x80\xae\\u001b[2J"]}}' >"$FILE"
	run -65 --separate-stderr pp intent check "$FILE"
	run -1 grep -P '\x1b|\xe2\x80\xae' <<<"$stderr"
}

# --- edit

# editor SCRIPT: EDITOR is a program that does this to the file "$1".
editor() {
	printf '#!/bin/sh\nset -e\n%s\n' "$1" >"$BATS_TEST_TMPDIR/an editor"
	chmod +x "$BATS_TEST_TMPDIR/an editor"
	export EDITOR="'$BATS_TEST_TMPDIR/an editor' --wait"
	sed -i '2a shift' "$BATS_TEST_TMPDIR/an editor"
}

# The draft that a message names.
draft() {
	grep -o '/[^ ]*/pp-edit\.[A-Za-z0-9]*/[a-z_]*\.json' <<<"$1" | head -n 1
}

@test "edit changes the documents by way of an editor, and leaves no draft behind" {
	body() {
		set_slug
		editor 'cp "$1" '"$BATS_TEST_TMPDIR"'/seen; stat -c %a "$1" >'"$BATS_TEST_TMPDIR"'/mode; cp "$1" "$1~"; sed -i "s/1212/80/; s/xavier/don/" "$1"'
		run -0 pp intent edit slug/demo -m "by hand"
		[ "$output" = "ports: 1212 -> 80
users: xavier -> don" ]
		[ "$(cat "$BATS_TEST_TMPDIR/mode")" = 600 ]
		[ "$(jq -c keys "$BATS_TEST_TMPDIR/seen")" = '["clusters/slug/demo/config","clusters/slug/demo/deploy_config","owners/slug"]' ]
		[[ $(pp intent history slug) == *", edit: by hand"* ]]
		export VISUAL="sed -i s/80/81/"
		run -0 pp intent edit slug
		unset VISUAL
		[ "$output" = "ports: 80 -> 81" ]
		EDITOR="true" run -0 --separate-stderr pp intent edit slug
		[ "$output$stderr" = "" ]
		EDITOR="touch" run -0 pp intent edit slug
		[ "$(pp intent history slug --json | jq length)" = 3 ]
		editor 'jq ".[\"clusters/new/x/config\"] = {versions: {a: \"prep\"}}" "$1" >"$1.n" && mv "$1.n" "$1"'
		run -0 pp intent edit new/x
		[ "$output" = "versions.a: (none) -> prep" ]
		[ "$(ls -d "$BATS_TEST_TMPDIR"/pp-edit.* 2>/dev/null || :)" = "" ]
	}
	in_both body
}

@test "what was typed is never lost: it is kept, and named, whatever goes wrong" {
	body() {
		set_slug
		before=$(store_dump)
		# It does not hold; it is no JSON; a document is missing; another one is there.
		for script in 's/"active"/"live"/' 's/{/(/' 's/owners.slug/owners\/slug2/' '1s/{/{"owners\/x": {},/'; do
			EDITOR="sed -i '$script'" run -65 --separate-stderr pp intent edit slug/demo
			[ -f "$(draft "$stderr")" ] || fail "no draft: $stderr"
			[ "$(stat -c '%a %u' "$(draft "$stderr")")" = "600 $(id -u)" ]
			rm -r "$(dirname "$(draft "$stderr")")"
		done
		# The editor fails after it wrote, or is killed.
		for script in 'sed -i s/1212/80/ "$1"; exit 3' 'sed -i s/1212/80/ "$1"; kill -KILL $$'; do
			editor "$script"
			run -1 --separate-stderr pp intent edit slug/demo
			grep -q 80 "$(draft "$stderr")"
			rm -r "$(dirname "$(draft "$stderr")")"
		done
		# Nothing was typed: nothing to keep.
		EDITOR=false run -1 --separate-stderr pp intent edit slug/demo
		[ "$(draft "$stderr")" = "" ]
		EDITOR=/nonexistent/ed run -1 --separate-stderr pp intent edit slug/demo
		[[ $stderr == *"exited with 127; set EDITOR"* ]]
		[ "$(ls -d "$BATS_TEST_TMPDIR"/pp-edit.* 2>/dev/null || :)" = "" ]
		[ "$(store_dump)" = "$before" ]
		# Somebody else was faster.
		editor 'sed -i s/1212/80/ "$1"; EDITOR= '"$PP"' intent set slug/demo basedir=/data/faster >/dev/null'
		run -75 --separate-stderr pp intent edit slug/demo
		grep -q 80 "$(draft "$stderr")"
		[ "$(json clusters/slug/demo/deploy_config .ports)" = '[1212]' ]
		# The file is one for apply.
		sed -i s,/data/slug,/data/faster, "$(draft "$stderr")"
		run -0 pp intent apply -f "$(draft "$stderr")" --yes
		[ "$output" = "slug/demo ports: 1212 -> 80" ]
		rm -r "$(dirname "$(draft "$stderr")")" 2>/dev/null || rm -rf "$BATS_TEST_TMPDIR"/pp-edit.*
		# It takes all versions away.
		EDITOR="sed -i s/active/prep/" run -64 --separate-stderr pp intent edit slug/demo
		[ -f "$(draft "$stderr")" ]
		# Without leave to say why.
		EDITOR="sed -i s/80/99/" PP_REQUIRE_MESSAGE=yes run -64 --separate-stderr pp intent edit slug/demo
		rm -rf "$BATS_TEST_TMPDIR"/pp-edit.*
	}
	in_both body
	# The store went away meanwhile.
	set_slug
	liar_start
	editor 'sed -i s/1212/80/ "$1"; echo "/v1/txn$ reset" >'"$LIES"
	run -69 --separate-stderr pp intent edit slug/demo
	grep -q 80 "$(draft "$stderr")"
}

@test "on a terminal, a slip in the editor is told, and may be mended there" {
	body() {
		set_slug
		editor 'if grep -q live "$1"; then sed -i "s/live/active/; s/1212/80/" "$1"; else sed -i "s/active/live/" "$1"; fi'
		on_terminal $'y\n' "$PP" intent edit slug/demo
		[ "$status" = 0 ]
		[[ $output == *"versions.abc: it must be active or prep"*"Edit it again? [y/N]"*"ports: 1212 -> 80"* ]]
		[ "$(json clusters/slug/demo/deploy_config .ports)" = '[80]' ]
	}
	in_both body
}
