#!/usr/bin/env bats
# pp-unpack: what it keeps, and what it refuses. Hostile archives are made by tests/hostile/tar.pl.
bats_require_minimum_version 1.5.0
load helper
load install

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
	[ -z "${unpack:-}" ] || kill -KILL "$unpack" 2>/dev/null || :
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

# accepts WHAT TAR-ARG...: the archive so made is unpacked, to these names, kinds and sizes of files.
accepts() {
	local what=$1
	shift
	make_tar "$@"
	run -0 unpack
	[ "$output" = "" ]
	[ "$(cd "$STAGE" && find . -mindepth 1 \( -type d -printf '%P d\n' -o -printf '%P %y %s\n' \) | sort | paste -sd ' ')" = "$what" ]
}

# recompress PROGRAM [ARG...]: what is in $TAR goes through it.
recompress() {
	"$@" <"$TAR" >"$TAR.re"
	mv "$TAR.re" "$TAR"
}

# flip_bit N: one bit of the Nth byte from the end of $TAR is another one.
flip_bit() {
	perl -e 'open my $f, "+<", $ARGV[0] or die; seek $f, -$ARGV[1], 2; read $f, my $c, 1;
		seek $f, -$ARGV[1], 2; print $f chr(ord($c) ^ 1); close $f' "$TAR" "$1"
}

