/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* How the bytes of a frame are reached, wherever the driver put them. */
#ifndef FASTPATH_FRAME_H
#define FASTPATH_FRAME_H

/*
 * The helpers that see beyond the linear part came with Linux 5.18. On an
 * older kernel the relocation makes this 0, the verifier removes the calls,
 * and nothing is lost: such a kernel has no frames of several buffers.
 */
#ifndef HAS_SEVERAL_BUFFERS /* a test builds without */
#define HAS_SEVERAL_BUFFERS bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_xdp_load_bytes)
#endif

/*
 * A function that the verifier walks once and on its own, whatever calls it
 * (Linux 5.6). For long ways that few packets take; takes ctx and numbers.
 */
#define ON_ITS_OWN __attribute__((noinline))

/* No place in a frame is further from its start: the largest frames are shorter. */
#define LARGEST_OFFSET 0x3fff

/*
 * Forgets what the verifier knows of a number, so that it need not follow each
 * value on its own: what comes after is walked once. `unknown`: any number that
 * the verifier does not know.
 */
static __always_inline __u64 forget(__u64 number, __u64 unknown)
{
#ifdef __bpf__ /* else a host's compiler, for the fuzzer */
	asm volatile("%0 += %1\n\t%0 -= %1" : "+r"(number) : "r"(unknown));
#else
	(void)unknown;
#endif
	return number;
}

/*
 * Keeps the compiler from knowing a number by another one: before Linux 6.8 the
 * verifier does not, where a number was spilled or narrowed.
 */
static __always_inline __u64 opaque(__u64 number)
{
#ifdef __bpf__
	asm volatile("" : "+r"(number));
#endif
	return number;
}

#define ETHERTYPE_IPV4	 0x0800
#define ETHERTYPE_IPV6	 0x86dd
#define ETHERTYPE_8021Q	 0x8100
#define ETHERTYPE_8021AD 0x88a8

static __always_inline bool is_tag(__be16 type)
{
	return type == bpf_htons(ETHERTYPE_8021Q) || type == bpf_htons(ETHERTYPE_8021AD);
}

/* Bytes in the whole frame, those beyond the linear part included. */
static __always_inline __s64 frame_length(struct xdp_md *ctx)
{
	if (HAS_SEVERAL_BUFFERS)
		return bpf_xdp_get_buff_len(ctx);
	return (const __u8 *)(long)ctx->data_end - (const __u8 *)(long)ctx->data;
}

/*
 * `length` bytes at `offset` of the frame: in place where the driver made them
 * directly readable, else copied to `copy`. NULL where the frame has no such
 * bytes. `length` is a constant that is at least 1.
 */
static __always_inline const void *frame_bytes(struct xdp_md *ctx, __u32 offset, __u32 length, void *copy)
{
	const void *bytes = (const void *)(long)ctx->data + offset;

	if (bytes + length <= (const void *)(long)ctx->data_end)
		return bytes;
	if (HAS_SEVERAL_BUFFERS && bpf_xdp_load_bytes(ctx, offset, copy, length) == 0)
		return copy;
	return NULL;
}

/* For kernels whose frames have one buffer: in words as far as they go, then in bytes. */
static __always_inline bool copy_in_place(const __u8 *bytes, const __u8 *end, __u8 *copy, __u32 length,
					  __u32 limit)
{
	__u64 i;

#pragma clang loop unroll(disable)
	for (i = 0; i + 8 <= limit && i + 8 <= length; i += 8) {
		if (bytes + i + 8 > end)
			return false;
		*(__u64 *)(copy + i) = *(const __u64 *)(bytes + i);
	}
	i = forget(i, length);
	if (i > limit)
		return false; /* cannot be */
	copy += i;
	bytes += i;
#pragma clang loop unroll(disable)
	for (__u32 left = 0; left < 7 && i + left < length && i + left < limit; left++) {
		if (bytes + left + 1 > end)
			return false;
		copy[left] = bytes[left];
	}
	return true;
}

/*
 * Copies `length` bytes, 1 to `limit`, that the frame has at `offset`. False
 * where they cannot be read. `limit` is a constant.
 */
static __always_inline bool frame_copy(struct xdp_md *ctx, __u32 offset, __u8 *copy, __u32 length,
				       __u32 limit)
{
	/*
	 * Shows the verifier the bounds; the barrier keeps the compiler from
	 * knowing better. Less one, for before Linux 6.8 the verifier learns no
	 * lower bound from a comparison with 0.
	 */
	length -= 1;
	asm volatile("" : "+r"(length));
	if (length >= limit)
		return false;
	length += 1;
	if (HAS_SEVERAL_BUFFERS)
		return bpf_xdp_load_bytes(ctx, offset, copy, length) == 0;
	return copy_in_place((const __u8 *)(long)ctx->data + offset, (const __u8 *)(long)ctx->data_end, copy,
			     length, limit);
}

#endif /* FASTPATH_FRAME_H */
