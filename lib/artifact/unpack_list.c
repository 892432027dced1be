#include "lib/artifact/unpack_list.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/artifact/unpack_name.h"
#include "lib/artifact/unpack_write.h"
#include "lib/base/mem.h"

#define HEADER "pp-list 2 " /* and the key, in hex */
#define FIELDS 5
#define BUFFER_BYTES (64 * 1024)

/* A symlink has two paths; a file has numbers and a digest beside its path, which is less. */
#define LINE_MAX_BYTES (2 * UNPACK_PATH_ROOM + 64)

/* What --check and --share remember of each entry has to fit into memory. */
#define ENTRIES_MAX UINT64_C(16000000)

struct unpack_list {
	int fd;
	struct unpack_tag *tag;
	uint64_t entries;
	size_t n;
	char buffer[BUFFER_BYTES];
};

struct unpack_list_reader {
	int fd;
	off_t offset; /* of what comes after the buffer */
	uint64_t line;
	unsigned char key[UNPACK_TAG_KEY_BYTES];
	size_t at, n;
	char buffer[BUFFER_BYTES];
};

_Static_assert(LINE_MAX_BYTES < BUFFER_BYTES, "a line fits");

/* --- writing */

static int
flush(struct unpack_list *l, struct err *e)
{
	const char *at = l->buffer;

	while (l->n > 0) {
		ssize_t done = write(l->fd, at, l->n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(e, "write the list of the install");
		at += done;
		l->n -= (size_t)done;
	}
	return 0;
}

static void
put(struct unpack_list *l, const char *text, size_t n)
{
	memcpy(l->buffer + l->n, text, n);
	l->n += n;
}

static void
put_mode(struct unpack_list *l, mode_t mode)
{
	for (int shift = 9; shift >= 0; shift -= 3)
		l->buffer[l->n++] = (char)('0' + ((mode >> shift) & 7));
}

static void
put_number(struct unpack_list *l, uint64_t number)
{
	char digits[24];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put(l, digits + at, sizeof digits - at);
}

static void
put_hex(struct unpack_list *l, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		l->buffer[l->n++] = digits[bytes[i] >> 4];
		l->buffer[l->n++] = digits[bytes[i] & 15];
	}
}

/* Make room for a line of `path` and `target`, and start it. */
static int
start_line(struct unpack_list *l, char kind, const char *path, const char *target, struct err *e)
{
	const size_t length = strlen(path), target_length = strlen(target);

	/* The policy on names has seen to this: a list that can be misread would be worse than none. */
	if (length >= UNPACK_PATH_ROOM || target_length >= UNPACK_PATH_ROOM ||
	    path[strcspn(path, "\t\n")] != '\0' || target[strcspn(target, "\t\n")] != '\0')
		return err_set(e, ERR_DATA, "a name does not fit into the list of the install");
	if (sizeof l->buffer - l->n < LINE_MAX_BYTES && flush(l, e) < 0)
		return -1;
	l->entries++;
	put(l, &kind, 1);
	put(l, "\t", 1);
	return 0;
}

static void
end_line(struct unpack_list *l, const char *path)
{
	put(l, "\t", 1);
	put(l, path[0] != '\0' ? path : ".", path[0] != '\0' ? strlen(path) : 1);
	put(l, "\n", 1);
}

struct unpack_list *
unpack_list_new(int fd, struct err *e)
{
	struct unpack_list *l = xcalloc(1, sizeof *l);
	unsigned char key[UNPACK_TAG_KEY_BYTES];

	l->fd = fd;
	/* So few bytes come at once, or not at all. */
	if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
		(void)err_sys(e, "getrandom");
	else
		l->tag = unpack_tag_new(key, e);
	if (l->tag == NULL) {
		unpack_list_free(l);
		return NULL;
	}
	put(l, HEADER, sizeof HEADER - 1);
	put_hex(l, key, sizeof key);
	put(l, "\n", 1);
	return l;
}

struct unpack_tag *
unpack_list_tag(struct unpack_list *l)
{
	return l->tag;
}

int
unpack_list_file(struct unpack_list *l, const char *path, mode_t mode, uint64_t size,
    const unsigned char tag[UNPACK_TAG_BYTES], struct err *e)
{
	if (start_line(l, 'f', path, "", e) < 0)
		return -1;
	put_mode(l, mode);
	put(l, "\t", 1);
	put_number(l, size);
	put(l, "\t", 1);
	put_hex(l, tag, UNPACK_TAG_BYTES);
	end_line(l, path);
	return 0;
}

