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
#include "frame.h"
#include "parse.h"
#include "policy.h"
#include "sip.h"

/* The reason to drop a datagram whose source is not blocked, or PASSED. */
static __always_inline enum fastpath_reason judge_window(const struct sip_datagram *sip, bool is_short,
							 const __u8 *window, const void *end)
{
	__u64 first_word = sip_first_word(window);

	if (sip_is_options(first_word) && !is_allowed(sip->source))
		return FASTPATH_REASON_OPTIONS_DROPPED;
	if (sip_is_response(first_word))
		return FASTPATH_REASON_PASSED;
	if (is_short)
		return sip_is_register(first_word, window) ? FASTPATH_REASON_MALFORMED
							   : FASTPATH_REASON_PASSED;
	return sip_has_version(window, end) ? FASTPATH_REASON_PASSED : FASTPATH_REASON_MALFORMED;
}

/*
 * Lays the window out in a copy, where it does not lie whole in the first
 * buffer: the payload is short, or the frame holds less than its headers claim,
 * or the rest is in a later buffer. Mends the payload's length by what the frame
 * holds. NULL where there is nothing to look at: too short for a method and a
 * blank, or bytes that cannot be read. What cannot be seen is never called
 * malformed.
 */
static __always_inline struct window_copy *copy_window(struct xdp_md *ctx, struct sip_datagram *sip)
{
	struct window_copy *copy;
	__u32 key = 0, length;
	__s64 left;

	if (sip->payload_length < SIP_SHORTEST)
		return NULL;
	left = frame_length(ctx) - sip->payload_offset;
	if (sip->payload_length > left)
		sip->payload_length = left;
	if (sip->payload_length < SIP_SHORTEST)
		return NULL;
	copy = bpf_map_lookup_elem(&window_copies, &key);
	if (!copy)
		return NULL;
	__builtin_memset(copy, 0, sizeof(*copy));
	length = sip->payload_length < FASTPATH_WINDOW_LENGTH ? sip->payload_length : FASTPATH_WINDOW_LENGTH;
	return frame_copy(ctx, sip->payload_offset, copy->bytes, length) ? copy : NULL;
}

/* The reason to drop the datagram, or PASSED. */
static __always_inline enum fastpath_reason judge(struct xdp_md *ctx, struct sip_datagram *sip)
{
	const __u8 *window, *end;
	bool is_short = false;

	if (is_blocked(sip->source))
		return FASTPATH_REASON_BLOCKED;

	window = (const __u8 *)(long)ctx->data + sip->payload_offset;
	end = (const __u8 *)(long)ctx->data_end;
	if (sip->payload_length >= FASTPATH_WINDOW_LENGTH && window + FASTPATH_WINDOW_LENGTH <= end) {
		/* Nearly every packet: all of the window in place. */
	} else if (sip->payload_length > SIP_SHORTEST && sip->payload_length < FASTPATH_SHORT_PAYLOAD &&
		   window + SIP_SHORTEST + 1 <= end) {
		/* All that is read of a short payload in place: "REGISTER " is the longest it is compared
		 * with. */
		is_short = true;
	} else {
		const struct window_copy *copy = copy_window(ctx, sip);

		if (!copy)
			return FASTPATH_REASON_PASSED;
		window = copy->bytes;
		end = (const __u8 *)(copy + 1);
		is_short = sip->payload_length < FASTPATH_SHORT_PAYLOAD;
	}
	return judge_window(sip, is_short, window, end);
}

SEC(FASTPATH_PROGRAM_SECTION)
int sip_xdp_prog(struct xdp_md *ctx)
{
	enum fastpath_reason reason;
	struct sip_datagram sip;
	int action = XDP_DROP;
	__u32 counter;
	__u64 *packets;

	if (!parse_sip_datagram(ctx, &sip))
		return XDP_PASS; /* not counted: FASTPATH_REASON_IGNORED */

	reason = judge(ctx, &sip);
	if (reason == FASTPATH_REASON_PASSED) {
		__u32 queue = ctx->rx_queue_index;

		action = XDP_PASS;
		/* A slot may empty between the two calls: the helper then answers with its last argument. */
		if (bpf_map_lookup_elem(&xsks_map, &queue))
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

char LICENSE[] SEC("license") = "GPL";
