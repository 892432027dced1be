# shellcheck shell=bash
# What every file in tests/bats/ starts with:
#
#     load helper
#
# gives each test a clean environment (setup), and ends what it started (teardown). A file with a
# setup() or teardown() of its own calls helper_setup and helper_teardown in it.
#
#     pp ARG...                        the program under test
#     store_dir | consul_start ...     a store, empty; store_put, store_get, store_delete, store_keys
#     intent_slug [VERSIONS]           the usual intent: slug/demo on this node
#     repo_add APP VERSION [KIND] ...  an artifact in $REPO, which is $REPO_URL; tamper, digest
#     http_start DIR                   nginx, serving DIR at $HTTP_URL
#     runit_start                      runsvdir on $RUNIT; service_version
#     spawn NAME CMD...                any other process, ended in teardown
#     wait_until CMD...                until it succeeds
#
# Set for a test: BASEDIR (slug's), REPO, REPO_URL, RUNIT, RUNIT_STAGE, PP_NODE=node1, PP_STATE_DIR,
# HOME, PP_CONF (an empty file); from tests/run.sh: PP, PP_UNPACK, PP_BUILD, CONSUL.

bats_require_minimum_version 1.5.0

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
: "${PP_BUILD:=$TOP/build}" "${PP:=$PP_BUILD/pp}" "${PP_UNPACK:=$PP_BUILD/pp-unpack}"
export TOP PP_BUILD PP PP_UNPACK

# The pids that spawn started in this shell, and the programs' names.
HELPER_PIDS=()
HELPER_NAMES=()

setup() {
	helper_setup
}

teardown() {
	helper_teardown
}

# For what setup_file() started.
teardown_file() {
	helper_stop_all
}

helper_setup() {
	local name

	[ -z "${HELPER_NO_CONSUL-}" ] || skip "no consul: sh scripts/consul.sh fetches one"

	for name in $(compgen -e); do
		case $name in
		PP | PP_BUILD | PP_UNPACK | CONSUL_HTTPS_ADDR) ;;
		PP_* | CONSUL_* | XDG_* | *_proxy | *_PROXY | NO_COLOR | JOURNAL_STREAM | NOTIFY_SOCKET | \
			INVOCATION_ID | TZ | SVDIR | SVWAIT)
			unset "$name"
			;;
		esac
	done
	export LC_ALL=C.UTF-8
	export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
	export HOME=$BATS_TEST_TMPDIR/home
	export PP_STATE_DIR=$BATS_TEST_TMPDIR/state
	export PP_CONF=$BATS_TEST_TMPDIR/pp.conf
	export PP_NODE=node1
	export BASEDIR=$BATS_TEST_TMPDIR/slug
	export REPO=$BATS_TEST_TMPDIR/repo
	export REPO_URL=file://$REPO
	mkdir -p "$HOME" "$REPO"
	: >"$PP_CONF"
	HELPER_PIDS=()
	HELPER_NAMES=()
	if [ -n "${HELPER_CONSUL_ADDR-}" ]; then
		export CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR PP_STORE=consul
		consul_wipe
	fi
}

helper_teardown() {
	local log

	if [ -z "${BATS_TEST_COMPLETED-}" ]; then
		for log in "$BATS_TEST_TMPDIR"/*.log; do
			[ -s "$log" ] || continue
			echo "-- the end of ${log##*/}:"
			tail -n 20 "$log"
		done
	fi
	helper_stop_all
}

# Where processes of this test, or of this file when in setup_file(), keep their things.
helper_dir() {
	printf '%s\n' "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}"
}

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

pp() {
	"$PP" "$@"
}

# --- processes

# wait_until CMD...: try every 50 ms until CMD succeeds. Fails when it never does, which takes WAIT_SECONDS
# (120): a machine that is busy makes a test slower and not red.
wait_until() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + ${WAIT_SECONDS:-120} * 1000000))

	until "$@" >/dev/null 2>&1; do
		if [ "${EPOCHREALTIME/[.,]/}" -ge "$deadline" ]; then
			fail "waited in vain for: $*"
			return 1
		fi
		sleep 0.05
	done
}

