/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-3-Clause */
/*
 * The policy table: block, allow and trust entries for IPv4 and IPv6, any
 * prefix length, read by the program for each packet and changed by user space
 * through mapped memory, while it is read. Why it is so:
 * docs/decisions/0020-policy-table.md.
 *
 *   policy_root4     IPv4, by the upper 16 bits: the records that cover all of it, and where to look further
 *   policy_blocks    IPv4 networks of lengths 17 to 31, by the third and the fourth byte
 *   policy_root6     IPv6, by the upper 32 bits (hashed): the prefix lengths that a source can be in at all
 *   policy_index     a hash: single IPv4 addresses, IPv6 prefixes
 *   policy_records   what is known of a prefix; all others lead here
 *   policy_control   the generation, the secret of the hash, the clock, the writer's notes
 *
 * User space writes all of it, but for what is marked "the program's". All are
 * arrays whose sizes are known when the program is loaded, so that the kernel
 * makes plain loads of the look-ups. All words are in host byte order,
 * addresses as numbers: 192.0.2.1 is 0xc0000201. A record, block or bucket is
 * named by its number; record 0 and block 0 are none.
 */
#ifndef FASTPATH_POLICY_H_ABI
#define FASTPATH_POLICY_H_ABI

#ifdef __bpf__
#define FASTPATH_INLINE static __always_inline
#else
#include <stdint.h>
#define FASTPATH_INLINE static inline
#endif

#define FASTPATH_POLICY_CONTROL_MAP "policy_control"
#define FASTPATH_POLICY_ROOT4_MAP   "policy_root4"
#define FASTPATH_POLICY_BLOCKS_MAP  "policy_blocks"
#define FASTPATH_POLICY_ROOT6_MAP   "policy_root6"
#define FASTPATH_POLICY_INDEX_MAP   "policy_index"
#define FASTPATH_POLICY_RECORDS_MAP "policy_records"

/* Kinds of entry, and the union of them that a look-up answers with. A kind's number is that of its bit. */
#define FASTPATH_POLICY_BLOCK	   1
#define FASTPATH_POLICY_ALLOW	   2
#define FASTPATH_POLICY_TRUST	   4
#define FASTPATH_POLICY_KINDS	   7
#define FASTPATH_POLICY_KIND_COUNT 3

/* The number of a record or a block in a word; so there are fewer than 2^30 of each. */
#define FASTPATH_POLICY_NUMBER 0x3fffffff

/*
 * A word of policy_root4 is two: the upper half has the most specific record of
 * lengths 0 to 16; the lower half is as a word of a block:
 *   bits 0-29  the most specific record of lengths 17 to 31 (in a root: none, 0),
 *              or, with bit 31, the number of the block that knows more
 *   bit 30     there may be single addresses below: look into policy_index.
 *              In the root, or in the block of the third byte where there is one.
 */
#define FASTPATH_POLICY_ROOT4_WORDS   65536
#define FASTPATH_POLICY_RECORD_SHIFT  32
#define FASTPATH_POLICY_SINGLES	      0x40000000
#define FASTPATH_POLICY_DEEPER	      0x80000000
#define FASTPATH_POLICY_BLOCK_WORDS   256
#define FASTPATH_POLICY_LENGTHS_ROOT4 16

struct fastpath_policy_block {
	uint32_t words[FASTPATH_POLICY_BLOCK_WORDS];
};

/*
 * A bucket of the index. A word that is not 0, but for the last one's bit 30:
 *   bits 32-63  IPv4: the address; IPv6: the lower half of the prefix's hash
 *   bit 31      an IPv6 prefix
 *   bit 30      in the last word, whatever else it holds: this bucket was full,
 *               so that there may be more in the next one
 *   bits 0-29   the record
 */
#define FASTPATH_POLICY_WAYS	  4
#define FASTPATH_POLICY_TAG_SHIFT 32
#define FASTPATH_POLICY_IS_IPV6	  0x80000000
#define FASTPATH_POLICY_SPILLED	  0x40000000

/* Buckets that are read for one prefix at most. */
#define FASTPATH_POLICY_HOPS 8

struct fastpath_policy_bucket {
	uint64_t words[FASTPATH_POLICY_WAYS];
};

/*
 * IPv6: for the upper 32 bits of an address, hashed, the prefix lengths from 32
 * on that may cover it; shorter ones are in the control. Length n is bit 128 - n
 * of `low` or 64 - n of `high`: the lowest is the most specific. Bits that are
 * set in vain cost time, no more.
 */
#define FASTPATH_POLICY_ROOT6_LINES 65536
#define FASTPATH_POLICY_ROOT6_SHORT 31

struct fastpath_policy_lengths6 {
	uint64_t low;
	uint64_t high;
};

/* When an entry ends: 0 it is not there, NEVER it stays, else a second of the boot-time clock. */
#define FASTPATH_POLICY_NEVER 0xffffffff

/*
 * A record's state: the generation from which on `next` counts, and `now` before
 * it; below that the prefix's length and family; 0: the record is free.
 */
#define FASTPATH_POLICY_STAMP_SHIFT  16
#define FASTPATH_POLICY_LENGTH_MASK  0xff
#define FASTPATH_POLICY_FAMILY_SHIFT 8
#define FASTPATH_POLICY_FAMILY4	     1
#define FASTPATH_POLICY_FAMILY6	     2
#define FASTPATH_POLICY_IDENTITY     0xffff

/*
 * Seconds before a record that was removed is used again. A program that saw it
 * counts its hit at once; one that took longer would be reported by the kernel
 * as a stalled reader (after 21 seconds by default).
 */
#define FASTPATH_POLICY_REST 32

