/*
 * The catalogue's answer about an app, GET /v1/health/service/<app>, as instances of a cluster. What is in it
 * was written by whoever may register a service, so it is read strictly, and in doubt an instance does not pass.
 */
#ifndef PP_LEASE_CATALOG_H
#define PP_LEASE_CATALOG_H

#include "lib/service/lease.h"

/** More would be no cluster. */
#define LEASE_INSTANCES_MAX 100000

/**
 * Take the instances of the cluster out of an answer. Consul compares names and tags without regard to case;
 * here only what is just the same counts. Entries of one pp-node are one instance, which passes if all do. Next
 * to one of pp's on the same machine, what was registered by hand is the same instance and is left out.
 * Returns: 0 and the instances, sorted by node, added to *view; -1 with *e set (ERR_STORE): nothing is believed.
 */
int lease_catalog_take(const char *answer, size_t n, const char *app, const char *cluster,
    struct lease_view *view, struct err *e);

#endif
