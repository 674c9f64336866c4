// SPDX-License-Identifier: GPL-2.0-only
/*
 * gm-demo: the whole life of granted memory, shown step by step.
 *
 * Runs in dom0 and plays the backend: creates a guest with xl, has it grant 4 MiB
 * of real data, maps them through /dev/xen/gntdev with libxengnttab, checks every
 * byte in both directions, unmaps in part and in full, lets a GPU work on the mapping
 * (where the machine has one), is killed while it holds the mapping, and looks after each
 * step into the guest's grant table for what must (and must not) be in use. The last
 * line is the result.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xengnttab.h>

#include "gm.h"
#include "gm_gpu.h"

#define GUEST "granter"
#define PAGES 1024U
#define BYTES (PAGES * GM_PAGE_SIZE)

/* The part that is unmapped first: from the middle, so that both ends stay. */
#define PART_FIRST 256U
#define PART_COUNT 512U
#define PART_LAST (PART_FIRST + PART_COUNT)

/* What the guest writes, what the backend writes back, what the guest writes then. */
#define SEED_GUEST 0x6772616e74ULL
#define SEED_BACKEND 0x6261636bULL
#define SEED_ROUND2 0x726f756e64ULL
#define SEED_GPU 0x677075ULL

static double started; /* the demo */
static double step_started;
static bool guest_created;

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	fflush(stdout);
}

static void heading(const char *text)
{
	say("\n%s\n", text);
}

static void begin(void)
{
	step_started = gm_now();
}

/* Ends a step: who did what, how long it took. */
static void __attribute__((format(printf, 2, 3))) did(const char *who,
						      const char *fmt, ...)
{
	double took = gm_now() - step_started;
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	say("%7.2f s  %-8s %-58s %8.1f ms\n", gm_now() - started, who, what,
	    took * 1000);
}

/* What was looked at after a step, and found as it has to be. */
static void __attribute__((format(printf, 1, 2))) checked(const char *fmt, ...)
{
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	say("%7.2f s  %-8s   checked: %s\n", gm_now() - started, "", what);
}

static void __attribute__((format(printf, 1, 2), noreturn)) failed(const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (guest_created)
		gm_xl(NULL, 0, "destroy " GUEST);
	say("\nRESULT: FAILED: %s\n", why);
	exit(1);
}

/* ---- steps ---- */

static void show_driver(void)
{
	const char *driver = getenv("GM_DRIVER"), *kernel = getenv("GM_KERNEL");
	struct utsname uts;

	uname(&uts);
	say("Kernel of dom0 and guest: Linux %s (KERNEL=%s)\n", uts.release,
	    kernel ?: "?");
	say("Driver of /dev/xen/gntdev: %s\n", driver && *driver ? driver : "?");
	if (access("/dev/xen/gntdev", R_OK | W_OK))
		failed("/dev/xen/gntdev: %s", strerror(errno));
}

static struct gm_guest *create_guest(void)
{
	const char *kind = getenv("GM_GRANTER") ?: "pv";
	struct gm_guest *g;
	char out[1024];
	int ret;

	begin();
	ret = gm_xl(out, sizeof(out), "create /gm/xl/%s.cfg 'name=\"" GUEST "\"'",
		    kind);
	if (ret)
		failed("xl create ended with %d: %s", ret, out);
	guest_created = true;
	if (gm_xl(out, sizeof(out), "domid " GUEST))
		failed("xl domid: %s", out);
	did("xl", "create: guest '" GUEST "' (%s), domain %d", kind, atoi(out));

	begin();
	g = gm_guest_open(strtoul(out, NULL, 10));
	if (!g)
		failed("the guest's agent does not answer");
	did("guest", "up, its agent answers (%s)", gm_guest_ready(g));
	return g;
}

