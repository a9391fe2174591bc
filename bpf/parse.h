/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From a frame to a SIP datagram: Ethernet, IPv4 (RFC 791), UDP (RFC 768). */
#ifndef FASTPATH_PARSE_H
#define FASTPATH_PARSE_H

#define ETHERTYPE_IPV4	     0x0800
#define FRAGMENT_OFFSET_MASK 0x1fff

/* A UDP datagram to the SIP port. */
struct sip_datagram {
	__u32 source;	      /* IPv4, network byte order */
	__u32 payload_offset; /* bytes from the start of the frame */
	__s32 payload_length; /* bytes, as the headers claim: the frame may hold fewer; below 0 for none */
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

/* Fills `sip`, or returns false for everything that is none of our business. */
static __always_inline bool parse_sip_datagram(struct xdp_md *ctx, struct sip_datagram *sip)
{
	struct outer_headers outer_copy;
	struct udphdr udp_copy;
	const struct ethhdr *ethernet;
	const struct iphdr *ip;
	const struct udphdr *udp;
	__u32 header_length, udp_offset;
	__s32 length, ip_left;

	ethernet = frame_bytes(ctx, 0, sizeof(*ethernet) + sizeof(*ip), &outer_copy.ethernet);
	if (!ethernet || ethernet->h_proto != bpf_htons(ETHERTYPE_IPV4))
		return false;

	ip = (const void *)(ethernet + 1);
	if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return false;
	/* Only the first fragment has the UDP header. */
	if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET_MASK))
		return false;

	header_length = ip->ihl * 4;
	udp_offset = sizeof(*ethernet) + header_length;
	udp = frame_bytes(ctx, udp_offset, sizeof(*udp), &udp_copy);
	if (!udp || udp->dest != bpf_htons(FASTPATH_SIP_PORT))
		return false;
	length = bpf_ntohs(udp->len);
	if (length < (__s32)sizeof(*udp))
		return false;

	/*
	 * The payload ends where the UDP length says, but not behind the IP
	 * packet: what follows there is Ethernet padding. A first fragment
	 * claims the length of the whole datagram and holds a part of it.
	 */
	ip_left = (__s32)bpf_ntohs(ip->tot_len) - (__s32)header_length;
	if (length > ip_left)
		length = ip_left;

	sip->source = ip->saddr;
	sip->payload_offset = udp_offset + sizeof(*udp);
	sip->payload_length = length - (__s32)sizeof(*udp);
	return true;
}

#endif /* FASTPATH_PARSE_H */