# Is this a build with sanitizers? They trace, and want memory and files.
sanitized() {
	ldd "$PP_UNPACK" | grep -q libasan
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

# --- a table of hostile archives, and of some that only look so

@test "hostile: a name with a newline" {
	refuses 'entry "a\x0ab": name is not one line of printable UTF-8 text' \
		+ 'name=a\x0ab'
}

@test "hostile: a name that clears the screen" {
	refuses 'entry "\x1b[2Jx": name is not one line of printable UTF-8 text' \
		+ 'name=\x1b[2Jx'
}

@test "hostile: a name that sets the title of a terminal" {
	refuses 'entry "\x1b]0;x\x07": name is not one line of printable UTF-8 text' \
		+ 'name=\x1b]0;x\x07'
}

@test "hostile: a name with a delete character" {
	refuses 'entry "a\x7f": name is not one line of printable UTF-8 text' \
		+ 'name=a\x7f'
}

@test "hostile: a name with a C1 control character" {
	refuses 'entry "a\xc2\x9bb": name is not one line of printable UTF-8 text' \
		+ 'name=a\xc2\x9bb'
}

@test "hostile: a name with a line separator" {
	refuses 'entry "a\xe2\x80\xa8b": name is not one line of printable UTF-8 text' \
		+ 'name=a\xe2\x80\xa8b'
}

@test "hostile: a name that turns the direction of text" {
	refuses 'entry "a\xe2\x80\xaetxt.exe": name is not one line of printable UTF-8 text' \
		+ 'name=a\xe2\x80\xaetxt.exe'
}

@test "hostile: a name that isolates a direction of text" {
	refuses 'entry "a\xe2\x81\xa6x": name is not one line of printable UTF-8 text' \
		+ 'name=a\xe2\x81\xa6x'
}

@test "hostile: a name with a space of no width" {
	refuses 'entry "a\xe2\x80\x8bx": name is not one line of printable UTF-8 text' \
		+ 'name=a\xe2\x80\x8bx'
}

@test "hostile: a name with a byte order mark" {
	refuses 'entry "\xef\xbb\xbfx": name is not one line of printable UTF-8 text' \
		+ 'name=\xef\xbb\xbfx'
}

@test "hostile: dots in overlong UTF-8" {
	refuses 'entry "\xc0\xae\xc0\xae/x": name is not one line of printable UTF-8 text' \
		+ 'name=\xc0\xae\xc0\xae/x'
}

@test "hostile: a slash in overlong UTF-8 of three bytes" {
	refuses 'entry "\xe0\x80\xaf": name is not one line of printable UTF-8 text' \
		+ 'name=\xe0\x80\xaf'
}

@test "hostile: a name with half a surrogate pair" {
	refuses 'entry "\xed\xa0\x80": name is not one line of printable UTF-8 text' \
		+ 'name=\xed\xa0\x80'
}

@test "hostile: a name beyond Unicode" {
	refuses 'entry "\xf4\x90\x80\x80": name is not one line of printable UTF-8 text' \
		+ 'name=\xf4\x90\x80\x80'
}

@test "hostile: a name in Latin-1" {
	refuses 'entry "caf\xe9": name is not one line of printable UTF-8 text' \
		+ 'name=caf\xe9'
}

@test "hostile: a binary name in a pax header" {
	refuses 'entry "a\xff": name is not one line of printable UTF-8 text' \
		+ name=f pax:hdrcharset=BINARY 'pax:path=a\xff'
}

@test "hostile: the name of the parent directory" {
	refuses 'entry "..": path leaves the install: it has ".."' \
		+ name=.. type=5
}

@test "hostile: the root of the file system" {
	refuses 'entry "/": path leaves the install: it is absolute' \
		+ name=/ type=5
}

@test "hostile: the name of a sparse file that climbs out" {
	refuses 'entry "../s": path leaves the install: it has ".."' \
		+ name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 pax:GNU.sparse.name=../s \
		pax:GNU.sparse.realsize=10 'data=1\x0a0\x0a5\x0a' zeros=600
}

@test "hostile: a character device" {
	refuses 'entry "c": is a character device' \
		+ name=c type=3
}

@test "hostile: a block device" {
	refuses 'entry "b": is a block device' \
		+ name=b type=4
}

@test "hostile: a FIFO" {
	refuses 'entry "f": is a FIFO' \
		+ name=f type=6
}

@test "hostile: the continuation of a file of another volume" {
	refuses 'entry "m": is of an unknown kind, or a link to nothing' \
		+ name=m type=M gnu=1 data=x + name=f
}

@test "hostile: a symlink to an absolute path in a pax header" {
	refuses 'entry "l": symlink target "/etc" leaves the install: it is absolute' \
		+ name=l type=2 link=x pax:linkpath=/etc
}

@test "hostile: a symlink that climbs out in a pax header" {
	refuses 'entry "a/l": symlink target "../../x" leaves the install' \
		+ name=a/l type=2 link=x pax:linkpath=../../x
}

@test "hostile: a symlink that climbs out in a GNU long link" {
	refuses 'entry "l": symlink target "../../x" leaves the install' \
		+ name=././@LongLink type=K gnu=1 'data=../../x\x00' + name=l type=2 gnu=1 link=y
}

@test "hostile: a symlink with an escape sequence in its target" {
	refuses 'entry "l": symlink target "\x1b[2J" is not one line of printable UTF-8 text' \
		+ name=l type=2 'link=\x1b[2J'
}

@test "hostile: a file through a symlink to the install itself" {
	refuses 'entry "l/x": path passes through "l", which is a symlink' \
		+ name=l type=2 link=. + name=l/x data=x
}

@test "hostile: a file through a ring of symlinks" {
	refuses 'entry "a/x": path passes through "a", which is a symlink' \
		+ name=a type=2 link=b + name=b type=2 link=a + name=a/x data=x
}

@test "hostile: a file through a chain of symlinks" {
	refuses 'entry "c/x": path passes through "c", which is a symlink' \
		+ name=d type=5 mode=0755 + name=a type=2 link=d + name=b type=2 link=a + name=c type=2 link=b + name=c/x
}

@test "hostile: a symlink over a directory, and a file through it" {
	refuses 'entry "d": is in the artifact twice: as a directory, then as a symlink' \
		+ name=d type=5 mode=0755 + name=d type=2 link=e + name=d/x data=x
}

@test "hostile: a symlink that climbs through another one" {
	refuses 'entry "b": symlink target "a/.." has ".." after a name, which may lead out of the install' \
		+ name=a type=2 link=. + name=b type=2 link=a/..
}

@test "hostile: a directory where a symlink is" {
	refuses 'entry "l": is in the artifact twice: as a symlink, then as a directory' \
		+ name=l type=2 link=x + name=l type=5 mode=0755
}

@test "hostile: a hard link to itself" {
	refuses 'entry "h": hard link target "h": is not in the artifact before this' \
		+ name=h type=1 link=h
}

@test "hostile: a hard link to a file that comes later" {
	refuses 'entry "h": hard link target "f": is not in the artifact before this' \
		+ name=h type=1 link=f + name=f data=x
}

@test "hostile: a hard link to an absolute path" {
	refuses 'entry "h": hard link target "/etc/passwd": path leaves the install: it is absolute' \
		+ name=h type=1 link=/etc/passwd
}

@test "hostile: a hard link that climbs out" {
	refuses 'entry "h": hard link target "../x": path leaves the install: it has ".."' \
		+ name=h type=1 link=../x
}

@test "hostile: a hard link through a symlink to the install" {
	refuses 'entry "h": hard link target "l/f": path passes through "l", which is a symlink' \
		+ name=f + name=l type=2 link=. + name=h type=1 link=l/f
}

@test "hostile: a hard link to a symlink" {
	refuses 'entry "h": hard link target "l": is a symlink, not a file' \
		+ name=l type=2 link=x + name=h type=1 link=l
}

@test "hostile: a hard link to a directory" {
	refuses 'entry "h": hard link target "d": is a directory, not a file' \
		+ name=d type=5 + name=h type=1 link=d
}

@test "hostile: a hard link through a file" {
	refuses 'entry "h": hard link target "f/x": path passes through "f", which is a file' \
		+ name=f + name=h type=1 link=f/x
}

@test "hostile: a hard link to a name with a newline" {
	refuses 'entry "h": hard link target "a\x0ab": name is not one line of printable UTF-8 text' \
		+ name=h type=1 'link=a\x0ab'
}

@test "hostile: a name that is first a file, then a file" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a file' \
		+ name=o + name=n type=0 + name=n type=0
}

@test "hostile: a name that is first a file, then a directory" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a directory' \
		+ name=o + name=n type=0 + name=n type=5 mode=0755
}

@test "hostile: a name that is first a file, then a symlink" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a symlink' \
		+ name=o + name=n type=0 + name=n type=2 link=x
}

@test "hostile: a name that is first a file, then a hard link" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a hard link' \
		+ name=o + name=n type=0 + name=n type=1 link=o
}

