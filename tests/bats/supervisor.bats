#!/usr/bin/env bats
# The supervisors runit and servicebuilder, on real runit, and none: each by its own functions.
# shellcheck disable=SC2016 # what is in single quotes is for the programs that run

load helper
load node

setup() {
	helper_setup
	WORK=$BATS_TEST_TMPDIR
	OUT=$WORK/out RUNIT=$WORK/service RUNIT_STAGE=$WORK/service-stage SB=$WORK/sb
	mkdir -p "$BASEDIR/current/bin" "$OUT"
	NASTY='a  b"c'\''d%h%%$HOME${X}`id`\n\\ #;: {x} [y], *z & !w | naïve '
}

teardown() {
	helper_teardown
	[ -z "${WIDE-}" ] || rm -rf "$WIDE"
}

# launches <<'SCRIPT': bin/launch.
launches() {
	cat >"$BASEDIR/current/bin/launch"
	chmod 0755 "$BASEDIR/current/bin/launch"
}

# drive BACKEND VERB [KEY=VALUE]...
drive() {
	"$PP_BUILD/unit/test_supervisor" "$1" "$2" app=slug basedir="$BASEDIR" scan="$RUNIT" stage="$RUNIT_STAGE" \
		config="$SB" "${@:3}"
}

up() {
	drive "$1" define "${@:2}" && drive "$1" enable "${@:2}" && drive "$1" start "${@:2}"
}

# The real servicebuilder's work, by the stand-in.
with_servicebuilder() {
	mkdir -p "$WORK/sb-bin"
	ln -sf "$TOP/examples/fake/bin/servicebuilder" "$WORK/sb-bin/servicebuilder"
	PATH=$WORK/sb-bin:$PATH
}

# What a service that writes its environment and its limits to out/ wrote, once it has.
dumps() {
	launches <<<'#!/bin/bash
/usr/bin/env -0 >'"$OUT"'/env.new
{ id -un; ulimit -n; ulimit -t; ulimit -v; ulimit -u; } >'"$OUT"'/limits
mv '"$OUT"'/env.new '"$OUT"'/env
exec sleep 1000000'
}

expect_environment() {
	local wanted

	wait_until test -s "$OUT/env"
	mapfile -t -d '' got <"$OUT/env"
	for wanted in "NASTY=$NASTY" EMPTY= 'LAST=\' PP_APP=slug PP_VERSION=v7 PP_CLUSTER=demo PP_NODE=other \
		PORT=1212 PP_USER_CONFIG="$BASEDIR/config/user_config.json" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; do
		printf '%s\n' "${got[@]}" | grep -qxF -- "$wanted" || fail "not there: $wanted in $(printf '%s\n' "${got[@]}")"
	done
	# And nothing else: what is left out is bash's.
	[ "$(printf '%s\n' "${got[@]%%=*}" | grep -vxE 'PWD|SHLVL|_|OLDPWD' | LC_ALL=C sort | tr '\n' ' ')" = \
		"EMPTY LAST NASTY PATH PORT PP_APP PP_CLUSTER PP_NODE PP_USER_CONFIG PP_VERSION " ]
}

ENVIRONMENT=(version=v7 cluster=demo port=1212 env=EMPTY= env=PP_NODE=other)

@test "runit: env is added to a clean environment, byte for byte" {
	dumps
	runit_start
	SECRET=leaks up runit "${ENVIRONMENT[@]}" env="NASTY=$NASTY" env='LAST=\'
	expect_environment
	[ "$(drive runit same "${ENVIRONMENT[@]}" env="NASTY=$NASTY" env='LAST=\')" = 1 ]
	[ "$(drive runit same "${ENVIRONMENT[@]}" env="NASTY=$NASTY")" = 0 ]
}

