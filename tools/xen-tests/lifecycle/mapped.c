// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest destroyed while dom0 holds its grants.
 *
 * Its pages belong to whoever maps them: they stay readable and hold what they held, and the
 * domain stays, dying and without a name, until the last mapping goes.
 */
#include <fcntl.h>
#include <kselftest_harness.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <xengnttab.h>

#include "gm.h"
#include "kinds.h"

#define PAGES	64U
#define SEED	0xdeadULL
#define SEED2	0xbeefULL

/* The pages that go through a pipe */
static const unsigned int busy[] = { 5, 40 };

FIXTURE(e2_mapped) {
	struct dom_id id;
	struct gm_grant grant;
	unsigned long long free_pages;	/* before there was a guest */
};

FIXTURE_VARIANT(e2_mapped) {
	struct dom dom;
};

FIXTURE_VARIANT_ADD(e2_mapped, pv) { .dom = KIND_PV("e2-mapped-pv", "") };
FIXTURE_VARIANT_ADD(e2_mapped, pvh) { .dom = KIND_PVH("e2-mapped-pvh", "") };

FIXTURE_SETUP(e2_mapped)
{
	struct gm_guest *g;

	ASSERT_EQ(0, dom_destroy(variant->dom.name)) WHY();
	self->free_pages = dom_free_pages();
	ASSERT_EQ(0, dom_create(&variant->dom)) WHY();
	ASSERT_EQ(0, dom_identify(variant->dom.name, &self->id)) WHY();
	g = gm_guest_open(self->id.domid);
	ASSERT_NE(NULL, g);
	ASSERT_EQ(0, gm_guest_grant(g, &self->grant, PAGES, true, SEED));
	gm_guest_close(g);
}

FIXTURE_TEARDOWN(e2_mapped)
{
	free(self->grant.refs);
	dom_destroy(variant->dom.name);
}

static void *map(xengnttab_handle *xgt, struct gm_grant *grant)
{
	return xengnttab_map_domain_grant_refs(xgt, grant->count, grant->domid, grant->refs,
					       PROT_READ | PROT_WRITE);
}

/* Known to Xen as a domain that is going, and to nobody else. */
static bool is_dying(const struct dom_id *id)
{
	struct dom_state state;

	return dom_state(id->domid, &state) && state.dying &&
	       !dom_xs_exists("/local/domain/%u", id->domid);
}

static void expect_memory_back(struct __test_metadata *_metadata, unsigned long long dying)
{
	EXPECT_TRUE(gm_wait(dom_free_pages() >= dying + PAGES, DOM_GONE_MS))
		TH_LOG("free pages: %llu while dying, %llu after", dying, dom_free_pages());
}

TEST_F_TIMEOUT(e2_mapped, pages_stay_until_unmapped, TEST_S)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	unsigned long long dying;
	void *addr;

	ASSERT_NE(NULL, xgt);
	addr = map(xgt, &self->grant);
	ASSERT_NE(NULL, addr);
	ASSERT_EQ(-1, gm_check(addr, SEED, 0, PAGES));

	ASSERT_EQ(0, dom_xl("destroy %u", self->id.domid)) WHY();
	ASSERT_TRUE(gm_wait(is_dying(&self->id), DOM_GONE_MS));
	EXPECT_EQ(0, dom_xl("list")) WHY();
	EXPECT_NE(NULL, strstr(dom_xl_output(), "(null)")) TH_LOG("%s", dom_xl_output());
	EXPECT_EQ(-1, gm_check(addr, SEED, 0, PAGES));
	gm_fill(addr, SEED2, 0, PAGES);
	EXPECT_EQ(-1, gm_check(addr, SEED2, 0, PAGES));
	/* Nothing but these mappings holds it, and they do. */
	gm_sleep_ms(500);
	EXPECT_TRUE(is_dying(&self->id));
	dying = dom_free_pages();

	ASSERT_EQ(0, xengnttab_unmap(xgt, addr, PAGES));
	EXPECT_EQ(0, dom_wait_gone(&self->id)) WHY();
	expect_memory_back(_metadata, dying);
	xengnttab_close(xgt);
}

/*
 * Two pages are on their way through a pipe. After munmap() nothing but these holds the
 * domain, one page after the other.
 */
