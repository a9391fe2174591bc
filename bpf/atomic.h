/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
#ifndef FASTPATH_ATOMIC_H
#define FASTPATH_ATOMIC_H

/*
 * Adds to a number of 64 bits that other CPUs add to as well. Without the value from before: that
 * instruction came with Linux 5.12, and compilers choose it where they can.
 */
static __always_inline void add_atomically(void *sum, __u64 number)
{
#ifdef __bpf__
	asm volatile("lock *(u64 *)(%0 + 0) += %1" : : "r"(sum), "r"(number) : "memory");
#else /* a host's compiler, for the fuzzer */
	*(__u64 *)sum += number;
#endif
}

#endif /* FASTPATH_ATOMIC_H */
