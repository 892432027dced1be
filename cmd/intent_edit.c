/*
 * pp intent edit: the documents in an editor. What was typed is in a file until it is in the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/intent.h"
#include "lib/fs/file.h"
#include "lib/intent/bundle.h"

/* A directory of ours, and in it the file that is edited. */
struct draft {
	char *dir, *path;
	int kept; /* it holds what somebody typed */
};

static int
make_draft(const struct target *t, const char *text, struct draft *d, struct err *e)
{
	static const struct file_attr attr = { 0600, FILE_KEEP, FILE_KEEP };
	const char *tmp = getenv("TMPDIR");
	AUTO_FREE char *name = xasprintf("%s_%s.json", t->app, t->cluster);
	AUTO_CLOSE int dir = -1;

	d->dir = xasprintf("%s/pp-edit.XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
	if (mkdtemp(d->dir) == NULL)
		return err_sys(e, "make %s", d->dir);
	d->path = xasprintf("%s/%s", d->dir, name);
	dir = dir_open(d->dir, e);
	return dir < 0 ? -1 : file_write(dir, name, text, strlen(text), &attr, e);
}

static void
drop_draft(struct draft *d)
{
	struct err ignored = ERR_INIT;
	char *slash = d->dir != NULL ? strrchr(d->dir, '/') : NULL;

	/* With what the editor left beside it: there may be secrets in that. */
	if (d->path != NULL && !d->kept) {
		AUTO_FREE char *parent = xmemdup(d->dir, (size_t)(slash - d->dir) + 1);
		AUTO_CLOSE int dir = dir_open(parent, &ignored);

		if (dir >= 0)
			(void)tree_remove(dir, slash + 1, &ignored);
	}
	free(d->path);
	free(d->dir);
}

static const char *
editor(void)
{
	const char *visual = getenv("VISUAL"), *plain = getenv("EDITOR");

	if (visual != NULL && visual[0] != '\0')
		return visual;
	return plain != NULL && plain[0] != '\0' ? plain : "vi";
}

/* As crontab -e and git do: the variable is a command line of the user's own, for his shell. */
static int
run_editor(const char *path, struct err *e)
{
	AUTO_FREE char *line = xasprintf("%s \"$1\"", editor());
	int status;
	pid_t pid;

	/* ^C in the editor is for the editor. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGINT, SIG_DFL);
		(void)signal(SIGQUIT, SIG_DFL);
		(void)signal(SIGPIPE, SIG_DFL);
		(void)execl("/bin/sh", "sh", "-c", line, "pp-edit", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return err_sys(e, "fork");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "wait for the editor");
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	if (WIFSIGNALED(status))
		return err_set(e, ERR_FAIL, "the editor \"%s\" was ended by signal %d", editor(),
		    WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_set(e, ERR_FAIL, "the editor \"%s\" exited with %d; set EDITOR",
		    editor(), WEXITSTATUS(status));
	return 0;
}

/* Was anything typed? What cannot be read back counts as that. */
static int
is_typed(const struct draft *d, const char *text)
{
	AUTO_BUF struct buf now = { 0 };
	FILE *f = fopen(d->path, "re");
	char chunk[16384];
	size_t n;

	if (f == NULL)
		return errno != ENOENT;
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_add(&now, chunk, n);
	(void)fclose(f);
	return now.n != strlen(text) || (now.n > 0 && memcmp(now.data, text, now.n) != 0);
}

/* All documents of the target, null for one that is not there. */
static char *
render(const struct target *t)
{
	json_auto_t *all = json_object();

	for (int d = 0; d < EDIT_DOCS; d++)
		(void)json_object_set_new(all, t->key[d],
		    t->docs.doc[d] ? json_incref(t->docs.doc[d]) : json_null());
	return edit_render(all);
}

/* What was typed as a change of what was read; nothing but the target's documents. */
static int
take_draft(const struct draft *d, const struct target *t, struct change *c, struct err *e)
{
	AUTO_REPORT struct check_report report = { 0 };
	AUTO_BUNDLE struct bundle b = { 0 };
	size_t known = 0;

	if (bundle_load(d->path, &b, &report, e) < 0 || intent_tell_report(d->path, &report, e) < 0)
		return -1;
	for (int i = 0; i < EDIT_DOCS; i++) {
		const struct bundle_doc *doc = bundle_find(&b, t->key[i]);

		if (doc == NULL)
			return err_set(e, ERR_DATA,
			    "%s is missing; write null in its place to have it removed", t->key[i]);
		known++;
		(void)change_add(c, t->key[i], json_incref(t->docs.doc[i]), t->version[i],
		    json_incref(doc->doc));
	}
	if (b.n != known)
		return err_set(e, ERR_DATA,
		    "there is a document in it that is none of %s/%s; pp intent apply takes any",
		    t->app, t->cluster);
	return 0;
}

static int
edit_draft(struct intent_run *run, const struct target *t, struct draft *d, const char *text,
    struct err *e)
{
	AUTO_FREE char *home = xasprintf("%s/%s", t->app, t->cluster);
	AUTO_CHANGE struct change c = { 0 };
	int r = run_editor(d->path, e);

	if (!is_typed(d, text))
		return r;
	d->kept = 1;
	run->note.home = home;
	if (r == 0)
		r = take_draft(d, t, &c, e);
	if (r == 0)
		r = intent_commit(run, &c, NULL, INTENT_GUARD, e);
	if (r == 0 && !settings_flag(run->settings, "dry-run"))
		d->kept = 0;
	return r;
}

/* While there is somebody to ask, he may go on where he was. */
static int
edit_again(struct intent_run *run, const struct target *t, struct draft *d, const char *text,
    struct err *e)
{
	for (;;) {
		struct err ignored = ERR_INIT;
		int r = edit_draft(run, t, d, text, e);

		if (r == 0 || e->class != ERR_DATA || !intent_has_terminal())
			return r;
		(void)fprintf(stderr, "pp intent edit: %s\n", e->msg);
		if (intent_confirm("Edit it again?", "", &ignored) < 0)
			return -1;
	}
}

int
intent_edit(struct intent_run *run, struct err *e)
{
	AUTO_TARGET struct target t = { 0 };
	AUTO_FREE char *text = NULL;
	struct draft d = { 0 };
	int r;

	if (intent_read_target(run, &t, e) < 0)
		return -1;
	text = render(&t);
	r = make_draft(&t, text, &d, e);
	if (r == 0)
		r = edit_again(run, &t, &d, text, e);
	if (r < 0 && d.kept)
		(void)err_wrap(e, "what you typed is in %s (pp intent apply -f takes it)", d.path);
	else if (d.kept)
		(void)fprintf(stderr, "what you typed is in %s\n", d.path);
	drop_draft(&d);
	return r;
}
