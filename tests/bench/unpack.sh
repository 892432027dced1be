#!/bin/sh
# What `pp converge preparer` takes to install an artifact, with its digest verified, in its sandbox and
# with all data on disk, beside tar, bsdtar and cp -r, each followed by sync -f.
#
#     make bench, or: [ROUNDS=5] [SIZES="big small tree"] [BENCH_DIR=/var/tmp] [BENCH_TREE=DIR] sh tests/bench/unpack.sh
#
# The contenders take turns in each round. A ratio is the median of the rounds' own ratios to the first
# of the contenders, and its spread the least and the most of them.
# shellcheck disable=SC2015 # a && b || c: where b fails, c is what is to be done
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${PP:=$here/../../build/pp}" "${ROUNDS:=5}" "${BENCH_DIR:=/var/tmp}" "${SIZES:=big small tree}"
work=$(mktemp -d "$BENCH_DIR/pp-bench.XXXXXX")
nginx_pid=
cleanup() {
	[ -z "$nginx_pid" ] || kill "$nginx_pid" 2>/dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

cc -O2 -o "$work/measure" "$here/measure.c"
mkdir "$work/repo" "$work/repo/slug" "$work/in" "$work/out" "$work/out/d" "$work/old"
turns=0
export PP_STORE="dir:$work/store" PP_NODE=bench PP_STATE_DIR="$work/state" PP_CONF=/dev/null
export WARM_MIB=3000 # twice what a contender fills of the page cache

# --- what is unpacked

# Real data without end: the files of this machine, one after the other, over and over.
real_data() {
	while find /usr/bin /usr/lib /usr/share -xdev -type f -size +8k -size -20000k 2>/dev/null |
		LC_ALL=C sort | xargs -d '\n' cat 2>/dev/null; do :; done
}

make_big() {
	mkdir "$work/in/big"
	real_data | head -c 1G >"$work/in/big/data"
}

# 50,000 files in 500 directories, of 0.5 to 11 KiB.
make_small() {
	mkdir "$work/in/small"
	real_data | perl -e '
		use strict;
		srand 1;
		binmode STDIN;
		for my $d (0 .. 499) {
			mkdir "$ARGV[0]/$d" or die;
			for my $f (0 .. 99) {
				read STDIN, my $data, 512 + int rand 11000;
				open my $out, ">", "$ARGV[0]/$d/$f" or die;
				print $out $data;
			}
		}' "$work/in/small"
}

# A tree as it is on a disk: BENCH_TREE, else what belongs to this machine's sources and libraries.
make_tree() {
	mkdir "$work/in/tree"
	if [ -n "${BENCH_TREE-}" ]; then
		cp -r "$BENCH_TREE" "$work/in/tree/"
		return
	fi
	# Whole directories, until there are 500 MB.
	find /usr/include /usr/lib /usr/share -xdev -mindepth 1 -maxdepth 2 -type d 2>/dev/null |
		LC_ALL=C sort -u | perl -ne '
		use strict;
		our ($sum, @taken);
		chomp;
		my $dir = $_;
		next if grep { index("$dir/", "$_/") == 0 } @taken;
		next if $dir =~ m{^/usr/(lib|share)$} or `find "$dir" -xdev -type d | head -2000 | wc -l` > 1500;
		my $size = (split " ", `du -xslk "$dir"`)[0]; # hard links become files
		next if $size < 500 or $size > 60000;
		push @taken, $dir;
		print "$dir\n";
		exit if ($sum += $size) > 480000;' >"$work/dirs"
	xargs -d '\n' -a "$work/dirs" cp -r --parents --no-dereference -t "$work/in/tree" 2>/dev/null || :
	find "$work/in/tree" ! -type f ! -type d -delete
}

# intend VERSION...: what the node is to have, with the digests of the artifacts.
intend() {
	digests=
	versions=
	for version; do
		file=$(ls "$work/repo/slug/slug_$version".tar.*)
		versions="$versions${versions:+,}$version:prep"
		digests="$digests${digests:+,}$version:sha256:$(sha256sum "$file" | cut -d' ' -f1)"
	done
	rm -rf "$work/store" "$work/state"
	set --
	old_ifs=$IFS
	IFS=,
	for digest in $digests; do
		set -- "$@" "digests.${digest%%:*}=${digest#*:}"
	done
	IFS=$old_ifs
	"$PP" intent set slug/bench versions="$versions" basedir="$work/out/pp" "$@" >/dev/null
	"$PP" intent assign slug/bench bench >/dev/null
}

# --- measuring

# Take CONTENDER's place for a round: nothing of it is there, nothing is waiting for the disk. What the one
# before made is put away, and not removed: ext4 takes no inode again within a minute of its removal, and
# looks at all of those for each file that is made. What is read is in memory, as if it were just fetched.
fresh() {
	find "$work/out" -type f -size +100M -delete
	turns=$((turns + 1))
	mkdir "$work/old/$turns"
	mv "$work"/out/* "$work/old/$turns"
	mkdir "$work/out/d"
	sync -f "$work/out"
	cat "$work"/repo/slug/* >/dev/null
	[ "$1" != cp-r ] || tar -C "$work/in/$kind" -cf - . | cat >/dev/null
}

# turn NAME COMMAND...: one measurement, to results: NAME WALL CPU PEAK.
turn() {
	name=$1
	shift
	fresh "$name"
	"$work/measure" "$@" >"$work/one" 2>"$work/log" || {
		cat "$work/log" >&2
		exit 1
	}
	echo "$name $(cat "$work/one")" >>"$work/results"
}

synced() {
	echo "$1 && sync -f '$work/out'"
}

# Print the results; ratios are to the first contender.
table() {
	perl -e '
		use strict;
		my (%wall, %cpu, %peak, @names);
		while (<STDIN>) {
			my ($name, $w, $c, $p) = split;
			push @names, $name unless $wall{$name};
			push @{ $wall{$name} }, $w;
			push @{ $cpu{$name} }, $c;
			push @{ $peak{$name} }, $p;
		}
		sub median { my @s = sort { $a <=> $b } @_; $s[$#s / 2] }
		my $base = $names[0];
		printf "  %-14s %9s %9s %7s   %s\n", "", "ms", "cpu ms", "MiB", "ratio to $base (spread)";
		for my $n (@names) {
			my @r = map { $wall{$n}[$_] / $wall{$base}[$_] } 0 .. $#{ $wall{$n} };
			my @s = sort { $a <=> $b } @r;
			printf "  %-14s %9.0f %9.0f %7.1f   %.2f (%.2f-%.2f)\n", $n, median(@{ $wall{$n} }),
				median(@{ $cpu{$n} }), (sort { $b <=> $a } @{ $peak{$n} })[0] / 1024,
				median(@r), $s[0], $s[-1];
		}' <"$work/results"
}

rounds() {
	: >"$work/results"
	i=0
	while [ "$i" -lt "$ROUNDS" ]; do
		"$@"
		i=$((i + 1))
	done
	table
}

preparer() {
	"$PP" converge preparer --repo="file://$work/repo" "$@"
}

round_gz() {
	turn tar sh -c "$(synced "tar xzf '$artifact' -C '$work/out/d'")"
	turn pp "$PP" converge preparer --repo="file://$work/repo"
	! command -v bsdtar >/dev/null ||
		turn bsdtar sh -c "$(synced "bsdtar xf '$artifact' -C '$work/out/d'")"
	turn cp-r sh -c "$(synced "cp -r '$work/in/$kind' '$work/out/d'")"
}

round_zst() {
	turn tar--zstd sh -c "$(synced "tar --zstd -xf '$artifact' -C '$work/out/d'")"
	turn pp "$PP" converge preparer --repo="file://$work/repo"
}

round_fetch() {
	turn file "$PP" converge preparer --repo="file://$work/repo"
	turn http "$PP" converge preparer --repo="$url"
}

round_jobs() {
	turn jobs=1 "$PP" converge preparer --repo="file://$work/repo" --jobs=1
	turn jobs=2 "$PP" converge preparer --repo="file://$work/repo" --jobs=2
}

title() {
	printf '\n%s: %s files, %s MB unpacked, %s MB as %s\n' "$kind" \
		"$(find "$work/in/$kind" -type f | wc -l)" \
		"$(($(du -sb "$work/in/$kind" | cut -f1) / 1000000))" \
		"$(($(stat -c %s "$artifact") / 1000000))" "$1"
}

start_nginx() {
	port=$(perl -MSocket -e 'socket(my $s, PF_INET, SOCK_STREAM, 0) or die; bind($s, sockaddr_in(0,
		INADDR_LOOPBACK)) or die; print((sockaddr_in(getsockname($s)))[0])')
	mkdir "$work/nginx"
	cat >"$work/nginx/conf" <<-EOT
		daemon off; master_process off; pid $work/nginx/pid; error_log stderr; events {}
		http {
			access_log off;
			client_body_temp_path $work/nginx; proxy_temp_path $work/nginx;
			fastcgi_temp_path $work/nginx; uwsgi_temp_path $work/nginx; scgi_temp_path $work/nginx;
			sendfile on;
			server { listen 127.0.0.1:$port; root $work/repo; }
		}
	EOT
	nginx -e stderr -p "$work/nginx" -c "$work/nginx/conf" 2>"$work/nginx/log" &
	nginx_pid=$!
	url=http://127.0.0.1:$port
	until curl -s --noproxy '*' -o /dev/null "$url/"; do
		sleep 0.05
	done
}

for kind in $SIZES; do
	"make_$kind"
	artifact=$work/repo/slug/slug_$kind.tar.gz
	tar -C "$work/in/$kind" -cf - . | gzip -6 >"$artifact"
	intend "$kind"
	title gz
	rounds round_gz
	if [ "$kind" = tree ]; then
		start_nginx
		title 'gz, over HTTP'
		rounds round_fetch
	fi
	rm "$artifact"
	artifact=$work/repo/slug/slug_$kind.tar.zst
	tar -C "$work/in/$kind" -cf - . | zstd -q -3 >"$artifact"
	intend "$kind"
	title zst
	rounds round_zst
	if [ "$kind" = tree ]; then
		for n in 1 2 3; do
			cp "$artifact" "$work/repo/slug/slug_tree$n.tar.zst"
		done
		intend tree tree1 tree2 tree3
		title 'zst, four of them'
		rounds round_jobs
	fi
	rm -f "$work/repo/slug"/*
done