@test "servicebuilder: with env its command is an array, of a clean environment" {
	with_servicebuilder
	dumps
	runit_start
	up servicebuilder "${ENVIRONMENT[@]}" env="NASTY=$NASTY" env='LAST=\' nofile=99
	expect_environment
	[ "$(sed -n 2p "$OUT/limits")" = 99 ]
	head -n 4 "$SB/slug.yaml" | cmp - <(printf 'slug:\n  run:\n  - env\n  - -i\n')
	tail -n 3 "$SB/slug.yaml" | cmp - <(printf '  - chpst\n  - -o99\n  - %s/current/bin/launch\n' "$BASEDIR")
	[ "$(drive servicebuilder same "${ENVIRONMENT[@]}" env="NASTY=$NASTY" env='LAST=\' nofile=99)" = 1 ]
	[ "$(drive servicebuilder same "${ENVIRONMENT[@]}" env="NASTY=$NASTY" env='LAST=\')" = 0 ]
}

@test "servicebuilder: without env and limits its command is the one string that it was" {
	with_servicebuilder
	drive servicebuilder define
	printf 'slug:\n  run:\n  - %s/current/bin/launch\n' "$BASEDIR" | cmp - "$SB/slug.yaml"
	drive servicebuilder define user=nobody
	printf 'slug:\n  run:\n  - chpst -u nobody %s/current/bin/launch\n' "$BASEDIR" | cmp - "$SB/slug.yaml"
}

@test "servicebuilder: what YAML would take for a number or no text at all is text" {
	need python3
	python3 -c 'import yaml' 2>/dev/null || skip "needs a reader of YAML for python3"
	mkdir "$WORK/sb-bin"
	ln -s /bin/true "$WORK/sb-bin/servicebuilder"
	PATH=$WORK/sb-bin:$PATH
	drive servicebuilder define port=1212 env=A=1 env='B=: #' env=C=$'tab\there\e' env="D=$NASTY" nofile=1 user=nobody
	python3 - "$SB/slug.yaml" "$NASTY" <<-'PYTHON'
		import sys, yaml
		words = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))["slug"]["run"]
		assert all(type(w) is str for w in words), words
		for wanted in ["A=1", "B=: #", "C=tab\there\x1b", "D=" + sys.argv[2], "-unobody", "-o1", "PORT=1212"]:
		    assert wanted in words, (wanted, words)
	PYTHON
	run -1 --separate-stderr drive servicebuilder same env=A="$(printf '\377')"
	[ "$stderr" = "env: A is not UTF-8, as YAML has to be" ]
}

@test "runit: limits are chpst's, for each process" {
	dumps
	runit_start
	up runit nofile=99 cpu=77 memory=1073741824 tasks=555
	wait_until test -s "$OUT/env"
	[ "$(sed 1d "$OUT/limits" | tr '\n' ' ')" = "99 77 1048576 555 " ]
	grep -qx "	chpst -o99 -m1073741824 -t77 -p555 $BASEDIR/current/bin/launch" "$RUNIT_STAGE/slug/run"
}

@test "runit: limits of another user, whom chpst becomes" {
	need_root
	BASEDIR=$(mktemp -d /tmp/pp-supervisor.XXXXXX)
	WIDE=$BASEDIR OUT=$BASEDIR/out
	chmod 0755 "$BASEDIR"
	mkdir -p "$BASEDIR/current/bin" "$OUT"
	chmod 0777 "$OUT"
	dumps
	runit_start
	up runit user=nobody nofile=99
	wait_until test -s "$OUT/env" || fail "$(drive runit log_tail)"
	[ "$(head -n 2 "$OUT/limits" | tr '\n' ' ')" = "nobody 99 " ]
	grep -qx "	chpst -u nobody -o99 $BASEDIR/current/bin/launch" "$RUNIT_STAGE/slug/run"
}

