/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Does the first line show the version? It ends with it (a request, RFC 3261
 * section 7.1) or has it elsewhere within the limit. The line is looked at in
 * words of eight bytes.
 */
#ifndef FASTPATH_FIRST_LINE_H
#define FASTPATH_FIRST_LINE_H

#define EVERY_BYTE(byte) (0x0101010101010101ULL * (byte))

/* The top bit of each byte of `word` that is `byte`. Bits above the lowest such byte may be set as well. */
static __always_inline __u64 bytes_equal(__u64 word, __u8 byte)
{
	__u64 difference = word ^ EVERY_BYTE(byte);

	return (difference - EVERY_BYTE(0x01)) & ~difference & EVERY_BYTE(0x80);
}

/* Which byte of a word the lowest bit of a mask of top bits belongs to: 0 to 7. */
static __always_inline __u32 lowest_byte(__u64 mask)
{
	return ((mask & -mask) >> 7) * 0x0001020304050607ULL >> 56;
}

/* Is there "SIP/x.y" with digits for x and y; seven bytes. */
static __always_inline bool is_any_version(const __u8 *p)
{
	return *(const __u32 *)p == SIP_VERSION_HEAD && p[4] - '0' <= 9U && p[5] == '.' && p[6] - '0' <= 9U;
}

static __always_inline bool is_version(const __u8 *p, __u64 on)
{
	return IS_ON(on, VERSIONS) ? is_any_version(p) : sip_version_at(p);
}

/*
 * Does a line of `length` bytes end with a version, but for a CR? `bytes` can
 * be read up to `end`.
 */
static __always_inline bool ends_with_version(const __u8 *bytes, const void *end, __u64 length, __u64 on)
{
	const __u8 *version;

	if (length < SIP_VERSION_LENGTH + 1 || length > FASTPATH_FIRST_LINE_LIMIT)
		return false;
	length -= SIP_VERSION_LENGTH + 1;
	/* Else the compiler counts from the line's end, and the verifier knows no bytes before a pointer. */
	version = bytes + opaque(length);
	if ((const void *)(version + SIP_VERSION_LENGTH + 1) > end)
		return false;
	return is_version(version[SIP_VERSION_LENGTH] == '\r' ? version : version + 1, on);
}

/* Bytes of a copied line that are searched in one turn, four probes. */
#define LINE_TURN (4 * SIP_VERSION_LENGTH)

/* A first line: how long it is, and whether it ends there rather than goes on. */
struct line {
	__u64 length;
	bool is_whole;
};

/* The first line as far as the window shows it. `window` is not short. */
static __always_inline struct line line_in_window(struct xdp_md *ctx, struct sip_datagram *sip,
						  const struct window *window)
{
	const __u64 *words = (const __u64 *)window->bytes;
	struct line line = {FASTPATH_WINDOW_LENGTH, true};

#pragma unroll
	for (__u32 i = 0; i < FASTPATH_WINDOW_LENGTH / 8; i++) {
		__u64 ends = bytes_equal(words[i], '\n');

		if (ends) {
			line.length = 8 * i + lowest_byte(ends);
			goto ended;
		}
	}
	if (sip->payload_length > FASTPATH_WINDOW_LENGTH)
		mend_length(ctx, sip);
	if (sip->payload_length > FASTPATH_WINDOW_LENGTH)
		line.is_whole = false;
	else
		line.length = sip->payload_length;
ended:
	line.length = forget(line.length, words[0]);
	return line;
}

/*
 * As sip_find_version(), over the line that was copied: 1 or 0. Where a byte is
 * not in the string, what lies before it is compared: a match is one there too.
 * Nothing is compared with the line's length, for zeros follow the line.
 */
ON_ITS_OWN int copied_line_has_version(void)
{
	const __u8 *places = sip_version_place;
	struct line_copy *copy = line_copy();
	__u64 length;

	if (!copy)
		return 1;
	length = copy->line_length;
	asm volatile("" : "+r"(places));
#pragma clang loop unroll(disable)
	for (__u64 i = 0; i < FASTPATH_FIRST_LINE_LIMIT; i += LINE_TURN) {
		const __u8 *bytes = copy->bytes + i;

		if (i >= length)
			break;
		/* One pointer for all four, and none before it. */
		asm volatile("" : "+r"(bytes), "+r"(i));
#pragma unroll
		for (__u32 probe = SIP_VERSION_LENGTH - 1; probe < LINE_TURN; probe += SIP_VERSION_LENGTH) {
			const __u8 *start = bytes + places[bytes[probe]];
			__u64 word = *(const __u64 *)(start + probe - SIP_VERSION_LENGTH);

			if (word << 8 == WORD_VERSION << 8)
				return 1;
		}
	}
	return 0;
}

/* Bytes of a line in which its end is looked for at once. */
#define LINE_BLOCK 64

/*
 * Copies the first `count` bytes of a payload, whose line does not end in the
 * window. Returns where copied_line_length() is to begin: before, there is no
 * newline. That is seen in passing, of blocks in which no byte is below 11 or
 * above 138. 0 where they cannot be read.
 */
