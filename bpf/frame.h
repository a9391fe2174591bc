/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* How the bytes of a frame are reached, wherever the driver put them. */
#ifndef FASTPATH_FRAME_H
#define FASTPATH_FRAME_H

/*
 * The helpers that see beyond the linear part came with Linux 5.18. On an
 * older kernel the relocation makes this 0, the verifier removes the calls,
 * and nothing is lost: such a kernel has no frames of several buffers.
 */
#define HAS_SEVERAL_BUFFERS bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_xdp_load_bytes)

/* Bytes in the whole frame, those beyond the linear part included. */
static __always_inline __u32 frame_length(struct xdp_md *ctx)
{
	if (HAS_SEVERAL_BUFFERS)
		return bpf_xdp_get_buff_len(ctx);
	return ctx->data_end - ctx->data;
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

#endif /* FASTPATH_FRAME_H */
