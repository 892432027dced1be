/*
 * The app that the tests of a cluster deploy: an HTTP server that says which version it is.
 *
 *     app VERSION START_MS [STATUS]
 *
 * Listens on PORT after START_MS, and answers each request with STATUS (200) and VERSION; with "mixed",
 * where PP_VERSION says that it was started as another one. It ends at once on TERM.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define END "\r\n\r\n"

struct client {
	int matched; /* bytes of END that the last ones read are */
};

static char answer[512];

static int
open_port(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 64) < 0) {
		perror("app: listen");
		exit(1);
	}
	return fd;
}

/* Answer each request that is complete. -1: the client is gone. */
static int
serve(int fd, struct client *c)
{
	char buf[4096];
	ssize_t n = recv(fd, buf, sizeof buf, 0);

	if (n <= 0)
		return -1;
	for (ssize_t i = 0; i < n; i++) {
		c->matched = buf[i] == END[c->matched] ? c->matched + 1 : buf[i] == END[0];
		if (c->matched < (int)strlen(END))
			continue;
		c->matched = 0;
		if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
			return -1;
	}
	return 0;
}

static void
loop(int listener)
{
	struct pollfd fds[CLIENTS_MAX + 1] = { { .fd = listener, .events = POLLIN } };
	struct client clients[CLIENTS_MAX + 1] = { 0 };
	int n = 1, on = 1;

	for (;;) {
		/* With no room for one more, they wait in the listener's queue. */
		fds[0].events = n <= CLIENTS_MAX ? POLLIN : 0;
		if (poll(fds, (nfds_t)n, -1) < 0)
			continue;
		for (int i = n - 1; i > 0; i--) {
			if (fds[i].revents == 0 || serve(fds[i].fd, &clients[i]) == 0)
				continue;
			close(fds[i].fd);
			n--;
			fds[i] = fds[n];
			clients[i] = clients[n];
		}
		if ((fds[0].revents & POLLIN) != 0 && n <= CLIENTS_MAX) {
			int fd = accept(listener, NULL, NULL);

			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
			fds[n] = (struct pollfd){ .fd = fd, .events = POLLIN };
			clients[n++] = (struct client){ 0 };
		}
	}
}

int
main(int argc, char **argv)
{
	const char *port = getenv("PORT"), *told = getenv("PP_VERSION"), *says;
	int status = argc > 3 ? atoi(argv[3]) : 200;

	if (argc < 3 || port == NULL || told == NULL) {
		fprintf(stderr, "usage: PORT=N PP_VERSION=V app VERSION START_MS [STATUS]\n");
		return 64;
	}
	says = strcmp(told, argv[1]) == 0 ? argv[1] : "mixed";
	snprintf(answer, sizeof answer,
	    "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", status,
	    status == 200 ? "OK" : "Unavailable", strlen(says), says);
	usleep((useconds_t)atoi(argv[2]) * 1000);
	loop(open_port(atoi(port)));
}
