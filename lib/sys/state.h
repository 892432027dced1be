/*
 * What pp remembers on a node: run locks, agents disabled by hand, the id of each store it has seen,
 * what it read there last, and what is about to go.
 * Deleting all of it is harmless; pp is then more careful for a pass.
 */
#ifndef PP_STATE_H
#define PP_STATE_H

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct state {
	char *path;
	int dir; /* -1: not there (and not made) */
};

/**
 * The default state directory: /var/lib/pp as root, else $XDG_STATE_HOME/pp, else ~/.local/state/pp.
 * Returns: the path, the caller's to free; NULL with *e set (ERR_CONFIG) where no home is known.
 */
char *state_default_path(struct err *e);

/** Open the state directory at `path`, made (0700) when `create`. */
int state_open(struct state *s, const char *path, int create, struct err *e);

/**
 * Take the lock of a kind of run ("preparer") on a node, until the process ends.
 * Returns: 0; -1 with *e set: ERR_BUSY names the process that holds it.
 */
int state_lock(struct state *s, const char *what, const char *node, struct err *e);

/**
 * The id this node remembers for the store of that URL.
 * Returns: 0 and *id, the caller's to free, NULL where it remembers none; -1 with *e set.
 */
int state_store_id(struct state *s, const char *url, char **id, struct err *e);

/** Remember the id of the store of that URL. */
int state_remember_store(struct state *s, const char *url, const char *id, struct err *e);

/**
 * Has somebody disabled this agent?
 * Returns: 0 and *message, the caller's to free, NULL where nobody did; -1 with *e set.
 */
int state_disabled(struct state *s, const char *agent, char **message, struct err *e);

/** Disable an agent, saying why; a NULL message enables it. */
int state_set_disabled(struct state *s, const char *agent, const char *message, struct err *e);

/**
 * What an agent remembers under SUB/NAME.
 * Returns: 0 and *text, the caller's to free, NULL where there is nothing; -1 with *e set.
 */
int state_recall(struct state *s, const char *sub, const char *name, char **text, struct err *e);

/** Remember a text under SUB/NAME. */
int state_keep(struct state *s, const char *sub, const char *name, const char *text, struct err *e);

/** Forget what is remembered under SUB/NAME. Nothing there is fine. */
int state_forget(struct state *s, const char *sub, const char *name, struct err *e);

/** The names under SUB that something is remembered under. */
int state_list(struct state *s, const char *sub, struct strv *names, struct err *e);

/** A name under SUB for what is of that store and node alone. Owns: the caller frees. */
char *state_name(const char *node, const char *url);

/**
 * The same as state_keep(), for what only its owner may read, and as long as it likes.
 */
int state_keep_secret(struct state *s, const char *sub, const char *name, const char *data,
    size_t n, struct err *e);

/**
 * Read up to `max` bytes of what is remembered under SUB/NAME from its beginning.
 * Returns: 0 and *out; 1 where there is nothing; -1 with *e set.
 */
int state_recall_all(struct state *s, const char *sub, const char *name, size_t max,
    struct buf *out, struct err *e);

/** Close it. */
void state_release(struct state *s);

#endif
