#include "lib/artifact/unpack_codec.h"

#include <bzlib.h>
#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "lib/base/mem.h"

/* What liblzma needs besides its window. */
#define LZMA_EXTRA_BYTES (1 << 20)
#define ZSTD_WINDOW_LOG 24

_Static_assert(UNPACK_CODEC_WINDOW_BYTES == 1 << ZSTD_WINDOW_LOG, "both say the same");

int
unpack_codec_damaged(const char *name, const char *why, struct err *e)
{
	return err_set(e, ERR_DATA, "the compressed data cannot be read: %s: %s", name, why);
}

static int
window_too_large(const char *remedy, struct err *e)
{
	return err_set(e, ERR_DATA,
	    "the compressed data needs a window of more than %d MiB in memory; compress it with %s",
	    UNPACK_CODEC_WINDOW_BYTES >> 20, remedy);
}

static void *
zstd_open(struct err *e)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();

	if (z == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
		(void)ZSTD_freeDCtx(z);
		err_set(e, ERR_FAIL, "out of memory");
		return NULL;
	}
	return z;
}

static int
zstd_start(void *state, struct err *e)
{
	(void)e;
	(void)ZSTD_DCtx_reset(state, ZSTD_reset_session_only);
	return 0;
}

static int
zstd_run(void *state, struct unpack_feed *feed, struct err *e)
{
	ZSTD_inBuffer in = { feed->in, feed->n, 0 };
	ZSTD_outBuffer out = { feed->out, feed->room, 0 };
	size_t r = ZSTD_decompressStream(state, &out, &in);

	feed->in += in.pos;
	feed->n -= in.pos;
	feed->out += out.pos;
	feed->room -= out.pos;
	if (!ZSTD_isError(r))
		return r == 0;
	switch (ZSTD_getErrorCode(r)) {
	case ZSTD_error_frameParameter_windowTooLarge:
		return window_too_large("zstd -19 or less, and no --long above 24", e);
	case ZSTD_error_memory_allocation:
		return err_set(e, ERR_FAIL, "out of memory");
	default:
		return unpack_codec_damaged("zstd", ZSTD_getErrorName(r), e);
	}
}

static void
zstd_close(void *state)
{
	(void)ZSTD_freeDCtx(state);
}

static void *
xz_open(struct err *e)
{
	static const lzma_stream init = LZMA_STREAM_INIT;
	lzma_stream *z = xcalloc(1, sizeof *z);

	(void)e;
	*z = init;
	return z;
}

static int
xz_start(void *state, struct err *e)
{
	const uint64_t limit = UNPACK_CODEC_WINDOW_BYTES + LZMA_EXTRA_BYTES;

	if (lzma_stream_decoder(state, limit, 0) != LZMA_OK)
		return err_set(e, ERR_FAIL, "out of memory");
	return 0;
}

static const char *
xz_fault(lzma_ret code)
{
	switch (code) {
	case LZMA_FORMAT_ERROR:
		return "incorrect header";
	case LZMA_OPTIONS_ERROR:
		return "unknown options";
	default:
		return "damaged";
	}
}

static int
xz_run(void *state, struct unpack_feed *feed, struct err *e)
{
	lzma_stream *z = state;
	lzma_ret r;

	z->next_in = feed->in;
	z->avail_in = feed->n;
	z->next_out = feed->out;
	z->avail_out = feed->room;
	r = lzma_code(z, LZMA_RUN);
	feed->in = z->next_in;
	feed->n = z->avail_in;
	feed->out = z->next_out;
	feed->room = z->avail_out;
	switch (r) {
	case LZMA_OK:
	case LZMA_BUF_ERROR:
		return 0;
	case LZMA_STREAM_END:
		return 1;
	case LZMA_MEM_ERROR:
		return err_set(e, ERR_FAIL, "out of memory");
	case LZMA_MEMLIMIT_ERROR:
		return window_too_large("xz -7 or less", e);
	default:
		return unpack_codec_damaged("xz", xz_fault(r), e);
	}
}

