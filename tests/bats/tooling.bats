#!/usr/bin/env bats
# What surrounds the programs: Makefile, scripts, tests/run.sh, examples, cron.

load helper

# A directory of programs that come before all others; only those where $1 is "only".
fake_path() {
	local tool

	FAKE=$BATS_TEST_TMPDIR/fake
	mkdir -p "$FAKE"
	for tool in "$@"; do
		ln -sf "$(command -v "$tool")" "$FAKE/$tool"
	done
}

# fake NAME BODY: a shell script there.
fake() {
	printf '#!/bin/sh\n%s\n' "$2" >"$FAKE/$1"
	chmod +x "$FAKE/$1"
}

# --- Makefile

# make that does not touch what the tests are running.
make_elsewhere() {
	env -u MAKEFLAGS -u CFLAGS -u CPPFLAGS -u LDFLAGS -u WERROR make -C "$TOP" --no-print-directory \
		BUILD="$BATS_TEST_TMPDIR/build" "$@"
}

# make with what is built already; `-o all` keeps it as it is.
make_install() {
	make -C "$TOP" --no-print-directory -o all BUILD="$PP_BUILD" DESTDIR="$BATS_TEST_TMPDIR/root" \
		PREFIX=/usr "$@"
}

@test "make install puts everything where DESTDIR and PREFIX say, and uninstall takes it away" {
	make_install install
	cd "$BATS_TEST_TMPDIR/root"
	[ "$(ls)" = usr ]
	[ "$(ls usr/bin | tr '\n' ' ')" = "pp pp-iptables pp-preparer pp-setlive pp-sudoers " ]
	for link in pp-iptables pp-preparer pp-setlive pp-sudoers; do
		[ "$(readlink "usr/bin/$link")" = pp ]
	done
	[ -x usr/libexec/pp/pp-unpack ]
	[ -f usr/share/doc/pp/LICENSE ]
	for page in "$TOP"/man/*.[1-9]; do
		[ -f "usr/share/man/man${page##*.}/${page##*/}" ]
	done
	[ -x usr/share/pp/examples/quickstart.sh ]
	[ -x usr/share/pp/examples/fake/bin/sv ]
	grep -q '	root	/usr/bin/pp converge setlive' usr/share/pp/cron/pp.crontab
	grep -q '^ExecStart=/usr/bin/pp converge %i$' usr/share/pp/cron/pp-converge@.service
	run ! grep -r /usr/local/bin/pp usr/share/pp/cron

	make_install uninstall
	[ "$(find . -type f -o -type l)" = "" ]
}

@test "an installed pp says its version and finds its pp-unpack" {
	make_install install
	PP=$BATS_TEST_TMPDIR/root/usr/bin/pp
	run -0 pp --version
	[[ $output == *"$(sed -n 's/^VERSION := //p' "$TOP/Makefile")"* ]]

	store_dir
	repo_add slug def456
	intent_slug def456:active
	pp converge preparer --repo="$REPO_URL"
	[ -x "$BASEDIR/installs/slug_def456/bin/launch" ]
}

@test "the user's flags come after ours, and other flags compile anew" {
	run -0 make_elsewhere "$BATS_TEST_TMPDIR/build/obj/lib/base/err.o" CFLAGS=-O0 CPPFLAGS=-DMINE
	[[ $output == *" -O2 "*" -DMINE -O0 "*"lib/base/err.c"* ]]
	run -0 make_elsewhere "$BATS_TEST_TMPDIR/build/obj/lib/base/err.o" CFLAGS=-O0 CPPFLAGS=-DMINE
	[[ $output != *lib/base/err.c* ]]
	run -0 make_elsewhere "$BATS_TEST_TMPDIR/build/obj/lib/base/err.o" CFLAGS=-O1
	[[ $output == *" -O1 "*lib/base/err.c* ]]
	run -0 make_elsewhere -n "$BATS_TEST_TMPDIR/build/pp" LDFLAGS=-Wl,-O7
	[[ $output == *" -pie "*" -Wl,-O7 -o "*"/pp "* ]]
}

