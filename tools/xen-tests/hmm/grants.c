// SPDX-License-Identifier: GPL-2.0-only
/*
 * HMM over memory that another domain has granted (h1_: row H1 of the list of the stock
 * code's defects): a device that mirrors a mapping of /dev/xen/gntdev sees the granter's
 * pages, with the permission that was granted, and loses them with the mapping.
 *
 * The granter is a second domain. Pages that a domain grants to itself hide the defect:
 * what the page table holds is its own frame then. On KERNEL=stock, what is reported in a
 * PV domain is no page at all; the module's use of it panics the kernel, as a driver's
 * would.
 */
#include "../grants/grants.h"
#include "hmm.h"

#define SEED_GUEST	0x44ULL
#define SEED_DEVICE	0x55ULL
#define PAGES		16U
#define SIZE		(PAGES * GM_PAGE_SIZE)

FIXTURE(hmm_grants) {
	struct granter gr;
	struct gm_grant *grant;
	int gntdev;
	int64_t index;
	int fd;
	char *addr;
	struct gm_hmm_entry entries[PAGES + 2];
};

FIXTURE_VARIANT(hmm_grants) {
	bool writable;
};

FIXTURE_VARIANT_ADD(hmm_grants, writable) { .writable = true };
FIXTURE_VARIANT_ADD(hmm_grants, read_only) { .writable = false };

FIXTURE_SETUP(hmm_grants)
{
	if (!getenv("GM_DOMID"))
		SKIP(return, "no granting guest in this lab");
	granter_setup(_metadata, &self->gr);
	self->grant = granter_grant(_metadata, &self->gr, PAGES, variant->writable, SEED_GUEST);
	self->gntdev = gm_gntdev_open();
	ASSERT_LE(0, self->gntdev);
	self->addr = gm_gntdev_map(self->gntdev, self->grant,
				   PROT_READ | (variant->writable ? PROT_WRITE : 0),
				   &self->index);
	ASSERT_NE(MAP_FAILED, self->addr) TH_LOG("map: %s", strerror(errno));
	self->fd = hmm_open(_metadata);
}

FIXTURE_TEARDOWN(hmm_grants)
{
	if (self->addr)
		EXPECT_EQ(0, munmap(self->addr, SIZE));
	close(self->gntdev);
	hmm_close(_metadata, self->fd);
	granter_teardown(_metadata, &self->gr);
}

#define WRITE_FLAG	(variant->writable ? GM_HMM_WRITE : 0)

/* Entries [first, first + n) are pages of their own, those that back the mapping, of order 0. */
#define EXPECT_GRANTED(first, n) do {						\
	for (unsigned int __i = first; __i < (first) + (n); __i++) {		\
		struct gm_hmm_entry *__e = &self->entries[__i];			\
										\
		EXPECT_EQ(GM_HMM_VALID | GM_HMM_SAME | WRITE_FLAG, __e->flags)	\
			TH_LOG("entry %u", __i);				\
		EXPECT_EQ(0, __e->order)					\
			TH_LOG("entry %u", __i);				\
		for (unsigned int __j = first; __j < __i; __j++)		\
			EXPECT_NE(self->entries[__j].pfn, __e->pfn);		\
	}									\
} while (0)

static int take(int fd, const void *start, unsigned int pages, unsigned int how,
		unsigned int request, struct gm_hmm_entry *entries)
{
	return hmm_take_compared(fd, start, pages, how, request, true, entries);
}

TEST_F_TIMEOUT(hmm_grants, h1_snapshot, GM_TEST_S)
{
	ASSERT_EQ(0, take(self->fd, self->addr, PAGES, GM_HMM_ONCE, 0, self->entries));
	EXPECT_GRANTED(0, PAGES);
	gm_note("first page frame: %#llx", (unsigned long long)self->entries[0].pfn);
	ASSERT_EQ(0, take(self->fd, page_at(self->addr, 3), 2, GM_HMM_ONCE, 0,
			      self->entries));
	EXPECT_GRANTED(0, 2);
}

TEST_F_TIMEOUT(hmm_grants, h1_fault, GM_TEST_S)
{
	unsigned int how = hmm_how(self->fd);
	int ret;

	ASSERT_EQ(0, take(self->fd, self->addr, PAGES, how, ASK_READ, self->entries));
	EXPECT_GRANTED(0, PAGES);
	memset(self->entries, 0, sizeof(self->entries));
	ret = take(self->fd, self->addr, PAGES, how, ASK_WRITE, self->entries);
	if (variant->writable) {
		EXPECT_EQ(0, ret);
		EXPECT_GRANTED(0, PAGES);
	} else {
		EXPECT_EQ(-EPERM, ret);
	}
}

TEST_F_TIMEOUT(hmm_grants, h1_device_reads_what_the_granter_wrote, GM_TEST_S)
{
	uint64_t seed = SEED_GUEST, value;

	for (int round = 0; round < 2; round++) {
		for (unsigned int p = 0; p < PAGES; p++) {
			for (unsigned int w = 0; w < GM_PAGE_WORDS; w += 73) {
				value = 0;
				ASSERT_EQ(0, hmm_read(self->fd, (uint64_t *)page_at(self->addr, p) +
						      w, &value));
				EXPECT_EQ(gm_pattern(seed, p, w), value)
					TH_LOG("page %u, word %u", p, w);
			}
		}
		seed = SEED_DEVICE;
		ASSERT_EQ(0, gm_guest_fill(self->gr.g, self->grant, seed));
	}
}