/* The guest's grant table has to hold exactly so many entries more than at first. */
static void expect_table(uint32_t domid, const struct gm_gnttab *base,
			 unsigned int granted, unsigned int in_use)
{
	struct gm_gnttab gt = { 0 };
	int ret = 0;

	gm_wait((ret = gm_gnttab_read(domid, &gt)) < 0 ||
			(gt.granted == base->granted + granted &&
			 gt.in_use == base->in_use + in_use),
		5000);
	if (ret)
		failed("reading the guest's grant table: %s", strerror(-ret));
	if (gt.granted != base->granted + granted ||
	    gt.in_use != base->in_use + in_use)
		failed("grant table: %d granted, %d in use, not %u and %u",
		       (int)(gt.granted - base->granted),
		       (int)(gt.in_use - base->in_use), granted, in_use);
	checked("guest's grant table: %u of ours granted, %u in use", granted,
		in_use);
}

static void *map_all(xengnttab_handle *xgt, struct gm_grant *gr)
{
	void *addr;

	addr = xengnttab_map_domain_grant_refs(xgt, gr->count, gr->domid,
					       gr->refs, PROT_READ | PROT_WRITE);
	if (!addr)
		failed("mapping %u pages: %s", gr->count, strerror(errno));
	return addr;
}

static void verify(const void *addr, uint64_t seed, unsigned int first,
		   unsigned int count)
{
	ssize_t bad = gm_check(addr + first * GM_PAGE_SIZE, seed, first, count);

	if (bad >= 0)
		failed("page %zu, byte %zu is not what was written",
		       first + bad / GM_PAGE_SIZE, bad % GM_PAGE_SIZE);
}

static void grant_all(struct gm_guest *g, struct gm_grant *gr)
{
	int ret;

	begin();
	ret = gm_guest_grant(g, gr, PAGES, true, SEED_GUEST);
	if (ret)
		failed("the guest cannot grant: %s", strerror(-ret));
	did("guest", "fills %u pages with a pattern, grants them to dom0", PAGES);
}

static void exchange_data(struct gm_guest *g, struct gm_grant *gr, void *addr)
{
	int ret;

	begin();
	verify(addr, SEED_GUEST, 0, PAGES);
	did("backend", "reads all %lu bytes: as the guest wrote them", BYTES);

	begin();
	gm_fill(addr, SEED_BACKEND, 0, PAGES);
	did("backend", "writes another pattern to all %u pages", PAGES);

	begin();
	ret = gm_guest_check(g, gr, SEED_BACKEND, 0, PAGES);
	if (ret)
		failed("the guest does not see what the backend wrote");
	did("guest", "reads all %lu bytes: as the backend wrote them", BYTES);
}

static void unmap_in_two_steps(xengnttab_handle *xgt, void *addr,
			       uint32_t domid, const struct gm_gnttab *base)
{
	begin();
	if (munmap(addr + PART_FIRST * GM_PAGE_SIZE, PART_COUNT * GM_PAGE_SIZE))
		failed("munmap of a part: %s", strerror(errno));
	did("backend", "unmaps pages %u to %u only", PART_FIRST, PART_LAST - 1);
	expect_table(domid, base, PAGES, PAGES - PART_COUNT);
	verify(addr, SEED_BACKEND, 0, PART_FIRST);
	verify(addr, SEED_BACKEND, PART_LAST, PAGES - PART_LAST);
	checked("the other %u pages still hold their data", PAGES - PART_COUNT);

	begin();
	if (xengnttab_unmap(xgt, addr, PAGES))
		failed("unmapping the rest: %s", strerror(errno));
	did("backend", "unmaps the rest");
	expect_table(domid, base, PAGES, 0);
}

