/* The list of an install: what is written is read again, and nothing else is. */
#include "lib/artifact/unpack_list.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "tests/unit/tap.h"

#define TAG "00112233445566778899aabbccddeeff0011223344556677"
#define KEY "000102030405060708090a0b0c0d0e0f"
#define HEAD "pp-list 2 " KEY "\n"

static const unsigned char tag[UNPACK_TAG_BYTES] = { 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
	0x77 };

static int
scratch(void)
{
	char name[] = "/tmp/test_list.XXXXXX";
	int fd = mkstemp(name);

	if (fd < 0 || unlink(name) < 0)
		abort();
	return fd;
}

/* Read a list to its end. Returns: the number of entries, or -1 with *e. */
static int
count(int fd, struct err *e)
{
	struct unpack_list_reader *r = unpack_list_open(fd, e);
	struct unpack_list_entry entry;
	int n = 0, got;

	if (r == NULL)
		return -1;
	while ((got = unpack_list_next(r, &entry, e)) == 1)
		n++;
	unpack_list_close(r);
	return got < 0 ? -1 : n;
}

static int
read_text(const char *text, size_t n, struct err *e)
{
	AUTO_CLOSE int fd = scratch();

	*e = (struct err)ERR_INIT;
	if (write(fd, text, n) != (ssize_t)n)
		abort();
	return count(fd, e);
}

static void
refused(const char *text, const char *why)
{
	struct err e = ERR_INIT;

	ok(read_text(text, strlen(text), &e) < 0 && e.class == ERR_DATA, "refused: %s", why);
	has(e.msg, why, "for that reason");
}

static void
test_text(void)
{
	AUTO_CLOSE int fd = scratch();
	struct err e = ERR_INIT;
	struct unpack_list *l = unpack_list_new(fd, &e);
	char text[4096] = "";

	ok(unpack_list_file(l, "bin/launch", 0755, 1234, tag, &e) == 0, "a file");
	ok(unpack_list_file(l, "empty", 0600, 0, tag, &e) == 0, "an empty one");
	ok(unpack_list_hardlink(l, "bin/again", "bin/launch", &e) == 0, "a hard link");
	ok(unpack_list_symlink(l, "a b", "bin/\xc3\xa4", &e) == 0, "a symlink");
	ok(unpack_list_dir(l, "bin", 0750, &e) == 0, "a directory");
	ok(unpack_list_dir(l, "", 0755, &e) == 0, "the install itself");
	ok(unpack_list_dir(l, "a\nb", 0755, &e) < 0, "no name of two lines");
	ok(unpack_list_symlink(l, "a", "b\tc", &e) < 0, "no target with a tab");
	ok(unpack_list_finish(l, &e) == 0, "the end");
	unpack_list_free(l);
	ok(pread(fd, text, sizeof text - 1, 0) > 0, "it is there");
	ok(strncmp(text, HEAD, sizeof HEAD - 1) != 0, "with a key of its own");
	memcpy(text, HEAD, sizeof HEAD - 1);
	is(text,
	    HEAD "f\t0755\t1234\t" TAG "\tbin/launch\n"
		 "f\t0600\t0\t" TAG "\tempty\n"
		 "h\t-\t-\tbin/launch\tbin/again\n"
		 "l\t-\t-\tbin/\xc3\xa4\ta b\n"
		 "d\t0750\t-\t-\tbin\n"
		 "d\t0755\t-\t-\t.\n"
		 "end 6\n",
	    "the text is as documented");
	ok(count(fd, &e) == 6, "and is read again");
}

