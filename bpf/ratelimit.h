/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Limits for strangers: each source has one for each class of requests, and all
 * of them together have a budget. GCRA (ITU-T I.371): it is kept when the next
 * packet is due; one that comes earlier than the tolerance allows is over the
 * limit, and moves nothing.
 */
#ifndef FASTPATH_RATELIMIT_H
#define FASTPATH_RATELIMIT_H

#define DUE_MASK  ((1ULL << FASTPATH_LIMIT_DUE_BITS) - 1)
#define LINE_BITS (31 - __builtin_clz(FASTPATH_LIMIT_LINES))

/* Units of a budget in a microsecond. */
#define BUDGET_SHIFT 10

static __always_inline const volatile struct fastpath_limit *limit_of(__u32 class)
{
	return &settings.limits[class];
}

/*
 * Nobody who does not know the secret can choose sources that meet: in their
 * upper n bits the hashes of two are the same for at most two in 2^n secrets
 * (Dietzfelbinger and others 1997). The lower bits are not used.
 */
static __always_inline __u64 hash_source(const struct source *source, __u32 class)
{
	/* IPv6: whoever has one address of a /64 has all of them. Global addresses leave the upper bits free.
	 */
	return (source->high ^ (__u64) class << 62) * (settings.secret | 1);
}

/*
 * How far ahead of `now` the time in a cell is, in microseconds: below 0 for a
 * source that has been quiet, and for a word of so long ago that the clock's 40
 * bits have gone round: no packet is ever due later than `furthest` ahead.
 */
static __always_inline __s64 due_ahead(__u64 cell, __u64 now, __u64 furthest)
{
	__s64 ahead =
		(__s64)((cell - now) << (64 - FASTPATH_LIMIT_DUE_BITS)) >> (64 - FASTPATH_LIMIT_DUE_BITS);

	return ahead > (__s64)furthest ? -1 : ahead;
}

/*
 * Is the source over its limit? If not, the packet is counted.
 *
 * A source that is in none of its line's cells takes the one whose source has
 * been quiet for longest, or is the least ahead: it begins with all it may have,
 * so no source is limited for what others sent. But where 24 bits of the hash are
 * those of another in the same line: for a source that comes anew that is one in
 * 2^21 at most, however many are over their limit.
 */
static __always_inline bool source_is_over_limit(const struct source *source, __u32 class, __u64 now)
{
	const volatile struct fastpath_limit *limit = limit_of(class);
	__u64 hash = hash_source(source, class), tag = hash << LINE_BITS & ~DUE_MASK;
	__u32 number = hash >> (64 - LINE_BITS), chosen = 0;
	__s64 least = (1ULL << 63) - 1, ahead = -1;
	__u64 interval = limit->interval, tolerance = limit->tolerance;
	struct fastpath_limit_line *line;

	line = bpf_map_lookup_elem(&limit_cells, &number);
	if (!line)
		return false;
#pragma unroll
	for (__u32 i = 0; i < FASTPATH_LIMIT_WAYS; i++) {
		__u64 cell = *(volatile __u64 *)&line->cells[i];
		__s64 found = due_ahead(cell, now, tolerance + interval);

		if ((cell ^ tag) >> FASTPATH_LIMIT_DUE_BITS == 0) {
			chosen = i;
			ahead = found;
			break;
		}
		if (found < least) {
			least = found;
			chosen = i;
		}
	}
	if (ahead < 0)
		ahead = 0;
	if (ahead > (__s64)tolerance)
		return true;
	*(volatile __u64 *)&line->cells[chosen & (FASTPATH_LIMIT_WAYS - 1)] =
		tag | ((now + ahead + interval) & DUE_MASK);
	return false;
}

/* Have strangers together had more than their budget? If not, the packet is counted. */
static __always_inline bool budget_is_used_up(__u64 now)
{
	__u32 key = 0;
	__u64 *due = bpf_map_lookup_elem(&limit_budget, &key);

	if (!due)
		return false;
	now <<= BUDGET_SHIFT;
	if (*(volatile __u64 *)due < now)
		*(volatile __u64 *)due = now;
	else if (*(volatile __u64 *)due - now > settings.budget.tolerance)
		return true;
	add_atomically(due, settings.budget.interval);
	return false;
}

/* Is a stranger's packet of that class one too many? */
static __always_inline bool is_over_limit(const struct source *source, __u32 class)
{
	__u64 now;

	asm volatile("" : "+r"(class));
	if (class >= FASTPATH_CLASS_EXEMPT)
		return false;
	now = clock_micros();
	if (limit_of(class)->interval && source_is_over_limit(source, class, now))
		return true;
	return settings.budget.interval && budget_is_used_up(now);
}

#endif /* FASTPATH_RATELIMIT_H */
