/*
 * Private to the files that parse documents: parse.c, parse_deploy.c and parse_service.c. Each message
 * begins with the field that it is about ("check.http: ..."); check.c finds the place by that.
 */
#ifndef PP_PARSE_H
#define PP_PARSE_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/intent/intent.h"

/**
 * Which of the words (NULL ends them) does a field hold?
 * Effect:  *which is left alone where the field is not there.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int parse_choice(const json_t *doc, const char *field, const char *const *words, size_t *which,
    struct err *e);

/**
 * A whole number from `min` to `max`.
 * Effect:  *number is left alone where `value` is NULL.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int parse_whole(const json_t *value, const char *field, json_int_t min, json_int_t max,
    json_int_t *number, struct err *e);

/**
 * A time: seconds as a number, or text as clock_parse_duration() takes it.
 * Effect:  *ms is left alone where `value` is NULL.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int parse_duration(const json_t *value, const char *field, int64_t *ms, struct err *e);

/**
 * deploy_config's fields on how services run: restart, check, limits, env. The app's ports are known.
 * Returns: 0; -1 with *e set (ERR_DATA).
 */
int parse_service(const json_t *doc, struct intent_app *app, struct err *e);

#endif
