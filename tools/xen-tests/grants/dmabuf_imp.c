// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs granted to another domain (G15): memory of this process, which udmabuf makes a
 * dma-buf of.
 *
 * In a PV domain they are granted to this domain itself, which maps them by the grant device
 * as another domain would: so what is granted is what can be mapped. Elsewhere that is not
 * possible, and what Xen says of this domain's grant table has to do.
 */
#include <linux/udmabuf.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "grants.h"
#include "dmabuf.h"

/* Long enough for a driver that polls to have polled. */
#define STAYS_MS	600

/* More than the allocator keeps at hand: freed pages would be among it. */
#define FRESH		(64 * SIZE)

/* Memory of this process, and the dma-buf of it */
struct dmabuf_source {
	int memfd;
	void *memory;
	int fd;
};

static void source_setup(META, struct dmabuf_source *src)
{
	struct udmabuf_create op = { .size = SIZE };
	int udmabuf;

	src->memfd = memfd_create("dmabuf", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_LE(0, src->memfd) TH_LOG("memfd: %s", strerror(errno));
	ASSERT_EQ(0, ftruncate(src->memfd, SIZE));
	ASSERT_EQ(0, fcntl(src->memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	src->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, src->memfd, 0);
	ASSERT_NE(MAP_FAILED, src->memory);
	gm_fill(src->memory, SEED, 0, PAGES);

	udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, udmabuf) TH_LOG("/dev/udmabuf: %s", strerror(errno));
	op.memfd = src->memfd;
	src->fd = ioctl(udmabuf, UDMABUF_CREATE, &op);
	ASSERT_LE(0, src->fd) TH_LOG("udmabuf: %s", strerror(errno));
	close(udmabuf);
}

static void source_teardown(struct dmabuf_source *src)
{
	if (!src->memory)
		return;
	close(src->fd);
	munmap(src->memory, SIZE);
	close(src->memfd);
	src->memory = NULL;
	src->fd = -1;
}

FIXTURE(import) {
	struct dmabuf_source src;
	int self;
	int gntdev;
	uint32_t refs[PAGES];
	int granted; /* before the test */
};

static void *map_refs(int gntdev, int domid, uint32_t *refs, unsigned int count)
{
	struct gm_grant grant = { .domid = domid, .count = count, .refs = refs };

	return gm_gntdev_map(gntdev, &grant, PROT_READ | PROT_WRITE, NULL);
}

FIXTURE_SETUP(import)
{
	self->self = gm_self_domid();
	ASSERT_LE(0, self->self);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	source_setup(_metadata, &self->src);
	self->granted = gm_grants_given();
	ASSERT_LE(0, self->granted);
	SKIP_WITHOUT_DMABUF();
}

FIXTURE_TEARDOWN(import)
{
	close(self->gntdev);
	source_teardown(&self->src);
	EXPECT_TRUE(gm_wait(gm_grants_given() == self->granted, LATER_MS))
		TH_LOG("grants left: %d", gm_grants_given() - self->granted);
}

#define EXPECT_GRANTED(n)							\
	EXPECT_TRUE(gm_wait(gm_grants_given() == self->granted + (int)(n), \
			    AT_ONCE_MS))					\
		TH_LOG("granted: %d, not %d",					\
		       gm_grants_given() - self->granted, (int)(n))

#define ASSERT_IMPORTED()							\
	ASSERT_EQ(0, dmabuf_import(self->gntdev, self->src.fd, PAGES, self->self, self->refs))

#define NEED_PV()								\
	if (!gm_self_is_pv())							\
		SKIP(return, "a translated domain cannot map its own grants")

TEST_F_TIMEOUT(import, g15_grants_come_and_go, GM_TEST_S)
{
	for (int i = 0; i < 4; i++) {
		ASSERT_IMPORTED();
		EXPECT_GRANTED(PAGES);
		EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->src.fd));
		EXPECT_GRANTED(0);
		EXPECT_EQ(-ENOENT, dmabuf_import_release(self->gntdev, self->src.fd));
	}
	/* Closing the file is as good. */
	ASSERT_IMPORTED();
	EXPECT_GRANTED(PAGES);
	close(self->gntdev);
	self->gntdev = -1;
	EXPECT_GRANTED(0);
}

