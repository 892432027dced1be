#include "lib/base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define MAX_MS (366 * DAY_MS)

static int64_t deadline_ms; /* 0: none */

int64_t
clock_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

void
clock_sleep_ms(int64_t ms)
{
	struct timespec left = { ms / 1000, (ms % 1000) * 1000000 };

	if (ms <= 0)
		return;
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* The unit at *s in ms, *s moved past it; 0 if there is none that is known. */
static int64_t
take_unit(const char **s)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", HOUR_MS },
		{ "d", DAY_MS } };
	size_t len = 0;

	while (isalpha((unsigned char)(*s)[len]))
		len++;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (strlen(units[i].name) == len && memcmp(units[i].name, *s, len) == 0) {
			*s += len;
			return units[i].ms;
		}
	}
	return 0;
}

int
clock_parse_duration(const char *s, int64_t *ms, struct err *e)
{
	const char *at = s;
	int64_t total = 0;

	do {
		int64_t number = 0, unit;

		if (!isdigit((unsigned char)*at))
			goto bad;
		for (; isdigit((unsigned char)*at); at++) {
			number = number * 10 + (*at - '0');
			if (number > MAX_MS)
				goto bad;
		}
		unit = *at == '\0' && total == 0 ? 1000 : take_unit(&at);
		if (unit == 0 || number > MAX_MS / unit)
			goto bad;
		total += number * unit;
		if (total > MAX_MS)
			goto bad;
	} while (*at != '\0');
	*ms = total;
	return 0;
bad:
	return err_set(e, ERR_DATA,
	    "\"%s\" is not a duration: write 500ms, 30s, 5m, 1h30m or a number of seconds", s);
}

void
clock_set_deadline(int64_t ms_from_now)
{
	deadline_ms = clock_now_ms() + ms_from_now;
}

int64_t
clock_bound_ms(int64_t ms)
{
	int64_t left;

	if (deadline_ms == 0)
		return ms;
	left = deadline_ms - clock_now_ms();
	if (left < 0)
		left = 0;
	return left < ms ? left : ms;
}
