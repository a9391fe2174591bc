/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the operator's lists say of a source. */
#ifndef FASTPATH_POLICY_H
#define FASTPATH_POLICY_H

static __always_inline bool is_blocked(const struct sip_datagram *sip)
{
	__u32 source = sip->source.ipv4; /* a copy: `sip` itself is to stay in registers */

	return !sip->is_ipv6 && bpf_map_lookup_elem(&blocked_ips, &source) != NULL;
}

/* May the source send OPTIONS? */
static __always_inline bool is_allowed(const struct sip_datagram *sip)
{
	__u32 source = sip->source.ipv4;

	return !sip->is_ipv6 && bpf_map_lookup_elem(&allowed_ips, &source) != NULL;
}

#endif /* FASTPATH_POLICY_H */