# Print a TCP port of 127.0.0.1 that is free now, picked by the kernel.
free_port() {
	perl -MSocket -e 'socket(my $s, PF_INET, SOCK_STREAM, 0) or die; bind($s, sockaddr_in(0,
		INADDR_LOOPBACK)) or die; print((sockaddr_in(getsockname($s)))[0], "\n")'
}

# Is the process there, and not only its entry for a parent that does not look?
is_running() {
	local stat

	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	stat=${stat##*) }
	[ "${stat%% *}" != Z ] && [ "${stat%% *}" != X ]
}

is_gone() {
	! is_running "$1"
}

# Print the pids of all that descend from $1.
descendants() {
	local child

	for child in $(pgrep -P "$1"); do
		echo "$child"
		descendants "$child"
	done
}

# spawn NAME CMD...: start a program in the background, its output in NAME.log, its pid in
# $SPAWNED. It is ended in teardown, and by the kernel should the test be killed.
spawn() {
	local name=$1

	shift
	setpriv --pdeathsig "${SPAWN_DEATH:-KILL}" -- "$@" \
		>>"$(helper_dir)/$name.log" 2>&1 </dev/null 3>&- &
	SPAWNED=$!
	HELPER_PIDS+=("$SPAWNED")
	HELPER_NAMES+=("$name")
}

# despawn PID [SIGNAL [SECONDS]]: end it, with what it started; KILL what does not go.
despawn() {
	local pid=$1 family member

	is_running "$pid" || return 0
	family="$pid $(descendants "$pid")"
	kill -"${2:-TERM}" "$pid" 2>/dev/null || :
	for member in $family; do
		if ! WAIT_SECONDS=${3:-5} wait_until is_gone "$member" 2>/dev/null; then
			kill -KILL "$member" 2>/dev/null || :
		fi
	done
	wait "$pid" 2>/dev/null || :
}

helper_stop_all() {
	local i

	for ((i = ${#HELPER_PIDS[@]} - 1; i >= 0; i--)); do
		case ${HELPER_NAMES[i]} in
		runsvdir) despawn "${HELPER_PIDS[i]}" HUP 2 ;;
		consul) despawn "${HELPER_PIDS[i]}" KILL ;;
		*) despawn "${HELPER_PIDS[i]}" TERM ;;
		esac
	done
	HELPER_PIDS=()
	HELPER_NAMES=()
}

# --- stores

store_dir() {
	export PP_STORE=dir:$BATS_TEST_TMPDIR/store
	mkdir -p "$BATS_TEST_TMPDIR/store"
	unset CONSUL_HTTP_ADDR
}

# store_put KEY JSON, whichever store PP_STORE names; without going through pp.
store_put() {
	case $PP_STORE in
	dir:*)
		mkdir -p "$(dirname "${PP_STORE#dir:}/$1")"
		printf '%s\n' "$2" >"${PP_STORE#dir:}/$1.json"
		;;
	*) consul_put "$1" "$2" ;;
	esac
}

store_get() {
	case $PP_STORE in
	dir:*) cat "${PP_STORE#dir:}/$1.json" ;;
	*) consul_get "$1" ;;
	esac
}

store_delete() {
	case $PP_STORE in
	dir:*) rm "${PP_STORE#dir:}/$1.json" ;;
	*) consul_delete "$1" ;;
	esac
}

# Print every key, sorted.
store_keys() {
	case $PP_STORE in
	dir:*) (cd "${PP_STORE#dir:}" && find . -name '*.json' | sed 's|^\./||; s|\.json$||' | LC_ALL=C sort) ;;
	*) consul_keys ;;
	esac
}

# What says that this store is this store (pp/store), without pp intent.
store_identify() {
	store_put pp/store "{\"id\": \"${1:-0b5ad1a5-7b7b-4b8e-9c57-0123456789ab}\", \"schema\": 1}"
}

