/* What may be a name, and what may be a basedir. */
#include "lib/fs/path.h"
#include "tests/unit/tap.h"

static void
test_names(void)
{
	static const char *const good[] = { "a", "0", "slug", "my.app", "A-b_c.9", "1.2.3", "a.b",
		"abc123" };
	static const char *const bad[] = { "", ".", "..", ".a", "-a", "_a", "a..b", "a/b", "a b",
		"a\n", "a:b", "a=b", "a%b", "\xc3\xa4", "a\xc3\xa4", "a\x7f", "a*", "~a", "a~",
		"a\\b", "a..", "a,b" };
	char name[130];

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		ok(path_is_name(good[i]), "a name: %s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ok(!path_is_name(bad[i]), "no name: number %zu", i);
	memset(name, 'a', sizeof name);
	name[128] = '\0';
	ok(path_is_name(name), "128 characters are a name");
	name[128] = 'a';
	name[129] = '\0';
	ok(!path_is_name(name), "129 are none");
}

static void
test_basedirs(void)
{
	static const char *const good[] = { "/data/slug", "/data", "/srv/a", "/home/x", "/opt/a/b",
		"/usr/local/slug", "/tmp/a b", "/var/lib/slug", "/etcetera", "/data/...",
		"/data/.a", "/data/..a", "/binary" };
	static const char *const bad[] = { "", "data/slug", "./a", "/", "//", "/data/", "/data//a",
		"/data/./a", "/data/../a", "/data/.", "/data/..", "/..", "/etc", "/etc/x", "/usr",
		"/usr/bin", "/usr/bin/x", "/bin", "/bin/x", "/lib/x", "/proc", "/proc/1", "/sys/a",
		"/dev/shm", "/var", "/var/lib", "/home", "/root", "/tmp", "/boot/a", "/sbin/a",
		"/data/\n", "/data/\x01", "/data/\x7f", "/data/\xc3\xa4", "/run", "/usr/share/a",
		"/var/lib/pp", "/opt", "/srv" };
	char path[1026];

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		is(path_basedir_fault(good[i]), NULL, good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ok(path_basedir_fault(bad[i]) != NULL, "no basedir: number %zu", i);
	has(path_basedir_fault("a/b"), "absolute", "a relative one is told so");
	has(path_basedir_fault("/etc"), "system directory", "a system directory is called one");
	has(path_basedir_fault("/data/../etc"), "normalised",
	    "one that is not normalised is told so");
	memset(path, 'a', sizeof path);
	path[0] = '/';
	path[1024] = '\0';
	is(path_basedir_fault(path), NULL, "1024 bytes are not too long");
	path[1024] = 'a';
	path[1025] = '\0';
	ok(path_basedir_fault(path) != NULL, "1025 are");
}

int
main(void)
{
	test_names();
	test_basedirs();
	return done();
}
