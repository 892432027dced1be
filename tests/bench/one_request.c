/*
 * The floor of any reader of Consul: one HTTP request on a socket, without a library.
 *
 *     one_request PORT PATH
 *
 * GETs it from 127.0.0.1 and reads the answer to its end. Exits 1 when there is none.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char text[4096];
	ssize_t n, sum = 0;
	int fd, len;

	if (argc != 3)
		return 64;
	to.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return 1;
	len = snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", argv[2]);
	if (write(fd, text, (size_t)len) != len)
		return 1;
	while ((n = read(fd, text, sizeof text)) > 0)
		sum += n;
	return n < 0 || sum == 0;
}
