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

int
unpack_verify(int artifact, const struct unpack_options *o, unsigned char sum[UNPACK_DIGEST_BYTES],
    struct err *e)
{
	char hex[UNPACK_DIGEST_HEX_ROOM];
	const char *key;

	/* One reading for both, where there is a signature: they have to be of the same bytes. */
	if (o->sign == NULL && digest_of(artifact, sum, e) < 0)
		return -1;
	if (o->sign != NULL) {
		if (unpack_sign_verify(o->sign, artifact, &key, e) < 0)
			return -1;
		memcpy(sum, unpack_sign_sha256(o->sign), UNPACK_DIGEST_BYTES);
	}
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
		return err_set(e, ERR_DATA,
		    "the artifact changed while it was unpacked; put artifacts there by renaming them, "
		    "and never change one");
	return 0;
}
