/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "fastpath_lab_calls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEND_BATCH 256

int fastpath_lab_pin_thread(uint32_t cpu)
{
	cpu_set_t set;

	if (cpu >= CPU_SETSIZE) {
		errno = EINVAL;
		return -1;
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

_Static_assert(sizeof(struct fastpath_lab_cpus) == sizeof(cpu_set_t), "as many CPUs");

int fastpath_lab_get_cpus(struct fastpath_lab_cpus *cpus)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -1;
	memcpy(cpus, &set, sizeof(set));
	return 0;
}

int fastpath_lab_set_cpus(const struct fastpath_lab_cpus *cpus)
{
	cpu_set_t set;

	memcpy(&set, cpus, sizeof(set));
	return sched_setaffinity(0, sizeof(set), &set);
}

static uint64_t microseconds(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

int fastpath_lab_reap(int32_t pid, int milliseconds, int *status, uint64_t *cpu_time)
{
	/* A descriptor of the process becomes readable in the moment it ends (pidfd_open(2)). */
	struct pollfd polled = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	struct rusage usage;
	int result;

	if (polled.fd < 0)
		return -1;
	result = poll(&polled, 1, milliseconds);
	close(polled.fd);
	if (result < 0)
		return errno == EINTR ? 0 : -1;
	result = wait4(pid, status, WNOHANG, &usage);
	if (result <= 0)
		return result;
	*cpu_time = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	return 1;
}

int fastpath_lab_packet_socket(uint32_t ifindex)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex};
	/* Protocol 0: nothing is received. */
	int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return -1;
	if (bind(descriptor, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;

		close(descriptor);
		errno = error;
		return -1;
	}
	return descriptor;
}

int64_t fastpath_lab_send_repeated(int descriptor, const uint8_t *bytes, size_t length, uint32_t count)
{
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
	struct mmsghdr messages[SEND_BATCH];
	uint32_t sent = 0;

	for (int i = 0; i < SEND_BATCH; i++)
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
	while (sent < count) {
		uint32_t left = count - sent;
		int done = sendmmsg(descriptor, messages, left < SEND_BATCH ? left : SEND_BATCH, 0);

		/* A refusal of an earlier datagram (ICMP) is told once and costs nothing. */
		if (done < 0 && (errno == EINTR || errno == ECONNREFUSED))
			continue;
		if (done < 0)
			return sent ? (int64_t)sent : -1;
		sent += (uint32_t)done;
	}
	return sent;
}

int fastpath_lab_set_segment_length(int descriptor, uint16_t length)
{
	int value = length;

	return setsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, &value, sizeof(value));
}

int fastpath_lab_udp_listener(uint16_t port, int bytes)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (descriptor < 0)
		return -1;
	if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    bind(descriptor, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;

		close(descriptor);
		errno = error;
		return -1;
	}
	return descriptor;
}
