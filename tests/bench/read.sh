#!/bin/sh
# What a pass with nothing to do costs: `pp converge preparer` over 1, 10, 100 and 1,000 converged apps.
#
#     PP=build/pp sh tests/bench/read.sh
#
# Beside it in the same rounds: curl fetching the same keys over one connection (curl -K with 1 + 2n
# URLs, in Consul's default mode, which is cheaper than the consistent one that pp uses); one bare HTTP
# request by a program without a library; an empty program that is linked with the C library; and
# exec of /bin/true. Medians of ROUNDS (15) rounds; the ratios are of medians. With SIZES="1 10" only
# those. Needs a consul (scripts/consul.sh) and a C compiler; leaves nothing behind.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
PP=${PP:-$top/build/pp}
ROUNDS=${ROUNDS:-15}
SIZES=${SIZES:-1 10 100 1000}
work=$(mktemp -d)
consul=
liar=

# shellcheck disable=SC2317 # called by trap
cleanup() {
	for pid in $consul $liar; do
		kill "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	rmdir /tmp/consul-test 2>/dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM

for name in $(env | sed -n 's/^\(CONSUL_[A-Z_]*\)=.*/\1/p; s/^\(PP_[A-Z_]*\)=.*/\1/p'); do
	unset "$name"
done
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export PP_CONF=/dev/null PP_REPO="file://$work"

for program in empty one_request rounds; do
	${CC:-cc} -O2 -o "$work/$program" "$top/tests/bench/$program.c"
done

free_port() {
	perl -MSocket -e 'socket(my $s, PF_INET, SOCK_STREAM, 0) or die; bind($s, sockaddr_in(0,
		INADDR_LOOPBACK)) or die; print((sockaddr_in(getsockname($s)))[0], "\n")'
}

start_consul() {
	program=$(sh "$top/scripts/consul.sh")
	port=$(free_port)
	"$program" agent -server -bootstrap-expect 1 -data-dir "$work/consul" -node bench -bind 127.0.0.1 -client 127.0.0.1 -hcl "ports {
		http = $port, dns = -1, grpc = -1, serf_wan = -1,
		serf_lan = $(free_port), server = $(free_port) }" \
		-hcl 'disable_update_check = true' >"$work/consul.log" 2>&1 &
	consul=$!
	tries=0
	until [ "$(curl -s -X PUT -d '{}' "http://127.0.0.1:$port/v1/kv/bench/ready")" = true ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || { cat "$work/consul.log"; exit 1; }
		sleep 0.1
	done
}

# documents N: the keys of node N with N apps, each with its document, tab-separated.
documents() {
	awk -v n="$1" -v work="$work" 'BEGIN {
		for (i = 1; i <= n; i++) {
			app = sprintf("app%04d", i)
			printf "nodes/node%d/%s\t{\"cluster\": \"production\"}\n", n, app
			printf "clusters/%s/production/config\t{\"versions\": {\"%s\": \"active\"}, \"min_nodes\": 2, \"user_config\": {\"some_value\": \"hello\", \"workers\": 4}}\n", app, "e928e5ad8814441e7c503d7f6c9e55d72584c006"
			printf "clusters/%s/production/deploy_config\t{\"basedir\": \"%s/%s\", \"ports\": [%d], \"runas\": \"root\"}\n", app, work "/data", app, 1024 + i
		}
		print "pp/store\t{\"id\": \"bench\", \"schema\": 1}"
	}'
}

fill_consul() {
	perl -MMIME::Base64 -ne 'chomp; my ($k, $v) = split /\t/; push @ops, sprintf
			q({"KV":{"Verb":"set","Key":"%s","Value":"%s"}}), $k, encode_base64($v, "");
		if (@ops == 60 || eof) { print "[", join(",", @ops), "]\n"; @ops = () }' "$work/documents" |
		while read -r txn; do
			printf '%s' "$txn" | curl -s -f -X PUT --data-binary @- -o /dev/null \
				"http://127.0.0.1:$port/v1/txn"
		done
}

