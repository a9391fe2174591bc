/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the operator's lists say of a source: the policy table's entries, and the public maps. */
#ifndef FASTPATH_POLICY_H
#define FASTPATH_POLICY_H

/* The source as the public maps have it; false where they can have none such. */
static __always_inline bool public_key(__u64 on, const struct source *source, __u32 *key)
{
	*key = bpf_htonl(source->high);
	/* What is learnt here of the family is not to be remembered: it would make two ways of all that
	 * follows. */
	return !(IS_ON(on, IPV6) && forget(source->is_ipv6, source->high) & 1);
}

/* The answer of a look-up by IPv6, in one number: walked once, whoever asks. */
ON_ITS_OWN __u64 ask_by_ipv6(__u64 high, __u64 low)
{
	struct policy_answer answer = policy_look_up6(high, low);

	return (__u64)answer.record << 32 | answer.kinds;
}

/* What the policy table says. */
static __always_inline struct policy_answer ask_table(__u64 on, const struct source *source)
{
	if (!IS_ON(on, POLICY))
		return (struct policy_answer){};
	if (IS_ON(on, IPV6) && source->is_ipv6) {
		__u64 answer = ask_by_ipv6(source->high, source->low);

		return (struct policy_answer){.kinds = answer, .record = answer >> 32};
	}
	return policy_look_up4(source->high);
}

/* Trust beats block. */
static __always_inline bool is_trusted(__u32 kinds)
{
	return kinds & FASTPATH_POLICY_TRUST;
}

/* Is the source blocked? Then its packet is counted where the list has it. `kinds`: of all entries that cover
 * it. */
static __always_inline bool is_blocked(__u64 on, const struct source *source, __u32 *kinds)
{
	struct policy_answer answer = ask_table(on, source);
	__u32 key;

	*kinds = answer.kinds;
	if (is_trusted(answer.kinds))
		return false;
	if (answer.kinds & FASTPATH_POLICY_BLOCK) {
		policy_count_hit(answer.record);
		return true;
	}
	return !IS_ON(on, FROZEN_MAPS) && public_key(on, source, &key) &&
	       bpf_map_lookup_elem(&blocked_ips, &key);
}

/* The same for the few packets that have no payload to look at: walked once, wherever it is called. */
ON_ITS_OWN int is_blocked_on_its_own(__u64 high, __u64 low, __u32 is_ipv6)
{
	struct source source = {.high = high, .low = low, .is_ipv6 = is_ipv6};
	__u32 kinds;

	return is_blocked(settings.switches, &source, &kinds);
}

static __always_inline bool is_blocked_rarely(__u64 on, const struct source *source)
{
	__u32 kinds;

	if (IS_ON(on, POLICY))
		return is_blocked_on_its_own(source->high, source->low, source->is_ipv6);
	return is_blocked(on, source, &kinds);
}

/* May the source send OPTIONS, and as much as it likes? */
static __always_inline bool is_allowed(__u64 on, const struct sip_datagram *sip)
{
	__u32 key;

	if (IS_ON(on, POLICY) && sip->kinds & FASTPATH_POLICY_ALLOW)
		return true;
	return !IS_ON(on, FROZEN_MAPS) && public_key(on, &sip->source, &key) &&
	       bpf_map_lookup_elem(&allowed_ips, &key);
}

#endif /* FASTPATH_POLICY_H */
