/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "fastpath_lab_receive.h"
#include "fastpath_lab_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LONGEST	    2048
#define BATCH_LIMIT 64

void *fastpath_lab_share(const char *path, size_t length)
{
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *memory;

	if (file < 0)
		return NULL;
	if (ftruncate(file, (off_t)length) < 0) {
		close(file);
		return NULL;
	}
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	return memory == MAP_FAILED ? NULL : memory;
}

void fastpath_lab_announce(struct fastpath_lab_worker *worker)
{
	__atomic_store_n(&worker->thread, (int32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
}

static void receive_one_by_one(int descriptor, struct fastpath_lab_worker *worker)
{
	static uint8_t buffer[LONGEST];

	for (;;) {
		struct sockaddr_in source;
		socklen_t length = sizeof(source);
		ssize_t count =
			recvfrom(descriptor, buffer, sizeof(buffer), 0, (struct sockaddr *)&source, &length);

		if (count < 0)
			continue;
		worker->packets++;
		worker->bytes += (uint64_t)count;
	}
}

static void receive_many(int descriptor, uint32_t batch, struct fastpath_lab_worker *worker)
{
	static uint8_t buffers[BATCH_LIMIT][LONGEST];
	static struct sockaddr_in sources[BATCH_LIMIT];
	static struct iovec parts[BATCH_LIMIT];
	static struct mmsghdr messages[BATCH_LIMIT];

	for (uint32_t i = 0; i < BATCH_LIMIT; i++) {
		parts[i] = (struct iovec){.iov_base = buffers[i], .iov_len = LONGEST};
		messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_name = &sources[i],
		};
	}
	for (;;) {
		int count;

		for (uint32_t i = 0; i < batch; i++)
			messages[i].msg_hdr.msg_namelen = sizeof(sources[i]);
		count = recvmmsg(descriptor, messages, batch, MSG_WAITFORONE, NULL);
		for (int i = 0; i < count; i++)
			worker->bytes += messages[i].msg_len;
		if (count > 0)
			worker->packets += (uint64_t)count;
	}
}

int fastpath_lab_serve(uint16_t port, int room, uint32_t batch, struct fastpath_lab_worker *workers,
		       uint32_t count)
{
	pid_t parent = getpid();
	uint32_t number = 0;
	int descriptor;

	if (batch > BATCH_LIMIT || count == 0) {
		errno = EINVAL;
		return -1;
	}
	descriptor = fastpath_lab_udp_listener(port, room);
	if (descriptor < 0)
		return -1;
	while (number + 1 < count) {
		pid_t child = fork();

		if (child < 0)
			return -1;
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				_exit(0);
			break;
		}
		number++;
	}
	/* Children have the numbers from 0 on, in the order of their birth; the parent the last. */
	fastpath_lab_announce(&workers[number]);
	if (batch)
		receive_many(descriptor, batch, &workers[number]);
	else
		receive_one_by_one(descriptor, &workers[number]);
	return 0;
}

int64_t fastpath_lab_send_frames(int descriptor, const uint8_t *frames, uint32_t length, uint32_t count,
				 uint32_t first, uint32_t total)
{
	struct mmsghdr messages[BATCH_LIMIT];
	struct iovec parts[BATCH_LIMIT];
	uint32_t sent = 0;

	memset(messages, 0, sizeof(messages));
	while (sent < total) {
		uint32_t due = total - sent < BATCH_LIMIT ? total - sent : BATCH_LIMIT;
		int done;

		for (uint32_t i = 0; i < due; i++) {
			uint64_t place = ((uint64_t)first + sent + i) % count;

			parts[i] = (struct iovec){.iov_base = (void *)(frames + place * length),
						  .iov_len = length};
			messages[i].msg_hdr.msg_iov = &parts[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		done = sendmmsg(descriptor, messages, due, 0);
		/* No room: the interface's own count tells of it. */
		if (done < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;
		if (done < 0)
			return sent ? (int64_t)sent : -1;
		sent += (uint32_t)done;
	}
	return sent;
}
