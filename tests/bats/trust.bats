#!/usr/bin/env bats
# What vouches for an artifact. All signatures are made by minisign itself; the first tests are about
# pp-unpack, which verifies them, the others about the whole program.

load helper
load node

setup() {
	helper_setup
	need minisign
	store_dir
	KEYS=$BATS_TEST_TMPDIR/trusted.d
	SECRETS=$BATS_TEST_TMPDIR/secrets
	STAGE=$BATS_TEST_TMPDIR/stage
	mkdir -m 0755 "$KEYS"
	mkdir "$SECRETS" "$STAGE"
	umask 022
}

# key NAME [DIR]: a key pair of somebody; its public half goes to the trusted ones.
key() {
	minisign -G -f -W -p "${2:-$KEYS}/$1.pub" -s "$SECRETS/$1" >/dev/null
}

# The id of the key NAME in DIR.
key_id() {
	sed -n '1s/.* //p' "${2:-$KEYS}/$1.pub"
}

# artifact [VERSION]: $ARTIFACT, whose file name is $NAME and whose signature is to be $SIGNATURE.
artifact() {
	repo_add slug "${1:-abc}"
	NAME=slug_${1:-abc}.tar.gz
	ARTIFACT=$REPO/slug/$NAME
	SIGNATURE=$ARTIFACT.minisig
}

# sign KEY [ARG...]: sign $ARTIFACT.
sign() {
	minisign -S -W -s "$SECRETS/$1" "${@:2}" -m "$ARTIFACT" </dev/null
}

# pp-unpack with the signature. Runs a program in front of it, if given.
unpack() {
	(cd "$STAGE" && exec "$@" "$PP_UNPACK" --signature=9 --name="$NAME" --keys="$KEYS" \
		<"$ARTIFACT" 9<"$SIGNATURE")
}

unpacked() {
	[ -x "$STAGE/bin/launch" ]
	rm -rf "$STAGE"
	mkdir "$STAGE"
}

# refused CODE PATTERN: with that code and that one line, and nothing is unpacked. It may stand in an
# or-list, where no command ends a function by failing.
refused() {
	run "-$1" --separate-stderr unpack || return 1
	# shellcheck disable=SC2053
	if [[ $stderr != $2 || $stderr == *$'\n'* || -n $output ]]; then
		fail "it says: $stderr$output
  wanted: $2"
		return 1
	fi
	[ -z "$(ls -A "$STAGE")" ]
}

# edit FILE PERL: change it in place as a whole.
edit() {
	perl -0777 -pi -e "$2" "$1"
}

# --- signatures

@test "a signature as plain minisign makes it is verified, prehashed or legacy" {
	key alice
	artifact
	for kind in '' -H -l; do
		# shellcheck disable=SC2086
		sign alice $kind
		unpack
		unpacked
	done
}

@test "an artifact that is not what was signed is refused, however little it differs" {
	key alice
	for kind in -H -l; do
		artifact
		sign alice $kind
		cp "$ARTIFACT" "$BATS_TEST_TMPDIR/good"
		printf x >>"$ARTIFACT"
		refused 65 "the signature does not match: the artifact is not what was signed by key $(key_id alice) (alice.pub)"
		head -c -1 "$BATS_TEST_TMPDIR/good" >"$ARTIFACT"
		refused 65 "the signature does not match: *"
		: >"$ARTIFACT"
		refused 65 "the signature does not match: *"
		cp "$BATS_TEST_TMPDIR/good" "$ARTIFACT"
		tamper slug abc
		refused 65 "the signature does not match: *"
		cp "$BATS_TEST_TMPDIR/good" "$ARTIFACT"
		unpack
		unpacked
	done
}

@test "a signature by a key that is not trusted is refused, and the key named" {
	key alice
	key mallory "$SECRETS"
	artifact
	sign mallory
	refused 65 "signed by key $(key_id mallory "$SECRETS"), which is not among the trusted keys in $KEYS"
}

