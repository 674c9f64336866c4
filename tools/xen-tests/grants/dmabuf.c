// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs of granted memory: what a device, the kernel and processes see of it, and when it
 * is given back (G15). modules/gnt_importer is the device.
 *
 * The stock driver refuses export in a PV domain (EINVAL); elsewhere it has no mmap() and no
 * vmap().
 */
#include <errno.h>
#include <linux/dma-buf.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "grants.h"
#include "dmabuf.h"

FIXTURE(dmabuf) {
	struct granter gr;
	struct gm_grant *grant;
	int gntdev;
	int importer;
	int fd; /* of the dma-buf; -1: none */
	int number; /* what it was, for EXP_WAIT_RELEASED */
	uint8_t page[GM_PAGE_SIZE];
};

FIXTURE_VARIANT(dmabuf) {
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(dmabuf, plain) { .flags = 0 };
FIXTURE_VARIANT_ADD(dmabuf, coherent) { .flags = GNTDEV_DMA_FLAG_COHERENT };
FIXTURE_VARIANT_ADD(dmabuf, wc) { .flags = GNTDEV_DMA_FLAG_WC };

FIXTURE_SETUP(dmabuf)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	self->fd = -1;
	self->importer = -1;
	SKIP_WITHOUT_DMABUF();
	self->importer = importer_open();
	ASSERT_LE(0, self->importer) TH_LOG("is the module gnt_importer there?");
	self->fd = dmabuf_export(self->gntdev, self->grant, PAGES, variant->flags);
	ASSERT_LE(0, self->fd) TH_LOG("export: %s", strerror(-self->fd));
	self->number = self->fd;
}

FIXTURE_TEARDOWN(dmabuf)
{
	if (self->fd >= 0)
		close(self->fd);
	close(self->importer);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	close(self->gntdev);
	granter_teardown(_metadata, &self->gr);
}

/* The last descriptor of this process. */
#define CLOSE_DMABUF() do {							\
	close(self->fd);							\
	self->fd = -1;								\
} while (0)

#define EXPECT_GONE() do {							\
	int __err = dmabuf_wait(self->gntdev, self->number, GM_TIMEOUT_MS);	\
										\
	/* Gone already is not known any more. */				\
	EXPECT_TRUE(__err == 0 || __err == -ENOENT) TH_LOG("wait: %d", __err);	\
	EXPECT_IN_USE(&self->gr, 0);						\
} while (0)

TEST_F_TIMEOUT(dmabuf, g15_device_sees_the_guests_memory, GM_TEST_S)
{
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_ATTACH, self->fd));
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_MAP, 0));
	EXPECT_EQ((int)PAGES, importer_call(self->importer, GM_IMPORTER_HAS_PAGES, 0));
	for (unsigned int i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, importer_page(self->importer, GM_IMPORTER_SG, i, self->page, false));
		EXPECT_EQ(-1, gm_check(self->page, SEED, i, 1));
		gm_fill(self->page, SEED2, i, 1);
		EXPECT_EQ(0, importer_page(self->importer, GM_IMPORTER_SG, i, self->page, true));
	}
	EXPECT_EQ(0, importer_call(self->importer, GM_IMPORTER_UNMAP, 0));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED2, 0, PAGES));
	EXPECT_EQ(0, importer_call(self->importer, GM_IMPORTER_DETACH, 0));
	CLOSE_DMABUF();
	EXPECT_GONE();
}

TEST_F_TIMEOUT(dmabuf, g15_kernel_sees_it_in_a_row, GM_TEST_S)
{
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_ATTACH, self->fd));
	for (unsigned int i = 0; i < PAGES; i++) {
		ASSERT_EQ(0, importer_page(self->importer, GM_IMPORTER_VMAP, i, self->page,
					   false));
		EXPECT_EQ(-1, gm_check(self->page, SEED, i, 1));
		gm_fill(self->page, SEED2, i, 1);
		EXPECT_EQ(0, importer_page(self->importer, GM_IMPORTER_VMAP, i, self->page,
					   true));
	}
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED2, 0, PAGES));
}

/*
 * The driver keeps some pages for the next map (1024 in map.c), and takes others from the
 * kernel's pool, as many as a dma-buf needs, and some more, to find a row among them. So many
 * maps of a page empty both; then every other one is given back.
 */
#define SCATTERED	2400U
#define SCATTERED_REFS	32U

