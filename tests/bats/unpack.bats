#!/usr/bin/env bats
# pp-unpack: what it keeps, and what it refuses. Hostile archives are made by tests/hostile/tar.pl.
bats_require_minimum_version 1.5.0
load helper

setup() {
	: "${PP_UNPACK:=${PP_BUILD:-build}/pp-unpack}"
	PP_UNPACK=$(realpath "$PP_UNPACK")
	HOSTILE=$BATS_TEST_DIRNAME/../hostile
	BOX=$BATS_TEST_TMPDIR/box
	TAR=$BATS_TEST_TMPDIR/artifact.tar
	STAGE=$BOX/installs/stage
	mkdir -p "$STAGE" "$BOX/outside" "$BATS_TEST_TMPDIR/tree"
	echo precious >"$BOX/outside/victim"
	touch -d @1000000000 "$BOX/outside/victim" "$BOX/outside" "$BOX/installs" "$BOX"
	TREE=$BATS_TEST_TMPDIR/tree
	MOUNTED=
	ELSEWHERE=
}

teardown() {
	[ -z "$MOUNTED" ] || umount "$MOUNTED"
	[ -z "$ELSEWHERE" ] || rm -rf "$ELSEWHERE"
}

# make_tar ARG...: arguments as tar.pl takes them.
make_tar() {
	perl "$HOSTILE/tar.pl" "$@" >"$TAR"
}

restage() {
	rm -rf "$STAGE"
	mkdir "$STAGE"
}

# unpack [ARG...]: run pp-unpack on $TAR in the staging directory.
# shellcheck disable=SC2120
unpack() {
	(cd "$STAGE" && exec "$PP_UNPACK" "$@" <"$TAR")
}

# All there is outside the staging directory, contents and times too.
outside() {
	find "$BOX" -path "$STAGE" -prune -o -printf '%P %y %m %n %s %T@ %C@\n' | sort
	cat "$BOX/outside/victim"
}

# refused MESSAGE ARG...: the archive on $TAR is bad, for exactly this reason, and nothing got out.
refused() {
	local message=$1 before
	shift
	before=$(outside)
	run -65 --separate-stderr unpack "$@"
	[ "$output" = "" ]
	if [ "$stderr" != "$message" ]; then
		printf 'it says: %s\n wanted: %s\n' "$stderr" "$message"
		return 1
	fi
	[ "$(outside)" = "$before" ]
}

# refuses MESSAGE TAR-ARG...: the archive so made is refused.
refuses() {
	local message=$1
	shift
	make_tar "$@"
	refused "$message"
}

# damaged PATTERN: as refused, with a message that matches, from a library that words it its way.
damaged() {
	local before
	before=$(outside)
	run -65 --separate-stderr unpack
	[ "$output" = "" ]
	# shellcheck disable=SC2053
	if [[ $stderr != $1 || $stderr == *$'\n'* ]]; then
		printf 'it says: %s\n wanted: %s\n' "$stderr" "$1"
		return 1
	fi
	[ "$(outside)" = "$before" ]
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip "only as root"
}

a_tree() {
	mkdir -p "$TREE/bin" "$TREE/share/doc"
	printf '#!/bin/sh\nexec sleep 1000\n' >"$TREE/bin/launch"
	chmod 0755 "$TREE/bin/launch"
	head -c 300000 /dev/urandom >"$TREE/share/data"
	ln -s ../bin/launch "$TREE/share/run"
	echo hello >"$TREE/share/doc/README"
	chmod 0640 "$TREE/share/doc/README"
	find "$TREE" -exec touch -h -d '2014-08-31 02:42:58' {} +
}

# The tree came out as it went in.
same_tree() {
	diff -r "$TREE" "$STAGE"
	diff <(cd "$TREE" && find . -printf '%P %y %m %l %T@\n' | sort) \
		<(cd "$STAGE" && find . -printf '%P %y %m %l %T@\n' | sort)
}

# --- what is kept

@test "a plain tar is unpacked without a word" {
	a_tree
	tar -C "$TREE" -cf "$TAR" .
	run -0 unpack
	[ "$output" = "" ]
	same_tree
}

@test "gzip, zstd, xz and bzip2 are told by content" {
	a_tree
	for flag in --gzip --zstd --xz --bzip2; do
		tar -C "$TREE" "$flag" -cf "$TAR" .
		restage
		run -0 unpack
		[ "$output" = "" ]
		same_tree
	done
}

