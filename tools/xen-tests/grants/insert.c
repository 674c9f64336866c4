// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap() of grants while an invalidation of something else in the same process is in flight,
 * and has called a subscription (a GPU's, say) back. The stock notifier core puts the new
 * subscription aside until that has ended: who wrote page table entries meanwhile would not be
 * told of a munmap(), the mm would zap entries that Xen guards, and a PV domain does not survive
 * that.
 *
 * The driver writes entries as a reader only. So with our core mmap() does not wait; on a stock
 * kernel (KERNEL=debian) it waits, in mmu_interval_read_begin(), until the subscription is in.
 *
 * The process is a child, and its parent looks at it from outside: whoever waits in mmap()
 * holds the mmap lock.
 */
#include <poll.h>
#include <sys/wait.h>

#include "../notifier/notifier.h"
#include "grants.h"

#define SEED	0x1453ULL
#define PAGES	8U

FIXTURE(insert) {
	struct granter gr;
	struct gm_grant *grant;
	struct held held;
	int bench;
	int gntdev;
	int64_t index;
	pid_t child;
};

FIXTURE_SETUP(insert)
{
	self->child = -1;
	self->bench = -1;
	if (gm_kernel_is("stock"))
		SKIP(return, "the kernel does not survive it");
	granter_setup(_metadata, &self->gr);
	self->bench = bench_open(_metadata);
	held_map(_metadata, &self->held);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->index = gm_gntdev_map_ref(self->gntdev, self->gr.domid,
					self->grant->refs, PAGES);
	ASSERT_LE(0, self->index);
}

FIXTURE_TEARDOWN(insert)
{
	if (self->bench < 0)
		return;
	held_abandon(&self->held);
	if (self->child > 0)
		kill(self->child, SIGKILL);
	close(self->gntdev);
	bench_remove(self->bench, 0);
	bench_close(_metadata, self->bench);
	granter_teardown(_metadata, &self->gr);
}

/* The child's part, after it has been told to go on. 0, or which step failed. */
static int map_and_unmap(int gntdev, int64_t index)
{
	char *addr = gm_gntdev_mmap(gntdev, index, PAGES, PROT_READ | PROT_WRITE);

	if (addr == MAP_FAILED)
		return 10;
	/* In time for the invalidation that is still in flight, where mmap() has not waited. */
	if (munmap(page_at(addr, 1), GM_PAGE_SIZE))
		return 11;
	if (gm_check(addr, SEED, 0, 1) != -1)
		return 12;
	if (munmap(addr, PAGES * GM_PAGE_SIZE))
		return 13;
	return 0;
}

static int child(struct held *held, int bench, int gntdev, int64_t index, int go, int ready,
		 int done)
{
	char c = 'r';
	int ret;

	/* Its own mm is the one that the bench's subscription is of. */
	if (bench_insert(bench, 0, 0, held->page, GM_PAGE_SIZE))
		return 1;
	if (gm_touch(held->page, true) || write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		return 2;
	ret = map_and_unmap(gntdev, index);
	/* Its exit has to wait: the file's mappings are locked while the invalidation lasts. */
	return write(done, &c, 1) == 1 ? ret : 3;
}

TEST_F_TIMEOUT(insert, takes_effect_while_others_collide, GM_TEST_S)
{
	int go[2], ready[2], done[2], status = -1;
	bool waited;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	self->child = fork();
	if (!self->child)
		_exit(child(&self->held, self->bench, self->gntdev, self->index, go[0], ready[1],
			    done[1]));
	ASSERT_NE(-1, child_ready(self->child, ready));

	held_begin(_metadata, &self->held, self->bench, 0);
	ASSERT_EQ(1, write(go[1], "g", 1));
	waited = !poll(&(struct pollfd){ .fd = done[0], .events = POLLIN }, 1,
		       gm_kernel_is("debian") ? 1000 : SOON_MS);
	if (gm_kernel_is("debian"))
		gm_note("mmap() waited: %s", waited ? "yes" : "no");
	else
		EXPECT_FALSE(waited)
			TH_LOG("mmap() waits for an invalidation of something else");
	held_end(_metadata, &self->held);

	ASSERT_EQ(self->child, waitpid(self->child, &status, 0));
	self->child = -1;
	EXPECT_EQ(0, status)
		TH_LOG("the mapper's status: %#x", status);
	EXPECT_IN_USE(&self->gr, 0);
	close(go[0]);
	close(go[1]);
	close(done[0]);
	close(done[1]);
}

TEST_HARNESS_MAIN
