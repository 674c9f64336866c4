// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls of a 512-page map and unmap, as Xen's own trace buffer has them (xentrace).
 * Xen notes the operations of each, too: as many as there are handles (maptrack entries).
 */
#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bench_grants.h"

#include <xen/grant_table.h>
#include <xen/trace.h>
#include <xen/xen.h>

#define TRACE_FILE	"/tmp/bench-grants.trace"
#define NR_CALLS	64U

struct calls {
	unsigned int calls[NR_CALLS];	/* by the hypercall's number */
	unsigned int maps;		/* operations */
	unsigned int unmaps;
	unsigned int grants;		/* grant table hypercalls that are one of these */
	unsigned int lost;
};

FIXTURE(calls) {
	struct bench_grants b;
	pid_t xentrace;
};

FIXTURE_SETUP(calls)
{
	bench_grants_setup(_metadata, &self->b);
}

FIXTURE_TEARDOWN(calls)
{
	unlink(TRACE_FILE);
	bench_grants_teardown(&self->b);
}

/* -EOPNOTSUPP: there is no such program here */
static int trace_start(pid_t *pid)
{
	struct stat st;
	glob_t found;

	unlink(TRACE_FILE);
	if (glob("/usr/lib/xen-*/bin/xentrace", 0, NULL, &found))
		return -EOPNOTSUPP;
	*pid = fork();
	if (!*pid) {
		/* PV entries alone; 2 MiB of buffer; look every 20 ms. */
		execl(found.gl_pathv[0], "xentrace", "-D", "-e", "0x00201000", "-S", "512",
		      "-s", "20", TRACE_FILE, NULL);
		_exit(127);
	}
	globfree(&found);
	/* The file exists, and has records in it: of this waiting, if nothing else. */
	return gm_wait(!stat(TRACE_FILE, &st) && st.st_size > 0, 20000) ? 0 : -ETIMEDOUT;
}

static int trace_stop(pid_t pid)
{
	int status;

	/* What is in the buffer comes with the next look. */
	gm_sleep_ms(200);
	kill(pid, SIGINT);
	return waitpid(pid, &status, 0) == pid ? 0 : -errno;
}

/* One record: what it has besides the header are @n words. */
static void count(struct calls *c, uint32_t event, const uint32_t *extra, unsigned int n)
{
	uint32_t nr;

	if (event == TRC_LOST_RECORDS)
		c->lost++;
	if (event != TRC_PV_HYPERCALL_V2 || !n)
		return;
	nr = extra[0] & ~TRC_PV_HYPERCALL_V2_ARG_MASK;
	if (nr < NR_CALLS)
		c->calls[nr]++;
	/* The arguments that Xen adds: the command and the number of operations. */
	if (nr != __HYPERVISOR_grant_table_op || n < 3)
		return;
	if (extra[1] == GNTTABOP_map_grant_ref)
		c->maps += extra[2];
	else if (extra[1] == GNTTABOP_unmap_grant_ref)
		c->unmaps += extra[2];
	else
		return;
	c->grants++;
}

static int trace_read(struct calls *c)
{
	FILE *f = fopen(TRACE_FILE, "re");
	uint32_t header, words[2 + 7];
	unsigned int n, skip;
	int ret = 0;

	memset(c, 0, sizeof(*c));
	if (!f)
		return -errno;
	while (fread(&header, sizeof(header), 1, f) == 1) {
		skip = header >> 31 ? 2 : 0;
		n = header >> 28 & 7;
		if (fread(words, sizeof(words[0]), skip + n, f) != skip + n) {
			ret = -EIO;
			break;
		}
		count(c, header & 0x0fffffff, words + skip, n);
	}
	fclose(f);
	return ret;
}

static void cycle(META, FIXTURE_DATA(calls) *self)
{
	int64_t index = gm_gntdev_map_ref(self->b.gntdev, gm_self_domid(), self->b.refs, TABLE);
	void *addr;

	ASSERT_LE(0, index);
	addr = gm_gntdev_mmap(self->b.gntdev, index, TABLE, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, munmap(addr, TABLE * PAGE));
	ASSERT_EQ(0, gm_gntdev_unmap_ref(self->b.gntdev, index, TABLE));
}

TEST_F_TIMEOUT(calls, hypercalls, GM_LONG_TEST_S)
{
	struct calls c;
	int ret;

	/* The first one makes what stays. */
	cycle(_metadata, self);
	ret = trace_start(&self->xentrace);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no xentrace here");
	ASSERT_EQ(0, ret) TH_LOG("xentrace: %s", strerror(-ret));
	cycle(_metadata, self);
	ASSERT_EQ(0, trace_stop(self->xentrace));
	ASSERT_EQ(0, trace_read(&c));
	ASSERT_EQ(0, c.lost);
	ASSERT_LT(0, c.grants) TH_LOG("the trace has nothing of it");
	/* What Xen interrupts is called again for the rest, which counts twice in one of these. */
	bench_print_one("grants.hypercalls512", "calls", c.grants);
	bench_print_one("grants.handles512", "handles", c.maps < c.unmaps ? c.maps : c.unmaps);
	gm_note("operations: %u of map, %u of unmap", c.maps, c.unmaps);
	for (unsigned int i = 0; i < NR_CALLS; i++)
		if (c.calls[i])
			gm_note("hypercall %u: %u", i, c.calls[i]);
}

BENCH_GRANTS_MAIN
