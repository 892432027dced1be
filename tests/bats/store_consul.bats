#!/usr/bin/env bats
# The store in Consul: its environment, its requests, its documents.

load helper
load store

setup_file() {
	consul_start --tls - <<-EOF
		{"addresses": {"http": "unix://$BATS_FILE_TMPDIR/consul.sock 127.0.0.1"}}
	EOF
}

setup() {
	helper_setup
	own_places
}

set_slug() {
	pp intent set slug/demo versions=abc:prep,def:active min_nodes=2 basedir=/data/slug ports=1212 \
		users=xavier,don >/dev/null
}

# Does pp find the store, whose min_nodes is 2?
finds_store() {
	run -0 --separate-stderr pp intent get slug/demo min_nodes
	[ "$output" = 2 ]
}

# --- documents

@test "documents are Consul's keys, written as they read, with the store's id in the same transaction" {
	liar_start
	set_slug
	[ "$(store_keys | tr '\n' ' ')" = "clusters/slug/demo/config clusters/slug/demo/deploy_config history/slug/demo/1 owners/slug pp/store " ]
	[ "$(json clusters/slug/demo/config .)" = '{"min_nodes":2,"versions":{"abc":"prep","def":"active"}}' ]
	[ "$(grep -c 'PUT /v1/txn$' "$LIAR_LOG")" = 1 ]
	id=$(store_get pp/store)
	pp intent assign slug/demo web1
	pp intent unassign slug/demo web1
	[ "$(store_get pp/store)" = "$id" ]
	[ "$(consul_api GET /v1/kv/pp/store | jq '.[0].CreateIndex == .[0].ModifyIndex')" = true ]
	[ "$(consul_api GET /v1/kv/pp/store | jq '.[0].CreateIndex')" = \
		"$(consul_api GET /v1/kv/owners/slug | jq '.[0].CreateIndex')" ]
}

@test "only the documents that change are written" {
	set_slug
	before=$(consul_api GET /v1/kv/clusters/slug/demo/deploy_config | jq '.[0].ModifyIndex')
	config=$(consul_api GET /v1/kv/clusters/slug/demo/config | jq '.[0].ModifyIndex')
	pp intent set slug/demo versions.abc=active
	[ "$(consul_api GET /v1/kv/clusters/slug/demo/deploy_config | jq '.[0].ModifyIndex')" = "$before" ]
	[ "$(consul_api GET /v1/kv/clusters/slug/demo/config | jq '.[0].ModifyIndex')" -gt "$config" ]
	liar_start
	run -0 pp intent set slug/demo versions.abc=active
	[ "$output" = "" ]
	run ! grep -q 'PUT /v1/txn$' "$LIAR_LOG"
}

