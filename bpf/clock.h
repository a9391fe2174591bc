/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The boot-time clock, which goes on while the machine sleeps. Asking the kernel
 * costs some 40 ns, so it is asked when a jiffy has passed, and remembered. A
 * test gives the time in policy_control, so include policy_table.h's maps first.
 */
#ifndef FASTPATH_CLOCK_H
#define FASTPATH_CLOCK_H

/* One value a CPU; the program writes and reads it. */
struct clock_reading {
	__u64 jiffies;
	__u64 micros;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock_reading);
} clock_readings SEC(".maps");

/* Microseconds; at most a jiffy behind (1 to 10 ms). */
static __always_inline __u64 clock_micros(void)
{
	const struct fastpath_policy_control *control;
	struct clock_reading *reading;
	__u64 given, jiffies;
	__u32 key = 0;

	control = bpf_map_lookup_elem(&policy_control, &key);
	if (!control)
		return 0;
	given = *(volatile __u64 *)&control->given_micros;
	if (given)
		return given;
	reading = bpf_map_lookup_elem(&clock_readings, &key);
	if (!reading)
		return 0;
	jiffies = bpf_jiffies64();
	if (reading->jiffies != jiffies) {
		reading->micros = bpf_ktime_get_boot_ns() / 1000;
		reading->jiffies = jiffies;
	}
	return reading->micros;
}

/* Jiffies, as a power of two, that the second may be behind: 16 to 160 ms. */
#define CLOCK_SECOND_TICK 4

/*
 * Seconds, for all CPUs in one word: what dropped packets and entries with an
 * expiry ask for costs two loads from a line that they read anyway.
 */
static __always_inline __u32 clock_second(void)
{
	struct fastpath_policy_control *control;
	__u64 given, tick, clock;
	__u32 key = 0;

	control = bpf_map_lookup_elem(&policy_control, &key);
	if (!control)
		return 0;
	given = *(volatile __u64 *)&control->given_micros;
	if (given)
		return given / 1000000;
	tick = (__u32)(bpf_jiffies64() >> CLOCK_SECOND_TICK);
	clock = *(volatile __u64 *)&control->clock;
	if (clock >> 32 == tick)
		return clock;
	clock = tick << 32 | (__u32)(bpf_ktime_get_boot_ns() / 1000000000);
	*(volatile __u64 *)&control->clock = clock;
	return clock;
}

#endif /* FASTPATH_CLOCK_H */