@test "hostile: a name that is first a directory, then a file" {
	refuses 'entry "n": is in the artifact twice: as a directory, then as a file' \
		+ name=o + name=n type=5 mode=0755 + name=n type=0
}

@test "hostile: a name that is first a directory, then a symlink" {
	refuses 'entry "n": is in the artifact twice: as a directory, then as a symlink' \
		+ name=o + name=n type=5 mode=0755 + name=n type=2 link=x
}

@test "hostile: a name that is first a directory, then a hard link" {
	refuses 'entry "n": is in the artifact twice: as a directory, then as a hard link' \
		+ name=o + name=n type=5 mode=0755 + name=n type=1 link=o
}

@test "hostile: a name that is first a symlink, then a file" {
	refuses 'entry "n": is in the artifact twice: as a symlink, then as a file' \
		+ name=o + name=n type=2 link=x + name=n type=0
}

@test "hostile: a name that is first a symlink, then a directory" {
	refuses 'entry "n": is in the artifact twice: as a symlink, then as a directory' \
		+ name=o + name=n type=2 link=x + name=n type=5 mode=0755
}

@test "hostile: a name that is first a symlink, then a symlink" {
	refuses 'entry "n": is in the artifact twice: as a symlink, then as a symlink' \
		+ name=o + name=n type=2 link=x + name=n type=2 link=x
}

@test "hostile: a name that is first a symlink, then a hard link" {
	refuses 'entry "n": is in the artifact twice: as a symlink, then as a hard link' \
		+ name=o + name=n type=2 link=x + name=n type=1 link=o
}

@test "hostile: a name that is first a hard link, then a file" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a file' \
		+ name=o + name=n type=1 link=o + name=n type=0
}

@test "hostile: a name that is first a hard link, then a directory" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a directory' \
		+ name=o + name=n type=1 link=o + name=n type=5 mode=0755
}

@test "hostile: a name that is first a hard link, then a symlink" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a symlink' \
		+ name=o + name=n type=1 link=o + name=n type=2 link=x
}

@test "hostile: a name that is first a hard link, then a hard link" {
	refuses 'entry "n": is in the artifact twice: as a file, then as a hard link' \
		+ name=o + name=n type=1 link=o + name=n type=1 link=o
}

@test "hostile: a directory that gets another mode when it was left" {
	refuses 'entry "d": is in the artifact twice: as a directory of mode 0755, then of mode 0700' \
		+ name=d type=5 mode=0755 + name=e/f + name=d type=5 mode=0700
}

@test "hostile: a pax record with a negative length" {
	make_tar + name=x type=x 'data=-5 path=a\x0a' + name=f
	damaged 'entry "f": *pax*'
}

@test "hostile: a pax record of no length" {
	make_tar + name=x type=x 'data=0 path=a\x0a' + name=f
	damaged 'entry "f": *pax*'
}

@test "hostile: a pax record longer than any file" {
	make_tar + name=x type=x 'data=99999999999999999999 path=a\x0a' + name=f
	damaged 'entry "f": *pax*'
}

@test "hostile: a pax record without a value" {
	make_tar + name=x type=x 'data=9 path a\x0a' + name=f
	damaged 'entry "f": *pax*'
}

@test "hostile: a pax record that does not end in a newline" {
	make_tar + name=x type=x 'data=8 path=a' + name=f
	damaged 'entry "f": *pax*'
}

@test "hostile: a pax size beyond all numbers" {
	make_tar + name=f pax:size=9223372036854775807 data=x
	damaged '*overflow*'
}

@test "hostile: a pax size that is negative" {
	make_tar + name=f pax:size=-5
	damaged '*negative*'
}

@test "hostile: a pax size that is more than there is" {
	make_tar + name=f pax:size=100000 data=x
	damaged 'entry "f": Truncated*'
}

@test "hostile: a pax size that hides the entries after it" {
	make_tar + name=f pax:size=0 data=xxxx + name=g
	damaged '*'
}

@test "hostile: a size in base 256 beyond all numbers" {
	make_tar + name=f 'header=124:\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff'
	damaged '*overflow*'
}

@test "hostile: a size in base 256 that is negative" {
	make_tar + name=f 'header=124:\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe'
	damaged '*negative*'
}

@test "hostile: a size that is no number" {
	make_tar + name=f header=124:zzzzzzzzzzz data=x
	damaged 'not a tar archive, *'
}

@test "hostile: a symlink with a body" {
	make_tar + name=l type=2 link=x data=body size=4
	damaged 'after entry "l": *'
}

@test "hostile: a directory with a body" {
	make_tar + name=d type=5 data=body + name=f
	damaged 'after entry "d": *'
}

@test "hostile: a sparse file with a negative offset" {
	make_tar + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 pax:GNU.sparse.name=s pax:GNU.sparse.realsize=1000 \
		'data=1\x0a-5\x0a5\x0a' zeros=600
	damaged '*'
}

@test "hostile: a sparse file with parts that overlap" {
	make_tar + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 pax:GNU.sparse.name=s pax:GNU.sparse.realsize=1000 \
		'data=2\x0a0\x0a100\x0a50\x0a100\x0a' zeros=900
	damaged 'entry "s": has parts that overlap'
}

