#!/usr/bin/env bats
# The store in a directory.

load helper
load node
load store

setup() {
	helper_setup
	store_dir
	own_places
	STORE=$BATS_TEST_TMPDIR/store
	OPEN=
}

teardown() {
	helper_teardown
	[ -z "$OPEN" ] || rm -rf "$OPEN"
}

set_slug() {
	pp intent set slug/demo versions=abc:prep,def:active min_nodes=2 basedir=/data/slug \
		users=xavier,don >/dev/null
}

# --- layout

@test "each key is a file PATH/<key>.json, readable by everybody, and nothing else is left there" {
	umask 077
	rm -r "$STORE"
	set_slug
	pp intent assign slug/demo web1
	cd "$STORE"
	[ "$(find . -type f | LC_ALL=C sort | tr '\n' ' ')" = "./.lock ./clusters/slug/demo/config.json ./clusters/slug/demo/deploy_config.json ./history/slug/demo/1.json ./history/slug/demo/2.json ./nodes/web1/slug.json ./owners/slug.json ./pp/store.json " ]
	[ "$(find . -type f ! -perm 0644)" = "" ]
	[ "$(find . -type d ! -perm 0755)" = "" ]
	[ "$(cat clusters/slug/demo/config.json)" = '{
  "min_nodes": 2,
  "versions": {
    "abc": "prep",
    "def": "active"
  }
}' ]
}

@test "a store is made by the first write, not by reading" {
	rm -r "$STORE"
	refused 64 "no cluster yet" pp intent get slug
	refused 65 "no intent" pp intent get slug/demo
	[ ! -e "$STORE" ]
	refused 69 "" pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	[ ! -e "$STORE" ]
	set_slug
	[ -d "$STORE" ]
}

@test "a relative path and a link lead to the same store, and the node knows it as the same" {
	cd "$BATS_TEST_TMPDIR"
	ln -s store link
	PP_STORE=dir:store pp intent set slug/demo basedir=/data/slug ports=1 versions=a:prep
	PP_STORE=dir:link run -0 pp intent get slug ports
	[ "$output" = 1 ]
	pp intent assign slug/demo node1
	PP_STORE=dir:./store run -0 pp converge iptables --cmd=true --config-dir=ports
	PP_STORE=dir:link run -0 pp converge iptables --cmd=true --config-dir=ports
	[ "$(find "$PP_STATE_DIR/stores" -type f | wc -l)" = 1 ]
	pp intent unassign slug/demo node1
	PP_STORE=dir:link/../store run -0 pp converge iptables --cmd=true --config-dir=ports --allow-empty
	[ ! -e ports/slug.yml ]
}

@test "what --store says that is no store is bad configuration" {
	refused 78 "write consul or dir:PATH" pp intent get slug --store=etcd
	refused 78 "write consul or dir:PATH" pp intent get slug --store=dir:
	PP_STORE=/tmp refused 78 "write consul or dir:PATH" pp intent get slug
}

# --- whose documents

@test "nodes/web1 never lists what is nodes/web10's, nor what lies beside and below" {
	set_slug
	pp intent assign slug/demo web10 web1.example.org
	store_put nodes/web1x '{"cluster": "demo"}'
	store_put nodes/web1/.hidden '{"cluster": "demo"}'
	store_put nodes/web1/deep/er '{"cluster": "demo"}'
	mkdir -p "$STORE/nodes/web1"
	: >"$STORE/nodes/web1/slug.json.orig"
	: >"$STORE/nodes/web1/.other.json.tmp"
	run -0 --separate-stderr pp status --format=json --node=web1
	[ "$(jq -c .apps <<<"$output")" = '[]' ]
	run --separate-stderr pp status --format=json --node=web10
	[ "$(jq -c '[.apps[].app]' <<<"$output")" = '["slug"]' ]
}

