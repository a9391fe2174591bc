/* SPDX-License-Identifier: Apache-2.0 */
/* AF_XDP in C (Documentation/networking/af_xdp.rst): the yardstick of the receiver in Swift, step by step the
 * same. */
#define _GNU_SOURCE
#include "fastpath_lab_receive.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_SIZE 2048u
#define BATCH	   64u

struct side {
	uint32_t *producer;
	uint32_t *consumer;
	uint32_t *flags;
	void *slots;
	uint32_t mask;
};

struct fastpath_lab_ring {
	int descriptor;
	uint8_t *frames;
	struct side receive;
	struct side fill;
};

static bool map_side(int descriptor, const struct xdp_ring_offset *offsets, uint32_t size, size_t slot,
		     off_t place, struct side *side)
{
	uint8_t *memory = mmap(NULL, offsets->desc + size * slot, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_POPULATE, descriptor, place);

	if (memory == MAP_FAILED)
		return false;
	*side = (struct side){
		.producer = (uint32_t *)(memory + offsets->producer),
		.consumer = (uint32_t *)(memory + offsets->consumer),
		.flags = (uint32_t *)(memory + offsets->flags),
		.slots = memory + offsets->desc,
		.mask = size - 1,
	};
	return true;
}

static bool set_up(struct fastpath_lab_ring *ring, uint32_t ifindex, uint32_t queue, uint32_t size)
{
	size_t length = (size_t)size * FRAME_SIZE;
	struct xdp_umem_reg region = {.len = length, .chunk_size = FRAME_SIZE};
	struct xdp_mmap_offsets offsets;
	socklen_t offsets_length = sizeof(offsets);
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_ifindex = ifindex,
		.sxdp_queue_id = queue,
		.sxdp_flags = XDP_USE_NEED_WAKEUP,
	};
	static const int options[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING};
	uint64_t *fill;

	ring->frames =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ring->frames == MAP_FAILED)
		return false;
	region.addr = (uint64_t)(uintptr_t)ring->frames;
	if (setsockopt(ring->descriptor, SOL_XDP, XDP_UMEM_REG, &region, sizeof(region)) < 0)
		return false;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		if (setsockopt(ring->descriptor, SOL_XDP, options[i], &size, sizeof(size)) < 0)
			return false;
	}
	if (getsockopt(ring->descriptor, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &offsets_length) < 0)
		return false;
	if (!map_side(ring->descriptor, &offsets.rx, size, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING,
		      &ring->receive) ||
	    !map_side(ring->descriptor, &offsets.fr, size, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING,
		      &ring->fill))
		return false;
	fill = ring->fill.slots;
	for (uint32_t i = 0; i < size; i++)
		fill[i] = (uint64_t)i * FRAME_SIZE;
	__atomic_store_n(ring->fill.producer, size, __ATOMIC_RELEASE);
	/* Behind the end of an earlier owner the kernel needs a moment to let go of the queue. */
	for (int attempt = 0; bind(ring->descriptor, (struct sockaddr *)&address, sizeof(address)) < 0;
	     attempt++) {
		if (errno != EBUSY || attempt == 100)
			return false;
		usleep(10000);
	}
	return true;
}

struct fastpath_lab_ring *fastpath_lab_ring_open(uint32_t ifindex, uint32_t queue, uint32_t size)
{
	struct fastpath_lab_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return NULL;
	ring->descriptor = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	/* What a failure leaves goes with the process, which has nothing else to do. */
	return ring->descriptor >= 0 && set_up(ring, ifindex, queue, size) ? ring : NULL;
}

int fastpath_lab_ring_descriptor(const struct fastpath_lab_ring *ring)
{
	return ring->descriptor;
}

static inline uint16_t read16(const uint8_t *bytes)
{
	uint16_t number;

	memcpy(&number, bytes, sizeof(number));
	return __builtin_bswap16(number);
}

static inline uint32_t read32(const uint8_t *bytes)
{
	uint32_t number;

	memcpy(&number, bytes, sizeof(number));
	return __builtin_bswap32(number);
}

/* The Internet checksum (RFC 1071), not folded. */
static inline uint64_t add(uint64_t sum, const uint8_t *bytes, uint32_t length)
{
	uint32_t pairs = length / 8, i = pairs * 8;

	for (uint32_t pair = 0; pair < pairs; pair++) {
		uint64_t words;

		memcpy(&words, bytes + pair * 8, sizeof(words));
		words = __builtin_bswap64(words);
		sum += (words >> 32) + (words & 0xffffffff);
	}
	if (i + 4 <= length) {
		sum += read32(bytes + i);
		i += 4;
	}
	if (i + 2 <= length) {
		sum += read16(bytes + i);
		i += 2;
	}
	if (i < length)
		sum += (uint64_t)bytes[i] << 8;
	return sum;
}

static inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint64_t read64(const uint8_t *bytes)
{
	return (uint64_t)read32(bytes) << 32 | read32(bytes + 4);
}

/* What the receiver in Swift tells of a datagram. */
struct datagram {
	const uint8_t *frame;
	uint32_t length;
	uint64_t source[2];
	uint64_t destination[2];
	uint16_t source_port;
	uint16_t destination_port;
	bool is_ipv6;
	uint8_t traffic_class;
	uint8_t hop_limit;
	bool is_checksum_partial;
	uint32_t network;
	uint32_t udp;
	uint32_t payload_length;
};

