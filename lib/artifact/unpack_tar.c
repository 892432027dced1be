#include "lib/artifact/unpack_tar.h"

#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/artifact/unpack_name.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

/* Zeros after the end of the archive: tar writes whole records, of 10 KiB if not told otherwise. */
#define PADDING_MAX_BYTES (UINT64_C(64) << 20)

/* Of one entry: long names, pax records, the map of a sparse file. All that is kept in memory. */
#define HEADERS_MAX_BYTES (UINT64_C(16) << 20)

struct tar {
	const struct unpack_tar *from;
	struct archive *archive;
	const char *block; /* that was read last; what is in it need not be copied */
	size_t block_bytes;
	struct unpack_yield yield;
	uint64_t entries;
	uint64_t read_bytes;         /* that libarchive was given */
	uint64_t read_max;           /* where the headers of an entry have to end, by all means */
	uint64_t content_bytes;      /* the same up to the last byte that is not zero */
	struct err read_err;         /* what read_tar() could not return */
	char name[UNPACK_PATH_ROOM]; /* of the last entry, as the archive has it; cut if too long */
};

static void
release(struct tar *t)
{
	if (t->archive != NULL)
		(void)archive_read_free(t->archive);
}

/* How much of the block is left without the zeros at its end. */
static size_t
content_length(const char *block, size_t n)
{
	static const char zeros[4096];

	while (n > 0) {
		size_t piece = n < sizeof zeros ? n : sizeof zeros;

		if (memcmp(block + n - piece, zeros, piece) != 0)
			break;
		n -= piece;
	}
	while (n > 0 && block[n - 1] == '\0')
		n--;
	return n;
}

static ssize_t
read_block(struct tar *t, struct err *e)
{
	void *block = unpack_pipe_block(t->from->pipe);
	size_t content;
	ssize_t n;

	t->block_bytes = 0;
	/* The writer has failed: that is what is told, and not this. */
	if (block == NULL)
		return -1;
	n = unpack_stream_read(t->from->stream, block, UNPACK_PIPE_BLOCK_BYTES, e);
	if (n <= 0)
		return n;
	t->block = block;
	t->block_bytes = (size_t)n;
	content = content_length(block, (size_t)n);
	if (content > 0)
		t->content_bytes = t->read_bytes + content;
	t->read_bytes += (uint64_t)n;
	return n;
}

static la_ssize_t
read_tar(struct archive *a, void *data, const void **block)
{
	struct tar *t = data;
	ssize_t n = t->read_err.class == ERR_NONE ? read_block(t, &t->read_err) : -1;

	*block = t->block;
	if (n > 0 && t->read_bytes > t->read_max)
		n = err_set(&t->read_err, ERR_DATA, "more than 16 MiB of headers for one entry");
	if (n > 0 &&
	    unpack_limits_ratio(t->from->limits, &t->yield, t->read_bytes, &t->read_err) < 0)
		n = -1;
	if (n < 0)
		archive_set_error(a, EIO, "%s", t->read_err.msg);
	return n < 0 ? ARCHIVE_FATAL : n;
}

/* libarchive has failed, because of us or because of what it read. */
static int
tar_failed(struct tar *t, struct err *e)
{
	const char *text = archive_error_string(t->archive);
	char safe[512];

	if (t->read_err.class != ERR_NONE) {
		*e = t->read_err;
		return -1;
	}
	log_escape(safe, sizeof safe, text != NULL ? text : "damaged");
	return err_set(e, archive_errno(t->archive) == ENOMEM ? ERR_FAIL : ERR_DATA, "%s", safe);
}

/* The same, before there was any entry. */
static int
start_failed(struct tar *t, struct err *e)
{
	(void)tar_failed(t, e);
	if (e->class != ERR_DATA || t->read_err.class != ERR_NONE)
		return -1;
	return err_wrap(e, "not a tar archive, plain or with gzip, zstd, xz or bzip2");
}

static int
open_tar(struct tar *t, struct err *e)
{
	t->archive = archive_read_new();
	if (t->archive == NULL)
		return err_set(e, ERR_FAIL, "out of memory");
	if (archive_read_support_format_tar(t->archive) != ARCHIVE_OK ||
	    archive_read_open(t->archive, t, NULL, read_tar, NULL) != ARCHIVE_OK)
		return start_failed(t, e);
	return 0;
}

/* --- entries become steps */

/* Does the data that libarchive gives out lie in the block, or in a buffer of its own? */
static int
is_in_block(const struct tar *t, const char *data, size_t n)
{
	const uintptr_t at = (uintptr_t)data, start = (uintptr_t)t->block;

	return at >= start && n <= t->block_bytes && at - start <= t->block_bytes - n;
}

