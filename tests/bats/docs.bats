#!/usr/bin/env bats
# What is written about pp holds: manual pages, README.md, HACKING.md.

load helper

AGENTS="preparer setlive iptables sudoers"

# Print the names in the table that $1 (a C file) holds as { "name", ... and that begins with $2.
names_of_table() {
	sed -n "/$2/,/^};/s/^	{ \"\([a-z_-]*\)\".*/\1/p" "$TOP/$1"
}

commands() {
	names_of_table cmd/main.c 'struct cmd cmds\[\] ='
}

# The manual page of a command.
page_of() {
	case $1 in
	help) echo "$TOP/man/pp.1" ;;
	enable) echo "$TOP/man/pp-disable.1" ;;
	*) echo "$TOP/man/pp-$1.1" ;;
	esac
}

# Print the options, with their dashes, that `pp ARG... --help` prints.
options_of() {
	pp "$@" --help | grep '^ *-' | grep -o -e '^ *-[a-z],' -e '--[a-z0-9-]*' | tr -d ' ,' | sort -u
}

# Does the page $1 list the option $2? In mdoc, --store is "Fl -store".
describes_option() {
	grep -E -q -e "^\.It (.* )?Fl ${2#-}( |\$)" "$1"
}

# --- manual pages

@test "every command has a manual page, and pp(1) lists it" {
	[ "$(commands | wc -l)" -ge 6 ]
	for cmd in $(commands); do
		[ -f "$(page_of "$cmd")" ] || fail "$cmd has no manual page"
		grep -E -q "Cm $cmd( |\$)" "$(page_of "$cmd")" || fail "$(page_of "$cmd") does not show $cmd"
		grep -E -q "^\.It .*Cm $cmd( |\$)" "$TOP/man/pp.1" || fail "pp(1) does not list $cmd"
	done
}

@test "every option that a command's --help prints is in its manual page" {
	for cmd in $(commands); do
		[ "$cmd" != help ] || continue
		[ "$(options_of "$cmd" | wc -l)" -ge 5 ]
		for option in $(options_of "$cmd"); do
			describes_option "$(page_of "$cmd")" "$option" || fail "$cmd: $option is not described"
		done
	done
}

@test "every option of an agent is in pp-converge(1)" {
	[ "$(names_of_agents)" = "$AGENTS" ]
	for agent in $AGENTS; do
		for option in $(options_of converge "$agent"); do
			describes_option "$TOP/man/pp-converge.1" "$option" || fail "$agent: $option is not described"
		done
		grep -q "^\.Ss $agent\$" "$TOP/man/pp-converge.1"
		grep -q "^\.It Cm $agent\$" "$TOP/man/pp.1"
	done
}

# As pp help lists them.
names_of_agents() {
	pp help | sed -n '/^Agents:/,/^$/s/^  \([a-z]*\) .*/\1/p' | xargs
}

@test "every verb of pp intent is in its manual page" {
	[ "$(names_of_table cmd/intent.c 'struct verb verbs\[\] =' | wc -l)" -ge 6 ]
	for verb in $(names_of_table cmd/intent.c 'struct verb verbs\[\] ='); do
		grep -E -q "^\.Cm intent $verb( |\$)" "$TOP/man/pp-intent.1"
		grep -E -q "^\.It Cm $verb( |\$)" "$TOP/man/pp-intent.1"
	done
}

@test "every option of pp-unpack is in its manual page" {
	options=$("$PP_UNPACK" --help | grep -o -e '--[a-z0-9-]*' | sort -u)
	[ "$(echo "$options" | wc -l)" -ge 17 ]
	for option in $options; do
		describes_option "$TOP/man/pp-unpack.8" "$option" || fail "$option is not described"
		# It is a way to call it, too.
		[ "$option" = --help ] || sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/p' "$TOP/man/pp-unpack.8" |
			grep -q -E -e "Fl ${option#-}( |\$)" || fail "$option is not in the synopsis"
	done
}

