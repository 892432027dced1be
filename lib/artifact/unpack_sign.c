#include "lib/artifact/unpack_sign.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/artifact/unpack_minisign.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define BLOCK_BYTES ((size_t)1 << 20)

struct unpack_sign {
	struct unpack_minisign_sig sig;
	unsigned char key[UNPACK_MINISIGN_KEY_BYTES];
	unsigned char sha256[UNPACK_SIGN_SHA256_BYTES];
	char *note;
};

static void
auto_free_ctx(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

static void
auto_free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

#define AUTO_CTX __attribute__((cleanup(auto_free_ctx)))
#define AUTO_KEY __attribute__((cleanup(auto_free_key)))

static int
libcrypto_failed(struct err *e)
{
	return err_set(e, ERR_FAIL, "verify the signature: libcrypto fails");
}

/* Is `sig` by that key over those bytes? 1, 0; -1 with *e set. */
static int
is_signed(const unsigned char *raw_key, const unsigned char *sig, const void *data, size_t n,
    struct err *e)
{
	AUTO_KEY EVP_PKEY *key =
	    EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw_key, UNPACK_MINISIGN_KEY_BYTES);
	AUTO_CTX EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (key == NULL || ctx == NULL || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) != 1)
		return libcrypto_failed(e);
	return EVP_DigestVerify(ctx, sig, UNPACK_MINISIGN_SIG_BYTES, data, n) == 1;
}

/* Could somebody else than root and the runner change it? */
static int
check_owner(const struct stat *st, struct err *e)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(e, ERR_PERM,
		    "it belongs to uid %lu, who could say whom to trust; chown it to root",
		    (unsigned long)st->st_uid);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(e, ERR_PERM,
		    "others than its owner may write it, and say whom to trust; chmod go-w it");
	return 0;
}

static int
read_key(int dir, const char *name, struct unpack_minisign_key *key, struct err *e)
{
	/* What is not a file is told by fstat: do not wait for a FIFO. */
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[UNPACK_MINISIGN_KEY_MAX + 1];
	size_t n = 0;
	ssize_t r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFIG, "not a public key of minisign: it is not a file");
	if (check_owner(&st, e) < 0)
		return -1;
	do {
		r = read(fd, text + n, sizeof text - n);
		if (r < 0 && errno != EINTR)
			return err_sys(e, "read");
		n += r > 0 ? (size_t)r : 0;
	} while (r != 0 && n < sizeof text);
	return unpack_minisign_parse_key(text, n, key, e);
}

/* The names of the keys, sorted. */
static int
list_keys(int dir, struct strv *names, struct err *e)
{
	/* An open of its own, for the offset is shared by a dup. */
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int failed;

	if (d == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return err_sys(e, "read");
	}
	while (errno = 0, (entry = readdir(d)) != NULL) {
		size_t n = strlen(entry->d_name);

		if (entry->d_name[0] != '.' && n > 4 && strcmp(entry->d_name + n - 4, ".pub") == 0)
			strv_add(names, xstrdup(entry->d_name));
	}
	failed = errno;
	(void)closedir(d);
	errno = failed;
	if (failed)
		return err_sys(e, "read");
	strv_sort(names);
	return 0;
}

/* Whoever has the global signature made is who signed: two keys may have the same id. */
static int
try_key(struct unpack_sign *s, const struct unpack_minisign_key *key, const char *name,
    struct err *e)
{
	AUTO_BUF struct buf data = { 0 };
	char id[UNPACK_MINISIGN_ID_ROOM], shown[256];
	int matches;

	buf_add(&data, s->sig.sig, sizeof s->sig.sig);
	buf_add(&data, s->sig.comment, strlen(s->sig.comment));
	matches = is_signed(key->key, s->sig.global, data.data, data.n, e);
	if (matches != 1)
		return matches;
	memcpy(s->key, key->key, sizeof s->key);
	unpack_minisign_show_id(id, key->id);
	log_escape(shown, sizeof shown, name);
	s->note = xasprintf("%s (%s)", id, shown);
	return 1;
}

/* Read all keys, though the one that is wanted may be the first. */
static int
find_key(struct unpack_sign *s, const char *path, int dir, const struct strv *names, struct err *e)
{
	struct unpack_minisign_key key;
	char id[UNPACK_MINISIGN_ID_ROOM], shown[256];
	int known = 0;

	for (size_t i = 0; i < names->n; i++) {
		if (read_key(dir, names->items[i], &key, e) < 0) {
			log_escape(shown, sizeof shown, names->items[i]);
			return err_wrap(e, "trusted key %s/%s", path, shown);
		}
		if (memcmp(key.id, s->sig.id, sizeof key.id) != 0)
			continue;
		known = 1;
		if (s->note == NULL && try_key(s, &key, names->items[i], e) < 0)
			return -1;
	}
	unpack_minisign_show_id(id, s->sig.id);
	if (names->n == 0)
		return err_set(e, ERR_CONFIG, "%s holds no trusted key (*.pub) to verify with",
		    path);
	if (!known)
		return err_set(e, ERR_DATA,
		    "signed by key %s, which is not among the trusted keys in %s", id, path);
	if (s->note == NULL)
		return err_set(e, ERR_DATA,
		    "the trusted comment of the signature is not by key %s: it was changed", id);
	return 0;
}

