#!/bin/sh
# Pack a version of slug for a repository.
#
#     sh examples/slug/pack.sh REPO VERSION
#
# Makes REPO/slug/slug_VERSION.tar.gz and prints its path. The same version packed again has the same
# bytes: no times, no owners, no order of a directory go into it.
set -eu

if [ $# -ne 2 ]; then
	echo "usage: sh pack.sh REPO VERSION" >&2
	exit 64
fi
repo=$1 version=$2
here=$(cd "$(dirname "$0")" && pwd)

case $version in
'' | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]* | *..*)
	echo "pack.sh: \"$version\" is no name for a version" >&2
	exit 65
	;;
esac

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$tree/bin" "$tree/www"
cp "$here/bin/launch" "$here/bin/check" "$tree/bin/"
printf 'This is slug, version %s.\n' "$version" >"$tree/www/index.html"
chmod 0755 "$tree" "$tree/bin" "$tree/bin/launch" "$tree/bin/check" "$tree/www"
chmod 0644 "$tree/www/index.html"

artifact=$repo/slug/slug_$version.tar.gz
mkdir -p "$repo/slug"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -C "$tree" -cf - bin www |
	gzip -9n >"$artifact.new"
mv "$artifact.new" "$artifact"
printf '%s\n' "$artifact"