static int
add_link(struct unpack_list *l, char kind, const char *path, const char *target, struct err *e)
{
	if (start_line(l, kind, path, target, e) < 0)
		return -1;
	put(l, "-\t-\t", 4);
	put(l, target, strlen(target));
	end_line(l, path);
	return 0;
}

int
unpack_list_hardlink(struct unpack_list *l, const char *path, const char *target, struct err *e)
{
	return add_link(l, 'h', path, target, e);
}

int
unpack_list_symlink(struct unpack_list *l, const char *path, const char *target, struct err *e)
{
	return add_link(l, 'l', path, target, e);
}

int
unpack_list_dir(struct unpack_list *l, const char *path, mode_t mode, struct err *e)
{
	if (start_line(l, 'd', path, "", e) < 0)
		return -1;
	put_mode(l, mode);
	put(l, "\t-\t-", 4);
	end_line(l, path);
	return 0;
}

int
unpack_list_finish(struct unpack_list *l, struct err *e)
{
	if (sizeof l->buffer - l->n < LINE_MAX_BYTES && flush(l, e) < 0)
		return -1;
	put(l, "end ", 4);
	put_number(l, l->entries);
	put(l, "\n", 1);
	return flush(l, e);
}

void
unpack_list_free(struct unpack_list *l)
{
	if (l == NULL)
		return;
	unpack_tag_free(l->tag);
	free(l);
}

/* --- reading */

struct unpack_list_reader *
unpack_list_open(int fd, struct err *e)
{
	struct unpack_list_reader *r;
	struct stat st;

	if (fstat(fd, &st) < 0) {
		(void)err_sys(e, "stat the list of the install");
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)err_set(e, ERR_USAGE, "the list of the install is not a regular file");
		return NULL;
	}
	r = xcalloc(1, sizeof *r);
	r->fd = fd;
	return r;
}

const unsigned char *
unpack_list_key(const struct unpack_list_reader *r)
{
	return r->key;
}

void
unpack_list_rewind(struct unpack_list_reader *r)
{
	r->offset = 0;
	r->line = 0;
	r->at = r->n = 0;
}

void
unpack_list_close(struct unpack_list_reader *r)
{
	free(r);
}

/* Move what is left to the front of the buffer and fill the rest, as far as the file goes. */
static int
fill(struct unpack_list_reader *r, struct err *e)
{
	r->n -= r->at;
	memmove(r->buffer, r->buffer + r->at, r->n);
	r->at = 0;
	while (r->n < sizeof r->buffer) {
		ssize_t got = pread(r->fd, r->buffer + r->n, sizeof r->buffer - r->n, r->offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "read the list of the install");
		if (got == 0)
			break;
		r->n += (size_t)got;
		r->offset += got;
	}
	return 0;
}

static int
bad(const struct unpack_list_reader *r, struct err *e, const char *why)
{
	return err_set(e, ERR_DATA, "line %" PRIu64 " of the list %s", r->line, why);
}

/* The next line without its newline, in the buffer. */
static int
next_line(struct unpack_list_reader *r, char **line, size_t *length, struct err *e)
{
	char *end;

	if (r->n - r->at < LINE_MAX_BYTES && fill(r, e) < 0)
		return -1;
	r->line++;
	*line = r->buffer + r->at;
	end = memchr(*line, '\n', r->n - r->at);
	if (end == NULL && r->n - r->at < LINE_MAX_BYTES)
		return err_set(e, ERR_DATA, "the list is cut short");
	if (end == NULL || end - *line >= LINE_MAX_BYTES)
		return bad(r, e, "is too long");
	*end = '\0';
	*length = (size_t)(end - *line);
	r->at += *length + 1;
	return strlen(*line) == *length ? 0 : bad(r, e, "has a zero byte");
}

/* As the writer writes it: decimal digits, no zero in front. */
static int
parse_number(const char *text, uint64_t *number)
{
	size_t length = strspn(text, "0123456789");

	if (length == 0 || length > 18 || text[length] != '\0' || (text[0] == '0' && length > 1))
		return -1;
	*number = strtoull(text, NULL, 10);
	return 0;
}

static int
parse_mode(const char *text, mode_t *mode)
{
	if (strlen(text) != 4 || strspn(text, "01234567") != 4)
		return -1;
	*mode = (mode_t)strtoul(text, NULL, 8);
	return (*mode & ~(mode_t)UNPACK_WRITE_MODES) == 0 ? 0 : -1;
}

/* As put_hex() writes n bytes. */
static int
parse_hex(const char *text, unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 2 * n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const char *high = strchr(digits, text[2 * i]);
		const char *low = strchr(digits, text[2 * i + 1]);

		if (high == NULL || low == NULL)
			return -1;
		bytes[i] = (unsigned char)((high - digits) << 4 | (low - digits));
	}
	return 0;
}

