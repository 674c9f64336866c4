// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the hypervisor knows about grants: the truth that tests compare with.
 *
 * There are two sources. The grant table itself, mapped through
 * libxenforeignmemory, says exactly which entries are granted and in use. The
 * hypervisor's debug key 'g' adds what only it knows: active entries and the
 * maptrack of the mapping side. Both need dom0; another domain asks gm-oracle.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xencall.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenstore.h>
#include <xen/grant_table.h>
#include <xen/memory.h>

#include "gm.h"

/* More than Xen's console ring can hold on any lab machine. */
#define RING_SIZE (256 * 1024)

/* The line that starts what debug key 'g' prints. */
#define USAGE_START "gnttab_usage_print_all [ key 'g' pressed"

/* The domain this program runs in, or a negative errno. */
int gm_self_domid(void)
{
	static int self = -1;
	struct xs_handle *xs;
	unsigned int len;
	char *value;

	if (self >= 0)
		return self;
	xs = xs_open(0);
	if (!xs)
		return -errno;
	value = xs_read(xs, XBT_NULL, "domid", &len);
	xs_close(xs);
	if (!value)
		return -ENOENT;
	self = atoi(value);
	free(value);
	return self;
}

/* Are this domain's page tables its own, checked by Xen (and not nested)? */
bool gm_self_is_pv(void)
{
	FILE *f = fopen("/sys/hypervisor/guest_type", "re");
	char type[16] = "";

	if (!f)
		return false;
	if (!fgets(type, sizeof(type), f))
		type[0] = '\0';
	fclose(f);
	return !strcmp(type, "PV\n");
}

const char *gm_oracle_dir(uint32_t domid, char *buf, size_t size)
{
	snprintf(buf, size, "/local/domain/%u/data/gm-oracle", domid);
	return buf;
}

static int ask_oracle(char *rsp, size_t size, const char *cmd)
{
	struct gm_rpc *rpc;
	char dir[64];
	int ret;

	rpc = gm_rpc_open(gm_oracle_dir(gm_self_domid(), dir, sizeof(dir)));
	if (!rpc)
		return -errno;
	ret = gm_rpc_send(rpc, cmd);
	if (!ret)
		ret = gm_rpc_recv(rpc, rsp, size, GM_TIMEOUT_MS);
	gm_rpc_close(rpc);
	return ret;
}

/* Asks the oracle a question whose answer is one number. */
static int ask_number(const char *what, uint32_t domid)
{
	char cmd[64], rsp[GM_RSP_MAX];
	int ret;

	snprintf(cmd, sizeof(cmd), "%s %u", what, domid);
	ret = ask_oracle(rsp, sizeof(rsp), cmd);
	return ret ?: atoi(rsp);
}

/* How many pages a domain's grant table has, or a negative errno. */
static int query_frames(uint32_t domid)
{
	xencall_handle *xcall = xencall_open(NULL, 0);
	struct gnttab_query_size *q;
	int ret = -ENOMEM;

	if (!xcall)
		return -errno;
	q = xencall_alloc_buffer(xcall, sizeof(*q));
	if (q) {
		memset(q, 0, sizeof(*q));
		q->dom = domid;
		ret = 0;
		if (xencall3(xcall, __HYPERVISOR_grant_table_op,
			     GNTTABOP_query_size, (uintptr_t)q, 1) < 0)
			ret = -errno;
		else if (q->status != GNTST_okay)
			ret = -ESRCH;
		else
			ret = q->nr_frames;
		xencall_free_buffer(xcall, q);
	}
	xencall_close(xcall);
	return ret;
}

/* The layout of a domain's grant table, or a negative errno. */
static int query_version(uint32_t domid)
{
	xencall_handle *xcall = xencall_open(NULL, 0);
	struct gnttab_get_version *v;
	int ret = -ENOMEM;

	if (!xcall)
		return -errno;
	v = xencall_alloc_buffer(xcall, sizeof(*v));
	if (v) {
		memset(v, 0, sizeof(*v));
		v->dom = domid;
		ret = xencall3(xcall, __HYPERVISOR_grant_table_op, GNTTABOP_get_version,
			       (uintptr_t)v, 1) < 0 ?
			      -errno :
			      (int)v->version;
		xencall_free_buffer(xcall, v);
	}
	xencall_close(xcall);
	return ret;
}

/* Version 1: that an entry is in use is one of its flags. Version 2: it is in @status. */
static void count_entries(const void *table, const grant_status_t *status,
			  struct gm_gnttab *gt)
{
	size_t size = status ? sizeof(grant_entry_v2_t) : sizeof(grant_entry_v1_t);
	size_t n = gt->frames * GM_PAGE_SIZE / size;

