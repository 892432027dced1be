#!/bin/sh
# The main job of pp from end to end, on this machine, in a scratch directory.
#
#     sh examples/quickstart.sh [--keep]
#
# Installs what building and running need (Debian packages, see scripts/deps.sh), builds pp, and shows
# a deployment. Takes no root where the packages are there. Nothing is left but those and build/, and
# with --keep the scratch directory. Exits non-zero, and says at which step, when anything is not as it
# says.
set -eu

keep=
case ${1-} in
'') ;;
--keep) keep=1 ;;
*)
	echo "usage: sh quickstart.sh [--keep]" >&2
	exit 64
	;;
esac

examples=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$examples")
old=abc123 new=def456
step="Before the first step"
scratch='' runsvdir=''

# --- how the tour speaks

step() {
	step=$1
	printf '\n== %s\n' "$1"
}

say() {
	printf '\n%s\n' "$*" | fold -s -w 98 | sed 's/ *$//'
}

# Show a command as one would type it, carry it out, show what it prints.
show() {
	printf '\n  $ %s\n' "$(printf '%s ' "$@" | sed "s| \$||; s|$scratch|\$SCRATCH|g; s|$examples|examples|g")"
	"$@" >"$scratch/out" 2>&1 || {
		code=$?
		indent <"$scratch/out"
		fail "exit code $code of: $*"
	}
	indent <"$scratch/out"
}

indent() {
	sed "s|$scratch|\$SCRATCH|g; s|$examples|examples|g; s|^.|    &|"
}

fail() {
	printf '\nquickstart: "%s" went wrong: %s\n' "$step" "$*" >&2
	[ -z "$runsvdir" ] || printf 'quickstart: the log of the services: %s\n' "$(cat "$scratch"/service-stage/*/log/main/current 2>/dev/null | tail -n 3)" >&2
	exit 1
}

# --- leaving nothing behind

pids_below() {
	# shellcheck disable=SC2013
	for below in $(cat /proc/[0-9]*/stat 2>/dev/null |
		awk -v parent="$1" '{ pid = $1; sub(/^.*\) . /, ""); if ($1 == parent) print pid }'); do
		echo "$below"
		pids_below "$below"
	done
}

cleanup() {
	status=$?
	trap - EXIT
	trap '' HUP INT TERM
	if [ -n "$runsvdir" ]; then
		all=$(pids_below "$runsvdir")
		kill -HUP "$runsvdir" 2>/dev/null || :
		wait "$runsvdir" 2>/dev/null || :
		for try in 1 2 3 4 5 6 7 8 9 10; do
			left=
			for pid in $all; do
				! kill -0 "$pid" 2>/dev/null || left="$left $pid"
			done
			[ -n "$left" ] || break
			# shellcheck disable=SC2086
			[ "$try" -lt 8 ] || kill -KILL $left 2>/dev/null || :
			sleep 0.3
		done
	fi
	if [ -n "$scratch" ]; then
		if [ -n "$keep" ]; then
			printf '\nKept: %s\n' "$scratch"
		else
			rm -rf "$scratch"
		fi
	fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

# --- what the tour is made of

# Print a free TCP port of this host.
free_port() {
	try=0
	while [ "$try" -lt 200 ]; do
		port=$((20000 + ($$ * 37 + try * 101) % 12000))
		hex=$(printf '%04X' "$port")
		if ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ":$hex .* 0A "; then
			echo "$port"
			return 0
		fi
		try=$((try + 1))
	done
	return 1
}

# Carry out a command that asks slug for its page.
with_request() {
	"$@" timeout 3 busybox wget -q -O - "http://127.0.0.1:$PORT/"
}

# Does the running service answer as version $1, within ten seconds?
answers_as() {
	tries=0
	until with_request env 2>/dev/null | grep -q "version $1"; do
		tries=$((tries + 1))
		[ "$tries" -lt 50 ] || return 1
		sleep 0.2
	done
}

# Print what is below the directory $1, links with where they point.
tree() {
	find "$1" -mindepth 1 '(' -type d -printf '%P/\n' ')' -o '(' -type l -printf '%P -> %l\n' ')' \
		-o -printf '%P\n' | LC_ALL=C sort
}

# All four agents, each as cron or a timer would start it.
converge_all() {
	show pp converge preparer
	show pp converge setlive
	show pp converge iptables
	show pp converge sudoers
}

# What the agents are to know about this node; on a real one, in /etc/pp/pp.conf.
write_conf() {
	cat >"$scratch/pp.conf" <<-EOF
		[preparer]
		repo = file://$scratch/repo

		[setlive]
		runit = $scratch/service
		runit-stage = $scratch/service-stage

		[iptables]
		cmd = $examples/fake/bin/port_authority
		config-dir = $scratch/port_authority.d

		[sudoers]
		path = $scratch/sudoers.d
	EOF
}

# Does status say that all is as intended?
is_converged() {
	pp status --format=json >"$scratch/status.json" && grep -q '"converged"' "$scratch/status.json"
}

prepare() {
	if [ -f "$top/Makefile" ]; then
		sh "$top/scripts/deps.sh" build run || fail "install the packages above, and start again"
		# What make says is only of interest when it fails.
		log=$(mktemp)
		make -C "$top" -j"$(nproc)" BUILD=build all >"$log" 2>&1 || {
			tail -n 40 "$log" >&2
			rm -f "$log"
			fail "make"
		}
		rm -f "$log"
		PATH=$top/build:$PATH
	fi
	# The stand-ins come last: what is really there is used.
	PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:$examples/fake/bin
	export PATH

	# Nothing that is set for another pp shall matter here.
	for name in $(env | sed -n 's/^\(PP_[A-Za-z0-9_]*\)=.*/\1/p'); do
		unset "$name"
	done
	scratch=$(mktemp -d)
	write_conf
	mkdir "$scratch/store" "$scratch/service" "$scratch/service-stage" "$scratch/sudoers.d" "$scratch/port_authority.d"
	PORT=$(free_port) || fail "find a free port"
	case $(hostname) in
	[A-Za-z0-9]*) node=$(hostname) ;;
	*) node=laptop ;;
	esac
	export PORT PP_STORE="dir:$scratch/store" PP_STATE_DIR="$scratch/state" PP_CONF="$scratch/pp.conf" \
		PP_NODE="$node"
}

