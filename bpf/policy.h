/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the operator's lists say of a source (IPv4, network byte order). */
#ifndef FASTPATH_POLICY_H
#define FASTPATH_POLICY_H

static __always_inline bool is_blocked(__u32 source)
{
	return bpf_map_lookup_elem(&blocked_ips, &source) != NULL;
}

/* May the source send OPTIONS? */
static __always_inline bool is_allowed(__u32 source)
{
	return bpf_map_lookup_elem(&allowed_ips, &source) != NULL;
}

#endif /* FASTPATH_POLICY_H */