@test "a change in a header compiles anew what includes it" {
	make_elsewhere "$BATS_TEST_TMPDIR/build/obj/lib/base/err.o"
	run -0 make_elsewhere -n -W lib/base/err.h "$BATS_TEST_TMPDIR/build/obj/lib/base/err.o"
	[[ $output == *"lib/base/err.c"* ]]
}

@test "make says what to run where a library is missing" {
	fake_path
	fake pkg-config 'echo "Package $3 was not found" >&2; exit 1'
	run -2 make_elsewhere all PKG_CONFIG="$FAKE/pkg-config"
	[[ $output == *"scripts/deps.sh build"* ]]
	run -0 make_elsewhere -n clean PKG_CONFIG="$FAKE/pkg-config"
}

@test "pp loads neither libcurl nor what pp-unpack is for, and pp-unpack no more than that" {
	needed() {
		readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\.so.*/\1/p' |
			grep -v -e '^libc$' -e '^ld-linux' -e '^libasan$' -e '^libubsan$' | sort | tr '\n' ' '
	}
	[ "$(needed "$PP")" = "libbsd libinih libjansson libyaml-0 " ]
	run needed "$PP_UNPACK"
	for unwanted in libcurl libjansson libinih libyaml; do
		[[ $output != *$unwanted* ]]
	done
	[[ $output == *libarchive* ]]
}

@test "make compdb lists every C file with its command" {
	cp -r "$TOP/Makefile" "$TOP/cmd" "$TOP/lib" "$BATS_TEST_TMPDIR"
	make -C "$BATS_TEST_TMPDIR" compdb
	cd "$BATS_TEST_TMPDIR"
	[ "$(jq -r '.[].file' compile_commands.json | sort)" = "$(ls cmd/*.c lib/*/*.c | sort)" ]
	[[ $(jq -r '.[0].command' compile_commands.json) == *'-DPP_VERSION=\"'* ]]
}

