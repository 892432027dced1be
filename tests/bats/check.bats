#!/usr/bin/env bats
# pp-unpack --check: what is found out about an install, given the list that was made of it.
bats_require_minimum_version 1.5.0
load helper
load node
load install

setup() {
	helper_setup
	umask 022
	OUTSIDE=$BATS_TEST_TMPDIR/outside
	INSTALL=$BATS_TEST_TMPDIR/install
	LIST=$BATS_TEST_TMPDIR/list
	mkdir -p "$OUTSIDE" "$INSTALL/bin" "$INSTALL/conf/sub" "$INSTALL/share/empty"
	printf '#!/bin/sh\nexec sleep 1000\n' >"$INSTALL/bin/launch"
	chmod 0755 "$INSTALL/bin/launch"
	echo setting >"$INSTALL/conf/x"
	echo deep >"$INSTALL/conf/sub/y"
	head -c 1000000 /dev/urandom >"$INSTALL/share/data"
	: >"$INSTALL/share/nothing"
	ln -s ../bin/launch "$INSTALL/share/run"
	ln "$INSTALL/conf/x" "$INSTALL/share/x"
	list_of "$INSTALL" >"$LIST"
}

# finds LINE...: the install is not as it should be, in just these ways.
finds() {
	run -65 --separate-stderr check "$INSTALL" "$LIST"
	expected=$(printf '%s\n' "$@")
	if [ "$output" != "$expected" ]; then
		printf 'it found:\n%s\n' "$output"
		return 1
	fi
	[[ $stderr == "the install is not what was unpacked: $# fault"* && $stderr != *$'\n'* ]]
}

# The same as check(), to be given to bash where a process has to become pp-unpack.
# shellcheck disable=SC2016
checked='cd "$1" && exec "$PP_UNPACK" --check --list=9 9<"$2"'

# list_refused PATTERN: the list itself is bad.
list_refused() {
	run -65 --separate-stderr check "$INSTALL" "$LIST"
	[ "$output" = "" ]
	# shellcheck disable=SC2053
	if [[ $stderr != $1 || $stderr == *$'\n'* ]]; then
		printf 'it says: %s\n' "$stderr"
		return 1
	fi
}

# Add an entry to the list, and count it.
list_add() {
	sed -i '$d' "$LIST"
	printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$LIST"
	echo "end $(($(wc -l <"$LIST") - 1))" >>"$LIST"
}

@test "an install that is as it was unpacked is checked without a word, and nothing is changed" {
	before=$(snapshot "$INSTALL")
	run -0 check "$INSTALL" "$LIST" --uid="$(id -u)" --gid="$(id -g)"
	[ "$output" = "" ]
	[ "$(snapshot "$INSTALL")" = "$before" ]
}

@test "the list that pp-unpack writes is the one that it checks" {
	for members in . "bin conf share"; do
		# shellcheck disable=SC2086
		tar -C "$INSTALL" -czf "$BATS_TEST_TMPDIR/artifact" $members
		rm -rf "$BATS_TEST_TMPDIR/stage"
		mkdir "$BATS_TEST_TMPDIR/stage"
		(cd "$BATS_TEST_TMPDIR/stage" &&
			"$PP_UNPACK" --list=9 9>"$LIST" <"$BATS_TEST_TMPDIR/artifact")
		[ "$(wc -l <"$LIST")" -eq 15 ]
		run -0 check "$BATS_TEST_TMPDIR/stage" "$LIST"
		: >"$BATS_TEST_TMPDIR/stage/share/data"
		run -65 check "$BATS_TEST_TMPDIR/stage" "$LIST"
	done
}

@test "bytes of a file that changed are told" {
	printf ROTTEN | dd of="$INSTALL/share/data" bs=1 seek=700000 conv=notrunc status=none
	finds "share/data: content differs"
}

@test "a file that grew or shrank is told" {
	echo more >>"$INSTALL/share/data"
	: >"$INSTALL/bin/launch"
	finds "bin/launch: size is 0, should be 26" "share/data: size is 1000005, should be 1000000"
}

@test "a mode is told, of files and of directories, setuid too" {
	chmod 4755 "$INSTALL/bin/launch"
	chmod 0777 "$INSTALL/conf"
	chmod 0666 "$INSTALL/share/nothing"
	chmod 0700 "$INSTALL"
	finds ".: mode is 0700, should be 0755" "bin/launch: mode is 4755, should be 0755" \
		"conf: mode is 0777, should be 0755" "share/nothing: mode is 0666, should be 0644"
}

