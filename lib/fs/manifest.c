#include "lib/fs/manifest.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/fs/file.h"

#define WRITTEN ".pp-written"
#define PENDING ".pp-pending"
#define WRITTEN_MAX (1 << 20)

static const struct file_attr attr = { 0644, FILE_KEEP, FILE_KEEP };

int
manifest_read(int dir, struct strv *names, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	AUTO_STRV struct strv lines = { 0 };

	if (file_read(dir, WRITTEN, WRITTEN_MAX, &text, e) < 0)
		return -1;
	strv_split(&lines, text.data ? text.data : "", '\n');
	for (size_t i = 0; i < lines.n; i++)
		if (lines.items[i][0] != '\0' && strchr(lines.items[i], '/') == NULL)
			strv_add(names, xstrdup(lines.items[i]));
	strv_sort(names);
	return 0;
}

int
manifest_note(int dir, const char *name, int ours, struct err *e)
{
	AUTO_STRV struct strv names = { 0 };
	AUTO_BUF struct buf text = { 0 };

	if (manifest_read(dir, &names, e) < 0)
		return -1;
	if (strv_has(&names, name) == (ours != 0))
		return 0;
	buf_add(&text, "", 0);
	for (size_t i = 0; i < names.n; i++)
		if (strcmp(names.items[i], name) != 0)
			buf_printf(&text, "%s\n", names.items[i]);
	if (ours)
		buf_printf(&text, "%s\n", name);
	return file_write(dir, WRITTEN, text.data, text.n, &attr, e);
}

int
manifest_is_pending(int dir, struct err *e)
{
	struct stat st;

	if (fstatat(dir, PENDING, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : err_sys(e, "stat %s", PENDING);
}

int
manifest_set_pending(int dir, int pending, struct err *e)
{
	int now = manifest_is_pending(dir, e);

	if (now < 0 || now == (pending != 0))
		return now < 0 ? -1 : 0;
	return pending ? file_write(dir, PENDING, "", 0, &attr, e) : file_remove(dir, PENDING, e);
}