@test "documents written for the prototype are read as they are" {
	consul_put nodes/node1/slug '{"cluster":"production"}'
	consul_put clusters/slug/production/config \
		'{"versions":{"abc123":"prep","def456":"active"},"min_nodes":1,"user_config":{"some_value":"hello"}}'
	consul_put clusters/slug/production/deploy_config '{"basedir":"/data/slug","ports":[1212,1231]}'
	consul_put owners/slug '{"users":["xavier","don"]}'
	run -0 pp intent get slug
	[ "$output" = "min_nodes=1
user_config.some_value=hello
versions.abc123=prep
versions.def456=active
basedir=/data/slug
ports=1212,1231
users=xavier,don" ]
	run -0 pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	grep -q 'port: 1231' "$BATS_TEST_TMPDIR/ports/slug.yml"
	run -0 pp converge sudoers --path="$BATS_TEST_TMPDIR/sudoers"
	[ "$(cat "$BATS_TEST_TMPDIR/sudoers/pp-slug")" = "xavier, don ALL = (slug) ALL" ]
	run --separate-stderr pp status --format=json
	[ "$(jq -c '.apps[0] | [.app, .cluster, .active]' <<<"$output")" = '["slug","production","def456"]' ]
	[ "$(store_keys | grep pp/)" = "" ]
}

@test "one bad document among many: only that app is held" {
	port=80
	for app in a b c; do
		pp intent set $app/demo versions=v1:prep basedir=/data/$app ports=$((port++))
		pp intent assign $app/demo node1
	done
	consul_put clusters/b/demo/deploy_config '{"basedir": "/data/b", "ports": [80}'
	consul_put nodes/node1/d 'cluster: demo'
	consul_put nodes/node1/e '{"cluster": "../x"}'
	consul_put nodes/node1/f '{"cluster": "demo"}'
	run -1 --separate-stderr pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	[ "$(ls "$BATS_TEST_TMPDIR/ports" | tr '\n' ' ')" = "a.yml c.yml " ]
	[[ $stderr == *"b: held as it is: clusters/b/demo/deploy_config: line 1, column "* ]]
	[[ $stderr == *"d: held as it is: nodes/node1/d: line 1, column "* ]]
	[[ $stderr == *"e: held as it is: nodes/node1/e: cluster: "* ]]
	[[ $stderr == *"f: held as it is: clusters/f/demo/config: there is no such document; make it with pp intent set"* ]]
	[ "$(grep -c held <<<"$stderr")" = 4 ]
}

@test "nodes/web1 does not list nodes/web10, and clusters of slug are not those of slug2" {
	set_slug
	pp intent set slug2/other min_nodes=1
	pp intent assign slug/demo web10
	consul_put nodes/web1/a/b '{"cluster": "demo"}'
	consul_put nodes/web1/ '{"cluster": "demo"}'
	run -0 --separate-stderr pp status --format=json --node=web1
	[ "$(jq -c .apps <<<"$output")" = '[]' ]
	run --separate-stderr pp status --format=json --node=web10
	[ "$(jq -c '[.apps[].app]' <<<"$output")" = '["slug"]' ]
	run -0 pp intent get slug min_nodes
	[ "$output" = 2 ]
	run -0 pp intent get slug2 min_nodes
}

# --- requests

# fill N: that many apps, a1 to aN, on node1.
fill() {
	perl -e 'my @ops;
		sub b64 { my $b = pack "u", shift; $b =~ s/^.//mg; $b =~ tr|` -_|AA-Za-z0-9+/|; $b =~ s/\n//g;
			my $pad = (3 - length($_[0] // "") % 3) % 3; $b }
		sub enc { my $t = shift; my $p = (3 - length($t) % 3) % 3; my $b = b64($t); $p and substr($b, -$p) = "=" x $p; $b }
		for my $i (1 .. $ARGV[0]) {
			push @ops, ["nodes/node1/a$i", q({"cluster": "c"})],
				["clusters/a$i/c/config", q({"versions": {"v1": "prep"}})],
				["clusters/a$i/c/deploy_config", qq({"basedir": "/data/a$i", "ports": [$i]})];
		}
		while (my @some = splice @ops, 0, 60) {
			print "[", join(",", map { sprintf q({"KV":{"Verb":"set","Key":"%s","Value":"%s"}}), $_->[0], enc($_->[1]) } @some), "]\n";
		}' "$1" >"$BATS_TEST_TMPDIR/txns"
	while read -r txn; do
		consul_api PUT /v1/txn --data-binary "$txn" >/dev/null
	done <"$BATS_TEST_TMPDIR/txns"
	[ "$(store_keys | grep -c ^nodes/node1/)" = "$1" ]
}

@test "a node's intent is read in 1 + ceil(2n/62) requests on one connection" {
	liar_start
	for n in 1 31 32 100; do
		consul_wipe
		store_identify
		fill $n
		: >"$LIAR_LOG"
		run -0 --separate-stderr pp converge preparer --dry-run --repo="$REPO_URL"
		[ "$(grep -c '^preparer a[0-9]*: ' <<<"$output")" = $n ]
		[ "$(wc -l <"$LIAR_LOG")" = $((1 + (2 * n + 61) / 62)) ]
		[ "$(cut -d' ' -f1 "$LIAR_LOG" | sort -u | wc -l)" = 1 ]
		[ "$(grep -vc 'PUT /v1/txn?consistent$' "$LIAR_LOG" || :)" = 0 ]
	done
}

@test "1,000 apps on a node: a plan and a status in a few seconds, one bad one held" {
	fill 1000
	consul_put clusters/a500/c/config '{'
	start=$EPOCHSECONDS
	run -1 --separate-stderr pp converge preparer --dry-run --repo="$REPO_URL"
	[ "$(grep -c '^preparer a[0-9]*: ' <<<"$output")" = 1000 ]
	[[ $stderr == *"a500: held as it is: clusters/a500/c/config: line 1"* ]]
	run --separate-stderr pp status --format=json
	[ "$(jq '.apps | length' <<<"$output")" = 1000 ]
	[ "$(jq -r '.apps[] | select(.state == "held") | .app' <<<"$output")" = a500 ]
	[ $((EPOCHSECONDS - start)) -lt 60 ]
}

@test "every request that decides asks for consistency, and none follows a redirect" {
	set_slug
	pp intent assign slug/demo node1
	liar_start
	pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports" 2>/dev/null
	[ -e "$BATS_TEST_TMPDIR/ports/slug.yml" ]
	CONSUL_HTTP_ADDR=127.0.0.1:$HELPER_CONSUL_PORT pp intent unassign slug/demo node1
	pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports" --allow-empty 2>/dev/null
	[ ! -e "$BATS_TEST_TMPDIR/ports/slug.yml" ]
	grep -q 'GET /v1/kv/nodes/node1/slug?consistent$' "$LIAR_LOG"
	run ! grep -v '?consistent$' "$LIAR_LOG"
	lie '^PUT' status 301 'moved'
	: >"$LIAR_LOG"
	refused 69 "HTTP status 301" pp intent get slug/demo
	[ "$(wc -l <"$LIAR_LOG")" = 1 ]
}

# --- races

@test "of many sets at once each is there or has said 75" {
	set_slug
	for i in {1..20}; do
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
	for i in {1..20}; do
		case $(cat "$BATS_TEST_TMPDIR/code.$i") in
		0)
			[ "$(jq -r ".versions.v$i" "$BATS_TEST_TMPDIR/after")" = prep ]
			done=$((done + 1))
			;;
		75) [ "$(jq -r ".versions.v$i" "$BATS_TEST_TMPDIR/after")" = null ] ;;
		*) fail "exit code $(cat "$BATS_TEST_TMPDIR/code.$i"): $(cat "$BATS_TEST_TMPDIR/err.$i")" ;;
		esac
	done
	[ "$done" -ge 1 ]
}

# slow_set CHANGE...: a set whose write takes a second; returns once it has read.
slow_set() {
	lie '/v1/txn$' slow 1
	spawn set sh -c 'code=0; "$@" || code=$?; echo $code >'"'$BATS_TEST_TMPDIR/code'" sh "$PP" intent "$@"
	wait_until grep -q 'PUT /v1/txn$' "$LIAR_LOG"
}

@test "a lost race is exit 75 and changes none of the documents" {
	set_slug
	liar_start
	slow_set set slug/demo versions.abc=active users=xavier
	consul_put clusters/slug/demo/config '{"versions": {"abc": "prep", "other": "active"}}'
	before=$(store_dump)
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 75 ]
	grep -q 'nothing was written, try again' "$BATS_TEST_TMPDIR/set.log"
	[ "$(store_dump)" = "$before" ]
}