/* Nothing outside of the install can be named by a path that is clean, and clean already. */
static int
check_path(const struct unpack_list_reader *r, const char *path, struct err *e)
{
	char clean[UNPACK_PATH_ROOM];

	if (unpack_name_clean(clean, path, e) < 0)
		return err_wrap(e, "line %" PRIu64 " of the list", r->line);
	if (clean[0] == '\0' || strcmp(clean, path) != 0)
		return bad(r, e, "has a path that is not in its shortest form");
	return 0;
}

static int
check_symlink(const struct unpack_list_reader *r, const char *path, const char *target,
    struct err *e)
{
	if (check_path(r, path, e) < 0)
		return -1;
	if (unpack_name_check_target(path, target, e) < 0)
		return err_wrap(e, "line %" PRIu64 " of the list", r->line);
	return 0;
}

static int
is_none(const char *field)
{
	return strcmp(field, "-") == 0;
}

static int
parse_entry(const struct unpack_list_reader *r, char *const field[FIELDS],
    struct unpack_list_entry *entry, struct err *e)
{
	*entry = (struct unpack_list_entry){ .path = field[4] };
	switch (field[0][0]) {
	case 'f':
		entry->kind = UNPACK_LIST_FILE;
		if (parse_mode(field[1], &entry->mode) < 0 ||
		    parse_number(field[2], &entry->size) < 0 ||
		    parse_hex(field[3], entry->tag, sizeof entry->tag) < 0)
			return bad(r, e, "has no mode, size and tag of a file");
		return check_path(r, entry->path, e);
	case 'd':
		entry->kind = UNPACK_LIST_DIR;
		if (parse_mode(field[1], &entry->mode) < 0 || !is_none(field[2]) ||
		    !is_none(field[3]))
			return bad(r, e, "has no mode of a directory");
		if (strcmp(entry->path, ".") != 0)
			return check_path(r, entry->path, e);
		entry->path = "";
		return 0;
	default:
		break;
	}
	entry->kind = field[0][0] == 'h' ? UNPACK_LIST_HARDLINK : UNPACK_LIST_SYMLINK;
	entry->target = field[3];
	if (!is_none(field[1]) || !is_none(field[2]))
		return bad(r, e, "has a mode or a size, but is a link");
	if (entry->kind == UNPACK_LIST_SYMLINK)
		return check_symlink(r, entry->path, entry->target, e);
	return check_path(r, entry->path, e) < 0 ? -1 : check_path(r, entry->target, e);
}

static int
parse_end(struct unpack_list_reader *r, const char *count, struct err *e)
{
	uint64_t number;

	/* The first line and this one are no entries. */
	if (parse_number(count, &number) < 0 || number != r->line - 2)
		return err_set(e, ERR_DATA,
		    "the list is cut short: its last line does not have the number of its entries");
	if (fill(r, e) < 0)
		return -1;
	if (r->n > 0)
		return err_set(e, ERR_DATA, "something follows the list");
	return 0;
}

static int
check_header(struct unpack_list_reader *r, struct err *e)
{
	char *line;
	size_t length;

	if (next_line(r, &line, &length, e) < 0)
		return -1;
	if (strncmp(line, HEADER, sizeof HEADER - 1) != 0 ||
	    parse_hex(line + sizeof HEADER - 1, r->key, sizeof r->key) < 0)
		return err_set(e, ERR_DATA,
		    "not the list of an install: it does not begin with \"" HEADER "KEY\"");
	return 0;
}

int
unpack_list_next(struct unpack_list_reader *r, struct unpack_list_entry *entry, struct err *e)
{
	char *line, *field[FIELDS];
	size_t length, n = 0;

	if (r->line == 0 && check_header(r, e) < 0)
		return -1;
	if (next_line(r, &line, &length, e) < 0)
		return -1;
	if (strncmp(line, "end ", 4) == 0)
		return parse_end(r, line + 4, e);
	if (r->line - 1 > ENTRIES_MAX)
		return bad(r, e, "is one too many");
	/* strsep() gives an empty field for two tabs in a row, and one more than there are tabs. */
	while (n < FIELDS && line != NULL)
		field[n++] = strsep(&line, "\t");
	if (n != FIELDS || line != NULL || strlen(field[0]) != 1 ||
	    strchr("fhld", field[0][0]) == NULL)
		return bad(r, e, "is not an entry");
	return parse_entry(r, field, entry, e) < 0 ? -1 : 1;
}
