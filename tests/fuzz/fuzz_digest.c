/* Digest files. */
#include <ctype.h>

#include "lib/artifact/trust.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

#define NAME "slug_abc.tar.gz"

static int
has_hex(const char *text, const char *hex)
{
	for (; *text != '\0'; text++)
		if (strncasecmp(text, hex, TRUST_HEX_ROOM - 1) == 0)
			return 1;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_FREE char *text = xmemdup(data, n), *longer = xmemdup(data, n);
	char hex[TRUST_HEX_ROOM], again[TRUST_HEX_ROOM];
	struct err e = ERR_INIT, ignored = ERR_INIT;
	int r = trust_parse_digest(text, n, NAME, hex, &e);

	if (r < 0) {
		HOLDS(e.class == ERR_DATA);
		fuzz_check_refusal(&e);
	} else {
		HOLDS(strspn(hex, "0123456789abcdef") == 64 && hex[64] == '\0');
		HOLDS(strlen(text) == n && has_hex(text, hex));
	}
	/* An end of line more is none that matters. */
	longer[n] = '\n';
	if (n < TRUST_DIGEST_FILE_MAX) {
		HOLDS(trust_parse_digest(longer, n + 1, NAME, again, &ignored) == r);
		HOLDS(r < 0 || strcmp(hex, again) == 0);
	}
	return 0;
}