@test "a document that appeared or went meanwhile is a lost race, too" {
	pp intent set slug/demo versions=a:prep
	liar_start
	slow_set set slug/demo basedir=/data/slug
	consul_put clusters/slug/demo/deploy_config '{"basedir": "/data/other"}'
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 75 ]
	[ "$(json clusters/slug/demo/deploy_config .basedir)" = '"/data/other"' ]
	rm "$BATS_TEST_TMPDIR/code"
	: >"$LIAR_LOG"
	slow_set set slug/demo basedir=/data/slug
	consul_delete clusters/slug/demo/deploy_config
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 75 ]
	[ "$(store_keys | grep -c deploy_config || :)" = 0 ]
}

@test "two first writes at once: one store id, and both are made" {
	liar_start
	slow_set set slug/demo min_nodes=1
	CONSUL_HTTP_ADDR=127.0.0.1:$HELPER_CONSUL_PORT pp intent set other/demo min_nodes=1
	id=$(store_get pp/store)
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 0 ]
	[ "$(store_get pp/store)" = "$id" ]
	[ "$(store_keys | grep -c -e ^clusters/slug -e ^history/slug)" = 2 ]
}

@test "unassigning an app that was assigned elsewhere meanwhile is a lost race" {
	set_slug
	pp intent assign slug/demo node1
	liar_start
	slow_set unassign slug/demo node1
	consul_put nodes/node1/slug '{"cluster": "prod"}'
	wait_until test -s "$BATS_TEST_TMPDIR/code"
	[ "$(cat "$BATS_TEST_TMPDIR/code")" = 75 ]
	[ "$(json nodes/node1/slug .cluster)" = '"prod"' ]
}

