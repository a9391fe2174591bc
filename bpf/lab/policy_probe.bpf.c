// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Questions to the policy table, for tests and for the bench, and the same
 * questions to the kernel's hash and LPM trie.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fastpath_lab.h"
#include "fastpath_policy.h"
#include "policy_table.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FASTPATH_PROBE_COUNT);
	__type(key, __u32);
	__type(value, struct fastpath_probe_source);
} probe_sources SEC(".maps");

/* Key 0: what the sweeps found. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fastpath_probe_result);
} probe_result SEC(".maps");

/* The bench sizes and fills them. Keys as in the packet; the trie's are struct bpf_lpm_trie_key. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8);
} probe_hash SEC(".maps");

struct probe_trie_key {
	__u32 length;
	__u32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct probe_trie_key);
	__type(value, __u8);
} probe_trie SEC(".maps");

/* Is the packet dropped as blocked? */
static __always_inline bool is_blocked(const struct policy_answer *answer)
{
	return (answer->kinds & (FASTPATH_POLICY_BLOCK | FASTPATH_POLICY_TRUST)) == FASTPATH_POLICY_BLOCK;
}

/* Answers with the kinds for the frame's source, and counts a hit as the edge does. */
SEC("xdp")
int policy_probe(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct ipv6hdr *ip6 = (void *)(ethernet + 1);
	struct policy_answer answer;

	if ((void *)(ip + 1) > end)
		return FASTPATH_PROBE_NO_SOURCE;
	if (ethernet->h_proto == bpf_htons(ETHERTYPE_IPV4)) {
		answer = policy_look_up4(bpf_ntohl(ip->saddr));
	} else {
		__u64 high, low;

		if (ethernet->h_proto != bpf_htons(ETHERTYPE_IPV6) || (void *)(ip6 + 1) > end)
			return FASTPATH_PROBE_NO_SOURCE;
		high = (__u64)bpf_ntohl(ip6->saddr.in6_u.u6_addr32[0]) << 32 |
		       bpf_ntohl(ip6->saddr.in6_u.u6_addr32[1]);
		low = (__u64)bpf_ntohl(ip6->saddr.in6_u.u6_addr32[2]) << 32 |
		      bpf_ntohl(ip6->saddr.in6_u.u6_addr32[3]);
		answer = policy_look_up6(high, low);
	}
	if (is_blocked(&answer))
		policy_count_hit(answer.record);
	return answer.kinds;
}

/* Marsaglia's xorshift64; threads may take the same number twice. */
static __u64 random_state = 88172645463325252ULL;

/* A source taken at random, another one each time: caches and branch predictor learn nothing by heart. */
static __always_inline const struct fastpath_probe_source *next_source(void)
{
	__u64 x = *(volatile __u64 *)&random_state;
	const struct fastpath_probe_result *result;
	__u32 index = 0;

	result = bpf_map_lookup_elem(&probe_result, &index);
	if (!result)
		return NULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*(volatile __u64 *)&random_state = x;
	index = (x >> 20) & result->mask;
	return bpf_map_lookup_elem(&probe_sources, &index);
}

/* Counts answers that are none of those allowed. */
static __always_inline int compare(const struct fastpath_probe_source *source, __u32 kinds)
{
	struct fastpath_probe_result *result;
	__u32 key = 0;

	if ((kinds & ~source->may) == 0 && (kinds & source->must) == source->must)
		return kinds;
	result = bpf_map_lookup_elem(&probe_result, &key);
	if (result) {
		__sync_fetch_and_add(&result->wrong, 1);
		result->kinds = kinds;
		result->high = source->high;
		result->low = source->low;
	}
	return kinds;
}

/* All that the others do, but the look-up. */
SEC("xdp")
int policy_sweep_none(struct xdp_md *ctx __attribute__((unused)))
{
	const struct fastpath_probe_source *source = next_source();
	__u32 kinds;

	if (!source)
		return FASTPATH_PROBE_NO_SOURCE;
	kinds = source->must;
	asm volatile("" : "+r"(kinds) : "r"(source->low));
	return compare(source, kinds);
}

SEC("xdp")
int policy_sweep4(struct xdp_md *ctx __attribute__((unused)))
{
	const struct fastpath_probe_source *source = next_source();
	struct policy_answer answer;

	if (!source)
		return FASTPATH_PROBE_NO_SOURCE;
	answer = policy_look_up4(source->low);
	if (is_blocked(&answer))
		policy_count_hit(answer.record);
	return compare(source, answer.kinds);
}

SEC("xdp")
int policy_sweep6(struct xdp_md *ctx __attribute__((unused)))
{
	const struct fastpath_probe_source *source = next_source();
	struct policy_answer answer;

	if (!source)
		return FASTPATH_PROBE_NO_SOURCE;
	answer = policy_look_up6(source->high, source->low);
	if (is_blocked(&answer))
		policy_count_hit(answer.record);
	return compare(source, answer.kinds);
}

SEC("xdp")
int policy_sweep_hash(struct xdp_md *ctx __attribute__((unused)))
{
	const struct fastpath_probe_source *source = next_source();
	__u32 key;

	if (!source)
		return FASTPATH_PROBE_NO_SOURCE;
	key = bpf_htonl(source->low);
	return compare(source, bpf_map_lookup_elem(&probe_hash, &key) ? FASTPATH_POLICY_BLOCK : 0);
}

SEC("xdp")
int policy_sweep_trie(struct xdp_md *ctx __attribute__((unused)))
{
	const struct fastpath_probe_source *source = next_source();
	struct probe_trie_key key = {.length = 32};

	if (!source)
		return FASTPATH_PROBE_NO_SOURCE;
	key.address = bpf_htonl(source->low);
	return compare(source, bpf_map_lookup_elem(&probe_trie, &key) ? FASTPATH_POLICY_BLOCK : 0);
}

char LICENSE[] SEC("license") = "GPL";
