#include "lib/artifact/unpack_pipe.h"

#include <string.h>

#include "lib/artifact/unpack_thread.h"
#include "lib/base/mem.h"

/* What goes through the pipe should still be in the cache when it is written; but while the kernel has
 * the writer wait, as when it makes room in a journal, the reader should have some room to go on. */
#define BATCHES 12
#define CHUNK_BYTES ((size_t)64 << 10) /* of steps */

/* Memory that is given out piece by piece, and taken back at once. */
struct chunk {
	struct chunk *next;
	size_t used, room;
	_Alignas(max_align_t) char bytes[];
};

struct batch {
	char *block;
	struct chunk *chunks; /* of the steps, and what they have beside the block */
	struct unpack_step *first, *last;
};

struct unpack_pipe {
	int (*read)(void *data, struct unpack_pipe *p, struct err *e);
	void *data;
	pthread_t thread;
	int started;
	struct batch batches[BATCHES];
	struct batch *filling; /* the reader's */
	int writing;           /* the writer has a batch, the first that is not freed */

	pthread_mutex_t lock; /* for all that follows */
	pthread_cond_t filled, freed;
	size_t n_filled, n_freed; /* how many batches, ever */
	int stop;
	int over, result; /* the reader has come to its end, and what it returned */
	struct err err;
};

static void *
get_memory(struct batch *b, size_t n)
{
	const size_t align = _Alignof(max_align_t), rounded = (n + align - 1) / align * align;
	const size_t room = rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES;
	struct chunk *c = b->chunks;

	if (c == NULL || c->room - c->used < rounded) {
		c = xcalloc(1, sizeof *c + room);
		c->next = b->chunks;
		c->room = room;
		b->chunks = c;
	}
	c->used += rounded;
	return c->bytes + c->used - rounded;
}

/* Take back what it gave out; the chunk that it began with stays. */
static void
empty(struct batch *b)
{
	struct chunk *c;

	while ((c = b->chunks) != NULL && c->next != NULL) {
		b->chunks = c->next;
		free(c);
	}
	if (c != NULL)
		c->used = 0;
	b->first = b->last = NULL;
}

/* The batch that was being filled is the writer's now. */
static void
hand_over(struct unpack_pipe *p)
{
	p->filling = NULL;
	p->n_filled++;
	(void)pthread_cond_signal(&p->filled);
}

static void *
run(void *data)
{
	struct unpack_pipe *p = data;
	const int result = p->read(p->data, p, &p->err);

	(void)pthread_mutex_lock(&p->lock);
	if (p->filling != NULL)
		hand_over(p);
	p->over = 1;
	p->result = result;
	(void)pthread_cond_signal(&p->filled);
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct unpack_pipe *
unpack_pipe_new(int (*read)(void *data, struct unpack_pipe *p, struct err *e), void *data,
    struct err *e)
{
	struct unpack_pipe *p = xcalloc(1, sizeof *p);

	p->read = read;
	p->data = data;
	for (size_t i = 0; i < BATCHES; i++)
		p->batches[i].block = xcalloc(1, UNPACK_PIPE_BLOCK_BYTES);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->filled, NULL);
	(void)pthread_cond_init(&p->freed, NULL);
	p->started = unpack_thread_start(&p->thread, run, p) == 0;
	if (!p->started) {
		(void)err_sys(e, "start a thread");
		unpack_pipe_free(p);
		return NULL;
	}
	return p;
}

void *
unpack_pipe_block(struct unpack_pipe *p)
{
	struct batch *b = NULL;

	(void)pthread_mutex_lock(&p->lock);
	if (p->filling != NULL)
		hand_over(p);
	while (!p->stop && p->n_filled - p->n_freed == BATCHES)
		(void)pthread_cond_wait(&p->freed, &p->lock);
	if (!p->stop)
		b = &p->batches[p->n_filled % BATCHES];
	(void)pthread_mutex_unlock(&p->lock);
	if (b == NULL)
		return NULL;
	empty(b);
	p->filling = b;
	return b->block;
}

struct unpack_step *
unpack_pipe_step(struct unpack_pipe *p, enum unpack_step_kind kind)
{
	const struct unpack_step fresh = { .kind = kind };
	struct batch *b = p->filling;
	struct unpack_step *step = unpack_pipe_keep(p, &fresh, sizeof fresh);

	if (b->first == NULL)
		b->first = step;
	else
		b->last->next = step;
	b->last = step;
	return step;
}

void *
unpack_pipe_keep(struct unpack_pipe *p, const void *data, size_t n)
{
	return memcpy(get_memory(p->filling, n), data, n);
}

int
unpack_pipe_next(struct unpack_pipe *p, const struct unpack_step **first, struct err *e)
{
	int r = 1;

	(void)pthread_mutex_lock(&p->lock);
	if (p->writing) {
		p->n_freed++;
		(void)pthread_cond_signal(&p->freed);
	}
	while (p->n_filled == p->n_freed && !p->over)
		(void)pthread_cond_wait(&p->filled, &p->lock);
	p->writing = p->n_filled != p->n_freed;
	if (p->writing)
		*first = p->batches[p->n_freed % BATCHES].first;
	else
		r = p->result;
	(void)pthread_mutex_unlock(&p->lock);
	if (r < 0)
		*e = p->err;
	return r;
}

void
unpack_pipe_free(struct unpack_pipe *p)
{
	if (p == NULL)
		return;
	if (p->started) {
		(void)pthread_mutex_lock(&p->lock);
		p->stop = 1;
		(void)pthread_cond_signal(&p->freed);
		(void)pthread_mutex_unlock(&p->lock);
		(void)pthread_join(p->thread, NULL);
	}
	(void)pthread_cond_destroy(&p->freed);
	(void)pthread_cond_destroy(&p->filled);
	(void)pthread_mutex_destroy(&p->lock);
	for (size_t i = 0; i < BATCHES; i++) {
		empty(&p->batches[i]);
		free(p->batches[i].chunks);
		free(p->batches[i].block);
	}
	free(p);
}
