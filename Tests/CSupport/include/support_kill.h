/* SPDX-License-Identifier: Apache-2.0 */
/* Kills a program at an exact point of its run. */
#ifndef SUPPORT_KILL_H
#define SUPPORT_KILL_H

/* What became of a program that ran under support_kill_at. */
struct support_killed {
	int changes; /* changing system calls begun, the one where it was killed included */
	int status;  /* as waitpid(2) gives it */
};

/*
 * Runs a program, its input and output /dev/null, and kills it with SIGKILL
 * when it enters its `at`-th changing system call (from 1 on), before the
 * kernel has done anything of it; with `at` 0 it runs to its end. Changing is
 * what leaves a trace when the process is gone: writes to BPF maps, pins and
 * freezes, netlink messages that set something on a link, and whatever writes,
 * makes, renames, cuts, syncs or removes a file. 0, or -1 with errno set.
 */
int support_kill_at(const char *path, char *const arguments[], char *const environment[], int at,
		    struct support_killed *result);

#endif