@test "make clean leaves the tools that were fetched" {
	mkdir -p "$BATS_TEST_TMPDIR/build/obj" "$BATS_TEST_TMPDIR/build/tools"
	touch "$BATS_TEST_TMPDIR/build/tools/consul" "$BATS_TEST_TMPDIR/build/pp"
	cp "$TOP/Makefile" "$BATS_TEST_TMPDIR"
	make -C "$BATS_TEST_TMPDIR" clean
	[ "$(find "$BATS_TEST_TMPDIR/build" -mindepth 1 | sort)" = "$BATS_TEST_TMPDIR/build/tools
$BATS_TEST_TMPDIR/build/tools/consul" ]
}

# --- scripts/deps.sh

# A system where of all packages those matching the pattern $1 are installed, and the user is not root.
fake_debian() {
	fake_path sh tr
	fake id 'echo 1000'
	fake dpkg-query "for name; do :; done; case \$name in $1) echo 'install ok installed' ;; *) exit 1 ;; esac"
}

@test "deps.sh is silent and does nothing where all packages are there" {
	fake_debian '*'
	run -0 env PATH="$FAKE" sh "$TOP/scripts/deps.sh" build run test lint
	[ "$output" = "" ]
}

@test "deps.sh prints the line to run where it cannot install" {
	fake_debian 'gcc|make|pkg-config|libisal-dev|libzstd-dev|liblzma-dev|libbz2-dev|libc6-dev|libjansson-dev|libarchive-dev|libssl-dev|libyaml-dev|libinih-dev'
	run -1 --separate-stderr env PATH="$FAKE" sh "$TOP/scripts/deps.sh" build
	[ "$output" = "apt-get update && apt-get install -y --no-install-recommends libcurl4-openssl-dev libbsd-dev" ]
	[[ $stderr == *root* ]]
}

@test "deps.sh takes another flavour of a package that is there" {
	fake_debian 'libcurl4-gnutls-dev|nginx-full|pkgconf'
	run -1 --separate-stderr env PATH="$FAKE" sh "$TOP/scripts/deps.sh" build test
	[[ $output == *" gcc "* ]]
	[[ $output != *libcurl4-openssl-dev* ]]
	[[ $output != *nginx* ]]
	[[ $output != *pkg-config* ]]
	# Asked for by both parts or not, once is enough.
	[ "$(tr ' ' '\n' <<<"$output" | sort | uniq -d | grep -v -e apt-get -e '^$')" = "" ]
}

@test "deps.sh goes through sudo, and prints the line where that does not help" {
	fake_debian '*-dev|gcc'
	fake sudo 'echo "sudo $*" >>"${0%/*}/told"; [ "$1" = -n ]'
	run -1 --separate-stderr env PATH="$FAKE" sh "$TOP/scripts/deps.sh" build
	[ "$output" = "apt-get update && apt-get install -y --no-install-recommends make pkg-config" ]
	grep -q "^sudo -- sh .*/scripts/deps.sh build$" "$FAKE/told"
}

@test "deps.sh refuses a part that it does not know" {
	run -64 sh "$TOP/scripts/deps.sh" buidl
}

# --- scripts/consul.sh

# A checkout with nothing but that script.
consul_checkout() {
	CHECKOUT=$BATS_TEST_TMPDIR/checkout
	mkdir -p "$CHECKOUT/scripts"
	cp "$TOP/scripts/consul.sh" "$CHECKOUT/scripts/"
	fake_path sh dirname mkdir mktemp rm cp mv cat sort sed env dpkg dpkg-deb dpkg-split tar
}

@test "consul.sh prefers the consul on the PATH" {
	consul_checkout
	fake consul 'echo Consul'
	run -0 env PATH="$FAKE" sh "$CHECKOUT/scripts/consul.sh"
	[ "$output" = "$FAKE/consul" ]
}

@test "consul.sh fetches bullseye's package once, with lists and sources of its own" {
	consul_checkout
	mkdir -p "$BATS_TEST_TMPDIR/deb/DEBIAN" "$BATS_TEST_TMPDIR/deb/usr/bin"
	printf 'Package: consul\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' \
		>"$BATS_TEST_TMPDIR/deb/DEBIAN/control"
	printf '#!/bin/sh\necho fetched "$@"\n' >"$BATS_TEST_TMPDIR/deb/usr/bin/consul"
	chmod 755 "$BATS_TEST_TMPDIR/deb/usr/bin/consul"
	dpkg-deb --build "$BATS_TEST_TMPDIR/deb" "$BATS_TEST_TMPDIR/consul_1_all.deb"
	export DEB=$BATS_TEST_TMPDIR/consul_1_all.deb TOLD=$BATS_TEST_TMPDIR/told
	fake apt-get 'echo "$*" >>"$TOLD"
		case $1 in indextargets)
			echo "Debian-Security http://security.example/"
			echo "Debian http://mirror.example/debian/"
			exit ;;
		esac
		for word; do
			case $word in
			Dir::Etc::sourcelist=*) sed "s/\[.*\] //" "${word#*=}" >>"$TOLD" ;;
			esac
		done
		for last; do :; done
		[ "$last" != consul ] || cp "$DEB" .'

	run -1 env PATH="$FAKE" sh "$CHECKOUT/scripts/consul.sh" --no-fetch
	run -0 --separate-stderr env PATH="$FAKE" sh "$CHECKOUT/scripts/consul.sh"
	[ "$output" = "$CHECKOUT/build/tools/consul" ]
	[ "$("$output" version)" = "fetched version" ]
	grep -qx "deb http://mirror.example/debian/ bullseye main" "$TOLD"
	grep -q "Dir::Etc::sourceparts=/nonexistent.*Dir::State::Lists=.* update$" "$TOLD"
	run ! grep -q security.example "$TOLD"

	: >"$TOLD"
	run -0 env PATH="$FAKE" sh "$CHECKOUT/scripts/consul.sh"
	[ "$output" = "$CHECKOUT/build/tools/consul" ]
	[ ! -s "$TOLD" ]
}

@test "consul.sh fails, and says so, where no mirror has the package" {
	consul_checkout
	fake apt-get '[ "$1" != indextargets ] || { echo "Debian http://mirror.example/"; exit; }
		echo "E: cannot reach it"; exit 100'
	run -1 --separate-stderr env PATH="$FAKE" sh "$CHECKOUT/scripts/consul.sh"
	[ "$output" = "" ]
	[[ $stderr == *"cannot reach it"*"could not fetch"* ]]
}

