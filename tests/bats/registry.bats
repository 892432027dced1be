#!/usr/bin/env bats
# What a node's Consul agent is told of its apps, and what comes of it. A real agent.

load helper
load store
load node

setup_file() {
	consul_start
}

setup() {
	helper_setup
	mkdir "$BATS_TEST_TMPDIR/app"
	# Something that is listened on, by one who answers HTTP: Consul itself.
	LISTENING=$HELPER_CONSUL_PORT
	CLOSED=$(free_port)
}

registry() {
	"$PP_BUILD/drivers/registry" "$@"
}

# The agent's checks of slug: "STATUS TYPE", sorted.
checks() {
	consul_api GET /v1/agent/checks | jq -r '.[] | select(.ServiceID == "slug") | .Status + " " + .Type' | sort
}

# How many instances the cluster counts.
counted() {
	consul_api GET '/v1/health/service/slug?passing&consistent&tag=demo' | jq length
}

counts() {
	[ "$(counted)" = "$1" ]
}

# reads TEXT: that is what is known of slug, a pattern of [[ == ]].
reads() {
	run -0 registry read "${2-node1}"
	# shellcheck disable=SC2053
	[[ ${lines[1]-} == $1 ]] || fail "not \"$1\" but: $output"
}

# script_agent: another agent, which runs script checks, is the one at hand from now on.
script_agent() {
	unset HELPER_CONSUL_ADDR
	consul_start - <<<'{"enable_script_checks": true}'
}

@test "an app is registered as passing, with its cluster, version and port, and is counted at once" {
	registry put version=def456 tcp="$CLOSED" port=1212 interval=600000
	[ "$(consul_api GET /v1/agent/service/slug | jq -c '[.ID, .Service, .Tags, .Port,
		.Meta.pp, .Meta["pp-node"], .Meta["pp-cluster"], .Meta["pp-version"], .Meta["pp-failed"]]')" = \
		'["slug","slug",["demo"],1212,"1","node1","demo","def456","0"]' ]
	[ "$(checks)" = "passing tcp" ]
	wait_until counts 1
	reads 'slug cluster=demo version=def456 node=node1'
	run -0 registry same version=def456 tcp="$CLOSED" port=1212 interval=600000
	run -1 registry same version=def457 tcp="$CLOSED" port=1212 interval=600000
	run -1 registry same version=def456 tcp="$CLOSED" port=1212 interval=500000
}

@test "what failed is critical at once" {
	registry put failed=1 tcp="$LISTENING" interval=600000
	[ "$(checks)" = "critical tcp" ]
	reads 'slug * failed'
	run -1 registry same tcp="$LISTENING" interval=600000
	registry put failed=0 tcp="$LISTENING" interval=600000
	[ "$(checks)" = "passing tcp" ]
	registry put failed=1 supervisor=1
	[ "$(checks)" = "critical ttl" ]
}

@test "Consul does the check itself: TCP and HTTP" {
	registry put tcp="$CLOSED" interval=300
	wait_until eval '[ "$(checks)" = "critical tcp" ]'
	wait_until counts 0
	registry put tcp="$LISTENING" interval=300
	[ "$(checks)" = "passing tcp" ]
	registry put "http=$LISTENING/v1/nowhere" interval=300
	wait_until eval '[ "$(checks)" = "critical http" ]'
	# Registered again, healthy: nobody waits for the next round of it.
	registry put "http=$LISTENING/v1/status/leader" interval=600000
	[ "$(checks)" = "passing http" ]
	wait_until counts 1
}

@test "a check that flaps is as the last answer was, and the registration stays the same" {
	registry put tcp="$CLOSED" interval=300
	wait_until eval '[ "$(checks)" = "critical tcp" ]'
	spawn listener perl -MIO::Socket::IP -e 'my $l = IO::Socket::IP->new(LocalHost => "127.0.0.1",
		LocalPort => shift, Listen => 5) or die; sleep 100' "$CLOSED"
	wait_until eval '[ "$(checks)" = "passing tcp" ]'
	run -0 registry same tcp="$CLOSED" interval=300
	despawn "$SPAWNED" KILL
	wait_until eval '[ "$(checks)" = "critical tcp" ]'
	run -0 registry same tcp="$CLOSED" interval=300
}

@test "what Consul cannot ask is a TTL check, which passes feed" {
	registry put supervisor=1
	[ "$(checks)" = "passing ttl" ]
	reads '* fed'
	registry feed slug warning "a bit slow"
	[ "$(checks)" = "warning ttl" ]
	[ "$(consul_api GET /v1/agent/checks | jq -r '.[].Output')" = "a bit slow" ]
	registry feed slug unknown "cannot tell"
	[ "$(checks)" = "critical ttl" ]
	wait_until counts 0
	# Consul keeps the status of a check that is registered again; pp has just seen that it is well.
	registry put supervisor=1 version=v2
	[ "$(checks)" = "passing ttl" ]
	registry feed slug critical "$(head -c 20000 /dev/zero | tr '\0' x)"
	[ "$(checks)" = "critical ttl" ]
}

