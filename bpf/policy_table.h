/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What the policy table says of a source (fastpath_policy.h has the layout).
 * A source that no entry can cover costs one look at its root; no helper is
 * called for it. One that can be in entries of one length alone costs one
 * bucket. The rest is done in functions of their own: the verifier looks at
 * each once, whatever leads there, and 32 lengths in one program would be 32
 * times all that can happen with one.
 *
 * User space changes the table meanwhile. So each word is read once, and all
 * that decides is in it, or in a store that it waits for.
 */
#ifndef FASTPATH_POLICY_TABLE_H
#define FASTPATH_POLICY_TABLE_H

/*
 * In the object the maps have no size to speak of: whoever wants the table makes
 * them, and gives them to the loader in place of these. Without, every source is
 * a stranger.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fastpath_policy_control);
} policy_control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fastpath_policy_root4);
} policy_root4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fastpath_policy_root6);
} policy_root6 SEC(".maps");

/* Tables of all sizes fit into a slot: BPF_F_INNER_MAP, Linux 5.10. */
struct policy_table4 {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct fastpath_policy_bucket4));
};

struct policy_table6 {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct fastpath_policy_bucket6));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FASTPATH_POLICY_SLOTS);
	__type(key, __u32);
	__array(values, struct policy_table4);
} policy_ipv4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, FASTPATH_POLICY_SLOTS);
	__type(key, __u32);
	__array(values, struct policy_table6);
} policy_ipv6 SEC(".maps");

struct policy_answer {
	/* The union of the kinds of all live entries that cover the source: FASTPATH_POLICY_BLOCK and so on.
	 */
	__u32 kinds;
	/* The bucket's number of the most specific block entry, and the bit of its place; with BLOCK only. */
	__u32 hit_index;
	__u32 hit_place;
	/* The second that it is. */
	__u32 second;
	/* The table; NULL for a stranger. */
	void *table;
};

/* Jiffies, as a power of two, that the second may be behind: at most 0.16 s. */
#define POLICY_CLOCK_TICK 4

/* Seconds of the boot-time clock: it goes on while the machine sleeps. */
static __always_inline __u32 policy_second(struct fastpath_policy_control *control)
{
	__u32 second = *(volatile __u32 *)&control->given_second;
	__u64 tick, clock;

	if (second)
		return second;
	tick = (__u32)(bpf_jiffies64() >> POLICY_CLOCK_TICK);
	clock = *(volatile __u64 *)&control->clock;
	if (clock >> 32 == tick)
		return clock;
	second = bpf_ktime_get_boot_ns() / 1000000000;
	*(volatile __u64 *)&control->clock = tick << 32 | second;
	return second;
}

/*
 * Keeps the compiler from making a branch of a product with 0 or 1: each branch doubles the verifier's ways.
 * (A mask would do as well, but Linux 6.18 takes one of 0 or -1 for two ways.)
 */
#define POLICY_BARRIER(value) asm volatile("" : "+r"(value))

/* `flags`, the lower bits of a word, or 0 where its entry has expired. */
static __always_inline __u64 policy_live(__u64 flags, const struct fastpath_policy_cell *cell, __u64 second)
{
	__u64 left = second - *(volatile __u32 *)&cell->expiry;

	POLICY_BARRIER(left);
	return flags * (left >> 63);
}

/* A word as it is now; `volatile`, so that it is read once and whole. */
#define POLICY_WORD(bucket, i) (*(volatile __u64 *)&(bucket)->words[i])

/*
 * What a bucket has of a prefix: kinds and places as in a word, and the link to
 * its next bucket.
 */
static __always_inline __u32 policy_scan4(const struct fastpath_policy_bucket4 *bucket, __u64 key,
					  __u32 second)
{
	__u64 found = 0, word = 0;

#pragma unroll
	for (int i = 0; i < FASTPATH_POLICY_WAYS; i++) {
		__u64 flags;

		word = POLICY_WORD(bucket, i);
		flags = word ^ key;
		if (flags <= FASTPATH_POLICY_LOW)
			found |= policy_live(flags, &bucket->cells[i], second);
	}
	return (found & FASTPATH_POLICY_FOUND) | (word & FASTPATH_POLICY_LINK);
}