@test "an owner is told where it is asked for" {
	need_root
	chown 12 "$INSTALL/bin/launch"
	chown -h 12:13 "$INSTALL/share/run"
	chgrp 13 "$INSTALL/conf"
	run -0 check "$INSTALL" "$LIST"
	run -65 --separate-stderr check "$INSTALL" "$LIST" --uid=0 --gid=0
	[ "$output" = "bin/launch: user is 12, should be 0
conf: group is 13, should be 0
share/run: user is 12, should be 0
share/run: group is 13, should be 0" ]
}

@test "what is missing is told" {
	rm "$INSTALL/bin/launch" "$INSTALL/share/run"
	rmdir "$INSTALL/share/empty"
	finds "bin/launch: missing" "share/empty: missing" "share/run: missing"
}

@test "what the list does not have is told, of every kind, and not entered" {
	echo evil >"$INSTALL/bin/evil"
	mkdir -p "$INSTALL/conf/sub/dir/below"
	ln -s / "$INSTALL/share/link"
	mkfifo "$INSTALL/.hidden"
	run -65 --separate-stderr check "$INSTALL" "$LIST"
	[ "$(sort <<<"$output")" = ".hidden: is not in the list
bin/evil: is not in the list
conf/sub/dir: is not in the list
share/link: is not in the list" ]
}

@test "one name more and one less is both told, not evened out" {
	mv "$INSTALL/share/nothing" "$INSTALL/share/thing"
	finds "share/thing: is not in the list" "share/nothing: missing"
}

@test "a symlink that points elsewhere is told" {
	ln -sfn ../bin/other "$INSTALL/share/run"
	finds "share/run: points at ../bin/other"
}

@test "a file replaced by a symlink to the same bytes outside is told, and not followed" {
	cp -p "$INSTALL/bin/launch" "$OUTSIDE/launch"
	ln -sf "$OUTSIDE/launch" "$INSTALL/bin/launch"
	finds "bin/launch: is a symlink, should be a file"
}

@test "a directory replaced by a symlink to its copy outside is told, and not followed" {
	cp -a "$INSTALL/conf" "$OUTSIDE/conf"
	rm -r "$INSTALL/conf"
	ln -s "$OUTSIDE/conf" "$INSTALL/conf"
	rm "$INSTALL/share/x"
	ln "$OUTSIDE/conf/x" "$INSTALL/share/x"
	finds "conf: is a symlink, should be a directory" \
		"conf/sub: missing: something that is not a directory is in its way" \
		"conf/sub/y: missing: something that is not a directory is in its way" \
		"conf/x: missing: something that is not a directory is in its way" \
		"conf/x: missing: something that is not a directory is in its way"
}

@test "a directory replaced by a file, and a file by a directory, are told" {
	rmdir "$INSTALL/share/empty"
	: >"$INSTALL/share/empty"
	rm "$INSTALL/share/nothing"
	mkdir "$INSTALL/share/nothing"
	finds "share/empty: is a file, should be a directory" "share/nothing: is a directory, should be a file"
}

@test "a FIFO in a file's place is told, and not waited for" {
	rm "$INSTALL/bin/launch"
	mkfifo "$INSTALL/bin/launch"
	run -65 timeout 20 bash -c "$(declare -f check); check \"\$@\"" check "$INSTALL" "$LIST"
	[[ $output == "bin/launch: is a FIFO, should be a file"* ]]
}

@test "a hard link that became a copy is told" {
	cp -p "$INSTALL/share/x" "$INSTALL/share/x.new"
	mv "$INSTALL/share/x.new" "$INSTALL/share/x"
	finds "share/x: is not a hard link to conf/x any more"
}

@test "a hard link made of two files with the same content does no harm" {
	cp -p "$INSTALL/conf/x" "$INSTALL/conf/z"
	list_of "$INSTALL" >"$LIST"
	ln -f "$INSTALL/conf/x" "$INSTALL/conf/z"
	run -0 check "$INSTALL" "$LIST"
}

@test "twenty faults are shown, the rest is counted" {
	for i in {1..33}; do
		: >"$INSTALL/conf/extra$i"
	done
	run -65 --separate-stderr check "$INSTALL" "$LIST"
	[ "${#lines[@]}" -eq 21 ]
	[ "${lines[20]}" = "and 13 more" ]
	[ "$stderr" = "the install is not what was unpacked: 33 faults" ]
}

@test "a name that could steer a terminal is shown escaped" {
	: >"$INSTALL/$(printf 'a\033[2Jb\nc')"
	finds 'a\x1b[2Jb\x0ac: is not in the list'
}

@test "what the disk cannot give back is a fault of that file" {
	need strace
	for number in EIO EBADMSG EUCLEAN; do
		run -65 --separate-stderr traced -P "$INSTALL/share/data" --inject="read:error=$number" \
			bash -c "$checked" check "$INSTALL" "$LIST"
		[[ $output == "share/data: cannot be read: "* && $output != *$'\n'* ]]
	done
}

@test "what could not be told is no fault: exit code 1, and the file is named" {
	need strace
	run -1 --separate-stderr traced -P "$INSTALL/share/data" --inject="read:error=ENOMEM" \
		bash -c "$checked" check "$INSTALL" "$LIST"
	[ "$output" = "" ]
	[ "$stderr" = "read share/data: Cannot allocate memory" ]
}

@test "the order of the list does not matter" {
	{
		head -n 1 "$LIST"
		sed '1d;$d' "$LIST" | sort -r
		tail -n 1 "$LIST"
	} >"$LIST.reversed"
	run -0 check "$INSTALL" "$LIST.reversed"
	echo x >"$INSTALL/bin/evil"
	run -65 check "$INSTALL" "$LIST.reversed"
	[[ $output == "bin/evil: is not in the list"* ]]
}

@test "a list without the install itself: only that others cannot write there, and what is in it" {
	sed -i -e '2d' -e '$s/.*/end 12/' "$LIST"
	chmod 0700 "$INSTALL"
	run -0 check "$INSTALL" "$LIST"
	chmod 0775 "$INSTALL"
	: >"$INSTALL/evil"
	finds ".: mode is 0775, others can write into it" "evil: is not in the list"
}

@test "a list that is cut short is refused, wherever that is" {
	cp "$LIST" "$LIST.whole"
	size=$(stat -c %s "$LIST")
	for at in 0 1 9 10 50 $((size / 2)) $((size - 7)) $((size - 1)); do
		head -c "$at" "$LIST.whole" >"$LIST"
		list_refused "the list is cut short"
	done
	sed '5d' "$LIST.whole" >"$LIST"
	list_refused "the list is cut short: its last line does not have the number of its entries"
}

@test "a list that names something outside is refused, and nothing outside is touched" {
	cp "$LIST" "$LIST.whole"
	echo x >"$BATS_TEST_TMPDIR/x"
	for path in ../x /etc/passwd conf/../../x .. conf/..; do
		cp "$LIST.whole" "$LIST"
		list_add d 0755 - - "$path"
		list_refused "line 15 of the list: path leaves the install*"
		cp "$LIST.whole" "$LIST"
		list_add h - - "$path" conf/h
		list_refused "line 15 of the list: path leaves the install*"
	done
}

@test "a list that names something twice, or is not a list, is refused" {
	list_add d 0755 - - conf
	list_refused "the list names something twice"
	echo hello >"$LIST"
	list_refused 'not the list of an install: it does not begin with "pp-list 2 KEY"'
	head -c 100000 /dev/zero >"$LIST"
	list_refused "line 1 of the list is too long"
	run -64 check "$INSTALL" <(cat "$LIST")
	[[ $output == *"is not a regular file"* ]]
}

@test "without openat2(2) it finds the same" {
	need_root
	without() {
		(cd "$INSTALL" && exec perl "$BATS_TEST_DIRNAME/../hostile/without-openat2.pl" \
			"$PP_UNPACK" --check --list=9 9<"$LIST")
	}
	run -0 without
	cp -a "$INSTALL/conf" "$OUTSIDE/conf"
	rm -r "$INSTALL/conf"
	ln -s "$OUTSIDE/conf" "$INSTALL/conf"
	rm "$INSTALL/bin/launch"
	run -65 --separate-stderr without
	found=$output
	run -65 --separate-stderr check "$INSTALL" "$LIST"
	[ "$found" = "$output" ]
	[[ $output == *"conf/sub: missing: something that is not a directory is in its way"* ]]
}

@test "somebody who may not read it is told so" {
	need_root
	chmod 0700 "$INSTALL/conf"
	sed -i 's/^d	0755	-	-	conf$/d	0700	-	-	conf/' "$LIST"
	chown 12 "$INSTALL/conf"
	# Root without its powers, which others cannot keep out of the tests' own directory.
	run -77 --separate-stderr setpriv --inh-caps=-all --bounding-set=-all \
		bash -c "$(declare -f check); check \"\$@\"" check "$INSTALL" "$LIST"
	[[ $stderr == "stat conf/sub: Permission denied" || $stderr == "open conf: Permission denied" ]]
}

@test "its descriptors have to be there" {
	cd "$INSTALL"
	run -64 "$PP_UNPACK" --check
	run -64 "$PP_UNPACK" --check --list=9 9<&-
	[ "$output" = "--list: descriptor 9 is not open" ]
	run -64 "$PP_UNPACK" --check --list=0 <"$LIST"
	run -64 "$PP_UNPACK" --check --list=x
}
