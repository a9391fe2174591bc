/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-3-Clause */
/*
 * The policy table: block, allow and trust entries for IPv4 and IPv6, any
 * prefix length, read by the program for each packet and changed by user space
 * through mapped memory, while it is read. Why it is so:
 * docs/decisions/0020-policy-table.md.
 *
 *   policy_root4, policy_root6   which prefix lengths a source can be in at all; nearly always none
 *   policy_control               which tables are in use; counters of the writer; the clock
 *   policy_ipv4, policy_ipv6     two slots for tables; a table is an array of buckets
 *
 * All words are in host byte order, addresses as numbers: 192.0.2.1 is
 * 0xc0000201. One process writes at a time; every change of an entry takes
 * effect with the store of one 64-bit word.
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
#define FASTPATH_POLICY_ROOT6_MAP   "policy_root6"
#define FASTPATH_POLICY_IPV4_MAP    "policy_ipv4"
#define FASTPATH_POLICY_IPV6_MAP    "policy_ipv6"

/* Kinds of entry, and the union of them that a look-up answers with. */
#define FASTPATH_POLICY_BLOCK 1
#define FASTPATH_POLICY_ALLOW 2
#define FASTPATH_POLICY_TRUST 4
#define FASTPATH_POLICY_KINDS 7

/*
 * A word of a bucket, one entry: the key in its upper 33 bits, never 0, and
 * below it:
 *   bits 0-2    exactly one kind
 *   bit 3       half of a prefix of length 0, which is kept as two of length 1
 *   bit 4       IPv6: length 128
 *   bit 5       retired: no entry any more, and its cell may still be counted in
 *   bits 7-10   of a block entry: its own place in the bucket, a bit for each
 *   bits 11-30  in the last word, whatever else it holds: the bucket's next one,
 *               counted from 1 among the overflow buckets; 0: there is none
 * A word without key is no entry.
 *
 * IPv4 key: the prefix, and behind its last bit a 1 (so 33 bits hold prefix and
 * length). IPv6 key: 32 bits of the hash and a 1; the prefix, again with a 1
 * behind it unless its length is 128, stands beside the word.
 */
#define FASTPATH_POLICY_KEY_SHIFT   31
#define FASTPATH_POLICY_LOW	    0x7fffffff
#define FASTPATH_POLICY_HALF	    (1 << 3)
#define FASTPATH_POLICY_HOST	    (1 << 4)
#define FASTPATH_POLICY_RETIRED	    (1 << 5)
#define FASTPATH_POLICY_PLACE_SHIFT 7
#define FASTPATH_POLICY_PLACES	    0x780
#define FASTPATH_POLICY_LINK_SHIFT  11
#define FASTPATH_POLICY_LINK	    0x7ffff800
#define FASTPATH_POLICY_LINK_LIMIT  ((1 << 20) - 1)
#define FASTPATH_POLICY_FOUND	    (FASTPATH_POLICY_KINDS | FASTPATH_POLICY_PLACES)

/* Entries in a bucket: a power of two. */
#define FASTPATH_POLICY_WAYS 4

/* Buckets that a look-up of one prefix can have to read: its own and overflow buckets. */
#define FASTPATH_POLICY_CHAIN 5

/*
 * Prefix lengths that an IPv4 source can be looked up with: all there are. Of
 * IPv6 a table has at most as many for one source; a few more are looked up while
 * one table takes over from another.
 */
#define FASTPATH_POLICY_LENGTHS	     32
#define FASTPATH_POLICY_LENGTHS6_MAX 48

/* The expiry of an entry that does not expire. */
#define FASTPATH_POLICY_NEVER 0xffffffff

/*
 * Seconds before the place of a removed entry is used again. A program that saw
 * the old entry counts its hit at once; one that took longer would be reported
 * by the kernel as a stalled reader (after 21 seconds by default).
 */
#define FASTPATH_POLICY_REST 32

/* What belongs to a word. User space writes `expiry`, the program the rest, on the drop path only. */
struct fastpath_policy_cell {
	uint64_t hits;
	/* Seconds of the boot-time clock (CLOCK_BOOTTIME); 0: never hit. */
	uint32_t last_hit;
	/* As above; the entry counts before this second. Of a retired word: when it was retired. */
	uint32_t expiry;
};

