/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Who reads the AF_XDP socket of a receive queue (struct fastpath_consumer): a
 * datagram goes there only if it is for an address and port of theirs, and while
 * they read. All else is the kernel's, as without a socket.
 */
#ifndef FASTPATH_CONSUMER_H
#define FASTPATH_CONSUMER_H

/* Of one queue on one CPU at a time, as a driver has it: no lock. */
#define COUNT_FOR_CONSUMER(consumer, what) ((consumer)->what += 1)

/* Has the consumer of a queue registered the address and the port (FASTPATH_ENDPOINT_TAIL)? 1 or 0. */
ON_ITS_OWN int has_endpoint(__u32 queue, __u64 high, __u64 low, __u64 tail)
{
	const struct fastpath_consumer *consumer = bpf_map_lookup_elem(&xsk_consumers, &queue);
	__u64 found = 0;
	__u32 count;

	if (!consumer)
		return 0;
	count = consumer->endpoint_count;
	/* The tail is written last, and taken away first. Without a way out for each: half as much to verify.
	 */
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FASTPATH_CONSUMER_ENDPOINTS && i < count; i++) {
		const struct fastpath_endpoint *endpoint = &consumer->endpoints[i];
		__u64 wrong = (*(const volatile __u64 *)&endpoint->tail ^ tail) | (endpoint->high ^ high) |
			      (endpoint->low ^ low);

		found |= (wrong - 1) & ~wrong;
	}
	return found >> 63;
}

/*
 * Has the consumer registered where a frame goes? Read anew: this way is rare,
 * and what is carried here would be carried by every packet. Each is read at
 * once into a number, for one way from there on, wherever the driver has it.
 */
ON_ITS_OWN int has_destination(struct xdp_md *ctx, __u32 queue, __u32 payload_offset)
{
	__u32 offset = sizeof(struct ethhdr);
	__be16 types_copy[5], port_copy;
	const __be16 *types, *port;
	__u64 high, low, tail, first, second, third;
	const __be32 *words;
	__be32 copy[4];

	types = frame_bytes(ctx, 12, sizeof(types_copy), types_copy);
	if (!types)
		return 0;
	first = types[0];
	second = types[2];
	third = types[4];
	if (is_tag(first)) {
		first = second;
		offset += 4;
		if (is_tag(first)) {
			first = third;
			offset += 4;
		}
	}
	/* The UDP header's third and fourth byte; the bound is to be known of the number that is used. */
	port = frame_bytes(ctx, opaque(payload_offset - 6) & LARGEST_OFFSET, sizeof(*port), &port_copy);
	if (!port)
		return 0;
	tail = FASTPATH_ENDPOINT_TAIL(bpf_ntohs(*port), first == bpf_htons(ETHERTYPE_IPV6));
	/* Of IPv4 the last 16 bytes of the fixed header: one look for both families. */
	offset += first == bpf_htons(ETHERTYPE_IPV6) ? __builtin_offsetof(struct ipv6hdr, daddr)
						     : __builtin_offsetof(struct iphdr, id);
	words = frame_bytes(ctx, opaque(forget(offset, first)) & LARGEST_OFFSET, sizeof(copy), copy);
	if (!words)
		return 0;
	high = (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
	low = (__u64)bpf_ntohl(words[2]) << 32 | bpf_ntohl(words[3]);
	if (first == bpf_htons(ETHERTYPE_IPV4)) {
		high = (__u32)low;
		low = forget(0, high);
	}
	return has_endpoint(queue, high, low, tail);
}

/*
 * Does the consumer of the packet's queue take it? Who has registered nothing
 * (another program's consumer) takes everything. 1 or 0.
 */
ON_ITS_OWN int is_taken(struct xdp_md *ctx, __u32 payload_offset)
{
	__u32 queue = ctx->rx_queue_index;
	struct fastpath_consumer *consumer = bpf_map_lookup_elem(&xsk_consumers, &queue);
	__u64 beat;

	if (!consumer)
		return 1;
	beat = *(volatile __u64 *)&consumer->beat;
	if (!beat)
		return 1;
	/* The program's clock is up to a jiffy behind the consumer's. */
	if ((__s64)(clock_micros() - beat) > FASTPATH_BEAT_LIMIT) {
		COUNT_FOR_CONSUMER(consumer, stale);
		return 0;
	}
	if (frame_length(ctx) > consumer->longest) {
		COUNT_FOR_CONSUMER(consumer, too_long);
		return 0;
	}
	if (has_destination(ctx, queue, payload_offset))
		return 1;
	COUNT_FOR_CONSUMER(consumer, unwanted);
	return 0;
}

#endif /* FASTPATH_CONSUMER_H */
