/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the loader decides before the verifier looks (struct fastpath_settings). */
#ifndef FASTPATH_SETTINGS_H
#define FASTPATH_SETTINGS_H

const volatile struct fastpath_settings settings SEC(FASTPATH_SETTINGS_MAP) = {};

/*
 * The switches travel through the program as `on`, read once: the verifier
 * knows its value and removes what is off. In profile `classic` it is 0
 * already for the compiler.
 */
#define IS_ON(on, SWITCH) ((on) & FASTPATH_SWITCH_##SWITCH)

/* Is the UDP port, in network byte order, one of those that are filtered? */
static __always_inline bool is_sip_port(__u64 on, __be16 port)
{
	__u16 number = bpf_ntohs(port);

	if (!IS_ON(on, PORTS))
		return number == FASTPATH_SIP_PORT;
	return settings.ports[number >> 6] >> (number & 63) & 1;
}

#endif /* FASTPATH_SETTINGS_H */
