/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 OR BSD-3-Clause */
/*
 * The one truth that kernel and user space share: map names and sizes, the
 * reasons a packet can end with, and the layout of everything that crosses.
 * Included by bpf/ (with build/vmlinux.h before it) and imported by Swift, so
 * it uses nothing but the preprocessor, fixed-width types and enums.
 */
#ifndef FASTPATH_ABI_H
#define FASTPATH_ABI_H

#ifndef __bpf__
#include <stdint.h>
#endif

/* SIP over UDP, RFC 3261 section 18.1.1; host byte order. */
#define FASTPATH_SIP_PORT 5060

/* Rules read no further into a payload than this many bytes. */
#define FASTPATH_WINDOW_LENGTH 64

/* A payload shorter than this many bytes need not show "SIP/2.0". */
#define FASTPATH_SHORT_PAYLOAD 20

/* The longest first line that can be asked for, in bytes without its end. */
#define FASTPATH_FIRST_LINE_LIMIT 512

/* So many CR, LF, SP, TAB and NUL bytes are a keepalive, or are skipped before a start line. */
#define FASTPATH_BLANK_LIMIT 16

/* So many 802.1Q and 802.1ad tags are looked through, and so many IPv6 extension headers. */
#define FASTPATH_TAG_LIMIT	 2
#define FASTPATH_EXTENSION_LIMIT 8

#define FASTPATH_PROGRAM_NAME	 "sip_xdp_prog"
#define FASTPATH_PROGRAM_SECTION "xdp"

/*
 * The public maps: X(NAME, name, key bytes, value bytes, default entries).
 * Operators use bpftool on them, so a name, a type and a size never change.
 *   xsks_map      u32 rx queue -> AF_XDP socket        a consumer writes, the program reads
 *   allowed_ips   IPv4 address, network byte order -> u8 1    user space writes, the program reads
 *   blocked_ips   IPv4 address, network byte order -> u8 1    user space writes, the program reads
 *   xdp_counters  u32 counter key -> u64 packets, per CPU      the program writes, user space reads
 */
#define FASTPATH_MAPS(X)                                                                                     \
	X(XSKS, xsks_map, 4, 4, 64)                                                                          \
	X(ALLOWED, allowed_ips, 4, 1, 256)                                                                   \
	X(BLOCKED, blocked_ips, 4, 1, 1024)                                                                  \
	X(COUNTERS, xdp_counters, 4, 8, 5)

enum fastpath_map {
#define X(NAME, name, key, value, entries) FASTPATH_MAP_##NAME,
	FASTPATH_MAPS(X)
#undef X
		FASTPATH_MAP_COUNT,
};

enum fastpath_map_entries {
#define X(NAME, name, key, value, entries) FASTPATH_##NAME##_ENTRIES = (entries),
	FASTPATH_MAPS(X)
#undef X
};

/*
 * Why a packet got its verdict: X(NAME, name, id, VERDICT, label, sentence).
 * The id of a counted reason is its key in xdp_counters, a public number; the
 * order of the rows is the order in which people are shown them.
 *   name      in JSON, in metrics and on the command line
 *   label     in tables and in read_xdp_stats.sh
 *   sentence  the rule, for a person who asks why
 */
#define FASTPATH_REASONS(X)                                                                                  \
	X(IGNORED, ignored, 255, PASS, "Not SIP on UDP 5060",                                                \
	  "No whole UDP header with a destination port that is filtered (in classic: IPv4, 5060): left to "  \
	  "the kernel, not counted.")                                                                        \
	X(OPTIONS_DROPPED, options_dropped, 0, DROP, "OPTIONS dropped (stealth)",                            \
	  "OPTIONS from a source that is not in allowed_ips: dropped, so that a scanner sees nothing.")      \
	X(BLOCKED, blocked, 3, DROP, "Blocked (DoS list)",                                                   \
	  "The source is in blocked_ips: everything it sends to a SIP port is dropped.")                     \
	X(MALFORMED, malformed, 4, DROP, "Malformed (dropped)",                                              \
	  "No \"SIP/2.0\" where it must stand (in classic the first 64 bytes of a payload of 20 bytes or "   \
	  "more, in carrier the first line), or a REGISTER too short to have one; in carrier also what "     \
	  "hides a method: dropped.")                                                                        \
	X(REDIRECTED, redirected, 1, REDIRECT, "Redirected (AF_XDP)",                                        \
	  "Good SIP, and xsks_map holds a socket for the receive queue: redirected to AF_XDP.")              \
	X(PASSED, passed, 2, PASS, "Passed to stack",                                                        \
	  "Good SIP, and no AF_XDP socket for the receive queue: passed to the kernel's stack.")

