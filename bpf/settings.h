/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the loader decides before the verifier looks (struct fastpath_settings). */
#ifndef FASTPATH_SETTINGS_H
#define FASTPATH_SETTINGS_H

const volatile struct fastpath_settings settings SEC(FASTPATH_SETTINGS_MAP) = {};

/*
 * The switches travel through the program as `on`, read once. The verifier
 * knows its value: with this one instruction it knows the way as well, removes
 * the other, and the instruction too. In profile `classic` `on` is 0 already
 * for the compiler.
 */
static __always_inline bool is_on(__u64 on, const __u32 bit)
{
#ifdef __bpf__
	if (!__builtin_constant_p(on)) {
		asm goto("if %[on] & %[bit] goto %l[yes]" : : [on] "r"(on), [bit] "i"(bit) : : yes);
		return false;
	yes:
		return true;
	}
#endif
	return on & bit;
}

#define IS_ON(on, SWITCH) is_on(on, FASTPATH_SWITCH_##SWITCH)

/* Is the UDP port, in network byte order, one of those that are filtered? */
static __always_inline bool is_sip_port(__u64 on, __be16 port)
{
	__u16 number = bpf_ntohs(port);

	if (!IS_ON(on, PORTS))
		return number == FASTPATH_SIP_PORT;
	return settings.ports[number >> 6] >> (number & 63) & 1;
}

#endif /* FASTPATH_SETTINGS_H */
