#include "lib/artifact/unpack.h"

#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/artifact/unpack_name.h"
#include "lib/artifact/unpack_stream.h"
#include "lib/artifact/unpack_write.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define DIGEST_BLOCK_BYTES (1 << 20)
#define DIGEST_HEX_ROOM (2 * EVP_MAX_MD_SIZE + 1)

/* Zeros after the end of the archive: tar writes whole records, of 10 KiB if not told otherwise. */
#define PADDING_MAX_BYTES (UINT64_C(64) << 20)

/* Of one entry: long names, pax records, the map of a sparse file. All that is kept in memory. */
#define HEADERS_MAX_BYTES (UINT64_C(16) << 20)

struct unpacking {
	const struct unpack_options *o;
	struct unpack_stream *stream;
	struct archive *tar;
	struct unpack_writer *writer;
	uint64_t entries, size_bytes;
	uint64_t read_bytes;    /* that tar has taken from the stream */
	uint64_t read_max;      /* where the headers of an entry have to end, by all means */
	uint64_t content_bytes; /* the same up to the last byte that is not zero */
	struct err read_err;    /* what read_tar() could not return */
	char entry[UNPACK_SHOW_ROOM];
};

static void
release(struct unpacking *u)
{
	unpack_write_free(u->writer);
	if (u->tar != NULL)
		(void)archive_read_free(u->tar);
	unpack_stream_free(u->stream);
}