TEST_F_TIMEOUT(e2_mapped, pages_in_a_pipe_outlive_the_guest, TEST_S)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	unsigned long long dying;
	struct dom_state state;
	struct iovec iov[2];
	char page[GM_PAGE_SIZE];
	int pipes[2];
	char *addr;

	ASSERT_NE(NULL, xgt);
	ASSERT_EQ(0, pipe(pipes));
	addr = map(xgt, &self->grant);
	ASSERT_NE(NULL, addr);
	for (int i = 0; i < 2; i++)
		iov[i] = (struct iovec) { addr + busy[i] * GM_PAGE_SIZE, GM_PAGE_SIZE };
	ASSERT_EQ((ssize_t)(2 * GM_PAGE_SIZE), vmsplice(pipes[1], iov, 2, 0))
		TH_LOG("vmsplice: %s", strerror(errno));

	ASSERT_EQ(0, dom_xl("destroy %u", self->id.domid)) WHY();
	ASSERT_TRUE(gm_wait(is_dying(&self->id), DOM_GONE_MS));
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(pipes[0], page, GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(page, SEED, busy[0], 1));
	dying = dom_free_pages();
	ASSERT_EQ(0, xengnttab_unmap(xgt, addr, PAGES));
	xengnttab_close(xgt);
	gm_sleep_ms(500);
	EXPECT_TRUE(is_dying(&self->id));
	EXPECT_TRUE(dom_state(self->id.domid, &state) && state.nr_pages >= 1);

	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(pipes[0], page, GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(page, SEED, busy[1], 1));
	EXPECT_EQ(0, dom_wait_gone(&self->id)) WHY();
	expect_memory_back(_metadata, dying);
	close(pipes[0]);
	close(pipes[1]);
}

/* Half of it unmapped by munmap() frees that half; the domain waits for the rest. */
TEST_F_TIMEOUT(e2_mapped, close_of_half_unmapped, TEST_S)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	size_t half = PAGES / 2 * GM_PAGE_SIZE;
	unsigned long long dying;
	struct dom_state state;
	char *addr;

	ASSERT_NE(NULL, xgt);
	addr = map(xgt, &self->grant);
	ASSERT_NE(NULL, addr);
	ASSERT_EQ(0, dom_xl("destroy %u", self->id.domid)) WHY();
	ASSERT_TRUE(gm_wait(is_dying(&self->id), DOM_GONE_MS));
	dying = dom_free_pages();

	ASSERT_EQ(0, munmap(addr, half));
	EXPECT_TRUE(gm_wait(dom_state(self->id.domid, &state) && state.nr_pages <= PAGES / 2,
			    DOM_GONE_MS))
		TH_LOG("%lu pages are left", state.nr_pages);
	EXPECT_TRUE(is_dying(&self->id));
	EXPECT_EQ(-1, gm_check(addr + half, SEED, PAGES / 2, PAGES / 2));

	ASSERT_EQ(0, munmap(addr + half, half));
	xengnttab_close(xgt);
	EXPECT_EQ(0, dom_wait_gone(&self->id)) WHY();
	expect_memory_back(_metadata, dying);
}

/* Maps, says so with one byte, and waits to be killed. */
static void hold(struct gm_grant *grant, int ready)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	void *addr = xgt ? map(xgt, grant) : NULL;
	char ok = addr && gm_check(addr, SEED, 0, PAGES) == -1 ? 'y' : 'n';

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(ready, &ok, 1) == 1)
		pause();
	_exit(1);
}

TEST_F_TIMEOUT(e2_mapped, mapper_killed, TEST_S)
{
	unsigned long long dying;
	int ready[2], status;
	char ok = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		hold(&self->grant, ready[1]);
	ASSERT_EQ(1, read(ready[0], &ok, 1));
	EXPECT_EQ('y', ok);
	ASSERT_EQ(0, dom_xl("destroy %u", self->id.domid)) WHY();
	EXPECT_TRUE(gm_wait(is_dying(&self->id), DOM_GONE_MS));
	dying = dom_free_pages();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, dom_wait_gone(&self->id)) WHY();
	expect_memory_back(_metadata, dying);
	close(ready[0]);
	close(ready[1]);
}

TEST_HARNESS_MAIN
