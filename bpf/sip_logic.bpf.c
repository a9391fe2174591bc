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

/*
 * The first bytes of the payload: in place, or copied to `copy` where a part
 * of them lies behind the first buffer. False where they cannot be read: what
 * cannot be seen is never called malformed.
 */
static __always_inline bool open_window(struct xdp_md *ctx, const struct sip_datagram *sip,
					__u8 copy[FASTPATH_WINDOW_LENGTH], struct sip_window *window)
{
	__u32 length = sip->payload_length, whole;

	if (length > FASTPATH_WINDOW_LENGTH)
		length = FASTPATH_WINDOW_LENGTH;
	window->bytes = (const __u8 *)(long)ctx->data + sip->payload_offset;
	window->end = (const __u8 *)(long)ctx->data_end;
	window->length = length;
	window->copied = false;
	if (window->bytes + length <= window->end)
		return true;

	/* Either the frame holds less than its headers claim, or the rest is in a later buffer. */
	whole = frame_length(ctx);
	if (length > whole - sip->payload_offset)
		length = whole - sip->payload_offset;
	window->length = length;
	if (window->bytes + length <= window->end)
		return true;

	__builtin_memset(copy, 0, FASTPATH_WINDOW_LENGTH);
	window->bytes = copy;
	window->end = copy + FASTPATH_WINDOW_LENGTH;
	window->copied = true;
	return HAS_SEVERAL_BUFFERS && length >= 1 && length <= FASTPATH_WINDOW_LENGTH &&
	       bpf_xdp_load_bytes(ctx, sip->payload_offset, copy, length) == 0;
}

/* The reason to drop the datagram, or PASSED. */
static __always_inline enum fastpath_reason judge(struct xdp_md *ctx, const struct sip_datagram *sip)
{
	__u8 copy[FASTPATH_WINDOW_LENGTH] __attribute__((aligned(8)));
	struct sip_window window;
	__u64 first_word;

	if (is_blocked(sip->source))
		return FASTPATH_REASON_BLOCKED;
	if (!open_window(ctx, sip, copy, &window))
		return FASTPATH_REASON_PASSED;

	first_word = sip_first_word(&window);
	if (sip_is_options(first_word) && !is_allowed(sip->source))
		return FASTPATH_REASON_OPTIONS_DROPPED;
	if (sip_is_response(first_word))
		return FASTPATH_REASON_PASSED;
	if (window.length >= FASTPATH_SHORT_PAYLOAD)
		return sip_has_version(&window) ? FASTPATH_REASON_PASSED : FASTPATH_REASON_MALFORMED;
	if (sip_is_register(first_word, &window))
		return FASTPATH_REASON_MALFORMED;
	return FASTPATH_REASON_PASSED;
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
