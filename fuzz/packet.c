// SPDX-License-Identifier: Apache-2.0
/*
 * The packet program as a host's function, under libFuzzer, AddressSanitizer
 * and UndefinedBehaviorSanitizer: bpf/ as it is, over fuzz/shim. Each input is
 * judged in several ways; a read beyond the bytes it was given, an undefined
 * operation, and two answers where there can be one, are crashes.
 *
 * An input: flags (INPUT_*), switches (low byte, high byte; bit by bit, or with
 * INPUT_PROFILE classic for an even number and carrier for an odd one), bytes in
 * the first buffer (low, high), then a frame, or with INPUT_PAYLOAD what a frame
 * carries.
 */
#include "../bpf/sip_logic.bpf.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	INPUT_BLOCKED = 1, /* every source is blocked */
	INPUT_ALLOWED = 2,
	INPUT_SOCKET = 4,
	INPUT_PROFILE = 8,
	INPUT_PAYLOAD = 16,
	INPUT_IPV6 = 32,     /* the frame around a payload is IPv6 */
	INPUT_TAG = 64,	     /* and has a VLAN tag */
	INPUT_WATCHED = 128, /* somebody reads samples of all decisions */
	INPUT_HEADER = 5,
};

#define LARGEST_FRAME		       4096
#define ALL_SWITCHES		       (0 FASTPATH_SWITCHES(ADD))
#define ADD(NAME, name, bit, sentence) | 1u << (bit)

#define REQUIRE(condition)                                                                                   \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);       \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

bool host_has_several_buffers = true;

/* --- What the helpers work on --- */

static struct {
	const __u8 *frame;
	size_t length;
	__u8 flags;
	int samples;
} now;

/* Arrays are there with all their entries, filled with zeros at first. */
static struct {
	void *map;
	__u8 *values;
	size_t value_size, entries;
} arrays[64];

static void *array_value(void *map, __u32 entries, size_t value_size, __u32 key)
{
	size_t i = 0;

	while (arrays[i].map && arrays[i].map != map)
		REQUIRE(++i < sizeof(arrays) / sizeof(*arrays));
	if (!arrays[i].map) {
		arrays[i].map = map;
		arrays[i].values = calloc(entries, value_size);
		arrays[i].value_size = value_size;
		arrays[i].entries = entries;
	}
	return key < entries ? arrays[i].values + key * value_size : NULL;
}

void *host_map_lookup(void *map, __u32 type, __u32 entries, size_t value_size, const void *key)
{
	static __u64 found[64];

	if (map == &blocked_ips)
		return now.flags & INPUT_BLOCKED ? found : NULL;
	if (map == &allowed_ips)
		return now.flags & INPUT_ALLOWED ? found : NULL;
	if (map == &xsks_map)
		return now.flags & INPUT_SOCKET ? found : NULL;
	if (type != BPF_MAP_TYPE_ARRAY && type != BPF_MAP_TYPE_PERCPU_ARRAY)
		return NULL;
	return array_value(map, entries, value_size, *(const __u32 *)key);
}

long host_redirect(__u32 slot, __u64 flags)
{
	(void)slot;
	return now.flags & INPUT_SOCKET ? XDP_REDIRECT : (long)flags;
}

__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx)
{
	(void)ctx;
	return now.length;
}

long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 offset, void *copy, __u32 length)
{
	(void)ctx;
	REQUIRE(length > 0); /* the verifier sees to it */
	if (offset > 0xffff || length > 0xffff || offset + length > now.length)
		return -1;
	memcpy(copy, now.frame + offset, length);
	return 0;
}

/* The frame's first bytes go behind what the program gives: the kernel refuses more than there are. */
long bpf_perf_event_output(struct xdp_md *ctx, void *map, __u64 flags, void *data, __u64 size)
{
	const struct fastpath_sample *sample = data;

	(void)ctx;
	REQUIRE(map == &samples && size == sizeof(*sample));
	REQUIRE(flags >> 32 <= now.length && sample->captured == flags >> 32 && sample->length == now.length);
	REQUIRE(sample->reason < FASTPATH_COUNTERS_ENTRIES);
	now.samples++;
	return 0;
}

/* Time stands still: a judgement has none. */
__u64 bpf_jiffies64(void)
{
	return 4294967296;
}

__u64 bpf_ktime_get_boot_ns(void)
{
	return 1000000000000;
}

/* --- One judgement --- */

static void watch(bool watched)
{
	__u32 key = 0;
	struct fastpath_sample_control *control = bpf_map_lookup_elem(&sample_control, &key);

	*control = (struct fastpath_sample_control){0};
	if (watched)
		*control = (struct fastpath_sample_control){
			.reasons = ~0U, .every = 1, .per_second = ~0U, .length = 128};
}