static void
test_entries(void)
{
	static const char text[] = HEAD "f\t0755\t1234\t" TAG "\tbin/launch\n"
					"h\t-\t-\tbin/launch\tbin/again\n"
					"l\t-\t-\t../x\tbin/l\n"
					"d\t0700\t-\t-\t.\n"
					"end 4\n";
	AUTO_CLOSE int fd = scratch();
	struct err e = ERR_INIT;
	struct unpack_list_reader *r;
	struct unpack_list_entry entry;

	ok(write(fd, text, sizeof text - 1) > 0, "a list");
	r = unpack_list_open(fd, &e);
	for (int round = 0; round < 2; round++) {
		ok(unpack_list_next(r, &entry, &e) == 1 && entry.kind == UNPACK_LIST_FILE &&
			entry.mode == 0755 && entry.size == 1234 &&
			memcmp(entry.tag, tag, sizeof tag) == 0 && entry.target == NULL,
		    "a file");
		is(entry.path, "bin/launch", "its path");
		ok(unpack_list_next(r, &entry, &e) == 1 && entry.kind == UNPACK_LIST_HARDLINK,
		    "a hard link");
		is(entry.target, "bin/launch", "its target");
		ok(unpack_list_next(r, &entry, &e) == 1 && entry.kind == UNPACK_LIST_SYMLINK,
		    "a symlink");
		is(entry.target, "../x", "its target");
		ok(unpack_list_next(r, &entry, &e) == 1 && entry.kind == UNPACK_LIST_DIR &&
			entry.mode == 0700,
		    "a directory");
		is(entry.path, "", "the install itself");
		ok(unpack_list_next(r, &entry, &e) == 0, "the end");
		unpack_list_rewind(r);
	}
	unpack_list_close(r);
}

static void
test_shape(void)
{
	struct err e = ERR_INIT;

	ok(read_text(HEAD "end 0\n", sizeof HEAD "end 0\n" - 1, &e) == 0, "a list of nothing");
	refused("", "cut short");
	refused("pp-list", "cut short");
	refused("pp-list 1\nend 0\n", "does not begin with");
	refused("pp-list 2 \nend 0\n", "does not begin with");
	refused("pp-list 2 " KEY "0\nend 0\n", "does not begin with");
	refused("pp-list 1 " KEY "\nend 0\n", "does not begin with");
	refused(HEAD, "cut short");
	refused(HEAD "d\t0755\t-\t-\ta\n", "cut short");
	refused(HEAD "d\t0755\t-\t-\ta\nend 1", "cut short");
	refused(HEAD "d\t0755\t-\t-\ta\nend 2\n", "number of its entries");
	refused(HEAD "d\t0755\t-\t-\ta\nend 0\n", "number of its entries");
	refused(HEAD "end 00\n", "number of its entries");
	refused(HEAD "end -1\n", "number of its entries");
	refused(HEAD "end 0\n\n", "something follows");
	refused(HEAD "end 0\nend 0\n", "something follows");
	refused(HEAD "\nend 1\n", "line 2 of the list is not an entry");
	refused(HEAD "d\t0755\t-\ta\nend 1\n", "not an entry");
	refused(HEAD "d\t0755\t-\t-\ta\tb\nend 1\n", "not an entry");
	refused(HEAD "p\t0755\t-\t-\ta\nend 1\n", "not an entry");
	refused(HEAD "dd\t0755\t-\t-\ta\nend 1\n", "not an entry");
	refused(HEAD "\t0755\t-\t-\ta\nend 1\n", "not an entry");
	ok(read_text(HEAD "d\t0755\t-\t-\ta\0b\nend 1\n", sizeof HEAD + 20, &e) < 0,
	    "refused: a zero byte");
	has(e.msg, "zero byte", "for that reason");
}

