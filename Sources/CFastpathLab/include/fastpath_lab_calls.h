/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and constants for the lab that the Glibc module does not bring. fastpath_lab_receive.h has more. */
#ifndef FASTPATH_LAB_CALLS_H
#define FASTPATH_LAB_CALLS_H

#include <stddef.h>
#include <stdint.h>

/* Pins the calling thread to one CPU. 0, or -1 with errno set (EINVAL: no such CPU). */
int fastpath_lab_pin_thread(uint32_t cpu);

/* The CPUs of the calling thread, as many bytes as a cpu_set_t has. */
struct fastpath_lab_cpus {
	uint64_t words[16];
};

/* Reads the CPUs that the calling thread may run on. 0, or -1 with errno set. */
int fastpath_lab_get_cpus(struct fastpath_lab_cpus *cpus);

/* Sets them again. 0, or -1 with errno set. */
int fastpath_lab_set_cpus(const struct fastpath_lab_cpus *cpus);

/*
 * Waits until a child ends, at most `milliseconds`, and reaps it. 1 with its
 * status (wait(2)) and the CPU time of its user and system part in
 * microseconds; 0 where it still runs; -1 with errno set.
 */
int fastpath_lab_reap(int32_t pid, int milliseconds, int *status, uint64_t *cpu_time);

/*
 * A socket that sends whole Ethernet frames out of an interface of the calling
 * thread's network namespace and receives nothing (packet(7)). A descriptor, or
 * -1 with errno set.
 */
int fastpath_lab_packet_socket(uint32_t ifindex);

/*
 * Sends the same datagram `count` times over a connected socket, with as few
 * system calls as sendmmsg(2) allows. How many were sent, or -1 with errno set
 * where not even one was.
 */
int64_t fastpath_lab_send_repeated(int descriptor, const uint8_t *bytes, size_t length, uint32_t count);

/*
 * Sends on this UDP socket are cut into datagrams of `length` bytes
 * (UDP_SEGMENT, udp(7)); 0 ends it. 0, or -1 with errno set.
 */
int fastpath_lab_set_segment_length(int descriptor, uint16_t length);

/*
 * A UDP socket that listens on `port` (host byte order) of all addresses and has room for `bytes`, as root
 * beyond net.core.rmem_max. A descriptor, or -1 with errno set.
 */
int fastpath_lab_udp_listener(uint16_t port, int bytes);

#endif