/* What was left by another packet must not matter: it is something else each time. */
static void spoil_copies(const char *pattern)
{
	__u32 key = 0;
	struct line_copy *copy = bpf_map_lookup_elem(&line_copies, &key);

	for (size_t i = 0, length = strlen(pattern) + 1; i < sizeof(*copy); i++)
		((__u8 *)copy)[i] = pattern[i % length];
}

static __u64 counted(__u32 key)
{
	__u64 *packets = bpf_map_lookup_elem(&xdp_counters, &key);

	return *packets;
}

/*
 * The reason for a frame of which `linear` bytes lie in the first buffer. That
 * is a block of memory of its own, of just this size, as AddressSanitizer knows.
 */
static enum fastpath_reason judged(const __u8 *frame, size_t length, size_t linear, const char *left)
{
	enum fastpath_reason reason = FASTPATH_REASON_IGNORED;
	enum fastpath_verdict verdict = FASTPATH_VERDICT_PASS;
	__u64 before[FASTPATH_COUNTERS_ENTRIES];
	struct xdp_md ctx = {0};
	__u8 *buffer;
	int action;

	buffer = malloc(linear ? linear : 1);
	memcpy(buffer, frame, linear);
	now.frame = frame;
	now.length = length;
	now.samples = 0;
	watch(now.flags & INPUT_WATCHED);
	ctx.data = (unsigned long)buffer;
	ctx.data_end = (unsigned long)buffer + linear;
	spoil_copies(left);
	for (__u32 key = 0; key < FASTPATH_COUNTERS_ENTRIES; key++)
		before[key] = counted(key);

	action = sip_xdp_prog(&ctx);

	for (__u32 key = 0; key < FASTPATH_COUNTERS_ENTRIES; key++) {
		if (counted(key) == before[key])
			continue;
		REQUIRE(counted(key) == before[key] + 1);
		REQUIRE(reason == FASTPATH_REASON_IGNORED);
		reason = key;
	}
	switch (reason) {
#define X(NAME, name, id, VERDICT, label, sentence)                                                          \
	case FASTPATH_REASON_##NAME:                                                                         \
		verdict = FASTPATH_VERDICT_##VERDICT;                                                        \
		break;
		FASTPATH_REASONS(X)
#undef X
	default:
		REQUIRE(!"a counter of no reason");
	}
	REQUIRE(action == (int)verdict);
	REQUIRE(now.samples == (now.flags & INPUT_WATCHED && settings.switches & FASTPATH_SWITCH_EVENTS &&
				reason != FASTPATH_REASON_IGNORED));
	REQUIRE(!memcmp(buffer, frame, linear));
	free(buffer);
	return reason;
}

/* --- The oracle --- */

/* Where the UDP payload of an honest IPv4 packet without tags ends, as its lengths say; 0 where it is none
 * such. */
static size_t payload_end(const __u8 *frame, size_t length)
{
	size_t header, packet, datagram;

	if (length < 14 + 20 || frame[12] != 0x08 || frame[13] != 0x00 || frame[14] >> 4 != 4)
		return 0;
	header = 14 + (frame[14] & 15) * 4;
	packet = 14 + (frame[16] << 8 | frame[17]);
	if (header < 34 || length < header + 8)
		return 0;
	datagram = header + (frame[header + 4] << 8 | frame[header + 5]);
	if (datagram > packet)
		datagram = packet;
	return datagram < header + 8 ? header + 8 : datagram;
}

static void set(__u64 switches, __u32 limit)
{
	struct fastpath_settings *writable = (struct fastpath_settings *)&settings;

	/* The compiler must not know that these are the constants. */
	asm volatile("" : "+r"(writable)::"memory");
	memset(writable, 0, sizeof(*writable));
	writable->switches = switches;
	writable->first_line_limit = limit;
	writable->ports[5060 >> 6] |= 1ULL << (5060 & 63);
	writable->ports[5061 >> 6] |= 1ULL << (5061 & 63);
}

static void put16(__u8 *bytes, size_t number)
{
	bytes[0] = number >> 8;
	bytes[1] = number;
}

