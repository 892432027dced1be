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

/* What it says once, or twice; less than a pipe takes in one piece. */
struct report {
	int settling; /* it only waits for the disk from here on; else it has failed */
	struct err failure;
};

struct job {
	const struct app_plan *ap;
	const struct step *step;
	enum { JOB_WAITS, JOB_RUNS, JOB_SETTLES, JOB_DONE } state;
	pid_t pid;
	int report;   /* where its reports come from, and its end shows */
	int log;      /* where its log lines come from */
	size_t place; /* which of the counters is its */
	struct buf lines;
	struct err failure;
};

struct jobs {
	struct job *all; /* in the order of the plan */
	size_t n;
	size_t shown; /* the job whose lines are being shown; those of later ones wait for it */
	size_t running, max; /* those that settle are not counted */
	size_t alive;
	struct counter *counters; /* of JOBS_MAX places; NULL: nobody watches */
	int busy[JOBS_MAX];       /* which places are taken */
	int64_t started_ms;
	int64_t overdue_ms;      /* when the run's deadline was seen to be over; 0: it is not */
	uint64_t finished_bytes; /* of jobs that have ended */
};

/* Those of the job that this process is. */
static struct counter *own_counter;
static int own_report = -1;
static int alone = 1;

void
jobs_progress(void *unused, uint64_t done, uint64_t total)
{
	(void)unused;
	if (own_counter == NULL)
		return;
	own_counter->total = total;
	own_counter->done = done;
}

int
jobs_is_alone(void)
{
	return alone;
}

void
jobs_settle(void)
{
	const struct report report = { .settling = 1, .failure = ERR_INIT };

	if (own_report >= 0)
		(void)!write(own_report, &report, sizeof report);
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
be_job(struct pass *p, const struct agent *agent, const struct job *job, pid_t parent, int report,
    int log)
{
	struct report end = { .failure = ERR_INIT };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(log, STDERR_FILENO) < 0)
		_exit(1);
	own_report = report;
	if (agent->apply(p, job->ap, job->step, &end.failure) == 0)
		_exit(0);
	(void)!write(report, &end, sizeof end);
	_exit(1);
}

static size_t
free_place(const struct jobs *jobs)
{
	size_t at = 0;

	while (jobs->busy[at])
		at++;
	return at;
}

static int
fork_job(struct jobs *jobs, struct pass *p, const struct agent *agent, struct job *job,
    struct err *e)
{
	AUTO_CLOSE int report = -1, report_far = -1, log = -1, log_far = -1;
	pid_t parent = getpid();
	int pair[2];

	if (clock_bound_ms(1) == 0)
		return err_set(e, ERR_FAIL, "the time of --timeout is up before: %s",
		    job->step->text);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, "pipe for: %s", job->step->text);
	report = pair[0];
	report_far = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, "pipe for: %s", job->step->text);
	log = pair[0];
	log_far = pair[1];
	job->place = free_place(jobs);
	if (jobs->counters != NULL)
		jobs->counters[job->place].done = jobs->counters[job->place].total = 0;
	job->pid = fork();
	if (job->pid < 0)
		return err_sys(e, "fork for: %s", job->step->text);
	if (job->pid == 0) {
		alone = jobs->max == 1 || jobs->n == 1;
		own_counter = jobs->counters != NULL ? &jobs->counters[job->place] : NULL;
		be_job(p, agent, job, parent, report_far, log_far);
	}
	(void)fcntl(log, F_SETFL, O_NONBLOCK);
	job->report = mem_take_fd(&report);
	job->log = mem_take_fd(&log);
	return 0;
}

/* Take in what the job has logged by now. */
static void
collect_lines(struct job *job)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(job->log, chunk, sizeof chunk)) > 0)
		buf_add(&job->lines, chunk, (size_t)n);
}

/* The lines of one job after those of the one before, as if they had been done one by one. */
static void
show_lines(struct jobs *jobs, struct pass_result *result)
{
	for (; jobs->shown < jobs->n; jobs->shown++) {
		struct job *job = &jobs->all[jobs->shown];

		if (job->lines.n > 0)
			(void)!write(STDERR_FILENO, job->lines.data, job->lines.n);
		buf_release(&job->lines);
		if (job->state != JOB_DONE)
			return;
		if (job->failure.class == ERR_NONE) {
			result->changed = 1;
			continue;
		}
		log_fatal("%s: %s", job->ap->app->name, job->failure.msg);
		result->failed = 1;
	}
}

