/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "fastpath_lab_calls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/socket.h>
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
