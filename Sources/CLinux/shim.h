/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel interfaces that the Glibc module does not bring. */
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "xdp_socket.h"

/* sched.h, string.h: declared there for _GNU_SOURCE only, which a module cannot set. */
int setns(int fd, int nstype);
int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *cpus);
const char *strerrorname_np(int errnum);