/* From now on there are no pages in a row, until @fd is closed. 0, or a negative errno. */
static int scatter_pages(int fd, const struct gm_grant *grant, int64_t *maps)
{
	unsigned int i;

	for (i = 0; i < SCATTERED; i++) {
		/* Xen maps a grant 128 times for writing, no more. */
		maps[i] = gm_gntdev_map_ref(fd, grant->domid,
					    &grant->refs[i % grant->count], 1);
		if (maps[i] < 0)
			return maps[i];
	}
	for (i = 0; i < SCATTERED; i += 2) {
		int err = gm_gntdev_unmap_ref(fd, maps[i], 1);

		if (err)
			return err;
	}
	return 0;
}

/*
 * Memory that was asked for DMA is in a row in any case. Other pages may be not, and then a
 * PV domain cannot vmap() them: such a dma-buf has no vmap, and all else works. Elsewhere
 * vmap() makes a row of them.
 */
TEST_F_TIMEOUT(dmabuf, g15_pages_that_are_not_in_a_row, GM_TEST_S)
{
	int64_t *maps = calloc(SCATTERED, sizeof(*maps));
	bool row = variant->flags, can = row || !gm_self_is_pv();
	int other = gm_gntdev_open(), runs;
	struct gm_grant *many;
	void *addr;

	ASSERT_NE(NULL, maps);
	ASSERT_LE(0, other);
	CLOSE_DMABUF();
	EXPECT_GONE();
	many = granter_grant(_metadata, &self->gr, SCATTERED_REFS, true, SEED);
	ASSERT_EQ(0, scatter_pages(other, many, maps));
	self->fd = dmabuf_export(self->gntdev, self->grant, PAGES, variant->flags);
	ASSERT_LE(0, self->fd) TH_LOG("export: %s", strerror(-self->fd));
	self->number = self->fd;

	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_ATTACH, self->fd));
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_MAP, 0));
	runs = importer_call(self->importer, GM_IMPORTER_HAS_RUNS, 0);
	EXPECT_TRUE(row ? runs == 1 : runs > 1);
	gm_note("%u pages in %d runs", PAGES, runs);
	for (unsigned int i = 0; i < PAGES; i++) {
		int ret = importer_page(self->importer, GM_IMPORTER_VMAP, i, self->page, false);

		EXPECT_EQ(can ? 0 : -EINVAL, ret);
		if (can)
			EXPECT_EQ(-1, gm_check(self->page, SEED, i, 1));
		gm_fill(self->page, SEED2, i, 1);
		EXPECT_EQ(0, importer_page(self->importer,
					   can ? GM_IMPORTER_VMAP : GM_IMPORTER_SG, i,
					   self->page, true));
	}
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED2, 0, PAGES));
	addr = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("mmap: %s", strerror(errno));
	EXPECT_PATTERN(addr, SEED2, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, importer_call(self->importer, GM_IMPORTER_DETACH, 0));
	CLOSE_DMABUF();
	close(other);
	EXPECT_GONE();
	free(maps);
}

TEST_F_TIMEOUT(dmabuf, g15_mmap_in_two_processes, GM_TEST_S)
{
	void *addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	void *part;
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, addr) TH_LOG("mmap: %s", strerror(errno));
	EXPECT_EQ(0, dmabuf_sync(self->fd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		/* fork() does not inherit the mapping; the descriptor can be mapped anew. */
		void *mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

		if (mine == MAP_FAILED || gm_check(mine, SEED, 0, PAGES) != -1)
			_exit(1);
		gm_fill(mine, SEED2, 0, PAGES);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_PATTERN(addr, SEED2, 0, PAGES);
	EXPECT_EQ(0, dmabuf_sync(self->fd, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED2, 0, PAGES));

	/* A part, twice in one process. */
	part = mmap(NULL, 2 * GM_PAGE_SIZE, PROT_READ, MAP_SHARED, self->fd, 3 * GM_PAGE_SIZE);
	ASSERT_NE(MAP_FAILED, part);
	EXPECT_PATTERN(part - 3 * GM_PAGE_SIZE, SEED2, 3, 2);
	EXPECT_EQ(0, gm_guest_fill(self->gr.g, self->grant, SEED));
	EXPECT_PATTERN(part - 3 * GM_PAGE_SIZE, SEED, 3, 2);

	/* The mapping keeps the dma-buf. */
	CLOSE_DMABUF();
	EXPECT_EQ(-ETIMEDOUT, dmabuf_wait(self->gntdev, self->number, 50));
	EXPECT_EQ(0, munmap(part, 2 * GM_PAGE_SIZE));
	EXPECT_EQ(0, munmap(addr, SIZE));
	EXPECT_GONE();
}

TEST_F_TIMEOUT(dmabuf, g15_mmap_out_of_range, GM_TEST_S)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE + GM_PAGE_SIZE, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->fd, GM_PAGE_SIZE));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, 0));
	CLOSE_DMABUF();
	EXPECT_GONE();
}

