/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers every datagram, and receives in the WAY that it is told: each way is that of some program's. Bound
 * before it forks its workers, as SIP servers are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

static int server = -1;
static long end;
/* An epoll instance that was made before the fork. */
static int common = -1;

/* Half a second over a request that asks for it, as a server over its database: in a call that the library
 * does not see, or in one that it does.
 */
static void dawdle(const struct datagram *datagram)
{
	struct pollfd nothing = {.fd = -1, .events = POLLIN};

	if (memmem(datagram->bytes, (size_t)datagram->length, "X-Slow: sleep", 13))
		usleep(500000);
	else if (memmem(datagram->bytes, (size_t)datagram->length, "X-Slow: poll", 12))
		poll(&nothing, 1, 500);
}

static void answer(const struct datagram *datagram)
{
	char bytes[DATAGRAM_LIMIT * 2], name[INET6_ADDRSTRLEN] = "-";
	int head;

	dawdle(datagram);
	if (datagram->interface)
		inet_ntop(AF_INET6, &datagram->destination, name, sizeof(name));
	head = snprintf(bytes, sizeof(bytes),
			"SIP/2.0 200 OK\r\nX-Worker: %d\r\nX-Interface: %d\r\nX-To: %s\r\n\r\n",
			(int)getpid(), datagram->interface, name);
	memcpy(bytes + head, datagram->bytes, (size_t)datagram->length);
	sendto(server, bytes, (size_t)(head + datagram->length), 0,
	       (const struct sockaddr *)&datagram->sender.address, datagram->sender.length);
}

/* One datagram by recvfrom(2). False where there is none. */
static int take(int flags)
{
	struct datagram datagram = {0};

	datagram.sender.length = sizeof(datagram.sender.address);
	datagram.length = recvfrom(server, datagram.bytes, sizeof(datagram.bytes), flags,
				   (struct sockaddr *)&datagram.sender.address, &datagram.sender.length);
	if (datagram.length < 0)
		return 0;
	answer(&datagram);
	return 1;
}

static void take_all(void)
{
	while (take(MSG_DONTWAIT))
		;
}

static void read_control(struct msghdr *message, struct datagram *datagram)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(control);

			datagram->interface = info->ipi_ifindex;
			memset(&datagram->destination, 0, 10);
			memset((char *)&datagram->destination + 10, 0xff, 2);
			memcpy((char *)&datagram->destination + 12, &info->ipi_addr, 4);
		} else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(control);

			datagram->interface = (int)info->ipi6_ifindex;
			datagram->destination = info->ipi6_addr;
		}
	}
}

/* In two parts, with the control messages. */
static void by_recvmsg(void)
{
	char control[256];
	struct datagram datagram = {0};
	struct iovec parts[2] = {{datagram.bytes, 100}, {datagram.bytes + 100, sizeof(datagram.bytes) - 100}};
	struct msghdr message = {.msg_name = &datagram.sender.address,
				 .msg_namelen = sizeof(datagram.sender.address),
				 .msg_iov = parts,
				 .msg_iovlen = 2,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};

	datagram.length = recvmsg(server, &message, 0);
	if (datagram.length < 0)
		return;
	datagram.sender.length = message.msg_namelen;
	read_control(&message, &datagram);
	answer(&datagram);
}

static void by_recvmmsg(void)
{
	static struct datagram datagrams[8];
	struct mmsghdr messages[8] = {0};
	struct iovec parts[8];
	int count;

	for (int index = 0; index < 8; index++) {
		parts[index] = (struct iovec){datagrams[index].bytes, DATAGRAM_LIMIT};
		messages[index].msg_hdr = (struct msghdr){.msg_name = &datagrams[index].sender.address,
							  .msg_namelen = sizeof(struct sockaddr_storage),
							  .msg_iov = &parts[index],
							  .msg_iovlen = 1};
	}
	count = recvmmsg(server, messages, 8, MSG_WAITFORONE, NULL);
	for (int index = 0; index < count; index++) {
		datagrams[index].length = messages[index].msg_len;
		datagrams[index].sender.length = messages[index].msg_hdr.msg_namelen;
		answer(&datagrams[index]);
	}
}

