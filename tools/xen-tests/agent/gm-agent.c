// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-agent: runs in the granting guest and does what a test asks for.
 *
 * Requests come through xenstore (../lib/rpc.c), in this domain's data/gm:
 *
 *   grant N DOMID rw|ro SEED     allocate, fill and grant N pages     -> ID
 *   fill ID SEED                 fill them all again
 *   check ID SEED [FIRST COUNT]  compare; ERR says the first wrong byte
 *   peek ID OFFSET               one byte                             -> VALUE
 *   poke ID OFFSET VALUE
 *   revoke ID                    end the grants, free the pages
 *   evtchn-alloc DOMID           a port that DOMID may bind           -> PORT
 *   evtchn-wait PORT MS          -> fired | timeout
 *   evtchn-watch PORT MS ID OFF  the same, and then at once read the byte at OFF
 *                                and revoke ID: fired VALUE | timeout VALUE
 *   evtchn-close PORT
 *   map DOMID REF...             map what DOMID has granted to us      -> ID
 *   mcheck ID SEED               compare what is mapped; ERR: the first wrong byte
 *   mfill ID SEED                fill it
 *   munmap ID
 *   sh COMMAND                   -> EXIT-CODE OUTPUT (cut)
 *
 * The references of grant ID are in data/gm/refs/ID/0, 1, ..., GM_REFS_PER_NODE
 * in each. After restore or migration the domain has another home, and its grants
 * are gone: the agent ends, and init starts a new one.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include "gm.h"

/* Relative: xenstored looks in the home of the domain as it is called just now. */
#define DIR "data/gm"

#define MAX_SHARES 256
#define MAX_PORTS 64
#define MAX_MAPS 8
#define MAX_MAP_PAGES 128

struct share {
	void *addr; /* NULL: unused */
	unsigned int count;
};

struct port {
	xenevtchn_handle *xce; /* one handle each: its fd means this port only */
	int port;
};

/* What another domain has granted to this one. */
struct map {
	void *addr; /* NULL: unused */
	unsigned int count;
	int fd; /* of the grant device: it maps this only */
};

struct agent {
	struct xs_handle *xs;
	xengntshr_handle *xgs;
	struct share shares[MAX_SHARES];
	struct port ports[MAX_PORTS];
	struct map maps[MAX_MAPS];
};

typedef int (*command)(struct agent *a, char *args, char *rsp);

static int fail(char *rsp, const char *what)
{
	snprintf(rsp, GM_RSP_MAX, "%s: %s", what, strerror(errno));
	return -1;
}

static int usage(char *rsp)
{
	snprintf(rsp, GM_RSP_MAX, "bad arguments");
	return -1;
}

static struct share *find_share(struct agent *a, int id, char *rsp)
{
	if (id >= 0 && id < MAX_SHARES && a->shares[id].addr)
		return &a->shares[id];
	snprintf(rsp, GM_RSP_MAX, "no grant %d", id);
	return NULL;
}

/* ---- grants ---- */

static void drop_refs(struct agent *a, int id)
{
	char path[128];

	snprintf(path, sizeof(path), DIR "/refs/%d", id);
	xs_rm(a->xs, XBT_NULL, path);
}

static int write_refs(struct agent *a, int id, const uint32_t *refs,
		      unsigned int count)
{
	for (unsigned int n = 0, node = 0; n < count; node++) {
		char path[128], value[GM_REFS_PER_NODE * 9 + 1];
		size_t len = 0;

		for (unsigned int i = 0; i < GM_REFS_PER_NODE && n < count; i++)
			len += snprintf(value + len, sizeof(value) - len,
					"%u ", refs[n++]);
		snprintf(path, sizeof(path), DIR "/refs/%d/%u", id, node);
		if (!xs_write(a->xs, XBT_NULL, path, value, len))
			return -1;
	}
	return 0;
}

