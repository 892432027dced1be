/*
 * What tests/bats/lease.bats drives the lease with, against a real Consul:
 *
 *     drive_lease take APP CLUSTER NODE VERSION healthy|ill [CANARY]   the verdict, and why
 *     drive_lease return APP CLUSTER NODE
 *     drive_lease marked NODE APP CLUSTER...                           0 or 1 for each
 *     drive_lease gone APP CLUSTER NODE MILLISECONDS
 *     drive_lease look APP CLUSTER                                     the view, in one line
 *     drive_lease roll NODES MIN_NODES CYCLES                          see roll()
 *
 * Exits as pp would.
 */
#include <bsd/stdlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/service/lease.h"

#define APP "slug"
#define CLUSTER "prod"
#define NODES_MAX 16
#define ROLL_MS 120000

/* --- many nodes at once; what is true of them is in memory that they share */

struct truth {
	atomic_int up[NODES_MAX]; /* the service runs; that is not the run's life */
	atomic_int cycles, waits, kills, least, broken;
};

struct roll {
	struct truth *truth;
	int nodes, min_nodes, cycles;
};

/* Until it is done, for Consul may be starting again; 404 is fine where there is nothing to do. */
static void
insist(struct store *s, const char *path, const char *body)
{
	struct store_question q = { .method = "PUT", .path = path, .body = body };

	for (int tries = 0; tries < 300; tries++) {
		AUTO_BUF struct buf answer = { 0 };
		struct err e = ERR_INIT;
		long status = 0;

		if (store_ask(s, &q, &status, &answer, &e) > 0 && (status == 200 || status == 404))
			return;
		clock_sleep_ms(100);
	}
	(void)fprintf(stderr, "roll: in vain: %s\n", path);
	exit(1);
}

static void
register_node(struct store *s, int node)
{
	AUTO_FREE char *body =
	    xasprintf("{\"Name\":\"" APP "\",\"ID\":\"" APP "-n%d\",\"Tags\":[\"" CLUSTER
		      "\"],\"Meta\":{\"pp\":\"1\",\"pp-node\":\"n%d\",\"pp-version\":\"A\"},"
		      "\"Check\":{\"TTL\":\"600s\",\"Status\":\"passing\"}}",
		node, node);

	insist(s, "/v1/agent/service/register", body);
}

static void
report_check(struct store *s, int node, const char *verdict)
{
	AUTO_FREE char *path = xasprintf("/v1/agent/check/%s/service:" APP "-n%d", verdict, node);

	insist(s, path, NULL);
}

static void
dawdle(unsigned most_ms)
{
	clock_sleep_ms(arc4random_uniform(most_ms + 1));
}

static int
count_up(const struct roll *r)
{
	int up = 0;

	for (int i = 0; i < r->nodes; i++)
		up += atomic_load(&r->truth->up[i]);
	return up;
}

/* Stop the service, and look how many are left: of two that stop at once, one at least sees both. */
static void
go_down(const struct roll *r, int node)
{
	int up, least = atomic_load(&r->truth->least);

	atomic_store(&r->truth->up[node], 0);
	up = count_up(r);
	while (up < least && !atomic_compare_exchange_weak(&r->truth->least, &least, up))
		continue;
	if (up < r->min_nodes)
		atomic_fetch_add(&r->truth->broken, 1);
}

static void
come_up(struct store *s, const struct roll *r, int node)
{
	struct err e = ERR_INIT;
	AUTO_FREE char *name = xasprintf("n%d", node);

	atomic_store(&r->truth->up[node], 1);
	register_node(s, node);
	report_check(s, node, "pass");
	dawdle(10);
	if (lease_return(s, APP, CLUSTER, name, &e) < 0) {
		(void)fprintf(stderr, "roll: %s\n", e.msg);
		exit(1);
	}
}

