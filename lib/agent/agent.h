/*
 * An agent: observe, plan, apply; and the pass that carries it over one node.
 *
 *   observe   reads the agent's slice of the node into pass->seen, changes nothing
 *   plan      pure: (intended, observed) -> an ordered list of steps, each with a reason
 *   apply     carries out one step; idempotent; safe to be killed in
 *
 * `pp converge` is observe, plan, apply; --dry-run prints the plan; `pp status` is observe and plan of
 * all agents. HACKING.md says how to add one.
 */
#ifndef PP_AGENT_H
#define PP_AGENT_H

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/settings.h"
#include "lib/firewall/firewall.h"
#include "lib/intent/intent.h"
#include "lib/service/health.h"
#include "lib/service/lease.h"
#include "lib/service/registry.h"
#include "lib/service/supervisor.h"
#include "lib/sys/state.h"

/* ---- observed ---- */

/** The preparer's slice: what is in installs/. */
struct seen_installs {
	unsigned char *there;  /* parallel to the intended app->versions */
	char **rot;            /* parallel: what --verify-installs found wrong; NULL: nothing */
	struct strv leftovers; /* hidden things there that no run needs */
	struct strv others;    /* versions that are installed but not intended, the newest first */
	struct strv linked;    /* those of them that current or last point at */
	int no_user;           /* the user it is to run as does not exist */
	char *fault;           /* why that could not be told; NULL: it could */
};

/** setlive's slice: what is live, what runs and how well, and what the cluster is told and says of it. */
struct seen_live {
	/* on this node */
	char *version;         /* that is to be live: the active one, or the one gone back to */
	char *release;         /* "<version>+<digest>": with all else that its process will see */
	char *reverted;        /* the active version, which failed here and was gone back from */
	int outlived;          /* something was gone back from, and is not intended any more */
	char *current, *last;  /* what the links point at; NULL: none */
	int prepared;          /* the version's install is there */
	int launches;          /* and has services that are to be supervised */
	int has_preflight;     /* and a bin/preflight */
	int has_disable;       /* current has a bin/disable */
	struct strv wanted;    /* the services it is to have */
	struct strv present;   /* the services that pp has defined for the app */
	struct strv elsewhere; /* those under another supervisor than it is to be */
	const struct supervisor_ops *elsewhere_ops;
	int defined;                     /* the definitions of `wanted` are as they should be */
	int same_config;                 /* user_config.json is as intended */
	enum service_state wanted_state; /* the least of the wanted services' */
	int64_t up_ms;                   /* for how long the youngest of them is up */
	int any_up;                      /* some service of the app runs */
	int all_up;                      /* all do that pp has defined, of which there are some */
	int any_enabled;                 /* or would be started by the supervisor itself */
	int failing;                     /* the last start of this version did not get healthy */
	int unfinished;   /* nor is it known to have, or it was not seen to the end */
	struct user user; /* whom it runs as */
	struct supervisor supervisor;
	struct health_check check;
	struct health_answer health; /* .text NULL: it was not asked */

	/* in the cluster, where the store is a Consul */
	int clustered; /* it is one, so the service is to be registered */
	char *
	    cluster; /* in which the node is counted: that of its registration, else of its intent */
	int registered;    /* pp has registered it */
	int same_entry;    /* as it should be */
	int maintenance;   /* it is in maintenance mode, by pp */
	int fed;           /* its check is fed by passes */
	int said_failed;   /* the cluster knows that this release fails here */
	int marked;        /* the lock document has this node */
	char *entry_fault; /* its registration is somebody else's, or the agent cannot be asked */
	enum lease_verdict lease; /* where it has to go down and is healthy */
	char *lease_why;

	char *place; /* of an app that is gone: its basedir, as it was; NULL: not known */
	char *fault;
};

/** The firewall's slice: the app's ports as they are opened. */
struct seen_ports {
	int same;    /* as intended */
	int present; /* pp has something here for this app */
	int drifted; /* it is not what pp wrote last */
	char *fault;
};

/** The sudoers slice. */
struct seen_sudoers {
	int same, present;
	char *fault;
};

/** What was seen of one app; each agent fills its own part. */
struct seen {
	struct seen_installs installs;
	struct seen_live live;
	struct seen_ports ports;
	struct seen_sudoers sudoers;
};

/* ---- planned ---- */

enum plan_state {
	PLAN_CONVERGED, /* nothing to do */
	PLAN_PENDING,   /* there are steps */
	PLAN_WAITING,   /* for a precondition; not an error */
	PLAN_HALTED,    /* the version failed, here or elsewhere: it waits for another intent */
	PLAN_HELD,      /* in doubt: nothing is changed, and somebody should look */
	PLAN_FAILED,    /* it cannot be told what to do, or the last try failed */
};

