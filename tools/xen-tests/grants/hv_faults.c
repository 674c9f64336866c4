// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every answer that Xen has, for every operation of a batch: the first, the last, and those
 * between. The driver must say what it was told, undo what the others have become, and go on.
 * Answers are injected where the driver calls Xen (drivers/xen/gntdev/hv.c).
 */
#include "observe.h"

#define PRINTK		"/proc/sys/kernel/printk"
#define SEED		0xabULL
#define PAGES		8U
#define SIZE		(PAGES * GM_PAGE_SIZE)

FIXTURE(hv_faults) {
	struct granter gr;
	struct gm_grant *grant;
	struct gntdev_now base;
	char printk[64];	/* as it was, if the test has changed it */
	bool refused;		/* an unmap has been: the kernel says so */
	int fd, kmsg, maptrack;
};

#define ASSERT_FAULT_AT(name, status, position)				\
	ASSERT_TRUE(gntdev_fault_at(name, status, 1, position))		\
		TH_LOG("no fault injection at single operations")

#define EXPECT_WORKS() do {						\
	int64_t __index;						\
	void *__addr = gm_gntdev_map(self->fd, self->grant,		\
				     PROT_READ | PROT_WRITE, &__index);	\
									\
	ASSERT_NE(MAP_FAILED, __addr) TH_LOG("%s", strerror(errno));	\
	EXPECT_PATTERN(__addr, SEED, 0, PAGES);				\
	EXPECT_EQ(0, munmap(__addr, SIZE));				\
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, __index, PAGES));	\
} while (0)

FIXTURE_SETUP(hv_faults)
{
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, true, SEED);
	self->fd = gm_gntdev_open();
	ASSERT_LE(0, self->fd);
	self->kmsg = gm_kmsg_open();
	ASSERT_LE(0, self->kmsg);
	debugfs_mount();
	EXPECT_WORKS();
	self->maptrack = gm_maptrack_frames(gm_self_domid());
	self->base = gntdev_now();
}

FIXTURE_TEARDOWN(hv_faults)
{
	char line[2048];

	gntdev_no_fault();
	if (self->printk[0])
		EXPECT_EQ(0, gm_write_file(PRINTK, self->printk));
	close(self->fd);
	EXPECT_NOW(&self->base);
	/* 256 handles a frame; another vCPU may have taken its first one. */
	EXPECT_GE(self->maptrack + 1, gm_maptrack_frames(gm_self_domid()));
	while (gm_kmsg_complaint(self->kmsg, line, sizeof(line))) {
		EXPECT_TRUE(self->refused && strstr(line, " not unmapped: "))
			TH_LOG("%s", line);
	}
	close(self->kmsg);
	granter_teardown(_metadata, &self->gr);
}

TEST_F_TIMEOUT(hv_faults, g14_each_status_of_each_map, GM_LONG_TEST_S)
{
	for (size_t i = 0; i < STATUSES; i++) {
		/* In PV the first access waits for the guest: observe, g09. */
		if (statuses[i].status == GNTST_eagain && gm_self_is_pv())
			continue;
		for (unsigned int at = 0; at < PAGES; at++) {
			ASSERT_FAULT_AT("fail_map", statuses[i].status, at);
			ASSERT_EQ(MAP_FAILED, gm_gntdev_map(self->fd, self->grant,
							    PROT_READ | PROT_WRITE, NULL))
				TH_LOG("status %d of page %u", statuses[i].status, at);
			EXPECT_EQ(statuses[i].err, errno)
				TH_LOG("status %d of page %u: %s", statuses[i].status, at,
				       strerror(errno));
			gntdev_no_fault();
			EXPECT_IN_USE(&self->gr, 0);
		}
		EXPECT_NOW(&self->base);
		EXPECT_WORKS();
	}
}

/* PV: the page that the guest has to page in first is there at the first access. */
TEST_F_TIMEOUT(hv_faults, g09_each_page_may_come_later, GM_TEST_S)
{
	void *addr;

	if (!gm_self_is_pv())
		SKIP(return, "the ioctl waits, in the kernel's grant table code");
	for (unsigned int at = 0; at < PAGES; at++) {
		ASSERT_FAULT_AT("fail_map", GNTST_eagain, at);
		addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, NULL);
		gntdev_no_fault();
		ASSERT_NE(MAP_FAILED, addr) TH_LOG("page %u: %s", at, strerror(errno));
		EXPECT_IN_USE(&self->gr, PAGES - 1);
		EXPECT_PATTERN(addr, SEED, 0, PAGES);
		EXPECT_IN_USE(&self->gr, PAGES);
		EXPECT_EQ(0, munmap(addr, SIZE));
		EXPECT_IN_USE(&self->gr, 0);
	}
}