/* A page of a user mapping that is in a pipe: released is only what Xen has let go of. */
TEST_F_TIMEOUT(dmabuf, g15_released_means_the_busy_page_too, GM_TEST_S)
{
	void *addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	int fds[2];

	ASSERT_NE(MAP_FAILED, addr) TH_LOG("mmap: %s", strerror(errno));
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ((ssize_t)GM_PAGE_SIZE, make_busy(fds[1], addr, 5));
	EXPECT_EQ(0, munmap(addr, SIZE));
	CLOSE_DMABUF();
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_EQ(-ETIMEDOUT, dmabuf_wait(self->gntdev, self->number, 300));
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, read(fds[0], self->page, GM_PAGE_SIZE));
	EXPECT_EQ(-1, gm_check(self->page, SEED, 5, 1));
	close(fds[0]);
	close(fds[1]);
	EXPECT_GONE();
}

struct waiter {
	pthread_t thread;
	int gntdev;
	int number;
	int err;
};

static void *waiter_main(void *arg)
{
	struct waiter *w = arg;

	w->err = dmabuf_wait(w->gntdev, w->number, GM_TIMEOUT_MS);
	return NULL;
}

TEST_F_TIMEOUT(dmabuf, g15_all_who_wait_are_told, GM_TEST_S)
{
	struct waiter w[4];

	for (int i = 0; i < 4; i++) {
		w[i].gntdev = self->gntdev;
		w[i].number = self->number;
		w[i].err = 1;
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, waiter_main, &w[i]));
	}
	/* Time for them to be there; one that comes too late sees ENOENT. */
	gm_sleep_ms(300);
	CLOSE_DMABUF();
	for (int i = 0; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		EXPECT_EQ(0, w[i].err);
	}
	EXPECT_EQ(-ENOENT, dmabuf_wait(self->gntdev, self->number, 0));
	EXPECT_IN_USE(&self->gr, 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A wait that fails leaves nothing behind: the next one is told, and nothing stays in use. */
TEST_F_TIMEOUT(dmabuf, g15_wait_times_out_or_is_interrupted, GM_TEST_S)
{
	struct sigaction act = { .sa_handler = on_signal }, old;

	for (int i = 0; i < 3; i++)
		EXPECT_EQ(-ETIMEDOUT, dmabuf_wait(self->gntdev, self->number, i * 20));

	/* The harness's own alarm ends the test: ours comes from a child. */
	sigaction(SIGUSR1, &act, &old);
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			gm_sleep_ms(200);
			kill(getppid(), SIGUSR1);
			_exit(0);
		}
		EXPECT_EQ(-EINTR, dmabuf_wait(self->gntdev, self->number, GM_TIMEOUT_MS));
		waitpid(pid, NULL, 0);
	}
	sigaction(SIGUSR1, &old, NULL);

	EXPECT_EQ(-ETIMEDOUT, dmabuf_wait(self->gntdev, self->number, 10));
	EXPECT_EQ(-ENOENT, dmabuf_wait(self->gntdev, self->gntdev, 10));
	CLOSE_DMABUF();
	EXPECT_GONE();
}

/* The file that exported it is closed while a device has it. */
TEST_F_TIMEOUT(dmabuf, g15_file_is_closed_first, GM_TEST_S)
{
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_ATTACH, self->fd));
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_MAP, 0));
	CLOSE_DMABUF();
	close(self->gntdev);
	self->gntdev = -1;
	EXPECT_EQ(0, importer_page(self->importer, GM_IMPORTER_SG, 2, self->page, false));
	EXPECT_EQ(-1, gm_check(self->page, SEED, 2, 1));
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, importer_call(self->importer, GM_IMPORTER_DETACH, 0));
	EXPECT_IN_USE(&self->gr, 0);
}

