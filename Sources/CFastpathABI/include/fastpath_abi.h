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
	X(COUNTERS, xdp_counters, 4, 8, 6)

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
	  "OPTIONS from a source that no list allows or trusts: dropped, so that a scanner sees nothing.")   \
	X(BLOCKED, blocked, 3, DROP, "Blocked (DoS list)",                                                   \
	  "The source is on the block list: everything it sends to a SIP port is dropped.")                  \
	X(MALFORMED, malformed, 4, DROP, "Malformed (dropped)",                                              \
	  "No \"SIP/2.0\" where it must stand (in classic the first 64 bytes of a payload of 20 bytes or "   \
	  "more, in carrier the first line), or a REGISTER too short to have one; in carrier also what "     \
	  "hides a method: dropped.")                                                                        \
	X(RATE_LIMITED, rate_limited, 5, DROP, "Rate limited (dropped)",                                     \
	  "A request from a stranger who is over the limit, or strangers together are over their budget "    \
	  "(carrier, where limits are set): dropped.")                                                       \
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
	  "A first line with another SIP version passes: the server owes it a 505 response.")                \
	X(POLICY, policy, 8,                                                                                 \
	  "Reads the policy table: block, allow and trust entries for IPv4 and IPv6, of any prefix length.") \
	X(EVENTS, events, 9, "Decisions can be watched while they are made: vos-fastpath watch, capture.")   \
	X(CONSUMERS, consumers, 10,                                                                          \
	  "Redirects to an AF_XDP socket only what its consumer has asked for, and only while it reads: "    \
	  "the rest goes to the kernel's stack.")

/* Bits beside the switches, which follow from other settings. */
#define FASTPATH_FROZEN_MAPS 11 /* blocked_ips and allowed_ips are not read */
#define FASTPATH_LIMITS	     12 /* there is a limit or a budget */
#define FASTPATH_DRY_RUN     13 /* there is a rule in dry run */

enum fastpath_switch {
#define X(NAME, name, bit, sentence) FASTPATH_SWITCH_##NAME = 1 << (bit),
	FASTPATH_SWITCHES(X)
#undef X
		FASTPATH_SWITCH_FROZEN_MAPS = 1 << FASTPATH_FROZEN_MAPS,
	FASTPATH_SWITCH_LIMITS = 1 << FASTPATH_LIMITS,
	FASTPATH_SWITCH_DRY_RUN = 1 << FASTPATH_DRY_RUN,
};

/*
 * The classes of requests that have limits of their own: X(NAME, name, sentence).
 * What is neither (a keepalive, say) is in the last one; responses have no limit.
 */
#define FASTPATH_CLASSES(X)                                                                                  \
	X(REGISTER, register, "REGISTER requests")                                                           \
	X(INVITE, invite, "INVITE requests")                                                                 \
	X(OTHER, other, "all that is neither REGISTER nor INVITE nor a response")

enum fastpath_class {
#define X(NAME, name, sentence) FASTPATH_CLASS_##NAME,
	FASTPATH_CLASSES(X)
#undef X
		FASTPATH_CLASS_COUNT,
	FASTPATH_CLASS_EXEMPT = FASTPATH_CLASS_COUNT,
};

/*
 * A limit, as GCRA has it (ITU-T I.371): a packet belongs `interval` behind the
 * one before, and may come early by `tolerance` = (burst - 1) * interval.
 * `interval` 0: there is none. A source's limit is in microseconds, the budget of
 * all strangers in units of 1/1024 of that.
 */
struct fastpath_limit {
	uint64_t interval;
	uint64_t tolerance;
};

/*
 * What is known of a source's packets, in one word: the time at which the next
 * one is due, in microseconds of the boot-time clock (lower 40 bits), and 24 bits
 * of the hash of source and class. A line is what a source can be in.
 */
#define FASTPATH_LIMIT_CELLS_MAP  "limit_cells"
#define FASTPATH_LIMIT_BUDGET_MAP "limit_budget"
#define FASTPATH_LIMIT_WAYS	  4
#define FASTPATH_LIMIT_LINES	  16384
#define FASTPATH_LIMIT_DUE_BITS	  40

