#!/usr/bin/env bats
# Who may do what: the policies of examples/consul on a real Consul that denies by default.

load helper
load store
load intent
load node

# A new Consul as examples/consul/acl.json has it; over plain HTTP, over TLS that wants a client's
# certificate, and on a socket. setup-acl.sh makes policies and tokens.
setup_file() {
	local https

	if [ -z "${CONSUL-}" ]; then
		CONSUL=$(command -v consul || sh "$TOP/scripts/consul.sh" --no-fetch) || CONSUL=
	fi
	if [ -z "$CONSUL" ]; then
		export HELPER_NO_CONSUL=1
		return 0
	fi
	export CONSUL
	tls_make
	HELPER_CONSUL_PORT=$(free_port) https=$(free_port)
	export HELPER_CONSUL_PORT SOCKET=$BATS_FILE_TMPDIR/consul.sock
	cat >"$BATS_FILE_TMPDIR/base.json" <<-JSON
		{
			"node_name": "node1", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
			"addresses": {"http": "unix://$SOCKET 127.0.0.1"},
			"disable_update_check": true, "performance": {"raft_multiplier": 1},
			"ports": {"dns": -1, "grpc": -1, "serf_wan": -1, "http": $HELPER_CONSUL_PORT, "https": $https,
				"serf_lan": $(free_port), "server": $(free_port)},
			"ca_file": "$TLS_CA", "cert_file": "$TLS_CERT", "key_file": "$TLS_KEY", "verify_incoming": true
		}
	JSON
	spawn consul "$CONSUL" agent -dev -config-file "$BATS_FILE_TMPDIR/base.json" \
		-config-file "$TOP/examples/consul/acl.json"
	export CONSUL_HTTPS_ADDR=https://localhost:$https TOKENS=$BATS_FILE_TMPDIR/tokens
	CONSUL_HTTP_ADDR=127.0.0.1:$HELPER_CONSUL_PORT \
		sh "$TOP/examples/consul/setup-acl.sh" "$TOKENS" slug/production web.x/c1 >"$BATS_FILE_TMPDIR/setup.out"
	rmdir /tmp/consul-test 2>/dev/null || :
	HELPER_CONSUL_TOKEN=$(cat "$TOKENS/bootstrap.token")
	export HELPER_CONSUL_TOKEN HELPER_CONSUL_ADDR=127.0.0.1:$HELPER_CONSUL_PORT
}

setup() {
	helper_setup
	own_places
	export TMPDIR=$BATS_TEST_TMPDIR
	as deployer
	pp intent set slug/production versions=abc:active basedir=/data/slug ports=1212 users=xavier >/dev/null
	pp intent set web/c1 versions=a:active basedir=/data/web >/dev/null
	pp intent assign slug/production node1 >/dev/null
}

# as NAME: with the token of that name; as nobody: without one.
as() {
	export CONSUL_HTTP_TOKEN_FILE=$TOKENS/$1.token
	[ "$1" != nobody ] || unset CONSUL_HTTP_TOKEN_FILE
}

# denied KEY PERMISSION CMD...: exit 77, and the message names the key and the line that a policy lacks;
# the store is as it was.
denied() {
	local key=$1 permission=$2 before

	shift 2
	before=$(store_dump)
	run -77 --separate-stderr "$@"
	[[ $stderr == *"$permission $key: Permission denied; "*" policy lacks key \"$key\" { policy = \"$permission\" }"* ]] ||
		fail "not that $permission of $key is missing, but: $stderr"
	[ "$(store_dump)" = "$before" ]
}

developers_limits() {
	denied clusters/slug/production/deploy_config write pp intent set slug/production basedir=/data/other
	denied clusters/slug/production/deploy_config write pp intent set slug/production ports=80
	denied clusters/slug/production/deploy_config write pp intent set slug/production runas=root
	denied owners/slug write pp intent set slug/production users=eve
	denied nodes/web1/slug write pp intent assign slug/production web1
	denied nodes/node1/slug write pp intent unassign slug/production node1
	denied clusters/web/c1/config write pp intent set web/c1 versions.b=active
	denied clusters/slug/staging/config write pp intent set slug/staging versions=b:active
}

