#include "lib/agent/jobs.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/size.h"

#define JOBS_MAX 64
#define PROGRESS_MS 250
#define GRACE_MS 5000 /* past the run's deadline, for what a job still has to clean up */

/* What a job tells while it runs, in memory that it shares with us. */
struct counter {
	_Atomic uint64_t done, total;
};

struct job {
	pid_t pid;  /* 0: this place is free */
	int report; /* where its error comes from, and its end shows */
	const struct app_plan *ap;
	const struct step *step;
};

struct jobs {
	struct job running[JOBS_MAX];
	size_t n, max;            /* how many run; how many may, and places are in use */
	struct counter *counters; /* parallel to running; NULL: nobody watches */
	int64_t started_ms;
	int64_t overdue_ms;      /* when the run's deadline was seen to be over; 0: it is not */
	uint64_t finished_bytes; /* of jobs that have ended */
};

/* The one of the job that this process is. */
static struct counter *own_counter;

void
jobs_progress(void *unused, uint64_t done, uint64_t total)
{
	(void)unused;
	if (own_counter == NULL)
		return;
	own_counter->total = total;
	own_counter->done = done;
}

static size_t
jobs_max(const struct pass *p)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t max = processors < 1 ? 1 : (uint64_t)processors;

	if (max > JOBS_DEFAULT_MAX)
		max = JOBS_DEFAULT_MAX;
	max = settings_number(p->settings, "jobs", max);
	return max < 1 ? 1 : max > JOBS_MAX ? JOBS_MAX : (size_t)max;
}

static _Noreturn void
be_job(struct pass *p, const struct agent *agent, const struct job *job, pid_t parent, int report)
{
	struct err e = ERR_INIT;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (agent->apply(p, job->ap, job->step, &e) == 0)
		_exit(0);
	(void)!write(report, &e, sizeof e);
	_exit(1);
}

static const char *
app_of(const struct job *job)
{
	return job->ap->app->name;
}

static void
job_failed(const struct job *job, const char *why, struct pass_result *result)
{
	log_fatal("%s: %s", app_of(job), why);
	result->failed = 1;
}

/* Where a job may run; there is a free place. */
static size_t
free_place(const struct jobs *jobs)
{
	size_t at = 0;

	while (jobs->running[at].pid != 0)
		at++;
	return at;
}

static int
fork_job(struct jobs *jobs, struct pass *p, const struct agent *agent, struct job *job,
    struct err *e)
{
	size_t at = free_place(jobs);
	pid_t parent = getpid();
	int pair[2];

	if (clock_bound_ms(1) == 0)
		return err_set(e, ERR_FAIL, "the time of --timeout is up before: %s",
		    job->step->text);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, "pipe for: %s", job->step->text);
	if (jobs->counters != NULL)
		jobs->counters[at].done = jobs->counters[at].total = 0;
	job->pid = fork();
	if (job->pid == 0) {
		own_counter = jobs->counters != NULL ? &jobs->counters[at] : NULL;
		be_job(p, agent, job, parent, pair[1]);
	}
	(void)close(pair[1]);
	job->report = pair[0];
	if (job->pid < 0) {
		err_sys(e, "fork for: %s", job->step->text);
		(void)close(pair[0]);
		return -1;
	}
	jobs->running[at] = *job;
	jobs->n++;
	return 0;
}

/* The job has ended, or is about to: its end of the pipe is closed, or a report is in it. */
static void
finish(struct jobs *jobs, size_t at, struct pass_result *result)
{
	struct job *job = &jobs->running[at];
	struct err e = ERR_INIT;
	ssize_t n = read(job->report, &e, sizeof e);
	int status = 0;

	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)close(job->report);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		result->changed = 1;
	} else {
		if (n != sizeof e)
			err_set(&e, ERR_FAIL, "%s: its process ended with %s %d", job->step->text,
			    WIFSIGNALED(status) ? "signal" : "status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		job_failed(job, e.msg, result);
	}
	if (jobs->counters != NULL)
		jobs->finished_bytes += jobs->counters[at].done;
	job->pid = 0;
	jobs->n--;
}

