#!/usr/bin/env bats
# pp intent history, diff --rev, rollback, watch; and what diffs show. Over both stores.

load helper
load store
load intent

setup_file() {
	consul_start
}

setup() {
	helper_setup
	export TERM=dumb
}

set_slug() {
	pp intent set slug/demo versions=abc:active min_nodes=2 basedir=/data/slug ports=1212 users=xavier >/dev/null
}

# How many revisions there are.
revisions() {
	pp intent history slug/demo --json | jq length
}

# --- history

@test "each write leaves one revision that tells who, when, why and what, written in the same transaction" {
	body() {
		SUDO_USER=don pp intent set slug/demo versions=abc:active basedir=/data/slug -m "the first one"
		pp intent assign slug/demo web1 web2 --message="two nodes"
		pp intent unset slug/demo versions.none
		pp intent set slug/demo versions.def=active
		run -0 pp intent history slug/demo --json
		[ "$(jq -c '[.[] | [.revision, .what, .why]]' <<<"$output")" = \
			'[[3,"set",null],[2,"assign","two nodes"],[1,"set","the first one"]]' ]
		[ "$(jq -c '.[2].who' <<<"$output")" = "{\"host\":\"$(hostname)\",\"sudo_user\":\"don\",\"user\":\"$(id -un)\"}" ]
		[[ $(jq -r '.[2].when' <<<"$output") =~ ^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z$ ]]
		[ "$(jq -c '.[0].patch' <<<"$output")" = '[{"op":"replace","path":"/clusters~1slug~1demo~1config/versions/abc","value":"prep"},{"op":"add","path":"/clusters~1slug~1demo~1config/versions/def","value":"active"}]' ]
		run -0 pp intent history slug
		[[ ${lines[0]} == "revision 3, 20"*" on $(hostname), set" ]]
		[ "${lines[1]}" = "  versions.abc: active -> prep" ]
		[ "${lines[2]}" = "  versions.def: (none) -> active" ]
		[[ ${lines[3]} == "revision 2, 20"*", assign: two nodes" ]]
		[ "${lines[4]}" = "  nodes/web1/slug: (none) -> demo" ]
		[[ ${lines[6]} == "revision 1, 20"*"(sudo by don)"*", set: the first one" ]]
	}
	in_both body
}

@test "the record is in the transaction of the change: one cannot be made without the other" {
	set_slug
	[ "$(consul_api GET /v1/kv/history/slug/demo/1 | jq '.[0].ModifyIndex')" = \
		"$(consul_api GET /v1/kv/clusters/slug/demo/config | jq '.[0].ModifyIndex')" ]
	consul_put history/slug/demo/x '{}'
	consul_put history/slug/demo/02 '{}'
	liar_start
	pp intent set slug/demo min_nodes=3
	[ "$(grep -c 'PUT /v1/txn$' "$LIAR_LOG")" = 1 ]
	[ "$(store_keys | grep -c ^history/slug/demo/)" = 4 ]
	# A change that is refused leaves none.
	run ! pp intent set slug/demo min_nodes=x
	run ! pp intent set slug/demo versions.abc-
	pp intent set slug/demo --dry-run min_nodes=8
	[ "$(revisions)" = 2 ]
}

@test "the newest 100 are kept" {
	body() {
		set_slug
		for i in {1..104}; do
			pp intent set slug/demo min_nodes=$((i + 100)) >/dev/null
		done
		[ "$(revisions)" = 100 ]
		[ "$(pp intent history slug/demo --json | jq -c '[.[0].revision, .[-1].revision]')" = '[105,6]' ]
		refused 65 "revision 5 is not in the history any more" pp intent rollback slug/demo --to 3
	}
	in_both body
}

@test "two writers at once: no update is lost, and each has just one revision" {
	body() {
		set_slug
		for i in {1..8}; do
			(
				for n in {1..4}; do
					until pp intent set slug/demo versions.v$i-$n=prep -m "$i $n" >/dev/null 2>&1; do :; done
				done
			) 3>&- &
			pids[i]=$!
		done
		(
			for n in {1..8}; do
				pp intent assign slug/demo web$n >/dev/null || exit 1
			done
		) 3>&- &
		wait $!
		wait "${pids[@]}"
		[ "$(json clusters/slug/demo/config '.versions | length')" = 33 ]
		[ "$(pp intent history slug --json | jq '[.[].revision] == [range(41; 0; -1)]')" = true ]
		[ "$(pp intent history slug --json | jq '[.[].why | select(. != null)] | unique | length')" = 32 ]
		# And they tell the whole story: without them there was nothing.
		run -1 pp intent diff slug --rev 0 --json
		[ "$(jq '[.[] | select(.path | startswith("/nodes"))] | length' <<<"$output")" = 8 ]
		[ "$(jq -c '.[] | select(.path == "/clusters~1slug~1demo~1config") | .value.versions | length' <<<"$output")" = 33 ]
	}
	in_both body
}