static void
xz_close(void *state)
{
	lzma_end(state);
	free(state);
}

static void *
bzip2_open(struct err *e)
{
	(void)e;
	return xcalloc(1, sizeof(bz_stream));
}

static int
bzip2_start(void *state, struct err *e)
{
	bz_stream *z = state;

	/* There is no reset; ending what was not begun does no harm. */
	(void)BZ2_bzDecompressEnd(z);
	if (BZ2_bzDecompressInit(z, 0, 0) != BZ_OK)
		return err_set(e, ERR_FAIL, "out of memory");
	return 0;
}

static int
bzip2_run(void *state, struct unpack_feed *feed, struct err *e)
{
	bz_stream *z = state;
	int r;

	/* It does not write there; its interface is not const. */
	z->next_in = (char *)feed->in;
	z->avail_in = (unsigned int)feed->n;
	z->next_out = (char *)feed->out;
	z->avail_out = (unsigned int)feed->room;
	r = BZ2_bzDecompress(z);
	feed->in += feed->n - z->avail_in;
	feed->n = z->avail_in;
	feed->out += feed->room - z->avail_out;
	feed->room = z->avail_out;
	switch (r) {
	case BZ_OK:
		return 0;
	case BZ_STREAM_END:
		return 1;
	case BZ_MEM_ERROR:
		return err_set(e, ERR_FAIL, "out of memory");
	default:
		return unpack_codec_damaged("bzip2",
		    r == BZ_DATA_ERROR_MAGIC ? "incorrect header" : "damaged", e);
	}
}

static void
bzip2_close(void *state)
{
	(void)BZ2_bzDecompressEnd(state);
	free(state);
}

static const struct unpack_codec zstd = {
	.name = "zstd",
	.magic = { 0x28, 0xb5, 0x2f, 0xfd },
	.mask = { 0xff, 0xff, 0xff, 0xff },
	.open = zstd_open,
	.start = zstd_start,
	.run = zstd_run,
	.close = zstd_close,
};

/* A frame to skip, which some compressors put first. */
static const struct unpack_codec zstd_skip = {
	.name = "zstd",
	.magic = { 0x50, 0x2a, 0x4d, 0x18 },
	.mask = { 0xf0, 0xff, 0xff, 0xff },
	.open = zstd_open,
	.start = zstd_start,
	.run = zstd_run,
	.close = zstd_close,
};

static const struct unpack_codec xz = {
	.name = "xz",
	.magic = { 0xfd, '7', 'z', 'X', 'Z', 0 },
	.mask = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	.open = xz_open,
	.start = xz_start,
	.run = xz_run,
	.close = xz_close,
};

static const struct unpack_codec bzip2 = {
	.name = "bzip2",
	.magic = { 'B', 'Z', 'h' },
	.mask = { 0xff, 0xff, 0xff },
	.open = bzip2_open,
	.start = bzip2_start,
	.run = bzip2_run,
	.close = bzip2_close,
};

static const struct unpack_codec *const codecs[] = { &unpack_codec_gzip, &zstd, &zstd_skip, &xz,
	&bzip2 };

static int
begins(const struct unpack_codec *codec, const unsigned char *start, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((start[i] & codec->mask[i]) != codec->magic[i])
			return 0;
	return 1;
}

const struct unpack_codec *
unpack_codec_find(const unsigned char *start)
{
	for (size_t i = 0; i < MEM_COUNT(codecs); i++)
		if (begins(codecs[i], start, sizeof codecs[i]->magic))
			return codecs[i];
	return NULL;
}

int
unpack_codec_again(const struct unpack_codec *codec, unsigned char first)
{
	for (size_t i = 0; i < MEM_COUNT(codecs); i++)
		if (codecs[i]->run == codec->run && begins(codecs[i], &first, 1))
			return 1;
	return 0;
}