@test "any of the trusted keys will do: keys can be changed one after the other" {
	key alice
	key bob
	artifact
	for who in alice bob; do
		sign "$who"
		unpack
		unpacked
	done
	rm "$KEYS/alice.pub"
	unpack
	unpacked
	sign alice
	refused 65 "signed by key *, which is not among the trusted keys in $KEYS"
}

@test "another key with the id of a trusted one is not that one" {
	key alice
	key mallory "$SECRETS"
	artifact
	# Mallory's key pair as one that claims alice's id: bytes 2 to 9 of the key.
	splice='use MIME::Base64; ($to, $from) = map { local @ARGV = $_; my @l = <>; decode_base64($l[1]) } @ARGV;
		substr($to, 2, 8) = substr($from, 2, 8); print "untrusted comment: x\n", encode_base64($to, "")'
	sign mallory
	perl -MMIME::Base64 -pi -e 'BEGIN { open my $f, "<", shift or die; <$f>; $id = substr decode_base64(<$f>), 2, 8 }
		if ($. == 2) { $s = decode_base64($_); substr($s, 2, 8) = $id; $_ = encode_base64($s, "") . "\n" }' \
		"$KEYS/alice.pub" "$SIGNATURE"
	refused 65 "the trusted comment of the signature is not by key $(key_id alice): it was changed"

	# Where two trusted keys have one id, each is tried.
	perl -e "$splice" "$SECRETS/mallory.pub" "$KEYS/alice.pub" >"$KEYS/twin.pub"
	unpack
	unpacked
	sign alice
	unpack
	unpacked
}

@test "a signature for one version is refused for another" {
	key alice
	artifact abc
	sign alice
	artifact def
	cp "$REPO/slug/slug_abc.tar.gz" "$ARTIFACT"
	cp "$REPO/slug/slug_abc.tar.gz.minisig" "$SIGNATURE"
	refused 65 "the signature is for file slug_abc.tar.gz, not slug_def.tar.gz"
}

@test "the trusted comment is believed only as it was signed" {
	key alice
	artifact abc
	sign alice
	for change in s/slug_abc/slug_def/ 's/(file:\S+)/$1 more/' 's/timestamp:\d/timestamp:9/'; do
		cp "$SIGNATURE" "$BATS_TEST_TMPDIR/good"
		edit "$SIGNATURE" "$change"
		refused 65 "the trusted comment of the signature is not by key $(key_id alice): it was changed"
		cp "$BATS_TEST_TMPDIR/good" "$SIGNATURE"
	done
	# Of another artifact by the same key, and as old as this one.
	artifact def
	sign alice
	sed -n 3,4p "$SIGNATURE" >"$BATS_TEST_TMPDIR/comment"
	(sed -n 1,2p "$BATS_TEST_TMPDIR/good" && cat "$BATS_TEST_TMPDIR/comment") >"$SIGNATURE"
	refused 65 "the trusted comment of the signature is not by key *"
}

@test "a trusted comment that does not say which file it is for is refused, with what to do" {
	key alice
	artifact
	sign alice -t 'my words'
	refused 65 "the signature does not say which file it is for; make it with \`minisign -Sm $NAME\`, without -t"
	sign alice -t "myfile:$NAME"
	refused 65 "the signature does not say which file it is for; *"
	sign alice -t "built by ci file:$NAME #7"
	unpack
	unpacked
}

@test "a trusted comment that names two files, or an odd one, is refused" {
	key alice
	artifact
	sign alice -t "file:$NAME file:slug_def.tar.gz"
	refused 65 "the signature names more than one file in its trusted comment"
	sign alice -t "file:$NAME file:$NAME"
	refused 65 "the signature names more than one file in its trusted comment"
	sign alice -t "file:"
	refused 65 "the signature is for file , not $NAME"
	sign alice -t "file:x/$NAME"
	refused 65 "the signature is for file x/$NAME, not $NAME"
	sign alice -t "file:$NAME."
	refused 65 "the signature is for file $NAME., not $NAME"
	sign alice -t $'file:a\e[2Jb'
	refused 65 'the signature is for file a\\x1b\[2Jb, not *'
}

