// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: hmm_range_fault() over more than a page at once: huge pages, leaf entries of the
 * upper tables, large folios mapped by single PTEs, hugetlb; and the order that each
 * entry says.
 */
#include <linux/file.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "hmm_test.h"

#define HT_VALID_W (HMM_PFN_VALID | HMM_PFN_WRITE)
#define HT_THP ht_order(PMD_SHIFT - PAGE_SHIFT)

/*
 * -- transparent huge pages
 */

/* Anonymous memory that is made of huge pages, absent */
static void ht_map_thp(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	ht_map(ctx, first, nr, HT_RW_PROT);
	ht_madvise(ctx, first, nr, MADV_HUGEPAGE);
}

static void ht_expect_leaf(struct ht_ctx *ctx, unsigned long page)
{
	pmd_t *pmd = ht_pmdp(ctx, page);

	KUNIT_EXPECT_TRUE_MSG(ctx->test, pmd && pmd_leaf(*pmd), "no huge page at %lu", page);
}

static void huge_page_has_its_order(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_thp(ctx, 0, HT_PMD_PAGES);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	ht_expect_leaf(ctx, 0);
	ht_snapshot(ctx, 0, HT_PMD_PAGES);
	ht_expect_pages(ctx, 0, HT_PMD_PAGES, HMM_PFN_WRITE | HT_THP);
}

/* The block reaches beyond both ends of the range. */
static void part_of_a_huge_page_has_its_order(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_thp(ctx, 0, HT_PMD_PAGES);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	ht_snapshot(ctx, 5, 100);
	ht_expect_pages(ctx, 0, 100, HMM_PFN_WRITE | HT_THP);
}

static void huge_page_between_small_ones(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 3 * HT_PMD_PAGES, HT_RW_PROT);
	ht_madvise(ctx, HT_PMD_PAGES, HT_PMD_PAGES, MADV_HUGEPAGE);
	ht_fill(ctx, HT_PMD_PAGES - 2, HT_PMD_PAGES + 4);
	ht_expect_leaf(ctx, HT_PMD_PAGES);
	ht_snapshot(ctx, HT_PMD_PAGES - 4, HT_PMD_PAGES + 8);
	ht_expect_all(ctx, 0, 2, 0UL);
	ht_expect_pages(ctx, 2, 2, HMM_PFN_WRITE);
	ht_expect_pages(ctx, 4, HT_PMD_PAGES, HMM_PFN_WRITE | HT_THP);
	ht_expect_pages(ctx, HT_PMD_PAGES + 4, 2, HMM_PFN_WRITE);
	ht_expect_all(ctx, HT_PMD_PAGES + 6, 2, 0UL);
}

static void one_fault_brings_a_huge_page(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_thp(ctx, 0, 2 * HT_PMD_PAGES);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 7, HT_PMD_PAGES, HT_RW), 0);
	ht_expect_leaf(ctx, 0);
	ht_expect_leaf(ctx, HT_PMD_PAGES);
	ht_fill(ctx, 7, HT_PMD_PAGES);
	ht_expect_pages(ctx, 0, HT_PMD_PAGES, HMM_PFN_WRITE | HT_THP);
}

static void huge_zero_page_is_read_only(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	ht_map_thp(ctx, 0, HT_PMD_PAGES);
	ht_read(ctx, 3, 1);
	ht_expect_leaf(ctx, 0);
	ht_snapshot(ctx, 2, 8);
	for (i = 0; i < 8; i++)
		ht_expect(ctx, i, ht_pfn(ctx, 2 + i) | HMM_PFN_VALID | HT_THP);
}

static void huge_zero_page_is_replaced_to_be_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	ht_map_thp(ctx, 0, HT_PMD_PAGES);
	ht_read(ctx, 3, 1);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 2, 8, HT_RW), 0);
	ht_fill(ctx, 2, 8);
	for (i = 0; i < 8; i++)
		ht_expect_page(ctx, i, HMM_PFN_WRITE | (ctx->pfns[i] & HT_THP));
}

/* A huge page at page 0, and its entry changed behind its back: without access, read-only */
static void ht_map_thp_but(struct ht_ctx *ctx, bool no_access)
{
	spinlock_t *ptl; /* of the table */
	pmd_t *pmd;

	ht_map_thp(ctx, 0, HT_PMD_PAGES);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	ht_expect_leaf(ctx, 0);
	pmd = ht_pmdp(ctx, 0);
	ptl = pmd_lock(ctx->mm, pmd);
	set_pmd_at(ctx->mm, ht_addr(ctx, 0), pmd,
		   no_access ? pmd_modify(*pmd, PAGE_NONE) : pmd_wrprotect(*pmd));
	spin_unlock(ptl);
}