@test "every setting is in pp.conf(5), in the section of its agent and with its variable" {
	for agent in $AGENTS; do
		for option in $(options_of converge "$agent" | grep '^--'); do
			name=${option#--}
			case $name in
			adopt-store | allow-empty | app | continue-on-failure | dry-run | help | purge | yes)
				grep -q -e "Fl -$name" "$TOP/man/pp.conf.5" || fail "$name is not said to be a flag only"
				continue
				;;
			esac
			grep -q "^\.It Ic $name\$" "$TOP/man/pp.conf.5" || fail "$name is not in pp.conf(5)"
			variable=PP_$(printf '%s' "$name" | tr 'a-z-' 'A-Z_')
			grep -E -q "^\.It Ev .*$variable( |\$)" "$TOP/man/pp.conf.5" || fail "$variable is not there"
		done
		own=$(options_of converge "$agent" | grep -v -x -F -e "$(options_of converge)" |
			grep -v -x -e --yes -e -y -e --continue-on-failure -e --purge | sed 's/^--//')
		[ -n "$own" ]
		for name in $own; do
			sed -n "/^\.Ss The section $agent\$/,/^\.Ss/p" "$TOP/man/pp.conf.5" | grep -q "^\.It Ic $name\$" ||
				fail "$name is not in the section $agent"
		done
	done
}

# conf_example N: print the Nth example of pp.conf(5) as a file.
conf_example() {
	awk -v n="$1" '/^\.Sh/ { in_examples = /EXAMPLES/ }
		in_examples && /^\.Bd/ { k++; next }
		/^\.Ed/ { if (k == n) exit }
		in_examples && k == n' "$TOP/man/pp.conf.5"
}

@test "the examples of pp.conf(5) are read as they are" {
	for n in 1 2; do
		conf_example $n >"$PP_CONF"
		grep -q '^\[preparer\]' "$PP_CONF"
		store_dir
		# What this host has is none of the examples' business.
		elsewhere=$BATS_TEST_TMPDIR/elsewhere
		PP_NODE='' pp converge preparer -n
		PP_NODE='' pp converge setlive -n --runit="$elsewhere" --runit-stage="$elsewhere"
		PP_NODE='' pp converge iptables -n --config-dir="$elsewhere"
		PP_NODE='' pp converge sudoers -n --path="$elsewhere"
		pp status --runit="$elsewhere" --runit-stage="$elsewhere" --config-dir="$elsewhere" --path="$elsewhere"
	done
}

@test "every key that pp intent takes is in pp-store(7)" {
	keys=$(names_of_table lib/intent/edit.c '} keys\[\] =')
	[ "$(echo "$keys" | wc -l)" -ge 14 ]
	for key in $keys; do
		grep -E -q "^\.It Va (.* )?$key( |\$)" "$TOP/man/pp-store.7" || fail "$key is not described"
	done
}

@test "every variable of Consul's that is read is in pp-store(7)" {
	for name in $(grep -o '"CONSUL_[A-Z_]*"' "$TOP/lib/store/consul_env.c" | tr -d '"' | sort -u); do
		grep -E -q "^\.It Ev .*$name( |\$)" "$TOP/man/pp-store.7" || fail "$name is not described"
	done
}

@test "the documents in pp-store(7) are ones that pp reads" {
	store_dir
	mkdir -p "$BATS_TEST_TMPDIR/docs"
	awk -v dir="$BATS_TEST_TMPDIR/docs" '/^\.Ss/ { name = $2 } /^\.Bd/ { on = 1; next } /^\.Ed/ { on = 0 }
		on && name ~ /\// { file = name; gsub(/[<>]/, "", file); gsub(/\//, "-", file)
			print >(dir "/" file) }' "$TOP/man/pp-store.7"
	sed "s/<64 hex digits>/$(printf x | sha256sum | cut -c1-64)/" \
		"$BATS_TEST_TMPDIR/docs/clusters-app-cluster-config" >"$BATS_TEST_TMPDIR/config"
	store_put nodes/node1/slug "$(cat "$BATS_TEST_TMPDIR/docs/nodes-node-app")"
	store_put clusters/slug/production/config "$(cat "$BATS_TEST_TMPDIR/config")"
	store_put clusters/slug/production/deploy_config "$(cat "$BATS_TEST_TMPDIR/docs/clusters-app-cluster-deploy_config")"
	store_put owners/slug "$(cat "$BATS_TEST_TMPDIR/docs/owners-app")"
	store_put pp/store "$(cat "$BATS_TEST_TMPDIR/docs/pp-store")"
	run -0 pp intent get slug
	[[ $output == *"basedir=/data/slug"* ]]
	# The user slug may not be here, and that is no fault of the documents.
	run --separate-stderr pp status --format=json --config-dir="$BATS_TEST_TMPDIR" --path="$BATS_TEST_TMPDIR" \
		--runit="$BATS_TEST_TMPDIR/none" --runit-stage="$BATS_TEST_TMPDIR/none"
	[ "$(jq -r '.apps[0].active' <<<"$output")" = def456 ]
	[[ $(jq -r '.apps[0].agents.preparer.state' <<<"$output") =~ ^(pending|failed)$ ]]
	[ "$(jq -r '.apps[0].agents.sudoers.state' <<<"$output")" = pending ]
	[ "$stderr" = "" ]
}