@test "what minisign does not sign may be anything: the untrusted comment, ends of lines" {
	key alice
	artifact
	sign alice -c 'whatever'
	edit "$SIGNATURE" 's/whatever/signed by mallory/'
	unpack
	unpacked
	edit "$SIGNATURE" 's/\n/\r\n/g'
	unpack
	unpacked
	edit "$SIGNATURE" 's/\r\n/\n/g; s/\n$//'
	unpack
	unpacked
}

@test "what is not a signature of minisign is refused" {
	key alice
	artifact
	sign alice
	cp "$SIGNATURE" "$BATS_TEST_TMPDIR/good"
	# shellcheck disable=SC2016
	for change in '$_ = ""' '$_ = "<html>404</html>\n"' 's/^.*?\n//' 's/\n[^\n]*\n$/\n/' '$_ .= "more\n"' '$_ .= $_' \
		's/\n/\n\n/' 's/untrusted/trusted/' 's/\ntrusted/\nTrusted/' 's/\nRU/\nRX/' 's/\nRU/\n RU/' 's/=\n/\n/' \
		's/=\n/=x\n/' 's/(\n.{20})/$1 /' 's/(\n.{20})./$1/' 's/(\n.{20}).{4}/$1/' 's/hashed/hash\0ed/' '$_ .= "\0"' \
		's/hashed/hash\red/' 's/\n/\r/g' 's/\n$/\r/' '$_ .= "\n" x 20000' 's/hashed/"x" x 20000/e'; do
		cp "$BATS_TEST_TMPDIR/good" "$SIGNATURE"
		edit "$SIGNATURE" "$change"
		run ! cmp -s "$BATS_TEST_TMPDIR/good" "$SIGNATURE"
		refused 65 "not a signature of *" || fail "after $change"
	done
}

@test "any changed byte of what is signed, or signs, is noticed" {
	key alice
	artifact
	sign alice
	cp "$SIGNATURE" "$BATS_TEST_TMPDIR/good"
	# Line 1 is nobody's business; every seventh byte of the rest, one bit.
	size=$(stat -c %s "$SIGNATURE")
	start=$(head -n 1 "$SIGNATURE" | wc -c)
	for at in $(seq "$start" 7 $((size - 2))); do
		cp "$BATS_TEST_TMPDIR/good" "$SIGNATURE"
		AT=$at edit "$SIGNATURE" 'substr($_, $ENV{AT}, 1) ^= "\x01"'
		refused 65 "*signature*" || refused 65 "signed by key *" || fail "byte $at"
	done
}

@test "a prehashed signature does not pass for a legacy one, nor the other way round" {
	key alice
	artifact
	for kind in -H=RW -l=RU; do
		sign alice "${kind%=*}"
		edit "$SIGNATURE" "s/\\nR[UW]/\\n${kind#*=}/"
		refused 65 "the signature does not match: *"
	done
}

@test "a legacy signature is for files up to 1 GiB, and larger ones are told what to do" {
	key alice
	artifact
	sign alice -l
	truncate -s $(((1 << 30) + 1)) "$ARTIFACT"
	refused 65 "its signature is a legacy one, which is for files up to 1 GiB; sign it without -l"
}

# meanwhile CMD...: pp-unpack, with CMD carried out once it has mapped the artifact to verify its
# legacy signature. Its exit code is in $code, what it says in $said.
meanwhile() {
	local pid

	ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" unpack strace -f -o /dev/null \
		--inject=madvise:delay_exit=2000000 2>"$BATS_TEST_TMPDIR/said" &
	pid=$!
	wait_until bash -c "grep -qs '$NAME' /proc/[0-9]*/maps"
	"$@"
	code=0
	wait "$pid" || code=$?
	said=$(cat "$BATS_TEST_TMPDIR/said")
}