/* The job has ended, or is about to: with this report, or, where that is NULL, without a word. */
static void
finish(struct jobs *jobs, struct job *job, const struct report *report)
{
	int status = 0;

	while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
		;
	collect_lines(job);
	(void)close(job->report);
	(void)close(job->log);
	if (report != NULL)
		job->failure = report->failure;
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		err_set(&job->failure, ERR_FAIL, "%s: its process ended with %s %d",
		    job->step->text, WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (jobs->counters != NULL)
		jobs->finished_bytes += jobs->counters[job->place].done;
	jobs->running -= job->state == JOB_RUNS;
	jobs->alive--;
	jobs->busy[job->place] = 0;
	job->state = JOB_DONE;
}

/* Something is in the job's pipe, or its end of that is closed. */
static void
take_report(struct jobs *jobs, struct job *job)
{
	struct report report;
	const int told = read(job->report, &report, sizeof report) == (ssize_t)sizeof report;

	if (!told || !report.settling) {
		finish(jobs, job, told ? &report : NULL);
		return;
	}
	/* One at a time is one at a time. */
	if (job->state != JOB_RUNS || jobs->max == 1)
		return;
	job->state = JOB_SETTLES;
	jobs->running--;
}

static int
is_alive(const struct job *job)
{
	return job->state == JOB_RUNS || job->state == JOB_SETTLES;
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

	if (jobs->counters == NULL)
		return;
	for (size_t i = 0; i < jobs->n; i++) {
		const struct job *job = &jobs->all[i];

		if (job->state != JOB_RUNS)
			continue;
		first = first != NULL ? first : job;
		done += jobs->counters[job->place].done;
		total += jobs->counters[job->place].total;
		known = known && jobs->counters[job->place].total > 0;
	}
	if (first == NULL)
		return;
	rate = ms > 0 ? (done + jobs->finished_bytes) * 1000 / (uint64_t)ms : 0;
	buf_printf(&text, "%s %s", first->ap->app->name, first->step->subject);
	if (jobs->running > 1)
		buf_printf(&text, " and %zu more", jobs->running - 1);
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
	for (size_t i = 0; i < jobs->n && clock_now_ms() - jobs->overdue_ms > GRACE_MS; i++)
		if (is_alive(&jobs->all[i]))
			(void)kill(jobs->all[i].pid, SIGKILL);
}

/* Wait until some job says something or has ended. */
static void
wait_for_some(struct jobs *jobs, struct pass_result *result)
{
	struct pollfd fds[2 * JOBS_MAX];
	struct job *of[JOBS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < jobs->n; i++) {
		if (!is_alive(&jobs->all[i]))
			continue;
		of[n] = &jobs->all[i];
		fds[2 * n] = (struct pollfd){ of[n]->report, POLLIN, 0 };
		fds[2 * n + 1] = (struct pollfd){ of[n]->log, POLLIN, 0 };
		n++;
	}
	if (poll(fds, 2 * n, PROGRESS_MS) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (fds[2 * i + 1].revents != 0)
				collect_lines(of[i]);
			if (fds[2 * i].revents != 0)
				take_report(jobs, of[i]);
		}
		show_lines(jobs, result);
	}
	kill_overdue(jobs);
	show_progress(jobs);
}

static void
start(struct jobs *jobs, struct pass *p, const struct agent *agent, struct job *job)
{
	if (fork_job(jobs, p, agent, job, &job->failure) < 0) {
		job->state = JOB_DONE;
		return;
	}
	job->state = JOB_RUNS;
	jobs->busy[job->place] = 1;
	jobs->running++;
	jobs->alive++;
}

/* The jobs of a plan, in its order. */
static void
list_jobs(const struct agent *agent, const struct plan *plan, struct jobs *jobs)
{
	size_t room = 0;

	for (size_t i = 0; i < plan->n; i++)
		room += plan->apps[i].nsteps;
	jobs->all = xcalloc(room + 1, sizeof *jobs->all);
	for (size_t i = 0; i < plan->n; i++)
		for (size_t k = 0; k < plan->apps[i].nsteps; k++)
			if (agent->apart(&plan->apps[i].steps[k]))
				jobs->all[jobs->n++] = (struct job){
					.ap = &plan->apps[i],
					.step = &plan->apps[i].steps[k],
				};
}

void
jobs_apply(struct pass *p, const struct agent *agent, const struct plan *plan,
    struct pass_result *result)
{
	struct jobs jobs = { .max = jobs_max(p), .started_ms = clock_now_ms() };
	const size_t bytes = JOBS_MAX * sizeof *jobs.counters;
	const size_t most = 2 * jobs.max < JOBS_MAX ? 2 * jobs.max : JOBS_MAX;

	list_jobs(agent, plan, &jobs);
	/* Asked before there are jobs, which log to a pipe and cannot tell. */
	if (log_progress_wanted())
		jobs.counters =
		    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (jobs.counters == MAP_FAILED)
		jobs.counters = NULL;
	for (size_t i = 0; i < jobs.n; i++) {
		while (jobs.running >= jobs.max || jobs.alive >= most)
			wait_for_some(&jobs, result);
		start(&jobs, p, agent, &jobs.all[i]);
	}
	while (jobs.alive > 0)
		wait_for_some(&jobs, result);
	show_lines(&jobs, result);
	if (jobs.counters != NULL) {
		log_progress(NULL);
		(void)munmap(jobs.counters, bytes);
	}
	free(jobs.all);
}