@test "hostile: a sparse file with parts in the wrong order" {
	make_tar + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 pax:GNU.sparse.name=s pax:GNU.sparse.realsize=1000 \
		'data=2\x0a500\x0a100\x0a50\x0a100\x0a' zeros=900
	damaged 'entry "s": has parts that overlap'
}

@test "hostile: a sparse file of 60 GB in a few bytes" {
	make_tar + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 pax:GNU.sparse.name=s pax:GNU.sparse.realsize=60000000000 \
		'data=1\x0a0\x0a5\x0a' zeros=600
	damaged 'entry "s": *as a bomb would*'
}

@test "hostile: a sparse file of 9 EB, all of which would have to be tagged" {
	make_tar + name=x pax:GNU.sparse.major=1 pax:GNU.sparse.minor=0 pax:GNU.sparse.name=s \
		pax:GNU.sparse.realsize=9000000000000000000 'data=1\x0a0\x0a5\x0a' zeros=600
	run -65 --separate-stderr timeout 20 sh -c 'cd "$1" && exec "$2" --list=9 <"$3" 9>"$4"' \
		sh "$STAGE" "$PP_UNPACK" "$TAR" "$BATS_TEST_TMPDIR/list"
	[ "$stderr" = 'entry "s": the artifact unpacks to more than 68719476736 bytes' ]
}

@test "hostile: an archive after the archive" {
	refuses 'garbage follows the end of the archive' \
		'tail=second archive' + name=f
}

@test "hostile: two blocks of an archive, and then nothing" {
	make_tar end=0 + name=f size=5000 data=x cut=1
	damaged '*Truncated*'
}

@test "harmless: a contiguous file is a file" {
	accepts 'c f 1' + name=c type=7 data=x
}

@test "harmless: a kind that nobody knows is a file, as POSIX has it" {
	accepts 'z f 1' + name=z type=Z data=x
}

@test "harmless: the label of a GNU volume is skipped" {
	accepts 'f f 0' + name=v type=V gnu=1 + name=f
}

@test "harmless: the listing in a GNU directory is skipped" {
	accepts 'd d f f 0' + name=d type=D gnu=1 mode=0755 data=Yf + name=f
}

@test "harmless: a global pax header names no entry" {
	accepts 'f f 0' + name=x type=g 'data=16 path=../evil\x0a' + name=f
}

@test "harmless: a long comment in a pax header" {
	accepts 'f f 0' + name=f "pax:comment=$(printf 'x%.0s' {1..100000})"
}

@test "harmless: a pax key with a NUL in it" {
	accepts 'f f 0' + name=f 'pax:pa\x00th=b'
}

@test "harmless: a pax path ends at its NUL" {
	accepts 'a f 0' + name=f 'pax:path=a\x00b'
}

@test "harmless: the pax size is the one that counts" {
	accepts 'f f 5' + name=f pax:size=5 size=1 data=xxxxx
}

@test "harmless: a small size in base 256" {
	accepts 'f f 1' + name=f 'header=124:\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01' data=x
}

@test "harmless: letters that look like others" {
	accepts 'аdmin f 1' + 'name=\xd0\xb0dmin' data=x
}

@test "harmless: an mtime of before 1970" {
	accepts 'f f 0' + name=f mtime=-1
}

@test "harmless: a file whose mode word says socket" {
	accepts 's f 0' + name=s mode=0140644
}

@test "harmless: a single zero block at the end" {
	accepts 'f f 0' end=1 + name=f
}

# --- compressions that are hostile, or only look so

@test "harmless: gzip with an extra field, a name, a comment and a checksum of the header" {
	make_tar + name=f data=x
	recompress perl "$HOSTILE/gzip.pl" flags=30 extra=60000
	run -0 unpack
	[ "$(cat "$STAGE/f")" = x ]
}

@test "hostile: gzip with a wrong checksum of its header" {
	make_tar + name=f data=x
	recompress perl "$HOSTILE/gzip.pl" flags=2 hcrc=1
	refused 'the compressed data cannot be read: gzip: incorrect header checksum'
}

@test "hostile: gzip with flags that nobody knows" {
	make_tar + name=f data=x
	recompress perl "$HOSTILE/gzip.pl" flags=32
	refused 'the compressed data cannot be read: gzip: unknown header flags'
}

@test "hostile: gzip of another method" {
	make_tar + name=f data=x
	recompress perl "$HOSTILE/gzip.pl" method=7
	refused 'the compressed data cannot be read: gzip: unknown compression method'
}

@test "hostile: gzip with a second archive as a second member" {
	make_tar + name=f data=x
	recompress gzip
	cat "$TAR" "$TAR" >"$TAR.2"
	mv "$TAR.2" "$TAR"
	refused 'garbage follows the end of the archive'
}

@test "hostile: gzip in gzip" {
	make_tar + name=f data=x
	recompress gzip
	recompress gzip
	damaged 'not a tar archive, *'
}

@test "hostile: gzip that is cut in its header" {
	make_tar + name=f data=x
	recompress perl "$HOSTILE/gzip.pl" flags=4 extra=1000
	truncate -s 500 "$TAR"
	refused 'the compressed data is cut short'
}

