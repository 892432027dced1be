#!/bin/sh
# Build, run every test, count.
#
#     sh tests/run.sh [--no-install] [NAME...]
#
# Installs first what building and testing need (not with --no-install). NAME is a file of
# tests/bats/ or tests/unit/ without prefix and suffix, as in `sh tests/run.sh sudoers`; with none, all.
#
# Environment: BUILD (build), SAN=1 (with ASan and UBSan), JOBS (2) files at a time, FILE_TIMEOUT
# (900) seconds for one file.
#
# Every line is TAP or a comment; the last one is `N passed, N failed, N skipped`. A file that ends
# before its plan is fulfilled has failed, and so has a run in which no test was carried out. Exits 0
# when none failed.
set -u

cd "$(dirname "$0")/.." || exit 1

BUILD=${BUILD:-build}
JOBS=${JOBS:-2}
FILE_TIMEOUT=${FILE_TIMEOUT:-900}
install=1
if [ "${1-}" = --no-install ]; then
	install=
	shift
fi

passed=0 failed=0 skipped=0
work=$(mktemp -d) || exit 1
workers=

# shellcheck disable=SC2317 # called by trap
cleanup() {
	for pid in $workers; do
		kill "$pid" 2>/dev/null
	done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}

# What the tests stand on did not come about: that is a failure.
give_up() {
	echo "not ok - $*"
	failed=$((failed + 1))
	finish
}

prepare() {
	if [ -n "$install" ]; then
		sh scripts/deps.sh build test || give_up "install what building and testing need"
		CONSUL=$(sh scripts/consul.sh) || give_up "get a consul to test with"
	else
		CONSUL=$(sh scripts/consul.sh --no-fetch 2>/dev/null) || CONSUL=
	fi
	command -v bats >/dev/null || give_up "find bats; \`sh scripts/deps.sh test\` installs it"
	# As arguments, for those beat what a make above this script was told.
	${MAKE:-make} -j"$(nproc)" BUILD="$BUILD" ${SAN:+SAN="$SAN"} all units >"$work/make.log" 2>&1 || {
		cat "$work/make.log"
		give_up "build"
	}

	case $BUILD in
	/*) PP_BUILD=$BUILD ;;
	*) PP_BUILD=$PWD/$BUILD ;;
	esac
	PP=$PP_BUILD/pp
	PP_UNPACK=$PP_BUILD/pp-unpack
	export PP_BUILD PP PP_UNPACK CONSUL
	# A sanitizer's exit code is one that no test expects.
	export ASAN_OPTIONS="exitcode=99:detect_stack_use_after_return=1:${ASAN_OPTIONS-}"
	export UBSAN_OPTIONS="exitcode=99:print_stacktrace=1:${UBSAN_OPTIONS-}"
	export LSAN_OPTIONS="exitcode=99:${LSAN_OPTIONS-}"
	# What a test leaves goes with this script's own files, though it be killed.
	TMPDIR=$work/tmp
	mkdir "$TMPDIR"
	export TMPDIR
	# What make tells its children is not for those that tests start.
	unset BUILD SAN MAKEFLAGS MFLAGS MAKELEVEL MAKE T
}

is_wanted() {
	[ -n "$names" ] || return 0
	base=${1##*/}
	base=${base%.*}
	case " $names " in
	*" $base "* | *" ${base#test_} "*) return 0 ;;
	esac
	return 1
}

# Write the test files to run to $work/files, unit tests first.
list_files() {
	: >"$work/files"
	for file in tests/unit/test_*.c tests/bats/*.bats; do
		if [ -e "$file" ] && is_wanted "$file"; then
			echo "$file" >>"$work/files"
		fi
	done
}

# Run the test file $1 with its output in $work/$2.out and its exit code in $work/$2.status.
run_file() {
	case $1 in
	*.bats) set -- "$1" "$2" bats --tap "$1" ;;
	*)
		base=${1##*/}
		set -- "$1" "$2" "$PP_BUILD/unit/${base%.c}"
		;;
	esac
	out=$work/$2
	shift 2
	timeout -k 15 "$FILE_TIMEOUT" "$@" >"$out.out" 2>&1 </dev/null &
	child=$!
	wait "$child"
	echo $? >"$out.status.new"
	child=
	mv "$out.status.new" "$out.status"
}

# Take one file after the other that nobody else has taken.
work_off() {
	child=
	trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 1' TERM
	trap - EXIT HUP INT
	i=0
	while read -r file; do
		i=$((i + 1))
		if mkdir "$work/$i.taken" 2>/dev/null; then
			run_file "$file" "$i"
		fi
	done <"$work/files"
}

# Count the TAP in $1: prints passed, failed, skipped and how many of the plan are missing, which is
# at least 1 where there is no plan.
count_tap() {
	awk '
	/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0; planned = 1 }
	/^not ok/ { failed++ }
	/^ok/ { if (tolower($0) ~ / # skip/) skipped++; else passed++ }
	END {
		missing = planned ? plan - passed - failed - skipped : 1
		if (missing < 0) missing = -missing
		print passed + 0, failed + 0, skipped + 0, missing
	}' "$1"
}

# Show and count the results of file number $1, called $2.
report() {
	status=$(cat "$work/$1.status" 2>/dev/null || echo none)
	echo "# $2"
	[ ! -f "$work/$1.out" ] || cat "$work/$1.out"
	[ -f "$work/$1.out" ] || : >"$work/$1.out"
	read -r p f s missing <<-EOF
		$(count_tap "$work/$1.out")
	EOF
	if [ "$missing" -gt 0 ]; then
		case $status in
		124 | 137) echo "not ok - $2: not done after $FILE_TIMEOUT s" ;;
		*) echo "not ok - $2: ended (exit code $status) with its plan not fulfilled" ;;
		esac
		f=$((f + missing))
	elif [ "$status" != 0 ] && [ "$f" -eq 0 ]; then
		echo "not ok - $2: exit code $status"
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# Wait until file number $1 is done, or nobody is left who could be at it.
await() {
	while [ ! -f "$work/$1.status" ]; do
		alive=
		for pid in $workers; do
			if kill -0 "$pid" 2>/dev/null; then
				alive=1
			fi
		done
		[ -n "$alive" ] || return 0
		sleep 0.2
	done
}

names=$*
prepare
list_files
[ -s "$work/files" ] || give_up "find tests${names:+ called $names}"

n=0
while [ "$n" -lt "$JOBS" ]; do
	n=$((n + 1))
	work_off &
	workers="$workers $!"
done

n=0
while read -r file; do
	n=$((n + 1))
	await "$n"
	report "$n" "$file"
done <"$work/files"

[ $((passed + failed)) -gt 0 ] || give_up "carry out a single test"
finish