static void huge_page_without_access_is_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_thp_but(ctx, true);
	ht_snapshot(ctx, 1, 10);
	ht_expect_all(ctx, 0, 10, 0UL);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 10, HT_R), 0);
	ht_expect_pages(ctx, 0, 10, (ctx->pfns[0] & HMM_PFN_WRITE) | HT_THP);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 10, HT_RW), 0);
	ht_expect_pages(ctx, 0, 10, HMM_PFN_WRITE | HT_THP);
}

static void read_only_huge_page_is_faulted_to_be_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_thp_but(ctx, false);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 10, HT_R), 0);
	ht_expect_pages(ctx, 0, 10, HT_THP);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 1, 10, HT_RW), 0);
	ht_expect_pages(ctx, 0, 10, HMM_PFN_WRITE | HT_THP);
}

/*
 * -- leaf entries by hand: nobody looks at the memory behind them
 */

static void ht_set_pmd(struct ht_ctx *ctx, unsigned long page, pmd_t value)
{
	unsigned long addr = ht_addr(ctx, page);
	pgd_t *pgd = pgd_offset(ctx->mm, addr);
	p4d_t *p4d = p4d_alloc(ctx->mm, pgd, addr);
	pud_t *pud = p4d ? pud_alloc(ctx->mm, p4d, addr) : NULL;
	pmd_t *pmd = pud ? pmd_alloc(ctx->mm, pud, addr) : NULL;

	KUNIT_ASSERT_NOT_NULL(ctx->test, pmd);
	WRITE_ONCE(*pmd, value);
}

#define HT_LEAF_PFN (SZ_1G >> PAGE_SHIFT)
#define HT_PUD_PAGES (PUD_SIZE / PAGE_SIZE)

static void ht_map_leaf(struct ht_ctx *ctx, unsigned long nr)
{
	ctx->vm_flags = VM_MIXEDMAP;
	ht_map_file(ctx, 0, nr, HT_RW_PROT);
}

static void leaf_of_device_memory(struct kunit *test)
{
	pmd_t pmd = pmd_mkdevmap(pmd_mkhuge(pfn_pmd(HT_LEAF_PFN, PAGE_SHARED)));
	struct ht_ctx *ctx = test->priv;
	unsigned long i;

	ht_map_leaf(ctx, HT_PMD_PAGES);
	ht_set_pmd(ctx, 0, pmd);
	ht_snapshot(ctx, 3, 8);
	for (i = 0; i < 8; i++)
		ht_expect(ctx, i, (HT_LEAF_PFN + 3 + i) | HMM_PFN_VALID | HMM_PFN_WRITE | HT_THP);
	ht_set_pmd(ctx, 0, pmd_wrprotect(pmd));
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 3, 8, HT_R), 0);
	for (i = 0; i < 8; i++)
		ht_expect(ctx, i, (HT_LEAF_PFN + 3 + i) | HMM_PFN_VALID | HT_THP);
	ht_set_pmd(ctx, 0, __pmd(0));
}

static void leaf_without_pages_is_an_error(struct kunit *test)
{
	pmd_t pmd = pmd_mkspecial(pmd_mkhuge(pfn_pmd(HT_LEAF_PFN, PAGE_SHARED)));
	struct ht_ctx *ctx = test->priv;

	ht_map_leaf(ctx, HT_PMD_PAGES);
	ht_set_pmd(ctx, 0, pmd);
	ht_snapshot(ctx, 3, 8);
	ht_expect_all(ctx, 0, 8, HMM_PFN_ERROR);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 3, 8, HT_R), -EFAULT);
	ht_expect_inputs(ctx, 0, 8);
	ht_set_pmd(ctx, 0, __pmd(0));
}

static void migrating_huge_page_is_nothing(struct kunit *test)
{
	pmd_t pmd = swp_entry_to_pmd(make_readable_migration_entry(HT_LEAF_PFN));
	struct ht_ctx *ctx = test->priv;

	ht_map_leaf(ctx, HT_PMD_PAGES);
	ht_set_pmd(ctx, 0, pmd);
	ht_snapshot(ctx, 3, 8);
	ht_expect_all(ctx, 0, 8, 0UL);
	ht_set_pmd(ctx, 0, __pmd(0));
}

