/*
 * What of user_config and env a diff does not show: values whose names look secret.
 */
#ifndef PP_SECRET_H
#define PP_SECRET_H

#include <jansson.h>
#include <stddef.h>

#define SECRET_MASK "(secret)"

/** Does a name of `n` bytes look as if its value were a secret: db_password, apiKey, TOKEN? */
int secret_is_name(const char *name, size_t n);

/**
 * Is the leaf at a path of edit_flatten() ("user_config.mail.password") a secret as a whole?
 */
int secret_is_path(const char *path);

/**
 * A copy of what is at a JSON pointer of a document, with what looks secret in it replaced by
 * SECRET_MASK. Owns: the caller json_decref()s it.
 */
json_t *secret_mask(const json_t *value, const char *pointer);

#endif
