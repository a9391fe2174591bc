/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the place of build/vmlinux.h, for a host's compiler: the kernel's types as
 * far as the packet program knows them. A context has pointers, not 32 bits
 * that the verifier makes pointers of.
 */
#ifndef FASTPATH_FUZZ_VMLINUX_H
#define FASTPATH_FUZZ_VMLINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define xdp_md xdp_md_of_the_kernel
#include <linux/bpf.h>
#undef xdp_md
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

struct xdp_md {
	unsigned long data;
	unsigned long data_end;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
};

#endif /* FASTPATH_FUZZ_VMLINUX_H */