# intent_slug [VERSIONS]: abc123 is prepared, def456 is active.
intent_slug() {
	pp intent set slug/demo versions="${1:-abc123:prep,def456:active}" min_nodes=0 \
		basedir="$BASEDIR" ports=1212,1231 users=xavier,don check.exec=/bin/true settle=1s
	pp intent assign slug/demo "$PP_NODE"
}

# consul_start [--server] [--acl] [--tls] [FILE | -]: an agent on free ports, with a leader.
#
#   --server  with a data directory, so that consul_restart finds what was written
#   --acl     default deny; HELPER_CONSUL_TOKEN may do everything, consul_token makes others
#   --tls     HTTPS too, at $CONSUL_HTTPS_ADDR, with the files of tls_make
#   FILE, -   more configuration, JSON or HCL; - is stdin
#
# Exports CONSUL_HTTP_ADDR and PP_STORE. In setup_file(), all tests of the file share it, each with
# an empty store.
consul_start() {
	local dir extra='' acl='' tls='' try ports

	if [ -z "${CONSUL-}" ]; then
		CONSUL=$(command -v consul || sh "$TOP/scripts/consul.sh" --no-fetch) || CONSUL=
	fi
	# bats knows no skip in setup_file(): each test of the file says it then, in helper_setup.
	if [ -z "$CONSUL" ] && [ -z "${BATS_TEST_TMPDIR-}" ]; then
		export HELPER_NO_CONSUL=1
		return 0
	elif [ -z "$CONSUL" ]; then
		skip "no consul: sh scripts/consul.sh fetches one"
	fi
	dir=$(mktemp -d "$(helper_dir)/consul.XXXXXX")
	HELPER_CONSUL_DIR=$dir
	HELPER_CONSUL_ARGS=(-dev)
	while [ $# -gt 0 ]; do
		case $1 in
		--server)
			HELPER_CONSUL_ARGS=(-server -bootstrap-expect 1 -data-dir "$dir/data")
			;;
		--acl)
			HELPER_CONSUL_TOKEN=6f1a1c52-7a2c-4f0e-8d6e-5a8b0f6f2f10
			export HELPER_CONSUL_TOKEN
			acl=1
			;;
		--tls) tls=1 ;;
		-)
			cat >"$dir/extra.in"
			extra=$dir/extra.in
			;;
		*) extra=$1 ;;
		esac
		shift
	done
	if [ -n "$acl" ]; then
		printf '{"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": "%s"}}}\n' \
			"$HELPER_CONSUL_TOKEN" >"$dir/20-acl.json"
	fi
	if [ -n "$extra" ]; then
		case $(head -c 1 "$extra") in
		'{') cp "$extra" "$dir/30-extra.json" ;;
		*) cp "$extra" "$dir/30-extra.hcl" ;;
		esac
	fi
	for try in 1 2 3; do
		HELPER_CONSUL_PORT=$(free_port)
		ports="\"http\": $HELPER_CONSUL_PORT, \"serf_lan\": $(free_port), \"server\": $(free_port)"
		if [ -n "$tls" ]; then
			[ -n "${TLS_CA-}" ] || tls_make
			CONSUL_HTTPS_ADDR=https://localhost:$(free_port)
			ports="$ports, \"https\": ${CONSUL_HTTPS_ADDR##*:}"
			export CONSUL_HTTPS_ADDR
			printf '{"ca_file": "%s", "cert_file": "%s", "key_file": "%s"}\n' \
				"$TLS_CA" "$TLS_CERT" "$TLS_KEY" >"$dir/20-tls.json"
		fi
		cat >"$dir/10-base.json" <<-EOF
			{
				"node_name": "node1", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
				"disable_update_check": true, "performance": {"raft_multiplier": 1},
				"ports": {"dns": -1, "grpc": -1, "serf_wan": -1, $ports}
			}
		EOF
		helper_consul_run && break
		consul_kill
		[ "$try" -lt 3 ] || return 1
	done
	export HELPER_CONSUL_PORT
	export CONSUL_HTTP_ADDR=127.0.0.1:$HELPER_CONSUL_PORT PP_STORE=consul
	if [ -z "${BATS_TEST_TMPDIR-}" ]; then
		export HELPER_CONSUL_ADDR=$CONSUL_HTTP_ADDR
	fi
}