struct fastpath_limit_line {
	uint64_t cells[FASTPATH_LIMIT_WAYS];
};

/* No limit has a tolerance above this, a day in microseconds: 40 bits go round in twelve. */
#define FASTPATH_LIMIT_TOLERANCE_MAX 86400000000LL

/*
 * Counters of ours beside the public ones, one map: what would have been dropped
 * in dry run, by reason; SIP that passes unfiltered as a switch is off, by
 * switch; samples.
 */
#define FASTPATH_NOTES_MAP	 "edge_notes"
#define FASTPATH_NOTE_DRY_RUN	 0  /* and the reason's id */
#define FASTPATH_NOTE_UNFILTERED 16 /* and the switch's bit */
#define FASTPATH_NOTE_SAMPLED	 32
#define FASTPATH_NOTE_OVER_CAP	 33 /* samples that the cap left out */
#define FASTPATH_NOTE_UNREAD	 34 /* samples that nobody took, or that found the buffer full */
#define FASTPATH_NOTE_SINCE	 35 /* seconds since 1970-01-01 UTC, by the loader: when these began */
#define FASTPATH_NOTES_ENTRIES	 36

/*
 * Who reads the AF_XDP sockets of an interface: a map with an entry for each
 * receive queue, in memory on both sides. A consumer writes, the program reads,
 * but for what the program counts.
 */
#define FASTPATH_CONSUMERS_MAP	    "xsk_consumers"
#define FASTPATH_CONSUMER_ENDPOINTS 32
#define FASTPATH_CONSUMER_PIDS	    32

/* A consumer that has not beaten for so long (microseconds) does not read. */
#define FASTPATH_BEAT_LIMIT 1000000

/*
 * An address and port that a consumer takes datagrams for. Addresses in host
 * byte order, the upper half first; IPv4 in the upper one alone.
 */
struct fastpath_endpoint {
	uint64_t high;
	uint64_t low;
	uint64_t tail; /* FASTPATH_ENDPOINT_TAIL; 0: a free place */
};

#define FASTPATH_ENDPOINT_TAIL(port, is_ipv6)                                                                \
	((uint64_t)1 << 32 | (uint64_t)(is_ipv6) << 16 | (uint16_t)(port))

/*
 * What a consumer counts: X(NAME, name, label). In packets, but for wakeups.
 */
#define FASTPATH_CONSUMER_COUNTS(X)                                                                          \
	X(DELIVERED, delivered, "delivered to the server")                                                   \
	X(BY_KERNEL, by_kernel, "delivered by the kernel's socket")                                          \
	X(HANDED_BACK, handed_back, "not the server's, handed back to the kernel")                           \
	X(BAD_CHECKSUM, bad_checksum, "dropped: bad checksum")                                               \
	X(BAD_FORMAT, bad_format, "dropped: no whole datagram")                                              \
	X(SENT, sent, "sent by the transmit ring")                                                           \
	X(WAKEUPS, wakeups, "wakeups of a waiting process")                                                  \
	X(RING_FULL, ring_full, "dropped: no room in the rings")

enum fastpath_consumer_count {
#define X(NAME, name, label) FASTPATH_CONSUMER_##NAME,
	FASTPATH_CONSUMER_COUNTS(X)
#undef X
		FASTPATH_CONSUMER_COUNT_COUNT,
};

struct fastpath_consumer {
	/* Microseconds of the boot-time clock when it was last willing to read; 0: it has registered nothing.
	 */
	uint64_t beat;
	uint32_t endpoint_count; /* places in use, free ones among them */
	uint32_t longest;	 /* bytes of the longest frame that it takes */
	uint32_t flags;		 /* FASTPATH_CONSUMER_ZERO_COPY and so on */
	uint32_t ring_size;	 /* descriptors */
	uint64_t ring_ready;	 /* descriptors that waited to be read at the last beat */
	uint64_t padding[4];
	struct fastpath_endpoint endpoints[FASTPATH_CONSUMER_ENDPOINTS];
	/* Packets that the program left to the kernel, by what the consumer lacked. */
	uint64_t stale;	   /* a beat */
	uint64_t unwanted; /* their endpoint */
	uint64_t too_long; /* room */
	uint64_t padding2[5];
	uint64_t counts[8]; /* of enum fastpath_consumer_count */
	/* Processes that read; 0: a free place. */
	uint32_t pids[FASTPATH_CONSUMER_PIDS];
};

