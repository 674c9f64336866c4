// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: hmm_range_fault() over memory that a device has: its private memory, that of
 * another device, pages that a device holds for itself.
 *
 * The device is a range of addresses with nothing behind it, as CPUs must not touch
 * private memory; what its pages hold is in ordinary pages beside it.
 */
#include <linux/highmem.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/rmap.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_test.h"

#define HT_DEVICE_PAGES 8

/* One for all tests: mapping such memory takes long. */
static struct ht_device {
	struct dev_pagemap pgmap;
	bool mapped;
	unsigned int next;
	u64 word[HT_DEVICE_PAGES]; /* the first one of each page */
	atomic_t nr_used;
	unsigned int returned; /* pages that a CPU's fault has brought back */
} ht_device;

static char ht_owner, ht_other_owner;

static u64 *ht_device_word(struct page *page)
{
	return &ht_device.word[page_to_pfn(page) - PHYS_PFN(ht_device.pgmap.range.start)];
}

static void ht_device_page_free(struct page *page)
{
	atomic_dec(&ht_device.nr_used);
}

static void ht_copy(struct page *to, u64 word)
{
	u64 *first = kmap_local_page(to);

	clear_page(first);
	*first = word;
	kunmap_local(first);
}

/* The CPU wants a page back. */
static vm_fault_t ht_device_to_ram(struct vm_fault *vmf)
{
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.start = vmf->address & PAGE_MASK,
		.end = (vmf->address & PAGE_MASK) + PAGE_SIZE,
		.src = &src,
		.dst = &dst,
		.pgmap_owner = &ht_owner,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = vmf->page,
	};
	struct page *page;

	if (migrate_vma_setup(&args))
		return VM_FAULT_SIGBUS;
	if (src & MIGRATE_PFN_MIGRATE) {
		page = alloc_page(GFP_HIGHUSER_MOVABLE);
		if (page) {
			lock_page(page);
			ht_copy(page, *ht_device_word(migrate_pfn_to_page(src)));
			dst = migrate_pfn(page_to_pfn(page));
			ht_device.returned++;
		}
	}
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	return 0;
}

static const struct dev_pagemap_ops ht_device_ops = {
	.page_free = ht_device_page_free,
	.migrate_to_ram = ht_device_to_ram,
};

static int ht_device_suite_init(struct kunit_suite *suite)
{
	struct dev_pagemap *pgmap = &ht_device.pgmap;
	struct resource *res;
	void *ret;

	res = request_free_mem_region(&iomem_resource, SZ_2M, "hmm-test");
	if (IS_ERR(res))
		return PTR_ERR(res);
	pgmap->type = MEMORY_DEVICE_PRIVATE;
	pgmap->range.start = res->start;
	pgmap->range.end = res->end;
	pgmap->nr_range = 1;
	pgmap->ops = &ht_device_ops;
	pgmap->owner = &ht_owner;
	ret = memremap_pages(pgmap, NUMA_NO_NODE);
	if (IS_ERR(ret)) {
		release_mem_region(res->start, resource_size(res));
		return PTR_ERR(ret);
	}
	ht_device.mapped = true;
	return 0;
}

static void ht_device_suite_exit(struct kunit_suite *suite)
{
	if (!ht_device.mapped)
		return;
	memunmap_pages(&ht_device.pgmap);
	release_mem_region(ht_device.pgmap.range.start, range_len(&ht_device.pgmap.range));
	ht_device.mapped = false;
}

static int ht_device_init(struct kunit *test)
{
	ht_device.next = 0;
	ht_device.returned = 0;
	return ht_test_init(test);
}

static void ht_device_exit(struct kunit *test)
{
	ht_test_exit(test);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&ht_device.nr_used), 0,
			    "pages of the device are still used");
}

/* Page @page, which the CPU has written, goes to the device. */
static void ht_to_device(struct ht_ctx *ctx, unsigned long page)
{
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.start = ht_addr(ctx, page),
		.end = ht_addr(ctx, page + 1),
		.src = &src,
		.dst = &dst,
		.pgmap_owner = &ht_owner,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	struct page *to;

	/* Pages that have just been faulted in are in no list that could be migrated from. */
	lru_add_drain_all();
	mmap_read_lock(ctx->mm);
	args.vma = vma_lookup(ctx->mm, args.start);
	KUNIT_EXPECT_EQ(ctx->test, migrate_vma_setup(&args), 0);
	if (src & MIGRATE_PFN_MIGRATE) {
		to = pfn_to_page(PHYS_PFN(ht_device.pgmap.range.start) + ht_device.next++);
		zone_device_page_init(to);
		atomic_inc(&ht_device.nr_used);
		*ht_device_word(to) = ht_tag(ctx, page);
		dst = migrate_pfn(page_to_pfn(to));
		if (src & MIGRATE_PFN_WRITE)
			dst |= MIGRATE_PFN_WRITE;
	}
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	mmap_read_unlock(ctx->mm);
	KUNIT_EXPECT_TRUE(ctx->test, is_device_private_entry(pte_to_swp_entry(ht_pte(ctx, page))));
}

/* Three pages, of which the middle one is the device's */
static void ht_map_device(struct ht_ctx *ctx)
{
	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_fill(ctx, 0, 3);
	ht_to_device(ctx, 1);
}