fill_dir() {
	perl -F'\t' -ane 'BEGIN { $root = shift } my ($k, $v) = @F; my $f = "$root/$k.json";
		my $d = $f; $d =~ s|/[^/]*$||; system("mkdir", "-p", $d) if !-d $d;
		open my $o, ">", $f or die "$f: $!"; print $o $v' "$1" "$work/documents"
}

# What curl fetches: the list, and both documents of each app.
write_curl() {
	{
		printf 'url = "http://127.0.0.1:%s/v1/kv/nodes/node%s/?recurse"\noutput = "/dev/null"\n' "$port" "$1"
		sed -n "s|^\(clusters/[^	]*\)	.*|url = \"http://127.0.0.1:$port/v1/kv/\1\"\noutput = \"/dev/null\"|p" \
			"$work/documents"
	} >"$work/curl.$1"
}

# requests CMD...: how many requests it makes, counted by a proxy.
requests() {
	: >"$work/requests"
	"$@" >/dev/null
	wc -l <"$work/requests"
}

start_liar() {
	: >"$work/lies"
	perl "$top/tests/hostile/liar.pl" "$work/liar.port" "$work/requests" "$work/lies" "$port" \
		>/dev/null 2>&1 &
	liar=$!
	while [ ! -s "$work/liar.port" ]; do
		sleep 0.05
	done
}

# One size: N apps.
measure() {
	documents "$1" >"$work/documents"
	fill_consul
	rm -rf "$work/dir"
	fill_dir "$work/dir"
	write_curl "$1"
	sed -n 's|^clusters/\([^/]*\)/production/config.*|\1|p' "$work/documents" | while read -r app; do
		mkdir -p "$work/data/$app/installs/${app}_e928e5ad8814441e7c503d7f6c9e55d72584c006"
	done
	export PP_NODE="node$1"
	converge="$PP converge preparer"
	{
		printf 'consul\t%s\n' "$converge"
		printf 'curl\tcurl -s -K %s/curl.%s\n' "$work" "$1"
		printf 'request\t%s/one_request %s /v1/kv/nodes/node%s/?recurse\n' "$work" "$port" "$1"
		printf 'dir\t%s --store=dir:%s/dir --state-dir=%s/state\n' "$converge" "$work" "$work"
		printf 'empty\t%s/empty\n' "$work"
		printf 'true\t/bin/true\n'
	} >"$work/commands"
	CONSUL_HTTP_ADDR=127.0.0.1:$port PP_STATE_DIR=$work/state
	export CONSUL_HTTP_ADDR PP_STATE_DIR
	# What is remembered is remembered before: a node's second pass is like all later ones.
	$converge
	"$work/rounds" "$ROUNDS" "$work/commands" >"$work/medians"
	asked=$(CONSUL_HTTP_ADDR=127.0.0.1:$(cat "$work/liar.port") requests "$PP" converge preparer)
	awk -v n="$1" -v asked="$asked" '
		{ wall[$1] = $2; cpu[$1] = $3; peak[$1] = $4; failed += $5 }
		function row(label, name, requests, of, against) {
			printf "%5d  %-34s %9.2f %9.2f %8.1f %9s  %s\n", n, label, wall[name] / 1000, cpu[name] / 1000,
				peak[name] / 1024, requests, of == "" ? "" : sprintf("%.2f of %s", wall[name] / wall[of], against)
		}
		END {
			row("pp converge preparer, consul", "consul", asked, "curl", "curl")
			row("curl -K, the same keys", "curl", 1 + 2 * n)
			row("one bare request", "request", 1)
			row("pp converge preparer, dir", "dir", 0, "empty", "an empty program")
			row("an empty program", "empty", "-")
			row("/bin/true", "true", "-")
			if (failed) { print "bench: a command failed"; exit 1 }
		}' "$work/medians"
}

start_consul
start_liar
printf '%5s  %-34s %9s %9s %8s %9s  %s\n' apps "" "wall ms" "cpu ms" "peak MiB" requests ratio
for n in $SIZES; do
	measure "$n"
done