static int
load(struct unpack_sign *s, const char *path, const char *name, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0 && errno == ENOENT)
		return err_set(e, ERR_CONFIG,
		    "there is no directory of trusted keys %s to verify with", path);
	if (dir < 0 || fstat(dir, &st) < 0)
		return err_sys(e, "trusted keys %s", path);
	if (check_owner(&st, e) < 0 || list_keys(dir, &names, e) < 0)
		return err_wrap(e, "trusted keys %s", path);
	if (find_key(s, path, dir, &names, e) < 0)
		return -1;
	return unpack_minisign_check_name(s->sig.comment, name, e);
}

struct unpack_sign *
unpack_sign_load(const char *keys_dir, const char *sig, size_t sig_len, const char *name,
    struct err *e)
{
	struct unpack_sign *s = xcalloc(1, sizeof *s);

	if (unpack_minisign_parse_sig(sig, sig_len, &s->sig, e) == 0 &&
	    load(s, keys_dir, name, e) == 0)
		return s;
	unpack_sign_free(s);
	return NULL;
}

/* Both digests of the file from one reading, so that they are of the same bytes. */
static int
digest_file(int fd, EVP_MD_CTX *blake, EVP_MD_CTX *sha, struct err *e)
{
	AUTO_FREE char *block = xcalloc(1, BLOCK_BYTES);
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, block, BLOCK_BYTES, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the artifact");
		if (EVP_DigestUpdate(blake, block, (size_t)n) != 1 ||
		    EVP_DigestUpdate(sha, block, (size_t)n) != 1)
			return libcrypto_failed(e);
		at += n;
	}
	return 0;
}

static int
verify_prehashed(struct unpack_sign *s, int fd, struct err *e)
{
	AUTO_CTX EVP_MD_CTX *blake = EVP_MD_CTX_new(), *sha = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (blake == NULL || sha == NULL || EVP_DigestInit_ex(blake, EVP_blake2b512(), NULL) != 1 ||
	    EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1)
		return libcrypto_failed(e);
	if (digest_file(fd, blake, sha, e) < 0)
		return -1;
	if (EVP_DigestFinal_ex(sha, s->sha256, NULL) != 1 ||
	    EVP_DigestFinal_ex(blake, digest, &length) != 1)
		return libcrypto_failed(e);
	return is_signed(s->key, s->sig.sig, digest, length, e);
}

static void
die_of_sigbus(int signal)
{
	static const char why[] =
	    "the artifact was cut short, or cannot be read, while its signature was verified\n";

	(void)signal;
	if (write(STDERR_FILENO, why, sizeof why - 1) < 0)
		_exit(EX_IOERR);
	_exit(EX_DATAERR);
}

static int
verify_map(struct unpack_sign *s, const void *map, size_t n, struct err *e)
{
	if (EVP_Digest(map, n, s->sha256, NULL, EVP_sha256(), NULL) != 1)
		return libcrypto_failed(e);
	return is_signed(s->key, s->sig.sig, map, n, e);
}

static int
was_written(const struct stat *before, const struct stat *after)
{
	return before->st_size != after->st_size ||
	    before->st_mtim.tv_sec != after->st_mtim.tv_sec ||
	    before->st_mtim.tv_nsec != after->st_mtim.tv_nsec ||
	    before->st_ctim.tv_sec != after->st_ctim.tv_sec ||
	    before->st_ctim.tv_nsec != after->st_ctim.tv_nsec;
}

/* Ed25519 reads its message as one: a map, not memory, so that it costs none that others need. */
static int
verify_legacy(struct unpack_sign *s, int fd, struct err *e)
{
	struct sigaction handler = { .sa_handler = die_of_sigbus }, before;
	struct stat st, after;
	void *map;
	int matches;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat the artifact");
	if (st.st_size > UNPACK_SIGN_LEGACY_MAX)
		return err_set(e, ERR_DATA,
		    "its signature is a legacy one, which is for files up to 1 GiB; sign it without "
		    "-l");
	if (st.st_size == 0)
		return verify_map(s, "", 0, e);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(e, "map the artifact");
	(void)madvise(map, (size_t)st.st_size, MADV_SEQUENTIAL);
	(void)sigaction(SIGBUS, &handler, &before);
	matches = verify_map(s, map, (size_t)st.st_size, e);
	(void)sigaction(SIGBUS, &before, NULL);
	(void)munmap(map, (size_t)st.st_size);
	if (matches == 1 && (fstat(fd, &after) < 0 || was_written(&st, &after)))
		return err_set(e, ERR_DATA,
		    "the artifact changed while its signature was verified");
	return matches;
}

int
unpack_sign_verify(struct unpack_sign *s, int artifact_fd, const char **key_note, struct err *e)
{
	int matches = s->sig.prehashed ? verify_prehashed(s, artifact_fd, e) :
					 verify_legacy(s, artifact_fd, e);

	if (matches < 0)
		return -1;
	if (!matches)
		return err_set(e, ERR_DATA,
		    "the signature does not match: the artifact is not what was signed by key %s",
		    s->note);
	*key_note = s->note;
	return 0;
}

const unsigned char *
unpack_sign_sha256(const struct unpack_sign *s)
{
	return s->sha256;
}

void
unpack_sign_free(struct unpack_sign *s)
{
	if (s == NULL)
		return;
	free(s->note);
	free(s);
}
