#include "lib/artifact/unpack_pipe.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/mem.h"

/* What is in the ring was just written by one thread and is read next by the other: it should still be
 * in the cache then. */
#define BLOCKS 4
#define BLOCK_BYTES ((size_t)256 << 10)
#define STACK_BYTES ((size_t)256 << 10)

struct unpack_pipe {
	struct unpack_stream *stream;
	pthread_t thread;
	char *blocks[BLOCKS];
	size_t taken; /* by the reader; block taken - 1 is what it works on */

	pthread_mutex_t lock; /* for all that follows */
	pthread_cond_t filled, freed;
	ssize_t length[BLOCKS];   /* what unpack_stream_read() returned */
	size_t n_filled, n_freed; /* how many blocks, ever */
	int stop;
	struct err err;
};

/* Wait for a block to fill; NULL when nobody wants any more. */
static char *
get_room(struct unpack_pipe *p)
{
	char *block = NULL;

	(void)pthread_mutex_lock(&p->lock);
	while (!p->stop && p->n_filled - p->n_freed == BLOCKS)
		(void)pthread_cond_wait(&p->freed, &p->lock);
	if (!p->stop)
		block = p->blocks[p->n_filled % BLOCKS];
	(void)pthread_mutex_unlock(&p->lock);
	return block;
}

static void *
fill(void *data)
{
	struct unpack_pipe *p = data;
	ssize_t n = 1;
	char *block;

	while (n > 0 && (block = get_room(p)) != NULL) {
		n = unpack_stream_read(p->stream, block, BLOCK_BYTES, &p->err);
		(void)pthread_mutex_lock(&p->lock);
		p->length[p->n_filled++ % BLOCKS] = n;
		(void)pthread_cond_signal(&p->filled);
		(void)pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

struct unpack_pipe *
unpack_pipe_new(struct unpack_stream *stream, struct err *e)
{
	struct unpack_pipe *p = xcalloc(1, sizeof *p);
	pthread_attr_t attr;

	p->stream = stream;
	for (size_t i = 0; i < BLOCKS; i++)
		p->blocks[i] = xcalloc(1, BLOCK_BYTES);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->filled, NULL);
	(void)pthread_cond_init(&p->freed, NULL);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	errno = pthread_create(&p->thread, &attr, fill, p);
	(void)pthread_attr_destroy(&attr);
	if (errno != 0) {
		err_sys(e, "start a thread");
		p->stream = NULL;
		unpack_pipe_free(p);
		return NULL;
	}
	return p;
}

ssize_t
unpack_pipe_next(struct unpack_pipe *p, const void **block, struct err *e)
{
	ssize_t n;

	(void)pthread_mutex_lock(&p->lock);
	if (p->n_freed < p->taken) {
		/* The last block stays: whoever asks again after it gets the same answer. */
		if (p->length[p->n_freed % BLOCKS] > 0) {
			p->n_freed++;
			(void)pthread_cond_signal(&p->freed);
		} else {
			p->taken--;
		}
	}
	while (p->n_filled == p->taken)
		(void)pthread_cond_wait(&p->filled, &p->lock);
	n = p->length[p->taken % BLOCKS];
	*block = p->blocks[p->taken % BLOCKS];
	p->taken++;
	if (n < 0)
		*e = p->err;
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}

void
unpack_pipe_free(struct unpack_pipe *p)
{
	if (p == NULL)
		return;
	if (p->stream != NULL) {
		(void)pthread_mutex_lock(&p->lock);
		p->stop = 1;
		(void)pthread_cond_signal(&p->freed);
		(void)pthread_mutex_unlock(&p->lock);
		(void)pthread_join(p->thread, NULL);
	}
	(void)pthread_cond_destroy(&p->freed);
	(void)pthread_cond_destroy(&p->filled);
	(void)pthread_mutex_destroy(&p->lock);
	for (size_t i = 0; i < BLOCKS; i++)
		free(p->blocks[i]);
	free(p);
}
