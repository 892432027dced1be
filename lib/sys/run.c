#include "lib/sys/run.h"

#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

#define EXEC_FAILED 127
#define PIPE_CHUNKS 16 /* reads that empty a pipe that nobody fills */
#define WORDS_MAX 600  /* bytes of a program's words, before the last line of them */

/* The groups of the user to become. They are looked up before fork: that is not safe after it. */
struct groups {
	gid_t *v;
	int n;
};

static void
groups_release(const struct groups *g)
{
	free(g->v);
}

#define AUTO_GROUPS __attribute__((cleanup(groups_release)))

static const struct user *
other_user(const struct run *r)
{
	return r->user != NULL && !r->user->self ? r->user : NULL;
}

static int
look_up_groups(const struct run *r, struct groups *g, struct err *e)
{
	const struct user *u = other_user(r);

	*g = (struct groups){ .n = 16 };
	if (u == NULL)
		return 0;
	for (int tries = 0; tries < 4; tries++) {
		int room = g->n;

		g->v = xreallocarray(g->v, (size_t)room, sizeof *g->v);
		if (getgrouplist(u->name, u->gid, g->v, &g->n) >= 0)
			return 0;
		/* It says how many there are, or leaves the number as it was. */
		if (g->n <= room)
			g->n = room * 4;
	}
	return err_set(e, ERR_FAIL, "run %s: the groups of the user %s cannot be told", r->argv[0],
	    u->name);
}

/* In the child, as all up to exec: only calls that are safe there. */
static int
become_user(const struct user *u, const struct groups *g)
{
	if (u == NULL)
		return 0;
	return setgroups((size_t)g->n, g->v) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
		setresuid(u->uid, u->uid, u->uid) < 0 ?
	    -1 :
	    0;
}

static void
exec_it(const struct run *r)
{
	static const char *const none[] = { NULL };
	const char *const *env = r->env == NULL && other_user(r) != NULL ? none : r->env;
	char *const *argv = (char *const *)r->argv;

	if (env == NULL)
		env = (const char *const *)environ;
	/* execvpe() gives a shell what the kernel takes for no program. */
	if (strchr(argv[0], '/') != NULL)
		(void)execve(argv[0], argv, (char *const *)env);
	else
		(void)execvpe(argv[0], argv, (char *const *)env);
}

static _Noreturn void
become(const struct run *r, const struct groups *groups, pid_t parent, int out, int report)
{
	int in = r->stdin_fd > 0 ? r->stdin_fd : open("/dev/null", O_RDONLY);
	sigset_t none;
	int number;

	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	/* Also what pp itself was given by whoever started it. */
	(void)close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	for (const int *fd = r->keep_fds; fd != NULL && *fd >= 0; fd++)
		(void)fcntl(*fd, F_SETFD, 0);
	if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(out, STDERR_FILENO) < 0 || become_user(other_user(r), groups) < 0)
		goto failed;
	/* The kernel forgets this when the user changes. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXEC_FAILED);
	if (r->cwd_fd <= 0 || fchdir(r->cwd_fd) == 0)
		exec_it(r);
failed:
	number = errno;
	(void)!write(report, &number, sizeof number);
	_exit(EXEC_FAILED);
}

/* Read once. Returns: 0 at the end. */
static ssize_t
take_in(int out, size_t output_max, struct buf *output)
{
	char chunk[4096];
	ssize_t n = read(out, chunk, sizeof chunk);

	if (n > 0 && output->n < output_max)
		buf_add(output, chunk, (size_t)n);
	return n;
}

/*
 * Take in what the program prints until it ends. A grandchild that keeps the pipe open, or prints on,
 * does not keep us: the end of the program itself is what counts, and what is in the pipe by then.
 */
static int
collect(int pidfd, int out, int64_t timeout_ms, size_t output_max, struct buf *output)
{
	int64_t end = clock_now_ms() + timeout_ms;
	struct pollfd fds[2] = { { out, POLLIN, 0 }, { pidfd, POLLIN, 0 } };

	for (int after = 0; after < PIPE_CHUNKS;) {
		int64_t left = end - clock_now_ms();
		ssize_t n = 0;
		int ready;

		ready = poll(fds, 2, left > 0 ? (int)(left < 3600000 ? left : 3600000) : 0);
		if (ready < 0 && errno != EINTR)
			return -1;
		if (ready > 0 && fds[0].revents != 0) {
			n = take_in(out, output_max, output);
			if (n == 0)
				fds[0].fd = -1;
		}
		if (ready > 0 && fds[1].revents != 0) {
			if (n <= 0)
				return 0;
			after++;
		} else if (left <= 0) {
			return 1;
		}
	}
	return 0;
}

