/* The tags of files: the same bytes under the same key and nonce have the same one, and no others. */
#include "lib/artifact/unpack_tag.h"

#include "lib/base/mem.h"
#include "tests/unit/tap.h"

static const unsigned char key[UNPACK_TAG_KEY_BYTES] = { 1, 2, 3 };

static void
end(struct unpack_tag *t, unsigned char tag[UNPACK_TAG_BYTES])
{
	struct err e = ERR_INIT;

	ok(unpack_tag_end(t, tag, &e) == 0, "a tag");
}

static int
differ(const unsigned char *a, const unsigned char *b)
{
	return memcmp(a + UNPACK_TAG_NONCE_BYTES, b + UNPACK_TAG_NONCE_BYTES,
		   UNPACK_TAG_BYTES - UNPACK_TAG_NONCE_BYTES) != 0;
}

/* The first two cases of the GCM specification have a key, a nonce and data that are all zero. */
static void
test_published(void)
{
	static const unsigned char zeros[UNPACK_TAG_BYTES] = { 0 };
	static const unsigned char known[UNPACK_TAG_BYTES] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x58, 0xe2,
		0xfc, 0xce, 0xfa, 0x7e, 0x30, 0x61, 0x36, 0x7f, 0x1d, 0x57, 0xa4, 0xe7, 0x45,
		0x5a };
	unsigned char tag[UNPACK_TAG_BYTES];
	struct err e = ERR_INIT;
	struct unpack_tag *t = unpack_tag_new(zeros, &e);

	unpack_tag_again(t, zeros);
	end(t, tag);
	ok(memcmp(tag, known, sizeof tag) == 0, "nothing, under zeros, is as published");
	unpack_tag_free(t);
}

static void
test_same(void)
{
	unsigned char one[UNPACK_TAG_BYTES], two[UNPACK_TAG_BYTES], again[UNPACK_TAG_BYTES];
	struct err e = ERR_INIT;
	struct unpack_tag *t = unpack_tag_new(key, &e), *other = unpack_tag_new(key, &e);
	AUTO_FREE char *data = xcalloc(1, 100001);

	memset(data, 'x', 100000);
	unpack_tag_begin(t);
	unpack_tag_add(t, data, 100000);
	unpack_tag_add_zeros(t, 40000);
	end(t, one);
	unpack_tag_begin(t);
	unpack_tag_add(t, data, 100000);
	unpack_tag_add_zeros(t, 40000);
	end(t, two);
	ok(memcmp(one, two, UNPACK_TAG_NONCE_BYTES) != 0 && differ(one, two),
	    "no two have the same nonce");
	unpack_tag_again(other, two);
	for (size_t i = 0; i < 100000; i += 1000)
		unpack_tag_add(other, data + i, 1000);
	for (int i = 0; i < 40000; i += 8)
		unpack_tag_add_zeros(other, 8);
	end(other, again);
	ok(memcmp(two, again, sizeof two) == 0, "the same bytes in other pieces: the same tag");
	unpack_tag_again(other, two);
	unpack_tag_add(other, data, 100000);
	unpack_tag_add_zeros(other, 39999);
	end(other, again);
	ok(differ(two, again), "a byte less: another one");
	data[50000] ^= 1;
	unpack_tag_again(other, two);
	unpack_tag_add(other, data, 100000);
	unpack_tag_add_zeros(other, 40000);
	end(other, again);
	ok(differ(two, again), "a bit changed: another one");
	unpack_tag_free(t);
	unpack_tag_free(other);
}

static void
test_empty(void)
{
	static const unsigned char other_key[UNPACK_TAG_KEY_BYTES] = { 4 };
	unsigned char one[UNPACK_TAG_BYTES], two[UNPACK_TAG_BYTES];
	struct err e = ERR_INIT;
	struct unpack_tag *t = unpack_tag_new(key, &e), *other = unpack_tag_new(other_key, &e);

	unpack_tag_begin(t);
	end(t, one);
	unpack_tag_begin(other);
	end(other, two);
	ok(differ(one, two), "nothing at all has a tag, too, by the key");
	unpack_tag_free(t);
	unpack_tag_free(other);
	unpack_tag_free(NULL);
}

int
main(void)
{
	test_published();
	test_same();
	test_empty();
	return done();
}
