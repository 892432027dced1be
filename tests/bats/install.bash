# shellcheck shell=bash
# Installs and their lists, for tests of pp-unpack's --check and --share, after helper and node.

# The key of the lists made here; pp-unpack takes another one each time.
export LIST_KEY=000102030405060708090a0b0c0d0e0f

# tag_of FILE NONCE [KEY]: the tag of a file in a list, as openssl makes it. NONCE has 16 hex digits.
tag_of() {
	printf %s "$2"
	openssl mac -cipher AES-128-GCM -macopt "hexkey:${3-$LIST_KEY}" -macopt "hexiv:00000000$2" -in "$1" GMAC |
		tr A-F a-f
}

# list_of DIR: print the list that pp-unpack writes of an install like DIR. Names without blanks.
list_of() {
	(
		cd "$1" || exit 1
		find . -type f -printf '%P\n' | sort | {
			n=0
			while read -r name; do
				printf 's %s %s\n' "$(tag_of "$name" "$(printf %016x $((++n)))")" "$name"
			done
		}
		find . -printf '%y %04m %s %i %P %l\n' | sort -k 5
	) | awk -v key="$LIST_KEY" '
		BEGIN { OFS = "\t"; print "pp-list 2 " key }
		$1 == "s" { sum[$3] = $2; next }
		{ n++ }
		$1 == "d" { print "d", $2, "-", "-", $5 == "" ? "." : $5 }
		$1 == "l" { print "l", "-", "-", $6, $5 }
		$1 == "f" && ($4 in first) { print "h", "-", "-", first[$4], $5; next }
		$1 == "f" { first[$4] = $5; print "f", $2, $3, sum[$5], $5 }
		END { print "end " n }'
}

# check DIR LIST [ARG...]: run pp-unpack --check in DIR.
check() {
	(cd "$1" && exec "$PP_UNPACK" --check --list=9 "${@:3}") 9<"$2"
}

# share OLD OLD-LIST NEW NEW-LIST [ARG...]: run pp-unpack --share in NEW.
share() {
	(cd "$3" && exec "$PP_UNPACK" --share=7 --share-list=8 --list=9 "${@:5}") 7<"$1" 8<"$2" 9<"$4"
}

# isnt CMD...: CMD fails. For scripts under set -e, where run is not at hand.
isnt() {
	! "$@"
}

# on_fs KIND SCRIPT: run bash in $FS, a new file system of this kind, with the functions of the test.
# It is mounted for that bash alone, and gone with it.
on_fs() {
	local image=$BATS_TEST_TMPDIR/image

	need_mount_namespace
	[ -e /dev/loop-control ] || skip "needs loop devices"
	FS=$BATS_TEST_TMPDIR/fs
	mkdir -p "$FS"
	case $1 in
	btrfs)
		need mkfs.btrfs
		truncate -s 200M "$image"
		mkfs.btrfs -q "$image" >/dev/null
		;;
	xfs)
		need mkfs.xfs
		truncate -s 320M "$image"
		mkfs.xfs -q -m reflink=1 "$image"
		;;
	ext4)
		truncate -s 100M "$image"
		mkfs.ext4 -q "$image"
		;;
	esac
	grep -q -w "$1" /proc/filesystems || modprobe "$1" 2>/dev/null || skip "needs $1 in the kernel"
	export FS
	unshare --mount bash -euo pipefail -c "$(declare -f)
		mount -o loop \"\$1\" \"\$FS\"
		cd \"\$FS\"
		$2" on_fs "$image"
	rm "$image"
}
