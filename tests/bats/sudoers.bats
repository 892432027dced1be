#!/usr/bin/env bats
# pp converge sudoers: an app's owners may act as the app's user, and nobody else.
# shellcheck disable=SC2119,SC2120 # what is run may be given more arguments, or not

load helper
load node

setup() {
	helper_setup
	store_dir
	DIR=$BATS_TEST_TMPDIR/sudoers.d
}

sudoers() {
	pp converge sudoers --path="$DIR" "$@"
}

# app NAME OWNERS [SETTING...]: OWNERS is the document owners/NAME, or "" for none.
app() {
	pp intent set "$1/demo" versions=v1:prep basedir="$BATS_TEST_TMPDIR/$1" "${@:3}" >/dev/null
	pp intent assign "$1/demo" "$PP_NODE" >/dev/null
	[ -z "$2" ] || store_put "owners/$1" "$2"
}

slug() {
	app slug '{"email": "slug@example.org", "users": ["xavier", "don"], "groups": []}' "$@"
}

# A visudo in front of the real one: visudo_does SCRIPT.
visudo_does() {
	mkdir -p "$BATS_TEST_TMPDIR/fake"
	printf '#!/bin/sh\n%s\n' "$1" >"$BATS_TEST_TMPDIR/fake/visudo"
	chmod +x "$BATS_TEST_TMPDIR/fake/visudo"
	PATH=$BATS_TEST_TMPDIR/fake:$PATH
}

# --- the main job

@test "an app's owners may act as its user: one line, 0440, root's" {
	slug
	run -0 --separate-stderr sudoers
	[ "$output" = "" ]
	expect_said "INFO slug: wrote new sudoers"
	[ "$(ls -A "$DIR")" = pp-slug ]
	printf 'xavier, don ALL = (slug) ALL\n' | cmp - "$DIR/pp-slug"
	[ "$(stat -c %a "$DIR/pp-slug")" = 440 ]
	[ "$(id -u)" -ne 0 ] || [ "$(stat -c '%U %G' "$DIR/pp-slug")" = "root root" ]
	visudo -cf "$DIR/pp-slug"
}

@test "a second run touches nothing, runs no visudo and says nothing" {
	slug
	sudoers 2>/dev/null
	before=$(snapshot "$DIR")
	visudo_does "touch '$BATS_TEST_TMPDIR/was-run'"
	run -0 --separate-stderr sudoers
	expect_silence
	[ "$(snapshot "$DIR")" = "$before" ]
	[ ! -e "$BATS_TEST_TMPDIR/was-run" ]
	run -0 --separate-stderr sudoers --verbose
	expect_said "INFO Polling intent store" "INFO Checking spec for slug" "INFO slug: no change to sudoers"
}

@test "runas of deploy_config is whom they may act as" {
	slug runas=deploy
	sudoers
	printf 'xavier, don ALL = (deploy) ALL\n' | cmp - "$DIR/pp-slug"
	pp intent unset slug runas >/dev/null
	sudoers
	printf 'xavier, don ALL = (slug) ALL\n' | cmp - "$DIR/pp-slug"
}

@test "groups own, too, with or without users" {
	app both '{"users": ["xavier"], "groups": ["ops", "web.team"]}'
	app team '{"groups": ["ops"]}'
	sudoers
	printf 'xavier, %%ops, %%web.team ALL = (both) ALL\n' | cmp - "$DIR/pp-both"
	printf '%%ops ALL = (team) ALL\n' | cmp - "$DIR/pp-team"
	visudo -cf "$DIR/pp-both"
	visudo -cf "$DIR/pp-team"
}

@test "an app without owners has no file" {
	app empty '{"users": [], "groups": []}'
	app none ''
	run -0 --separate-stderr sudoers
	expect_silence
	[ ! -e "$DIR" ] || [ -z "$(ls -A "$DIR")" ]
	run -0 --separate-stderr sudoers --verbose
	[[ $(said) == *"INFO empty: no owners, skipping"*"INFO none: no owners, skipping" ]]
}

@test "owners that change change the file, and the last one to go takes it with him" {
	slug
	sudoers 2>/dev/null
	store_put owners/slug '{"users": ["don"]}'
	run -0 --separate-stderr sudoers
	expect_said "INFO slug: wrote new sudoers"
	printf 'don ALL = (slug) ALL\n' | cmp - "$DIR/pp-slug"
	store_put owners/slug '{"users": []}'
	run -0 --separate-stderr sudoers
	expect_said "INFO slug: removing unexpected file: pp-slug"
	[ -z "$(ls -A "$DIR")" ]
}

