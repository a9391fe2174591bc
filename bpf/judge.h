/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What a datagram says, and the rule that it meets. */
#ifndef FASTPATH_JUDGE_H
#define FASTPATH_JUDGE_H

/* STUN (RFC 8489 section 5): two zero bits, a type, a length without this header, the magic cookie. */
#define STUN_HEADER_LENGTH 20
#define STUN_MAGIC_COOKIE  0x2112a442

/* CR, LF, SP, TAB and NUL: what servers skip before a start line, and what keepalives are made of. */
static __always_inline bool is_blank(__u8 byte)
{
	const __u64 blanks = 1ULL << '\r' | 1ULL << '\n' | 1ULL << ' ' | 1ULL << '\t' | 1ULL << 0;

	return byte < 64 && blanks >> byte & 1;
}

/*
 * How many blanks a payload of `length` bytes begins with, at most
 * FASTPATH_BLANK_LIMIT + 1. 0 where it cannot be read.
 */
ON_ITS_OWN int count_blanks(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct line_copy *copy = line_copy();
	__u32 count;

	if (length > FASTPATH_BLANK_LIMIT + 1)
		length = FASTPATH_BLANK_LIMIT + 1;
	if (!copy || offset > LARGEST_OFFSET ||
	    !frame_copy(ctx, offset, copy->bytes, length, FASTPATH_BLANK_LIMIT + 1))
		return 0;
#pragma clang loop unroll(disable)
	for (count = 0; count < FASTPATH_BLANK_LIMIT + 1; count++)
		if (count >= length || !is_blank(copy->bytes[count]))
			break;
	return count;
}

static __always_inline bool is_stun(struct xdp_md *ctx, struct sip_datagram *sip, const struct window *window)
{
	const __u8 *bytes = window->bytes;

	if (window->is_short || bytes[0] & 0xc0 ||
	    *(const __be32 *)(bytes + 4) != bpf_htonl(STUN_MAGIC_COOKIE))
		return false;
	mend_length(ctx, sip);
	return bpf_ntohs(*(const __be16 *)(bytes + 2)) == sip->payload_length - STUN_HEADER_LENGTH;
}

/* The reason to drop what is malformed, or PASSED. */
static __always_inline enum fastpath_reason malformed(__u64 on)
{
	return drops(on, FASTPATH_REASON_MALFORMED) ? FASTPATH_REASON_MALFORMED : FASTPATH_REASON_PASSED;
}

static __always_inline enum fastpath_class class_of(__u64 first_word, const __u8 *window, bool loosely)
{
	if (sip_is_register(first_word, window, loosely))
		return FASTPATH_CLASS_REGISTER;
	return sip_is_invite(first_word, loosely) ? FASTPATH_CLASS_INVITE : FASTPATH_CLASS_OTHER;
}

/* The reason to drop what the window shows, or PASSED. */
static __always_inline enum fastpath_reason
judge_window(struct xdp_md *ctx, __u64 on, struct sip_datagram *sip, const struct window *window)
{
	__u64 first_word = sip_first_word(window->bytes);
	bool loosely = IS_ON(on, EVASION);

	if (sip_is_options(first_word, loosely) && !is_allowed(on, sip) &&
	    drops(on, FASTPATH_REASON_OPTIONS_DROPPED))
		return FASTPATH_REASON_OPTIONS_DROPPED;
	if (IS_ON(on, VERSIONS) ? is_any_version(window->bytes) : sip_is_response(first_word)) {
		sip->class = FASTPATH_CLASS_EXEMPT;
		return FASTPATH_REASON_PASSED;
	}
	if (IS_ON(on, LIMITS))
		sip->class = forget(class_of(first_word, window->bytes, loosely), first_word);
	if (window->is_short ? !sip_is_register(first_word, window->bytes, loosely)
			     : shows_version(ctx, on, sip, window))
		return FASTPATH_REASON_PASSED;
	return malformed(on);
}

/* The reason to drop a payload with no room for a method and a blank, or PASSED. */
static __always_inline enum fastpath_reason judge_too_short(__u64 on, const struct sip_datagram *sip)
{
	/* The rest of the method would come by with the next fragment, unseen. */
	return IS_ON(on, EVASION) && sip->is_fragment ? malformed(on) : FASTPATH_REASON_PASSED;
}

/*
 * A payload that does not begin with a letter: a keepalive, or blanks before a
 * start line. True where that decides, with `reason`; else `sip` begins at its
 * first byte that is no blank.
 */
static __always_inline bool judge_odd_start(struct xdp_md *ctx, __u64 on, struct sip_datagram *sip,
					    const struct window *window, enum fastpath_reason *reason)
{
	__u32 blanks;

	*reason = FASTPATH_REASON_PASSED;
	if (IS_ON(on, KEEPALIVES) && is_stun(ctx, sip, window))
		return true;
	mend_length(ctx, sip);
	blanks = count_blanks(ctx, sip->payload_offset, sip->payload_length);
	if (blanks > FASTPATH_BLANK_LIMIT + 1)
		return false; /* cannot be */
	/* A fragment may go on with a start line. */
	if (IS_ON(on, KEEPALIVES) && blanks == (__u32)sip->payload_length && blanks <= FASTPATH_BLANK_LIMIT &&
	    !(IS_ON(on, EVASION) && sip->is_fragment))
		return true;
	if (!IS_ON(on, EVASION))
		return false;
	if (blanks > FASTPATH_BLANK_LIMIT) {
		*reason = malformed(on);
		return true;
	}
	sip->payload_offset += blanks;
	sip->payload_length -= blanks;
	return false;
}

