// SPDX-License-Identifier: GPL-2.0-only
/*
 * The grant device as an external module (KERNEL=debian): it is loaded instead of the kernel's
 * own, which is there again when it has been removed, as the package for DKMS does it.
 *
 * A module can be exchanged only while nobody has the device open, and xenstored and xenconsoled
 * always have. So they are ended here, for good: the suite is the last one of its machine. What
 * maps grants then needs no guest, dom0 grants to itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include <xengnttab.h>

#include "gm_test.h"

#define PAGES	16U
#define SEED	0xdeb1ULL

/* Where this runs; xenstore, which would say so, has gone. */
#define DOM0	0

/* How long a daemon takes to end, and to let the device go. */
#define SOON_MS	10000

FIXTURE(module) {
	char external[256]; /* file of the external module */
	char aside[256]; /* where it is while it is not installed */
};

static bool driver_removed(void)
{
	return access("/sys/module/xen_gntdev", F_OK) ||
	       !gm_run(NULL, 0, GM_TIMEOUT_MS, "/sbin/rmmod xen-gntdev");
}

/*
 * The driver that depmod prefers now, freshly loaded. By their paths: busybox's shell has
 * commands of these names of its own, and its depmod knows no "updates".
 */
static int driver_reload(void)
{
	if (!gm_wait(driver_removed(), SOON_MS)) {
		gm_note("xen-gntdev cannot be removed: somebody has it open");
		return -EBUSY;
	}
	return gm_sh("/sbin/depmod && /sbin/modprobe xen-gntdev");
}

/* Ours has this ioctl, stock has not. A negative errno if there is no device. */
static int driver_is_ours(void)
{
	struct gntdev_query query = { .size = sizeof(query) };
	int fd = gm_gntdev_open(), ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, IOCTL_GNTDEV_QUERY, &query) ? -errno : 1;
	close(fd);
	return ret == -ENOTTY ? 0 : ret;
}

/* What the loaded one was built from, as its file says it. */
static bool loaded_is(const char *file)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "tr '\\0' '\\n' <%s | sed -n 's/^srcversion=//p' | cmp -s - /sys/module/xen_gntdev/srcversion",
		 file);
	return !gm_run(NULL, 0, GM_TIMEOUT_MS, command);
}

/* Pages of dom0 granted to itself, mapped, and what is written on one side is read on the other. */
static void expect_mapping_works(struct __test_metadata *_metadata)
{
	xengntshr_handle *xgs = xengntshr_open(NULL, 0);
	struct gm_grant grant = { .domid = DOM0, .count = PAGES };
	uint32_t refs[PAGES];
	void *shared, *mapped;
	int64_t index;
	int fd;

	ASSERT_NE(NULL, xgs);
	shared = xengntshr_share_pages(xgs, grant.domid, PAGES, refs, 1);
	ASSERT_NE(NULL, shared);
	grant.refs = refs;
	fd = gm_gntdev_open();
	ASSERT_LE(0, fd);

	gm_fill(shared, SEED, 0, PAGES);
	mapped = gm_gntdev_map(fd, &grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, mapped)
		TH_LOG("grants cannot be mapped: %s", strerror(errno));
	EXPECT_EQ(-1, gm_check(mapped, SEED, 0, PAGES));
	gm_fill(mapped, SEED + 1, 0, PAGES);
	EXPECT_EQ(-1, gm_check(shared, SEED + 1, 0, PAGES));
	EXPECT_EQ(0, munmap(mapped, PAGES * GM_PAGE_SIZE));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(fd, index, PAGES));
	close(fd);

	EXPECT_EQ(0, xengntshr_unshare(xgs, shared, PAGES));
	xengntshr_close(xgs);
}

FIXTURE_SETUP(module)
{
	struct utsname uts;

	uname(&uts);
	snprintf(self->external, sizeof(self->external),
		 "/lib/modules/%s/updates/dkms/xen-gntdev.ko", uts.release);
	/* Not /tmp, which is another file system. */
	snprintf(self->aside, sizeof(self->aside), "/root/xen-gntdev.ko");
	if (access(self->external, F_OK))
		SKIP(return, "the driver of this kernel is no external module: KERNEL=debian");
	gm_run(NULL, 0, GM_TIMEOUT_MS, "kill $(cat /run/xen/xenconsoled.pid /run/xen/xenstored.pid)");
	ASSERT_EQ(0, driver_reload());
}

FIXTURE_TEARDOWN(module)
{
	if (!access(self->aside, F_OK)) {
		EXPECT_EQ(0, rename(self->aside, self->external));
		driver_reload();
	}
}

TEST_F_TIMEOUT(module, is_loaded_instead_of_the_stock_one, GM_TEST_S)
{
	EXPECT_TRUE(loaded_is(self->external));
	EXPECT_EQ(1, driver_is_ours());
	expect_mapping_works(_metadata);
}

TEST_F_TIMEOUT(module, removed_gives_the_stock_one_back, GM_TEST_S)
{
	ASSERT_EQ(0, rename(self->external, self->aside));
	ASSERT_EQ(0, driver_reload());
	EXPECT_FALSE(loaded_is(self->aside));
	EXPECT_EQ(0, driver_is_ours());
	expect_mapping_works(_metadata);
}

TEST_F_TIMEOUT(module, installed_again_after_the_stock_one, GM_TEST_S)
{
	ASSERT_EQ(0, rename(self->external, self->aside));
	ASSERT_EQ(0, driver_reload());
	ASSERT_EQ(0, driver_is_ours());
	ASSERT_EQ(0, rename(self->aside, self->external));
	ASSERT_EQ(0, driver_reload());
	EXPECT_TRUE(loaded_is(self->external));
	EXPECT_EQ(1, driver_is_ours());
	expect_mapping_works(_metadata);
}

TEST_F_TIMEOUT(module, goes_while_nothing_is_mapped_and_comes_back, GM_TEST_S)
{
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, driver_reload());
		expect_mapping_works(_metadata);
	}
	EXPECT_EQ(1, driver_is_ours());
}

TEST_HARNESS_MAIN
