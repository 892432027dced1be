#!/usr/bin/env bats
# pp-unpack --share: what is not stored twice, and that sharing changes nothing else. On real btrfs,
# xfs and ext4, each in a file of its own.
bats_require_minimum_version 1.5.0
load helper
load node
load install

setup() {
	helper_setup
	umask 022
}

# Two installs below the current directory, old and new, and their lists: what is the same in both is
# so down to the time.
two_installs() {
	mkdir -p old/bin old/lib/deep
	printf '#!/bin/sh\nexec sleep 1000\n' >old/bin/launch
	chmod 0755 old/bin/launch
	head -c 1000000 /dev/urandom >old/lib/big
	head -c 5000 /dev/urandom >old/lib/deep/same
	chmod 0755 old/lib/deep/same
	head -c 70000 /dev/urandom >old/changes
	ln -s big old/lib/link
	find old -exec touch -h -d '2014-08-31 02:42:58.123456789' {} +
	cp -a --reflink=never old new
	head -c 70000 /dev/urandom >new/changes
	touch -d '2015-01-01' new/changes new
	relist
}

relist() {
	list_of old >old.list
	list_of new >new.list
	LOOKS=$(looks new)
}

# All of an install that sharing must not change.
looks() {
	(
		cd "$1" || exit 1
		find . -printf '%P %y %#m %U %G %s %T@ %l\n' | sort
		find . -type f -exec sha256sum {} + | sort -k 2
	)
}

# shares WORDS [ARG...]: --share says this, and the new install looks as before.
shares() {
	local said

	said=$(share old old.list new new.list "${@:2}") || return 1
	[ "$said" = "shared $1" ] || fail "it says: $said"
	diff <(printf '%s\n' "$LOOKS") <(looks new)
	check new new.list
}

is_clone() {
	sync -f "$1"
	filefrag -v "$1" | grep -q shared
}

is_linked() {
	[ "$1" -ef "$2" ]
}

# --- clones

@test "what did not change is cloned, on btrfs and on xfs" {
	for fs in btrfs xfs; do
		on_fs $fs '
			two_installs
			shares "2 files, 1005000 bytes"
			is_clone new/lib/big
			is_clone new/lib/deep/same
			isnt is_clone new/changes
			isnt is_linked old/lib/big new/lib/big'
	done
}

@test "clones take next to no room" {
	for fs in btrfs xfs; do
		on_fs $fs '
			two_installs
			head -c 50000000 /dev/urandom >old/huge
			cp -a --reflink=never old/huge new/huge
			relist
			sync -f .
			before=$(df --output=used -k . | tail -n 1)
			shares "3 files, 51005000 bytes"
			sync -f .
			after=$(df --output=used -k . | tail -n 1)
			[ $((before - after)) -gt 45000 ]'
	done
}

@test "what is written to one clone is not in the other, and the old one may go" {
	on_fs btrfs '
		two_installs
		shares "2 files, 1005000 bytes"
		echo tampered >old/lib/big
		check new new.list
		rm -r old
		echo 3 >/proc/sys/vm/drop_caches
		check new new.list'
}

@test "a clone keeps the mode, owner and time of the new file" {
	on_fs xfs '
		two_installs
		chown 12:13 old/lib/big
		chmod 0600 old/lib/big
		touch old/lib/big
		chown 14:15 new/lib/big
		chmod 0444 new/lib/big
		relist
		shares "2 files, 1005000 bytes"
		is_clone new/lib/big'
}

@test "an old install that rotted is not cloned, though its list says that it is the same" {
	for fs in btrfs xfs; do
		on_fs $fs '
			two_installs
			printf ROTTEN | dd of=old/lib/big bs=1 seek=900000 conv=notrunc status=none
			shares "1 files, 5000 bytes"
			isnt is_clone new/lib/big
			[ -z "$(find new -name ".pp*")" ]'
	done
}

