// SPDX-License-Identifier: GPL-2.0-only
/*
 * The granting guest, seen from the domain that maps: wrappers of the commands
 * that its agent (../agent/gm-agent.c) understands.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gm.h"

struct gm_guest {
	struct gm_rpc *rpc;
	uint32_t domid;
	char *ready;
};

static const char *agent_dir(uint32_t domid, char *buf, size_t size)
{
	snprintf(buf, size, "/local/domain/%u/data/gm", domid);
	return buf;
}

/*
 * Waits until the guest's agent is ready. NULL with errno set when it is not so
 * in GM_TIMEOUT_MS.
 */
struct gm_guest *gm_guest_open(uint32_t domid)
{
	struct gm_guest *g = calloc(1, sizeof(*g));
	char dir[64];

	if (!g)
		return NULL;
	g->domid = domid;
	g->rpc = gm_rpc_open(agent_dir(domid, dir, sizeof(dir)));
	if (g->rpc && gm_wait((g->ready = gm_rpc_read(g->rpc, "ready")),
			      GM_TIMEOUT_MS))
		return g;
	gm_guest_close(g);
	errno = ETIMEDOUT;
	return NULL;
}

void gm_guest_close(struct gm_guest *g)
{
	if (!g)
		return;
	gm_rpc_close(g->rpc);
	free(g->ready);
	free(g);
}

/* Domain @domid is gone: nothing is kept for those that talk to it. */
void gm_guest_forget(uint32_t domid)
{
	char dir[64];

	gm_rpc_forget(agent_dir(domid, dir, sizeof(dir)));
}

uint32_t gm_guest_domid(const struct gm_guest *g)
{
	return g->domid;
}

/* "<protocol> <kernel release> <guest type>" */
const char *gm_guest_ready(const struct gm_guest *g)
{
	return g->ready;
}

static int send_va(struct gm_guest *g, const char *fmt, va_list ap)
{
	char cmd[1024];

	if (vsnprintf(cmd, sizeof(cmd), fmt, ap) >= (int)sizeof(cmd))
		return -E2BIG;
	return gm_rpc_send(g->rpc, cmd);
}

/* Sends a command without waiting for its answer, which gm_guest_finish() gets. */
int gm_guest_start(struct gm_guest *g, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = send_va(g, fmt, ap);
	va_end(ap);
	return ret;
}

int gm_guest_finish(struct gm_guest *g, char *rsp, size_t size, int timeout_ms)
{
	return gm_rpc_recv(g->rpc, rsp, size, timeout_ms);
}

/* Runs a command of the agent: 0 and its values in @rsp, or as gm_rpc_recv(). */
int gm_guest_cmd(struct gm_guest *g, char *rsp, size_t size, int timeout_ms,
		 const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = send_va(g, fmt, ap);
	va_end(ap);
	return ret ?: gm_rpc_recv(g->rpc, rsp, size, timeout_ms);
}

/* Reads the references of a grant from the nodes that the agent wrote them to. */
static int read_refs(struct gm_guest *g, struct gm_grant *gr)
{
	unsigned int n = 0;

	for (unsigned int node = 0; n < gr->count; node++) {
		char name[32], *list, *p, *end;

		snprintf(name, sizeof(name), "refs/%d/%u", gr->id, node);
		list = gm_rpc_read(g->rpc, name);
		if (!list)
			return -ENODATA;
		for (p = list; n < gr->count; p = end) {
			unsigned long ref = strtoul(p, &end, 10);

			if (end == p)
				break;
			gr->refs[n++] = ref;
		}
		free(list);
	}
	return 0;
}

/*
 * Lets the guest allocate @count pages, fill them by @seed and grant them to domain
 * @domid. gm_guest_revoke() undoes it.
 */
int gm_guest_grant_to(struct gm_guest *g, struct gm_grant *gr, uint32_t domid,
		      unsigned int count, bool writable, uint64_t seed)
{
	char rsp[GM_RSP_MAX];
	int ret;

	memset(gr, 0, sizeof(*gr));
	ret = gm_guest_cmd(g, rsp, sizeof(rsp), GM_TIMEOUT_MS,
			   "grant %u %u %s %llu", count, domid,
			   writable ? "rw" : "ro", (unsigned long long)seed);
	if (ret)
		return ret;
	gr->id = atoi(rsp);
	gr->domid = g->domid;
	gr->count = count;
	gr->refs = calloc(count, sizeof(*gr->refs));
	ret = gr->refs ? read_refs(g, gr) : -ENOMEM;
	if (ret)
		gm_guest_revoke(g, gr);
	return ret;
}

/* The same for this domain. */
int gm_guest_grant(struct gm_guest *g, struct gm_grant *gr, unsigned int count,
		   bool writable, uint64_t seed)
{
	return gm_guest_grant_to(g, gr, gm_self_domid(), count, writable, seed);
}

int gm_guest_fill(struct gm_guest *g, const struct gm_grant *gr, uint64_t seed)
{
	return gm_guest_cmd(g, NULL, 0, GM_TIMEOUT_MS, "fill %d %llu", gr->id,
			    (unsigned long long)seed);
}

/* 0 when the guest sees @seed's pattern in pages [first, first + count). */
int gm_guest_check(struct gm_guest *g, const struct gm_grant *gr, uint64_t seed,
		   unsigned int first, unsigned int count)
{
	return gm_guest_cmd(g, NULL, 0, GM_TIMEOUT_MS, "check %d %llu %u %u",
			    gr->id, (unsigned long long)seed, first, count);
}

/* The byte at @offset as the guest sees it, or a negative errno. */
int gm_guest_peek(struct gm_guest *g, const struct gm_grant *gr, size_t offset)
{
	char rsp[GM_RSP_MAX];
	int ret;

	ret = gm_guest_cmd(g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "peek %d %zu",
			   gr->id, offset);
	return ret ?: atoi(rsp);
}

int gm_guest_poke(struct gm_guest *g, const struct gm_grant *gr, size_t offset,
		  uint8_t value)
{
	return gm_guest_cmd(g, NULL, 0, GM_TIMEOUT_MS, "poke %d %zu %u",
			    gr->id, offset, value);
}

/*
 * Ends the grants. The guest's kernel keeps those that are still mapped and ends
 * them when they no longer are: gm_grants_granted() tells.
 */
int gm_guest_revoke(struct gm_guest *g, struct gm_grant *gr)
{
	int ret = 0;

	if (gr->count)
		ret = gm_guest_cmd(g, NULL, 0, GM_TIMEOUT_MS, "revoke %d",
				   gr->id);
	free(gr->refs);
	memset(gr, 0, sizeof(*gr));
	return ret;
}
