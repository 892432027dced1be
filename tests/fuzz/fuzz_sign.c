/* Signatures and public keys of minisign. The one key that is trusted is that of the corpus. */
#include <sys/stat.h>

#include <fcntl.h>

#include "lib/artifact/unpack_minisign.h"
#include "lib/artifact/unpack_sign.h"
#include "lib/base/base64.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

#define NAME "slug_abc.tar.gz"

static const char key_text[] = "untrusted comment: minisign public key A2C6917AAB2F9D5F\n"
			       "RWRfnS+repHGovVepm+JKeUAYWDesM44UCbeRJ/qlKLtiZfU6jrh2NCe\n";

static char keys_dir[] = "/tmp/fuzz_sign.XXXXXX";

static void
remove_keys(void)
{
	AUTO_FREE char *file = xasprintf("%s/a.pub", keys_dir);

	(void)unlink(file);
	(void)rmdir(keys_dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	AUTO_FREE char *file = NULL;
	AUTO_CLOSE int fd = -1;

	(void)argc;
	(void)argv;
	HOLDS(mkdtemp(keys_dir) != NULL);
	(void)atexit(remove_keys);
	file = xasprintf("%s/a.pub", keys_dir);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	HOLDS(fd >= 0 && write(fd, key_text, sizeof key_text - 1) == sizeof key_text - 1);
	return 0;
}

/* Do these bytes stand in the text, in their one spelling? */
static int
has_base64(const char *text, const char *alg, const void *id, const void *bytes, size_t n)
{
	AUTO_BUF struct buf raw = { 0 }, code = { 0 };

	buf_add(&raw, alg, strlen(alg));
	if (id != NULL)
		buf_add(&raw, id, UNPACK_MINISIGN_ID_BYTES);
	buf_add(&raw, bytes, n);
	base64_encode(raw.data, raw.n, &code);
	return strstr(text, code.data) != NULL;
}

static void
try_key(const char *text, size_t n)
{
	struct unpack_minisign_key key;
	struct err e = ERR_INIT;

	if (unpack_minisign_parse_key(text, n, &key, &e) < 0)
		fuzz_check_refusal(&e);
	else
		HOLDS(has_base64(text, "Ed", key.id, key.key, sizeof key.key));
}

static void
try_signature(const char *text, size_t n)
{
	AUTO_FREE struct unpack_minisign_sig *sig = xcalloc(1, sizeof *sig);
	struct unpack_sign *s;
	struct err e = ERR_INIT;

	if (unpack_minisign_parse_sig(text, n, sig, &e) < 0) {
		fuzz_check_refusal(&e);
		return;
	}
	HOLDS(has_base64(text, sig->prehashed ? "ED" : "Ed", sig->id, sig->sig, sizeof sig->sig));
	HOLDS(has_base64(text, "", NULL, sig->global, sizeof sig->global));
	HOLDS(strstr(text, sig->comment) != NULL && strpbrk(sig->comment, "\r\n") == NULL);
	s = unpack_sign_load(keys_dir, text, n, NAME, &e);
	if (s == NULL)
		fuzz_check_refusal(&e);
	else
		HOLDS(strstr(sig->comment, "file:" NAME) != NULL);
	unpack_sign_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_FREE char *text = xmemdup(data, n);
	struct err e = ERR_INIT;

	try_key(text, n);
	try_signature(text, n);
	if (unpack_minisign_check_name(text, NAME, &e) < 0)
		fuzz_check_refusal(&e);
	else
		HOLDS(strstr(text, "file:" NAME) != NULL);
	return 0;
}
