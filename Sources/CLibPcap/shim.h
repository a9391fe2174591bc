/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpcap is loaded when a capture is opened, not linked: it brings nine more
 * libraries, and the start of every other command would pay for them. So its
 * functions are called through pointers, whose types come from its own header.
 *
 * Its classic BPF and the kernel's BPF give the same names to different
 * structs, which one Swift module must not see: they are renamed here. No field
 * changes its place, and nobody here uses them.
 */
#define bpf_insn pcap_bpf_insn
#define bpf_program pcap_bpf_program
#include <pcap/pcap.h>
#undef bpf_insn
#undef bpf_program

typedef __typeof__(pcap_open_offline_with_tstamp_precision) *fastpath_pcap_open;
typedef __typeof__(pcap_next_ex) *fastpath_pcap_next;
typedef __typeof__(pcap_datalink) *fastpath_pcap_datalink;
typedef __typeof__(pcap_datalink_val_to_name) *fastpath_pcap_datalink_text;
typedef __typeof__(pcap_datalink_val_to_description) *fastpath_pcap_datalink_text;
typedef __typeof__(pcap_geterr) *fastpath_pcap_error;
typedef __typeof__(pcap_close) *fastpath_pcap_close;