@test "a definition that is as it should be is not written again, one changed by hand is" {
	with_servicebuilder
	for backend in runit servicebuilder; do
		drive "$backend" define env=A=b nofile=9
		file=$RUNIT_STAGE/slug/run
		[ "$backend" = runit ] || file=$SB/slug.yaml
		before=$(stat -c '%i %Z' "$file")
		[ "$(drive "$backend" same env=A=b nofile=9)" = 1 ]
		for other in "env=A=c nofile=9" "env=A=b nofile=8" "env=A=b" "nofile=9" ""; do
			# shellcheck disable=SC2086
			[ "$(drive "$backend" same $other)" = 0 ]
		done
		[ "$(stat -c '%i %Z' "$file")" = "$before" ]
		echo "# by hand" >>"$file"
		[ "$(drive "$backend" same env=A=b nofile=9)" = 0 ]
		drive "$backend" define env=A=b nofile=9
		[ "$(drive "$backend" same env=A=b nofile=9)" = 1 ]
		rm -rf "$RUNIT" "$RUNIT_STAGE" "$SB"
	done
}

@test "how a service is, and for how long" {
	launches <<<'#!/bin/sh
exec sleep 1000000'
	[ "$(drive runit status)" = "slug absent now" ]
	runit_start
	up runit
	[ "$(drive runit status)" = "slug up now" ]
	drive runit stop
	[ "$(drive runit status service=slug service=other)" = "slug down now
other absent now" ]
	[ "$(drive runit enabled)" = 1 ]
	drive runit keep_down
	[ "$(drive runit enabled)" = 0 ]
}

@test "the last lines of a service's log, whatever is in its place" {
	launches <<<'#!/bin/sh
for i in 1 2 3 4 5 6 7 8 9 10 11; do echo "line $i"; done; printf "\033[31mred\n" >&2
exec sleep 1000000'
	[ "$(drive runit log_tail)" = "(none)" ]
	runit_start
	up runit
	log=$(drive runit log_place)
	[ "$log" = "$RUNIT_STAGE/slug/log/main/current" ]
	wait_until grep -q red "$log"
	run -0 drive runit log_tail
	[ "${#lines[@]}" -eq 10 ]
	[[ ${lines[0]} == *" line 3" && ${lines[9]} == *' \x1b[31mred' ]]
	drive runit stop
	runit_stop

	# As long as a log gets; none of it is anybody's but the end.
	head -c 3000000 /dev/zero | tr '\0' x >"$log"
	printf '\nthe end\n' >>"$log"
	run -0 drive runit log_tail
	[[ ${lines[1]} == "the end" && ${#lines[0]} -eq 200 ]]
	rm "$log"
	ln -s /etc/passwd "$log"
	[ "$(drive runit log_tail)" = "(none)" ]
	rm "$log"
	mkfifo "$log"
	[ "$(drive runit log_tail)" = "(none)" ]
	rm "$log"
	mkdir "$log"
	[ "$(drive runit log_tail)" = "(none)" ]
}

@test "none: nothing is defined, started or said to run" {
	before=$(snapshot "$BASEDIR")
	for verb in rehearse define enable start stop keep_down remove restore list; do
		run -0 --separate-stderr drive none "$verb"
		expect_silence
	done
	[ "$(drive none same)" = 1 ]
	[ "$(drive none enabled)" = 0 ]
	[ "$(drive none status)" = "slug absent now" ]
	[ "$(drive none log_tail)" = "(none)" ]
	[ "$(snapshot "$BASEDIR")" = "$before" ]
	[ ! -e "$RUNIT" ] && [ ! -e "$RUNIT_STAGE" ] && [ ! -e "$SB" ]
}

@test "pp converge setlive --supervisor=none: linked, and nothing else" {
	store_dir
	rm -r "$BASEDIR"
	repo_add slug abc123
	intent_slug abc123:active >/dev/null
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	run -0 --separate-stderr pp converge setlive --supervisor=none --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	[[ $(said) == *"INFO slug: Symlinking" ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
	run -0 --separate-stderr pp converge setlive --supervisor=none --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
	expect_silence
	[ ! -e "$RUNIT" ] && [ ! -e "$RUNIT_STAGE" ]
	run ! --separate-stderr pp converge setlive --supervisor=upstart
	[[ $stderr == *'supervisor "upstart": write runit, servicebuilder, systemd or none'* ]]
}
