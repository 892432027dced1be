#!/usr/bin/env bats
# The prototype's walk-through, word for word: its agents' names and flags, its Consul, its log lines.
#
# All of it happens in a world of its own, a copy of this host's files that is gone afterwards, with
# /data, /etc and /var as the walk-through has them. setup_file() goes through it once and keeps what
# was said and what was there; the tests look at that.

load helper
load node

# Why the walk-through cannot be had here; nothing where it can.
why_not() {
	if [ "$(id -u)" -ne 0 ]; then
		echo "needs root"
	elif ! unshare --mount --net --uts true 2>/dev/null; then
		echo "needs namespaces"
	elif ! command -v runsvdir >/dev/null || ! command -v ip >/dev/null; then
		echo "needs runit and ip"
	elif [ -z "${CONSUL-}" ]; then
		echo "no consul"
	fi
}

setup_file() {
	local world=$BATS_FILE_TMPDIR/world root=$BATS_FILE_TMPDIR/world/root

	CONSUL=${CONSUL:-$(command -v consul || sh "$TOP/scripts/consul.sh" --no-fetch)} || CONSUL=
	export CONSUL
	why_not >"$BATS_FILE_TMPDIR/why-not"
	[ ! -s "$BATS_FILE_TMPDIR/why-not" ] || return 0
	mkdir "$world" "$BATS_FILE_TMPDIR/kept"
	write_walk >"$BATS_FILE_TMPDIR/walk.sh"
	# shellcheck disable=SC2016
	env -i PATH="$PATH:/usr/sbin:/sbin" HOME=/root LC_ALL=C.UTF-8 \
		unshare --mount --net --uts --pid --fork --kill-child bash -euc '
		world=$1 root=$1/root kept=$2 top=$3 build=$4 consul=$5
		mount --make-rprivate /
		mount -t tmpfs none "$world"
		mkdir "$world/upper" "$world/work" "$root"
		mount -t overlay -o "lowerdir=/,upperdir=$world/upper,workdir=$world/work" none "$root"
		make -s -C "$top" -o all BUILD="$build" DESTDIR="$root" PREFIX=/usr/local install >&2
		cp -L "$consul" "$root/usr/local/bin/consul"
		mount -t proc none "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs -o mode=1777 none "$root/tmp"
		rm -rf "$root/data" "$root/var/service" "$root/etc/servicebuilder.d" "$root"/etc/sudoers.d/pp-*
		mkdir -p "$root/kept"
		mount --bind "$kept" "$root/kept"
		cp "$kept/../walk.sh" "$root/walk.sh"
		hostname walkthrough
		ip link set lo up
		ip link add eth0 type veth peer name eth1
		ip address add 10.11.12.13/24 dev eth0
		ip link set eth0 up
		exec chroot "$root" bash -eu /walk.sh
	' world "$world" "$BATS_FILE_TMPDIR/kept" "$TOP" "$PP_BUILD" "$CONSUL" \
		>"$BATS_FILE_TMPDIR/walk.log" 2>&1 </dev/null 3>&- || {
		tail -n 40 "$BATS_FILE_TMPDIR/walk.log"
		return 1
	}
}

