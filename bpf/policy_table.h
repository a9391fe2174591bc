/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What the policy table says of a source (fastpath_policy.h has the layout). A
 * source that no entry can cover costs one load, and no helper. One that a
 * single record covers is answered in place. The rest is done in functions of
 * their own, which the verifier looks at once, whatever leads there.
 *
 * User space changes the table meanwhile. So each word is read once.
 */
#ifndef FASTPATH_POLICY_TABLE_H
#define FASTPATH_POLICY_TABLE_H

/*
 * In the object the maps have no size to speak of: whoever wants the table makes
 * them, and gives them to the loader in place of these. Without, every source is
 * a stranger.
 */
#define POLICY_MAP(NAME, VALUE)                                                                              \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                            \
		__uint(map_flags, BPF_F_MMAPABLE);                                                           \
		__uint(max_entries, 1);                                                                      \
		__type(key, __u32);                                                                          \
		__type(value, VALUE);                                                                        \
	} NAME SEC(".maps")

POLICY_MAP(policy_control, struct fastpath_policy_control);
POLICY_MAP(policy_root4, __u64);
POLICY_MAP(policy_blocks, struct fastpath_policy_block);
POLICY_MAP(policy_root6, struct fastpath_policy_lengths6);
POLICY_MAP(policy_index, struct fastpath_policy_bucket);
POLICY_MAP(policy_records, struct fastpath_policy_record);

#include "atomic.h"
#include "clock.h"

struct policy_answer {
	/* The union of the kinds of all live entries that cover the source: FASTPATH_POLICY_BLOCK and so on.
	 */
	__u32 kinds;
	/* The most specific record whose block entry is live, to count a hit in; 0: there is none. */
	__u32 record;
};

/* Read once, and whole, whatever the compiler would like. */
#define POLICY_LOAD32(word) (*(volatile const __u32 *)&(word))
#define POLICY_LOAD64(word) (*(volatile const __u64 *)&(word))

/* Keeps the compiler from making a branch of arithmetic: each doubles the verifier's ways. */
#define POLICY_BARRIER(value) asm volatile("" : "+r"(value))

static __always_inline struct fastpath_policy_control *policy_get_control(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&policy_control, &key);
}

/* Is an entry with that end there, and does the clock not matter? 1 or 0. */
static __always_inline __u64 policy_for_good(__u64 end)
{
	return (end + 1) >> 32;
}

/* The kinds of a record that are live. */
static __always_inline __u32 policy_live(const struct fastpath_policy_record *record, __u64 generation)
{
	/* 1 where `next` counts, else 0; neither of the two has its uppermost bit set. */
	__u64 is_next = ~(generation - POLICY_LOAD64(record->state)) >> 63;
	const __u32 *ends;
	__u64 block, allow, trust, second, kinds;

	POLICY_BARRIER(is_next);
	ends = (const __u32 *)((const char *)record->now + is_next * sizeof(record->now));
	block = POLICY_LOAD32(ends[0]);
	allow = POLICY_LOAD32(ends[1]);
	trust = POLICY_LOAD32(ends[2]);
	kinds = policy_for_good(block) * FASTPATH_POLICY_BLOCK |
		policy_for_good(allow) * FASTPATH_POLICY_ALLOW |
		policy_for_good(trust) * FASTPATH_POLICY_TRUST;
	/* An end plus 1 is 0 or 1 where the clock does not matter. */
	if ((__u32)((__u32)(block + 1) | (__u32)(allow + 1) | (__u32)(trust + 1)) <= 1)
		return kinds;
	second = clock_second();
	return ((second - block) >> 63) * FASTPATH_POLICY_BLOCK |
	       ((second - allow) >> 63) * FASTPATH_POLICY_ALLOW |
	       ((second - trust) >> 63) * FASTPATH_POLICY_TRUST;
}

/* The record of the bucket's word with that key; 0: there is none. A bucket has a key once. */
static __always_inline __u32 policy_scan(const struct fastpath_policy_bucket *bucket, __u64 key)
{
	__u64 word;

#pragma unroll
	for (int i = 0; i < FASTPATH_POLICY_WAYS; i++) {
		word = POLICY_LOAD64(bucket->words[i]) ^ key;
		if (i == FASTPATH_POLICY_WAYS - 1)
			word &= ~(__u64)FASTPATH_POLICY_SPILLED;
		/* 0 is a word of nothing, and of record 0. */
		if (word - 1 < FASTPATH_POLICY_NUMBER)
			return word & FASTPATH_POLICY_NUMBER;
	}
	return 0;
}

/* May there be more in the next bucket? */
static __always_inline bool policy_has_spilled(const struct fastpath_policy_bucket *bucket)
{
	return POLICY_LOAD64(bucket->words[FASTPATH_POLICY_WAYS - 1]) & FASTPATH_POLICY_SPILLED;
}

/* The record of a single IPv4 address that a bucket has, or 0; above it: there may be more in the next
 * bucket. */
__noinline __u64 policy_scan4(__u32 index, __u32 address)
{
	const struct fastpath_policy_bucket *bucket = bpf_map_lookup_elem(&policy_index, &index);
	__u32 found;

	if (!bucket)
		return 0;
	found = policy_scan(bucket, fastpath_policy_key4(address));
	return found ? found : (__u64)policy_has_spilled(bucket) << 32;
}

/* The record of a single IPv4 address beyond its own bucket, which was full; 0: none. */
__noinline __u32 policy_spilled4(__u32 index, __u32 address)
{
	__u64 found = 0;

#pragma clang loop unroll(disable)
	for (__u64 hop = 1; hop < FASTPATH_POLICY_HOPS; hop++) {
		index++;
		found = policy_scan4(index, address);
		if (!(found >> 32))
			break;
	}
	return found;
}

