// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: DMA addresses for the pages of a range. The device is one in name only: what
 * counts is the address that the DMA layer gives, which without an IOMMU is the page's.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/hmm-dma.h>
#include <linux/sizes.h>
#include <linux/swiotlb.h>

#include "hmm_test.h"

#define HT_DMA_PAGES (HT_PMD_PAGES + 8)

struct ht_dma {
	struct ht_ctx *ctx;
	struct device *dev;
	struct hmm_dma_map map;
};

/* A device, and a map of pages [0, nr) */
static struct ht_dma *ht_dma_new(struct kunit *test, unsigned int bits, size_t nr, size_t entry)
{
	struct ht_dma *dma = kunit_kzalloc(test, sizeof(*dma), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dma);
	dma->ctx = test->priv;
	dma->dev = ht_dma_device(test, "hmm-dma", bits);
	KUNIT_ASSERT_EQ(test, hmm_dma_map_alloc(dma->dev, &dma->map, nr, entry), 0);
	return dma;
}

static void ht_dma_fault(struct ht_dma *dma, unsigned long nr)
{
	struct ht_ctx *ctx = dma->ctx;

	ht_range(ctx, 0, 1);
	ctx->range.end = ht_addr(ctx, nr);
	ctx->range.hmm_pfns = dma->map.pfn_list;
	ctx->range.default_flags = HT_RW;
	KUNIT_ASSERT_EQ(ctx->test, hmm_range_fault_unlocked_timeout(&ctx->range, 0), 0);
}

static dma_addr_t ht_phys(const struct ht_dma *dma, size_t idx)
{
	return hmm_pfn_to_phys(dma->map.pfn_list[idx]);
}

static bool ht_is_mapped(const struct ht_dma *dma, size_t idx)
{
	return dma->map.pfn_list[idx] & HMM_PFN_DMA_MAPPED;
}

static void page_has_its_address(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct ht_dma *dma = ht_dma_new(test, 64, 4, PAGE_SIZE);
	dma_addr_t addr;
	size_t i;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_dma_fault(dma, 4);
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_FALSE(test, ht_is_mapped(dma, i));
		addr = hmm_dma_map_pfn(dma->dev, &dma->map, i, NULL);
		KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, i));
		KUNIT_EXPECT_EQ(test, dma->map.dma_list[i], addr);
		KUNIT_EXPECT_TRUE(test, ht_is_mapped(dma, i));
	}
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_TRUE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, i));
		KUNIT_EXPECT_FALSE(test, ht_is_mapped(dma, i));
	}
	hmm_dma_map_free(dma->dev, &dma->map);
}

static void mapped_twice_is_mapped_once(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct ht_dma *dma = ht_dma_new(test, 64, 2, PAGE_SIZE);
	dma_addr_t addr;

	ht_map(ctx, 0, 2, HT_RW_PROT);
	ht_dma_fault(dma, 2);
	addr = hmm_dma_map_pfn(dma->dev, &dma->map, 1, NULL);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, 1, NULL), addr);
	KUNIT_EXPECT_TRUE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 1));
	KUNIT_EXPECT_FALSE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 1));
	KUNIT_EXPECT_FALSE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 0));
	hmm_dma_map_free(dma->dev, &dma->map);
}

/* The next fault of the range leaves what is mapped as it is. */
static void address_stays_over_the_next_fault(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct ht_dma *dma = ht_dma_new(test, 64, 4, PAGE_SIZE);
	dma_addr_t addr;

	ht_map(ctx, 0, 4, HT_RW_PROT);
	ht_dma_fault(dma, 4);
	addr = hmm_dma_map_pfn(dma->dev, &dma->map, 2, NULL);
	ht_dma_fault(dma, 4);
	KUNIT_EXPECT_TRUE(test, ht_is_mapped(dma, 2));
	KUNIT_EXPECT_FALSE(test, ht_is_mapped(dma, 1));
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, 2, NULL), addr);
	KUNIT_EXPECT_TRUE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 2));
	hmm_dma_map_free(dma->dev, &dma->map);
}