# What happens there.
write_walk() {
	cat <<-'WALK'
		export PATH=/usr/local/bin:$PATH
		examples=/usr/local/share/pp/examples

		wait_until() {
			for try in $(seq 200); do
				if "$@" >/dev/null 2>&1; then return 0; fi
				sleep 0.1
			done
			echo "in vain: $*" >&2
			return 1
		}

		# Run an agent; keep what it says and how it ends.
		agent() {
			local name=$1 code=0

			shift
			"$@" >/kept/$name.out 2>/kept/$name.err || code=$?
			echo $code >/kept/$name.code
		}

		prepare() {
			agent "$1" pp-preparer -repo=file:///tmp/local-repo/
		}
		setlive() {
			agent "$1" pp-setlive -config=/etc/servicebuilder.d -runit=/var/service -runit-stage=/var/service-stage/
		}
		iptables() {
			agent "$1" pp-iptables -cmd=/data/bin/port_authority -config-dir=/data/etc/port_authority.d
		}
		sudoers() {
			agent "$1" pp-sudoers -path=/etc/sudoers.d
		}

		mkdir -p /data/bin /data/etc/port_authority.d /etc/servicebuilder.d /var/service /var/service-stage
		cp $examples/fake/bin/port_authority /data/bin/
		cp $examples/fake/bin/servicebuilder /usr/local/bin/
		runsvdir -P /var/service &
		consul agent -server -bootstrap-expect 1 -data-dir /tmp/consul >/kept/consul.log 2>&1 &
		wait_until consul kv put ready 1
		consul kv delete ready

		sh $examples/test-data.sh
		consul kv get -recurse >/kept/keys

		# As the walk-through has them.
		prepare 1-preparer
		iptables 1-iptables
		setlive 1-setlive
		sudoers 1-sudoers
		busybox wget -q -O /kept/page http://127.0.0.1:1212/
		readlink /tmp/slug/current >/kept/current
		cp /etc/servicebuilder.d/slug.yaml /data/etc/port_authority.d/slug.yml /etc/sudoers.d/pp-slug /kept

		# Again, and with the double dashes of other programs.
		prepare 2-preparer
		iptables 2-iptables
		setlive 2-setlive
		agent 2-sudoers pp-sudoers --path /etc/sudoers.d

		# From the start, the other way round.
		sv -w 30 down /var/service/slug
		rm -rf /tmp/slug /var/service/slug /var/service-stage/* /etc/servicebuilder.d /data/etc /etc/sudoers.d/pp-slug
		rm -rf /var/lib/pp
		sudoers 3-sudoers
		setlive 3-setlive
		iptables 3-iptables
		prepare 3-preparer
		setlive 4-setlive
		busybox wget -q -O /kept/page-again http://127.0.0.1:1212/
		sv status /var/service/slug >/kept/status
		pp status >/kept/pp-status --config=/etc/servicebuilder.d --runit=/var/service \
			--runit-stage=/var/service-stage --config-dir=/data/etc/port_authority.d
		sv -w 30 down /var/service/slug
	WALK
}

setup() {
	helper_setup
	[ ! -s "$BATS_FILE_TMPDIR/why-not" ] || skip "$(cat "$BATS_FILE_TMPDIR/why-not")"
	KEPT=$BATS_FILE_TMPDIR/kept
	prepared=e928e5ad8814441e7c503d7f6c9e55d72584c006
	active=56d459e7c581b913ad5afa627064d62aea2cfac3
}

# kept NAME: what that agent said, as `run` would have it; without the lines of programs it started.
kept() {
	status=$(cat "$KEPT/$1.code")
	output=$(cat "$KEPT/$1.out")
	stderr=$(grep -v -E '\] (sv|servicebuilder|visudo|port_authority): ' "$KEPT/$1.err" || :)
	[ "$status" -eq 0 ] || fail "$1: exit $status: $(cat "$KEPT/$1.err")"
	[ "$output" = "" ]
}

polling=("INFO Polling intent store" "INFO Checking spec for slug")

@test "the test data is in Consul, under the prototype's keys" {
	for key in nodes/walkthrough/slug clusters/slug/development/config \
		clusters/slug/development/deploy_config owners/slug; do
		grep -q "^$key:" "$KEPT/keys" || fail "$key: $(cat "$KEPT/keys")"
	done
}

@test "pp-preparer -repo=file:///tmp/local-repo/" {
	kept 1-preparer
	at=/tmp/slug/installs
	expect_said "${polling[@]}" \
		"INFO Does not exist: $at/slug_$active" \
		"INFO Extracting /tmp/local-repo/slug/slug_$active.tar.gz to $at/.slug_$active.??????" \
		"INFO Moving $at/.slug_$active.?????? to $at/slug_$active" \
		"INFO Does not exist: $at/slug_$prepared" \
		"INFO Extracting /tmp/local-repo/slug/slug_$prepared.tar.gz to $at/.slug_$prepared.??????" \
		"INFO Moving $at/.slug_$prepared.?????? to $at/slug_$prepared"
}

@test "pp-iptables -cmd=/data/bin/port_authority -config-dir=/data/etc/port_authority.d" {
	kept 1-iptables
	expect_said "${polling[@]}" "INFO slug: allowing tcp:1212" "INFO slug: allowing tcp:1231" \
		"INFO refreshing portauthority"
	grep -q 'port_authority: port_authority rebuild$' "$KEPT/1-iptables.err"
	printf 'slug_1212_tcp:\n  port: 1212\n  protocol: tcp\nslug_1231_tcp:\n  port: 1231\n  protocol: tcp\n' |
		cmp - "$KEPT/slug.yml"
}

@test "pp-setlive -config=/etc/servicebuilder.d -runit=/var/service -runit-stage=/var/service-stage/" {
	kept 1-setlive
	expect_said "${polling[@]}" "INFO slug: Stopping" "INFO slug: Configuring service builder" \
		"INFO slug: Symlinking" "INFO slug: Starting" \
		"INFO slug: Registering it in cluster development" \
		"INFO slug: the Consul agent runs no script checks: pp's passes tell it"
	grep -q 'servicebuilder: servicebuilder -c /etc/servicebuilder.d -d /var/service -s /var/service-stage$' \
		"$KEPT/1-setlive.err"
	printf 'slug:\n  run:\n  - /tmp/slug/current/bin/launch\n' | cmp - "$KEPT/slug.yaml"
	[ "$(cat "$KEPT/current")" = "installs/slug_$active" ]
	[ "$(cat "$KEPT/page")" = "This is slug, version $active." ]
}

@test "pp-sudoers -path=/etc/sudoers.d" {
	kept 1-sudoers
	expect_said "${polling[@]}" "INFO slug: wrote new sudoers"
	printf 'xavier, don ALL = (slug) ALL\n' | cmp - "$KEPT/pp-slug"
}

@test "a second time each looks, and says what it skips" {
	kept 2-preparer
	expect_said "${polling[@]}"
	kept 2-iptables
	expect_said "${polling[@]}"
	kept 2-setlive
	expect_said "${polling[@]}" "INFO slug: already current, nothing to do"
	kept 2-sudoers
	expect_said "${polling[@]}" "INFO slug: no change to sudoers"
}

@test "any order will do: who comes too early skips, and comes again" {
	kept 3-sudoers
	expect_said "${polling[@]}" "INFO slug: wrote new sudoers"
	kept 3-setlive
	expect_said "${polling[@]}" "INFO slug: $active not prepared, skipping"
	kept 3-iptables
	[[ $(said) == *"INFO refreshing portauthority" ]]
	kept 3-preparer
	[[ $(said) == *"INFO Moving "* ]]
	kept 4-setlive
	[[ $(said) == *"INFO slug: Starting
INFO slug: Registering it in cluster development"* ]]
	[[ $(cat "$KEPT/status") == "run: /var/service/slug: "* ]]
	[ "$(cat "$KEPT/page-again")" = "This is slug, version $active." ]
	grep -q '^slug .* yes *converged' "$KEPT/pp-status"
}

@test "log lines have the prototype's form: level, UTC time with milliseconds, words" {
	for said in "$KEPT"/*.err; do
		run ! grep -v -E '^(INFO |WARN |FATAL|ERROR) \[20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}\] [^ ]' "$said"
	done
}