@test "a TTL that runs out is critical: nobody has looked" {
	registry put supervisor=1
	# Five minutes at least, so by hand: an equal check with a short one, in its place.
	consul_api PUT /v1/agent/check/register --data-binary \
		'{"ID": "pp:slug:ttl", "Name": "x", "ServiceID": "slug", "TTL": "1s"}'
	registry feed slug passing fine
	[ "$(checks)" = "passing ttl" ]
	wait_until eval '[ "$(checks)" = "critical ttl" ]'
}

@test "an exec check is a TTL check where the agent runs no scripts" {
	run -0 --separate-stderr registry put exec=/bin/true env=PORT=1
	[[ $stderr == *"slug: the Consul agent runs no script checks"* ]]
	[ "$(checks)" = "passing ttl" ]
	registry feed slug critical "exit status 2"
	run -0 registry same exec=/bin/true env=PORT=1
}

@test "an exec check is a script check where the agent runs them, as the app's user" {
	need_root
	script_agent
	dir=$(mktemp -d /tmp/pp-registry.XXXXXX)
	chmod 0755 "$dir"
	printf '#!/bin/sh\necho $(id -un) $(id -G) $(env | grep -v -e ^_= -e ^SHLVL= -e ^PWD=) $PWD $*\nexit 1\n' >"$dir/check"
	chmod 0755 "$dir/check"
	registry put exec="$dir/check" arg=-q env=PORT=1 cwd="$dir" user=nobody interval=300
	wait_until eval '[ "$(checks)" = "warning script" ]'
	output=$(consul_api GET /v1/agent/checks | jq -r '.[].Output')
	rm -rf "$dir"
	[ "$output" = "nobody 65534 PORT=1 $dir -q" ]
	# What people state in env may be secret, and a script's arguments are not.
	registry put exec=/bin/true env=PORT=1 env=PASSWORD=x user=nobody
	[ "$(checks)" = "passing ttl" ]
	reads '* fed'
	registry put exec=/bin/true env=PORT=1 user=nobody interval=600000
	[ "$(checks)" = "passing script" ]
}

@test "an agent that is somebody else's runs no script of the app's" {
	need_root
	dir=$(mktemp -d /tmp/pp-registry.XXXXXX)
	chown nobody "$dir"
	# Port, user and all, as script_agent's, but run by nobody.
	port=$(free_port)
	cat >"$dir/base.json" <<-EOF
		{"node_name": "n", "bind_addr": "127.0.0.1", "enable_script_checks": true, "ports": {"http": $port,
		"dns": -1, "grpc": -1, "serf_wan": -1, "serf_lan": $(free_port), "server": $(free_port)}}
	EOF
	cp "$CONSUL" "$dir/consul"
	spawn nobody setpriv --reuid=nobody --regid=nogroup --clear-groups -- \
		"$dir/consul" agent -dev -config-file "$dir/base.json"
	export CONSUL_HTTP_ADDR=127.0.0.1:$port
	wait_until registry put exec=/bin/true env=PORT=1 user=daemon interval=600000
	types=$(curl -s "http://$CONSUL_HTTP_ADDR/v1/agent/checks" | jq -r '.[].Type')
	registry put exec=/bin/true env=PORT=1 user=nobody interval=600000
	types+=" $(curl -s "http://$CONSUL_HTTP_ADDR/v1/agent/checks" | jq -r '.[].Type')"
	rm -rf "$dir"
	[ "$types" = "ttl script" ]
}

