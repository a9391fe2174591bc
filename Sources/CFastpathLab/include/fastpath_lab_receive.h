/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that receive and count, for the bench: what a loop costs in C, by the means that there are. */
#ifndef FASTPATH_LAB_RECEIVE_H
#define FASTPATH_LAB_RECEIVE_H

#include <stddef.h>
#include <stdint.h>

/* What one worker has done so far, in memory that it shares with whoever looks. */
struct fastpath_lab_worker {
	uint64_t packets;
	uint64_t bytes; /* of payload */
	int32_t thread; /* its number (gettid(2)), when it is about to receive; 0 before */
	uint8_t padding[44];
};

_Static_assert(sizeof(struct fastpath_lab_worker) == 64, "a line of the cache each");

/* Pages of zeros in a file, shared by all who map it. NULL with errno set. */
void *fastpath_lab_share(const char *path, size_t length);

/* Notes the calling thread's number. */
void fastpath_lab_announce(struct fastpath_lab_worker *worker);

/*
 * Binds a UDP socket to `port` (host byte order) of all addresses, forks until there are `count` workers, and
 * has each receive from that one socket, as SIP servers do: `batch` 0 by recvfrom(2), else by recvmmsg(2), so
 * many datagrams a call at most. Does not come back; children end with their parent. -1 with errno set where
 * it cannot begin.
 */
int fastpath_lab_serve(uint16_t port, int room, uint32_t batch, struct fastpath_lab_worker *workers,
		       uint32_t count);

/* An AF_XDP socket of the C loop: opaque. */
struct fastpath_lab_ring;

/*
 * Opens one and binds it to a receive queue of an interface, with `size` frames of 2048 bytes for the kernel.
 * NULL with errno set.
 */
struct fastpath_lab_ring *fastpath_lab_ring_open(uint32_t ifindex, uint32_t queue, uint32_t size);

int fastpath_lab_ring_descriptor(const struct fastpath_lab_ring *ring);

/*
 * Receives from `count` sockets, at most FASTPATH_LAB_RING_LIMIT: the loop of FastpathAFXDP's Receiver,
 * written in C. Headers are read, checksums verified, frames given back, `beats` (one for each socket, where
 * the packet program looks; an entry may be NULL) kept alive. Does not come back.
 */
void fastpath_lab_ring_receive(struct fastpath_lab_ring *const *rings, volatile uint64_t *const *beats,
			       uint32_t count, struct fastpath_lab_worker *worker);

#define FASTPATH_LAB_RING_LIMIT 16

/*
 * Sends `frames`, `count` of them of `length` bytes each, one behind the other in memory, from number `first`
 * on, round and round until `total` are sent. How many were sent, or -1 with errno set.
 */
int64_t fastpath_lab_send_frames(int descriptor, const uint8_t *frames, uint32_t length, uint32_t count,
				 uint32_t first, uint32_t total);

#endif
