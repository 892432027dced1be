#!/bin/sh
# Install the Debian packages that a part of the work needs; those that are there are left alone.
#
#     sh scripts/deps.sh [build|run|test|lint]...      (default: build)
#
# As root, or through sudo; where neither is possible it prints the line to run, and exits 1.
# shellcheck disable=SC2086 # lists of packages are split into words on purpose
set -eu

# One package a word. a|b: any of them will do, the first is installed.
build='gcc make pkg-config|pkgconf libc6-dev libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev
	libjansson-dev libarchive-dev libbsd-dev libssl-dev libinih-dev libyaml-dev libisal-dev
	libzstd-dev liblzma-dev libbz2-dev'
run='runit busybox|busybox-static ca-certificates tar gzip'
test='bats mandoc sudo nginx-light|nginx|nginx-core|nginx-full|nginx-extras curl openssl perl-base nftables
	acl btrfs-progs xfsprogs e2fsprogs iproute2 zstd xz-utils bzip2 strace util-linux procps jq minisign
	systemd spin libfaketime'
lint='clang clang-tidy clang-format cppcheck mandoc shellcheck'

# What starts by itself at boot once it is installed, and is wanted here as a program only.
daemons='nginx'

say() {
	printf 'deps: %s\n' "$*" >&2
}

is_installed() {
	case $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) in
	*' ok installed') return 0 ;;
	esac
	return 1
}

# Print the package to install for a|b|c, nothing where one of them is there.
wanted() {
	alternatives=$(printf '%s' "$1" | tr '|' ' ')
	for package in $alternatives; do
		if is_installed "$package"; then
			return 0
		fi
	done
	printf '%s' "${1%%|*}"
}

[ $# -gt 0 ] || set -- build
missing=
for part in "$@"; do
	case $part in
	build) list=$build ;;
	run) list=$run ;;
	test) list="$run $test" ;;
	lint) list=$lint ;;
	*)
		say "usage: sh scripts/deps.sh [build|run|test|lint]..."
		exit 64
		;;
	esac
	if ! command -v dpkg-query >/dev/null; then
		say "this is not a Debian; $part needs what these packages hold:" $list
		exit 1
	fi
	for word in $list; do
		package=$(wanted "$word")
		case " $missing " in
		*" ${package:-$word} "*) ;;
		*) [ -z "$package" ] || missing="$missing${missing:+ }$package" ;;
		esac
	done
done
[ -n "$missing" ] || exit 0

line="apt-get update && apt-get install -y --no-install-recommends $missing"
if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
		say "asking sudo to install: $missing"
		if sudo -- sh "$0" "$@"; then
			exit 0
		fi
	fi
	say "these packages are missing, and installing them takes root. Run:"
	printf '%s\n' "$line"
	exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
our_policy=
cleanup() {
	rm -f "$log"
	[ -z "$our_policy" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# Daemons of the packages are not to start: what asks whether they may is told no while this script
# runs. Where a host has such a policy already, that one decides. Ours is taken away at the end, and
# says yes by itself should this script be killed before that.
if [ -f "$policy" ] && grep -q '^# pp: deps.sh' "$policy"; then
	rm -f "$policy"
fi
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
	our_policy=1
	cat >"$policy" <<EOF
#!/bin/sh
# pp: deps.sh installs packages; may be removed when it does not run.
kill -0 $$ 2>/dev/null || exit 0
exit 101
EOF
	chmod 0755 "$policy"
fi

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		-o Acquire::Retries=3 "$@" >>"$log" 2>&1 </dev/null || {
		cat "$log" >&2
		say "that failed. What it comes to:"
		printf '%s\n' "$line"
		exit 1
	}
}

say "installing $missing"
apt update
apt install -y --no-install-recommends $missing

for daemon in $daemons; do
	for package in $missing; do
		case $package in
		"$daemon" | "$daemon"-*)
			update-rc.d "$daemon" disable >/dev/null 2>&1 || :
			;;
		esac
	done
done
