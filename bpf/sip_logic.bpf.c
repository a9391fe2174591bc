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
#include "maps.h"
#include "settings.h"
#include "frame.h"
#include "parse.h"
#include "policy.h"
#include "sip.h"
#include "window.h"
#include "first_line.h"
#include "judge.h"

/* The reason for what becomes of a frame, but that a redirect may follow PASSED; IGNORED: not counted. */
static __always_inline enum fastpath_reason judge_frame(struct xdp_md *ctx, __u64 on, struct sip_datagram *sip)
{
	switch (parse_frame(ctx, on, sip)) {
	case PARSED_DATAGRAM:
		return judge(ctx, on, sip);
	case PARSED_FRAGMENT:
		return IS_ON(on, FRAGMENTS) && is_blocked(sip) ? FASTPATH_REASON_BLOCKED
							       : FASTPATH_REASON_IGNORED;
	case PARSED_EXCESSIVE:
		if (is_blocked(sip))
			return FASTPATH_REASON_BLOCKED;
		return IS_ON(on, EVASION) ? FASTPATH_REASON_MALFORMED : FASTPATH_REASON_IGNORED;
	default:
		return FASTPATH_REASON_IGNORED;
	}
}

static __always_inline int filter(struct xdp_md *ctx, __u64 on)
{
	enum fastpath_reason reason;
	struct sip_datagram sip = {};
	int action = XDP_DROP;
	__u32 counter;
	__u64 *packets;

	reason = judge_frame(ctx, on, &sip);
	if (reason == FASTPATH_REASON_IGNORED)
		return XDP_PASS;
	if (reason == FASTPATH_REASON_PASSED) {
		__u32 queue = ctx->rx_queue_index;

		action = XDP_PASS;
		/* A slot may empty between the two calls: the helper then answers with its last argument.
		 * A fragment waits for the others in the kernel. */
		if (!(IS_ON(on, FRAGMENTS) && sip.is_fragment) && bpf_map_lookup_elem(&xsks_map, &queue))
			action = bpf_redirect_map(&xsks_map, queue, XDP_PASS);
		if (action == XDP_REDIRECT)
			reason = FASTPATH_REASON_REDIRECTED;
	}

	counter = reason;
	packets = bpf_map_lookup_elem(&xdp_counters, &counter);
	if (packets)
		*packets += 1;
	return action;
}

SEC(FASTPATH_PROGRAM_SECTION)
int sip_xdp_prog(struct xdp_md *ctx)
{
	__u64 on = settings.switches;

	/* In the second place the compiler knows that all are off. */
	return on ? filter(ctx, on) : filter(ctx, 0);
}

char LICENSE[] SEC("license") = "GPL";