/* A free record that rests has the next one that does in `low`, and in `high` the second when it was freed.
 */
struct fastpath_policy_record {
	/* The program's, on the drop path only: packets dropped because of the block entry. */
	uint64_t hits;
	/* The program's: the second of the boot-time clock of the last of them; 0: none. */
	uint32_t last_hit;
	/* IPv4: the next less specific record of lengths 0 to 16, or 17 to 31, that covers this one. */
	uint32_t parent;
	/*
	 * The prefix. IPv4: in `low`. IPv6: with a 1 behind its last bit, so that none
	 * is taken for a longer one; an address of length 128 has none.
	 */
	uint64_t high;
	uint64_t low;
	uint64_t state;
	/* By the kind's number. */
	uint32_t now[FASTPATH_POLICY_KIND_COUNT];
	uint32_t next[FASTPATH_POLICY_KIND_COUNT];
};

/* The only entry of policy_control. */
struct fastpath_policy_control {
	/* A record's `next` counts where this is not less than its state: all lower bits are set. */
	uint64_t generation;
	/* Nobody who does not know it can choose sources that meet in a bucket. */
	uint64_t secret;
	/* Turns a hash into the number of its bucket. */
	uint64_t index_shift;
	/* Lengths up to FASTPATH_POLICY_ROOT6_SHORT that any IPv6 prefix has: length n is bit 64 - n. */
	uint64_t short_lengths6;
	/* The program's: a second (lower half) and when it was read, in jiffies (upper half): see clock.h. */
	uint64_t clock;
	/* Not 0: the time in place of the clock, in microseconds. For tests. */
	uint64_t given_micros;
	/* The record of all IPv6 sources, ::/0; 0: none. */
	uint32_t all6;
	uint32_t padding[3];

	/* The rest is the writer's. Not 0: one is at work, or has died at it. */
	uint32_t dirty;
	/* 0: nobody has made the table ready. */
	uint32_t version;
	/* Prefixes. */
	uint32_t records_used;
	/* Records from this on were never used. */
	uint32_t records_fresh;
	/* Records that rest, the first to be used again and the last; 0: none. */
	uint32_t resting_first;
	uint32_t resting_last;
	uint32_t blocks_used;
	uint32_t blocks_fresh;
	/* A free block, whose first word has the next one. */
	uint32_t blocks_free;
	/* Records taken out since the table was tidied: they left flags and blocks behind that only cost time
	 * and room. */
	uint32_t stale;
	uint32_t padding2[6];
};

/* Of the layout; another one is refused. */
#define FASTPATH_POLICY_VERSION 2

_Static_assert(sizeof(struct fastpath_policy_block) == 1024, "no padding");
_Static_assert(sizeof(struct fastpath_policy_bucket) == 32, "half a cache line");
_Static_assert(sizeof(struct fastpath_policy_lengths6) == 16, "no padding");
_Static_assert(sizeof(struct fastpath_policy_record) == 64, "a cache line");
_Static_assert(sizeof(struct fastpath_policy_control) == 128, "the program's line and the writer's");

#define FASTPATH_POLICY_FACTOR1 0x9e3779b97f4a7c15ULL
#define FASTPATH_POLICY_FACTOR2 0xbf58476d1ce4e5b9ULL

/* The hash of a single IPv4 address. The second round spreads runs of neighbours, whatever the secret. */
FASTPATH_INLINE uint64_t fastpath_policy_hash4(uint32_t address, uint64_t secret)
{
	uint64_t hash = address * (secret | 1);

	hash ^= hash >> 32;
	return hash * FASTPATH_POLICY_FACTOR1;
}

/* The hash of an IPv6 prefix as a record has it. */
FASTPATH_INLINE uint64_t fastpath_policy_hash6(uint64_t high, uint64_t low, uint64_t secret)
{
	uint64_t hash = high * (secret | 1);

	hash ^= hash >> 32;
	hash = (hash + low) * FASTPATH_POLICY_FACTOR2;
	hash ^= hash >> 32;
	hash *= FASTPATH_POLICY_FACTOR1;
	return hash ^ hash >> 32;
}

/* What a word of the index has for a prefix, but for the record. */
FASTPATH_INLINE uint64_t fastpath_policy_key4(uint32_t address)
{
	return (uint64_t)address << FASTPATH_POLICY_TAG_SHIFT;
}

FASTPATH_INLINE uint64_t fastpath_policy_key6(uint64_t hash)
{
	return hash << FASTPATH_POLICY_TAG_SHIFT | FASTPATH_POLICY_IS_IPV6;
}

/* Where in policy_root6 an address is. `high`: its upper 64 bits. */
FASTPATH_INLINE uint32_t fastpath_policy_root6_line(uint64_t high)
{
	return (high >> 32) * FASTPATH_POLICY_FACTOR1 >> 48;
}

#ifndef __bpf__

/* Stores that a concurrent reader sees whole, and not before what was stored earlier. */
static inline void fastpath_policy_store64(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void fastpath_policy_store32(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint64_t fastpath_policy_load64(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline uint32_t fastpath_policy_load32(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* A count that programs add to at the same time: takes all of it away. */
static inline uint64_t fastpath_policy_take64(uint64_t *word)
{
	return __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);
}

static inline void fastpath_policy_add64(uint64_t *word, uint64_t value)
{
	__atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}

/* A time that programs move on at the same time: never moves it back. */
static inline void fastpath_policy_raise32(uint32_t *word, uint32_t value)
{
	uint32_t known = __atomic_load_n(word, __ATOMIC_ACQUIRE);

	while (known < value &&
	       !__atomic_compare_exchange_n(word, &known, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

#endif /* __bpf__ */
#endif /* FASTPATH_POLICY_H_ABI */