# --- tests/run.sh

# A tree whose unit tests are shell scripts.
run_tree() {
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE/tests/bats" "$TREE/tests/unit" "$TREE/scripts"
	cp "$TOP/tests/run.sh" "$TREE/tests/"
	printf '#!/bin/sh\nexit 1\n' >"$TREE/scripts/consul.sh"
	printf 'all: units\nunits:\n\t@mkdir -p $(BUILD)/unit; for f in tests/unit/*.c; do [ ! -f $$f ] || install $$f $(BUILD)/unit/$$(basename $$f .c); done\n' \
		>"$TREE/Makefile"
}

unit() {
	printf '#!/bin/sh\n%s\n' "$2" >"$TREE/tests/unit/test_$1.c"
}

# Without what bats puts into the environment, its own directory on the PATH too.
run_tests() {
	env -i PATH="${PATH//$BATS_LIBEXEC:/}" HOME="$HOME" TMPDIR="$BATS_TEST_TMPDIR" FILE_TIMEOUT="${FILE_TIMEOUT:-60}" \
		sh "$TREE/tests/run.sh" --no-install "$@"
}

last_line() {
	printf '%s\n' "${lines[-1]}"
}

@test "run.sh counts what passed, failed and was skipped, over all files" {
	run_tree
	unit good 'printf "1..2\nok 1 - a\nok 2 - b\n"'
	unit mixed 'printf "1..2\nok 1 - a # SKIP not here\nnot ok 2 - b\n"; exit 1'
	printf '@test "one" { true; }\n@test "two" { false; }\n@test "three" { skip "no"; }\n' \
		>"$TREE/tests/bats/some.bats"
	run -1 run_tests
	[ "$(last_line)" = "3 passed, 2 failed, 2 skipped" ]
	[ "$(printf '%s\n' "${lines[@]}" | grep -c ' passed, ')" = 1 ]
	[[ $output == *"ok 1 one"*"not ok 2 two"* ]]
}

@test "run.sh exits 0 when nothing failed, and only runs what it was asked for" {
	run_tree
	unit good 'printf "1..1\nok 1 - a\n"'
	unit bad 'printf "1..1\nnot ok 1 - a\n"; exit 1'
	printf '@test "one" { true; }\n' >"$TREE/tests/bats/some.bats"
	run -0 run_tests good some
	[ "$(last_line)" = "2 passed, 0 failed, 0 skipped" ]
	run -0 run_tests test_good
	[ "$(last_line)" = "1 passed, 0 failed, 0 skipped" ]
}

@test "run.sh counts what a test file did not come to as failed" {
	run_tree
	unit dies 'printf "1..5\nok 1 - a\nok 2 - b\n"; kill -9 $$'
	unit mute 'exit 0'
	run -1 run_tests
	[ "$(last_line)" = "2 passed, 4 failed, 0 skipped" ]
}

@test "run.sh does not take all good tests for good when the exit code says otherwise" {
	run_tree
	unit leaks 'printf "1..1\nok 1 - a\n"; exit 99'
	run -1 run_tests
	[ "$(last_line)" = "1 passed, 1 failed, 0 skipped" ]
}

@test "run.sh ends a file that hangs, with what it started" {
	run_tree
	unit hangs 'printf "1..2\nok 1 - a\n"; sleep 987654'
	unit good 'printf "1..1\nok 1 - a\n"'
	FILE_TIMEOUT=1 run -1 run_tests
	[ "$(last_line)" = "2 passed, 1 failed, 0 skipped" ]
	[[ $output == *"tests/unit/test_hangs.c: not done after 1 s"* ]]
	run ! pgrep -f 'sleep 987654'
}

@test "run.sh fails without tests, and where all are skipped" {
	run_tree
	run -1 run_tests
	[ "$(last_line)" = "0 passed, 1 failed, 0 skipped" ]
	unit skips 'printf "1..1\nok 1 # skip no\n"'
	run -1 run_tests
	[ "$(last_line)" = "0 passed, 1 failed, 1 skipped" ]
	run -1 run_tests nothing-like-that
	[ "$(last_line)" = "0 passed, 1 failed, 0 skipped" ]
}

