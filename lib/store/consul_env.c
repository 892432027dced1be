#include "lib/store/consul_env.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "lib/fs/file.h"

#define TOKEN_FILE_MAX 4096

static const char *
env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* As Go's strconv.ParseBool. Consul's own CLI takes what it cannot parse for a default; we do not. */
static int
parse_bool(const char *name, int unset, int *value, struct err *e)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
	const char *text = env(name);

	*value = unset;
	if (text == NULL)
		return 0;
	for (size_t i = 0; i < MEM_COUNT(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*value = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return err_set(e, ERR_CONFIG, "%s=%s: write true or false", name, text);
}

static int
is_plain(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f)
			return 0;
	return 1;
}

static int
read_address(struct consul_env *c, struct err *e)
{
	const char *addr = env("CONSUL_HTTP_ADDR"), *rest, *scheme = "http";
	size_t n;
	int ssl;

	if (addr == NULL)
		addr = "127.0.0.1:8500";
	if (parse_bool("CONSUL_HTTP_SSL", 0, &ssl, e) < 0)
		return -1;
	if (!is_plain(addr) || strpbrk(addr, "@?#") != NULL)
		return err_set(e, ERR_CONFIG, "CONSUL_HTTP_ADDR=%s: not an address", addr);
	rest = strstr(addr, "://");
	if (rest == NULL) {
		rest = addr;
	} else if (strncmp(addr, "unix://", 7) == 0) {
		c->http.unix_socket = xstrdup(addr + 7);
		rest = "127.0.0.1";
	} else if (strncmp(addr, "https://", 8) == 0) {
		scheme = "https";
		rest = addr + 8;
	} else if (strncmp(addr, "http://", 7) == 0) {
		rest = addr + 7;
	} else {
		return err_set(e, ERR_CONFIG,
		    "CONSUL_HTTP_ADDR=%s: write host:port, http://, https:// or unix://", addr);
	}
	if (rest[0] == '\0' || rest[0] == '/')
		return err_set(e, ERR_CONFIG, "CONSUL_HTTP_ADDR=%s: it names no host", addr);
	n = strlen(rest);
	while (n > 0 && rest[n - 1] == '/')
		n--;
	c->base = xasprintf("%s://%.*s", ssl ? "https" : scheme, (int)n, rest);
	return 0;
}

static int
read_tls(struct consul_env *c, struct err *e)
{
	const char *name = env("CONSUL_TLS_SERVER_NAME");
	int verify;

	c->http.cacert = xstrdup(env("CONSUL_CACERT"));
	c->http.capath = xstrdup(env("CONSUL_CAPATH"));
	c->http.client_cert = xstrdup(env("CONSUL_CLIENT_CERT"));
	c->http.client_key = xstrdup(env("CONSUL_CLIENT_KEY"));
	if ((c->http.client_cert == NULL) != (c->http.client_key == NULL))
		return err_set(e, ERR_CONFIG,
		    "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY go together: set both or neither");
	if (parse_bool("CONSUL_HTTP_SSL_VERIFY", 1, &verify, e) < 0)
		return -1;
	c->http.skip_verify = !verify;
	if (name != NULL && strncmp(c->base, "https://", 8) == 0) {
		/* Ask for the name, connect to the address. */
		const char *host = c->base + 8;
		size_t len = strcspn(host, "/");
		AUTO_FREE char *peer = xmemdup(host, len);
		const char *colon = strrchr(peer, ':');
		char *base;

		if (!is_plain(name) || strpbrk(name, "/@?#:") != NULL)
			return err_set(e, ERR_CONFIG, "CONSUL_TLS_SERVER_NAME=%s: not a host name",
			    name);
		if (colon != NULL && strchr(colon, ']') != NULL)
			colon = NULL;
		base = xasprintf("https://%s%s%s", name, colon ? colon : "", host + len);
		c->http.connect_to = colon ? xstrdup(peer) : xasprintf("%s:443", peer);
		free(c->base);
		c->base = base;
	}
	return 0;
}

static int
read_token_file(const char *path, char **token, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	AUTO_CLOSE int dir = -1;
	/* Mounted secrets are symlinks, which file_read() does not follow. */
	AUTO_FREE char *real = realpath(path, NULL), *parent = NULL;
	size_t from, to, n;
	struct stat st;
	int r;

	if (real == NULL)
		return err_sys(e, "open");
	n = (size_t)(strrchr(real, '/') - real) + 1;
	parent = xmemdup(real, n);
	dir = dir_open(parent, e);
	if (dir < 0)
		return -1;
	if (fstatat(dir, real + n, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return err_set(e, ERR_CONFIG,
		    "others may read or write it (mode %04o), and a token is as good as a password; "
		    "chmod 600 %s",
		    (unsigned)(st.st_mode & 07777), real);
	r = file_read(dir, real + n, TOKEN_FILE_MAX, &text, e);
	if (r > 0)
		return err_set(e, ERR_CONFIG, "no such file");
	if (r < 0)
		return -1;
	from = strspn(text.data, " \t\r\n");
	for (to = text.n; to > from && strchr(" \t\r\n", text.data[to - 1]) != NULL;)
		to--;
	if (to <= from)
		return err_set(e, ERR_CONFIG, "it is empty");
	*token = xmemdup(text.data + from, to - from);
	return 0;
}

static int
read_identity(struct consul_env *c, struct err *e)
{
	const char *file = env("CONSUL_HTTP_TOKEN_FILE"), *namespace = env("CONSUL_NAMESPACE");
	AUTO_FREE char *token = xstrdup(env("CONSUL_HTTP_TOKEN"));

	c->http.userpwd = xstrdup(env("CONSUL_HTTP_AUTH"));
	if (file != NULL) {
		free(token);
		token = NULL;
		if (read_token_file(file, &token, e) < 0) {
			e->class = ERR_CONFIG;
			return err_wrap(e, "CONSUL_HTTP_TOKEN_FILE=%s", file);
		}
	}
	if (token != NULL && !is_plain(token))
		return err_set(e, ERR_CONFIG, "%s: a token has no blanks nor control characters",
		    file ? "CONSUL_HTTP_TOKEN_FILE" : "CONSUL_HTTP_TOKEN");
	if (token != NULL)
		strv_add(&c->headers, xasprintf("X-Consul-Token: %s", token));
	if (namespace != NULL && !is_plain(namespace))
		return err_set(e, ERR_CONFIG, "CONSUL_NAMESPACE: not a name");
	if (namespace != NULL)
		strv_add(&c->headers, xasprintf("X-Consul-Namespace: %s", namespace));
	return 0;
}

int
consul_env_read(struct consul_env *env, struct err *e)
{
	*env = (struct consul_env){ 0 };
	if (read_address(env, e) < 0 || read_tls(env, e) < 0 || read_identity(env, e) < 0)
		return -1;
	return 0;
}

void
consul_env_release(struct consul_env *env)
{
	free(env->base);
	free(env->http.unix_socket);
	free(env->http.userpwd);
	free(env->http.cacert);
	free(env->http.capath);
	free(env->http.client_cert);
	free(env->http.client_key);
	free(env->http.connect_to);
	strv_release(&env->headers);
	*env = (struct consul_env){ 0 };
}