@test "a write whose outcome is not known is exit 69, and says that it may have been made" {
	set_slug
	liar_start
	for kind in 'reset' 'cut' 'silent' 'status 500 rpc error: leadership lost'; do
		truth
		lie '/v1/txn$' "$kind"
		refused 69 "may or may not have been made" pp intent set slug/demo min_nodes=$((RANDOM + 10))
	done
}

@test "a write on the condition that other documents are as they were" {
	"$PP_BUILD/unit/test_store" consul >"$BATS_TEST_TMPDIR/tap" || fail "$(grep -v ^ok "$BATS_TEST_TMPDIR/tap")"
	[ "$(grep -c ^ok "$BATS_TEST_TMPDIR/tap")" -ge 30 ]
	[ "$(store_keys | tr '\n' ' ')" = "clusters/a/b/config locks/a/b pp/store " ]
}

@test "nothing but conditions is a read, and a consistent one; a store whose id was read is not asked for it again" {
	liar_start
	"$PP_BUILD/unit/test_store" consul >"$BATS_TEST_TMPDIR/tap" || fail "$(grep -v ^ok "$BATS_TEST_TMPDIR/tap")"
	[ "$(head -1 "$LIAR_LOG" | cut -d' ' -f2-)" = 'PUT /v1/txn?consistent' ]
	: >"$LIAR_LOG"
	"$PP_BUILD/unit/test_store" consul locks/a/b clusters/a/b/config
	[ "$(cut -d' ' -f2- "$LIAR_LOG" | grep -c consistent)" = 2 ]
	[ "$(wc -l <"$LIAR_LOG")" = 3 ]
}

@test "200 nodes are assigned by one command" {
	set_slug
	mapfile -t nodes < <(seq -f 'web%g' 200)
	run -0 pp intent assign slug/demo "${nodes[@]}"
	[ "${#lines[@]}" = 200 ]
	[ "$(store_keys | grep -c ^nodes/)" = 200 ]
}

@test "a document larger than Consul takes is refused" {
	set_slug
	before=$(store_dump)
	value=$(head -c 120000 /dev/zero | tr '\0' x)
	run --separate-stderr pp intent set slug/demo user_config.{a,b,c,d,e}="$value"
	[ "$status" = 65 ]
	# What fits as a document need not fit into one transaction: that is said, too.
	refused 65 "clusters/slug/demo/config: with what it was, it would be larger than" \
		pp intent set slug/demo user_config.{a,b,c,d}="$value"
	[ "$(store_dump)" = "$before" ]
}

# --- addresses