@test "an artifact that is cut short or written to while its legacy signature is verified is refused" {
	need strace
	key alice
	artifact
	sign alice -l
	meanwhile touch "$ARTIFACT"
	[ "$code" -eq 65 ]
	[ "$said" = "the artifact changed while its signature was verified" ]
	[ -z "$(ls -A "$STAGE")" ]
	# Open for writing, so that it is not kept from being written to.
	exec 8>>"$ARTIFACT"
	meanwhile truncate -s 0 "$ARTIFACT"
	exec 8>&-
	[ "$code" -eq 65 ]
	[ "$said" = "the artifact was cut short, or cannot be read, while its signature was verified" ]
	[ -z "$(ls -A "$STAGE")" ]
}

# --- trusted keys

@test "a key may be a line alone, end in CRLF, or be reached by a symlink" {
	key alice
	artifact
	sign alice
	edit "$KEYS/alice.pub" 's/\n/\r\n/g'
	unpack
	unpacked
	edit "$KEYS/alice.pub" 's/^.*?\n//; s/\s//g'
	unpack
	unpacked
	mv "$KEYS/alice.pub" "$SECRETS/alice.pub"
	ln -s "$SECRETS/alice.pub" "$KEYS/a.pub"
	unpack
	unpacked
	mv "$KEYS" "$KEYS.real"
	ln -s "$KEYS.real" "$KEYS"
	unpack
	unpacked
}

@test "a key that cannot be read as one is an error that names it, though another would do" {
	key alice
	artifact
	sign alice
	cp "$KEYS/alice.pub" "$BATS_TEST_TMPDIR/good"
	# shellcheck disable=SC2016
	for change in '$_ = ""' '$_ = "alice\n"' '$_ .= "more\n"' '$_ .= $_' 's/\nR/\nS/' 's/\nRW/\nRU/' 's/.\n$/\n/' \
		's/(\n.{9}).{4}/$1/' '$_ .= "\0"' 's/untrusted/trusted/' '$_ x= 100' \
		's/\n.*/"\nRWQ" . "A" x 53/e'; do
		cp "$BATS_TEST_TMPDIR/good" "$KEYS/typo.pub"
		edit "$KEYS/typo.pub" "$change"
		refused 78 "trusted key $KEYS/typo.pub: not a public key*" || fail "after $change"
	done
	cp "$SECRETS/alice" "$KEYS/typo.pub"
	chmod 0644 "$KEYS/typo.pub"
	refused 78 "trusted key $KEYS/typo.pub: not a public key of minisign: *"
	rm "$KEYS/typo.pub"
	unpack
	unpacked
}

@test "what is no file in the place of a key is an error" {
	key alice
	artifact
	sign alice
	mkdir "$KEYS/x.pub"
	refused 78 "trusted key $KEYS/x.pub: not a public key of minisign: it is not a file"
	rmdir "$KEYS/x.pub"
	mkfifo "$KEYS/x.pub"
	refused 78 "trusted key $KEYS/x.pub: not a public key of minisign: it is not a file"
	rm "$KEYS/x.pub"
	ln -s nowhere "$KEYS/x.pub"
	refused 1 "trusted key $KEYS/x.pub: open: No such file or directory"
	rm "$KEYS/x.pub"
	echo rubbish >"$KEYS/.x.pub"
	echo rubbish >"$KEYS/README"
	unpack
	unpacked
}