@test "maintenance mode is pp's or a person's, and outlives a registration" {
	registry put supervisor=1
	registry maintain slug on
	reads '* maintenance by-pp fed'
	wait_until counts 0
	registry put tcp="$LISTENING" version=v2 interval=600000
	reads 'slug cluster=demo version=v2 node=node1 maintenance by-pp'
	[ "$(checks)" = "critical maintenance
passing tcp" ]
	registry maintain slug off
	reads 'slug cluster=demo version=v2 node=node1'
	wait_until counts 1
	consul_api PUT '/v1/agent/service/maintenance/slug?enable=true&reason=by+hand'
	registry put supervisor=1 version=v3
	reads '* maintenance fed'
	registry remove slug
	registry maintain slug on
	registry maintain slug off
}

@test "a check that was left behind, or was taken away, makes it another registration" {
	registry put tcp="$LISTENING" interval=600000
	consul_api PUT /v1/agent/check/register --data-binary \
		'{"ID": "pp:slug:0badcafe", "Name": "x", "ServiceID": "slug", "TTL": "300s"}'
	consul_api PUT /v1/agent/check/register --data-binary \
		'{"ID": "others", "Name": "x", "ServiceID": "slug", "TTL": "300s", "Status": "passing"}'
	run -1 registry same tcp="$LISTENING" interval=600000
	registry put tcp="$LISTENING" interval=600000
	# What others have added to it stays.
	[ "$(checks)" = "passing tcp
passing ttl" ]
	run -0 registry same tcp="$LISTENING" interval=600000
	id=$(consul_api GET /v1/agent/checks | jq -r 'keys[] | select(startswith("pp:"))')
	consul_api PUT "/v1/agent/check/deregister/$id"
	run -1 registry same tcp="$LISTENING" interval=600000
}

@test "a registration that was killed on its way is made whole by the next" {
	registry put supervisor=1
	for n in 1 2 3; do
		traced --inject="sendto:signal=KILL:when=$n" "$PP_BUILD/drivers/registry" put \
			tcp="$LISTENING" version=v2 interval=600000 >/dev/null 2>&1 || :
		registry put tcp="$LISTENING" version=v2 interval=600000
		[ "$(checks)" = "passing tcp" ]
		registry put supervisor=1
		[ "$(checks)" = "passing ttl" ]
	done
}

@test "it is taken out; what is not there is fine" {
	registry put supervisor=1
	registry remove slug
	[ "$(consul_api GET /v1/agent/services)" = "{}" ]
	registry remove slug
	run -0 registry read node1
	[ "$output" = there ]
	run -69 registry feed slug passing fine
	[[ $output == *"feed the TTL check of slug: HTTP status 500"* ]]
}

@test "two nodes that register the same app through one agent: the second is told to have its own" {
	registry put supervisor=1
	reads "slug * foreign: the Consul agent at hand has a service slug of the node node1, and this node is node2: each node needs a Consul agent of its own*" node2
	run -1 registry same node=node2 supervisor=1
}

@test "a service that somebody else registered is foreign" {
	consul_api PUT /v1/agent/service/register --data-binary '{"Name": "slug", "Port": 80}'
	reads 'slug * foreign: this node*has a service slug that pp did not register*'
	run -1 registry same supervisor=1
	consul_api PUT /v1/agent/service/register --data-binary '{"Name": "slug", "ID": "slug", "Meta": {"pp": "1"}}'
	reads 'slug * foreign: *lacks what pp writes*'
}

@test "an agent that is down is an error, and so is one that talks nonsense; a directory has none" {
	CONSUL_HTTP_ADDR=127.0.0.1:$CLOSED refused 69 "read the agent's services: consul: " registry read node1
	CONSUL_HTTP_ADDR=127.0.0.1:$CLOSED refused 69 "register slug: consul: " registry put supervisor=1
	mkdir -p "$BATS_TEST_TMPDIR/www/v1/agent"
	echo '[]' >"$BATS_TEST_TMPDIR/www/v1/agent/services"
	http_start "$BATS_TEST_TMPDIR/www"
	CONSUL_HTTP_ADDR=${HTTP_URL#http://} refused 69 "is no JSON object" registry read node1
	CONSUL_HTTP_ADDR=${HTTP_URL#http://} refused 69 "HTTP status 404" registry put supervisor=1
	for verb in "read node1" "put supervisor=1" "remove slug" "maintain slug on" "feed slug passing x"; do
		PP_STORE=dir:$BATS_TEST_TMPDIR run -0 registry $verb
		[[ $output == "" || $output == "not there" ]]
	done
}

@test "a token that may not write the service is told what its policy lacks" {
	unset HELPER_CONSUL_ADDR
	consul_start --acl
	CONSUL_HTTP_TOKEN=$(consul_token 'service_prefix "" { policy = "read" }')
	export CONSUL_HTTP_TOKEN
	for verb in "put supervisor=1" "put tcp=1"; do
		refused 77 'policy lacks service "slug" { policy = "write" }' registry $verb
	done
	CONSUL_HTTP_TOKEN=$(consul_token 'service "slug" { policy = "write" }')
	registry put supervisor=1
	reads 'slug *'
	CONSUL_HTTP_TOKEN=$(consul_token 'service_prefix "" { policy = "read" }')
	for verb in "remove slug" "maintain slug on" "feed slug passing x"; do
		refused 77 'policy lacks service "slug" { policy = "write" }' registry $verb
	done
	CONSUL_HTTP_TOKEN=00000000-1111-2222-3333-444444444444
	refused 77 "ACL not found" registry read node1
}