@test "CONSUL_HTTP_ADDR: host:port, http://, https://, unix://, and what is none of them" {
	set_slug
	finds_store
	CONSUL_HTTP_ADDR=http://127.0.0.1:$HELPER_CONSUL_PORT finds_store
	CONSUL_HTTP_ADDR=http://127.0.0.1:$HELPER_CONSUL_PORT/ finds_store
	CONSUL_HTTP_ADDR=localhost:$HELPER_CONSUL_PORT finds_store
	CONSUL_HTTP_ADDR=unix://$BATS_FILE_TMPDIR/consul.sock finds_store
	CONSUL_CACERT=$TLS_CA CONSUL_HTTP_ADDR=$CONSUL_HTTPS_ADDR finds_store

	CONSUL_HTTP_ADDR=unix:///nonexistent/sock refused 69 "" pp intent get slug/demo
	CONSUL_HTTP_ADDR=127.0.0.1:1 refused 69 "127.0.0.1:1" pp intent get slug/demo
	for bad in ftp://127.0.0.1 tcp://127.0.0.1:8500 http:// https:///x 'a b' 'user@host' 'host?x' '://x'; do
		CONSUL_HTTP_ADDR=$bad refused 78 "CONSUL_HTTP_ADDR=$bad" pp intent get slug/demo
	done
}