TEST_F_TIMEOUT(hmm_grants, h1_granter_reads_what_the_device_wrote, GM_TEST_S)
{
	if (!variant->writable) {
		EXPECT_EQ(-EPERM, hmm_write(self->fd, self->addr, 1));
		EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_GUEST, 0, PAGES));
		return;
	}
	for (unsigned int p = 0; p < PAGES; p++)
		for (unsigned int w = 0; w < GM_PAGE_WORDS; w++)
			ASSERT_EQ(0, hmm_write(self->fd, (uint64_t *)page_at(self->addr, p) + w,
					       gm_pattern(SEED_DEVICE, p, w)));
	EXPECT_EQ(0, gm_guest_check(self->gr.g, self->grant, SEED_DEVICE, 0, PAGES));
	EXPECT_PATTERN(self->addr, SEED_DEVICE, 0, PAGES);
}

/* Ordinary memory at both ends of the same call */
TEST_F_TIMEOUT(hmm_grants, h1_between_ordinary_pages, GM_TEST_S)
{
	char *area = mmap(NULL, SIZE + 2 * GM_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	void *addr;

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_EQ(0, munmap(self->addr, SIZE));
	addr = mmap(page_at(area, 1), SIZE, PROT_READ | (variant->writable ? PROT_WRITE : 0),
		    MAP_SHARED | MAP_FIXED, self->gntdev, self->index);
	self->addr = addr;
	if (addr == MAP_FAILED) {
		self->addr = NULL;
		SKIP(return, "this driver does not map the same grants again");
	}
	ASSERT_EQ(0, take(self->fd, area, PAGES + 2, hmm_how(self->fd), ASK_READ,
			      self->entries));
	EXPECT_GRANTED(1, PAGES);
	EXPECT_EQ(ASK_WRITE | GM_HMM_SAME, self->entries[0].flags);
	EXPECT_EQ(ASK_WRITE | GM_HMM_SAME, self->entries[PAGES + 1].flags);
}

TEST_F_TIMEOUT(hmm_grants, h1_munmap_collides, GM_TEST_S)
{
	ASSERT_EQ(0, take(self->fd, self->addr, PAGES, GM_HMM_LOOP, 0, self->entries));
	EXPECT_EQ(0, hmm_ioctl(self->fd, GM_HMM_STALE, NULL));
	UNMAP_ALL();
	EXPECT_EQ(1, hmm_ioctl(self->fd, GM_HMM_STALE, NULL));
	EXPECT_IN_USE(&self->gr, 0);
}

TEST_F_TIMEOUT(hmm_grants, h1_unmapped_part_is_gone, GM_TEST_S)
{
	char *addr = self->addr;

	ASSERT_EQ(0, take(self->fd, addr, PAGES, GM_HMM_LOOP, 0, self->entries));
	ASSERT_EQ(0, munmap(page_at(addr, 4), 4 * GM_PAGE_SIZE));
	EXPECT_EQ(1, hmm_ioctl(self->fd, GM_HMM_STALE, NULL));
	EXPECT_EQ(0, take(self->fd, addr, PAGES, GM_HMM_LOOP, 0, self->entries));
	EXPECT_GRANTED(0, 4);
	for (unsigned int i = 4; i < 8; i++)
		EXPECT_EQ(GM_HMM_ERROR, self->entries[i].flags);
	EXPECT_GRANTED(8, 8);
	EXPECT_EQ(-EFAULT, take(self->fd, addr, PAGES, hmm_how(self->fd), ASK_READ,
				    self->entries));
	/* What is left goes in the teardown. */
}

/* The mapping outlives the file that made it, and so does what the device has. */
TEST_F_TIMEOUT(hmm_grants, h1_file_is_closed, GM_TEST_S)
{
	uint64_t value = 0;

	ASSERT_EQ(0, close(self->gntdev));
	self->gntdev = -1;
	EXPECT_EQ(0, take(self->fd, self->addr, PAGES, GM_HMM_LOOP, 0, self->entries));
	EXPECT_GRANTED(0, PAGES);
	EXPECT_EQ(0, hmm_read(self->fd, self->addr, &value));
	EXPECT_EQ(gm_pattern(SEED_GUEST, 0, 0), value);
	UNMAP_ALL();
	EXPECT_EQ(1, hmm_ioctl(self->fd, GM_HMM_STALE, NULL));
	EXPECT_IN_USE(&self->gr, 0);
}

/* They are not this domain's to move. */
TEST_F_TIMEOUT(hmm_grants, h1_migration_is_refused, GM_TEST_S)
{
	struct gm_hmm_migrate arg = { .start = (uintptr_t)self->addr, .pages = PAGES };
	uint64_t value = 0;

	EXPECT_EQ(-EINVAL, hmm_ioctl(self->fd, GM_HMM_MIGRATE, &arg));
	EXPECT_PATTERN(self->addr, SEED_GUEST, 0, PAGES);
	EXPECT_EQ(0, take(self->fd, self->addr, PAGES, GM_HMM_LOOP, 0, self->entries));
	EXPECT_GRANTED(0, PAGES);
	EXPECT_EQ(0, hmm_read(self->fd, self->addr, &value));
	EXPECT_EQ(gm_pattern(SEED_GUEST, 0, 0), value);
	EXPECT_IN_USE(&self->gr, PAGES);
}

TEST_HARNESS_MAIN
