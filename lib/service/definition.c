#include "lib/service/definition.h"

#include <string.h>

#include "lib/base/log.h"

#define TAIL_LINES 10
#define TAIL_LINE_MAX 200 /* bytes of a line */

char *
definition_mark(const struct service_spec *spec)
{
	return xasprintf("%s%s, which writes it again where it differs.\n",
	    spec->cluster[0] != '\0' ? DEFINITION_MARK : DEFINITION_MARK_DIRECT, spec->app);
}

char *
definition_owner(const char *line, int *direct)
{
	*direct = strncmp(line, DEFINITION_MARK_DIRECT, strlen(DEFINITION_MARK_DIRECT)) == 0;
	if (!*direct && strncmp(line, DEFINITION_MARK, strlen(DEFINITION_MARK)) != 0)
		return NULL;
	line += strlen(*direct ? DEFINITION_MARK_DIRECT : DEFINITION_MARK);
	return xmemdup(line, strcspn(line, ",\n"));
}

void
definition_environment(const struct service_spec *spec, struct strv *env)
{
	strv_add(env, xstrdup(DEFINITION_PATH));
	strv_add(env, xasprintf("PP_APP=%s", spec->app));
	strv_add(env, xasprintf("PP_VERSION=%s", spec->version));
	strv_add(env, xasprintf("PP_CLUSTER=%s", spec->cluster));
	strv_add(env, xasprintf("PP_NODE=%s", spec->node));
	strv_add(env, xasprintf("PP_USER_CONFIG=%s/config/user_config.json", spec->basedir));
	if (spec->port > 0)
		strv_add(env, xasprintf("PORT=%d", spec->port));
	for (size_t i = 0; spec->env != NULL && i < spec->env->n; i++)
		strv_add(env, xstrdup(spec->env->items[i]));
}

void
definition_limits(const struct service_spec *spec, struct strv *words)
{
	static const struct intent_limits none = { 0 };
	const struct intent_limits *l = spec->limits ? spec->limits : &none;
	const struct {
		const char *option;
		uint64_t value;
	} limits[] = { { "-o", l->nofile }, { "-m", l->memory }, { "-t", l->cpu_seconds },
		{ "-p", l->tasks } };

	/* One word each: a word that is a number would be one in YAML, too. */
	for (size_t i = 0; i < MEM_COUNT(limits); i++)
		if (limits[i].value > 0)
			strv_add(words,
			    xasprintf("%s%llu", limits[i].option,
				(unsigned long long)limits[i].value));
}

/* Where the line begins that ends just before `end`. */
static size_t
line_start(const char *text, size_t end)
{
	while (end > 0 && text[end - 1] != '\n')
		end--;
	return end;
}

/* One line, cut where no character of UTF-8 goes on. */
static void
add_line(struct buf *out, const char *line, size_t n)
{
	char raw[TAIL_LINE_MAX + 1], safe[4 * TAIL_LINE_MAX + 1];

	if (n > TAIL_LINE_MAX) {
		n = TAIL_LINE_MAX;
		for (size_t back = 0; back < 3 && ((unsigned char)line[n] & 0xc0) == 0x80; back++)
			n--;
	}
	memcpy(raw, line, n);
	raw[n] = '\0';
	for (char *nul = memchr(raw, '\0', n); nul != NULL;
	     nul = memchr(nul, '\0', n - (size_t)(nul - raw)))
		*nul = '?';
	log_escape(safe, sizeof safe, raw);
	buf_printf(out, "%s%s", out->n > 0 ? "\n" : "", safe);
}

char *
definition_tail(const char *text, size_t n)
{
	AUTO_BUF struct buf out = { 0 };
	size_t at = n, lines = 0;

	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n == 0)
		return NULL;
	for (at = line_start(text, n); ++lines < TAIL_LINES && at > 0;)
		at = line_start(text, at - 1);
	while (at < n) {
		const char *end = memchr(text + at, '\n', n - at);
		size_t len = end ? (size_t)(end - (text + at)) : n - at;

		if (len > 0)
			add_line(&out, text + at, len);
		at += len + 1;
	}
	return mem_take(&out.data);
}