@test "ustar, pax, GNU and v7 archives are unpacked" {
	a_tree
	for format in ustar pax gnu v7; do
		tar -C "$TREE" --format="$format" -cf "$TAR" .
		restage
		run -0 unpack
		[ "$output" = "" ]
		diff -r "$TREE" "$STAGE"
	done
}

@test "compressed data of several members or frames is read to its end" {
	a_tree
	tar -C "$TREE" -cf "$TAR.whole" .
	for program in gzip zstd xz bzip2; do
		head -c 100000 "$TAR.whole" | "$program" -c >"$TAR"
		tail -c +100001 "$TAR.whole" | "$program" -c >>"$TAR"
		restage
		run -0 unpack
		[ "$output" = "" ]
		same_tree
	done
}

@test "permission bits are kept, without write for group and others" {
	make_tar + name=a mode=0777 + name=b mode=0640 + name=c mode=0555 + name=d type=5 mode=0775 \
		+ name=d/e mode=0666 + name=f mode=0000
	run -0 unpack
	[ "$(cd "$STAGE" && stat -c '%n %a' a b c d d/e f)" = \
		$'a 755\nb 640\nc 555\nd 755\nd/e 644\nf 0' ]
}

@test "setuid, setgid and sticky bits are dropped" {
	make_tar + name=a mode=6755 + name=d type=5 mode=7755 + name=e mode=4711
	run -0 unpack
	[ "$(cd "$STAGE" && stat -c '%n %a' a d e)" = $'a 755\nd 755\ne 711' ]
}

@test "the umask does not matter" {
	make_tar + name=x/a mode=0755 + name=d type=5 mode=0755 + name=d/b mode=0644
	# shellcheck disable=SC2119
	(umask 0777 && unpack)
	[ "$(cd "$STAGE" && stat -c '%n %a' x x/a d d/b)" = $'x 755\nx/a 755\nd 755\nd/b 644' ]
}

@test "a setgid staging directory does not pass its bit on" {
	chmod 2755 "$STAGE"
	make_tar + name=x/a + name=d type=5 mode=0755
	run -0 unpack
	[ "$(cd "$STAGE" && stat -c '%n %a' x d)" = $'x 755\nd 755' ]
}

@test "mtimes of files, directories and symlinks are kept" {
	make_tar + name=d type=5 mode=0755 mtime=1111111111 + name=d/f mtime=1222222222 \
		+ name=d/l type=2 link=f mtime=1333333333 + name=d/sub/g mtime=1444444444
	run -0 unpack
	[ "$(cd "$STAGE" && stat -c '%n %Y' d d/f d/l d/sub/g)" = \
		$'d 1111111111\nd/f 1222222222\nd/l 1333333333\nd/sub/g 1444444444' ]
}

@test "fractions of a second in a pax header are kept" {
	make_tar + name=f pax:mtime=1400000000.123456789
	run -0 unpack
	[ "$(stat -c %.9Y "$STAGE/f")" = 1400000000.123456789 ]
}

@test "an mtime of before 1970 or beyond all years does no harm" {
	make_tar + name=a mtime=-5 + name=b pax:mtime=99999999999999999999 + name=c mtime=9223372036854775807
	run -0 unpack
	[ -f "$STAGE/a" ]
	[ -f "$STAGE/c" ]
}

@test "hard links share their inode" {
	make_tar + name=d type=5 mode=0755 + name=d/f data=one + name=g type=1 link=d/f \
		+ name=d/h type=1 link=./d//f
	run -0 unpack
	[ "$(stat -c %h "$STAGE/d/f")" = 3 ]
	[ "$STAGE/g" -ef "$STAGE/d/f" ]
	[ "$STAGE/d/h" -ef "$STAGE/d/f" ]
}

@test "a hard link with a body of its own does not change the file" {
	make_tar + name=f data=one + name=g type=1 link=f data=two pax:comment=x
	run -0 unpack
	[ "$(cat "$STAGE/f")" = one ]
	[ "$STAGE/g" -ef "$STAGE/f" ]
}

@test "symlinks that stay inside are kept as they are" {
	make_tar + name=d/e/up type=2 link=../.. + name=d/l type=2 link=./../bin/x + name=self type=2 link=. \
		+ name=dangling type=2 link=not/there
	run -0 unpack
	[ "$(readlink "$STAGE/d/e/up")" = ../.. ]
	[ "$(readlink "$STAGE/d/l")" = ./../bin/x ]
	[ "$(readlink "$STAGE/self")" = . ]
	[ "$(readlink "$STAGE/dangling")" = not/there ]
}

