#!/bin/sh
# The first process of a server of Consul in a simulated cluster, started by init.sh: DIR NAME ADDRESS.
set -eu
mkdir -p "$1/disk/$2"
GOMAXPROCS=1 exec "$CONSUL" agent -server -bootstrap-expect=3 -config-file="$CONSUL_CONFIG" -node="$2" \
	-bind="$3" -data-dir="$1/disk/$2/consul"