/** One thing to do. `kind` is the agent's own. */
struct step {
	int kind;
	char *subject; /* what it is done to: a version, a link's target; may be NULL */
	char *text;    /* for people: "flip current to installs/slug_abc" */
	char *reason;  /* "the active version is abc" */
	char *detail;  /* what --dry-run shows besides, several lines; may be NULL */
	int quiet;     /* routine: to have done it is no change */
};

/** What is to be done for one app, or for the node as a whole where app is NULL. */
struct app_plan {
	const struct intent_app *app;
	struct seen *seen;
	enum plan_state state;
	char *reason; /* of the state; NULL: goes without saying */
	struct step *steps;
	size_t nsteps;
	struct fw_rules rules; /* iptables, of the node: what is to be written */
};

struct plan {
	struct app_plan *apps;
	size_t n;
};

/** Add an entry for an app (NULL: the node). Borrowed until the next one is added. */
struct app_plan *plan_add(struct plan *plan, const struct intent_app *app, struct seen *seen);

/** Add a step. `subject` is copied; the text is formatted; `reason` is copied. */
void plan_step(struct app_plan *plan, int kind, const char *subject, const char *reason,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** Say what state it is in, and why. */
void plan_say(struct app_plan *plan, enum plan_state state, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * The cases that are the same for every agent: an intent that cannot be read or is doubted, a slice
 * that could not be observed.
 * Returns: 1 and the state is said; 0 where the agent must decide itself.
 */
int plan_common(struct app_plan *plan, const char *fault);

/** Free what a plan holds. */
void plan_release(struct plan *plan);

/** "converged", "pending", "waiting", "halted", "held", "failed". */
const char *plan_state_name(enum plan_state state);

/* ---- a pass ---- */

/** What became of a run. */
struct pass_result {
	int changed, failed, waiting;
};

/** Apps that were gone together, so many that they are believed to be only when seen so again. */
struct caution {
	int overruled; /* --allow-empty */
	char *memory;  /* what the state directory says of it; NULL: nothing */
	struct strv apps;
	size_t of; /* how many the agent has something of */
	int stale; /* the memory is of apps that are back */
};

struct pass {
	const struct settings *settings;
	struct store *store;
	struct state state;
	char *state_path;
	const struct strv *only; /* apps of --app; empty: all */
	struct intent_node intent;
	struct seen *seen;         /* parallel to intent.apps */
	struct strv present;       /* every app that has something in the agent's slice */
	struct caution caution;    /* what is about to go, and since when */
	int again;                 /* what is intended changed by what was done: once more */
	int storeless;             /* what is intended comes from no store, or from memory */
	struct registry registry;  /* setlive: what this node's Consul agent knows */
	struct firewall *firewall; /* iptables: as it was found */
	int firewall_known;        /* pp remembers to have written it */
	int firewall_mode_changed; /* in another mode than now */
	int firewall_listening;    /* somebody listens on a port that stays open anyway */
};

struct agent {
	const char *name, *summary;
	int reads;       /* INTENT_OWNERS or 0 */
	int steps_apart; /* a step that fails does not keep the app's next ones from being done */
	int (*apart)(const struct step *); /* may it be done beside others? NULL: none may */
	const struct setting *settings;
	int (*observe)(struct pass *, struct err *);
	void (*plan)(const struct pass *, struct plan *);
	/* 0: done; 1: it has to wait for what e->msg says, and so have the app's next steps; -1: failed */
	int (*apply)(struct pass *, const struct app_plan *, const struct step *, struct err *);
};

/** All agents, in the order in which `pp status` asks them. Ends with a NULL name. */
extern const struct agent *const agents[];

/** The agent of that name; NULL if there is none. */
const struct agent *agent_find(const char *name);

/** The settings that every pass knows: store, node, state-dir, app, ... */
extern const struct setting pass_settings[];

/** And those of pp converge, whichever agent. */
extern const struct setting converge_settings[];

/**
 * settings_load() with what pp.conf may hold: the sections are named after the agents.
 * `section` is an agent's name, or NULL.
 */
int agent_load_settings(struct settings *s, const char *section, struct err *e);

/**
 * Open the store and the state directory, and find out the node's name.
 *
 * Effect:  the state directory is made if `write`; the store is not contacted yet.
 * Returns: 0; -1 with *e set. Release either way.
 */
int pass_open(struct pass *p, const struct settings *settings, int write, struct err *e);

/**
 * Read the intent of this node, and make room for what is to be seen. `reads`: INTENT_OWNERS,
 * INTENT_ADOPT, INTENT_KEEP. intent.node stays where that fails.
 */
int pass_read(struct pass *p, int reads, struct err *e);

/** Leave out of the intent what --app does not name, and make room for what is to be seen. */
void pass_prepare(struct pass *p);

/**
 * Tell which apps have something in the agent's slice. Those that the list does not have are asked
 * of the store one by one and added to the intent, gone or doubted. For observe().
 */
void pass_leftovers(struct pass *p, const struct strv *apps);

/** A default place: below the state directory. Owns: the caller frees. */
char *pass_place(const struct pass *p, const char *name);

/**
 * A directory setting; where it is not set, `as_root` as root (NULL: none), else `name` below the state
 * directory. Absolute. Owns: the caller frees.
 */
char *pass_dir(const struct pass *p, const char *setting, const char *as_root, const char *name);

/** Free what a pass holds. */
void pass_release(struct pass *p);

/**
 * Observe, plan, apply, logging what happens, for the intent that the pass holds. With the setting
 * dry-run the plan goes to stdout instead.
 * Returns: 0 and *result; -1 with *e set where nothing could be done at all.
 */
int pass_carry(struct pass *p, const struct agent *agent, struct pass_result *result,
    struct err *e);

/** One pass of an agent: pass_read(), then pass_carry(). */
int pass_run(struct pass *p, const struct agent *agent, struct pass_result *result, struct err *e);

/* ---- too much at once: caution.c ---- */

/** Find out what the state directory says of apps that are about to go. For pass_read(). */
int caution_recall(struct pass *p, struct err *e);

/**
 * Judge the apps that are gone: where more than half of the apps that the agent has something of would
 * go at once (of at least 3), or the list is empty, they are INTENT_LEAVING until a pass a minute
 * later still says so. For pass_leftovers(), which may be called several times.
 */
void caution_judge(struct pass *p);

/** Remember what is about to go, and say so where that is news. For a pass that is no dry run. */
int caution_remember(struct pass *p, struct err *e);

/** Free what it holds. */
void caution_release(struct caution *c);

/* ---- without a store: offline.c ---- */

/**
 * The store cannot be read: do what needs none, by the intent that was believed last. Apps that are
 * defined, live and down are started; a firewall that is gone as a whole, as after a reboot, is put
 * back. Nothing is stopped, changed or removed.
 * Effect:  *result says whether something was done.
 */
void offline_run(struct pass *p, const struct agent *agent, struct pass_result *result);

/* ---- the agents, for the table and for tests of their plans ---- */

extern const struct agent agent_preparer, agent_setlive, agent_iptables, agent_sudoers;

/** setlive's plan for one app. Pure. */
void setlive_plan_app(const struct intent_app *app, const struct seen_live *seen,
    struct app_plan *plan);

/** Is the app to be stopped and started for what was seen? Why; NULL: no. Pure. */
const char *setlive_why_restart(const struct intent_app *app, const struct seen_live *seen);

/** Free what it holds, and make it empty. */
void setlive_seen_release(struct seen_live *seen);

/** Does it run, and as well as its check can tell? Pure. */
int setlive_is_healthy(const struct intent_app *app, const struct seen_live *seen);

/** setlive's steps. */
enum setlive_step {
	LIVE_PREFLIGHT,  /* whatever can fail before anything is stopped */
	LIVE_LEASE,      /* the cluster can do without this node */
	LIVE_DRAIN,      /* have nobody come any more */
	LIVE_STOP,       /* every service of the app */
	LIVE_RETIRE,     /* and keep it stopped */
	LIVE_REMOVE,     /* definitions that nobody wants */
	LIVE_DEFINE,     /* write the definitions */
	LIVE_CONFIG,     /* write user_config.json */
	LIVE_LINK,       /* last, then current */
	LIVE_WATCH,      /* remember since when it is not healthy */
	LIVE_START,      /* and wait until it is healthy, and stays so */
	LIVE_REGISTER,   /* tell the cluster of it */
	LIVE_FAILED,     /* tell the cluster that it does not get healthy */
	LIVE_DEREGISTER, /* take it out of the cluster */
	LIVE_RETURN,     /* it is back: end maintenance mode, give back the lease */
	LIVE_LEFT,       /* it is out of its cluster: once that is seen, give back the lease */
	LIVE_FEED,       /* feed its check */
	LIVE_FORGET,     /* what was gone back from may be tried again, should it come back */
	LIVE_PURGE,      /* remove its installs */
};

#endif