static void
add_data(struct tar *t, const void *data, size_t n, uint64_t offset)
{
	struct unpack_step *step = unpack_pipe_step(t->from->pipe, UNPACK_STEP_DATA);

	step->data = is_in_block(t, data, n) ? data : unpack_pipe_keep(t->from->pipe, data, n);
	step->size = n;
	step->offset = offset;
}

static void
tag_data(const struct tar *t, const void *data, size_t n, uint64_t hole)
{
	if (t->from->tag == NULL)
		return;
	unpack_tag_add_zeros(t->from->tag, hole);
	unpack_tag_add(t->from->tag, data, n);
}

/* Returns: 0 with where the data ends in *end; -1 with *e set. */
static int
read_data(struct tar *t, uint64_t size, uint64_t *end, struct err *e)
{
	la_int64_t offset;
	const void *data;
	size_t n;
	int r;

	*end = 0;
	while ((r = archive_read_data_block(t->archive, &data, &n, &offset)) == ARCHIVE_OK) {
		if (n == 0)
			continue;
		if (offset < 0 || (uint64_t)offset > size || n > size - (uint64_t)offset)
			return err_set(e, ERR_DATA, "has more data than its size says");
		if ((uint64_t)offset < *end)
			return err_set(e, ERR_DATA, "has parts that overlap");
		tag_data(t, data, n, (uint64_t)offset - *end);
		add_data(t, data, n, (uint64_t)offset);
		*end = (uint64_t)offset + n;
	}
	return r == ARCHIVE_EOF ? 0 : tar_failed(t, e);
}

static char *
keep_text(const struct tar *t, const char *text)
{
	return unpack_pipe_keep(t->from->pipe, text, strlen(text) + 1);
}

/* The first step of an entry. */
static struct unpack_step *
add_entry(const struct tar *t, enum unpack_step_kind kind, const char *path,
    struct archive_entry *entry)
{
	struct unpack_step *step = unpack_pipe_step(t->from->pipe, kind);
	const long nsec = archive_entry_mtime_nsec(entry);

	step->entry = keep_text(t, t->name);
	step->path = keep_text(t, path);
	step->size = (uint64_t)archive_entry_size(entry);
	step->meta = (struct unpack_meta){ archive_entry_perm(entry), { 0, UTIME_OMIT } };
	if (archive_entry_mtime_is_set(entry)) {
		step->meta.mtime.tv_sec = archive_entry_mtime(entry);
		step->meta.mtime.tv_nsec = nsec >= 0 && nsec < 1000000000 ? nsec : 0;
	}
	return step;
}

static int
read_file(struct tar *t, const char *path, struct archive_entry *entry, struct err *e)
{
	struct unpack_step *step = add_entry(t, UNPACK_STEP_OPEN, path, entry);
	const uint64_t size = step->size;
	uint64_t end;

	if (archive_entry_sparse_count(entry) == 0)
		step->solid = size;
	if (t->from->tag != NULL)
		unpack_tag_begin(t->from->tag);
	if (read_data(t, size, &end, e) < 0)
		return -1;
	step = unpack_pipe_step(t->from->pipe, UNPACK_STEP_CLOSE);
	step->size = size;
	tag_data(t, NULL, 0, size - end);
	return t->from->tag != NULL ? unpack_tag_end(t->from->tag, step->tag, e) : 0;
}

static int
read_hardlink(struct tar *t, const char *path, struct archive_entry *entry, struct err *e)
{
	const char *target = archive_entry_hardlink(entry);
	char clean[UNPACK_PATH_ROOM];

	if (unpack_name_clean(clean, target, e) < 0)
		return unpack_name_wrap(e, "hard link target", target);
	add_entry(t, UNPACK_STEP_HARDLINK, path, entry)->target = keep_text(t, clean);
	return 0;
}

static int
read_symlink(struct tar *t, const char *path, struct archive_entry *entry, struct err *e)
{
	const char *target = archive_entry_symlink(entry);

	if (target == NULL)
		target = "";
	if (unpack_name_check_target(path, target, e) < 0)
		return -1;
	add_entry(t, UNPACK_STEP_SYMLINK, path, entry)->target = keep_text(t, target);
	return 0;
}

static const char *
special_name(mode_t type)
{
	switch (type) {
	case AE_IFCHR:
		return "a character device";
	case AE_IFBLK:
		return "a block device";
	case AE_IFIFO:
		return "a FIFO";
	case AE_IFSOCK:
		return "a socket";
	default:
		return "of an unknown kind, or a link to nothing";
	}
}

