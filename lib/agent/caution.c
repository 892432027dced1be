/*
 * Caution: a store that is known and answers in full may still be wrong about a whole node, by a
 * mistaken command or a bad restore. Most of what a node has does not go at the first word.
 *
 * What is about to go stands in the state directory, in removal/<node>-<store>, for all agents:
 *
 *     <boot id> <ms since boot> <app> ...
 *
 * The clock is the one that runs from boot on and that nobody sets; a reboot begins anew.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/agent/agent.h"
#include "lib/base/log.h"
#include "lib/fs/path.h"

#define SUB "removal"
#define WAIT_MS INT64_C(60000)
/* Later than that, nobody means what was seen then any more. */
#define VALID_MS (24 * INT64_C(3600000))
#define FEW 3

static int64_t
boot_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* Which boot it is; "-" where that is not told, and then only the time counts. */
static void
boot_id(char id[64])
{
	AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, id, 63) : -1;

	id[n > 0 ? n : 0] = '\0';
	id[strcspn(id, " \n")] = '\0';
	if (id[0] == '\0')
		memcpy(id, "-", 2);
}

/* Since when, by the memory, all of these apps are gone: ms ago; -1: they are not in it, or no more. */
static int64_t
known_for(const struct caution *c)
{
	AUTO_STRV struct strv words = { 0 };
	char id[64];
	int64_t age;

	if (c->memory == NULL || c->stale)
		return -1;
	strv_split(&words, c->memory, ' ');
	boot_id(id);
	if (words.n < 3 || strcmp(words.items[0], id) != 0)
		return -1;
	age = boot_ms() - strtoll(words.items[1], NULL, 10);
	for (size_t i = 0; i < c->apps.n; i++)
		if (!strv_has(&words, c->apps.items[i]))
			return -1;
	return age >= 0 && age <= VALID_MS ? age : -1;
}

int
caution_recall(struct pass *p, struct err *e)
{
	AUTO_FREE char *name = state_name(p->intent.node, p->store->url);
	struct caution *c = &p->caution;
	AUTO_STRV struct strv words = { 0 };

	if (state_recall(&p->state, SUB, name, &c->memory, e) < 0)
		return -1;
	if (c->memory == NULL)
		return 0;
	/* One that came back and goes again has not been gone since then. */
	strv_split(&words, c->memory, ' ');
	for (size_t i = 2; i < words.n; i++)
		c->stale |= strv_has(&p->intent.listed, words.items[i]);
	return 0;
}

/* The apps of the slice that are not in the list, each once, into c->apps; c->of counts all. */
static void
count(const struct pass *p, struct caution *c)
{
	AUTO_STRV struct strv all = { 0 };

	strv_release(&c->apps);
	c->of = 0;
	/* What has a name that no app can have is a file of nobody's, and goes whatever else does. */
	for (size_t i = 0; i < p->present.n; i++)
		if (path_is_name(p->present.items[i]))
			strv_add(&all, xstrdup(p->present.items[i]));
	strv_sort(&all);
	for (size_t i = 0; i < all.n; i++) {
		if (i > 0 && strcmp(all.items[i], all.items[i - 1]) == 0)
			continue;
		c->of++;
		if (!strv_has(&p->intent.listed, all.items[i]))
			strv_add(&c->apps, xstrdup(all.items[i]));
	}
}

/* "14:03:12" of the day, in UTC as the log is. */
static void
tell_time(int64_t ms_from_now, char out[16])
{
	time_t then = time(NULL) + (time_t)((ms_from_now + 999) / 1000);
	struct tm tm;

	(void)gmtime_r(&then, &tm);
	(void)strftime(out, 16, "%H:%M:%S", &tm);
}

static int
is_too_much(const struct pass *p, const struct caution *c)
{
	return p->intent.listed.n == 0 || (c->of >= FEW && 2 * c->apps.n > c->of);
}

void
caution_judge(struct pass *p)
{
	struct caution *c = &p->caution;
	int64_t age;
	int wait, leaving = 0;
	char after[16];

	for (size_t i = 0; i < p->intent.napps; i++)
		leaving |= p->intent.apps[i].certainty == INTENT_GONE ||
		    p->intent.apps[i].certainty == INTENT_LEAVING;
	/* The usual case, that nothing goes, costs nothing. */
	if (!leaving || c->overruled)
		return;
	count(p, c);
	age = known_for(c);
	wait = is_too_much(p, c) && age < WAIT_MS;
	tell_time(age < 0 ? WAIT_MS : WAIT_MS - age, after);
	for (size_t i = 0; i < p->intent.napps; i++) {
		struct intent_app *app = &p->intent.apps[i];

		if (!path_is_name(app->name) ||
		    (app->certainty != INTENT_GONE && app->certainty != INTENT_LEAVING))
			continue;
		free(app->reason);
		app->reason = wait ? xasprintf("%zu of %zu apps would be removed at once; a pass "
					       "after %s UTC will, or --allow-empty",
					 c->apps.n, c->of, after) :
				     NULL;
		app->certainty = wait ? INTENT_LEAVING : INTENT_GONE;
	}
}

/* What of it waits now; NULL: nothing does. */
static const struct intent_app *
find_leaving(const struct pass *p)
{
	for (size_t i = 0; i < p->intent.napps; i++)
		if (p->intent.apps[i].certainty == INTENT_LEAVING)
			return &p->intent.apps[i];
	return NULL;
}

int
caution_remember(struct pass *p, struct err *e)
{
	AUTO_FREE char *name = state_name(p->intent.node, p->store->url);
	const struct intent_app *first = find_leaving(p);
	struct caution *c = &p->caution;
	AUTO_BUF struct buf text = { 0 };
	char id[64];

	if (first == NULL)
		return c->stale ? state_forget(&p->state, SUB, name, e) : 0;
	if (known_for(c) >= 0)
		return 0;
	log_warn("nothing is removed yet: %s", first->reason);
	boot_id(id);
	buf_printf(&text, "%s %" PRId64, id, boot_ms());
	for (size_t i = 0; i < c->apps.n; i++)
		buf_printf(&text, " %s", c->apps.items[i]);
	return state_keep(&p->state, SUB, name, text.data, e);
}

void
caution_release(struct caution *c)
{
	free(c->memory);
	strv_release(&c->apps);
	*c = (struct caution){ 0 };
}