static __always_inline __u32 policy_find4(const struct fastpath_policy_control *control, __u32 address)
{
	__u64 hash = fastpath_policy_hash4(address, control->secret);
	__u32 index = hash >> (control->index_shift & 63);
	const struct fastpath_policy_bucket *bucket = bpf_map_lookup_elem(&policy_index, &index);
	__u32 found;

	if (!bucket)
		return 0;
	found = policy_scan(bucket, fastpath_policy_key4(address));
	if (!found && policy_has_spilled(bucket))
		found = policy_spilled4(index, address);
	return found;
}

/*
 * The answer in a word, as functions of their own give it: the kinds below, and
 * above the record that has BLOCK.
 */
static __always_inline __u64 policy_pack(__u32 record, __u32 kinds)
{
	__u64 is_block = kinds & FASTPATH_POLICY_BLOCK;

	POLICY_BARRIER(is_block);
	return (__u64)record * is_block << 32 | kinds;
}

/* Adds what a less specific record has; the record that was found first stays. */
static __always_inline __u64 policy_join(__u64 answer, __u64 more)
{
	__u64 is_first = more & ~answer & FASTPATH_POLICY_BLOCK;

	POLICY_BARRIER(is_first);
	return answer | (__u32)more | (more >> 32) * is_first << 32;
}

static __always_inline struct policy_answer policy_unpack(__u64 answer)
{
	return (struct policy_answer){.kinds = answer, .record = answer >> 32};
}

/* The kinds of a record, and above them the number of its parent. */
__noinline __u64 policy_ask(__u32 number, __u64 generation)
{
	const struct fastpath_policy_record *record = bpf_map_lookup_elem(&policy_records, &number);

	if (!record)
		return 0;
	return (__u64)POLICY_LOAD32(record->parent) << 32 | policy_live(record, generation);
}

/* Of lengths 0 to 16, or 17 to 31, a source can be in one each. */
#define POLICY_PARENTS 17

/* What a record says and all its parents. */
__noinline __u64 policy_chain4(__u32 number, __u64 generation)
{
	__u64 answer = 0, asked;

#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < POLICY_PARENTS; turn++) {
		POLICY_BARRIER(turn);
		if (!number)
			break;
		asked = policy_ask(number, generation);
		answer = policy_join(answer, policy_pack(number, asked & FASTPATH_POLICY_KINDS));
		number = asked >> 32;
	}
	return answer;
}

/* What all records say that cover a source, the most specific first. */
__noinline __u64 policy_gather4(__u32 single, __u32 network, __u32 wide, __u64 generation)
{
	return policy_join(policy_join(policy_chain4(single, generation), policy_chain4(network, generation)),
			   policy_chain4(wide, generation));
}

/* What the table says of an IPv4 source, in host byte order. */
static __always_inline struct policy_answer policy_look_up4(__u32 address)
{
	const struct fastpath_policy_control *control;
	const struct fastpath_policy_record *record;
	const struct fastpath_policy_block *block;
	struct policy_answer answer = {};
	__u32 index = address >> 16;
	const __u64 *root = bpf_map_lookup_elem(&policy_root4, &index);
	__u32 single = 0, network, wide;
	__u64 generation, word;

	if (!root)
		return answer;
	if (!POLICY_LOAD64(*root))
		return answer;
	control = policy_get_control();
	if (!control)
		return answer;
	/* The generation before all that it decides: what is linked afterwards counts from a later one. */
	generation = POLICY_LOAD64(control->generation);
	word = POLICY_LOAD64(*root);
	wide = word >> FASTPATH_POLICY_RECORD_SHIFT;
	network = word;
	if (network & FASTPATH_POLICY_DEEPER) {
		index = network & FASTPATH_POLICY_NUMBER;
		block = bpf_map_lookup_elem(&policy_blocks, &index);
		if (!block)
			return answer;
		network = POLICY_LOAD32(block->words[address >> 8 & 255]);
	}
	if (network & FASTPATH_POLICY_SINGLES)
		single = policy_find4(control, address);
	if (network & FASTPATH_POLICY_DEEPER) {
		index = network & FASTPATH_POLICY_NUMBER;
		block = bpf_map_lookup_elem(&policy_blocks, &index);
		if (!block)
			return answer;
		network = POLICY_LOAD32(block->words[address & 255]);
	}
	network &= FASTPATH_POLICY_NUMBER;

	/* One record alone is the common way: at most one of the three, so that their sum is it. */
	index = single + network + wide;
	if (!index)
		return answer;
	record = bpf_map_lookup_elem(&policy_records, &index);
	if (record && (index == single || index == network || index == wide) &&
	    !POLICY_LOAD32(record->parent)) {
		answer.kinds = policy_live(record, generation);
		answer.record = index;
		return answer;
	}
	return policy_unpack(policy_gather4(single, network, wide, generation));
}

#include "policy_table6.h"

/* Count a packet that was dropped because its source is blocked; `number` is the answer's record. */
static __always_inline void policy_count_hit(__u32 number)
{
	struct fastpath_policy_record *record = bpf_map_lookup_elem(&policy_records, &number);
	__u32 second;

	if (!record)
		return;
	add_atomically(&record->hits, 1);
	second = clock_second();
	/* A store a second, not one a packet. */
	if (record->last_hit != second)
		record->last_hit = second;
}

#endif /* FASTPATH_POLICY_TABLE_H */