@test "run.sh fails where nothing can be built" {
	run_tree
	unit good 'printf "1..1\nok 1 - a\n"'
	printf 'all units:\n\t@echo no compiler; false\n' >"$TREE/Makefile"
	run -1 run_tests
	[[ $output == *"no compiler"* ]]
	[ "$(last_line)" = "0 passed, 1 failed, 0 skipped" ]
}

# --- helper.bash

@test "a consul that was started answers, and keeps what it has over a restart" {
	consul_start --server
	store_put clusters/slug/demo/config '{"versions": {}}'
	[ "$(store_get clusters/slug/demo/config)" = '{"versions": {}}' ]
	[ "$(store_keys)" = clusters/slug/demo/config ]
	consul_restart
	[ "$(store_get clusters/slug/demo/config)" = '{"versions": {}}' ]
	consul_stop
	is_gone "$CONSUL_PID"
	run ! store_get clusters/slug/demo/config
}

@test "a consul with ACLs, TLS and a socket denies, encrypts and listens there" {
	consul_start --acl --tls - <<-EOF
		{"addresses": {"http": "unix://$BATS_TEST_TMPDIR/consul.sock 127.0.0.1"}}
	EOF
	consul_put nodes/node1/slug '{}'
	run -22 curl -sf -o /dev/null "http://$CONSUL_HTTP_ADDR/v1/kv/nodes/node1/slug"
	token=$(consul_token 'key_prefix "nodes/" { policy = "read" }')
	[ "$(curl -sf -H "X-Consul-Token: $token" --cacert "$TLS_CA" \
		"$CONSUL_HTTPS_ADDR/v1/kv/nodes/node1/slug?raw")" = '{}' ]
	[ "$(curl -sf -H "X-Consul-Token: $token" --unix-socket "$BATS_TEST_TMPDIR/consul.sock" \
		"http://localhost/v1/kv/nodes/node1/slug?raw")" = '{}' ]
}

@test "runsvdir that was started runs services, and none is left when it stops" {
	runit_start
	repo_add slug abc123 stubborn
	mkdir -p "$BATS_TEST_TMPDIR/x" "$RUNIT_STAGE/slug"
	tar -xzf "$REPO/slug/slug_abc123.tar.gz" -C "$BATS_TEST_TMPDIR/x"
	ln -s "$BATS_TEST_TMPDIR/x/bin/launch" "$RUNIT_STAGE/slug/run"
	ln -s "$RUNIT_STAGE/slug" "$RUNIT/slug"
	wait_until service_pid slug
	[ "$(service_version slug)" = abc123 ]
	pid=$(service_pid slug)
	runit_stop 1
	is_gone "$pid"
	is_gone "$RUNIT_PID"
	run ! pgrep -f "$BATS_TEST_TMPDIR/service"
}

@test "nginx that was started serves over HTTP and HTTPS" {
	repo_add slug abc123
	http_start --tls "$REPO" - <<<'location = /gone { return 410; }'
	[ "$(curl -sf "$HTTP_URL/slug/slug_abc123.tar.gz" | sha256sum | cut -c 1-64)" = \
		"$(digest slug abc123 | cut -c 8-)" ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$TLS_CA" "$HTTPS_URL/gone")" = 410 ]
	wait_until grep -q ' 410 ' "$HTTP_LOG"
	[ "$(grep -c . "$HTTP_LOG")" = 2 ]
}

@test "a tampered artifact is another one that unpacks" {
	repo_add slug abc123
	before=$(digest slug abc123)
	repo_add slug abc123
	[ "$(digest slug abc123)" = "$before" ]
	tamper slug abc123
	[ "$(digest slug abc123)" != "$before" ]
	tar -tzf "$REPO/slug/slug_abc123.tar.gz" | grep -q bin/launch
}

# --- examples/fake/bin

@test "the stand-ins print what they were told" {
	PATH=$TOP/examples/fake/bin:$PATH
	mkdir -p "$BATS_TEST_TMPDIR/slug"
	[ "$(port_authority rebuild)" = "port_authority rebuild" ]
	[ "$(visudo -cf /etc/sudoers.d/pp-slug)" = "visudo -cf /etc/sudoers.d/pp-slug" ]
	[ "$(sv -w 7 start /path)" = "sv -w 7 start /path" ]
	[ "$(sv -w 7 force-stop "$BATS_TEST_TMPDIR/slug")" = "sv -w 7 force-stop $BATS_TEST_TMPDIR/slug" ]
}

@test "the stand-in for sv remembers, and answers status as the real one does" {
	PATH=$TOP/examples/fake/bin:$PATH
	cd "$BATS_TEST_TMPDIR"
	mkdir a b b/log
	run -1 sv status ./a ./none ./b
	[[ ${lines[0]} =~ ^down:\ \./a:\ [0-9]+s,\ normally\ up$ ]]
	[ "${lines[1]}" = "fail: ./none: unable to change to service directory: file does not exist" ]
	[[ ${lines[2]} =~ ^down:\ \./b:\ [0-9]+s,\ normally\ up\;\ run:\ log:\ \(pid\ 1\)\ [0-9]+s$ ]]

	sv -w 7 start ./a
	echo "run $(($(date +%s) - 100))" >a/fake-state
	run -0 sv status ./a
	[[ $output =~ ^run:\ \./a:\ \(pid\ 1\)\ 10[0-9]s$ ]]
	sv up ./a
	[[ $(sv status ./a) =~ \ 10[0-9]s$ ]]
	sv restart ./a
	[[ $(sv status ./a) =~ \ [0-9]s$ ]]
	sv exit ./a
	[[ $(sv status ./a) == down:* ]]
	SVDIR=$PWD run -0 sv status a
	[[ $output == "down: $PWD/a: "* ]]
	run -100 sv status
}

@test "the stand-in for servicebuilder stages, links and unlinks what its files say" {
	PATH=$TOP/examples/fake/bin:$PATH
	cd "$BATS_TEST_TMPDIR"
	mkdir config service
	printf 'slug:\n  run:\n  - /data/slug/current/bin/launch\n  - "it'\''s"\n' >config/slug.yaml
	printf 'other:\n  run: exec-me -v\n  log: cat\n' >config/other.yaml
	ln -s /elsewhere service/mine
	run -0 servicebuilder -c config -d service -s stage
	[ "$output" = "servicebuilder -c config -d service -s stage" ]
	[ "$(cat stage/slug/run)" = "#!/bin/sh
exec '/data/slug/current/bin/launch' 'it'\''s'" ]
	[ "$(cat stage/other/run)" = "#!/bin/sh
exec exec-me -v" ]
	[ "$(cat stage/other/log/run)" = "#!/bin/sh
exec cat" ]
	[ -x stage/slug/run ]
	[ -x stage/slug/log/run ]
	[ "$(readlink service/slug)" = "$PWD/stage/slug" ]

	rm config/other.yaml
	servicebuilder -c config -d service -s stage
	[ "$(ls service | tr '\n' ' ')" = "mine slug " ]
}

@test "the stand-in for servicebuilder refuses what it does not understand, and changes nothing" {
	PATH=$TOP/examples/fake/bin:$PATH
	cd "$BATS_TEST_TMPDIR"
	mkdir config
	for yaml in 'a:\n  run: [x, y]\n' 'a:\n  stop: x\n' 'a:\n  run:\n' '- a\n' 'a: &b\n  run: x\n' \
		'a/b:\n  run: x\n' 'a:\n  run: x\na:\n  run: y\n'; do
		printf '%b' "$yaml" >config/a.yaml
		run -1 --separate-stderr servicebuilder -c config -d service -s stage
		[[ $stderr == "servicebuilder: "* ]]
		[ ! -e stage ]
	done
}

# --- examples

@test "slug packs to the same bytes, serves its version and knows whether it is well" {
	artifact=$(sh "$TOP/examples/slug/pack.sh" "$REPO" abc123)
	[ "$artifact" = "$REPO/slug/slug_abc123.tar.gz" ]
	before=$(digest slug abc123)
	(umask 077 && TZ=Asia/Tokyo sh "$TOP/examples/slug/pack.sh" "$REPO" abc123)
	[ "$(digest slug abc123)" = "$before" ]
	run -65 sh "$TOP/examples/slug/pack.sh" "$REPO" ../abc123

	mkdir "$BATS_TEST_TMPDIR/x"
	tar -xzf "$artifact" -C "$BATS_TEST_TMPDIR/x"
	export PORT
	PORT=$(free_port)
	run -2 "$BATS_TEST_TMPDIR/x/bin/check"
	spawn slug "$BATS_TEST_TMPDIR/x/bin/launch"
	wait_until "$BATS_TEST_TMPDIR/x/bin/check"
	[ "$(busybox wget -q -O - "http://127.0.0.1:$PORT/")" = "This is slug, version abc123." ]
}

@test "test-data.sh states the prototype's intent and packs its artifacts" {
	store_dir
	REPO=$REPO BASEDIR=$BASEDIR NODE=web1 sh "$TOP/examples/test-data.sh"
	[ "$(store_get nodes/web1/slug | jq -r .cluster)" = development ]
	store_get clusters/slug/development/config | jq -e '.versions == {
		"e928e5ad8814441e7c503d7f6c9e55d72584c006": "prep",
		"56d459e7c581b913ad5afa627064d62aea2cfac3": "active"} and .min_nodes == 0'
	store_get clusters/slug/development/deploy_config |
		jq -e --arg basedir "$BASEDIR" '.basedir == $basedir and .ports == [1212, 1231]'
	store_get owners/slug | jq -e '.users == ["xavier", "don"]'
	[ "$(ls "$REPO/slug" | wc -l)" = 2 ]
}

@test "the quickstart keeps its promises, also where port 1212 is taken, and leaves nothing" {
	mkdir "$BATS_TEST_TMPDIR/tmp"
	spawn taken busybox httpd -f -p 127.0.0.1:1212 -h "$BATS_TEST_TMPDIR/tmp"
	TMPDIR=$BATS_TEST_TMPDIR/tmp PP_STORE=dir:/nonexistent run -0 sh "$TOP/examples/quickstart.sh"
	[[ $output == *"== 8. "*"This is slug, version def456."* ]]
	[ "$(ls -A "$BATS_TEST_TMPDIR/tmp")" = "" ]
	run ! pgrep -f "$BATS_TEST_TMPDIR/tmp/tmp"
}

# --- cron

@test "every agent has a line in the crontab, and its command works" {
	store_dir
	entries=$(grep '^[0-9*]' "$TOP/cron/pp.crontab")
	[ "$(sed -n 's/.*pp converge \([a-z]*\).*/\1/p' <<<"$entries" | sort | tr '\n' ' ')" = \
		"iptables preparer setlive sudoers " ]
	while IFS=$'\t' read -r when who command; do
		[ "$(wc -w <<<"$when")" = 5 ]
		[ "$who" = root ]
		command=${command/#\/usr\/local\/bin\/pp/$PP}
		${command/splay=??s/splay=0s} --dry-run
	done <<<"$entries"
}

@test "systemd understands the timer and the service" {
	command -v systemd-analyze || skip "no systemd here"
	for agent in preparer setlive iptables sudoers; do
		for kind in service timer; do
			sed "s|/usr/local/bin/pp|$PP|" "$TOP/cron/pp-converge@.$kind" \
				>"$BATS_TEST_TMPDIR/pp-converge@$agent.$kind"
		done
		run -0 systemd-analyze verify --man=no "$BATS_TEST_TMPDIR/pp-converge@$agent.service" \
			"$BATS_TEST_TMPDIR/pp-converge@$agent.timer"
		[ "$output" = "" ]
	done
	# It has one of its own, for its runs are more.
	cp "$TOP/cron/pp-converge@setlive.timer" "$BATS_TEST_TMPDIR"
	run -0 systemd-analyze verify --man=no "$BATS_TEST_TMPDIR/pp-converge@setlive.service" \
		"$BATS_TEST_TMPDIR/pp-converge@setlive.timer"
	[ "$output" = "" ]
}