/* Reads a UDP datagram over IPv4 or IPv6 whose checksums are right; false for anything else. */
static bool parse(const uint8_t *frame, uint32_t length, struct datagram *datagram)
{
	uint32_t type = 12, ip, udp, end, addresses, addresses_length, udp_length;
	uint16_t checksum, begun;
	uint64_t sum;

	if (length < 34)
		return false;
	for (int i = 0; i < 2; i++) {
		uint16_t tag = read16(frame + type);

		if ((tag == 0x8100 || tag == 0x88a8) && length >= type + 4 + 22)
			type += 4;
	}
	ip = type + 2;
	if (read16(frame + type) == 0x0800) {
		uint32_t header;

		if (length < ip + 20)
			return false;
		header = (frame[ip] & 15u) * 4;
		end = ip + read16(frame + ip + 2);
		if (frame[ip] >> 4 != 4 || header < 20 || end < ip + header || length < end)
			return false;
		if (frame[ip + 9] != 17 || read16(frame + ip + 6) & 0x3fff)
			return false;
		if (fold(add(0, frame + ip, header)) != 0xffff)
			return false;
		udp = ip + header;
		datagram->source[0] = read32(frame + ip + 12);
		datagram->source[1] = 0;
		datagram->destination[0] = read32(frame + ip + 16);
		datagram->destination[1] = 0;
		datagram->is_ipv6 = false;
		datagram->traffic_class = frame[ip + 1];
		datagram->hop_limit = frame[ip + 8];
		addresses = ip + 12;
		addresses_length = 8;
	} else if (read16(frame + type) == 0x86dd) {
		if (length < ip + 40)
			return false;
		end = ip + 40 + read16(frame + ip + 4);
		if (frame[ip] >> 4 != 6 || length < end || frame[ip + 6] != 17)
			return false;
		udp = ip + 40;
		datagram->source[0] = read64(frame + ip + 8);
		datagram->source[1] = read64(frame + ip + 16);
		datagram->destination[0] = read64(frame + ip + 24);
		datagram->destination[1] = read64(frame + ip + 32);
		datagram->is_ipv6 = true;
		datagram->traffic_class = (uint8_t)(read16(frame + ip) >> 4);
		datagram->hop_limit = frame[ip + 7];
		addresses = ip + 8;
		addresses_length = 32;
	} else {
		return false;
	}
	if (end < udp + 8)
		return false;
	udp_length = read16(frame + udp + 4);
	if (udp_length < 8 || udp + udp_length > end)
		return false;
	datagram->frame = frame;
	datagram->length = length;
	datagram->source_port = read16(frame + udp);
	datagram->destination_port = read16(frame + udp + 2);
	datagram->network = ip;
	datagram->udp = udp;
	datagram->payload_length = udp_length - 8;
	datagram->is_checksum_partial = false;
	checksum = read16(frame + udp + 6);
	if (!checksum)
		return addresses_length == 8;
	sum = add(17 + (uint64_t)udp_length, frame + addresses, addresses_length);
	begun = fold(sum);
	if (fold(add(sum, frame + udp, udp_length)) == 0xffff)
		return true;
	datagram->is_checksum_partial = true;
	return checksum == begun;
}

/* What becomes of a datagram is up to a function, as it is up to a closure in Swift. */
typedef void (*handler)(const struct datagram *datagram, void *context);

static void note(const struct datagram *datagram, void *context)
{
	struct fastpath_lab_worker *worker = context;

	worker->packets++;
	worker->bytes += datagram->payload_length;
}

static uint32_t take(struct fastpath_lab_ring *ring, handler handle, void *context)
{
	uint32_t first = *ring->receive.consumer;
	uint32_t count = __atomic_load_n(ring->receive.producer, __ATOMIC_ACQUIRE) - first;
	uint32_t next = *ring->fill.producer;
	const struct xdp_desc *descriptors = ring->receive.slots;
	uint64_t *fill = ring->fill.slots;

	if (count > BATCH)
		count = BATCH;
	if (!count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *descriptor = &descriptors[(first + i) & ring->receive.mask];
		struct datagram datagram;

		if (parse(ring->frames + descriptor->addr, descriptor->len, &datagram))
			handle(&datagram, context);
		fill[(next + i) & ring->fill.mask] = descriptor->addr & ~(uint64_t)(FRAME_SIZE - 1);
	}
	__atomic_store_n(ring->fill.producer, next + count, __ATOMIC_RELEASE);
	__atomic_store_n(ring->receive.consumer, first + count, __ATOMIC_RELEASE);
	if (__atomic_load_n(ring->fill.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP)
		recvfrom(ring->descriptor, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return count;
}

static uint64_t micros(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void fastpath_lab_ring_receive(struct fastpath_lab_ring *const *rings, volatile uint64_t *const *beats,
			       uint32_t count, struct fastpath_lab_worker *worker)
{
	struct pollfd polled[FASTPATH_LAB_RING_LIMIT];
	/* Not to be known beforehand: a library does not know its callers. */
	handler volatile handle = note;
	uint64_t last = 0;
	uint32_t turn = 0;

	for (uint32_t i = 0; i < count; i++)
		polled[i] = (struct pollfd){.fd = rings[i]->descriptor, .events = POLLIN};
	fastpath_lab_announce(worker);
	for (;;) {
		uint64_t now = micros(CLOCK_MONOTONIC_COARSE);
		uint32_t taken = 0;

		if (now - last >= 50000) {
			last = now;
			for (uint32_t i = 0; i < count; i++)
				if (beats[i])
					*beats[i] = micros(CLOCK_BOOTTIME);
		}
		for (uint32_t i = 0; i < count; i++)
			taken += take(rings[(turn + i) % count], handle, worker);
		turn = turn + 1 >= count ? 0 : turn + 1;
		if (!taken)
			poll(polled, count, 400);
	}
}