@test "hostile: a deflate block of no kind" {
	printf '\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x07' >"$TAR"
	head -c 100 /dev/zero >>"$TAR"
	damaged 'the compressed data cannot be read: gzip: invalid *'
}

@test "gzip members of all lengths follow each other" {
	a_tree
	tar -C "$TREE" -cf "$TAR.whole" .
	perl -e 'use IO::Compress::Gzip qw(gzip); local $/; open my $f, "<", $ARGV[0] or die; my $d = <$f>;
		srand 1; my $at = 0; while ($at < length $d) { my $n = int(rand(4000)); my $piece = substr $d, $at, $n;
		my $z; gzip(\$piece => \$z, Name => "x" x int(rand(50)), -Level => int(rand(10))); print $z; $at += $n }' \
		"$TAR.whole" >"$TAR"
	run -0 unpack
	[ "$output" = "" ]
	same_tree
}

@test "hostile: zstd with a window of 128 MiB" {
	perl "$HOSTILE/tar.pl" + name=f zeros=140000000 | zstd -q --ultra -22 --long=27 >"$TAR"
	refused 'the compressed data needs a window of more than 16 MiB in memory; compress it with zstd -19 or less, and no --long above 24'
}

@test "hostile: zstd that wants a dictionary" {
	local i
	make_tar + name=f data=x
	for i in {1..300}; do printf 'sample %s of many words %s\n' "$i" "$((i * i))" >"$BATS_TEST_TMPDIR/sample.$i"; done
	zstd -q --train "$BATS_TEST_TMPDIR"/sample.* --maxdict=1000 -o "$BATS_TEST_TMPDIR/dictionary"
	recompress zstd -q -D "$BATS_TEST_TMPDIR/dictionary"
	refused 'the compressed data cannot be read: zstd: Dictionary mismatch'
}

@test "hostile: a zstd frame to skip that is longer than the file" {
	printf '\x50\x2a\x4d\x18\xff\xff\xff\xffabc' >"$TAR"
	refused 'the compressed data is cut short'
}

@test "harmless: a zstd frame to skip, in front and behind" {
	make_tar + name=f data=x
	recompress zstd -q
	(printf '\x50\x2a\x4d\x18\x03\x00\x00\x00abc' && cat "$TAR" && printf '\x5f\x2a\x4d\x18\x00\x00\x00\x00') >"$TAR.2"
	mv "$TAR.2" "$TAR"
	run -0 unpack
	[ "$(cat "$STAGE/f")" = x ]
}

@test "hostile: zstd, xz and bzip2 with a wrong checksum" {
	local program
	for program in 'zstd -q --check' xz bzip2; do
		restage
		make_tar + name=f data=x
		# shellcheck disable=SC2086
		recompress $program
		case $program in xz) flip_bit 40 ;; bzip2) flip_bit 3 ;; *) flip_bit 1 ;; esac
		damaged '*cannot be read*'
	done
}

@test "hostile: xz with a dictionary of 64 MiB" {
	make_tar + name=f data=x
	recompress xz -9
	refused 'the compressed data needs a window of more than 16 MiB in memory; compress it with xz -7 or less'
}

# --- the list

@test "--list has all that was unpacked, with digests and final modes" {
	make_tar + name=d type=5 mode=0555 + name=d/f data=one mode=0755 + name=d/l type=2 link=f \
		+ name=h type=1 link=d/f + name=x/empty mode=0600 + name=./ type=5 mode=0700
	unpack --list=3 3>"$BATS_TEST_TMPDIR/list"
	[[ $(head -n 1 "$BATS_TEST_TMPDIR/list") =~ ^pp-list\ 2\ ([0-9a-f]{32})$ ]]
	key=${BASH_REMATCH[1]}
	printf '%s\n' $'d\t0555\t-\t-\td' $'d\t0755\t-\t-\t.' $'d\t0755\t-\t-\tx' \
		$'f\t0600\t0\t'"$(tag_of "$STAGE/x/empty" 0000000000000002 "$key")"$'\tx/empty' \
		$'f\t0755\t3\t'"$(tag_of "$STAGE/d/f" 0000000000000001 "$key")"$'\td/f' \
		$'h\t-\t-\td/f\th' $'l\t-\t-\tf\td/l' >"$BATS_TEST_TMPDIR/wanted"
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/list")" = "end 7" ]
	diff <(sed '1d;$d' "$BATS_TEST_TMPDIR/list" | LC_ALL=C sort) "$BATS_TEST_TMPDIR/wanted"
}

@test "--list has each directory once, however often the archive comes back to it" {
	make_tar + name=a/b/f + name=c type=5 mode=0755 + name=a type=5 mode=0755 mtime=1000000000 + name=c/g \
		+ name=a/b type=5 mode=0755 mtime=1000000001 + name=a/b/h + name=c/i + name=a/j
	unpack --list=3 3>"$BATS_TEST_TMPDIR/list"
	[ "$(grep -c '^d' "$BATS_TEST_TMPDIR/list")" = 4 ]
	[ "$(cut -f5 "$BATS_TEST_TMPDIR/list" | sort | uniq -d)" = "" ]
	# What was made in them later did not change the times that were stated.
	[ "$(cd "$STAGE" && stat -c '%n %Y' a a/b)" = $'a 1000000000\na/b 1000000001' ]
}

