#include "lib/artifact/unpack_tag.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/mem.h"

/* The nonce is the end of it, and what is before that is zero. */
#define IV_BYTES 12
#define IV_NONCE (IV_BYTES - UNPACK_TAG_NONCE_BYTES)

struct unpack_tag {
	EVP_CIPHER_CTX *ctx;
	uint64_t count; /* of nonces, ever */
	unsigned char nonce[UNPACK_TAG_NONCE_BYTES];
	int ok;
};

static int
failed(struct err *e)
{
	return err_set(e, ERR_FAIL, "gmac: libcrypto fails");
}

struct unpack_tag *
unpack_tag_new(const unsigned char key[UNPACK_TAG_KEY_BYTES], struct err *e)
{
	struct unpack_tag *t = xcalloc(1, sizeof *t);
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);

	t->ctx = EVP_CIPHER_CTX_new();
	/* The key stays where only the nonce is given later. */
	t->ok = cipher != NULL && t->ctx != NULL &&
	    EVP_EncryptInit_ex2(t->ctx, cipher, key, NULL, NULL);
	EVP_CIPHER_free(cipher);
	if (t->ok)
		return t;
	unpack_tag_free(t);
	(void)failed(e);
	return NULL;
}

static void
begin(struct unpack_tag *t)
{
	unsigned char iv[IV_BYTES] = { 0 };

	memcpy(iv + IV_NONCE, t->nonce, sizeof t->nonce);
	t->ok = EVP_EncryptInit_ex2(t->ctx, NULL, NULL, iv, NULL);
}

void
unpack_tag_begin(struct unpack_tag *t)
{
	uint64_t count = ++t->count;

	for (size_t i = sizeof t->nonce; i > 0; count >>= 8)
		t->nonce[--i] = (unsigned char)count;
	begin(t);
}

void
unpack_tag_again(struct unpack_tag *t, const unsigned char tag[UNPACK_TAG_BYTES])
{
	memcpy(t->nonce, tag, sizeof t->nonce);
	begin(t);
}

void
unpack_tag_add(struct unpack_tag *t, const void *data, size_t n)
{
	const unsigned char *at = data;
	int done;

	while (t->ok && n > 0) {
		const int piece = n < INT_MAX ? (int)n : INT_MAX;

		/* Nowhere to write to: this is not to be encrypted, but to be vouched for. */
		t->ok = EVP_EncryptUpdate(t->ctx, NULL, &done, at, piece);
		at += piece;
		n -= (size_t)piece;
	}
}

void
unpack_tag_add_zeros(struct unpack_tag *t, size_t n)
{
	static const char zeros[1 << 14];

	while (n > 0) {
		const size_t piece = n < sizeof zeros ? n : sizeof zeros;

		unpack_tag_add(t, zeros, piece);
		n -= piece;
	}
}

int
unpack_tag_end(struct unpack_tag *t, unsigned char tag[UNPACK_TAG_BYTES], struct err *e)
{
	unsigned char none[EVP_MAX_BLOCK_LENGTH];
	int n;

	memcpy(tag, t->nonce, sizeof t->nonce);
	if (!t->ok || !EVP_EncryptFinal_ex(t->ctx, none, &n) ||
	    !EVP_CIPHER_CTX_ctrl(t->ctx, EVP_CTRL_AEAD_GET_TAG,
		UNPACK_TAG_BYTES - UNPACK_TAG_NONCE_BYTES, tag + UNPACK_TAG_NONCE_BYTES))
		return failed(e);
	return 0;
}

void
unpack_tag_free(struct unpack_tag *t)
{
	if (t == NULL)
		return;
	EVP_CIPHER_CTX_free(t->ctx);
	free(t);
}
