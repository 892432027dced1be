#include <string.h>

#include "lib/agent/agent.h"

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

void
agent_sections(struct strv *sections)
{
	for (size_t i = 0; agents[i] != NULL; i++)
		strv_add(sections, xstrdup(agents[i]->name));
}