@test "a FIFO, a symlink or a directory in the place of a document is never read through" {
	set_slug
	cp "$STORE/clusters/slug/demo/config.json" "$BATS_TEST_TMPDIR/outside.json"
	config=$STORE/clusters/slug/demo/config.json
	rm "$config"
	mkfifo "$config"
	run -65 --separate-stderr timeout 5 "$PP" intent get slug/demo
	[[ $stderr == *"clusters/slug/demo/config.json is not a regular file"* ]]
	rm "$config"
	ln -s "$BATS_TEST_TMPDIR/outside.json" "$config"
	run -65 --separate-stderr pp intent set slug/demo min_nodes=7
	[[ $stderr == *"clusters/slug/demo/config"* ]]
	rm "$config"
	mkdir "$config"
	run -65 --separate-stderr pp intent set slug/demo min_nodes=7
	[ "$(jq .min_nodes "$BATS_TEST_TMPDIR/outside.json")" = 2 ]
}

@test "one document that cannot be read holds its app, the others go on" {
	set_slug
	pp intent assign slug/demo node1
	for app in a b c; do
		pp intent set $app/demo basedir="$BATS_TEST_TMPDIR/$app" ports=80$app versions=v:prep && return 1
		pp intent set $app/demo basedir="$BATS_TEST_TMPDIR/$app" versions=v:prep
		pp intent assign $app/demo node1
	done
	rm "$STORE/clusters/a/demo/config.json"
	mkfifo "$STORE/clusters/a/demo/config.json"
	head -c 600000 /dev/zero | tr '\0' ' ' >"$STORE/clusters/b/demo/config.json"
	rm "$STORE/nodes/node1/c.json"
	ln -s /nonexistent "$STORE/nodes/node1/c.json"
	run -1 --separate-stderr pp status --format=json
	[ "$(jq -r '.apps[] | .app + " " + .state' <<<"$output")" = "$(printf '%s\n' \
		'a held' 'b held' 'c held' 'slug pending')" ]
}

@test "a document larger than Consul would take is refused, reading and writing" {
	set_slug
	before=$(store_dump)
	head -c 600000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/value"
	{
		printf '{"user_config": {"x": "'
		cat "$BATS_TEST_TMPDIR/value"
		printf '"}}'
	} >"$STORE/clusters/slug/demo/config.json"
	refused 65 "larger than 524288" pp intent get slug/demo
	store_put clusters/slug/demo/config '{"versions":{"abc":"prep","def":"active"},"min_nodes":2}'

	value=$(head -c 120000 "$BATS_TEST_TMPDIR/value")
	refused 65 "larger than 524288" pp intent set slug/demo user_config.{a,b,c,d,e}="$value"
	[ "$(store_dump)" = "$before" ]
}

# --- two at once

@test "of many sets at once each is there or has said 75" {
	set_slug
	for i in {1..40}; do
		(
			code=0
			pp intent set slug/demo versions.v$i=prep >/dev/null 2>"$BATS_TEST_TMPDIR/err.$i" || code=$?
			echo $code >"$BATS_TEST_TMPDIR/code.$i"
		) 3>&- &
		pids[i]=$!
	done
	wait "${pids[@]}"
	store_get clusters/slug/demo/config >"$BATS_TEST_TMPDIR/after"
	done=0
	for i in {1..40}; do
		case $(cat "$BATS_TEST_TMPDIR/code.$i") in
		0)
			[ "$(jq -r ".versions.v$i" "$BATS_TEST_TMPDIR/after")" = prep ]
			done=$((done + 1))
			;;
		75)
			[ "$(jq -r ".versions.v$i" "$BATS_TEST_TMPDIR/after")" = null ]
			grep -q 'try again' "$BATS_TEST_TMPDIR/err.$i"
			;;
		*) fail "exit code $(cat "$BATS_TEST_TMPDIR/code.$i"): $(cat "$BATS_TEST_TMPDIR/err.$i")" ;;
		esac
	done
	[ "$done" -ge 1 ]
	[ ! -e "$STORE/.journal" ]
}

