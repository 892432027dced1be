#!/usr/bin/env bats
# The lease's protocol, as a model that spin searches.

load helper

@test "the lease keeps its promise in every state of the model, and no mutation of it does" {
	command -v spin >/dev/null || skip "no spin: sh scripts/deps.sh test installs it"
	run -0 sh "$TOP/tests/model/run.sh"
	[ "$(grep -c ': holds' <<<"$output")" = 7 ]
	[ "$(grep -c ': fails' <<<"$output")" = 6 ]
}