@test "a page is named where its command, its agent or its file is spoken of" {
	for page in "$TOP"/man/*.[1-9]; do
		name=$(basename "$page")
		[ "$name" = pp.1 ] || grep -q "^\.Xr ${name%.*} ${name##*.}" "$TOP/man/pp.1" || fail "pp(1) does not name $name"
	done
	# And none is named that is not there.
	grep -h -o '^\.Xr pp[a-z.-]* [0-9]' "$TOP"/man/*.[1-9] | sed 's/^\.Xr //; s/ /./' | sort -u |
		while read -r ref; do
			[ -f "$TOP/man/$ref" ] || fail "$ref is not there"
		done
	for ref in $(pp help | grep -o 'pp[a-z.-]*([0-9])'); do
		[ -f "$TOP/man/$(echo "$ref" | sed 's/(/./; s/)//')" ] || fail "$ref is not there"
	done
}

@test "every page has what an on-call person looks for" {
	for page in "$TOP"/man/*.[1-9]; do
		for section in DESCRIPTION EXAMPLES 'SEE ALSO'; do
			grep -q "^\.Sh $section\$" "$page" || fail "${page##*/} has no $section"
		done
		# What is no command has no exit status.
		case ${page##*/} in
		pp-store.7 | pp-lease.7 | pp-health.7) ;;
		*) grep -q '^\.Sh EXIT STATUS$' "$page" || fail "${page##*/}: no EXIT STATUS" ;;
		esac
	done
	for page in pp.1 pp-converge.1 pp-intent.1 pp-status.1 pp-disable.1 pp-unpack.8 pp.conf.5 pp-store.7 \
		pp-repository.7; do
		for section in FILES DIAGNOSTICS; do
			grep -q "^\.Sh $section\$" "$TOP/man/$page" || fail "$page has no $section"
		done
		sed -n '/^\.Sh EXAMPLES/,/^\.Sh/p' "$TOP/man/$page" | grep -q '\* \* \*' || fail "$page has no cron line"
	done
}

# Lines that pp-converge(1) explains are lines of the program: what is between dots and names is in it.
@test "the lines that pp-converge(1) explains are in the program" {
	for words in 'nothing was done' 'knows no leader; look at its servers' \
		'is being updated by git; if no git runs, remove ' 'this one leaves it alone' \
		'the time of --timeout is up before' 'held as it is' 'there is no such document' 'has no id (pp/store)' \
		'for the first time; removing waits for the' 'is another store than the one this node knows' \
		'apps would be removed at once; a pass' \
		'nothing is removed yet: ' 'what was believed last is still started, nothing else is done' \
		'what was read is not kept for when the store is down: ' \
		'changes faster than it can be read; the next run tries again' \
		'is there, but the list did not show it' 'could not fetch ownership data' 'no such artifact; tried' \
		'sha256 does not match' 'not a directory; ' 'install pp whole' 'not prepared, skipping' \
		'did not stop in time, killing it' 'Could not stop' 'Could not start' \
		'is live and not healthy: ' 'Going back to ' 'this stays so until what is' 'is not made live' '; going on' \
		'so no node that is healthy on another version goes to' 'and no node passes on it yet' \
		'it is done as soon as somebody has stopped it' 'not stopped: stopping may take ' \
		'is not executable; set its run bit and pack a new version' 'the agent may not ' ' as going down in ' \
		'nothing supervises' 'in the way: pp did not make it' 'not executable; set its run bit' \
		'error refreshing portauthority' 'in the way: pp did not write it' 'port_authority takes no range like' \
		'could not validate sudoers' 'cannot stand for a user in sudoers, where a word in'; do
		grep -q -F "$words" "$TOP/man/pp-converge.1" "$TOP/man/pp-unpack.8" || fail "not in the page: $words"
		# Compilers join what stands in pieces.
		cat "$TOP"/cmd/*.c "$TOP"/lib/*/*.c | perl -0pe 's/"\s*\n\s*"//g' | grep -q -F "$words" ||
			fail "not in the program: $words"
	done
}

