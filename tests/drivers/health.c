/*
 * health NAME=VALUE... : asks once, of a check as check.h has it, and prints the verdict and the text.
 * deadline=MS bounds the run.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/service/health.h"
#include "tests/drivers/check.h"

int
main(int argc, char **argv)
{
	struct health_check check = CHECK_INIT;
	struct health_answer a;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value == NULL)
			return 64;
		*value++ = '\0';
		if (strcmp(argv[i], "deadline") == 0)
			clock_set_deadline(strtol(value, NULL, 10));
		else
			take_check(&check, argv[i], value);
	}
	health_ask(&check, &a);
	(void)printf("%s: %s\n", health_name(a.verdict), a.text);
	health_answer_release(&a);
	health_check_release(&check);
	return 0;
}
