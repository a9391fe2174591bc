// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/*
 * A flood generator. It runs over live frames (BPF_F_TEST_XDP_LIVE_FRAMES of
 * BPF_PROG_TEST_RUN), gives each frame the next source address, keeps both
 * checksums right and hands it to an interface.
 *
 * A frame is Ethernet, IPv4 without options, UDP with a checksum.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fastpath_lab.h"

#define OFFSET_IP_CHECKSUM  24
#define OFFSET_IP_SOURCE    26
#define OFFSET_UDP_CHECKSUM 40
#define HEADERS_LENGTH	    42

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct fastpath_flood_state);
	__uint(max_entries, 1);
} flood_state SEC(".maps");

/* RFC 1071: the sum folded to 16 bits and inverted. Any byte order, if it is the same throughout. */
static __always_inline __u16 checksum(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A number as eight hexadecimal digits, the most significant first, as they lie in memory. */
static __always_inline __u64 hexadecimal(__u32 number)
{
	__u64 nibbles = 0, letters;

#pragma clang loop unroll(full)
	for (int i = 0; i < FASTPATH_STAMP_LENGTH; i++)
		nibbles |= (__u64)(number >> (4 * i) & 0xf) << (8 * (FASTPATH_STAMP_LENGTH - 1 - i));
	/* '0' + n, and another 'a' - '0' - 10 = 39 for n > 9: eight bytes at once, none overflows. */
	letters = (nibbles + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL;
	return nibbles + 0x3030303030303030ULL + letters * 39;
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	void *frame = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct fastpath_flood_state *state;
	__u32 zero = 0, source, words, offset;
	__u64 udp_sum;
	__u16 udp_checksum;

	state = bpf_map_lookup_elem(&flood_state, &zero);
	if (!state || frame + HEADERS_LENGTH > end)
		return XDP_ABORTED;

	source = bpf_htonl(state->first_source + state->next);
	state->next = state->next + 1 < state->source_count ? state->next + 1 : 0;

	/* The page may come back from a receiver that changed it: all that varies is written anew. */
	words = (source & 0xffff) + (source >> 16);
	*(__u32 *)(frame + OFFSET_IP_SOURCE) = source;
	*(__u16 *)(frame + OFFSET_IP_CHECKSUM) = checksum((__u64)state->ip_sum + words);
	udp_sum = (__u64)state->udp_sum + words;

	offset = state->stamp_offset;
	if (offset && offset <= FASTPATH_STAMP_LIMIT) {
		__u64 stamp = hexadecimal(state->redirected);

		if (frame + offset + FASTPATH_STAMP_LENGTH > end)
			return XDP_ABORTED;
		*(__u64 *)(frame + offset) = stamp;
		udp_sum += (stamp & 0xffff) + (stamp >> 16 & 0xffff) + (stamp >> 32 & 0xffff) + (stamp >> 48);
	}

	udp_checksum = checksum(udp_sum);
	/* RFC 768: 0 means that there is none. */
	*(__u16 *)(frame + OFFSET_UDP_CHECKSUM) = udp_checksum ? udp_checksum : 0xffff;

	state->redirected++;
	return bpf_redirect(state->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