# Print "file: words" for each error that the C files $@ make: of its text the longest piece that is the
# same whatever it is about.
errors_of() {
	perl -0777 -ne '
		s/"\s*PRI\w+\s*"/d/g;
		s/"\s*\n\s*"//g;
		while (/err_set\([^;]*?"((?:[^"\\]|\\.)*)"/g) {
			my $text = $1;
			$text =~ s/\\"/"/g;
			my ($words) = sort { length $b <=> length $a }
				map { s/\x01/%/g; s/^[ ,:;]+|[ ,:;]+$//g; $_ }
				split /%[-0-9.*]*(?:ll|[zjlh])?[a-zA-Z]/, $text =~ s/%%/\x01/gr;
			print "$ARGV: $words\n" if length $words >= 6;
		}' "$@"
}

@test "every error about an artifact, a repository, a key or an install is in a manual page" {
	sed 's/\\(dq/"/g; s/\\&//g' "$TOP"/man/pp-converge.1 "$TOP"/man/pp-repository.7 "$TOP"/man/pp-trust.7 \
		"$TOP"/man/pp-unpack.8 >"$BATS_TEST_TMPDIR/pages"
	cd "$TOP"
	errors_of lib/agent/preparer*.c lib/agent/jobs.c lib/artifact/*.c lib/net/http.c cmd/pp-unpack.c >"$BATS_TEST_TMPDIR/errors"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/errors")" -ge 100 ]
	while IFS= read -r line; do
		words=${line#*: }
		case $words in
		# One that nobody sees: it makes the download begin anew.
		'has changed') continue ;;
		# One that cannot come up as long as a process fetches one artifact.
		'could not be reached a moment ago, and was not asked') continue ;;
		# Of http(s) requests of the store, which say more.
		'the answer is larger than') continue ;;
		esac
		grep -q -F -e "$words" "$BATS_TEST_TMPDIR/pages" || fail "in no page: $line"
	done <"$BATS_TEST_TMPDIR/errors"
}

@test "the defaults and limits that the manual pages tell are those of the code" {
	while read -r file page words; do
		define=${words%% = *} said=${words#* = }
		grep -q -F -e "$define" "$TOP/$file" || fail "$file has no: $define"
		tr '\n' ' ' <"$TOP/man/$page" | grep -q -F -e "$said" || fail "$page does not say: $said"
	done <<-'EOT'
		lib/agent/preparer.c pp-converge.1 KEEP_DEFAULT 3 = no longer intended: 3, unless set
		lib/artifact/room.h pp-converge.1 ROOM_RESERVE_PERCENT 5 = 5%, unless set
		lib/agent/jobs.h pp-converge.1 JOBS_DEFAULT_MAX 4 = but at most 4, unless set
		lib/agent/jobs.c pp-converge.1 JOBS_MAX 64 = 64 at the most
		lib/agent/preparer_install.c pp-repository.7 ARTIFACT_MAX (UINT64_C(64) << 30) = An artifact may have 64 GiB
		lib/artifact/fetch.h pp-repository.7 FETCH_BESIDE_MAX ((size_t)64 * 1024) = what lies beside it 64 KiB
		lib/artifact/fetch.c pp-repository.7 BESIDE_MS (INT64_C(120) * 1000) = and two minutes
		lib/artifact/fetch.c pp-repository.7 WHOLE_MS (INT64_C(3600) * 1000) = An artifact takes an hour at most
		lib/artifact/fetch_url.c pp-repository.7 ATTEMPTS 4 = up to three times more
		lib/artifact/fetch_url.c pp-repository.7 PATIENCE_S 60 = more than a minute
		lib/artifact/fetch_url.c pp-repository.7 MIN_RATE 1024 = below 1024 bytes a second for 30 seconds
		lib/net/http.c pp-repository.7 STALL_SECONDS 30 = below 1024 bytes a second for 30 seconds
		lib/net/http.c pp-repository.7 CONNECT_TIMEOUT_MS 5000 = within 5 seconds
		lib/net/http.c pp-repository.7 REDIRECTS_MAX 5 = At most five redirects
		lib/net/http.c pp-repository.7 HEADERS_BYTES_MAX ((size_t)256 * 1024) = may have 256 KiB
		lib/net/http.h pp-repository.7 HTTP_WORDS_MAX 16384 = 16 KiB are read
		lib/artifact/unpack_sign.h pp-trust.7 UNPACK_SIGN_LEGACY_MAX (1 << 30) = of up to 1 GiB
		lib/artifact/trust.h pp-trust.7 TRUST_KEYS_DIR "/etc/pp/trusted.d" = /etc/pp/trusted.d/*.pub
		lib/artifact/unpack_limits.h pp-unpack.8 UNPACK_MAX_SIZE (UINT64_C(64) << 30) = 64 GiB unless given
		lib/artifact/unpack_limits.h pp-unpack.8 UNPACK_MAX_FILES UINT64_C(1000000) = 1,000,000 unless given
		lib/artifact/unpack_limits.h pp-unpack.8 UNPACK_MAX_RATIO UINT64_C(200) = 200 unless given
		lib/artifact/unpack_limits.h pp-unpack.8 UNPACK_RATIO_FREE_BYTES (UINT64_C(64) << 20) = The first 64 MiB
		lib/artifact/unpack_codec.h pp-unpack.8 UNPACK_CODEC_WINDOW_BYTES (16 << 20) = more than 16 MiB in memory
		lib/artifact/unpack_minisign.h pp-unpack.8 UNPACK_MINISIGN_SIG_MAX 16384 = of at most 16 KiB
		lib/artifact/unpack_check.h pp-unpack.8 UNPACK_CHECK_SHOWN 20 = the first twenty of them
		cmd/pp-unpack.c pp-unpack.8 OPEN_FILES 2112 = 2112 open files
		cmd/pp-unpack.c pp-unpack.8 MEMORY_BYTES (UINT64_C(64) << 20) = 64 MiB of data
		cmd/pp-unpack.c pp-unpack.8 FILE_BYTES_MIN (UINT64_C(4) << 30) = or 4 GiB, whichever is more
	EOT
}

@test "the units that pp-converge(1) enables are in cron/, and systemd understands them" {
	units=$(grep -h -o 'systemctl enable --now [^ ]*' "$TOP/man/pp-converge.1" "$TOP"/cron/*.timer | awk '{ print $4 }' | sort -u)
	[ "$(echo "$units" | wc -l)" -ge 3 ]
	for unit in $units; do
		[ -f "$TOP/cron/$(sed 's/@[a-z]*/@/' <<<"$unit")" ] || fail "$unit is not in cron/"
	done
	command -v systemd-analyze || skip "no systemd here"
	for kind in service timer; do
		sed "s|/usr/local/bin/pp|$PP|" "$TOP/cron/pp-verify-installs.$kind" >"$BATS_TEST_TMPDIR/pp-verify-installs.$kind"
	done
	run -0 systemd-analyze verify --man=no "$BATS_TEST_TMPDIR/pp-verify-installs.service" \
		"$BATS_TEST_TMPDIR/pp-verify-installs.timer"
	[ "$output" = "" ]
}

