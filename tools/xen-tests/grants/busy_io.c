// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that somebody else uses when their mapping goes, by other ways than a pipe
 * (busy.c): a direct write to a device that takes its time, a pin that a driver holds
 * for long, buffers that io_uring has registered. munmap() must not wait for any.
 */
#include <linux/io_uring.h>
#include <sys/syscall.h>

#include "grants.h"
#include "slow_disk.h"

#define SEED		0x10ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

#define BUSY		5U		/* the page that is used */
#define STAYS_MS	600

/* What the kernel's gup_test takes: its PIN_LONGTERM_TEST_START and _STOP. */
struct pin_request {
	uint64_t addr;
	uint64_t size;
	uint32_t flags;
};

#define PIN_START	_IOW('g', 7, struct pin_request)
#define PIN_STOP	_IO('g', 8)
#define PIN_WRITE	1

FIXTURE(busy_io) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	void *addr;
	struct slow_disk disk;
};

FIXTURE_SETUP(busy_io)
{
	self->disk = NO_SLOW_DISK;
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->addr = gm_gntdev_map(self->fd, self->grant,
				   PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
}

FIXTURE_TEARDOWN(busy_io)
{
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	EXPECT_EQ(0, slow_disk_remove(&self->disk));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	close(self->fd);
	granter_teardown(_metadata, &self->gr);
}

/* munmap() of all of it; how long it took, in seconds. */
static double timed_munmap(META, void *addr)
{
	double start = gm_now();

	EXPECT_EQ(0, munmap(addr, SIZE));
	return gm_now() - start;
}

#define UNMAP_ALL_TIMED() ({						\
	double __took = timed_munmap(_metadata, self->addr);		\
									\
	self->addr = NULL;						\
	gm_note("munmap took %.3f ms", __took * 1000);			\
	__took;								\
})

/* ---- a driver's pin ---- */

TEST_F_TIMEOUT(busy_io, g02_pinned_page_waits_for_itself_alone, GM_TEST_S)
{
	struct pin_request req = {
		.addr = (uintptr_t)page_at(self->addr, BUSY),
		.size = GM_PAGE_SIZE,
		.flags = PIN_WRITE,
	};
	int pin = open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC);

	if (pin < 0)
		SKIP(return, "no gup_test: %s", strerror(errno));
	ASSERT_EQ(0, ioctl(pin, PIN_START, &req)) TH_LOG("%s", strerror(errno));
	UNMAP_ALL_TIMED();
	EXPECT_IN_USE(&self->gr, 1);
	gm_sleep_ms(STAYS_MS);
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_EQ(0, ioctl(pin, PIN_STOP));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	close(pin);
}

/* ---- io_uring ---- */

TEST_F_TIMEOUT(busy_io, g02_registered_buffer_waits_for_itself_alone, GM_TEST_S)
{
	struct iovec buf = {
		.iov_base = page_at(self->addr, BUSY),
		.iov_len = 2 * GM_PAGE_SIZE,
	};
	struct io_uring_params params = {};
	int ring = syscall(__NR_io_uring_setup, 1, &params);

	if (ring < 0)
		SKIP(return, "no io_uring: %s", strerror(errno));
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring,
			     IORING_REGISTER_BUFFERS, &buf, 1))
		TH_LOG("%s", strerror(errno));
	UNMAP_ALL_TIMED();
	EXPECT_IN_USE(&self->gr, 2);
	gm_sleep_ms(STAYS_MS);
	EXPECT_IN_USE(&self->gr, 2);
	EXPECT_EQ(0, syscall(__NR_io_uring_register, ring,
			     IORING_UNREGISTER_BUFFERS, NULL, 0));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	close(ring);
}

/* ---- a direct write to it ---- */

#define NEED_SLOW_DISK() do {						\
	int __err = slow_disk_make(&self->disk);			\
									\
	if (__err == -ENODEV)						\
		SKIP(return, "no modules brd, dm-delay here");		\
	ASSERT_EQ(0, __err) TH_LOG("dm: %s", strerror(-__err));		\
} while (0)