helper_consul_run() {
	local config=() file

	for file in "$HELPER_CONSUL_DIR"/[0-9]*.*; do
		config+=(-config-file "$file")
	done
	spawn consul "$CONSUL" agent "${HELPER_CONSUL_ARGS[@]}" "${config[@]}"
	CONSUL_PID=$SPAWNED
	wait_until helper_consul_decided || fail "consul does not answer"
	# Consul makes this whatever TMPDIR says, and uses it for nothing.
	rmdir /tmp/consul-test 2>/dev/null || :
	consul_is_ready
}

# Is it ready, or dead?
helper_consul_decided() {
	consul_is_ready || is_gone "$CONSUL_PID"
}

# Does it have a leader, and the ACL system if there is one? A write is what tells.
consul_is_ready() {
	if [ -n "${HELPER_CONSUL_TOKEN-}" ]; then
		consul_api GET /v1/acl/policies >/dev/null || return 1
	fi
	consul_put helper/ready '{}' && consul_delete helper/ready
}

consul_stop() {
	despawn "$CONSUL_PID" INT
}

consul_kill() {
	despawn "$CONSUL_PID" KILL
}

# Start it again, as it was: same ports, and with --server same data.
consul_restart() {
	consul_kill
	helper_consul_run
}

# consul_api METHOD PATH [curl arg...]: as one who may do everything, over plain HTTP.
consul_api() {
	curl -sS --fail-with-body --max-time 20 --noproxy '*' -X "$1" \
		${HELPER_CONSUL_TOKEN:+-H "X-Consul-Token: $HELPER_CONSUL_TOKEN"} \
		"http://127.0.0.1:$HELPER_CONSUL_PORT$2" "${@:3}"
}

consul_put() {
	[ "$(consul_api PUT "/v1/kv/$1" --data-binary "$2")" = true ]
}

consul_get() {
	consul_api GET "/v1/kv/$1?raw&consistent"
}

consul_delete() {
	consul_api DELETE "/v1/kv/$1" >/dev/null
}

consul_keys() {
	consul_api GET "/v1/kv/?keys&consistent" 2>/dev/null | jq -r '.[]' 2>/dev/null | LC_ALL=C sort
}

# Empty the store and the catalog of services.
consul_wipe() {
	local service

	consul_api DELETE "/v1/kv/?recurse" >/dev/null
	for service in $(consul_api GET /v1/agent/services | jq -r 'keys[]'); do
		consul_api PUT "/v1/agent/service/deregister/$service"
	done
}

# consul_token RULES: print the secret of a new token with these ACL rules.
consul_token() {
	local name=p$RANDOM$RANDOM

	consul_api PUT /v1/acl/policy --data-binary \
		"$(jq -n --arg name "$name" --arg rules "$1" '{Name: $name, Rules: $rules}')" >/dev/null
	consul_api PUT /v1/acl/token --data-binary \
		"$(jq -n --arg name "$name" '{Policies: [{Name: $name}]}')" | jq -r .SecretID
}

# --- TLS

# Make an authority and certificates of it for localhost and for a client.
# Exports TLS_CA, TLS_CERT, TLS_KEY, TLS_CLIENT_CERT, TLS_CLIENT_KEY.
tls_make() {
	local dir

	dir=$(helper_dir)/tls
	export TLS_CA=$dir/ca.pem TLS_CERT=$dir/server.pem TLS_KEY=$dir/server.key
	export TLS_CLIENT_CERT=$dir/client.pem TLS_CLIENT_KEY=$dir/client.key
	[ ! -e "$TLS_CA" ] || return 0
	mkdir -p "$dir"
	{
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
			-subj "/CN=pp test authority" -keyout "$dir/ca.key" -out "$TLS_CA"
		tls_issue server "subjectAltName=DNS:localhost,DNS:server.dc1.consul,IP:127.0.0.1"
		tls_issue client "extendedKeyUsage=clientAuth"
	} >"$dir/openssl.log" 2>&1 || {
		cat "$dir/openssl.log" >&2
		return 1
	}
}