enum fastpath_reason {
#define X(NAME, name, id, VERDICT, label, sentence) FASTPATH_REASON_##NAME = (id),
	FASTPATH_REASONS(X)
#undef X
};

/*
 * What goes beyond profile `classic`, each to be switched by itself: X(NAME, name, bit, sentence).
 *   name      in the configuration, in `status` and on the command line
 *   sentence  what the switch does
 */
#define FASTPATH_SWITCHES(X)                                                                                 \
	X(IPV6, ipv6, 0, "The same rules for IPv6, behind up to 8 extension headers.")                       \
	X(VLAN, vlan, 1, "Looks through up to two VLAN tags (802.1Q, 802.1ad).")                             \
	X(PORTS, ports, 2, "Filters a set of UDP destination ports in place of 5060 alone.")                 \
	X(FIRST_LINE, first_line, 3,                                                                         \
	  "SIP/2.0 must stand in the first line, which may be as long as the limit says, in place of the "   \
	  "first 64 bytes.")                                                                                 \
	X(KEEPALIVES, keepalives, 4,                                                                         \
	  "Payloads of up to 16 CR, LF, SP, TAB or NUL bytes, and STUN, pass: they keep NAT bindings open.") \
	X(EVASION, evasion, 5,                                                                               \
	  "What SIP servers read as OPTIONS is OPTIONS: leading blanks are skipped, case does not count. "   \
	  "Source port 0 and first fragments without a method are malformed.")                               \
	X(FRAGMENTS, fragments, 6,                                                                           \
	  "All fragments of a blocked source are dropped; no other fragment goes to AF_XDP.")                \
	X(VERSIONS, versions, 7,                                                                             \
	  "A first line with another SIP version passes: the server owes it a 505 response.")

enum fastpath_switch {
#define X(NAME, name, bit, sentence) FASTPATH_SWITCH_##NAME = 1 << (bit),
	FASTPATH_SWITCHES(X)
#undef X
};

/*
 * What a program is loaded with: constants to the verifier, which removes what
 * is off. All zeros is profile `classic`, and what a raw load gets.
 */
#define FASTPATH_SETTINGS_MAP ".rodata.settings"
#define FASTPATH_PORT_WORDS   1024

struct fastpath_settings {
	uint64_t switches;	   /* of enum fastpath_switch */
	uint32_t first_line_limit; /* bytes, FASTPATH_WINDOW_LENGTH to FASTPATH_FIRST_LINE_LIMIT */
	uint32_t padding;
	uint64_t
		ports[FASTPATH_PORT_WORDS]; /* bit (port & 63) of word (port >> 6), port in host byte order */
};

_Static_assert(sizeof(struct fastpath_settings) == 16 + 8 * FASTPATH_PORT_WORDS, "no hidden padding");

/* Numbered like enum xdp_action, whose values are kernel ABI. */
enum fastpath_verdict {
	FASTPATH_VERDICT_DROP = 1,
	FASTPATH_VERDICT_PASS = 2,
	FASTPATH_VERDICT_REDIRECT = 4,
};

#ifndef __bpf__

/* One row of FASTPATH_MAPS. Sizes in bytes. */
struct fastpath_map_info {
	const char *name;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t default_entries;
};

/* One row of FASTPATH_REASONS. */
struct fastpath_reason_info {
	const char *name;
	const char *label;
	const char *sentence;
	uint32_t id;
	enum fastpath_verdict verdict;
};

/* The row of a map; `map` must be one of enum fastpath_map but its COUNT. */
const struct fastpath_map_info *fastpath_map_row(enum fastpath_map map);

/* One row of FASTPATH_SWITCHES. */
struct fastpath_switch_info {
	const char *name;
	const char *sentence;
	uint64_t bit;
};

/* The rows of FASTPATH_SWITCHES; NULL from `index` = their number on. */
const struct fastpath_switch_info *fastpath_switch_row(uint32_t index);

/* The rows of FASTPATH_REASONS in order of display; NULL from `index` = their number on. */
const struct fastpath_reason_info *fastpath_reason_row(uint32_t index);

#endif /* __bpf__ */
#endif /* FASTPATH_ABI_H */
