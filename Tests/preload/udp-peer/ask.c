/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a server of serve.c so many times, WINDOW requests under way, and checks every answer byte by byte. A
 * request that has no answer after half a second is sent again, RETRANSMISSIONS times (RFC 3261
 * section 17.1.2.2), or is lost.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define PATIENCE 500

struct request {
	int number; /* 0: the place is free */
	int tries;
	long sent;
};

static int text_of(char *text, int number, int length)
{
	int head = snprintf(
		text, DATAGRAM_LIMIT,
		"REGISTER sip:edge.example SIP/2.0\r\nVia: SIP/2.0/UDP peer.example;branch=z9hG4bK%d\r\n"
		"Call-ID: %d\r\nCSeq: %d REGISTER\r\nX-Fill: ",
		number, number, number);

	for (; head < length - 4; head++)
		text[head] = (char)('a' + (head + number) % 26);
	memcpy(text + head, "\r\n\r\n", 4);
	return head + 4;
}

static void send_request(int fd, struct request *request, int length)
{
	char text[DATAGRAM_LIMIT];
	int count = text_of(text, request->number, length);

	request->tries++;
	request->sent = now();
	/* Refused for a moment: it counts as lost on its way. */
	(void)!send(fd, text, (size_t)count, 0);
}

/* The server puts the request behind its own first lines. Returns the number it answers, or -1. */
static int answered(const char *bytes, ssize_t count, int length)
{
	char expected[DATAGRAM_LIMIT];
	const char *body = memmem(bytes, (size_t)count, "\r\n\r\n", 4);
	const char *id;
	int number, size;

	if (!body || strncmp(bytes, "SIP/2.0 200 OK\r\n", 16))
		return -1;
	body += 4;
	id = memmem(body, (size_t)(bytes + count - body), "Call-ID: ", 9);
	if (!id)
		return -1;
	number = atoi(id + 9);
	size = text_of(expected, number, length);
	return size == bytes + count - body && !memcmp(expected, body, (size_t)size) ? number : -1;
}

int ask(int count, char **arguments)
{
	struct place server;
	struct request *window;
	int fd, requests, places, retransmissions, length;
	int next = 1, done = 0, lost = 0, again = 0, wrong = 0, twice = 0;
	long end;

	if (count < 5)
		return 64;
	server = place_of(arguments[0], arguments[1]);
	requests = atoi(arguments[2]);
	places = atoi(arguments[3]);
	end = now() + atol(arguments[4]) * 1000;
	retransmissions = count > 5 ? atoi(arguments[5]) : 0;
	length = count > 6 ? atoi(arguments[6]) : 200;
	window = calloc((size_t)places, sizeof(*window));
	fd = socket(server.address.ss_family, SOCK_DGRAM, 0);
	if (!window || fd < 0 || connect(fd, (struct sockaddr *)&server.address, server.length))
		fail("make a socket");
	while (done + lost < requests && now() < end) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		char bytes[DATAGRAM_LIMIT * 2];
		ssize_t received;

		for (int place = 0; place < places; place++) {
			struct request *request = &window[place];

			if (!request->number && next <= requests) {
				*request = (struct request){.number = next++};
				send_request(fd, request, length);
			} else if (request->number && now() - request->sent > PATIENCE) {
				if (request->tries > retransmissions) {
					request->number = 0;
					lost++;
				} else {
					again++;
					send_request(fd, request, length);
				}
			}
		}
		poll(&ready, 1, 20);
		while ((received = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
			int number = answered(bytes, received, length), place = 0;

			if (number < 0) {
				wrong++;
				continue;
			}
			while (place < places && window[place].number != number)
				place++;
			if (place == places) {
				twice++;
				continue;
			}
			window[place].number = 0;
			done++;
		}
	}
	printf("{\"answered\": %d, \"lost\": %d, \"retransmitted\": %d, \"wrong\": %d, \"twice\": %d, "
	       "\"sent\": %d}\n",
	       done, requests - done, again, wrong, twice, next - 1 + again);
	return done == requests && !wrong ? 0 : 1;
}
