#include "lib/artifact/unpack.h"

#include <sys/stat.h>

#include "lib/artifact/unpack_lease.h"
#include "lib/artifact/unpack_pipe.h"
#include "lib/artifact/unpack_stream.h"
#include "lib/artifact/unpack_tar.h"
#include "lib/artifact/unpack_verify.h"
#include "lib/artifact/unpack_write.h"

struct unpacking {
	struct unpack_writer *writer;
	struct unpack_digest *digest; /* of the artifact, as it is unpacked */
	struct unpack_stream *stream;
	struct unpack_pipe *pipe;
};

static void
release(struct unpacking *u)
{
	unpack_pipe_free(u->pipe);
	unpack_stream_free(u->stream);
	unpack_digest_free(u->digest);
	unpack_write_free(u->writer);
}

static int
unpack(struct unpacking *u, int artifact, const struct unpack_options *o,
    struct unpack_usage *usage, struct err *e)
{
	u->stream = unpack_stream_open(artifact, u->digest, e);
	if (u->stream == NULL)
		return -1;
	u->pipe = unpack_pipe_new(u->stream, e);
	if (u->pipe == NULL || unpack_tar(u->pipe, u->writer, &o->limits, usage, e) < 0)
		return -1;
	return unpack_write_finish(u->writer, e);
}

int
unpack_run(int artifact, int root, const struct unpack_options *o, struct err *e)
{
	__attribute__((cleanup(release))) struct unpacking u = { 0 };
	unsigned char sum[UNPACK_DIGEST_BYTES];
	struct unpack_usage usage = { 0 };
	struct stat st;

	if (fstat(artifact, &st) < 0)
		return err_sys(e, "stat the artifact");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_USAGE, "the artifact on stdin is not a regular file");
	usage.artifact_bytes = (uint64_t)st.st_size;
	u.writer = unpack_write_new(root, &o->limits, &usage, o->list, e);
	if (u.writer == NULL)
		return -1;
	if (o->sha256 == NULL && o->sign == NULL)
		return unpack(&u, artifact, o, &usage, e);
	if (unpack_verify(artifact, o, sum, e) < 0)
		return -1;
	if (!o->leased && (u.digest = unpack_digest_new(e)) == NULL)
		return -1;
	if (unpack(&u, artifact, o, &usage, e) < 0)
		return -1;
	return o->leased ? unpack_lease_held(artifact, e) : unpack_verify_same(sum, u.digest, e);
}
