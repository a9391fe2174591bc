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

/* Has a consumer registered the address and the port (enum fastpath_endpoint_tail)? */
static __always_inline int has_endpoint(const struct fastpath_consumer *consumer, __u64 high, __u64 low,
					__u64 tail)
{
	__u32 count = consumer->endpoint_count;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FASTPATH_CONSUMER_ENDPOINTS && i < count; i++) {
		const struct fastpath_endpoint *endpoint = &consumer->endpoints[i];

		/* The tail is written last, and taken away first. */
		if (*(const volatile __u64 *)&endpoint->tail == tail && endpoint->high == high &&
		    endpoint->low == low)
			return 1;
	}
	return 0;
}

/*
 * Does the consumer of the packet's queue take it? 1 or 0. `destination`: where
 * in the frame its address is; `port`: in network byte order. Who has
 * registered nothing (another program's consumer) takes everything.
 */
ON_ITS_OWN int is_taken(struct xdp_md *ctx, __u32 destination, __u32 port, __u32 is_ipv6)
{
	__u32 queue = ctx->rx_queue_index;
	struct fastpath_consumer *consumer = bpf_map_lookup_elem(&xsk_consumers, &queue);
	__u64 beat, high, low = 0;
	const __be32 *address;
	__be32 copy[4];

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
	if (destination > LARGEST_OFFSET)
		return 0; /* cannot be */
	if (is_ipv6) {
		address = frame_bytes(ctx, destination, 16, copy);
		if (!address)
			return 0;
		high = (__u64)bpf_ntohl(address[0]) << 32 | bpf_ntohl(address[1]);
		low = (__u64)bpf_ntohl(address[2]) << 32 | bpf_ntohl(address[3]);
	} else {
		address = frame_bytes(ctx, destination, 4, copy);
		if (!address)
			return 0;
		high = bpf_ntohl(address[0]);
	}
	if (has_endpoint(consumer, high, low, FASTPATH_ENDPOINT_TAIL(bpf_ntohs(port), is_ipv6)))
		return 1;
	COUNT_FOR_CONSUMER(consumer, unwanted);
	return 0;
}

#endif /* FASTPATH_CONSUMER_H */