@test "sparse files stay sparse and have their size" {
	truncate -s 64M "$TREE/sparse"
	echo middle | dd of="$TREE/sparse" bs=1 seek=33554432 conv=notrunc status=none
	for format in 'gnu' 'pax --sparse-version=0.0' 'pax --sparse-version=0.1' 'pax --sparse-version=1.0'; do
		# shellcheck disable=SC2086
		tar -C "$TREE" -S --format=$format -cf "$TAR" sparse
		[ "$(stat -c %s "$TAR")" -lt 1000000 ]
		restage
		run -0 unpack
		cmp "$TREE/sparse" "$STAGE/sparse"
		[ "$(stat -c %b "$STAGE/sparse")" -lt 2048 ]
	done
}

@test "an empty file is a file" {
	make_tar + name=empty
	run -0 unpack
	[ -f "$STAGE/empty" ]
	[ "$(stat -c %s "$STAGE/empty")" = 0 ]
}

@test "long names are kept, in GNU and in pax archives" {
	local long deep
	long=$(printf 'n%.0s' {1..255})
	deep=$long/$long/$long
	mkdir -p "$TREE/$deep"
	echo deep >"$TREE/$deep/$long"
	ln -s "../$long/x" "$TREE/$deep/link"
	for format in gnu pax; do
		tar -C "$TREE" --format=$format -cf "$TAR" .
		restage
		run -0 unpack
		[ "$(cat "$STAGE/$deep/$long")" = deep ]
		[ "$(readlink "$STAGE/$deep/link")" = "../$long/x" ]
	done
}