@test "a change of owners alone, and one of nodes between clusters, have their history, too" {
	body() {
		set_slug
		pp intent set slug/other versions=a:active basedir=/data/slug users=xavier
		pp intent assign slug/demo web1
		pp intent assign slug/other web1 -m moved
		for cluster in demo other; do
			run -0 pp intent history slug/$cluster
			[[ ${lines[0]} == *", assign: moved" ]]
			[ "${lines[1]}" = "  nodes/web1/slug: demo -> other" ]
		done
		echo '{"owners/slug": {"users": ["don"]}, "owners/lone": {"users": ["eve"]}}' >"$BATS_TEST_TMPDIR/owners.json"
		pp intent apply -f "$BATS_TEST_TMPDIR/owners.json" --yes
		[[ $(pp intent history slug/demo) == "revision 4, "*", apply
  users: xavier -> don"* ]]
		[[ $(pp intent history lone/owners) == "revision 1, "*"users: (none) -> eve"* ]]
		pp intent set slug/other users=xavier
		[[ $(pp intent history slug/other) == "revision 3, "*"users: don -> xavier"* ]]
	}
	in_both body
}

@test "-m is required where pp.conf says so, and is text of a line's length" {
	body() {
		printf '[pp]\nrequire-message = yes\n' >"$PP_CONF"
		refused 64 "say why with -m: require-message is set" pp intent set slug/demo min_nodes=1
		run -0 pp intent set slug/demo min_nodes=1 --dry-run
		run -0 pp intent set slug/demo min_nodes=1 -m because
		refused 64 "say why with -m" pp intent assign slug/demo web1
		refused 64 "say why with -m" pp intent rollback slug/demo
		# What runs on a node takes no notice.
		own_places
		run -0 pp converge iptables --dry-run
		: >"$PP_CONF"
		PP_REQUIRE_MESSAGE=yes refused 64 "say why with -m" pp intent set slug/demo min_nodes=2
		refused 64 "UTF-8" pp intent set slug/demo min_nodes=2 -m $'\xff'
		refused 64 "at most 1000" pp intent set slug/demo min_nodes=2 -m "$(printf 'x%.0s' {1..1001})"
		run -0 pp intent set slug/demo min_nodes=2 -m "$(printf 'x%.0s' {1..1000})"
		run -0 pp intent set slug/demo min_nodes=3 -m $'a\n\e[31mb "c" \xc2\x9b'
		run -0 pp intent history slug/demo
		[[ ${lines[0]} == *', set: a\x0a\x1b[31mb "c" \xc2\x9b' ]]
	}
	in_both body
}

@test "a record that somebody forged or broke is told, and never followed" {
	body() {
		set_slug
		good='{"changes": [{"key": "clusters/slug/demo/config", "delta": [{"path": "/min_nodes", "before": 1, "after": 2}]}]}'
		for bad in '{' '[]' '{}' '{"changes": 1}' '{"changes": [1]}' '{"changes": [{"key": "clusters/web/demo/config", "delta": []}]}' \
			'{"changes": [{"key": "clusters/slug/prod/config", "delta": []}]}' \
			'{"changes": [{"key": "pp/store", "delta": []}]}' '{"changes": [{"key": "../../x", "delta": []}]}' \
			'{"changes": [{"key": "owners/slug", "delta": [{"path": 7}]}]}' '{"changes": [{"key": "owners/slug"}]}'; do
			store_put history/slug/demo/2 "$bad"
			run -65 --separate-stderr pp intent history slug/demo
			[[ ${lines[0]} == "revision 2: cannot be read: history/slug/demo/2: "* ]]
			[[ ${lines[1]} == "revision 1, "* ]]
			refused 65 "history/slug/demo/2: " pp intent rollback slug/demo
			refused 65 "history/slug/demo/2: " pp intent diff slug/demo --rev 1
			# Writing goes on after it.
			run -0 pp intent set slug/demo --dry-run min_nodes=5
		done
		deep=$(printf '/a%.0s' {1..3000})
		store_put history/slug/demo/2 "${good/\/min_nodes/$deep}"
		refused 65 "parts" pp intent rollback slug/demo
		store_put history/slug/demo/2 "${good/\/min_nodes/\/min_nodes\/x}"
		refused 65 "no object any more" pp intent rollback slug/demo
		store_put history/slug/demo/2 "${good/\"before\": 1/\"before\": -1}"
		refused 65 "min_nodes: it must be a whole number" pp intent rollback slug/demo
		store_put history/slug/demo/2 "$good"
		run -0 pp intent rollback slug/demo
		[ "$output" = "min_nodes: 2 -> 1" ]
		pp intent set slug/demo min_nodes=7 >/dev/null
		[ "$(store_keys | grep -c ^history/)" = 4 ]
		store_put history/slug/demo/999999999999999 "$good"
		refused 65 "history/slug/demo/999999999999999: no number comes after it" pp intent set slug/demo min_nodes=8
		store_put history/slug/demo/9999999999999999 "$good"
		store_delete history/slug/demo/999999999999999
		run -0 pp intent set slug/demo min_nodes=8
	}
	in_both body
}

# --- diff --rev

@test "diff --rev compares two revisions, or one with now" {
	body() {
		set_slug
		pp intent set slug/demo versions.def=active -m two >/dev/null
		pp intent set slug/demo basedir=/data/other -m three >/dev/null
		pp intent assign slug/demo web1 >/dev/null
		run -1 pp intent diff slug --rev 1..3
		[ "$output" = "versions.abc: active -> prep
versions.def: (none) -> active
basedir: /data/slug -> /data/other" ]
		run -1 pp intent diff slug --rev 3..1
		[ "$output" = "versions.abc: prep -> active
versions.def: active -> (none)
basedir: /data/other -> /data/slug" ]
		run -1 pp intent diff slug --rev=2
		[ "$output" = "basedir: /data/slug -> /data/other
nodes/web1/slug: (none) -> demo" ]
		run -1 pp intent diff slug --rev=2..3 --json
		[ "$(jq -c . <<<"$output")" = '[{"op":"replace","path":"/clusters~1slug~1demo~1deploy_config/basedir","value":"/data/other"}]' ]
		run -0 pp intent diff slug --rev=4
		run -0 pp intent diff slug --rev=2..2
		[ "$output" = "" ]
		refused 65 "the newest revision is 4" pp intent diff slug --rev=5
		for bad in x 1.. ..1 1...2 1..2..3 -1 1-2; do
			refused 64 "write a revision" pp intent diff slug --rev="$bad"
		done
		refused 64 "usage: pp intent diff" pp intent diff slug/demo slug/demo --rev=1
	}
	in_both body
}

@test "what was changed by other means is part of what is there" {
	body() {
		set_slug
		pp intent set slug/demo min_nodes=3 >/dev/null
		store_put clusters/slug/demo/config '{"versions": {"abc": "active"}, "min_nodes": 9, "contact": "x"}'
		pp intent set slug/demo min_nodes=4 >/dev/null
		run -1 pp intent diff slug --rev=1
		[ "$output" = "min_nodes: 2 -> 4" ]
		run -0 pp intent rollback slug/demo --to=1
		[ "$(json clusters/slug/demo/config .)" = '{"contact":"x","min_nodes":2,"versions":{"abc":"active"}}' ]
	}
	in_both body
}

# --- rollback

@test "rollback undoes the last change, --to all since then, and says what it undoes" {
	body() {
		set_slug
		pp intent set slug/demo versions.def=active -m two >/dev/null
		pp intent set slug/demo min_nodes=5 user_config.x=1 -m three >/dev/null
		run -0 pp intent rollback slug/demo -m "it broke"
		[ "$output" = "min_nodes: 5 -> 2
user_config.x: \"1\" -> (none)" ]
		[[ $(pp intent history slug) == "revision 4, "*", rollback of 3: it broke"* ]]
		# The same again brings it back.
		run -0 pp intent rollback slug/demo
		[ "$(json clusters/slug/demo/config .min_nodes)" = 5 ]
		run -0 pp intent rollback slug/demo --to 1
		[ "$output" = "min_nodes: 5 -> 2
user_config.x: \"1\" -> (none)
versions.abc: prep -> active
versions.def: active -> (none)" ]
		[ "$(pp intent history slug --json | jq -c '.[0].undoes')" = '[5,4,3,2]' ]
		run -0 pp intent rollback slug/demo --to 6
		[ "$output" = "" ]
		[ "$(revisions)" = 6 ]
		refused 65 "the newest revision is 6" pp intent rollback slug/demo --to 7
		refused 64 "--to=x" pp intent rollback slug/demo --to x
		refused 65 "no history" pp intent rollback slug/none
	}
	in_both body
}

@test "a rollback beyond config asks, for who may write config may write history" {
	body() {
		set_slug
		pp intent set slug/demo basedir=/data/other >/dev/null
		pp intent assign slug/demo web1 >/dev/null
		run -64 --separate-stderr pp intent rollback slug/demo --to 1
		[[ $stderr == *"if this change is meant, say --yes"* ]]
		[ "$(json clusters/slug/demo/deploy_config .basedir)" = '"/data/other"' ]
		run -0 pp intent rollback slug/demo --to 1 --dry-run
		on_terminal 'n
' "$PP" intent rollback slug/demo --to 1
		[ "$status" = 1 ]
		[[ $output == *"nodes/web1/slug: demo -> (none)"*"[y/N]"*"nothing was changed"* ]]
		[ "$(revisions)" = 3 ]
		run -0 pp intent rollback slug/demo --to 1 --yes
		[ "$(json clusters/slug/demo/deploy_config .basedir)" = '"/data/slug"' ]
		[ "$(store_keys | grep -c ^nodes/ || :)" = 0 ]
		# Back to before there was anything takes the active version away.
		refused_but 64 "slug/demo is left without an active version" pp intent rollback slug/demo --to 0 --yes
		run -0 pp intent rollback slug/demo --to 0 --yes --allow-empty
		[ "$(store_keys | grep -c -e ^clusters/ -e ^owners/ || :)" = 0 ]
		run -0 pp intent rollback slug/demo --yes
		[ "$(json clusters/slug/demo/config .min_nodes)" = 2 ]
	}
	in_both body
}

# refused, whatever is on stdout.
refused_but() {
	local status_wanted=$1 text=$2

	shift 2
	run -"$status_wanted" --separate-stderr "$@"
	[[ $stderr == *"$text"* ]] || fail "not \"$text\", but: $stderr"
}

@test "large documents have their history, and what is too large for one transaction is left out or refused" {
	half=$(head -c 100000 /dev/zero | tr '\0' x)
	other=$(head -c 100000 /dev/zero | tr '\0' y)
	body() {
		set_slug
		# 240 KB: with itself in the history it would not fit, so the history has only that it came.
		pp intent set slug/demo user_config.{a,b}="$half" user_config.c="${half:0:40000}" >/dev/null
		[ "$(revisions)" = 2 ]
		pp intent history slug/demo >"$BATS_TEST_TMPDIR/history"
		pp intent set slug/demo user_config.c=short >/dev/null
		pp intent rollback slug/demo --to 1 >/dev/null
		[ "$(json clusters/slug/demo/config .user_config)" = null ]
		pp intent rollback slug/demo >/dev/null
		[ "$(json clusters/slug/demo/config '.user_config.b | length')" = 100000 ]
	}
	in_both body
	grep -q '(too large to be kept)' "$BATS_TEST_TMPDIR/history"
	refused 65 "make the change in steps" pp intent set slug/demo user_config.{a,b}="$other"
}

# --- --if-index

@test "--if-index refuses a change of what was changed meanwhile" {
	body() {
		run -0 pp intent set slug/demo versions=abc:active basedir=/data/slug users=x --if-index=0
		index=$(pp intent get slug --json | jq .index)
		refused 75 "its index is $index, not 0" pp intent set slug/demo min_nodes=3 --if-index=0
		run -0 pp intent set slug/demo min_nodes=3 --if-index="$index"
		refused 75 "nothing was written" pp intent set slug/demo min_nodes=4 --if-index="$index"
		refused 75 "nothing was written" pp intent rollback slug/demo --if-index="$index"
		refused 64 "--if-index=x" pp intent set slug/demo min_nodes=4 --if-index=x
		seen=$index
		for change in basedir=/data/b users=y min_nodes=9; do
			pp intent set slug/demo $change >/dev/null
			index=$(pp intent get slug --json | jq .index)
			[[ " $seen " != *" $index "* ]]
			seen="$seen $index"
		done
		[ "$(json clusters/slug/demo/config .min_nodes)" = 9 ]
	}
	in_both body
}

# --- how a change is shown

@test "values whose names look secret are masked in every diff, unless --show-secrets" {
	body() {
		pp intent set slug/demo user_config:='{"db": {"password": "s3cr3t1", "host": "h1"}, "apiKey": "s3cr3t2",
			"list": [{"token": "s3cr3t3", "name": "n1"}], "c": {"d.e": {"private": "s3cr3t4"}}, "secrets": {"x": "s3cr3t5"}}' >"$BATS_TEST_TMPDIR/out"
		for more in --json ''; do
			pp intent set slug/demo user_config.db.password=s3cr3t6 user_config.apiKey- $more -n
			pp intent history slug/demo $more
			pp intent diff slug/demo --rev 0 $more || :
			echo '{"config": {"versions": {}}}' | pp intent diff slug/demo - $more || :
			echo '{"clusters/slug/demo/config": {}}' | pp intent apply -f - -n $more
			pp intent rollback slug/demo -n $more
			EDITOR='sed -i s/s3cr3t/s3cr3t0/' pp intent edit slug/demo $more >"$BATS_TEST_TMPDIR/edit" 2>&1
			cat "$BATS_TEST_TMPDIR/edit"
		done >>"$BATS_TEST_TMPDIR/out" 2>/dev/null
		run -1 grep s3cr3t "$BATS_TEST_TMPDIR/out"
		grep -q 'user_config.db.host: (none) -> h1' "$BATS_TEST_TMPDIR/out" || grep -q '"host":"h1"' "$BATS_TEST_TMPDIR/out"
		grep -q 'n1' "$BATS_TEST_TMPDIR/out"
		run -0 pp intent set slug/demo user_config.apiKey=new -n
		[ "$output" = "user_config.apiKey: (secret) -> (another secret)" ]
		run -0 pp intent set slug/demo user_config.apiKey=new -n --show-secrets
		[ "$output" = "user_config.apiKey: s3cr3t02 -> new" ] || [[ $output == "user_config.apiKey: s3cr3t"*" -> new" ]]
		run -0 pp intent history slug/demo --json --show-secrets
		[[ $output == *s3cr3t1* && $output == *s3cr3t5* ]]
		# What get prints is for set: as it is.
		run -0 pp intent get slug/demo
		[[ $output == *s3cr3t* ]]
	}
	in_both body
}

@test "colour on a terminal only, unless --color says otherwise; NO_COLOR turns it off" {
	store_dir
	red=$'\e[31m'
	pp intent set slug/demo min_nodes=1
	export TERM=xterm
	run -0 pp intent set slug/demo min_nodes=2 -n
	[[ $output != *$'\e'* ]]
	run -0 pp intent set slug/demo min_nodes=2 -n --color=always
	[ "$output" = "min_nodes: ${red}1"$'\e[0m -> \e[32m2\e[0m' ]
	NO_COLOR=1 run -0 pp intent set slug/demo min_nodes=2 -n --color=always
	[[ $output == *"$red"* ]]
	on_terminal '' "$PP" intent set slug/demo min_nodes=2 -n
	[[ $output == *"$red"* ]]
	NO_COLOR=1 on_terminal '' "$PP" intent set slug/demo min_nodes=2 -n
	[[ $output == *"min_nodes: 1 -> 2"* ]]
	on_terminal '' "$PP" intent set slug/demo min_nodes=2 -n --color=never
	[[ $output == *"min_nodes: 1 -> 2"* ]]
	TERM=dumb on_terminal '' "$PP" intent set slug/demo min_nodes=2 -n
	[[ $output == *"min_nodes: 1 -> 2"* ]]
	refused 64 "--color=red" pp intent set slug/demo min_nodes=2 --color=red
	[ "$(json clusters/slug/demo/config .min_nodes)" = 1 ]
}

@test "--json prints a JSON Patch that makes the one of the other" {
	body() {
		set_slug
		pp intent get slug/demo --json >"$BATS_TEST_TMPDIR/a.json"
		pp intent set slug/demo versions.def=active ports=80,81 users- user_config:='{"a/b": {"c~d": [1]}, "": 2}' >/dev/null
		pp intent get slug/demo --json >"$BATS_TEST_TMPDIR/b.json"
		run -1 pp intent diff slug/demo "$BATS_TEST_TMPDIR/a.json" --json
		[ "$(jq -c . <<<"$output")" = '[{"op":"remove","path":"/config/user_config"},{"op":"replace","path":"/config/versions/abc","value":"active"},{"op":"remove","path":"/config/versions/def"},{"op":"replace","path":"/deploy_config/ports","value":[1212]},{"op":"add","path":"/owners/users","value":["xavier"]}]' ]
		pp intent set slug/demo user_config.x=1 user_config:='{"a/b": {"c~d": [2]}, "": 2}' -n --json >"$BATS_TEST_TMPDIR/patch"
		[ "$(jq -c . "$BATS_TEST_TMPDIR/patch")" = '[{"op":"replace","path":"/clusters~1slug~1demo~1config/user_config/a~1b/c~0d","value":[2]}]' ]
		run -0 pp intent set slug/demo min_nodes=2 --json
		[ "$output" = "[]" ]
	}
	in_both body
}

@test "what could steer a terminal is shown as what it is" {
	body() {
		pp intent set slug/demo versions=abc:active
		store_put clusters/slug/demo/config '{"user_config": {"x": "a\u001b[2Jb", "y\u009b31m": "z\u202e", "l": ["\u009b"]}}'
		pp intent set slug/demo user_config:='{}' >"$BATS_TEST_TMPDIR/out"
		pp intent history slug/demo >>"$BATS_TEST_TMPDIR/out"
		run -1 grep -P '[\x00-\x09\x0b-\x1f]|\xc2[\x80-\x9f]|\xe2\x80\xae' "$BATS_TEST_TMPDIR/out"
		grep -q 'x9b' "$BATS_TEST_TMPDIR/out"
	}
	in_both body
}

@test "an option that a verb does nothing with is refused" {
	store_dir
	refused 64 "--prune is no option of pp intent set" pp intent set slug/demo min_nodes=1 --prune
	refused 64 "--message is no option of pp intent get" pp intent get slug/demo -m x
	refused 64 "--to is no option of pp intent history" pp intent history slug/demo --to 1
	refused 64 "--if-index is no option of pp intent assign" pp intent assign slug/demo web1 --if-index=1
	[ "$(store_keys)" = "" ]
}

# --- watch

@test "watch prints each change as it lands, and those by other means, until it is told to end" {
	body() {
		set_slug
		for more in '' --json; do
			: >"$BATS_TEST_TMPDIR/watch.log"
			# shellcheck disable=SC2086
			SPAWN_DEATH=KILL spawn watch "$PP" intent watch slug/demo $more
			sleep 1
			pp intent set slug/demo min_nodes=$((RANDOM + 10)) -m "one ${more:-plain}" >/dev/null
			wait_until grep -q "one ${more:-plain}" "$BATS_TEST_TMPDIR/watch.log"
			store_put clusters/slug/demo/deploy_config '{"basedir": "/data/by-hand'$RANDOM'"}'
			wait_until grep -q by-hand "$BATS_TEST_TMPDIR/watch.log"
			pp intent set slug/demo user_config.token=s3cr3t$RANDOM >/dev/null
			pp intent assign slug/demo web$RANDOM >/dev/null
			wait_until grep -q 'assign' "$BATS_TEST_TMPDIR/watch.log"
			kill -INT "$SPAWNED"
			code=0
			wait "$SPAWNED" || code=$?
			[ "$code" = 0 ]
			run -1 grep s3cr3t "$BATS_TEST_TMPDIR/watch.log"
			[ -n "$more" ] || grep -q '^without a revision, by other means than pp$' "$BATS_TEST_TMPDIR/watch.log"
			[ -z "$more" ] || [ "$(jq -sc 'map(.revision == null)' "$BATS_TEST_TMPDIR/watch.log")" = '[false,true,false,false]' ]
			[ -n "$more" ] || [ "$(grep -c '^revision' "$BATS_TEST_TMPDIR/watch.log")" = 3 ]
		done
		run -0 pp intent watch slug/demo --timeout=1s
		[ "$output" = "" ]
	}
	in_both body
}

@test "watch goes on when the store does not answer for a while, and says so once" {
	set_slug
	liar_start
	spawn watch "$PP" intent watch slug/demo
	wait_until grep -q txn "$LIAR_LOG"
	lie . status 500 'No cluster leader'
	wait_until grep -q 'No cluster leader.*; watching on' "$BATS_TEST_TMPDIR/watch.log"
	sleep 3
	truth
	CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR pp intent set slug/demo min_nodes=7 >/dev/null
	wait_until grep -q 'min_nodes: 2 -> 7' "$BATS_TEST_TMPDIR/watch.log"
	[ "$(grep -c 'watching on' "$BATS_TEST_TMPDIR/watch.log")" = 1 ]
	# What is forbidden from now on is no outage.
	lie . status 403 'Permission denied'
	wait_until is_gone "$SPAWNED"
	code=0
	wait "$SPAWNED" || code=$?
	[ "$code" = 77 ]
}