static void
auto_free_digest(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

static int
digest_of(int fd, char *hex, struct err *e)
{
	__attribute__((cleanup(auto_free_digest))) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	AUTO_FREE char *block = xcalloc(1, DIGEST_BLOCK_BYTES);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	off_t at = 0;
	ssize_t n;
	int ok;

	ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	while (ok) {
		n = pread(fd, block, DIGEST_BLOCK_BYTES, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the artifact");
		if (n == 0)
			break;
		ok = EVP_DigestUpdate(ctx, block, (size_t)n);
		at += n;
	}
	if (!ok || !EVP_DigestFinal_ex(ctx, digest, &length))
		return err_set(e, ERR_FAIL, "sha256 of the artifact: libcrypto fails");
	hex[0] = '\0';
	for (unsigned int i = 0; i < length; i++)
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
	return 0;
}

static int
verify(int artifact, const char *sha256, struct err *e)
{
	char hex[DIGEST_HEX_ROOM];

	if (digest_of(artifact, hex, e) < 0)
		return -1;
	if (strcasecmp(hex, sha256) != 0)
		return err_set(e, ERR_DATA,
		    "sha256 does not match: the intent says %s, the artifact has %s", sha256, hex);
	return 0;
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
read_stream(struct unpacking *u, const void **block, struct err *e)
{
	ssize_t n = unpack_stream_next(u->stream, block, e);
	size_t content;

	if (n <= 0)
		return n;
	content = content_length(*block, (size_t)n);
	if (content > 0)
		u->content_bytes = u->read_bytes + content;
	u->read_bytes += (uint64_t)n;
	return n;
}

static la_ssize_t
read_tar(struct archive *a, void *data, const void **block)
{
	struct unpacking *u = data;
	ssize_t n = read_stream(u, block, &u->read_err);

	if (n > 0 && u->read_bytes > u->read_max)
		n = err_set(&u->read_err, ERR_DATA, "more than 16 MiB of headers for one entry");
	if (n < 0)
		archive_set_error(a, EIO, "%s", u->read_err.msg);
	return n < 0 ? ARCHIVE_FATAL : n;
}

/* libarchive has failed, because of us or because of what it read. */
static int
tar_failed(struct unpacking *u, struct err *e)
{
	const char *text = archive_error_string(u->tar);
	char safe[512];

	if (u->read_err.class != ERR_NONE) {
		*e = u->read_err;
		return -1;
	}
	log_escape(safe, sizeof safe, text != NULL ? text : "damaged");
	return err_set(e, archive_errno(u->tar) == ENOMEM ? ERR_FAIL : ERR_DATA, "%s", safe);
}

/* The same, before there was any entry. */
static int
start_failed(struct unpacking *u, struct err *e)
{
	(void)tar_failed(u, e);
	if (e->class != ERR_DATA || u->read_err.class != ERR_NONE)
		return -1;
	return err_wrap(e, "not a tar archive, plain or with gzip, zstd, xz or bzip2");
}

static int
open_tar(struct unpacking *u, struct err *e)
{
	u->tar = archive_read_new();
	if (u->tar == NULL)
		return err_set(e, ERR_FAIL, "out of memory");
	if (archive_read_support_format_tar(u->tar) != ARCHIVE_OK ||
	    archive_read_open(u->tar, u, NULL, read_tar, NULL) != ARCHIVE_OK)
		return start_failed(u, e);
	return 0;
}

static int
unpack_data(struct unpacking *u, int64_t size, struct err *e)
{
	la_int64_t offset;
	const void *block;
	size_t n;
	int r;

	while ((r = archive_read_data_block(u->tar, &block, &n, &offset)) == ARCHIVE_OK) {
		if (n == 0)
			continue;
		if (offset < 0 || offset > size || n > (uint64_t)(size - offset))
			return err_set(e, ERR_DATA, "has more data than its size says");
		if (unpack_write_data(u->writer, block, n, (off_t)offset, e) < 0)
			return -1;
	}
	return r == ARCHIVE_EOF ? 0 : tar_failed(u, e);
}

static int
unpack_file(struct unpacking *u, const char *path, struct archive_entry *entry,
    const struct unpack_meta *meta, struct err *e)
{
	int64_t size = archive_entry_size(entry);

	if (unpack_write_open(u->writer, path, meta, e) < 0 || unpack_data(u, size, e) < 0)
		return -1;
	return unpack_write_close(u->writer, (off_t)size, e);
}

static int
unpack_hardlink(struct unpacking *u, const char *path, const char *target, struct err *e)
{
	char clean[UNPACK_PATH_ROOM], shown[UNPACK_SHOW_ROOM];

	if (unpack_name_clean(clean, target, e) < 0) {
		unpack_name_show(shown, target);
		return err_wrap(e, "hard link target \"%s\"", shown);
	}
	return unpack_write_hardlink(u->writer, path, clean, e);
}

static int
unpack_symlink(struct unpacking *u, const char *path, const char *target,
    const struct unpack_meta *meta, struct err *e)
{
	if (target == NULL)
		target = "";
	if (unpack_name_check_target(path, target, e) < 0)
		return -1;
	return unpack_write_symlink(u->writer, path, target, meta, e);
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
add_size(struct unpacking *u, struct archive_entry *entry, struct err *e)
{
	int64_t size = archive_entry_size(entry);

	if (size < 0)
		return err_set(e, ERR_DATA, "has a negative size");
	if ((uint64_t)size > u->o->max_size_bytes - u->size_bytes)
		return err_set(e, ERR_DATA, "the artifact unpacks to more than %" PRIu64 " bytes",
		    u->o->max_size_bytes);
	u->size_bytes += (uint64_t)size;
	return 0;
}

static int
unpack_entry(struct unpacking *u, struct archive_entry *entry, struct err *e)
{
	const char *name = archive_entry_pathname(entry);
	const char *hardlink = archive_entry_hardlink(entry);
	const struct unpack_meta meta = meta_of(entry);
	const mode_t type = archive_entry_filetype(entry);
	char path[UNPACK_PATH_ROOM];

	if (name == NULL)
		return err_set(e, ERR_DATA, "the name cannot be read");
	if (unpack_name_clean(path, name, e) < 0 || add_size(u, entry, e) < 0)
		return -1;
	if (path[0] == '\0' && (hardlink != NULL || type != AE_IFDIR))
		return err_set(e, ERR_DATA, "the install itself can only be a directory");
	if (hardlink != NULL)
		return unpack_hardlink(u, path, hardlink, e);
	switch (type) {
	case AE_IFREG:
		return unpack_file(u, path, entry, &meta, e);
	case AE_IFDIR:
		return unpack_write_dir(u->writer, path, &meta, e);
	case AE_IFLNK:
		return unpack_symlink(u, path, archive_entry_symlink(entry), &meta, e);
	default:
		return err_set(e, ERR_DATA, "is %s", special_name(type));
	}
}

/* The next header could not be read. A name that could is worth more than the one before. */
static int
header_failed(struct unpacking *u, struct archive_entry *entry, int r, struct err *e)
{
	const char *name = NULL;

	if (r == ARCHIVE_WARN && entry != NULL)
		name = archive_entry_pathname(entry);
	if (name == NULL && u->entries == 0)
		return start_failed(u, e);
	(void)tar_failed(u, e);
	if (e->class != ERR_DATA)
		return -1;
	if (name == NULL)
		return err_wrap(e, "after entry \"%s\"", u->entry);
	unpack_name_show(u->entry, name);
	return err_wrap(e, "entry \"%s\"", u->entry);
}

/* The next header, and nothing but that: what is left of the entry before is skipped first. */
static int
next_entry(struct unpacking *u, struct archive_entry **entry)
{
	int r;

	u->read_max = UINT64_MAX;
	if (u->entries > 0 && (r = archive_read_data_skip(u->tar)) != ARCHIVE_OK)
		return r;
	u->read_max = u->read_bytes + HEADERS_MAX_BYTES;
	r = archive_read_next_header(u->tar, entry);
	u->read_max = UINT64_MAX;
	return r;
}

static int
unpack_entries(struct unpacking *u, struct err *e)
{
	struct archive_entry *entry = NULL;
	const char *name;
	int r;

	while ((r = next_entry(u, &entry)) == ARCHIVE_OK) {
		name = archive_entry_pathname(entry);
		unpack_name_show(u->entry, name != NULL ? name : "");
		u->entries++;
		if (unpack_entry(u, entry, e) < 0)
			return e->class == ERR_DATA ? err_wrap(e, "entry \"%s\"", u->entry) : -1;
	}
	/* A warning is about something that was dropped or changed: that is not what was signed for. */
	return r == ARCHIVE_EOF ? 0 : header_failed(u, entry, r, e);
}

/* The archive must say that it is over, and nothing but padding may follow. */
static int
check_end(struct unpacking *u, struct err *e)
{
	uint64_t end = (uint64_t)archive_filter_bytes(u->tar, 0);
	const void *block;
	ssize_t n;

	if (end < (uint64_t)archive_read_header_position(u->tar) + 512)
		return err_set(e, ERR_DATA,
		    "the archive is cut short: it has no end-of-archive mark");
	while ((n = read_stream(u, &block, e)) > 0)
		if (u->content_bytes > end || u->read_bytes - end > PADDING_MAX_BYTES)
			break;
	if (n < 0)
		return -1;
	if (u->content_bytes > end)
		return err_set(e, ERR_DATA, "garbage follows the end of the archive");
	if (n > 0)
		return err_set(e, ERR_DATA, "more than 64 MiB of padding follow the archive");
	if (u->entries == 0)
		return err_set(e, ERR_DATA, "the archive has no entries");
	return 0;
}

int
unpack_run(int artifact, int root, const struct unpack_options *o, struct err *e)
{
	__attribute__((cleanup(release))) struct unpacking u = {
		.o = o,
		.read_max = HEADERS_MAX_BYTES,
		.read_err = ERR_INIT,
	};
	struct stat st;

	if (fstat(artifact, &st) < 0)
		return err_sys(e, "stat the artifact");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "the artifact on stdin is not a regular file");
	u.writer = unpack_write_new(root, o->gid, o->max_files, e);
	if (u.writer == NULL)
		return -1;
	if (o->sha256 != NULL && verify(artifact, o->sha256, e) < 0)
		return -1;
	u.stream = unpack_stream_open(artifact, e);
	if (u.stream == NULL || open_tar(&u, e) < 0)
		return -1;
	if (unpack_entries(&u, e) < 0 || check_end(&u, e) < 0)
		return -1;
	return unpack_write_finish(u.writer, e);
}