/* A whole frame around a payload; its length. */
static size_t wrap(__u8 *frame, const __u8 *payload, size_t length, __u8 flags)
{
	size_t at = 12;

	memset(frame, 0, 14 + 4 + 40 + 8);
	if (flags & INPUT_TAG) {
		put16(frame + at, 0x8100);
		at += 4;
	}
	put16(frame + at, flags & INPUT_IPV6 ? 0x86dd : 0x0800);
	at += 2;
	if (flags & INPUT_IPV6) {
		frame[at] = 0x60;
		put16(frame + at + 4, 8 + length);
		frame[at + 6] = IPPROTO_UDP;
		frame[at + 8] = 0x20;
		at += 40;
	} else {
		frame[at] = 0x45;
		put16(frame + at + 2, 28 + length);
		frame[at + 9] = IPPROTO_UDP;
		frame[at + 12] = 192;
		at += 20;
	}
	put16(frame + at, 5060);
	put16(frame + at + 2, 5060);
	put16(frame + at + 4, 8 + length);
	memcpy(frame + at + 8, payload, length);
	return at + 8 + length;
}

/* A constant to the compiler, and so in memory that cannot be written. */
int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	const size_t page = 4096;
	__u8 *start = (__u8 *)((uintptr_t)&settings & ~(page - 1));
	size_t size = (__u8 *)(&settings + 1) - start;

	(void)count, (void)arguments;
	REQUIRE(mprotect(start, size, PROT_READ | PROT_WRITE) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const __u8 *input, size_t size)
{
	static __u8 frame[LARGEST_FRAME + 128], other[LARGEST_FRAME + 128];
	enum fastpath_reason reason;
	__u64 switches;
	size_t length, linear, end;

	if (size < INPUT_HEADER || size > LARGEST_FRAME)
		return -1;
	now.flags = input[0];
	switches = input[1] | input[2] << 8;
	if (now.flags & INPUT_PROFILE)
		switches = switches & 1 ? ALL_SWITCHES : 0;
	switches &= ALL_SWITCHES;
	set(switches,
	    FASTPATH_WINDOW_LENGTH + input[2] % (FASTPATH_FIRST_LINE_LIMIT - FASTPATH_WINDOW_LENGTH + 1) * 2);
	if (settings.first_line_limit > FASTPATH_FIRST_LINE_LIMIT || now.flags & INPUT_PROFILE)
		set(switches, FASTPATH_FIRST_LINE_LIMIT);
	if (now.flags & INPUT_PAYLOAD) {
		length = wrap(frame, input + INPUT_HEADER, size - INPUT_HEADER, now.flags);
	} else {
		length = size - INPUT_HEADER;
		memcpy(frame, input + INPUT_HEADER, length);
	}

	host_has_several_buffers = true;
	reason = judged(frame, length, length, "");
	/* The same again, whatever another packet left. */
	REQUIRE(judged(frame, length, length, " SIP/2.0\r\n") == reason);
	REQUIRE(judged(frame, length, length, "SIP/2.0") == reason);
	/* The same, wherever the first buffer ends. */
	linear = input[3] | input[4] << 8;
	if (linear < length)
		REQUIRE(judged(frame, length, linear, "\n") == reason);
	REQUIRE(judged(frame, length, length < 14 ? length : 14, " SIP/2.0\n") == reason);
	/* The same under a kernel before 5.18. */
	host_has_several_buffers = false;
	REQUIRE(judged(frame, length, length, "OPTIONS SIP/2.0\n") == reason);
	host_has_several_buffers = true;

	/* Bytes behind the payload are no part of it: others, more or none of them change nothing. */
	end = payload_end(frame, length);
	if (end && end < length) {
		memcpy(other, frame, length);
		for (size_t i = end; i < length; i++)
			other[i] ^= 0x5a;
		REQUIRE(judged(other, length, length, "") == reason);
		REQUIRE(judged(frame, end, end, "") == reason);
	} else if (end == length) {
		memcpy(other, frame, length);
		memcpy(other + length, " SIP/2.0\r\n", 10);
		REQUIRE(judged(other, length + 10, length + 10, "") == reason);
	}

	/* A blocked source is dropped, or the frame is none of our business; a stranger is never `blocked`.
	 */
	if (now.flags & INPUT_BLOCKED && reason != FASTPATH_REASON_IGNORED) {
		bool is_ipv6 = reason != FASTPATH_REASON_BLOCKED;

		/* The lists hold IPv4 addresses. */
		REQUIRE(!is_ipv6 || switches & FASTPATH_SWITCH_IPV6);
	} else {
		REQUIRE(reason != FASTPATH_REASON_BLOCKED);
	}
	REQUIRE(reason != FASTPATH_REASON_OPTIONS_DROPPED || !(now.flags & INPUT_ALLOWED) ||
		switches & FASTPATH_SWITCH_IPV6);
	REQUIRE(reason != FASTPATH_REASON_REDIRECTED || now.flags & INPUT_SOCKET);
	return 0;
}