@test "an old install that was tampered with is not followed, nor waited for" {
	on_fs btrfs '
		two_installs
		for i in fifo dir gone link; do
			head -c 10000 /dev/urandom >old/$i
			cp -a --reflink=never old/$i new/$i
		done
		relist
		mkdir outside
		mv old/lib outside/lib
		ln -s ../outside/lib old/lib
		mv old/link outside/link
		ln -s ../outside/link old/link
		rm old/fifo old/dir old/gone
		mkfifo old/fifo
		mkdir old/dir
		shares "0 files, 0 bytes"'
}

@test "hard links inside the new install stay hard links" {
	on_fs btrfs '
		two_installs
		ln new/lib/big new/lib/zagain
		relist
		shares "1 files, 5000 bytes" --link
		is_linked new/lib/big new/lib/zagain'
}

@test "the order of the lists does not matter, and once is enough" {
	on_fs btrfs '
		two_installs
		{ head -n 1 old.list; sed "1d;\$d" old.list | sort -r; tail -n 1 old.list; } >old.list.new
		mv old.list.new old.list
		shares "2 files, 1005000 bytes"
		shares "2 files, 1005000 bytes"'
}

@test "a file of the artifact in the way of the temporary one is left there" {
	on_fs btrfs '
		two_installs
		echo mine >new/.pp-share.tmp
		echo mine >new/lib/.pp-share.tmp
		relist
		shares "0 files, 0 bytes"
		rm new/.pp-share.tmp
		relist
		shares "1 files, 5000 bytes"'
}

@test "a full file system is no error: what cannot be cloned is left" {
	on_fs xfs '
		two_installs
		dd if=/dev/zero of=fill bs=1M status=none 2>/dev/null || :
		dd if=/dev/zero of=fill2 bs=4k status=none 2>/dev/null || :
		said=$(share old old.list new new.list)
		[[ $said == "shared "* ]]
		check new new.list
		[ "$(looks new)" = "$LOOKS" ]'
}

# --- hard links

@test "without clones nothing is done, unless links are asked for" {
	on_fs ext4 '
		two_installs
		shares "0 files, 0 bytes"
		isnt is_linked old/lib/big new/lib/big
		shares "3 files, 1005026 bytes" --link
		is_linked old/lib/big new/lib/big
		is_linked old/lib/deep/same new/lib/deep/same
		isnt is_linked old/changes new/changes
		is_linked old/bin/launch new/bin/launch
		check old old.list'
}

@test "a link is made only of a file that nobody else can write and that is just the same" {
	on_fs ext4 '
		two_installs
		for i in owner both group mode writable time; do
			head -c 10000 /dev/urandom >old/$i
			cp -a old/$i new/$i
		done
		chown 12 old/owner old/both new/both
		chgrp 12 old/group
		chmod 0755 old/mode
		chmod 0664 old/writable new/writable
		touch -d "2013-01-01 01:02:03.5" old/time
		touch -d "2013-01-01 01:02:04.5" new/time
		list_of old >old.list
		# What is writable for others is in no list; the mode of the new one is not looked at here.
		sed "s/0664/0644/" old.list >old.list.new && mv old.list.new old.list
		list_of new | sed "s/0664/0644/" >new.list
		said=$(share old old.list new new.list --link)
		[ "$said" = "shared 3 files, 1005026 bytes" ]
		is_linked old/lib/big new/lib/big
		for i in owner both group mode writable time; do
			isnt is_linked old/$i new/$i
		done'
}

@test "an old install that rotted is not linked" {
	on_fs ext4 '
		two_installs
		printf ROTTEN | dd of=old/lib/big bs=1 seek=10 conv=notrunc status=none
		touch -d "2014-08-31 02:42:58.123456789" old/lib/big
		shares "2 files, 5026 bytes" --link
		isnt is_linked old/lib/big new/lib/big'
}

@test "a file that has as many names as it can is left" {
	on_fs ext4 '
		two_installs
		mkdir names
		perl -e "for (2 .. 65000) { link q(old/lib/big), qq(names/\$_) or die }"
		isnt ln old/lib/big one-more
		shares "2 files, 5026 bytes" --link
		isnt is_linked old/lib/big new/lib/big'
}

