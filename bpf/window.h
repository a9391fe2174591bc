/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The first bytes of a payload, as many as the rules read, wherever the driver put them. */
#ifndef FASTPATH_WINDOW_H
#define FASTPATH_WINDOW_H

/* The first FASTPATH_WINDOW_LENGTH bytes of a payload; a shorter one is followed by zeros. */
struct window {
	const __u8 *bytes;
	const void *end; /* of readable memory, at or behind the window's */
	bool is_short;	 /* below FASTPATH_SHORT_PAYLOAD: only the first nine bytes can be read */
};

enum opened {
	OPENED,
	OPENED_TOO_SHORT, /* nothing to look at: no room for a method and a blank */
	OPENED_UNSEEN,	  /* the payload cannot be read */
};

/* Mends the payload's length by what the frame holds; false where it is too short for a method and a blank.
 */
static __always_inline bool mend_length(struct xdp_md *ctx, struct sip_datagram *sip)
{
	__s64 left;

	if (sip->payload_length < SIP_SHORTEST)
		return false;
	left = frame_length(ctx) - sip->payload_offset;
	if (sip->payload_length > left)
		sip->payload_length = left;
	return sip->payload_length >= SIP_SHORTEST;
}

/* This CPU's copy of a window or a first line. */
static __always_inline struct line_copy *line_copy(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&line_copies, &key);
}

/*
 * Lays the window out in a copy, where it does not lie whole in the first
 * buffer: the payload is short, or the frame holds less than its headers claim,
 * or the rest is in a later buffer.
 */
static __always_inline enum opened copy_window(struct xdp_md *ctx, struct sip_datagram *sip,
					       struct window *window)
{
	struct line_copy *copy;
	__u32 length;

	if (!mend_length(ctx, sip))
		return OPENED_TOO_SHORT;
	copy = line_copy();
	if (!copy)
		return OPENED_UNSEEN;
	__builtin_memset(copy->window, 0, sizeof(copy->window));
	length = sip->payload_length < FASTPATH_WINDOW_LENGTH ? sip->payload_length : FASTPATH_WINDOW_LENGTH;
	if (!frame_copy(ctx, sip->payload_offset, copy->window, length, FASTPATH_WINDOW_LENGTH))
		return OPENED_UNSEEN;
	window->bytes = copy->window;
	window->end = copy->window + sizeof(copy->window);
	window->is_short = sip->payload_length < FASTPATH_SHORT_PAYLOAD;
	return OPENED;
}

/* Lies all that is read of it in the first buffer? Then the window is open. */
static __always_inline bool opens_in_place(struct xdp_md *ctx, __u64 on, const struct sip_datagram *sip,
					   struct window *window)
{
	window->bytes = (const __u8 *)(long)ctx->data + sip->payload_offset;
	window->end = (const void *)(long)ctx->data_end;
	window->is_short = __builtin_constant_p(on) ? false : opaque(false);
	/* Nearly every packet: all of the window in place. */
	if (sip->payload_length >= FASTPATH_WINDOW_LENGTH &&
	    (const void *)(window->bytes + FASTPATH_WINDOW_LENGTH) <= window->end)
		return true;
	/* All that is read of a short payload in place: "REGISTER " is the longest it is compared with. */
	if (sip->payload_length > SIP_SHORTEST && sip->payload_length < FASTPATH_SHORT_PAYLOAD &&
	    (const void *)(window->bytes + SIP_SHORTEST + 1) <= window->end) {
		window->is_short = __builtin_constant_p(on) ? true : opaque(true);
		return true;
	}
	return false;
}

static __always_inline enum opened open_window(struct xdp_md *ctx, __u64 on, struct sip_datagram *sip,
					       struct window *window)
{
	return opens_in_place(ctx, on, sip, window) ? OPENED : copy_window(ctx, sip, window);
}

#endif /* FASTPATH_WINDOW_H */