struct fastpath_policy_prefix6 {
	uint64_t high;
	uint64_t low;
};

struct fastpath_policy_bucket4 {
	uint64_t words[FASTPATH_POLICY_WAYS];
	struct fastpath_policy_cell cells[FASTPATH_POLICY_WAYS];
};

struct fastpath_policy_bucket6 {
	uint64_t words[FASTPATH_POLICY_WAYS];
	struct fastpath_policy_prefix6 prefixes[FASTPATH_POLICY_WAYS];
	struct fastpath_policy_cell cells[FASTPATH_POLICY_WAYS];
};

/*
 * IPv4: for the upper 16 bits of an address the prefix lengths that may cover it:
 * length n is bit 32 - n, so that the lowest set bit is the most specific, and
 * minus that bit is the mask. Bits that are set in vain cost time, no more.
 */
#define FASTPATH_POLICY_ROOT4_WORDS 16
#define FASTPATH_POLICY_ROOT4_LINES 4096

struct fastpath_policy_root4 {
	uint32_t lengths[FASTPATH_POLICY_ROOT4_WORDS];
};

/*
 * IPv6: the same for the upper 32 bits, hashed, and lengths from 32 on; shorter
 * ones are in the control. Length n is bit 128 - n of `low` or 64 - n of `high`.
 */
#define FASTPATH_POLICY_ROOT6_SLOTS 4
#define FASTPATH_POLICY_ROOT6_LINES 16384
#define FASTPATH_POLICY_ROOT6_SHORT 31

struct fastpath_policy_lengths6 {
	uint64_t low;
	uint64_t high;
};

struct fastpath_policy_root6 {
	struct fastpath_policy_lengths6 slots[FASTPATH_POLICY_ROOT6_SLOTS];
};

/* What the writer keeps of a table. */
struct fastpath_policy_shape {
	/* A power of two; behind them lie the overflow buckets. */
	uint32_t buckets;
	uint32_t overflow;
	/* Overflow buckets that are linked. */
	uint32_t overflow_used;
	uint32_t entries;
};

/*
 * `state` says how a family is read, in one word: bit 0 the slot of the outer
 * map; bits 8-13 the shift that turns a hash into a bucket's number; bits 31-63
 * the factor of the hash. 0: there is no table.
 */
#define FASTPATH_POLICY_SLOTS	    2
#define FASTPATH_POLICY_SHIFT_SHIFT 8
#define FASTPATH_POLICY_SHIFT_MASK  63
#define FASTPATH_POLICY_SEED_SHIFT  31

struct fastpath_policy_family {
	uint64_t state;
	uint64_t padding;
	/* By slot. */
	struct fastpath_policy_shape shapes[FASTPATH_POLICY_SLOTS];
};

#define FASTPATH_POLICY_IPV4	 0
#define FASTPATH_POLICY_IPV6	 1
#define FASTPATH_POLICY_FAMILIES 2

/* The only entry of policy_control. */
struct fastpath_policy_control {
	struct fastpath_policy_family families[FASTPATH_POLICY_FAMILIES];
	/* Lengths up to FASTPATH_POLICY_ROOT6_SHORT that any IPv6 prefix has: length n is bit 64 - n. */
	uint64_t short_lengths6;
	/*
	 * The program's: the second (lower half) at a time in jiffies (upper half), so
	 * that the clock is asked a few times a second, not for each packet.
	 */
	uint64_t clock;
	/* Not 0: the second that it is, in place of the clock. For tests. */
	uint32_t given_second;
	uint32_t padding[3];
};

_Static_assert(sizeof(struct fastpath_policy_cell) == 16, "no padding");
_Static_assert(sizeof(struct fastpath_policy_bucket4) == 96, "words within half a cache line");
_Static_assert(sizeof(struct fastpath_policy_bucket6) == 160, "words within half a cache line");
_Static_assert(sizeof(struct fastpath_policy_root4) == 64, "a cache line");
_Static_assert(sizeof(struct fastpath_policy_root6) == 64, "a cache line");
_Static_assert(sizeof(struct fastpath_policy_family) == 48, "no padding");
_Static_assert(sizeof(struct fastpath_policy_control) == 128, "two cache lines");

