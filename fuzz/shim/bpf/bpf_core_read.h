/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of libbpf's. What a kernel has is for fuzz/packet.c to say. */
extern _Bool host_has_several_buffers;
#define HAS_SEVERAL_BUFFERS host_has_several_buffers