static int cmd_grant(struct agent *a, char *args, char *rsp)
{
	unsigned long long seed;
	unsigned int count, domid;
	uint32_t *refs;
	char mode[4];
	int id;

	if (sscanf(args, "%u %u %3s %llu", &count, &domid, mode, &seed) != 4 ||
	    !count || (strcmp(mode, "rw") && strcmp(mode, "ro")))
		return usage(rsp);
	for (id = 0; id < MAX_SHARES && a->shares[id].addr; id++)
		;
	if (id == MAX_SHARES) {
		snprintf(rsp, GM_RSP_MAX, "too many grants");
		return -1;
	}
	refs = calloc(count, sizeof(*refs));
	if (!refs)
		return fail(rsp, "refs");
	a->shares[id].count = count;
	a->shares[id].addr = xengntshr_share_pages(a->xgs, domid, count, refs,
						   !strcmp(mode, "rw"));
	if (!a->shares[id].addr) {
		free(refs);
		return fail(rsp, "share");
	}
	gm_fill(a->shares[id].addr, seed, 0, count);
	if (write_refs(a, id, refs, count)) {
		fail(rsp, "refs");
		xengntshr_unshare(a->xgs, a->shares[id].addr, count);
		a->shares[id].addr = NULL;
		drop_refs(a, id);
		free(refs);
		return -1;
	}
	free(refs);
	snprintf(rsp, GM_RSP_MAX, "%d", id);
	return 0;
}

static int cmd_fill(struct agent *a, char *args, char *rsp)
{
	unsigned long long seed;
	struct share *s;
	int id;

	if (sscanf(args, "%d %llu", &id, &seed) != 2)
		return usage(rsp);
	s = find_share(a, id, rsp);
	if (!s)
		return -1;
	gm_fill(s->addr, seed, 0, s->count);
	return 0;
}

static int cmd_check(struct agent *a, char *args, char *rsp)
{
	unsigned int first = 0, count = 0;
	unsigned long long seed;
	struct share *s;
	ssize_t bad;
	int id, n;

	n = sscanf(args, "%d %llu %u %u", &id, &seed, &first, &count);
	if (n != 2 && n != 4)
		return usage(rsp);
	s = find_share(a, id, rsp);
	if (!s)
		return -1;
	if (n == 2)
		count = s->count;
	if (first > s->count || count > s->count - first)
		return usage(rsp);
	bad = gm_check(s->addr + first * GM_PAGE_SIZE, seed, first, count);
	if (bad < 0)
		return 0;
	snprintf(rsp, GM_RSP_MAX, "page %zu byte %zu differs",
		 first + bad / GM_PAGE_SIZE, bad % GM_PAGE_SIZE);
	return -1;
}

static int cmd_peek(struct agent *a, char *args, char *rsp)
{
	struct share *s;
	size_t offset;
	int id;

	if (sscanf(args, "%d %zu", &id, &offset) != 2)
		return usage(rsp);
	s = find_share(a, id, rsp);
	if (!s)
		return -1;
	if (offset >= s->count * GM_PAGE_SIZE)
		return usage(rsp);
	snprintf(rsp, GM_RSP_MAX, "%u", ((volatile uint8_t *)s->addr)[offset]);
	return 0;
}

static int cmd_poke(struct agent *a, char *args, char *rsp)
{
	unsigned int value;
	struct share *s;
	size_t offset;
	int id;

	if (sscanf(args, "%d %zu %u", &id, &offset, &value) != 3)
		return usage(rsp);
	s = find_share(a, id, rsp);
	if (!s)
		return -1;
	if (offset >= s->count * GM_PAGE_SIZE || value > 255)
		return usage(rsp);
	((volatile uint8_t *)s->addr)[offset] = value;
	return 0;
}

static int revoke_share(struct agent *a, struct share *s, int id)
{
	int ret = xengntshr_unshare(a->xgs, s->addr, s->count);

	s->addr = NULL;
	drop_refs(a, id);
	return ret;
}

static int cmd_revoke(struct agent *a, char *args, char *rsp)
{
	struct share *s;
	int id;

	if (sscanf(args, "%d", &id) != 1)
		return usage(rsp);
	s = find_share(a, id, rsp);
	if (!s)
		return -1;
	return revoke_share(a, s, id) ? fail(rsp, "unshare") : 0;
}

/* ---- event channels ---- */

static struct port *find_port(struct agent *a, int port, char *rsp)
{
	for (int i = 0; i < MAX_PORTS; i++)
		if (a->ports[i].xce && a->ports[i].port == port)
			return &a->ports[i];
	snprintf(rsp, GM_RSP_MAX, "no port %d", port);
	return NULL;
}