static __always_inline __u32 policy_scan6(const struct fastpath_policy_bucket6 *bucket, __u64 key, __u64 high,
					  __u64 low, __u32 host, __u32 second)
{
	__u64 found = 0, word = 0;

#pragma unroll
	for (int i = 0; i < FASTPATH_POLICY_WAYS; i++) {
		const struct fastpath_policy_prefix6 *prefix = &bucket->prefixes[i];
		__u64 flags;

		word = POLICY_WORD(bucket, i);
		flags = word ^ key;
		if (flags <= FASTPATH_POLICY_LOW && (flags & FASTPATH_POLICY_HOST) == host &&
		    *(volatile __u64 *)&prefix->high == high && *(volatile __u64 *)&prefix->low == low)
			found |= policy_live(flags, &bucket->cells[i], second);
	}
	return (found & FASTPATH_POLICY_FOUND) | (word & FASTPATH_POLICY_LINK);
}

/* The table that is in use; NULL where there is none. */
static __always_inline void *policy_table(void *tables, __u64 state)
{
	__u32 slot = state & (FASTPATH_POLICY_SLOTS - 1);

	return bpf_map_lookup_elem(tables, &slot);
}

/* The number of the next bucket; 0: there is none. */
static __always_inline __u32 policy_next(__u32 found, __u64 state)
{
	__u32 link = found >> FASTPATH_POLICY_LINK_SHIFT;

	/* Overflow buckets lie behind the others, whose last one's number is what a hash of ones gives. */
	return link ? fastpath_policy_home(~0ULL, state) + link : 0;
}

/*
 * An answer in a word: kinds and place as in a bucket's word below, the bucket's
 * number above. Adds what a bucket had; the first block entry stays.
 */
static __always_inline __u64 policy_add(__u64 answer, __u32 found, __u32 index)
{
	__u64 is_first = found & ~answer & FASTPATH_POLICY_BLOCK;

	POLICY_BARRIER(is_first);
	return answer | (found & FASTPATH_POLICY_KINDS) |
	       (((__u64)index << 32 | (found & FASTPATH_POLICY_PLACES)) * is_first);
}

/* Can the prefix of that hash be in the table at all? `words`: in an element of the filter. */
static __always_inline bool policy_filter(void *table, __u64 hash, __u64 state, __u32 words)
{
	__u32 buckets = fastpath_policy_home(~0ULL, state) + 1;
	__u32 bit = fastpath_policy_filter(hash, buckets);
	__u32 index = buckets + fastpath_policy_overflow(buckets) + bit / (64 * words);
	const __u64 *filter = bpf_map_lookup_elem(table, &index);

	return filter && *(volatile __u64 *)&filter[bit / 64 & (words - 1)] >> (bit & 63) & 1;
}

/* What a bucket and those linked to it have of a prefix, as an answer in a word. */
__noinline __u64 policy_chain4(__u64 state, __u64 hash, __u64 key, __u32 second)
{
	void *table = policy_table(&policy_ipv4, state);
	__u32 index = fastpath_policy_home(hash, state);
	const struct fastpath_policy_bucket4 *bucket;
	__u64 answer = 0;
	__u32 found;

	if (!table || !policy_filter(table, hash, state, FASTPATH_POLICY_FILTER_WORDS4))
		return 0;
#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < FASTPATH_POLICY_CHAIN; turn++) {
		POLICY_BARRIER(turn);
		bucket = bpf_map_lookup_elem(table, &index);
		if (!bucket)
			break;
		found = policy_scan4(bucket, key, second);
		answer = policy_add(answer, found, index);
		index = policy_next(found, state);
		if (!index)
			break;
	}
	return answer;
}

/* The same for IPv6. `second_host`: the second in the upper half, FASTPATH_POLICY_HOST or 0 below it. */
__noinline __u64 policy_chain6(__u64 state, __u64 high, __u64 low, __u64 second_host)
{
	__u64 hash = fastpath_policy_hash6(high, low, state);
	void *table = policy_table(&policy_ipv6, state);
	__u32 index = fastpath_policy_home(hash, state);
	const struct fastpath_policy_bucket6 *bucket;
	__u64 answer = 0;
	__u32 found;

	if (!table || !policy_filter(table, hash, state, FASTPATH_POLICY_FILTER_WORDS6))
		return 0;
#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < FASTPATH_POLICY_CHAIN; turn++) {
		POLICY_BARRIER(turn);
		bucket = bpf_map_lookup_elem(table, &index);
		if (!bucket)
			break;
		found = policy_scan6(bucket, fastpath_policy_key6(hash), high, low, second_host,
				     second_host >> 32);
		answer = policy_add(answer, found, index);
		index = policy_next(found, state);
		if (!index)
			break;
	}
	return answer;
}

