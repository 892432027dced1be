#include "lib/service/health.h"
void
health_choose(const struct intent_app *app, const struct user *user, int has,
    const struct strv *env, struct health_check *c)
{
	(void)app;
	(void)user;
	(void)has;
	(void)env;
	*c = (struct health_check){ 0 };
}
void
health_ask(const struct health_check *c, struct health_answer *a)
{
	(void)c;
	*a = (struct health_answer){ 0 };
}
const char *
health_name(enum health_verdict v)
{
	(void)v;
	return "passing";
}
char *
health_describe(const struct health_check *c)
{
	(void)c;
	return xstrdup("?");
}
void
health_check_release(struct health_check *c)
{
	(void)c;
}
void
health_answer_release(struct health_answer *a)
{
	(void)a;
}