/* As who has no privilege; 0 if all of it was as it should be. */
static int import_as_nobody(int gntdev, int fd, int domid, uint32_t *refs)
{
	if (setgid(NOBODY) || setuid(NOBODY))
		return 1;
	if (gm_write_file(LIMIT_USER, "1000") != -EACCES)
		return 2;
	if (dmabuf_import(gntdev, fd, PAGES, domid, refs))
		return 3;
	/* One import is all that there is room for. */
	if (dmabuf_import(gntdev, fd, PAGES, domid, refs) != -EDQUOT)
		return 4;
	if (dmabuf_import_release(gntdev, fd))
		return 5;
	if (dmabuf_import(gntdev, fd, PAGES, domid, refs))
		return 6;
	return dmabuf_import_release(gntdev, fd) ? 7 : 0;
}

/* Grant references are for the whole domain: who has no privilege may not take all of them. */
TEST_F_TIMEOUT(import, g15_unprivileged_user_cannot_take_all, GM_TEST_S)
{
	char before[16], limit[16];
	int status;
	pid_t pid;

	ASSERT_LT(0, gm_read_file(LIMIT_USER, before, sizeof(before)))
		TH_LOG("the driver has no such limit");
	snprintf(limit, sizeof(limit), "%u", PAGES + PAGES / 2);
	ASSERT_EQ(0, gm_write_file(LIMIT_USER, limit));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(import_as_nobody(self->gntdev, self->src.fd, self->self, self->refs));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_EQ(0, gm_write_file(LIMIT_USER, before));
	EXPECT_GRANTED(0);
}

TEST_F_TIMEOUT(import, g15_other_side_sees_the_memory, GM_TEST_S)
{
	int other = gm_gntdev_open();
	void *addr;

	NEED_PV();
	ASSERT_IMPORTED();
	addr = map_refs(other, self->self, self->refs, PAGES);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_PATTERN(addr, SEED, 0, PAGES);
	gm_fill(addr, SEED2, 0, PAGES);
	EXPECT_PATTERN(self->src.memory, SEED2, 0, PAGES);
	EXPECT_EQ(0, munmap(addr, SIZE));
	close(other);
	EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->src.fd));
	EXPECT_GRANTED(0);
}

/*
 * Who has them mapped keeps the memory, whatever its owner does, and nothing else. Stock passes:
 * there, the grant table core takes a reference on each page whose grant is still in use. Here
 * the import keeps the dma-buf until the last grant has ended; a driver that let go of it at
 * once has the other side see foreign memory (seen with such a bug planted in import_end()).
 */
TEST_F_TIMEOUT(import, g15_other_side_does_not_let_go, GM_TEST_S)
{
	int other = gm_gntdev_open();
	void *addr, *fresh;

	NEED_PV();
	ASSERT_IMPORTED();
	addr = map_refs(other, self->self, self->refs, PAGES);
	ASSERT_NE(MAP_FAILED, addr) TH_LOG("map: %s", strerror(errno));
	EXPECT_EQ(0, munmap(page_at(addr, 4), SIZE - 4 * GM_PAGE_SIZE));
	EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->src.fd));
	EXPECT_EQ(-ENOENT, dmabuf_import_release(self->gntdev, self->src.fd));
	EXPECT_GRANTED(4);

	/* Its owner forgets it, and uses a lot of other memory. */
	close(self->gntdev);
	self->gntdev = -1;
	source_teardown(&self->src);
	fresh = mmap(NULL, FRESH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, fresh);
	memset(fresh, 0xee, FRESH);
	gm_sleep_ms(STAYS_MS);
	EXPECT_PATTERN(addr, SEED, 0, 4);
	EXPECT_GRANTED(4);

	munmap(fresh, FRESH);
	EXPECT_EQ(0, munmap(addr, 4 * GM_PAGE_SIZE));
	close(other);
	EXPECT_TRUE(gm_wait(gm_grants_given() == self->granted, LATER_MS));
}

TEST_F_TIMEOUT(import, g15_what_is_refused, GM_TEST_S)
{
	struct ioctl_gntdev_dmabuf_imp_release release = { .fd = self->src.fd, .reserved = 1 };
	struct ioctl_gntdev_dmabuf_imp_to_refs op = {
		.fd = self->src.fd,
		.count = 1,
		.reserved = 1,
	};

	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->src.fd, 0, self->self, self->refs));
	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->src.fd, PAGES - 1, self->self,
					 self->refs));
	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->src.fd, PAGES, 0x7ff0, self->refs));
	EXPECT_EQ(-EINVAL, dmabuf_import(self->gntdev, self->gntdev, PAGES, self->self,
					 self->refs));
	EXPECT_EQ(-EBADF, dmabuf_import(self->gntdev, 1000, PAGES, self->self, self->refs));
	EXPECT_EQ(-1, ioctl(self->gntdev, IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, &op));
	EXPECT_EQ(EINVAL, errno);
	/* More than the grant table core can be asked for at a time: to it, 65536 are none. */
	op.reserved = 0;
	op.count = 65536;
	EXPECT_EQ(-1, ioctl(self->gntdev, IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, &op));
	EXPECT_EQ(E2BIG, errno);
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

