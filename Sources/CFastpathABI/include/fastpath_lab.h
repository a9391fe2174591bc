/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-3-Clause */
/*
 * What the lab's programs (bpf/lab/) share with the code that runs them. The
 * edge itself uses none of this.
 */
#ifndef FASTPATH_LAB_H
#define FASTPATH_LAB_H

#ifndef __bpf__
#include <stdint.h>
#endif

#define FASTPATH_FLOOD_PROGRAM "flood"
#define FASTPATH_FLOOD_MAP     "flood_state"

#define FASTPATH_EMPTY_PROGRAM "empty_drop"
#define FASTPATH_FLOOR_PROGRAM "floor_drop"
#define FASTPATH_FLOOR_MAP     "floor_sources"

#define FASTPATH_MIX_PROGRAM	   "mix"
#define FASTPATH_MIX_TEMPLATES_MAP "mix_templates"
#define FASTPATH_MIX_TARGET_MAP	   "mix_target"

/*
 * The only entry of flood_state. User space writes it once, then the program
 * alone writes `next` and `redirected`. Sums are those of RFC 1071, folded or
 * not, over 16-bit words as they lie in memory.
 */
struct fastpath_flood_state {
	/* Where the frames leave. */
	uint32_t ifindex;
	/* IPv4, host byte order; `source_count` (at least 1) consecutive ones are taken in turn. */
	uint32_t first_source;
	uint32_t source_count;
	/* Of the sources, counted from 0. */
	uint32_t next;
	/* Of the IP header without source and checksum. */
	uint32_t ip_sum;
	/* Of the datagram and its pseudo header without source, checksum and stamp. */
	uint32_t udp_sum;
	/* Where in the frame its number is written in hexadecimal digits; even; 0: nowhere. */
	uint32_t stamp_offset;
	uint32_t padding;
	/* Frames handed to the interface so far. */
	uint64_t redirected;
};

/* Digits in a stamp. */
#define FASTPATH_STAMP_LENGTH 8

/* No stamp beyond this offset: the verifier wants a bound. */
#define FASTPATH_STAMP_LIMIT 1024

/* Templates of mixed traffic; a power of two. */
#define FASTPATH_MIX_COUNT 4096

/* Leading bytes of a frame that a template replaces; the frame given to the test run has at least as many. */
#define FASTPATH_MIX_LENGTH 144

/* An entry of mix_templates. User space writes, the program reads. */
struct fastpath_mix_template {
	uint64_t words[FASTPATH_MIX_LENGTH / 8];
};

/*
 * bpf/lab/policy_probe.bpf.c: programs that ask the policy table. "Sweeps" take
 * their source from probe_sources, at random.
 */
#define FASTPATH_PROBE_PROGRAM	   "policy_probe"
#define FASTPATH_SWEEP_NONE	   "policy_sweep_none"
#define FASTPATH_SWEEP_IPV4	   "policy_sweep4"
#define FASTPATH_SWEEP_IPV6	   "policy_sweep6"
#define FASTPATH_SWEEP_HASH	   "policy_sweep_hash"
#define FASTPATH_SWEEP_TRIE	   "policy_sweep_trie"
#define FASTPATH_PROBE_SOURCES_MAP "probe_sources"
#define FASTPATH_PROBE_RESULT_MAP  "probe_result"
#define FASTPATH_PROBE_HASH_MAP	   "probe_hash"
#define FASTPATH_PROBE_TRIE_MAP	   "probe_trie"

/* Sources of a sweep; a power of two. */
#define FASTPATH_PROBE_COUNT 65536

/* The answer where there is no source to ask for; kinds are below it. */
#define FASTPATH_PROBE_NO_SOURCE 8

/* User space writes. IPv4 addresses are in `low`; all in host byte order. */
struct fastpath_probe_source {
	uint64_t high;
	uint64_t low;
	/* Kinds that the answer must have, and those that it may have. */
	uint32_t must;
	uint32_t may;
};

/* Answers of sweeps that had what they may not have, or lacked what they must have; and the last of them. */
struct fastpath_probe_result {
	/* User space writes: how many of the sources are taken, a power of two, less 1. */
	uint64_t mask;
	uint64_t wrong;
	uint64_t high;
	uint64_t low;
	uint64_t kinds;
};

#ifndef __bpf__
_Static_assert(sizeof(struct fastpath_flood_state) == 40, "flood_state has no padding");
_Static_assert(sizeof(struct fastpath_mix_template) == FASTPATH_MIX_LENGTH, "whole words");
#endif

#endif /* FASTPATH_LAB_H */
