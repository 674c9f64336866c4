// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that somebody else uses when their mapping goes, by other ways than a pipe
 * (busy.c): a direct write to a device that takes its time, a pin that a driver holds
 * for long, buffers that io_uring has registered. munmap() must not wait for any.
 */
#include <linux/dm-ioctl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "grants.h"

#define SEED		0x10ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

#define BUSY		5U		/* the page that is used */
#define STAYS_MS	600

#define DISK		"/dev/ram0"
#define DM_NAME		"gm-slow"
#define DELAY_MS	10000
#define DISK_SECTORS	1024ULL		/* the part of it that is used */

/* What the kernel's gup_test takes: its PIN_LONGTERM_TEST_START and _STOP. */
struct pin_request {
	uint64_t addr;
	uint64_t size;
	uint32_t flags;
};

#define PIN_START	_IOW('g', 7, struct pin_request)
#define PIN_STOP	_IO('g', 8)
#define PIN_WRITE	1

/* ---- a slow device ---- */

struct dm_request {
	struct dm_ioctl io;
	struct dm_target_spec target;
	char params[128];
};

static int dm_call(int control, unsigned long cmd, struct dm_request *req)
{
	req->io.version[0] = DM_VERSION_MAJOR;
	req->io.data_size = sizeof(*req);
	req->io.data_start = offsetof(struct dm_request, target);
	snprintf(req->io.name, sizeof(req->io.name), DM_NAME);
	return ioctl(control, cmd, req);
}

static int slow_disk_remove(int control)
{
	struct dm_request req = {};
	int ret = dm_call(control, DM_DEV_REMOVE, &req);

	close(control);
	return ret;
}

/* A device on which a write, unlike a read, takes DELAY_MS; its control, or -errno. */
static int slow_disk_make(dev_t *dev)
{
	struct dm_request create = {}, load = {}, resume = {};
	int control, err;

	if (gm_run(NULL, 0, GM_TIMEOUT_MS, "modprobe -a brd dm-mod dm-delay"))
		return -ENODEV;
	/* devtmpfs has made it. */
	control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	load.io.target_count = 1;
	load.target.length = DISK_SECTORS;
	snprintf(load.target.target_type, sizeof(load.target.target_type), "delay");
	snprintf(load.params, sizeof(load.params), DISK " 0 0 " DISK " 0 %d",
		 DELAY_MS);
	if (dm_call(control, DM_DEV_CREATE, &create)) {
		err = errno;
		close(control);
		return -err;
	}
	if (dm_call(control, DM_TABLE_LOAD, &load) ||
	    dm_call(control, DM_DEV_SUSPEND, &resume)) {
		err = errno;
		slow_disk_remove(control);
		return -err;
	}
	*dev = resume.io.dev;
	return control;
}

FIXTURE(busy_io) {
	struct granter gr;
	struct gm_grant *grant;
	int fd;
	void *addr;
	int control;		/* of device mapper, when there is a slow disk */
	int disk;
};

FIXTURE_SETUP(busy_io)
{
	self->control = -1;
	self->disk = -1;
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
	if (self->disk >= 0)
		close(self->disk);
	if (self->control >= 0)
		EXPECT_EQ(0, slow_disk_remove(self->control))
			TH_LOG("%s", strerror(errno));
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

struct slow_write {
	int disk;
	void *page;
	pid_t tid;
	ssize_t ret;
	bool done;
};

static void *slow_write(void *arg)
{
	struct slow_write *w = arg;

	__atomic_store_n(&w->tid, gettid(), __ATOMIC_RELEASE);
	w->ret = pwrite(w->disk, w->page, GM_PAGE_SIZE, 0);
	if (w->ret < 0)
		w->ret = -errno;
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool slow_write_done(struct slow_write *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

/* The writer sleeps and cannot be killed: it waits for the disk. */
static bool in_flight(struct slow_write *w)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
		 __atomic_load_n(&w->tid, __ATOMIC_ACQUIRE));
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'D';
}

TEST_F_TIMEOUT(busy_io, g09_munmap_does_not_wait_for_a_slow_disk, GM_TEST_S)
{
	struct slow_write w = { .page = page_at(self->addr, BUSY) };
	char *back = aligned_alloc(GM_PAGE_SIZE, GM_PAGE_SIZE);
	char node[64];
	pthread_t thread;
	double took, start;
	dev_t dev = 0;
	int disk;

	self->control = slow_disk_make(&dev);
	if (self->control == -ENODEV)
		SKIP(free(back); return, "no modules brd, dm-delay here");
	ASSERT_LE(0, self->control) TH_LOG("dm: %s", strerror(-self->control));
	snprintf(node, sizeof(node), "/dev/dm-%u", minor(dev));
	self->disk = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
	w.disk = self->disk;
	ASSERT_LE(0, w.disk) TH_LOG("%s: %s", node, strerror(errno));
	start = gm_now();
	ASSERT_EQ(0, pthread_create(&thread, NULL, slow_write, &w));
	EXPECT_TRUE(gm_wait(in_flight(&w), LATER_MS));

	took = UNMAP_ALL_TIMED();
	EXPECT_IN_USE(&self->gr, 1);
	EXPECT_FALSE(slow_write_done(&w))
		TH_LOG("the write ended while munmap ran (%.3f s)", took);
	EXPECT_EQ(0, pthread_join(thread, NULL));
	gm_note("the write took %.3f s", gm_now() - start);
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, w.ret);
	EXPECT_IN_USE_SOON(&self->gr, 0, LATER_MS);

	disk = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);
	EXPECT_EQ((ssize_t)GM_PAGE_SIZE, pread(disk, back, GM_PAGE_SIZE, 0));
	EXPECT_EQ(-1, gm_check(back, SEED, BUSY, 1));
	close(disk);
	free(back);
}

TEST_HARNESS_MAIN