static int cmd_evtchn_alloc(struct agent *a, char *args, char *rsp)
{
	unsigned int domid;
	struct port *p;
	int i;

	if (sscanf(args, "%u", &domid) != 1)
		return usage(rsp);
	for (i = 0; i < MAX_PORTS && a->ports[i].xce; i++)
		;
	if (i == MAX_PORTS) {
		snprintf(rsp, GM_RSP_MAX, "too many ports");
		return -1;
	}
	p = &a->ports[i];
	p->xce = xenevtchn_open(NULL, 0);
	if (!p->xce)
		return fail(rsp, "evtchn");
	p->port = xenevtchn_bind_unbound_port(p->xce, domid);
	if (p->port < 0) {
		fail(rsp, "bind");
		xenevtchn_close(p->xce);
		p->xce = NULL;
		return -1;
	}
	snprintf(rsp, GM_RSP_MAX, "%d", p->port);
	return 0;
}

static bool wait_event(struct port *p, int ms)
{
	struct pollfd pfd = { .fd = xenevtchn_fd(p->xce), .events = POLLIN };
	int port;

	if (poll(&pfd, 1, ms) <= 0)
		return false;
	port = xenevtchn_pending(p->xce);
	if (port >= 0)
		xenevtchn_unmask(p->xce, port);
	return port == p->port;
}

static int cmd_evtchn_wait(struct agent *a, char *args, char *rsp)
{
	struct port *p;
	int port, ms;

	if (sscanf(args, "%d %d", &port, &ms) != 2)
		return usage(rsp);
	p = find_port(a, port, rsp);
	if (!p)
		return -1;
	snprintf(rsp, GM_RSP_MAX, wait_event(p, ms) ? "fired" : "timeout");
	return 0;
}

static int cmd_evtchn_watch(struct agent *a, char *args, char *rsp)
{
	int port, ms, id;
	struct share *s;
	struct port *p;
	size_t offset;
	uint8_t value;
	bool fired;

	if (sscanf(args, "%d %d %d %zu", &port, &ms, &id, &offset) != 4)
		return usage(rsp);
	p = find_port(a, port, rsp);
	s = p ? find_share(a, id, rsp) : NULL;
	if (!s)
		return -1;
	if (offset >= s->count * GM_PAGE_SIZE)
		return usage(rsp);
	fired = wait_event(p, ms);
	value = ((volatile uint8_t *)s->addr)[offset];
	if (revoke_share(a, s, id))
		return fail(rsp, "unshare");
	snprintf(rsp, GM_RSP_MAX, "%s %u", fired ? "fired" : "timeout", value);
	return 0;
}

static int cmd_evtchn_close(struct agent *a, char *args, char *rsp)
{
	struct port *p;
	int port;

	if (sscanf(args, "%d", &port) != 1)
		return usage(rsp);
	p = find_port(a, port, rsp);
	if (!p)
		return -1;
	xenevtchn_close(p->xce);
	p->xce = NULL;
	return 0;
}

/* ---- commands ---- */

static int cmd_sh(struct agent *a, char *args, char *rsp)
{
	char out[GM_RSP_MAX - 16];
	int code = gm_run(out, sizeof(out), 0, args);

	(void)a;
	if (code < 0) {
		errno = -code;
		return fail(rsp, "sh");
	}
	snprintf(rsp, GM_RSP_MAX, "%d %s", code, out);
	return 0;
}

/* ---- the other way round: what was granted to us ---- */

static struct map *find_map(struct agent *a, const char *args, char *rsp)
{
	int id = -1;

	if (sscanf(args, "%d", &id) == 1 && id >= 0 && id < MAX_MAPS && a->maps[id].addr)
		return &a->maps[id];
	snprintf(rsp, GM_RSP_MAX, "no map %d", id);
	return NULL;
}

