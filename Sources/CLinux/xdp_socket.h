/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AF_XDP sockets need of C: straight to the kernel where a library that is
 * preloaded has the C library's name for itself, and macros that Swift cannot read.
 */
#ifndef FASTPATH_XDP_SOCKET_H
#define FASTPATH_XDP_SOCKET_H

#include <errno.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int fastpath_errno(void)
{
	return errno;
}

static inline int fastpath_bind(int fd, const void *address, unsigned int length)
{
	return (int)syscall(SYS_bind, fd, address, length);
}

static inline int fastpath_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

/* mmap(2), readable and writable; NULL where it failed. */
static inline void *fastpath_map(long length, int flags, int fd, long place)
{
	void *memory = mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, flags, fd, place);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Where the rings are in what a socket maps (linux/if_xdp.h). */
static const long fastpath_receive_ring = XDP_PGOFF_RX_RING;
static const long fastpath_transmit_ring = XDP_PGOFF_TX_RING;
static const long fastpath_fill_ring = XDP_UMEM_PGOFF_FILL_RING;
static const long fastpath_completion_ring = XDP_UMEM_PGOFF_COMPLETION_RING;

#endif /* FASTPATH_XDP_SOCKET_H */