TEST_F_TIMEOUT(busy_io, g09_munmap_does_not_wait_for_a_slow_disk, GM_TEST_S)
{
	struct slow_write w;
	double took, start;

	NEED_SLOW_DISK();
	start = gm_now();
	EXPECT_TRUE(slow_write_start(&w, &self->disk, page_at(self->addr, BUSY), 0));

	took = UNMAP_ALL_TIMED();
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_FALSE(slow_write_done(&w))
		TH_LOG("the write ended while munmap ran (%.3f s)", took);
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, slow_write_end(&w));
	gm_note("the write took %.3f s", gm_now() - start);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	EXPECT_TRUE(slow_disk_holds(0, SEED, BUSY));
}

/*
 * Ranges of a map, or maps of a file: each waits for its own I/O, and for no other.
 *
 * On stock, in PV, nothing is given back while the disk writes. When it has written, the page
 * has been freed under it, as the mm has zapped a PTE that it should not have found (G3): seen
 * are dom0's panic, and, after other tests of busy pages, ENOMEM for the write.
 */
#define APART_MS	3000	/* between the two writes, much less than each takes */

/*
 * The first range at @one, of @pages pages, is unmapped with a write from page @busy of it in
 * flight; then the second at @two likewise, @apart_ms later. @page: where the busy page of
 * @two is in its grant.
 */
static void unmap_two_ranges(META, FIXTURE_DATA(busy_io) *self, void *one, void *two,
			     unsigned int pages, unsigned int page)
{
	struct slow_write first, second;
	double start;
	int left;

	EXPECT_TRUE(slow_write_start(&first, &self->disk, page_at(one, BUSY), 0));
	start = gm_now();
	EXPECT_EQ(0, munmap(one, pages * GM_PAGE_SIZE));
	gm_note("munmap of the first took %.3f ms", (gm_now() - start) * 1000);
	EXPECT_IN_USE(&self->gr, 1 + (int)pages);

	gm_sleep_ms(APART_MS);
	EXPECT_TRUE(slow_write_start(&second, &self->disk, page_at(two, BUSY), 1));
	start = gm_now();
	EXPECT_EQ(0, munmap(two, pages * GM_PAGE_SIZE));
	gm_note("munmap of the second took %.3f ms", (gm_now() - start) * 1000);
	EXPECT_IN_USE(&self->gr, 2);
	EXPECT_FALSE(slow_write_done(&first));

	/* The first has its page back while the second still waits. */
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, slow_write_end(&first));
	left = in_use_is(&self->gr, 1, AT_ONCE_MS);
	EXPECT_TRUE(left || slow_write_done(&second));
	gm_note("the first page went %s the second write ended", left ? "before" : "when");

	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, slow_write_end(&second));
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);
	EXPECT_TRUE(slow_disk_holds(0, SEED, BUSY));
	EXPECT_TRUE(slow_disk_holds(1, SEED, page));
}

TEST_F_TIMEOUT(busy_io, g01_two_ranges_with_io_in_flight, GM_TEST_S)
{
	void *addr = self->addr;

	NEED_SLOW_DISK();
	self->addr = NULL;
	unmap_two_ranges(_metadata, self, addr, page_at(addr, PAGES / 2), PAGES / 2,
			 PAGES / 2 + BUSY);
}

TEST_F_TIMEOUT(busy_io, g01_two_maps_with_io_in_flight, GM_TEST_S)
{
	struct gm_grant *grant;
	void *one = self->addr, *two;

	NEED_SLOW_DISK();
	grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	two = gm_gntdev_map(self->fd, grant, PROT_READ | PROT_WRITE, NULL);
	ASSERT_NE(MAP_FAILED, two) TH_LOG("map: %s", strerror(errno));
	self->addr = NULL;
	unmap_two_ranges(_metadata, self, one, two, PAGES, BUSY);
}

TEST_HARNESS_MAIN