#define FASTPATH_POLICY_FACTOR1 0x9e3779b97f4a7c15ULL
#define FASTPATH_POLICY_FACTOR2 0xbf58476d1ce4e5b9ULL

/* The key of an IPv4 prefix: `bit` is 1 << (32 - length). */
FASTPATH_INLINE uint64_t fastpath_policy_key4(uint32_t address, uint32_t bit)
{
	return (uint64_t)(address & -bit) << 32 | (uint64_t)bit << FASTPATH_POLICY_KEY_SHIFT;
}

/* The number of a prefix's bucket. */
FASTPATH_INLINE uint32_t fastpath_policy_home(uint64_t hash, uint64_t state)
{
	return hash >> (state >> FASTPATH_POLICY_SHIFT_SHIFT & FASTPATH_POLICY_SHIFT_MASK);
}

/*
 * Nobody who does not know the factor can choose sources that meet in a bucket;
 * the second round spreads runs of neighbours, whatever the factor.
 */
FASTPATH_INLINE uint64_t fastpath_policy_hash4(uint64_t key, uint64_t state)
{
	uint64_t hash = (key >> FASTPATH_POLICY_KEY_SHIFT) * (state >> FASTPATH_POLICY_SEED_SHIFT | 1);

	hash ^= hash >> 32;
	return hash * FASTPATH_POLICY_FACTOR1;
}

FASTPATH_INLINE uint64_t fastpath_policy_hash6(uint64_t high, uint64_t low, uint64_t state)
{
	uint64_t hash = high * (state >> FASTPATH_POLICY_SEED_SHIFT | 1);

	hash ^= hash >> 32;
	hash = (hash + low) * FASTPATH_POLICY_FACTOR2;
	hash ^= hash >> 32;
	hash *= FASTPATH_POLICY_FACTOR1;
	return hash ^ hash >> 32;
}

/* The key of an IPv6 prefix. */
FASTPATH_INLINE uint64_t fastpath_policy_key6(uint64_t hash)
{
	return hash << 32 | 1ULL << FASTPATH_POLICY_KEY_SHIFT;
}

/* Where in policy_root6 an address is; a number below 4 * FASTPATH_POLICY_ROOT6_LINES. `high`: its upper 64
 * bits. */
FASTPATH_INLINE uint32_t fastpath_policy_root6_slot(uint64_t high)
{
	return (high >> 32) * FASTPATH_POLICY_FACTOR1 >> 48;
}

/* Overflow buckets of a table: as many as a full one needs, and half as many again. */
FASTPATH_INLINE uint32_t fastpath_policy_overflow(uint32_t buckets)
{
	return buckets / 8 + 8;
}

/*
 * Behind the buckets lies a filter: 32 bits a bucket, in words of buckets that
 * hold nothing else. A prefix whose bit is not set is not in the table, and its
 * bucket, which is in no cache, need not be read. This is the number of a
 * prefix's bit, from other bits of the hash than its bucket's.
 */
#define FASTPATH_POLICY_FILTER_BITS   32
#define FASTPATH_POLICY_FILTER_WORDS4 8
#define FASTPATH_POLICY_FILTER_WORDS6 16

FASTPATH_INLINE uint32_t fastpath_policy_filter(uint64_t hash, uint32_t buckets)
{
	return (uint32_t)(hash >> 12) & (buckets * FASTPATH_POLICY_FILTER_BITS - 1);
}

#ifndef __bpf__

/* Stores that a concurrent reader sees whole, and not before what was stored earlier. */
static inline void fastpath_policy_publish(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void fastpath_policy_publish32(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint64_t fastpath_policy_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Adds hits beside a program that counts. */
static inline void fastpath_policy_add(uint64_t *hits, uint64_t count)
{
	__atomic_fetch_add(hits, count, __ATOMIC_RELAXED);
}

#endif /* __bpf__ */
#endif /* FASTPATH_POLICY_H_ABI */
