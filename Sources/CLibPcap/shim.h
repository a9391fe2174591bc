/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpcap's classic BPF and the kernel's BPF give the same names to different
 * structs, which one Swift module must not see. No field changes its place, and
 * nobody here uses them.
 */
#define bpf_insn pcap_bpf_insn
#define bpf_program pcap_bpf_program
#include <pcap/pcap.h>
#undef bpf_insn
#undef bpf_program
