/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What the first bytes of a payload say (RFC 3261 section 7.1). Knows nothing
 * of packets and maps, so that it compiles on the host too.
 */
#ifndef FASTPATH_SIP_H
#define FASTPATH_SIP_H

/* The first bytes of a payload: at most FASTPATH_WINDOW_LENGTH of them. */
struct sip_window {
	const __u8 *bytes;
	const __u8 *end; /* of readable memory: at or behind bytes + length */
	__u32 length;
	_Bool copied; /* to the stack */
};

/* Eight ASCII bytes as a little-endian load yields them. */
#define WORD8(a, b, c, d, e, f, g, h)                                                                        \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |             \
	 (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)

#define WORD_OPTIONS  WORD8('O', 'P', 'T', 'I', 'O', 'N', 'S', ' ')
#define WORD_REGISTER WORD8('R', 'E', 'G', 'I', 'S', 'T', 'E', 'R')
#define WORD_VERSION  WORD8('S', 'I', 'P', '/', '2', '.', '0', 0)
#define SEVEN_BYTES   ((1ULL << 56) - 1)

/* The first eight bytes, or 0 (which starts no method) where there are fewer. */
static __always_inline __u64 sip_first_word(const struct sip_window *window)
{
	if (window->length < 8 || window->bytes + 8 > window->end)
		return 0;
	return *(const __u64 *)window->bytes;
}

static __always_inline bool sip_is_options(__u64 first_word)
{
	return first_word == WORD_OPTIONS;
}

/* Does the payload start with "REGISTER " (nine bytes)? */
static __always_inline bool sip_is_register(__u64 first_word, const struct sip_window *window)
{
	return first_word == WORD_REGISTER && window->length > 8 && window->bytes + 9 <= window->end &&
	       window->bytes[8] == ' ';
}

/* A response starts with the version (RFC 3261 section 7.2); no need to search for it then. */
static __always_inline bool sip_is_response(__u64 first_word)
{
	return (first_word & SEVEN_BYTES) == WORD_VERSION;
}

/* For each byte: its place in "SIP/2.0" counted from behind, 7 for S to 1 for 0; 0 for a byte not in it. */
static const __u8 sip_version_place[256] = {
	['S'] = 7, ['I'] = 6, ['P'] = 5, ['/'] = 4, ['2'] = 3, ['.'] = 2, ['0'] = 1,
};

#define SIP_VERSION_LENGTH 7

/* "SIP/" and "/2.0" as little-endian loads yield them; they share the slash. */
#define SIP_VERSION_HEAD 0x2f504953u
#define SIP_VERSION_TAIL 0x302e322fu

static __always_inline bool sip_version_at(const __u8 *p)
{
	return *(const __u32 *)p == SIP_VERSION_HEAD && *(const __u32 *)(p + 3) == SIP_VERSION_TAIL;
}

/*
 * Is "SIP/2.0" in the window? Its seven bytes are all different, so wherever
 * it stands it covers exactly one of the positions 6, 13, ... 62, and the byte
 * found there says where it would have to start. Nine probes and one
 * comparison a hit, however the bytes were chosen: an attacker cannot make it
 * slower. Unrolled as far as the code stays small.
 */
static __always_inline bool sip_probe_for_version(const struct sip_window *window)
{
#pragma clang loop unroll_count(3)
	for (int turn = 0; turn < FASTPATH_WINDOW_LENGTH / SIP_VERSION_LENGTH; turn++) {
		const __u32 probe = SIP_VERSION_LENGTH * (turn + 1) - 1;
		const __u8 *candidate;
		__u64 place, start;

		if (window->bytes + probe + 1 > window->end)
			return false;
		place = sip_version_place[window->bytes[probe]];
		if (!place)
			continue;
		start = place + probe - SIP_VERSION_LENGTH;
		/* Changes nothing, but shows the verifier a bound; the barrier keeps the compiler from seeing
		 * that. */
		asm volatile("" : "+r"(start));
		start &= FASTPATH_WINDOW_LENGTH - 1;
		candidate = window->bytes + start;
		if (start + SIP_VERSION_LENGTH <= window->length &&
		    candidate + SIP_VERSION_LENGTH <= window->end && sip_version_at(candidate))
			return true;
	}
	return false;
}

/*
 * The same for a window that was copied to the stack, where the verifier
 * refuses loads of unaligned words: the last seven bytes slide through a word.
 * A copy is a whole window, with zeros behind what the payload holds.
 */
static __always_inline bool sip_slide_to_version(const __u8 copy[FASTPATH_WINDOW_LENGTH])
{
	const __u64 version = WORD8('0', '.', '2', '/', 'P', 'I', 'S', 0);
	__u64 last = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FASTPATH_WINDOW_LENGTH; i++) {
		last = (last << 8 | copy[i]) & SEVEN_BYTES;
		if (last == version)
			return true;
	}
	return false;
}

/* Is "SIP/2.0" anywhere in the window? */
static __always_inline bool sip_has_version(const struct sip_window *window)
{
	return window->copied ? sip_slide_to_version(window->bytes) : sip_probe_for_version(window);
}

#endif /* FASTPATH_SIP_H */
