/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the operator's lists say of a source. */
#ifndef FASTPATH_POLICY_H
#define FASTPATH_POLICY_H

static __always_inline bool is_blocked(struct source source)
{
	__u32 key = source.ipv4; /* else all of `source` would be laid out in memory */

	return !source.is_ipv6 && bpf_map_lookup_elem(&blocked_ips, &key) != NULL;
}

/* May the source send OPTIONS? */
static __always_inline bool is_allowed(struct source source)
{
	__u32 key = source.ipv4;

	return !source.is_ipv6 && bpf_map_lookup_elem(&allowed_ips, &key) != NULL;
}

#endif /* FASTPATH_POLICY_H */
