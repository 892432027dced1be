#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/agent/jobs.h"
#include "lib/agent/preparer.h"
#include "lib/artifact/fetch.h"
#include "lib/artifact/install.h"
#include "lib/artifact/installs.h"
#include "lib/artifact/trust.h"
#include "lib/base/log.h"
#include "lib/sys/user.h"

#define ARTIFACT_MAX (UINT64_C(64) << 30) /* bytes */

/* Where artifacts come from: what was set, each perhaps several with blanks between. */
static void
list_repositories(const struct pass *p, struct strv *repos)
{
	const struct strv *given = settings_list(p->settings, "repo");

	for (size_t i = 0; i < given->n; i++) {
		AUTO_STRV struct strv words = { 0 };

		strv_split(&words, given->items[i], ' ');
		for (size_t k = 0; k < words.n; k++)
			if (words.items[k][0] != '\0')
				strv_add(repos, xstrdup(words.items[k]));
	}
	if (repos->n == 0) {
		AUTO_FREE char *place = pass_place(p, "repo");

		strv_add(repos, xasprintf("file://%s", place));
	}
}

static struct fetch_options
fetch_settings(const struct pass *p, const struct strv *repos)
{
	return (struct fetch_options){
		.repos = repos,
		.cacert = settings_text(p->settings, "repo-cacert"),
		.netrc = settings_text(p->settings, "netrc"),
		.headers = settings_text(p->settings, "repo-headers"),
		.s3_endpoint = settings_text(p->settings, "s3-endpoint"),
		.s3_credentials = settings_text(p->settings, "s3-credentials"),
		.max_bytes = ARTIFACT_MAX,
		.progress = jobs_progress,
	};
}

static const char *
keys_dir(const struct pass *p)
{
	const char *given = settings_text(p->settings, "trusted-keys");

	return given != NULL ? given : TRUST_KEYS_DIR;
}

static int
trust_settings(const struct pass *p, const char *stated, struct trust_facts *facts, struct err *e)
{
	const char *how = settings_text(p->settings, "verify");

	*facts = (struct trust_facts){ .stated = stated };
	if (trust_parse_mode(how != NULL ? how : "auto", &facts->mode, e) < 0)
		return -1;
	facts->keys =
	    trust_keys_exist(keys_dir(p), settings_text(p->settings, "trusted-keys") != NULL, e);
	return facts->keys < 0 ? -1 : 0;
}

static int
reserve_setting(const struct pass *p, struct room_reserve *reserve, struct err *e)
{
	const char *text = settings_text(p->settings, "min-free");

	*reserve = (struct room_reserve){ .percent = ROOM_RESERVE_PERCENT };
	if (text == NULL || room_parse_reserve(text, reserve, e) == 0)
		return 0;
	e->class = ERR_CONFIG;
	return err_wrap(e, "min-free");
}

int
preparer_check_settings(const struct pass *p, struct err *e)
{
	AUTO_STRV struct strv repos = { 0 };
	struct room_reserve reserve;
	struct trust_facts facts;

	list_repositories(p, &repos);
	for (size_t i = 0; i < repos.n; i++)
		if (fetch_check_repo(repos.items[i], e) < 0)
			return -1;
	if (reserve_setting(p, &reserve, e) < 0 || trust_settings(p, NULL, &facts, e) < 0)
		return -1;
	return trust_check(&facts, e);
}

const struct intent_version *
preparer_version(const struct intent_app *app, const char *id)
{
	for (size_t i = 0; i < app->nversions; i++)
		if (strcmp(app->versions[i].id, id) == 0)
			return &app->versions[i];
	return NULL;
}

/* The install as it is to be: whose it is, and what it may take. */
static int
describe(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    const struct intent_version *version, struct install *in, struct err *e)
{
	struct user user;

	*in = (struct install){
		.path = path,
		.dir = dir,
		.app = app->name,
		.version = version->id,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
		.max_bytes = settings_size(p->settings, "max-size", 0),
		.max_files = settings_number(p->settings, "max-files", 0),
		.max_ratio = settings_number(p->settings, "max-ratio", 0),
		.keys = keys_dir(p),
		.link_unchanged = settings_flag(p->settings, "link-unchanged"),
		.start_sync = jobs_is_alone(),
		.settling = jobs_settle,
	};
	if (reserve_setting(p, &in->reserve, e) < 0 ||
	    user_of_app(app->runas, app->name, &user, e) < 0)
		return -1;
	if (!user.self)
		in->gid = user.gid;
	if (!user.self && app->owned_by_runas)
		in->uid = user.uid;
	return 0;
}