static void
test_fields(void)
{
	static const char *const modes[] = { "755", "00755", "0775", "0757", "4755", "1755", "0799",
		"-755", " 755", "" };
	static const char *const sizes[] = { "", "-1", "+1", " 1", "01", "1x", "0x1", "1.0", "-",
		"9999999999999999999" };
	static const char *const tags[] = { "", "-", "00", TAG "00",
		"00112233445566778899aabbccddeeff001122334455667",
		"00112233445566778899AABBCCDDEEFF0011223344556677",
		"g0112233445566778899aabbccddeeff0011223344556677" };
	char line[4096];

	for (size_t i = 0; i < MEM_COUNT(modes); i++) {
		(void)snprintf(line, sizeof line, HEAD "d\t%s\t-\t-\ta\nend 1\n", modes[i]);
		refused(line, "no mode of a directory");
		(void)snprintf(line, sizeof line, HEAD "f\t%s\t1\t" TAG "\ta\nend 1\n", modes[i]);
		refused(line, "no mode, size and tag");
	}
	for (size_t i = 0; i < MEM_COUNT(sizes); i++) {
		(void)snprintf(line, sizeof line, HEAD "f\t0644\t%s\t" TAG "\ta\nend 1\n",
		    sizes[i]);
		refused(line, "no mode, size and tag");
	}
	for (size_t i = 0; i < MEM_COUNT(tags); i++) {
		(void)snprintf(line, sizeof line, HEAD "f\t0644\t1\t%s\ta\nend 1\n", tags[i]);
		refused(line, "no mode, size and tag");
	}
	refused(HEAD "d\t0755\t1\t-\ta\nend 1\n", "no mode of a directory");
	refused(HEAD "l\t0777\t-\tb\ta\nend 1\n", "but is a link");
	refused(HEAD "h\t-\t1\tb\ta\nend 1\n", "but is a link");
}

static void
test_paths(void)
{
	static const char *const outside[] = { "/etc/passwd", "../x", "a/../b", "..", "a\x01",
		"a\xff", "" };
	static const char *const odd[] = { "./a", "a/", "a//b", "a/./b", "." };
	char line[4096];

	for (size_t i = 0; i < MEM_COUNT(outside); i++) {
		(void)snprintf(line, sizeof line, HEAD "f\t0644\t1\t" TAG "\t%s\nend 1\n",
		    outside[i]);
		refused(line, "line 2 of the list: ");
		(void)snprintf(line, sizeof line, HEAD "d\t0755\t-\t-\t%s\nend 1\n", outside[i]);
		refused(line, "line 2 of the list: ");
		(void)snprintf(line, sizeof line, HEAD "h\t-\t-\t%s\ta\nend 1\n", outside[i]);
		refused(line, "line 2 of the list: ");
	}
	for (size_t i = 0; i < MEM_COUNT(odd); i++) {
		(void)snprintf(line, sizeof line, HEAD "l\t-\t-\tx\t%s\nend 1\n", odd[i]);
		refused(line, "shortest form");
		(void)snprintf(line, sizeof line, HEAD "h\t-\t-\t%s\ta\nend 1\n", odd[i]);
		refused(line, "shortest form");
	}
	refused(HEAD "l\t-\t-\t/etc/passwd\ta\nend 1\n", "symlink target");
	refused(HEAD "l\t-\t-\t../x\ta\nend 1\n", "leaves the install");
	refused(HEAD "l\t-\t-\t\ta\nend 1\n", "is empty");
}

/* Lines of all lengths, so that one ends at each place of the buffer, and one that never ends. */
static void
test_long(void)
{
	AUTO_CLOSE int fd = scratch();
	AUTO_BUF struct buf endless = { 0 };
	struct err e = ERR_INIT;
	struct unpack_list *l = unpack_list_new(fd, &e);
	char path[4096], part[256];
	int n = 0, failed = 0;

	memset(part, 'a', sizeof part);
	part[200] = '\0';
	for (int i = 0; i < 6000; i++) {
		(void)snprintf(path, sizeof path, "%.*s/%s/%s/%s", 1 + i % 200, part, part, part,
		    part);
		failed |= unpack_list_symlink(l, path, path, &e) < 0;
		n++;
	}
	ok(!failed && unpack_list_finish(l, &e) == 0, "a long list");
	unpack_list_free(l);
	ok(count(fd, &e) == n, "is read again");

	buf_printf(&endless, "%s", HEAD);
	for (int i = 0; i < 2000; i++)
		buf_printf(&endless, "%s", part);
	ok(read_text(endless.data, endless.n, &e) < 0, "refused: a line that does not end");
	has(e.msg, "line 2 of the list is too long", "for that reason");
}

int
main(void)
{
	test_text();
	test_entries();
	test_shape();
	test_fields();
	test_paths();
	test_long();
	return done();
}