#ifdef CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD
static void ht_set_pud(struct ht_ctx *ctx, unsigned long page, pud_t value)
{
	unsigned long addr = ht_addr(ctx, page);
	pgd_t *pgd = pgd_offset(ctx->mm, addr);
	p4d_t *p4d = p4d_alloc(ctx->mm, pgd, addr);
	pud_t *pud = p4d ? pud_alloc(ctx->mm, p4d, addr) : NULL;

	KUNIT_ASSERT_NOT_NULL(ctx->test, pud);
	WRITE_ONCE(*pud, value);
}

static void gigabyte_leaf_of_device_memory(struct kunit *test)
{
	pud_t pud = pud_mkdevmap(pud_mkhuge(pfn_pud(HT_LEAF_PFN, PAGE_SHARED)));
	const unsigned long order = ht_order(PUD_SHIFT - PAGE_SHIFT);
	struct ht_ctx *ctx = test->priv;
	unsigned long i, from;

	ht_map_leaf(ctx, HT_PUD_PAGES);
	ht_set_pud(ctx, 0, pud);
	/* Somewhere, over the end of what a PMD maps, and up to the end */
	for (from = 5; from < HT_PUD_PAGES; from += HT_PUD_PAGES / 2 - 9) {
		ht_snapshot(ctx, from, 10);
		for (i = 0; i < 10; i++)
			ht_expect(ctx, i, (HT_LEAF_PFN + from + i) | order | HT_VALID_W);
	}
	ht_set_pud(ctx, 0, pud_wrprotect(pud));
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 7, 2, HT_R), 0);
	ht_expect(ctx, 0, (HT_LEAF_PFN + 7) | order | HMM_PFN_VALID);
	ht_expect(ctx, 1, (HT_LEAF_PFN + 8) | order | HMM_PFN_VALID);
	ht_set_pud(ctx, 0, __pud(0));
}
#else
static void gigabyte_leaf_of_device_memory(struct kunit *test)
{
	kunit_skip(test, "this architecture has no such leaves in user space");
}
#endif

/*
 * -- large folios mapped by PTEs
 */

/*
 * Pages 0 to f of a folio of 16 (whose frame is aligned), as they are mapped from page @at
 * on; a dot: no page. Those with an r below them are read-only. Then the range, and the
 * order of each of its entries.
 */
struct ht_folio_case {
	const char *name;
	unsigned long at;
	const char *map;
	const char *ro;
	unsigned long from;
	const char *orders;
};

static const struct ht_folio_case ht_folio_cases[] = {
	{ "aligned", 16, "0123456789abcdef", "", 16, "4444444444444444" },
	{ "off by a page", 17, "0123456789abcdef", "", 17, "0000000000000000" },
	{ "off by two", 18, "0123456789abcdef", "", 18, "1111111111111111" },
	{ "off by four", 20, "0123456789abcdef", "", 20, "2222222222222222" },
	{ "off by eight", 24, "0123456789abcdef", "", 24, "3333333333333333" },
	{ "ends of the range", 16, "0123456789abcdef", "", 17, "01122222222110" },
	{ "one page of it", 16, "0123456789abcdef", "", 21, "0" },
	{ "beyond the range", 16, "0123456789abcdef", "", 24, "33333333" },
	{ "a hole", 16, "01234.6789abcdef", "", 16, "2222001133333333" },
	{ "first page missing", 16, ".123456789abcdef", "", 16, "0011222233333333" },
	{ "last page missing", 16, "0123456789abcde.", "", 16, "3333333322221100" },
	{ "second half only", 24, "89abcdef", "", 24, "33333333" },
	{ "second half read-only", 16, "0123456789abcdef", "        rrrrrrrr", 16,
	  "3333333333333333" },
	{ "one page read-only", 16, "0123456789abcdef", "        r", 16, "3333333300112222" },
	{ "all read-only", 16, "0123456789abcdef", "rrrrrrrrrrrrrrrr", 16, "4444444444444444" },
	{ "backwards", 16, "fedcba9876543210", "", 16, "0000000000000000" },
	{ "halves exchanged", 16, "89abcdef01234567", "", 16, "3333333333333333" },
	{ "one page twice", 16, "0123456776543210", "", 16, "3333333300000000" },
	{ "over a page table's end", 504, "0123456789abcdef", "", 504, "3333333333333333" },
};