/* Out of the cluster for a while: the mark goes while the service is down. */
static void
leave(struct store *s, const char *name, int node)
{
	AUTO_FREE char *path = xasprintf("/v1/agent/service/deregister/" APP "-n%d", node);
	struct err e = ERR_INIT;

	insist(s, path, NULL);
	if (lease_await_gone(s, APP, CLUSTER, name, 30000, &e) < 0 ||
	    lease_return(s, APP, CLUSTER, name, &e) < 0)
		exit(1);
	dawdle(100);
}

static void
cycle(struct store *s, const struct roll *r, int node)
{
	AUTO_FREE char *name = xasprintf("n%d", node), *why = NULL;
	int leaves = arc4random_uniform(4) == 0;
	struct lease_request req = { .app = APP,
		.cluster = CLUSTER,
		.node = name,
		.version = leaves ? NULL : "A",
		.healthy = 1,
		.canary = 1 };
	enum lease_verdict verdict;
	struct err e = ERR_INIT;

	if (lease_take(s, &req, &verdict, &why, &e) < 0) {
		(void)fprintf(stderr, "roll: %s\n", e.msg);
		exit(1);
	}
	if (verdict != LEASE_GRANTED) {
		atomic_fetch_add(&r->truth->waits, 1);
		dawdle(60);
		return;
	}
	go_down(r, node);
	/* The catalogue does not always know, and never at once. */
	if (leaves)
		leave(s, name, node);
	else if (arc4random_uniform(2) == 0)
		report_check(s, node, "fail");
	dawdle(30);
	come_up(s, r, node);
	atomic_fetch_add(&r->truth->cycles, 1);
}

/* The runs of one node, each of which may be killed anywhere. */
static void
be_node(const struct roll *r, int node)
{
	struct err e = ERR_INIT;
	struct store *s = store_open(NULL, STORE_THERE, &e);

	if (s == NULL)
		exit(1);
	/* After a crash: down, it starts; up, it gives its mark back, or takes it again. */
	if (!atomic_load(&r->truth->up[node]) || arc4random_uniform(2) == 0)
		come_up(s, r, node);
	while (atomic_load(&r->truth->cycles) < r->cycles)
		cycle(s, r, node);
	store_free(s);
	exit(0);
}

static pid_t
start_node(const struct roll *r, int node)
{
	pid_t pid = fork();

	if (pid == 0)
		be_node(r, node);
	return pid;
}

static void
kill_some(const struct roll *r, pid_t *pids)
{
	int64_t end = clock_now_ms() + ROLL_MS;
	int told = 0;

	while (atomic_load(&r->truth->cycles) < r->cycles && clock_now_ms() < end) {
		int victim = (int)arc4random_uniform((unsigned)r->nodes);

		dawdle(200);
		if (!told && atomic_load(&r->truth->cycles) * 3 > r->cycles) {
			(void)fprintf(stderr, "roll: a third is done\n");
			told = 1;
		}
		(void)kill(pids[victim], SIGKILL);
		(void)waitpid(pids[victim], NULL, 0);
		atomic_fetch_add(&r->truth->kills, 1);
		pids[victim] = start_node(r, victim);
	}
}

/*
 * Nodes that go down and come up CYCLES times in all, each in a process of its own that is killed now and
 * then. Never may fewer than MIN_NODES be really up.
 */
static int
roll(struct store *s, int nodes, int min_nodes, int cycles)
{
	struct roll r = { .nodes = nodes, .min_nodes = min_nodes, .cycles = cycles };
	pid_t pids[NODES_MAX] = { 0 };
	struct truth *t;

	if (nodes < 1 || nodes > NODES_MAX)
		return 64;
	t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED)
		return 1;
	r.truth = t;
	atomic_store(&t->least, nodes);
	for (int i = 0; i < nodes; i++) {
		register_node(s, i);
		atomic_store(&t->up[i], 1);
	}
	for (int i = 0; i < nodes; i++)
		pids[i] = start_node(&r, i);
	kill_some(&r, pids);
	for (int i = 0; i < nodes; i++) {
		if (atomic_load(&t->cycles) < cycles)
			(void)kill(pids[i], SIGKILL);
		(void)waitpid(pids[i], NULL, 0);
	}
	(void)printf("cycles %d, waits %d, kills %d, at least %d up, broken %d\n",
	    atomic_load(&t->cycles), atomic_load(&t->waits), atomic_load(&t->kills),
	    atomic_load(&t->least), atomic_load(&t->broken));
	return atomic_load(&t->cycles) < cycles || atomic_load(&t->broken) != 0;
}

