/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* placeholder until the table's page comes */
#ifndef FASTPATH_CLOCK_H
#define FASTPATH_CLOCK_H
static __always_inline __u64 clock_micros(void)
{
	return bpf_ktime_get_boot_ns() / 1000;
}
static __always_inline __u32 clock_second(void)
{
	return bpf_ktime_get_boot_ns() / 1000000000;
}
#endif