	gt->granted = 0;
	gt->in_use = 0;
	for (size_t i = 0; i < n; i++) {
		uint16_t flags = *(const volatile uint16_t *)(table + i * size);
		uint16_t use = status ? ((const volatile grant_status_t *)status)[i] : flags;

		if ((flags & GTF_type_mask) != GTF_permit_access)
			continue;
		gt->granted++;
		if (use & (GTF_reading | GTF_writing))
			gt->in_use++;
	}
}

static xenforeignmemory_resource_handle *map_frames(xenforeignmemory_handle *fmem,
						    uint32_t domid, unsigned int id,
						    unsigned int frames, void **addr)
{
	return xenforeignmemory_map_resource(fmem, domid, XENMEM_resource_grant_table, id,
					     0, frames, addr, PROT_READ, 0);
}

static int read_table(uint32_t domid, struct gm_gnttab *gt)
{
	xenforeignmemory_resource_handle *shared, *status = NULL;
	void *shared_addr = NULL, *status_addr = NULL;
	xenforeignmemory_handle *fmem;
	int ret = query_frames(domid), version = query_version(domid);

	if (ret < 0 || version < 0)
		return ret < 0 ? ret : version;
	gt->frames = ret;
	gt->version = version;
	fmem = xenforeignmemory_open(NULL, 0);
	if (!fmem)
		return -errno;
	ret = 0;
	shared = map_frames(fmem, domid, XENMEM_resource_grant_table_id_shared, gt->frames,
			    &shared_addr);
	/* Two bytes for each entry of 16. */
	if (shared && version == 2)
		status = map_frames(fmem, domid, XENMEM_resource_grant_table_id_status,
				    (gt->frames + 7) / 8, &status_addr);
	if (shared && (status || version != 2))
		count_entries(shared_addr, status_addr, gt);
	else
		ret = -errno;
	if (status)
		xenforeignmemory_unmap_resource(fmem, status);
	if (shared)
		xenforeignmemory_unmap_resource(fmem, shared);
	xenforeignmemory_close(fmem);
	return ret;
}

/*
 * Counts the entries of a domain's grant table. The map is short: while it lasts the
 * table's pages outlive their domain.
 */
int gm_gnttab_read(uint32_t domid, struct gm_gnttab *gt)
{
	char cmd[64], rsp[GM_RSP_MAX];
	int ret;

	if (!gm_self_domid())
		return read_table(domid, gt);
	snprintf(cmd, sizeof(cmd), "gnttab %u", domid);
	ret = ask_oracle(rsp, sizeof(rsp), cmd);
	if (!ret && sscanf(rsp, "%u %u %u %u", &gt->version, &gt->frames, &gt->granted,
			   &gt->in_use) != 4)
		ret = -EPROTO;
	return ret;
}

/* Entries of a domain's grant table that somebody has mapped. */
int gm_grants_in_use(uint32_t domid)
{
	struct gm_gnttab gt;

	return gm_gnttab_read(domid, &gt) ?: (int)gt.in_use;
}

/* Entries of a domain's grant table that permit access to somebody. */
int gm_grants_granted(uint32_t domid)
{
	struct gm_gnttab gt;

	return gm_gnttab_read(domid, &gt) ?: (int)gt.granted;
}

/* No grant of a test has a higher number. */
#define MAX_REF 4096U

/*
 * How many grants there are of this domain. Nobody in dom0 can read dom0's own table: there it
 * is those to dom0 itself, as a copy of a byte shows. Not a map: where pages are translated,
 * the page would leave the place that it has.
 */
int gm_grants_given(void)
{
	static struct ioctl_gntdev_grant_copy_segment segs[MAX_REF];
	static uint8_t bytes[MAX_REF];
	struct ioctl_gntdev_grant_copy copy = { .count = MAX_REF, .segments = segs };
	int domid = gm_self_domid(), fd, n = 0;

	if (domid)
		return domid < 0 ? domid : gm_grants_granted(domid);
	fd = gm_gntdev_open();
	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < MAX_REF; i++) {
		segs[i] = (struct ioctl_gntdev_grant_copy_segment){
			.len = 1,
			.flags = GNTCOPY_source_gref,
			.dest.virt = &bytes[i],
		};
		segs[i].source.foreign.ref = i;
		segs[i].source.foreign.domid = domid;
	}
	if (ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &copy))
		n = -errno;
	for (unsigned int i = 0; i < MAX_REF && n >= 0; i++)
		n += segs[i].status == GNTST_okay;
	close(fd);
	return n;
}

/* The size of a domain's grant table in pages. */
int gm_gnttab_frames(uint32_t domid)
{
	struct gm_gnttab gt;

	return gm_gnttab_read(domid, &gt) ?: (int)gt.frames;
}

/*
 * Finds in the hypervisor's log what debug key 'g' printed last for @domid:
 * maptrack pages, and active entries of its grant table. -ENOENT when it is not
 * there.
 */
