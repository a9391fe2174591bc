/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that have moved into libc.so.6 with glibc 2.34, and have a version of that name since. Asked for
 * by it, a server on an older system would not start at all: the loader refuses the library and with it the
 * program. So they are asked for by their versions of before, which every later glibc has too.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "preload.h"

#if defined(__x86_64__)
#define FIRST  "GLIBC_2.2.5"
#define ROBUST "GLIBC_2.12"
#elif defined(__aarch64__)
#define FIRST  "GLIBC_2.17"
#define ROBUST "GLIBC_2.17"
#endif

#ifdef FIRST
#define IS_OF(function, version) __asm__(".symver " #function ", " #function "@" version)
IS_OF(dlsym, FIRST);
IS_OF(pthread_mutexattr_init, FIRST);
IS_OF(pthread_mutexattr_setpshared, FIRST);
IS_OF(pthread_mutexattr_setrobust, ROBUST);
IS_OF(pthread_mutex_trylock, FIRST);
IS_OF(pthread_mutex_consistent, ROBUST);
IS_OF(pthread_mutex_clocklock, "GLIBC_2.30");
#endif

void *fastpath_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int fastpath_lock_make(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;
	int code = pthread_mutexattr_init(&attributes);

	if (!code)
		code = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (!code)
		code = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	if (!code)
		code = pthread_mutex_init(lock, &attributes);
	return code;
}

int fastpath_lock_try(pthread_mutex_t *lock)
{
	return pthread_mutex_trylock(lock);
}

int fastpath_lock_wait(pthread_mutex_t *lock, const struct timespec *until)
{
	return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, until);
}

int fastpath_lock_mend(pthread_mutex_t *lock)
{
	return pthread_mutex_consistent(lock);
}