@test "--list counts the holes of a sparse file as zeros, within it and at its end" {
	truncate -s 3M "$TREE/sparse"
	echo middle | dd of="$TREE/sparse" bs=1 seek=1234567 conv=notrunc status=none
	tar -C "$TREE" -S -cf "$TAR" sparse
	unpack --list=3 3>"$BATS_TEST_TMPDIR/list"
	key=$(sed -n '1s/.* //p' "$BATS_TEST_TMPDIR/list")
	grep -q "^f.*	3145728	$(tag_of "$TREE/sparse" 0000000000000001 "$key")	sparse$" "$BATS_TEST_TMPDIR/list"
}

@test "a list of an artifact that is refused has no end" {
	make_tar + name=a + name=../b
	run -65 bash -c 'cd "$1" && "$2" --list=3 3>"$3" <"$4"' sh "$STAGE" "$PP_UNPACK" "$BATS_TEST_TMPDIR/list" "$TAR"
	run ! grep -q ^end "$BATS_TEST_TMPDIR/list"
}

# --- limits that look at more than the artifact

@test "--max-ratio refuses what unpacks to more than so many times its size" {
	perl "$HOSTILE/tar.pl" + name=bomb zeros=200000000 | gzip -9 >"$TAR"
	refused 'entry "bomb": the artifact unpacks to more than 200 times its size, as a bomb would; --max-ratio allows more'
	[ "$(ls -A "$STAGE")" = "" ]
	run -0 unpack --max-ratio=2000
	restage
	# Little is harmless, whatever the ratio.
	perl "$HOSTILE/tar.pl" + name=f zeros=60000000 | gzip -9 >"$TAR"
	run -0 unpack
}

@test "--max-ratio counts what is not content, too" {
	make_tar + name=d type=5 mode=0755 "pax:comment=$(printf 'x%.0s' {1..100000})"
	perl -e 'local $/; my $d = <STDIN>; print substr($d, 0, -1024) x 800, "\0" x 1024' <"$TAR" |
		gzip -9 >"$TAR.gz"
	mv "$TAR.gz" "$TAR"
	damaged '*unpacks to more than 200 times its size, as a bomb would*'
	restage
	run -0 unpack --max-ratio=5000
}

@test "--room is this node's lack of room, not the artifact's fault, and said before it is written" {
	make_tar + name=a zeros=5000 + name=d type=5 mode=0755 + name=d/b zeros=1
	# Two blocks, one for b, one for each entry.
	run -1 --separate-stderr unpack --room=24575
	[[ $stderr == 'not enough room: the artifact unpacks to more than the 24575 bytes'* ]]
	[ ! -e "$STAGE/d/b" ]
	restage
	run -0 unpack --room=24576
}

# most: run pp-unpack on $TAR; its exit status and the most memory it took, in KiB.
most() {
	perl -e 'my $pid = fork; if (!$pid) { chdir $ARGV[1]; open STDIN, "<", $ARGV[2]; exec $ARGV[0] }
		waitpid $pid, 0; my ($status, $usage) = ($?, "\0" x 144); syscall(98, -1, $usage);
		print "$status ", (unpack "q*", $usage)[4], "\n"' "$PP_UNPACK" "$STAGE" "$TAR"
}

@test "memory stays below 32 MiB: deep paths, many directories, the largest window" {
	! sanitized || skip "sanitizers take more"
	[ "$(uname -m)" = x86_64 ] || skip "getrusage has another number here"
	local path i status most
	path=$(printf 'abcdefg/%.0s' {1..500})
	# shellcheck disable=SC2046
	make_tar $(for i in {1..20}; do echo "+ name=x pax:path=$i/${path}f"; done)
	read -r status most < <(most)
	[ "$status" = 0 ]
	[ "$most" -lt 32768 ]
	restage
	perl -e 'for my $i (1 .. 10000) { mkdir "$ARGV[0]/directory-number-$i" }' "$TREE"
	head -c 40000000 /dev/urandom >"$TREE/random"
	tar -C "$TREE" -c . | zstd -q -1 --long=24 >"$TAR"
	read -r status most < <(most)
	[ "$status" = 0 ]
	[ "$most" -gt 16384 ]
	[ "$most" -lt 32768 ]
}

# --- owners

@test "--uid gives everything to a user, who unpacks it as nobody else" {
	need_root
	make_tar + name=f + name=d type=5 mode=0555 + name=d/l type=2 link=../f + name=h type=1 link=f + name=x/y mode=0640
	unpack --uid=12345 --gid=23456
	[ "$(find "$STAGE" ! -uid 12345)$(find "$STAGE" ! -gid 23456)" = "" ]
}

@test "a default ACL or a setgid bit of the staging directory does not bend modes and groups" {
	need_root
	chmod 2755 "$STAGE"
	chgrp 34567 "$STAGE"
	make_tar + name=x/a mode=0755 + name=d type=5 mode=0750
	unpack --gid=12345
	[ "$(cd "$STAGE" && stat -c '%n %a %g' x x/a d)" = $'x 755 12345\nx/a 755 12345\nd 750 12345' ]
	command -v setfacl >/dev/null || skip "no setfacl here"
	restage
	setfacl -d -m u::rwx,g::---,o::--- "$STAGE" || skip "no ACLs here"
	unpack
	[ "$(cd "$STAGE" && stat -c '%n %a' x/a)" = $'x/a 755' ]
}

