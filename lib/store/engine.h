/* The engines, for store_open() only. */
#ifndef PP_ENGINE_H
#define PP_ENGINE_H

#include "lib/store/store.h"

/** A store in files below `path`. Owns: the caller store_free()s it. NULL with *e set. */
struct store *dir_store_open(const char *path, enum store_open_how how, struct err *e);

/** A store in Consul, as the CONSUL_* environment says. NULL with *e set (ERR_CONFIG). */
struct store *consul_store_open(struct err *e);

#endif