@test "a key for which nobody has to have the secret is none" {
	artifact
	# Points of small order on the curve, and a signature that would do for each: R is the point of
	# order 1, S is 0.
	for point in "$(printf '00%.0s' {1..32})" "01$(printf '00%.0s' {1..31})" \
		"ec$(printf 'ff%.0s' {1..30})7f" "ed$(printf 'ff%.0s' {1..30})7f" "ee$(printf 'ff%.0s' {1..30})ff" \
		26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05 \
		c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa; do
		POINT=$point perl -MMIME::Base64 -e 'my $id = "12345678";
			print encode_base64("Ed" . $id . pack("H*", $ENV{POINT}), ""), "\n"' >"$KEYS/weak.pub"
		NAME=$NAME perl -MMIME::Base64 -e 'my $sig = "\x01" . "\0" x 63;
			print "untrusted comment: x\n", encode_base64("ED12345678$sig", ""), "\n",
				"trusted comment: file:$ENV{NAME}\n", encode_base64($sig, ""), "\n"' >"$SIGNATURE"
		refused 78 "trusted key $KEYS/weak.pub: not a public key: anybody can sign for this one" || fail "$point"
	done
}

@test "keys that others may write are not trusted" {
	key alice
	artifact
	sign alice
	for mode in 0664 0646 0666; do
		chmod "$mode" "$KEYS/alice.pub"
		refused 77 "trusted key $KEYS/alice.pub: others than its owner may write it*chmod go-w it"
	done
	chmod 0644 "$KEYS/alice.pub"
	for mode in 0775 0757 1777; do
		chmod "$mode" "$KEYS"
		refused 77 "trusted keys $KEYS: others than its owner may write it*chmod go-w it"
	done
	chmod 0755 "$KEYS"
	unpack
	unpacked
}

@test "keys of somebody else than root and the runner are not trusted" {
	need_root
	key alice
	artifact
	sign alice
	chown nobody "$KEYS/alice.pub"
	refused 77 "trusted key $KEYS/alice.pub: it belongs to uid $(id -u nobody), *chown it to root"
	# The target of a link counts, not the link.
	chown root "$KEYS/alice.pub"
	mv "$KEYS/alice.pub" "$SECRETS/alice.pub"
	ln -s "$SECRETS/alice.pub" "$KEYS/a.pub"
	chown -h nobody "$KEYS/a.pub"
	unpack
	unpacked
	chown nobody "$SECRETS/alice.pub"
	refused 77 "trusted key $KEYS/a.pub: it belongs to uid *"
	chown root "$SECRETS/alice.pub"
	chown nobody "$KEYS"
	refused 77 "trusted keys $KEYS: it belongs to uid *"
}

@test "where there is no key at all, no signature is one" {
	key alice "$SECRETS"
	artifact
	sign alice
	refused 78 "$KEYS holds no trusted key (\\*.pub) to verify with"
	rmdir "$KEYS"
	refused 78 "there is no directory of trusted keys $KEYS to verify with"
	: >"$KEYS"
	refused 1 "trusted keys $KEYS: Not a directory"
}

# --- pp converge preparer

# preparer ARG...: from $REPO_URL where none is given; several would be tried in their order.
preparer() {
	local repo=(--repo="$REPO_URL")

	[[ " $*" != *" --repo="* ]] || repo=()
	pp converge preparer "${repo[@]}" --trusted-keys="$KEYS" "$@"
}

# intend [VERSION]: it is to be ready.
intend() {
	intent_slug "${1:-abc}:prep" >/dev/null 2>&1
}

# Write the sidecar of $ARTIFACT.
sidecar() {
	(cd "${ARTIFACT%/*}" && sha256sum "$NAME") >"$ARTIFACT.sha256"
}

# A sidecar of another file than $ARTIFACT, under its name.
wrong_sidecar() {
	printf '%s  %s\n' "$(printf '0%.0s' {1..64})" "$NAME" >"$ARTIFACT.sha256"
}

