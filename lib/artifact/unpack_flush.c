#include "lib/artifact/unpack_flush.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define EVERY_BYTES (UINT64_C(64) << 20)
#define FILE_BYTES 4096 /* what a file costs beside its data */

struct unpack_flush {
	int root;
	uint64_t bytes; /* since the last time */
	pthread_t thread;
	int started;
	atomic_int done;
};

static void *
flush(void *data)
{
	struct unpack_flush *f = data;

	(void)syncfs(f->root);
	atomic_store(&f->done, 1);
	return NULL;
}

struct unpack_flush *
unpack_flush_new(int root)
{
	struct unpack_flush *f = xcalloc(1, sizeof *f);

	f->root = root;
	return f;
}

static void
finish(struct unpack_flush *f)
{
	if (f->started)
		(void)pthread_join(f->thread, NULL);
	f->started = 0;
}

void
unpack_flush_add(struct unpack_flush *f, uint64_t bytes)
{
	f->bytes += bytes + FILE_BYTES;
	if (f->bytes < EVERY_BYTES || (f->started && !atomic_load(&f->done)))
		return;
	finish(f);
	f->bytes = 0;
	atomic_store(&f->done, 0);
	f->started = pthread_create(&f->thread, NULL, flush, f) == 0;
}

void
unpack_flush_free(struct unpack_flush *f)
{
	if (f == NULL)
		return;
	finish(f);
	free(f);
}
