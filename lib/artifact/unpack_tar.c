#include "lib/artifact/unpack_tar.h"

#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "lib/artifact/unpack_name.h"
#include "lib/artifact/unpack_write.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

/* Zeros after the end of the archive: tar writes whole records, of 10 KiB if not told otherwise. */
#define PADDING_MAX_BYTES (UINT64_C(64) << 20)

/* Of one entry: long names, pax records, the map of a sparse file. All that is kept in memory. */
#define HEADERS_MAX_BYTES (UINT64_C(16) << 20)

struct tar {
	struct archive *archive;
	struct unpack_pipe *pipe;
	struct unpack_writer *writer;
	const struct unpack_limits *limits;
	struct unpack_usage *usage;
	uint64_t entries;
	uint64_t read_bytes;    /* that libarchive has taken from the pipe */
	uint64_t read_max;      /* where the headers of an entry have to end, by all means */
	uint64_t content_bytes; /* the same up to the last byte that is not zero */
	struct err read_err;    /* what read_tar() could not return */
	char entry[UNPACK_SHOW_ROOM];
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
read_pipe(struct tar *t, const void **block, struct err *e)
{
	ssize_t n = unpack_pipe_next(t->pipe, block, e);
	size_t content;

	if (n <= 0)
		return n;
	content = content_length(*block, (size_t)n);
	if (content > 0)
		t->content_bytes = t->read_bytes + content;
	t->read_bytes += (uint64_t)n;
	return n;
}

static la_ssize_t
read_tar(struct archive *a, void *data, const void **block)
{
	struct tar *t = data;
	ssize_t n = read_pipe(t, block, &t->read_err);

	if (n > 0 && t->read_bytes > t->read_max)
		n = err_set(&t->read_err, ERR_DATA, "more than 16 MiB of headers for one entry");
	if (n > 0 && unpack_limits_ratio(t->limits, t->usage, t->read_bytes, &t->read_err) < 0)
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

static int
unpack_data(struct tar *t, int64_t size, struct err *e)
{
	la_int64_t offset;
	const void *block;
	size_t n;
	int r;

	while ((r = archive_read_data_block(t->archive, &block, &n, &offset)) == ARCHIVE_OK) {
		if (n == 0)
			continue;
		if (offset < 0 || offset > size || n > (uint64_t)(size - offset))
			return err_set(e, ERR_DATA, "has more data than its size says");
		if (unpack_write_data(t->writer, block, n, (uint64_t)offset, e) < 0)
			return -1;
	}
	return r == ARCHIVE_EOF ? 0 : tar_failed(t, e);
}

static int
unpack_file(struct tar *t, const char *path, struct archive_entry *entry,
    const struct unpack_meta *meta, struct err *e)
{
	int64_t size = archive_entry_size(entry);
	uint64_t solid = archive_entry_sparse_count(entry) == 0 ? (uint64_t)size : 0;

	if (unpack_write_open(t->writer, path, meta, solid, e) < 0 || unpack_data(t, size, e) < 0)
		return -1;
	return unpack_write_close(t->writer, (uint64_t)size, e);
}

static int
unpack_hardlink(struct tar *t, const char *path, const char *target, struct err *e)
{
	char clean[UNPACK_PATH_ROOM], shown[UNPACK_SHOW_ROOM];

	if (unpack_name_clean(clean, target, e) < 0) {
		unpack_name_show(shown, target);
		return err_wrap(e, "hard link target \"%s\"", shown);
	}
	return unpack_write_hardlink(t->writer, path, clean, e);
}

static int
unpack_symlink(struct tar *t, const char *path, const char *target, const struct unpack_meta *meta,
    struct err *e)
{
	if (target == NULL)
		target = "";
	if (unpack_name_check_target(path, target, e) < 0)
		return -1;
	return unpack_write_symlink(t->writer, path, target, meta, e);
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

static struct unpack_meta
meta_of(struct archive_entry *entry)
{
	struct unpack_meta meta = { archive_entry_perm(entry), { 0, UTIME_OMIT } };
	long nsec = archive_entry_mtime_nsec(entry);

	if (archive_entry_mtime_is_set(entry)) {
		meta.mtime.tv_sec = archive_entry_mtime(entry);
		meta.mtime.tv_nsec = nsec >= 0 && nsec < 1000000000 ? nsec : 0;
	}
	return meta;
}

static int
unpack_entry(struct tar *t, struct archive_entry *entry, struct err *e)
{
	const char *name = archive_entry_pathname(entry);
	const char *hardlink = archive_entry_hardlink(entry);
	const struct unpack_meta meta = meta_of(entry);
	const mode_t type = archive_entry_filetype(entry);
	char path[UNPACK_PATH_ROOM];

	if (name == NULL)
		return err_set(e, ERR_DATA, "the name cannot be read");
	if (unpack_name_clean(path, name, e) < 0)
		return -1;
	if (archive_entry_size(entry) < 0)
		return err_set(e, ERR_DATA, "has a negative size");
	if (unpack_limits_content(t->limits, t->usage, (uint64_t)archive_entry_size(entry), e) < 0)
		return -1;
	if (path[0] == '\0' && (hardlink != NULL || type != AE_IFDIR))
		return err_set(e, ERR_DATA, "the install itself can only be a directory");
	if (hardlink != NULL)
		return unpack_hardlink(t, path, hardlink, e);
	switch (type) {
	case AE_IFREG:
		return unpack_file(t, path, entry, &meta, e);
	case AE_IFDIR:
		return unpack_write_dir(t->writer, path, &meta, e);
	case AE_IFLNK:
		return unpack_symlink(t, path, archive_entry_symlink(entry), &meta, e);
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
		return err_wrap(e, "after entry \"%s\"", t->entry);
	unpack_name_show(t->entry, name);
	return err_wrap(e, "entry \"%s\"", t->entry);
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

static int
unpack_entries(struct tar *t, struct err *e)
{
	struct archive_entry *entry = NULL;
	const char *name;
	int r;

	while ((r = next_entry(t, &entry)) == ARCHIVE_OK) {
		name = archive_entry_pathname(entry);
		unpack_name_show(t->entry, name != NULL ? name : "");
		t->entries++;
		if (unpack_entry(t, entry, e) < 0)
			return e->class == ERR_DATA ? err_wrap(e, "entry \"%s\"", t->entry) : -1;
	}
	/* A warning is about something that was dropped or changed: that is not what was signed for. */
	return r == ARCHIVE_EOF ? 0 : header_failed(t, entry, r, e);
}

/* The archive must say that it is over, and nothing but padding may follow. */
static int
check_end(struct tar *t, struct err *e)
{
	uint64_t end = (uint64_t)archive_filter_bytes(t->archive, 0);
	const void *block;
	ssize_t n;

	if (end < (uint64_t)archive_read_header_position(t->archive) + 512)
		return err_set(e, ERR_DATA,
		    "the archive is cut short: it has no end-of-archive mark");
	while ((n = read_pipe(t, &block, e)) > 0)
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
unpack_tar(struct unpack_pipe *pipe, struct unpack_writer *writer,
    const struct unpack_limits *limits, struct unpack_usage *usage, struct err *e)
{
	__attribute__((cleanup(release))) struct tar t = {
		.pipe = pipe,
		.writer = writer,
		.limits = limits,
		.usage = usage,
		.read_max = HEADERS_MAX_BYTES,
		.read_err = ERR_INIT,
	};

	if (open_tar(&t, e) < 0 || unpack_entries(&t, e) < 0)
		return -1;
	return check_end(&t, e);
}
