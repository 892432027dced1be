/* setlive's own parts: setlive.c (the agent), setlive_observe.c, setlive_plan.c, setlive_apply.c. */
#ifndef PP_SETLIVE_H
#define PP_SETLIVE_H

#include "lib/agent/agent.h"

/* Under "SUB" in the state directory, by app: what only this node can know. */
#define SETLIVE_FAILING \
	"failing" /* the release whose start failed last, or since when it is not known to be well */
#define SETLIVE_REVERTED \
	"reverted" /* the release that was gone back from, and the version gone back to */
#define SETLIVE_PLACE "place"     /* the basedir, for who is gone */
#define SETLIVE_CLUSTER "cluster" /* and its cluster */

/** Observe the node, and for each app what the plan needs. For the agent's table. */
int setlive_observe(struct pass *p, struct err *e);

/** Its parts for apps that are gone: which there are beside those that have services; and what one was like. */
int setlive_observe_places(struct pass *p, struct err *e);
int setlive_observe_gone(struct pass *p, struct intent_app *app, struct seen_live *seen,
    struct err *e);

/** The part of it that asks the cluster; the rest of `seen` is there. Where there is no Consul: nothing. */
int setlive_observe_cluster(struct pass *p, struct err *e);

/** Carry out a step. For the agent's table. */
int setlive_apply(struct pass *p, const struct app_plan *ap, const struct step *step,
    struct err *e);

/** The supervisor of that name, with its directories. *s is to be released either way. */
int setlive_supervisor(const struct pass *p, const char *name, struct supervisor *s, struct err *e);
void setlive_supervisor_release(struct supervisor *s);

/** What the services of an app are to be. Borrows from all of them. */
struct service_spec setlive_spec(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen);

/** How the node's Consul agent is to know the app. Borrows from all of them. */
struct registration setlive_registration(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen, int failed);

/** How it asks to go down: in the cluster that it is counted in. Borrows from all of them. */
struct lease_request setlive_lease_request(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen);

/** user_config as it is put on the node. Owns: the caller frees. */
char *setlive_user_config(const struct intent_app *app);

/** Its mode and owner. */
struct file_attr setlive_user_config_attr(const struct user *user);

/** How what is live now is checked. *check is to be released. */
void setlive_choose_check(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen, struct health_check *check);

/** Tell the cluster of the app: that it is healthy, or that its release failed. */
int setlive_register(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen, int failed, struct err *e);

/** Run bin/enable of what is live, where there is one. */
int setlive_run_enable(const struct pass *p, const struct intent_app *app,
    const struct seen_live *seen, struct err *e);

/** Remember since when it is not known whether a release is any good. */
int setlive_begin_watch(struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e);

/** Start what is defined, and wait until it is healthy and stays so. */
int setlive_start(struct pass *p, const struct intent_app *app, const struct seen_live *seen,
    struct err *e);

/** What a link in basedir points at, relative to it; NULL: nothing. Owns: the caller frees. */
char *setlive_link(const char *basedir, const char *name);

#endif
