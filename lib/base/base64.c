#include "lib/base/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int
base64_decode(const char *text, struct buf *out)
{
	size_t n = strlen(text), pad = 0;
	AUTO_FREE char *bytes = xcalloc(n / 4 + 1, 3);
	size_t at = 0;

	if (n % 4 != 0)
		return -1;
	while (pad < 2 && n > pad && text[n - pad - 1] == '=')
		pad++;
	for (size_t i = 0; i < n; i += 4) {
		uint32_t group = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = i + k >= n - pad ? 0 : digit(text[i + k]);

			if (d < 0)
				return -1;
			group = group << 6 | (uint32_t)d;
		}
		/* Bits that no byte takes: two texts for the same bytes are one too many. */
		if (i + 4 == n && (group & ((1U << (8 * pad)) - 1)) != 0)
			return -1;
		bytes[at++] = (char)(group >> 16);
		bytes[at++] = (char)(group >> 8);
		bytes[at++] = (char)group;
	}
	buf_add(out, bytes, at - pad);
	return 0;
}

void
base64_encode(const void *data, size_t n, struct buf *out)
{
	const unsigned char *in = data;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16 |
		    (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
		char quad[4] = { alphabet[group >> 18], alphabet[group >> 12 & 63],
			i + 1 < n ? alphabet[group >> 6 & 63] : '=',
			i + 2 < n ? alphabet[group & 63] : '=' };

		buf_add(out, quad, sizeof quad);
	}
	buf_add(out, "", 0);
}
