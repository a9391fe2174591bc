// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * The SIP edge: what becomes of a packet, decided where it enters the machine.
 * The steps stand in the order of the contract (specs/SPEC-BPF.md).
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fastpath_abi.h"
#include "fastpath_policy.h"
#include "datagram.h"
#include "maps.h"
#include "settings.h"
#include "frame.h"
#include "policy_table.h"
#include "policy.h"
#include "ratelimit.h"
#include "notes.h"
#include "sip.h"
#include "window.h"
#include "first_line.h"
#include "consumer.h"
#include "judge.h"
#include "parse.h"

/* Everything that is counted goes out here. */
static __always_inline int answer(struct xdp_md *ctx, __u64 on, enum fastpath_reason reason)
{
	__u32 counter = reason, would_be = FASTPATH_REASON_IGNORED;
	__u64 *packets;

	if (IS_ON(on, DRY_RUN))
		would_be = finish_notes(ctx);
	if (reason == FASTPATH_REASON_IGNORED)
		return XDP_PASS;
	packets = bpf_map_lookup_elem(&xdp_counters, &counter);
	if (packets)
		*packets += 1;
	if (IS_ON(on, EVENTS))
		sample_decision(ctx, reason, would_be);
	if (reason == FASTPATH_REASON_PASSED)
		return XDP_PASS;
	return reason == FASTPATH_REASON_REDIRECTED ? XDP_REDIRECT : XDP_DROP;
}

/* What becomes of a packet with these switches on. */
static __always_inline int judge(struct xdp_md *ctx, __u64 on)
{
	begin_notes(on);
	return answer(ctx, on, judge_frame(ctx, on));
}

#define EVERY_SWITCH ((1 << FASTPATH_FROZEN_MAPS) - 1)
#define FROZEN	     FASTPATH_SWITCH_FROZEN_MAPS
#define LIMITS	     FASTPATH_SWITCH_LIMITS

/*
 * The same program several times: where the compiler knows the switches, not the
 * verifier alone, a packet is a quarter faster. The verifier leaves one of them.
 */
SEC(FASTPATH_PROGRAM_SECTION)
int sip_xdp_prog(struct xdp_md *ctx)
{
	__u64 on = settings.switches;

	switch (on) {
	case 0:
		return judge(ctx, 0);
	case EVERY_SWITCH:
		return judge(ctx, EVERY_SWITCH);
	case EVERY_SWITCH | FROZEN:
		return judge(ctx, EVERY_SWITCH | FROZEN);
	case EVERY_SWITCH | LIMITS:
		return judge(ctx, EVERY_SWITCH | LIMITS);
	case EVERY_SWITCH | FROZEN | LIMITS:
		return judge(ctx, EVERY_SWITCH | FROZEN | LIMITS);
	default:
		return judge(ctx, on);
	}
}

char LICENSE[] SEC("license") = "GPL";