@test "a lost race is exit 75 and changes nothing" {
	set_slug
	# A reader's lock keeps the writer from its write, not from its read.
	(flock -s 9 && exec sleep 60) 9<"$STORE/.lock" 3>&- &
	holder=$!
	wait_until sh -c "! flock -n '$STORE/.lock' true"
	spawn set sh -c "'$PP' intent set slug/demo versions.abc=active users=xavier; echo \$? >'$BATS_TEST_TMPDIR/code'"
	wait_until sh -c "ls -l /proc/*/fd 2>/dev/null | grep -c '$STORE/.lock' | grep -qx 2"
	# It had the lock to read for no longer than this, so it wants to write.
	sleep 1
	store_put clusters/slug/demo/config '{"versions": {"abc": "prep", "other": "active"}}'
	before=$(store_dump)
	kill "$holder"
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 75 ]
	grep -q 'clusters/slug/demo/config was changed by somebody else meanwhile' "$BATS_TEST_TMPDIR/set.log"
	[ "$(store_dump)" = "$before" ]
}

@test "a write on the condition that other documents are as they were" {
	"$PP_BUILD/unit/test_store" "dir:$STORE" >"$BATS_TEST_TMPDIR/tap" || fail "$(grep -v ^ok "$BATS_TEST_TMPDIR/tap")"
	[ "$(grep -c ^ok "$BATS_TEST_TMPDIR/tap")" -ge 30 ]
	[ "$(store_keys | tr '\n' ' ')" = "clusters/a/b/config locks/a/b pp/store " ]
	[ ! -e "$STORE/.journal" ]
}

@test "a lock that is not given up is exit 75, and --timeout bounds the wait" {
	set_slug
	spawn flock flock -x "$STORE/.lock" sleep 30
	wait_until sh -c "! flock -n '$STORE/.lock' true"
	start=$EPOCHSECONDS
	refused 75 "is locked by another program" timeout 25 "$PP" converge iptables --timeout=300ms --cmd=true \
		--config-dir="$BATS_TEST_TMPDIR/ports"
	[ $((EPOCHSECONDS - start)) -le 20 ]
}

@test "while a writer writes, a reader sees both documents old or both new" {
	pp intent set slug/demo versions=v0:active min_nodes=0 basedir=/data/slug0
	spawn writer bash -c "for i in {1..80}; do '$PP' intent set slug/demo min_nodes=\$i basedir=/data/slug\$i; done"
	torn=0 seen=0
	while is_running "$SPAWNED"; do
		pair=$(pp intent get slug/demo --json | jq -r '"\(.config.min_nodes) \(.deploy_config.basedir)"')
		[ "/data/slug${pair% *}" = "${pair#* }" ] || torn=$((torn + 1))
		seen=$((seen + 1))
	done
	[ "$seen" -gt 5 ]
	[ "$torn" = 0 ]
	[ "$(pp intent get slug/demo min_nodes)" = 80 ]
}

# --- killed

# The documents, and how many revisions tell of them: none without the other.
documents() {
	pp intent get slug/demo --json |
		jq -S --argjson n "$(pp intent history slug/demo --json | jq length)" 'del(.index) | .revisions = $n'
}

@test "killed at any instruction, all documents are the old ones or all are the new ones" {
	set_slug
	old=$(documents)
	changes=(versions.abc=active basedir=/data/other users=don)
	cp -a "$STORE" "$BATS_TEST_TMPDIR/pristine"
	death_points "$PP" intent set slug/demo "${changes[@]}" >"$BATS_TEST_TMPDIR/points"
	new=$(documents)
	[ "$old" != "$new" ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/points")" -gt 25 ]
	olds=0 news=0 journals=0
	while read -r name count; do
		rm -rf "$STORE"
		cp -a "$BATS_TEST_TMPDIR/pristine" "$STORE"
		killed_at "$name" "$count" "$PP" intent set slug/demo "${changes[@]}" ||
			fail "was not killed at $name $count"
		[ ! -e "$STORE/.journal" ] || journals=$((journals + 1))
		now=$(documents)
		case $now in
		"$old") olds=$((olds + 1)) ;;
		"$new") news=$((news + 1)) ;;
		*) fail "killed at $name $count: $now" ;;
		esac
		# The next writer finishes what was begun, and finds nothing in its way.
		pp intent set slug/demo min_nodes=9 >/dev/null
		[ "$(documents)" = "$(jq -S '.config.min_nodes = 9 | .revisions += 1' <<<"$now")" ]
		[ "$(jq .min_nodes "$STORE/clusters/slug/demo/config.json")" = 9 ]
		[ "$(jq -r .basedir "$STORE/clusters/slug/demo/deploy_config.json")" = "$(jq -r .deploy_config.basedir <<<"$now")" ]
		[ ! -e "$STORE/.journal" ]
	done <"$BATS_TEST_TMPDIR/points"
	[ "$olds" -gt 3 ]
	[ "$news" -gt 3 ]
	[ "$journals" -gt 3 ]
}