@test "a path of 4095 bytes is unpacked" {
	local path
	path=$(printf 'abcdefg/%.0s' {1..511})abcdefg
	[ ${#path} -eq 4095 ]
	make_tar + name=x "pax:path=$path" data=deep
	run -0 unpack
	[ "$(find "$STAGE" -type f -size 4c | wc -l)" -eq 1 ]
}

@test "names beyond ASCII are kept, whatever the locale" {
	make_tar + 'name=\xc3\xa9t\xc3\xa9' data=one + name=x 'pax:path=\xe6\x97\xa5\xe6\x9c\xac' data=two
	LC_ALL=C run -0 unpack
	[ "$(cat "$STAGE/été")" = one ]
	[ "$(cat "$STAGE/日本")" = two ]
}

@test "./ in front, doubled slashes and slashes at the end do not matter" {
	make_tar + name=./ type=5 mode=0755 + name=./d/ type=5 mode=0755 + name=.//d/./f data=x \
		+ name=d// type=5 mode=0750
	run -0 unpack
	[ "$(cat "$STAGE/d/f")" = x ]
	[ "$(stat -c %a "$STAGE/d")" = 750 ]
}

@test "the entry ./ gives the install its time, and no mode: all may enter it" {
	chmod 0700 "$STAGE"
	make_tar + name=./ type=5 mode=0700 mtime=1234567890 + name=f
	run -0 unpack
	[ "$(stat -c '%a %Y' "$STAGE")" = "755 1234567890" ]
}

@test "of a directory that comes twice, the last mode and time count" {
	make_tar + name=d type=5 mode=0700 mtime=1000000001 + name=d/f + name=d type=5 mode=0555 mtime=1000000002
	run -0 unpack
	[ "$(stat -c '%a %Y' "$STAGE/d")" = "555 1000000002" ]
}

@test "directories the archive leaves out are made, with mode 0755" {
	make_tar + name=a/b/c/f data=x + name=a/b/g
	run -0 unpack
	[ "$(cd "$STAGE" && stat -c '%n %a' a a/b a/b/c)" = $'a 755\na/b 755\na/b/c 755' ]
}

@test "a directory nobody may write to still gets its files, without root too" {
	make_tar + name=d type=5 mode=0555 mtime=1000000000 + name=d/e type=5 mode=0000 + name=d/e/f data=x \
		+ name=d/g/h data=y + name=d type=5 mode=0500
	if [ "$(id -u)" -eq 0 ]; then
		ELSEWHERE=$(mktemp -d /tmp/pp-unpack.XXXXXX)
		cp "$PP_UNPACK" "$ELSEWHERE/pp-unpack"
		cp "$TAR" "$ELSEWHERE"
		mkdir "$ELSEWHERE/stage"
		chmod -R a+rX "$ELSEWHERE"
		chown nobody "$ELSEWHERE/stage"
		# shellcheck disable=SC2016
		run -0 setpriv --reuid=nobody --regid=nogroup --clear-groups \
			sh -c 'cd "$1/stage" && "$1/pp-unpack" --gid=0 <"$1/artifact.tar"' sh "$ELSEWHERE"
		rm -rf "$STAGE"
		mv "$ELSEWHERE/stage" "$STAGE"
		[ "$(stat -c '%U %G' "$STAGE/d/g/h")" = "nobody nogroup" ]
	else
		run -0 unpack
	fi
	[ "$(stat -c '%a %Y' "$STAGE/d")" = "500 1400000000" ]
	[ "$(stat -c %a "$STAGE/d/g")" = 755 ]
	chmod -R u+rwx "$STAGE"
	[ "$(cat "$STAGE/d/e/f")" = x ]
}

@test "owners in the archive are not taken over" {
	need_root
	make_tar + name=f header=108:0000765 + name=d type=5 mode=0755 header=108:0000765
	run -0 unpack
	[ "$(cd "$STAGE" && stat -c '%u %g' f d)" = $'0 0\n0 0' ]
}

@test "--gid gives everything to a group, and leaves the owner" {
	need_root
	make_tar + name=f + name=d type=5 mode=0755 + name=d/l type=2 link=../f + name=x/y mode=0640 \
		+ name=h type=1 link=f
	run -0 unpack --gid=12345
	[ "$(find "$STAGE" ! -gid 12345)$(find "$STAGE" ! -uid 0)" = "" ]
}

@test "xattrs and ACLs in the archive are left out" {
	make_tar + name=f pax:SCHILY.xattr.user.evil=1 pax:SCHILY.acl.access=user::rw-,group::r--,other::r--,user:12:rwx,mask::r--
	run -0 unpack
	[ "$(stat -c %A "$STAGE/f")" = "-rw-r--r--" ]
}

@test "20,000 small files are unpacked" {
	(cd "$TREE" && perl -e 'for my $d (1 .. 100) { mkdir "d$d"; for my $f (1 .. 200) {
		open my $h, ">", "d$d/f$f" or die; print $h "$d $f\n"; close $h } }')
	tar -C "$TREE" -czf "$TAR" .
	run -0 unpack
	[ "$(find "$STAGE" -type f | wc -l)" -eq 20000 ]
	diff -r "$TREE" "$STAGE"
}

@test "where the kernel has no openat2, the way is walked by hand" {
	case $(uname -m) in x86_64 | aarch64) ;; *) skip "the filter is not for this machine" ;; esac
	a_tree
	tar -C "$TREE" -cf "$TAR" .
	# shellcheck disable=SC2016
	run -0 bash -c 'cd "$1" && exec perl "$2" "$3" <"$4"' sh "$STAGE" "$HOSTILE/without-openat2.pl" \
		"$PP_UNPACK" "$TAR"
	same_tree
	restage
	make_tar + name=l type=2 link=x + name=l/f
	# shellcheck disable=SC2016
	run -65 --separate-stderr bash -c 'cd "$1" && exec perl "$2" "$3" <"$4"' sh "$STAGE" \
		"$HOSTILE/without-openat2.pl" "$PP_UNPACK" "$TAR"
	[ "$stderr" = 'entry "l/f": path passes through "l", which is a symlink' ]
}

# --- the digest

@test "--sha256 lets an artifact through that has it, in any case" {
	make_tar + name=f data=x
	local sum
	sum=$(sha256sum <"$TAR")
	run -0 unpack --sha256="${sum%% *}"
	[ -f "$STAGE/f" ]
	rm "$STAGE/f"
	sum=${sum%% *}
	run -0 unpack --sha256="${sum^^}"
	[ -f "$STAGE/f" ]
}