/* Looks first (MSG_PEEK), for the sender and the length, and takes the same by a call that tells neither. */
static void by_peek(const char *call)
{
	struct datagram seen = {0}, taken = {0};
	struct iovec parts[2] = {{taken.bytes, 64}, {taken.bytes + 64, sizeof(taken.bytes) - 64}};

	seen.sender.length = sizeof(seen.sender.address);
	seen.length = recvfrom(server, seen.bytes, 10, MSG_PEEK | MSG_TRUNC,
			       (struct sockaddr *)&seen.sender.address, &seen.sender.length);
	if (seen.length < 0)
		return;
	if (!strcmp(call, "read"))
		taken.length = read(server, taken.bytes, sizeof(taken.bytes));
	else if (!strcmp(call, "readv"))
		taken.length = readv(server, parts, 2);
	else
		taken.length = recv(server, taken.bytes, sizeof(taken.bytes), 0);
	if (taken.length != seen.length || memcmp(seen.bytes, taken.bytes, 10))
		return;
	taken.sender = seen.sender;
	answer(&taken);
}

static void by_poll(int is_ppoll)
{
	struct pollfd ready = {.fd = server, .events = POLLIN};
	struct timespec time = {.tv_nsec = 700000000};

	if ((is_ppoll ? ppoll(&ready, 1, &time, NULL) : poll(&ready, 1, 700)) > 0 && ready.revents & POLLIN)
		take(MSG_DONTWAIT);
}

static void by_select(int is_pselect)
{
	struct timeval time = {.tv_usec = 700000};
	struct timespec precise = {.tv_nsec = 700000000};
	fd_set readers;
	int count;

	FD_ZERO(&readers);
	FD_SET(server, &readers);
	count = is_pselect ? pselect(server + 1, &readers, NULL, NULL, &precise, NULL)
			   : select(server + 1, &readers, NULL, NULL, &time);
	if (count > 0 && FD_ISSET(server, &readers))
		take(MSG_DONTWAIT);
}

static int watched(uint32_t events)
{
	struct epoll_event event = {.events = events,
				    .data.u64 = 0xfeedface00000000ULL | (unsigned int)server};
	int epoll = epoll_create1(0);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, server, &event))
		fail("watch the socket");
	return epoll;
}

/* Level-triggered: one datagram for each event. Edge-triggered: all there are. */
static void by_epoll(int epoll, int is_edge, int by_nanoseconds)
{
	const struct timespec long_while = {.tv_nsec = 700000000};
	struct epoll_event events[4];
	int count = by_nanoseconds ? epoll_pwait2(epoll, events, 4, &long_while, NULL)
				   : epoll_wait(epoll, events, 4, 700);

	for (int index = 0; index < count; index++) {
		if (events[index].data.u64 != (0xfeedface00000000ULL | (unsigned int)server)) {
			fprintf(stderr, "udp-peer: an event of something else\n");
			exit(1);
		}
		if (is_edge)
			take_all();
		else
			take(MSG_DONTWAIT);
	}
}

/* An instance of the program's own, without the socket, waits as long as it is told and no longer. */
static void wait_elsewhere(void)
{
	const struct timespec moment = {.tv_nsec = 20000};
	struct epoll_event event;
	int elsewhere = epoll_create1(0);
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int turn = 0; turn < 100; turn++)
		if (epoll_pwait2(elsewhere, &event, 1, &moment, NULL))
			fail("wait in another instance");
	clock_gettime(CLOCK_MONOTONIC, &after);
	close(elsewhere);
	/* In whole milliseconds it would take 100 of them. */
	printf("elsewhere %ld us\n",
	       (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000);
	fflush(stdout);
}

