# shellcheck shell=bash
# For the tests of pp intent, after helper and store: the same test over both stores, and a terminal.

# in_both FUNCTION: over a directory, and over the file's Consul; each time with an empty store.
in_both() {
	local all=$PP_STORE

	store_dir
	rm -rf "$BATS_TEST_TMPDIR/store"
	mkdir "$BATS_TEST_TMPDIR/store"
	"$@"
	use_consul
	"$@"
	PP_STORE=$all
}

use_consul() {
	export CONSUL_HTTP_ADDR=$HELPER_CONSUL_ADDR PP_STORE=consul
	consul_wipe
}

# on_terminal INPUT CMD...: with a terminal on stdin, stdout and stderr; its output in $output, what it
# exited with in $status.
on_terminal() {
	local input=$1 line

	shift
	printf -v line '%q ' "$@"
	# Given as soon as it reads; the end of input must not come before.
	run timeout 30 script -qec "$line" /dev/null < <(printf '%s' "$input"; sleep 1)
	output=${output//$'\r'/}
}