KUNIT_ARRAY_PARAM_DESC(ht_folio, ht_folio_cases, name);

static void folio_mapped_by_ptes_has_orders(struct kunit *test)
{
	const struct ht_folio_case *c = test->param_value;
	unsigned long i, nr = strlen(c->orders);
	struct ht_ctx *ctx = test->priv;
	struct page *folio = ht_alloc(ctx, 4);

	ctx->vm_flags = VM_MIXEDMAP;
	ht_map_file(ctx, 0, HT_PAGES, HT_RW_PROT);
	for (i = 0; c->map[i]; i++)
		if (c->map[i] != '.')
			ht_insert(ctx, c->at + i, folio + hex_to_bin(c->map[i]));
	for (i = 0; c->ro[i]; i++)
		if (c->ro[i] == 'r')
			ht_wrprotect(ctx, c->at + i);

	ht_snapshot(ctx, c->from, nr);
	for (i = 0; i < nr; i++) {
		pte_t pte = ht_pte(ctx, c->from + i);
		unsigned long flags = pte_write(pte) ? HT_VALID_W : HMM_PFN_VALID;

		if (pte_none(pte))
			ht_expect(ctx, i, 0UL);
		else
			ht_expect(ctx, i, pte_pfn(pte) | ht_order(c->orders[i] - '0') | flags);
	}
	/* A fault finds the same, where nothing is missing. */
	if (strchr(c->map, '.') || *c->ro)
		return;
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, c->from, nr, HT_RW), 0);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, hmm_pfn_to_map_order(ctx->pfns[i]), c->orders[i] - '0');
	KUNIT_EXPECT_EQ(test, ctx->faults, 0);
}

/* Two folios that happen to follow each other are two blocks, or one larger than both. */
static void blocks_are_what_their_order_says(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct page *one = ht_alloc(ctx, 4), *two = ht_alloc(ctx, 3), *single = ht_alloc(ctx, 0);
	unsigned long i, j;

	ctx->vm_flags = VM_MIXEDMAP;
	ht_map_file(ctx, 0, 64, HT_RW_PROT);
	for (i = 0; i < 16; i++)
		ht_insert(ctx, 16 + i, one + i);
	for (i = 0; i < 8; i++)
		ht_insert(ctx, 32 + i, two + i);
	ht_insert(ctx, 40, single);
	ht_snapshot(ctx, 10, 40);
	ht_expect_all(ctx, 0, 6, 0UL);
	ht_expect_pages(ctx, 6, 16, HMM_PFN_WRITE | ht_order(4));
	ht_expect_pages(ctx, 22, 8, HMM_PFN_WRITE | ht_order(3));
	ht_expect_page(ctx, 30, HMM_PFN_WRITE);
	ht_expect_all(ctx, 31, 9, 0UL);
	for (i = 0; i < 40; i++) {
		unsigned long block = 1UL << hmm_pfn_to_map_order(ctx->pfns[i]);
		unsigned long first = ((10 + i) & ~(block - 1)) - 10;

		for (j = 0; j < block; j++)
			KUNIT_EXPECT_EQ(test, ctx->pfns[first + j] - j, ctx->pfns[first]);
	}
}

/* A write fault of @nr pages from @first on, where memory comes 64 KiB at a time */
static void ht_fault_folios(struct ht_ctx *ctx, unsigned long first, unsigned long nr)
{
	unsigned long saved = huge_anon_orders_always;

	WRITE_ONCE(huge_anon_orders_always, BIT(4));
	KUNIT_EXPECT_EQ(ctx->test, ht_fault(ctx, first, nr, HT_RW), 0);
	WRITE_ONCE(huge_anon_orders_always, saved);
}