@test "manual pages are clean for mandoc" {
	command -v mandoc >/dev/null || skip "no mandoc: sh scripts/deps.sh lint installs it"
	make -C "$TOP" --no-print-directory lint-man
}

# --- README.md

@test "README's first screen has the two commands, and they are there" {
	head -n 40 "$TOP/README.md" >"$BATS_TEST_TMPDIR/screen"
	for command in "sh examples/quickstart.sh" "sh tests/run.sh"; do
		grep -q -x " *$command" "$BATS_TEST_TMPDIR/screen"
		[ -f "$TOP/${command#sh }" ]
		sh -n "$TOP/${command#sh }"
	done
}

# Every word of a Markdown file that looks like a path of this tree.
paths_in() {
	grep -o -E '(^|[^/A-Za-z])(cmd|lib|man|tests|examples|scripts|cron)/[A-Za-z0-9_./*@-]+' "$TOP/$1" |
		sed 's|^[^a-z]*||; s|[.,]*$||; /[-_]$/d' | sort -u
}

@test "every file that README.md and HACKING.md name is there" {
	for doc in README.md HACKING.md; do
		[ "$(paths_in "$doc" | wc -l)" -ge 5 ]
		for path in $(paths_in "$doc"); do
			case $path in
			# A file that the reader makes, by a recipe.
			lib/agent/note.c) continue ;;
			esac
			compgen -G "$TOP/$path" >/dev/null || fail "$doc: $path is not there"
		done
	done
}

