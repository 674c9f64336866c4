// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests by name: xl drives them, libxenctrl and xenstore say what they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenstore.h>

#include "dom.h"
#include "gm.h"

#define XL_OUTPUT_MAX	16384
#define PATH_MAX_XS	256
#define CENSUS_DOMAINS	64
#define POLL_MS		50

static char error_text[1024];
static char xl_output[XL_OUTPUT_MAX];

const char *dom_error(void)
{
	return error_text;
}

static int __attribute__((format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error_text, sizeof(error_text), fmt, ap);
	va_end(ap);
	return -1;
}

/*
 * One handle each for the life of the process, made by the process that uses it: a handle
 * taken over a fork would share its connection with the parent.
 */
static xc_interface *dom_xc(void)
{
	static xc_interface *xch;
	static pid_t owner;

	if (owner != getpid()) {
		xch = xc_interface_open(NULL, NULL, 0);
		owner = getpid();
	}
	return xch;
}

static struct xs_handle *dom_xs(void)
{
	static struct xs_handle *xsh;
	static pid_t owner;

	if (owner != getpid()) {
		xsh = xs_open(0);
		owner = getpid();
	}
	return xsh;
}

int dom_xl(const char *fmt, ...)
{
	char command[1024] = "exec xl ";
	size_t len = strlen(command);
	va_list ap;
	int code;

	va_start(ap, fmt);
	vsnprintf(command + len, sizeof(command) - len, fmt, ap);
	va_end(ap);
	code = gm_run(xl_output, sizeof(xl_output), DOM_XL_MS, command);
	if (code < 0)
		return fail("\"%s\": %s\n%s", command, strerror(-code), xl_output);
	if (code > 128)
		return fail("\"%s\" was ended by signal %d\n%s", command, code - 128,
			    xl_output);
	if (code)
		fail("\"%s\" ended with %d: %.700s", command, code, xl_output);
	return code;
}

const char *dom_xl_output(void)
{
	return xl_output;
}

static char *xs_read_path(const char *path)
{
	unsigned int len;

	return xs_read(dom_xs(), XBT_NULL, path, &len);
}

char *dom_xs_read(const char *fmt, ...)
{
	char path[PATH_MAX_XS];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return xs_read_path(path);
}

bool dom_xs_exists(const char *fmt, ...)
{
	char path[PATH_MAX_XS];
	unsigned int num;
	char **entries;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	entries = xs_directory(dom_xs(), XBT_NULL, path, &num);
	free(entries);
	return entries;
}

int dom_find(const char *name)
{
	unsigned int num = 0;
	char **ids = xs_directory(dom_xs(), XBT_NULL, "/local/domain", &num);
	int domid = -1;

	for (unsigned int i = 0; i < num && domid < 0; i++) {
		char *its_name = dom_xs_read("/local/domain/%s/name", ids[i]);

		if (its_name && !strcmp(its_name, name))
			domid = atoi(ids[i]);
		free(its_name);
	}
	free(ids);
	if (domid < 0)
		fail("there is no guest named %s", name);
	return domid;
}

int dom_identify(const char *name, struct dom_id *id)
{
	int domid = dom_find(name);
	char *vm;

	if (domid < 0)
		return -1;
	vm = dom_xs_read("/local/domain/%d/vm", domid);
	if (!vm || strncmp(vm, "/vm/", 4)) {
		free(vm);
		return fail("domain %d has no \"vm\" in xenstore", domid);
	}
	id->domid = domid;
	snprintf(id->uuid, sizeof(id->uuid), "%s", vm + 4);
	free(vm);
	return 0;
}

