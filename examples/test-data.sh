#!/bin/sh
# The test data of the prototype: slug on this host in the cluster "development", one version to be
# prepared and one to be active, and an artifact for each of them.
#
#     sh examples/test-data.sh
#
# It goes to the store that pp uses (PP_STORE, else pp.conf, else Consul on 127.0.0.1:8500).
# Environment: REPO (/tmp/local-repo), BASEDIR (/tmp/slug), NODE (this host's name), PP (pp).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
pp=${PP:-pp}
repo=${REPO:-/tmp/local-repo}
basedir=${BASEDIR:-/tmp/slug}
node=${NODE:-${PP_NODE:-$(hostname)}}
prepared=e928e5ad8814441e7c503d7f6c9e55d72584c006
active=56d459e7c581b913ad5afa627064d62aea2cfac3

"$pp" intent set slug/development \
	versions="$prepared:prep,$active:active" min_nodes=0 \
	basedir="$basedir" ports=1212,1231 \
	users=xavier,don
"$pp" intent assign slug/development "$node"

sh "$here/slug/pack.sh" "$repo" "$prepared"
sh "$here/slug/pack.sh" "$repo" "$active"
