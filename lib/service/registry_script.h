/*
 * An exec check as a script check of Consul's agent: where that is the same check, and safe.
 *
 * The agent runs scripts as its own user, in its own environment. An app's program must have neither:
 * it would run as root, or could read the agent's keys. So the script switches to the app's user and
 * starts from an empty environment; and where that cannot be, there is no script check.
 */
#ifndef PP_REGISTRY_SCRIPT_H
#define PP_REGISTRY_SCRIPT_H

#include "lib/service/health.h"

/**
 * The check's environment, if all of it may be seen by anybody on the host, as the arguments of a
 * program are: the variables that pp itself sets, PATH and a few like it. Other values that people state
 * may be secret.
 * Returns: 1 and *env, the caller's to release; 0: there is more in it.
 */
int registry_script_env(const struct health_check *check, struct strv *env);

/**
 * Who runs Consul's agent at this store's URL ("consul http://127.0.0.1:8500", "consul unix:///path").
 * Returns: 1 and *uid; 0: not on this host, or it cannot be told.
 */
int registry_script_agent(const char *url, uid_t *uid);

/**
 * The command of a script check that an agent run by `agent` can carry out.
 * Returns: 1 and *argv, the caller's to release; 0: a TTL check has to do.
 */
int registry_script_command(const struct health_check *check, uid_t agent, struct strv *argv);

#endif
