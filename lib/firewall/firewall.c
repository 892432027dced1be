#include "lib/firewall/firewall.h"

#include <sys/mman.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys/run.h"

#define TCP_LISTEN 0x0a /* the state, in /proc/net/tcp */

const struct firewall_ops *
firewall_find(const char *name)
{
	static const struct firewall_ops *const all[] = { &firewall_nft, &firewall_iptables,
		&firewall_port_authority };

	for (size_t i = 0; i < MEM_COUNT(all); i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

int
firewall_look(struct firewall *f, struct err *e)
{
	if (f->ops->look(f, e) < 0)
		return -1;
	if (fw_rules_sort(&f->found) > 0 && f->damage == NULL && f->ops == &firewall_nft)
		f->damage =
		    xstrdup("a rule is there twice, or beside one that lets in all it does");
	return 0;
}

int
firewall_check(const struct firewall *f, const struct intent_app *app, struct err *e)
{
	return f->ops->check(f, app, e);
}

char *
firewall_describe(const struct firewall *f, const struct fw_rules *wanted)
{
	return f->ops->describe(f, wanted);
}

int
firewall_write(struct firewall *f, const struct fw_rules *wanted, struct err *e)
{
	return f->ops->write(f, wanted, e);
}

void
firewall_free(struct firewall *f)
{
	if (f == NULL)
		return;
	fw_rules_release(&f->found);
	fw_rules_release(&f->by_family[0]);
	fw_rules_release(&f->by_family[1]);
	fw_rules_release(&f->remembered);
	strv_release(&f->options.always_allow);
	strv_release(&f->leftover_objects);
	free(f->options.chain);
	free(f->options.config_dir);
	free(f->options.cmd);
	free(f->damage);
	free(f->foreign);
	free(f);
}

/* 127.0.0.0/8 and ::1, as the kernel writes them. */
static int
is_loopback(const char *address)
{
	size_t n = strlen(address);

	return n == 8 ? strcmp(address + 6, "7F") == 0 :
			strcmp(address, "00000000000000000000000001000000") == 0;
}

static int
is_listening_in(const char *path, const struct strv *ports)
{
	FILE *f = fopen(path, "re");
	char line[512];
	int found = 0;

	while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
		unsigned port, state;
		char text[16], address[33];

		/* "  0: 00000000:0016 00000000:0000 0A ..." */
		if (sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x", address, &port,
			&state) != 3 ||
		    state != TCP_LISTEN || is_loopback(address))
			continue;
		(void)snprintf(text, sizeof text, "%u", port);
		found = strv_has(ports, text);
	}
	if (f != NULL)
		(void)fclose(f);
	return found;
}

int
firewall_is_listening(const struct strv *ports)
{
	return is_listening_in("/proc/self/net/tcp", ports) ||
	    is_listening_in("/proc/self/net/tcp6", ports);
}

int
firewall_feed(const char *const *argv, const char *text, struct err *e)
{
	AUTO_CLOSE int fd = memfd_create("ruleset", MFD_CLOEXEC);
	AUTO_BUF struct buf output = { 0 };
	AUTO_FREE char *words = NULL;
	struct run run = { .argv = argv };
	int status;

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "write the ruleset for %s", argv[0]);
	run.stdin_fd = fd;
	status = run_program(&run, &output, e);
	if (status <= 0)
		return status;
	words = run_words(output.data);
	return err_set(e, ERR_FAIL, "%s refused the rules, the old ones stay: %s", argv[0],
	    words[0] ? words : "it says nothing");
}