@test "README's walk-through is the one of the prototype, and works" {
	consul_start --server
	runit_start
	make -C "$TOP" --no-print-directory -o all BUILD="$PP_BUILD" PREFIX="$BATS_TEST_TMPDIR/pp" install >/dev/null
	export PATH=$BATS_TEST_TMPDIR/pp/bin:$PATH:$BATS_TEST_TMPDIR/pp/share/pp/examples/fake/bin
	# Others may be at that port.
	port=$(free_port)
	sed -i "s|\${PORT:-1212}|$port|" "$BATS_TEST_TMPDIR"/pp/share/pp/examples/slug/bin/{launch,check}
	unset PP_NODE PP_CONF
	# The same lines, in directories of this test.
	sed -n '/^## A first deployment/,/^## /p' "$TOP/README.md" | sed -n 's/^    \$ //p' |
		grep -E '^(sh |pp |pp-)' |
		sed -e "s|/tmp/pp/|$BATS_TEST_TMPDIR/pp/|g" -e "s|/tmp/try|$BATS_TEST_TMPDIR/try|g" \
			-e "s|$BATS_TEST_TMPDIR/try/service\\b|$RUNIT|g" -e "s|/tmp/local-repo|$REPO|g" \
			-e "s|/tmp/slug|$BASEDIR|g" >"$BATS_TEST_TMPDIR/walk.sh"
	[ "$(grep -c '^pp-' "$BATS_TEST_TMPDIR/walk.sh")" -ge 4 ]
	export REPO BASEDIR
	cd "$TOP"
	run -0 sh -e "$BATS_TEST_TMPDIR/walk.sh"
	for line in "Polling intent store" "Checking spec for slug" "Does not exist: " "Extracting " "Moving " \
		"slug: Stopping" "slug: Configuring service builder" "slug: Symlinking" "slug: Starting" \
		"slug: allowing tcp:1212" "refreshing portauthority" "slug: wrote new sudoers"; do
		[[ $output == *"$line"* ]] || fail "no line: $line"
	done
	[ "$(readlink "$BASEDIR/current")" = installs/slug_e928e5ad8814441e7c503d7f6c9e55d72584c006 ]
}

# --- HACKING.md

