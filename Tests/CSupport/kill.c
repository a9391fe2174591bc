// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "support_kill.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_changing_bpf(unsigned long long command)
{
	switch (command) {
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH:
	case BPF_MAP_FREEZE:
	case BPF_OBJ_PIN:
		return true;
	default: /* asks, or makes what is gone with the process */
		return false;
	}
}

/* Is it a message that sets something on a link? Others ask. */
static bool is_changing_message(pid_t child, unsigned long long message)
{
	union {
		long word;
		struct {
			__u32 length;
			__u16 type;
		} head; /* of a struct nlmsghdr */
	} start = {.word = ptrace(PTRACE_PEEKDATA, child, (void *)message, NULL)};

	return start.head.type == RTM_SETLINK;
}

static bool is_changing(pid_t child, const struct __ptrace_syscall_info *info)
{
	switch (info->entry.nr) {
	case SYS_bpf:
		return is_changing_bpf(info->entry.args[0]);
	case SYS_sendto:
		return is_changing_message(child, info->entry.args[1]);
	case SYS_write:
		return info->entry.args[0] > STDERR_FILENO;
	case SYS_pwrite64:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_unlinkat:
	case SYS_mkdirat:
	case SYS_renameat2:
#ifdef SYS_unlink /* not on every architecture */
	case SYS_unlink:
	case SYS_mkdir:
	case SYS_rmdir:
	case SYS_rename:
#endif
		return true;
	default:
		return false;
	}
}

static void become(const char *path, char *const arguments[], char *const environment[])
{
	int nowhere = open("/dev/null", O_RDWR);

	for (int stream = 0; stream < 3; stream++)
		dup2(nowhere, stream);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
		execve(path, arguments, environment);
	_exit(127);
}

int support_kill_at(const char *path, char *const arguments[], char *const environment[], int at,
		    struct support_killed *result)
{
	pid_t child = fork();

	if (child < 0)
		return -1;
	if (child == 0)
		become(path, arguments, environment);

	result->changes = 0;
	/* Stopped behind its exec. */
	if (waitpid(child, &result->status, 0) != child || !WIFSTOPPED(result->status))
		return -1;
	ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (int forwarded = 0;;) {
		if (ptrace(PTRACE_SYSCALL, child, NULL, forwarded) != 0)
			return -1;
		if (waitpid(child, &result->status, 0) != child)
			return -1;
		if (!WIFSTOPPED(result->status))
			return 0;
		forwarded = 0;
		if (WSTOPSIG(result->status) != (SIGTRAP | 0x80)) {
			forwarded = WSTOPSIG(result->status);
			continue;
		}
		struct __ptrace_syscall_info info;
		memset(&info, 0, sizeof(info));
		if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) < 0)
			return -1;
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !is_changing(child, &info))
			continue;
		if (++result->changes == at) {
			kill(child, SIGKILL);
			return waitpid(child, &result->status, 0) == child ? 0 : -1;
		}
	}
}