# --- the sandbox

# stopped ARG...: start pp-unpack and stop it in its sandbox, when what is to be verified was. Its pid is in $unpack.
stopped() {
	! sanitized || skip "sanitizers trace too"
	(cd "$STAGE" && exec strace -f -qq -o /dev/null -e trace=clone -e inject=clone:signal=SIGSTOP:when=1 \
		"$PP_UNPACK" "$@" <"$TAR" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&-) &
	tracer=$!
	for _ in {1..600}; do
		unpack=$(pgrep -P "$tracer" || :)
		[ -z "$unpack" ] || ! grep -q '^State:.*stop' "/proc/$unpack/status" 2>/dev/null ||
			! grep -q '^Seccomp:	2' "/proc/$unpack/status" || return 0
		kill -0 "$tracer" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

@test "it unpacks without capabilities, groups and new privileges, behind a filter of system calls" {
	make_tar + name=f
	stopped
	status=$(cat "/proc/$unpack/status")
	limits=$(cat "/proc/$unpack/limits")
	kill -CONT "$unpack"
	wait "$tracer"
	field() { sed -n "s/^$1:[[:space:]]*//p" <<<"$status" | sed 's/[[:space:]]*$//'; }
	[ "$(field NoNewPrivs)" = 1 ]
	[ "$(field Seccomp)" = 2 ]
	[[ $limits =~ Max\ core\ file\ size\ +0\ +0 ]]
	[[ $limits =~ Max\ data\ size\ +67108864\ +67108864 ]]
	[[ $limits =~ Max\ open\ files\ +[0-9]{3,4}\ +[0-9]{3,4}\  ]]
	[ "$(field CapEff)" = 0000000000000000 ]
	[ "$(field CapPrm)" = 0000000000000000 ]
	if [ "$(id -u)" -eq 0 ]; then
		[ "$(field CapBnd)" = 0000000000000000 ]
		[ "$(field Groups)" = "" ]
	fi
}

# finds_change WORDS: it goes on after stopped(), and says that the artifact is not what was verified.
finds_change() {
	local code=0

	kill -CONT "$unpack"
	wait "$tracer" || code=$?
	[ "$code" = 65 ]
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "$1 while it was unpacked; put artifacts there by renaming them, and never change one" ]
}

@test "who would change an artifact that is being unpacked waits, and it is refused" {
	local sum
	make_tar + name=f data=good
	sum=$(sha256sum <"$TAR")
	stopped --sha256="${sum%% *}"
	grep -q "LEASE *ACTIVE *READ *[0-9]* *[0-9a-f:]*:$(stat -c %i "$TAR") " /proc/locks
	make_tar + name=f data=evil &
	writer=$!
	wait_until grep -q "LEASE *BREAKING .*:$(stat -c %i "$TAR") " /proc/locks
	[ "$(sha256sum <"$TAR")" = "$sum" ]
	finds_change "somebody opened the artifact to write to it"
	wait "$writer"
	[ "$(cat "$STAGE/f")" = good ]
	[ "$(sha256sum <"$TAR")" != "$sum" ]
}

@test "an artifact that is open for writing when it is verified, and changes then, is refused" {
	local sum
	make_tar + name=f data=good
	sum=$(sha256sum <"$TAR")
	exec 8>>"$TAR"
	stopped --sha256="${sum%% *}"
	run ! grep -q ":$(stat -c %i "$TAR") " /proc/locks
	make_tar + name=f data=evil
	finds_change "the artifact changed"
	exec 8>&-
}

