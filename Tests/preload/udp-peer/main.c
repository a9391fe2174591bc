/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peer.h"

void fail(const char *what)
{
	fprintf(stderr, "udp-peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

struct place place_of(const char *address, const char *port)
{
	struct place place = {0};
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&place.address;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&place.address;

	if (inet_pton(AF_INET, address, &ipv4->sin_addr) == 1) {
		ipv4->sin_family = AF_INET;
		ipv4->sin_port = htons((unsigned short)atoi(port));
		place.length = sizeof(*ipv4);
	} else if (inet_pton(AF_INET6, address, &ipv6->sin6_addr) == 1) {
		ipv6->sin6_family = AF_INET6;
		ipv6->sin6_port = htons((unsigned short)atoi(port));
		place.length = sizeof(*ipv6);
	} else {
		fprintf(stderr, "udp-peer: %s is no address\n", address);
		exit(64);
	}
	return place;
}

int main(int count, char **arguments)
{
	if (count >= 2 && !strcmp(arguments[1], "serve"))
		return serve(count - 2, arguments + 2);
	if (count >= 2 && !strcmp(arguments[1], "ask"))
		return ask(count - 2, arguments + 2);
	fprintf(stderr, "usage: udp-peer serve WAY ADDRESS PORT WORKERS SECONDS\n"
			"       udp-peer ask ADDRESS PORT COUNT WINDOW SECONDS [RETRANSMISSIONS [BYTES]]\n");
	return 64;
}
