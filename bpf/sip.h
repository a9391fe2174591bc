/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What the window says, the first FASTPATH_WINDOW_LENGTH bytes of a payload
 * (RFC 3261 section 7.1); a shorter payload is followed by zeros, which are part
 * of nothing that is looked for. Knows nothing of packets and maps, so that it
 * compiles on the host too.
 */
#ifndef FASTPATH_SIP_H
#define FASTPATH_SIP_H

/* Eight ASCII bytes as a little-endian load yields them. */
#define WORD8(a, b, c, d, e, f, g, h)                                                                        \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |             \
	 (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)

#define WORD_OPTIONS  WORD8('O', 'P', 'T', 'I', 'O', 'N', 'S', ' ')
#define WORD_REGISTER WORD8('R', 'E', 'G', 'I', 'S', 'T', 'E', 'R')
#define WORD_VERSION  WORD8('S', 'I', 'P', '/', '2', '.', '0', 0)
#define WORD_INVITE   WORD8('I', 'N', 'V', 'I', 'T', 'E', ' ', 0)
#define SEVEN_BYTES   ((1ULL << 56) - 1)
#define SIX_BYTES     ((1ULL << 48) - 1)

/* Bytes of the shortest that is looked for: "OPTIONS ". */
#define SIP_SHORTEST 8

/* The first eight bytes. */
static __always_inline __u64 sip_first_word(const __u8 *window)
{
	return *(const __u64 *)window;
}

/* Letters of a word to lower case; other bytes become something else, but no letter. */
#define LOWER_CASE 0x2020202020202020ULL

/* Is the byte one that SIP servers take for the end of a method? */
static __always_inline bool sip_ends_method(__u8 byte)
{
	return byte == ' ' || byte == '\t';
}

/* Is the method OPTIONS? `loosely`: as servers read it, in any case and before any blank. */
static __always_inline bool sip_is_options(__u64 first_word, bool loosely)
{
	if (!loosely)
		return first_word == WORD_OPTIONS;
	return ((first_word | LOWER_CASE) & SEVEN_BYTES) == ((WORD_OPTIONS | LOWER_CASE) & SEVEN_BYTES) &&
	       sip_ends_method(first_word >> 56);
}

/* Does the payload start with "REGISTER " (nine bytes)? */
static __always_inline bool sip_is_register(__u64 first_word, const __u8 *window, bool loosely)
{
	if (!loosely)
		return first_word == WORD_REGISTER && window[8] == ' ';
	return (first_word | LOWER_CASE) == (WORD_REGISTER | LOWER_CASE) && sip_ends_method(window[8]);
}

/* Does the payload start with "INVITE " (seven bytes)? */
static __always_inline bool sip_is_invite(__u64 first_word, bool loosely)
{
	if (!loosely)
		return (first_word & SEVEN_BYTES) == WORD_INVITE;
	return ((first_word | LOWER_CASE) & SIX_BYTES) == ((WORD_INVITE | LOWER_CASE) & SIX_BYTES) &&
	       sip_ends_method(first_word >> 48 & 0xff);
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
 * Where "SIP/2.0" first stands in the window, or -1. Its seven bytes are all
 * different, so wherever it stands it covers exactly one of the positions 6,
 * 13, ... 62, and the byte found there says where it would have to start. Nine
 * probes and one comparison a hit, however the bytes were chosen: an attacker
 * cannot make it slower. Unrolled as far as the code stays small. `end` is that
 * of readable memory, at or behind the window's.
 */
static __always_inline __s64 sip_find_version(const __u8 *window, const void *end)
{
	const __u8 *places = sip_version_place;

	/* The table's address stays in a register, and is not loaded anew for each probe. */
	asm volatile("" : "+r"(places), "+r"(window));
#pragma unroll
	for (__u32 turn = 0; turn < FASTPATH_WINDOW_LENGTH / SIP_VERSION_LENGTH; turn++) {
		const __u32 probe = SIP_VERSION_LENGTH * (turn + 1) - 1;
		__u64 start = places[window[probe]];
		const __u8 *candidate;

		if (!start)
			continue;
		start += probe - SIP_VERSION_LENGTH;
		/* The mask changes nothing, but shows the verifier a bound; the barrier hides that from the
		 * compiler. */
		asm volatile("" : "+r"(start));
		start &= FASTPATH_WINDOW_LENGTH - 1;
		if (start > FASTPATH_WINDOW_LENGTH - SIP_VERSION_LENGTH)
			continue;
		candidate = window + start;
		if ((const void *)(candidate + SIP_VERSION_LENGTH) <= end && sip_version_at(candidate))
			return start;
	}
	return -1;
}

#endif /* FASTPATH_SIP_H */