/* Adds what a shorter prefix has; the block entry that was found first stays. */
static __always_inline __u64 policy_join(__u64 answer, __u64 more)
{
	__u64 is_first = more & ~answer & FASTPATH_POLICY_BLOCK;

	POLICY_BARRIER(is_first);
	return answer | (more & FASTPATH_POLICY_KINDS) | (more & ~(__u64)FASTPATH_POLICY_KINDS) * is_first;
}

/* All that the table has of a source (host byte order), length by length. */
__noinline __u64 policy_walk4(__u32 address, __u32 lengths, __u64 state, __u32 second)
{
	__u64 answer = 0, key;

#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < FASTPATH_POLICY_LENGTHS; turn++) {
		POLICY_BARRIER(turn);
		if (!lengths)
			break;
		key = fastpath_policy_key4(address, lengths & -lengths);
		lengths &= lengths - 1;
		answer = policy_join(answer,
				     policy_chain4(state, fastpath_policy_hash4(key, state), key, second));
	}
	return answer;
}

/* A prefix to look up. */
struct policy_prefix6 {
	__u64 high;
	__u64 low;
	__u32 host; /* FASTPATH_POLICY_HOST, or 0 */
};

/* Takes the longest of the lengths, of which there is one. */
static __always_inline void policy_take6(struct policy_prefix6 *prefix,
					 struct fastpath_policy_lengths6 *lengths, __u64 high, __u64 low)
{
	__u64 bit;

	if (lengths->low) {
		bit = lengths->low & -lengths->low;
		lengths->low ^= bit;
		prefix->high = high;
		prefix->low = (low & -bit) | bit >> 1;
		prefix->host = (bit & 1) * FASTPATH_POLICY_HOST;
	} else {
		bit = lengths->high & -lengths->high;
		lengths->high ^= bit;
		prefix->high = (high & -bit) | bit >> 1;
		prefix->low = bit << 63;
		prefix->host = 0;
	}
}

/* The lengths that may cover an IPv6 source. */
static __always_inline struct fastpath_policy_lengths6
policy_lengths6(__u64 high, const struct fastpath_policy_control *control)
{
	__u32 slot = fastpath_policy_root6_slot(high), index = slot / FASTPATH_POLICY_ROOT6_SLOTS;
	struct fastpath_policy_lengths6 lengths = {.high = *(volatile __u64 *)&control->short_lengths6};
	const struct fastpath_policy_root6 *root = bpf_map_lookup_elem(&policy_root6, &index);

	if (root) {
		slot &= FASTPATH_POLICY_ROOT6_SLOTS - 1;
		lengths.low = *(volatile __u64 *)&root->slots[slot].low;
		lengths.high |= *(volatile __u64 *)&root->slots[slot].high;
	}
	return lengths;
}

__noinline __u64 policy_walk6(__u64 high, __u64 low, __u64 state, __u32 second)
{
	struct fastpath_policy_lengths6 lengths;
	struct fastpath_policy_control *control;
	struct policy_prefix6 prefix = {};
	__u64 answer = 0;
	__u32 index = 0;

	control = bpf_map_lookup_elem(&policy_control, &index);
	if (!control)
		return 0;
	lengths = policy_lengths6(high, control);
#pragma clang loop unroll(disable)
	for (__u64 turn = 0; turn < FASTPATH_POLICY_LENGTHS6_MAX; turn++) {
		POLICY_BARRIER(turn);
		if (!(lengths.low | lengths.high))
			break;
		policy_take6(&prefix, &lengths, high, low);
		answer = policy_join(answer, policy_chain6(state, prefix.high, prefix.low,
							   (__u64)second << 32 | prefix.host));
	}
	return answer;
}

static __always_inline void policy_fill(struct policy_answer *answer, __u64 word)
{
	answer->kinds = word & FASTPATH_POLICY_KINDS;
	answer->hit_place = (word & FASTPATH_POLICY_PLACES) >> FASTPATH_POLICY_PLACE_SHIFT;
	answer->hit_index = word >> 32;
}

