#!/bin/sh
# Set up the ACLs of a new Consul for pp: bootstrap, policies, and a token of each kind.
#
#     sh setup-acl.sh DIR [APP/CLUSTER ...]
#
# Once, on one host, where the servers have acl.json in their configuration. It makes in DIR (0700)
# a file (0600) with one token each:
#
#     bootstrap.token               may do everything; keep it where nobody looks
#     deployer.token                for people and pipelines that deploy
#     node-agent.token              for CONSUL_HTTP_TOKEN_FILE of pp on the nodes
#     read-only.token               for dashboards and the curious
#     developer-APP-CLUSTER.token   for each APP/CLUSTER that is named
#     consul-agent.json             configuration for Consul's own agents
#
# To run it again is safe: policies are brought up to date, tokens that are there stay.
# Environment: CONSUL_HTTP_ADDR and its kin; CONSUL (consul).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
consul=${CONSUL:-consul}
tries=60

fail() {
	printf 'setup-acl: %s\n' "$*" >&2
	exit 1
}

if [ $# -lt 1 ]; then
	printf 'usage: sh setup-acl.sh DIR [APP/CLUSTER ...]\n' >&2
	exit 64
fi
dir=$1
shift
for target in "$@"; do
	case $target in
	*[!A-Za-z0-9._/-]* | */*/* | /* | */ | *..* | .* | -* | */.* | */-*) fail "$target: write APP/CLUSTER" ;;
	*/*) ;;
	*) fail "$target: write APP/CLUSTER" ;;
	esac
done

umask 077
mkdir -p "$dir"
chmod 0700 "$dir"
# What is in the environment of whoever runs this is not the token to work with.
unset CONSUL_HTTP_TOKEN CONSUL_HTTP_TOKEN_FILE

# The SecretID in what consul prints as JSON.
secret_of() {
	sed -n 's/^ *"SecretID": *"\([0-9a-f-]*\)".*/\1/p' "$1" | head -n 1
}

# put_token NAME FILE: the secret in FILE becomes DIR/NAME.token, whole or not at all.
put_token() {
	secret=$(secret_of "$2")
	[ -n "$secret" ] || fail "$1: consul gave no token"
	printf '%s\n' "$secret" >"$dir/.$1.new"
	mv "$dir/.$1.new" "$dir/$1.token"
	rm -f "$2"
}

# Until the servers have a leader, and all know of ACLs, bootstrapping is refused.
bootstrap() {
	try=0
	# What an earlier run got and could not put in its place.
	if [ -s "$dir/.bootstrap" ] && [ -n "$(secret_of "$dir/.bootstrap")" ]; then
		put_token bootstrap "$dir/.bootstrap"
		return
	fi
	until "$consul" acl bootstrap -format=json >"$dir/.bootstrap" 2>"$dir/.error"; do
		if grep -q 'bootstrap no longer allowed' "$dir/.error"; then
			fail "this Consul has been bootstrapped before; put that token into $dir/bootstrap.token"
		fi
		try=$((try + 1))
		[ "$try" -lt "$tries" ] || fail "bootstrap: $(cat "$dir/.error")"
		sleep 1
	done
	put_token bootstrap "$dir/.bootstrap"
}

# put_policy NAME FILE: make the policy pp-NAME, or bring it up to date.
put_policy() {
	if "$consul" acl policy read -name "pp-$1" >/dev/null 2>&1; then
		"$consul" acl policy update -name "pp-$1" -rules "@$2" >/dev/null
	else
		"$consul" acl policy create -name "pp-$1" -rules "@$2" >/dev/null
	fi
}

# make_token NAME: a token with the policy pp-NAME, unless there is one.
make_token() {
	[ ! -s "$dir/$1.token" ] || return 0
	"$consul" acl token create -description "pp-$1" -policy-name "pp-$1" -format=json >"$dir/.token"
	put_token "$1" "$dir/.token"
}

[ -s "$dir/bootstrap.token" ] || bootstrap
rm -f "$dir/.error"
export CONSUL_HTTP_TOKEN_FILE="$dir/bootstrap.token"

for name in deployer node-agent read-only consul-agent; do
	put_policy "$name" "$here/$name.hcl"
	make_token "$name"
done
for target in "$@"; do
	app=${target%/*} cluster=${target#*/}
	# Names of policies have no dots: pp-developer-APP-CLUSTER with each dot as _.
	name=developer-$(printf '%s-%s' "$app" "$cluster" | tr . _)
	sed "s|slug/production|$app/$cluster|; s|app slug in its cluster production|app $app in its cluster $cluster|" \
		"$here/developer.hcl" >"$dir/.policy"
	put_policy "$name" "$dir/.policy"
	rm -f "$dir/.policy"
	make_token "$name"
done

printf '{"acl": {"enabled": true, "default_policy": "deny", "tokens": {"agent": "%s"}}}\n' \
	"$(cat "$dir/consul-agent.token")" >"$dir/.agent.new"
mv "$dir/.agent.new" "$dir/consul-agent.json"
printf 'setup-acl: the tokens are in %s; put consul-agent.json into the configuration of each agent\n' "$dir"