/* What an opened window comes to. */
static __always_inline enum fastpath_reason judge_opened(struct xdp_md *ctx, __u64 on,
							 struct sip_datagram *sip,
							 const struct window *window, enum opened opened)
{
	if (opened == OPENED_TOO_SHORT)
		return judge_too_short(on, sip);
	/* What cannot be seen is never called malformed. */
	if (opened == OPENED_UNSEEN)
		return FASTPATH_REASON_PASSED;
	return judge_window(ctx, on, sip, window);
}

/* A datagram's flags and what judge_copied() answers, each in one number. */
#define COPIED_IS_IPV6	      (1 << 8)
#define COPIED_IS_FRAGMENT    (1 << 9)
#define COPIED_CLASS_SHIFT    8
#define COPIED_REASON(copied) ((copied)&0xff)

/*
 * For the few payloads that do not lie whole in the first buffer, or do not
 * begin with a letter: the reason, and above it the class. `flags`: the kinds of
 * the source, and the bits above.
 */
ON_ITS_OWN __u32 judge_copied(struct xdp_md *ctx, __u32 offset, __s32 length, __u64 source, __u32 flags)
{
	struct sip_datagram sip = {
		.source = {.high = source, .is_ipv6 = flags & COPIED_IS_IPV6},
		.is_fragment = flags & COPIED_IS_FRAGMENT,
		.payload_offset = offset,
		.payload_length = length,
		.kinds = flags & FASTPATH_POLICY_KINDS,
		.class = FASTPATH_CLASS_OTHER,
	};
	__u64 on = settings.switches;
	enum fastpath_reason reason;
	struct window window;
	enum opened opened;

	if (offset > LARGEST_OFFSET)
		return FASTPATH_REASON_PASSED; /* cannot be */
	opened = copy_window(ctx, &sip, &window);
	if (opened == OPENED && (IS_ON(on, KEEPALIVES) || IS_ON(on, EVASION)) && *window.bytes < 'A') {
		if (judge_odd_start(ctx, on, &sip, &window, &reason))
			return reason | FASTPATH_CLASS_OTHER << COPIED_CLASS_SHIFT;
		opened = copy_window(ctx, &sip, &window);
	}
	reason = judge_opened(ctx, on, &sip, &window, opened);
	return reason | sip.class << COPIED_CLASS_SHIFT;
}

/* The reason to drop what the payload says, or PASSED. */
static __always_inline enum fastpath_reason judge_payload(struct xdp_md *ctx, __u64 on,
							  struct sip_datagram *sip)
{
	struct window window;
	__u32 flags, copied;

	if (!on) {
		enum opened opened = open_window(ctx, on, sip, &window);

		return judge_opened(ctx, on, sip, &window, opened);
	}
	if (opens_in_place(ctx, on, sip, &window) && *window.bytes >= 'A')
		return judge_window(ctx, on, sip, &window);
	flags = sip->kinds | sip->source.is_ipv6 * COPIED_IS_IPV6 | sip->is_fragment * COPIED_IS_FRAGMENT;
	copied = judge_copied(ctx, sip->payload_offset, sip->payload_length, sip->source.high, flags);
	sip->class = copied >> COPIED_CLASS_SHIFT;
	return COPIED_REASON(copied);
}

/* To the AF_XDP socket of the receive queue, where there is one. */
static __always_inline enum fastpath_reason redirect(struct xdp_md *ctx, __u64 on,
						     const struct sip_datagram *sip)
{
	__u32 queue = ctx->rx_queue_index;

	if (!bpf_map_lookup_elem(&xsks_map, &queue))
		return FASTPATH_REASON_PASSED;
	if (IS_ON(on, CONSUMERS) && !is_taken(ctx, sip->payload_offset))
		return FASTPATH_REASON_PASSED;
	/* The slot may have emptied since: the helper then answers with its last argument. */
	return bpf_redirect_map(&xsks_map, queue, XDP_PASS) == XDP_REDIRECT ? FASTPATH_REASON_REDIRECTED
									    : FASTPATH_REASON_PASSED;
}

/* The reason to drop a datagram of a source that is neither blocked nor trusted, or PASSED. */
static __always_inline enum fastpath_reason judge_stranger(struct xdp_md *ctx, __u64 on,
							   struct sip_datagram *sip)
{
	enum fastpath_reason reason;

	if (IS_ON(on, EVASION) && sip->has_no_source_port && drops(on, FASTPATH_REASON_MALFORMED))
		return FASTPATH_REASON_MALFORMED;
	sip->class = FASTPATH_CLASS_OTHER;
	reason = judge_payload(ctx, on, sip);
	if (reason == FASTPATH_REASON_PASSED && IS_ON(on, LIMITS) && !is_allowed(on, sip) &&
	    is_over_limit(&sip->source, sip->class) && drops(on, FASTPATH_REASON_RATE_LIMITED))
		return FASTPATH_REASON_RATE_LIMITED;
	return reason;
}

static __always_inline enum fastpath_reason judge_datagram(struct xdp_md *ctx, __u64 on,
							   struct sip_datagram *sip)
{
	bool is_fragment = sip->is_fragment;

	if (is_blocked(on, &sip->source, &sip->kinds) && drops(on, FASTPATH_REASON_BLOCKED))
		return FASTPATH_REASON_BLOCKED;
	if (!is_trusted(sip->kinds)) {
		enum fastpath_reason reason = judge_stranger(ctx, on, sip);

		if (reason != FASTPATH_REASON_PASSED)
			return reason;
	}
	/* A fragment waits for the others in the kernel. */
	return IS_ON(on, FRAGMENTS) && is_fragment ? FASTPATH_REASON_PASSED : redirect(ctx, on, sip);
}

#endif /* FASTPATH_JUDGE_H */