/* As the kernel makes them: 64 KiB of anonymous memory at a time */
static void anonymous_large_folio_has_its_order(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 48, HT_RW_PROT);
	ht_fault_folios(ctx, 20, 1);
	ht_fill(ctx, 16, 16);
	ht_snapshot(ctx, 8, 32);
	ht_expect_all(ctx, 0, 8, 0UL);
	ht_expect_pages(ctx, 8, 16, HMM_PFN_WRITE | ht_order(4));
	ht_expect_all(ctx, 24, 8, 0UL);

	ht_madvise(ctx, 22, 1, MADV_DONTNEED);
	ht_snapshot(ctx, 16, 16);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE | ht_order(2));
	ht_expect_pages(ctx, 4, 2, HMM_PFN_WRITE | ht_order(1));
	ht_expect(ctx, 6, 0UL);
	ht_expect_page(ctx, 7, HMM_PFN_WRITE);
	ht_expect_pages(ctx, 8, 8, HMM_PFN_WRITE | ht_order(3));
}

/* One fault brings 16 pages; the others are not faulted once more. */
static void fault_finds_what_another_has_brought(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map(ctx, 0, 64, HT_RW_PROT);
	ht_fault_folios(ctx, 0, 64);
	ht_fill(ctx, 0, 64);
	ht_expect_pages(ctx, 0, 64, HMM_PFN_WRITE | ht_order(4));
}

/*
 * -- hugetlb
 */

static void ht_map_hugetlb(struct ht_ctx *ctx, unsigned long nr, unsigned long flags)
{
	struct file *file;

	/* No pool: pages come from the buddy allocator, and go back there. */
	default_hstate.nr_overcommit_huge_pages = 16;
	file = hugetlb_file_setup(HUGETLB_ANON_FILE, nr * PAGE_SIZE, VM_NORESERVE,
				  HUGETLB_ANONHUGE_INODE, PMD_SHIFT);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(ctx->test, file);
	ht_mmap(ctx, file, 0, nr, HT_RW_PROT, flags);
	fput(file);
}

static void ht_hugetlb_exit(struct kunit *test)
{
	ht_test_exit(test);
	default_hstate.nr_overcommit_huge_pages = 0;
}

static void absent_hugetlb_is_nothing(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_hugetlb(ctx, 2 * HT_PMD_PAGES, MAP_SHARED);
	/* Without a table, and with one */
	ht_snapshot(ctx, 3, HT_PMD_PAGES);
	ht_expect_all(ctx, 0, HT_PMD_PAGES, 0UL);
	ht_fill(ctx, HT_PMD_PAGES, 1);
	ht_snapshot(ctx, 3, 10);
	ht_expect_all(ctx, 0, 10, 0UL);
}

static void hugetlb_has_its_order(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_hugetlb(ctx, 2 * HT_PMD_PAGES, MAP_SHARED);
	ht_fill(ctx, 0, 2 * HT_PMD_PAGES);
	ht_snapshot(ctx, 0, 2 * HT_PMD_PAGES);
	ht_expect_pages(ctx, 0, 2 * HT_PMD_PAGES, HMM_PFN_WRITE | HT_THP);
	ht_snapshot(ctx, HT_PMD_PAGES - 3, 7);
	ht_expect_pages(ctx, 0, 7, HMM_PFN_WRITE | HT_THP);
}

static void absent_hugetlb_comes(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;

	ht_map_hugetlb(ctx, 2 * HT_PMD_PAGES, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, HT_PMD_PAGES - 3, 7, HT_RW), 0);
	ht_fill(ctx, HT_PMD_PAGES - 3, 7);
	ht_expect_pages(ctx, 0, 7, HMM_PFN_WRITE | HT_THP);
}

/* What is asked of another page of the same huge page counts, too. */
static void hugetlb_request_in_the_middle(struct kunit *test)
{
	static const unsigned long requests[] = { 0, 0, 0, HT_RW, 0 };
	struct ht_ctx *ctx = test->priv;

	ht_map_hugetlb(ctx, HT_PMD_PAGES, MAP_SHARED);
	ht_range(ctx, 10, 5);
	ht_ask(ctx, 5, requests);
	KUNIT_EXPECT_EQ(test, ht_call_again(ctx), 0);
	ht_fill(ctx, 10, 5);
	ht_expect_page(ctx, 3, HMM_PFN_WRITE | HT_THP);
	ht_expect_page(ctx, 4, HMM_PFN_WRITE | HT_THP);
}

