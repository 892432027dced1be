/*
 * YAML for the programs that read it (servicebuilder, port_authority), by libyaml.
 */
#ifndef PP_YAML_H
#define PP_YAML_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/** Write a JSON value as one YAML document, block style, keys in the order they were inserted. */
int yaml_render(const json_t *value, struct buf *out, struct err *e);

#endif
