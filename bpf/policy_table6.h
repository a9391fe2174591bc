/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the policy table says of an IPv6 source: a part of policy_table.h. */
#ifndef FASTPATH_POLICY_TABLE6_H
#define FASTPATH_POLICY_TABLE6_H

/* Lengths that may cover an IPv6 source. */
static __always_inline struct fastpath_policy_lengths6
policy_lengths6(__u64 high, const struct fastpath_policy_control *control)
{
	__u32 line = fastpath_policy_root6_line(high);
	const struct fastpath_policy_lengths6 *root = bpf_map_lookup_elem(&policy_root6, &line);
	struct fastpath_policy_lengths6 lengths = {.high = POLICY_LOAD64(control->short_lengths6)};

	if (root) {
		lengths.low = POLICY_LOAD64(root->low);
		lengths.high |= POLICY_LOAD64(root->high);
	}
	return lengths;
}

/* The record of an IPv6 prefix that a bucket has, or 0; above it: there may be more in the next bucket. */
__noinline __u64 policy_scan6(__u32 index, __u64 key, __u64 high, __u64 low, __u32 is_address)
{
	const struct fastpath_policy_bucket *bucket = bpf_map_lookup_elem(&policy_index, &index);
	const struct fastpath_policy_record *record;
	__u32 found;

	if (!bucket)
		return 0;
	found = policy_scan(bucket, key);
	record = bpf_map_lookup_elem(&policy_records, &found);
	if (found && record && POLICY_LOAD64(record->high) == high && POLICY_LOAD64(record->low) == low &&
	    (POLICY_LOAD64(record->state) & FASTPATH_POLICY_LENGTH_MASK) >> 7 == is_address)
		return found;
	return (__u64)policy_has_spilled(bucket) << 32;
}

/*
 * What the table has of one IPv6 prefix of a source. `bit`: its last one, in the
 * lower or the upper half of the address. Records have a 1 behind that bit, so
 * that none is taken for a longer one; a single address has none.
 */
__noinline __u64 policy_ask6(__u64 high, __u64 low, __u64 bit, __u32 is_low, __u64 generation)
{
	const struct fastpath_policy_control *control = policy_get_control();
	__u32 index, is_address = is_low & bit;
	__u64 hash, found = 0;

	if (!control)
		return 0;
	if (is_low) {
		low = (low & -bit) | bit >> 1;
	} else {
		low = bit << 63;
		high = (high & -bit) | bit >> 1;
	}
	hash = fastpath_policy_hash6(high, low, control->secret);
	index = hash >> (control->index_shift & 63);
#pragma clang loop unroll(disable)
	for (__u64 hop = 0; hop < FASTPATH_POLICY_HOPS; hop++) {
		found = policy_scan6(index, fastpath_policy_key6(hash), high, low, is_address);
		if (!(found >> 32))
			break;
		index++;
	}
	found = (__u32)found;
	return found ? policy_pack(found, policy_ask(found, generation) & FASTPATH_POLICY_KINDS) : 0;
}

/* The same for as many as eight lengths, as bits, the most specific first. */
__noinline __u64 policy_eight6(__u64 high, __u64 low, __u64 lengths, __u32 is_low, __u64 generation)
{
	__u64 answer = 0, bit;

#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < 8; turn++) {
		POLICY_BARRIER(turn);
		if (!lengths)
			break;
		bit = lengths & -lengths;
		lengths ^= bit;
		answer = policy_join(answer, policy_ask6(high, low, bit, is_low, generation));
	}
	return answer;
}

/* The same for all lengths that end in a half of the address: eight times eight, as the verifier counts each
 * turn. */
__noinline __u64 policy_gather6(__u64 high, __u64 low, __u64 lengths, __u32 is_low, __u64 generation)
{
	__u64 answer = 0;

#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < 8; turn++) {
		POLICY_BARRIER(turn);
		if (!lengths)
			break;
		answer = policy_join(answer, policy_eight6(high, low, lengths, is_low, generation));
#pragma unroll
		for (int i = 0; i < 8; i++)
			lengths &= lengths - 1;
	}
	return answer;
}

/* What the table says of an IPv6 source: the upper and the lower half of its address in host byte order. */
static __always_inline struct policy_answer policy_look_up6(__u64 high, __u64 low)
{
	const struct fastpath_policy_control *control = policy_get_control();
	struct fastpath_policy_lengths6 lengths;
	__u64 generation, answer;
	__u32 all;

	if (!control)
		return (struct policy_answer){};
	generation = POLICY_LOAD64(control->generation);
	lengths = policy_lengths6(high, control);
	all = POLICY_LOAD32(control->all6);
	if (!(lengths.low | lengths.high | all))
		return (struct policy_answer){};
	/* One length alone is the common way. */
	if (!(lengths.low | all | (lengths.high & (lengths.high - 1))))
		return policy_unpack(policy_ask6(high, low, lengths.high, 0, generation));
	if (!(lengths.high | all | (lengths.low & (lengths.low - 1))))
		return policy_unpack(policy_ask6(high, low, lengths.low, 1, generation));
	answer = policy_gather6(high, low, lengths.low, 1, generation);
	answer = policy_join(answer, policy_gather6(high, low, lengths.high, 0, generation));
	if (all)
		answer = policy_join(answer,
				     policy_pack(all, policy_ask(all, generation) & FASTPATH_POLICY_KINDS));
	return policy_unpack(answer);
}

#endif /* FASTPATH_POLICY_TABLE6_H */