/* The text goes on with this. */
static void
more(struct buf *text, const char *before, uint64_t bytes)
{
	char shown[SIZE_ROOM];

	size_show(shown, bytes);
	buf_printf(text, "%s%s", before, shown);
}

/* "slug def456 and 2 more: 12.0 MiB of 40.0 MiB, 3.1 MiB/s, 9 s left" */
static void
show_progress(const struct jobs *jobs)
{
	int64_t ms = clock_now_ms() - jobs->started_ms;
	uint64_t done = 0, total = 0, rate;
	AUTO_BUF struct buf text = { 0 };
	const struct job *first = NULL;
	int known = 1;

	if (jobs->counters == NULL || jobs->n == 0)
		return;
	for (size_t i = 0; i < jobs->max; i++) {
		if (jobs->running[i].pid == 0)
			continue;
		first = first != NULL ? first : &jobs->running[i];
		done += jobs->counters[i].done;
		total += jobs->counters[i].total;
		known = known && jobs->counters[i].total > 0;
	}
	rate = ms > 0 ? (done + jobs->finished_bytes) * 1000 / (uint64_t)ms : 0;
	buf_printf(&text, "%s %s", app_of(first), first->step->subject);
	if (jobs->n > 1)
		buf_printf(&text, " and %zu more", jobs->n - 1);
	more(&text, ": ", done);
	if (known)
		more(&text, " of ", total);
	more(&text, ", ", rate);
	buf_printf(&text, "/s");
	if (known && rate > 0 && total >= done)
		buf_printf(&text, ", %" PRIu64 " s left", (total - done + rate - 1) / rate);
	log_progress(text.data);
}

/* Jobs end by themselves when the run's time is up; one that hangs in spite of it is killed. */
static void
kill_overdue(struct jobs *jobs)
{
	if (clock_bound_ms(1) > 0)
		return;
	if (jobs->overdue_ms == 0)
		jobs->overdue_ms = clock_now_ms();
	for (size_t i = 0; i < jobs->max && clock_now_ms() - jobs->overdue_ms > GRACE_MS; i++)
		if (jobs->running[i].pid != 0)
			(void)kill(jobs->running[i].pid, SIGKILL);
}

/* Wait until some job has ended, and note what became of it. */
static void
wait_for_some(struct jobs *jobs, struct pass_result *result)
{
	struct pollfd fds[JOBS_MAX];

	for (size_t i = 0; i < jobs->max; i++)
		fds[i] =
		    (struct pollfd){ .fd = jobs->running[i].pid != 0 ? jobs->running[i].report : -1,
			    .events = POLLIN };
	if (poll(fds, jobs->max, PROGRESS_MS) <= 0) {
		kill_overdue(jobs);
		show_progress(jobs);
		return;
	}
	for (size_t i = 0; i < jobs->max; i++)
		if (fds[i].fd >= 0 && fds[i].revents != 0)
			finish(jobs, i, result);
}

static void
start(struct jobs *jobs, struct pass *p, const struct agent *agent, const struct app_plan *ap,
    const struct step *step, struct pass_result *result)
{
	struct job job = { .ap = ap, .step = step };
	struct err e = ERR_INIT;

	while (jobs->n >= jobs->max)
		wait_for_some(jobs, result);
	if (fork_job(jobs, p, agent, &job, &e) < 0)
		job_failed(&job, e.msg, result);
}

void
jobs_apply(struct pass *p, const struct agent *agent, const struct plan *plan,
    struct pass_result *result)
{
	struct jobs jobs = { .max = jobs_max(p), .started_ms = clock_now_ms() };
	const size_t bytes = JOBS_MAX * sizeof *jobs.counters;

	if (log_progress_wanted())
		jobs.counters =
		    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (jobs.counters == MAP_FAILED)
		jobs.counters = NULL;
	for (size_t i = 0; i < plan->n; i++)
		for (size_t k = 0; k < plan->apps[i].nsteps; k++)
			if (agent->apart(&plan->apps[i].steps[k]))
				start(&jobs, p, agent, &plan->apps[i], &plan->apps[i].steps[k],
				    result);
	while (jobs.n > 0)
		wait_for_some(&jobs, result);
	if (jobs.counters != NULL) {
		log_progress(NULL);
		(void)munmap(jobs.counters, bytes);
	}
}