@test "CONSUL_HTTP_ADDR with a path in front of the API" {
	set_slug
	mkdir "$BATS_TEST_TMPDIR/www"
	http_start "$BATS_TEST_TMPDIR/www" - <<-EOF
		location /consul/ { proxy_pass http://127.0.0.1:$HELPER_CONSUL_PORT/; }
	EOF
	CONSUL_HTTP_ADDR=$HTTP_URL/consul finds_store
	CONSUL_HTTP_ADDR=$HTTP_URL/consul/ finds_store
	CONSUL_HTTP_ADDR=$HTTP_URL refused 69 "HTTP status 40" pp intent get slug/demo
}

@test "without CONSUL_HTTP_ADDR it is 127.0.0.1:8500; empty is as good as not set" {
	command -v strace >/dev/null || skip "needs strace"
	for value in unset empty; do
		unset CONSUL_HTTP_ADDR
		[ $value = unset ] || export CONSUL_HTTP_ADDR=
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" LSAN_OPTIONS="${LSAN_OPTIONS-}:detect_leaks=0" \
			run strace -f -e trace=connect -o "$BATS_TEST_TMPDIR/trace" "$PP" intent get slug/demo
		grep -q 'htons(8500), sin_addr=inet_addr("127.0.0.1")' "$BATS_TEST_TMPDIR/trace"
	done
}

@test "a stray CONSUL_HTTP_ADDR does not switch stores" {
	set_slug
	PP_STORE=dir:$BATS_TEST_TMPDIR/store refused 65 "no intent" pp intent get slug/demo
	unset PP_STORE
	finds_store
}

# --- TLS

@test "CONSUL_HTTP_SSL turns on TLS, and wins over http://" {
	set_slug
	export CONSUL_CACERT=$TLS_CA
	port=${CONSUL_HTTPS_ADDR##*:}
	for yes in 1 t T TRUE true True; do
		CONSUL_HTTP_SSL=$yes CONSUL_HTTP_ADDR=localhost:$port finds_store
	done
	CONSUL_HTTP_SSL=true CONSUL_HTTP_ADDR=http://localhost:$port finds_store
	for no in 0 f F FALSE false False ''; do
		CONSUL_HTTP_SSL=$no CONSUL_HTTP_ADDR=localhost:$port run -69 pp intent get slug/demo
		CONSUL_HTTP_SSL=$no CONSUL_HTTP_ADDR=https://localhost:$port finds_store
	done
	CONSUL_HTTP_SSL=yes refused 78 "CONSUL_HTTP_SSL=yes" pp intent get slug/demo
}

@test "an unknown authority is refused; CONSUL_CACERT and CONSUL_CAPATH make it known" {
	set_slug
	export CONSUL_HTTP_ADDR=$CONSUL_HTTPS_ADDR
	refused 69 "" pp intent get slug/demo
	[[ $stderr == *ertificate* || $stderr == *issuer* ]]
	CONSUL_CACERT=$TLS_CA finds_store
	mkdir "$BATS_TEST_TMPDIR/ca"
	cp "$TLS_CA" "$BATS_TEST_TMPDIR/ca/ca.pem"
	CONSUL_CAPATH=$BATS_TEST_TMPDIR/ca run pp intent get slug/demo
	openssl rehash "$BATS_TEST_TMPDIR/ca"
	CONSUL_CAPATH=$BATS_TEST_TMPDIR/ca finds_store
	CONSUL_CACERT=/nonexistent.pem run ! pp intent get slug/demo
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=other \
		-keyout "$BATS_TEST_TMPDIR/k" -out "$BATS_TEST_TMPDIR/other.pem" 2>/dev/null
	CONSUL_CACERT=$BATS_TEST_TMPDIR/other.pem run -69 pp intent get slug/demo
}

@test "CONSUL_HTTP_SSL_VERIFY=false does without; a value that is no boolean is exit 78" {
	set_slug
	export CONSUL_HTTP_ADDR=$CONSUL_HTTPS_ADDR
	CONSUL_HTTP_SSL_VERIFY=false finds_store
	CONSUL_HTTP_SSL_VERIFY=0 finds_store
	CONSUL_HTTP_SSL_VERIFY=true run -69 pp intent get slug/demo
	CONSUL_HTTP_SSL_VERIFY='' run -69 pp intent get slug/demo
	for bad in no off nonsense FaLsE; do
		CONSUL_HTTP_SSL_VERIFY=$bad refused 78 "CONSUL_HTTP_SSL_VERIFY=$bad" pp intent get slug/demo
	done
}

@test "CONSUL_TLS_SERVER_NAME is the name that the certificate must have" {
	set_slug
	export CONSUL_CACERT=$TLS_CA
	port=${CONSUL_HTTPS_ADDR##*:}
	CONSUL_TLS_SERVER_NAME=server.dc1.consul CONSUL_HTTP_ADDR=https://localhost:$port finds_store
	# localhost is in the certificate, 127.0.0.2 is not; a name that is in it helps, one that is not does not.
	CONSUL_TLS_SERVER_NAME=other.example CONSUL_HTTP_ADDR=https://localhost:$port run -69 pp intent get slug/demo
	CONSUL_TLS_SERVER_NAME='a/b' CONSUL_HTTP_ADDR=https://localhost:$port \
		refused 78 "CONSUL_TLS_SERVER_NAME" pp intent get slug/demo
}

@test "a client certificate, where the server wants one" {
	# Another Consul than that of the other tests.
	consul_start --tls - <<<'{"verify_incoming": true}'
	set_slug
	export CONSUL_HTTP_ADDR=$CONSUL_HTTPS_ADDR CONSUL_CACERT=$TLS_CA
	run -69 pp intent get slug/demo
	CONSUL_CLIENT_CERT=$TLS_CLIENT_CERT CONSUL_CLIENT_KEY=$TLS_CLIENT_KEY finds_store
	CONSUL_CLIENT_CERT=$TLS_CLIENT_CERT refused 78 "CONSUL_CLIENT_KEY" pp intent get slug/demo
	CONSUL_CLIENT_KEY=$TLS_CLIENT_KEY refused 78 "CONSUL_CLIENT_CERT" pp intent get slug/demo
	CONSUL_CLIENT_CERT=/nonexistent CONSUL_CLIENT_KEY=$TLS_CLIENT_KEY run ! pp intent get slug/demo
}

# --- identity

# A server that writes down what it is told.
listen_start() {
	cat >"$BATS_TEST_TMPDIR/listen.pl" <<-'EOF'
		use IO::Socket::INET;
		my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die;
		open my $f, '>', "$ARGV[0].new"; print $f $s->sockport, "\n"; close $f; rename "$ARGV[0].new", $ARGV[0];
		while (my $c = $s->accept) {
			open my $log, '>>', $ARGV[1]; my $head = '';
			while (my $l = <$c>) { last if $l =~ /^\r?\n$/; $head .= $l }
			$head =~ s/\r//g; print $log $head; close $log;
			print $c "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"Results\":[]}";
			close $c;
		}
	EOF
	spawn listen perl "$BATS_TEST_TMPDIR/listen.pl" "$BATS_TEST_TMPDIR/port" "$BATS_TEST_TMPDIR/heard"
	wait_until test -s "$BATS_TEST_TMPDIR/port"
	CONSUL_HTTP_ADDR=127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")
}

# Print the headers of a request.
headers_sent() {
	pp intent get slug/demo >/dev/null 2>&1 || :
	grep -q 'PUT /v1/txn' "$BATS_TEST_TMPDIR/heard" && cat "$BATS_TEST_TMPDIR/heard"
	: >"$BATS_TEST_TMPDIR/heard"
}

@test "token, namespace and basic authentication are sent as Consul's own program sends them" {
	listen_start
	run -0 headers_sent
	[[ $output != *X-Consul-Token* && $output != *Authorization* && $output != *Namespace* ]]
	CONSUL_HTTP_TOKEN=secret1 run -0 headers_sent
	[[ $output == *"X-Consul-Token: secret1"* ]]
	printf ' secret2 \n\n' >"$BATS_TEST_TMPDIR/token"
	chmod 600 "$BATS_TEST_TMPDIR/token"
	CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/token run -0 headers_sent
	[[ $output == *"X-Consul-Token: secret2
"* ]]
	CONSUL_HTTP_TOKEN=secret1 CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/token run -0 headers_sent
	[[ $output == *"X-Consul-Token: secret2
"* && $output != *secret1* ]]
	CONSUL_HTTP_AUTH=user:pass run -0 headers_sent
	[[ $output == *"Authorization: Basic $(printf user:pass | base64)"* ]]
	CONSUL_HTTP_AUTH=user run -0 headers_sent
	[[ $output == *"Authorization: Basic $(printf user: | base64)"* ]]
	CONSUL_NAMESPACE=team run -0 headers_sent
	[[ $output == *"X-Consul-Namespace: team"* ]]
}

@test "a token file may be a link, as secrets often are" {
	listen_start
	echo secret3 >"$BATS_TEST_TMPDIR/real"
	chmod 600 "$BATS_TEST_TMPDIR/real"
	ln -s real "$BATS_TEST_TMPDIR/token"
	CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/token run -0 headers_sent
	[[ $output == *"X-Consul-Token: secret3"* ]]
	cd "$BATS_TEST_TMPDIR"
	CONSUL_HTTP_TOKEN_FILE=token run -0 headers_sent
	[[ $output == *"X-Consul-Token: secret3"* ]]
}

@test "a token file that cannot be read, is empty or no file, and a token with blanks are exit 78" {
	: >"$BATS_TEST_TMPDIR/empty"
	printf '\n \n' >"$BATS_TEST_TMPDIR/blank"
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	printf 'a\nb\n' >"$BATS_TEST_TMPDIR/two"
	chmod 600 "$BATS_TEST_TMPDIR"/{empty,blank,two}
	export CONSUL_HTTP_TOKEN=good
	for file in nope empty blank fifo two .; do
		CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/$file refused 78 "CONSUL_HTTP_TOKEN_FILE" \
			timeout 5 "$PP" intent get slug/demo
	done
	CONSUL_HTTP_TOKEN='a b' refused 78 "CONSUL_HTTP_TOKEN" pp intent get slug/demo
	CONSUL_HTTP_TOKEN=$'a\r\nX-Evil: 1' refused 78 "CONSUL_HTTP_TOKEN" pp intent get slug/demo
	[[ $stderr != *Evil* ]]
}

@test "no message and no argument shows a token" {
	liar_start
	lie . status 403 'ACL not found'
	CONSUL_HTTP_TOKEN=s3cr3t-token refused 77 "ACL not found" pp intent get slug/demo
	[[ $stderr != *s3cr3t* ]]
	CONSUL_HTTP_TOKEN=s3cr3t-token run pp converge iptables --verbose --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	[[ $output != *s3cr3t* ]]
	run ! grep -r s3cr3t "$PP_STATE_DIR"
	run ! grep -q token <(pp intent set --help)
}