/* MAP_REFS with GNTDEV_MAP_PARTIAL: the one is a hole, and its status is told. */
TEST_F_TIMEOUT(hv_faults, g10_each_page_may_be_the_hole, GM_TEST_S)
{
	struct ioctl_gntdev_grant_ref refs[PAGES];
	struct gntdev_ref_status status[PAGES];
	struct gntdev_map_refs op;

	for (unsigned int i = 0; i < PAGES; i++)
		refs[i] = (struct ioctl_gntdev_grant_ref){ self->grant->domid,
							   self->grant->refs[i] };
	for (unsigned int at = 0; at < PAGES; at++) {
		op = (struct gntdev_map_refs){
			.size = sizeof(op),
			.flags = GNTDEV_MAP_PARTIAL,
			.count = PAGES,
			.refs = (uintptr_t)refs,
			.status = (uintptr_t)status,
		};
		ASSERT_FAULT_AT("fail_map", GNTST_bad_gntref, at);
		ASSERT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_MAP_REFS, &op))
			TH_LOG("%s", strerror(errno));
		gntdev_no_fault();
		EXPECT_EQ(PAGES - 1, op.mapped);
		for (unsigned int i = 0; i < PAGES; i++) {
			EXPECT_EQ(i == at ? GNTST_bad_gntref : GNTST_okay, status[i].status)
				TH_LOG("page %u, the hole is %u", i, at);
		}
		EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, op.index, PAGES));
		EXPECT_IN_USE(&self->gr, 0);
	}
}

/* "Try again" is obeyed, and has no status in the end. */
TEST_F_TIMEOUT(hv_faults, g14_each_status_of_each_copy, GM_TEST_S)
{
	uint64_t local[PAGES][8] __attribute__((aligned(64)));
	struct ioctl_gntdev_grant_copy_segment segs[PAGES];
	struct ioctl_gntdev_grant_copy copy = { .count = PAGES, .segments = segs };

	for (size_t i = 0; i < STATUSES * PAGES; i++) {
		int status = statuses[i / PAGES].status;
		unsigned int at = i % PAGES;

		memset(local, 0, sizeof(local));
		for (unsigned int s = 0; s < PAGES; s++) {
			segs[s] = (struct ioctl_gntdev_grant_copy_segment){
				.flags = GNTCOPY_source_gref,
				.len = 64,
				.source.foreign.ref = self->grant->refs[s],
				.source.foreign.domid = self->grant->domid,
				.dest.virt = local[s],
			};
		}
		ASSERT_FAULT_AT("fail_copy", status, at);
		EXPECT_EQ(0, ioctl(self->fd, IOCTL_GNTDEV_GRANT_COPY, &copy));
		gntdev_no_fault();
		for (unsigned int s = 0; s < PAGES; s++) {
			bool hit = s == at && status != GNTST_eagain;

			EXPECT_EQ(hit ? status : GNTST_okay, segs[s].status)
				TH_LOG("status %d at %u: segment %u", status, at, s);
			EXPECT_EQ(hit ? 0 : gm_pattern(SEED, s, 7), local[s][7]);
		}
	}
}

/*
 * The unmap of page @at is answered with @status, though Xen has done it. The page is lost to
 * this domain, its neighbours are not, and the guest has all of them back. A status that Xen
 * does not have (1) is no answer: on the kernel side the driver tries again, and is refused.
 */
static void lose_page(struct __test_metadata *_metadata, FIXTURE_DATA(hv_faults) *self,
		      int status, unsigned int at)
{
	int64_t index;
	void *addr;

	addr = gm_gntdev_map(self->fd, self->grant, PROT_READ | PROT_WRITE, &index);
	ASSERT_NE(MAP_FAILED, addr);
	self->refused = true;
	ASSERT_FAULT_AT("fail_unmap", status, at);
	EXPECT_EQ(0, munmap(addr, SIZE));
	gntdev_no_fault();
	EXPECT_IN_USE(&self->gr, 0);
	self->base.value[4]++;
	ASSERT_TRUE(gm_wait(stat_of("leaked") == self->base.value[4], LATER_MS))
		TH_LOG("status %d of page %u: %ld leaked", status, at, stat_of("leaked"));
	/* The map has lost page @at, and that one only. */
	if (at) {
		addr = gm_gntdev_mmap(self->fd, index, at, PROT_READ);
		ASSERT_NE(MAP_FAILED, addr) TH_LOG("%s", strerror(errno));
		EXPECT_PATTERN(addr, SEED, 0, at);
		EXPECT_EQ(0, munmap(addr, at * GM_PAGE_SIZE));
	}
	EXPECT_EQ(MAP_FAILED, gm_gntdev_mmap(self->fd, index, at + 1, PROT_READ));
	EXPECT_EQ(EIO, errno) TH_LOG("status %d of page %u: %s", status, at, strerror(errno));
	EXPECT_EQ(0, gm_gntdev_unmap_ref(self->fd, index, PAGES));
	EXPECT_NOW(&self->base);
	EXPECT_WORKS();
}

TEST_F_TIMEOUT(hv_faults, g14_each_page_may_be_refused_its_unmap, GM_TEST_S)
{
	for (unsigned int at = 0; at < PAGES; at++)
		lose_page(_metadata, self, REFUSED, at);
}

/*
 * Any status but okay, at both ends and between. Real ones would fail the run if they came
 * to the console, and have to: here they go to the kernel's log alone, which is read.
 */
TEST_F_TIMEOUT(hv_faults, g14_each_status_of_an_unmap, GM_LONG_TEST_S)
{
	static const unsigned int where[] = { 0, 1, PAGES / 2, PAGES - 1 };

	ASSERT_LT(0, gm_read_file(PRINTK, self->printk, sizeof(self->printk)));
	ASSERT_EQ(0, gm_write_file(PRINTK, "1"));
	for (size_t i = 0; i < STATUSES; i++)
		for (size_t w = 0; w < sizeof(where) / sizeof(where[0]); w++)
			lose_page(_metadata, self, statuses[i].status, where[w]);
}

TEST_HARNESS_MAIN
