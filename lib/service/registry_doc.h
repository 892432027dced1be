/*
 * Registrations as Consul's documents: written, and read back. Pure; registry.c does the asking.
 *
 * A check that pp made is "pp:<app>:" and what tells it from the one before: a new check has the status
 * it is registered with, whereas one of the same name keeps what it had. Only the TTL check has a fixed
 * name, as it has to be fed.
 */
#ifndef PP_REGISTRY_DOC_H
#define PP_REGISTRY_DOC_H

#include <jansson.h>

#include "lib/service/registry.h"

#define REGISTRY_DOC_REASON "pp: a new version is being made live"
#define REGISTRY_DOC_TTL_MIN_MS 300000 /* a TTL check lives at least so long without being fed */
#define REGISTRY_DOC_OUTPUT_MAX 4096   /* bytes of a check's output that Consul keeps */

/** The name of an app's TTL check. Owns: the caller frees. */
char *registry_doc_ttl_id(const char *app);

/** The same for what somebody may have looked at already: is the check of that name one of pp's? */
int registry_doc_is_own_check(const char *app, const char *id);

/** A new name for a check that Consul itself does. Owns: the caller frees. */
char *registry_doc_new_id(const char *app);

/**
 * A digest of the port and of how the app is checked. Of its environment there is in it only what
 * registry_script_env() lets through: the rest may be secret. Owns: the caller frees.
 */
char *registry_doc_digest(const struct registration *w);

/**
 * The body of a registration. `script`: the command of a script check, for HEALTH_EXEC; NULL: what is
 * neither TCP nor HTTP is a TTL check. Owns: the caller frees.
 */
char *registry_doc_render(const struct registration *w, const struct strv *script,
    const char *check_id);

/** The body that feeds a check. Owns: the caller frees. */
char *registry_doc_feed(enum health_verdict verdict, const char *text);

/**
 * Take in what the agent answers: its services, and then their checks.
 * Returns: 0; -1 with *e set (ERR_STORE): it is no such answer.
 */
int registry_doc_take_services(const struct buf *answer, const char *node, struct registry *r,
    struct err *e);
int registry_doc_take_checks(const struct buf *answer, struct registry *r, struct err *e);

/** The names of the checks in such an answer that pp made for the app. */
int registry_doc_own_checks(const struct buf *answer, const char *app, struct strv *ids,
    struct err *e);

/** Has a service, as Consul describes one, this tag, to the letter? */
int registry_doc_has_tag(const json_t *service, const char *tag);

#endif
