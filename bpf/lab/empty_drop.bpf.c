// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* The yardstick's zero: what it costs to run any program at all. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp")
int empty_drop(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