# tls_issue NAME EXTENSION: a key and a certificate in the directory of tls_make.
tls_issue() {
	local dir=${TLS_CA%/*}

	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
		-keyout "$dir/$1.key" -out "$dir/$1.csr" || return 1
	openssl x509 -req -in "$dir/$1.csr" -CA "$TLS_CA" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
		-extfile <(echo "$2") -out "$dir/$1.pem"
}

# --- HTTP

# http_start [--tls] DIR [-]: nginx serving DIR at $HTTP_URL, also at $HTTPS_URL with --tls. With -,
# stdin goes into its server block. Every request is a line of $HTTP_LOG, and one of $HTTP_CONNECTIONS:
# the number of its connection and its path.
http_start() {
	local dir tls='' root extra='' port tls_port='' listen=''

	if [ "$1" = --tls ]; then
		tls=1
		shift
	fi
	root=$1
	[ "${2-}" != - ] || extra=$(cat)
	dir=$(mktemp -d "$(helper_dir)/nginx.XXXXXX")
	HTTP_LOG=$dir/access.txt
	HTTP_CONNECTIONS=$dir/connections.txt
	port=$(free_port)
	if [ -n "$tls" ]; then
		tls_make
		tls_port=$(free_port)
		listen="listen 127.0.0.1:$tls_port ssl; ssl_certificate $TLS_CERT; ssl_certificate_key $TLS_KEY;"
	fi
	cat >"$dir/nginx.conf" <<-EOF
		daemon off;
		master_process off;
		pid $dir/pid;
		error_log stderr;
		events {}
		http {
			access_log $HTTP_LOG;
			log_format connection '\$connection \$uri';
			access_log $HTTP_CONNECTIONS connection;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen 127.0.0.1:$port;
				$listen
				root $root;
				$extra
			}
		}
	EOF
	spawn nginx nginx -e stderr -p "$dir" -c "$dir/nginx.conf"
	HTTP_PID=$SPAWNED
	export HTTP_LOG HTTP_PID HTTP_CONNECTIONS
	export HTTP_URL=http://127.0.0.1:$port
	[ -z "$tls" ] || export HTTPS_URL=https://localhost:$tls_port
	wait_until curl -s --noproxy '*' -o /dev/null "$HTTP_URL/"
	# nginx logs a request when it has been answered, so the answer may come first.
	wait_until test -s "$HTTP_CONNECTIONS"
	: >"$HTTP_LOG"
	: >"$HTTP_CONNECTIONS"
}

http_stop() {
	despawn "$HTTP_PID"
}

# --- runit

# A runsvdir of its own on $RUNIT, with $RUNIT_STAGE beside it for the definitions.
runit_start() {
	export RUNIT=$BATS_TEST_TMPDIR/service RUNIT_STAGE=$BATS_TEST_TMPDIR/service-stage
	mkdir -p "$RUNIT" "$RUNIT_STAGE"
	SPAWN_DEATH=HUP spawn runsvdir runsvdir -P "$RUNIT" "log: $(printf '.%.0s' {1..400})"
	RUNIT_PID=$SPAWNED
	# runsvdir looks for changes every five seconds, and whenever something is logged: a byte there
	# makes it look at once. Nothing else is different from a runsvdir that is left to itself.
	# shellcheck disable=SC2016
	spawn runsvdir-poke sh -c 'while [ -e /proc/$1 ]; do printf . >/proc/$1/fd/2; sleep 0.2; done' \
		sh "$RUNIT_PID"
	wait_until test -e "/proc/$RUNIT_PID/fd/2"
}

# Stop every service, and runsvdir.
runit_stop() {
	despawn "$RUNIT_PID" HUP "${1:-2}"
}

# Print the pid of a service's process; fails when it does not run.
service_pid() {
	sv status "$RUNIT/$1" | sed -n 's/^run: [^;]*(pid \([0-9]*\)).*/\1/p' | grep .
}

# Print which version it is that runs as the service $1, of an artifact that repo_add made.
service_version() {
	local pid

	pid=$(service_pid "$1") || return 1
	tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^ARTIFACT_VERSION=//p' | grep .
}

# --- artifacts

# repo_add APP VERSION [KIND [PATH=CONTENT]...]: put an artifact into the repository.
#
# KIND is what its bin/launch does:
#   sleep     runs (the default)
#   httpd     serves a page "APP VERSION" at $ARTIFACT_PORT
#   fail      exits 1
#   stubborn  runs, and does not go on TERM
#   pair      is a directory of two, web and worker
#   none      is not there
# Each PATH=CONTENT is one more file; executable where it lies in bin/.
repo_add() {
	local app=$1 version=$2 kind=${3:-sleep} tree file

	shift $(($# < 3 ? $# : 3))
	tree=$(mktemp -d "$BATS_TEST_TMPDIR/tree.XXXXXX")
	mkdir "$tree/bin" "$tree/www"
	echo "$app $version" >"$tree/www/index.html"
	case $kind in
	sleep) launcher "$app" "$version" 'exec sleep 1000000' >"$tree/bin/launch" ;;
	httpd)
		: "${ARTIFACT_PORT:=$(free_port)}"
		export ARTIFACT_PORT
		launcher "$app" "$version" "cd -P \"\$(dirname \"\$0\")/../www\" || exit 1" \
			"exec busybox httpd -f -p 127.0.0.1:$ARTIFACT_PORT -h \"\$PWD\"" >"$tree/bin/launch"
		;;
	fail) launcher "$app" "$version" 'exit 1' >"$tree/bin/launch" ;;
	stubborn)
		launcher "$app" "$version" "exec sh -c 'trap \"\" TERM; while :; do sleep 1; done'" \
			>"$tree/bin/launch"
		;;
	pair)
		mkdir "$tree/bin/launch"
		launcher "$app" "$version" 'exec sleep 1000001' >"$tree/bin/launch/web"
		launcher "$app" "$version" 'exec sleep 1000002' >"$tree/bin/launch/worker"
		;;
	none) ;;
	*)
		fail "repo_add: no such kind of artifact: $kind"
		return 1
		;;
	esac
	for file in "$@"; do
		mkdir -p "$(dirname "$tree/${file%%=*}")"
		printf '%s' "${file#*=}" >"$tree/${file%%=*}"
	done
	find "$tree/bin" -type f -exec chmod 0755 {} +
	repo_pack "$tree" "$app" "$version"
	rm -rf "$tree"
}