@test "a file that was changed by hand is mended, its mode and owner too" {
	slug
	sudoers 2>/dev/null
	chmod 0644 "$DIR/pp-slug"
	echo 'mallory ALL = (ALL) ALL' >>"$DIR/pp-slug"
	sudoers
	printf 'xavier, don ALL = (slug) ALL\n' | cmp - "$DIR/pp-slug"
	chmod 0644 "$DIR/pp-slug"
	sudoers
	[ "$(stat -c %a "$DIR/pp-slug")" = 440 ]
	if [ "$(id -u)" -eq 0 ]; then
		chown nobody "$DIR/pp-slug"
		sudoers
		[ "$(stat -c %U "$DIR/pp-slug")" = root ]
	fi
}

# --- with sudo itself

@test "sudo knows the rule, of an app with a dot in its name, too" {
	need_mount_namespace
	need sudo
	slug runas=daemon
	app my.app '{"users": ["xavier"]}' runas=games
	# shellcheck disable=SC2016
	run -0 in_namespace '
		mkdir "$BATS_TEST_TMPDIR/etc"
		cp /etc/passwd /etc/shadow "$BATS_TEST_TMPDIR/etc"
		echo "xavier:x:7001:7001::/:/bin/sh" >>"$BATS_TEST_TMPDIR/etc/passwd"
		echo "xavier:*:19000:0:99999:7:::" >>"$BATS_TEST_TMPDIR/etc/shadow"
		mount --bind "$BATS_TEST_TMPDIR/etc/passwd" /etc/passwd
		mount --bind "$BATS_TEST_TMPDIR/etc/shadow" /etc/shadow
		mkdir -p "$BATS_TEST_TMPDIR/sudoers.d"
		mount --bind "$BATS_TEST_TMPDIR/sudoers.d" /etc/sudoers.d
		pp converge sudoers
		sudo -l -U xavier
		test "$(stat -f -c %T /etc/sudoers.d)" = "$(stat -f -c %T "$BATS_TEST_TMPDIR")"'
	[[ $output == *"User xavier may run the following commands"* ]]
	[[ $output == *"(daemon) ALL"* ]]
	[[ $output == *"(games) ALL"* ]]
	[ "$(ls -A "$DIR")" = "pp-my%2eapp
pp-slug" ]
}

@test "an app with a dot in its name is written, kept and removed like any other" {
	app my.app '{"users": ["xavier"]}'
	sudoers
	[ "$(ls -A "$DIR")" = "pp-my%2eapp" ]
	printf 'xavier ALL = (my.app) ALL\n' | cmp - "$DIR/pp-my%2eapp"
	visudo -cf "$DIR/pp-my%2eapp"
	run -0 --separate-stderr sudoers
	expect_silence
	store_delete nodes/node1/my.app
	run -0 --separate-stderr sudoers --allow-empty
	expect_said "INFO my.app: removing unexpected file: pp-my%2eapp"
	[ -z "$(ls -A "$DIR")" ]
}

# --- removal

@test "what begins with pp- and is nobody's is removed, and nothing else" {
	slug
	mkdir "$DIR"
	echo 'joe ALL = (ALL) ALL' >"$DIR/joe"
	echo 'joe ALL = (ALL) ALL' >"$DIR/app-slug"
	echo '# pp' >"$DIR/README"
	echo 'mallory ALL = (ALL) ALL' >"$DIR/pp-mallory"
	before=$(snapshot "$DIR/joe" "$DIR/app-slug" "$DIR/README")
	# The first run gets to know the store.
	run -1 sudoers
	[ -e "$DIR/pp-mallory" ]
	run -0 --separate-stderr sudoers
	expect_said "INFO mallory: removing unexpected file: pp-mallory"
	[ "$(ls -A "$DIR")" = "README
app-slug
joe
pp-slug" ]
	[ "$(snapshot "$DIR/joe" "$DIR/app-slug" "$DIR/README")" = "$before" ]
	store_delete nodes/node1/slug
	sudoers --allow-empty
	[ "$(snapshot "$DIR/joe" "$DIR/app-slug" "$DIR/README")" = "$before" ]
	[ ! -e "$DIR/pp-slug" ]
}

@test "in doubt nothing is removed and nothing is written" {
	slug
	sudoers 2>/dev/null
	before=$(snapshot "$DIR")
	document=$(store_get nodes/node1/slug)
	owners=$(store_get owners/slug)
	identity=$(store_get pp/store)
	held() {
		run -1 --separate-stderr sudoers
		[[ $(said) == "WARN slug: held as it is: "*"$1"* ]] || fail "$stderr"
		[ "$(snapshot "$DIR")" = "$before" ]
	}
	store_put owners/slug '{"users": "xavier"}'
	held "owners/slug: users: it must be a list of names"
	store_put owners/slug '{'
	held "owners/slug: "
	# That there are none any more is believed of the store that this node knows, only.
	store_delete owners/slug
	store_delete pp/store
	held "has no id (pp/store)"
	store_put owners/slug "$owners"
	store_delete nodes/node1/slug
	held "has no id (pp/store)"
	store_identify 11111111-2222-3333-4444-555555555555
	held "another store than the one this node knows"
	store_put pp/store "$identity"
	store_put nodes/node1/slug "$document"
	run -0 --separate-stderr sudoers
	expect_silence
	store_delete owners/slug
	run -0 --separate-stderr sudoers
	expect_said "INFO slug: removing unexpected file: pp-slug"
}

# --- what is refused

@test "owners that would be more than names to sudo are refused, and the old file stays" {
	slug
	app other '{"users": ["ann"]}'
	sudoers 2>/dev/null
	before=$(snapshot "$DIR")
	for name in ALL ADMINS 'x ALL=(ALL) NOPASSWD: ALL' 'x, ALL' '#1000' '%wheel' '+netgroup' '' 'a\nb ALL=(ALL) ALL' \
		'!joe' 'a:b' 'a=b' 'a(b' '\"ALL\"' '-joe' 'a\\\\b' 'jo*' '..'; do
		for field in users groups; do
			store_put owners/slug "{\"$field\": [\"xavier\", \"$name\"]}"
			run -1 --separate-stderr sudoers
			[[ $(said) == "WARN slug: held as it is: could not fetch ownership data: owners/slug: ${field}[1]: "* ]] ||
				fail "$field $name: $stderr"
			[ "$(snapshot "$DIR")" = "$before" ] || fail "$field $name: $(cat "$DIR"/*)"
		done
	done
}

@test "an app, or a runas, that would be more than a user to sudo is refused" {
	app ALL '{"users": ["xavier"]}'
	app WEB '{"users": ["xavier"]}'
	slug
	run -1 --separate-stderr sudoers
	[[ $(said) == *'FATAL ALL: "ALL" cannot stand for a user in sudoers, '*"set runas in deploy_config"* ]]
	[[ $(said) == *'FATAL WEB: "WEB" cannot stand for a user'* ]]
	[ "$(ls -A "$DIR")" = pp-slug ]
	pp intent set ALL runas=all >/dev/null
	pp intent set WEB runas=web >/dev/null
	sudoers
	printf 'xavier ALL = (all) ALL\n' | cmp - "$DIR/pp-ALL"
	for name in ALL '#0' 'root, ALL' 'root) NOPASSWD: (ALL'; do
		store_put clusters/slug/demo/deploy_config "{\"basedir\": \"$BASEDIR\", \"runas\": \"$name\"}"
		run -1 --separate-stderr sudoers
		[[ $(said) == "WARN slug: held as it is: clusters/slug/demo/deploy_config: runas: "* ]]
		printf 'xavier, don ALL = (slug) ALL\n' | cmp - "$DIR/pp-slug"
	done
}

@test "what visudo rejects never appears, the old file stays, and the others are written" {
	slug
	app zeta '{"users": ["zoe"]}'
	sudoers 2>/dev/null
	before=$(snapshot "$DIR/pp-slug")
	store_put owners/slug '{"users": ["don"]}'
	store_put owners/zeta '{"users": ["zak"]}'
	# shellcheck disable=SC2016
	visudo_does 'echo "$*" >>"'"$BATS_TEST_TMPDIR"'/told"
		case $2 in *slug*) echo "$2:1:1: syntax error" >&2; exit 1 ;; esac
		[ "$(stat -c %a "$2")" = 440 ] || exit 1'
	run -1 --separate-stderr sudoers
	[[ $(said) == *"FATAL slug: could not validate sudoers: visudo -cf: exit 1: "*"syntax error"* ]]
	[ "$(snapshot "$DIR/pp-slug")" = "$before" ]
	[ "$(cat "$DIR/pp-zeta")" = "zak ALL = (zeta) ALL" ]
	[ "$(ls -A "$DIR")" = "pp-slug
pp-zeta" ]
	# A name with a dot in it, that sudo does not read.
	[[ $(head -n 1 "$BATS_TEST_TMPDIR/told") == "-cf $DIR/.pp-slug."* ]]
	run -1 --separate-stderr sudoers
	[[ $(said) == *"FATAL slug: could not validate sudoers: "* ]]
}

@test "killed with -9 at any of its system calls: the old file or the new, and the next run finishes" {
	need strace
	slug
	app gone '{"users": ["gus"]}'
	visudo_does 'exit 0'
	sudoers 2>/dev/null
	store_put owners/slug '{"users": ["don"]}'
	store_delete nodes/node1/gone
	whole=$BATS_TEST_TMPDIR/whole
	cp -a "$DIR" "$whole"
	points=$(death_points "$PP" converge sudoers --path="$DIR")
	kills=0
	while read -r call count; do
		rm -rf "$DIR"
		cp -a "$whole" "$DIR"
		killed_at "$call" "$count" "$PP" converge sudoers --path="$DIR" || continue
		kills=$((kills + 1))
		# What sudo would read.
		case $(cat "$DIR/pp-slug") in
		'xavier, don ALL = (slug) ALL' | 'don ALL = (slug) ALL') ;;
		*) fail "killed at $call $count: $(cat "$DIR/pp-slug")" ;;
		esac
		[ "$(find "$DIR" -mindepth 1 ! -name ".*" ! -name pp-slug ! -name pp-gone)" = "" ]
		run -0 sudoers
		[ "$(ls -A "$DIR")" = pp-slug ] || fail "killed at $call $count: $(ls -A "$DIR")"
		[ "$(cat "$DIR/pp-slug")" = "don ALL = (slug) ALL" ]
		run -0 --separate-stderr sudoers
		expect_silence
	done <<<"$points"
	[ "$kills" -ge 10 ]
}