static void gpu_exchange(int fd, struct gm_guest *g, struct gm_grant *gr, void *addr)
{
	void *picture = malloc(BYTES);
	uint64_t sum;

	if (!picture)
		failed("malloc: %s", strerror(errno));
	begin();
	if (gpu_sum(fd, addr, BYTES, &sum) || sum != cpu_sum(addr, BYTES))
		failed("the GPU does not read what the guest has");
	did("GPU", "reads all %lu bytes of the guest, by the backend's pointer", BYTES);

	gm_fill(picture, SEED_GPU, 0, PAGES);
	begin();
	if (gpu_copy(fd, addr, picture, BYTES))
		failed("the GPU cannot copy");
	did("GPU", "copies %lu bytes from malloc()ed memory to the guest's", BYTES);
	begin();
	if (gm_guest_check(g, gr, SEED_GPU, 0, PAGES))
		failed("the guest does not see what the GPU wrote");
	did("guest", "reads all %lu bytes: as the GPU wrote them", BYTES);
	free(picture);
}

static void gpu_after_unmap(int fd, void *addr)
{
	struct xgpu_query query = { .size = sizeof(query) };
	uint64_t sum;

	begin();
	if (gpu_sum(fd, addr, BYTES, &sum) != XGPU_FENCE_FAULT)
		failed("the GPU still reaches memory that was unmapped");
	did("GPU", "reads by the same pointer: its fence ends with a fault");
	if (gpu_ioctl(fd, XGPU_IOCTL_QUERY, &query))
		failed("the GPU does not answer");
	if (query.stale || query.stale_cached || query.dma_errors)
		failed("GPU: %llu stale translations used, %u left, %llu accesses refused",
		       (unsigned long long)query.stale, query.stale_cached,
		       (unsigned long long)query.dma_errors);
	checked("GPU: %llu faults, %llu shootdowns, no stale translation",
		(unsigned long long)query.faults, (unsigned long long)query.shootdowns);
}

/* A GPU of this domain works on the guest's memory, by the pointer that the backend has. */
static void gpu_round(struct gm_guest *g, struct gm_grant *gr, const struct gm_gnttab *base)
{
	xengnttab_handle *xgt;
	void *addr;
	int fd;

	gpu_load(GPU_0);
	fd = open(GPU_0, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		if (gm_kernel_is("debian"))
			say("Left out: mirroring takes the whole of our kernel (make run), not only its grant device\n");
		else
			say("No GPU in this machine: LAB=gpu-dom0 has one\n");
		return;
	}
	xgt = xengnttab_open(NULL, 0);
	if (!xgt)
		failed("xengnttab_open: %s", strerror(errno));
	begin();
	addr = map_all(xgt, gr);
	did("backend", "maps the %u pages again", PAGES);
	gpu_exchange(fd, g, gr, addr);
	begin();
	if (xengnttab_unmap(xgt, addr, PAGES))
		failed("unmapping: %s", strerror(errno));
	did("backend", "unmaps them; the GPU's translations are shot down");
	expect_table(gr->domid, base, PAGES, 0);
	gpu_after_unmap(fd, addr);
	xengnttab_close(xgt);
	close(fd);
}

