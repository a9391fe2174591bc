/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The maps of the program but those of the policy table. Names, types and sizes are public (fastpath_abi.h):
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
 * buffer, or are too many to be looked at in place. One value a CPU; the program
 * writes and reads it.
 */
struct line_copy {
	__u8 window[FASTPATH_WINDOW_LENGTH + 8] __attribute__((aligned(8)));
	/* Zeros. The search compares what lies before a byte, at the line's start too. */
	__u64 before;
	/*
	 * Longer than the longest line by what follows its end, and as far as the
	 * verifier sees the search read: no byte of its table is above 255.
	 */
	__u8 bytes[FASTPATH_FIRST_LINE_LIMIT + 32 + 256];
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

/* What is remembered of the packet in hand, and how many were not sampled since the last. One value a CPU. */
struct packet_note {
	struct source source;
	__u32 payload_offset;
	__s32 payload_length;
	__u32 would_be; /* of enum fastpath_reason: the first rule in dry run that found it guilty; or IGNORED
			 */
	__u32 skipped;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct packet_note);
	__uint(max_entries, 1);
} packet_notes SEC(".maps");

/* Key: receive queue. Value: who reads its socket. A consumer writes, in memory; the program reads, and
 * counts what it keeps from it. The loader gives it as many entries as xsks_map has. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fastpath_consumer);
} xsk_consumers SEC(".maps");

/* Key: FASTPATH_NOTE_*. Value: packets, one cell a CPU. The program writes, user space reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, FASTPATH_NOTES_ENTRIES);
} edge_notes SEC(".maps");

/*
 * When the next packet of a source is due (struct fastpath_limit_line). The
 * loader gives it FASTPATH_LIMIT_LINES where there are limits.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct fastpath_limit_line);
	__uint(max_entries, 1);
} limit_cells SEC(".maps");

/* When the next packet of all strangers together is due, in 1/1024 of a microsecond. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} limit_budget SEC(".maps");

/* Which decisions are sampled: user space writes, the program reads (and counts in `taken`). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct fastpath_sample_control);
	__uint(max_entries, 1);
} sample_control SEC(".maps");

/* Key: CPU. Who reads samples opens a perf buffer there; closed, it is gone, however its process ended. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} samples SEC(".maps");

/* Whose packets rules in dry run would have dropped: the most recent ones. The program writes, user space
 * reads. The loader gives it FASTPATH_DRY_RUN_SOURCES_ENTRIES where a rule is in dry run. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct fastpath_dry_run_key);
	__type(value, struct fastpath_dry_run_source);
	__uint(max_entries, 1);
} dry_run_sources SEC(".maps");

#endif /* FASTPATH_MAPS_H */