_Static_assert(sizeof(struct fastpath_consumer) == 64 + 24 * FASTPATH_CONSUMER_ENDPOINTS + 64 + 64 + 128,
	       "no hidden padding");
_Static_assert(FASTPATH_CONSUMER_COUNT_COUNT <= 8, "a place for each count");

#define FASTPATH_CONSUMER_ZERO_COPY 1
#define FASTPATH_CONSUMER_TRANSMITS 2

/* Samples of decisions: who reads them writes here which ones. */
#define FASTPATH_SAMPLES_MAP	    "samples"
#define FASTPATH_SAMPLE_CONTROL_MAP "sample_control"

struct fastpath_sample_control {
	uint32_t reasons;    /* a bit for each, by its id; 0: no samples */
	uint32_t every;	     /* one in so many on each CPU */
	uint32_t per_second; /* at most, on all CPUs together */
	uint32_t length;     /* bytes of a frame, at most */
	/* The program's: the second of the boot-time clock (upper half), and samples in it. */
	uint64_t taken;
};

/* What a sample begins with; the frame's first bytes follow. */
struct fastpath_sample {
	uint64_t time; /* microseconds of the boot-time clock */
	uint32_t interface;
	uint32_t queue;
	uint32_t length;   /* bytes of the whole frame */
	uint32_t captured; /* bytes of it that follow */
	uint8_t reason;
	uint8_t would_be; /* the reason to drop it, were its rule not in dry run; FASTPATH_REASON_IGNORED for
			     none */
	uint8_t padding[6];
};

_Static_assert(sizeof(struct fastpath_sample) == 32, "no hidden padding");

/* Sources whose packets would have been dropped: in dry run alone. */
#define FASTPATH_DRY_RUN_SOURCES_MAP	 "dry_run_sources"
#define FASTPATH_DRY_RUN_SOURCES_ENTRIES 4096
#define FASTPATH_DRY_RUN_LINE		 64

struct fastpath_dry_run_key {
	uint64_t address[2]; /* host byte order, the upper half first; IPv4 in the lower one */
	uint32_t is_ipv6;
	uint32_t reason;
};

struct fastpath_dry_run_source {
	uint64_t packets;
	uint64_t last;			     /* microseconds of the boot-time clock */
	uint8_t line[FASTPATH_DRY_RUN_LINE]; /* what the last payload began with, zeros behind it */
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
	uint32_t dry_run;	   /* a bit for each reason, by its id: its rules count and do not drop */
	uint64_t secret;	   /* of the hash of sources; another one at each load */
	struct fastpath_limit limits[FASTPATH_CLASS_COUNT]; /* of each source */
	struct fastpath_limit budget;			    /* of all strangers together */
	uint64_t
		ports[FASTPATH_PORT_WORDS]; /* bit (port & 63) of word (port >> 6), port in host byte order */
};

_Static_assert(sizeof(struct fastpath_settings) ==
		       24 + (FASTPATH_CLASS_COUNT + 1) * sizeof(struct fastpath_limit) +
			       8 * FASTPATH_PORT_WORDS,
	       "no hidden padding");

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

/* One row of FASTPATH_CLASSES. */
struct fastpath_class_info {
	const char *name;
	const char *sentence;
};

/* The rows of FASTPATH_CLASSES; NULL from `index` = their number on. */
const struct fastpath_class_info *fastpath_class_row(uint32_t index);

/* One row of FASTPATH_CONSUMER_COUNTS. */
struct fastpath_consumer_count_info {
	const char *name;
	const char *label;
};

/* The rows of FASTPATH_CONSUMER_COUNTS; NULL from `index` = their number on. */
const struct fastpath_consumer_count_info *fastpath_consumer_count_row(uint32_t index);

/* The rows of FASTPATH_REASONS in order of display; NULL from `index` = their number on. */
const struct fastpath_reason_info *fastpath_reason_row(uint32_t index);

#endif /* __bpf__ */
#endif /* FASTPATH_ABI_H */