bool dom_state(uint32_t domid, struct dom_state *state)
{
	xc_dominfo_t info;

	/* It gives the first domain that is not below @domid. */
	if (xc_domain_getinfo(dom_xc(), domid, 1, &info) != 1 || info.domid != domid)
		return false;
	/* libxenctrl does not call a crash a shutdown. */
	*state = (struct dom_state) {
		.hvm = info.hvm,
		.paused = info.paused,
		.shutdown = info.shutdown || info.crashed,
		.crashed = info.crashed,
		.dying = info.dying,
		.cpu_time = info.cpu_time,
		.nr_pages = info.nr_pages,
	};
	return true;
}

unsigned long long dom_free_pages(void)
{
	xc_physinfo_t info = { };

	if (xc_physinfo(dom_xc(), &info))
		return 0;
	return info.free_pages;
}

/* All that the machine has; 0: not known. */
unsigned long long dom_host_pages(void)
{
	xc_physinfo_t info = { };

	return xc_physinfo(dom_xc(), &info) ? 0 : info.total_pages;
}

int dom_grant_mappings(pid_t pid)
{
	char path[64], line[512];
	int count = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return fail("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		count += !!strstr(line, "/dev/xen/gntdev");
	fclose(f);
	return count;
}

static void census_of(FILE *f, const char *dir)
{
	unsigned int num = 0;
	char **entries = xs_directory(dom_xs(), XBT_NULL, dir, &num);

	for (unsigned int i = 0; i < num; i++)
		fprintf(f, "%s/%s\n", dir, entries[i]);
	free(entries);
}

char *dom_census(void)
{
	xc_dominfo_t info[CENSUS_DOMAINS];
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	char dir[PATH_MAX_XS];
	unsigned int num = 0;
	char **kinds;
	int n;

	if (!f)
		return NULL;
	n = xc_domain_getinfo(dom_xc(), 0, CENSUS_DOMAINS, info);
	for (int i = 0; i < n; i++)
		fprintf(f, "domain %u%s\n", info[i].domid, info[i].dying ? " dying" : "");
	census_of(f, "/local/domain");
	census_of(f, "/vm");
	census_of(f, "/libxl");
	kinds = xs_directory(dom_xs(), XBT_NULL, "/local/domain/0/backend", &num);
	for (unsigned int i = 0; i < num; i++) {
		snprintf(dir, sizeof(dir), "/local/domain/0/backend/%s", kinds[i]);
		census_of(f, dir);
	}
	free(kinds);
	fclose(f);
	return text;
}

static int create(const struct dom *d, const char *options)
{
	int rc = dom_xl("create %s %s 'name=\"%s\"' %s", options, d->config, d->name,
			d->extra ? d->extra : "");

	return rc ? -1 : 0;
}

int dom_create_paused(const struct dom *d)
{
	return create(d, "-p");
}

int dom_create(const struct dom *d)
{
	return create(d, "") ? -1 : dom_wait_up(d->name);
}

int dom_ensure(const struct dom *d)
{
	struct dom_state state;
	int domid = dom_find(d->name);

	if (domid >= 0 && dom_state(domid, &state) && !state.dying && !state.shutdown &&
	    !state.paused)
		return dom_wait_up(d->name);
	if (dom_destroy(d->name))
		return -1;
	return dom_create(d);
}

int dom_wait_up(const char *name)
{
	double end = gm_now() + DOM_BOOT_MS * gm_scale() / 1000;

	while (gm_now() < end) {
		int domid = dom_find(name);
		struct dom_state state;

		if (domid >= 0 && dom_state(domid, &state)) {
			if (state.crashed)
				return fail("%s (domain %d) crashed", name, domid);
			if (dom_xs_exists("/local/domain/%d/data/gm/ready", domid) &&
			    !dom_sh(name, NULL, 0, "true"))
				return 0;
		}
		gm_sleep_ms(POLL_MS);
	}
	return fail("no agent answers in %s after %d ms", name, DOM_BOOT_MS);
}

/* The first thing found that the domain left behind, or NULL. */
static const char *leftover(const struct dom_id *id)
{
	static const char *const dirs[] = {
		"/local/domain/%u",
		"/libxl/%u",
		"/local/domain/0/device-model/%u",
	};
	static char what[PATH_MAX_XS + 64];
	unsigned int num = 0;
	char **kinds;
	struct dom_state state;

	if (dom_state(id->domid, &state)) {
		snprintf(what, sizeof(what), "Xen still knows domain %u (%s%lu pages)", id->domid,
			 state.dying ? "dying, " : "", state.nr_pages);
		return what;
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(what, sizeof(what), dirs[i], id->domid);
		if (dom_xs_exists("%s", what))
			return what;
	}
	kinds = xs_directory(dom_xs(), XBT_NULL, "/local/domain/0/backend", &num);
	for (unsigned int i = 0; i < num; i++) {
		snprintf(what, sizeof(what), "/local/domain/0/backend/%s/%u", kinds[i], id->domid);
		if (dom_xs_exists("%s", what)) {
			free(kinds);
			return what;
		}
	}
	free(kinds);
	/* A restored or rebooted guest keeps its UUID: then the directory is not a leftover. */
	snprintf(what, sizeof(what), "/vm/%s", id->uuid);
	if (dom_xs_exists("%s", what)) {
		char **ids = xs_directory(dom_xs(), XBT_NULL, "/local/domain", &num);
		bool used = false;

		for (unsigned int i = 0; ids && i < num && !used; i++) {
			char *vm = dom_xs_read("/local/domain/%s/vm", ids[i]);

			used = vm && !strcmp(vm, what);
			free(vm);
		}
		free(ids);
		if (!used)
			return what;
	}
	return NULL;
}

int dom_wait_gone(const struct dom_id *id)
{
	const char *what;

	if (gm_wait(!(what = leftover(id)), DOM_GONE_MS))
		return 0;
	return fail("left behind by domain %u: %s", id->domid, what);
}

const char *dom_console_log(const char *name, char *path, size_t size)
{
	snprintf(path, size, "/var/log/xen/console/guest-%s.log", name);
	return path;
}

void dom_forget_console(const char *name)
{
	char path[PATH_MAX_XS];

	unlink(dom_console_log(name, path, sizeof(path)));
}

int dom_destroy(const char *name)
{
	struct dom_id id;

	if (dom_find(name) < 0)
		return 0;
	if (dom_identify(name, &id))
		return -1;
	if (dom_xl("destroy %u", id.domid))
		return -1;
	return dom_wait_gone(&id);
}

static int ask_agent(const char *name, char *rsp, size_t size, const char *cmd)
{
	int domid = dom_find(name);
	struct gm_guest *g;
	int ret;

	if (domid < 0)
		return -1;
	g = gm_guest_open(domid);
	if (!g)
		return fail("%s (domain %d) has no agent", name, domid);
	ret = gm_guest_cmd(g, rsp, size, DOM_AGENT_MS, "%s", cmd);
	gm_guest_close(g);
	if (ret)
		return fail("\"%s\" in %s: %s: %s", cmd, name, strerror(-ret),
			    ret == -EREMOTEIO ? rsp : "");
	return 0;
}

int dom_sh(const char *name, char *out, size_t size, const char *fmt, ...)
{
	char cmd[GM_RSP_MAX] = "sh ", rsp[GM_RSP_MAX] = "";
	size_t len = strlen(cmd);
	int code, used = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd + len, sizeof(cmd) - len, fmt, ap);
	va_end(ap);
	if (ask_agent(name, rsp, sizeof(rsp), cmd))
		return -1;
	if (sscanf(rsp, "%d%n", &code, &used) != 1)
		return fail("\"%s\" in %s was answered with \"%s\"", cmd, name, rsp);
	if (out)
		snprintf(out, size, "%s", rsp + used + (rsp[used] == ' '));
	if (code)
		fail("\"%s\" in %s ended with %d: %s", cmd, name, code, rsp + used);
	return code;
}
