/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * From a frame to a SIP datagram: Ethernet, VLAN tags, IPv4 (RFC 791), UDP
 * (RFC 768); IPv6 has its own page. A step answers with PASSED where the next
 * one is to go on, else with the reason for what becomes of the frame.
 */
#ifndef FASTPATH_PARSE_H
#define FASTPATH_PARSE_H

#define FRAGMENT_OFFSET_MASK 0x1fff
#define MORE_FRAGMENTS	     0x2000

/*
 * The first two headers, two bytes in: so the addresses lie on a multiple of
 * four, which the verifier demands of reads from the stack.
 */
struct outer_headers {
	__u8 padding[2];
	struct ethhdr ethernet;
	struct iphdr ip;
};

/* A later fragment, perhaps of a datagram to a SIP port: it has no ports. */
static __always_inline enum fastpath_reason judge_later_fragment(__u64 on, const struct source *source)
{
	if (IS_ON(on, FRAGMENTS) && is_blocked_rarely(on, source) && drops(on, FASTPATH_REASON_BLOCKED))
		return FASTPATH_REASON_BLOCKED;
	return FASTPATH_REASON_IGNORED;
}

static __always_inline enum fastpath_reason parse_ipv4(__u64 on, __u32 offset, const struct iphdr *ip,
						       struct ip_packet *packet)
{
	__u32 header_length = ip->ihl * 4;

	if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return FASTPATH_REASON_IGNORED;
	packet->source = (struct source){.high = bpf_ntohl(ip->saddr)};
	/* Only the first fragment has the UDP header. */
	if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET_MASK))
		return judge_later_fragment(on, &packet->source);
	packet->is_fragment = ip->frag_off & bpf_htons(MORE_FRAGMENTS);
	packet->udp_offset = offset + header_length;
	packet->left = (__s32)bpf_ntohs(ip->tot_len) - (__s32)header_length;
	return FASTPATH_REASON_PASSED;
}

#include "parse_ipv6.h"

#include "unfiltered.h"

/* From here on there is one way for both families. */
static __always_inline bool forget_family(struct ip_packet *packet)
{
	__u64 unknown = packet->source.high, offset = opaque(forget(packet->udp_offset, unknown));

	packet->source.low = forget(packet->source.low, unknown);
	packet->source.is_ipv6 = forget(packet->source.is_ipv6, unknown) & 1;
	packet->is_fragment = forget(packet->is_fragment, unknown) & 1;
	packet->left = forget(packet->left, unknown);
	packet->udp_offset = offset;
	return offset <= LARGEST_OFFSET;
}

static __always_inline enum fastpath_reason judge_udp(struct xdp_md *ctx, __u64 on,
						      const struct ip_packet *packet)
{
	struct udphdr udp_copy;
	const struct udphdr *udp;
	struct sip_datagram sip;
	__u32 offset = packet->udp_offset;
	__s32 length;

	if (!__builtin_constant_p(on))
		offset = opaque(offset) & LARGEST_OFFSET;
	udp = frame_bytes(ctx, offset, sizeof(*udp), &udp_copy);
	if (!udp)
		return FASTPATH_REASON_IGNORED;
	if (!is_sip_port(on, udp->dest)) {
		note_other_port(ctx, on, offset + sizeof(*udp));
		return FASTPATH_REASON_IGNORED;
	}
	length = bpf_ntohs(udp->len);
	if (length < (__s32)sizeof(*udp))
		return FASTPATH_REASON_IGNORED;

	/*
	 * The payload ends where the UDP length says, but not behind the IP
	 * packet: what follows there is Ethernet padding. A first fragment
	 * claims the length of the whole datagram and holds a part of it.
	 */
	if (length > packet->left)
		length = packet->left;
	sip.source = packet->source;
	sip.has_no_source_port = udp->source == 0;
	sip.is_fragment = packet->is_fragment;
	sip.payload_offset = offset + sizeof(*udp);
	sip.payload_length = length - (__s32)sizeof(*udp);
	note_datagram(on, &sip);
	return judge_datagram(ctx, on, &sip);
}

/* The reason for what becomes of a frame. */
static __always_inline enum fastpath_reason judge_frame(struct xdp_md *ctx, __u64 on)
{
	struct outer_headers outer_copy;
	enum fastpath_reason reason;
	const struct ethhdr *ethernet;
	struct ip_packet packet = {};
	const struct iphdr *ip;
	__u64 offset = sizeof(*ethernet);
	__be16 type;

	ethernet = frame_bytes(ctx, 0, sizeof(*ethernet) + sizeof(*ip), &outer_copy.ethernet);
	if (!ethernet)
		return FASTPATH_REASON_IGNORED;
	type = ethernet->h_proto;
	ip = (const void *)(ethernet + 1);

	if (IS_ON(on, VLAN)) {
		if (is_tag(type)) {
			/* The next type stands behind each tag's two bytes. */
			type = *(const __be16 *)((const void *)ip + 2);
			offset += 4;
			if (is_tag(type)) {
				type = *(const __be16 *)((const void *)ip + 6);
				offset += 4;
			}
		}
		/* One way for all, with tags or without. */
		offset = forget(offset, type);
		if (offset > sizeof(*ethernet) + 4 * FASTPATH_TAG_LIMIT)
			return FASTPATH_REASON_IGNORED; /* cannot be */
		ip = frame_bytes(ctx, offset, sizeof(*ip), &outer_copy.ip);
		if (!ip)
			return FASTPATH_REASON_IGNORED;
	}
	if (type == bpf_htons(ETHERTYPE_IPV4))
		reason = parse_ipv4(on, offset, ip, &packet);
	else if (IS_ON(on, IPV6) && type == bpf_htons(ETHERTYPE_IPV6))
		reason = parse_ipv6(ctx, on, offset, &packet);
	else {
		note_unfiltered_type(ctx, on, offset, type);
		return FASTPATH_REASON_IGNORED;
	}
	if (reason != FASTPATH_REASON_PASSED)
		return reason;
	if (IS_ON(on, IPV6) && !forget_family(&packet))
		return FASTPATH_REASON_IGNORED; /* cannot be */
	return judge_udp(ctx, on, &packet);
}

#endif /* FASTPATH_PARSE_H */