static void *work(void *argument)
{
	const char *way = argument;
	int epoll = -1;

	if (!strcmp(way, "epoll-pwait2"))
		wait_elsewhere();
	if (!strcmp(way, "epoll") || !strcmp(way, "epoll-pwait2"))
		epoll = watched(EPOLLIN);
	else if (!strcmp(way, "epoll-edge"))
		epoll = watched(EPOLLIN | EPOLLET);
	while (now() < end) {
		if (!strcmp(way, "recvmsg"))
			by_recvmsg();
		else if (!strcmp(way, "recvmmsg"))
			by_recvmmsg();
		else if (!strncmp(way, "peek-", 5))
			by_peek(way + 5);
		else if (!strcmp(way, "poll") || !strcmp(way, "ppoll"))
			by_poll(way[1] == 'p');
		else if (!strcmp(way, "select") || !strcmp(way, "pselect"))
			by_select(way[0] == 'p');
		else if (!strcmp(way, "epoll-common"))
			by_epoll(common, 0, 0);
		else if (!strncmp(way, "epoll", 5))
			by_epoll(epoll, !strcmp(way, "epoll-edge"), !strcmp(way, "epoll-pwait2"));
		else
			take(0); /* recvfrom, and what is done before it */
	}
	return NULL;
}

/* Does the call come back in time where nothing comes? Half a second, as SO_RCVTIMEO says. */
static void check_timeout(void)
{
	long start = now(), took;

	errno = 0;
	if (take(0))
		return;
	took = now() - start;
	if (errno != EAGAIN || took < 450 || took > 1500) {
		fprintf(stderr, "udp-peer: the timeout took %ld ms, errno %d\n", took, errno);
		exit(1);
	}
}

static void start_worker(const char *way)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work((void *)(unsigned long)way);
		exit(0);
	}
	printf("worker %d\n", (int)child);
	fflush(stdout);
}

static int bound(const struct place *place)
{
	int yes = 1;
	int fd = socket(place->address.ss_family, SOCK_DGRAM, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof(yes)))
		fail("make a socket");
	if (place->address.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &yes, sizeof(yes)))
		fail("ask for the destination");
	if (bind(fd, (const struct sockaddr *)&place->address, place->length))
		fail("bind");
	return fd;
}

/* What programs do with their descriptors before they serve. */
static void shuffle(const char *way, const struct place *place)
{
	if (!strcmp(way, "dup")) {
		int copy = dup(server), other = fcntl(copy, F_DUPFD, 50);

		close(server);
		close(copy);
		server = dup2(other, 77);
		close(other);
	} else if (!strcmp(way, "rebind")) {
		/* One that looks whether the port is free. */
		close(server);
		server = bound(place);
	} else if (!strcmp(way, "close-all")) {
		for (int fd = 3; fd < 4096; fd++)
			if (fd != server)
				close(fd);
	}
}

int serve(int count, char **arguments)
{
	const char *way = arguments[0];
	struct timeval half = {.tv_usec = 500000};
	struct place place;
	int workers, seen_timeout = 0;

	if (count < 5)
		return 64;
	place = place_of(arguments[1], arguments[2]);
	workers = atoi(arguments[3]);
	end = now() + atol(arguments[4]) * 1000;
	server = bound(&place);
	shuffle(way, &place);
	/* So that every way ends in time. */
	if (setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &half, sizeof(half)))
		fail("set a timeout");
	if (!strncmp(way, "epoll", 5) && fcntl(server, F_SETFL, O_NONBLOCK))
		fail("set O_NONBLOCK");
	if (!strcmp(way, "epoll-common"))
		common = watched(EPOLLIN);
	if (!strcmp(way, "timeout")) {
		check_timeout();
		seen_timeout = 1;
	}
	printf("ready %d%s\n", (int)getpid(), seen_timeout ? " timed-out" : "");
	fflush(stdout);
	if (!strcmp(way, "threads")) {
		pthread_t threads[16];

		for (int index = 0; index < workers && index < 16; index++)
			if (pthread_create(&threads[index], NULL, work, (void *)(unsigned long)way))
				fail("make a thread");
		for (int index = 0; index < workers && index < 16; index++)
			pthread_join(threads[index], NULL);
		return 0;
	}
	for (int index = 0; index < workers; index++)
		start_worker(way);
	/* A worker that was killed is replaced. */
	while (now() < end) {
		if (waitpid(-1, NULL, WNOHANG) > 0 && now() < end)
			start_worker(way);
		usleep(2000);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	return 0;
}