static void read_only_hugetlb_is_faulted_to_be_written(struct kunit *test)
{
	struct ht_ctx *ctx = test->priv;
	struct vm_area_struct *vma;
	pte_t *ptep;

	ht_map_hugetlb(ctx, HT_PMD_PAGES, MAP_PRIVATE);
	ht_fill(ctx, 0, HT_PMD_PAGES);
	vma = vma_lookup(ctx->mm, ht_addr(ctx, 0));
	ptep = hugetlb_walk(vma, ht_addr(ctx, 0), PMD_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, ptep);
	huge_ptep_set_wrprotect(ctx->mm, ht_addr(ctx, 0), ptep);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 4, 4, HT_R), 0);
	ht_expect_pages(ctx, 0, 4, HT_THP);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 4, 4, HT_RW), 0);
	ht_expect_pages(ctx, 0, 4, HMM_PFN_WRITE | HT_THP);
}

struct ht_huge_entry_case {
	const char *name;
	bool memory;
};

static const struct ht_huge_entry_case ht_huge_entry_cases[] = {
	{ "poisoned memory", true },
	{ "poison marker", false },
};

KUNIT_ARRAY_PARAM_DESC(ht_huge_entry, ht_huge_entry_cases, name);

static void poisoned_hugetlb_is_an_error(struct kunit *test)
{
	const struct ht_huge_entry_case *c = test->param_value;
	struct ht_ctx *ctx = test->priv;
	struct vm_area_struct *vma;
	pte_t *ptep, old, pte;

	ht_map_hugetlb(ctx, HT_PMD_PAGES, MAP_PRIVATE);
	ht_fill(ctx, 0, 1);
	vma = vma_lookup(ctx->mm, ht_addr(ctx, 0));
	ptep = hugetlb_walk(vma, ht_addr(ctx, 0), PMD_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, ptep);
	old = *ptep;
	if (c->memory)
		pte = swp_entry_to_pte(swp_entry(SWP_HWPOISON, pte_pfn(old)));
	else
		pte = make_pte_marker(PTE_MARKER_POISONED);
	WRITE_ONCE(*ptep, pte);
	ht_snapshot(ctx, 3, 4);
	ht_expect_all(ctx, 0, 4, HMM_PFN_ERROR);
	KUNIT_EXPECT_EQ(test, ht_fault(ctx, 3, 4, HT_R), -EFAULT);
	ht_expect_inputs(ctx, 0, 4);
	WRITE_ONCE(*ptep, old);
}

static struct kunit_case ht_huge_cases[] = {
	KUNIT_CASE(huge_page_has_its_order),
	KUNIT_CASE(part_of_a_huge_page_has_its_order),
	KUNIT_CASE(huge_page_between_small_ones),
	KUNIT_CASE(one_fault_brings_a_huge_page),
	KUNIT_CASE(huge_zero_page_is_read_only),
	KUNIT_CASE(huge_zero_page_is_replaced_to_be_written),
	KUNIT_CASE(huge_page_without_access_is_nothing),
	KUNIT_CASE(read_only_huge_page_is_faulted_to_be_written),
	KUNIT_CASE(leaf_of_device_memory),
	KUNIT_CASE(leaf_without_pages_is_an_error),
	KUNIT_CASE(migrating_huge_page_is_nothing),
	KUNIT_CASE(gigabyte_leaf_of_device_memory),
	KUNIT_CASE_PARAM(folio_mapped_by_ptes_has_orders, ht_folio_gen_params),
	KUNIT_CASE(blocks_are_what_their_order_says),
	KUNIT_CASE(anonymous_large_folio_has_its_order),
	KUNIT_CASE(fault_finds_what_another_has_brought),
	{}
};

static struct kunit_suite ht_huge_suite = {
	.name = "hmm_huge",
	.init = ht_test_init,
	.exit = ht_test_exit,
	.test_cases = ht_huge_cases,
};

static struct kunit_case ht_hugetlb_cases[] = {
	KUNIT_CASE(absent_hugetlb_is_nothing),
	KUNIT_CASE(hugetlb_has_its_order),
	KUNIT_CASE(absent_hugetlb_comes),
	KUNIT_CASE(hugetlb_request_in_the_middle),
	KUNIT_CASE(read_only_hugetlb_is_faulted_to_be_written),
	KUNIT_CASE_PARAM(poisoned_hugetlb_is_an_error, ht_huge_entry_gen_params),
	{}
};

static struct kunit_suite ht_hugetlb_suite = {
	.name = "hmm_hugetlb",
	.init = ht_test_init,
	.exit = ht_hugetlb_exit,
	.test_cases = ht_hugetlb_cases,
};

kunit_test_suites(&ht_huge_suite, &ht_hugetlb_suite);