/* A map whose first pages are a huge one; the test ends here in a kernel that has none. */
static struct ht_dma *ht_dma_new_thp(struct kunit *test, unsigned int bits, size_t pages,
				     size_t entry_size)
{
	struct ht_ctx *ctx = test->priv;
	struct ht_dma *dma;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		kunit_skip(test, "no huge pages");
	dma = ht_dma_new(test, bits, pages, entry_size);
	ht_map(ctx, 0, 2 * HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, 0, HT_PMD_PAGES, MADV_HUGEPAGE);
	ht_dma_fault(dma, pages);
	return dma;
}

static void huge_page_is_one_mapping(struct kunit *test)
{
	struct ht_dma *dma = ht_dma_new_thp(test, 64, HT_DMA_PAGES, PAGE_SIZE);
	unsigned int order = 77;
	dma_addr_t addr;
	size_t i;

	addr = hmm_dma_map_block(dma->dev, &dma->map, 0, NULL, &order);
	KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, 0));
	KUNIT_EXPECT_EQ(test, order, PMD_SHIFT - PAGE_SHIFT);
	/* Again, and from its middle: the same mapping */
	KUNIT_EXPECT_EQ(test, hmm_dma_map_block(dma->dev, &dma->map, 0, NULL, &order), addr);
	KUNIT_EXPECT_EQ(test, order, PMD_SHIFT - PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, 7, NULL),
			addr + 7 * PAGE_SIZE);
	addr = hmm_dma_map_block(dma->dev, &dma->map, HT_PMD_PAGES, NULL, &order);
	KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, HT_PMD_PAGES));
	KUNIT_EXPECT_EQ(test, order, 0);
	/* Any page of it takes the whole along, and nothing else. */
	KUNIT_EXPECT_TRUE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 100));
	for (i = 0; i < HT_PMD_PAGES; i++)
		KUNIT_EXPECT_FALSE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, i));
	KUNIT_EXPECT_FALSE(test, ht_is_mapped(dma, 0));
	KUNIT_EXPECT_FALSE(test, ht_is_mapped(dma, 7));
	KUNIT_EXPECT_TRUE(test, ht_is_mapped(dma, HT_PMD_PAGES));
	KUNIT_EXPECT_TRUE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, HT_PMD_PAGES));
	hmm_dma_map_free(dma->dev, &dma->map);
}

/* A block that begins in the middle of a huge page is as long as its alignment. */
static void part_of_a_huge_page_is_a_smaller_block(struct kunit *test)
{
	struct ht_dma *dma = ht_dma_new_thp(test, 64, HT_PMD_PAGES, PAGE_SIZE);
	unsigned int order = 77;
	dma_addr_t addr;

	addr = hmm_dma_map_block(dma->dev, &dma->map, 16, NULL, &order);
	KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, 16));
	KUNIT_EXPECT_EQ(test, order, 4);
	addr = hmm_dma_map_block(dma->dev, &dma->map, 3, NULL, &order);
	KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, 3));
	KUNIT_EXPECT_EQ(test, order, 0);
	/* Part of it is taken: the rest, page by page if it must be */
	addr = hmm_dma_map_block(dma->dev, &dma->map, 0, NULL, &order);
	KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, 0));
	KUNIT_EXPECT_EQ(test, order, 0);
	hmm_dma_map_free(dma->dev, &dma->map);
}

static void large_entries_are_mapped_at_once(struct kunit *test)
{
	struct ht_dma *dma = ht_dma_new_thp(test, 64, HT_PMD_PAGES, SZ_64K);
	dma_addr_t addr;

	addr = hmm_dma_map_pfn(dma->dev, &dma->map, 16, NULL);
	KUNIT_EXPECT_EQ(test, addr, ht_phys(dma, 16));
	/* Over the end of the map */
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, HT_PMD_PAGES - 1, NULL),
			DMA_MAPPING_ERROR);
	/* Into what is mapped */
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, 15, NULL),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_TRUE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 31));
	KUNIT_EXPECT_FALSE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 16));
	hmm_dma_map_free(dma->dev, &dma->map);
}

