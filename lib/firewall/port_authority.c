#include "lib/firewall/port_authority.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/yaml.h"
#include "lib/fs/path.h"
#include "lib/sys/run.h"

char *
port_authority_file(const char *app)
{
	return xasprintf("%s.yml", app);
}

char *
port_authority_app(const char *file)
{
	size_t n = strlen(file);
	AUTO_FREE char *app = NULL;

	if (n <= 4 || strcmp(file + n - 4, ".yml") != 0)
		return NULL;
	app = xmemdup(file, n - 4);
	return path_is_name(app) ? mem_take(&app) : NULL;
}

static int
compare_ports(const void *a, const void *b)
{
	const struct intent_port *left = a, *right = b;

	if (left->first != right->first)
		return left->first < right->first ? -1 : 1;
	return (int)left->proto - (int)right->proto;
}

static int
check_ports(const struct intent_app *app, struct err *e)
{
	for (size_t i = 0; i < app->nports; i++) {
		const struct intent_port *port = &app->ports[i];

		if (port->first != port->last)
			return err_set(e, ERR_DATA,
			    "ports: port_authority takes no range like %u-%u; "
			    "list the ports one by one",
			    port->first, port->last);
		if (port->from.n > 0)
			return err_set(e, ERR_DATA,
			    "ports: port_authority cannot restrict who may "
			    "reach port %u, and opening it to everybody was not asked for",
			    port->first);
	}
	return 0;
}

int
port_authority_render(const struct intent_app *app, struct buf *out, struct err *e)
{
	/* In another order; what they hold stays the app's. */
	AUTO_FREE struct intent_port *sorted = xcalloc(app->nports, sizeof *sorted);
	json_auto_t *doc = json_object();

	if (check_ports(app, e) < 0)
		return -1;
	if (app->nports > 0)
		memcpy(sorted, app->ports, app->nports * sizeof *sorted);
	qsort(sorted, app->nports, sizeof *sorted, compare_ports);
	for (size_t i = 0; i < app->nports; i++) {
		const char *proto = sorted[i].proto == INTENT_UDP ? "udp" : "tcp";
		AUTO_FREE char *key = xasprintf("%s_%u_%s", app->name, sorted[i].first, proto);

		(void)json_object_set_new(doc, key,
		    json_pack("{s:i,s:s}", "port", (int)sorted[i].first, "protocol", proto));
	}
	return yaml_render(doc, out, e);
}

int
port_authority_rebuild(const char *cmd, struct err *e)
{
	const char *argv[] = { cmd, "rebuild", NULL };
	struct run run = { .argv = argv };

	return run_checked(&run, e);
}
