#include "lib/artifact/unpack_verify.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define BLOCK_BYTES (1 << 18)

static int
digest_of(int fd, unsigned char sum[UNPACK_DIGEST_BYTES], struct err *e)
{
	AUTO_DIGEST struct unpack_digest *digest = unpack_digest_new(e);
	AUTO_FREE char *block = xcalloc(1, BLOCK_BYTES);
	off_t at = 0;
	ssize_t n;

	if (digest == NULL)
		return -1;
	while ((n = pread(fd, block, BLOCK_BYTES, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the artifact");
		unpack_digest_add(digest, block, (size_t)n);
		at += n;
	}
	return unpack_digest_end(digest, sum, e);
}

/* The digest of what the signature is found to be right for, read in the same go. */
static int
signed_digest(int fd, struct unpack_sign *sign, unsigned char sum[UNPACK_DIGEST_BYTES],
    struct err *e)
{
	const char *key;

	if (unpack_sign_verify(sign, fd, &key, e) < 0)
		return -1;
	memcpy(sum, unpack_sign_sha256(sign), UNPACK_DIGEST_BYTES);
	return 0;
}

int
unpack_verify(int artifact, const struct unpack_options *o, unsigned char sum[UNPACK_DIGEST_BYTES],
    struct err *e)
{
	char hex[UNPACK_DIGEST_HEX_ROOM];

	if (o->sign != NULL ? signed_digest(artifact, o->sign, sum, e) < 0 :
			      digest_of(artifact, sum, e) < 0)
		return -1;
	unpack_digest_hex(hex, sum);
	if (o->sha256 != NULL && strcasecmp(hex, o->sha256) != 0)
		return err_set(e, ERR_DATA, "sha256 does not match: it should be %s, and is %s",
		    o->sha256, hex);
	return 0;
}

int
unpack_verify_same(const unsigned char sum[UNPACK_DIGEST_BYTES], struct unpack_digest *again,
    struct err *e)
{
	unsigned char now[UNPACK_DIGEST_BYTES];

	if (unpack_digest_end(again, now, e) < 0)
		return -1;
	if (memcmp(sum, now, sizeof now) != 0)
		return err_set(e, ERR_DATA, "the artifact changed while it was unpacked");
	return 0;
}