# Print a launch script for APP VERSION that ends in the given lines.
launcher() {
	printf '#!/bin/sh\n# %s %s\nexport ARTIFACT_VERSION=%s\n' "$1" "$2" "$2"
	printf '%s\n' "${@:3}"
}

# repo_pack DIR APP VERSION [SUFFIX]: pack a tree as an artifact; SUFFIX is tar.gz, tar.zst, tar.xz or tar.
repo_pack() {
	local suffix=${4:-tar.gz} target

	target=$REPO/$2/$2_$3.$suffix
	mkdir -p "$REPO/$2"
	# Same tree, same bytes.
	tar --sort=name --mtime=@1400000000 --owner=0 --group=0 --numeric-owner -C "$1" -cf - . |
		case $suffix in
		tar.gz) gzip -n ;;
		tar.zst) zstd -q ;;
		tar.xz) xz ;;
		tar) cat ;;
		esac >"$target"
}

# tamper APP VERSION: make it another valid artifact than the one that was added.
tamper() {
	local tree

	tree=$(mktemp -d "$BATS_TEST_TMPDIR/tree.XXXXXX")
	tar -xzf "$REPO/$1/$1_$2.tar.gz" -C "$tree"
	echo "not what was built" >"$tree/tampered"
	repo_pack "$tree" "$1" "$2"
	rm -rf "$tree"
}

# digest APP VERSION: as a document's "digests" has it.
digest() {
	local sum

	sum=$(sha256sum "$REPO/$1/$1_$2.tar.gz")
	printf 'sha256:%s\n' "${sum%% *}"
}