int gm_parse_usage(const char *log, uint32_t domid, unsigned int *maptrack,
		   unsigned int *active)
{
	const char *at = NULL, *next = log, *end;
	char head[48];

	while ((next = strstr(next, USAGE_START)))
		at = next++;
	if (!at)
		return -ENOENT;
	snprintf(head, sizeof(head), "grant-table for remote d%u (", domid);
	at = strstr(at, head);
	if (!at)
		return -ENOENT;
	end = strstr(at + 1, "grant-table for remote d") ?: at + strlen(at);
	next = strstr(at, "frames (");
	next = next ? strstr(next, "max), ") : NULL;
	if (!next || next > end ||
	    sscanf(next, "max), %u maptrack frames", maptrack) != 1)
		return -ENOENT;
	*active = 0;
	for (next = at; (next = strstr(next, "[0x")) && next < end; next++)
		(*active)++;
	return 0;
}

/* What the hypervisor has logged, debug key 'g' last; to be freed. NULL and errno on failure. */
static char *usage_log(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	unsigned int len = RING_SIZE - 1;
	uint32_t index = 0;
	char *log;

	if (!xch)
		return NULL;
	log = calloc(1, RING_SIZE);
	if (log && (xc_send_debug_keys(xch, "g") ||
		    xc_readconsolering(xch, log, &len, 0, 0, &index))) {
		free(log);
		log = NULL;
	}
	xc_interface_close(xch);
	return log;
}

static int usage(uint32_t domid, unsigned int *maptrack, unsigned int *active)
{
	char *log = usage_log();
	int ret;

	if (!log)
		return -errno;
	ret = gm_parse_usage(log, domid, maptrack, active);
	free(log);
	return ret;
}

/* Pages of the table in which Xen keeps what @domid has mapped of others. */
int gm_maptrack_frames(uint32_t domid)
{
	unsigned int maptrack, active;

	if (gm_self_domid())
		return ask_number("maptrack", domid);
	return usage(domid, &maptrack, &active) ?: (int)maptrack;
}

/* Entries of @domid's grant table that the hypervisor holds active. */
int gm_active_entries(uint32_t domid)
{
	unsigned int maptrack, active;

	if (gm_self_domid())
		return ask_number("active", domid);
	return usage(domid, &maptrack, &active) ?: (int)active;
}

/*
 * How many mappings of grant @ref of @domid there are, as the hypervisor counts them. In dom0
 * alone.
 */
int gm_grant_mappings(uint32_t domid, uint32_t ref)
{
	unsigned int maptrack, active, pin = 0;
	char *log, *at, *next, entry[48];
	int ret;

	if (gm_self_domid())
		return -EOPNOTSUPP;
	log = usage_log();
	if (!log)
		return -errno;
	ret = gm_parse_usage(log, domid, &maptrack, &active);
	snprintf(entry, sizeof(entry), "grant-table for remote d%u (", domid);
	for (next = log, at = NULL; (next = strstr(next, entry)); next++)
		at = next;
	/* [ref] domid frame pin ...: one byte of the pin for writable ones, one for others */
	snprintf(entry, sizeof(entry), "[0x%03x]", ref);
	if (!ret && at) {
		char *end = strstr(at + 1, "grant-table for remote d");

		at = strstr(at, entry);
		if (at && (!end || at < end) &&
		    sscanf(at, "[%*x] %*d %*x %x", &pin) == 1)
			ret = (pin & 0xff) + (pin >> 8 & 0xff);
	}
	free(log);
	return ret;
}

/* Does the hypervisor not know @domid any more, not even as a zombie? */
bool gm_domain_gone(uint32_t domid)
{
	xc_interface *xch;
	xc_dominfo_t info;
	bool gone;

	if (gm_self_domid())
		return ask_number("gone", domid) == 1;
	xch = xc_interface_open(NULL, NULL, 0);
	if (!xch)
		return false;
	gone = xc_domain_getinfo(xch, domid, 1, &info) != 1 ||
	       info.domid != domid;
	xc_interface_close(xch);
	return gone;
}

/*
 * Runs xl in dom0; what it prints, cut to size - 1 bytes (GM_RSP_MAX from another
 * domain), is kept in @out. Its exit code, or a negative errno.
 */
int gm_xl(char *out, size_t size, const char *fmt, ...)
{
	char cmd[1024] = "xl ", *args = cmd + strlen(cmd);
	char rsp[GM_RSP_MAX];
	int used = 0, code, ret;
	va_list ap;

	va_start(ap, fmt);
	ret = vsnprintf(args, cmd + sizeof(cmd) - args, fmt, ap);
	va_end(ap);
	if (ret >= cmd + sizeof(cmd) - args)
		return -E2BIG;
	if (!gm_self_domid())
		return gm_run(out, size, 0, cmd);
	ret = ask_oracle(rsp, sizeof(rsp), cmd);
	if (ret)
		return ret;
	if (sscanf(rsp, "%d%n", &code, &used) != 1)
		return -EPROTO;
	if (size)
		snprintf(out, size, "%s", rsp + used + (rsp[used] == ' '));
	return code;
}
