/*
 * Run commands in rounds, one after the other in each, so that whatever else the machine does
 * falls on all of them alike; then print the medians.
 *
 *     rounds COUNT FILE
 *
 * FILE has a command a line: NAME, a tab, the program and its arguments with single blanks between.
 * Prints "NAME wall_us cpu_us peak_kib failures" a line. The first round is not counted.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 64
#define ARGS_MAX 64

extern char **environ;

struct command {
	char *name, *argv[ARGS_MAX];
	long *wall, *cpu, *peak; /* one a round */
	int failures;
};

static long
micros(const struct timeval *t)
{
	return t->tv_sec * 1000000L + t->tv_usec;
}

static void
run(struct command *c, int round)
{
	posix_spawn_file_actions_t quiet;
	struct timespec from, to;
	struct rusage used;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	if (posix_spawnp(&pid, c->argv[0], &quiet, NULL, c->argv, environ) != 0) {
		perror(c->argv[0]);
		exit(1);
	}
	if (wait4(pid, &status, 0, &used) < 0)
		exit(1);
	clock_gettime(CLOCK_MONOTONIC, &to);
	posix_spawn_file_actions_destroy(&quiet);
	c->failures += status != 0;
	if (round < 0)
		return;
	c->wall[round] = (to.tv_sec - from.tv_sec) * 1000000L + (to.tv_nsec - from.tv_nsec) / 1000;
	c->cpu[round] = micros(&used.ru_utime) + micros(&used.ru_stime);
	c->peak[round] = used.ru_maxrss;
}

static int
compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static long
median(long *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, compare);
	return v[n / 2];
}

static int
load(const char *path, struct command *commands, int rounds)
{
	FILE *f = fopen(path, "r");
	char *line = NULL, *save;
	size_t room = 0;
	int n = 0;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while (n < COMMANDS_MAX && getline(&line, &room, f) > 0) {
		struct command *c = &commands[n++];
		int k = 0;

		c->name = strdup(strtok_r(line, "\t\n", &save));
		for (char *arg; k < ARGS_MAX - 1 && (arg = strtok_r(NULL, " \n", &save)) != NULL;)
			c->argv[k++] = strdup(arg);
		c->wall = calloc((size_t)rounds, sizeof(long));
		c->cpu = calloc((size_t)rounds, sizeof(long));
		c->peak = calloc((size_t)rounds, sizeof(long));
	}
	free(line);
	fclose(f);
	return n;
}

int
main(int argc, char **argv)
{
	static struct command commands[COMMANDS_MAX];
	int rounds = argc == 3 ? atoi(argv[1]) : 0, n;

	if (rounds < 1)
		return 64;
	n = load(argv[2], commands, rounds);
	for (int round = -1; round < rounds; round++)
		for (int i = 0; i < n; i++)
			run(&commands[i], round);
	for (int i = 0; i < n; i++)
		printf("%s %ld %ld %ld %d\n", commands[i].name, median(commands[i].wall, rounds),
		    median(commands[i].cpu, rounds), median(commands[i].peak, rounds),
		    commands[i].failures);
	return 0;
}