# declines PATTERN ARG...: preparer fails, says so, and leaves nothing at all.
declines() {
	run -1 --separate-stderr preparer "${@:2}" || return 1
	# shellcheck disable=SC2053
	if [[ $(said) != *"FATAL slug: version "*$1* ]]; then
		fail "it says: $stderr
  wanted: $1"
		return 1
	fi
	[ -z "$(ls -A "$BASEDIR/installs" 2>/dev/null)" ]
}

# installs ARG...: preparer succeeds; the install is taken away again.
installs() {
	preparer "$@"
	[ -x "$BASEDIR/installs/${NAME%.tar.gz}/bin/launch" ]
	rm -rf "$BASEDIR/installs"
}

# How often the server was asked for the file beside the artifact.
asked_for() {
	grep -c "GET /slug/$NAME$1 " "$HTTP_LOG" || :
}

@test "preparer: where this node has keys, an artifact that is not signed is refused, and once signed taken" {
	key alice
	artifact
	intend
	http_start "$REPO"
	for repo in "$REPO_URL" "$HTTP_URL"; do
		declines "it is not signed, and this node has trusted keys" --repo="$repo"
	done
	sign alice
	for repo in "$REPO_URL" "$HTTP_URL"; do
		installs --repo="$repo"
		installs --repo="$repo" --verify=auto
		installs --repo="$repo" --verify=signature
	done
	[ "$(asked_for .minisig)" -ge 1 ]
}

@test "preparer: a signature by somebody else, for another version or of other bytes is refused" {
	key alice
	key mallory "$SECRETS"
	artifact abc
	sign alice
	artifact def
	intend def
	http_start "$REPO"
	for repo in "$REPO_URL" "$HTTP_URL"; do
		sign mallory
		declines "signed by key $(key_id mallory "$SECRETS"), which is not among the trusted keys" --repo="$repo"
		# All of abc, under the name of def.
		cp "$REPO/slug/slug_abc.tar.gz" "$ARTIFACT"
		cp "$REPO/slug/slug_abc.tar.gz.minisig" "$SIGNATURE"
		declines "the signature is for file slug_abc.tar.gz, not slug_def.tar.gz" --repo="$repo"
		repo_add slug def
		sign alice
		tamper slug def
		declines "the signature does not match" --repo="$repo"
	done
}

@test "preparer: over plain http, without a signature and a digest, an artifact is refused" {
	artifact
	intend
	http_start "$REPO"
	declines "it came over plain http, and neither a signature nor a digest vouches for it" --repo="$HTTP_URL"
	installs --repo="$REPO_URL"
	sidecar
	installs --repo="$HTTP_URL"
}

@test "preparer: over https an artifact needs no digest" {
	artifact
	intend
	http_start --tls "$REPO"
	installs --repo="$HTTPS_URL" --repo-cacert="$TLS_CA"
	wrong_sidecar
	declines "sha256" --repo="$HTTPS_URL" --repo-cacert="$TLS_CA"
}

@test "preparer: a digest beside the artifact is enforced wherever it comes from" {
	artifact
	intend
	http_start "$REPO"
	for repo in "$REPO_URL" "$HTTP_URL"; do
		for verify in auto digest; do
			sidecar
			installs --repo="$repo" --verify="$verify"
			wrong_sidecar
			declines "sha256" --repo="$repo" --verify="$verify"
			echo '<html>no such file</html>' >"$ARTIFACT.sha256"
			declines "line 1 is not a digest" --repo="$repo" --verify="$verify"
			echo "$(printf '0%.0s' {1..64})  slug_def.tar.gz" >"$ARTIFACT.sha256"
			declines "for the file slug_def.tar.gz, not for $NAME" --repo="$repo" --verify="$verify"
		done
	done
}

@test "preparer: a digest in intent beats the one beside the artifact, which is not even fetched" {
	artifact
	intend
	http_start "$REPO"
	wrong_sidecar
	pp intent set slug digests.abc="$(digest slug abc)" >/dev/null
	installs --repo="$REPO_URL"
	installs --repo="$HTTP_URL"
	installs --repo="$HTTP_URL" --verify=digest
	[ "$(asked_for .sha256)" -eq 0 ]
	tamper slug abc
	sidecar
	declines "sha256" --repo="$REPO_URL"
	declines "sha256" --repo="$HTTP_URL"
}