/* Before the scope ends: the far end must not keep the pipe open. */
static void
close_now(int *fd)
{
	(void)close(*fd);
	*fd = -1;
}

static int
wait_for(pid_t pid, int *status)
{
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}

static int
finish(const struct run *r, pid_t pid, int report, int ended, struct err *e)
{
	int status, number;

	if (ended != 0 || r->sweeping)
		(void)kill(-pid, SIGKILL);
	/* Where it has no group of its own yet. */
	if (ended != 0)
		(void)kill(pid, SIGKILL);
	if (wait_for(pid, &status) < 0)
		return err_sys(e, "wait for %s", r->argv[0]);
	if (read(report, &number, sizeof number) == sizeof number) {
		errno = number;
		err_sys(e, "run %s", r->argv[0]);
		return number == ENOENT && strchr(r->argv[0], '/') == NULL ?
		    err_wrap(e, "is it installed, and on PATH") :
		    -1;
	}
	if (ended != 0)
		return err_set(e, ERR_FAIL, "%s did not end in time, killed", r->argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
run_program(const struct run *r, struct buf *output, struct err *e)
{
	int64_t own = r->timeout_ms ? r->timeout_ms : RUN_TIMEOUT_MS;
	int64_t timeout = r->restoring ? own : clock_bound_ms(own);
	AUTO_CLOSE int out = -1, out_far = -1, report = -1, report_far = -1, pidfd = -1;
	AUTO_GROUPS struct groups groups = { 0 };
	int pair[2], ended;
	pid_t pid, self = getpid();

	if (look_up_groups(r, &groups, e) < 0)
		return -1;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, "pipe for %s", r->argv[0]);
	out = pair[0];
	out_far = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, "pipe for %s", r->argv[0]);
	report = pair[0];
	report_far = pair[1];

	pid = fork();
	if (pid < 0)
		return err_sys(e, "fork for %s", r->argv[0]);
	if (pid == 0)
		become(r, &groups, self, out_far, report_far);
	close_now(&out_far);
	close_now(&report_far);
	pidfd = pidfd_open(pid, 0);
	ended = pidfd < 0 ?
	    -1 :
	    collect(pidfd, out, timeout, r->output_max ? r->output_max : RUN_OUTPUT_MAX, output);
	buf_add(output, "", 0);
	return finish(r, pid, report, ended, e);
}

/* Its lines as one, without those that only point at something. */
static void
join_words(const char *output, struct buf *words)
{
	AUTO_STRV struct strv lines = { 0 };

	buf_add(words, "", 0);
	strv_split(&lines, output, '\n');
	for (size_t i = 0; i < lines.n && words->n < WORDS_MAX; i++) {
		const char *line = lines.items[i] + strspn(lines.items[i], " \t");

		if (line[0] != '\0' && strspn(line, "^~ \t") != strlen(line))
			buf_printf(words, "%s%.400s", words->n ? ": " : "", line);
	}
}

char *
run_words(const char *output)
{
	AUTO_BUF struct buf words = { 0 };

	join_words(output, &words);
	return mem_take(&words.data);
}

int
run_checked(const struct run *r, struct err *e)
{
	AUTO_BUF struct buf output = { 0 };
	const char *slash = strrchr(r->argv[0], '/');
	int status;

	status = run_program(r, &output, e);
	if (output.n > 0)
		log_note_lines(slash ? slash + 1 : r->argv[0], output.data);
	if (status > 0) {
		AUTO_FREE char *words = run_words(output.data);

		(void)err_set(e, ERR_FAIL, "%s %s: exit %d%s%s", r->argv[0],
		    r->argv[1] ? r->argv[1] : "", status, words[0] ? ": " : "", words);
	}
	return status == 0 ? 0 : -1;
}
