#include "lib/service/registry.h"
int
registry_read(struct store *s, const char *node, struct registry *r, struct err *e)
{
	(void)s;
	(void)node;
	(void)e;
	*r = (struct registry){ 0 };
	return 0;
}
const struct registered *
registry_find(const struct registry *r, const char *app)
{
	(void)r;
	(void)app;
	return NULL;
}
int
registry_same(const struct registered *k, const struct registration *w)
{
	(void)k;
	(void)w;
	return 1;
}
int
registry_put(struct store *s, const struct registration *w, struct err *e)
{
	(void)s;
	(void)w;
	(void)e;
	return 0;
}
int
registry_remove(struct store *s, const char *app, struct err *e)
{
	(void)s;
	(void)app;
	(void)e;
	return 0;
}
int
registry_maintain(struct store *s, const char *app, int on, struct err *e)
{
	(void)s;
	(void)app;
	(void)on;
	(void)e;
	return 0;
}
int
registry_feed(struct store *s, const char *app, const struct health_answer *a, struct err *e)
{
	(void)s;
	(void)app;
	(void)a;
	(void)e;
	return 0;
}
void
registry_release(struct registry *r)
{
	(void)r;
}