@test "killed at any instruction of the very first write, the next one finds nothing in its way" {
	rm -r "$STORE"
	death_points "$PP" intent set slug/demo min_nodes=1 basedir=/data/slug >"$BATS_TEST_TMPDIR/points"
	ids=0
	while read -r name count; do
		rm -rf "$STORE"
		killed_at "$name" "$count" "$PP" intent set slug/demo min_nodes=1 basedir=/data/slug ||
			fail "was not killed at $name $count"
		now=$(pp intent get slug/demo 2>/dev/null | tr '\n' ' ') || :
		[ "$now" = "" ] || [ "$now" = "min_nodes=1 basedir=/data/slug " ] || fail "killed at $name $count: $now"
		run -0 pp intent set slug/demo min_nodes=2 basedir=/data/other
		[ "$(pp intent get slug/demo | tr '\n' ' ')" = "min_nodes=2 basedir=/data/other " ]
		[ "$(json pp/store .schema)" = 1 ]
		[ ! -e "$STORE/.journal" ]
	done <"$BATS_TEST_TMPDIR/points"
}

@test "a removal that was cut short has happened, for whoever reads" {
	set_slug
	pp intent assign slug/demo node1
	printf '{"nodes/node1/slug":null,"clusters/slug/demo/config":"{\\"min_nodes\\": 5}"}' >"$STORE/.journal"
	run -0 --separate-stderr pp status --format=json
	[ "$(jq -c .apps <<<"$output")" = '[]' ]
	run -0 pp intent get slug/demo min_nodes
	[ "$output" = 5 ]
	[ -e "$STORE/nodes/node1/slug.json" ]
	pp intent set slug/demo min_nodes=6
	[ ! -e "$STORE/nodes/node1/slug.json" ]
	[ ! -e "$STORE/.journal" ]
}

@test "a journal that pp did not write is not believed, nor removed, and cannot reach outside" {
	set_slug
	before=$(store_dump)
	for journal in '[]' '{' 'x'; do
		printf '%s' "$journal" >"$STORE/.journal"
		refused 69 ".journal: " pp intent get slug/demo
		refused 69 ".journal: " pp intent set slug/demo min_nodes=3
		[ "$(cat "$STORE/.journal")" = "$journal" ]
	done
	printf '{"../../outside":"{}"}' >"$STORE/.journal"
	run ! pp intent set slug/demo min_nodes=3
	[ ! -e "$BATS_TEST_TMPDIR/../outside.json" ]
	[ ! -e "$BATS_TEST_TMPDIR/outside.json" ]
	rm "$STORE/.journal"
	[ "$(store_dump)" = "$before" ]
}

@test "a full disk is an error, and leaves the old documents" {
	need_mount_namespace
	# shellcheck disable=SC2016
	run -0 in_namespace '
		store=$1
		mount -t tmpfs -o size=64k tmpfs "$store"
		pp intent set slug/demo min_nodes=1 basedir=/data/slug >/dev/null
		head -c 200000 /dev/zero >"$store/filler" 2>/dev/null || :
		code=0
		pp intent set slug/demo min_nodes=2 basedir=/data/other || code=$?
		[ "$code" = 69 ] || fail "exit code $code"
		rm "$store/filler"
		[ "$(pp intent get slug/demo | tr "\n" " ")" = "min_nodes=1 basedir=/data/slug " ]
		pp intent set slug/demo min_nodes=2 >/dev/null
		[ ! -e "$store/.journal" ]
	' "$STORE"
}

# --- who may

