/*
 * Base64 (RFC 4648, section 4): how Consul wraps values in JSON.
 */
#ifndef PP_BASE64_H
#define PP_BASE64_H

#include "lib/base/mem.h"

/**
 * Decode. Padding is required, nothing is skipped, and bits that no byte takes are zero.
 * Returns: 0, or -1 if it is not base64.
 */
int base64_decode(const char *text, struct buf *out);

/** Encode n bytes. */
void base64_encode(const void *data, size_t n, struct buf *out);

#endif