static void __attribute__((noreturn)) second_backend(struct gm_grant *gr, int fd)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	void *addr;

	if (!xgt)
		_exit(1);
	addr = xengnttab_map_domain_grant_refs(xgt, gr->count, gr->domid,
					       gr->refs, PROT_READ | PROT_WRITE);
	if (!addr || gm_check(addr, SEED_ROUND2, 0, gr->count) >= 0)
		_exit(1);
	if (write(fd, "m", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void kill_while_mapped(struct gm_guest *g, struct gm_grant *gr,
			      const struct gm_gnttab *base)
{
	int fds[2], status;
	pid_t pid;
	char c;

	if (gm_guest_fill(g, gr, SEED_ROUND2))
		failed("the guest cannot fill its pages");
	if (pipe(fds))
		failed("pipe: %s", strerror(errno));
	begin();
	fflush(stdout);
	pid = fork();
	if (!pid)
		second_backend(gr, fds[1]);
	close(fds[1]);
	if (pid < 0 || read(fds[0], &c, 1) != 1)
		failed("the second backend could not map or saw wrong data");
	close(fds[0]);
	did("backend", "(process %d) maps all %u pages again, reads all bytes",
	    pid, PAGES);
	expect_table(gr->domid, base, PAGES, PAGES);

	begin();
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		failed("the second backend was not killed (status %#x)", status);
	did("backend", "killed with SIGKILL while it holds the mapping");
	expect_table(gr->domid, base, PAGES, 0);
}

/* What `xl debug-keys g` says of the guest's table: entries the hypervisor holds. */
static unsigned int debug_key(uint32_t domid)
{
	static char log[1 << 18];
	unsigned int maptrack, active;
	int ret;

	ret = gm_xl(NULL, 0, "debug-keys g") ?: gm_xl(log, sizeof(log), "dmesg");
	if (ret)
		failed("xl debug-keys g, xl dmesg: %d", ret);
	if (gm_parse_usage(log, domid, &maptrack, &active))
		failed("xl dmesg does not show the guest's grant table");
	return active;
}

static void take_back(struct gm_guest *g, struct gm_grant *gr,
		      const struct gm_gnttab *base, unsigned int base_active)
{
	uint32_t domid = gr->domid;
	unsigned int active;
	int ret;

	begin();
	ret = gm_guest_revoke(g, gr);
	if (ret)
		failed("the guest cannot revoke: %s", strerror(-ret));
	did("guest", "revokes all %u grants and frees the pages", PAGES);
	expect_table(domid, base, 0, 0);
	active = debug_key(domid);
	if (active != base_active)
		failed("xl debug-keys g: %u active entries, %u before the demo",
		       active, base_active);
	checked("xl debug-keys g: %u active entries, as before (xenstore, console)",
		active);
}

static void shut_down(uint32_t domid)
{
	char out[2048];
	int ret;

	begin();
	ret = gm_xl(out, sizeof(out), "shutdown -w " GUEST);
	if (ret)
		failed("xl shutdown ended with %d: %s", ret, out);
	if (!gm_wait(gm_domain_gone(domid), GM_TIMEOUT_MS))
		failed("domain %u is still there after shutdown", domid);
	guest_created = false;
	did("xl", "shutdown: the guest ends cleanly, domain %u is gone", domid);
	if (gm_xl(out, sizeof(out), "list"))
		failed("xl list: %s", out);
	if (strstr(out, GUEST) || strstr(out, "(null)"))
		failed("xl list still shows it:\n%s", out);
	checked("xl list: only Domain-0, no zombie");
}

int main(void)
{
	unsigned int base_active;
	struct gm_gnttab base;
	xengnttab_handle *xgt;
	struct gm_grant gr;
	struct gm_guest *g;
	uint32_t domid;
	void *addr;

	started = gm_now();
	show_driver();

	heading("A guest grants memory");
	g = create_guest();
	domid = gm_guest_domid(g);
	if (gm_gnttab_read(domid, &base))
		failed("cannot read the grant table of domain %u", domid);
	base_active = debug_key(domid);
	grant_all(g, &gr);
	expect_table(domid, &base, PAGES, 0);

	heading("First round: dom0 maps it, data go both ways, unmap in two steps");
	begin();
	xgt = xengnttab_open(NULL, 0);
	if (!xgt)
		failed("xengnttab_open: %s", strerror(errno));
	addr = map_all(xgt, &gr);
	did("backend", "maps %u pages with libxengnttab", PAGES);
	expect_table(domid, &base, PAGES, PAGES);
	exchange_data(g, &gr, addr);
	unmap_in_two_steps(xgt, addr, domid, &base);
	xengnttab_close(xgt);

	heading("Second round: a GPU mirrors the backend's memory, the guest's pages in it");
	gpu_round(g, &gr, &base);

	heading("Third round: the backend is killed while it holds the memory");
	kill_while_mapped(g, &gr, &base);

	heading("The end: the guest takes its memory back");
	take_back(g, &gr, &base, base_active);
	gm_guest_close(g);
	shut_down(domid);

	say("\nRESULT: ok\n");
	return 0;
}
