/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Every map of the program. Names, types and sizes are public (fastpath_abi.h):
 * operators read and write them with bpftool, and the loader may set other
 * sizes at load time.
 */
#ifndef FASTPATH_MAPS_H
#define FASTPATH_MAPS_H

/* Key: receive queue. Value: AF_XDP socket. A consumer writes, the program reads. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, FASTPATH_XSKS_ENTRIES);
} xsks_map SEC(".maps");

/* Key: IPv4 source in network byte order, as in the packet. Value: 1. User space writes, the program reads.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u8);
	__uint(max_entries, FASTPATH_ALLOWED_ENTRIES);
} allowed_ips SEC(".maps");

/* Key: IPv4 source in network byte order, as in the packet. Value: 1. User space writes, the program reads.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u8);
	__uint(max_entries, FASTPATH_BLOCKED_ENTRIES);
} blocked_ips SEC(".maps");

/* Key: id of a counted reason. Value: packets, one cell a CPU. The program writes, user space reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, FASTPATH_COUNTERS_ENTRIES);
} xdp_counters SEC(".maps");

/*
 * Where the first bytes of a payload are laid out that do not lie in the first
 * buffer, or are too many to be looked at in place. Longer than the longest by
 * a word, as far as the verifier sees the searches read. One value a CPU; the
 * program writes and reads it.
 */
struct line_copy {
	__u8 bytes[FASTPATH_FIRST_LINE_LIMIT + 8] __attribute__((aligned(8)));
	/* Through memory, so that the verifier does not follow every value they could have had. */
	volatile __u64 line_length;
	volatile __u64 line_is_whole;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct line_copy);
	__uint(max_entries, 1);
} line_copies SEC(".maps");

#endif /* FASTPATH_MAPS_H */
