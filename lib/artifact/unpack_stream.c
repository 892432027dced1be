#include "lib/artifact/unpack_stream.h"

#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

#define IN_BYTES (1 << 20)
/* Small enough to be in the cache still when it is written. */
#define OUT_BYTES (1 << 18)

enum kind {
	KIND_PLAIN,
	KIND_GZIP,
	KIND_FILTER, /* one that libarchive undoes */
};

struct unpack_stream {
	enum kind kind;
	int fd;
	off_t at; /* where the next read starts */
	unsigned char *in;

	/* gzip: libarchive does not look at its checksum, so zlib does it all. */
	z_stream z;
	unsigned char *out;
	enum { GZIP_START, GZIP_MEMBER, GZIP_BETWEEN, GZIP_PADDING, GZIP_END } state;

	struct archive *filter;
	struct err read_err; /* what fill_filter() could not return */
};

struct magic {
	unsigned char bytes[6], mask[6];
	int filter;
};

static const struct magic magics[] = {
	{ { 0x1f, 0x8b }, { 0xff, 0xff }, ARCHIVE_FILTER_GZIP },
	{ { 0x28, 0xb5, 0x2f, 0xfd }, { 0xff, 0xff, 0xff, 0xff }, ARCHIVE_FILTER_ZSTD },
	/* A frame to skip, which some compressors put first. */
	{ { 0x50, 0x2a, 0x4d, 0x18 }, { 0xf0, 0xff, 0xff, 0xff }, ARCHIVE_FILTER_ZSTD },
	{ { 0xfd, '7', 'z', 'X', 'Z', 0 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	    ARCHIVE_FILTER_XZ },
	{ { 'B', 'Z', 'h' }, { 0xff, 0xff, 0xff }, ARCHIVE_FILTER_BZIP2 },
};

static int
told_filter(const unsigned char *start)
{
	for (size_t i = 0; i < MEM_COUNT(magics); i++) {
		size_t j = 0;

		while (j < sizeof magics[i].bytes &&
		    (start[j] & magics[i].mask[j]) == magics[i].bytes[j])
			j++;
		if (j == sizeof magics[i].bytes)
			return magics[i].filter;
	}
	return ARCHIVE_FILTER_NONE;
}

/* The next bytes of the file into s->in; how many, 0 at its end. */
static ssize_t
fill(struct unpack_stream *s, struct err *e)
{
	ssize_t n;

	do
		n = pread(s->fd, s->in, IN_BYTES, s->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "read the artifact");
	s->at += n;
	return n;
}

static la_ssize_t
fill_filter(struct archive *a, void *data, const void **block)
{
	struct unpack_stream *s = data;
	ssize_t n = fill(s, &s->read_err);

	if (n < 0)
		archive_set_error(a, EIO, "%s", s->read_err.msg);
	*block = s->in;
	return n < 0 ? ARCHIVE_FATAL : n;
}

static int
filter_failed(struct unpack_stream *s, struct err *e)
{
	const char *text = archive_error_string(s->filter);
	char safe[256];

	if (s->read_err.class != ERR_NONE) {
		*e = s->read_err;
		return -1;
	}
	log_escape(safe, sizeof safe, text != NULL ? text : "damaged");
	return err_set(e, archive_errno(s->filter) == ENOMEM ? ERR_FAIL : ERR_DATA,
	    "the compressed data cannot be read: %s", safe);
}

/* One layer of one compression and nothing in it but bytes; never a program from outside. */
static int
open_filter(struct unpack_stream *s, int filter, struct err *e)
{
	struct archive_entry *entry;

	s->filter = archive_read_new();
	if (s->filter == NULL)
		return err_set(e, ERR_FAIL, "out of memory");
	if (archive_read_append_filter(s->filter, filter) != ARCHIVE_OK ||
	    archive_read_support_format_raw(s->filter) != ARCHIVE_OK ||
	    archive_read_open(s->filter, s, NULL, fill_filter, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(s->filter, &entry) != ARCHIVE_OK)
		return filter_failed(s, e);
	return 0;
}

static int
open_gzip(struct unpack_stream *s, struct err *e)
{
	/* 16: a gzip header and trailer, both checked. */
	if (inflateInit2(&s->z, 16 + MAX_WBITS) != Z_OK)
		return err_set(e, ERR_FAIL, "out of memory");
	s->kind = KIND_GZIP;
	s->out = xcalloc(1, OUT_BYTES);
	return 0;
}

struct unpack_stream *
unpack_stream_open(int fd, struct err *e)
{
	struct unpack_stream *s = xcalloc(1, sizeof *s);
	int filter, r = 0;

	s->fd = fd;
	s->in = xcalloc(1, IN_BYTES);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (fill(s, e) < 0) {
		unpack_stream_free(s);
		return NULL;
	}
	s->at = 0;
	filter = told_filter(s->in);
	if (filter == ARCHIVE_FILTER_GZIP) {
		r = open_gzip(s, e);
	} else if (filter != ARCHIVE_FILTER_NONE) {
		s->kind = KIND_FILTER;
		r = open_filter(s, filter, e);
	}
	if (r < 0) {
		unpack_stream_free(s);
		return NULL;
	}
	return s;
}

static int
garbage(struct err *e)
{
	return err_set(e, ERR_DATA, "garbage follows the compressed data");
}

/* Between two members, with a byte of input at hand: is there another? */
static int
look_past_member(struct unpack_stream *s, struct err *e)
{
	if (s->state == GZIP_START || (s->state == GZIP_BETWEEN && *s->z.next_in == 0x1f)) {
		(void)inflateReset(&s->z);
		s->state = GZIP_MEMBER;
		return 0;
	}
	s->state = GZIP_PADDING;
	for (; s->z.avail_in > 0; s->z.next_in++, s->z.avail_in--)
		if (*s->z.next_in != 0)
			return garbage(e);
	return 0;
}

static int
inflate_member(struct unpack_stream *s, struct err *e)
{
	switch (inflate(&s->z, Z_NO_FLUSH)) {
	case Z_OK:
	case Z_BUF_ERROR:
		return 0;
	case Z_STREAM_END:
		s->state = GZIP_BETWEEN;
		return 0;
	case Z_MEM_ERROR:
		return err_set(e, ERR_FAIL, "out of memory");
	default:
		return err_set(e, ERR_DATA, "the compressed data cannot be read: gzip: %s",
		    s->z.msg != NULL ? s->z.msg : "damaged");
	}
}

static ssize_t
next_gzip(struct unpack_stream *s, const void **block, struct err *e)
{
	s->z.next_out = s->out;
	s->z.avail_out = OUT_BYTES;
	while (s->z.avail_out > 0 && s->state != GZIP_END) {
		if (s->z.avail_in == 0) {
			ssize_t n = fill(s, e);

			if (n < 0)
				return -1;
			if (n == 0 && s->state == GZIP_MEMBER)
				return err_set(e, ERR_DATA, "the compressed data is cut short");
			if (n == 0)
				s->state = GZIP_END;
			s->z.next_in = s->in;
			s->z.avail_in = (uInt)n;
		} else if (s->state == GZIP_MEMBER) {
			if (inflate_member(s, e) < 0)
				return -1;
		} else if (look_past_member(s, e) < 0) {
			return -1;
		}
	}
	*block = s->out;
	return OUT_BYTES - (ssize_t)s->z.avail_out;
}

/* The filter is done; what it left of the file must be padding. */
static int
check_rest(struct unpack_stream *s, struct err *e)
{
	ssize_t n;

	s->at = archive_filter_bytes(s->filter, -1);
	while ((n = fill(s, e)) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (s->in[i] != 0)
				return garbage(e);
	return (int)n;
}

static ssize_t
next_filter(struct unpack_stream *s, const void **block, struct err *e)
{
	la_int64_t offset;
	size_t n;

	for (;;) {
		int r = archive_read_data_block(s->filter, block, &n, &offset);

		if (r == ARCHIVE_EOF)
			return check_rest(s, e);
		if (r != ARCHIVE_OK)
			return filter_failed(s, e);
		if (n > 0)
			return (ssize_t)n;
	}
}

ssize_t
unpack_stream_next(struct unpack_stream *s, const void **block, struct err *e)
{
	switch (s->kind) {
	case KIND_GZIP:
		return next_gzip(s, block, e);
	case KIND_FILTER:
		return next_filter(s, block, e);
	case KIND_PLAIN:
		break;
	}
	*block = s->in;
	return fill(s, e);
}

void
unpack_stream_free(struct unpack_stream *s)
{
	if (s == NULL)
		return;
	if (s->kind == KIND_GZIP)
		(void)inflateEnd(&s->z);
	if (s->filter != NULL)
		(void)archive_read_free(s->filter);
	free(s->out);
	free(s->in);
	free(s);
}
