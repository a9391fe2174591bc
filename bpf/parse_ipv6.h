/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* IPv6 (RFC 8200) and its extension headers, to the UDP header. */
#ifndef FASTPATH_PARSE_IPV6_H
#define FASTPATH_PARSE_IPV6_H

/* Extension headers (IANA: IPv6 Extension Header Types) whose second byte tells their length. */
#define EXTENSION_HOP_BY_HOP	 0
#define EXTENSION_ROUTING	 43
#define EXTENSION_FRAGMENT	 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION	 60
#define EXTENSION_MOBILITY	 135
#define EXTENSION_HIP		 139
#define EXTENSION_SHIM6		 140

struct extension_header {
	__u8 next;
	__u8 length;
	__be16 fragment_offset; /* of a fragment header: in units of eight bytes, above three bits of flags */
};

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == EXTENSION_HOP_BY_HOP || protocol == EXTENSION_ROUTING ||
	       protocol == EXTENSION_FRAGMENT || protocol == EXTENSION_AUTHENTICATION ||
	       protocol == EXTENSION_DESTINATION || protocol == EXTENSION_MOBILITY ||
	       protocol == EXTENSION_HIP || protocol == EXTENSION_SHIM6;
}

/* Bytes of an extension header that is not a fragment header (RFC 8200 section 4, RFC 4302 section 2.2). */
static __always_inline __u32 extension_length(__u8 protocol, __u8 length)
{
	return protocol == EXTENSION_AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

enum skipped {
	SKIPPED_TO_UDP,
	SKIPPED_TO_OTHER,    /* none of our business */
	SKIPPED_TO_FRAGMENT, /* a later fragment, perhaps of UDP */
	SKIPPED_TOO_MANY,    /* more headers than are walked */
};

/* What skip_extensions() answers, in one number. */
#define SKIPPED(what, is_fragment, offset) ((__u64)(what) << 32 | (__u64)(is_fragment) << 31 | (offset))
#define SKIPPED_WHAT(skipped)		   ((enum skipped)((skipped) >> 32))
#define SKIPPED_IS_FRAGMENT(skipped)	   ((skipped) >> 31 & 1)
#define SKIPPED_OFFSET(skipped)		   ((skipped)&0x7fffffff)

/*
 * From the first extension header, of type `protocol`, to the UDP header. With
 * SKIPPED_TO_UDP the answer says where that is, and whether this is the first
 * of several fragments.
 */
ON_ITS_OWN __u64 skip_extensions(struct xdp_md *ctx, __u32 offset, __u32 protocol)
{
	bool is_fragment = false;

#pragma clang loop unroll(disable)
	for (__u32 count = 0; count <= FASTPATH_EXTENSION_LIMIT; count++) {
		struct extension_header header_copy;
		const struct extension_header *header;

		if (offset > LARGEST_OFFSET)
			return SKIPPED(SKIPPED_TOO_MANY, 0, 0);
		if (protocol == IPPROTO_UDP)
			return SKIPPED(SKIPPED_TO_UDP, is_fragment, offset);
		if (!is_extension(protocol))
			return SKIPPED(SKIPPED_TO_OTHER, 0, 0);
		header = frame_bytes(ctx, offset, sizeof(*header), &header_copy);
		if (!header)
			return SKIPPED(SKIPPED_TO_OTHER, 0, 0);
		if (protocol == EXTENSION_FRAGMENT) {
			__u16 fragment = bpf_ntohs(header->fragment_offset);

			/* What a later fragment carries is known only to the first: it may be UDP behind more
			 * headers. */
			if (fragment >> 3)
				return header->next == IPPROTO_UDP || is_extension(header->next)
					       ? SKIPPED(SKIPPED_TO_FRAGMENT, 0, 0)
					       : SKIPPED(SKIPPED_TO_OTHER, 0, 0);
			is_fragment = fragment & 1;
			offset += 8;
		} else {
			offset += extension_length(protocol, header->length);
		}
		protocol = header->next;
	}
	return SKIPPED(SKIPPED_TOO_MANY, 0, 0);
}

/* RFC 8504 section 5.3 lets a node set such limits; without one, more headers would hide a datagram. */
static __always_inline enum fastpath_reason judge_too_many_extensions(__u64 on, const struct source *source)
{
	if (is_blocked_rarely(on, source) && drops(on, FASTPATH_REASON_BLOCKED))
		return FASTPATH_REASON_BLOCKED;
	if (IS_ON(on, EVASION) && drops(on, FASTPATH_REASON_MALFORMED))
		return FASTPATH_REASON_MALFORMED;
	return FASTPATH_REASON_IGNORED;
}

static __always_inline enum fastpath_reason parse_ipv6(struct xdp_md *ctx, __u64 on, __u32 offset,
						       struct ip_packet *packet)
{
	struct source source = {.is_ipv6 = true};
	struct ipv6hdr ip_copy;
	const struct ipv6hdr *ip;
	__u64 skipped, udp_offset;
	__s32 payload_length;

	ip = frame_bytes(ctx, offset, sizeof(*ip), &ip_copy);
	if (!ip || ip->version != 6)
		return FASTPATH_REASON_IGNORED;
	source.high = bpf_be64_to_cpu(*(const __be64 *)&ip->saddr.in6_u.u6_addr8[0]);
	source.low = bpf_be64_to_cpu(*(const __be64 *)&ip->saddr.in6_u.u6_addr8[8]);
	offset += sizeof(*ip);
	payload_length = bpf_ntohs(ip->payload_len);
	/* With extension headers or without: one way for both. */
	if (ip->nexthdr == IPPROTO_UDP)
		skipped = forget(SKIPPED(SKIPPED_TO_UDP, false, offset), source.high);
	else
		skipped = skip_extensions(ctx, offset, ip->nexthdr);
	if (SKIPPED_WHAT(skipped) == SKIPPED_TO_FRAGMENT)
		return judge_later_fragment(on, &source);
	if (SKIPPED_WHAT(skipped) == SKIPPED_TOO_MANY)
		return judge_too_many_extensions(on, &source);
	udp_offset = SKIPPED_OFFSET(skipped);
	/* The bound is to be known of the number that is used. */
	asm volatile("" : "+r"(udp_offset));
	if (SKIPPED_WHAT(skipped) != SKIPPED_TO_UDP || udp_offset > LARGEST_OFFSET)
		return FASTPATH_REASON_IGNORED;
	packet->source = source;
	packet->is_fragment = SKIPPED_IS_FRAGMENT(skipped);
	packet->udp_offset = udp_offset;
	packet->left = payload_length - (__s32)(udp_offset - offset);
	return FASTPATH_REASON_PASSED;
}

#endif /* FASTPATH_PARSE_IPV6_H */
