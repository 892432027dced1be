/*
 * measure COMMAND [ARG...]: run it with its output thrown away, and print what it took:
 *
 *     WALL_MS CPU_MS PEAK_KIB
 *
 * CPU time is that of the command and all that it waited for; the peak is that of the largest of them.
 * Exits as the command does.
 *
 * With WARM_MIB in the environment, that much memory is touched and given back first: where a hypervisor
 * takes free memory away, a page of it costs more to have again than what a contender does with it, and
 * whose turn comes later has more of them.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

static void
warm_up(size_t n)
{
	char *at = n > 0 ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) :
			   MAP_FAILED;

	if (at == MAP_FAILED)
		return;
	for (size_t i = 0; i < n; i += 4096)
		*(volatile char *)(at + i) = 1;
	(void)munmap(at, n);
}

int
main(int argc, char **argv)
{
	const char *warm_mib = getenv("WARM_MIB");
	double start;
	struct rusage usage;
	int status, null;
	pid_t pid;

	if (argc < 2)
		return 64;
	warm_up(warm_mib != NULL ? (size_t)strtoul(warm_mib, NULL, 10) << 20 : 0);
	start = now_ms();
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