@test "another file system cannot be shared with: all is left, at once" {
	for fs in btrfs ext4; do
		on_fs $fs '
			two_installs
			mkdir elsewhere
			mount -t tmpfs none elsewhere
			cp -a old elsewhere/old
			said=$(share elsewhere/old old.list new "$PWD/new.list" --link)
			umount elsewhere
			[ "$said" = "shared 0 files, 0 bytes" ]
			check new new.list
			[ "$(looks new)" = "$LOOKS" ]'
	done
}

@test "on an overlay what is shared is right, be the old install in the lower layer or the upper" {
	on_fs ext4 '
		mkdir lower upper work merged
		cd lower
		two_installs
		mv new new.list ../upper
		cd ..
		mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged
		cd merged
		said=$(share old old.list new new.list --link)
		[[ $said == "shared "* ]]
		check new new.list
		check old old.list
		[ "$(looks new)" = "$LOOKS" ]
		mv old older
		cp -a older old
		rm -r older
		share old old.list new new.list --link
		check new new.list
		[ "$(looks new)" = "$LOOKS" ]
		cd ..
		umount merged'
}

@test "whoever is not root links files of their own" {
	on_fs ext4 '
		mkdir mine
		chown 12:12 mine
		# A way to it that is open to everybody.
		mount --bind "$FS" /mnt
		cd /mnt
		cp "$PP_UNPACK" pp-unpack
		PP_UNPACK=/mnt/pp-unpack setpriv --reuid=12 --regid=12 --clear-groups bash -euo pipefail -c "$(declare -f)
			cd mine
			two_installs
			shares \"3 files, 1005026 bytes\" --link
			is_linked old/lib/big new/lib/big"'
}

# --- what goes wrong

@test "an old list that is bad is no reason to fail: nothing is shared, and it is said" {
	on_fs btrfs '
		two_installs
		sed -i "\$d" old.list
		share old old.list new new.list >said 2>noted
		[ "$(cat said)" = "shared 0 files, 0 bytes" ]
		[ "$(cat noted)" = "note: nothing is shared: of the other install, the list is cut short" ]
		echo "/etc/passwd" >old.list
		share old old.list new new.list >said 2>noted
		[ "$(cat said)" = "shared 0 files, 0 bytes" ]'
}

@test "a new list that is bad is an error" {
	on_fs btrfs '
		two_installs
		sed -i "\$d" new.list
		code=0
		share old old.list new new.list 2>said || code=$?
		[ $code -eq 65 ]
		[ "$(cat said)" = "the list is cut short" ]'
}

@test "killed before any of its changes, every file of the new install is whole" {
	need strace
	on_fs btrfs '
		two_installs
		cp -a new fresh
		whole=$(cd fresh && find . -type f -exec sha256sum {} + | sort)
		set -- "$PP_UNPACK" --share=7 --share-list=8 --list=9
		exec 7<old 8<old.list 9<new.list
		points=$(cd new && death_points "$@")
		[ "$(wc -l <<<"$points")" -ge 11 ]
		while read -r name count; do
			rm -rf new
			cp -a fresh new
			(cd new && killed_at "$name" "$count" "$@")
			find new -name .pp-share.tmp -delete
			[ "$(cd new && find . -type f -exec sha256sum {} + | sort)" = "$whole" ]
		done <<<"$points"'
}

@test "a new file that cannot be read is an error that names it" {
	need strace
	on_fs ext4 '
		two_installs
		code=0
		cd new
		ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -o /dev/null -P "$PWD/lib/big" \
			--inject=pread64:error=EIO "$PP_UNPACK" --share=7 --share-list=8 --list=9 --link \
			7<../old 8<../old.list 9<../new.list 2>../said || code=$?
		[ $code -eq 1 ]
		[ "$(cat ../said)" = "read lib/big: Input/output error" ]'
}

@test "its descriptors have to be there" {
	cd "$BATS_TEST_TMPDIR"
	: >list
	run -64 "$PP_UNPACK" --share=9 9</
	run -64 "$PP_UNPACK" --share=9 --share-list=8 9</ 8<list
	run -64 "$PP_UNPACK" --link <list
	run -64 "$PP_UNPACK" --share=99 --share-list=8 --list=8 8<list
	[ "$output" = "--share: descriptor 99 is not open" ]
}
