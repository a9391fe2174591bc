/* SPDX-License-Identifier: Apache-2.0 */
/* The C library and the kernel for the preload library, which has no overlay of Swift's for them. */
#ifndef FASTPATH_PRELOAD_H
#define FASTPATH_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <time.h>

#include "../../CLinux/xdp_socket.h"

/* The next function of that name behind the preload library. */
void *fastpath_next(const char *name);

/* Mutexes that processes share and that outlive their owners: pthread_mutex_*(3). */
int fastpath_lock_make(pthread_mutex_t *lock);
int fastpath_lock_try(pthread_mutex_t *lock);
/* `until`: of the monotonic clock. */
int fastpath_lock_wait(pthread_mutex_t *lock, const struct timespec *until);
int fastpath_lock_mend(pthread_mutex_t *lock);

static inline void fastpath_set_errno(int code)
{
	errno = code;
}

static inline long fastpath_bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

/* Variadic, or with a union for its argument: Swift cannot call these. */
static inline int fastpath_append_to(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
}

static inline long fastpath_send_to(int fd, const void *bytes, size_t count, const void *address,
				    socklen_t length)
{
	return syscall(SYS_sendto, fd, bytes, count, MSG_DONTWAIT, address, length);
}

static inline int fastpath_name_of(int fd, void *address, socklen_t *length)
{
	return getsockname(fd, (struct sockaddr *)address, length);
}

/* The object pinned at `path`, or -1. */
static inline int fastpath_pinned(const char *path)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.pathname = (unsigned long)path;
	return (int)fastpath_bpf(BPF_OBJ_GET, &attributes);
}

/* Bytes of a map's value, or 0. */
static inline unsigned int fastpath_map_size(int fd, unsigned int *entries)
{
	struct bpf_map_info info;
	union bpf_attr attributes;

	memset(&info, 0, sizeof(info));
	memset(&attributes, 0, sizeof(attributes));
	attributes.info.bpf_fd = (unsigned int)fd;
	attributes.info.info_len = sizeof(info);
	attributes.info.info = (unsigned long)&info;
	if (fastpath_bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes))
		return 0;
	*entries = info.max_entries;
	return info.value_size;
}

/* 0, or -1 with errno: EEXIST where the slot has a living socket. */
static inline int fastpath_publish(int map, unsigned int queue, int socket)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.map_fd = (unsigned int)map;
	attributes.key = (unsigned long)&queue;
	attributes.value = (unsigned long)&socket;
	attributes.flags = BPF_NOEXIST;
	return (int)fastpath_bpf(BPF_MAP_UPDATE_ELEM, &attributes);
}

/* The network namespace's cookie, by a socket of it; 0 before Linux 5.14. */
static inline unsigned long long fastpath_namespace(int socket)
{
	unsigned long long cookie = 0;
	socklen_t length = sizeof(cookie);

	getsockopt(socket, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &length);
	return cookie;
}

/* Asks an interface's driver; not 0 where it does not answer. `command`: of <linux/ethtool.h>. */
static inline int fastpath_ethtool(const char *interface, void *command)
{
	struct ifreq request;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int code;

	memset(&request, 0, sizeof(request));
	strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
	request.ifr_data = command;
	code = (int)syscall(SYS_ioctl, fd, SIOCETHTOOL, &request);
	fastpath_close(fd);
	return code;
}

/* Receive queues in use (ethtool -l); 0 where the driver does not tell. */
static inline unsigned int fastpath_receive_queues(const char *interface)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	return fastpath_ethtool(interface, &channels) ? 0 : channels.rx_count + channels.combined_count;
}

/* Does it take VLAN tags off the frames that it receives (rxvlan, ethtool -k)? */
static inline int fastpath_hides_tags(const char *interface)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};

	return !fastpath_ethtool(interface, &flags) && (flags.data & ETH_FLAG_RXVLAN);
}

/* An rtnetlink socket that hears of these groups (a bit for each), or -1. */
static inline int fastpath_netlink(unsigned int groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && fastpath_bind(fd, &address, sizeof(address))) {
		fastpath_close(fd);
		return -1;
	}
	return fd;
}

static inline long fastpath_send(int fd, const void *bytes, size_t count)
{
	return syscall(SYS_sendto, fd, bytes, count, MSG_DONTWAIT, NULL, 0);
}

/* An Ethernet interface's MTU and its six bytes of address. 0, or -1: `any` is a socket of whatever kind. */
static inline int fastpath_link(int any, unsigned int interface, unsigned int *mtu, void *address)
{
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	if (!if_indextoname(interface, request.ifr_name))
		return -1;
	if (syscall(SYS_ioctl, any, SIOCGIFMTU, &request))
		return -1;
	*mtu = (unsigned int)request.ifr_mtu;
	if (syscall(SYS_ioctl, any, SIOCGIFHWADDR, &request) ||
	    request.ifr_hwaddr.sa_family != 1 /* ARPHRD_ETHER */)
		return -1;
	memcpy(address, request.ifr_hwaddr.sa_data, 6);
	return 0;
}

/* A moment for the other thread of the core. */
static inline void fastpath_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* glibc has it from 2.35 on, Linux from 5.11. The kernel's signal set is eight bytes. */
static inline int fastpath_epoll_pwait2(int epoll, struct epoll_event *events, int limit,
					const struct timespec *timeout, const sigset_t *mask)
{
	return (int)syscall(SYS_epoll_pwait2, epoll, events, limit, timeout, mask, 8);
}

/* Does the handler of this signal end calls that wait (no SA_RESTART)? */
static inline int fastpath_interrupts(int number)
{
	struct sigaction action;

	return !sigaction(number, NULL, &action) && action.sa_handler != SIG_DFL &&
	       action.sa_handler != SIG_IGN && !(action.sa_flags & SA_RESTART);
}

/* Macros with casts. */
static inline int fastpath_fd_isset(int fd, const fd_set *set)
{
	return FD_ISSET(fd, set);
}

static inline void fastpath_fd_set(int fd, fd_set *set)
{
	FD_SET(fd, set);
}

static inline void fastpath_fd_zero(fd_set *set)
{
	FD_ZERO(set);
}

static inline size_t fastpath_control_space(size_t length)
{
	return CMSG_SPACE(length);
}

static inline size_t fastpath_control_length(size_t length)
{
	return CMSG_LEN(length);
}

static inline void *fastpath_control_data(struct cmsghdr *control)
{
	return CMSG_DATA(control);
}

#endif /* FASTPATH_PRELOAD_H */
