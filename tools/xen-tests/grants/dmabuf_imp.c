// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs granted to another domain (G15): memory of this process, which udmabuf makes a
 * dma-buf of.
 *
 * In a PV domain they are granted to this domain itself, which maps them by the grant device
 * as another domain would; elsewhere that is not possible, and what Xen says of this domain's
 * grant table has to do.
 */
#include <linux/udmabuf.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "grants.h"
#include "dmabuf.h"

/* Long enough for a driver that polls to have polled. */
#define STAYS_MS	600

FIXTURE(import) {
	int self;
	int gntdev;
	int memfd;
	void *memory;
	int fd; /* of the dma-buf */
	uint32_t refs[PAGES];
	int granted; /* before the test */
};

FIXTURE_SETUP(import)
{
	struct udmabuf_create op = { .size = SIZE };
	int udmabuf;

	self->self = gm_self_domid();
	ASSERT_LE(0, self->self);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	self->memfd = memfd_create("dmabuf", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_LE(0, self->memfd) TH_LOG("memfd: %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(self->memfd, SIZE));
	ASSERT_EQ(0, fcntl(self->memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	self->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->memfd, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
	gm_fill(self->memory, SEED, 0, PAGES);

	udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, udmabuf) TH_LOG("/dev/udmabuf: %s", strerror(errno));
	op.memfd = self->memfd;
	self->fd = ioctl(udmabuf, UDMABUF_CREATE, &op);
	ASSERT_LE(0, self->fd) TH_LOG("udmabuf: %s", strerror(errno));
	close(udmabuf);
	self->granted = gm_grants_granted(self->self);
	ASSERT_LE(0, self->granted);
}

FIXTURE_TEARDOWN(import)
{
	close(self->gntdev);
	close(self->fd);
	munmap(self->memory, SIZE);
	close(self->memfd);
	EXPECT_TRUE(gm_wait(gm_grants_granted(self->self) == self->granted, LATER_MS))
		TH_LOG("grants left: %d", gm_grants_granted(self->self) - self->granted);
}

#define EXPECT_GRANTED(n)							\
	EXPECT_TRUE(gm_wait(gm_grants_granted(self->self) == self->granted + (int)(n), \
			    AT_ONCE_MS))					\
		TH_LOG("granted: %d, not %d",					\
		       gm_grants_granted(self->self) - self->granted, (int)(n))

#define ASSERT_IMPORTED()							\
	ASSERT_EQ(0, dmabuf_import(self->gntdev, self->fd, PAGES, self->self, self->refs))

#define NEED_PV()								\
	if (!gm_self_is_pv())							\
		SKIP(return, "a translated domain cannot map its own grants")

static void *map_refs(int gntdev, int domid, uint32_t *refs)
{
	struct gm_grant grant = { .domid = domid, .count = PAGES, .refs = refs };

	return gm_gntdev_map(gntdev, &grant, PROT_READ | PROT_WRITE, NULL);
}

TEST_F_TIMEOUT(import, g15_grants_come_and_go, GM_TEST_S)
{
	for (int i = 0; i < 4; i++) {
		ASSERT_IMPORTED();
		EXPECT_GRANTED(PAGES);
		EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->fd));
		EXPECT_GRANTED(0);
		EXPECT_EQ(-ENOENT, dmabuf_import_release(self->gntdev, self->fd));
	}
	/* Closing the file is as good. */
	ASSERT_IMPORTED();
	EXPECT_GRANTED(PAGES);
	close(self->gntdev);
	self->gntdev = -1;
	EXPECT_GRANTED(0);
}

TEST_F_TIMEOUT(import, g15_other_side_sees_the_memory, GM_TEST_S)
{
	int other = gm_gntdev_open();
	void *addr;

	NEED_PV();
	ASSERT_IMPORTED();
	addr = map_refs(other, self->self, self->refs);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	gm_fill(addr, SEED2, 0, PAGES);
	EXPECT_PATTERN(self->memory, SEED2, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
	close(other);
	EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->fd));
	EXPECT_GRANTED(0);
}

/* Who has them mapped keeps the memory, whatever its owner does, and nothing else. */
TEST_F_TIMEOUT(import, g15_other_side_does_not_let_go, GM_TEST_S)
{
	int other = gm_gntdev_open();
	void *addr, *fresh;

	NEED_PV();
	ASSERT_IMPORTED();
	addr = map_refs(other, self->self, self->refs);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_EQ(0, munmap(page_at(addr, 4), SIZE - 4 * GM_PAGE_SIZE));
	EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->fd));
	EXPECT_EQ(-ENOENT, dmabuf_import_release(self->gntdev, self->fd));
	EXPECT_GRANTED(4);

	/* Its owner forgets it, and uses a lot of other memory. */
	close(self->gntdev);
	close(self->fd);
	close(self->memfd);
	munmap(self->memory, SIZE);
	self->gntdev = -1;
	self->fd = -1;
	self->memfd = -1;
	fresh = mmap(NULL, 64 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, fresh);
	memset(fresh, 0xee, 64 * SIZE);
	gm_sleep_ms(STAYS_MS);
	EXPECT_PATTERN(addr, SEED, 0, 4);
	EXPECT_GRANTED(4);

	munmap(fresh, 64 * SIZE);
	EXPECT_EQ(0, munmap(addr, 4 * GM_PAGE_SIZE));
	close(other);
	self->memory = NULL;
	EXPECT_TRUE(gm_wait(gm_grants_granted(self->self) == self->granted, LATER_MS));
}

TEST_F_TIMEOUT(import, g15_what_is_refused, GM_TEST_S)
{
	struct ioctl_gntdev_dmabuf_imp_release release = { .fd = self->fd, .reserved = 1 };
	struct ioctl_gntdev_dmabuf_imp_to_refs op = {
		.fd = self->fd,
		.count = 1,
		.reserved = 1,
	};

	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->fd, 0, self->self, self->refs));
	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->fd, PAGES - 1, self->self,
					 self->refs));
	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->fd, PAGES, 0x7ff0, self->refs));
	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->gntdev, PAGES, self->self,
					 self->refs));
	EXPECT_EQ(-EBADF, dmabuf_import(self->gntdev, 1000, PAGES, self->self, self->refs));
	EXPECT_EQ(-1, ioctl(self->gntdev, IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, &op));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->gntdev, IOCTL_GNTDEV_DMABUF_IMP_RELEASE, &release));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_GRANTED(0);
	ASSERT_IMPORTED();
	EXPECT_GRANTED(PAGES);
}

/* Memory of another domain is not ours to grant. */
TEST_F_TIMEOUT(import, g15_a_dmabuf_of_grants_is_refused, GM_TEST_S)
{
	struct granter gr = {};
	struct gm_grant *grant;
	int fd;

	granter_setup(_metadata, &gr);
	grant = granter_grant(_metadata, &gr, PAGES, true, SEED);
	fd = dmabuf_export(self->gntdev, grant, PAGES, 0);
	EXPECT_LE(0, fd);
	EXPECT_EQ(-EOPNOTSUPP, dmabuf_import(self->gntdev, fd, PAGES, self->self, self->refs));
	EXPECT_GRANTED(0);
	close(fd);
	EXPECT_IN_USE(&gr, 0);
	granter_teardown(_metadata, &gr);
}

TEST_HARNESS_MAIN