@test "a store that is read-only and somebody else's is read, and writing it is exit 77" {
	need_root
	OPEN=$(mktemp -d /tmp/pp-test.XXXXXX)
	chmod 0755 "$OPEN"
	cp "$PP" "$OPEN/pp"
	STORE=$OPEN/store PP_STORE=dir:$OPEN/store PP_CONF=$OPEN/pp.conf
	set_slug
	find "$STORE" -type d -exec chmod 0555 {} +
	as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$OPEN/pp" "$@"; }
	run -0 as_nobody intent get slug/demo min_nodes
	[ "$output" = 2 ]
	before=$(snapshot "$STORE")
	refused 77 "Permission denied" as_nobody intent set slug/demo min_nodes=3
	[ "$(snapshot "$STORE")" = "$before" ]
	rm "$STORE/.lock"
	run -0 as_nobody intent get slug/demo min_nodes
	[ "$output" = 2 ]
	chmod 0700 "$STORE"
	refused 77 "Permission denied" as_nobody intent get slug/demo min_nodes
}

@test "a store on a read-only file system is read" {
	need_mount_namespace
	set_slug
	# shellcheck disable=SC2016
	run -0 in_namespace '
		mount --bind "$1" "$1"
		mount -o remount,bind,ro "$1"
		[ "$(pp intent get slug/demo min_nodes)" = 2 ]
		code=0
		pp intent set slug/demo min_nodes=3 || code=$?
		[ "$code" = 77 ] || fail "exit code $code"
	' "$STORE"
}

# --- git

@test "while git updates the checkout, nothing is read and nothing is written" {
	set_slug
	mkdir "$STORE/.git"
	: >"$STORE/.git/index.lock"
	refused 69 "is being updated by git" pp intent get slug/demo
	refused 69 "is being updated by git" pp intent set slug/demo min_nodes=3
	rm "$STORE/.git/index.lock"
	run -0 pp intent get slug/demo min_nodes
	[ "$output" = 2 ]
}

@test "a file among the directories of a key, and a name that is not ours, do no harm" {
	set_slug
	pp intent assign slug/demo node1
	echo 'notes' >"$STORE/nodes/README"
	echo 'notes' >"$STORE/nodes/node1/README.txt"
	: >"$STORE/clusters/slug/notes"
	run -0 pp intent get slug min_nodes
	[ "$output" = 2 ]
	run --separate-stderr pp status --format=json
	[ "$(jq -c '[.apps[].app]' <<<"$output")" = '["slug"]' ]
}

# --- many

@test "1,000 apps on a node: a plan and a status in a few seconds, in order, one bad one held" {
	perl -e 'my $store = shift; mkdir "$store/$_" for qw(nodes nodes/node1 clusters);
		for my $i (1 .. 1000) {
			mkdir "$store/clusters/a$i"; mkdir "$store/clusters/a$i/c";
			my %doc = ("nodes/node1/a$i" => q({"cluster": "c"}),
				"clusters/a$i/c/config" => q({"versions": {"v1": "prep"}}),
				"clusters/a$i/c/deploy_config" => qq({"basedir": "/data/a$i", "ports": [$i]}));
			$doc{"clusters/a$i/c/config"} = "{" if $i == 500;
			for (keys %doc) { open my $f, ">", "$store/$_.json"; print $f $doc{$_}; close $f }
		}' "$STORE"
	start=$EPOCHSECONDS
	run -1 --separate-stderr pp converge preparer --dry-run --repo="$REPO_URL"
	[ "$(grep -c '^preparer a[0-9]*: ' <<<"$output")" = 1000 ]
	[[ $stderr == *"a500: held as it is: clusters/a500/c/config: line 1"* ]]
	run --separate-stderr pp status --format=json
	[ "$(jq '.apps | length' <<<"$output")" = 1000 ]
	[ "$(jq -r '.apps[] | select(.state == "held") | .app' <<<"$output")" = a500 ]
	run -1 --separate-stderr pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	[ "$(find "$BATS_TEST_TMPDIR/ports" -name 'a*.yml' | wc -l)" = 999 ]
	[ $((EPOCHSECONDS - start)) -lt 60 ]
}
