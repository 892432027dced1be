/*
 * Loaded into pp-unpack with LD_PRELOAD: takes the place of a function that it calls in its sandbox,
 * tries there what somebody would who has taken it over, and says what came of it.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
tell(const char *what, long r)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "done");
}

static long
spawn(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

int
posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
	char *const argv[] = { "true", NULL };
	char victim[4096];

	(void)fd, (void)offset, (void)length, (void)advice;
	snprintf(victim, sizeof victim, "%s/victim", getenv("OUTSIDE"));
	tell("read a file", open("/etc/passwd", O_RDONLY));
	tell("list a directory", open("/etc", O_RDONLY | O_DIRECTORY));
	tell("write a file", open(victim, O_WRONLY));
	tell("cut a file", truncate(victim, 0));
	tell("remove a file", unlink(victim));
	tell("make a file", open(strcat(victim, "2"), O_WRONLY | O_CREAT, 0600));
	tell("make a file by ..", open("../../outside/x", O_WRONLY | O_CREAT, 0600));
	tell("make a directory", mkdir(victim, 0700));
	tell("make a FIFO here", mknod("fifo", S_IFIFO | 0600, 0));
	tell("make a file here", open("here", O_WRONLY | O_CREAT, 0600));
	tell("read a file here", open("here", O_RDONLY));
	tell("remove a file here", unlink("here"));
	tell("make a socket", socket(AF_INET, SOCK_STREAM, 0));
	tell("make a local socket", socket(AF_UNIX, SOCK_STREAM, 0));
	tell("run a program", execv("/bin/true", argv));
	tell("start a process", spawn());
	tell("signal a process", kill(getppid(), 0));
	tell("trace a process", syscall(SYS_ptrace, 0, 0, 0, 0));
	tell("become root", setuid(0) == 0 && geteuid() == 0 && chown(".", 7, 7) == 0 ? 0 : -1);
	return 0;
}