static int cmd_map(struct agent *a, char *args, char *rsp)
{
	uint32_t refs[MAX_MAP_PAGES];
	struct gm_grant grant = { .refs = refs };
	struct map *map = a->maps;
	char *end;

	while (map < a->maps + MAX_MAPS && map->addr)
		map++;
	if (map == a->maps + MAX_MAPS)
		return usage(rsp);
	grant.domid = strtoul(args, &end, 10);
	while (*end && grant.count < MAX_MAP_PAGES)
		refs[grant.count++] = strtoul(end, &end, 10);
	if (!grant.count)
		return usage(rsp);

	map->fd = gm_gntdev_open();
	if (map->fd < 0)
		return fail(rsp, "gntdev");
	map->count = grant.count;
	map->addr = gm_gntdev_map(map->fd, &grant, PROT_READ | PROT_WRITE, NULL);
	if (map->addr == MAP_FAILED) {
		map->addr = NULL;
		fail(rsp, "map");
		close(map->fd);
		return -1;
	}
	snprintf(rsp, GM_RSP_MAX, "%d", (int)(map - a->maps));
	return 0;
}

static int cmd_mcheck(struct agent *a, char *args, char *rsp)
{
	struct map *map = find_map(a, args, rsp);
	unsigned long long seed;
	ssize_t at;

	if (!map)
		return -1;
	if (sscanf(args, "%*d %llu", &seed) != 1)
		return usage(rsp);
	at = gm_check(map->addr, seed, 0, map->count);
	if (at < 0)
		return 0;
	snprintf(rsp, GM_RSP_MAX, "wrong byte at %zd", at);
	return -1;
}

static int cmd_mfill(struct agent *a, char *args, char *rsp)
{
	struct map *map = find_map(a, args, rsp);
	unsigned long long seed;

	if (!map)
		return -1;
	if (sscanf(args, "%*d %llu", &seed) != 1)
		return usage(rsp);
	gm_fill(map->addr, seed, 0, map->count);
	return 0;
}

static int cmd_munmap(struct agent *a, char *args, char *rsp)
{
	struct map *map = find_map(a, args, rsp);

	if (!map)
		return -1;
	munmap(map->addr, map->count * GM_PAGE_SIZE);
	close(map->fd);
	map->addr = NULL;
	return 0;
}

static const struct {
	const char *name;
	command run;
} commands[] = {
	{ "grant", cmd_grant },
	{ "fill", cmd_fill },
	{ "check", cmd_check },
	{ "peek", cmd_peek },
	{ "poke", cmd_poke },
	{ "revoke", cmd_revoke },
	{ "evtchn-alloc", cmd_evtchn_alloc },
	{ "evtchn-wait", cmd_evtchn_wait },
	{ "evtchn-watch", cmd_evtchn_watch },
	{ "evtchn-close", cmd_evtchn_close },
	{ "map", cmd_map },
	{ "mcheck", cmd_mcheck },
	{ "mfill", cmd_mfill },
	{ "munmap", cmd_munmap },
	{ "sh", cmd_sh },
};

static int dispatch(void *priv, char *cmd, char *rsp)
{
	char *args = cmd + strcspn(cmd, " ");

	if (*args)
		*args++ = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, cmd))
			return commands[i].run(priv, args, rsp);
	snprintf(rsp, GM_RSP_MAX, "unknown command '%s'", cmd);
	return -1;
}

static void guest_type(char *buf, size_t size)
{
	FILE *f = fopen("/sys/hypervisor/guest_type", "re");

	snprintf(buf, size, "unknown");
	if (!f)
		return;
	if (fgets(buf, size, f))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
}

int main(void)
{
	static struct agent agent;
	char ready[128], type[16];
	struct utsname uts;
	int ret;

	agent.xs = xs_open(0);
	agent.xgs = xengntshr_open(NULL, 0);
	if (!agent.xs || !agent.xgs) {
		fprintf(stderr, "gm-agent: xenstore or gntalloc missing: %s\n",
			strerror(errno));
		return 1;
	}
	uname(&uts);
	guest_type(type, sizeof(type));
	snprintf(ready, sizeof(ready), "1 %s %s", uts.release, type);
	ret = gm_rpc_publish(agent.xs, DIR, ready);
	if (!ret)
		ret = gm_rpc_serve(agent.xs, DIR, dispatch, &agent);
	fprintf(stderr, "gm-agent: %s\n", strerror(-ret));
	return 1;
}
