#include "lib/artifact/unpack_thread.h"

#include <errno.h>
#include <stddef.h>

#define STACK_BYTES ((size_t)256 << 10)

int
unpack_thread_start(pthread_t *thread, void *(*run)(void *data), void *data)
{
	pthread_attr_t attr;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	errno = pthread_create(thread, &attr, run, data);
	(void)pthread_attr_destroy(&attr);
	return errno == 0 ? 0 : -1;
}
