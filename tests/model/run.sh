#!/bin/sh
# Check lease.pml with spin: the promise for two and three nodes and every min_nodes, and each of its mutations
# for the smallest cluster that it breaks the promise in.
#
#     sh tests/model/run.sh
#
# One line each; exits 0 when the protocol holds everywhere and every mutation is caught.
set -u

model=$(cd "$(dirname "$0")" && pwd)/lease.pml
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
cd "$work" || exit 1
wrong=0

# check WANTED N M [MUTATION]: WANTED is holds or fails.
check() {
	wanted=$1 n=$2 m=$3
	shift 3
	name="N=$n M=$m${1+ $1}"
	if ! spin -DN="$n" -DM="$m" ${1+-D"$1"} -a "$model" >out 2>&1 ||
		! ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=1800 -o pan pan.c >>out 2>&1; then
		cat out
		echo "$name: not checked"
		wrong=1
		return
	fi
	./pan -m2000000 -w24 >out 2>&1
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
	if grep -q 'assertion violated' out; then
		found=fails
	elif grep -q 'errors: 0$' out && ! grep -q 'not completed\|max search depth too small' out; then
		found=holds
	else
		cat out
		found='is not decided'
	fi
	echo "$name: $found ($states states)$([ "$found" = "$wanted" ] || echo ', AND THAT IS WRONG')"
	[ "$found" = "$wanted" ] || wrong=1
}

for m in 0 1 2; do
	check holds 2 "$m"
done
for m in 0 1 2 3; do
	check holds 3 "$m"
done
for mutation in NO_NONCE REUSE_MARK UNMARK_DOWN NO_CAS STALE_READS HEALTH_FIRST; do
	check fails 3 2 "$mutation"
done
exit "$wrong"
