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

#ifndef __bpf__
_Static_assert(sizeof(struct fastpath_flood_state) == 40, "flood_state has no padding");
_Static_assert(sizeof(struct fastpath_mix_template) == FASTPATH_MIX_LENGTH, "whole words");
#endif

#endif /* FASTPATH_LAB_H */