/* What is mapped is unmapped; nothing but a debugging kernel could tell. */
static void free_unmaps_what_is_left(struct kunit *test)
{
	struct ht_dma *dma = ht_dma_new_thp(test, 64, HT_DMA_PAGES, PAGE_SIZE);
	unsigned int order;

	hmm_dma_map_block(dma->dev, &dma->map, 0, NULL, &order);
	hmm_dma_map_pfn(dma->dev, &dma->map, HT_DMA_PAGES - 1, NULL);
	hmm_dma_map_free(dma->dev, &dma->map);
	KUNIT_EXPECT_NULL(test, dma->map.pfn_list);
	KUNIT_EXPECT_NULL(test, dma->map.dma_list);
	/* A second time does no harm. */
	hmm_dma_map_free(dma->dev, &dma->map);
}

static unsigned long ht_swiotlb_used(struct device *dev)
{
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	return mem ? atomic_long_read(&mem->total_used) : 0;
}

/* No bounce buffer: the device would not see what the CPU writes later. */
static void page_out_of_reach_is_refused(struct kunit *test)
{
	struct ht_dma *dma = ht_dma_new_thp(test, 24, HT_DMA_PAGES, PAGE_SIZE);
	unsigned long used = ht_swiotlb_used(dma->dev);
	unsigned int order;

	KUNIT_ASSERT_GT(test, ht_phys(dma, 0), DMA_BIT_MASK(24));
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, 0, NULL), DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_block(dma->dev, &dma->map, 0, NULL, &order),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_pfn(dma->dev, &dma->map, HT_PMD_PAGES, NULL),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_FALSE(test, ht_is_mapped(dma, 0));
	KUNIT_EXPECT_FALSE(test, hmm_dma_unmap_pfn(dma->dev, &dma->map, 0));
	KUNIT_EXPECT_EQ(test, ht_swiotlb_used(dma->dev), used);
	hmm_dma_map_free(dma->dev, &dma->map);
}

static void sizes_that_make_no_sense(struct kunit *test)
{
	struct device *dev = ht_dma_device(test, "hmm-dma", 64);
	struct hmm_dma_map map;

	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 0, PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 8, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 8, PAGE_SIZE / 2), -EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 8, 3 * PAGE_SIZE), -EINVAL);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 8, 16 * PAGE_SIZE), -EINVAL);
	hmm_dma_map_free(dev, &map);
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 16, 16 * PAGE_SIZE), 0);
	hmm_dma_map_free(dev, &map);
}

static void incoherent_device_is_refused(struct kunit *test)
{
	struct device *dev = ht_dma_device(test, "hmm-dma", 64);
	struct hmm_dma_map map;

	ht_set_coherent(dev, false);
	if (dev_is_dma_coherent(dev))
		kunit_skip(test, "all devices are coherent on this architecture");
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 8, PAGE_SIZE), -EOPNOTSUPP);
	hmm_dma_map_free(dev, &map);
}

static void device_without_a_mask_is_refused(struct kunit *test)
{
	struct device *dev = ht_dma_device(test, "hmm-dma", 64);
	struct hmm_dma_map map;

	dev->dma_mask = NULL;
	KUNIT_EXPECT_EQ(test, hmm_dma_map_alloc(dev, &map, 8, PAGE_SIZE), -EOPNOTSUPP);
	hmm_dma_map_free(dev, &map);
}

static struct kunit_case ht_dma_cases[] = {
	KUNIT_CASE(page_has_its_address),
	KUNIT_CASE(mapped_twice_is_mapped_once),
	KUNIT_CASE(address_stays_over_the_next_fault),
	KUNIT_CASE(huge_page_is_one_mapping),
	KUNIT_CASE(part_of_a_huge_page_is_a_smaller_block),
	KUNIT_CASE(large_entries_are_mapped_at_once),
	KUNIT_CASE(free_unmaps_what_is_left),
	KUNIT_CASE(page_out_of_reach_is_refused),
	KUNIT_CASE(sizes_that_make_no_sense),
	KUNIT_CASE(incoherent_device_is_refused),
	KUNIT_CASE(device_without_a_mask_is_refused),
	{}
};

static struct kunit_suite ht_dma_suite = {
	.name = "hmm_dma",
	.init = ht_test_init,
	.exit = ht_test_exit,
	.test_cases = ht_dma_cases,
};

kunit_test_suite(ht_dma_suite);
