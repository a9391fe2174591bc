// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * Mixed traffic for BPF_PROG_TEST_RUN, which else repeats one frame and lets
 * the branch predictor learn it by heart: each run overwrites the frame's head
 * with a template taken at random and tail-calls the program under test.
 * Its own cost is measured with an empty program as the target.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "fastpath_lab.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct fastpath_mix_template);
	__uint(max_entries, FASTPATH_MIX_COUNT);
} mix_templates SEC(".maps");

/* Key 0: the program under test. User space writes. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} mix_target SEC(".maps");

/* Marsaglia's xorshift64: the same sequence in every run, too long for a branch predictor. */
static __u64 state = 88172645463325252ULL;

SEC("xdp")
int mix(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct fastpath_mix_template *head = (void *)(long)ctx->data;
	const struct fastpath_mix_template *chosen;
	__u64 x = state;
	__u32 index;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	state = x;
	index = (x >> 20) & (FASTPATH_MIX_COUNT - 1);

	chosen = bpf_map_lookup_elem(&mix_templates, &index);
	if (!chosen || (void *)(head + 1) > end)
		return XDP_ABORTED;
#pragma clang loop unroll(full)
	for (int i = 0; i < FASTPATH_MIX_LENGTH / 8; i++)
		head->words[i] = chosen->words[i];
	bpf_tail_call(ctx, &mix_target, 0);
	return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
