#include <string.h>

#include "lib/agent/agent.h"
#include "lib/intent/history.h"

const struct agent *const agents[] = { &agent_preparer, &agent_setlive, &agent_iptables,
	&agent_sudoers, NULL };

const struct agent *
agent_find(const char *name)
{
	for (size_t i = 0; agents[i] != NULL; i++)
		if (strcmp(agents[i]->name, name) == 0)
			return agents[i];
	return NULL;
}

int
agent_load_settings(struct settings *s, const char *section, struct err *e)
{
	struct settings known = { 0 };
	struct settings_conf conf = { .known = &known };
	int r;

	settings_add(&known, pass_settings);
	settings_add(&known, converge_settings);
	settings_add(&known, history_settings);
	for (size_t i = 0; agents[i] != NULL; i++) {
		settings_add(&known, agents[i]->settings);
		strv_add(&conf.sections, xstrdup(agents[i]->name));
	}
	r = settings_load(s, section, &conf, e);
	strv_release(&conf.sections);
	return r;
}
