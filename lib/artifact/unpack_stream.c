#include "lib/artifact/unpack_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/artifact/unpack_codec.h"
#include "lib/base/mem.h"

#define IN_BYTES (1 << 17)

struct unpack_stream {
	int fd;
	off_t at; /* where the next read starts */
	struct unpack_digest *digest;

	const struct unpack_codec *codec; /* NULL: plain */
	void *codec_state;
	unsigned char *in; /* UNPACK_CODEC_BACK bytes of before, then IN_BYTES */
	struct unpack_feed feed;
	enum { STREAM_START, STREAM_MEMBER, STREAM_BETWEEN, STREAM_PADDING, STREAM_END } state;
};

static ssize_t
read_at(int fd, void *out, size_t room, off_t at, struct err *e)
{
	ssize_t n;

	do
		n = pread(fd, out, room, at);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(e, "read the artifact") : n;
}

/* The next bytes of the file; how many, 0 at its end. */
static ssize_t
read_file(struct unpack_stream *s, void *out, size_t room, struct err *e)
{
	ssize_t n = read_at(s->fd, out, room, s->at, e);

	if (n > 0 && s->digest != NULL)
		unpack_digest_add(s->digest, out, (size_t)n);
	if (n > 0)
		s->at += n;
	return n;
}

/* More input for the codec; what it has just read stays in front, as it may hand some back. */
static ssize_t
refill(struct unpack_stream *s, struct err *e)
{
	unsigned char *start = s->in + UNPACK_CODEC_BACK;
	ssize_t n;

	if (s->feed.in != NULL)
		memmove(s->in, s->feed.in - UNPACK_CODEC_BACK, UNPACK_CODEC_BACK);
	n = read_file(s, start, IN_BYTES, e);
	s->feed.in = start;
	s->feed.n = n > 0 ? (size_t)n : 0;
	return n;
}

struct unpack_stream *
unpack_stream_open(int fd, struct unpack_digest *digest, struct err *e)
{
	struct unpack_stream *s = xcalloc(1, sizeof *s);
	unsigned char start[sizeof s->codec->magic] = { 0 };

	s->fd = fd;
	s->digest = digest;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (read_at(fd, start, sizeof start, 0, e) < 0) {
		unpack_stream_free(s);
		return NULL;
	}
	s->codec = unpack_codec_find(start);
	if (s->codec == NULL)
		return s;
	s->in = xcalloc(1, UNPACK_CODEC_BACK + IN_BYTES);
	s->codec_state = s->codec->open(e);
	if (s->codec_state == NULL) {
		unpack_stream_free(s);
		return NULL;
	}
	return s;
}

/* Between two members, with input at hand: is there another? */
static int
look_past_member(struct unpack_stream *s, struct err *e)
{
	if (s->state == STREAM_START ||
	    (s->state == STREAM_BETWEEN && unpack_codec_again(s->codec, *s->feed.in))) {
		s->state = STREAM_MEMBER;
		return s->codec->start(s->codec_state, e);
	}
	s->state = STREAM_PADDING;
	for (; s->feed.n > 0; s->feed.in++, s->feed.n--)
		if (*s->feed.in != 0)
			return err_set(e, ERR_DATA, "garbage follows the compressed data");
	return 0;
}

static int
run_member(struct unpack_stream *s, struct err *e)
{
	int r = s->codec->run(s->codec_state, &s->feed, e);

	if (r > 0)
		s->state = STREAM_BETWEEN;
	return r < 0 ? -1 : 0;
}

static ssize_t
read_compressed(struct unpack_stream *s, void *out, size_t room, struct err *e)
{
	ssize_t n;

	s->feed.out = out;
	s->feed.room = room;
	while (s->feed.room > 0 && s->state != STREAM_END) {
		/* With all input taken, there may be output yet. */
		if (s->state == STREAM_MEMBER && run_member(s, e) < 0)
			return -1;
		if (s->feed.n > 0) {
			if (s->state != STREAM_MEMBER && look_past_member(s, e) < 0)
				return -1;
			continue;
		}
		if (s->feed.room == 0)
			break;
		n = refill(s, e);
		if (n < 0)
			return -1;
		if (n == 0 && s->state == STREAM_MEMBER)
			return err_set(e, ERR_DATA, "the compressed data is cut short");
		if (n == 0)
			s->state = STREAM_END;
	}
	return (ssize_t)(room - s->feed.room);
}

static ssize_t
read_plain(struct unpack_stream *s, void *out, size_t room, struct err *e)
{
	size_t have = 0;
	ssize_t n;

	do {
		n = read_file(s, (char *)out + have, room - have, e);
		if (n < 0)
			return -1;
		have += (size_t)n;
	} while (n > 0 && have < room);
	return (ssize_t)have;
}

ssize_t
unpack_stream_read(struct unpack_stream *s, void *out, size_t room, struct err *e)
{
	return s->codec != NULL ? read_compressed(s, out, room, e) : read_plain(s, out, room, e);
}

void
unpack_stream_free(struct unpack_stream *s)
{
	if (s == NULL)
		return;
	if (s->codec_state != NULL)
		s->codec->close(s->codec_state);
	free(s->in);
	free(s);
}