@test "with another sha256 nothing is unpacked at all" {
	make_tar + name=f data=x
	local wrong sum
	wrong=$(printf '0%.0s' {1..64})
	sum=$(sha256sum <"$TAR")
	refused "sha256 does not match: it should be $wrong, and is ${sum%% *}" --sha256="$wrong"
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "a sha256 that is not one is a usage error" {
	make_tar + name=f data=x
	for text in "" 12ab "$(printf 'g%.0s' {1..64})" "$(printf '0%.0s' {1..65})"; do
		run -64 --separate-stderr unpack --sha256="$text"
		[ "$stderr" = "--sha256 takes 64 hex digits" ]
	done
	[ "$(ls -A "$STAGE")" = "" ]
}

# --- names that are refused

@test "an absolute path is refused" {
	refuses "entry \"$BOX/outside/evil\": path leaves the install: it is absolute" \
		+ "name=$BOX/outside/evil" data=x
}

@test "a path with .. is refused, wherever it is" {
	refuses 'entry "../x": path leaves the install: it has ".."' + name=../x data=x
	refuses 'entry "d/../../outside/x": path leaves the install: it has ".."' + name=d/../../outside/x
	refuses 'entry "d/..": path leaves the install: it has ".."' + name=d/.. type=5
	refuses 'entry "..": path leaves the install: it has ".."' + name=.. type=5 mode=0700
	refuses 'entry "../../outside/": path leaves the install: it has ".."' + name=../../outside/ type=5
	refuses 'entry "../l": path leaves the install: it has ".."' + name=../l type=2 link=x
}

@test "a path with .. in a pax or GNU long name is refused" {
	refuses 'entry "../evil": path leaves the install: it has ".."' + name=fine pax:path=../evil
	refuses 'entry "../evil": path leaves the install: it has ".."' \
		+ name=././@LongLink type=L gnu=1 'data=../evil\x00' + name=fine gnu=1
	refuses 'entry "../evil": path leaves the install: it has ".."' + name=evil prefix=..
}

@test "a name with dots that is not .. is fine" {
	make_tar + name=... + name=..x + name=a/.hidden + name=x..
	run -0 unpack
	[ "$(find "$STAGE" -type f | wc -l)" -eq 4 ]
}

@test "an empty name is refused" {
	refuses 'entry "": the name is empty' + name= data=x
	refuses 'entry "": the name is empty' + name= type=5
}

@test "the install itself cannot be a file, a symlink or a hard link" {
	refuses 'entry ".": the install itself can only be a directory' + name=. data=x
	refuses 'entry ".": the install itself can only be a directory' + name=. type=2 link=x
	refuses 'entry "./": the install itself can only be a directory' + name=./ type=2 link=x
	refuses 'entry ".": the install itself can only be a directory' + name=. type=1 link=x
}

@test "control characters in a name are refused and shown escaped" {
	refuses 'entry "a\x0ab": name is not one line of printable UTF-8 text' + 'name=a\x0ab'
	refuses 'entry "\x1b[2Jx": name is not one line of printable UTF-8 text' + 'name=\x1b[2Jx'
	refuses 'entry "a\x7f": name is not one line of printable UTF-8 text' + 'name=a\x7f'
	refuses 'entry "a\xc2\x9bb": name is not one line of printable UTF-8 text' + 'name=a\xc2\x9bb'
}

@test "a name that is not UTF-8 is refused" {
	refuses 'entry "a\xff": name is not one line of printable UTF-8 text' + 'name=a\xff'
	refuses 'entry "\xc0\xafetc": name is not one line of printable UTF-8 text' + 'name=\xc0\xafetc'
	make_tar + name=x 'pax:path=a\xffb'
	damaged 'entry "a?xffb": *'
}

@test "a component of more than 255 bytes is refused" {
	local long
	long=$(printf 'n%.0s' {1..256})
	refuses "entry \"$long\": a component is longer than 255 bytes" + name=x "pax:path=$long"
}

@test "a path of more than 4095 bytes is refused, and the message stays short" {
	local path
	path=$(printf 'abcdefg/%.0s' {1..512})
	make_tar + name=x "pax:path=${path}x"
	damaged 'entry "abcdefg/*...": path is longer than 4095 bytes'
	[ ${#stderr} -lt 600 ]
}

# --- links that are refused

@test "a symlink with an absolute target is refused" {
	refuses 'entry "l": symlink target "/etc/passwd" leaves the install: it is absolute' \
		+ name=l type=2 link=/etc/passwd
}

@test "a symlink whose target climbs out is refused" {
	refuses 'entry "l": symlink target ".." leaves the install' + name=l type=2 link=..
	refuses 'entry "d/l": symlink target "../../outside" leaves the install' + name=d/l type=2 link=../../outside
	refuses 'entry "./d//l": symlink target "../.." leaves the install' + name=./d//l type=2 link=../..
}

@test "a symlink target with .. after a name is refused, as the name may be a link itself" {
	refuses 'entry "t": symlink target "d/e/s/../.." has ".." after a name, which may lead out of the install' \
		+ name=d/e/s type=2 link=../.. + name=t type=2 link=d/e/s/../..
}

@test "a symlink without a target or with control characters in it is refused" {
	refuses 'entry "l": symlink target "" is empty' + name=l type=2 link=
	refuses 'entry "l": symlink target "a\x0ab" is not one line of printable UTF-8 text' \
		+ name=l type=2 'link=a\x0ab'
}

@test "a file through a symlink of the archive is refused" {
	refuses 'entry "l/evil": path passes through "l", which is a symlink' \
		+ name=d type=5 mode=0755 + name=l type=2 link=d + name=l/evil data=x
	[ "$(ls -A "$STAGE/d")" = "" ]
}

@test "a file through a symlink deeper down is refused" {
	refuses 'entry "a/b/l/c/evil": path passes through "a/b/l", which is a symlink' \
		+ name=a/b/c/f + name=a/b/l type=2 link=. + name=a/b/l/c/evil data=x
}

@test "directories, symlinks and hard links through a symlink are refused" {
	for entry in 'type=5' 'type=2 link=x' 'type=1 link=d/f'; do
		restage
		# shellcheck disable=SC2086
		refuses 'entry "l/x": path passes through "l", which is a symlink' \
			+ name=d/f + name=l type=2 link=d + name=l/x $entry
	done
}

@test "a symlink that was put there by somebody else is not followed either" {
	make_tar + name=l/evil data=x
	ln -s ../../outside "$STAGE/l"
	local before
	before=$(outside)
	run -64 --separate-stderr unpack
	[ "$stderr" = "the staging directory is not empty" ]
	[ "$(outside)" = "$before" ]
}

@test "a hard link to something the archive did not bring is refused" {
	refuses 'entry "h": hard link target "x": is not in the artifact before this' + name=h type=1 link=x
	refuses 'entry "h": hard link target "d/x": is not in the artifact before this' + name=h type=1 link=d/x
	refuses 'entry "h": hard link target "h": is not in the artifact before this' + name=h type=1 link=h
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "a hard link to a file outside is refused" {
	refuses "entry \"h\": hard link target \"$BOX/outside/victim\": path leaves the install: it is absolute" \
		+ name=h type=1 "link=$BOX/outside/victim"
	refuses 'entry "h": hard link target "../../outside/victim": path leaves the install: it has ".."' \
		+ name=h type=1 link=../../outside/victim
	refuses 'entry "h": hard link target "d/../../x": path leaves the install: it has ".."' \
		+ name=h type=1 link=d/../../x
}

@test "a hard link through a symlink is refused" {
	refuses 'entry "h": hard link target "l/f": path passes through "l", which is a symlink' \
		+ name=d/f + name=l type=2 link=d + name=h type=1 link=l/f
}

@test "a hard link to a directory, a symlink or the install is refused" {
	refuses 'entry "h": hard link target "d": is a directory, not a file' + name=d type=5 + name=h type=1 link=d
	restage
	refuses 'entry "h": hard link target "l": is a symlink, not a file' \
		+ name=l type=2 link=x + name=h type=1 link=l
	restage
	refuses 'entry "h": hard link target ".": is a directory, not a file' + name=h type=1 link=.
	make_tar + name=h type=1 link=
	damaged 'entry "h": *'
}

# --- kinds and duplicates that are refused

@test "devices and FIFOs are refused" {
	refuses 'entry "c": is a character device' + name=c type=3
	refuses 'entry "dev/b": is a block device' + name=dev/b type=4
	refuses 'entry "f": is a FIFO' + name=f type=6
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "a file that comes twice is refused" {
	refuses 'entry "./f": is in the artifact twice: as a file, then as a file' \
		+ name=f data=one + name=./f data=two
	[ "$(cat "$STAGE/f")" = one ]
}

@test "a name that changes its kind is refused" {
	local kinds='type=0,file type=5,directory type=2:link=x,symlink' one two
	for one in $kinds; do
		for two in $kinds type=1:link=o,hard:link; do
			[ "$one$two" != type=5,directorytype=5,directory ] || continue
			restage
			# shellcheck disable=SC2046
			refuses "entry \"n\": is in the artifact twice: as a ${one#*,}, then as a $(tr : ' ' <<<"${two#*,}")" \
				+ name=o + name=n $(tr : ' ' <<<"${one%%,*}") + name=n $(tr : ' ' <<<"${two%%,*}")
		done
	done
}

@test "a file used as a directory is refused" {
	refuses 'entry "f/x": path passes through "f", which is a file' + name=f data=one + name=f/x
}

# --- limits

@test "--max-files counts every entry, and the directories made for them" {
	make_tar + name=a + name=b + name=c
	refused 'entry "c": more than 2 files in the artifact' --max-files=2
	restage
	run -0 unpack --max-files=3
	restage
	make_tar + name=a/b/c/d/e
	refused 'entry "a/b/c/d/e": more than 4 files in the artifact' --max-files=4
	restage
	run -0 unpack --max-files=5
	restage
	make_tar + name=d type=5 + name=d type=5 + name=d type=5
	refused 'entry "d": more than 2 files in the artifact' --max-files=2
}

@test "--max-size counts what the headers say, before anything of the file is written" {
	make_tar + name=a zeros=600 + name=b zeros=600
	refused 'entry "b": the artifact unpacks to more than 1000 bytes' --max-size=1000
	[ ! -e "$STAGE/b" ]
	restage
	run -0 unpack --max-size=1200
	restage
	make_tar + name=huge size=70368744177664
	refused 'entry "huge": the artifact unpacks to more than 68719476736 bytes'
	[ ! -e "$STAGE/huge" ]
}

@test "--max-size counts the holes of a sparse file" {
	truncate -s 1G "$TREE/sparse"
	tar -C "$TREE" -S -cf "$TAR" sparse
	refused 'entry "sparse": the artifact unpacks to more than 1000000 bytes' --max-size=1000000
	[ ! -e "$STAGE/sparse" ]
}

@test "a sparse map that goes beyond the size of its file is refused" {
	refuses 'entry "s": has more data than its size says' + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 \
		pax:GNU.sparse.name=s pax:GNU.sparse.realsize=10 'data=1\x0a0\x0a1000\x0a' zeros=2000
}

@test "a compression bomb stops at --max-size" {
	perl "$HOSTILE/tar.pl" + name=bomb zeros=200000000 | gzip -9 >"$TAR"
	[ "$(stat -c %s "$TAR")" -lt 1000000 ]
	refused 'entry "bomb": the artifact unpacks to more than 100000000 bytes' --max-size=100000000
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "headers that would fill the memory are refused" {
	perl "$HOSTILE/tar.pl" + name=f + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 \
		pax:GNU.sparse.name=s pax:GNU.sparse.realsize=10 'data=99999999\x0a' times=3000000 | gzip -1 >"$TAR"
	refused 'after entry "f": more than 16 MiB of headers for one entry'
}

@test "endless padding after the archive is refused" {
	perl "$HOSTILE/tar.pl" end=200000 + name=f | gzip -1 >"$TAR"
	refused 'more than 64 MiB of padding follow the archive'
}

@test "a negative size is refused" {
	make_tar + name=a size=-5
	damaged '*negative*'
	make_tar + name=a pax:size=-5
	damaged '*negative*'
}

# --- archives that are damaged, or none

@test "what is not a tar is refused" {
	for content in "" x "just some text, again and again" "PK"$'\003\004'"a zip, or its beginning"; do
		printf '%s' "$content" >"$TAR"
		damaged 'not a tar archive, plain or with gzip, zstd, xz or bzip2: *'
	done
	head -c 100000 /dev/urandom >"$TAR"
	damaged 'not a tar archive, *'
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "what is not a tar inside of a compression is refused, and so is one inside of two" {
	for program in gzip zstd xz bzip2; do
		echo "just some text" | "$program" -c >"$TAR"
		damaged '*not a tar archive*'
		"$program" -c </dev/null >"$TAR"
		damaged '*'
		make_tar + name=f
		gzip <"$TAR" | "$program" -c >"$TAR.2"
		mv "$TAR.2" "$TAR"
		damaged '*not a tar archive*'
	done
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "an archive without an entry is refused" {
	refuses "the archive has no entries"
	refuses "the archive has no entries" end=20
}

@test "an archive without its end is refused" {
	refuses "the archive is cut short: it has no end-of-archive mark" end=0 + name=f data=x
	restage
	make_tar end=0 + name=f data=x size=1000 cut=1
	damaged 'entry "f": Truncated*'
}

@test "a tar that is cut at any block is refused" {
	make_tar + name=d type=5 mode=0755 + name=d/f zeros=2000 + name=l type=2 link=d + name=x pax:path=y data=z
	local size at
	size=$(stat -c %s "$TAR")
	mv "$TAR" "$TAR.whole"
	# The last block is the second zero one, which may be missing.
	for ((at = 0; at <= size - 1024; at += 256)); do
		restage
		head -c "$at" "$TAR.whole" >"$TAR"
		damaged '*'
	done
}

@test "compressed data that is cut short is refused, wherever it is cut" {
	a_tree
	tar -C "$TREE" -cf "$TAR.whole" .
	for program in gzip zstd xz bzip2; do
		"$program" -c "$TAR.whole" >"$TAR.all"
		local size at
		size=$(stat -c %s "$TAR.all")
		for at in 1 5 20 $((size / 2)) $((size - 200)) $((size - 9)) $((size - 4)) $((size - 1)); do
			restage
			head -c "$at" "$TAR.all" >"$TAR"
			damaged '*'
		done
	done
}

@test "garbage after the archive is refused" {
	refuses "garbage follows the end of the archive" tail=x + name=f
	restage
	refuses "garbage follows the end of the archive" end=20 'tail=\x00\x00x\x00' + name=f
	restage
	make_tar + name=f
	cat "$TAR" "$TAR" >"$TAR.2"
	mv "$TAR.2" "$TAR"
	refused "garbage follows the end of the archive"
}

@test "garbage after the compressed data is refused" {
	make_tar + name=f data=x
	for program in gzip zstd xz bzip2; do
		"$program" -c "$TAR" >"$TAR.whole"
		restage
		(cat "$TAR.whole" && printf 'garbage') >"$TAR.2"
		cp "$TAR" "$TAR.keep"
		mv "$TAR.2" "$TAR"
		damaged '*'
		mv "$TAR.keep" "$TAR"
	done
}

@test "zeros after the archive or after gzip data are padding" {
	make_tar end=2000 + name=f data=x
	run -0 unpack
	restage
	gzip <"$TAR" >"$TAR.gz"
	head -c 4096 /dev/zero >>"$TAR.gz"
	mv "$TAR.gz" "$TAR"
	run -0 unpack
	[ "$(cat "$STAGE/f")" = x ]
}

@test "a gzip with a wrong checksum or length is refused" {
	a_tree
	tar -C "$TREE" -czf "$TAR" .
	local size at
	size=$(stat -c %s "$TAR")
	cp "$TAR" "$TAR.whole"
	for at in 8 1; do
		cp "$TAR.whole" "$TAR"
		perl -e 'open my $f, "+<", $ARGV[0] or die; seek $f, $ARGV[1], 0; read $f, my $c, 1;
			seek $f, $ARGV[1], 0; print $f chr(ord($c) ^ 1); close $f' "$TAR" $((size - at))
		restage
		damaged '*gzip: incorrect *'
	done
}

@test "a header with a wrong checksum is refused" {
	make_tar + name=a sum=1
	damaged 'not a tar archive, *'
	make_tar + name=a + name=b sum=1
	damaged 'after entry "a": *'
	[ ! -e "$STAGE/b" ]
}

# --- this node

@test "a full disk is a failure of this node, not of the artifact" {
	need_root
	mount -t tmpfs -o size=1m none "$STAGE" || skip "no tmpfs here"
	MOUNTED=$STAGE
	make_tar + name=d/f zeros=3000000
	run -1 --separate-stderr unpack
	[ "$output" = "" ]
	[ "$stderr" = "write d/f: No space left on device" ]
}

@test "no inodes left is a failure of this node too" {
	need_root
	mount -t tmpfs -o nr_inodes=4 none "$STAGE" || skip "no tmpfs here"
	MOUNTED=$STAGE
	make_tar + name=a + name=b + name=c + name=d + name=e
	run -1 --separate-stderr unpack
	[ "$stderr" = "make d: No space left on device" ]
}

@test "a staging directory that may not be written to is exit 77" {
	need_root
	mount -t tmpfs -o ro none "$STAGE" || skip "no tmpfs here"
	MOUNTED=$STAGE
	make_tar + name=a
	run -77 --separate-stderr unpack
	[ "$stderr" = "make a: Read-only file system" ]
}

@test "stdin that is not a regular file is a usage error" {
	# shellcheck disable=SC2016
	run -64 --separate-stderr bash -c 'cd "$1" && echo | "$2"' sh "$STAGE" "$PP_UNPACK"
	[ "$stderr" = "the artifact on stdin is not a regular file" ]
}

@test "the artifact is read from its start, wherever stdin stands" {
	make_tar + name=f data=x
	(cd "$STAGE" && exec <"$TAR" && head -c 700 >/dev/null && "$PP_UNPACK")
	[ "$(cat "$STAGE/f")" = x ]
}

@test "options that are unknown or not numbers are usage errors of one line" {
	make_tar + name=f
	for option in --frobnicate --max-size=-1 --max-size=1k --max-files= --gid=slug --gid=4294967295 operand -x; do
		run -64 --separate-stderr unpack "$option"
		[ "$output" = "" ]
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
	[ "$(ls -A "$STAGE")" = "" ]
}

@test "--help says how it is called" {
	make_tar + name=f
	run -0 --separate-stderr unpack --help
	[[ $output == "usage: pp-unpack "* ]]
	[ "$stderr" = "" ]
}
