#include "lib/artifact/unpack_sync.h"

#include <unistd.h>

#include "lib/artifact/unpack_thread.h"
#include "lib/base/mem.h"

struct unpack_sync {
	int root;
	uint64_t written; /* since the disk was last given anything */
	pthread_t thread;
	int tried, started;

	pthread_mutex_t lock; /* for all that follows */
	pthread_cond_t wanted;
	int want; /* until it is done */
	int stop;
};

static void *
run(void *data)
{
	struct unpack_sync *s = data;

	(void)pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->want && !s->stop)
			(void)pthread_cond_wait(&s->wanted, &s->lock);
		if (s->stop)
			break;
		(void)pthread_mutex_unlock(&s->lock);
		(void)syncfs(s->root);
		(void)pthread_mutex_lock(&s->lock);
		s->want = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct unpack_sync *
unpack_sync_new(int root)
{
	struct unpack_sync *s = xcalloc(1, sizeof *s);

	s->root = root;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->wanted, NULL);
	return s;
}

/* Only who writes much needs the thread; without it, the disk begins later. */
static void
start(struct unpack_sync *s)
{
	if (s->tried)
		return;
	s->tried = 1;
	s->started = unpack_thread_start(&s->thread, run, s) == 0;
}

void
unpack_sync_wrote(struct unpack_sync *s, uint64_t bytes)
{
	s->written += bytes;
	if (s->written < UNPACK_SYNC_BYTES)
		return;
	start(s);
	(void)pthread_mutex_lock(&s->lock);
	if (!s->want) {
		s->want = 1;
		s->written = 0;
		(void)pthread_cond_signal(&s->wanted);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void
unpack_sync_free(struct unpack_sync *s)
{
	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stop = 1;
	(void)pthread_cond_signal(&s->wanted);
	(void)pthread_mutex_unlock(&s->lock);
	if (s->started)
		(void)pthread_join(s->thread, NULL);
	(void)pthread_cond_destroy(&s->wanted);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
