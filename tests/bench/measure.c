/*
 * measure COMMAND [ARG...]: run it with its output thrown away, and print what it took:
 *
 *     WALL_MS CPU_MS PEAK_KIB
 *
 * CPU time is that of the command and all that it waited for; the peak is that of the largest of them.
 * Exits as the command does.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double
ms_of(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

int
main(int argc, char **argv)
{
	double start = now_ms();
	struct rusage usage;
	int status, null;
	pid_t pid;

	if (argc < 2)
		return 64;
	pid = fork();
	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		(void)dup2(null, STDOUT_FILENO);
		(void)execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		return 1;
	printf("%.1f %.1f ", now_ms() - start, ms_of(usage.ru_utime) + ms_of(usage.ru_stime));
	(void)getrusage(RUSAGE_CHILDREN, &usage);
	printf("%ld\n", usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