static __always_inline __u64 copy_line(struct xdp_md *ctx, __u32 offset, __u32 count, struct line_copy *copy)
{
	const __u64 *bytes = (const void *)(long)ctx->data + offset;
	__u64 from = FASTPATH_WINDOW_LENGTH, odd = 0, *words = (__u64 *)copy->bytes;

	/* More than `count` in place costs less than to see where it ends. */
	if ((const void *)bytes + FASTPATH_FIRST_LINE_LIMIT > (const void *)(long)ctx->data_end)
		return frame_copy(ctx, offset, copy->bytes, count, FASTPATH_FIRST_LINE_LIMIT) ? from : 0;
#pragma unroll
	for (__u32 i = 0; i < FASTPATH_FIRST_LINE_LIMIT / 8; i++) {
		__u64 word = bytes[i];

		words[i] = word;
		if (8 * i < FASTPATH_WINDOW_LENGTH)
			continue;
		/* The top bit of each byte that is not so, and perhaps of the one behind it. */
		odd = opaque(odd | (word - EVERY_BYTE('\n' + 1)));
		if (8 * (i + 1) % LINE_BLOCK == 0)
			from += opaque((((odd & EVERY_BYTE(0x80)) >> 7) - 1) >> 63) * LINE_BLOCK;
	}
	return forget(from, odd);
}

/*
 * How long the line is of which `count` bytes were copied; `count` where it does
 * not end among them. Before `from` it is known not to end.
 */
static __always_inline __u64 copied_line_length(const struct line_copy *copy, __u64 from, __u64 count)
{
	__u64 i;

#pragma clang loop unroll(disable)
	for (i = from; i < count; i += 32) {
		const __u64 *words;

		i = opaque(i);
		if (i >= FASTPATH_FIRST_LINE_LIMIT)
			break;
		words = (const __u64 *)(copy->bytes + i);
		if (bytes_equal(words[0], '\n') | bytes_equal(words[1], '\n') | bytes_equal(words[2], '\n') |
		    bytes_equal(words[3], '\n'))
			break;
	}
	/* Which byte it is, once for all turns. */
	i = forget(i, count);
	if (i > FASTPATH_FIRST_LINE_LIMIT)
		return count; /* cannot be */
#pragma unroll
	for (__u32 word = 0; word < 4; word++) {
		__u64 ends = bytes_equal(*(const __u64 *)(copy->bytes + i), '\n');

		if (ends) {
			i += lowest_byte(ends);
			break;
		}
		i += 8;
	}
	/* What is behind the payload is left from another packet. */
	return i < count ? i : count;
}

/*
 * Does a first line show the version that did not end in the window? Of the
 * payload `length` bytes are there. 1 for yes, and where it cannot be read.
 */
ON_ITS_OWN int long_line_has_version(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	__u32 limit = settings.first_line_limit, count = length < limit ? length : limit;
	__u64 on = settings.switches, line_length, from;
	struct line_copy *copy = line_copy();
	bool is_whole;

	if (!copy)
		return 1;
	/* Two ways would lead from here, and each would be walked on its own. */
	is_whole = forget(length <= limit, copy->line_length) & 1;
	count = forget(count, copy->line_length);
	from = offset <= LARGEST_OFFSET ? copy_line(ctx, offset, count, copy) : 0;
	if (!from)
		return 1;

	line_length = copied_line_length(copy, from, count);
	/* Through memory: the verifier need not follow every length. */
	copy->line_length = line_length;
	copy->line_is_whole = is_whole || line_length < count;
	/* Of a line that goes on, these bytes are the last that count: the search would find them last. */
	if (!copy->line_is_whole)
		on &= ~(__u64)FASTPATH_SWITCH_VERSIONS;
	if (ends_with_version(copy->bytes, copy + 1, copy->line_length, on))
		return 1;

	line_length = copy->line_length;
	if (line_length > FASTPATH_FIRST_LINE_LIMIT)
		return 1; /* cannot be */
	__builtin_memset(copy->bytes + line_length, 0, LINE_TURN);
	return copied_line_has_version();
}

/* Does the payload show the version where it must? `window` is not short. */
static __always_inline bool shows_version(struct xdp_md *ctx, __u64 on, struct sip_datagram *sip,
					  const struct window *window)
{
	struct line line;
	__s64 start;

	if (!IS_ON(on, FIRST_LINE)) {
		if (sip_find_version(window->bytes, window->end) >= 0)
			return true;
		if (!IS_ON(on, VERSIONS))
			return false;
		line = line_in_window(ctx, sip, window);
		return line.is_whole && ends_with_version(window->bytes, window->end, line.length, on);
	}
	line = line_in_window(ctx, sip, window);
	if (!line.is_whole && settings.first_line_limit <= FASTPATH_WINDOW_LENGTH)
		return sip_find_version(window->bytes, window->end) >= 0;
	if (!line.is_whole)
		return long_line_has_version(ctx, sip->payload_offset, sip->payload_length);
	if (ends_with_version(window->bytes, window->end, line.length, on))
		return true;
	start = sip_find_version(window->bytes, window->end);
	return start >= 0 && (__u64)start + SIP_VERSION_LENGTH <= line.length;
}

#endif /* FASTPATH_FIRST_LINE_H */
