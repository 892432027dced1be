# shellcheck shell=bash
# For tests of systemd, after helper and node: a real one, as PID 1 of namespaces of its own.
#
#     systemd_boot      in setup_file(): one for the file; skips nothing, each test says it by need_systemd
#     need_systemd      skip where there is none, with the reason
#     inside CMD...     run it there, with this environment
#     systemd_halt      in teardown_file()
#
# Inside, the root is an overlay of this machine's, whose changes are in memory; /srv/build is $PP_BUILD,
# /srv/test is $BATS_FILE_TMPDIR. Set: SYSTEMD_PID, SYSTEMD_DIR, SYSTEMD_CGROUP; SYSTEMD_NONE, why not.

systemd_boot() {
	export SYSTEMD_DIR='' SYSTEMD_PID='' SYSTEMD_CGROUP='' SYSTEMD_NONE=''
	local program hierarchy

	[ "$(id -u)" -eq 0 ] || SYSTEMD_NONE="needs root"
	[ -x /lib/systemd/systemd ] || SYSTEMD_NONE="needs systemd: /lib/systemd/systemd"
	for program in systemctl journalctl nsenter unshare; do
		command -v "$program" >/dev/null || SYSTEMD_NONE="needs $program"
	done
	hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -w "$hierarchy/cgroup.procs" ] || SYSTEMD_NONE="needs cgroup2, writable"
	[ -z "$SYSTEMD_NONE" ] || return 0
	SYSTEMD_DIR=$(mktemp -d "$BATS_FILE_TMPDIR/systemd.XXXXXX")
	SYSTEMD_CGROUP=$(mktemp -d "$hierarchy/pp-test.XXXXXX")
	# The mounts are of the namespace, and go with it. What is said goes to a file: bats waits for its own.
	# shellcheck disable=SC2016
	setpriv --pdeathsig KILL -- sh -c 'echo $$ >"$1/cgroup.procs"; exec unshare --mount --pid --uts --ipc \
		--cgroup --net --fork --kill-child bash -euc "$2" boot "$3" "$4" "$5"' boot \
		"$SYSTEMD_CGROUP" "$(declare -f systemd_root); systemd_root \"\$@\"" \
		"$SYSTEMD_DIR" "$PP_BUILD" "$BATS_FILE_TMPDIR" >"$SYSTEMD_DIR/log" 2>&1 </dev/null 3>&- &
	SYSTEMD_SHELL=$!
	export SYSTEMD_SHELL
	if ! wait_until systemd_is_decided || ! systemd_is_up; then
		cat "$SYSTEMD_DIR/log" >&2
		systemd_halt
		return 1
	fi
}

# In the namespaces: the root, and systemd in it.
systemd_root() {
	local dir=$1 build=$2 test=$3 root=$1/root node unit

	mount --make-rprivate /
	mkdir -p "$dir/memory" "$root"
	mount -t tmpfs tmpfs "$dir/memory"
	mkdir "$dir/memory/upper" "$dir/memory/work"
	mount -t overlay -o "lowerdir=/,upperdir=$dir/memory/upper,workdir=$dir/memory/work" overlay "$root"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs tmpfs "$root/run"
	mount -t tmpfs tmpfs "$root/tmp"
	mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
	for node in null zero random urandom tty full; do
		touch "$root/dev/$node"
		mount --bind "/dev/$node" "$root/dev/$node"
	done
	mkdir "$root/dev/pts" "$root/dev/shm"
	ln -s /proc/self/fd "$root/dev/fd"
	mkdir -p "$root/srv/build" "$root/srv/test"
	mount --bind "$build" "$root/srv/build"
	mount --bind "$test" "$root/srv/test"
	# Only what a service needs, and nothing that cleans up or looks at devices.
	rm -rf "$root/etc/systemd/system"
	mkdir "$root/etc/systemd/system"
	for unit in systemd-tmpfiles-setup systemd-tmpfiles-setup-dev systemd-tmpfiles-clean systemd-sysusers \
		systemd-udevd systemd-udev-trigger systemd-sysctl systemd-random-seed systemd-timesyncd \
		systemd-binfmt systemd-modules-load systemd-remount-fs systemd-journal-flush apparmor; do
		ln -s /dev/null "$root/etc/systemd/system/$unit.service"
	done
	printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' \
		>"$root/etc/systemd/system/pp-test.target"
	rm -f "$root/etc/fstab"
	cd "$root" || exit 1
	exec env -i container=pp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		chroot . /lib/systemd/systemd --system --unit=pp-test.target
}

# Is it up, or was that it?
systemd_is_decided() {
	is_gone "$SYSTEMD_SHELL" || systemd_is_up
}

systemd_is_up() {
	[ -n "$SYSTEMD_PID" ] || SYSTEMD_PID=$(pgrep -P "$SYSTEMD_SHELL" | head -n 1)
	[ -n "$SYSTEMD_PID" ] && [ "$(cat "/proc/$SYSTEMD_PID/comm")" = systemd ] &&
		inside systemctl is-active --quiet pp-test.target
}

need_systemd() {
	[ -z "${SYSTEMD_NONE-}" ] || skip "$SYSTEMD_NONE"
}

# As if typed there by root.
inside() {
	nsenter -t "$SYSTEMD_PID" -a --root="/proc/$SYSTEMD_PID/root" --wd="/proc/$SYSTEMD_PID/root" "$@"
}

# Whatever became of it: no process, no cgroup and no mount is left.
systemd_halt() {
	[ -n "${SYSTEMD_CGROUP-}" ] || return 0
	[ -z "$SYSTEMD_PID" ] || kill -KILL "$SYSTEMD_PID" 2>/dev/null || :
	# All that it started is in its cgroup: also what nothing above it knows of.
	while read -r pid; do
		kill -KILL "$pid" 2>/dev/null || :
	done < <(find "$SYSTEMD_CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null)
	wait "$SYSTEMD_SHELL" 2>/dev/null || :
	wait_until systemd_is_empty
	find "$SYSTEMD_CGROUP" -depth -type d -exec rmdir {} +
	SYSTEMD_CGROUP=''
}

systemd_is_empty() {
	[ -z "$(find "$SYSTEMD_CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null)" ]
}
