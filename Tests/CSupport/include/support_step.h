/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPPORT_STEP_H
#define SUPPORT_STEP_H

#include <sys/types.h>

/* Stops a process where it is and holds it, by ptrace(2). 0, or -1 with errno. */
int support_hold(pid_t pid);

/*
 * Lets a held process run so many instructions, or until it is about to call sendto(2). Returns how many it ran, or -1
 * with errno where it ended.
 */
long support_step(pid_t pid, long instructions);

/* Ends a held process by SIGKILL where it is. Its parent reaps it. */
void support_end_held(pid_t pid);

#endif /* SUPPORT_STEP_H */
