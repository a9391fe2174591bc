/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of libbpf's: helpers that fuzz/packet.c carries out. */
#ifndef FASTPATH_FUZZ_BPF_HELPERS_H
#define FASTPATH_FUZZ_BPF_HELPERS_H

#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
#define __noinline	__attribute__((noinline))
#define SEC(name)	__attribute__((section(name), used))

#define __uint(name, number) int(*name)[number]
#define __type(name, type)   typeof(type) *name
#define __array(name, type)  typeof(type) *name[]

/* What a map's declaration says: libbpf reads the same from its type. */
#define MAP_NUMBER(map, name) (sizeof(*(map)->name) / sizeof(int))

void *host_map_lookup(void *map, __u32 type, __u32 entries, size_t value_size, const void *key);
#define bpf_map_lookup_elem(map, key)                                                                        \
	host_map_lookup(map, MAP_NUMBER(map, type), MAP_NUMBER(map, max_entries), sizeof(*(map)->value), key)

/* Nothing that the program puts into a hash is read by it for a verdict. */
#define bpf_map_update_elem(map, key, value, flags) ((void)(map), (void)(key), (void)(value), (void)(flags))

long host_redirect(__u32 slot, __u64 flags);
#define bpf_redirect_map(map, slot, flags) host_redirect(slot, flags)

struct xdp_md;
long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 offset, void *copy, __u32 length);
__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx);
long bpf_perf_event_output(struct xdp_md *ctx, void *map, __u64 flags, void *data, __u64 size);
__u64 bpf_jiffies64(void);
__u64 bpf_ktime_get_boot_ns(void);

#endif /* FASTPATH_FUZZ_BPF_HELPERS_H */
