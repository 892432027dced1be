#include "lib/artifact/unpack_digest.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "lib/base/mem.h"

struct unpack_digest {
	EVP_MD *kind;
	EVP_MD_CTX *ctx;
	int ok;
};

static void
start(struct unpack_digest *d)
{
	d->ok = EVP_DigestInit_ex2(d->ctx, d->kind, NULL);
}

struct unpack_digest *
unpack_digest_new(struct err *e)
{
	struct unpack_digest *d = xcalloc(1, sizeof *d);

	/* Fetched once: looking it up takes longer than the digest of a small file. */
	d->kind = EVP_MD_fetch(NULL, "SHA256", NULL);
	d->ctx = EVP_MD_CTX_new();
	if (d->kind == NULL || d->ctx == NULL) {
		unpack_digest_free(d);
		err_set(e, ERR_FAIL, "sha256: libcrypto fails");
		return NULL;
	}
	start(d);
	return d;
}

void
unpack_digest_add(struct unpack_digest *d, const void *data, size_t n)
{
	d->ok = d->ok && EVP_DigestUpdate(d->ctx, data, n);
}

int
unpack_digest_end(struct unpack_digest *d, unsigned char sum[UNPACK_DIGEST_BYTES], struct err *e)
{
	int ok = d->ok && EVP_DigestFinal_ex(d->ctx, sum, NULL);

	start(d);
	return ok ? 0 : err_set(e, ERR_FAIL, "sha256: libcrypto fails");
}

void
unpack_digest_hex(char hex[UNPACK_DIGEST_HEX_ROOM], const unsigned char sum[UNPACK_DIGEST_BYTES])
{
	for (size_t i = 0; i < UNPACK_DIGEST_BYTES; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

void
unpack_digest_free(struct unpack_digest *d)
{
	if (d == NULL)
		return;
	EVP_MD_CTX_free(d->ctx);
	EVP_MD_free(d->kind);
	free(d);
}