start_runit() {
	if ! command -v runsvdir >/dev/null; then
		say "There is no runit here, so versions are linked and nothing really runs (supervisor = none)."
		sed -i 's/^\[setlive\]$/&\nsupervisor = none/' "$scratch/pp.conf"
		return
	fi
	# In a session of its own: what stops the tour stops it in an orderly way.
	setsid runsvdir -P "$scratch/service" >"$scratch/runsvdir.log" 2>&1 </dev/null &
	runsvdir=$!
	say "runit's runsvdir supervises what will appear in \$SCRATCH/service."
}

# --- the tour

say "This builds pp and shows a deployment of the example app slug, all on this machine."

step "1. Build"
prepare
say "$(pp --version), and everything below happens in SCRATCH=$scratch."

step "2. Two versions of slug in a repository"
say "A repository is a directory (or a web server) with <app>/<app>_<version>.tar.gz in it."
show sh "$examples/slug/pack.sh" "$scratch/repo" "$old"
show sh "$examples/slug/pack.sh" "$scratch/repo" "$new"
start_runit

step "3. Intent: what should be"
say "The store is a directory here (PP_STORE=dir:\$SCRATCH/store); on many hosts it would be Consul." \
	"Intent says which versions should be where. It does not say how they get there."
show pp intent set slug/demo "versions=$old:active,$new:prep" min_nodes=0 "basedir=$scratch/slug" \
	"ports=$PORT" users=xavier,don
show pp intent assign slug/demo "$PP_NODE"
show pp intent get slug

step "4. Four agents make this node match"
say "Each looks at the store and at its own slice of the node, does what is missing, and exits:" \
	"preparer unpacks, setlive runs the active version, iptables opens its ports, sudoers lets its" \
	"owners become it. Where, they are told by pp.conf, or by flags: pp converge preparer --repo=URL."
show cat "$scratch/pp.conf"
say "(port_authority is a stand-in here: pp writes its rules and calls it, and no firewall changes.)"
converge_all

step "5. What is on the node now"
show tree "$scratch/slug"
[ "$(readlink "$scratch/slug/current")" = "installs/slug_$old" ] || fail "current is not slug_$old"
[ -x "$scratch/slug/installs/slug_$new/bin/launch" ] || fail "slug_$new is not prepared"
show cat "$scratch/port_authority.d/slug.yml"
show cat "$scratch/sudoers.d/pp-slug"
show pp status
if [ -n "$runsvdir" ]; then
	answers_as "$old" || fail "slug does not answer as version $old on port $PORT"
	say "slug runs under runit, and answers on port $PORT:"
	with_request show
fi

step "6. Activate the other version"
say "That is one change of intent. The version that was active is demoted in the same write."
show pp intent set slug "versions.$new=active"
say "Nothing has changed on the node yet, and status knows:"
show pp status
say "The next pass of the agents sees to it; only setlive has something to do:"
converge_all
[ "$(readlink "$scratch/slug/current")" = "installs/slug_$new" ] || fail "current is not slug_$new"
[ "$(readlink "$scratch/slug/last")" = "installs/slug_$old" ] || fail "last is not slug_$old"

step "7. One more pass does nothing, and says nothing"
find "$scratch/slug" "$scratch/port_authority.d" "$scratch/sudoers.d" -printf '%p %T@ %l\n' | sort >"$scratch/before"
(converge_all) >"$scratch/quiet"
cat "$scratch/quiet"
if grep -v '^  \$ ' "$scratch/quiet" | grep -q .; then
	fail "it should have printed nothing but the commands"
fi
find "$scratch/slug" "$scratch/port_authority.d" "$scratch/sudoers.d" -printf '%p %T@ %l\n' | sort >"$scratch/after"
cmp -s "$scratch/before" "$scratch/after" || fail "something was written"

step "8. The version that was activated answers"
if [ -n "$runsvdir" ]; then
	answers_as "$new" || fail "slug does not answer as version $new on port $PORT"
	with_request show
fi
show pp status
is_converged || fail "status does not say converged: $(cat "$scratch/status.json")"
[ -n "$runsvdir" ] || say "(Nothing really runs: install runit and start again to see it answer.)"

say "That was the main job. README.md goes on with Consul and more than one host; what cron or a" \
	"systemd timer need to run the agents is in cron/. The scratch directory goes now; --keep keeps it."
