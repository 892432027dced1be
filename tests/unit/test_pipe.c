/* From the thread that reads to the one that writes: all of it, in order, and either may give up. */
#include "lib/artifact/unpack_pipe.h"

#include <stdatomic.h>

#include <unistd.h>

#include "tests/unit/tap.h"

#define BLOCKS 50
#define STEPS 300 /* in a block */
#define LARGE_BYTES 100000

struct story {
	int blocks, steps;  /* to be told */
	int fail;           /* then */
	atomic_int begun;   /* blocks */
	atomic_int refused; /* a block was asked for in vain */
};

/* Each block has its number all over, and each step some of it, and a copy of its own. */
static int
tell(void *data, struct unpack_pipe *p, struct err *e)
{
	struct story *s = data;
	struct unpack_step *step;
	char *block;
	uint64_t number = 0;

	for (int b = 0; b < s->blocks; b++) {
		block = unpack_pipe_block(p);
		if (block == NULL) {
			s->refused = 1;
			return err_set(e, ERR_FAIL, "nobody wants it");
		}
		s->begun++;
		memset(block, b, UNPACK_PIPE_BLOCK_BYTES);
		for (int i = 0; i < s->steps; i++) {
			step = unpack_pipe_step(p, UNPACK_STEP_DATA);
			step->offset = number;
			step->data = block + i;
			step->size = UNPACK_PIPE_BLOCK_BYTES - (size_t)i;
			step->path = unpack_pipe_keep(p, &number, sizeof number);
			if (i % 100 == 0)
				step->target = unpack_pipe_keep(p, block, LARGE_BYTES);
			number++;
		}
	}
	return s->fail ? err_set(e, ERR_DATA, "the story is bad") : 0;
}

static int
is_right(const struct unpack_step *step, uint64_t number, char fill)
{
	const char *data = step->data;
	uint64_t kept;

	memcpy(&kept, step->path, sizeof kept);
	if (step->target != NULL &&
	    (step->target[0] != fill || step->target[LARGE_BYTES - 1] != fill))
		return 0;
	return step->kind == UNPACK_STEP_DATA && step->offset == number && kept == number &&
	    step->entry == NULL && data[0] == fill && data[step->size - 1] == fill;
}

/* Take all of it. Returns: how many steps came, all of them right, or -1; *r is what came after the last. */
static int
listen(struct unpack_pipe *p, int *r, struct err *e)
{
	const struct unpack_step *step = NULL;
	int n = 0, wrong = 0;
	char fill = 0;

	while ((*r = unpack_pipe_next(p, &step, e)) > 0) {
		for (; step != NULL; step = step->next)
			wrong += !is_right(step, (uint64_t)n++, fill);
		fill++;
	}
	return wrong == 0 ? n : -1;
}

static void
test_all(void)
{
	struct story s = { .blocks = BLOCKS, .steps = STEPS };
	struct err e = ERR_INIT;
	struct unpack_pipe *p = unpack_pipe_new(tell, &s, &e);
	int r;

	ok(p != NULL, "a pipe");
	ok(listen(p, &r, &e) == BLOCKS * STEPS && r == 0, "all comes, in its order, and unchanged");
	ok(unpack_pipe_next(p, &(const struct unpack_step *){ NULL }, &e) == 0, "and that was all");
	unpack_pipe_free(p);
}

static void
test_nothing(void)
{
	struct story none = { 0 }, empty = { .blocks = BLOCKS };
	struct err e = ERR_INIT;
	struct unpack_pipe *p = unpack_pipe_new(tell, &none, &e);
	int r;

	ok(listen(p, &r, &e) == 0 && r == 0, "a reader that finds nothing");
	unpack_pipe_free(p);
	p = unpack_pipe_new(tell, &empty, &e);
	ok(listen(p, &r, &e) == 0 && r == 0, "blocks without steps");
	unpack_pipe_free(p);
}

static void
test_failure(void)
{
	struct story s = { .blocks = BLOCKS, .steps = STEPS, .fail = 1 };
	struct err e = ERR_INIT;
	struct unpack_pipe *p = unpack_pipe_new(tell, &s, &e);
	int r;

	ok(listen(p, &r, &e) == BLOCKS * STEPS && r < 0 && e.class == ERR_DATA &&
		strcmp(e.msg, "the story is bad") == 0,
	    "what came before a failure comes before it");
	unpack_pipe_free(p);
}

/* The reader is never far ahead, so that memory is the same for any artifact. */
static void
test_give_up(void)
{
	struct story s = { .blocks = BLOCKS, .steps = STEPS };
	struct err e = ERR_INIT;
	struct unpack_pipe *p = unpack_pipe_new(tell, &s, &e);
	const struct unpack_step *step;

	ok(unpack_pipe_next(p, &step, &e) == 1, "the first batch");
	usleep(100000);
	ok(is_right(step, 0, 0), "it stays while the reader goes on");
	unpack_pipe_free(p);
	ok(s.refused && s.begun < BLOCKS / 2, "a writer that gives up ends the reader");
}

int
main(void)
{
	test_all();
	test_nothing();
	test_failure();
	test_give_up();
	return done();
}
