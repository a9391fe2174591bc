// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * The floor under any filter that keeps its sources in a hash map: find the
 * UDP header, compare the port, look the source up once, drop.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fastpath_abi.h"

#define ETHERTYPE_IPV4 0x0800

/* As large as the edge's list, and as empty or full as the bench makes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u8);
	__uint(max_entries, FASTPATH_BLOCKED_ENTRIES);
} floor_sources SEC(".maps");

SEC("xdp")
int floor_drop(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp;
	__u32 source;

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETHERTYPE_IPV4))
		return XDP_PASS;
	if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	udp = (void *)ip + ip->ihl * 4;
	if ((void *)(udp + 1) > end || udp->dest != bpf_htons(FASTPATH_SIP_PORT))
		return XDP_PASS;

	source = ip->saddr;
	/* The barrier keeps the look-up: both ways lead to the same verdict. */
	if (bpf_map_lookup_elem(&floor_sources, &source))
		asm volatile("");
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
