/*
 * port_authority: <config-dir>/<app>.yml, and a program that is told to rebuild the rules from them.
 *
 * The manifest of the directory says which files pp wrote, and whether a rebuild is still due.
 */
#ifndef PP_PORT_AUTHORITY_H
#define PP_PORT_AUTHORITY_H

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/intent/intent.h"

/** The file of an app. Owns: the caller frees. */
char *port_authority_file(const char *app);

/** The app of a file; NULL if it is none of pp's names. Owns: the caller frees. */
char *port_authority_app(const char *file);

/**
 * What the file of an app is to hold: its ports in ascending order.
 * Returns: 0; -1 with *e set for what port_authority cannot say (ranges, `from`).
 */
int port_authority_render(const struct intent_app *app, struct buf *out, struct err *e);

/** Run `cmd rebuild`. */
int port_authority_rebuild(const char *cmd, struct err *e);

#endif
