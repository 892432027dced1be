/*
 * gzip by ISA-L, which inflates twice as fast as zlib. Header and trailer are read here: ISA-L's own
 * reader of headers fails on some that are split between two reads.
 */
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#include "lib/artifact/unpack_codec.h"
#include "lib/base/mem.h"

#define FIXED_BYTES 10
#define TRAILER_BYTES 8

enum flag {
	FLAG_HCRC = 1 << 1,
	FLAG_EXTRA = 1 << 2,
	FLAG_NAME = 1 << 3,
	FLAG_COMMENT = 1 << 4,
	FLAGS_UNKNOWN = 0xe0,
};

/* The parts of a member, in the order in which they come. */
enum part {
	PART_FIXED,
	PART_EXTRA_LENGTH,
	PART_EXTRA,
	PART_NAME,
	PART_COMMENT,
	PART_HCRC,
	PART_BODY,
	PART_TRAILER,
};

struct gzip {
	struct inflate_state z;
	enum part part;
	unsigned char bytes[FIXED_BYTES]; /* of this part, so far */
	size_t have, extra;
	unsigned char flags;
	uint32_t header_crc;
};

static void *
gzip_open(struct err *e)
{
	(void)e;
	return xcalloc(1, sizeof(struct gzip));
}

static int
gzip_start(void *state, struct err *e)
{
	struct gzip *g = state;

	(void)e;
	isal_inflate_init(&g->z);
	g->z.crc_flag = ISAL_GZIP_NO_HDR;
	g->part = PART_FIXED;
	g->have = 0;
	g->header_crc = 0;
	return 0;
}

static int
damaged(const char *why, struct err *e)
{
	return unpack_codec_damaged("gzip", why, e);
}

/* This part is over; what comes next depends on the flags. */
static void
next_part(struct gzip *g)
{
	static const unsigned char needs[PART_BODY] = {
		[PART_EXTRA_LENGTH] = FLAG_EXTRA,
		[PART_EXTRA] = FLAG_EXTRA,
		[PART_NAME] = FLAG_NAME,
		[PART_COMMENT] = FLAG_COMMENT,
		[PART_HCRC] = FLAG_HCRC,
	};

	do
		g->part++;
	while (g->part < PART_BODY &&
	    ((g->flags & needs[g->part]) == 0 || (g->part == PART_EXTRA && g->extra == 0)));
	g->have = 0;
}

static int
check_fixed(struct gzip *g, struct err *e)
{
	if (g->bytes[0] != 0x1f || g->bytes[1] != 0x8b)
		return damaged("incorrect header", e);
	if (g->bytes[2] != 8)
		return damaged("unknown compression method", e);
	if (g->bytes[3] & FLAGS_UNKNOWN)
		return damaged("unknown header flags", e);
	g->flags = g->bytes[3];
	return 0;
}

static uint32_t
little_endian(const unsigned char *bytes, size_t n)
{
	uint32_t value = 0;

	while (n-- > 0)
		value = value << 8 | bytes[n];
	return value;
}

/* Take one byte of the header. */
static int
take_header(struct gzip *g, unsigned char c, struct err *e)
{
	if (g->part != PART_HCRC)
		g->header_crc = crc32_gzip_refl(g->header_crc, &c, 1);
	if (g->have < sizeof g->bytes)
		g->bytes[g->have] = c;
	g->have++;
	switch (g->part) {
	case PART_FIXED:
		if (g->have < FIXED_BYTES)
			return 0;
		if (check_fixed(g, e) < 0)
			return -1;
		break;
	case PART_EXTRA_LENGTH:
		if (g->have < 2)
			return 0;
		g->extra = little_endian(g->bytes, 2);
		break;
	case PART_EXTRA:
		if (g->have < g->extra)
			return 0;
		break;
	case PART_HCRC:
		if (g->have < 2)
			return 0;
		if (little_endian(g->bytes, 2) != (g->header_crc & 0xffff))
			return damaged("incorrect header checksum", e);
		break;
	default:
		if (c != '\0')
			return 0;
	}
	next_part(g);
	return 0;
}

static const char *
inflate_fault(int code)
{
	switch (code) {
	case ISAL_INVALID_BLOCK:
		return "invalid block";
	case ISAL_INVALID_SYMBOL:
		return "invalid code";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance";
	default:
		return "damaged";
	}
}

static int
inflate_body(struct gzip *g, struct unpack_feed *feed, struct err *e)
{
	size_t back;
	int r;

	/* It does not write there; its interface is not const. */
	g->z.next_in = (uint8_t *)feed->in;
	g->z.avail_in = (uint32_t)feed->n;
	g->z.next_out = feed->out;
	g->z.avail_out = (uint32_t)feed->room;
	r = isal_inflate(&g->z);
	feed->in = g->z.next_in;
	feed->n = g->z.avail_in;
	feed->out = g->z.next_out;
	feed->room = g->z.avail_out;
	if (r != ISAL_DECOMP_OK)
		return damaged(inflate_fault(r), e);
	if (g->z.block_state != ISAL_BLOCK_FINISH)
		return 0;
	/* It has read ahead, some bits at a time. */
	back = (size_t)g->z.read_in_length / 8;
	feed->in -= back;
	feed->n += back;
	next_part(g);
	return 0;
}

/* Take one byte of the trailer. */
static int
take_trailer(struct gzip *g, unsigned char c, struct err *e)
{
	g->bytes[g->have++] = c;
	if (g->have < TRAILER_BYTES)
		return 0;
	if (little_endian(g->bytes, 4) != g->z.crc)
		return damaged("incorrect data check", e);
	if (little_endian(g->bytes + 4, 4) != g->z.total_out)
		return damaged("incorrect length check", e);
	return 1;
}

static int
gzip_run(void *state, struct unpack_feed *feed, struct err *e)
{
	struct gzip *g = state;
	int r = 0;

	for (;;) {
		if (g->part == PART_BODY) {
			if (inflate_body(g, feed, e) < 0)
				return -1;
			if (g->part == PART_BODY)
				return 0;
		}
		if (feed->n == 0)
			return 0;
		feed->n--;
		if (g->part == PART_TRAILER)
			r = take_trailer(g, *feed->in++, e);
		else
			r = take_header(g, *feed->in++, e);
		if (r != 0)
			return r;
	}
}

const struct unpack_codec unpack_codec_gzip = {
	.name = "gzip",
	.magic = { 0x1f, 0x8b },
	.mask = { 0xff, 0xff },
	.open = gzip_open,
	.start = gzip_start,
	.run = gzip_run,
	.close = free,
};
