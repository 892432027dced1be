#include "lib/base/hash.h"

#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

uint64_t
hash_bytes(const void *data, size_t n)
{
	const unsigned char *at = data;
	uint64_t hash = FNV_OFFSET;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ at[i]) * FNV_PRIME;
	return hash != 0 ? hash : 1;
}