@test "what takes it over cannot get out of the directory, nor to the network, nor to other programs" {
	! sanitized || skip "the sandbox of a sanitized build lets more through"
	cc -shared -fPIC -o "$BATS_TEST_TMPDIR/inside.so" "$HOSTILE/inside.c"
	make_tar + name=f data=x
	local before
	before=$(outside)
	OUTSIDE=$BOX/outside LD_PRELOAD=$BATS_TEST_TMPDIR/inside.so run -0 unpack
	printf '%s\n' "$output"
	[ "$(outside)" = "$before" ]
	[ "$output" = "read a file: EACCES
list a directory: EACCES
write a file: EACCES
cut a file: EACCES
remove a file: EACCES
make a file: EACCES
make a file by ..: EACCES
make a directory: EACCES
make a FIFO here: EPERM
make a file here: done
read a file here: EACCES
remove a file here: EACCES
make a socket: EPERM
make a local socket: EPERM
run a program: EPERM
start a process: EPERM
signal a process: EPERM
trace a process: EPERM
become root: EPERM" ]
	[ "$(cat "$STAGE/f")" = x ]
}

@test "where the kernel has no Landlock it goes on, and says so when asked" {
	! sanitized || skip "sanitizers trace too"
	make_tar + name=d/f data=x + name=h type=1 link=d/f
	without() { (cd "$STAGE" && exec strace -f -qq -o /dev/null -e "inject=landlock_create_ruleset:$1" "$PP_UNPACK" "${@:2}" <"$TAR"); }
	run -0 without error=ENOSYS --verbose
	[ "$output" = "note: no Landlock: Function not implemented" ]
	[ "$(cat "$STAGE/h")" = x ]
	restage
	run -0 without error=EOPNOTSUPP
	[ "$output" = "" ]
	restage
	run -0 without retval=1:when=1 --verbose
	[ "$output" = "note: no Landlock: this kernel's is too old (ABI 1)" ]
	[ "$(cat "$STAGE/h")" = x ]
}

@test "a thread that cannot be had is an error, and nothing hangs" {
	! sanitized || skip "sanitizers trace too"
	make_tar + name=f data=x
	run -1 --separate-stderr bash -c 'cd "$1" && exec strace -f -qq -o /dev/null -e inject=clone:error=EAGAIN "$2" <"$3"' \
		sh "$STAGE" "$PP_UNPACK" "$TAR"
	[ "$stderr" = "start a thread: Resource temporarily unavailable" ]
}

# Unpack 100 files of 1.5 MB, and print how often the disk was told to begin: synced STRACE_ARG... -- ARG...
synced() {
	local inject=()

	while [ "$1" != -- ]; do
		inject+=("$1")
		shift
	done
	shift
	restage
	(cd "$STAGE" && ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" exec strace -f -qq -e trace=syncfs,clone,clone3 \
		-o "$BATS_TEST_TMPDIR/trace" "${inject[@]}" "$PP_UNPACK" "$@" <"$TAR") || return
	[ "$(find "$STAGE" -size 1500000c | wc -l)" -eq 100 ] || return
	grep -c syncfs "$BATS_TEST_TMPDIR/trace" || :
}

@test "--start-sync gives the disk its work meanwhile, and whether that fails is no matter" {
	mkdir "$TREE/t"
	head -c 1500000 /dev/urandom | tee "$TREE"/t/{1..100} >/dev/null
	tar -C "$TREE" -cf "$TAR" .
	[ "$(synced --)" -eq 0 ]
	[ "$(synced -- --start-sync)" -ge 1 ]
	[ "$(synced --inject=syncfs:error=EIO -- --start-sync)" -ge 1 ]
	[ "$(synced --inject=clone,clone3:error=EAGAIN:when=2 -- --start-sync)" -eq 0 ]
	grep -q 'clone.*EAGAIN' "$BATS_TEST_TMPDIR/trace"
	# What takes little time anyway needs no thread for it.
	rm "$TREE"/t/?? "$TREE/t/100"
	tar -C "$TREE" -cf "$TAR" .
	restage
	(cd "$STAGE" && ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -f -qq -e trace=exit \
		-o "$BATS_TEST_TMPDIR/trace" "$PP_UNPACK" --start-sync <"$TAR")
	[ "$(grep -c 'exit(' "$BATS_TEST_TMPDIR/trace")" -eq 1 ]
}

@test "the largest window has room also when it comes late, with all threads there" {
	mkdir "$TREE/t"
	head -c 1500000 /dev/urandom | tee "$TREE"/t/{1..80} >/dev/null
	tar -C "$TREE" -cf "$BATS_TEST_TMPDIR/plain" .
	{
		head -c 100M "$BATS_TEST_TMPDIR/plain" | zstd -q -1 --zstd=wlog=18
		tail -c +$(((100 << 20) + 1)) "$BATS_TEST_TMPDIR/plain" | zstd -q -1 --long=24
	} >"$TAR"
	unpack --start-sync
	diff -r "$TREE" "$STAGE"
}

@test "a descriptor that is not open is a usage error" {
	make_tar + name=f
	run -64 --separate-stderr unpack --list=200
	[ "$stderr" = "--list: descriptor 200 is not open" ]
	run -64 unpack --list=1
}

@test "--signature needs --name and --keys, and a signature binds the bytes that are unpacked" {
	make_tar + name=f data=x
	run -64 --separate-stderr bash -c 'cd "$1" && "$2" --signature=3 3</dev/null <"$3"' sh "$STAGE" "$PP_UNPACK" "$TAR"
	[ "$stderr" = "--signature needs --name and --keys" ]
	command -v minisign >/dev/null || skip "no minisign here"
	mkdir -m 0700 "$BATS_TEST_TMPDIR/keys"
	minisign -G -W -p "$BATS_TEST_TMPDIR/keys/a.pub" -s "$BATS_TEST_TMPDIR/a.key" >/dev/null
	minisign -S -s "$BATS_TEST_TMPDIR/a.key" -m "$TAR" -t file:slug_abc.tar -x "$TAR.minisig" >/dev/null
	unpack --signature=3 --name=slug_abc.tar --keys="$BATS_TEST_TMPDIR/keys" 3<"$TAR.minisig"
	[ "$(cat "$STAGE/f")" = x ]
	restage
	make_tar + name=f data=y
	run -65 --separate-stderr bash -c 'cd "$1" && "$2" --signature=3 --name=slug_abc.tar --keys="$4" 3<"$3.minisig" <"$3"' \
		sh "$STAGE" "$PP_UNPACK" "$TAR" "$BATS_TEST_TMPDIR/keys"
	[[ $stderr == *"does not match"* ]]
	[ "$(ls -A "$STAGE")" = "" ]
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
