/* Services under runsvdir, driven by sv(8): what the backends runit and servicebuilder have in common. */
#ifndef PP_SV_H
#define PP_SV_H

#include "lib/service/supervisor.h"

/** The backends' own parts of supervisor.h, for services in the scan directory. */
int sv_status(const struct supervisor *s, const struct strv *services,
    struct service_status *status, struct err *e);
int sv_start(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e);
int sv_stop(const struct supervisor *s, const char *service, int64_t timeout_ms, struct err *e);
void sv_restore(const struct supervisor *s, const char *service);
char *sv_log_place(const struct supervisor *s, const char *service);
char *sv_log_tail(const struct supervisor *s, const char *service);
int sv_keep_down(const struct supervisor *s, const char *service, struct err *e);
int sv_enabled(const struct supervisor *s, const char *service);

/** Is the service's place in the scan directory free, or a link of ours? 0; -1 with *e set. */
int sv_check_scan(const struct supervisor *s, const char *service, struct err *e);

/** End the supervision of a service of ours, and remove its directory in the stage. */
int sv_clear(const struct supervisor *s, int stage, const char *service, struct err *e);

#endif