static void ht_make_read_only(struct ht_ctx *ctx, unsigned long page)
{
	swp_entry_t entry = pte_to_swp_entry(ht_pte(ctx, page));

	ht_set_pte(ctx, page,
		   swp_entry_to_pte(make_readable_device_private_entry(swp_offset(entry))));
}

static unsigned long ht_device_pfn(struct ht_ctx *ctx, unsigned long page)
{
	return swp_offset_pfn(pte_to_swp_entry(ht_pte(ctx, page)));
}

/* A snapshot or a fault in the name of @owner */
static int ht_call_owner(struct ht_ctx *ctx, void *owner, unsigned long flags)
{
	ht_range(ctx, 0, 3);
	ctx->range.default_flags = flags;
	ctx->range.dev_private_owner = owner;
	return ht_call_again(ctx);
}

static void own_memory_is_reported(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long pfn;

	ht_map_device(ctx);
	pfn = ht_device_pfn(ctx, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_owner, 0), 0);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect(ctx, 1, pfn | HMM_PFN_VALID | HMM_PFN_WRITE);
	ht_expect_page(ctx, 2, HMM_PFN_WRITE);
}

static void own_memory_stays_when_asked_for(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long pfn;

	ht_map_device(ctx);
	pfn = ht_device_pfn(ctx, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_owner, HT_RW), 0);
	ht_expect(ctx, 1, pfn | HMM_PFN_VALID | HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ht_device.returned, 0);
}

static void own_read_only_memory_is_reported_so(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long pfn;

	ht_map_device(ctx);
	ht_make_read_only(ctx, 1);
	pfn = ht_device_pfn(ctx, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_owner, 0), 0);
	ht_expect(ctx, 1, pfn | HMM_PFN_VALID);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_owner, HT_R), 0);
	ht_expect(ctx, 1, pfn | HMM_PFN_VALID);
	KUNIT_EXPECT_EQ(test, ht_device.returned, 0);
}

/* The only way to have it writable is a fault. */
static void own_read_only_memory_comes_back_to_be_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_device(ctx);
	ht_make_read_only(ctx, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_owner, HT_RW), 0);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ht_device.returned, 1);
}

static void memory_of_another_is_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_device(ctx);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_other_owner, 0), 0);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect(ctx, 1, 0UL);
	ht_expect_page(ctx, 2, HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, NULL, 0), 0);
	ht_expect(ctx, 1, 0UL);
	KUNIT_EXPECT_EQ(test, ht_device.returned, 0);
}

static void memory_of_another_comes_back(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_device(ctx);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_other_owner, HT_R), 0);
	ht_expect_page(ctx, 1, ctx->pfns[1] & HMM_PFN_WRITE);
	KUNIT_EXPECT_EQ(test, ht_device.returned, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_other_owner, HT_RW), 0);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
}

/* The migration is an invalidation like any other. */
static void memory_that_comes_back_collides(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_device(ctx);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, NULL, HT_R), 0);
	KUNIT_EXPECT_EQ(test, ctx->busy, 1);
}

/*
 * -- pages that a device holds for itself
 */

static void ht_make_exclusive(struct ht_ctx *ctx, unsigned long page)
{
	struct page *got = NULL;
	int ret;

	mmap_read_lock(ctx->mm);
	ret = make_device_exclusive_range(ctx->mm, ht_addr(ctx, page), ht_addr(ctx, page + 1),
					  &got, &ht_owner);
	mmap_read_unlock(ctx->mm);
	KUNIT_ASSERT_EQ(ctx->test, ret, 1);
	KUNIT_ASSERT_NOT_NULL(ctx->test, got);
	unlock_page(got);
	put_page(got);
	KUNIT_EXPECT_TRUE(ctx->test,
			  is_device_exclusive_entry(pte_to_swp_entry(ht_pte(ctx, page))));
}

static void exclusive_page_is_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_fill(ctx, 0, 3);
	ht_make_exclusive(ctx, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, &ht_owner, 0), 0);
	ht_expect_page(ctx, 0, HMM_PFN_WRITE);
	ht_expect(ctx, 1, 0UL);
	ht_expect_page(ctx, 2, HMM_PFN_WRITE);
}

static void exclusive_page_is_given_back(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3, HT_RW_PROT);
	ht_fill(ctx, 0, 3);
	ht_make_exclusive(ctx, 1);
	KUNIT_EXPECT_EQ(test, ht_call_owner(ctx, NULL, HT_RW), 0);
	ht_expect_pages(ctx, 0, 3, HMM_PFN_WRITE);
}

static struct kunit_case ht_device_cases[] = {
	KUNIT_CASE(own_memory_is_reported),
	KUNIT_CASE(own_memory_stays_when_asked_for),
	KUNIT_CASE(own_read_only_memory_is_reported_so),
	KUNIT_CASE(own_read_only_memory_comes_back_to_be_written),
	KUNIT_CASE(memory_of_another_is_nothing),
	KUNIT_CASE(memory_of_another_comes_back),
	KUNIT_CASE(memory_that_comes_back_collides),
	KUNIT_CASE(exclusive_page_is_nothing),
	KUNIT_CASE(exclusive_page_is_given_back),
	{}
};

static struct kunit_suite ht_device_suite = {
	.name = "hmm_device",
	.suite_init = ht_device_suite_init,
	.suite_exit = ht_device_suite_exit,
	.init = ht_device_init,
	.exit = ht_device_exit,
	.test_cases = ht_device_cases,
};

kunit_test_suite(ht_device_suite);
