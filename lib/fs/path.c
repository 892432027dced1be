#include "lib/fs/path.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define NAME_MAX_LEN 128
#define BASEDIR_MAX_LEN 1024 /* leaves room for installs/<app>_<version>/ and an archive's paths */

int
path_is_name(const char *s)
{
	size_t n;

	if (!isalnum((unsigned char)s[0]) || (unsigned char)s[0] > 0x7f)
		return 0;
	for (n = 0; s[n] != '\0'; n++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-",
			s[n]) == NULL)
			return 0;
	return n <= NAME_MAX_LEN && strstr(s, "..") == NULL;
}

/* Neither these nor anything below them. */
static const char *const system_trees[] = { "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32",
	"/lib64", "/libx32", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/include", "/usr/lib",
	"/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/bin", "/usr/local/sbin",
	"/usr/sbin", "/usr/share", "/root/.ssh", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/pp",
	"/var/spool" };

/* Not these, but what lies below them. */
static const char *const system_dirs[] = { "/", "/home", "/media", "/mnt", "/opt", "/root", "/run",
	"/srv", "/tmp", "/usr", "/usr/local", "/usr/local/bin", "/usr/local/etc", "/usr/local/lib",
	"/usr/local/libexec", "/usr/local/sbin", "/usr/local/share", "/usr/src", "/var",
	"/var/cache", "/var/lib", "/var/lib/pp", "/var/log", "/var/mail", "/var/opt", "/var/run",
	"/var/spool", "/var/tmp", "/lost+found" };

static int
is_system_directory(const char *s)
{
	for (size_t i = 0; i < sizeof system_trees / sizeof system_trees[0]; i++) {
		size_t n = strlen(system_trees[i]);

		if (strncmp(s, system_trees[i], n) == 0 && (s[n] == '\0' || s[n] == '/'))
			return 1;
	}
	for (size_t i = 0; i < sizeof system_dirs / sizeof system_dirs[0]; i++)
		if (strcmp(s, system_dirs[i]) == 0)
			return 1;
	return 0;
}

const char *
path_basedir_fault(const char *s)
{
	if (s[0] != '/')
		return "it must be absolute (start with /)";
	for (const unsigned char *at = (const unsigned char *)s; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			return "it must be plain printable ASCII";
	if (strlen(s) > BASEDIR_MAX_LEN)
		return "it is too long";
	if (is_system_directory(s))
		return "it is a system directory";
	if (strstr(s, "//") != NULL || strstr(s, "/./") != NULL || strstr(s, "/../") != NULL ||
	    s[strlen(s) - 1] == '/')
		return "it must be normalised (no //, no . or .., no / at the end)";
	if (strcmp(strrchr(s, '/'), "/.") == 0 || strcmp(strrchr(s, '/'), "/..") == 0)
		return "it must be normalised (no //, no . or .., no / at the end)";
	return NULL;
}