/* An importer that holds on to it: the owner's wait ends, the grants stay, until it goes. */
TEST_F_TIMEOUT(dmabuf, g15_importer_never_lets_go, GM_TEST_S)
{
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_ATTACH, self->fd));
	ASSERT_EQ(0, importer_call(self->importer, GM_IMPORTER_MAP, 0));
	CLOSE_DMABUF();
	EXPECT_EQ(-ETIMEDOUT, dmabuf_wait(self->gntdev, self->number, 300));
	EXPECT_IN_USE(&self->gr, PAGES);
	EXPECT_EQ(0, importer_page(self->importer, GM_IMPORTER_VMAP, 1, self->page, false));
	EXPECT_EQ(-1, gm_check(self->page, SEED, 1, 1));
	close(self->importer);
	self->importer = -1;
	EXPECT_GONE();
}

/* Another process is the last that has it, and is killed. */
TEST_F_TIMEOUT(dmabuf, g15_in_another_process_that_is_killed, GM_TEST_S)
{
	int fds[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		void *addr = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

		close(self->gntdev);
		if (addr == MAP_FAILED || gm_check(addr, SEED, 0, PAGES) != -1 ||
		    write(fds[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(pid, child_ready(pid, fds));
	CLOSE_DMABUF();
	EXPECT_EQ(-ETIMEDOUT, dmabuf_wait(self->gntdev, self->number, 50));
	EXPECT_IN_USE(&self->gr, PAGES);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_GONE();
}

FIXTURE(export) {
	struct granter gr;
	struct gm_grant *grant;
	int gntdev;
};

FIXTURE_SETUP(export)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	SKIP_WITHOUT_DMABUF();
}

FIXTURE_TEARDOWN(export)
{
	close(self->gntdev);
	granter_teardown(_metadata, &self->gr);
}

TEST_F_TIMEOUT(export, g15_what_is_refused, GM_TEST_S)
{
	struct ioctl_gntdev_dmabuf_exp_from_refs op = { .count = 1, .domid = 70000 };
	struct gm_grant *ro = granter_grant(_metadata, &self->gr, PAGES, false, SEED);
	uint32_t ref = self->grant->refs[5];
	int fd;

	EXPECT_EQ(-EINVAL, dmabuf_export(self->gntdev, self->grant, 0, 0));
	EXPECT_EQ(-EINVAL, dmabuf_export(self->gntdev, self->grant, PAGES, 4));
	EXPECT_EQ(-EINVAL, dmabuf_export(self->gntdev, self->grant, PAGES, 3));
	EXPECT_EQ(-EINVAL, dmabuf_export(self->gntdev, ro, PAGES, 0));
	EXPECT_EQ(-1, ioctl(self->gntdev, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, &op));
	EXPECT_EQ(EINVAL, errno);
	op.count = 0xffffffff;
	EXPECT_EQ(-1, ioctl(self->gntdev, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, &op));
	EXPECT_EQ(EINVAL, errno);

	self->grant->refs[5] = 0xfffff;
	EXPECT_EQ(-EINVAL, dmabuf_export(self->gntdev, self->grant, PAGES, 0));
	EXPECT_EQ(-EINVAL, dmabuf_export(self->gntdev, self->grant, PAGES,
					 GNTDEV_DMA_FLAG_COHERENT));
	self->grant->refs[5] = ref;
	EXPECT_IN_USE(&self->gr, 0);

	/* The same, with nothing wrong: so it is not refused for another reason. */
	fd = dmabuf_export(self->gntdev, self->grant, PAGES, 0);
	EXPECT_LE(0, fd);
	EXPECT_IN_USE(&self->gr, PAGES);
	close(fd);
	EXPECT_IN_USE(&self->gr, 0);
}

/* Many, that come and go in another order. */
TEST_F_TIMEOUT(export, g15_again_and_again, GM_TEST_S)
{
	int fds[4];

	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 4; i++) {
			fds[i] = dmabuf_export(self->gntdev, self->grant, PAGES,
					       i & 1 ? GNTDEV_DMA_FLAG_COHERENT : 0);
			ASSERT_LE(0, fds[i]);
		}
		EXPECT_IN_USE(&self->gr, PAGES);
		for (int i = 0; i < 4; i++)
			close(fds[i ^ 2]);
		EXPECT_IN_USE(&self->gr, 0);
	}
}

TEST_HARNESS_MAIN