@test "a developer changes his app's config, with its history" {
	as developer-slug-production
	run -0 pp intent set slug/production versions.def=active user_config.x=1 min_nodes=2 -m "release"
	[[ $(pp intent history slug) == *", set: release"* ]]
	run -0 pp intent rollback slug/production
	EDITOR='sed -i s/abc/ghi/' run -0 pp intent edit slug/production
	pp intent get slug/production --json | jq '{app, cluster, config} | .config.min_nodes = 3' >"$BATS_TEST_TMPDIR/file.json"
	run -0 pp intent apply -f "$BATS_TEST_TMPDIR/file.json" --yes
	[ "$(store_keys | grep -c ^history/slug/production/)" = 6 ]
}

@test "a developer cannot touch deploy_config, basedir, ports, owners, nodes or another app" {
	as developer-slug-production
	developers_limits
	denied clusters/slug/production/deploy_config write pp intent set slug/production versions.new=prep ports=80
	echo '{"clusters/slug/production/config": {"versions": {"x": "active"}}, "clusters/slug/production/deploy_config": {"basedir": "/data/x"}}' \
		>"$BATS_TEST_TMPDIR/file.json"
	denied clusters/slug/production/deploy_config write pp intent apply -f "$BATS_TEST_TMPDIR/file.json" --yes
	EDITOR='sed -i s/1212/80/' denied clusters/slug/production/deploy_config write pp intent edit slug/production
	as deployer
	pp intent set slug/production basedir=/data/two >/dev/null
	as developer-slug-production
	denied clusters/slug/production/deploy_config write pp intent rollback slug/production --yes
}

@test "the policy that the script made for another app is that app's alone" {
	as developer-web_x-c1
	pp intent set web.x/c1 versions=a:active >/dev/null
	denied clusters/slug/production/config write pp intent set slug/production min_nodes=3
	denied clusters/web/c1/config write pp intent set web/c1 min_nodes=3
	denied clusters/web.x/c1/deploy_config write pp intent set web.x/c1 basedir=/data/x
}

@test "a deployer may change all of intent, and is the one who names the store" {
	[ "$(json pp/store .schema)" = 1 ]
	run -0 pp intent set slug/production versions.def=active basedir=/data/new ports=80 users=don
	run -0 pp intent assign slug/staging web7
	run -0 pp intent unassign slug/staging web7
	run -0 pp intent rollback slug/production --yes
	pp intent export - >"$BATS_TEST_TMPDIR/all.json"
	consul_wipe
	run -0 pp intent apply -f "$BATS_TEST_TMPDIR/all.json" --yes
	[ "$(store_keys | grep -c ^pp/store)" = 1 ]
	# Not what is none of intent.
	denied_put=$(CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR "$CONSUL" kv put other/key x 2>&1 || :)
	[[ $denied_put == *"Permission denied"* ]]
}

@test "the first write of a developer is made without naming the store" {
	consul_wipe
	as developer-slug-production
	run -0 pp intent set slug/production versions=a:active
	[ "$(store_keys | tr '\n' ' ')" = "clusters/slug/production/config history/slug/production/1 " ]
}

@test "who may only read sees everything and changes nothing" {
	as read-only
	run -0 pp intent get slug/production
	run -0 pp intent history slug/production
	run -1 pp intent diff slug/production --rev 0
	run -0 pp intent export - 
	[ "$(jq 'keys | length' <<<"$output")" = 6 ]
	run -0 pp intent watch slug/production --timeout=1s
	denied clusters/slug/production/config write pp intent set slug/production min_nodes=7
	denied nodes/node1/slug write pp intent unassign slug/production node1
	developers_limits
}

@test "a node reads what it needs, knows which store it is, and may not change intent" {
	as node-agent
	run -0 pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	grep -q 'port: 1212' "$BATS_TEST_TMPDIR/ports/slug.yml"
	run -0 pp converge sudoers --path="$BATS_TEST_TMPDIR/sudoers"
	run --separate-stderr pp status --format=json
	[ "$(jq -c '[.apps[].app]' <<<"$output")" = '["slug"]' ]
	[ "$stderr" = "" ]
	# And takes away what is gone: it can tell gone from forbidden.
	as deployer
	pp intent unassign slug/production node1 >/dev/null
	as node-agent
	pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports" 2>"$BATS_TEST_TMPDIR/err" || :
	run ! grep -i 'denied' "$BATS_TEST_TMPDIR/err"
	as deployer
	pp intent assign slug/production node1 >/dev/null
	as node-agent
	developers_limits
	denied clusters/slug/production/config write pp intent set slug/production min_nodes=7
	denied history/slug/production/1 read pp intent history slug/production
}