/* --- one call */

static int
take(struct store *s, char **argv, struct err *e)
{
	struct lease_request req = { .app = argv[0],
		.cluster = argv[1],
		.node = argv[2],
		.version = argv[3],
		.healthy = argv[4] != NULL && strcmp(argv[4], "healthy") == 0,
		.canary = argv[4] != NULL && argv[5] != NULL ? atoi(argv[5]) : 1 };
	AUTO_FREE char *why = NULL;
	enum lease_verdict verdict;

	if (lease_take(s, &req, &verdict, &why, e) < 0)
		return -1;
	(void)printf("%s%s%s\n",
	    verdict == LEASE_GRANTED     ? "granted" :
		verdict == LEASE_WAITING ? "waiting" :
					   "halted",
	    why ? ": " : "", why ? why : "");
	return 0;
}

static int
look(struct store *s, char **argv, struct err *e)
{
	struct lease_view view;

	if (lease_look(s, argv[0], argv[1], &view, e) < 0)
		return -1;
	(void)printf("there %d, min_nodes %d, marked:", view.there, view.min_nodes);
	for (size_t i = 0; i < view.nmarks; i++)
		(void)printf(" %s>%s", view.marks[i].node, view.marks[i].version);
	(void)printf(", instances:");
	for (size_t i = 0; i < view.ninstances; i++)
		(void)printf(" %s/%s%s%s%s", view.instances[i].node, view.instances[i].version,
		    view.instances[i].passing ? "+" : "-", view.instances[i].failed ? "f" : "",
		    view.instances[i].by_hand ? "h" : "");
	(void)printf("\n");
	lease_view_release(&view);
	return 0;
}

static int
marked(struct store *s, int argc, char **argv, struct err *e)
{
	struct lease_place places[100];
	int answers[100];
	size_t n = 0;

	for (int i = 1; i + 1 < argc && n < MEM_COUNT(places); i += 2)
		places[n++] = (struct lease_place){ argv[i], argv[i + 1] };
	if (lease_marked(s, argv[0], places, n, answers, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		(void)printf("%d%s", answers[i], i + 1 < n ? " " : "\n");
	return 0;
}

static int
drive(struct store *s, int argc, char **argv, struct err *e)
{
	const char *verb = argv[1];

	if (strcmp(verb, "take") == 0 && argc >= 7)
		return take(s, argv + 2, e);
	if (strcmp(verb, "return") == 0 && argc == 5)
		return lease_return(s, argv[2], argv[3], argv[4], e);
	if (strcmp(verb, "marked") == 0 && argc >= 5)
		return marked(s, argc - 2, argv + 2, e);
	if (strcmp(verb, "gone") == 0 && argc == 6)
		return lease_await_gone(s, argv[2], argv[3], argv[4], atoi(argv[5]), e);
	if (strcmp(verb, "look") == 0 && argc == 4)
		return look(s, argv + 2, e);
	return err_set(e, ERR_USAGE, "drive_lease: see the head of its source");
}

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct store *s = store_open(getenv("PP_STORE"), STORE_THERE, &e);
	int status = 0;

	if (s != NULL && argc == 5 && strcmp(argv[1], "roll") == 0) {
		status = roll(s, atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	} else if (s == NULL || argc < 2 || drive(s, argc, argv, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		status = err_exit_code(&e);
	}
	store_free(s);
	return status;
}