/* What the table says of an IPv4 source, in network byte order. */
static __always_inline struct policy_answer policy_lookup_ipv4(__u32 source)
{
	const struct fastpath_policy_bucket4 *bucket;
	const struct fastpath_policy_root4 *root;
	struct fastpath_policy_control *control;
	struct policy_answer answer = {};
	__u32 address = bpf_ntohl(source);
	__u32 lengths, index, found;
	__u64 state, key;

	index = address >> 20;
	root = bpf_map_lookup_elem(&policy_root4, &index);
	if (!root)
		return answer;
	lengths = *(volatile __u32 *)&root->lengths[address >> 16 & (FASTPATH_POLICY_ROOT4_WORDS - 1)];
	if (!lengths)
		return answer;

	index = 0;
	control = bpf_map_lookup_elem(&policy_control, &index);
	if (!control)
		return answer;
	state = *(volatile __u64 *)&control->families[FASTPATH_POLICY_IPV4].state;
	answer.table = policy_table(&policy_ipv4, state);
	if (!answer.table)
		return answer;
	answer.second = policy_second(control);
	if (!(lengths & (lengths - 1))) {
		key = fastpath_policy_key4(address, lengths);
		index = fastpath_policy_home(fastpath_policy_hash4(key, state), state);
		bucket = bpf_map_lookup_elem(answer.table, &index);
		if (!bucket)
			return answer;
		found = policy_scan4(bucket, key, answer.second);
		if (!(found & FASTPATH_POLICY_LINK)) {
			policy_fill(&answer, policy_add(0, found, index));
			return answer;
		}
	}
	policy_fill(&answer, policy_walk4(address, lengths, state, answer.second));
	return answer;
}

/* What the table says of an IPv6 source: the upper and the lower half of its address in host byte order. */
static __always_inline struct policy_answer policy_lookup_ipv6(__u64 high, __u64 low)
{
	struct fastpath_policy_lengths6 lengths;
	struct fastpath_policy_control *control;
	struct policy_answer answer = {};
	__u32 index = 0;
	__u64 state;

	control = bpf_map_lookup_elem(&policy_control, &index);
	if (!control)
		return answer;
	lengths = policy_lengths6(high, control);
	if (!(lengths.low | lengths.high))
		return answer;
	state = *(volatile __u64 *)&control->families[FASTPATH_POLICY_IPV6].state;
	answer.table = policy_table(&policy_ipv6, state);
	if (!answer.table)
		return answer;
	answer.second = policy_second(control);
	policy_fill(&answer, policy_walk6(high, low, state, answer.second));
	return answer;
}

static __always_inline void policy_count(struct fastpath_policy_cell *cell, __u32 second)
{
	/* Without the value from before, so that Linux 5.10 knows the instruction. */
	asm volatile("lock *(u64 *)(%0 + 0) += %1" : : "r"(&cell->hits), "r"(1ULL) : "memory");
	/* A store a second, not one a packet. */
	if (cell->last_hit != second)
		cell->last_hit = second;
}

/* The place as constants: the verifier wants bounds of an offset, and all that leads to it again in detail.
 */
#define POLICY_COUNT(TYPE, answer)                                                                           \
	do {                                                                                                 \
		__u32 index = (answer)->hit_index;                                                           \
		TYPE *bucket;                                                                                \
                                                                                                             \
		if (!(answer)->table)                                                                        \
			break;                                                                               \
		bucket = bpf_map_lookup_elem((answer)->table, &index);                                       \
		if (!bucket)                                                                                 \
			break;                                                                               \
		if ((answer)->hit_place & 1)                                                                 \
			policy_count(&bucket->cells[0], (answer)->second);                                   \
		else if ((answer)->hit_place & 2)                                                            \
			policy_count(&bucket->cells[1], (answer)->second);                                   \
		else if ((answer)->hit_place & 4)                                                            \
			policy_count(&bucket->cells[2], (answer)->second);                                   \
		else if ((answer)->hit_place & 8)                                                            \
			policy_count(&bucket->cells[3], (answer)->second);                                   \
	} while (0)

/* Count a packet that was dropped because its source is blocked. For answers whose kinds have BLOCK. */
static __always_inline void policy_count_ipv4(const struct policy_answer *answer)
{
	POLICY_COUNT(struct fastpath_policy_bucket4, answer);
}

static __always_inline void policy_count_ipv6(const struct policy_answer *answer)
{
	POLICY_COUNT(struct fastpath_policy_bucket6, answer);
}

#endif /* FASTPATH_POLICY_TABLE_H */
