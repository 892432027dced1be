#include "lib/artifact/unpack.h"

#include <sys/stat.h>

#include "lib/artifact/unpack_lease.h"
#include "lib/artifact/unpack_name.h"
#include "lib/artifact/unpack_pipe.h"
#include "lib/artifact/unpack_stream.h"
#include "lib/artifact/unpack_tar.h"
#include "lib/artifact/unpack_verify.h"
#include "lib/artifact/unpack_write.h"

struct unpacking {
	const struct unpack_options *o;
	uint64_t artifact_bytes;
	struct unpack_usage usage;
	struct unpack_writer *writer;
	struct unpack_digest *digest; /* of the artifact, as it is unpacked */
	struct unpack_stream *stream;
	struct unpack_pipe *pipe;
	struct unpack_sync *sync;
};

static void
release(struct unpacking *u)
{
	unpack_pipe_free(u->pipe);
	unpack_stream_free(u->stream);
	unpack_digest_free(u->digest);
	unpack_write_free(u->writer);
	unpack_sync_free(u->sync);
}

static int
make(struct unpack_writer *w, const struct unpack_step *step, struct err *e)
{
	switch (step->kind) {
	case UNPACK_STEP_DIR:
		return unpack_write_dir(w, step->path, &step->meta, e);
	case UNPACK_STEP_SYMLINK:
		return unpack_write_symlink(w, step->path, step->target, &step->meta, e);
	case UNPACK_STEP_HARDLINK:
		return unpack_write_hardlink(w, step->path, step->target, e);
	case UNPACK_STEP_OPEN:
		return unpack_write_open(w, step->path, &step->meta, step->solid, e);
	case UNPACK_STEP_DATA:
		return unpack_write_data(w, step->data, step->size, step->offset, e);
	case UNPACK_STEP_CLOSE:
		break;
	}
	return unpack_write_close(w, step->size, step->tag, e);
}

static int
take_step(struct unpacking *u, const struct unpack_step *step, struct err *e)
{
	if (step->entry == NULL)
		return make(u->writer, step, e);
	if (unpack_limits_room(&u->o->limits, &u->usage, step->size, e) == 0 &&
	    make(u->writer, step, e) == 0)
		return 0;
	return e->class == ERR_DATA ? unpack_name_wrap(e, "entry", step->entry) : -1;
}

/* In the thread that reads; it shares nothing with the writer but the pipe. */
static int
read_artifact(void *data, struct unpack_pipe *pipe, struct err *e)
{
	const struct unpacking *u = data;
	const struct unpack_tar from = {
		.stream = u->stream,
		.pipe = pipe,
		.tag = u->o->list != NULL ? unpack_list_tag(u->o->list) : NULL,
		.limits = &u->o->limits,
		.artifact_bytes = u->artifact_bytes,
	};

	return unpack_tar(&from, e);
}

static int
unpack(struct unpacking *u, int artifact, struct err *e)
{
	const struct unpack_step *step;
	int r;

	u->stream = unpack_stream_open(artifact, u->digest, e);
	if (u->stream == NULL)
		return -1;
	u->pipe = unpack_pipe_new(read_artifact, u, e);
	if (u->pipe == NULL)
		return -1;
	while ((r = unpack_pipe_next(u->pipe, &step, e)) > 0)
		for (; step != NULL; step = step->next)
			if (take_step(u, step, e) < 0)
				return -1;
	return r < 0 ? -1 : unpack_write_finish(u->writer, e);
}

int
unpack_run(int artifact, int root, const struct unpack_options *o, struct err *e)
{
	__attribute__((cleanup(release))) struct unpacking u = { .o = o };
	unsigned char sum[UNPACK_DIGEST_BYTES];
	struct stat st;

	if (fstat(artifact, &st) < 0)
		return err_sys(e, "stat the artifact");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "the artifact on stdin is not a regular file");
	u.artifact_bytes = (uint64_t)st.st_size;
	u.sync = o->start_sync ? unpack_sync_new(root) : NULL;
	u.writer = unpack_write_new(root, &o->limits, &u.usage, o->list, u.sync, e);
	if (u.writer == NULL)
		return -1;
	if (o->sha256 == NULL && o->sign == NULL)
		return unpack(&u, artifact, e);
	if (unpack_verify(artifact, o, sum, e) < 0)
		return -1;
	if (!o->leased && (u.digest = unpack_digest_new(e)) == NULL)
		return -1;
	if (unpack(&u, artifact, e) < 0)
		return -1;
	return o->leased ? unpack_lease_held(artifact, e) : unpack_verify_same(sum, u.digest, e);
}
