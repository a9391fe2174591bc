/* SPDX-License-Identifier: Apache-2.0 */
/* How often a thread allocates: what must not allocate is counted, not believed. */
#ifndef SUPPORT_ALLOCATIONS_H
#define SUPPORT_ALLOCATIONS_H

/* Calls of malloc(3) and its like by the calling thread so far, whoever made them. */
unsigned long support_allocations(void);

#endif