@test "no folder of lib includes one that HACKING.md lists above it" {
	folders=$(sed -n 's|^    lib/\([a-z]*\)/ .*|\1|p' "$TOP/HACKING.md")
	[ "$(echo "$folders" | wc -l)" = "$(find "$TOP/lib" -mindepth 1 -maxdepth 1 -type d | wc -l)" ]
	below=
	for folder in $(echo "$folders" | tac); do
		below="$below $folder"
		uses=$(sed -n 's|^#include "lib/\([a-z]*\)/.*|\1|p' "$TOP/lib/$folder"/*.[ch] | sort -u)
		for used in $uses; do
			[[ " $below " == *" $used "* ]] || fail "lib/$folder includes lib/$used"
		done
		run -1 grep -l '^#include "cmd/' "$TOP/lib/$folder"/*.[ch]
	done
}

@test "every function that HACKING.md names is in the file that it names with it" {
	names=$(grep -o '[a-z_]*()' "$TOP/HACKING.md" | tr -d '()' | sort -u)
	[ "$(echo "$names" | wc -l)" -ge 10 ]
	for name in $names; do
		grep -q -w "$name" "$TOP"/cmd/*.c "$TOP"/lib/*/*.c || fail "there is no $name()"
	done
}

# Carry out the section "$1" of HACKING.md in the tree $2: a block "c FILE" is that file, of a
# block "diff" each hunk is put in the place of the one passage that it fits.
carry_out() {
	perl -0777 -e '
		my ($title, $tree) = @ARGV;
		my ($section) = do { local @ARGV = ($ENV{TOP} . "/HACKING.md"); <> } =~ /^### \Q$title\E\n(.*?)(?=^##)/ms
			or die "no section $title";
		my $blocks = 0;
		while ($section =~ /^( *)```(\w+)(?: (\S+))?\n(.*?)^\1```$/msg) {
			my ($indent, $kind, $name, $text) = ($1, $2, $3, $4);
			$text =~ s/^\Q$indent\E//mg;
			$blocks++;
			if ($kind eq "c") {
				open(my $out, ">", "$tree/$name") or die "$name: $!";
				print $out $text;
				close($out) or die;
				next;
			}
			my ($head, @hunks) = split /^@@\n/m, $text;
			my ($file) = $head =~ m{^\+\+\+ b/(\S+)$}m or die "a diff of no file";
			open(my $in, "<", "$tree/$file") or die "$file: $!";
			my $content = <$in>;
			for my $hunk (@hunks) {
				my ($old, $new) = ("", "");
				for my $line (split /(?<=\n)/, $hunk) {
					my $rest = $line =~ /^\n/ ? $line : substr($line, 1);
					$old .= $rest if $line !~ /^\+/;
					$new .= $rest if $line !~ /^-/;
				}
				my $count = () = $content =~ /^\Q$old\E/mg;
				die "$file has $count passages like this:\n$old" if $count != 1;
				$content =~ s/^\Q$old\E/$new/m;
			}
			open(my $out, ">", "$tree/$file") or die;
			print $out $content;
			close($out) or die;
		}
		die "no blocks" if $blocks < 3;' "$1" "$2"
}

@test "the recipe to add an agent makes one that works" {
	tree=$BATS_TEST_TMPDIR/tree
	mkdir "$tree"
	cp -r "$TOP/Makefile" "$TOP/cmd" "$TOP/lib" "$tree"
	carry_out "Add an agent" "$tree"
	env -u MAKEFLAGS -u CFLAGS -u CPPFLAGS -u LDFLAGS make -C "$tree" -j2 WERROR=1 BUILD=build all \
		>"$BATS_TEST_TMPDIR/make.log" 2>&1
	PP=$tree/build/pp
	run -0 pp help
	[[ $output == *"note      name each app's active version in a file"* ]]
	[[ $(options_of converge note) == *--notes* ]]

	store_dir
	intent_slug
	notes=$BATS_TEST_TMPDIR/notes
	echo "[note]
notes = $notes" >"$PP_CONF"
	run -0 pp converge note --dry-run
	[ "$output" = "note slug: would write the note of slug (it does not name the active version)" ]
	[ ! -e "$notes" ]
	run -0 pp converge note
	[[ $output == *"slug: write the note of slug" ]]
	[ "$(cat "$notes/slug")" = def456 ]
	run -0 pp converge note
	[ "$output" = "" ]
	run pp status --format=json --config-dir="$notes" --path="$notes" --runit="$notes" --runit-stage="$notes"
	[ "$(jq -r '.apps[0].agents.note.state' <<<"$output")" = converged ]

	# Doubt changes nothing; what the store says does.
	echo '{' >"${PP_STORE#dir:}/clusters/slug/demo/config.json"
	run -1 pp converge note
	[[ $output == *"slug: held as it is: clusters/slug/demo/config: line "* ]]
	[ "$(cat "$notes/slug")" = def456 ]
	rm "${PP_STORE#dir:}/clusters/slug/demo/config.json"
	pp intent set slug/demo versions=abc123:active
	pp intent unassign slug/demo node1
	run -0 pp converge note
	[[ $output == *"nothing is removed yet: 1 of 1 apps would be removed at once"* ]]
	run -0 pp converge note --allow-empty
	[[ $output == *"slug: remove the note of slug" ]]
	[ "$(ls "$notes")" = "" ]
}
