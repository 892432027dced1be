#!/bin/sh
# Print the path of a consul, for tests and trials.
#
#     sh scripts/consul.sh [--no-fetch]
#
# That is the one on the PATH, else the one in build/tools/, which is fetched first where it is not
# there: Debian bookworm has no consul, bullseye has, and the mirror that apt uses here carries both.
# Takes no root; the system's own sources and lists stay as they are. Exits 1 where there is none.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
tools=$top/build/tools

say() {
	printf 'consul.sh: %s\n' "$*" >&2
}

if command -v consul; then
	exit 0
fi
if [ -x "$tools/consul" ]; then
	printf '%s\n' "$tools/consul"
	exit 0
fi
if [ "${1-}" = --no-fetch ]; then
	say "no consul here; sh scripts/consul.sh fetches one"
	exit 1
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
	say "without apt there is nowhere to fetch it from: put a consul on the PATH"
	exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
signed=
[ ! -r "$keyring" ] || signed="[signed-by=$keyring] "

# apt with lists, cache and sources of its own. The archives of bullseye may be past their date.
scratch_apt() {
	apt-get -q -o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts=/nonexistent \
		-o Dir::State::Lists="$scratch/lists" -o Dir::Cache="$scratch/cache" \
		-o APT::Sandbox::User= \
		-o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 "$@" \
		>>"$scratch/log" 2>&1
}

# Fetch the package from the mirror $1 and put the program into $tools.
fetch() {
	rm -rf "$scratch/lists" "$scratch/cache"
	mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$tools"
	printf 'deb %s%s bullseye main\n' "$signed" "$1" >"$scratch/sources.list"
	scratch_apt update || return 1
	(cd "$scratch" && scratch_apt download consul) || return 1
	dpkg -x "$scratch"/consul_*.deb "$scratch/root" || return 1
	"$scratch/root/usr/bin/consul" version >>"$scratch/log" 2>&1 || return 1
	cp "$scratch/root/usr/bin/consul" "$tools/.consul.$$" && mv "$tools/.consul.$$" "$tools/consul"
}

# The mirrors as apt knows them, those labelled "Debian" first.
# shellcheck disable=SC2016 # apt expands that
apt-get indextargets --format '$(LABEL) $(REPO_URI)' 2>/dev/null |
	LC_ALL=C sort -u | sed 's/^.* //' >"$scratch/mirrors"
while read -r mirror; do
	if fetch "$mirror"; then
		printf '%s\n' "$tools/consul"
		exit 0
	fi
done <"$scratch/mirrors"

cat "$scratch/log" >&2 2>/dev/null || :
say "could not fetch Debian bullseye's consul package from the mirrors apt knows"
exit 1
