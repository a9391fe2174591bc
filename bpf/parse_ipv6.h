/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* IPv6 (RFC 8200) and its extension headers, to the UDP header. */
#ifndef FASTPATH_PARSE_IPV6_H
#define FASTPATH_PARSE_IPV6_H

#define ETHERTYPE_IPV6 0x86dd

/* Extension headers (IANA: IPv6 Extension Header Types) whose second byte tells their length. */
#define EXTENSION_HOP_BY_HOP	 0
#define EXTENSION_ROUTING	 43
#define EXTENSION_FRAGMENT	 44
#define EXTENSION_AUTHENTICATION 51
#define EXTENSION_DESTINATION	 60
#define EXTENSION_MOBILITY	 135
#define EXTENSION_HIP		 139
#define EXTENSION_SHIM6		 140

/* Beyond it no header is looked for; the largest frames are shorter. */
#define LARGEST_OFFSET 0x3fff

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

/* Goes on to the UDP header; DATAGRAM where there is one. */
static __always_inline enum parsed skip_extensions(struct xdp_md *ctx, __u32 *udp_offset, __u8 protocol,
						   struct sip_datagram *sip)
{
	__u64 offset = forget(*udp_offset, sip->source.ipv6[0]);

	if (offset > LARGEST_OFFSET)
		return PARSED_EXCESSIVE; /* cannot be */
#pragma clang loop unroll(disable)
	for (__u32 count = 0; count <= FASTPATH_EXTENSION_LIMIT; count++) {
		struct extension_header header_copy;
		const struct extension_header *header;

		if (protocol == IPPROTO_UDP) {
			*udp_offset = offset;
			return PARSED_DATAGRAM;
		}
		if (!is_extension(protocol))
			return PARSED_OTHER;
		header = frame_bytes(ctx, offset, sizeof(*header), &header_copy);
		if (!header)
			return PARSED_OTHER;
		if (protocol == EXTENSION_FRAGMENT) {
			__u16 fragment = bpf_ntohs(header->fragment_offset);

			/* What a later fragment carries is known only to the first: it may be UDP behind more
			 * headers. */
			if (fragment >> 3)
				return header->next == IPPROTO_UDP || is_extension(header->next)
					       ? PARSED_FRAGMENT
					       : PARSED_OTHER;
			sip->is_fragment = fragment & 1;
			offset += 8;
		} else {
			offset += extension_length(protocol, header->length);
		}
		offset = forget(offset, sip->source.ipv6[0]);
		if (offset > LARGEST_OFFSET)
			return PARSED_EXCESSIVE;
		protocol = header->next;
	}
	return PARSED_EXCESSIVE;
}

static __always_inline enum parsed parse_ipv6(struct xdp_md *ctx, __u64 on, __u32 offset,
					      struct sip_datagram *sip)
{
	struct ipv6hdr ip_copy;
	const struct ipv6hdr *ip;
	enum parsed parsed;
	__u32 ip_end;
	__u8 protocol;

	ip = frame_bytes(ctx, offset, sizeof(*ip), &ip_copy);
	if (!ip || ip->version != 6)
		return PARSED_OTHER;
	/* In halves: an address in a frame lies on any even byte. */
	__builtin_memcpy(sip->source.ipv6, &ip->saddr, sizeof(sip->source.ipv6));
	sip->is_ipv6 = true;
	sip->is_fragment = false;
	offset += sizeof(*ip);
	ip_end = offset + bpf_ntohs(ip->payload_len);
	protocol = ip->nexthdr;

	parsed = skip_extensions(ctx, &offset, protocol, sip);
	if (parsed != PARSED_DATAGRAM)
		return parsed;
	return parse_udp(ctx, on, offset, (__s32)ip_end - (__s32)offset, sip);
}

#endif /* FASTPATH_PARSE_IPV6_H */
