/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What parsing hands to the rules. */
#ifndef FASTPATH_DATAGRAM_H
#define FASTPATH_DATAGRAM_H

/* Where a packet came from. */
struct source {
	/* The upper half of an IPv6 address, or an IPv4 address; host byte order. */
	__u64 high;
	/* The lower half of an IPv6 address. */
	__u64 low;
	bool is_ipv6;
};

/* An IP packet that carries UDP, whole or the first fragment. */
struct ip_packet {
	struct source source;
	bool is_fragment;
	__u32 udp_offset; /* bytes from the start of the frame, at most LARGEST_OFFSET */
	__s32 left;	  /* bytes of the packet from there on, as its header claims */
};

/* A UDP datagram to a SIP port, or the first fragment of one. */
struct sip_datagram {
	struct source source;
	bool is_fragment;
	bool has_no_source_port; /* it is 0 */
	__u32 payload_offset;	 /* bytes from the start of the frame */
	__s32 payload_length;	 /* bytes, as the headers claim: the frame may hold fewer; below 0 for none */
	__u32 kinds;		 /* what the lists say of the source: FASTPATH_POLICY_BLOCK and so on */
	enum fastpath_class class;
};

#endif /* FASTPATH_DATAGRAM_H */