static int
read_entry(struct tar *t, struct archive_entry *entry, struct err *e)
{
	const char *name = archive_entry_pathname(entry);
	const int is_hardlink = archive_entry_hardlink(entry) != NULL;
	const mode_t type = archive_entry_filetype(entry);
	char path[UNPACK_PATH_ROOM];

	if (name == NULL)
		return err_set(e, ERR_DATA, "the name cannot be read");
	if (unpack_name_clean(path, name, e) < 0)
		return -1;
	if (archive_entry_size(entry) < 0)
		return err_set(e, ERR_DATA, "has a negative size");
	if (unpack_limits_content(t->from->limits, &t->yield, (uint64_t)archive_entry_size(entry),
		e) < 0)
		return -1;
	if (path[0] == '\0' && (is_hardlink || type != AE_IFDIR))
		return err_set(e, ERR_DATA, "the install itself can only be a directory");
	if (is_hardlink)
		return read_hardlink(t, path, entry, e);
	switch (type) {
	case AE_IFREG:
		return read_file(t, path, entry, e);
	case AE_IFDIR:
		(void)add_entry(t, UNPACK_STEP_DIR, path, entry);
		return 0;
	case AE_IFLNK:
		return read_symlink(t, path, entry, e);
	default:
		return err_set(e, ERR_DATA, "is %s", special_name(type));
	}
}

/* The next header could not be read. A name that could is worth more than the one before. */
static int
header_failed(struct tar *t, struct archive_entry *entry, int r, struct err *e)
{
	const char *name = NULL;

	if (r == ARCHIVE_WARN && entry != NULL)
		name = archive_entry_pathname(entry);
	if (name == NULL && t->entries == 0)
		return start_failed(t, e);
	(void)tar_failed(t, e);
	if (e->class != ERR_DATA)
		return -1;
	if (name == NULL)
		return unpack_name_wrap(e, "after entry", t->name);
	return unpack_name_wrap(e, "entry", name);
}

/* The next header, and nothing but that: what is left of the entry before is skipped first. */
static int
next_entry(struct tar *t, struct archive_entry **entry)
{
	int r;

	t->read_max = UINT64_MAX;
	if (t->entries > 0 && (r = archive_read_data_skip(t->archive)) != ARCHIVE_OK)
		return r;
	t->read_max = t->read_bytes + HEADERS_MAX_BYTES;
	r = archive_read_next_header(t->archive, entry);
	t->read_max = UINT64_MAX;
	return r;
}

static void
remember_name(struct tar *t, const char *name)
{
	const size_t n = strnlen(name, sizeof t->name - 1);

	memcpy(t->name, name, n);
	t->name[n] = '\0';
}

static int
read_entries(struct tar *t, struct err *e)
{
	struct archive_entry *entry = NULL;
	const char *name;
	int r;

	while ((r = next_entry(t, &entry)) == ARCHIVE_OK) {
		name = archive_entry_pathname(entry);
		remember_name(t, name != NULL ? name : "");
		t->entries++;
		if (read_entry(t, entry, e) < 0)
			return e->class == ERR_DATA ? unpack_name_wrap(e, "entry", t->name) : -1;
	}
	/* A warning is about something that was dropped or changed: that is not what was signed for. */
	return r == ARCHIVE_EOF ? 0 : header_failed(t, entry, r, e);
}

/* The archive must say that it is over, and nothing but padding may follow. */
static int
check_end(struct tar *t, struct err *e)
{
	uint64_t end = (uint64_t)archive_filter_bytes(t->archive, 0);
	ssize_t n;

	if (end < (uint64_t)archive_read_header_position(t->archive) + 512)
		return err_set(e, ERR_DATA,
		    "the archive is cut short: it has no end-of-archive mark");
	while ((n = read_block(t, e)) > 0)
		if (t->content_bytes > end || t->read_bytes - end > PADDING_MAX_BYTES)
			break;
	if (n < 0)
		return -1;
	if (t->content_bytes > end)
		return err_set(e, ERR_DATA, "garbage follows the end of the archive");
	if (n > 0)
		return err_set(e, ERR_DATA, "more than 64 MiB of padding follow the archive");
	if (t->entries == 0)
		return err_set(e, ERR_DATA, "the archive has no entries");
	return 0;
}

int
unpack_tar(const struct unpack_tar *from, struct err *e)
{
	__attribute__((cleanup(release))) struct tar t = {
		.from = from,
		.yield.artifact_bytes = from->artifact_bytes,
		.read_max = HEADERS_MAX_BYTES,
		.read_err = ERR_INIT,
	};

	if (open_tar(&t, e) < 0 || read_entries(&t, e) < 0)
		return -1;
	return check_end(&t, e);
}