FIXTURE(second) {
	struct granter gr; /* here it maps */
	struct dmabuf_source src;
	int gntdev;
	int id; /* the guest's name for its mapping */
	uint32_t refs[PAGES];
};

/* The guest's answer to "map", as an id; or a negative number. */
static int guest_map(struct granter *gr, const uint32_t *refs)
{
	char rsp[GM_RSP_MAX], list[PAGES * 11 + 1];
	size_t len = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		len += snprintf(list + len, sizeof(list) - len, " %u", refs[i]);
	if (gm_guest_cmd(gr->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "map %d%s", gm_self_domid(),
			 list))
		return -1;
	return atoi(rsp);
}

static bool guest_cannot_map(struct granter *gr, const uint32_t *refs)
{
	int id = guest_map(gr, refs);
	char rsp[GM_RSP_MAX];

	if (id < 0)
		return true;
	gm_guest_cmd(gr->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "munmap %d", id);
	return false;
}

static int guest_do(struct granter *gr, const char *what, int id, uint64_t seed)
{
	char rsp[GM_RSP_MAX];
	int ret;

	ret = gm_guest_cmd(gr->g, rsp, sizeof(rsp), GM_TIMEOUT_MS, "%s %d %llu", what, id,
			   (unsigned long long)seed);
	if (ret)
		gm_note("guest: %s: %s", what, rsp);
	return ret;
}

FIXTURE_SETUP(second)
{
	granter_setup(_metadata, &self->gr);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	source_setup(_metadata, &self->src);
	self->id = -1;
	SKIP_WITHOUT_DMABUF();
	ASSERT_EQ(0, dmabuf_import(self->gntdev, self->src.fd, PAGES, self->gr.domid, self->refs));
	self->id = guest_map(&self->gr, self->refs);
	ASSERT_LE(0, self->id) TH_LOG("the guest cannot map it");
}

FIXTURE_TEARDOWN(second)
{
	if (self->id >= 0)
		EXPECT_EQ(0, guest_do(&self->gr, "munmap", self->id, 0));
	close(self->gntdev);
	source_teardown(&self->src);
	granter_teardown(_metadata, &self->gr);
}

TEST_F_TIMEOUT(second, g15_another_domain_sees_the_memory, GM_TEST_S)
{
	EXPECT_EQ(0, guest_do(&self->gr, "mcheck", self->id, SEED));
	EXPECT_EQ(0, guest_do(&self->gr, "mfill", self->id, SEED2));
	EXPECT_PATTERN(self->src.memory, SEED2, 0, PAGES);
	gm_fill(self->src.memory, SEED, 0, PAGES);
	EXPECT_EQ(0, guest_do(&self->gr, "mcheck", self->id, SEED));
	EXPECT_EQ(0, guest_do(&self->gr, "munmap", self->id, 0));
	EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->src.fd));
	/* It is over. */
	self->id = guest_map(&self->gr, self->refs);
	EXPECT_GT(0, self->id);
}

/*
 * The owner releases it, forgets it, and uses a lot of other memory, while the other domain
 * has it mapped: that must not come to see any of this. (Of stock and bugs: as above.)
 */
TEST_F_TIMEOUT(second, g15_another_domain_does_not_let_go, GM_TEST_S)
{
	void *fresh;

	EXPECT_EQ(0, dmabuf_import_release(self->gntdev, self->src.fd));
	EXPECT_EQ(-ENOENT, dmabuf_import_release(self->gntdev, self->src.fd));
	close(self->gntdev);
	self->gntdev = -1;
	source_teardown(&self->src);

	fresh = mmap(NULL, FRESH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, fresh);
	memset(fresh, 0xee, FRESH);
	EXPECT_EQ(0, guest_do(&self->gr, "mcheck", self->id, SEED));
	munmap(fresh, FRESH);

	EXPECT_EQ(0, guest_do(&self->gr, "munmap", self->id, 0));
	/* The worker sees it sooner or later. */
	self->id = -1;
	EXPECT_TRUE(gm_wait(guest_cannot_map(&self->gr, self->refs), LATER_MS));
}

TEST_HARNESS_MAIN