# live ARG...: a pass of setlive, which says nothing of permissions.
live() {
	run "$@" --separate-stderr pp converge setlive -v --allow-empty --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"
}

@test "a node's policy is enough for setlive, and without any line of it something is missing" {
	rules=$(grep -v -e '^#' -e '^service_prefix' -e '^node_prefix' -e 'locks/' "$TOP/examples/consul/node-agent.hcl")
	locks='key_prefix "locks/" { policy = "write" }' services='service_prefix "" { policy = "write" }'
	nodes='node_prefix "" { policy = "read" }'
	repo_add slug abc
	repo_add slug def
	pp intent set slug/production versions=abc:active,def:prep basedir="$BASEDIR" check.exec=/bin/true settle=1s \
		min_nodes=1 >/dev/null
	consul_api PUT /v1/catalog/register --data-binary '{"Node": "web2", "Address": "127.0.0.2", "Service": {
		"Service": "slug", "Tags": ["production"], "Meta": {"pp": "1", "pp-node": "web2", "pp-cluster": "production"}}}'
	runit_start
	as node-agent
	pp converge preparer --repo="$REPO_URL" 2>/dev/null
	live -0
	[[ $(said) == *"Registering it in cluster production"* ]]

	# Who may go down, and is to: each line of the policy is needed for that.
	as deployer
	pp intent set slug/production versions.def=active >/dev/null
	unset CONSUL_HTTP_TOKEN_FILE
	export CONSUL_HTTP_TOKEN
	CONSUL_HTTP_TOKEN=$(consul_token "$rules $services $locks")
	live -0
	[[ $(said) == *"min_nodes is 1, and no other node of production is up"* ]]
	CONSUL_HTTP_TOKEN=$(consul_token "$rules $services $nodes")
	live -1
	[[ $(said) == *'its policy lacks key "locks/slug/production" { policy = "write" }'* ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc ]
	CONSUL_HTTP_TOKEN=$(consul_token "$rules service_prefix \"\" { policy = \"read\" } $locks $nodes")
	live -1
	[[ $(said) == *'the token'"'"'s policy lacks service "slug" { policy = "write" }'* ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc ]

	# The app's own name is as good as all services.
	CONSUL_HTTP_TOKEN=$(consul_token "$rules service \"slug\" { policy = \"write\" } $locks $nodes")
	live -0
	[[ $(said) == *"has the lease of cluster production"*Draining*Stopping*Starting* ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_def ]
	[ "$(json locks/slug/production .)" = '{}' ]
	unset CONSUL_HTTP_TOKEN
	as node-agent
	live -0
	[[ $(said) == *"already current"* ]]
	run -0 pp status slug --runit="$RUNIT" --runit-stage="$RUNIT_STAGE"

	as deployer
	pp intent unassign slug/production node1 >/dev/null
	as node-agent
	live -0
	[[ $(said) == *"Taking it out of cluster production"* ]]
	[ "$(consul_api GET /v1/agent/services)" = '{}' ]
	consul_api PUT /v1/catalog/deregister --data-binary '{"Node": "web2"}'
}

@test "a condition takes the right to read its document, and one that there is none the right to write it" {
	test_store=$PP_BUILD/unit/test_store
	as node-agent
	"$test_store" consul locks/slug/production clusters/slug/production/config
	[ "$(json locks/slug/production .)" = '{}' ]
	denied clusters/slug/none/config write "$test_store" consul locks/slug/production clusters/slug/none/config
	unset CONSUL_HTTP_TOKEN_FILE
	export CONSUL_HTTP_TOKEN
	CONSUL_HTTP_TOKEN=$(consul_token 'key "locks/slug/production" { policy = "write" } key "pp/store" { policy = "read" }')
	denied clusters/slug/production/config read "$test_store" consul locks/slug/production clusters/slug/production/config
}

@test "without a token nothing is seen, and that is said; nothing is taken for empty" {
	as nobody
	denied clusters/slug/production/config read pp intent get slug/production
	denied clusters/slug/production/config write pp intent set slug/production min_nodes=7
	denied history/slug/production/1 read pp intent history slug/production
	denied clusters/pp/pp/pp read pp intent export "$BATS_TEST_TMPDIR/files"
	[ ! -e "$BATS_TEST_TMPDIR/files" ]
	run -77 pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/ports"
	CONSUL_HTTP_TOKEN=00000000-0000-0000-0000-000000000000 refused 77 "ACL not found" pp intent get slug/production
}

@test "the same limits under TLS with a client's certificate, and on a socket" {
	export CONSUL_HTTP_ADDR=$CONSUL_HTTPS_ADDR CONSUL_CACERT=$TLS_CA
	as developer-slug-production
	run -69 pp intent get slug/production
	export CONSUL_CLIENT_CERT=$TLS_CLIENT_CERT CONSUL_CLIENT_KEY=$TLS_CLIENT_KEY
	run -0 pp intent set slug/production versions.tls=prep
	developers_limits
	CONSUL_CACERT='' run -69 pp intent get slug/production
	unset CONSUL_CACERT CONSUL_CLIENT_CERT CONSUL_CLIENT_KEY
	export CONSUL_HTTP_ADDR=unix://$SOCKET
	run -0 pp intent set slug/production versions.socket=prep
	developers_limits
	as nobody
	denied clusters/slug/production/config read pp intent get slug/production
}

@test "a token file that others may read or write is refused, and says what to do" {
	for mode in 640 604 660 606 644 666 0620; do
		cp "$TOKENS/deployer.token" "$BATS_TEST_TMPDIR/token"
		chmod "$mode" "$BATS_TEST_TMPDIR/token"
		CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/token refused 78 "chmod 600 $BATS_TEST_TMPDIR/token" pp intent get slug/production
		[[ $stderr == *"CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/token: others may read or write it (mode 0${mode#0})"* ]]
		run -78 pp converge iptables --cmd=true --config-dir="$BATS_TEST_TMPDIR/none" <<<'' || :
	done
	# What counts is the file that a link leads to.
	ln -s token "$BATS_TEST_TMPDIR/link"
	CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/link refused 78 "chmod 600 $BATS_TEST_TMPDIR/token" pp intent get slug/production
	for mode in 600 400 0700; do
		chmod "$mode" "$BATS_TEST_TMPDIR/token"
		CONSUL_HTTP_TOKEN_FILE=$BATS_TEST_TMPDIR/link run -0 pp intent get slug/production
	done
}

@test "setup-acl.sh: tokens of mode 0600, run again it changes nothing, and what it cannot do it says" {
	export CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR
	unset CONSUL_HTTP_TOKEN_FILE
	[ "$(stat -c %a "$TOKENS")" = 700 ]
	[ "$(find "$TOKENS" -type f ! -perm 0600)" = "" ]
	[ "$(ls -A "$TOKENS" | tr '\n' ' ')" = "bootstrap.token consul-agent.json consul-agent.token deployer.token developer-slug-production.token developer-web_x-c1.token node-agent.token read-only.token " ]
	[ "$(jq -r .acl.tokens.agent "$TOKENS/consul-agent.json")" = "$(cat "$TOKENS/consul-agent.token")" ]
	cp -a "$TOKENS" "$BATS_TEST_TMPDIR/again"
	n=$(consul_api GET /v1/acl/tokens | jq length)
	run -0 sh "$TOP/examples/consul/setup-acl.sh" "$BATS_TEST_TMPDIR/again" slug/production
	diff -r "$TOKENS" "$BATS_TEST_TMPDIR/again"
	[ "$(consul_api GET /v1/acl/tokens | jq length)" = "$n" ]
	# A policy that somebody changed is as it should be again.
	id=$(consul_api GET /v1/acl/policies | jq -r '.[] | select(.Name == "pp-read-only").ID')
	consul_api PUT "/v1/acl/policy/$id" --data-binary '{"Name": "pp-read-only", "Rules": ""}' >/dev/null
	as read-only
	run -77 pp intent get slug/production
	sh "$TOP/examples/consul/setup-acl.sh" "$BATS_TEST_TMPDIR/again"
	run -0 pp intent get slug/production

	run -1 --separate-stderr sh "$TOP/examples/consul/setup-acl.sh" "$BATS_TEST_TMPDIR/new"
	[[ $stderr == *"has been bootstrapped before; put that token into $BATS_TEST_TMPDIR/new/bootstrap.token"* ]]
	run -64 sh "$TOP/examples/consul/setup-acl.sh"
	for bad in slug a/b/c '/x' 'a/' 'a|b/c' 'a/..' '-a/b'; do
		run -1 sh "$TOP/examples/consul/setup-acl.sh" "$BATS_TEST_TMPDIR/again" "$bad"
	done
}
