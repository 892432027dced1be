/*
 * Ask every node of a cluster all the time, and say how many answered.
 *
 *     load [--once] [--flags=FILE] ADDRESS:PORT...
 *
 * Every 20 ms each node is sent GET /. A sample is what became of the requests of one such moment: a node
 * answered if it was 200, also where that came late (this machine is busy) but within a second; a
 * connection refused, reset or closed, another status and silence are no answer. So what is asked of a
 * server that was stopped is lost at once, and what waits for the processor is not.
 *
 * A line a sample on stdout, in order: the time (UTC), how many count, how many answered, and of each node
 * the body of its answer (the version), else the status, else "-". What counts is who answered, and who
 * is excused: FILE has a byte for each node, '.' or 'x' for one that the test itself made unavailable; 'r'
 * is excused until it answers again, when it becomes '.'. A sample is excused that was sent or lost then.
 * Excused nodes are in brackets.
 *
 * On TERM or INT, what is left is awaited, and then a summary follows, each line with # in front:
 *     # samples 1200, longest gap 21 ms
 *     # least 8                     of those that count
 *     # least 8 answering
 *     # answering 10: 600           how many samples had so many
 * With --once: one sample, no summary, exit code 0 only if all answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NODES_MAX 64
#define PERIOD_MS 20
#define PATIENCE_MS 1000
#define RING 256 /* samples under way; more than fit into PATIENCE_MS */
#define WORD 24

static const char request[] = "GET / HTTP/1.1\r\nHost: app\r\n\r\n";

struct sample {
	int64_t at_ms; /* monotonic */
	struct timespec wall;
	int pending;
	char answered[NODES_MAX], excused[NODES_MAX];
	char word[NODES_MAX][WORD];
};

struct node {
	struct sockaddr_in at;
	int fd; /* -1: not connected */
	int connected;
	unsigned long first,
	    next; /* samples asked on this connection, from the oldest unanswered */
	char in[1024];
	size_t have;
};

static struct node nodes[NODES_MAX];
static int nnodes;
static struct sample ring[RING];
static unsigned long taken, written; /* samples begun, and written out */
static char *flags;
static int once;
static int least = NODES_MAX, least_answering = NODES_MAX, gap_ms;
static unsigned long histogram[NODES_MAX + 1];
static volatile sig_atomic_t stopping;

static void
stop(int sig)
{
	(void)sig;
	stopping = 1;
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
is_excused(int i)
{
	return flags != NULL && flags[i] != '.';
}

/* What became of the oldest request to a node. */
static void
settle(int i, int answered, const char *word)
{
	struct node *n = &nodes[i];
	struct sample *s = &ring[n->first++ % RING];

	if (answered && flags != NULL && flags[i] == 'r')
		flags[i] = '.';
	s->answered[i] = (char)answered;
	if (!answered && is_excused(i))
		s->excused[i] = 1;
	snprintf(s->word[i], WORD, "%s", word);
	s->pending--;
}

static void
lose(int i)
{
	struct node *n = &nodes[i];

	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
	n->connected = 0;
	n->have = 0;
	while (n->first < n->next)
		settle(i, 0, "-");
}

static void
ask(int i)
{
	struct node *n = &nodes[i];
	int on = 1;

	if (n->next == n->first)
		n->first = taken;
	n->next = taken + 1;
	if (n->fd >= 0 && n->connected) {
		if (send(n->fd, request, sizeof request - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
		    sizeof request - 1)
			lose(i);
		return;
	}
	if (n->fd >= 0)
		return; /* it is sent once there is a connection */
	n->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (n->fd < 0) {
		perror("load: socket");
		exit(1);
	}
	setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(n->fd, (struct sockaddr *)&n->at, sizeof n->at) < 0 && errno != EINPROGRESS)
		lose(i);
}

static void
sample(void)
{
	struct sample *s = &ring[taken % RING];

	memset(s, 0, sizeof *s);
	s->at_ms = now_ms();
	clock_gettime(CLOCK_REALTIME, &s->wall);
	s->pending = nnodes;
	for (int i = 0; i < nnodes; i++) {
		s->excused[i] = (char)is_excused(i);
		ask(i);
	}
	if (taken > 0 && s->at_ms - ring[(taken - 1) % RING].at_ms > gap_ms)
		gap_ms = (int)(s->at_ms - ring[(taken - 1) % RING].at_ms);
	taken++;
}

/* Send what was asked while there was no connection yet. */
static void
begin(int i)
{
	struct node *n = &nodes[i];
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
		lose(i);
		return;
	}
	n->connected = 1;
	for (unsigned long k = n->first; k < n->next; k++) {
		if (send(n->fd, request, sizeof request - 1, MSG_NOSIGNAL | MSG_DONTWAIT) !=
		    sizeof request - 1) {
			lose(i);
			return;
		}
	}
}

