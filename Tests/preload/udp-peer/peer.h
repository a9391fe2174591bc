/* SPDX-License-Identifier: Apache-2.0 */
/* A UDP server that receives in every way there is, and a client that counts what it answers. */
#ifndef UDP_PEER_H
#define UDP_PEER_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#define DATAGRAM_LIMIT 2048

/* An address with a port, IPv4 or IPv6. */
struct place {
	struct sockaddr_storage address;
	socklen_t length;
};

/* One call's worth of receiving: bytes and sender of a datagram. */
struct datagram {
	char bytes[DATAGRAM_LIMIT];
	ssize_t length;
	struct place sender;
	/* By IP_PKTINFO or IPV6_PKTINFO: where it came in, and to which address; 0 where not asked. */
	int interface;
	struct in6_addr destination;
};

int serve(int count, char **arguments);
int ask(int count, char **arguments);

/* Ends the program where `text` is no address. */
struct place place_of(const char *address, const char *port);

/* Ends the program with what failed. */
void fail(const char *what);

/* Milliseconds of the monotonic clock. */
long now(void);

#endif /* UDP_PEER_H */
