/*
 * What may be a name and what may be a basedir. Both come from the store, so both are hostile.
 */
#ifndef PP_PATH_H
#define PP_PATH_H

/**
 * May this be the name of an app, a cluster, a version or a node?
 * [A-Za-z0-9][A-Za-z0-9._-]{0,127}, and nowhere "..".
 */
int path_is_name(const char *s);

/**
 * May this be a basedir: absolute, normalised, printable, not too long, and not a directory that
 * the system itself lives in?
 * Returns: NULL if so; else why not, a borrowed string.
 */
const char *path_basedir_fault(const char *s);

#endif