int
preparer_check(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    const struct intent_version *version, char **rot, struct err *e)
{
	struct install in;

	log_note("Checking %s/%s_%s", path, app->name, version->id);
	if (describe(p, app, path, dir, version, &in, e) < 0)
		return -1;
	return install_check(&in, rot, e);
}

/* For fetch_options.room. */
static int
check_room(void *arg, uint64_t bytes, struct err *e)
{
	const struct install *in = arg;

	return room_check(in->dir, &in->reserve, bytes, "the artifact", e);
}

/* What is beside the artifact that vouches for it. */
struct vouchers {
	struct buf signature;
	char digest[TRUST_HEX_ROOM]; /* "": none */
};

static int
fetch_vouchers(struct fetch *fetch, const struct fetched *artifact, const struct trust_facts *facts,
    struct vouchers *v, int *is_signed, struct err *e)
{
	AUTO_BUF struct buf text = { 0 };
	struct trust_needs needs;
	int r;

	trust_needs(facts, &needs);
	*is_signed = 0;
	if (needs.signature) {
		r = fetch_beside(fetch, artifact, ".minisig", &v->signature, e);
		if (r < 0)
			return -1;
		*is_signed = r == 0;
	}
	if (needs.digest_file) {
		r = fetch_beside(fetch, artifact, ".sha256", &text, e);
		if (r < 0)
			return -1;
		if (r == 0 &&
		    trust_parse_digest(text.data, text.n, artifact->name, v->digest, e) < 0)
			return err_wrap(e, "%s.sha256", artifact->where);
	}
	return 0;
}

static int
unpack(const struct install *in, struct install_stage *stage, struct fetch *fetch,
    struct fetched *artifact, struct trust_facts *facts, struct err *e)
{
	struct vouchers v = { .digest = "" };
	struct trust_verdict verdict;
	struct install_source source;
	int is_signed, r;

	facts->plain_http = artifact->plain_http;
	r = fetch_vouchers(fetch, artifact, facts, &v, &is_signed, e);
	if (r == 0)
		r = trust_decide(facts, v.digest[0] != '\0' ? v.digest : NULL, is_signed, &verdict,
		    e);
	if (r == 0)
		r = room_check(in->dir, &in->reserve, room_estimate(artifact->fd),
		    "what is in the artifact", e);
	if (r == 0) {
		source = (struct install_source){
			.fd = mem_take_fd(&artifact->fd),
			.where = artifact->where,
			.name = artifact->name,
			.sha256 = verdict.sha256,
			.signature = verdict.signature ? &v.signature : NULL,
		};
		r = install_unpack(in, stage, &source, e);
	}
	buf_release(&v.signature);
	return r < 0 ? err_wrap(e, "%s", artifact->where) : 0;
}

static int
fetch_and_unpack(const struct pass *p, const struct install *in, struct install_stage *stage,
    const char *stated, struct err *e)
{
	AUTO_FREE char *part = installs_name(in->app, in->version, "part");
	AUTO_STRV struct strv repos = { 0 };
	struct fetch_options options;
	AUTO_FETCHED struct fetched artifact = FETCHED_INIT;
	struct trust_facts facts;
	struct fetch *fetch;
	int r;

	list_repositories(p, &repos);
	options = fetch_settings(p, &repos);
	options.room = check_room;
	options.room_arg = (void *)in;
	if (trust_settings(p, stated, &facts, e) < 0)
		return -1;
	fetch = fetch_new(&options, e);
	if (fetch == NULL)
		return -1;
	r = fetch_artifact(fetch, in->app, in->version, in->dir, part, &artifact, e);
	if (r == 0)
		r = unpack(in, stage, fetch, &artifact, &facts, e);
	fetch_free(fetch);
	return r;
}

int
preparer_install(const struct pass *p, const struct intent_app *app, const char *path, int dir,
    const struct intent_version *version, int mend, struct err *e)
{
	struct install_stage stage;
	struct install in;
	int r;

	if (!mend)
		log_change("Does not exist: %s/%s_%s", path, app->name, version->id);
	if (describe(p, app, path, dir, version, &in, e) < 0)
		return -1;
	in.mend = mend;
	if (install_begin(&in, &stage, e) < 0)
		return -1;
	r = fetch_and_unpack(p, &in, &stage, version->digest, e);
	install_end(&in, &stage);
	return r;
}
