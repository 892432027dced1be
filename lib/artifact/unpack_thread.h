/*
 * Threads of pp-unpack, which has little memory to give: what a thread may use as its stack is counted
 * as used (RLIMIT_DATA), and as much of it as is usual would take half of what a decompressor may need.
 */
#ifndef PP_UNPACK_THREAD_H
#define PP_UNPACK_THREAD_H

#include <pthread.h>

/** Start a thread with a small stack. Returns: 0, the caller joins it; -1 with errno set. */
int unpack_thread_start(pthread_t *thread, void *(*run)(void *data), void *data);

#endif