/* Take one whole answer from the front of what was read: 1; 0: not all of it is there; -1: it is none. */
static int
take_answer(int i)
{
	struct node *n = &nodes[i];
	char word[WORD], *end, *length;
	size_t body, head;
	int status;

	n->in[n->have] = '\0';
	end = strstr(n->in, "\r\n\r\n");
	if (end == NULL)
		return n->have < sizeof n->in - 1 ? 0 : -1;
	length = strstr(n->in, "Content-Length: ");
	if (sscanf(n->in, "HTTP/1.1 %d ", &status) != 1 || length == NULL || length > end)
		return -1;
	head = (size_t)(end + 4 - n->in);
	body = strtoul(length + strlen("Content-Length: "), NULL, 10);
	if (body >= sizeof n->in - head)
		return -1;
	if (n->have < head + body)
		return 0;
	if (status == 200)
		snprintf(word, sizeof word, "%.*s", (int)body, end + 4);
	else
		snprintf(word, sizeof word, "%d", status);
	if (n->first == n->next)
		return -1;
	settle(i, status == 200, word);
	n->have -= head + body;
	memmove(n->in, n->in + head + body, n->have);
	return 1;
}

static void
hear(int i)
{
	struct node *n = &nodes[i];
	ssize_t got = recv(n->fd, n->in + n->have, sizeof n->in - 1 - n->have, MSG_DONTWAIT);
	int more = 1;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		lose(i);
		return;
	}
	n->have += (size_t)got;
	while (more > 0)
		more = take_answer(i);
	if (more < 0)
		lose(i);
}

static void
write_sample(const struct sample *s)
{
	int answering = 0, counting = 0;
	char when[16];
	struct tm tm;

	for (int i = 0; i < nnodes; i++) {
		answering += s->answered[i];
		counting += s->answered[i] || s->excused[i];
	}
	least = counting < least ? counting : least;
	least_answering = answering < least_answering ? answering : least_answering;
	histogram[answering]++;
	strftime(when, sizeof when, "%H:%M:%S", gmtime_r(&s->wall.tv_sec, &tm));
	printf("%s.%03ld %d %d", when, s->wall.tv_nsec / 1000000, counting, answering);
	for (int i = 0; i < nnodes; i++)
		printf(s->excused[i] ? " [%s]" : " %s", s->word[i]);
	putchar('\n');
	if (fflush(stdout) != 0)
		exit(1);
}

static void
write_done(void)
{
	for (; written < taken && ring[written % RING].pending == 0; written++)
		write_sample(&ring[written % RING]);
}

static void
give_up_on_late_ones(void)
{
	int64_t now = now_ms();

	for (int i = 0; i < nnodes; i++) {
		struct node *n = &nodes[i];

		if (n->first < n->next && now - ring[n->first % RING].at_ms > PATIENCE_MS)
			lose(i);
	}
}

/* Wait for answers until it is time. */
static void
listen_until(int64_t until)
{
	struct pollfd fds[NODES_MAX];
	int64_t left = until - now_ms();

	for (int i = 0; i < nnodes; i++)
		fds[i] = (struct pollfd){ .fd = nodes[i].fd,
			.events = nodes[i].connected ? POLLIN : POLLOUT };
	if (poll(fds, (nfds_t)nnodes, left > 0 ? (int)left : 0) <= 0)
		return;
	for (int i = 0; i < nnodes; i++) {
		if (fds[i].revents == 0 || fds[i].fd != nodes[i].fd)
			continue;
		if (!nodes[i].connected)
			begin(i);
		else
			hear(i);
	}
}

static void
run(void)
{
	int64_t due = now_ms();

	while (!stopping || written < taken) {
		if (!stopping && now_ms() >= due) {
			sample();
			/* Moments that were slept through are no samples. */
			due = due + PERIOD_MS > now_ms() ? due + PERIOD_MS : now_ms();
			stopping |= once;
		}
		listen_until(stopping ? now_ms() + PERIOD_MS : due);
		give_up_on_late_ones();
		write_done();
	}
}

static void
summarize(void)
{
	printf("# samples %lu, longest gap %d ms\n", written, gap_ms);
	printf("# least %d\n# least %d answering\n", least, least_answering);
	for (int i = 0; i <= nnodes; i++)
		if (histogram[i] > 0)
			printf("# answering %d: %lu\n", i, histogram[i]);
}

static void
map_flags(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || ftruncate(fd, NODES_MAX) < 0) {
		perror(path);
		exit(1);
	}
	flags = mmap(NULL, NODES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (flags == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	for (int i = 0; i < NODES_MAX; i++)
		if (flags[i] == '\0')
			flags[i] = '.';
	close(fd);
}

static void
add_node(const char *address)
{
	struct node *n = &nodes[nnodes++];
	char host[64];
	unsigned port;

	*n = (struct node){ .fd = -1, .at = { .sin_family = AF_INET } };
	if (nnodes >= NODES_MAX || sscanf(address, "%63[0-9.]:%u", host, &port) != 2 ||
	    inet_pton(AF_INET, host, &n->at.sin_addr) != 1) {
		fprintf(stderr, "load: no address and port: %s\n", address);
		exit(64);
	}
	n->at.sin_port = htons((uint16_t)port);
}

int
main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = stop };

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--once") == 0)
			once = 1;
		else if (strncmp(argv[i], "--flags=", 8) == 0)
			map_flags(argv[i] + 8);
		else
			add_node(argv[i]);
	}
	if (nnodes == 0) {
		fprintf(stderr, "usage: load [--once] [--flags=FILE] ADDRESS:PORT...\n");
		return 64;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	run();
	if (!once)
		summarize();
	return once && least_answering < nnodes;
}
