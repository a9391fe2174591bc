// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "support_step.h"

/* 0 where it stopped. */
static int stopped(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFSTOPPED(status))
		return 0;
	errno = ESRCH;
	return -1;
}

int support_hold(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		return -1;
	return stopped(pid);
}

/* Is the next instruction the call of sendto(2)? */
static int sends(pid_t pid)
{
	struct user_regs_struct registers;

	if (ptrace(PTRACE_GETREGS, pid, 0, &registers) || registers.rax != SYS_sendto)
		return 0;
	errno = 0;
	return (ptrace(PTRACE_PEEKTEXT, pid, registers.rip, 0) & 0xffff) == 0x050f /* syscall */ && !errno;
}

long support_step(pid_t pid, long instructions)
{
	long count;

	for (count = 0; count < instructions && !sends(pid); count++)
		if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) || stopped(pid))
			return -1;
	return count;
}

void support_end_held(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
		;
}
