#include "lib/artifact/unpack_minisign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/base64.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define SHOWN_ROOM 400

static const char untrusted[] = "untrusted comment: ";
static const char trusted[] = "trusted comment: ";

static int
begins_with(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* The lines of a text, without the blank ones at its end; NULL, or what is wrong with it. */
static const char *
split_lines(const char *text, size_t n, size_t max, struct strv *lines)
{
	AUTO_FREE char *copy = NULL;

	if (n > max)
		return "it is too long";
	if (memchr(text, '\0', n) != NULL)
		return "it is not text";
	copy = xmemdup(text, n);
	strv_split(lines, copy, '\n');
	for (size_t i = 0; i < lines->n; i++) {
		char *line = lines->items[i];
		size_t length = strlen(line);

		/* The last line may lack its LF, not have half of an end. */
		if (length > 0 && line[length - 1] == '\r' && i + 1 < lines->n)
			line[length - 1] = '\0';
		if (strchr(line, '\r') != NULL)
			return "it has a carriage return inside of a line";
	}
	while (lines->n > 0 && lines->items[lines->n - 1][0] == '\0')
		free(mem_take(&lines->items[--lines->n]));
	return NULL;
}

/* Decode a line that stands for exactly n bytes. */
static int
decode(const char *line, void *bytes, size_t n)
{
	AUTO_BUF struct buf out = { 0 };

	if (base64_decode(line, &out) < 0 || out.n != n)
		return -1;
	memcpy(bytes, out.data, n);
	return 0;
}

/*
 * Points of order 1, 2, 4 and 8, and other spellings of the first and third. Under such a key anybody
 * can make signatures; a placeholder of zeros is one.
 */
static int
is_of_small_order(const unsigned char *key)
{
	static const unsigned char weak[][UNPACK_MINISIGN_KEY_BYTES] = {
		{ 0 },
		{ 1 },
		{ 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2,
		    0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38,
		    0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
		{ 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d,
		    0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7,
		    0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
	};
	unsigned char y[UNPACK_MINISIGN_KEY_BYTES];
	size_t ff = 1;

	memcpy(y, key, sizeof y);
	y[sizeof y - 1] &= 0x7f; /* which of the two points with this y */
	for (size_t i = 0; i < MEM_COUNT(weak); i++)
		if (memcmp(y, weak[i], sizeof y) == 0)
			return 1;
	/* The prime is 2^255 - 19: it less one, itself and it and one are ec, ed, ee and then ff. */
	while (ff < sizeof y - 1 && y[ff] == 0xff)
		ff++;
	return ff == sizeof y - 1 && y[ff] == 0x7f && y[0] >= 0xec && y[0] <= 0xee;
}

int
unpack_minisign_parse_key(const char *text, size_t n, struct unpack_minisign_key *key,
    struct err *e)
{
	AUTO_STRV struct strv lines = { 0 };
	const char *fault = split_lines(text, n, UNPACK_MINISIGN_KEY_MAX, &lines);
	unsigned char raw[2 + sizeof key->id + sizeof key->key];
	int commented;

	if (fault != NULL)
		return err_set(e, ERR_CONFIG, "not a public key of minisign: %s", fault);
	commented = lines.n > 0 && begins_with(lines.items[0], untrusted);
	if (lines.n != (size_t)commented + 1)
		return err_set(e, ERR_CONFIG,
		    "not a public key of minisign: a comment and a key are wanted, a line each");
	if (decode(lines.items[commented], raw, sizeof raw) < 0 || memcmp(raw, "Ed", 2) != 0)
		return err_set(e, ERR_CONFIG,
		    "not a public key of minisign: the key is not one, or not a whole one");
	memcpy(key->id, raw + 2, sizeof key->id);
	memcpy(key->key, raw + 2 + sizeof key->id, sizeof key->key);
	if (is_of_small_order(key->key))
		return err_set(e, ERR_CONFIG, "not a public key: anybody can sign for this one");
	return 0;
}

int
unpack_minisign_parse_sig(const char *text, size_t n, struct unpack_minisign_sig *sig,
    struct err *e)
{
	AUTO_STRV struct strv lines = { 0 };
	const char *fault = split_lines(text, n, UNPACK_MINISIGN_SIG_MAX, &lines);
	unsigned char raw[2 + sizeof sig->id + sizeof sig->sig];

	if (fault != NULL)
		return err_set(e, ERR_DATA, "not a signature of minisign: %s", fault);
	if (lines.n != 4 || !begins_with(lines.items[0], untrusted) ||
	    !begins_with(lines.items[2], trusted))
		return err_set(e, ERR_DATA,
		    "not a signature of minisign: it is not its four lines, and no more");
	if (decode(lines.items[1], raw, sizeof raw) < 0 ||
	    decode(lines.items[3], sig->global, sizeof sig->global) < 0)
		return err_set(e, ERR_DATA, "not a signature of minisign: damaged, or cut short");
	if (raw[0] != 'E' || (raw[1] != 'D' && raw[1] != 'd'))
		return err_set(e, ERR_DATA, "not a signature of a kind that minisign makes");
	sig->prehashed = raw[1] == 'D';
	memcpy(sig->id, raw + 2, sizeof sig->id);
	memcpy(sig->sig, raw + 2 + sizeof sig->id, sizeof sig->sig);
	(void)snprintf(sig->comment, sizeof sig->comment, "%s",
	    lines.items[2] + sizeof trusted - 1);
	return 0;
}

int
unpack_minisign_check_name(const char *comment, const char *name, struct err *e)
{
	static const char blanks[] = "\t ", field[] = "file:";
	AUTO_FREE char *file = NULL;
	char shown[SHOWN_ROOM];
	size_t n;

	for (const char *s = comment + strspn(comment, blanks); *s != '\0';
	     s += n + strspn(s + n, blanks)) {
		n = strcspn(s, blanks);
		if (!begins_with(s, field))
			continue;
		if (file != NULL)
			return err_set(e, ERR_DATA,
			    "the signature names more than one file in its trusted comment");
		file = xmemdup(s + sizeof field - 1, n - (sizeof field - 1));
	}
	if (file == NULL)
		return err_set(e, ERR_DATA,
		    "the signature does not say which file it is for; make it with "
		    "`minisign -Sm %s`, without -t",
		    name);
	if (strcmp(file, name) == 0)
		return 0;
	log_escape(shown, sizeof shown, file);
	return err_set(e, ERR_DATA, "the signature is for file %s, not %s", shown, name);
}

void
unpack_minisign_show_id(char *text, const unsigned char *id)
{
	uint64_t number = 0;

	for (size_t i = UNPACK_MINISIGN_ID_BYTES; i > 0; i--)
		number = number << 8 | id[i - 1];
	(void)snprintf(text, UNPACK_MINISIGN_ID_ROOM, "%" PRIX64, number);
}