@test "preparer: a signature does not make up for a wrong digest" {
	key alice
	artifact
	intend
	sign alice
	wrong_sidecar
	declines "sha256"
	rm "$ARTIFACT.sha256"
	pp intent set slug digests.abc="sha256:$(printf '0%.0s' {1..64})" >/dev/null
	declines "sha256"
	declines "sha256" --verify=signature
}

@test "preparer: --verify=digest wants a digest, and looks at no signature" {
	key alice
	artifact
	intend
	declines "no digest is known, and --verify=digest wants one" --verify=digest
	echo rubbish >"$SIGNATURE"
	sidecar
	installs --verify=digest
	rm "$ARTIFACT.sha256"
	pp intent set slug digests.abc="$(digest slug abc)" >/dev/null
	installs --verify=digest
}

@test "preparer: --verify=signature wants keys and a signature, before anything is fetched" {
	key alice
	artifact
	intend
	http_start "$REPO"
	declines "it is not signed" --verify=signature
	mv "$KEYS/alice.pub" "$SECRETS"
	: >"$HTTP_LOG"
	run ! preparer --verify=signature --repo="$HTTP_URL"
	[[ $output == *"there is no trusted key to verify with"* ]]
	[ -z "$(ls -A "$BASEDIR/installs" 2>/dev/null)" ]
	[ ! -s "$HTTP_LOG" ]
}

@test "preparer: --verify=none verifies nothing and fetches nothing for it" {
	key alice
	artifact
	intend
	wrong_sidecar
	echo rubbish >"$SIGNATURE"
	http_start "$REPO"
	installs --verify=none
	installs --verify=none --repo="$HTTP_URL"
	[ "$(asked_for .sha256)" -eq 0 ]
	[ "$(asked_for .minisig)" -eq 0 ]
}

@test "preparer: a server that fails to say whether there is a signature or a digest is an error" {
	key alice
	artifact
	sign alice
	sidecar
	intend
	http_start "$REPO" - <<-'CONF'
		location ~ ^/no-sig/.*\.minisig$ { return 403; }
		location ~ ^/no-sum/.*\.sha256$ { return 403; }
		location ~ ^/no-s { rewrite ^/no-s../(.*) /$1 break; }
	CONF
	declines "$HTTP_URL/no-sig/slug/$NAME.minisig" --repo="$HTTP_URL/no-sig"
	declines "$HTTP_URL/no-sum/slug/$NAME.sha256" --repo="$HTTP_URL/no-sum"
}

@test "preparer: a key that is none, or that others may write, holds all that has to be verified" {
	key alice
	artifact
	sign alice
	intend
	echo rubbish >"$KEYS/typo.pub"
	declines "trusted key $KEYS/typo.pub: not a public key of minisign"
	rm "$KEYS/typo.pub"
	chmod 0666 "$KEYS/alice.pub"
	declines "trusted key $KEYS/alice.pub: others than its owner may write it"
	chmod 0644 "$KEYS/alice.pub"
	mv "$KEYS/alice.pub" "$KEYS/alice.pbu"
	run ! preparer
	[[ $output == *"$KEYS has no *.pub, but alice.pbu"* ]]
	[ -z "$(ls -A "$BASEDIR/installs" 2>/dev/null)" ]
	run ! preparer --trusted-keys="$KEYS.typo"
	[[ $output == *"there is no directory $KEYS.typo"* ]]
}

@test "preparer: what --verify does not know is a bad configuration" {
	artifact
	intend
	run -78 preparer --verify=of-course
	[[ $output == *'"of-course" is not auto, none, digest or signature'* ]]
}
