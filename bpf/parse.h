/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From a frame to a SIP datagram: Ethernet, VLAN tags, IPv4 (RFC 791), UDP (RFC 768). IPv6 has its own page. */
#ifndef FASTPATH_PARSE_H
#define FASTPATH_PARSE_H

#define ETHERTYPE_IPV4	     0x0800
#define ETHERTYPE_8021Q	     0x8100
#define ETHERTYPE_8021AD     0x88a8
#define FRAGMENT_OFFSET_MASK 0x1fff
#define MORE_FRAGMENTS	     0x2000

enum parsed {
	PARSED_OTHER,	  /* none of our business */
	PARSED_DATAGRAM,  /* a UDP datagram to a SIP port, or the first fragment of one */
	PARSED_FRAGMENT,  /* a later fragment, perhaps of one: it has no ports. Only the source is known */
	PARSED_EXCESSIVE, /* IPv6 with more extension headers than are walked. Only the source is known */
};

/* A UDP datagram to a SIP port. */
struct sip_datagram {
	/* Network byte order. */
	union {
		__u32 ipv4;
		__u64 ipv6[2];
	} source;
	bool is_ipv6;
	bool is_fragment;	/* the first of several */
	bool has_no_source_port; /* it is 0 */
	__u32 payload_offset;	/* bytes from the start of the frame */
	__s32 payload_length;	/* bytes, as the headers claim: the frame may hold fewer; below 0 for none */
};

/*
 * The first two headers, two bytes in: so the addresses lie on a multiple of
 * four, which the verifier demands of reads from the stack.
 */
struct outer_headers {
	__u8 padding[2];
	struct ethhdr ethernet;
	struct iphdr ip;
};

/* The UDP header at `offset`, of an IP packet with `ip_left` bytes from there on. */
static __always_inline enum parsed parse_udp(struct xdp_md *ctx, __u64 on, __u32 offset, __s32 ip_left,
					     struct sip_datagram *sip)
{
	struct udphdr udp_copy;
	const struct udphdr *udp;
	__s32 length;

	udp = frame_bytes(ctx, offset, sizeof(*udp), &udp_copy);
	if (!udp || !is_sip_port(on, udp->dest))
		return PARSED_OTHER;
	length = bpf_ntohs(udp->len);
	if (length < (__s32)sizeof(*udp))
		return PARSED_OTHER;

	/*
	 * The payload ends where the UDP length says, but not behind the IP
	 * packet: what follows there is Ethernet padding. A first fragment
	 * claims the length of the whole datagram and holds a part of it.
	 */
	if (length > ip_left)
		length = ip_left;
	sip->has_no_source_port = udp->source == 0;
	sip->payload_offset = offset + sizeof(*udp);
	sip->payload_length = length - (__s32)sizeof(*udp);
	return PARSED_DATAGRAM;
}

static __always_inline enum parsed parse_ipv4(struct xdp_md *ctx, __u64 on, __u32 offset, const struct iphdr *ip,
					      struct sip_datagram *sip)
{
	__u32 header_length;

	if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return PARSED_OTHER;
	sip->source.ipv4 = ip->saddr;
	sip->is_ipv6 = false;
	/* Only the first fragment has the UDP header. */
	if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET_MASK))
		return PARSED_FRAGMENT;
	sip->is_fragment = ip->frag_off & bpf_htons(MORE_FRAGMENTS);
	header_length = ip->ihl * 4;
	return parse_udp(ctx, on, offset + header_length, (__s32)bpf_ntohs(ip->tot_len) - (__s32)header_length,
			 sip);
}

#include "parse_ipv6.h"

/* Fills `sip`; how far, the answer says. */
static __always_inline enum parsed parse_frame(struct xdp_md *ctx, __u64 on, struct sip_datagram *sip)
{
	struct outer_headers outer_copy;
	const struct ethhdr *ethernet;
	const struct iphdr *ip;
	__u64 offset = sizeof(*ethernet);
	__be16 type;

	ethernet = frame_bytes(ctx, 0, sizeof(*ethernet) + sizeof(*ip), &outer_copy.ethernet);
	if (!ethernet)
		return PARSED_OTHER;
	type = ethernet->h_proto;
	ip = (const void *)(ethernet + 1);

	if (IS_ON(on, VLAN) && (type == bpf_htons(ETHERTYPE_8021Q) || type == bpf_htons(ETHERTYPE_8021AD))) {
		/* The type stands behind each tag's two bytes. */
		type = *(const __be16 *)((const void *)ip + 2);
		offset += 4;
		if (type == bpf_htons(ETHERTYPE_8021Q) || type == bpf_htons(ETHERTYPE_8021AD)) {
			type = *(const __be16 *)((const void *)ip + 6);
			offset += 4;
		}
		offset = forget(offset, type);
		if (offset > sizeof(*ethernet) + 4 * FASTPATH_TAG_LIMIT)
			return PARSED_OTHER; /* cannot be */
		if (type == bpf_htons(ETHERTYPE_IPV4)) {
			ip = frame_bytes(ctx, offset, sizeof(*ip), &outer_copy.ip);
			if (!ip)
				return PARSED_OTHER;
		}
	}
	if (type == bpf_htons(ETHERTYPE_IPV4))
		return parse_ipv4(ctx, on, offset, ip, sip);
	if (IS_ON(on, IPV6) && type == bpf_htons(ETHERTYPE_IPV6))
		return parse_ipv6(ctx, on, offset, sip);
	return PARSED_OTHER;
}

#endif /* FASTPATH_PARSE_H */
