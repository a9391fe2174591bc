/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * SIP that goes by as a switch is off: counted, so that an operator sees what
 * the switch would do. In profile classic nobody looks.
 */
#ifndef FASTPATH_UNFILTERED_H
#define FASTPATH_UNFILTERED_H

/* Counts a frame whose IP header is at `offset`, without extension headers, if it is UDP to a SIP port. */
ON_ITS_OWN int note_unfiltered_ip(struct xdp_md *ctx, __u32 offset, __u32 off)
{
	__u64 on = settings.switches;
	struct ipv6hdr ip_copy;
	const struct ipv6hdr *ip;
	struct udphdr udp_copy;
	const struct udphdr *udp;
	__u8 protocol;

	if (offset > LARGEST_OFFSET)
		return 0;
	/* The shorter header first: a datagram of eight bytes makes up for the rest of the longer one. */
	ip = frame_bytes(ctx, offset, sizeof(struct iphdr), &ip_copy);
	if (!ip)
		return 0;
	if (ip->version == 6) {
		protocol = ip->nexthdr;
		offset += sizeof(*ip);
	} else {
		protocol = ((const struct iphdr *)ip)->protocol;
		offset += ((const struct iphdr *)ip)->ihl * 4;
	}
	udp = protocol == IPPROTO_UDP ? frame_bytes(ctx, offset, sizeof(*udp), &udp_copy) : NULL;
	if (udp && is_sip_port(on, udp->dest))
		count_note(FASTPATH_NOTE_UNFILTERED + off);
	return 0;
}

/* A frame that is not looked into for its type. `offset`: of what follows the type. */
static __always_inline void note_unfiltered_type(struct xdp_md *ctx, __u64 on, __u32 offset, __be16 type)
{
	if (!on)
		return;
	if (!IS_ON(on, VLAN) && is_tag(type))
		note_unfiltered_ip(ctx, offset + 4, __builtin_ctz(FASTPATH_SWITCH_VLAN));
	if (!IS_ON(on, IPV6) && type == bpf_htons(ETHERTYPE_IPV6))
		note_unfiltered_ip(ctx, offset, __builtin_ctz(FASTPATH_SWITCH_IPV6));
}

/* A datagram to another port, which may begin as SIP does. Media come by here: it has to be short. */
static __always_inline void note_other_port(struct xdp_md *ctx, __u64 on, __u32 payload_offset)
{
	const __u8 *payload;
	__u64 copy, word;

	if (!on)
		return;
	payload = frame_bytes(ctx, payload_offset, SIP_SHORTEST, &copy);
	if (!payload)
		return;
	word = sip_first_word(payload);
	if (word == WORD_OPTIONS || word == WORD_REGISTER || (word & SEVEN_BYTES) == WORD_INVITE ||
	    sip_is_response(word))
		count_note(FASTPATH_NOTE_UNFILTERED + __builtin_ctz(FASTPATH_SWITCH_PORTS));
}

#endif /* FASTPATH_UNFILTERED_H */
