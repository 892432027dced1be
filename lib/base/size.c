#include "lib/base/size.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char units[] = "KMGT";

int
size_parse(const char *s, uint64_t *bytes, struct err *e)
{
	const char *at = s, *unit = NULL;
	uint64_t n = 0;
	unsigned shift = 0;

	for (; isdigit((unsigned char)*at) && n <= INT64_MAX / 10 - 1; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	if (at > s && *at != '\0')
		unit = strchr(units, toupper((unsigned char)*at));
	if (unit != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		at++;
	}
	if (at == s || *at != '\0' || n > (uint64_t)INT64_MAX >> shift)
		return err_set(e, ERR_DATA,
		    "\"%s\" is not a size: write a number of bytes, or 500K, 20M, 4G, 1T", s);
	*bytes = n << shift;
	return 0;
}

void
size_show(char *out, uint64_t bytes)
{
	double amount = (double)bytes;
	size_t i = 0;

	if (bytes < 1024) {
		(void)snprintf(out, SIZE_ROOM, "%" PRIu64 " B", bytes);
		return;
	}
	for (amount /= 1024; amount >= 1024 && i + 1 < strlen(units); i++)
		amount /= 1024;
	(void)snprintf(out, SIZE_ROOM, "%.1f %ciB", amount, units[i]);
}