# --- around it

@test "--dry-run prints what would be done and changes nothing" {
	slug
	run -0 --separate-stderr sudoers --dry-run
	[ "$output" = "sudoers slug: would write pp-slug (its owners have none yet)" ]
	[ "$stderr" = "" ]
	[ ! -e "$DIR" ]
	[ ! -e "$PP_STATE_DIR" ]
	sudoers 2>/dev/null
	app other '{"users": ["ann"]}'
	store_put owners/slug '{"users": ["don"]}'
	before=$(snapshot "$DIR" "$PP_STATE_DIR")
	run -0 sudoers --dry-run
	[ "$output" = "sudoers other: would write pp-other (its owners have none yet)
sudoers slug: would write pp-slug (its owners differ)" ]
	store_delete nodes/node1/slug
	run -2 --separate-stderr sudoers --dry-run --app slug --detailed-exitcodes
	[ "$output" = "sudoers slug: would remove pp-slug (the app is not assigned to this node any more)" ]
	[ "$(snapshot "$DIR" "$PP_STATE_DIR")" = "$before" ]
}

@test "exit codes in detail, --app, and the section of pp.conf" {
	slug
	app other '{"users": ["ann"]}'
	printf '[sudoers]\npath = %s\n' "$DIR" >"$PP_CONF"
	run -2 pp converge sudoers --app other --detailed-exitcodes
	[ "$(ls "$DIR")" = pp-other ]
	run -2 pp converge --detailed-exitcodes sudoers
	run -0 pp converge sudoers --detailed-exitcodes
	store_put owners/slug '{"users": ["ALL"]}'
	run -4 pp converge sudoers --detailed-exitcodes
	store_put owners/other '{"users": ["bob"]}'
	run -6 pp converge sudoers --detailed-exitcodes
}

@test "one run at a time: the second exits 75" {
	slug
	visudo_does "touch '$BATS_TEST_TMPDIR/at-it'; sleep 1"
	"$PP" converge sudoers --path="$DIR" 2>"$BATS_TEST_TMPDIR/first" &
	first=$!
	wait_until test -e "$BATS_TEST_TMPDIR/at-it"
	run -75 --separate-stderr sudoers
	expect_said "WARN another run of sudoers on node1 is under way (pid $first); this one leaves it alone"
	wait "$first"
}

@test "a file that only begins like one of pp's is unexpected, too" {
	slug
	sudoers 2>/dev/null
	touch "$DIR/pp-old.bak" "$DIR/pp-Odd~" "$DIR/mine"
	run -0 --separate-stderr sudoers
	[ "$(cd "$DIR" && echo *)" = "mine pp-slug" ]
	run -0 --separate-stderr sudoers
	expect_silence
}
