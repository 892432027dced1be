#!/usr/bin/env bats
# All four agents on a laptop: no Consul, no runit, no root, no flags; stand-ins for what they drive.

load helper
load node

setup() {
	helper_setup
	need_root
	# A home of nobody, with all that he needs: what a test has is not for others to see.
	LAPTOP=$(mktemp -d /tmp/pp-laptop.XXXXXX)
	HOME=$LAPTOP/home
	STATE=$HOME/.local/state/pp
	BASEDIR=$HOME/slug
	mkdir "$LAPTOP/bin" "$HOME"
	cp "$PP" "$PP_UNPACK" "$LAPTOP/bin"
	cp -r "$TOP/examples" "$LAPTOP"
	chmod -R a+rX "$LAPTOP"
	chown nobody "$HOME"
	as_nobody mkdir "$HOME/store"
	as_nobody pp intent set slug/demo versions=abc123:prep,def456:active min_nodes=0 \
		basedir="$BASEDIR" ports=1212,1231 users=xavier,don check.exec=/bin/true settle=0
	as_nobody pp intent assign slug/demo "$(hostname)"
	as_nobody sh "$LAPTOP/examples/slug/pack.sh" "$STATE/repo" abc123
	as_nobody sh "$LAPTOP/examples/slug/pack.sh" "$STATE/repo" def456
}

teardown() {
	helper_teardown
	[ -z "${LAPTOP-}" ] || rm -rf "$LAPTOP"
}

as_nobody() {
	setpriv --reuid=nobody --regid=nogroup --clear-groups env -i -C "$HOME" \
		HOME="$HOME" PATH="$LAPTOP/examples/fake/bin:$LAPTOP/bin:/usr/bin:/bin" \
		PP_STORE="dir:$HOME/store" PP_CONF="${PP_CONF_OF_NOBODY-/nonexistent}" \
		${ASAN_OPTIONS:+ASAN_OPTIONS="$ASAN_OPTIONS"} "$@"
}

agents=(preparer setlive iptables sudoers)

@test "four agents, default flags: all converge, and a second run of each says nothing" {
	run -0 --separate-stderr as_nobody pp converge preparer
	[ "$(said | grep -c Moving)" -eq 2 ]
	run -0 --separate-stderr as_nobody pp converge setlive
	expect_said "INFO slug: Stopping" "INFO slug: Configuring runit" "INFO slug: Symlinking" "INFO slug: Starting"
	run -0 --separate-stderr as_nobody pp converge iptables
	expect_said "INFO slug: allowing tcp:1212" "INFO slug: allowing tcp:1231" "INFO refreshing portauthority"
	run -0 --separate-stderr as_nobody pp converge sudoers
	expect_said "INFO slug: wrote new sudoers"

	[ "$(readlink "$BASEDIR/current")" = installs/slug_def456 ]
	run -0 --separate-stderr as_nobody pp status
	[[ $output == *"slug "*" def456 "*" yes "*" converged"* ]]

	before=$(snapshot "$HOME" | grep -v /state/pp/lock)
	for agent in "${agents[@]}"; do
		run -0 --separate-stderr as_nobody pp converge "$agent"
		expect_silence
	done
	[ "$(snapshot "$HOME" | grep -v /state/pp/lock)" = "$before" ]
}

@test "everything lies in the state directory and basedir, and belongs to the user" {
	for agent in "${agents[@]}"; do
		as_nobody pp converge "$agent"
	done
	[ "$(ls -A "$HOME")" = ".local
slug
store" ]
	[ "$(cd "$STATE" && echo *)" = "believed cluster failing firewall lock place port_authority.d repo service service-stage stores sudoers.d" ] || fail "$(ls "$STATE")"
	[ "$(cat "$STATE/sudoers.d/pp-slug")" = "xavier, don ALL = (slug) ALL" ]
	[ "$(stat -c '%a %U' "$STATE/sudoers.d/pp-slug")" = "440 nobody" ]
	grep -q slug_1212_tcp "$STATE/port_authority.d/slug.yml"
	[ "$(readlink "$STATE/service/slug")" = "$STATE/service-stage/slug" ]
	[ "$(find "$HOME" -mindepth 1 ! -user nobody)" = "" ]
}

@test "the stand-ins print what they were told, for whoever asks to hear it" {
	as_nobody pp converge preparer
	run -0 --separate-stderr as_nobody pp converge setlive --verbose
	[[ $(said) == *"INFO sv: sv -w 1 start $STATE/service/slug"* ]]
	run -0 --separate-stderr as_nobody pp converge iptables --verbose
	[[ $(said) == *"INFO port_authority: port_authority rebuild"* ]]
	run -0 --separate-stderr as_nobody pp converge sudoers --verbose
	[[ $(said) == *"INFO visudo: visudo -cf $STATE/sudoers.d/.pp-slug."* ]]
	as_nobody pp intent set slug versions.abc123=active
	printf '[setlive]\nsupervisor = servicebuilder\n' >"$LAPTOP/pp.conf"
	chmod 0644 "$LAPTOP/pp.conf"
	PP_CONF_OF_NOBODY=$LAPTOP/pp.conf
	rm -rf "$STATE/service" "$STATE/service-stage"
	run -0 --separate-stderr as_nobody pp converge setlive --verbose
	[[ $(said) == *"INFO servicebuilder: servicebuilder -c $STATE/servicebuilder.d -d $STATE/service -s $STATE/service-stage"* ]]
	[ "$(readlink "$BASEDIR/current")" = installs/slug_abc123 ]
}

@test "another version is activated, another pass makes it live; without one it is stopped" {
	for agent in "${agents[@]}"; do
		as_nobody pp converge "$agent"
	done
	as_nobody pp intent set slug versions.abc123=active
	for agent in "${agents[@]}"; do
		as_nobody pp converge "$agent"
	done
	[ "$(readlink "$BASEDIR/current") $(readlink "$BASEDIR/last")" = "installs/slug_abc123 installs/slug_def456" ]
	as_nobody pp intent set slug versions.abc123=prep
	as_nobody pp converge setlive
	run -0 --separate-stderr as_nobody pp status
	[[ $output == *" no "*" converged"* ]]
	run -0 --separate-stderr as_nobody pp converge setlive
	expect_silence
}

@test "XDG_STATE_HOME, PP_STATE_DIR and --state-dir say where the state directory is" {
	as_nobody env XDG_STATE_HOME="$HOME/xdg" pp converge iptables
	[ -e "$HOME/xdg/pp/port_authority.d/slug.yml" ]
	as_nobody env XDG_STATE_HOME="$HOME/xdg" PP_STATE_DIR="$HOME/two" pp converge iptables
	[ -e "$HOME/two/port_authority.d/slug.yml" ]
	as_nobody env PP_STATE_DIR="$HOME/two" pp converge iptables --state-dir="$HOME/three"
	[ -e "$HOME/three/port_authority.d/slug.yml" ]
}

@test "--dry-run of all four prints their plans and changes nothing" {
	before=$(snapshot "$HOME")
	for agent in "${agents[@]}"; do
		run -0 --separate-stderr as_nobody pp converge "$agent" --dry-run
		[[ $output == "$agent slug: "* ]]
		[ "$stderr" = "" ]
	done
	[ "$(snapshot "$HOME")" = "$before" ]
}
